/* age: what is refused and in which words; limits; identities and recipients. THREATS 26. */
#include "lib/cleanup.h"
#include "vault/age/age.h"
#include "vault/age/age_format.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void make_identity(struct age_identities **ret, char **ret_recipient)
{
	char *text;
	size_t len;
	assert_int_equal(age_keygen(&text, &len, ret_recipient, NULL), 0);
	assert_int_equal(age_identities_parse(text, len, "key", ret, NULL), 0);
	sodium_free(text);
}

static void expect_denied(const struct age_identities *ids, const char *file, const char *why)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len;
	assert_int_equal(age_decrypt(ids, NULL, file, strlen(file), 100, &plain, &len, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_string_equal(err_msg(&err), why);
	assert_null(plain);
}

static void test_not_for_us(void **state)
{
	(void)state;
	struct age_identities *ids;
	char *recipient cleanup_free = NULL;
	make_identity(&ids, &recipient);
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

#define MAC "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
#define BODY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"

static void test_header_refusals(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"age-encryption.org/v1\n-> X25519  a\n" BODY MAC, "age header: recipient 1 does not begin with \"-> \" and arguments"},
	    {"age-encryption.org/v1\n-> X25519 a \n" BODY MAC, "age header: recipient 1 does not begin with \"-> \" and arguments"},
	    {"age-encryption.org/v1\n-> X25519 \xc3\xa4\n" BODY MAC, "age header: recipient 1 does not begin with \"-> \" and arguments"},
	    {"age-encryption.org/v1\n-> X25519 a\n" BODY MAC, "age header: recipient 1 is no valid X25519 recipient"},
	    {"age-encryption.org/v1\n-> a\n\n-> b\nA\n" MAC, "age header: recipient 2 has a damaged body"},
	    {"age-encryption.org/v1\n-> scrypt a 1\n" BODY "-> b\n\n" MAC, "age header: a passphrase must be the only recipient"},
	    {"age-encryption.org/v1\n" MAC, "age header: has no recipients"},
	    {"age-encryption.org/v2\n", "age header: the file does not begin with \"age-encryption.org/v1\": it is no age file"},
	    {"age-encryption.org/v1\n-> a\n\n", "age header: has no end (at most 65536 bytes); the file was cut off or is damaged"},
	    {"-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\nx\n",
	     "age armour: there is something behind its end (line 3)"},
	    {"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n",
	     "age armour: the line \"-----END AGE ENCRYPTED FILE-----\" is missing: the file was cut off"},
	};
	struct age_identities *ids;
	char *recipient cleanup_free = NULL;
	make_identity(&ids, &recipient);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err err cleanup_err = ERR_INIT;
		unsigned char *plain = NULL;
		size_t len;
		assert_int_equal(age_decrypt(ids, NULL, cases[i][0], strlen(cases[i][0]), 100, &plain, &len, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err_msg(&err), cases[i][1]);
	}
	age_identities_free(ids);
}

/* Neither many recipients nor a long header cost more than their limits. */
static void test_header_limits(void **state)
{
	(void)state;
	struct buf file cleanup_buf = BUF_INIT, wide cleanup_buf = BUF_INIT;
	struct err err cleanup_err = ERR_INIT;
	struct age_header h cleanup_age_header = AGE_HEADER_INIT;
	buf_adds(&file, AGE_VERSION_LINE);
	for (int i = 0; i < AGE_STANZAS_MAX; i++)
		buf_adds(&file, "-> a\n\n");
	buf_adds(&file, MAC);
	assert_int_equal(age_header_parse((unsigned char *)file.data, file.len, &h, NULL), 0);
	assert_int_equal(h.n_stanzas, AGE_STANZAS_MAX);
	age_header_free(&h);
	buf_addf(&wide, "%s-> a\n\n%s", AGE_VERSION_LINE, file.data + strlen(AGE_VERSION_LINE));
	assert_int_equal(age_header_parse((unsigned char *)wide.data, wide.len, &h, &err), -1);
	assert_string_equal(err_msg(&err), "age header: has more than 256 recipients");
	buf_reset(&wide);
	buf_adds(&wide, AGE_VERSION_LINE "-> a\n");
	for (int i = 0; i < 1100; i++)
		buf_adds(&wide, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
	buf_adds(&wide, "\n" MAC);
	assert_int_equal(age_header_parse((unsigned char *)wide.data, wide.len, &h, &err), -1);
	assert_string_equal(err_msg(&err), "age header: recipient 1 has a damaged body");
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
	make_identity(&ids, &recipient);
	assert_int_equal(age_recipients_parse(recipient, strlen(recipient), "r", &to, NULL), 0);
	assert_int_equal(age_encrypt(&to, NULL, (const unsigned char *)"123456789", 9, &file, NULL), 0);
	assert_int_equal(age_decrypt(ids, NULL, file.data, file.len, 8, &plain, &len, &err), -1);
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
	make_identity(&ids, &recipient);
	assert_int_equal(age_recipients_parse(recipient, strlen(recipient), "r", &to, NULL), 0);
	assert_int_equal(age_encrypt(&to, "PROD", (const unsigned char *)"12345678", 8, &file, NULL), 0);
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		unsigned char *plain = NULL;
		size_t len;
		file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(age_decrypt(ids, NULL, file.data, file.len, 100, &plain, &len, NULL), -1);
		file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
	}
	for (size_t len = 0; len < file.len; len++) {
		unsigned char *plain = NULL;
		size_t plain_len;
		assert_int_equal(age_decrypt(ids, NULL, file.data, len, 100, &plain, &plain_len, NULL), -1);
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
	assert_int_equal(age_encrypt(&to, NULL, (const unsigned char *)"x", 1, &file, &err), -1);
	assert_string_equal(err_msg(&err), "age: recipient 1 is no usable public key");
	assert_int_equal(file.len, 0);
	to.n = 0;
	assert_int_equal(age_encrypt(&to, NULL, (const unsigned char *)"x", 1, &file, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_not_for_us), cmocka_unit_test(test_header_refusals),   cmocka_unit_test(test_header_limits),
	    cmocka_unit_test(test_too_large),  cmocka_unit_test(test_every_flipped_bit), cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_identities), cmocka_unit_test(test_recipients),        cmocka_unit_test(test_low_order_recipient),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
