/*
 * The git role: it alone knows the ops repo's address and credential. One loop (git.c): messages from core, polls
 * (poll.c, history.c, announce.c), results to commit (record.c), claims and done entries to write into the ledger (ledger.h), proposals to make (propose.c) and to look at
 * (pending.c), all on a bare clone (clone.c) that can be thrown away at any time. What the forge is to do for proposals and results (report.c), or to say (protection.c), a second thread asks of it
 * (errand.h), which touches nothing of what stands here.
 */
#ifndef DISPATCHER_GIT_GIT_H
#define DISPATCHER_GIT_GIT_H

#include "dispatcher/dispatcher.h"
#include "dispatcher/git/errand.h"
#include "dispatcher/git/ledger.h"
#include "lib/git_remote.h"
#include "vault/approval/approval_signed.h"
#include "vault/forge/forge.h"
#include "vault/ops/ops.h"
#include "vault/ops/ops_names.h"
#include "vault/policy/policy_history.h"
#include "vault/ssh/allowed_signers.h"
#include "vault/ssh/ssh_key.h"

#include <sys/queue.h>

#define TIP_REF "refs/disinto/tip"             /* what the clone has of the branch */
#define LEDGER_TIP_REF "refs/disinto/ledger"   /* and of the ledger */
#define PROPOSED_REFS "refs/disinto/proposed/" /* and of the branches of proposals */

/* Counts a failure; ms until the next attempt, which doubles from `first_ms` to `most_ms`. */
int backoff_next(struct backoff *b, int first_ms, int most_ms);

/* A result that waits to be on the server. */
struct result_file {
	TAILQ_ENTRY(result_file) link;
	char id[VAULT_ID_MAX + 1];
	char *text;
	git_oid blob;              /* of the text */
	struct ledger_done done;   /* all but the commit; with the ledger only, as is what follows */
	struct ledger_claim claim; /* as the result says, for a run from before there was a ledger */
	int64_t ask;               /* of a DECIDE that wants it recorded; -1: core asked by RECORD */
	char *blocked;             /* why it can't be pushed at the moment; NULL */
	bool sent;                 /* in the commit that was built last */
	bool in_doubt;             /* a push of `commit` holds it, and nobody said what became of that */
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
	int additions; /* packs in the clone, and pushes since it was compacted */

	/* history */
	bool has_seen; /* the tip that the branch must go on from */
	git_oid seen;
	char *frozen;      /* why nothing new may start; NULL */
	char *memory_said; /* what core was told to remember */
	char archived[11]; /* the day of the last archiving, "2026-03-31"; "" */
	int64_t archive_at_ms;
	json_t *changed;     /* texts: what was edited or removed after it was recorded */
	json_t *unprotected; /* texts: in what way anybody but us may push to the ledger, by the forge's word */

	struct ledger ledger;

	/* judgement */
	bool remembered; /* core has said what we knew in an earlier life; nothing is judged before */
	struct policy_history *policies;
	char *policy_trouble; /* what stands in the way of walking on, or what was logged of a policy that is not in force; NULL */
	struct allowed_signers *signers;
	char *signers_trouble;  /* why there are none */
	char *signers_left_out; /* its lines that can allow nothing, as they were said last; NULL: none */
	struct forge *forge;    /* made when first asked */
	json_t *forge_asked;    /* commit -> monotonic ms of the first time that the forge knew nothing of it */
	json_t *approved;       /* "mode commit path blob" -> by whom: what was found approved stays so */
	bool policy_moved; /* another policy came into force in this walk: what was announced is judged again, as it may be frozen now */
	bool judge_again;  /* something waits that time alone may mend */
	int64_t judge_at_ms;

	/* results */
	struct ssh_private_key *key; /* signs them; NULL: nothing does */
	struct result_list outbox;
	size_t n_outbox;
	struct doubt doubt; /* about the last push of results */
	char *push_trouble; /* of results; NULL while pushes work */
	char *trouble_said; /* what core was told of pushes, of either branch */
	struct backoff push_backoff;
	int64_t push_at_ms;

	struct pending *pending;           /* pending.c */
	struct reports *reports;           /* report.c */
	TAILQ_HEAD(, proposing) proposing; /* asked for by clients, and not made yet */
	struct errands *errands;           /* at the forge */

	int64_t alive_ms; /* monotonic: when core last got a sign of life unasked */
	bool core_gone;   /* the socket is broken: end */
};

/* A copy that is valid UTF-8, as messages must be, whatever a server or a tree said; NULL for NULL. Caller frees. */
char *clean_text(const char *s);

/* Sends a message to core; takes the body. A broken socket is noted in core_gone. */
void tell_core(struct git_state *g, json_t *body);

/* A sign of life before each step that may take long, where several follow on another without a look at what core says. */
void git_alive(struct git_state *g);

/* clone.c */
int clone_open(struct git_state *g, struct err *err);
/* Throws the clone away, after an error that a broken one can give; the next poll makes it again. */
void clone_reset(struct git_state *g);
/* Fetches the branch, the ledger or both, and sets their tips. */
int clone_fetch(struct git_state *g, bool branch, bool ledger, struct err *err);
/* Notes that the server has a commit of ours as the tip of the branch (TIP_REF) or of the ledger (LEDGER_TIP_REF). */
int clone_set_tip(struct git_state *g, const char *ref, const git_oid *commit, struct err *err);
/* A commit of ours with these changes on `parent` (NULL: none), signed where there is a key. */
int clone_commit(struct git_state *g, const git_oid *parent, const struct git_change *changes, size_t n, const char *message, git_oid *ret,
                 struct err *err);
/* Packs what many fetches left. Takes a while now and then, so it waits for an idle moment as long as it can. */
void clone_compact(struct git_state *g, bool idle);

/* poll.c: looks at the server, announces what is new, says POLLED. */
void poll_now(struct git_state *g);

/* The tips on the server, NULL where there is none; ret is freed by the caller. */
int poll_refs(struct git_state *g, struct git_refs *ret, const git_oid **ret_branch, const git_oid **ret_ledger, struct err *err);

/* history.c: whether both branches go on from what was seen of them, now and in earlier lives. */
/* Takes what core remembered. ERR_INVALID: it is damaged. */
int history_remember(struct git_state *g, const json_t *state, struct err *err);
/* Has core remember what is new. */
void history_keep(struct git_state *g);
/* Sets or clears g->frozen after a look at the server, moves on what was seen, and reads what is new in the ledger. -1: the clone can't be read. */
int history_check(struct git_state *g, struct err *err);
/*
 * An operator has looked at it: what stands on the branch now counts. Entries of the ledger that were seen and are missing are put back first. ERR_NOT_FOUND: they
 * can't be.
 */
int history_accept(struct git_state *g, struct err *err);
/* Whether `commit` is the branch's tip or an ancestor of it. */
bool history_has(struct git_state *g, const git_oid *commit);

/* announce.c: tells core what stands at the tip and was not told yet. */
int announce_tip(struct git_state *g, struct err *err);
/* How many of what was announced wait as the backlog. */
int announced_backlog(const struct git_state *g);

/* judge.c: by which policy, and whether approved */
struct judgement {
	char *refuse, *wait; /* at most one; NULL: it may run */
	const char *tier, *mode;
	char *by, *policy_blob;
};
#define JUDGEMENT_INIT \
	{ \
		.refuse = NULL \
	}
void judgement_free(struct judgement *j);
#define cleanup_judgement __attribute__((cleanup(judgement_free)))
void judge_init(struct git_state *g);
void judge_free(struct git_state *g);
/* Takes the policies that core remembered. ERR_INVALID: they are damaged. */
int judge_remember(struct git_state *g, const json_t *state, struct err *err);
/* Walks the policies up to the tip, and has core remember how far it came. Before anything at the tip is judged. -1: the repository can't be read. */
int judge_follow(struct git_state *g, struct err *err);
/* -1: the repository can't be read. */
int judge_action(struct git_state *g, const struct ops_landing *l, const struct ops_action *a, struct judgement *ret, struct err *err);
void judge_forget(struct git_state *g, const char *id);

/*
 * approve.c: whether a file that landed is approved as the mode wants. 0: *ret_by is who (owned; NULL in mode landed). ERR_INVALID: it is not: refuse. Any other code:
 * it can't be told now; wait.
 */
int approve_file(struct git_state *g, enum approval_mode mode, const struct approval_file *file, char **ret_by, struct err *err);
/* Reads the list of signers anew, if the configuration names one. */
void approve_refresh(struct git_state *g);

/* pending.c: the branches vault/<id> that wait for approval */
void pending_init(struct git_state *g);
void pending_free(struct git_state *g);
/* Takes on where they stand on the server. */
void pending_refs(struct git_state *g, const struct git_refs *refs);
/* The tip moved: some may have landed, and policy may judge others anew. */
void pending_tip(struct git_state *g);
/* When there is something to look at (monotonic); INT64_MAX: nothing. */
int64_t pending_at_ms(const struct git_state *g);
/* Looks at some of them, and tells core when something changed. */
void pending_look(struct git_state *g);
/* Our own push changed one, just now; head NULL: it is gone. */
void pending_set(struct git_state *g, const char *id, const git_oid *head);
/* Where what anybody may have pushed is fetched from: bounded in time and size. */
struct git_place pending_place(const struct git_state *g);
/* Where a proposal's branch was seen last; false: there is none. */
bool pending_head(const struct git_state *g, const char *id, git_oid *ret);
/* Takes on what the forge says of their requests. */
void pending_pulls(struct git_state *g, const struct errand *errand);
void pending_pull(struct git_state *g, const struct forge_pull *pull);

/* report.c: results told on the forge */
void report_init(struct git_state *g);
void report_end(struct git_state *g);
void report_remember(struct git_state *g, const json_t *ids); /* what an earlier life had to tell; NULL: nothing */
json_t *report_memory(const struct git_state *g);             /* the same of this life; caller owns */
void report_add(struct git_state *g, const char *id);
void report_keep(struct git_state *g); /* before core hears of any that was added */
int64_t report_at_ms(const struct git_state *g);
void report_next(struct git_state *g);
void report_done(struct git_state *g, const struct errand *errand);

/* protection.c: whether the forge protects the ledger, looked at once in each life */
void protection_ask(struct git_state *g);
void protection_told(struct git_state *g, const struct errand *errand);

/* propose.c: proposals for clients. Each is answered by PROPOSED, now or when its errand comes back. */
int propose_add(struct git_state *g, const json_t *body, struct err *err);
void propose_next(struct git_state *g); /* makes the first that waits */
void propose_requested(struct git_state *g, const struct errand *errand);
/* Takes one back: its request is closed and its branch removed. Answered by DECIDED. */
void propose_withdraw(struct git_state *g, const char *id, int64_t ask);
void propose_closed(struct git_state *g, const struct errand *errand);
void propose_free(struct git_state *g);

/* drained.c: calls on_drained, if there is one, and tells core what became of it. */
void drained_call(struct git_state *g);

/* record.c */
/* Takes a result on; `ask`: of the decision that wants it, or -1. ERR_INVALID: it is no result. */
int record_add(struct git_state *g, const char *id, const char *text, int64_t ask, struct err *err);
/* A result on the branch that whoever has the claim wrote, or an operator for him, or a life of that dispatcher; and its text. */
bool record_is_of_claim(struct git_state *g, const git_oid *result, const char *nonce, const char *dispatcher, struct buf *ret_text);
/* Whether a result of that id is on its way. */
bool record_has(const struct git_state *g, const char *id);
/* Likewise, under another claim than this one. */
bool record_has_other(const struct git_state *g, const char *id, const char *nonce);
/* Both parts of a result are on the server, or somebody else's are. */
void record_finished(struct git_state *g, const char *id, int64_t ask, const git_oid *commit);
void record_superseded(struct git_state *g, const char *id, int64_t ask, const char *reason);
/* Core hears of it when pushing begins to fail, fails otherwise, or works again; so does the log. */
void record_say_state(struct git_state *g);
/* Whether anything waits that could be pushed, were it time to. */
bool record_due(const struct git_state *g);
/* Commits and pushes what waits; after a failure, push_at_ms says when to try again. */
void record_flush(struct git_state *g);
void record_free(struct git_state *g);

/* archive.c: whether old actions are to be moved today, and that. */
bool archive_due(const struct git_state *g);
void archive_now(struct git_state *g);

/* decide.c: an operator's decisions. Answered by DECIDED, now or when they are on the server. */
int decide(struct git_state *g, const json_t *body, struct err *err);
/* The claim of an action that an operator may settle at the present tips; *ret_no: why he may not (owned), else NULL. -1: the repository can't be read. */
int decide_claim(struct git_state *g, const char *id, struct ledger_claim *ret, char **ret_no, struct err *err);
void say_decided(struct git_state *g, int64_t ask, const char *trouble);

#endif
