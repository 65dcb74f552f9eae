#include "lib/json.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*
 * Without memory jansson goes on with less: a byte of a string that it has no room for is left out, and nobody hears of it (2.14, strbuffer_append_byte). What
 * was damaged so would be refused, or run. So there is always memory, or the process ends, as everywhere here.
 */
__attribute__((constructor)) static void set_allocator(void)
{
	json_set_alloc_funcs(xmalloc, free);
}

/* What jansson does not check for us: nesting and the notation of numbers. It does the grammar. */
struct scan {
	const char *text;
	size_t len;
	size_t at;
	int depth;
	int max_depth;
};

static int line_of(const struct scan *s)
{
	int line = 1;
	for (size_t i = 0; i < s->at; i++)
		line += s->text[i] == '\n';
	return line;
}

static void scan_string(struct scan *s)
{
	for (s->at++; s->at < s->len && s->text[s->at] != '"'; s->at++)
		if (s->text[s->at] == '\\')
			s->at++;
	s->at++;
}

static int scan_number(struct scan *s, struct err *err)
{
	static const char part[] = "0123456789+-.eE";
	size_t start = s->at;
	bool plain = true;
	for (; s->at < s->len && s->text[s->at] && strchr(part, s->text[s->at]); s->at++)
		plain = plain && (s->at == start || (s->text[s->at] >= '0' && s->text[s->at] <= '9'));
	if (plain)
		return 0;
	int n = s->at - start < 40 ? (int)(s->at - start) : 40;
	return err_set(err, ERR_INVALID, "line %d: the number %.*s must be an integer without point and exponent", line_of(s), n,
	               s->text + start);
}

static int scan(struct scan *s, struct err *err)
{
	while (s->at < s->len) {
		char c = s->text[s->at];
		if (c == '"') {
			scan_string(s);
		} else if (c == '-' || (c >= '0' && c <= '9')) {
			if (scan_number(s, err))
				return -1;
		} else {
			s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
			if (s->depth > s->max_depth)
				return err_set(err, ERR_INVALID, "line %d: nested more than %d deep", line_of(s), s->max_depth);
			if (c == '\0')
				return err_set(err, ERR_INVALID, "line %d: NUL byte", line_of(s));
			s->at++;
		}
	}
	return 0;
}

static int check_texts(const json_t *value, struct err *err)
{
	const char *key;
	json_t *child;
	size_t i;
	if (json_is_string(value))
		return text_check(json_string_value(value), json_string_length(value), err);
	json_object_foreach ((json_t *)value, key, child) {
		if (text_check(key, strlen(key), err))
			return err_wrap(err, "a key");
		if (check_texts(child, err))
			return err_wrap(err, "%.64s", key);
	}
	json_array_foreach (value, i, child) {
		if (check_texts(child, err))
			return err_wrap(err, "[%zu]", i);
	}
	return 0;
}

/* jansson quotes the input in its messages; that part must not reach a terminal as it is. */
static int syntax_error(struct err *err, json_error_t *e)
{
	for (char *p = e->text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return err_set(err, ERR_INVALID, "line %d, column %d: %s", e->line, e->column, e->text);
}

int json_parse_strict(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err)
{
	if (len > limits->max_bytes)
		return err_set(err, ERR_INVALID, "larger than %zu bytes", limits->max_bytes);
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		return err_set(err, ERR_INVALID, "begins with a byte order mark; save it as plain UTF-8");
	struct scan s = {text, len, 0, 0, limits->max_depth};
	if (scan(&s, err))
		return -1;

	json_error_t e;
	cleanup_json json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!value)
		return syntax_error(err, &e);
	if (check_texts(value, err))
		return -1;
	*ret = steal_ptr(&value);
	return 0;
}

static char *dump(const json_t *value, size_t flags)
{
	char *s = json_dumps(value, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)); /* 0.0421 stays 0.0421 */
	if (!s)
		abort();
	return s;
}

char *json_compact(const json_t *value)
{
	return dump(value, JSON_COMPACT | JSON_SORT_KEYS);
}

char *json_pretty(const json_t *value)
{
	cleanup_free char *s = dump(value, JSON_INDENT(2));
	return xasprintf("%s\n", s);
}

int json_load_path(const char *path, json_t **ret, struct err *err)
{
	static const size_t max = 256u << 20;
	cleanup_buf struct buf b = BUF_INIT;
	json_error_t e;
	if (file_read(path, max, &b, err))
		return -1;
	json_t *value = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!value) {
		syntax_error(err, &e);
		return err_wrap(err, "%s", path);
	}
	*ret = value;
	return 0;
}
