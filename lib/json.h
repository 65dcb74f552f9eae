/*
 * Strict JSON on jansson, and typed reading of objects with errors that name the key.
 *
 * A *reader* walks one object: each get names the key, the type and what is allowed; json_reader_end()
 * reports the first key that nobody asked for. Errors are sticky: after the first, gets return defaults,
 * and json_reader_end() returns -1 with the first error. Messages read "secrets[2]: must match ...".
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include "lib/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits for text that comes from outside. */
struct json_limits {
	size_t max_bytes; /* size of the text */
	int max_depth;    /* nesting of arrays and objects; a flat object is 1 */
};

/*
 * Parses one JSON value (RFC 8259). Refuses with ERR_INVALID: repeated keys (also when written with escapes), a byte order mark, NUL
 * (raw or as \u0000), invalid or overlong UTF-8, lone surrogates, trailing bytes, numbers that are not
 * integers in plain notation (1e3, 3600.0) or do not fit int64, more depth or bytes than allowed, and any string or key with
 * control characters other than \n and \t, or bidirectional and other format characters (Unicode Cf, U+2028, U+2029; see text_check).
 * Caller owns *ret.
 */
int json_parse_strict(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err);

/*
 * Checks text that people will read: valid UTF-8; no C0 controls other than \n and \t, no DEL and C1 controls, no U+FEFF, no bidi or
 * other format character (Unicode category Cf, U+2028, U+2029, U+E0000-U+E007F). ERR_INVALID names the character and its byte offset.
 */
int text_check(const char *s, size_t len, struct err *err);
/* Decodes the UTF-8 character at s (len > 0). Returns its length, or 0 when it is invalid, overlong, a surrogate or cut off. */
size_t text_decode(const char *s, size_t len, uint32_t *ret);
/* Whether text_check() lets this character pass. */
bool text_allowed(uint32_t c);

/* json_dumps with sorted keys, compact; never fails for values made by this program. Caller frees. */
char *json_compact(const json_t *value);
/* Two spaces of indent, insertion order, final newline: what is committed and shown. Caller frees. */
char *json_pretty(const json_t *value);

/* File helpers for our own files: lenient about size, strict about duplicates. */
int json_load_path(const char *path, json_t **ret, struct err *err);

/* A string member, NULL when there is none. Borrowed. */
static inline const char *json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

struct json_reader {
	const json_t *obj; /* borrowed */
	const char *where; /* prefix for messages, e.g. "steps[0]"; "" for the top; borrowed */
	const char *asked[64];
	size_t n_asked;
	struct err err; /* first error */
};

/* Sets an error when obj is not an object. */
void json_reader_init(struct json_reader *r, const json_t *obj, const char *where);

/* The raw value, or NULL when absent; marks the key as known. To all typed gets below, null is a value of the wrong type. */
const json_t *json_get(struct json_reader *r, const char *key);
bool json_has(struct json_reader *r, const char *key);

/* A string of min..max bytes; absent: `fallback` (NULL and `required` is an error "key: is required"). Borrowed from the object. */
const char *json_get_string(struct json_reader *r, const char *key, size_t min, size_t max, bool required, const char *fallback);
int64_t json_get_int(struct json_reader *r, const char *key, int64_t min, int64_t max, bool required, int64_t fallback);
bool json_get_bool(struct json_reader *r, const char *key, bool required, bool fallback);
/* One of a NULL-terminated list; returns its index. The message lists what is allowed. */
int json_get_enum(struct json_reader *r, const char *key, const char *const *allowed, bool required, int fallback);
/* Array or object of at most max entries, NULL when absent (and not required). Borrowed. */
const json_t *json_get_array(struct json_reader *r, const char *key, size_t max, bool required);
const json_t *json_get_object(struct json_reader *r, const char *key, size_t max, bool required);

/* Records an error at "where.key" with the given text. Keeps the first. */
void json_reader_fail(struct json_reader *r, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Ends the reading: unknown keys become the error "unknown key; known keys are a, b, c". Returns 0, or -1
 * with the first error moved into err. Must be called once for each init.
 */
int json_reader_end(struct json_reader *r, struct err *err);

#endif
