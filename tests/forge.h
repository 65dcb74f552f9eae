/*
 * A stand-in for a forge: an HTTP server on loopback that answers what a test told it to, and holds every request against the real
 * description of the API (tests/data/forge). Its own thread; all functions may be called while it serves.
 */
#ifndef TESTS_FORGE_H
#define TESTS_FORGE_H

#include <jansson.h>

struct fake_forge;

/* NULL: could not start. The API description is found from the root of the repository. */
struct fake_forge *fake_forge_start(const char *token);
void fake_forge_stop(struct fake_forge *f);

/* "http://127.0.0.1:PORT"; borrowed. */
const char *fake_forge_url(const struct fake_forge *f);

/* What the path (without /api/v1 and query) answers from now on. Takes the body. */
void fake_forge_answer(struct fake_forge *f, const char *method, const char *path, unsigned status, json_t *body);

/* From now on each page of a list is as full as the first. */
void fake_forge_endless(struct fake_forge *f);

/*
 * A forge that remembers: asked about every call before the answers above; NULL: it has none, else the body (owned by the caller) and *ret_status. Called by the
 * server's thread, one call at a time. `token` is what came with the call, "" without one.
 */
struct fake_forge_call {
	const char *method, *path, *token;
	const json_t *body; /* NULL: none */
};
typedef json_t *(*fake_forge_fn)(void *arg, const struct fake_forge_call *call, unsigned *ret_status);
void fake_forge_on(struct fake_forge *f, fake_forge_fn fn, void *arg);

/* The first request that the description does not allow, or that came without the token; NULL: none. Borrowed. */
const char *fake_forge_violation(struct fake_forge *f);
/* How many requests came for this path. */
int fake_forge_count(struct fake_forge *f, const char *path);
/* The body of the last request of that method for this path; caller owns, NULL: none came. */
json_t *fake_forge_body(struct fake_forge *f, const char *method, const char *path);

#endif
