/* A YAML document with everything in it, unfolded within bounds. */
#include "compose/read.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 64
#define MAX_NODES 200000 /* after unfolding: a few lines of aliases of aliases make billions */
#define LINES_DEPTH 3

struct unfolding {
	yaml_document_t *from;
	struct compose_document *to;
	struct buf path;
	int depth;
	size_t nodes;
};

static json_t *unfold(struct unfolding *u, int index, struct err *err);

static const char *scalar_of(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

#define fail_at(node, err, ...) (err_set(err, ERR_INVALID, __VA_ARGS__), err_wrap(err, "line %zu", (node)->start_mark.line + 1))

static json_t *unfold_scalar(const yaml_node_t *node, struct err *err)
{
	const char *s = (const char *)node->data.scalar.value;
	bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (strlen(s) != node->data.scalar.length) {
		fail_at(node, err, "a value holds NUL");
		return NULL;
	}
	if (plain && (!*s || strcmp(s, "~") == 0 || strcasecmp(s, "null") == 0))
		return json_null();
	return json_string(s);
}

static json_t *unfold_sequence(struct unfolding *u, const yaml_node_t *node, struct err *err)
{
	cleanup_json json_t *array = json_array();

	for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		json_t *item = unfold(u, *i, err);

		if (!item || json_array_append_new(array, item) < 0)
			return NULL;
	}
	return steal_ptr(&array);
}

/* Notes where a key stands, and that it stands there twice. Returns the path's length before, for leave(). */
static size_t enter(struct unfolding *u, const yaml_node_t *key, const char *name, bool twice)
{
	size_t before = u->path.len;

	buf_addf(&u->path, "%s%s", before ? "." : "", name);
	if (twice)
		json_array_append_new(u->to->doubles, json_string(u->path.data));
	if (u->depth <= LINES_DEPTH)
		json_object_set_new(u->to->lines, u->path.data, json_integer((json_int_t)key->start_mark.line + 1));
	return before;
}

static void leave(struct unfolding *u, size_t before)
{
	u->path.len = before;
	u->path.data[before] = '\0';
}

/* The pairs that stand in the map itself. */
static int unfold_pairs(struct unfolding *u, const yaml_node_t *node, json_t *map, struct err *err)
{
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(u->from, p->key);
		const char *name = scalar_of(key);
		json_t *value;
		size_t before;

		if (!name || strlen(name) != key->data.scalar.length)
			return fail_at(key, err, "a key is not text");
		if (strcmp(name, "<<") == 0)
			continue;
		before = enter(u, key, name, json_object_get(map, name) != NULL);
		value = unfold(u, p->value, err);
		leave(u, before);
		if (!value || json_object_set_new(map, name, value) < 0)
			return -1;
	}
	return 0;
}

/* What `<<` names, one map or several; the first of them that has a key wins, after the map itself. */
static int merge(const yaml_node_t *key, const json_t *from, json_t *map, struct err *err)
{
	const json_t *item;
	size_t i;

	if (json_is_object(from))
		return json_object_update_missing(map, (json_t *)from);
	if (!json_is_array(from))
		return fail_at(key, err, "what << names is no map");
	json_array_foreach (from, i, item) {
		if (!json_is_object(item))
			return fail_at(key, err, "what << names is no map");
		json_object_update_missing(map, (json_t *)item);
	}
	return 0;
}

static int unfold_merges(struct unfolding *u, const yaml_node_t *node, json_t *map, struct err *err)
{
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(u->from, p->key);
		const char *name = scalar_of(key);
		cleanup_json json_t *from = NULL;

		if (!name || strcmp(name, "<<") != 0)
			continue;
		from = unfold(u, p->value, err);
		if (!from || merge(key, from, map, err) < 0)
			return -1;
	}
	return 0;
}

static json_t *unfold_mapping(struct unfolding *u, const yaml_node_t *node, struct err *err)
{
	cleanup_json json_t *map = json_object();

	if (unfold_pairs(u, node, map, err) < 0 || unfold_merges(u, node, map, err) < 0)
		return NULL;
	return steal_ptr(&map);
}

/* An alias is the node that it names, so a loop is a matter of depth, and a bomb one of numbers. */
static json_t *unfold(struct unfolding *u, int index, struct err *err)
{
	const yaml_node_t *node = yaml_document_get_node(u->from, index);
	json_t *value = NULL;

	if (++u->nodes > MAX_NODES || u->depth >= MAX_DEPTH) {
		fail_at(node, err, "too much of it, or too deep, once aliases are unfolded");
		return NULL;
	}
	u->depth++;
	if (node->type == YAML_SCALAR_NODE)
		value = unfold_scalar(node, err);
	else if (node->type == YAML_SEQUENCE_NODE)
		value = unfold_sequence(u, node, err);
	else
		value = unfold_mapping(u, node, err);
	u->depth--;
	return value;
}

static int load(yaml_parser_t *parser, yaml_document_t *ret, struct err *err)
{
	if (yaml_parser_load(parser, ret))
		return 0;
	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	return err_set(err, ERR_INVALID, "line %zu: %s", parser->problem_mark.line + 1, parser->problem ? parser->problem : "not YAML");
}

static int unfold_document(yaml_document_t *from, struct compose_document *to, struct err *err)
{
	struct unfolding u = {.from = from, .to = to, .path = BUF_INIT};

	if (!yaml_document_get_root_node(from))
		return err_set(err, ERR_INVALID, "it is empty");
	to->tree = unfold(&u, 1, err);
	buf_free(&u.path);
	if (!to->tree)
		return -1;
	return json_is_object(to->tree) ? 0 : err_set(err, ERR_INVALID, "line 1: it is no map of keys");
}

/* Nothing may follow what was read. */
static int expect_end(yaml_parser_t *parser, struct err *err)
{
	yaml_document_t next;
	bool more;

	if (load(parser, &next, err) < 0)
		return -1;
	more = yaml_document_get_root_node(&next) != NULL;
	yaml_document_delete(&next);
	return more ? err_set(err, ERR_INVALID, "a second document begins; one file holds one") : 0;
}

int compose_read(const char *text, size_t len, struct compose_document *ret, struct err *err)
{
	cleanup_compose_document struct compose_document document = {NULL, json_object(), json_array()};
	__attribute__((cleanup(yaml_parser_delete))) yaml_parser_t parser;
	yaml_document_t first;
	int code;

	if (!yaml_parser_initialize(&parser))
		abort();
	if (len > COMPOSE_READ_MAX)
		return err_set(err, ERR_INVALID, "larger than %d bytes", COMPOSE_READ_MAX);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (load(&parser, &first, err) < 0)
		return -1;
	code = unfold_document(&first, &document, err);
	yaml_document_delete(&first);
	if (code < 0 || expect_end(&parser, err) < 0)
		return -1;
	*ret = document;
	document = (struct compose_document)COMPOSE_DOCUMENT_INIT;
	return 0;
}

void compose_document_free(struct compose_document *d)
{
	json_decref(d->tree);
	json_decref(d->lines);
	json_decref(d->doubles);
	*d = (struct compose_document)COMPOSE_DOCUMENT_INIT;
}
