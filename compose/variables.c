#include "compose/variables.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>

#define ENV_MAX (1024 * 1024)
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define MAX_NESTING 16
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

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

/* The end of a value whose quote was opened before s: the same quote, not escaped where escapes count. NULL: nowhere. */
static char *closing_quote(char *s, char quote)
{
	for (; *s && *s != quote; s++)
		if (*s == '\\' && s[1] && quote == '"')
			s++;
	return *s ? s : NULL;
}

/* What backslashes stand for between double quotes, in place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1] && strchr("nrt\\\"", s[1])) {
			s++;
			*to++ = *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s == 't' ? '\t' : *s;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Without quotes a value ends with its line, or with the blank before a '#'. Cuts it there. */
static void cut_plain(char *value)
{
	char *end = value;

	while (*end && !(*end == '#' && end > value && strchr(" \t", end[-1])))
		end++;
	while (end > value && strchr(" \t\r", end[-1]))
		end--;
	*end = '\0';
}

/* The value at s, cut out of the text; it may go over several lines in quotes. Returns what comes after it. */
static char *read_value(char *s, const json_t *known, json_t **ret)
{
	char quote = *s == '"' || *s == '\'' ? *s : '\0', *end = quote ? closing_quote(s + 1, quote) : NULL;
	cleanup_free char *replaced = NULL;
	char *rest;

	if (!end) {
		quote = '\0';
		end = s + strcspn(s, "\n");
	}
	rest = end + (*end != '\0');
	*end = '\0';
	if (quote) {
		s++;
		rest += strcspn(rest, "\n");
	} else {
		cut_plain(s);
	}
	if (quote == '"')
		unescape(s);
	if (quote != '\'')
		replaced = compose_substitute(s, known, NULL);
	*ret = json_string(replaced ? replaced : s);
	return rest;
}

/* NAME=VALUE, or NAME: VALUE, at s into the object. Returns where the next line begins. */
static char *read_variable(char *s, json_t *ret)
{
	size_t export, n;
	char *name, *next;
	json_t *value;

	s += strspn(s, " \t\r\n");
	export = strncmp(s, "export", 6) == 0 ? strspn(s + 6, " \t") : 0;
	s += export ? 6 + export : 0;
	n = strcspn(s, "=:\n");
	if (*s == '#' || n == 0 || !s[n] || s[n] == '\n')
		return s + strcspn(s, "\n");
	next = s + n + 1;
	next += strspn(next, " \t");
	name = s;
	while (n > 0 && strchr(" \t", name[n - 1]))
		n--;
	next = read_value(next, ret, &value);
	name[n] = '\0';
	json_object_set_new(ret, name, value);
	return next;
}

int compose_read_env(const char *path, json_t *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *at;

	if (file_read(path, ENV_MAX, &text, err) < 0)
		return -1;
	if (strlen(text.data) != text.len)
		return err_set(err, ERR_INVALID, "%s: holds a NUL byte", path);
	at = text.data + (strncmp(text.data, BYTE_ORDER_MARK, 3) == 0 ? 3 : 0);
	while (*at)
		at = read_variable(at, ret);
	return 0;
}
