/* What the files of the core role share: the pure core, the spool, and the connections. */
#ifndef DISPATCHER_CORE_ROLE_H
#define DISPATCHER_CORE_ROLE_H

#include "dispatcher/core/core.h"
#include "dispatcher/core/proposals.h"
#include "dispatcher/core_role/transcript.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/pulse.h"

/* A question from web that waits for the next whole poll. */
struct ask {
	json_int_t number;
	char *id;
};

struct house {
	const struct role_args *args;
	struct core *core;
	struct msg_conn conn[N_ROLES]; /* to each role; ROLE_PARENT too; fd -1 while it is down */
	struct pulse pulse;            /* of all roles but core */
	struct effects effects;
	struct event *pending; /* events that effects brought about, oldest first; their reasons are owned */
	size_t n_pending, cap_pending;
	bool recovering; /* the spool is being read */
	int64_t started_wall_ms;
	char *incarnation;     /* of this life, once it is on disk; NULL: not yet, or `claims: local` */
	json_t *former;        /* those that the ledger may hold still */
	bool git_waits;        /* a git role is up that can't be told its incarnation yet */
	int64_t git_retry_ms;  /* monotonic: it is tried again then */
	json_t *git_memory;    /* what the git role asked to have remembered; NULL: nothing yet */
	json_t *maybe_running; /* ids of the spool that may be running, as long as the engine has not said */
	size_t n_found;        /* runs in the spool at the start */
	bool listed;           /* the engine has told its containers once */
	json_t *strangers;     /* names of containers that were reported as unknown */
	json_t *removing;      /* {id: attempt} whose container engine was told to remove and did not say it has */
	/* leave.c */
	int64_t quit_at_ms;   /* monotonic: leave then at the latest; 0: no such limit */
	int64_t empty_ms;     /* monotonic: since then nothing is left but containers to be removed; 0: it is not so */
	bool draining;        /* an operator's drain */
	bool calling, called; /* git was told to call on_drained; what became of it is known */
	bool call_ok;
	char *call_reason;
	json_t *drain_asks; /* numbers of those who wait for the end of the drain */
	bool quit_sent;
	int64_t prune_at_ms;  /* monotonic: old runs leave the spool then */
	json_t *unread;       /* ids whose result could not be read from the spool */
	int64_t unread_at_ms; /* monotonic: it is tried again then, where there are any */
	/* as last heard */
	bool reports_ok;
	char *reports_reason;
	json_int_t reports_waiting;
	bool poll_ok, outbox_ok, keyring_ok, engine_ok;
	char *poll_reason, *outbox_reason, *keyring_reason, *engine_reason, *engine_version, *tip;
	int64_t last_poll_ms; /* wall clock of the last good one; 0: none */
	json_int_t outbox_waiting;
	json_t *misnamed, *notes;
	struct {
		int times;       /* since core began */
		char *reason;    /* of the last time; NULL: never */
		int64_t last_ms; /* wall clock */
	} replaced[N_ROLES];
	char *given_up[N_ROLES]; /* why core has the parent kill it; NULL: it does not */
	char *status_sent;       /* the last STATUS, to send only changes */
	char *frozen;            /* nothing new may start until an operator decides: why */
	json_t *overdue;         /* claims in the ledger past their deadline */
	json_int_t backlog;      /* actions that wait for accept-backlog */
	int polls_wanted;        /* by webhooks: 0 to 2, the first of them was told to git and is not POLLED yet */
	json_t *tokens;          /* of the API, as in vault/token.h */
	struct ask *asks;
	size_t n_asks;
	struct proposals proposals;
	json_t *proposed;  /* what waits for approval: as in PENDING; NULL: git has not said yet */
	json_t *proposing; /* number of the question -> {id, task_id, repo} */
	json_t *deciding;  /* numbers of the questions that git was given to decide */
};

/* effects.c: carries out what the core decided; what it brings about is put into h->pending. */
void house_carry_out(struct house *h);
/* Results that could not be read from the spool are tried again. */
void house_record_again(struct house *h);
/* Sends to a role; takes the body and the descriptor. Dropped (descriptor closed) while the role is down: ROLE_UP makes good for it. */
void house_send(struct house *h, enum role to, json_t *body, int fd);

/* hear.c: a message from a role becomes an event. -1: the role talks nonsense and must be replaced. */
int house_hear(struct house *h, enum role from, struct msg *m, struct err *err);
/* One event through the core, with everything that follows from it. */
void house_step(struct house *h, struct event *ev);

/* ledger.c: what is particular to `claims: ledger` */
bool house_uses_ledger(const struct house *h);
void house_greet_git(struct house *h); /* a git role is up: tells it what it must know, first of all */
void house_claim(struct house *h, struct run *r);
void house_hear_claim(struct house *h, enum event_kind kind, const char *id, const json_t *body);
void house_hear_incarnated(struct house *h, const json_t *body);
void house_hear_ledger(struct house *h, const json_t *polled);
bool house_decide(struct house *h, json_int_t ask, const char *op, const char *id); /* false: not an operator's decision */
void house_withdraw(struct house *h, json_int_t ask, const char *id);
void house_decided(struct house *h, const json_t *body);
void house_undecided(struct house *h); /* git went down: nobody answers any more */
json_t *house_ledger_status(const struct house *h);

/* boot.c: what a start finds */
/* Reads the spool. Before any other event. */
int house_recover(struct house *h, struct err *err);
/* A line in boot.log, and one in the log. id NULL: about no action. */
void house_found(struct house *h, const char *id, const char *found, const char *did);
void house_boot_containers(struct house *h, const json_t *containers);
/* After the core has taken it. */
void house_boot_exited(struct house *h, const struct run *r, const struct exited *x);

/* core_role.c */
void house_remove(struct house *h, const struct run *r);
void house_tidy(struct house *h, const json_t *containers);
/* Once in each turn: a sign of life to the parent, and a question for one to every role; one that hangs is replaced. */
void house_pulse(struct house *h);

/* leave.c */
void house_stop(struct house *h, bool fast);
/* called: a core before this one had on_drained called. */
void house_drain(struct house *h, bool called);
/* What became of on_drained; the first word counts. */
void house_called(struct house *h, bool ok, const char *reason);
/* Leaves, if it is to leave and nothing is left to wait for. */
void house_leave(struct house *h);
/* Tells the parent to end all; the first word counts. */
void house_quit(struct house *h, int exit_code);
/* What it waits for, in a sentence, caller frees; NULL: it does not leave. */
char *house_leaving(const struct house *h);

/* propose.c: proposals that come over HTTP */
void house_init_proposals(struct house *h);
void house_propose(struct house *h, json_int_t ask, const json_t *body);
void house_proposed(struct house *h, const json_t *body);
void house_hear_pending(struct house *h, const json_t *body);
void house_show_pending(struct house *h); /* to web */
bool house_is_pending(const struct house *h, const char *id);
/* Those who wait too long get their answer; all: git went down, so everybody does. */
void house_expire_proposals(struct house *h, bool all);

/* tokens.c */
void house_load_tokens(struct house *h);
void house_show_tokens(struct house *h); /* to web */
/* An answer to a change of tokens; false: the question is another one. */
bool house_ask_token(struct house *h, json_int_t ask, const char *op, const json_t *body);

/* show.c: what web is told. */
json_t *house_row(const struct run *r);
void house_answer(struct house *h, json_int_t ask, int code, json_t *body);      /* takes the body */
void house_refuse(struct house *h, json_int_t ask, int code, const char *error); /* {error} */
void house_show_status(struct house *h);
void house_show_run(struct house *h, const struct run *r);
void house_show_all(struct house *h);
int house_ask(struct house *h, const json_t *body, struct err *err); /* -1: nonsense */
void house_answer_polled(struct house *h, bool ok, const char *reason);

#endif
