/* A core with events by hand, for the unit tests of the core. */
#ifndef TESTS_UNIT_CORE_WORLD_H
#define TESTS_UNIT_CORE_WORLD_H

#include "dispatcher/core/core.h"

struct world {
	struct core *core;
	struct effects effects; /* of the last step */
	int64_t now;
	int attempt;     /* that the next landing is for */
	bool claimed;    /* whether a claim for it stands in the ledger then */
	bool retry_safe; /* what formulas that land say */
};

/* Fixtures of cmocka: capacity 2, dispatcher d1. */
int local_setup(void **state);
int ledger_setup(void **state);
int world_teardown(void **state);

/* One event; the effects that follow from it replace those before. */
void step(struct world *w, struct event ev);
const struct effect *effect_of(const struct world *w, enum effect_kind kind); /* the first of that kind; NULL: none */
enum run_state state_of(struct world *w, const char *id);
void land_with(struct world *w, const char *id, const char *blob, const char *refuse, const char *wait);
void land(struct world *w, const char *id);
void roles_up(struct world *w);
void journaled(struct world *w, const char *id, enum journal j);
void say(struct world *w, enum event_kind kind, const char *id); /* of the present attempt */
void exited(struct world *w, const char *id, const char *outcome, int code, bool going);
void recover(struct world *w, const char *id, enum journal j);
void recover_cancelled(struct world *w, const char *id, enum journal j, const char *reason);

#endif
