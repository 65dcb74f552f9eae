#include "vault/check.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/name.h"
#include <string.h>

#define QUOTE_CHARS 60

static bool is_image(const char *s)
{
	return vault_matches(s, CHARS_LOWER CHARS_DIGIT, CHARS_ALNUM "._-/:@", 512);
}

const struct check_kind check_id = {"an id", vault_is_id, VAULT_ID_RULE};
const struct check_kind check_secret = {"a secret's name", vault_is_secret, VAULT_SECRET_RULE};
const struct check_kind check_image = {"an image", is_image,
                                       "a-z or 0-9 first, then letters, digits and . _ - / : @, at most 512 characters"};

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

bool check_list_has(const json_t *list, const char *s)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *entry = json_string_value(json_array_get(list, i));

		if (entry && strcmp(entry, s) == 0)
			return true;
	}
	return false;
}

/* Records what is wrong with a value that must be such a name; true when nothing is. */
static bool is_name(struct json_reader *r, const char *key, const struct check_kind *kind, const json_t *value)
{
	const char *s = json_string_value(value);
	cleanup_free char *shown = s ? check_quote(s) : NULL;

	if (s && kind->is(s))
		return true;
	if (s)
		json_reader_fail(r, key, "%s is not %s: %s", shown, kind->what, kind->rule);
	else
		json_reader_fail(r, key, "must be a string, %s: %s", kind->what, kind->rule);
	return false;
}

const char *check_get_name(struct json_reader *r, const char *key, const struct check_kind *kind, bool required, const char *fallback)
{
	const json_t *value = json_get(r, key);

	if (!value && required)
		json_reader_fail(r, key, "is required");
	return value && is_name(r, key, kind, value) ? json_string_value(value) : fallback;
}

/* Whether entry i stands before itself already. All entries up to it are strings. */
static bool is_repeated(const json_t *array, size_t i)
{
	const char *s = json_string_value(json_array_get(array, i));

	for (size_t k = 0; k < i; k++)
		if (strcmp(json_string_value(json_array_get(array, k)), s) == 0)
			return true;
	return false;
}

const json_t *check_get_names(struct json_reader *r, const char *key, const struct check_kind *kind, size_t max, bool required)
{
	const json_t *array = json_get_array(r, key, max, required);

	for (size_t i = 0; i < json_array_size(array); i++) {
		cleanup_free char *at = xasprintf("%s[%zu]", key, i);

		if (!is_name(r, at, kind, json_array_get(array, i)))
			return NULL;
		if (is_repeated(array, i)) {
			json_reader_fail(r, at, "%s is listed twice", json_string_value(json_array_get(array, i)));
			return NULL;
		}
	}
	return array;
}

const char *check_get_text(struct json_reader *r, const char *key, size_t min, size_t max, bool required)
{
	const json_t *value = json_get(r, key);
	size_t chars = json_is_string(value) ? check_chars(json_string_value(value)) : 0;

	if (!value && required)
		json_reader_fail(r, key, "is required");
	else if (value && !json_is_string(value))
		json_reader_fail(r, key, "must be a string of %zu to %zu characters", min, max);
	else if (value && (chars < min || chars > max))
		json_reader_fail(r, key, "has %zu characters; %zu to %zu are allowed", chars, min, max);
	else
		return json_string_value(value);
	return NULL;
}

bool check_is_assignment(const char *s)
{
	size_t n = strspn(s, CHARS_ALNUM "_");

	return n > 0 && s[n] == '=' && !strchr(CHARS_DIGIT, s[0]);
}
