/*
 * age: the official test vectors (folder AGE_TESTKIT, default tests/data/age-testkit), the `age` and `age-keygen` programs both ways,
 * identities and recipients. THREATS 26.
 */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/age.h"
#include "vault/age_format.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <zlib.h>

#include <cmocka.h>

#define NO_LIMIT ((size_t)1 << 30)
#define SCRYPT_LABEL "age-encryption.org/v1/scrypt"
#define SCRYPT_MAX_LOG 22 /* as the age program has it */

extern char **environ;

static char dir[] = "/tmp/test_age.XXXXXX";

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
	int rc = age_decrypt(ids, v->file.data, v->file.len, NO_LIMIT, ret_plain, ret_len, err);
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
	const char *folder = getenv("AGE_TESTKIT") ? getenv("AGE_TESTKIT") : "tests/data/age-testkit";
	struct dirent **names;
	struct tally t = {0, 0, 0};
	int n = scandir(folder, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			try_vector(folder, names[i]->d_name, &t);
		free(names[i]);
	}
	if (n >= 0)
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

static char *in_dir(const char *name)
{
	return path_join(dir, name);
}

static void write_in_dir(const char *name, const void *data, size_t len)
{
	char *path cleanup_free = in_dir(name);
	assert_int_equal(file_write(path, data, len, 0600, NULL), 0);
}

static void read_in_dir(const char *name, struct buf *ret)
{
	char *path cleanup_free = in_dir(name);
	assert_int_equal(file_read(path, 1 << 24, ret, NULL), 0);
}

/* Runs a program with its input from and its output to files of the test's folder. */
static int run(const char *const argv[], const char *in, const char *out)
{
	char *in_path cleanup_free = in ? in_dir(in) : xstrdup("/dev/null"), *out_path cleanup_free = in_dir(out);
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, in_path, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	int rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		fail_msg("%s can't be run: %s (Debian package age)", argv[0], strerror(rc));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 131071, 131072, 131073, 400000};
#define N_SIZES (sizeof(sizes) / sizeof(*sizes))

static void make_identity(const char *name, struct age_identities **ret, char **ret_recipient)
{
	struct err err cleanup_err = ERR_INIT;
	char *text;
	size_t len;
	assert_int_equal(age_keygen(&text, &len, ret_recipient, &err), 0);
	assert_int_equal(age_identities_parse(text, len, name, ret, &err), 0);
	write_in_dir(name, text, len);
	sodium_free(text);
}

static void expect_plain(const struct age_identities *ids, const struct buf *file, const unsigned char *want, size_t want_len)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len = 0;
	if (age_decrypt(ids, file->data, file->len, want_len, &plain, &len, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(len, want_len);
	assert_memory_equal(plain, want, len);
	sodium_free(plain);
}

static void test_age_reads_ours(void **state)
{
	(void)state;
	unsigned char *plain = xmalloc(sizes[N_SIZES - 1]);
	struct age_identities *first, *second;
	char *recipients[2], *path cleanup_free = in_dir("second");
	randombytes_buf(plain, sizes[N_SIZES - 1]);
	make_identity("first", &first, &recipients[0]);
	make_identity("second", &second, &recipients[1]);
	struct buf list = BUF_INIT;
	struct age_recipients to;
	buf_addf(&list, "# both\n%s\r\n\n  %s  \n", recipients[0], recipients[1]);
	assert_int_equal(age_recipients_parse(list.data, list.len, "recipients.txt", &to, NULL), 0);
	assert_int_equal(to.n, 2);
	for (size_t i = 0; i < N_SIZES; i++) {
		struct buf file = BUF_INIT, back = BUF_INIT;
		assert_int_equal(age_encrypt(&to, plain, sizes[i], &file, NULL), 0);
		expect_plain(first, &file, plain, sizes[i]);
		expect_plain(second, &file, plain, sizes[i]);
		write_in_dir("file.age", file.data, file.len);
		assert_int_equal(run((const char *const[]){"age", "-d", "-i", path, NULL}, "file.age", "plain"), 0);
		read_in_dir("plain", &back);
		assert_int_equal(back.len, sizes[i]);
		assert_memory_equal(back.data, plain, sizes[i]);
		buf_free(&file);
		buf_free(&back);
	}
	buf_free(&list);
	age_recipients_free(&to);
	age_identities_free(first);
	age_identities_free(second);
	free(recipients[0]);
	free(recipients[1]);
	free(plain);
}

static void test_we_read_ages(void **state)
{
	(void)state;
	unsigned char *plain = xmalloc(sizes[N_SIZES - 1]);
	struct buf text = BUF_INIT;
	struct age_identities *ids;
	randombytes_buf(plain, sizes[N_SIZES - 1]);
	assert_int_equal(run((const char *const[]){"age-keygen", NULL}, NULL, "theirs"), 0);
	read_in_dir("theirs", &text);
	assert_int_equal(age_identities_parse(text.data, text.len, "theirs", &ids, NULL), 0);
	char *recipient cleanup_free = age_identity_recipient(ids, 0);
	assert_non_null(strstr(text.data, recipient)); /* age-keygen says the same in its comment */
	for (size_t i = 0; i < 2 * N_SIZES; i++) {
		struct buf file = BUF_INIT;
		write_in_dir("plain", plain, sizes[i / 2]);
		assert_int_equal(run((const char *const[]){"age", "-r", recipient, i % 2 ? "-a" : NULL, NULL}, "plain", "file.age"), 0);
		read_in_dir("file.age", &file);
		expect_plain(ids, &file, plain, sizes[i / 2]);
		buf_free(&file);
	}
	buf_free(&text);
	age_identities_free(ids);
	free(plain);
}

/* age-keygen -y reads our identity and finds the recipient that we say. */
static void test_keygen(void **state)
{
	(void)state;
	struct age_identities *ids;
	struct buf text = BUF_INIT;
	char *recipient cleanup_free = NULL, *path cleanup_free = in_dir("mine");
	make_identity("mine", &ids, &recipient);
	assert_int_equal(age_identities_count(ids), 1);
	assert_int_equal(strlen(recipient), 62);
	assert_int_equal(run((const char *const[]){"age-keygen", "-y", path, NULL}, NULL, "recipient"), 0);
	read_in_dir("recipient", &text);
	assert_memory_equal(text.data, recipient, 62);
	assert_string_equal(text.data + 62, "\n");
	buf_reset(&text);
	read_in_dir("mine", &text);
	assert_memory_equal(text.data, "# created: 20", 13);
	assert_non_null(strstr(text.data, "\n# public key: age1"));
	assert_non_null(strstr(text.data, "\nAGE-SECRET-KEY-1"));
	buf_free(&text);
	age_identities_free(ids);
}

static void expect_denied(const struct age_identities *ids, const char *file, const char *why)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len;
	assert_int_equal(age_decrypt(ids, file, strlen(file), 100, &plain, &len, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_string_equal(err_msg(&err), why);
	assert_null(plain);
}

static void test_not_for_us(void **state)
{
	(void)state;
	struct age_identities *ids;
	char *recipient cleanup_free = NULL;
	make_identity("nobody", &ids, &recipient);
	expect_denied(ids,
	              "age-encryption.org/v1\n-> piv-p256 abc def\n\n-> grease-x\n\n-> piv-p256 ghi\n\n"
	              "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
	              "age: is only for recipients of kinds that need a plugin (piv-p256, grease-x); encrypt it to an age1… recipient");
	expect_denied(ids,
	              "age-encryption.org/v1\n-> X25519 CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
	              "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-> ssh-ed25519 abc\n\n"
	              "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
	              "age: none of 1 identities opens it; it is for 1 age1… recipients and others (ssh-ed25519)");
	age_identities_free(ids);
}

static void test_too_large(void **state)
{
	(void)state;
	struct err err cleanup_err = ERR_INIT;
	struct age_identities *ids;
	char *recipient cleanup_free = NULL;
	struct age_recipients to;
	struct buf file cleanup_buf = BUF_INIT;
	unsigned char *plain = NULL;
	size_t len;
	make_identity("large", &ids, &recipient);
	assert_int_equal(age_recipients_parse(recipient, strlen(recipient), "r", &to, NULL), 0);
	assert_int_equal(age_encrypt(&to, (const unsigned char *)"123456789", 9, &file, NULL), 0);
	assert_int_equal(age_decrypt(ids, file.data, file.len, 8, &plain, &len, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err_msg(&err), "age payload: has 9 bytes, more than the 8 that are allowed");
	age_recipients_free(&to);
	age_identities_free(ids);
}

/* Every bit of a file counts: no changed file gives plaintext. */
static void test_every_flipped_bit(void **state)
{
	(void)state;
	struct age_identities *ids;
	char *recipient cleanup_free = NULL;
	struct age_recipients to;
	struct buf file cleanup_buf = BUF_INIT;
	make_identity("flip", &ids, &recipient);
	assert_int_equal(age_recipients_parse(recipient, strlen(recipient), "r", &to, NULL), 0);
	assert_int_equal(age_encrypt(&to, (const unsigned char *)"12345678", 8, &file, NULL), 0);
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		unsigned char *plain = NULL;
		size_t len;
		file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(age_decrypt(ids, file.data, file.len, 100, &plain, &len, NULL), -1);
		file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
	}
	for (size_t len = 0; len < file.len; len++) {
		unsigned char *plain = NULL;
		size_t plain_len;
		assert_int_equal(age_decrypt(ids, file.data, len, 100, &plain, &plain_len, NULL), -1);
	}
	age_recipients_free(&to);
	age_identities_free(ids);
}

static void test_base64(void **state)
{
	(void)state;
	uint8_t bytes[4];
	assert_int_equal(age_base64_decode((struct age_slice){"////", 4}, bytes, 3), 0);
	assert_int_equal(age_base64_decode((struct age_slice){"/w", 2}, bytes, 1), 0);
	assert_int_equal(age_base64_decode((struct age_slice){"/x", 2}, bytes, 1), -1);   /* not canonical */
	assert_int_equal(age_base64_decode((struct age_slice){"/w==", 4}, bytes, 1), -1); /* padded */
	assert_int_equal(age_base64_decode((struct age_slice){"____", 4}, bytes, 3), -1); /* the other alphabet */
	for (int c = 0x80; c < 0x100; c++) {
		char text[4] = {'/', '/', '/', (char)c};
		assert_int_equal(age_base64_decode((struct age_slice){text, 4}, bytes, 3), -1);
	}
}

#define KEY "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0"

static void expect_bad_identity(const char *text, const char *why)
{
	struct err err cleanup_err = ERR_INIT;
	struct age_identities *ids = NULL;
	assert_int_equal(age_identities_parse(text, strlen(text), "id", &ids, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err_msg(&err), why);
	assert_null(ids);
}

static void test_identities(void **state)
{
	(void)state;
	struct age_identities *ids;
	static const char two[] = "# a comment\r\n\r\n" KEY "\r\n" KEY;
	assert_int_equal(age_identities_parse(two, strlen(two), "id", &ids, NULL), 0);
	assert_int_equal(age_identities_count(ids), 2);
	age_identities_free(ids);
	expect_bad_identity("", "id: holds no identity (a line AGE-SECRET-KEY-1…); make one with `disinto secrets keygen`");
	expect_bad_identity("# only\n", "id: holds no identity (a line AGE-SECRET-KEY-1…); make one with `disinto secrets keygen`");
	expect_bad_identity(KEY "\n\nAGE-PLUGIN-YUBIKEY-1QQ\n",
	                    "id: line 3: is the identity of a plugin, which a daemon can't use; make one with `disinto secrets keygen`");
	expect_bad_identity("AGE-SECRET-KEY-PQ-1QQ\n", "id: line 1: is a hybrid (post-quantum) identity, which is not supported; make "
	                                               "one with `disinto secrets keygen`");
	expect_bad_identity("AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM1\n",
	                    "id: line 1: is no identity (AGE-SECRET-KEY-1…): has a character that can't stand in a key (position 74)");
	expect_bad_identity("AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LMM\n",
	                    "id: line 1: is no identity (AGE-SECRET-KEY-1…): has a wrong checksum: a character was mistyped or lost");
	expect_bad_identity("-----BEGIN OPENSSH PRIVATE KEY-----\n",
	                    "id: line 1: is an SSH or PEM key, which is not supported; make an identity with `disinto secrets keygen`");
}

static void expect_bad_recipient(const char *text, const char *why)
{
	struct err err cleanup_err = ERR_INIT;
	struct age_recipients r = {.n = 0};
	assert_int_equal(age_recipients_parse(text, strlen(text), "r", &r, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err_msg(&err), why);
	assert_int_equal(r.n, 0);
}

static void test_recipients(void **state)
{
	(void)state;
	expect_bad_recipient("\n", "r: holds no recipient (a line age1…)");
	expect_bad_recipient(KEY,
	                     "r: line 1: is a private key; take it out of here and make a new one, for whoever reads this file has it");
	expect_bad_recipient("# x\nssh-ed25519 AAAA me\n",
	                     "r: line 2: is an SSH key, which is not supported; use an age recipient (age1…, 62 characters)");
	expect_bad_recipient("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t\n",
	                     "r: line 1: is the recipient of a plugin, which is not supported; use an X25519 one (age1…, 62 characters)");
	expect_bad_recipient("age1qqqq\n",
	                     "r: line 1: is no recipient (age1…, 62 characters): is too short, or does not begin with the right "
	                     "letters");
}

/* A recipient of low order would make a file that everybody can open. */
static void test_low_order_recipient(void **state)
{
	(void)state;
	struct err err cleanup_err = ERR_INIT;
	uint8_t zero[1][32] = {{0}};
	struct age_recipients to = {.keys = zero, .n = 1};
	struct buf file = BUF_INIT;
	assert_int_equal(age_encrypt(&to, (const unsigned char *)"x", 1, &file, &err), -1);
	assert_string_equal(err_msg(&err), "age: recipient 1 is no usable public key");
	assert_int_equal(file.len, 0);
	to.n = 0;
	assert_int_equal(age_encrypt(&to, (const unsigned char *)"x", 1, &file, NULL), -1);
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0 || !mkdtemp(dir);
}

static int teardown(void **state)
{
	(void)state;
	return dir_remove_at(AT_FDCWD, dir, NULL);
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
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_testkit),
	    cmocka_unit_test(test_age_reads_ours),
	    cmocka_unit_test(test_we_read_ages),
	    cmocka_unit_test(test_keygen),
	    cmocka_unit_test(test_not_for_us),
	    cmocka_unit_test(test_too_large),
	    cmocka_unit_test(test_every_flipped_bit),
	    cmocka_unit_test(test_identities),
	    cmocka_unit_test(test_recipients),
	    cmocka_unit_test(test_low_order_recipient),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
