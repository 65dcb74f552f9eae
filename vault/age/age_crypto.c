/* The cryptography of age files: key derivation, header MAC, X25519 stanzas, payload. See age_format.h. */
#include "vault/age/age_format.h"

#include "lib/cleanup.h"
#include <stdio.h>
#include <string.h>

#define CHUNK ((size_t)65536)
#define TAG ((size_t)crypto_aead_chacha20poly1305_ietf_ABYTES)
#define NONCE AGE_NONCE

struct age_keys *age_keys_new(void)
{
	if (sodium_init() < 0)
		abort();
	struct age_keys *k = sodium_malloc(sizeof(*k));
	if (!k) {
		fputs("out of memory\n", stderr);
		abort();
	}
	sodium_memzero(k, sizeof(*k));
	return k;
}

void age_keys_free(struct age_keys *k)
{
	sodium_free(k);
}

void age_hkdf(struct age_keys *k, const uint8_t *ikm, size_t ikm_len, const uint8_t *salt, size_t salt_len, const char *info,
              uint8_t ret[static 32])
{
	static const uint8_t first = 1;
	crypto_auth_hmacsha256_init(&k->hmac, salt, salt_len);
	crypto_auth_hmacsha256_update(&k->hmac, ikm, ikm_len);
	crypto_auth_hmacsha256_final(&k->hmac, k->prk);
	crypto_auth_hmacsha256_init(&k->hmac, k->prk, sizeof(k->prk));
	crypto_auth_hmacsha256_update(&k->hmac, (const unsigned char *)info, strlen(info));
	crypto_auth_hmacsha256_update(&k->hmac, &first, 1);
	crypto_auth_hmacsha256_final(&k->hmac, ret);
}

void age_header_mac(struct age_keys *k, const void *text, size_t len, uint8_t ret[static 32])
{
	age_hkdf(k, k->file_key, sizeof(k->file_key), (const uint8_t *)"", 0, "header", k->mac_key);
	crypto_auth_hmacsha256_init(&k->hmac, k->mac_key, sizeof(k->mac_key));
	crypto_auth_hmacsha256_update(&k->hmac, text, len);
	crypto_auth_hmacsha256_final(&k->hmac, ret);
}

int age_x25519_wrap_key(struct age_keys *k, const uint8_t secret[static 32], const uint8_t other[static 32], const uint8_t share[static 32],
                        const uint8_t recipient[static 32])
{
	uint8_t salt[64];
	if (crypto_scalarmult(k->shared, secret, other) != 0 || sodium_is_zero(k->shared, sizeof(k->shared)))
		return -1;
	memcpy(salt, share, 32);
	memcpy(salt + 32, recipient, 32);
	age_hkdf(k, k->shared, sizeof(k->shared), salt, sizeof(salt), AGE_X25519_LABEL, k->wrap);
	return 0;
}

static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

void age_wrap(const struct age_keys *k, uint8_t ret[static AGE_WRAPPED])
{
	crypto_aead_chacha20poly1305_ietf_encrypt(ret, NULL, k->file_key, sizeof(k->file_key), NULL, 0, NULL, zero_nonce, k->wrap);
}

int age_unwrap(struct age_keys *k, const uint8_t wrapped[static AGE_WRAPPED])
{
	return crypto_aead_chacha20poly1305_ietf_decrypt(k->file_key, NULL, NULL, wrapped, AGE_WRAPPED, NULL, 0, zero_nonce, k->wrap);
}

/* STREAM nonce: 11 bytes big-endian counter, 1 byte that is 1 for the last chunk. */
static void chunk_nonce(uint64_t chunk, bool last, uint8_t ret[static 12])
{
	memset(ret, 0, 12);
	for (unsigned i = 0; i < 8; i++)
		ret[10 - i] = (uint8_t)(chunk >> (8 * i));
	ret[11] = last;
}

/* How many bytes of plaintext `len` bytes of STREAM hold in how many chunks. */
static int measure(size_t len, size_t max, size_t *ret_chunks, size_t *ret_plain, struct err *err)
{
	size_t chunks = (len + CHUNK + TAG - 1) / (CHUNK + TAG);
	if (chunks == 0)
		return err_set(err, ERR_INVALID, "age payload: is missing: the file was cut off");
	size_t last = len - (chunks - 1) * (CHUNK + TAG);
	if (last < TAG || (last == TAG && chunks > 1))
		return err_set(err, ERR_INVALID, "age payload: chunk %zu is too short: the file was cut off or is damaged", chunks);
	if (len - chunks * TAG > max)
		return err_set(err, ERR_INVALID, "age payload: has %zu bytes, more than the %zu that are allowed", len - chunks * TAG, max);
	*ret_chunks = chunks;
	*ret_plain = len - chunks * TAG;
	return 0;
}

static void cleanup_guarded(unsigned char **p)
{
	sodium_free(*p);
}

int age_payload_open(struct age_keys *k, const unsigned char *payload, size_t len, size_t max, unsigned char **ret_plain, size_t *ret_len,
                     struct err *err)
{
	size_t chunks = 0, plain_len = 0, at = 0;
	if (len < NONCE)
		return err_set(err, ERR_INVALID, "age header: the nonce behind it is missing: the file was cut off");
	age_hkdf(k, k->file_key, sizeof(k->file_key), payload, NONCE, "payload", k->payload);
	payload += NONCE;
	len -= NONCE;
	if (measure(len, max, &chunks, &plain_len, err) < 0)
		return -1;
	unsigned char *plain __attribute__((cleanup(cleanup_guarded))) = sodium_malloc(plain_len > 0 ? plain_len : 1);
	if (!plain)
		return err_set(err, ERR_FAIL, "age payload: no guarded memory for %zu bytes", plain_len);
	for (size_t i = 0; i < chunks; i++) {
		uint8_t nonce[12];
		size_t n = i + 1 < chunks ? CHUNK : plain_len - at;
		chunk_nonce(i, i + 1 == chunks, nonce);
		if (crypto_aead_chacha20poly1305_ietf_decrypt(plain + at, NULL, NULL, payload + i * (CHUNK + TAG), n + TAG, NULL, 0, nonce,
		                                              k->payload) != 0)
			return err_set(err, ERR_INVALID, "age payload: chunk %zu of %zu is damaged, or not the last", i + 1, chunks);
		at += n;
	}
	*ret_plain = steal_ptr(&plain);
	*ret_len = plain_len;
	return 0;
}

void age_payload_seal(struct age_keys *k, const unsigned char *plain, size_t len, struct buf *out)
{
	uint8_t nonce[NONCE];
	uint64_t chunk = 0;
	bool last;
	randombytes_buf(nonce, sizeof(nonce));
	age_hkdf(k, k->file_key, sizeof(k->file_key), nonce, sizeof(nonce), "payload", k->payload);
	buf_add(out, nonce, sizeof(nonce));
	do { /* one empty chunk for an empty payload */
		uint8_t at[12];
		size_t n = len < CHUNK ? len : CHUNK;
		last = n == len;
		chunk_nonce(chunk++, last, at);
		crypto_aead_chacha20poly1305_ietf_encrypt((unsigned char *)buf_room(out, n + TAG), NULL, plain, n, NULL, 0, NULL, at,
		                                          k->payload);
		buf_grew(out, n + TAG);
		plain += n;
		len -= n;
	} while (!last);
}

int age_verify_header(struct age_keys *k, const struct age_header *h, struct err *err)
{
	uint8_t mac[32];
	age_header_mac(k, h->mac_text.p, h->mac_text.len, mac);
	if (sodium_memcmp(mac, h->mac, sizeof(mac)) != 0)
		return err_set(err, ERR_INVALID, "age header MAC: does not match: the header was changed");
	return 0;
}

int age_open(struct age_keys *k, const struct age_header *h, const unsigned char *file, size_t len, size_t max, unsigned char **ret_plain,
             size_t *ret_len, struct err *err)
{
	if (age_verify_header(k, h, err) < 0)
		return -1;
	return age_payload_open(k, file + h->len, len - h->len, max, ret_plain, ret_len, err);
}
