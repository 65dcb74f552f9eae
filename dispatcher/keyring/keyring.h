/*
 * The keyring role's parts. keyring.c holds the identity and answers core; decrypt.c makes ciphertexts into frames; seal.c takes
 * away from the process what it needs no more.
 */
#ifndef DISPATCHER_KEYRING_KEYRING_H
#define DISPATCHER_KEYRING_KEYRING_H

#include "lib/err.h"
#include "vault/age/age.h"
#include <jansson.h>
#include <stddef.h>

#define KEYRING_SECRETS_MAX 32
#define KEYRING_IDENTITY_MAX 65536 /* bytes of an identity file */

/* Frames with secrets, in guarded memory. */
struct keyring_frames {
	char *data;
	size_t len;
	size_t count; /* ciphertexts that were decrypted: always the number of names */
};
void keyring_frames_free(struct keyring_frames *f); /* wipes */

/*
 * Decrypts exactly the named ciphertexts, {NAME: {blob, age: base64}}, and makes the frames that the engine role passes on to the runner: all of
 * them or none. ERR_INVALID: a file is wrong and stays wrong ("vault/secrets/<NAME>.age: …"); any other: this dispatcher can't open it.
 * ids may be NULL: no_identity says why.
 */
int keyring_decrypt(const struct age_identities *ids, const char *no_identity, const json_t *secrets, struct keyring_frames *ret,
                    struct err *err);

/* Writes all to a pipe whose reader may be slow; ERR_TIMEOUT after timeout_ms, ERR_UNREACHABLE when the reader went away. */
int keyring_deliver(int fd, const struct keyring_frames *f, int timeout_ms, struct err *err);

/* From here on the process opens no file, makes no socket, starts no process and traces none. */
int keyring_seal(struct err *err);

#endif
