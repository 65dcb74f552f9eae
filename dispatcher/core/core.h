/*
 * The core: decides everything, and does nothing by itself.
 *
 * core_step() takes one event and appends the effects that follow from it. No I/O, no clock, no randomness: times come in with the event,
 * nonces are derived from the seed of this life, and what an effect brought about comes back as another event. The core role
 * (../core_role/) carries effects out in their order; the simulator (tests/sim) does the same with a simulated world.
 *
 * Everything that another process is asked to do is preceded by a journal write that has come back as EV_JOURNALED: after a
 * crash at any point, what stands in the journal says what may have happened.
 *
 *   state        meaning                                             journal on disk    slot
 *   WAITING      can't start now; `reason` says why; tried again     none..starting     no
 *   QUEUED       may start as soon as there is a slot                none..starting     no
 *   CLAIMING     `claimed` is being written                          none..starting     yes
 *   BIDDING      git wins the claim on the ledger; not when alone    claimed            yes
 *   PREPARING    `starting` is being written                         claimed            yes
 *   STARTING     engine makes the container, runner checks the task  starting           yes
 *   DELIVERING   keyring decrypts, engine passes on                  starting           yes
 *   COMMITTING   `going` is being written, with a fresh nonce        starting           yes
 *   CONFIRMING   git puts that nonce into the ledger                 going              yes
 *   GOING        GO was said; it may be running                      going              yes
 *   ENDING       the result is being written                         any                no
 *   RECORDING    git takes the result to the server                  result             no
 *   CLOSING      `recorded` is being written                         result             no
 *   DONE         nothing left to do; the id stays taken              recorded           no
 *
 * Before GOING a container may be thrown away and made again: nothing has run in it. From GOING on it is only ever followed.
 *
 * Claims (`claims: ledger`; with `claims: local` there is no BIDDING and no CONFIRMING). Each claim has a nonce, and a spool may replace only those claims
 * whose nonces it has journaled itself (`mine`). The first claim keeps others from preparing the same action; a dispatcher that has met no other for a while
 * saves itself that one, and goes from CLAIMING to PREPARING; the name of its container, which the engine gives away once, then stands for the claim against
 * what an earlier life with another spool may have left running. The second one, before GO, is what makes a run the only one of its attempt: its nonce goes to disk together with `going`, so that a copy of this spool either knows that the action may be running,
 * or does not know the nonce and can't take the claim. Time plays no part in it: a dispatcher that slept for a year between the two loses like any other.
 * What ends without having run (refusals, cancellations) is claimed too: its result goes to disk, then the claim is won, then git is given the result.
 */
#ifndef DISPATCHER_CORE_CORE_H
#define DISPATCHER_CORE_CORE_H

#include "vault/action.h"
#include "vault/formula.h"
#include "vault/name.h"
#include "vault/result.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum run_state {
	RUN_WAITING,
	RUN_QUEUED,
	RUN_CLAIMING,
	RUN_BIDDING,
	RUN_PREPARING,
	RUN_STARTING,
	RUN_DELIVERING,
	RUN_COMMITTING,
	RUN_CONFIRMING,
	RUN_GOING,
	RUN_ENDING,
	RUN_RECORDING,
	RUN_CLOSING,
	RUN_DONE,
};

/* What stands in runs/<id>/state.json. */
enum journal { JOURNAL_NONE, JOURNAL_CLAIMED, JOURNAL_STARTING, JOURNAL_GOING, JOURNAL_RESULT, JOURNAL_RECORDED };
const char *journal_name(enum journal j);
int journal_parse(const char *name, enum journal *ret); /* -1: unknown */

/* Why a container is being ended before its time. HALT_FAULT: before GO, something it needs failed. */
enum halt { HALT_NONE, HALT_CANCEL, HALT_TIMEOUT, HALT_FAULT };

/* One action and its one run. Owned by the core; the role reads it and, before EV_RECOVERED, fills it. */
struct run {
	TAILQ_ENTRY(run) link;
	char id[VAULT_ID_MAX + 1];
	enum run_state state;
	enum journal journal; /* the last one that may be on disk */
	int attempt;
	int ledger_attempt;   /* the last one that the ledger is known to have had for us; 0: none */
	int offered;          /* an operator freed this later attempt while the present one was under way; 0: none */
	char *offered_refuse; /* why that one must not run; NULL: it may */
	char *name;           /* container */
	char *claim;          /* nonce: the newest of this attempt */
	json_t *mine;      /* nonces that this spool may have put into the ledger for the present attempt, `claim` the last; NULL: none */
	bool won;          /* `claim` stands in the ledger */
	bool replaces;     /* of START: a container that has its name already never passed GO, since the claim is ours, and is removed */
	bool reclaiming;   /* git was asked whether the claim of an earlier life can still be had, and has not said */
	bool contested;    /* when it landed, a claim under our id stood there, perhaps of a life whose spool is gone */
	bool forfeited;    /* somebody else's stands there; its container is being ended */
	int64_t landed_ms; /* monotonic: when this life first heard that it may start */
	/* What landed. Object ids are hex; NULL where there is none. */
	char *commit, *action_blob, *formula_name, *formula_blob;
	char *tier, *policy_blob, *approval_mode, *approval_by; /* as git judged it */
	struct action action;                                   /* .json NULL: the text was refused */
	struct formula *formula;                                /* NULL: likewise */
	json_t *secrets;                                        /* {NAME: {blob, age}}; NULL after a restart until it lands again */
	json_t *secret_blobs;                                   /* {NAME: blob} */
	/* What became of it. */
	char *container, *image;         /* as the engine named them */
	int64_t started_ms, finished_ms; /* wall clock; 0: not yet */
	bool has_outcome;
	enum outcome outcome;
	bool has_exit_code;
	int exit_code;
	char *reason; /* why it waits; later why it did not succeed */
	char *noted;  /* the last reason to wait that was noted: each is noted once, not at each attempt */
	char *held;   /* why it must not start, as git judged it last; NULL: it may */
	bool log_truncated;
	/* Where it stands in its present state. */
	enum halt halt;
	char *halt_reason;
	bool halt_refuses; /* HALT_FAULT: it will never work */
	bool failed;       /* engine said FAILED while `going` was being written */
	bool decrypted, delivered;
	int failures;        /* in a row, for the backoff */
	int64_t retry_ms;    /* monotonic: WAITING and failed writes are tried again then; 0: on another event */
	int64_t deadline_ms; /* monotonic: GOING and CONFIRMING are killed then; 0: none */
	void *transcript;    /* the role's own; the core does not look at it */
};

TAILQ_HEAD(run_list, run);

enum event_kind {
	EV_RECOVERED,     /* run: from the journal of an earlier life, before any other event; the core takes it */
	EV_LANDED,        /* landed */
	EV_GONE,          /* id, reason, ok: another result stands there; taken: another dispatcher has it; neither: the file was removed */
	EV_CANCEL,        /* id, reason: by git or by an operator */
	EV_RECORDED,      /* id */
	EV_JOURNALED,     /* id, journal, ok, reason; nonce: of the claim in it */
	EV_CLAIMED,       /* id, attempt, nonce */
	EV_CLAIM_LOST,    /* id, attempt, nonce, reason, ok: it is finished */
	EV_INCARNATED,    /* ok: the ledger knows this life; !ok, reason: this spool is a copy, the dispatcher must end */
	EV_COMPANY,       /* another dispatcher may be at work */
	EV_FROZEN,        /* reason: why nothing new may start until an operator decides; NULL: nothing is in the way */
	EV_DECRYPTED,     /* id, attempt */
	EV_NOT_DECRYPTED, /* id, attempt, refuse, reason */
	EV_ENGINE,        /* ok, reason: the engine answers, or not */
	EV_READY,         /* id, attempt, container, image */
	EV_DELIVERED,     /* id, attempt */
	EV_FAILED,        /* id, attempt, refuse, reason */
	EV_EXITED,        /* id, attempt, exited */
	EV_ROLE_UP,       /* role_engine, role_git, role_keyring: one of them */
	EV_ROLE_DOWN,     /* the same */
	EV_STOP,          /* nothing new */
	EV_TICK,          /* time passed */
};

/* Everything in an event is borrowed, but for `run` of EV_RECOVERED and what `landed` says of its parts. */
struct landed {
	const char *commit, *action_blob, *formula_name, *formula_blob;
	const char *tier, *policy_blob, *approval_mode, *approval_by;
	struct action *action;    /* emptied when the core takes it; .json NULL when refused */
	struct formula **formula; /* set to NULL when the core takes it; *formula NULL when refused */
	json_t *secrets;          /* {NAME: {blob, age}}; a reference is added */
	int attempt;              /* that a claim would be for */
	bool claimed;             /* a claim for it stands in the ledger already, under our dispatcher id */
	const char *refuse;       /* why it must not run, or NULL */
	const char *wait;         /* why it can't be judged now, or NULL */
};

struct exited {
	bool going;           /* the runner said that it saw GO */
	const json_t *report; /* or NULL */
	bool has_exit_code;
	int exit_code;
	bool oom;
	const char *container, *image; /* or NULL */
	const char *reason;            /* what the engine says of it, or NULL */
};

struct event {
	enum event_kind kind;
	int64_t mono_ms, wall_ms;
	const char *id;
	int attempt;
	bool ok, refuse, taken;
	bool role_engine, role_git, role_keyring;
	const char *reason, *container, *image, *nonce;
	enum journal journal;
	struct run *run;
	const struct landed *landed;
	const struct exited *exited;
};

enum effect_kind {
	EFFECT_JOURNAL, /* write run's state.json as `journal` (JOURNAL_RESULT: result.json first); answer with EV_JOURNALED */
	EFFECT_START,   /* to engine */
	EFFECT_DECRYPT, /* a pipe from keyring to engine */
	EFFECT_GO,
	EFFECT_FOLLOW,
	EFFECT_HALT, /* TERM, KILL after the grace */
	EFFECT_KILL,
	EFFECT_REMOVE,
	EFFECT_CLAIM,   /* to git: `claim`, `mine` and `attempt` as they are when it is carried out */
	EFFECT_RECORD,  /* to git */
	EFFECT_QUIT,    /* the dispatcher must end: `text` says why */
	EFFECT_CHANGED, /* the run looks different from outside */
	EFFECT_NOTE,    /* worth a log line: `text` */
};

struct effect {
	enum effect_kind kind;
	struct run *run; /* borrowed from the core */
	enum journal journal;
	char *text; /* owned by the list */
};

struct effects {
	struct effect *v;
	size_t n, cap;
};
void effects_clear(struct effects *e); /* frees texts, keeps memory */
void effects_free(struct effects *e);

#define CORE_SEED_BYTES 32
/* How long another dispatcher is expected to take actions after the last sign of it. */
#define CORE_COMPANY_MS 600000

struct core_options {
	int capacity;
	const char *dispatcher_id;           /* borrowed */
	bool ledger;                         /* `claims: ledger` */
	unsigned char seed[CORE_SEED_BYTES]; /* random, of this life: nonces come from it */
};

struct core;
struct core *core_new(const struct core_options *options);
void core_free(struct core *c);

/* The only way in. */
void core_step(struct core *c, const struct event *ev, struct effects *out);

/* Monotonic time at which an EV_TICK is due, or -1. */
int64_t core_next_ms(const struct core *c);

/* Looking in. */
struct run *core_find(struct core *c, const char *id);                /* NULL: unknown */
struct run *core_find_by_container(struct core *c, const char *name); /* NULL: unknown */
/* The same for the container of an earlier attempt, which nothing needs any more. */
struct run *core_find_by_old_container(struct core *c, const char *name, int *ret_attempt);
const struct run_list *core_open_runs(const struct core *c); /* not DONE, in order of landing */
int core_active(const struct core *c);                       /* slots in use */
int core_queued(const struct core *c);                       /* WAITING and QUEUED */
int core_recording(const struct core *c);                    /* results on their way to the server */
bool core_stopping(const struct core *c);
/* Why nothing new starts at the moment, or NULL. Borrowed until the next step. */
const char *core_hold(const struct core *c);
/* What users call the state: waiting, queued, starting, running, recording, finished. */
const char *run_state_name(enum run_state s);
/* Calls fn for every run, DONE ones too. */
void core_each(struct core *c, void (*fn)(struct run *r, void *arg), void *arg);

/* Forgets a run that is DONE: its id stays taken by its result in the repository. */
void core_forget(struct core *c, struct run *r);

struct run *run_new(const char *id);
void run_free(struct run *r);

#endif
