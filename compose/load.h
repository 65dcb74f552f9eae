/*
 * Compose files as compose itself takes them together: variables replaced, what extends and include name brought in, overrides on top, and each service
 * in one form. For compose/check*.c only.
 */
#ifndef COMPOSE_LOAD_H
#define COMPOSE_LOAD_H

#include "compose/read.h"
#include "lib/err.h"
#include <jansson.h>
#include <stddef.h>

struct compose_loaded {
	json_t *
	    services; /* name -> service; environment and networks are maps, volumes are objects {source, target, bind: true or false} with absolute sources */
	json_t *volumes;  /* of the outermost level, as they stand there */
	json_t *files;    /* secrets and configs: name -> absolute path, for those that come from a file */
	json_t *where;    /* "services.edge.volumes" -> "docker-compose.yml:12" */
	json_t *findings; /* what was seen on the way */
	json_t *env;      /* of .env; while an included project is read, its own */
	size_t n_files;
};
#define COMPOSE_LOADED_INIT \
	{ \
		.n_files = 0 \
	}

int compose_load(const char *const *files, size_t n, struct compose_loaded *ret, struct err *err);
void compose_loaded_free(struct compose_loaded *l);
#define cleanup_compose_loaded __attribute__((cleanup(compose_loaded_free)))

/* Adds a finding about a service (NULL: about none) at services.<service>.<key> (key NULL: the service itself). The same again is not added. */
void compose_found(struct compose_loaded *l, const char *kind, const char *service, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The same where the place is known. */
void compose_found_at(struct compose_loaded *l, const char *kind, const char *service, const char *where, const char *message);

/* check_clear.c: secrets that stand in a file as it is written. */
void compose_check_clear(struct compose_loaded *l, const char *file, const struct compose_document *document);

/* An array of one for a single string; borrowed items, caller owns the array. */
json_t *compose_listed(const json_t *value);

#endif
