/*
 * Files of the shell dispatcher, which this program replaces, into ours. Nothing here touches a disk.
 */
#ifndef CLI_TAKE_OVER_H
#define CLI_TAKE_OVER_H

#include "lib/buf.h"
#include "lib/err.h"
#include <jansson.h>

/*
 * An action, as TOML or JSON, into the text of vault/actions/<id>.json; `id` is the one in the file's name. Appends to `left` (an array of strings) what of it has no place
 * here. ERR_INVALID: it would be refused.
 */
int take_over_action(const char *id, json_t *old, struct buf *ret, json_t *left, struct err *err);
/* A formula, as TOML, into the text of vault/formulas/<name>.yaml; likewise. */
int take_over_formula(const char *name, json_t *old, struct buf *ret, json_t *left, struct err *err);

/* site_takeover.c: a whole site. Says on standard output what was taken over and what could not be or, where there is `ret`, in it as "taken_over" and "left". */
struct site;
int site_take_over(const struct site *s, const char *old, const char *identity, json_t *ret, struct err *err);

#endif
