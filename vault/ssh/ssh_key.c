/* OpenSSH's ed25519 keys. See ssh_key.h. */
#include "vault/ssh/ssh_key.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/ssh/ssh_wire.h"
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define PRIVATE_LABEL "OPENSSH PRIVATE KEY"
#define PRIVATE_MAGIC "openssh-key-v1" /* its NUL belongs to it */
#define PRIVATE_BLOCK 8                /* what the private section is padded to without a cipher */
#define TEXT_ROOM 72                   /* base64 of SSH_KEY_WIRE_BYTES, with NUL; they need no padding */

struct ssh_private_key {
	uint8_t secret[crypto_sign_SECRETKEYBYTES]; /* seed and public key, as libsodium has them */
	struct ssh_public_key public;
};

int ssh_public_key_decode(const void *wire, size_t len, struct ssh_public_key *ret, struct err *err)
{
	struct ssh_slice rest = {wire, len}, type, key;
	char shown[65];

	if (!ssh_take_string(&rest, &type))
		return err_set(err, ERR_INVALID, "is no SSH key");
	if (!ssh_slice_is(type, SSH_ED25519))
		return err_set(err, ERR_INVALID, "is a key of kind %s; only " SSH_ED25519 " is supported", ssh_shown_name(type, shown));
	if (!ssh_take_string(&rest, &key) || key.len != SSH_KEY_BYTES || rest.len > 0)
		return err_set(err, ERR_INVALID, "is no " SSH_ED25519 " key: its length is wrong");
	memcpy(ret->bytes, key.p, SSH_KEY_BYTES);
	return 0;
}

void ssh_public_key_encode(const struct ssh_public_key *key, uint8_t ret[static SSH_KEY_WIRE_BYTES])
{
	static const uint8_t head[] = "\0\0\0\x0b" SSH_ED25519 "\0\0\0\x20"; /* 11 and 32 bytes follow */
	_Static_assert(sizeof(head) - 1 + SSH_KEY_BYTES == SSH_KEY_WIRE_BYTES, "two strings with their lengths");

	memcpy(ret, head, sizeof(head) - 1);
	memcpy(ret + sizeof(head) - 1, key->bytes, SSH_KEY_BYTES);
}

char *ssh_public_key_text(const struct ssh_public_key *key)
{
	uint8_t wire[SSH_KEY_WIRE_BYTES];
	char base64[TEXT_ROOM];

	ssh_public_key_encode(key, wire);
	sodium_bin2base64(base64, sizeof(base64), wire, sizeof(wire), sodium_base64_VARIANT_ORIGINAL);
	return xasprintf(SSH_ED25519 " %s", base64);
}

bool ssh_public_key_equal(const struct ssh_public_key *a, const struct ssh_public_key *b)
{
	return memcmp(a->bytes, b->bytes, SSH_KEY_BYTES) == 0; /* public: nothing to hide */
}

static bool is_any(char c, const char *of)
{
	return memchr(of, c, strlen(of)) != NULL;
}

static struct ssh_slice take_word(const char *text, size_t len, size_t *at)
{
	size_t begin, end;
	for (begin = *at; begin < len && is_any(text[begin], " \t"); begin++)
		;
	for (end = begin; end < len && !is_any(text[end], " \t\r\n"); end++)
		;
	*at = end;
	return (struct ssh_slice){(const uint8_t *)text + begin, end - begin};
}

int ssh_public_key_parse(const char *text, size_t len, struct ssh_public_key *ret, struct err *err)
{
	size_t at = 0, wire_len;
	struct ssh_slice type = take_word(text, len, &at), base64 = take_word(text, len, &at);
	uint8_t wire[SSH_KEY_WIRE_BYTES];
	const char *stop = NULL;
	char shown[65];

	if (type.len >= 5 && memcmp(type.p, "-----", 5) == 0)
		return err_set(err, ERR_INVALID,
		               "is no public key but an armoured file; the public key is one line, in the file that ends in .pub");
	if (base64.len == 0)
		return err_set(err, ERR_INVALID, "is no SSH public key (" SSH_ED25519 " AAAA…)");
	if (!ssh_slice_is(type, SSH_ED25519))
		return err_set(err, ERR_INVALID, "is a key of kind %s; only " SSH_ED25519 " is supported", ssh_shown_name(type, shown));
	if (sodium_base642bin(wire, sizeof(wire), (const char *)base64.p, base64.len, NULL, &wire_len, &stop,
	                      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    stop != (const char *)base64.p + base64.len)
		return err_set(err, ERR_INVALID, "is no " SSH_ED25519 " key: its base64 is damaged or too long");
	return ssh_public_key_decode(wire, wire_len, ret, err);
}

const char *ssh_fingerprint(const struct ssh_public_key *key, char buf[static SSH_FINGERPRINT_ROOM])
{
	static const char prefix[] = "SHA256:";
	uint8_t wire[SSH_KEY_WIRE_BYTES], hash[crypto_hash_sha256_BYTES];

	ssh_public_key_encode(key, wire);
	crypto_hash_sha256(hash, wire, sizeof(wire));
	memcpy(buf, prefix, sizeof(prefix));
	sodium_bin2base64(buf + sizeof(prefix) - 1, SSH_FINGERPRINT_ROOM - (sizeof(prefix) - 1), hash, sizeof(hash),
	                  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	return buf;
}

/* private keys */

static int cut_off(struct err *err)
{
	return err_set(err, ERR_INVALID, "the private key is damaged");
}

/* 1, 2, 3, … up to the next whole block; less than a block. */
static bool is_padding(struct ssh_slice rest, size_t section)
{
	if (rest.len >= PRIVATE_BLOCK || section % PRIVATE_BLOCK != 0)
		return false;
	for (size_t i = 0; i < rest.len; i++)
		if (rest.p[i] != i + 1)
			return false;
	return true;
}

/* The part that a passphrase would cover: two equal numbers, kind, public key, seed and public key, comment, padding. */
static int take_secret(struct ssh_slice section, struct ssh_private_key *ret, struct err *err)
{
	struct ssh_slice rest = section, public, secret, comment;
	uint32_t check1, check2;

	if (!ssh_take_u32(&rest, &check1) || !ssh_take_u32(&rest, &check2) || check1 != check2)
		return cut_off(err);
	if (!ssh_take_text(&rest, SSH_ED25519) || !ssh_take_string(&rest, &public) || public.len != SSH_KEY_BYTES ||
	    !ssh_take_string(&rest, &secret) || secret.len != sizeof(ret->secret) || !ssh_take_string(&rest, &comment) ||
	    !is_padding(rest, section.len))
		return cut_off(err);
	/* The seed alone counts: with a public key that is not its own, a signature would give the seed away. */
	crypto_sign_seed_keypair(ret->public.bytes, ret->secret, secret.p);
	if (sodium_memcmp(ret->secret, secret.p, sizeof(ret->secret)) != 0 || memcmp(ret->public.bytes, public.p, SSH_KEY_BYTES) != 0)
		return err_set(err, ERR_INVALID, "the private key is damaged: its two halves do not belong together");
	return 0;
}

static int decode_private(struct ssh_slice file, struct ssh_private_key *ret, struct err *err)
{
	struct ssh_slice cipher, kdf, options, wire, section;
	struct ssh_public_key public;
	uint32_t keys;

	if (!ssh_take_bytes(&file, PRIVATE_MAGIC, sizeof(PRIVATE_MAGIC)) || !ssh_take_string(&file, &cipher) ||
	    !ssh_take_string(&file, &kdf) || !ssh_take_string(&file, &options) || !ssh_take_u32(&file, &keys) || keys != 1 ||
	    !ssh_take_string(&file, &wire) || !ssh_take_string(&file, &section) || file.len > 0)
		return cut_off(err);
	if (ssh_public_key_decode(wire.p, wire.len, &public, err) < 0)
		return -1;
	if (!ssh_slice_is(cipher, "none"))
		return err_set(
		    err, ERR_DENIED,
		    "is protected by a passphrase, which nobody is there to type; use a key without one, kept by file mode 0400");
	if (!ssh_slice_is(kdf, "none") || options.len > 0)
		return cut_off(err);
	if (take_secret(section, ret, err) < 0)
		return -1;
	return ssh_public_key_equal(&public, &ret->public)
	           ? 0
	           : err_set(err, ERR_INVALID, "the private key is damaged: its two halves do not belong together");
}

static void free_guarded(void *p)
{
	sodium_free(*(void **)p);
}
#define cleanup_guarded __attribute__((cleanup(free_guarded)))

/* Armour without which an own sentence helps more than "does not begin with". */
static int check_kind(const char *text, size_t len, struct err *err)
{
	static const char openssh[] = "-----BEGIN " PRIVATE_LABEL "-----", pem[] = "-----BEGIN ", public[] = "ssh-";

	if (len >= sizeof(openssh) - 1 && memcmp(text, openssh, sizeof(openssh) - 1) == 0)
		return 0;
	if (len >= sizeof(pem) - 1 && memcmp(text, pem, sizeof(pem) - 1) == 0)
		return err_set(err, ERR_INVALID,
		               "is no private key in OpenSSH's own format; make one with: ssh-keygen -t ed25519 -N '' -f FILE");
	if (len >= sizeof(public) - 1 && memcmp(text, public, sizeof(public) - 1) == 0)
		return err_set(err, ERR_INVALID, "is a public key; name the private one, the file without .pub");
	return err_set(err, ERR_INVALID, "is no SSH private key; make one with: ssh-keygen -t ed25519 -N '' -f FILE");
}

int ssh_private_key_parse(const char *text, size_t len, struct ssh_private_key **ret, struct err *err)
{
	cleanup_guarded uint8_t *binary = NULL;
	cleanup_ssh_private_key struct ssh_private_key *key = NULL;
	size_t binary_len;

	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "libsodium does not start");
	if (check_kind(text, len, err) < 0)
		return -1;
	binary = sodium_malloc(len);
	key = sodium_malloc(sizeof(*key));
	if (!binary || !key)
		return err_set(err, ERR_FAIL, "no guarded memory for a private key");
	if (ssh_armour_decode(text, len, PRIVATE_LABEL, binary, &binary_len, err) < 0 ||
	    decode_private((struct ssh_slice){binary, binary_len}, key, err) < 0)
		return -1;
	sodium_mprotect_readonly(key);
	*ret = steal_ptr(&key);
	return 0;
}

static int read_guarded(int fd, char *text, size_t room, size_t *ret_len, struct err *err)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = pread(fd, text + len, room - len, (off_t)len);
		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "can't be read");
		len += n > 0 ? (size_t)n : 0;
	} while (n != 0 && len < room);
	if (len == room)
		return err_set(err, ERR_INVALID, "has more than %d bytes: it is no SSH private key", SSH_KEY_FILE_MAX);
	*ret_len = len;
	return 0;
}

int ssh_private_key_read(int fd, struct ssh_private_key **ret, struct err *err)
{
	cleanup_guarded char *text = NULL;
	size_t len;

	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "libsodium does not start");
	text = sodium_malloc(SSH_KEY_FILE_MAX + 1);
	if (!text)
		return err_set(err, ERR_FAIL, "no guarded memory for a private key");
	if (read_guarded(fd, text, SSH_KEY_FILE_MAX + 1, &len, err) < 0)
		return -1;
	return ssh_private_key_parse(text, len, ret, err);
}

int ssh_private_key_load(const char *path, struct ssh_private_key **ret, struct err *err)
{
	cleanup_fd int fd = -1;

	if (secret_open(path, &fd, err) < 0)
		return -1;
	return ssh_private_key_read(fd, ret, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

void ssh_private_key_free(struct ssh_private_key *key)
{
	sodium_free(key); /* wipes; takes NULL */
}

const struct ssh_public_key *ssh_private_key_public(const struct ssh_private_key *key)
{
	return &key->public;
}

void ssh_private_key_sign(const struct ssh_private_key *key, const void *message, size_t len, uint8_t ret[static 64])
{
	crypto_sign_detached(ret, NULL, message, len, key->secret);
}
