/* Bech32: see bech32.h. */
#include "vault/age/bech32.h"

#include <sodium.h>
#include <stdbool.h>
#include <string.h>

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

#define CHECKSUM 6

static uint32_t polymod_step(uint32_t check, uint8_t value)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t top = check >> 25;
	check = (check & 0x1ffffff) << 5 ^ value;
	for (unsigned i = 0; i < 5; i++)
		check ^= (top >> i & 1) ? generator[i] : 0;
	return check;
}

static uint32_t polymod_prefix(const char *hrp)
{
	uint32_t check = 1;
	for (const char *p = hrp; *p; p++)
		check = polymod_step(check, (uint8_t)(*p >> 5));
	check = polymod_step(check, 0);
	for (const char *p = hrp; *p; p++)
		check = polymod_step(check, *p & 31);
	return check;
}

/* The g-th group of five bits; bits behind the data are zero. */
static uint8_t group_of(const uint8_t *data, size_t len, size_t g)
{
	size_t byte = g * 5 / 8;
	unsigned two = (unsigned)data[byte] << 8 | (byte + 1 < len ? data[byte + 1] : 0);
	return (uint8_t)(two >> (11 - g * 5 % 8) & 31);
}

void bech32_encode(const char *hrp, const uint8_t *data, size_t len, char *ret)
{
	uint32_t check = polymod_prefix(hrp);
	char *p = stpcpy(stpcpy(ret, hrp), "1");
	for (size_t g = 0; g < (len * 8 + 4) / 5; g++) {
		uint8_t value = group_of(data, len, g);
		check = polymod_step(check, value);
		*p++ = charset[value];
	}
	for (int i = 0; i < CHECKSUM; i++)
		check = polymod_step(check, 0);
	check ^= 1;
	for (int i = CHECKSUM - 1; i >= 0; i--)
		*p++ = charset[check >> (5 * i) & 31];
	*p = '\0';
}

/* The text in lower case; refuses mixed case and what is not ASCII. */
static int to_lower_case(const char *text, size_t len, char *ret, struct err *err)
{
	bool upper = false, lower = false;
	if (len > BECH32_MAX)
		return err_set(err, ERR_INVALID, "is longer than %d characters", BECH32_MAX);
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (c < 33 || c > 126)
			return err_set(err, ERR_INVALID, "has a character that can't stand in a key (position %zu)", i + 1);
		upper = upper || (c >= 'A' && c <= 'Z');
		lower = lower || (c >= 'a' && c <= 'z');
		ret[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	ret[len] = '\0';
	if (upper && lower)
		return err_set(err, ERR_INVALID, "mixes upper and lower case");
	return 0;
}

static int values_of(const char *text, size_t skip, uint8_t *ret, struct err *err)
{
	for (size_t i = 0; text[i]; i++) {
		const char *at = strchr(charset, text[i]);
		if (!at)
			return err_set(err, ERR_INVALID, "has a character that can't stand in a key (position %zu)", skip + i + 1);
		ret[i] = (uint8_t)(at - charset);
	}
	return 0;
}

static int join_groups(const uint8_t *values, size_t n, uint8_t *ret, size_t ret_len, struct err *err)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t out = 0;
	if (n != (ret_len * 8 + 4) / 5)
		return err_set(err, ERR_INVALID, "has the wrong length");
	for (size_t i = 0; i < n; i++) {
		bits = (bits << 5 | values[i]) & 0xfff;
		n_bits += 5;
		if (n_bits >= 8) {
			n_bits -= 8;
			ret[out++] = (uint8_t)(bits >> n_bits);
		}
	}
	if (bits & ((1u << n_bits) - 1))
		return err_set(err, ERR_INVALID, "has bits behind its end");
	return 0;
}

struct scratch {
	char text[BECH32_MAX + 1];
	uint8_t values[BECH32_MAX];
};

static int decode(struct scratch *s, const char *text, size_t len, const char *hrp, uint8_t *ret, size_t ret_len, struct err *err)
{
	size_t skip = strlen(hrp) + 1;
	if (to_lower_case(text, len, s->text, err) < 0)
		return -1;
	if (len < skip + CHECKSUM || strncmp(s->text, hrp, skip - 1) != 0 || s->text[skip - 1] != '1')
		return err_set(err, ERR_INVALID, "is too short, or does not begin with the right letters");
	if (values_of(s->text + skip, skip, s->values, err) < 0)
		return -1;
	uint32_t check = polymod_prefix(hrp);
	for (size_t i = 0; i < len - skip; i++)
		check = polymod_step(check, s->values[i]);
	if (check != 1)
		return err_set(err, ERR_INVALID, "has a wrong checksum: a character was mistyped or lost");
	return join_groups(s->values, len - skip - CHECKSUM, ret, ret_len, err);
}

int bech32_decode(const char *text, size_t len, const char *hrp, uint8_t *ret, size_t ret_len, struct err *err)
{
	struct scratch scratch;
	int rc = decode(&scratch, text, len, hrp, ret, ret_len, err);
	sodium_memzero(&scratch, sizeof(scratch));
	if (rc < 0)
		sodium_memzero(ret, ret_len);
	return rc;
}
