#include "vault/check.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/name.h"
#include <string.h>

#define QUOTE_CHARS 60

const struct check_list check_secrets = {"a secret's name", vault_is_secret, VAULT_SECRET_RULE, 32};

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t check_chars(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += !continues(*s);
	return n;
}

char *check_quote(const char *s)
{
	cleanup_buf struct buf b = BUF_INIT;

	buf_addc(&b, '"');
	for (size_t n = 0; *s; s++) {
		if (!continues(*s) && n++ == QUOTE_CHARS) {
			buf_adds(&b, "…");
			break;
		}
		buf_addc(&b, *s == '\n' || *s == '\t' ? ' ' : *s);
	}
	buf_addc(&b, '"');
	return buf_steal(&b);
}

bool check_is_image(const char *s)
{
	return vault_matches(s, CHARS_LOWER CHARS_DIGIT, CHARS_ALNUM "._-/:@", 512);
}

bool check_list_has(const json_t *list, const char *s)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *entry = json_string_value(json_array_get(list, i));

		if (entry && strcmp(entry, s) == 0)
			return true;
	}
	return false;
}

/* Whether an entry before `end` is the same string. */
static bool stands_before(const json_t *list, size_t end, const char *s)
{
	for (size_t i = 0; i < end; i++)
		if (strcmp(json_string_value(json_array_get(list, i)), s) == 0)
			return true;
	return false;
}

/* Records what is wrong with entry i; false when something is. Entries before it are known to be strings. */
static bool entry_is_good(struct json_reader *r, const char *key, const struct check_list *list, const json_t *array, size_t i)
{
	const char *s = json_string_value(json_array_get(array, i));
	cleanup_free char *at = xasprintf("%s[%zu]", key, i);
	cleanup_free char *shown = s ? check_quote(s) : NULL;

	if (!s)
		json_reader_fail(r, at, "must be a string, %s", list->what);
	else if (!list->is(s))
		json_reader_fail(r, at, "%s is not %s: %s", shown, list->what, list->rule);
	else if (stands_before(array, i, s))
		json_reader_fail(r, at, "%s stands there twice", shown);
	else
		return true;
	return false;
}

const json_t *check_get_list(struct json_reader *r, const char *key, const struct check_list *list, bool required)
{
	const json_t *array = json_get_array(r, key, list->max, required);

	for (size_t i = 0; i < json_array_size(array); i++)
		if (!entry_is_good(r, key, list, array, i))
			return NULL;
	return array;
}

const char *check_get_text(struct json_reader *r, const char *key, size_t min, size_t max, bool required)
{
	/* The reader counts bytes; a code point has at most four. */
	const char *s = json_get_string(r, key, min, max * 4, required, NULL);

	if (s && check_chars(s) > max) {
		json_reader_fail(r, key, "has %zu characters; %zu to %zu are allowed", check_chars(s), min, max);
		return NULL;
	}
	return s;
}
