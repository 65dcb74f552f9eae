#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A name as messages show it: as it is when it is an ordinary word, else quoted, escaped and shortened. */
static void add_name(struct buf *b, const char *key)
{
	size_t plain = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]");
	if (plain && plain <= 64 && !key[plain]) {
		buf_adds(b, key);
		return;
	}
	cleanup_json json_t *s = json_string(key);
	cleanup_free char *text = s ? json_dumps(s, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
	if (text)
		buf_addf(b, "%.60s%s", text, strlen(text) > 60 ? "…" : "");
	else
		buf_adds(b, "(not UTF-8)");
}

/* ", not VALUE", shortened; ASCII only, since it goes to terminals. */
static void add_value(struct buf *b, const json_t *value)
{
	if (json_is_object(value) || json_is_array(value)) {
		buf_adds(b, json_is_object(value) ? ", not an object" : ", not an array");
		return;
	}
	cleanup_free char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	if (text)
		buf_addf(b, ", not %.60s%s", text, strlen(text) > 60 ? "…" : "");
}

static void fail(struct json_reader *r, const char *key, const char *text)
{
	if (r->err.code)
		return;
	cleanup_buf struct buf b = BUF_INIT;
	buf_adds(&b, r->where);
	if (key && *r->where)
		buf_addc(&b, '.');
	if (key)
		add_name(&b, key);
	if (b.len)
		buf_adds(&b, ": ");
	err_set(&r->err, ERR_INVALID, "%s%s", b.data, text);
}

void json_reader_fail(struct json_reader *r, const char *key, const char *fmt, ...)
{
	cleanup_buf struct buf b = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	fail(r, key, b.data);
}

/* "key: must be WHAT, not VALUE" */
__attribute__((format(printf, 4, 5))) static void fail_type(struct json_reader *r, const char *key, const json_t *value, const char *fmt,
                                                            ...)
{
	cleanup_buf struct buf b = BUF_INIT;
	va_list ap;
	buf_adds(&b, "must be ");
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	add_value(&b, value);
	fail(r, key, b.data);
}

void json_reader_init(struct json_reader *r, const json_t *obj, const char *where)
{
	*r = (struct json_reader){.obj = obj, .where = where, .err = ERR_INIT};
	if (!json_is_object(obj))
		fail_type(r, NULL, obj, "an object");
}

static bool was_asked(const struct json_reader *r, const char *key)
{
	for (size_t i = 0; i < r->n_asked; i++)
		if (strcmp(r->asked[i], key) == 0)
			return true;
	return false;
}

const json_t *json_get(struct json_reader *r, const char *key)
{
	if (!was_asked(r, key)) {
		if (r->n_asked == sizeof(r->asked) / sizeof(r->asked[0]))
			abort(); /* our own code asks for more keys than a reader can remember */
		r->asked[r->n_asked++] = key;
	}
	return json_object_get(r->obj, key);
}

bool json_has(struct json_reader *r, const char *key)
{
	return json_get(r, key) != NULL;
}

/* The value, or NULL when it is absent, which is an error when it is required. After an error always NULL. */
static const json_t *get(struct json_reader *r, const char *key, bool required)
{
	const json_t *value = json_get(r, key);
	if (!value && required)
		fail(r, key, "is required");
	return r->err.code ? NULL : value;
}

const char *json_get_string(struct json_reader *r, const char *key, size_t min, size_t max, bool required, const char *fallback)
{
	const json_t *value = get(r, key, required);
	if (!value)
		return fallback;
	if (json_is_string(value) && json_string_length(value) >= min && json_string_length(value) <= max)
		return json_string_value(value);
	if (json_is_string(value) && json_string_length(value) > max)
		json_reader_fail(r, key, "must be a string of %zu to %zu bytes, not of %zu", min, max, json_string_length(value));
	else
		fail_type(r, key, value, "a string of %zu to %zu bytes", min, max);
	return fallback;
}

int64_t json_get_int(struct json_reader *r, const char *key, int64_t min, int64_t max, bool required, int64_t fallback)
{
	const json_t *value = get(r, key, required);
	if (!value)
		return fallback;
	if (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max)
		return json_integer_value(value);
	fail_type(r, key, value, "an integer from %lld to %lld", (long long)min, (long long)max);
	return fallback;
}

bool json_get_bool(struct json_reader *r, const char *key, bool required, bool fallback)
{
	const json_t *value = get(r, key, required);
	if (!value)
		return fallback;
	if (json_is_boolean(value))
		return json_is_true(value);
	fail_type(r, key, value, "true or false");
	return fallback;
}

int json_get_enum(struct json_reader *r, const char *key, const char *const *allowed, bool required, int fallback)
{
	const json_t *value = get(r, key, required);
	if (!value)
		return fallback;
	cleanup_buf struct buf list = BUF_INIT;
	for (int i = 0; allowed[i]; i++) {
		if (json_is_string(value) && strcmp(json_string_value(value), allowed[i]) == 0)
			return i;
		buf_addf(&list, "%s%s", i ? ", " : "", allowed[i]);
	}
	fail_type(r, key, value, "one of %s", list.data);
	return fallback;
}

const json_t *json_get_array(struct json_reader *r, const char *key, size_t max, bool required)
{
	const json_t *value = get(r, key, required);
	if (!value)
		return NULL;
	if (!json_is_array(value))
		fail_type(r, key, value, "an array");
	else if (json_array_size(value) > max)
		json_reader_fail(r, key, "must have at most %zu entries, not %zu", max, json_array_size(value));
	return r->err.code ? NULL : value;
}

const json_t *json_get_object(struct json_reader *r, const char *key, size_t max, bool required)
{
	const json_t *value = get(r, key, required);
	if (!value)
		return NULL;
	if (!json_is_object(value))
		fail_type(r, key, value, "an object");
	else if (json_object_size(value) > max)
		json_reader_fail(r, key, "must have at most %zu entries, not %zu", max, json_object_size(value));
	return r->err.code ? NULL : value;
}

static void fail_unknown(struct json_reader *r, const char *key)
{
	cleanup_buf struct buf b = BUF_INIT;
	buf_adds(&b, "unknown key; known keys are ");
	for (size_t i = 0; i < r->n_asked; i++)
		buf_addf(&b, "%s%s", i ? ", " : "", r->asked[i]);
	fail(r, key, b.data);
}

int json_reader_end(struct json_reader *r, struct err *err)
{
	const char *key;
	json_t *value;
	if (!r->err.code) {
		json_object_foreach ((json_t *)r->obj, key, value) {
			if (!was_asked(r, key))
				fail_unknown(r, key);
		}
	}
	if (!r->err.code)
		return 0;
	err_move(err, &r->err);
	return -1;
}
