/* OpenSSH keys: what ssh-keygen makes is read as it reads it; everything else is refused in its own words. */
#include "tests/unit/signing_fixture.h"

#include "vault/ssh/ssh_wire.h"
#include <sodium.h>

#define PRIVATE_LABEL "OPENSSH PRIVATE KEY"

static int setup(void **state)
{
	if (begin_dir(state) < 0 || sodium_init() < 0)
		return -1;
	make_key("one");
	make_key("two");
	return 0;
}

/* public keys */

static void test_public_of_ssh_keygen(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct ssh_public_key key = public_of(i % 2 ? "two" : "one"), again;
		cleanup_free char *text = ssh_public_key_text(&key);
		cleanup_free char *theirs = output_of("cut -d' ' -f1,2 \"$1.pub\"", i % 2 ? "two" : "one", NULL);
		cleanup_free char *listed = output_of("ssh-keygen -lf \"$1.pub\" | cut -d' ' -f2", i % 2 ? "two" : "one", NULL);
		char fingerprint[SSH_FINGERPRINT_ROOM];
		uint8_t wire[SSH_KEY_WIRE_BYTES];

		assert_string_equal(text, theirs);
		assert_string_equal(ssh_fingerprint(&key, fingerprint), listed);
		ssh_public_key_encode(&key, wire);
		assert_int_equal(ssh_public_key_decode(wire, sizeof(wire), &again, NULL), 0);
		assert_true(ssh_public_key_equal(&key, &again));
		again.bytes[31] ^= 1;
		assert_false(ssh_public_key_equal(&key, &again));
	}
}

#define GOOD "AAAAC3NzaC1lZDI1NTE5AAAAIJlY8GOXkKHB7pgF/hUw1E7iLPeQoMuwrXeQ639hQPGH"

static void test_public_forms(void **state)
{
	(void)state;
	static const char *const forms[] = {"ssh-ed25519 " GOOD, "ssh-ed25519 " GOOD "\n", "ssh-ed25519 " GOOD " me at home\n",
	                                    " \tssh-ed25519\t" GOOD "\r\n"};
	for (size_t i = 0; i < ROWS(forms); i++) {
		struct ssh_public_key key;
		cleanup_free char *text = NULL;
		assert_int_equal(ssh_public_key_parse(forms[i], strlen(forms[i]), &key, NULL), 0);
		text = ssh_public_key_text(&key);
		assert_string_equal(text, "ssh-ed25519 " GOOD);
	}
}

static void test_public_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *text, *words;
	} rows[] = {
	    {"", "is no SSH public key (ssh-ed25519 AAAA…)"},
	    {"ssh-ed25519", "is no SSH public key (ssh-ed25519 AAAA…)"},
	    {"ssh-ed25519\n" GOOD, "is no SSH public key (ssh-ed25519 AAAA…)"},
	    {"ssh-rsa " GOOD, "is a key of kind ssh-rsa; only ssh-ed25519 is supported"},
	    {"sk-ssh-ed25519@openssh.com " GOOD, "is a key of kind sk-ssh-ed25519@openssh.com; only ssh-ed25519 is supported"},
	    {"SSH-ED25519 " GOOD, "is a key of kind SSH-ED25519; only ssh-ed25519 is supported"},
	    {"\x1b[31m " GOOD, "is a key of kind unknown; only ssh-ed25519 is supported"},
	    {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
	     "is no public key but an armoured file; the public key is one line, in the file that ends in .pub"},
	    {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlY8GOXkKHB7pgF/hUw1E7iLPeQoMuwrXeQ639hQPG",
	     "is no ssh-ed25519 key: its base64 is damaged or too long"},
	    {"ssh-ed25519 " GOOD "A", "is no ssh-ed25519 key: its base64 is damaged or too long"},
	    {"ssh-ed25519 " GOOD "AAAA", "is no ssh-ed25519 key: its base64 is damaged or too long"},
	    {"ssh-ed25519 " GOOD "=", "is no ssh-ed25519 key: its base64 is damaged or too long"},
	    {"ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQAB", "is a key of kind ssh-rsa; only ssh-ed25519 is supported"},
	    {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAH5lY8GOXkKHB7pgF/hUw1E7iLPeQoMuwrXeQ639hQPGH",
	     "is no ssh-ed25519 key: its length is wrong"},
	    {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlY8GOXkKHB7pgF/hUw1E7iLPeQoMuwrXeQ639hQA==",
	     "is no ssh-ed25519 key: its length is wrong"},
	    {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlY8GOXkKHB7pgF/hUw1E7iLPeQoMuwrXeQ639hQB==",
	     "is no ssh-ed25519 key: its base64 is damaged or too long"},
	    {"ssh-ed25519 AAAA", "is no SSH key"},
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct ssh_public_key key;
		assert_refused(ssh_public_key_parse(rows[i].text, strlen(rows[i].text), &key, err), ERR_INVALID, rows[i].words);
	}
}

static void test_public_wire(void **state)
{
	(void)state;
	static const char words[] = "is no ssh-ed25519 key: its length is wrong";
	struct ssh_public_key one = public_of("one"), key;
	uint8_t wire[SSH_KEY_WIRE_BYTES + 1] = {0};

	ssh_public_key_encode(&one, wire);
	assert_refused(ssh_public_key_decode(wire, SSH_KEY_WIRE_BYTES + 1, &key, err), ERR_INVALID, words);
	assert_refused(ssh_public_key_decode(wire, SSH_KEY_WIRE_BYTES - 1, &key, err), ERR_INVALID, words);
	assert_refused(ssh_public_key_decode(wire, 3, &key, err), ERR_INVALID, "is no SSH key");
	wire[18] = 31; /* the key's own length, and the bytes fit it */
	assert_refused(ssh_public_key_decode(wire, SSH_KEY_WIRE_BYTES - 1, &key, err), ERR_INVALID, words);
}

/* private keys */

static void test_private_of_ssh_keygen(void **state)
{
	(void)state;
	static const char message[] = "message";
	cleanup_ssh_private_key struct ssh_private_key *key = private_of("one");
	struct ssh_public_key public = public_of("one"), other = public_of("two");
	uint8_t sig[64];

	assert_true(ssh_public_key_equal(ssh_private_key_public(key), &public));
	ssh_private_key_sign(key, message, sizeof(message), sig);
	assert_int_equal(crypto_sign_verify_detached(sig, (const unsigned char *)message, sizeof(message), public.bytes), 0);
	assert_int_equal(crypto_sign_verify_detached(sig, (const unsigned char *)message, sizeof(message), other.bytes), -1);
	/* Comments of all lengths: every length of padding. */
	for (size_t i = 0; i < 9; i++) {
		cleanup_ssh_private_key struct ssh_private_key *again = NULL;
		must_run("ssh-keygen -q -c -C \"$1\" -f two", &"12345678"[8 - (i < 8 ? i : 8)], NULL);
		again = private_of("two");
		assert_true(ssh_public_key_equal(ssh_private_key_public(again), &other));
	}
}

static void refuse_file(const char *script, const char *file, int code, const char *words)
{
	cleanup_free char *path = in_dir(file);
	cleanup_free char *expected = xasprintf("%s: %s", path, words);
	struct ssh_private_key *key = NULL;

	must_run(script, file, NULL);
	assert_refused(ssh_private_key_load(path, &key, err), code, expected);
	assert_null(key);
}

static void test_private_refusals(void **state)
{
	(void)state;
	static const char make[] = "is no private key in OpenSSH's own format; make one with: ssh-keygen -t ed25519 -N '' -f FILE";
	cleanup_free char *path = in_dir("lax");
	cleanup_free char *lax = xasprintf("its mode 0640 lets others in; run: chmod 0400 %s", path);

	refuse_file("ssh-keygen -q -t ed25519 -N secret -f \"$1\"", "locked", ERR_DENIED,
	            "is protected by a passphrase, which nobody is there to type; use a key without one, kept by file mode 0400");
	refuse_file("ssh-keygen -q -t rsa -N '' -f \"$1\"", "rsa", ERR_INVALID, "is a key of kind ssh-rsa; only ssh-ed25519 is supported");
	refuse_file("ssh-keygen -q -t ecdsa -N '' -f \"$1\"", "ecdsa", ERR_INVALID,
	            "is a key of kind ecdsa-sha2-nistp256; only ssh-ed25519 is supported");
	refuse_file("ssh-keygen -q -t rsa -m PEM -N '' -f \"$1\"", "pem", ERR_INVALID, make);
	refuse_file("cp one.pub \"$1\" && chmod 600 \"$1\"", "public", ERR_INVALID,
	            "is a public key; name the private one, the file without .pub");
	refuse_file("umask 077; : >\"$1\"", "empty", ERR_INVALID,
	            "is no SSH private key; make one with: ssh-keygen -t ed25519 -N '' -f FILE");
	refuse_file("cp one \"$1\" && chmod 640 \"$1\"", "lax", ERR_INVALID, lax);
	refuse_file("umask 077; head -c 16385 /dev/zero >\"$1\"", "big", ERR_INVALID,
	            "has more than 16384 bytes: it is no SSH private key");
	refuse_file("umask 077; head -n 3 one >\"$1\"", "cut", ERR_INVALID,
	            "the line \"-----END OPENSSH PRIVATE KEY-----\" is missing: it was cut off");
	refuse_file("umask 077; cat one two >\"$1\"", "both", ERR_INVALID, "there is something behind its end (line 8)");
}

/* A private key's binary form, to be damaged. */
static void binary_of(const char *name, struct buf *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	size_t len;
	read_in(name, &text);
	assert_int_equal(ssh_armour_decode(text.data, text.len, PRIVATE_LABEL, (uint8_t *)buf_room(ret, text.len), &len, NULL), 0);
	buf_grew(ret, len);
}

static int parse_binary(const struct buf *binary, struct ssh_private_key **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	ssh_armour_encode(&text, PRIVATE_LABEL, binary->data, binary->len);
	return ssh_private_key_parse(text.data, text.len, ret, err);
}

/* Whatever bit is wrong: refused, or (in the comment) the same key. Never another one, for that would sign for nobody, or give the seed away. */
static void test_private_every_bit(void **state)
{
	(void)state;
	cleanup_buf struct buf good = BUF_INIT;
	struct ssh_public_key public = public_of("one");
	size_t accepted = 0;

	binary_of("one", &good);
	for (size_t bit = 0; bit < good.len * 8; bit++) {
		cleanup_ssh_private_key struct ssh_private_key *key = NULL;
		good.data[bit / 8] = (char)(good.data[bit / 8] ^ 1 << bit % 8);
		if (parse_binary(&good, &key, NULL) == 0) {
			assert_true(ssh_public_key_equal(ssh_private_key_public(key), &public));
			accepted++;
		}
		good.data[bit / 8] = (char)(good.data[bit / 8] ^ 1 << bit % 8);
	}
	assert_int_equal(accepted, 8 * strlen("one@example"));
	for (size_t len = 0; len < good.len; len++) {
		struct buf cut = {good.data, len, 0};
		struct ssh_private_key *key = NULL;
		assert_int_equal(parse_binary(&cut, &key, NULL), -1);
	}
	buf_addc(&good, 0);
	struct ssh_private_key *key = NULL;
	assert_refused(parse_binary(&good, &key, err), ERR_INVALID, "the private key is damaged");
}

/* The halves of two keys: a library that signed with the seed of one and the public key of the other would give the seed away. */
static void test_private_of_two_halves(void **state)
{
	(void)state;
	cleanup_buf struct buf one = BUF_INIT;
	struct ssh_public_key first = public_of("one"), second = public_of("two");
	char *places[3] = {one.data, one.data, one.data};
	size_t n = 0;

	binary_of("one", &one);
	for (size_t i = 0; i + SSH_KEY_BYTES <= one.len; i++)
		if (memcmp(one.data + i, first.bytes, SSH_KEY_BYTES) == 0) {
			assert_true(n < 3);
			places[n++] = one.data + i;
		}
	assert_int_equal(n, 3); /* outside, in the private section, behind the seed */
	for (unsigned which = 1; which < 8; which++) {
		struct ssh_private_key *key = NULL;
		for (size_t i = 0; i < 3; i++)
			memcpy(places[i], (which >> i & 1 ? second : first).bytes, SSH_KEY_BYTES);
		assert_refused(parse_binary(&one, &key, err), ERR_INVALID,
		               "the private key is damaged: its two halves do not belong together");
	}
}

/* Both ssh-keygen and we read a key that we made, it is the same one, and no two are. */
static void test_made(void **state)
{
	struct ssh_public_key public, other;
	cleanup_ssh_private_key struct ssh_private_key *key = NULL;
	cleanup_free char *listed = NULL;
	char *text, *more, fingerprint[SSH_FINGERPRINT_ROOM];
	size_t len;

	(void)state;
	assert_int_equal(ssh_keygen("disinto", &more, &len, &other, NULL), 0);
	sodium_free(more);
	assert_int_equal(ssh_keygen("disinto at home", &text, &len, &public, NULL), 0);
	assert_false(ssh_public_key_equal(&public, &other));
	assert_int_equal(ssh_private_key_parse(text, len, &key, NULL), 0);
	assert_true(ssh_public_key_equal(ssh_private_key_public(key), &public));
	write_in("made", text, len);
	sodium_free(text);
	listed = output_of("ssh-keygen -lf \"$1\" | cut -d' ' -f2-5 | tr -d '\\n'; ssh-keygen -yf \"$1\" | cut -c1-12", "made", NULL);
	cleanup_free char *wanted = xasprintf("%s disinto at homessh-ed25519 ", ssh_fingerprint(&public, fingerprint));
	assert_string_equal(listed, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_public_of_ssh_keygen),
	    cmocka_unit_test(test_public_forms),
	    cmocka_unit_test(test_public_refusals),
	    cmocka_unit_test(test_public_wire),
	    cmocka_unit_test(test_private_of_ssh_keygen),
	    cmocka_unit_test(test_private_refusals),
	    cmocka_unit_test(test_private_every_bit),
	    cmocka_unit_test(test_private_of_two_halves),
	    cmocka_unit_test(test_made),
	};
	return cmocka_run_group_tests_name("ssh_key", tests, setup, end_dir);
}
