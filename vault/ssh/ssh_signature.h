/*
 * SSH signatures (OpenSSH's PROTOCOL.sshsig) by ed25519 keys, as `ssh-keygen -Y sign` and git make them and `ssh-keygen -Y verify` takes them.
 */
#ifndef VAULT_SSH_SIGNATURE_H
#define VAULT_SSH_SIGNATURE_H

#include "lib/buf.h"
#include "lib/err.h"
#include "vault/ssh/ssh_key.h"

#define SSH_NAMESPACE_GIT "git"
#define SSH_SIGNATURE_MAX 4096 /* bytes of armour; one of an ed25519 key has about 300 */

enum ssh_hash { SSH_HASH_SHA256, SSH_HASH_SHA512 };

/* As parsed: nothing is verified yet. */
struct ssh_signature {
	struct ssh_public_key key; /* who claims to have signed */
	enum ssh_hash hash;
	uint8_t bytes[64];
};

/*
 * Reads one armoured signature that was made for `namespace`. Strict: one armour and nothing around it, canonical base64, version 1, no reserved data, hash sha256 or
 * sha512, key and signature of kind ssh-ed25519, no byte left over. ERR_INVALID says which.
 */
int ssh_signature_parse(const char *armour, size_t len, const char *namespace, struct ssh_signature *ret, struct err *err);

/* Whether sig->key signed this message in this namespace. ERR_INVALID: it did not. That the key may speak is for the caller to know. */
int ssh_signature_verify(const struct ssh_signature *sig, const char *namespace, const void *message, size_t len, struct err *err);

/* Signs with sha512, as git does; appends the armour with its last newline. */
void ssh_sign(const struct ssh_private_key *key, const char *namespace, const void *message, size_t len, struct buf *ret);

#endif
