/*
 * What the forge's files share: one call of its API.
 */
#ifndef VAULT_FORGE_CALL_H
#define VAULT_FORGE_CALL_H

#include "vault/forge/forge.h"

struct forge {
	struct http_client *http;
	char *url, *repo, *token_file;
	char *base; /* NULL: any */
};

/*
 * One call: `path` is below /api/v1, `body` (borrowed) is NULL for none. *ret, where it is wanted, gets the answer (caller owns), NULL where it was empty.
 * Errors as forge.h says; the forge's own message stands in theirs. A call that is not a GET is sent once: an ERR_UNREACHABLE or ERR_TIMEOUT leaves open
 * whether the forge acted upon it.
 */
int forge_call(struct forge *f, const char *method, const char *path, const json_t *body, json_t **ret, struct err *err);

/*
 * Calls `fn` for each element of a list that comes in pages, until fn returns true or there is none left. `path` has its own query, or none. ERR_FAIL:
 * there are more than anybody would read.
 */
int forge_each(struct forge *f, const char *path, bool (*fn)(const json_t *element, void *arg), void *arg, struct err *err);

/* A string member, of an inner object where `inner` is not NULL; NULL when it is not there. */
const char *forge_text(const json_t *o, const char *key, const char *inner);

#endif
