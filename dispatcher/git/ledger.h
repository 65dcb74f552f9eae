/*
 * The ledger as the git role works with it: a second branch of the ops repo, on which the server's compare-and-swap makes a push a lock (vault/ops/ledger.h has the formats).
 *
 * Life of an entry: core says CLAIM, or a result is on the branch, or an operator decides -> ledger_add queues it -> ledger_flush looks whether it is possible at the
 * tip, puts everything that is into one commit, pushes it without force -> won: answered; lost: looked at again at the new tip; unknown: the tip is read until it
 * is settled, and the same commit pushed again while the tip stands where it stood.
 */
#ifndef DISPATCHER_GIT_LEDGER_H
#define DISPATCHER_GIT_LEDGER_H

#include "lib/err.h"
#include "vault/ops/ledger.h"
#include <git2.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct git_state;

/* Waiting longer after each failure, with jitter, so that many clients do not come back together. */
struct backoff {
	unsigned failures;
};

/* A push whose end nobody told. While the tip is still `base`, the server may yet apply it. */
struct doubt {
	bool on;
	git_oid commit, base;
};

enum ledger_kind { LEDGER_CLAIM, LEDGER_FINISH, LEDGER_RERUN, LEDGER_BACKLOG };

/* One thing to be written. */
struct ledger_entry {
	TAILQ_ENTRY(ledger_entry) link;
	enum ledger_kind kind;
	char id[VAULT_ID_MAX + 1];
	struct ledger_claim claim; /* of LEDGER_CLAIM; of LEDGER_FINISH: written too if there is none at all */
	json_t *mine;              /* LEDGER_CLAIM: nonces that it may take the place of */
	struct ledger_done done;   /* LEDGER_FINISH */
	int64_t ask;               /* of the decision; -1: none */
	int64_t added_ms;          /* monotonic */
	bool sent;                 /* stands in the commit that is being pushed */
};
TAILQ_HEAD(ledger_list, ledger_entry);

/* Who has an action, by the ledger. */
enum ledger_status { LEDGER_NOBODY, LEDGER_OURS, LEDGER_OTHERS, LEDGER_FREE, LEDGER_FINISHED };
struct ledger_standing {
	enum ledger_status status;
	int attempt;     /* the one that a claim would be for, or that stands */
	const char *who; /* the dispatcher, borrowed until the next scan; NULL: nobody */
};

/* What stood there when the ledger was made. */
enum ledger_old { LEDGER_NEW, LEDGER_OLD_ACTION, LEDGER_OLD_RESULT };

struct ledger {
	bool on;    /* claims: ledger */
	bool there; /* the server had it at the last look */
	bool has_tip;
	git_oid tip;     /* in the clone */
	int64_t read_ms; /* monotonic; when the server said that this is the tip */
	bool has_seen;   /* the tip that it must descend from */
	git_oid seen;
	char *trouble;       /* why it can't be worked with; NULL */
	bool has_view_known; /* `view_known` is in the branch's history, or an operator accepted that it is not */
	git_oid view_known;
	bool view_accepted; /* the latter */

	/* What core was told of stands for this tip. */
	bool has_scanned;
	git_oid scanned;
	json_t *open;  /* claims without a done entry: id -> {dispatcher, nonce, attempt, deadline, free, trouble} */
	json_t *moved; /* ids whose entries changed since they were last looked at */
	struct ledger_origin origin;
	bool has_origin;
	git_oid lives;                 /* the folder dispatchers/ as it was read last */
	int64_t others_time;           /* when the youngest life of another dispatcher began, in Unix seconds; 0: there is no other */
	git_tree *done, *folders[256]; /* done/ as scanned, and its folders, while questions are asked */

	/* This dispatcher's life. */
	char incarnation[LEDGER_TOKEN_MAX + 1];
	json_t *former;
	bool incarnated, stranger;

	struct ledger_list entries;
	struct doubt doubt;
	char *push_trouble; /* NULL while pushes work */
	struct backoff backoff;
	int64_t push_at_ms; /* not before this, after a failure */
	int64_t spaced_ms;  /* nor before this, while more may come */
};

void ledger_init(struct git_state *g);
void ledger_free(struct git_state *g);
/* Forgets what was read from the clone. */
void ledger_reset(struct git_state *g);

/* ---- ledger.c: what it holds ---- */

/* Reads what is new at the tip. ERR_INVALID: it can't be believed. */
int ledger_scan(struct git_state *g, struct err *err);
/* Of an action, by what was scanned; without a ledger nobody has any. */
int ledger_status(struct git_state *g, const char *id, struct ledger_standing *ret, struct err *err);
/* Questions have been asked, for now. */
void ledger_rest(struct git_state *g);
/* What stood at an id when the ledger was made, whether or not that was accepted since. */
int ledger_is_old(struct git_state *g, const char *id, enum ledger_old *ret, struct err *err);
/* Whether another dispatcher is taken to be at work: one that began its life in the last thirty days. */
bool ledger_has_company(const struct git_state *g);
/* Appends {id, dispatcher, deadline} of each claim that is past its deadline. */
void ledger_overdue(const struct git_state *g, json_t *ret);
/* An entry of the tip. 0; 1: there is none; -1: it can't be read, or, with ERR_INVALID, makes no sense. */
int ledger_read_claim(struct git_state *g, const char *id, struct ledger_claim *ret, struct err *err);
int ledger_read_done(struct git_state *g, const char *id, struct ledger_done *ret, struct err *err);
int ledger_read_life(struct git_state *g, struct ledger_life *ret, struct err *err);
int ledger_read_origin(struct git_state *g, struct ledger_origin *ret, struct err *err);
int ledger_read_view(struct git_state *g, git_oid *ret, struct err *err);
/* Our own entries are at the tip now, and known. */
void ledger_know(struct git_state *g, const struct ledger_entry *e);

/* ---- claim.c: what is to be written ---- */

/* Queues an entry; takes `mine`. One of the same kind and id takes the place of the older one. */
void ledger_add(struct git_state *g, const struct ledger_entry *e);
bool ledger_has(const struct git_state *g, enum ledger_kind kind, const char *id);
/* Makes the ledger where there is none yet. */
int ledger_found(struct git_state *g, struct err *err);
/* Asks the server for the tip, fetches it if it is another one, and reads what is new. ERR_INVALID: it can't be worked with. */
int ledger_read_again(struct git_state *g, struct err *err);
/* Whether anything is to be written, and whether it could be now. */
bool ledger_due(const struct git_state *g);
bool ledger_ready(const struct git_state *g);
/* When, by the monotonic clock. */
int64_t ledger_push_at_ms(const struct git_state *g);
void ledger_flush(struct git_state *g);

/* ---- incarnate.c ---- */

/* Takes what REMEMBERED says of this life. */
int life_begin(struct git_state *g, const json_t *body, struct err *err);
/* What is to be done about our life at the tip. 0: it is ours; 1: to be written; -1: it is a stranger's (said to core) or can't be read. */
int life_check(struct git_state *g, struct err *err);
void life_written(struct git_state *g);
/* Tells core that this dispatcher must end. */
void life_refuse(struct git_state *g, const char *reason);

#endif
