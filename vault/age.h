/*
 * age v1 files (https://age-encryption.org/v1) with X25519 recipients, on libsodium. Binary and armoured files are
 * read; binary ones are written. Plaintext and keys live in sodium_malloc'ed memory.
 */
#ifndef VAULT_AGE_H
#define VAULT_AGE_H

#include "lib/buf.h"
#include "lib/err.h"
#include <stddef.h>
#include <stdint.h>

/* Set of identities (private keys), in guarded memory. */
struct age_identities;
/* Parses an identity file: comments, blank lines, AGE-SECRET-KEY-1… lines. `where` names it in messages; the key never is in one. */
int age_identities_parse(const char *text, size_t len, const char *where, struct age_identities **ret, struct err *err);
void age_identities_free(struct age_identities *ids);
size_t age_identities_count(const struct age_identities *ids);

/* The recipient ("age1…", 62 characters) of identity i, for messages and recipients.txt. Caller frees. */
char *age_identity_recipient(const struct age_identities *ids, size_t i);

/* A new identity file text: "# created: …\n# public key: age1…\nAGE-SECRET-KEY-1…\n", in guarded memory of *ret_len bytes (sodium_free). */
int age_keygen(char **ret_text, size_t *ret_len, char **ret_recipient, struct err *err);

struct age_recipients {
	uint8_t (*keys)[32];
	size_t n;
};
/* Parses recipients.txt: comments, blank lines, age1… lines. ERR_INVALID names the line. */
int age_recipients_parse(const char *text, size_t len, const char *where, struct age_recipients *ret, struct err *err);
void age_recipients_free(struct age_recipients *r);

/* Encrypts to every recipient; appends the binary file to `ret`. */
int age_encrypt(const struct age_recipients *to, const unsigned char *plain, size_t len, struct buf *ret, struct err *err);

/*
 * Decrypts at most max bytes. *ret_plain is sodium_malloc'ed (caller sodium_frees), published only after the last chunk verified.
 * ERR_INVALID: not an age file, damaged, or too large; ERR_DENIED: none of the identities opens it (the message says for how
 * many recipients it is).
 */
int age_decrypt(const struct age_identities *ids, const void *file, size_t len, size_t max, unsigned char **ret_plain, size_t *ret_len,
                struct err *err);

#endif
