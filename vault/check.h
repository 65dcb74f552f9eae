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

/* "image", as in docker.io/library/debian:bookworm-slim or debian@sha256:…; never mistaken for an option. */
bool check_is_image(const char *s);
#define CHECK_IMAGE_RULE "a-z or 0-9 first, then letters, digits and . _ - / : @, at most 512 characters"

/* A list of names: what one of them is called, which are good, and the rule as people read it. */
struct check_list {
	const char *what; /* "a secret's name" */
	bool (*is)(const char *s);
	const char *rule;
	size_t max; /* entries */
};
extern const struct check_list check_secrets; /* at most 32 */

/*
 * Reads the array `key`: strings that follow the list's rule, each at most once. Returns NULL when it is absent or when the
 * reader failed. Borrowed from the reader's object.
 */
const json_t *check_get_list(struct json_reader *r, const char *key, const struct check_list *list, bool required);

/* Whether an array of strings holds s. */
bool check_list_has(const json_t *list, const char *s);

/* A required or optional (NULL) text of min..max characters (code points, not bytes). */
const char *check_get_text(struct json_reader *r, const char *key, size_t min, size_t max, bool required);

#endif
