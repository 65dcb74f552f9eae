/*
 * Bech32 (BIP 173) without its limit of 90 characters, as age uses it for keys. The first variant, not Bech32m.
 */
#ifndef VAULT_BECH32_H
#define VAULT_BECH32_H

#include "lib/err.h"
#include <stddef.h>
#include <stdint.h>

#define BECH32_MAX 128 /* longest text that is written or read */

/* Room for the text of `len` bytes under `hrp`, with its NUL. */
#define BECH32_ROOM(hrp_len, len) ((hrp_len) + 1 + ((len)*8 + 4) / 5 + 6 + 1)

/* Writes hrp, separator, data and checksum in lower case. `ret` has BECH32_ROOM bytes. */
void bech32_encode(const char *hrp, const uint8_t *data, size_t len, char *ret);

/*
 * Reads exactly ret_len bytes of data under the lower-case `hrp`. ERR_INVALID: another prefix, mixed case, a wrong character,
 * checksum, padding or length. No message quotes the text: it may be a private key. Leaves no copy of the data.
 */
int bech32_decode(const char *text, size_t len, const char *hrp, uint8_t *ret, size_t ret_len, struct err *err);

#endif
