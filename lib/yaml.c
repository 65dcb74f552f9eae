#include "lib/yaml.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	int depth;
	int max_depth;
	struct buf path; /* of the value that is being read */
	json_t *lines;   /* path -> line */
	size_t wanted;   /* offset of a byte: reading ends, with its path, at the scalar that holds it; SIZE_MAX: none is wanted */
	bool found;
};

static void reader_begin(struct reader *r, const char *text, size_t len, int max_depth)
{
	*r = (struct reader){.max_depth = max_depth, .path = BUF_INIT, .lines = json_object(), .wanted = SIZE_MAX};
	if (!yaml_parser_initialize(&r->parser))
		abort();
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
}

static void reader_end(struct reader *r)
{
	yaml_parser_delete(&r->parser);
	buf_free(&r->path);
	json_decref(r->lines);
}
#define cleanup_reader __attribute__((cleanup(reader_end)))

/* Adds the last part of the path. Returns what leave() wants. */
static size_t enter_key(struct reader *r, const char *key)
{
	size_t before = r->path.len;
	buf_addf(&r->path, "%s%s", before > 0 ? "." : "", key);
	return before;
}

static size_t enter_item(struct reader *r, size_t i)
{
	size_t before = r->path.len;
	buf_addf(&r->path, "[%zu]", i);
	return before;
}

static void leave(struct reader *r, size_t before)
{
	r->path.len = before;
	r->path.data[before] = '\0';
}

/* The value of the path stands where the event begins. */
static void note_line(struct reader *r, const yaml_event_t *e)
{
	json_object_set_new(r->lines, r->path.data, json_integer((json_int_t)e->start_mark.line + 1));
}

static void cleanup_event(yaml_event_t *e)
{
	yaml_event_delete(e);
}

/* Puts "line N: steps[1].run: " before the message, counted from 0. The path goes to terminals, so what is no plain character is a question mark. */
static int at_path(const struct reader *r, size_t line, struct err *err)
{
	cleanup_buf struct buf path = BUF_INIT;
	size_t len = r->path.len < 200 ? r->path.len : 200;

	for (size_t i = 0; i < len; i++)
		buf_addc(&path, r->path.data[i] > ' ' && r->path.data[i] <= '~' ? r->path.data[i] : '?');
	if (len > 0)
		err_wrap(err, "%s", path.data);
	return err_wrap(err, "line %zu", line + 1);
}

/* The same at the place of an event. */
#define fail_at(r, event, err, ...) (err_set(err, ERR_INVALID, __VA_ARGS__), at_path(r, (event)->start_mark.line, err))

static int next_event(struct reader *r, yaml_event_t *ret, struct err *err)
{
	if (yaml_parser_parse(&r->parser, ret))
		return 0;
	if (r->parser.error == YAML_MEMORY_ERROR)
		abort(); /* the file is not what is wrong; it must not be refused for this */
	const char *why = r->parser.problem ? r->parser.problem : "not YAML";
	err_set(err, ERR_INVALID, "%s%s%s", why, r->parser.context ? " " : "", r->parser.context ? r->parser.context : "");
	return at_path(r, r->parser.problem_mark.line, err);
}

static int refuse_extras(const struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag, struct err *err)
{
	if (anchor)
		return fail_at(r, e, err, "anchors (&name) are not supported; write the value where it is used");
	if (tag)
		return fail_at(r, e, err, "tags (!name) are not supported");
	return 0;
}

/* [-]?[0-9]+ with, for `point`, a fraction. */
static bool is_number(const char *s, bool point)
{
	s += *s == '-';
	size_t n = strspn(s, "0123456789");
	if (n == 0 || !point)
		return n > 0 && !s[n];
	s += n;
	return *s == '.' && s[1] && !s[1 + strspn(s + 1, "0123456789")];
}

static json_t *resolve_number(const struct reader *r, const yaml_event_t *e, const char *s, struct err *err)
{
	errno = 0;
	json_t *v = is_number(s, true) ? json_real(strtod(s, NULL)) : json_integer(strtoll(s, NULL, 10));
	if (v && !errno)
		return v;
	json_decref(v);
	fail_at(r, e, err, "the number %.40s is too large", s);
	return NULL;
}

/* The value of a plain (unquoted) scalar; NULL only after an error. */
static json_t *resolve_plain(const struct reader *r, const yaml_event_t *e, const char *s, struct err *err)
{
	if (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0)
		return json_null();
	if (strcmp(s, "true") == 0)
		return json_true();
	if (strcmp(s, "false") == 0)
		return json_false();
	if (is_number(s, false) || is_number(s, true))
		return resolve_number(r, e, s, err);
	return json_string(s);
}

/* The text was checked before, but "\e" in double quotes becomes a character only now. */
static json_t *read_scalar(struct reader *r, const yaml_event_t *e, struct err *err)
{
	const char *s = (const char *)e->data.scalar.value;
	r->found = r->wanted >= e->start_mark.index && r->wanted < e->end_mark.index;
	if (r->found)
		return NULL;
	if (refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag, err))
		return NULL;
	if (text_check(s, e->data.scalar.length, err)) {
		at_path(r, e->start_mark.line, err);
		return NULL;
	}
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return resolve_plain(r, e, s, err);
	return json_stringn(s, e->data.scalar.length);
}

static json_t *read_node(struct reader *r, const yaml_event_t *e, struct err *err);

static json_t *read_sequence(struct reader *r, struct err *err)
{
	cleanup_json json_t *array = json_array();
	for (;;) {
		__attribute__((cleanup(cleanup_event))) yaml_event_t e = {0};
		size_t before = enter_item(r, json_array_size(array));
		if (next_event(r, &e, err))
			return NULL;
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			leave(r, before);
			return steal_ptr(&array);
		}
		note_line(r, &e);
		json_t *value = read_node(r, &e, err);
		if (!value || json_array_append_new(array, value))
			return NULL;
		leave(r, before);
	}
}

/* A key of `map`, which must be new to it. */
static int read_key(struct reader *r, const yaml_event_t *e, const json_t *map, json_t **ret, struct err *err)
{
	if (e->type != YAML_SCALAR_EVENT)
		return fail_at(r, e, err, "a key must be a string");
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp((const char *)e->data.scalar.value, "<<") == 0)
		return fail_at(r, e, err, "merge keys (<<) are not supported");
	cleanup_json json_t *key = read_scalar(r, e, err);
	if (!key)
		return -1;
	if (!json_is_string(key))
		return fail_at(r, e, err, "the key \"%.40s\" is not a string; put it in quotes", (const char *)e->data.scalar.value);
	if (json_object_get(map, json_string_value(key)))
		return fail_at(r, e, err, "the key \"%.64s\" is there twice", json_string_value(key));
	*ret = steal_ptr(&key);
	return 0;
}

static json_t *read_mapping(struct reader *r, struct err *err)
{
	cleanup_json json_t *map = json_object();
	for (;;) {
		__attribute__((cleanup(cleanup_event))) yaml_event_t k = {0};
		__attribute__((cleanup(cleanup_event))) yaml_event_t v = {0};
		cleanup_json json_t *key = NULL;
		if (next_event(r, &k, err))
			return NULL;
		if (k.type == YAML_MAPPING_END_EVENT)
			return steal_ptr(&map);
		if (read_key(r, &k, map, &key, err))
			return NULL;
		size_t before = enter_key(r, json_string_value(key));
		note_line(r, &k);
		json_t *value = next_event(r, &v, err) ? NULL : read_node(r, &v, err);
		if (!value || json_object_set_new(map, json_string_value(key), value))
			return NULL;
		leave(r, before);
	}
}

static json_t *read_collection(struct reader *r, const yaml_event_t *e, struct err *err)
{
	if (++r->depth > r->max_depth) {
		fail_at(r, e, err, "nested more than %d deep", r->max_depth);
		return NULL;
	}
	json_t *value = e->type == YAML_SEQUENCE_START_EVENT ? read_sequence(r, err) : read_mapping(r, err);
	r->depth--;
	return value;
}

/* The node that begins with this event; NULL after an error. Recursion is bounded by max_depth. */
static json_t *read_node(struct reader *r, const yaml_event_t *e, struct err *err)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(r, e, err);
	case YAML_SEQUENCE_START_EVENT:
		if (refuse_extras(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag, err))
			return NULL;
		return read_collection(r, e, err);
	case YAML_MAPPING_START_EVENT:
		if (refuse_extras(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag, err))
			return NULL;
		return read_collection(r, e, err);
	case YAML_ALIAS_EVENT:
		fail_at(r, e, err, "aliases (*name) are not supported; write the value itself");
		return NULL;
	default:
		fail_at(r, e, err, "a value is missing");
		return NULL;
	}
}

static int read_document(struct reader *r, const yaml_event_t *start, json_t **ret, struct err *err)
{
	if (start->data.document_start.version_directive ||
	    start->data.document_start.tag_directives.start != start->data.document_start.tag_directives.end)
		return fail_at(r, start, err, "directives (%%YAML, %%TAG) are not supported");
	__attribute__((cleanup(cleanup_event))) yaml_event_t e = {0};
	__attribute__((cleanup(cleanup_event))) yaml_event_t end = {0};
	if (next_event(r, &e, err))
		return -1;
	bool empty = e.type == YAML_SCALAR_EVENT && e.data.scalar.length == 0 && e.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	cleanup_json json_t *value = read_node(r, &e, err);
	if (!value || next_event(r, &end, err))
		return -1;
	*ret = empty ? json_object() : steal_ptr(&value);
	return 0;
}

static int read_stream(struct reader *r, json_t **ret, struct err *err)
{
	cleanup_json json_t *value = NULL;
	for (;;) {
		__attribute__((cleanup(cleanup_event))) yaml_event_t e = {0};
		if (next_event(r, &e, err))
			return -1;
		if (e.type == YAML_STREAM_END_EVENT)
			break;
		if (e.type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (value)
			return fail_at(r, &e, err, "a second document begins; one file holds one");
		if (read_document(r, &e, &value, err))
			return -1;
	}
	*ret = value ? steal_ptr(&value) : json_object();
	return 0;
}

/*
 * Where a character stands that may not be there: `at` is its offset, `line` is counted from 0. A copy without such characters is read up to the
 * scalar that holds it, whose path is the place; in a comment there is none.
 */
static int at_character(const char *text, size_t len, size_t at, size_t line, int max_depth, struct err *err)
{
	cleanup_free char *plain = xmalloc(len);
	cleanup_json json_t *value = NULL;
	cleanup_reader struct reader r;

	for (size_t i = 0; i < len; i++)
		plain[i] = text[i] == '\n' || text[i] == '\t' || (text[i] >= ' ' && text[i] <= '~') ? text[i] : 'x';
	reader_begin(&r, plain, len, max_depth);
	r.wanted = at;
	read_stream(&r, &value, NULL);
	if (!r.found)
		buf_reset(&r.path);
	return at_path(&r, line, err);
}

/* How many bytes text_check() lets pass. */
static size_t good_length(const char *s, size_t len)
{
	size_t at = 0;
	uint32_t c;

	for (size_t n; at < len && (n = text_decode(s + at, len - at, &c)) > 0 && text_allowed(c);)
		at += n;
	return at;
}

/* Line by line, so that the message can name the line; comments hide things too. */
static int check_text(const char *text, size_t len, int max_depth, struct err *err)
{
	size_t line = 0;
	for (size_t at = 0; at < len; line++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		if (text_check(text + at, n, err))
			return at_character(text, len, at + good_length(text + at, n), line, max_depth, err);
		at += n + 1;
	}
	return 0;
}

int yaml_parse_lines(const char *text, size_t len, const struct json_limits *limits, json_t **ret, json_t **ret_lines, struct err *err)
{
	if (len > limits->max_bytes)
		return err_set(err, ERR_INVALID, "larger than %zu bytes", limits->max_bytes);
	if (check_text(text, len, limits->max_depth, err))
		return -1;
	cleanup_reader struct reader r;
	reader_begin(&r, text, len, limits->max_depth);
	if (read_stream(&r, ret, err))
		return -1;
	*ret_lines = steal_ptr(&r.lines);
	return 0;
}

int yaml_parse(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err)
{
	cleanup_json json_t *lines = NULL;
	return yaml_parse_lines(text, len, limits, ret, &lines, err);
}
