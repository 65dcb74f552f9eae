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

static void say_polled(struct git_state *g, const char *trouble)
{
	cleanup_free char *reason = clean_text(trouble);
	bool scanned = g->has_scanned && g->has_tip && git_oid_equal(&g->scanned, &g->tip);
	tell_core(g, msg_new(MSG_POLLED, "{s:b, s:s?, s:s?, s:b, s:O, s:O}", "ok", !trouble, "reason", reason, "tip",
	                     g->has_tip ? git_oid_tostr_s(&g->tip) : NULL, "scanned", !trouble && (scanned || !g->has_tip), "misnamed",
	                     g->misnamed, "notes", g->notes));
}

/* History that is no continuation of what was seen: somebody rewrote the branch. */
static void check_rewritten(struct git_state *g, const git_oid *before)
{
	if (git_oid_equal(before, &g->tip) || git_graph_descendant_of(g->repo, &g->tip, before) == 1)
		return;
	git_error_clear();
	log_warn("the branch was rewritten: its tip does not descend from the last one", "before", git_oid_tostr_s(before), NULL);
}

/* The branch's tip on the server. 1: there is one; 0: nobody pushed yet. */
static int find_tip(struct git_state *g, git_oid *ret, struct err *err)
{
	const char *const prefixes[] = {g->branch, NULL};
	struct git_refs refs = {NULL, 0};

	if (git_poller_refs(g->poller, prefixes, &refs, err) < 0)
		return err_wrap(err, "poll");
	bool there = refs.n > 0;
	if (there)
		*ret = refs.v[0].oid;
	git_refs_free(&refs);
	g->branch_missing = !there && g->has_tip;
	if (g->branch_missing)
		return err_set(err, ERR_NOT_FOUND, "the ops repo has no branch %s any more", g->args->config->branch);
	return there;
}

/* What failed with the clone's help may be the clone's fault: it is cheaper to make it again than to find out. */
static int mend(struct git_state *g, struct err *err)
{
	if (err->code != ERR_FAIL || g->core_gone)
		return -1;
	clone_reset(g);
	return err_wrap(err, "the clone is made again");
}

static int fetch(struct git_state *g, struct err *err)
{
	git_oid before = g->tip;
	bool had = g->has_tip;
	if (clone_fetch(g, err) < 0)
		return g->poll_backoff.failures % 4 == 3 ? mend(g, err) : -1; /* more likely the server's doing */
	if (had)
		check_rewritten(g, &before);
	return 0;
}

static int look(struct git_state *g, struct err *err)
{
	git_oid tip;
	if (!g->repo && clone_open(g, err) < 0)
		return mend(g, err);
	git_alive(g);
	int rc = find_tip(g, &tip, err);
	if (rc <= 0)
		return rc;
	if ((!g->has_tip || !git_oid_equal(&tip, &g->tip)) && fetch(g, err) < 0)
		return -1;
	bool judge_again = g->judge_again && now_mono_ms() >= g->judge_at_ms;
	if (g->has_scanned && git_oid_equal(&g->scanned, &g->tip) && !judge_again)
		return 0;
	if (announce_tip(g, err) < 0)
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
		say_polled(g, NULL);
		return;
	}
	g->poll_at_ms = now_mono_ms() + backoff_next(&g->poll_backoff, interval, interval > RETRY_MOST_MS ? interval : RETRY_MOST_MS);
	log_change(g, err_msg(&err));
	say_polled(g, err_msg(&err));
}
