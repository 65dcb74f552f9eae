/*
 * Redaction: every secret that stands in a stream, as it is or encoded (vault/redact/redact_encode.h), is replaced by "[redacted:NAME]" before a byte leaves.
 *
 * A redactor is the compiled set of secrets: make, add, build, then use by any number of streams. A stream sees bytes in any
 * chunking and gives the same output for all of them; it holds back at most what could still become a match.
 * Where matches overlap or adjoin, the whole union is masked, under the name of the match that begins first
 * (of several, the longest).
 */
#ifndef VAULT_REDACT_H
#define VAULT_REDACT_H

#include "lib/buf.h"
#include "lib/err.h"
#include <stddef.h>

#define SECRET_MIN_BYTES 8
#define SECRET_MAX_BYTES 65536

struct redactor;
struct redactor *redactor_new(void);
/* Copies the value, SECRET_MIN_BYTES to SECRET_MAX_BYTES bytes (the caller has checked that), into guarded memory. */
void redactor_add(struct redactor *r, const char *name, const unsigned char *value, size_t len);
/* After the last add, before the first stream. */
void redactor_build(struct redactor *r);
void redactor_free(struct redactor *r); /* wipes */

struct redact_stream;
struct redact_stream *redact_stream_new(const struct redactor *r); /* borrows r */
/* Appends to `out` what is safe to show. */
void redact_feed(struct redact_stream *s, const char *data, size_t len, struct buf *out);
/* The end of the stream: what was held back. A secret that the end cut off is masked too if at least 8 bytes or half of it are there. */
void redact_end(struct redact_stream *s, struct buf *out);
void redact_stream_free(struct redact_stream *s);

#endif
