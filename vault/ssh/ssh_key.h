/*
 * OpenSSH's ed25519 keys: public ones as in ~/.ssh/id_ed25519.pub, private ones as `ssh-keygen -t ed25519 -N ''` writes them. Other kinds of
 * keys are refused by name. Formats: RFC 4253 section 6.6, RFC 8709, OpenSSH's PROTOCOL.key.
 */
#ifndef VAULT_SSH_KEY_H
#define VAULT_SSH_KEY_H

#include "lib/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSH_KEY_BYTES 32
#define SSH_KEY_WIRE_BYTES 51
#define SSH_KEY_FILE_MAX 16384

struct ssh_public_key {
	uint8_t bytes[SSH_KEY_BYTES];
};

/*
 * Reads "ssh-ed25519 AAAA… [comment]", with or without a newline at the end. ERR_INVALID: no such key, damaged, not in canonical base64, or of another kind
 * (the message says which).
 */
int ssh_public_key_parse(const char *text, size_t len, struct ssh_public_key *ret, struct err *err);
/* The same for the wire form, exactly SSH_KEY_WIRE_BYTES bytes. */
int ssh_public_key_decode(const void *wire, size_t len, struct ssh_public_key *ret, struct err *err);
void ssh_public_key_encode(const struct ssh_public_key *key, uint8_t ret[static SSH_KEY_WIRE_BYTES]);
/* "ssh-ed25519 AAAA…", without a newline. Caller frees. */
char *ssh_public_key_text(const struct ssh_public_key *key);
bool ssh_public_key_equal(const struct ssh_public_key *a, const struct ssh_public_key *b);

/* "SHA256:…" as ssh-keygen -l shows it. Returns buf. */
#define SSH_FINGERPRINT_ROOM 51
const char *ssh_fingerprint(const struct ssh_public_key *key, char buf[static SSH_FINGERPRINT_ROOM]);

/* Lives in guarded memory (sodium_malloc), read-only. */
struct ssh_private_key;

/*
 * Reads an unencrypted private key (-----BEGIN OPENSSH PRIVATE KEY-----). ERR_DENIED: it is protected by a passphrase. ERR_INVALID: it is damaged, of another kind
 * or in another format. No message holds anything of the key. `text` is best in guarded memory too; it is the caller's to wipe.
 */
int ssh_private_key_parse(const char *text, size_t len, struct ssh_private_key **ret, struct err *err);
/* The same from a file, which nobody else may read (secret_open), without a copy outside of guarded memory. Messages begin with the path. */
int ssh_private_key_load(const char *path, struct ssh_private_key **ret, struct err *err);
/* The same from a file that is open, from its first byte on wherever it stands. */
int ssh_private_key_read(int fd, struct ssh_private_key **ret, struct err *err);
/* Wipes. Takes NULL. */
void ssh_private_key_free(struct ssh_private_key *key);
static inline void ssh_private_key_cleanup_(struct ssh_private_key **key)
{
	ssh_private_key_free(*key);
}
#define cleanup_ssh_private_key __attribute__((cleanup(ssh_private_key_cleanup_)))

/* A new key, unencrypted, as ssh-keygen writes it to its file. *ret_text is guarded memory (caller sodium_frees). */
#define SSH_KEY_COMMENT_MAX 255
int ssh_keygen(const char *comment, char **ret_text, size_t *ret_len, struct ssh_public_key *ret_public, struct err *err);

/* Borrowed. */
const struct ssh_public_key *ssh_private_key_public(const struct ssh_private_key *key);
/* The bare ed25519 signature (RFC 8032) of a message. */
void ssh_private_key_sign(const struct ssh_private_key *key, const void *message, size_t len, uint8_t ret[static 64]);

#endif
