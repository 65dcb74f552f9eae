/*
 * The git role: it alone knows the ops repo's address and credential. One thread, one loop (git.c): messages from core, polls
 * (poll.c, announce.c), results to commit (record.c), all on a bare clone (clone.c) that can be thrown away at any time.
 */
#ifndef DISPATCHER_GIT_GIT_H
#define DISPATCHER_GIT_GIT_H

#include "dispatcher/dispatcher.h"
#include "lib/git_remote.h"
#include "vault/ops.h"
#include "vault/ops_names.h"

#include <sys/queue.h>

#define TIP_REF "refs/disinto/tip" /* what the clone has of the branch */

/* Waiting longer after each failure, with jitter, so that many clients do not come back together. */
struct backoff {
	unsigned failures;
};
/* Counts a failure; ms until the next attempt, which doubles from `first_ms` to `most_ms`. */
int backoff_next(struct backoff *b, int first_ms, int most_ms);

/* A result that waits to be on the server. */
struct result_file {
	TAILQ_ENTRY(result_file) link;
	char id[VAULT_ID_MAX + 1];
	char *text;
	git_oid blob;  /* of the text */
	bool in_doubt; /* a push of `commit` holds it, and nobody said what became of that */
	git_oid commit;
};
TAILQ_HEAD(result_list, result_file);

struct git_state {
	const struct role_args *args;
	struct msg_conn conn;
	struct git_place place;
	char *branch; /* full name */
	char *clone_path;
	git_repository *repo;
	struct ops_past *past;
	struct ops_names *names;
	struct git_poller *poller;

	/* polls */
	bool has_tip; /* the clone has the branch at `tip` */
	git_oid tip;
	bool branch_missing; /* the server has had it, and has it no more */
	bool has_scanned;    /* core was told all that stands at `scanned` */
	git_oid scanned;
	json_t *announced; /* id -> {blob, commit, wait}: what core was told of as landed */
	json_t *cancelled; /* id -> blob of its cancel file */
	json_t *recorded;  /* ids whose result we put on the server since the last scan */
	json_t *misnamed;
	json_t *notes;
	char *poll_trouble; /* what was logged; NULL while polls work */
	struct backoff poll_backoff;
	int64_t poll_at_ms;
	int fetches; /* since the clone was compacted */

	/* results */
	struct result_list outbox;
	size_t n_outbox;
	char *push_trouble; /* what core was told; NULL while pushes work */
	struct backoff push_backoff;
	int64_t push_at_ms;

	bool core_gone; /* the socket is broken: end */
};

/* A copy that is valid UTF-8, as messages must be, whatever a server or a tree said; NULL for NULL. Caller frees. */
char *clean_text(const char *s);

/* Sends a message to core; takes the body. A broken socket is noted in core_gone. */
void tell_core(struct git_state *g, json_t *body);

/* clone.c */
int clone_open(struct git_state *g, struct err *err);
/* Throws the clone away, after an error that a broken one can give; the next poll makes it again. */
void clone_reset(struct git_state *g);
/* Fetches the branch and sets the tip. */
int clone_fetch(struct git_state *g, struct err *err);
/* Packs what many fetches left. Takes a while now and then, so only when there is nothing else to do. */
void clone_compact(struct git_state *g);

/* poll.c: looks at the server, announces what is new, says POLLED. */
void poll_now(struct git_state *g);

/* announce.c: tells core what stands at the tip and was not told yet. */
int announce_tip(struct git_state *g, struct err *err);

/* record.c */
void record_add(struct git_state *g, const char *id, const char *text);
/* Whether anything waits that could be pushed, were it time to. */
bool record_due(const struct git_state *g);
/* Commits and pushes what waits; after a failure, push_at_ms says when to try again. */
void record_flush(struct git_state *g);
void record_free(struct git_state *g);

#endif
