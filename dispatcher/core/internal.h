/* What the files of core/ share among themselves. */
#ifndef DISPATCHER_CORE_INTERNAL_H
#define DISPATCHER_CORE_INTERNAL_H

#include "dispatcher/core/core.h"

struct core {
	struct core_options options;
	void *by_id;          /* tsearch(3) tree of struct run */
	struct run_list open; /* not DONE, in order of landing */
	int active;           /* runs that hold a slot */
	bool engine_ok;
	char *engine_reason;
	bool git_up, keyring_up, engine_up;
	bool stopping;
	char *disk_reason; /* the last journal write failed: why; NULL when it went well */
	int64_t disk_retry_ms;
	/* of the step under way */
	struct effects *out;
	int64_t mono_ms, wall_ms;
};

/* Moves a run to a state, keeps count of slots, and tells the outside. */
void run_enter(struct core *c, struct run *r, enum run_state s);
void effect_add(struct core *c, enum effect_kind kind, struct run *r);
void effect_journal(struct core *c, struct run *r, enum journal j);
void effect_note(struct core *c, struct run *r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void set_text(char **field, const char *value); /* replaces an owned string; value may be NULL or the field itself */

void core_add(struct core *c, struct run *r); /* takes the run */

/* start.c: up to GO */
void core_landed(struct core *c, const struct event *ev);
void core_wait(struct core *c, struct run *r, const char *reason); /* back to WAITING, tried again after a growing pause */
void core_requeue(struct core *c, struct run *r);
void core_schedule(struct core *c); /* starts what may start */
void core_ready(struct core *c, struct run *r, const struct event *ev);
void core_delivered(struct core *c, struct run *r);
void core_not_decrypted(struct core *c, struct run *r, const struct event *ev);
void core_restart(struct core *c, struct run *r);
void core_fault(struct core *c, struct run *r, bool refuse, const char *reason);
void core_failed(struct core *c, struct run *r, bool refuse, const char *reason);

/* end.c: from GO to DONE */
void core_go(struct core *c, struct run *r);
void core_follow(struct core *c, struct run *r);
void core_exited(struct core *c, struct run *r, const struct exited *x);
void core_cancel(struct core *c, struct run *r, enum halt why, const char *reason);
/* Decides the outcome and has the result written. */
void core_finish(struct core *c, struct run *r, enum outcome outcome, const int *exit_code, const char *reason);
void core_recorded(struct core *c, struct run *r);
void core_gone(struct core *c, struct run *r, const struct event *ev);

#endif
