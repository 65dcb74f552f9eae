/* SSH signatures. See ssh_signature.h; the sections that comments name are those of PROTOCOL.sshsig. */
#include "vault/ssh/ssh_signature.h"

#include "lib/cleanup.h"
#include "vault/ssh/ssh_wire.h"
#include <sodium.h>
#include <string.h>

#define LABEL "SSH SIGNATURE"
#define MAGIC "SSHSIG" /* without its NUL */
#define VERSION 1

static const char *const hash_names[] = {[SSH_HASH_SHA256] = "sha256", [SSH_HASH_SHA512] = "sha512"};

static int truncated(struct err *err)
{
	return err_set(err, ERR_INVALID, "SSH signature: is damaged");
}

/* Section "Blob format", up to and with the namespace. */
static int take_head(struct ssh_slice *blob, const char *namespace, struct ssh_signature *ret, struct err *err)
{
	struct ssh_slice key, scope;
	uint32_t version;
	char shown[65];

	if (!ssh_take_bytes(blob, MAGIC, strlen(MAGIC)) || !ssh_take_u32(blob, &version))
		return truncated(err);
	if (version != VERSION)
		return err_set(err, ERR_INVALID, "SSH signature: is of version %u; only %d is known", version, VERSION);
	if (!ssh_take_string(blob, &key))
		return truncated(err);
	if (ssh_public_key_decode(key.p, key.len, &ret->key, err) < 0)
		return err_wrap(err, "SSH signature: its key");
	if (!ssh_take_string(blob, &scope))
		return truncated(err);
	if (!ssh_slice_is(scope, namespace))
		return err_set(err, ERR_INVALID, "SSH signature: was made for the namespace %s, not %s", ssh_shown_name(scope, shown),
		               namespace);
	return 0;
}

/* The rest: reserved, hash, and the signature proper. */
static int take_tail(struct ssh_slice *blob, struct ssh_signature *ret, struct err *err)
{
	struct ssh_slice reserved, hash, sig, bytes;
	char shown[65];

	if (!ssh_take_string(blob, &reserved) || !ssh_take_string(blob, &hash))
		return truncated(err);
	if (reserved.len > 0)
		return err_set(err, ERR_INVALID, "SSH signature: has reserved data that nobody understands");
	if (ssh_slice_is(hash, hash_names[SSH_HASH_SHA256]))
		ret->hash = SSH_HASH_SHA256;
	else if (ssh_slice_is(hash, hash_names[SSH_HASH_SHA512]))
		ret->hash = SSH_HASH_SHA512;
	else
		return err_set(err, ERR_INVALID, "SSH signature: its hash is %s; sha256 and sha512 are allowed",
		               ssh_shown_name(hash, shown));
	if (!ssh_take_string(blob, &sig) || blob->len > 0 || !ssh_take_text(&sig, SSH_ED25519) || !ssh_take_string(&sig, &bytes) ||
	    bytes.len != sizeof(ret->bytes) || sig.len > 0)
		return truncated(err);
	memcpy(ret->bytes, bytes.p, sizeof(ret->bytes));
	return 0;
}

int ssh_signature_parse(const char *armour, size_t len, const char *namespace, struct ssh_signature *ret, struct err *err)
{
	uint8_t binary[SSH_SIGNATURE_MAX];
	struct ssh_slice blob = {binary, 0};
	struct ssh_signature sig;

	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "libsodium does not start");
	if (len > SSH_SIGNATURE_MAX)
		return err_set(err, ERR_INVALID, "SSH signature: has %zu bytes; at most %d are allowed", len, SSH_SIGNATURE_MAX);
	if (ssh_armour_decode(armour, len, LABEL, binary, &blob.len, err) < 0)
		return err_wrap(err, "SSH signature");
	if (take_head(&blob, namespace, &sig, err) < 0 || take_tail(&blob, &sig, err) < 0)
		return -1;
	*ret = sig;
	return 0;
}

/* Section "Signed Data": what the key signs in place of the message. */
static void signed_data(const char *namespace, enum ssh_hash hash, const void *message, size_t len, struct buf *ret)
{
	uint8_t digest[crypto_hash_sha512_BYTES];
	size_t digest_len = hash == SSH_HASH_SHA512 ? crypto_hash_sha512_BYTES : crypto_hash_sha256_BYTES;

	if (hash == SSH_HASH_SHA512)
		crypto_hash_sha512(digest, message, len);
	else
		crypto_hash_sha256(digest, message, len);
	buf_adds(ret, MAGIC);
	ssh_put_string(ret, namespace, strlen(namespace));
	ssh_put_string(ret, "", 0);
	ssh_put_string(ret, hash_names[hash], strlen(hash_names[hash]));
	ssh_put_string(ret, digest, digest_len);
}

int ssh_signature_verify(const struct ssh_signature *sig, const char *namespace, const void *message, size_t len, struct err *err)
{
	cleanup_buf struct buf data = BUF_INIT;

	signed_data(namespace, sig->hash, message, len, &data);
	if (crypto_sign_verify_detached(sig->bytes, (const unsigned char *)data.data, data.len, sig->key.bytes) != 0)
		return err_set(err, ERR_INVALID, "SSH signature: does not fit: the bytes were changed, or another key signed them");
	return 0;
}

void ssh_sign(const struct ssh_private_key *key, const char *namespace, const void *message, size_t len, struct buf *ret)
{
	cleanup_buf struct buf data = BUF_INIT;
	cleanup_buf struct buf sig = BUF_INIT;
	cleanup_buf struct buf blob = BUF_INIT;
	uint8_t wire[SSH_KEY_WIRE_BYTES], bytes[64];

	signed_data(namespace, SSH_HASH_SHA512, message, len, &data);
	ssh_private_key_sign(key, data.data, data.len, bytes);
	ssh_put_string(&sig, SSH_ED25519, strlen(SSH_ED25519));
	ssh_put_string(&sig, bytes, sizeof(bytes));

	ssh_public_key_encode(ssh_private_key_public(key), wire);
	buf_adds(&blob, MAGIC);
	ssh_put_u32(&blob, VERSION);
	ssh_put_string(&blob, wire, sizeof(wire));
	ssh_put_string(&blob, namespace, strlen(namespace));
	ssh_put_string(&blob, "", 0);
	ssh_put_string(&blob, hash_names[SSH_HASH_SHA512], strlen(hash_names[SSH_HASH_SHA512]));
	ssh_put_string(&blob, sig.data, sig.len);
	ssh_armour_encode(ret, LABEL, blob.data, blob.len);
}
