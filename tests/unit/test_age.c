/* age: the official test vectors (folder AGE_TESTKIT, default tests/data/age-testkit; its README.md says more). */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/age/age.h"
#include "vault/age/age_format.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define NO_LIMIT ((size_t)1 << 30)
#define SCRYPT_LABEL "age-encryption.org/v1/scrypt"
#define SCRYPT_MAX_LOG 22 /* as the age program has it */

/* One vector: the lines before the empty one, and the age file behind it. */
struct vector {
	struct buf text; /* owns */
	const char *expect, *payload, *passphrase;
	struct buf identities;
	bool hybrid, zlib;
	struct buf file;
};

static void vector_free(struct vector *v)
{
	buf_free(&v->text);
	buf_free(&v->identities);
	buf_free(&v->file);
}

static void set_field(struct vector *v, const char *key, const char *value)
{
	if (strcmp(key, "expect") == 0)
		v->expect = value;
	else if (strcmp(key, "payload") == 0)
		v->payload = value;
	else if (strcmp(key, "passphrase") == 0)
		v->passphrase = value;
	else if (strcmp(key, "compressed") == 0)
		v->zlib = true;
	else if (strcmp(key, "identity") == 0) {
		v->hybrid = v->hybrid || strncmp(value, "AGE-SECRET-KEY-PQ-", 18) == 0;
		buf_addf(&v->identities, "%s\n", value);
	}
}

static void inflate_into(const unsigned char *data, size_t len, struct buf *ret)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
	assert_int_equal(inflateInit(&z), Z_OK);
	int rc;
	do {
		z.next_out = (Bytef *)buf_room(ret, 65536);
		z.avail_out = 65536;
		rc = inflate(&z, Z_NO_FLUSH);
		assert_true(rc == Z_OK || rc == Z_STREAM_END);
		buf_grew(ret, 65536 - z.avail_out);
	} while (rc != Z_STREAM_END);
	inflateEnd(&z);
}

static void vector_read(const char *path, struct vector *ret)
{
	*ret = (struct vector){.text = BUF_INIT, .identities = BUF_INIT, .file = BUF_INIT};
	assert_int_equal(file_read(path, 1 << 24, &ret->text, NULL), 0);
	char *line = ret->text.data, *end;
	while ((end = strchr(line, '\n')) && end != line) {
		char *value = strstr(line, ": ");
		*end = '\0';
		assert_non_null(value);
		*value = '\0';
		set_field(ret, line, value + 2);
		line = end + 1;
	}
	assert_non_null(end);
	const unsigned char *body = (const unsigned char *)end + 1;
	size_t len = ret->text.len - (size_t)(end + 1 - ret->text.data);
	if (ret->zlib)
		inflate_into(body, len, &ret->file);
	else
		buf_add(&ret->file, body, len);
}

/* The work factor: decimal, without leading zeros, at most SCRYPT_MAX_LOG. */
static int scrypt_log(struct age_slice arg)
{
	int n = 0;
	for (size_t i = 0; i < arg.len && i < 3; i++) {
		if (arg.p[i] < '0' || arg.p[i] > '9' || (i == 0 && arg.p[i] == '0'))
			return -1;
		n = n * 10 + (arg.p[i] - '0');
	}
	return arg.len > 0 && arg.len < 3 && n <= SCRYPT_MAX_LOG ? n : -1;
}

/* What the product refuses to do: open a file with a passphrase. Here it shows that header and payload code read such files rightly. */
static int scrypt_file_key(struct age_keys *k, const struct age_header *h, const char *passphrase, struct err *err)
{
	const struct age_stanza *s = &h->stanzas[0];
	struct age_slice args[2];
	uint8_t salt[sizeof(SCRYPT_LABEL) - 1 + 16];
	bool any = false;
	for (size_t i = 0; i < h->n_stanzas; i++)
		any = any || age_slice_is(h->stanzas[i].type, "scrypt");
	if (!any)
		return err_set(err, ERR_DENIED, "no scrypt");
	memcpy(salt, SCRYPT_LABEL, sizeof(SCRYPT_LABEL) - 1);
	if (h->n_stanzas != 1 || s->body_len != AGE_WRAPPED || age_stanza_args(s, args, 2) < 0 ||
	    age_base64_decode(args[0], salt + sizeof(SCRYPT_LABEL) - 1, 16) < 0 || scrypt_log(args[1]) < 0)
		return err_set(err, ERR_INVALID, "age header: scrypt");
	assert_int_equal(crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)passphrase, strlen(passphrase), salt, sizeof(salt),
	                                                       1ull << scrypt_log(args[1]), 8, 1, k->wrap, sizeof(k->wrap)),
	                 0);
	return age_unwrap(k, s->body) == 0 ? 0 : err_set(err, ERR_DENIED, "passphrase");
}

static int scrypt_decrypt(const struct vector *v, unsigned char **ret_plain, size_t *ret_len, struct err *err)
{
	struct age_header h cleanup_age_header = AGE_HEADER_INIT;
	struct age_keys *k cleanup_age_keys = age_keys_new();
	struct buf file cleanup_buf = BUF_INIT;
	if (!age_is_armoured((const unsigned char *)v->file.data, v->file.len))
		buf_add(&file, v->file.data, v->file.len);
	else if (age_armour_decode((const unsigned char *)v->file.data, v->file.len, &file, err) < 0)
		return -1;
	if (age_header_parse((const unsigned char *)file.data, file.len, &h, err) < 0)
		return -1;
	if (scrypt_file_key(k, &h, v->passphrase, err) < 0)
		return -1;
	return age_open(k, &h, (const unsigned char *)file.data, file.len, NO_LIMIT, ret_plain, ret_len, err);
}

static const char *outcome_of(int rc, const struct err *err)
{
	static const struct {
		const char *prefix, *outcome;
	} kinds[] = {
	    {"age header: ", "header failure"},
	    {"age header MAC: ", "HMAC failure"},
	    {"age armour: ", "armor failure"},
	    {"age payload: ", "payload failure"},
	};
	if (rc == 0)
		return "success";
	if (err->code == ERR_DENIED)
		return "no match";
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (err->code == ERR_INVALID && strncmp(err_msg(err), kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].outcome;
	return err_msg(err);
}

static bool payload_is(const unsigned char *plain, size_t len, const char *want_hex)
{
	uint8_t sum[32];
	char hex[65];
	crypto_hash_sha256(sum, plain, len);
	return want_hex && strcmp(sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum)), want_hex) == 0;
}

/* The vector's identities, or a fresh one where it has none. */
static struct age_identities *identities_of(const struct vector *v)
{
	struct age_identities *ids = NULL;
	char *text, *recipient;
	size_t len;
	if (v->identities.len > 0) {
		assert_int_equal(age_identities_parse(v->identities.data, v->identities.len, "vector", &ids, NULL), 0);
		return ids;
	}
	assert_int_equal(age_keygen(&text, &len, &recipient, NULL), 0);
	assert_int_equal(age_identities_parse(text, len, "key", &ids, NULL), 0);
	sodium_free(text);
	free(recipient);
	return ids;
}

static int decrypt(const struct vector *v, unsigned char **ret_plain, size_t *ret_len, struct err *err)
{
	struct age_identities *ids = identities_of(v);
	int rc = age_decrypt(ids, NULL, v->file.data, v->file.len, NO_LIMIT, ret_plain, ret_len, err);
	age_identities_free(ids);
	return rc;
}

/* Decrypting for a secret says no to every passphrase file, in words of its own. */
static bool refused_for_secrets(const struct vector *v)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len;
	int rc = decrypt(v, &plain, &len, &err);
	if (strcmp(v->expect, "success") == 0)
		return rc < 0 && err.code == ERR_INVALID && strstr(err_msg(&err), "is encrypted with a passphrase");
	return rc < 0;
}

static bool vector_passes(const char *name, const struct vector *v)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len = 0;
	int rc = v->passphrase ? scrypt_decrypt(v, &plain, &len, &err) : decrypt(v, &plain, &len, &err);
	bool ok = strcmp(outcome_of(rc, &err), v->expect) == 0 && (rc < 0 ? plain == NULL : payload_is(plain, len, v->payload)) &&
	          (!v->passphrase || refused_for_secrets(v));
	if (!ok)
		printf("%s: want %s, got %s\n", name, v->expect, outcome_of(rc, &err));
	sodium_free(plain);
	return ok;
}

struct tally {
	int passed, failed, skipped;
};

static void try_vector(const char *folder, const char *name, struct tally *t)
{
	char *path cleanup_free = path_join(folder, name);
	struct vector v;
	vector_read(path, &v);
	if (v.hybrid)
		t->skipped++;
	else if (vector_passes(name, &v))
		t->passed++;
	else
		t->failed++;
	vector_free(&v);
}

static struct tally run_testkit(void)
{
	const char *wanted = getenv("AGE_TESTKIT"), *folder = wanted ? wanted : "tests/data/age-testkit";
	struct dirent **names = NULL;
	struct tally t = {0, 0, 0};
	int n = scandir(folder, &names, NULL, alphasort);
	for (int i = 0; names && i < n; i++) {
		if (names[i]->d_name[0] != '.')
			try_vector(folder, names[i]->d_name, &t);
		free(names[i]);
	}
	free(names);
	printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped);
	return t;
}

static void test_testkit(void **state)
{
	(void)state;
	struct tally t = run_testkit();
	assert_int_equal(t.failed, 0);
	assert_true(t.passed > 0);
}

static int main_testkit(void)
{
	struct tally t;
	if (sodium_init() < 0)
		return 1;
	t = run_testkit();
	return t.failed > 0 || t.passed == 0;
}

/* With the argument "testkit" (make test-age): the vectors alone, and one line about them. */
int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "testkit") == 0)
		return main_testkit();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_testkit)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
