/*
 * Whether both branches go on from what was seen of them. The protected branch must keep the last tip on its first-parent chain, the ledger may only grow; where they do not, or
 * the server shows an older state than was seen, nothing new starts until that is over or an operator accepts it.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"

#include <string.h>

/* ---- what core keeps ---- */

static bool take_oid(const json_t *state, const char *key, git_oid *ret)
{
	const char *hex = json_string_value(json_object_get(state, key));
	return hex && strlen(hex) == GIT_OID_HEXSZ && git_oid_fromstr(ret, hex) == 0;
}

int history_remember(struct git_state *g, const json_t *state, struct err *err)
{
	const char *archived = json_string_value(json_object_get(state, "archived"));

	if (!state || json_is_null(state))
		return 0;
	if (judge_remember(g, json_object_get(state, "policies"), err) < 0)
		return -1;
	g->has_seen = take_oid(state, "seen", &g->seen);
	g->ledger.has_seen = take_oid(state, "ledger", &g->ledger.seen);
	g->ledger.view_accepted = g->ledger.has_view_known = take_oid(state, "accepted", &g->ledger.view_known);
	report_remember(g, json_object_get(state, "reports"));
	if (archived && strlen(archived) < sizeof(g->archived))
		memcpy(g->archived, archived, strlen(archived) + 1);
	g->memory_said = json_compact(state);
	return 0;
}

static void put_oid(json_t *state, const char *key, bool there, const git_oid *oid)
{
	if (there)
		json_object_set_new(state, key, json_string(git_oid_tostr_s(oid)));
}

void history_keep(struct git_state *g)
{
	json_t *state = json_pack("{s:o}", "policies", policy_history_save(g->policies));

	put_oid(state, "seen", g->has_seen, &g->seen);
	put_oid(state, "ledger", g->ledger.has_seen, &g->ledger.seen);
	put_oid(state, "accepted", g->ledger.view_accepted, &g->ledger.view_known);
	if (*g->archived)
		json_object_set_new(state, "archived", json_string(g->archived));
	json_t *reports = report_memory(g);
	if (reports)
		json_object_set_new(state, "reports", reports);
	char *text = json_compact(state);
	if (g->memory_said && strcmp(text, g->memory_said) == 0) {
		free(text);
		json_decref(state);
		return;
	}
	free(g->memory_said);
	g->memory_said = text;
	tell_core(g, msg_new(MSG_REMEMBER, "{s:o}", "state", state));
}

/* ---- ancestry ---- */

static bool descends(struct git_state *g, const git_oid *tip, const git_oid *from)
{
	bool yes = git_oid_equal(tip, from) || git_graph_descendant_of(g->repo, tip, from) == 1;
	git_error_clear();
	return yes;
}

bool history_has(struct git_state *g, const git_oid *commit)
{
	return g->has_tip && descends(g, &g->tip, commit);
}

/* Whether it is among the first parents of the tip, as which alone anything counts as landed. */
static bool on_chain(struct git_state *g, const git_oid *commit)
{
	cleanup_git(git_revwalk) git_revwalk *walk = NULL;
	git_oid oid;

	if (git_oid_equal(&g->tip, commit))
		return true;
	if (git_revwalk_new(&walk, g->repo) < 0 || git_revwalk_simplify_first_parent(walk) < 0 || git_revwalk_push(walk, &g->tip) < 0)
		return false;
	while (git_revwalk_next(&oid, walk) == 0)
		if (git_oid_equal(&oid, commit))
			return true;
	return false;
}

/* ---- faults ---- */

#define SHORT "%.10s"

/* Caller frees; NULL: there is none. */
static char *branch_fault(struct git_state *g)
{
	const char *branch = g->args->config->branch;
	char seen[GIT_OID_HEXSZ + 1], tip[GIT_OID_HEXSZ + 1];

	if (!g->has_tip || !g->has_seen || git_oid_equal(&g->tip, &g->seen))
		return NULL;
	git_oid_tostr(seen, sizeof(seen), &g->seen);
	git_oid_tostr(tip, sizeof(tip), &g->tip);
	if (!descends(g, &g->tip, &g->seen))
		return xasprintf("%s was rewritten, or the server shows an older state: its tip " SHORT " does not descend from " SHORT
		                 ", the last one seen; look at what changed, then disinto accept-history",
		                 branch, tip, seen);
	if (!on_chain(g, &g->seen))
		return xasprintf("%s was turned round: " SHORT ", the last tip seen, came into " SHORT
		                 " by a merge from the side; look at what changed, then disinto accept-history",
		                 branch, seen, tip);
	return NULL;
}

static char *ledger_fault(struct git_state *g)
{
	struct ledger *l = &g->ledger;
	char seen[GIT_OID_HEXSZ + 1], tip[GIT_OID_HEXSZ + 1];

	if (!l->on || !l->has_seen)
		return NULL;
	if (!l->there)
		return xstrdup("the branch " LEDGER_BRANCH
		               " is not on the server any more; without it nobody knows what has run: restore it, or let disinto "
		               "accept-history put back what this dispatcher saw of it");
	if (!l->has_tip || descends(g, &l->tip, &l->seen))
		return NULL;
	git_oid_tostr(seen, sizeof(seen), &l->seen);
	git_oid_tostr(tip, sizeof(tip), &l->tip);
	return xasprintf("the branch " LEDGER_BRANCH " lost entries: its tip " SHORT " does not descend from " SHORT
	                 ", the last one seen; restore it, or let disinto accept-history put back what this dispatcher saw of it",
	                 tip, seen);
}

static void freeze(struct git_state *g, char *reason)
{
	if (reason && (!g->frozen || strcmp(reason, g->frozen) != 0))
		log_error("nothing new starts", "reason", reason, NULL);
	else if (!reason && g->frozen)
		log_info("history is sound again", NULL);
	free(g->frozen);
	g->frozen = reason;
}

/* 0: it may be believed, or that was said in l->trouble; -1. */
static int read_ledger(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	cleanup_err struct err why = ERR_INIT;

	free(l->trouble);
	l->trouble = ledger_fault(g);
	if (!l->on || l->trouble || !l->has_tip || !l->there)
		return 0;
	if (ledger_scan(g, &why) < 0) {
		if (why.code != ERR_INVALID) {
			err_move(err, &why);
			return -1;
		}
		l->trouble = clean_text(err_msg(&why));
		return 0;
	}
	l->seen = l->tip;
	l->has_seen = true;
	return 0;
}

int history_check(struct git_state *g, struct err *err)
{
	char *fault = branch_fault(g);

	if (!fault && g->has_tip) {
		g->seen = g->tip;
		g->has_seen = true;
	}
	if (read_ledger(g, err) < 0) {
		free(fault);
		return -1;
	}
	if (!fault && g->ledger.trouble)
		fault = xstrdup(g->ledger.trouble);
	freeze(g, fault);
	return 0;
}

/* ---- an operator's word ---- */

struct lost {
	struct git_change *changes; /* paths and contents owned */
	size_t n;
	git_tree *now;
	git_tree *base; /* where what was seen and what stands there parted; NULL: they have nothing in common */
	git_repository *repo;
};

/* What was seen at a path is gone: there is nothing, or what stood there before it. What was written since by others counts. */
static bool is_lost(const struct lost *lost, const char *path, const git_tree_entry *seen)
{
	cleanup_git(git_tree_entry) git_tree_entry *now = NULL;
	cleanup_git(git_tree_entry) git_tree_entry *base = NULL;

	int rc = git_tree_entry_bypath(&now, lost->now, path);
	bool there = rc == 0 && lost->base && git_tree_entry_bypath(&base, lost->base, path) == 0;
	git_error_clear();
	if (rc != 0)
		return rc == GIT_ENOTFOUND;
	return there && git_oid_equal(git_tree_entry_id(now), git_tree_entry_id(base)) &&
	       !git_oid_equal(git_tree_entry_id(now), git_tree_entry_id(seen));
}

static int see_lost(const char *root, const git_tree_entry *e, void *arg)
{
	struct lost *lost = arg;
	cleanup_buf struct buf text = BUF_INIT;
	char *path = xasprintf("%s%s", root, git_tree_entry_name(e));

	bool wanted = git_tree_entry_type(e) == GIT_OBJECT_BLOB &&
	              (strncmp(path, LEDGER_CLAIMS "/", 7) == 0 || strncmp(path, LEDGER_DONE "/", 5) == 0) && is_lost(lost, path, e);
	if (!wanted || git_repo_blob(lost->repo, git_tree_entry_id(e), LEDGER_MAX_BYTES, &text, NULL) < 0) {
		free(path);
		return 0;
	}
	lost->changes = xrealloc(lost->changes, (lost->n + 1) * sizeof(*lost->changes));
	lost->changes[lost->n].path = path;
	lost->changes[lost->n].len = text.len;
	lost->changes[lost->n++].content = buf_steal(&text);
	return 0;
}

/* The commit that holds what stands there and every claim and done entry that `seen` has besides. */
static int with_lost(struct git_state *g, git_oid *ret, struct err *err)
{
	struct lost lost = {.repo = g->repo};
	cleanup_git(git_tree) git_tree *seen = NULL;
	git_oid base;
	int rc = git_repo_tree(g->repo, &g->ledger.seen, "", &seen, err);

	if (rc == 0 && git_merge_base(&base, g->repo, &g->ledger.seen, &g->ledger.tip) == 0)
		rc = git_repo_tree(g->repo, &base, "", &lost.base, err);
	git_error_clear();

	if (rc == 0)
		rc = git_repo_tree(g->repo, &g->ledger.tip, "", &lost.now, err);
	if (rc == 0 && git_tree_walk(seen, GIT_TREEWALK_PRE, see_lost, &lost) < 0)
		rc = git_err(err, -1, "read what was seen of " LEDGER_BRANCH);
	if (rc == 0)
		rc = clone_commit(g, &g->ledger.tip, lost.changes, lost.n, "ledger: entries that were lost\n", ret, err);
	for (size_t i = 0; i < lost.n; i++) {
		free((char *)(uintptr_t)lost.changes[i].path);
		free((char *)(uintptr_t)lost.changes[i].content);
	}
	free(lost.changes);
	git_tree_free(lost.now);
	git_tree_free(lost.base);
	return rc;
}

static int put_back(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	cleanup_git(git_commit) git_commit *seen = NULL;
	git_oid commit = l->seen;

	if (git_commit_lookup(&seen, g->repo, &l->seen) < 0)
		return git_err(err, GIT_ENOTFOUND, "what was seen of " LEDGER_BRANCH " is not in the clone any more");
	if (l->there && !descends(g, &l->seen, &l->tip) && with_lost(g, &commit, err) < 0)
		return -1;
	if (git_push_ref(g->repo, &g->place, NULL, &commit, LEDGER_REF, err) != GIT_PUSH_WON)
		return err_wrap(err, "put " LEDGER_BRANCH " back");
	l->there = true;
	l->seen = commit;
	l->has_scanned = false;
	json_object_clear(l->open);
	return clone_set_tip(g, LEDGER_TIP_REF, &commit, err);
}

/* Nothing but what stands there now can be had. */
static void take_as_it_is(struct git_state *g)
{
	struct ledger *l = &g->ledger;

	log_warn("the ledger is taken as it stands", "reason", l->trouble, NULL);
	l->has_seen = l->has_scanned = false;
	json_object_clear(l->open);
}

int history_accept(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	cleanup_err struct err why = ERR_INIT;
	git_oid view;

	if (l->trouble && put_back(g, &why) < 0) {
		if (why.code != ERR_NOT_FOUND) {
			err_move(err, &why);
			return -1;
		}
		take_as_it_is(g);
	}
	g->has_seen = false;
	/* What the ledger says of results on the history that was left behind is settled by the same word. */
	if (l->on && l->there && l->has_tip && ledger_read_view(g, &view, NULL) == 0 && !history_has(g, &view)) {
		l->view_known = view;
		l->has_view_known = l->view_accepted = true;
	}
	if (history_check(g, err) < 0)
		return -1;
	history_keep(g);
	g->poll_at_ms = 0;
	return g->frozen ? err_set(err, ERR_INVALID, "%s", g->frozen) : 0;
}
