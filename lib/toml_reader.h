/* What lib/toml.c and lib/toml_value.c share. */
#ifndef LIB_TOML_READER_H
#define LIB_TOML_READER_H

#include "lib/toml.h"

struct toml_reader {
	const char *p, *end; /* what is left; *end is NUL */
	const char *text;
	int depth, max_depth;
};

#define TOML_BARE "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* "line N: …" at where the reader stands. Returns -1. */
int toml_fail(const struct toml_reader *r, struct err *err, const char *what);
#define toml_fail(...) err_failed_((toml_fail)(__VA_ARGS__))
/* Passes over blanks; with `lines` over ends of lines and comments as well. */
void toml_skip(struct toml_reader *r, bool lines);
/* A string in quotes of any kind. Caller frees. NULL: err is set. */
char *toml_quoted(struct toml_reader *r, bool multiline, struct err *err);
/* Any value. NULL: err is set. */
json_t *toml_value(struct toml_reader *r, struct err *err);
/* "a.b.c = value" into the table. */
int toml_pair(struct toml_reader *r, json_t *table, struct err *err);

#endif
