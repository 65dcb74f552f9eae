/* One look at the server. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"

#include <malloc.h>
#include <string.h>
#include <sys/random.h>

#define RETRY_MOST_MS 30000

int backoff_next(struct backoff *b, int first_ms, int most_ms)
{
	unsigned char random = 128;
	int64_t ms = first_ms;
	for (unsigned i = 0; i < b->failures && ms < most_ms; i++)
		ms *= 2;
	b->failures++;
	if (ms > most_ms)
		ms = most_ms;
	if (getrandom(&random, 1, 0) != 1)
		random = 128;
	return (int)(ms * 3 / 4 + ms / 2 * random / 255);
}

/* One line where polls begin to fail, fail otherwise, or work again. */
static void log_change(struct git_state *g, const char *trouble)
{
	if (trouble ? g->poll_trouble && strcmp(trouble, g->poll_trouble) == 0 : !g->poll_trouble)
		return;
	if (trouble)
		log_warn("the ops repo can't be polled", "reason", trouble, NULL);
	else
		log_info("the ops repo is polled again", NULL);
	free(g->poll_trouble);
	g->poll_trouble = trouble ? xstrdup(trouble) : NULL;
}

/* What people should know: what is wrong in the repository now, what was changed that never should be, and who else could. */
static json_t *all_notes(const struct git_state *g)
{
	json_t *all = json_copy(g->notes);
	json_array_extend(all, g->changed);
	json_array_extend(all, g->unprotected);
	return all;
}

static void say_polled(struct git_state *g, const char *trouble)
{
	cleanup_free char *reason = clean_text(trouble);
	cleanup_free char *frozen = clean_text(g->frozen);
	cleanup_json json_t *overdue = json_array();
	bool scanned = g->has_scanned && g->has_tip && git_oid_equal(&g->scanned, &g->tip);

	ledger_overdue(g, overdue);
	tell_core(g, msg_new(MSG_POLLED, "{s:b, s:s?, s:s?, s:b, s:O, s:o, s:s?, s:O, s:i, s:b}", "ok", !trouble, "reason", reason, "tip",
	                     g->has_tip ? git_oid_tostr_s(&g->tip) : NULL, "scanned", !trouble && (scanned || !g->has_tip), "misnamed",
	                     g->misnamed, "notes", all_notes(g), "frozen", frozen, "overdue", overdue, "backlog", announced_backlog(g),
	                     "company", ledger_has_company(g)));
}

int poll_refs(struct git_state *g, struct git_refs *ret, const git_oid **ret_branch, const git_oid **ret_ledger, struct err *err)
{
	const char *const prefixes[] = {g->branch, LEDGER_REF, PROPOSAL_REFS, NULL};

	if (git_poller_refs(g->poller, prefixes, ret, err) < 0)
		return err_wrap(err, "poll");
	*ret_branch = git_refs_find(ret, g->branch);
	*ret_ledger = git_refs_find(ret, LEDGER_REF);
	return 0;
}

/* What failed with the clone's help may be the clone's fault: it is cheaper to make it again than to find out. */
static int mend(struct git_state *g, struct err *err)
{
	if (err->code != ERR_FAIL || g->core_gone)
		return -1;
	clone_reset(g);
	return err_wrap(err, "the clone is made again");
}

/* More likely the server's doing; where it goes on, the clone is tried anew now and then, without a word, since the trouble is the same. */
static int fetch(struct git_state *g, bool branch, bool ledger, struct err *err)
{
	if (clone_fetch(g, branch, ledger, err) == 0)
		return 0;
	if (g->poll_backoff.failures % 4 == 3 && err->code == ERR_FAIL && !g->core_gone)
		clone_reset(g);
	return -1;
}

/* Brings the clone up to the server. 1: there is a branch; 0: nobody pushed yet. */
static int find_tips(struct git_state *g, struct err *err)
{
	__attribute__((cleanup(git_refs_free))) struct git_refs refs = {NULL, 0};
	struct ledger *l = &g->ledger;
	const git_oid *branch, *ledger;
	int64_t begun = now_mono_ms();

	if (poll_refs(g, &refs, &branch, &ledger, err) < 0)
		return -1;
	pending_refs(g, &refs);
	g->branch_missing = !branch && g->has_tip;
	if (g->branch_missing)
		return err_set(err, ERR_NOT_FOUND, "the ops repo has no branch %s any more", g->args->config->branch);
	if (!l->on && ledger) {
		life_refuse(g, "the ops repo has a ledger (branch " LEDGER_BRANCH
		               "), and the configuration says claims: local, by which actions would run twice; say "
		               "claims: ledger");
		return err_set(err, ERR_DENIED, "claims: local, where there is a ledger");
	}
	l->there = ledger != NULL;
	bool branch_moved = branch && !(g->has_tip && git_oid_equal(branch, &g->tip));
	bool ledger_moved = ledger && !(l->has_tip && git_oid_equal(ledger, &l->tip));
	if ((branch_moved || ledger_moved) && fetch(g, branch_moved, ledger_moved, err) < 0)
		return -1;
	l->read_ms = begun;
	return branch != NULL;
}

/* The ledger as this dispatcher needs it: made where there is none, sound, and with our life in it before anything is said of what it holds. */
static int look_at_ledger(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;

	if (l->on && !l->there && !l->has_seen && *l->incarnation && !g->frozen) {
		if (ledger_found(g, err) < 0)
			return -1;
		if (history_check(g, err) < 0)
			return mend(g, err);
	}
	return 0;
}

static int look(struct git_state *g, struct err *err)
{
	if (!g->repo && clone_open(g, err) < 0)
		return mend(g, err);
	git_alive(g);
	int rc = find_tips(g, err);
	if (rc <= 0)
		return rc;
	if (history_check(g, err) < 0)
		return mend(g, err);
	if (look_at_ledger(g, err) < 0)
		return -1;
	/*
	 * Who has what can't be told, or what is shown may be no continuation of what was seen: nothing of it is taken on until that is over, for a replica that lags
	 * behind shows as removed what has only just landed.
	 */
	if (g->frozen)
		return 0;
	bool judge_again = g->judge_again && now_mono_ms() >= g->judge_at_ms;
	if (g->has_scanned && git_oid_equal(&g->scanned, &g->tip) && !judge_again && json_object_size(g->ledger.moved) == 0)
		return 0;
	rc = announce_tip(g, err);
	ledger_rest(g);
	pending_tip(g);
	if (rc < 0)
		return mend(g, err);
	malloc_trim(0);
	return 0;
}

void poll_now(struct git_state *g)
{
	cleanup_err struct err err = ERR_INIT;
	int interval = g->args->config->poll_seconds * 1000;
	int64_t begun = now_mono_ms();

	if (look(g, &err) == 0) {
		g->poll_backoff.failures = 0;
		g->poll_at_ms = begun + interval;
		log_change(g, NULL);
		history_keep(g);
		say_polled(g, NULL);
		return;
	}
	g->poll_at_ms = now_mono_ms() + backoff_next(&g->poll_backoff, interval, interval > RETRY_MOST_MS ? interval : RETRY_MOST_MS);
	log_change(g, err_msg(&err));
	say_polled(g, err_msg(&err));
}
