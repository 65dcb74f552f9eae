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
};

static void cleanup_reader(struct reader *r)
{
	yaml_parser_delete(&r->parser);
	buf_free(&r->path);
	json_decref(r->lines);
}

/* Adds the last part of the path and notes where the value stands. Returns what leave() wants. */
static size_t enter(struct reader *r, const char *part, const yaml_event_t *e)
{
	size_t before = r->path.len;
	buf_adds(&r->path, part);
	json_object_set_new(r->lines, r->path.data, json_integer((json_int_t)e->start_mark.line + 1));
	return before;
}

static size_t enter_key(struct reader *r, const char *key, const yaml_event_t *e)
{
	cleanup_free char *part = xasprintf("%s%s", r->path.len > 0 ? "." : "", key);
	return enter(r, part, e);
}

static size_t enter_item(struct reader *r, size_t i, const yaml_event_t *e)
{
	cleanup_free char *part = xasprintf("[%zu]", i);
	return enter(r, part, e);
}

static void leave(struct reader *r, size_t before)
{
	r->path.len = before;
	r->path.data[before] = '\0';
}

static void cleanup_event(yaml_event_t *e)
{
	yaml_event_delete(e);
}

/* "line N: ..." at the place of an event. */
#define fail_at(event, err, ...) (err_set(err, ERR_INVALID, __VA_ARGS__), err_wrap(err, "line %zu", (event)->start_mark.line + 1))

static int next_event(struct reader *r, yaml_event_t *ret, struct err *err)
{
	if (yaml_parser_parse(&r->parser, ret))
		return 0;
	if (r->parser.error == YAML_MEMORY_ERROR)
		abort(); /* the file is not what is wrong; it must not be refused for this */
	const char *why = r->parser.problem ? r->parser.problem : "not YAML";
	return err_set(err, ERR_INVALID, "line %zu: %s%s%s", r->parser.problem_mark.line + 1, why, r->parser.context ? " " : "",
	               r->parser.context ? r->parser.context : "");
}

static int refuse_extras(const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag, struct err *err)
{
	if (anchor)
		return fail_at(e, err, "anchors (&name) are not supported; write the value where it is used");
	if (tag)
		return fail_at(e, err, "tags (!name) are not supported");
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

static json_t *resolve_number(const yaml_event_t *e, const char *s, struct err *err)
{
	errno = 0;
	json_t *v = is_number(s, true) ? json_real(strtod(s, NULL)) : json_integer(strtoll(s, NULL, 10));
	if (v && !errno)
		return v;
	json_decref(v);
	fail_at(e, err, "the number %.40s is too large", s);
	return NULL;
}

/* The value of a plain (unquoted) scalar; NULL only after an error. */
static json_t *resolve_plain(const yaml_event_t *e, const char *s, struct err *err)
{
	if (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0)
		return json_null();
	if (strcmp(s, "true") == 0)
		return json_true();
	if (strcmp(s, "false") == 0)
		return json_false();
	if (is_number(s, false) || is_number(s, true))
		return resolve_number(e, s, err);
	return json_string(s);
}

/* The text was checked before, but "\e" in double quotes becomes a character only now. */
static json_t *read_scalar(const yaml_event_t *e, struct err *err)
{
	const char *s = (const char *)e->data.scalar.value;
	if (refuse_extras(e, e->data.scalar.anchor, e->data.scalar.tag, err))
		return NULL;
	if (text_check(s, e->data.scalar.length, err)) {
		err_wrap(err, "line %zu", e->start_mark.line + 1);
		return NULL;
	}
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return resolve_plain(e, s, err);
	return json_stringn(s, e->data.scalar.length);
}

static json_t *read_node(struct reader *r, const yaml_event_t *e, struct err *err);

static json_t *read_sequence(struct reader *r, struct err *err)
{
	cleanup_json json_t *array = json_array();
	for (;;) {
		__attribute__((cleanup(cleanup_event))) yaml_event_t e = {0};
		if (next_event(r, &e, err))
			return NULL;
		if (e.type == YAML_SEQUENCE_END_EVENT)
			return steal_ptr(&array);
		size_t before = enter_item(r, json_array_size(array), &e);
		json_t *value = read_node(r, &e, err);
		leave(r, before);
		if (!value || json_array_append_new(array, value))
			return NULL;
	}
}

/* A key of `map`, which must be new to it. */
static int read_key(const yaml_event_t *e, const json_t *map, json_t **ret, struct err *err)
{
	if (e->type != YAML_SCALAR_EVENT)
		return fail_at(e, err, "a key must be a string");
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp((const char *)e->data.scalar.value, "<<") == 0)
		return fail_at(e, err, "merge keys (<<) are not supported");
	cleanup_json json_t *key = read_scalar(e, err);
	if (!key)
		return -1;
	if (!json_is_string(key))
		return fail_at(e, err, "the key \"%.40s\" is not a string; put it in quotes", (const char *)e->data.scalar.value);
	if (json_object_get(map, json_string_value(key)))
		return fail_at(e, err, "the key \"%.64s\" is there twice", json_string_value(key));
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
		if (read_key(&k, map, &key, err) || next_event(r, &v, err))
			return NULL;
		size_t before = enter_key(r, json_string_value(key), &k);
		json_t *value = read_node(r, &v, err);
		leave(r, before);
		if (!value || json_object_set_new(map, json_string_value(key), value))
			return NULL;
	}
}

static json_t *read_collection(struct reader *r, const yaml_event_t *e, struct err *err)
{
	if (++r->depth > r->max_depth) {
		fail_at(e, err, "nested more than %d deep", r->max_depth);
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
		return read_scalar(e, err);
	case YAML_SEQUENCE_START_EVENT:
		if (refuse_extras(e, e->data.sequence_start.anchor, e->data.sequence_start.tag, err))
			return NULL;
		return read_collection(r, e, err);
	case YAML_MAPPING_START_EVENT:
		if (refuse_extras(e, e->data.mapping_start.anchor, e->data.mapping_start.tag, err))
			return NULL;
		return read_collection(r, e, err);
	case YAML_ALIAS_EVENT:
		fail_at(e, err, "aliases (*name) are not supported; write the value itself");
		return NULL;
	default:
		fail_at(e, err, "a value is missing");
		return NULL;
	}
}

static int read_document(struct reader *r, const yaml_event_t *start, json_t **ret, struct err *err)
{
	if (start->data.document_start.version_directive ||
	    start->data.document_start.tag_directives.start != start->data.document_start.tag_directives.end)
		return fail_at(start, err, "directives (%%YAML, %%TAG) are not supported");
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
			return fail_at(&e, err, "a second document begins; one file holds one");
		if (read_document(r, &e, &value, err))
			return -1;
	}
	*ret = value ? steal_ptr(&value) : json_object();
	return 0;
}

/* Line by line, so that the message can name the line; comments hide things too. */
static int check_text(const char *text, size_t len, struct err *err)
{
	size_t line = 1;
	for (size_t at = 0; at < len; line++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		if (text_check(text + at, n, err))
			return err_wrap(err, "line %zu", line);
		at += n + 1;
	}
	return 0;
}

int yaml_parse_lines(const char *text, size_t len, const struct json_limits *limits, json_t **ret, json_t **ret_lines, struct err *err)
{
	if (len > limits->max_bytes)
		return err_set(err, ERR_INVALID, "larger than %zu bytes", limits->max_bytes);
	if (check_text(text, len, err))
		return -1;
	__attribute__((cleanup(cleanup_reader))) struct reader r = {
	    .max_depth = limits->max_depth, .path = BUF_INIT, .lines = json_object()};
	if (!yaml_parser_initialize(&r.parser))
		abort();
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
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

size_t yaml_line_of(const json_t *lines, const char *message)
{
	const char *end = strstr(message, ": ");
	cleanup_free char *path = xasprintf("%.*s", end ? (int)(end - message) : 0, message);

	while (*path) {
		const json_t *line = json_object_get(lines, path);
		if (line)
			return (size_t)json_integer_value(line);
		size_t len = strlen(path) - 1;
		while (len > 0 && path[len] != '.' && path[len] != '[')
			len--;
		path[len] = '\0';
	}
	return 0;
}
