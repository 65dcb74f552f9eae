/*
 * age v1 files (https://age-encryption.org/v1) with X25519 recipients, on libsodium. Binary and armoured files are
 * read; binary ones are written. Plaintext and keys live in sodium_malloc'ed memory.
 *
 * A file that is made for a secret carries two more stanzas, which other programs ignore and the header's MAC protects:
 *   -> disinto-name NAME            the secret that it holds; it opens under no other name
 *   -> disinto-recipients DIGEST    whom it is encrypted to (age_recipients_digest), so that `rotate` can tell what is up to date
 * Each has an empty body.
 */
#ifndef VAULT_AGE_H
#define VAULT_AGE_H

#include "lib/buf.h"
#include "lib/err.h"
#include "vault/name.h"
#include <stdbool.h>
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

#define AGE_RECIPIENTS_MAX 254

/* SHA-256 of the public keys, each once, in order; in base64. Neither order nor repetition of the list matters. */
#define AGE_DIGEST_ROOM 44
void age_recipients_digest(const struct age_recipients *r, char ret[static AGE_DIGEST_ROOM]);

/*
 * Encrypts to every recipient (1 to AGE_RECIPIENTS_MAX) as the secret `name` (NULL: as a file that belongs to no name, as the age program makes
 * them); appends the binary file to `ret`.
 */
int age_encrypt(const struct age_recipients *to, const char *name, const unsigned char *plain, size_t len, struct buf *ret,
                struct err *err);

/*
 * Decrypts at most max bytes of the secret `name`; NULL: the name does not matter, since what comes out is not used as a secret. *ret_plain is
 * sodium_malloc'ed (caller sodium_frees), published only after the last chunk verified. ERR_INVALID: not an age file, damaged, too large, or
 * encrypted as another name ("was encrypted as PROD; …"); ERR_DENIED: none of the identities opens it (the message says for how many
 * recipients it is). A file without a name opens under every name: whose it is, only history can tell (vault/ops/ops_names.h).
 */
int age_decrypt(const struct age_identities *ids, const char *name, const void *file, size_t len, size_t max, unsigned char **ret_plain,
                size_t *ret_len, struct err *err);

/* What can be told of an age file without opening it. Nothing of it is proven before age_decrypt has opened the same bytes. */
#define AGE_FINGERPRINT_ROOM 97
struct age_facts {
	char name[VAULT_SECRET_MAX + 1];        /* the secret that it was encrypted as; "": it does not say */
	char digest[AGE_DIGEST_ROOM];           /* of its recipients; "": it does not say */
	char fingerprint[AGE_FINGERPRINT_ROOM]; /* header MAC and payload nonce in hex: of a ciphertext, however it is armoured */
	size_t n_recipients;
};
/* ERR_INVALID: no age file, or one whose disinto-name is malformed or there twice. */
int age_examine(const void *file, size_t len, struct age_facts *ret, struct err *err);

/* The sentence for a secret that is used under another name than `name`, behind its path. Returns -1 with ERR_INVALID. */
int age_name_refused(const char *file_name, const char *name, struct err *err);

#endif
