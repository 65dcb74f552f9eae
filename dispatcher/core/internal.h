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
	bool incarnated;    /* the ledger knows this life, and git is up */
	char *outcast;      /* why this spool must not be used any more; NULL: it may */
	char *frozen;       /* why nothing new may start until an operator decides; NULL: it may */
	int64_t company_ms; /* monotonic: until then another dispatcher is expected to take actions */
	uint64_t nonces;    /* how many were derived from the seed */
	bool stopping;
	char *disk_reason; /* the last journal write failed: why; NULL when it went well */
	int64_t disk_retry_ms;
	bool disk_noted; /* that it can't be written; until it can again */
	/* of the step under way */
	struct effects *out;
	int64_t mono_ms, wall_ms;
};

/* Moves a run to a state, keeps count of slots, and tells the outside. */
void run_enter(struct core *c, struct run *r, enum run_state s);
void effect_add(struct core *c, enum effect_kind kind, struct run *r);
void effect_journal(struct core *c, struct run *r, enum journal j);
void effect_text(struct core *c, enum effect_kind kind, struct run *r, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define effect_note(c, r, ...) effect_text(c, EFFECT_NOTE, r, __VA_ARGS__)
void set_text(char **field, const char *value); /* replaces an owned string; value may be NULL or the field itself */

void core_add(struct core *c, struct run *r);  /* takes the run */
void core_done(struct core *c, struct run *r); /* `recorded` is on disk, or nothing ever was */

/* claim.c: the ledger */
/* How often it is asked whether a claim still stands of a run that nobody has announced again, or that is held back. */
#define CORE_RECLAIM_MS 60000
bool core_holds_claim(const struct core *c, const struct run *r); /* nothing has to be won (again) before its result is recorded */
void core_new_nonce(struct core *c, struct run *r);               /* to be journaled before it is claimed */
void core_met_rival(struct core *c);                              /* another dispatcher took an action, or may be about to */
bool core_is_alone(const struct core *c);                         /* nobody else takes actions at the moment, as far as is known */
/* Of a run of an earlier life that nobody has announced again, or one that is held back: it may be somebody else's by now. */
void core_reclaim(struct core *c, struct run *r);
void core_claim(struct core *c, struct run *r); /* asks git, now or as soon as the ledger knows this life */
void core_claimed(struct core *c, struct run *r, const struct event *ev);
void core_claim_lost(struct core *c, struct run *r, const struct event *ev);
void core_drop(struct core *c, struct run *r, const char *reason); /* it is not ours, or not to be done any more; no result of ours */
bool core_take_offer(struct core *c, struct run *r);               /* of a later attempt that an operator gave free. false: there is none */
void core_incarnated(struct core *c, const struct event *ev);
int64_t core_claim_due_ms(const struct core *c, const struct run *r); /* when a queued run may be claimed */
bool core_try_again(struct core *c, struct run *r, const char *why);  /* a lost run of a formula that says retry: safe. false: not */

/* start.c: up to GO */
void core_landed(struct core *c, const struct event *ev);
void core_wait(struct core *c, struct run *r, const char *reason); /* back to WAITING, tried again after a growing pause */
void core_requeue(struct core *c, struct run *r);
void core_schedule(struct core *c);               /* starts what may start */
void core_prepare(struct core *c, struct run *r); /* the claim stands */
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
void core_overtime(struct core *c, struct run *r); /* it should have ended by now */
/* Decides the outcome and has the result written. */
void core_finish(struct core *c, struct run *r, enum outcome outcome, const int *exit_code, const char *reason);
void core_recorded(struct core *c, struct run *r);
void core_gone(struct core *c, struct run *r, const struct event *ev);

#endif
