#include "compose/variables.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>

#define ENV_MAX (1024 * 1024)
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define MAX_NESTING 16

struct replacing {
	const json_t *env;
	json_t *unset;
	bool literal; /* no variable has a value */
	int depth;
};

static void replace(struct replacing *r, const char *s, size_t len, struct buf *out);

static const char *look_up(const struct replacing *r, const char *name)
{
	const char *value = r->literal ? NULL : getenv(name);

	return value || r->literal ? value : json_string_value(json_object_get(r->env, name));
}

/* What stands in ${…}: NAME, and perhaps an operator with its word: :- - :+ + :? ? */
static void replace_braced(struct replacing *r, const char *s, size_t len, struct buf *out)
{
	size_t n = strspn(s, NAME_CHARS);
	cleanup_free char *name = xasprintf("%.*s", (int)(n < len ? n : len), s);
	const char *value = look_up(r, name), *word = s + strlen(name);
	bool colon = strlen(name) < len && *word == ':';
	bool set = value && !(colon && !*value);
	size_t left = len - strlen(name) - colon;
	char op = left > 0 ? word[colon] : '\0';

	word += colon + (op != '\0');
	left -= op != '\0';
	if (op == '+') {
		if (set)
			replace(r, word, left, out);
	} else if (set) {
		buf_adds(out, value);
	} else if (op == '-') {
		replace(r, word, left, out);
	} else if (r->unset && !value) {
		json_object_set_new(r->unset, name, json_true());
	}
}

/* Where the brace that was opened before s is closed; len: nowhere. Defaults may hold variables themselves. */
static size_t closing(const char *s, size_t len)
{
	int open = 1;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '{' && i > 0 && s[i - 1] == '$')
			open++;
		else if (s[i] == '}' && --open == 0)
			return i;
	}
	return len;
}

/* Replaces what begins with the dollar at s; returns how much of it that was. */
static size_t replace_one(struct replacing *r, const char *s, size_t len, struct buf *out)
{
	size_t n;

	if (len > 1 && s[1] == '$') {
		buf_addc(out, '$');
		return 2;
	}
	if (len > 1 && s[1] == '{') {
		n = closing(s + 2, len - 2);
		replace_braced(r, s + 2, n, out);
		return n + 3 < len ? n + 3 : len;
	}
	n = strspn(s + 1, NAME_CHARS);
	n = n < len - 1 ? n : len - 1;
	if (n == 0)
		buf_addc(out, '$');
	else
		replace_braced(r, s + 1, n, out);
	return n + 1;
}

static void replace(struct replacing *r, const char *s, size_t len, struct buf *out)
{
	size_t i = 0;

	if (++r->depth <= MAX_NESTING)
		while (i < len) {
			if (s[i] == '$')
				i += replace_one(r, s + i, len - i, out);
			else
				buf_addc(out, s[i++]);
		}
	r->depth--;
}

char *compose_substitute(const char *value, const json_t *env, json_t *unset)
{
	struct replacing r = {.env = env, .unset = unset};
	cleanup_buf struct buf out = BUF_INIT;

	replace(&r, value, strlen(value), &out);
	return buf_steal(&out);
}

char *compose_literal(const char *value)
{
	struct replacing r = {.literal = true};
	cleanup_buf struct buf out = BUF_INIT;

	replace(&r, value, strlen(value), &out);
	return buf_steal(&out);
}

/* NAME=VALUE of one line into the object. */
static void read_line(char *line, json_t *ret)
{
	char *name = line + strspn(line, " \t"), *value, *end;

	if (strncmp(name, "export ", 7) == 0)
		name += 7 + strspn(name + 7, " ");
	value = strchr(name, '=');
	if (*name == '#' || !value || value == name)
		return;
	*value++ = '\0';
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && strchr(" \t\r", end[-1]))
		*--end = '\0';
	if ((*value == '"' || *value == '\'') && end > value + 1 && end[-1] == *value) {
		end[-1] = '\0';
		value++;
	}
	json_object_set_new(ret, name, json_string(value));
}

int compose_read_env(const char *path, json_t *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *line, *rest;

	if (file_read(path, ENV_MAX, &text, err) < 0)
		return -1;
	if (text.len == 0)
		return 0;
	for (line = text.data; line; line = rest) {
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		read_line(line, ret);
	}
	return 0;
}
