/* New keys, written as OpenSSH writes its own (PROTOCOL.key). */
#include "vault/ssh/ssh_key.h"

#include "lib/cleanup.h"
#include "vault/ssh/ssh_wire.h"
#include <sodium.h>
#include <string.h>

#define LABEL "OPENSSH PRIVATE KEY"
#define MAGIC "openssh-key-v1" /* its NUL belongs to it */
#define BLOCK 8
#define ROOM 4096 /* more than any of the buffers needs, so that none is moved and leaves something behind */

static void put_text(struct buf *to, const char *text)
{
	ssh_put_string(to, text, strlen(text));
}

/* What a passphrase would cover. */
static void put_section(struct buf *to, const uint8_t *public, const uint8_t *secret, const char *comment)
{
	uint32_t check = randombytes_random();

	ssh_put_u32(to, check);
	ssh_put_u32(to, check);
	put_text(to, SSH_ED25519);
	ssh_put_string(to, public, SSH_KEY_BYTES);
	ssh_put_string(to, secret, crypto_sign_SECRETKEYBYTES);
	put_text(to, comment);
	for (char pad = 1; to->len % BLOCK != 0; pad++)
		buf_addc(to, pad);
}

static void put_file(struct buf *to, const struct ssh_public_key *public, const struct buf *section)
{
	uint8_t wire[SSH_KEY_WIRE_BYTES];

	ssh_public_key_encode(public, wire);
	buf_add(to, MAGIC, sizeof(MAGIC));
	put_text(to, "none");
	put_text(to, "none");
	put_text(to, "");
	ssh_put_u32(to, 1);
	ssh_put_string(to, wire, sizeof(wire));
	ssh_put_string(to, section->data, section->len);
}

static void wipe(struct buf *b)
{
	sodium_memzero(b->data, b->len);
	buf_free(b);
}

int ssh_keygen(const char *comment, char **ret_text, size_t *ret_len, struct ssh_public_key *ret_public, struct err *err)
{
	__attribute__((cleanup(wipe))) struct buf section = BUF_INIT, file = BUF_INIT, text = BUF_INIT;
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	char *guarded;

	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "libsodium does not start");
	if (strlen(comment) > SSH_KEY_COMMENT_MAX)
		return err_set(err, ERR_INVALID, "a key's comment has at most %d bytes", SSH_KEY_COMMENT_MAX);
	buf_room(&section, ROOM);
	buf_room(&file, ROOM);
	buf_room(&text, ROOM);
	crypto_sign_keypair(ret_public->bytes, secret);
	put_section(&section, ret_public->bytes, secret, comment);
	sodium_memzero(secret, sizeof(secret));
	put_file(&file, ret_public, &section);
	ssh_armour_encode(&text, LABEL, file.data, file.len);
	guarded = sodium_malloc(text.len);
	if (!guarded)
		return err_set(err, ERR_FAIL, "no guarded memory for a private key");
	memcpy(guarded, text.data, text.len);
	*ret_text = guarded;
	*ret_len = text.len;
	return 0;
}
