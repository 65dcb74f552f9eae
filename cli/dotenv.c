/*
 * dotenv files, read without guessing. See secrets.h.
 */
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN 128 /* what is longer is no name, and may be a value */

struct plain *plains_add(struct plains *p, char *name)
{
	p->v = xrealloc(p->v, (p->n + 1) * sizeof(*p->v));
	p->v[p->n] = (struct plain){.name = name, .source = BUF_INIT};
	return &p->v[p->n++];
}

void plains_free(struct plains *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].name);
		free(p->v[i].fault);
		free(p->v[i].path);
		sodium_free(p->v[i].value);
		buf_free(&p->v[i].source);
	}
	free(p->v);
	*p = (struct plains){NULL, 0};
}

/* The text that is left, and where in the file that is. */
struct reader {
	const unsigned char *p, *end;
	size_t line;
};

static bool at(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == (unsigned char)c;
}

static void skip_blanks(struct reader *r)
{
	while (at(r, ' ') || at(r, '\t'))
		r->p++;
}

/* Behind the end of the line. */
static void skip_line(struct reader *r)
{
	const unsigned char *newline = memchr(r->p, '\n', (size_t)(r->end - r->p));
	r->p = newline ? newline + 1 : r->end;
	r->line++;
}

static bool at_line_end(const struct reader *r)
{
	return r->p == r->end || at(r, '\n') || (at(r, '\r') && (r->p + 1 == r->end || r->p[1] == '\n'));
}

/* "[export] NAME =", up to and with the equals sign. NULL: it is none. Caller frees. */
static char *read_name(struct reader *r)
{
	static const char export[] = "export";
	size_t len = sizeof(export) - 1;
	if ((size_t)(r->end - r->p) > len && memcmp(r->p, export, len) == 0 && (r->p[len] == ' ' || r->p[len] == '\t')) {
		r->p += len;
		skip_blanks(r);
	}
	const unsigned char *begin = r->p;
	while (r->p < r->end && (isalnum(*r->p) || *r->p == '_' || *r->p == '.' || *r->p == '-'))
		r->p++;
	len = (size_t)(r->p - begin);
	skip_blanks(r);
	if (len == 0 || len > NAME_SHOWN || !at(r, '='))
		return NULL;
	r->p++;
	return strndup((const char *)begin, len);
}

static void fault(struct plain *entry, const char *why)
{
	if (!entry->fault)
		entry->fault = xstrdup(why);
}

/* What a shell would replace: a variable, a parameter, a command. */
static bool expands(const struct reader *r)
{
	return at(r, '$') && r->p + 1 < r->end && (isalnum(r->p[1]) || strchr("_{(@*#?!$-", r->p[1]));
}

#define SINGLE "; put the value in single quotes if it is meant as it stands"

static void put(struct plain *entry, unsigned char c)
{
	entry->value[entry->len++] = c;
}

static void read_unquoted(struct reader *r, struct plain *entry)
{
	unsigned char before = '\0';
	if (at(r, '#') && r->p[-1] == '=')
		fault(entry, "begins with #, which some programs take for a comment" SINGLE);
	for (; !at_line_end(r); r->p++) {
		if (at(r, '#') && (before == ' ' || before == '\t' || entry->len == 0))
			break;
		if (expands(r) || at(r, '`'))
			fault(entry, "has a $ or ` that some programs would expand" SINGLE);
		if (at(r, '\\') || at(r, '"') || at(r, '\''))
			fault(entry, "has a backslash or a quote in the middle of a value, which programs read differently" SINGLE);
		before = *r->p;
		put(entry, before);
	}
	while (entry->len > 0 && (entry->value[entry->len - 1] == ' ' || entry->value[entry->len - 1] == '\t'))
		entry->len--;
	skip_line(r);
}

/* The character for the one behind a backslash, in double quotes. 0: programs differ. */
static unsigned char unescape(unsigned char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '"':
	case '\\':
	case '$':
	case '`':
		return c;
	default:
		return '\0';
	}
}

static void read_escape(struct reader *r, struct plain *entry)
{
	unsigned char c = unescape(r->p[1]);
	if (!c)
		fault(entry, "has a backslash in double quotes before something other than n r t \" \\ $ or `" SINGLE);
	put(entry, c);
	r->line += r->p[1] == '\n';
	r->p += 2;
}

/* From behind the opening quote to behind the line's end. -1: no closing quote; what follows it is a fault. */
static int read_quoted(struct reader *r, char quote, struct plain *entry)
{
	while (r->p < r->end && !at(r, quote)) {
		if (quote == '"' && at(r, '\\') && r->p + 1 < r->end) {
			read_escape(r, entry);
			continue;
		}
		if (quote == '"' && (expands(r) || at(r, '`')))
			fault(
			    entry,
			    "has a $ or ` in double quotes that some programs would expand; write \\$ or \\` if it is meant as it stands");
		r->line += at(r, '\n');
		put(entry, *r->p++);
	}
	if (r->p == r->end)
		return -1;
	r->p++;
	const unsigned char *behind = r->p;
	skip_blanks(r);
	if (!at_line_end(r) && !(at(r, '#') && r->p > behind))
		fault(entry, "goes on behind its closing quote, which programs read differently" SINGLE);
	skip_line(r);
	return 0;
}

static int read_value(struct reader *r, struct plain *entry, struct err *err)
{
	size_t line = r->line;
	entry->value = sodium_malloc((size_t)(r->end - r->p) + 1);
	if (!entry->value)
		return err_set(err, ERR_FAIL, "no guarded memory for a value");
	if (at(r, ' ') || at(r, '\t'))
		skip_blanks(r);
	if (!at(r, '\'') && !at(r, '"')) {
		read_unquoted(r, entry);
		return 0;
	}
	char quote = (char)*r->p++;
	if (read_quoted(r, quote, entry) < 0)
		return err_set(err, ERR_INVALID, "line %zu: %s: its closing quote is missing", line, entry->name);
	return 0;
}

/* Memory as large as the value, and none for one that can't be taken. */
static int settle(struct plain *entry, struct err *err)
{
	unsigned char *whole = entry->value;
	entry->value = entry->fault ? NULL : sodium_malloc(entry->len + 1);
	if (entry->value)
		memcpy(entry->value, whole, entry->len);
	sodium_free(whole);
	return entry->value || entry->fault ? 0 : err_set(err, ERR_FAIL, "no guarded memory for a value");
}

static int read_entry(struct reader *r, struct plains *ret, struct err *err)
{
	size_t line = r->line;
	char *name = read_name(r);
	if (!name)
		return err_set(err, ERR_INVALID, "line %zu: is neither NAME=value nor a comment (a value of several lines needs quotes)",
		               line);
	for (size_t i = 0; i < ret->n; i++) {
		if (strcmp(ret->v[i].name, name) == 0) {
			err_set(err, ERR_INVALID, "line %zu: %s stands on line %zu already; keep one of them", line, name, ret->v[i].line);
			free(name);
			return -1;
		}
	}
	struct plain *entry = plains_add(ret, name);
	entry->line = line;
	if (read_value(r, entry, err) < 0)
		return -1;
	return settle(entry, err);
}

int dotenv_parse(const unsigned char *text, size_t len, struct plains *ret, struct err *err)
{
	cleanup_plains struct plains all = {NULL, 0};
	struct reader r = {text, text + len, 1};
	if (memchr(text, '\0', len))
		return err_set(err, ERR_INVALID, "has a NUL byte: it is no text file");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r.p += 3;
	while (r.p < r.end) {
		skip_blanks(&r);
		if (at_line_end(&r) || at(&r, '#'))
			skip_line(&r);
		else if (read_entry(&r, &all, err) < 0)
			return -1;
	}
	*ret = all;
	all = (struct plains){NULL, 0};
	return 0;
}
