/* One form for what compose lets people write in several. For compose/load.c. */
#ifndef COMPOSE_NORMAL_H
#define COMPOSE_NORMAL_H

#include "compose/load.h"

struct compose_surroundings {
	struct compose_loaded *l;
	const char *folder; /* where relative paths begin */
};

/* Replaces the service's variables, reads its env_file, and brings environment and volumes into the form that compose/load.h names. */
void compose_normalise(const struct compose_surroundings *around, const char *name, json_t *service);

/* Every string of a tree with its variables replaced; see compose_substitute(). Caller owns. */
json_t *compose_replaced(const json_t *value, const json_t *env, json_t *unset);

/* Puts `over` on top of `base`: maps are joined, lists put together (of commands the later one counts), all else is replaced. */
void compose_merge(json_t *base, const json_t *over);

#endif
