/*
 * Redaction against the oracle. Input: number of secrets, for each its length less 8 and its bytes; a seed for the
 * cuts; the rest is text. Bytes are folded into few letters, so that matches are frequent and no encoding of a secret is met by chance.
 */
#include "tests/redact_oracle.h"
#include "vault/redact/redact.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SECRETS 6
#define MAX_TEXT 4096

static const char *const names[MAX_SECRETS] = {"A", "B", "C", "D", "E", "F"};

static uint8_t fold(uint8_t c)
{
	return (uint8_t)('a' + (c & 0x0f));
}

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
		for (size_t i = 0; i < len; i++)
			(*data)[i] = fold((*data)[i]);
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
	memcpy(copy, data, size);
	size_t n = take_secrets(&at, &size, secrets);
	for (size_t i = 1; i < size; i++)
		at[i] = fold(at[i]);
	if (n > 0 && size > 0)
		check(secrets, n, at[0], at + 1, size - 1);
	free(copy);
	return 0;
}
