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

/* Part of the text. */
struct span {
	size_t at, len;
};

/* What jansson does not check for us: nesting and the notation of numbers. It does the grammar. On the way it sees which keys lead to where it is. */
struct scan {
	const char *text;
	size_t len;
	size_t at;
	int depth;
	int max_depth;
	struct span last;    /* the last string, without its quotes */
	struct place *stack; /* at each depth, 0 to max_depth: of the value which stands there */
};

/* Where a value stands in what holds it. */
struct place {
	bool in_array;
	size_t index;    /* in an array */
	struct span key; /* in an object; len 0: none yet */
};

static void scan_begin(struct scan *s, const char *text, size_t len, int max_depth)
{
	*s = (struct scan){.text = text, .len = len, .max_depth = max_depth};
	s->stack = xcalloc((size_t)max_depth + 1, sizeof(*s->stack));
}

static void scan_end(struct scan *s)
{
	free(s->stack);
}
#define cleanup_scan __attribute__((cleanup(scan_end)))

static int line_of(const struct scan *s)
{
	int line = 1;
	for (size_t i = 0; i < s->at; i++)
		line += s->text[i] == '\n';
	return line;
}

/* A key, after what leads to it. It goes to terminals, so what is no plain character is a question mark. */
static void add_key(struct buf *b, const char *key, size_t len)
{
	if (b->len > 0)
		buf_addc(b, '.');
	for (size_t i = 0; i < len && i < 64; i++)
		buf_addc(b, key[i] > ' ' && key[i] <= '~' ? key[i] : '?');
}

/* "secrets[2]: ", the keys as they are written. */
static void add_path(struct buf *b, const struct scan *s)
{
	for (int i = 1; i <= s->depth && i <= s->max_depth; i++) {
		const struct place *p = &s->stack[i];
		if (p->in_array)
			buf_addf(b, "[%zu]", p->index);
		else if (p->key.len > 0)
			add_key(b, s->text + p->key.at, p->key.len);
	}
	buf_adds(b, b->len > 0 ? ": " : "");
}

/* "line 3: inputs.version: …" */
__attribute__((format(printf, 3, 4))) static int fail_at(const struct scan *s, struct err *err, const char *fmt, ...)
{
	cleanup_buf struct buf path = BUF_INIT, why = BUF_INIT;
	va_list ap;
	add_path(&path, s);
	va_start(ap, fmt);
	buf_vaddf(&why, fmt, ap);
	va_end(ap);
	return err_set(err, ERR_INVALID, "line %d: %s%s", line_of(s), path.data, why.data);
}

static void scan_string(struct scan *s)
{
	size_t begin = ++s->at;
	for (; s->at < s->len && s->text[s->at] != '"'; s->at++)
		if (s->text[s->at] == '\\')
			s->at++;
	s->last = (struct span){begin, (s->at < s->len ? s->at : s->len) - begin};
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
	return fail_at(s, err, "the number %.*s must be an integer without point and exponent", n, s->text + start);
}

/* Anything that is neither string nor number. */
static int scan_other(struct scan *s, struct err *err)
{
	char c = s->text[s->at];
	if (c == '{' || c == '[') {
		if (s->depth == s->max_depth)
			return fail_at(s, err, "nested more than %d deep", s->max_depth);
		s->stack[++s->depth] = (struct place){.in_array = c == '['};
	} else if (c == '}' || c == ']') {
		s->depth -= s->depth > 0;
	} else if (c == ':') {
		s->stack[s->depth].key = s->last;
	} else if (c == ',') {
		s->stack[s->depth].key = (struct span){0, 0};
		s->stack[s->depth].index++;
	} else if (c == '\0') {
		return fail_at(s, err, "NUL byte");
	}
	s->at++;
	return 0;
}

static int scan(struct scan *s, struct err *err)
{
	int rc = 0;
	while (rc == 0 && s->at < s->len) {
		char c = s->text[s->at];
		if (c == '"')
			scan_string(s);
		else if (c == '-' || (c >= '0' && c <= '9'))
			rc = scan_number(s, err);
		else
			rc = scan_other(s, err);
	}
	return rc;
}

static void leave(struct buf *path, size_t before)
{
	path->len = before;
	path->data[before] = '\0';
}

/* `path` leads to the value, in messages. */
static int check_texts(const json_t *value, struct buf *path, struct err *err)
{
	size_t before = path->len, i;
	const char *key;
	json_t *child;

	if (json_is_string(value) && text_check(json_string_value(value), json_string_length(value), err))
		return path->len > 0 ? err_wrap(err, "%s", path->data) : -1;
	json_object_foreach ((json_t *)value, key, child) {
		if (text_check(key, strlen(key), err)) {
			err_wrap(err, "a key");
			return path->len > 0 ? err_wrap(err, "%s", path->data) : -1;
		}
		add_key(path, key, strlen(key));
		if (check_texts(child, path, err))
			return -1;
		leave(path, before);
	}
	json_array_foreach (value, i, child) {
		buf_addf(path, "[%zu]", i);
		if (check_texts(child, path, err))
			return -1;
		leave(path, before);
	}
	return 0;
}

/* jansson quotes the input in its messages; that part must not reach a terminal as it is. */
static int syntax_error(struct err *err, json_error_t *e, const char *path)
{
	for (char *p = e->text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return err_set(err, ERR_INVALID, "line %d, column %d: %s%s", e->line, e->column, path, e->text);
}

/* The same, with the path to where jansson stopped. What it was given was scanned to its end before. */
static int syntax_error_at(const char *text, size_t len, int max_depth, struct err *err, json_error_t *e)
{
	cleanup_buf struct buf path = BUF_INIT;
	cleanup_scan struct scan s;
	size_t stop = e->position > 0 ? (size_t)e->position : 0;
	scan_begin(&s, text, stop < len ? stop : len, max_depth);
	scan(&s, NULL);
	add_path(&path, &s);
	return syntax_error(err, e, path.data);
}

int json_parse_strict(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err)
{
	if (len > limits->max_bytes)
		return err_set(err, ERR_INVALID, "larger than %zu bytes", limits->max_bytes);
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		return err_set(err, ERR_INVALID, "begins with a byte order mark; save it as plain UTF-8");
	cleanup_scan struct scan s;
	scan_begin(&s, text, len, limits->max_depth);
	if (scan(&s, err))
		return -1;

	json_error_t e;
	cleanup_json json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!value)
		return syntax_error_at(text, len, limits->max_depth, err, &e);
	cleanup_buf struct buf path = BUF_INIT;
	if (check_texts(value, &path, err))
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
		syntax_error(err, &e, "");
		return err_wrap(err, "%s", path);
	}
	*ret = value;
	return 0;
}
