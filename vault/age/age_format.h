/*
 * The insides of age files, for vault/age/age*.c, their tests and their fuzz target; everybody else includes vault/age/age.h.
 * Section names are those of https://age-encryption.org/v1.
 */
#ifndef VAULT_AGE_FORMAT_H
#define VAULT_AGE_FORMAT_H

#include "lib/buf.h"
#include "lib/err.h"
#include "vault/age/age.h"
#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGE_VERSION_LINE "age-encryption.org/v1\n"
#define AGE_NAME_TYPE "disinto-name"
#define AGE_RECIPIENTS_TYPE "disinto-recipients"
#define AGE_X25519_LABEL "age-encryption.org/v1/X25519"
#define AGE_FILE_KEY 16
#define AGE_WRAPPED (AGE_FILE_KEY + crypto_aead_chacha20poly1305_ietf_ABYTES)
#define AGE_NONCE 16 /* of the payload, at its beginning */
#define AGE_HEADER_MAX 65536
#define AGE_STANZAS_MAX 256
#define AGE_BODY_KEPT 64 /* bytes of a stanza's body that are kept; those we open have 32 */

/* Part of a text that somebody else owns; no NUL behind it. */
struct age_slice {
	const char *p;
	size_t len;
};
bool age_slice_is(struct age_slice s, const char *text);

struct age_stanza {
	struct age_slice type;
	struct age_slice args; /* behind the type, separated by single spaces; empty without any */
	uint8_t body[AGE_BODY_KEPT];
	size_t body_len; /* whole, also where less is kept */
};

/* A header as parsed: slices point into the file. */
struct age_header {
	struct age_stanza *stanzas; /* owned */
	size_t n_stanzas;
	struct age_slice mac_text; /* what the MAC covers: up to and with "---" */
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	size_t len; /* of the header with its last newline: where the payload begins */
};
#define AGE_HEADER_INIT \
	{ \
		.stanzas = NULL \
	}

/* Parses the header at the beginning of a binary file. ERR_INVALID "age header: …". */
int age_header_parse(const unsigned char *file, size_t len, struct age_header *ret, struct err *err);
void age_header_free(struct age_header *h);
#define cleanup_age_header __attribute__((cleanup(age_header_free)))

/* The arguments must be n values in canonical base64 without padding; the i-th is the slice at ret[i]. -1: another number. */
int age_stanza_args(const struct age_stanza *s, struct age_slice *ret, size_t n);
/*
 * Canonical base64 (RFC 4648). `variant` as in libsodium; age_base64_decode is without padding and gives exactly ret_len bytes.
 */
int age_base64_any(struct age_slice text, int variant, uint8_t *ret, size_t max, size_t *ret_len);
int age_base64_decode(struct age_slice text, uint8_t *ret, size_t ret_len);

/* A stanza with one body of at most 47 bytes, which is one line. */
void age_header_add_stanza(struct buf *out, const char *type, const uint8_t *arg, size_t arg_len, const uint8_t *body, size_t body_len);
/* A stanza with one argument that is text as it is, and an empty body. */
void age_header_add_label(struct buf *out, const char *type, const char *arg);
/* " ", the MAC and the newline that end a header, behind "---". */
void age_header_add_mac(struct buf *out, const uint8_t mac[static 32]);

/* Keys of one encryption or decryption, in guarded memory. */
struct age_keys {
	uint8_t file_key[AGE_FILE_KEY];
	uint8_t ephemeral[crypto_scalarmult_BYTES];
	uint8_t shared[crypto_scalarmult_BYTES];
	uint8_t wrap[crypto_aead_chacha20poly1305_ietf_KEYBYTES];
	uint8_t payload[crypto_aead_chacha20poly1305_ietf_KEYBYTES];
	uint8_t prk[crypto_auth_hmacsha256_BYTES];
	uint8_t mac_key[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state hmac;
};
struct age_keys *age_keys_new(void);
void age_keys_free(struct age_keys *k); /* wipes */
static inline void age_keys_cleanup_(struct age_keys **k)
{
	age_keys_free(*k);
}
#define cleanup_age_keys __attribute__((cleanup(age_keys_cleanup_)))

/* HKDF-SHA-256 (RFC 5869) with one block of output. `k` lends its prk and hmac. */
void age_hkdf(struct age_keys *k, const uint8_t *ikm, size_t ikm_len, const uint8_t *salt, size_t salt_len, const char *info,
              uint8_t ret[static 32]);
/* The header's MAC under k->file_key. */
void age_header_mac(struct age_keys *k, const void *text, size_t len, uint8_t ret[static 32]);

/*
 * X25519 stanzas: k->shared becomes the shared secret of `secret` and `other`, k->wrap the key that wraps the file key. `share` is the stanza's
 * argument, `recipient` the public key. -1: the shared secret would be all zero.
 */
int age_x25519_wrap_key(struct age_keys *k, const uint8_t secret[static 32], const uint8_t other[static 32], const uint8_t share[static 32],
                        const uint8_t recipient[static 32]);
/* The file key under k->wrap, and back (-1: not under this key). Wrap keys are used once, so the nonce is zero. */
void age_wrap(const struct age_keys *k, uint8_t ret[static AGE_WRAPPED]);
int age_unwrap(struct age_keys *k, const uint8_t wrapped[static AGE_WRAPPED]);

/* With k->file_key known: verifies the header. ERR_INVALID "age header MAC: …". */
int age_verify_header(struct age_keys *k, const struct age_header *h, struct err *err);
/* The same, then decrypts the payload behind it as age_decrypt does. */
int age_open(struct age_keys *k, const struct age_header *h, const unsigned char *file, size_t len, size_t max, unsigned char **ret_plain,
             size_t *ret_len, struct err *err);

/* The payload: nonce and STREAM. `age_payload_seal` appends to `out`. "age payload: …" */
int age_payload_open(struct age_keys *k, const unsigned char *payload, size_t len, size_t max, unsigned char **ret_plain, size_t *ret_len,
                     struct err *err);
void age_payload_seal(struct age_keys *k, const unsigned char *plain, size_t len, struct buf *out);

/* age_label.c: a stanza of ours, which is nobody's key. */
bool age_is_label(struct age_slice type);
/* The secret that the header names (ret: "" where it names none). ERR_INVALID: malformed, or there twice. */
int age_header_name(const struct age_header *h, char ret[static VAULT_SECRET_MAX + 1], struct err *err);

/* Whether the text is armoured (only whitespace before the first dashes). */
bool age_is_armoured(const unsigned char *file, size_t len);
/* Takes the armour off; appends the binary file. ERR_INVALID "age armour: …". */
int age_armour_decode(const unsigned char *file, size_t len, struct buf *ret, struct err *err);

/* Identities as age_identities_parse made them. */
struct age_key {
	uint8_t secret[32];
	uint8_t recipient[32];
};
/* Borrowed; in guarded memory. */
const struct age_key *age_identities_keys(const struct age_identities *ids, size_t *ret_n);

#endif
