/*
 * What redaction should give, said as plainly as possible and without regard to speed: look for every pattern at every position.
 * For the unit test and the fuzz target.
 */
#ifndef TESTS_REDACT_ORACLE_H
#define TESTS_REDACT_ORACLE_H

#include "lib/buf.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct oracle_secret {
	const char *name;
	const unsigned char *value;
	size_t len;
};

/* Bytes of text at `at` that belong to the secret: all of it, or enough of its beginning at the end of the text; else 0. */
static inline size_t oracle_hit(const struct oracle_secret *s, const unsigned char *text, size_t len, size_t at)
{
	size_t n = len - at < s->len ? len - at : s->len;
	if (memcmp(text + at, s->value, n) != 0)
		return 0;
	return n == s->len || n >= 8 || 2 * n >= s->len ? n : 0;
}

static inline void redact_oracle(const struct oracle_secret *secrets, size_t n, const unsigned char *text, size_t len, struct buf *out)
{
	bool *covered = xcalloc(len + 1, sizeof(bool));
	for (size_t at = 0; at < len; at++)
		for (size_t i = 0; i < n; i++)
			memset(covered + at, true, oracle_hit(&secrets[i], text, len, at));
	for (size_t at = 0; at < len; at++) {
		const struct oracle_secret *name = NULL;
		if (!covered[at]) {
			buf_addc(out, (char)text[at]);
			continue;
		}
		if (at > 0 && covered[at - 1])
			continue;
		for (size_t i = 0; i < n; i++)
			if (oracle_hit(&secrets[i], text, len, at) > 0 && (!name || secrets[i].len > name->len))
				name = &secrets[i];
		buf_addf(out, "[redacted:%s]", name ? name->name : "nobody");
	}
	free(covered);
}

#endif
