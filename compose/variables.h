/*
 * What compose puts into values: $NAME and ${NAME}, with ${NAME:-default} and its like, $$ for a dollar.
 */
#ifndef COMPOSE_VARIABLES_H
#define COMPOSE_VARIABLES_H

#include "lib/err.h"
#include <jansson.h>
#include <stdbool.h>

/*
 * Appends what .env or an env_file sets to the object: NAME=VALUE or NAME: VALUE, `export`, comments (also behind a value), quotes over several lines, and
 * variables in values, but for those in single quotes. ERR_NOT_FOUND: no such file.
 */
int compose_read_env(const char *path, json_t *ret, struct err *err);

/*
 * A value with its variables replaced, from the process' environment, else from `env`. A name that is not set and has no default is empty, and noted in `unset`
 * (an object; NULL: not wanted). Caller frees.
 */
char *compose_substitute(const char *value, const json_t *env, json_t *unset);
/* The same without an environment: only what stands in the value itself, its defaults. Caller frees. */
char *compose_literal(const char *value);

#endif
