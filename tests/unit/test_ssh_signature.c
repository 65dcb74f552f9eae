/* SSH signatures: made and taken by ssh-keygen and by us; each deviation from the format refused in its own words. THREATS 4. */
#include "tests/unit/signing_fixture.h"

#include "vault/ssh/ssh_signature.h"
#include "vault/ssh/ssh_wire.h"
#include <sodium.h>

static const char message[] = "Approve it\n\nDisinto-Approve: x 1\n";
#define MESSAGE_LEN (sizeof(message) - 1)

static int setup(void **state)
{
	if (begin_dir(state) < 0 || sodium_init() < 0)
		return -1;
	make_key("one");
	make_key("two");
	write_in("message", message, MESSAGE_LEN);
	return 0;
}

static int parse(const struct buf *armour, struct ssh_signature *ret, struct err *err)
{
	return ssh_signature_parse(armour->data, armour->len, "git", ret, err);
}

/* Signs the message with ssh-keygen. */
static void theirs(const char *key, const char *options, struct buf *ret)
{
	cleanup_free char *script = xasprintf("rm -f message.sig; ssh-keygen -q -Y sign -f \"$1\" %s message", options);
	must_run(script, key, NULL);
	read_in("message.sig", ret);
}

static void test_theirs_is_taken(void **state)
{
	(void)state;
	static const struct {
		const char *options;
		enum ssh_hash hash;
	} rows[] = {
	    {"-n git", SSH_HASH_SHA512}, {"-n git -O hashalg=sha512", SSH_HASH_SHA512}, {"-n git -O hashalg=sha256", SSH_HASH_SHA256}};

	for (size_t i = 0; i < ROWS(rows); i++) {
		cleanup_buf struct buf armour = BUF_INIT;
		struct err err = ERR_INIT;
		struct ssh_signature sig;
		struct ssh_public_key key = public_of("one");

		theirs("one", rows[i].options, &armour);
		assert_ok(parse(&armour, &sig, &err), &err);
		assert_int_equal(sig.hash, rows[i].hash);
		assert_true(ssh_public_key_equal(&sig.key, &key));
		assert_ok(ssh_signature_verify(&sig, "git", message, MESSAGE_LEN, &err), &err);
		/* without its last newline, as it stands in a commit */
		armour.len--;
		assert_ok(parse(&armour, &sig, &err), &err);
	}
}

static void test_ours_is_taken(void **state)
{
	(void)state;
	static const char *const messages[] = {message, "", "x"};
	cleanup_ssh_private_key struct ssh_private_key *key = private_of("one");

	must_run("echo \"me@example $(cat one.pub)\" >signers", NULL, NULL);
	for (size_t i = 0; i < ROWS(messages); i++) {
		cleanup_buf struct buf armour = BUF_INIT;
		ssh_sign(key, "git", messages[i], strlen(messages[i]), &armour);
		write_in("ours.sig", armour.data, armour.len);
		write_in("text", messages[i], strlen(messages[i]));
		must_run("ssh-keygen -q -Y verify -f signers -I me@example -n git -s ours.sig <text", NULL, NULL);
		assert_int_not_equal(
		    shell(NULL, "echo >>text; ssh-keygen -q -Y verify -f signers -I me@example -n git -s ours.sig <text", NULL, NULL), 0);
	}
	/* ed25519 is deterministic: the same bytes as theirs. */
	cleanup_buf struct buf mine = BUF_INIT;
	cleanup_buf struct buf other = BUF_INIT;
	ssh_sign(key, "git", message, MESSAGE_LEN, &mine);
	theirs("one", "-n git", &other);
	assert_string_equal(mine.data, other.data);
}

static void refuse(const struct buf *armour, const char *words)
{
	struct ssh_signature sig;
	assert_refused(parse(armour, &sig, err), ERR_INVALID, words);
}

/* guard: take_head and ssh_signature_verify in vault/ssh/ssh_signature.c */
static void test_threat_04_foreign_signatures(void **state)
{
	(void)state;
	static const struct {
		const char *make, *words;
	} rows[] = {
	    {"ssh-keygen -q -Y sign -f one -n file message", "SSH signature: was made for the namespace file, not git"},
	    {"ssh-keygen -q -t rsa -N '' -f rsa && ssh-keygen -q -Y sign -f rsa -n git message",
	     "SSH signature: its key: is a key of kind ssh-rsa; only ssh-ed25519 is supported"},
	    {"ssh-keygen -q -t ecdsa -N '' -f ecdsa && ssh-keygen -q -Y sign -f ecdsa -n git message",
	     "SSH signature: its key: is a key of kind ecdsa-sha2-nistp256; only ssh-ed25519 is supported"},
	    {"ssh-keygen -q -s one -I id -n someone two.pub && cp two-cert.pub two.pub.keep && ssh-keygen -q -Y sign -f two -n git message",
	     NULL}, /* a certificate beside the key is not used: an ordinary signature */
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		cleanup_buf struct buf armour = BUF_INIT;
		must_run("rm -f message.sig", NULL, NULL);
		must_run(rows[i].make, NULL, NULL);
		read_in("message.sig", &armour);
		struct ssh_signature sig;
		if (rows[i].words)
			refuse(&armour, rows[i].words);
		else
			assert_int_equal(parse(&armour, &sig, NULL), 0);
	}
}

/* A signature built by hand, field by field. Lengths: -1 for the string's own. */
struct fields {
	const char *magic;
	uint32_t version;
	const char *key_kind, *namespace, *reserved, *hash, *sig_kind;
	size_t key_len, sig_len;
	const char *behind, *behind_sig;
};
#define GOOD_FIELDS \
	{ \
		"SSHSIG", 1, "ssh-ed25519", "git", "", "sha512", "ssh-ed25519", 32, 64, "", "" \
	}

static void put_text(struct buf *b, const char *text)
{
	ssh_put_string(b, text, strlen(text));
}

/* Correctly signed in all else: what is refused is refused for its form. */
static void build(const struct fields *f, struct buf *ret)
{
	cleanup_ssh_private_key struct ssh_private_key *key = private_of("one");
	cleanup_buf struct buf blob = BUF_INIT;
	cleanup_buf struct buf wire = BUF_INIT;
	cleanup_buf struct buf data = BUF_INIT;
	cleanup_buf struct buf sig = BUF_INIT;
	uint8_t digest[64], bytes[96] = {0}, public[64] = {0};

	crypto_hash_sha512(digest, (const uint8_t *)message, MESSAGE_LEN);
	buf_adds(&data, "SSHSIG");
	put_text(&data, f->namespace);
	put_text(&data, f->reserved);
	put_text(&data, f->hash);
	ssh_put_string(&data, digest, sizeof(digest));
	ssh_private_key_sign(key, data.data, data.len, bytes);
	memcpy(public, ssh_private_key_public(key)->bytes, SSH_KEY_BYTES);

	put_text(&wire, f->key_kind);
	ssh_put_string(&wire, public, f->key_len);
	put_text(&sig, f->sig_kind);
	ssh_put_string(&sig, bytes, f->sig_len);
	buf_adds(&sig, f->behind_sig);
	buf_adds(&blob, f->magic);
	ssh_put_u32(&blob, f->version);
	ssh_put_string(&blob, wire.data, wire.len);
	put_text(&blob, f->namespace);
	put_text(&blob, f->reserved);
	put_text(&blob, f->hash);
	ssh_put_string(&blob, sig.data, sig.len);
	buf_adds(&blob, f->behind);
	ssh_armour_encode(ret, "SSH SIGNATURE", blob.data, blob.len);
}

static void test_fields(void **state)
{
	(void)state;
	static const struct fields good = GOOD_FIELDS;
	static const char damaged[] = "SSH signature: is damaged";
	struct fields f[13];
	const char *words[13];
	size_t n = 0;
#define ROW(member, value, text) \
	do { \
		f[n] = good; \
		f[n].member = (value); \
		words[n++] = (text); \
	} while (0)

	ROW(magic, "SSHSIH", damaged);
	ROW(version, 2, "SSH signature: is of version 2; only 1 is known");
	ROW(version, 0, "SSH signature: is of version 0; only 1 is known");
	ROW(key_kind, "ssh-rsa", "SSH signature: its key: is a key of kind ssh-rsa; only ssh-ed25519 is supported");
	ROW(key_len, 33, "SSH signature: its key: is no ssh-ed25519 key: its length is wrong");
	ROW(namespace, "", "SSH signature: was made for the namespace unknown, not git");
	ROW(namespace, "gita", "SSH signature: was made for the namespace gita, not git");
	ROW(reserved, "x", "SSH signature: has reserved data that nobody understands");
	ROW(hash, "sha1", "SSH signature: its hash is sha1; sha256 and sha512 are allowed");
	ROW(sig_kind, "ssh-rsa", damaged);
	ROW(sig_len, 65, damaged);
	ROW(behind, "x", damaged);
	ROW(behind_sig, "x", damaged);
	for (size_t i = 0; i < n; i++) {
		cleanup_buf struct buf armour = BUF_INIT;
		build(&f[i], &armour);
		refuse(&armour, words[i]);
	}
	cleanup_buf struct buf armour = BUF_INIT;
	struct ssh_signature sig;
	build(&good, &armour);
	assert_int_equal(parse(&armour, &sig, NULL), 0);
	assert_int_equal(ssh_signature_verify(&sig, "git", message, MESSAGE_LEN, NULL), 0);
}

static void test_other_bytes(void **state)
{
	(void)state;
	static const char words[] = "SSH signature: does not fit: the bytes were changed, or another key signed them";
	cleanup_buf struct buf armour = BUF_INIT;
	struct ssh_signature sig, other;

	theirs("one", "-n git", &armour);
	assert_int_equal(parse(&armour, &sig, NULL), 0);
	assert_refused(ssh_signature_verify(&sig, "git", message, MESSAGE_LEN - 1, err), ERR_INVALID, words);
	assert_refused(ssh_signature_verify(&sig, "git", "", 0, err), ERR_INVALID, words);
	assert_refused(ssh_signature_verify(&sig, "file", message, MESSAGE_LEN, err), ERR_INVALID, words);
	other = sig;
	other.hash = SSH_HASH_SHA256;
	assert_refused(ssh_signature_verify(&other, "git", message, MESSAGE_LEN, err), ERR_INVALID, words);
	other = sig;
	other.key = public_of("two");
	assert_refused(ssh_signature_verify(&other, "git", message, MESSAGE_LEN, err), ERR_INVALID, words);
	/* The neutral element as a key fits signatures that nobody made. */
	memset(&other, 0, sizeof(other));
	other.hash = SSH_HASH_SHA512;
	other.key.bytes[0] = 1;
	other.bytes[0] = 1;
	assert_refused(ssh_signature_verify(&other, "git", message, MESSAGE_LEN, err), ERR_INVALID, words);
}

/* Every bit of the blob counts, and nothing may be missing or left over. */
static void test_every_bit(void **state)
{
	(void)state;
	cleanup_buf struct buf armour = BUF_INIT;
	cleanup_buf struct buf blob = BUF_INIT;
	struct ssh_signature sig;
	size_t len;

	theirs("one", "-n git", &armour);
	assert_int_equal(ssh_armour_decode(armour.data, armour.len, "SSH SIGNATURE", (uint8_t *)buf_room(&blob, armour.len), &len, NULL),
	                 0);
	buf_grew(&blob, len);
	for (size_t bit = 0; bit < blob.len * 8; bit++) {
		cleanup_buf struct buf bad = BUF_INIT;
		blob.data[bit / 8] = (char)(blob.data[bit / 8] ^ 1 << bit % 8);
		ssh_armour_encode(&bad, "SSH SIGNATURE", blob.data, blob.len);
		if (parse(&bad, &sig, NULL) == 0)
			assert_int_equal(ssh_signature_verify(&sig, "git", message, MESSAGE_LEN, NULL), -1);
		blob.data[bit / 8] = (char)(blob.data[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t cut = 0; cut < blob.len; cut++) {
		cleanup_buf struct buf bad = BUF_INIT;
		ssh_armour_encode(&bad, "SSH SIGNATURE", blob.data, cut);
		assert_int_equal(parse(&bad, &sig, NULL), -1);
	}
}

#define BEGIN "-----BEGIN SSH SIGNATURE-----\n"
#define END "-----END SSH SIGNATURE-----\n"

static void test_armour(void **state)
{
	(void)state;
	static const char no_begin[] = "SSH signature: does not begin with the line \"-----BEGIN SSH SIGNATURE-----\"";
	static const char no_end[] = "SSH signature: the line \"-----END SSH SIGNATURE-----\" is missing: it was cut off";
	static const struct {
		const char *text;
		size_t len;
		const char *words;
	} rows[] = {
#define TEXT(s) s, sizeof(s) - 1
	    {TEXT(""), no_begin},
	    {TEXT("\n" BEGIN "AAAA\n" END), no_begin},
	    {TEXT(" " BEGIN "AAAA\n" END), no_begin},
	    {TEXT("-----BEGIN SSH SIGNATURE----- \nAAAA\n" END), no_begin},
	    {TEXT("-----BEGIN SSH SIGNATURE-----\r\nAAAA\r\n-----END SSH SIGNATURE-----\r\n"), no_begin},
	    {TEXT("-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----\n"), no_begin},
	    {TEXT(BEGIN), no_end},
	    {TEXT(BEGIN "AAAA\n"), no_end},
	    {TEXT(BEGIN "AAAA\n-----END SSH SIGNATURE----"), "SSH signature: line 3 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAAA\n" END "\n"), "SSH signature: there is something behind its end (line 4)"},
	    {TEXT(BEGIN "AAAA\n" END BEGIN "AAAA\n" END), "SSH signature: there is something behind its end (line 4)"},
	    {TEXT(BEGIN "AAAA\n" BEGIN "AAAA\n" END), "SSH signature: line 3 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AA\0A\n" END), "SSH signature: line 2 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAAA \n" END), "SSH signature: line 2 is not base64 in lines of one length"},
	    {TEXT(BEGIN "\nAAAA\n" END), "SSH signature: line 2 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAAA\nAAAAA\n" END), "SSH signature: line 3 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAAAAAAA\nAAAA\nAAAA\n" END), "SSH signature: line 4 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAA-\n" END), "SSH signature: line 2 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" END),
	     "SSH signature: line 2 is not base64 in lines of one length"},
	    {TEXT(BEGIN "AAA\n" END), "SSH signature: its base64 is damaged"},
	    {TEXT(BEGIN "AAAB=\n" END), "SSH signature: its base64 is damaged"},
	    {TEXT(BEGIN "AB==\n" END), "SSH signature: its base64 is damaged"}, /* bits behind the last byte */
	    {TEXT(BEGIN "AA==AAAA\n" END), "SSH signature: its base64 is damaged"},
	    {TEXT(BEGIN "AA==\n" END), "SSH signature: is damaged"},
	    {TEXT(BEGIN END), "SSH signature: is damaged"},
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct buf b = {(char *)rows[i].text, rows[i].len, 0};
		refuse(&b, rows[i].words);
	}
	cleanup_buf struct buf large = BUF_INIT;
	buf_adds(&large, BEGIN);
	while (large.len <= SSH_SIGNATURE_MAX)
		buf_adds(&large, "AAAA\n");
	cleanup_free char *words = xasprintf("SSH signature: has %zu bytes; at most 4096 are allowed", large.len);
	refuse(&large, words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_theirs_is_taken),
	    cmocka_unit_test(test_ours_is_taken),
	    cmocka_unit_test(test_threat_04_foreign_signatures),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_other_bytes),
	    cmocka_unit_test(test_every_bit),
	    cmocka_unit_test(test_armour),
	};
	return cmocka_run_group_tests_name("ssh_signature", tests, setup, end_dir);
}
