/* The structure of a TOML file: keys, tables, tables in lists. */
#include "lib/toml.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/toml_reader.h"
#include <string.h>

int(toml_fail)(const struct toml_reader *r, struct err *err, const char *what)
{
	size_t line = 1;

	for (const char *p = r->text; p < r->p && p < r->end; p++)
		line += *p == '\n';
	return err_set(err, ERR_INVALID, "line %zu: %s", line, what);
}

void toml_skip(struct toml_reader *r, bool lines)
{
	r->p += strspn(r->p, " \t");
	while (lines && (*r->p == '#' || *r->p == '\n')) {
		if (*r->p == '#')
			r->p += strcspn(r->p, "\n");
		r->p += strspn(r->p, " \t\n");
	}
}

/* One part of a key. Caller frees. */
static char *key_part(struct toml_reader *r, struct err *err)
{
	size_t len = strspn(r->p, TOML_BARE);
	char *part;

	if (*r->p == '"' || *r->p == '\'')
		return toml_quoted(r, false, err);
	if (len == 0) {
		toml_fail(r, err, "a key is missing");
		return NULL;
	}
	part = xasprintf("%.*s", (int)len, r->p);
	r->p += len;
	return part;
}

/* The table that a key of `table` names, made if it is missing; of a list of tables the last. NULL: it is something else. */
static json_t *inner(json_t *table, const char *key)
{
	json_t *value = json_object_get(table, key);

	if (!value) {
		value = json_object();
		json_object_set_new(table, key, value);
	}
	if (json_is_array(value))
		value = json_array_get(value, json_array_size(value) - 1);
	return json_is_object(value) ? value : NULL;
}

/* Reads "a.b.c": *ret_table the table that a.b names, *ret_key "c" (caller frees). `path`, if wanted, gets the parts and where in lists they are. */
static int dotted(struct toml_reader *r, json_t *table, json_t **ret_table, char **ret_key, struct buf *path, struct err *err)
{
	for (;;) {
		cleanup_free char *part = key_part(r, err);
		json_t *list;

		if (!part)
			return -1;
		toml_skip(r, false);
		list = json_object_get(table, part);
		if (path)
			buf_addf(path, "%s\n%zu\n", part, json_is_array(list) ? json_array_size(list) : 0);
		if (*r->p != '.') {
			*ret_table = table;
			*ret_key = steal_ptr(&part);
			return 0;
		}
		table = inner(table, part);
		if (!table)
			return toml_fail(r, err, "a part of the key is no table");
		r->p++;
		toml_skip(r, false);
	}
}

int toml_pair(struct toml_reader *r, json_t *table, struct err *err)
{
	cleanup_free char *key = NULL;
	json_t *value, *to;

	if (dotted(r, table, &to, &key, NULL, err) < 0)
		return -1;
	if (*r->p != '=')
		return toml_fail(r, err, "a key wants = and a value");
	if (json_object_get(to, key))
		return toml_fail(r, err, "the key is there twice");
	r->p++;
	toml_skip(r, false);
	value = toml_value(r, err);
	if (!value)
		return -1;
	return json_object_set_new(to, key, value) < 0 ? toml_fail(r, err, "not UTF-8") : 0;
}

/* [[name]]: one more table of the list. */
static json_t *one_more(json_t *table, const char *key)
{
	json_t *list = json_object_get(table, key), *made;

	if (!list) {
		list = json_array();
		json_object_set_new(table, key, list);
	}
	if (!json_is_array(list) || (json_array_size(list) > 0 && !json_is_object(json_array_get(list, 0))))
		return NULL;
	made = json_object();
	json_array_append_new(list, made);
	return made;
}

/* [name] or [[name]]; *ret is where the pairs that follow belong. `seen` holds the tables that had a line of their own. */
static int header(struct toml_reader *r, json_t *root, json_t *seen, json_t **ret, struct err *err)
{
	cleanup_free char *key = NULL;
	cleanup_buf struct buf path = BUF_INIT;
	bool many = r->p[1] == '[';
	json_t *table;

	r->p += many ? 2 : 1;
	toml_skip(r, false);
	if (dotted(r, root, &table, &key, &path, err) < 0)
		return -1;
	if (strncmp(r->p, many ? "]]" : "]", many ? 2 : 1) != 0)
		return toml_fail(r, err, "a table's name does not end");
	if (!many && (json_object_get(seen, path.data) || json_is_array(json_object_get(table, key))))
		return toml_fail(r, err, "the table is there twice");
	*ret = many ? one_more(table, key) : inner(table, key);
	if (!*ret)
		return toml_fail(r, err, "the name belongs to something else");
	if (!many)
		json_object_set_new(seen, path.data, json_true());
	r->p += many ? 2 : 1;
	return 0;
}

static int read_lines(struct toml_reader *r, json_t *root, struct err *err)
{
	cleanup_json json_t *seen = json_object();
	json_t *table = root;

	for (toml_skip(r, true); r->p < r->end; toml_skip(r, true)) {
		if ((*r->p == '[' ? header(r, root, seen, &table, err) : toml_pair(r, table, err)) < 0)
			return -1;
		toml_skip(r, false);
		if (*r->p != '\n' && *r->p != '#' && r->p < r->end)
			return toml_fail(r, err, "something stands behind the value");
	}
	return 0;
}

int toml_parse(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err)
{
	cleanup_json json_t *root = json_object();
	cleanup_free char *copy = NULL;

	if (len > limits->max_bytes)
		return err_set(err, ERR_INVALID, "larger than %zu bytes", limits->max_bytes);
	if (text_check(text, len, err) < 0)
		return -1;
	copy = xmalloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	struct toml_reader r = {.p = copy, .end = copy + len, .text = copy, .max_depth = limits->max_depth};
	if (read_lines(&r, root, err) < 0)
		return -1;
	*ret = steal_ptr(&root);
	return 0;
}
