/*
 * For test_engine.c: the engine role as a child process, the test in core's place, and a real Docker Engine. The engine is a private one, or the one
 * of DISINTO_TEST_DOCKER_HOST (path of its socket).
 */
#ifndef TESTS_ENGINE_WORLD_H
#define TESTS_ENGINE_WORLD_H

#include "dispatcher/dispatcher.h"
#include "dispatcher/engine/api.h"
#include "lib/buf.h"
#include <sys/types.h>

#define IMAGE "disinto/runner:latest"
#define CANARY "canary-3f9a77c1-do-not-leak"

/* The engine of all tests. Starts it (setup of the group), or -1; world_engine_stop ends it and all that is in it. */
extern char engine_dir[64]; /* "" where the engine is somebody else's */
extern char engine_socket[108];
int world_engine_start(void);
void world_engine_stop(void);
void world_engine_script(const char *verb);

/* What main returns: starts the engine, runs the tests as a child, so that the engine is ended whatever becomes of them. */
int world_main(int (*all_tests)(void));

/* One engine role and its connection. */
struct world {
	pid_t pid;
	struct msg_conn core;
	struct config config;
	json_t *kept;   /* messages that came before somebody asked for them */
	struct buf log; /* what LOG said of the action that was asked for last */
	char id[32];    /* of the action; different in each test */
	char name[64];  /* of its container */
	struct api api; /* the test's own way to the engine */
};

void world_open(struct world *w, const char *socket_path);
void world_close(struct world *w);
void world_kill(struct world *w);   /* -9 */
void world_reopen(struct world *w); /* a fresh role on the same engine, as the parent makes one */

/* Sends a message about the action; members is a packed object or NULL, fd is taken. */
void world_say(struct world *w, enum msg_kind kind, json_t *members, int fd);
/* START with a formula of one step `run`; what `change` (an object or NULL, taken) has replaces members of the body. */
void world_start(struct world *w, const char *run, const char *secret, json_t *change);
/* The next message of this kind (others are kept, LOG is joined). Caller owns. Ends the test when none comes within a minute. */
json_t *world_hear(struct world *w, enum msg_kind kind);
/* The next that is one of these two. */
json_t *world_hear_either(struct world *w, enum msg_kind one, enum msg_kind other);
/* The secret (or none: NULL) through a pipe, whole or broken off. */
void world_secrets(struct world *w, const char *name, const char *value, bool whole);
/* READY, SECRETS, DELIVERED, GO, GOING. */
void world_go(struct world *w, const char *secret);

const char *text(const json_t *m, const char *key);
/* The container's inspect, NULL when it is not there. Caller owns. */
json_t *world_inspect(struct world *w);
/* Waits for the log to hold this. */
void world_log_has(struct world *w, const char *s);

#endif
