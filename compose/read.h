/*
 * Any compose file as a tree, for those who judge it: unlike lib/yaml.h this reads all that compose tools read, anchors, aliases and merge keys
 * among it. Every scalar is a string, as it stands there ("yes", "012"), an empty one null; tags are passed over.
 */
#ifndef COMPOSE_READ_H
#define COMPOSE_READ_H

#include "lib/err.h"
#include <jansson.h>
#include <stddef.h>

#define COMPOSE_READ_MAX (1024 * 1024) /* bytes of one file */

struct compose_document {
	json_t *tree;
	json_t *lines;   /* "services.edge.volumes" -> line of the key, for keys that stand at most three deep */
	json_t *doubles; /* paths of keys that stand there twice; the last one counts */
};

/* ERR_INVALID, "line N: …": not YAML, no map, several documents, more than COMPOSE_READ_MAX bytes, or aliases that unfold to more than any site needs. */
int compose_read(const char *text, size_t len, struct compose_document *ret, struct err *err);
void compose_document_free(struct compose_document *d);
#define cleanup_compose_document __attribute__((cleanup(compose_document_free)))
#define COMPOSE_DOCUMENT_INIT \
	{ \
		NULL, NULL, NULL \
	}

#endif
