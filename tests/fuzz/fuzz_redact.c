/*
 * Redaction against the oracle. Input: number of secrets, for each its length less 8 and its bytes; a seed for the
 * cuts; the rest is text. Bytes are folded into a small alphabet, so that matches are frequent.
 */
#include "tests/redact_oracle.h"
#include "vault/redact.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SECRETS 6
#define MAX_TEXT 4096

static const char *const names[MAX_SECRETS] = {"A", "B", "C", "D", "E", "F"};

/* Takes secrets off the input; returns how many. */
static size_t take_secrets(uint8_t **data, size_t *size, struct oracle_secret *ret)
{
	size_t want = 1 + *(*data)++ % MAX_SECRETS, n = 0;
	--*size;
	while (n<want && * size> 9) {
		size_t len = 8 + *(*data)++ % 32;
		--*size;
		if (len > *size)
			len = 8;
		ret[n] = (struct oracle_secret){names[n], *data, len};
		n++;
		*data += len;
		*size -= len;
	}
	return n;
}

static void redact_cut(const struct redactor *r, const uint8_t *text, size_t len, uint32_t seed, struct buf *ret)
{
	struct redact_stream *s = redact_stream_new(r);
	for (size_t at = 0; at < len;) {
		seed = seed * 1664525u + 1013904223u;
		size_t n = seed >> 24 & (seed & 0x100 ? 3 : 63);
		n = n < len - at ? n : len - at;
		redact_feed(s, (const char *)text + at, n, ret);
		at += n;
	}
	redact_end(s, ret);
	redact_stream_free(s);
}

static void check(const struct oracle_secret *secrets, size_t n, uint32_t seed, const uint8_t *text, size_t len)
{
	struct buf want cleanup_buf = BUF_INIT;
	redact_oracle(secrets, n, text, len, &want);
	struct redactor *r = redactor_new();
	for (size_t i = 0; i < n; i++)
		redactor_add(r, secrets[i].name, secrets[i].value, secrets[i].len);
	redactor_build(r);
	for (uint32_t round = 0; round < 3; round++) {
		struct buf got cleanup_buf = BUF_INIT;
		redact_cut(r, text, len, seed + round, &got);
		if (got.len != want.len || memcmp(got.data, want.data, got.len) != 0)
			abort();
	}
	redactor_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oracle_secret secrets[MAX_SECRETS];
	if (size < 12 || size > MAX_TEXT)
		return 0;
	uint8_t *copy = xmalloc(size), *at = copy;
	for (size_t i = 0; i < size; i++) /* lengths are folded too: they need no more than 5 bits */
		copy[i] = data[i] & 0x1f;
	size_t n = take_secrets(&at, &size, secrets);
	for (uint8_t *p = at; p < at + size; p++)
		*p &= 0x0f;
	if (n > 0 && size > 0)
		check(secrets, n, at[0], at + 1, size - 1);
	free(copy);
	return 0;
}
