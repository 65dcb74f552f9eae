/*
 * Checks and wording that actions, formulas and the configuration share. Linked into the static runner: jansson only.
 */
#ifndef VAULT_CHECK_H
#define VAULT_CHECK_H

#include "lib/json.h"
#include <stdbool.h>
#include <stddef.h>

/* Unicode code points in valid UTF-8. */
size_t check_chars(const char *s);

/*
 * s as it is shown in a message: in double quotes, line breaks and tabs as spaces, cut to 60 characters. Caller frees.
 * s is valid UTF-8.
 */
char *check_quote(const char *s);

/* A kind of name: what people call it, which strings are one, and the rule in words. */
struct check_kind {
	const char *what; /* "a secret's name" */
	bool (*is)(const char *s);
	const char *rule;
};
extern const struct check_kind check_id;
extern const struct check_kind check_secret;
extern const struct check_kind check_image; /* docker.io/library/debian:bookworm-slim, debian@sha256:…; never mistaken for an option */

/* A string of that kind; `fallback` when it is absent and not required, or wrong. Borrowed from the reader's object. */
const char *check_get_name(struct json_reader *r, const char *key, const struct check_kind *kind, bool required, const char *fallback);

/* An array of such strings, each at most once, at most max; NULL when it is absent or wrong. Borrowed from the reader's object. */
const json_t *check_get_names(struct json_reader *r, const char *key, const struct check_kind *kind, size_t max, bool required);
#define CHECK_SECRETS_MAX 32

/* NAME=value, as a shell takes it before a command. */
bool check_is_assignment(const char *s);

/* Whether an array of strings holds s. */
bool check_list_has(const json_t *list, const char *s);

/* A text of min..max characters (code points, not bytes); NULL when it is absent or wrong. */
const char *check_get_text(struct json_reader *r, const char *key, size_t min, size_t max, bool required);

#endif
