/* age: a secret's file carries its name; what the `age` program makes carries none, and it reads ours all the same. */
#include "lib/cleanup.h"
#include "vault/age/age.h"
#include "vault/age/age_format.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct age_identities *ids;
static struct age_recipients to;

static void encrypt(const char *name, struct buf *ret)
{
	struct err err cleanup_err = ERR_INIT;
	if (age_encrypt(&to, name, (const unsigned char *)"the value", 9, ret, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

/* Opens as `name`; NULL when it does, else the sentence. Caller frees. */
static char *open_as(const char *name, const struct buf *file)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len = 0;
	if (age_decrypt(ids, name, file->data, file->len, 100, &plain, &len, &err) < 0) {
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(plain);
		return xstrdup(err_msg(&err));
	}
	assert_int_equal(len, 9);
	assert_memory_equal(plain, "the value", 9);
	sodium_free(plain);
	return NULL;
}

static void expect_refused(const char *name, const struct buf *file, const char *why)
{
	char *got cleanup_free = open_as(name, file);
	assert_non_null(got);
	assert_string_equal(got, why);
}

static void test_opens_under_its_own_name_only(void **state)
{
	(void)state;
	struct buf file cleanup_buf = BUF_INIT;
	encrypt("PROD", &file);
	assert_null(open_as("PROD", &file));
	assert_null(open_as(NULL, &file));
	expect_refused(
	    "STAGING", &file,
	    "was encrypted as PROD; a secret works under its own name only: store the value anew with 'disinto secrets add -f STAGING'");
	expect_refused(
	    "PRO", &file,
	    "was encrypted as PROD; a secret works under its own name only: store the value anew with 'disinto secrets add -f PRO'");
}

static void test_without_a_name(void **state)
{
	(void)state;
	struct buf file cleanup_buf = BUF_INIT;
	struct age_facts facts;
	encrypt(NULL, &file);
	assert_null(open_as("PROD", &file));
	assert_null(open_as("STAGING", &file));
	assert_int_equal(age_examine(file.data, file.len, &facts, NULL), 0);
	assert_string_equal(facts.name, "");
	assert_string_equal(facts.digest, "");
	assert_null(strstr(file.data, "disinto"));
}

/* Nobody who can't make the MAC can take the name off, or give another. */
static void test_the_mac_protects_the_name(void **state)
{
	(void)state;
	struct buf file cleanup_buf = BUF_INIT, bare cleanup_buf = BUF_INIT;
	encrypt("PROD", &file);
	char *at = strstr(file.data, "-> disinto-name PROD\n\n");
	assert_non_null(at);
	size_t before = (size_t)(at - file.data), skip = strlen("-> disinto-name PROD\n\n");
	buf_add(&bare, file.data, before);
	buf_add(&bare, at + skip, file.len - before - skip);
	expect_refused("PROD", &bare, "age header MAC: does not match: the header was changed");
	memcpy(at, "-> disinto-name PRID", 20);
	expect_refused("PRID", &file, "age header MAC: does not match: the header was changed");
}

/* A header with these stanzas behind the recipient, with a MAC that is right, and the payload. */
static void forge(const char *stanzas, struct buf *ret)
{
	struct buf header cleanup_buf = BUF_INIT;
	struct age_keys *k cleanup_age_keys = age_keys_new();
	uint8_t share[32], wrapped[AGE_WRAPPED], mac[32];
	randombytes_buf(k->file_key, sizeof(k->file_key));
	randombytes_buf(k->ephemeral, sizeof(k->ephemeral));
	crypto_scalarmult_base(share, k->ephemeral);
	assert_int_equal(age_x25519_wrap_key(k, k->ephemeral, to.keys[0], share, to.keys[0]), 0);
	age_wrap(k, wrapped);
	buf_adds(&header, AGE_VERSION_LINE);
	age_header_add_stanza(&header, "X25519", share, sizeof(share), wrapped, sizeof(wrapped));
	buf_addf(&header, "%s---", stanzas);
	age_header_mac(k, header.data, header.len, mac);
	age_header_add_mac(&header, mac);
	buf_add(ret, header.data, header.len);
	age_payload_seal(k, (const unsigned char *)"the value", 9, ret);
}

#define MALFORMED "age header: must have one disinto-name at most, with the name of a secret and an empty body"
#define NAME_64 "A234567890123456789012345678901234567890123456789012345678901234"

static void test_malformed(void **state)
{
	(void)state;
	static const struct {
		const char *stanzas;
		const char *why; /* as PROD; NULL: opens */
	} cases[] = {
	    {"-> disinto-name PROD\n\n", NULL},
	    {"-> grease PROD\n\n-> disinto-name PROD\n\n", NULL},
	    {"-> disinto-names PROD\n\n", NULL},
	    {"-> disinto-name PROD\n\n-> disinto-name PROD\n\n", MALFORMED},
	    {"-> disinto-name PROD\n\n-> disinto-name STAGING\n\n", MALFORMED},
	    {"-> disinto-name\n\n", MALFORMED},
	    {"-> disinto-name PROD STAGING\n\n", MALFORMED},
	    {"-> disinto-name prod\n\n", MALFORMED},
	    {"-> disinto-name ../PROD\n\n", MALFORMED},
	    {"-> disinto-name PROD\nAAAA\n", MALFORMED},
	    {"-> disinto-name " NAME_64 "\n\n", "was encrypted as " NAME_64 "; a secret works under its own name only: store the value "
	                                        "anew with 'disinto secrets add -f PROD'"},
	    {"-> disinto-name " NAME_64 "X\n\n", MALFORMED},
	    /* only information: nothing is refused for it */
	    {"-> disinto-recipients x\n\n-> disinto-recipients y\n\n", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf file cleanup_buf = BUF_INIT;
		struct age_facts facts;
		bool malformed = cases[i].why && strcmp(cases[i].why, MALFORMED) == 0;
		forge(cases[i].stanzas, &file);
		char *got cleanup_free = open_as("PROD", &file);
		if (!got != !cases[i].why || (got && strcmp(got, cases[i].why) != 0))
			fail_msg("case %zu: %s", i, got ? got : "opened");
		assert_int_equal(age_examine(file.data, file.len, &facts, NULL), malformed ? -1 : 0);
		if (!malformed)
			assert_string_equal(facts.digest, "");
	}
}

static void armour(const struct buf *file, const char *newline, struct buf *ret)
{
	size_t room = sodium_base64_ENCODED_LEN(file->len, sodium_base64_VARIANT_ORIGINAL);
	char *text cleanup_free = xmalloc(room);
	sodium_bin2base64(text, room, (const unsigned char *)file->data, file->len, sodium_base64_VARIANT_ORIGINAL);
	buf_addf(ret, "-----BEGIN AGE ENCRYPTED FILE-----%s", newline);
	for (const char *p = text; *p; p += strnlen(p, 64))
		buf_addf(ret, "%.64s%s", p, newline);
	buf_addf(ret, "-----END AGE ENCRYPTED FILE-----%s", newline);
}

/* The same ciphertext is the same, however it is wrapped; the same value encrypted again is another. */
static void test_fingerprint(void **state)
{
	(void)state;
	static const char *const newlines[] = {"\n", "\r\n"};
	struct buf file cleanup_buf = BUF_INIT, again cleanup_buf = BUF_INIT;
	struct age_facts plain, other;
	encrypt(NULL, &file);
	encrypt(NULL, &again);
	assert_int_equal(age_examine(file.data, file.len, &plain, NULL), 0);
	assert_int_equal(strlen(plain.fingerprint), 2 * (32 + 16));
	for (size_t i = 0; i < 2; i++) {
		struct buf wrapped cleanup_buf = BUF_INIT;
		buf_adds(&wrapped, i ? " \n\n" : "");
		armour(&file, newlines[i], &wrapped);
		assert_null(open_as(NULL, &wrapped));
		assert_int_equal(age_examine(wrapped.data, wrapped.len, &other, NULL), 0);
		assert_string_equal(other.fingerprint, plain.fingerprint);
	}
	assert_int_equal(age_examine(again.data, again.len, &other, NULL), 0);
	assert_string_not_equal(other.fingerprint, plain.fingerprint);
	for (size_t len = 0; len < file.len; len++) {
		bool whole = len >= file.len - 9 - 16; /* up to the nonce */
		assert_int_equal(age_examine(file.data, len, &other, NULL), whole ? 0 : -1);
	}
}

static void test_facts(void **state)
{
	(void)state;
	struct buf file cleanup_buf = BUF_INIT;
	struct age_facts facts;
	char digest[AGE_DIGEST_ROOM];
	uint8_t keys[3][32];
	encrypt("PROD", &file);
	age_recipients_digest(&to, digest);
	assert_int_equal(age_examine(file.data, file.len, &facts, NULL), 0);
	assert_string_equal(facts.name, "PROD");
	assert_string_equal(facts.digest, digest);
	assert_int_equal(facts.n_recipients, 1);

	/* A set, not a list. */
	char other[AGE_DIGEST_ROOM];
	for (uint8_t i = 0; i < 32; i++)
		keys[0][i] = keys[2][i] = i, keys[1][i] = (uint8_t)(i ^ 7);
	age_recipients_digest(&(struct age_recipients){.keys = keys, .n = 2}, digest);
	age_recipients_digest(&(struct age_recipients){.keys = keys, .n = 3}, other);
	assert_string_equal(digest, other);
	age_recipients_digest(&(struct age_recipients){.keys = keys + 1, .n = 2}, other);
	assert_string_equal(digest, other);
	age_recipients_digest(&(struct age_recipients){.keys = keys, .n = 1}, other);
	assert_string_not_equal(digest, other);
}

static void test_names_and_numbers_that_are_no_good(void **state)
{
	(void)state;
	struct err err cleanup_err = ERR_INIT;
	struct buf file cleanup_buf = BUF_INIT;
	uint8_t(*keys)[32] cleanup_free = xcalloc(AGE_RECIPIENTS_MAX + 1, sizeof(*keys));
	struct age_recipients many = {.keys = keys, .n = AGE_RECIPIENTS_MAX};
	for (size_t i = 0; i <= AGE_RECIPIENTS_MAX; i++)
		memcpy(keys[i], to.keys[0], 32);
	assert_int_equal(age_encrypt(&to, "prod", (const unsigned char *)"x", 1, &file, &err), -1);
	assert_string_equal(err_msg(&err), "age: 'prod' is no name for a secret: " VAULT_SECRET_RULE);
	assert_int_equal(age_encrypt(&many, "PROD", (const unsigned char *)"the value", 9, &file, NULL), 0);
	assert_null(open_as("PROD", &file));
	many.n++;
	assert_int_equal(age_encrypt(&many, "PROD", (const unsigned char *)"x", 1, &file, &err), -1);
	assert_string_equal(err_msg(&err), "age: 255 recipients; 1 to 254 are allowed");
}

/* Opens, or says a sentence with these words; no time is spent on what a file asks for. */
static void expect_words(const struct buf *file, const char *words)
{
	char *got cleanup_free = open_as(NULL, file);
	if (!got || !strstr(got, words))
		fail_msg("%s instead of %s", got ? got : "opened", words);
}

/*
 * THREATS 23: truncated, bit-flipped, extended, plugin and scrypt files. Guards: the chunk's tag and the flag of the last one (age_payload_open),
 * the header's MAC (age_verify_header), the refusal of scrypt before anything is derived (find_file_key). Without the check of the MAC the flips
 * in the labels pass and this fails.
 */
static void test_threat_23_damaged_and_foreign_files(void **state)
{
	(void)state;
	struct buf file cleanup_buf = BUF_INIT, longer cleanup_buf = BUF_INIT, two cleanup_buf = BUF_INIT;
	unsigned char *plain = NULL;
	size_t len;
	encrypt("PROD", &file);
	assert_null(open_as("PROD", &file));
	for (size_t cut = 0; cut < file.len; cut++)
		assert_int_equal(age_decrypt(ids, "PROD", file.data, cut, 100, &plain, &len, NULL), -1);
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
		if (age_decrypt(ids, "PROD", file.data, file.len, 100, &plain, &len, NULL) == 0)
			fail_msg("opens with bit %zu flipped", bit);
		file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
	}
	buf_add(&longer, file.data, file.len);
	buf_addc(&longer, '\0');
	expect_words(&longer, "age payload: chunk 1 of 1 is damaged");
	/* a second last chunk behind the first, with its own tag: the payload of another file */
	struct buf big cleanup_buf = BUF_INIT;
	unsigned char *chunk cleanup_free = xcalloc(1, 65537);
	assert_int_equal(age_encrypt(&to, "PROD", chunk, 65537, &big, NULL), 0);
	buf_add(&two, big.data, big.len - 17);
	assert_int_equal(age_decrypt(ids, "PROD", big.data, big.len, 65537, &plain, &len, NULL), 0);
	sodium_free(plain);
	plain = NULL;
	assert_int_equal(age_decrypt(ids, "PROD", two.data, two.len, 65537, &plain, &len, NULL), -1);

	static const char mac[] = "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef0123456789abcdef";
	static const struct {
		const char *stanza, *words;
		enum err_code code;
	} foreign[] = {
	    {"-> scrypt rF0/NwblUHHTpgQgRpe5CQ 62\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n", "passphrase", ERR_INVALID},
	    {"-> scrypt rF0/NwblUHHTpgQgRpe5CQ 99999999999999999999\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n", "passphrase",
	     ERR_INVALID},
	    {"-> piv-p256 abc def\n\n", "plugin (piv-p256)", ERR_DENIED},
	};
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
		struct err err cleanup_err = ERR_INIT;
		char *text cleanup_free = xasprintf("%s%s%s", AGE_VERSION_LINE, foreign[i].stanza, mac);
		assert_int_equal(age_decrypt(ids, "PROD", text, strlen(text), 100, &plain, &len, &err), -1);
		assert_int_equal(err.code, foreign[i].code);
		if (!strstr(err_msg(&err), foreign[i].words))
			fail_msg("%s", err_msg(&err));
	}
	assert_null(plain);
}

static int setup(void **state)
{
	(void)state;
	char *text, *recipient;
	size_t len;
	int rc = age_keygen(&text, &len, &recipient, NULL);
	if (rc == 0)
		rc = age_identities_parse(text, len, "test", &ids, NULL);
	if (rc == 0)
		rc = age_recipients_parse(recipient, strlen(recipient), "test", &to, NULL);
	sodium_free(text);
	free(recipient);
	return rc;
}

static int teardown(void **state)
{
	(void)state;
	age_identities_free(ids);
	age_recipients_free(&to);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_opens_under_its_own_name_only),
	    cmocka_unit_test(test_without_a_name),
	    cmocka_unit_test(test_the_mac_protects_the_name),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_fingerprint),
	    cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_names_and_numbers_that_are_no_good),
	    cmocka_unit_test(test_threat_23_damaged_and_foreign_files),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
