/*
 * A whole site on disk: compose file, Caddyfile and what the services take from files.
 */
#ifndef CLI_COMPOSE_H
#define CLI_COMPOSE_H

#include "compose/compose.h"
#include "lib/err.h"
#include "vault/config/config.h"

/* compose_site.c: what the compose file has to know of a configuration. */

struct compose_inputs {
	struct compose_site site; /* points into the rest and into the configuration */
	struct compose_input *list;
	char *repo;
};
/* `c` outlives it. */
void compose_inputs_of(const struct config *c, struct compose_inputs *ret);
void compose_inputs_free(struct compose_inputs *in);
#define cleanup_compose_inputs __attribute__((cleanup(compose_inputs_free)))
#define COMPOSE_INPUTS_INIT \
	{ \
		.list = NULL \
	}
/* The folder of the configuration's file. Caller frees. */
char *compose_folder(const struct config *c);

/* compose_check.c: where the commands look that take a whole site. */

struct args;
/* The folder of --config or DISINTO_CONFIG, else this one. Caller frees. */
char *compose_site_folder(const struct args *args);
/* The compose file in a folder, by the names that compose tools look for; NULL: none. Caller frees. */
char *compose_find(const char *folder);
/* "there is no compose file". Returns -1. */
int compose_none(const char *folder, struct err *err);

/* compose_files.c: the files themselves. */

enum compose_write {
	COMPOSE_DRY = 1,   /* write nothing, show what would change */
	COMPOSE_FORCE = 2, /* replace a compose file that somebody changed */
	COMPOSE_QUIET = 4, /* say nothing of what was made */
};
/*
 * Brings docker-compose.yml and .env.example up to date and makes, where they are missing, Caddyfile, the files in secrets/ and the folder staging/. Says what it does,
 * and shows as a diff what it leaves alone. *ret_left: how many files are not as they would be written, and stay so.
 */
int compose_write_files(const struct compose_site *site, int dir, unsigned flags, size_t *ret_left, struct err *err);

#endif
