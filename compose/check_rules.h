/* What the rules of compose/check*.c share. */
#ifndef COMPOSE_CHECK_RULES_H
#define COMPOSE_CHECK_RULES_H

#include "compose/load.h"
#include <stdbool.h>

/* true, "yes", "on", … */
bool compose_is_true(const json_t *value);
/* A string member, or "". Borrowed. */
const char *compose_text_of(const json_t *service, const char *key);

/* Services that are meant to hold the engine's socket. */
bool compose_may_have_socket(const char *service);

/* The place on the machine that a volume of a service shows: a bind's source, or what a named volume is bound to. NULL: none. Borrowed. */
const char *compose_place_of(const struct compose_loaded *l, const json_t *volume);
/* A path with its links followed as far as they lead on this machine, and /var/run as /run. Caller frees. */
char *compose_canonical(const char *path);

/* check_reach.c: ways to the socket, and to the machine's own folders and devices. */
void compose_check_reach(struct compose_loaded *l, const char *name, const json_t *service);
void compose_check_devices(struct compose_loaded *l, const char *name, const json_t *service);
/* check_control.c: ways to the dispatcher around its tokens. */
void compose_check_control(struct compose_loaded *l, const char *name, const json_t *service);

#endif
