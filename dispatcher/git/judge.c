/* By which policy an action is judged, and whether everything that it uses was approved as that policy wants. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/ops/landing.h"

#include <string.h>

#define JUDGE_AGAIN_MS 10000

void judgement_free(struct judgement *j)
{
	free(j->refuse);
	free(j->wait);
	free(j->by);
	free(j->policy_blob);
}

void judge_init(struct git_state *g)
{
	g->policies = policy_history_new();
	g->forge_asked = json_object();
	g->approved = json_object();
}

void judge_free(struct git_state *g)
{
	policy_history_free(g->policies);
	free(g->policy_trouble);
	allowed_signers_free(g->signers);
	free(g->signers_trouble);
	free(g->signers_left_out);
	forge_free(g->forge);
	json_decref(g->forge_asked);
	json_decref(g->approved);
}

int judge_remember(struct git_state *g, const json_t *state, struct err *err)
{
	struct policy_history *h = NULL;

	if (!state || json_is_null(state))
		return 0;
	if (policy_history_load(state, &h, err) < 0)
		return err_wrap(err, "spool: git.json");
	policy_history_free(g->policies);
	g->policies = h;
	return 0;
}

void judge_forget(struct git_state *g, const char *id)
{
	policy_history_forget(g->policies, id);
}

/* ---- policies, commit by commit ---- */

/* What the log says of a policy that is not taken, once for each reason. */
static void note_policy(struct git_state *g, const char *trouble)
{
	if (trouble && (!g->policy_trouble || strcmp(trouble, g->policy_trouble) != 0))
		log_warn("a change of policy is not in force", "reason", trouble, NULL);
	if (!trouble)
		return;
	free(g->policy_trouble);
	g->policy_trouble = xstrdup(trouble);
}

/* The policy file of a commit. 0: there is one; 1: there is none; -1: the repository can't be read. */
static int policy_entry(struct git_state *g, const git_oid *commit, git_oid *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_filemode_t mode;

	if (git_repo_entry(g->repo, commit, VAULT_POLICY, ret, &mode, &why) == 0)
		return mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE ? 0 : 1; /* a link or a folder is no policy */
	if (why.code == ERR_NOT_FOUND || why.code == ERR_INVALID)
		return 1; /* a malformed tree holds none: the last good one stays */
	err_move(err, &why);
	return -1;
}

/* 0: known now, whatever it is; 1: it can't be told yet whether the change was approved; -1: the repository can't be read. */
static int policy_changed(struct git_state *g, const git_oid *commit, const git_oid *blob, struct err *err)
{
	const struct policy_floor floor = policy_floor_of(g->args->config);
	enum approval_mode mode = policy_history_change_approval(g->policies, &floor);
	cleanup_err struct err why = ERR_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *by = NULL, *hex = xstrdup(git_oid_tostr_s(commit));
	const struct approval_file file = {VAULT_POLICY, blob, commit};

	if (blob && approve_file(g, mode, &file, &by, &why) < 0) {
		note_policy(g, err_msg(&why));
		if (why.code != ERR_INVALID)
			return 1;
		policy_history_doubt(g->policies, hex, git_oid_tostr_s(blob));
		return 0;
	}
	if (blob && git_repo_blob(g->repo, blob, POLICY_MAX_BYTES, &text, &why) < 0) {
		if (why.code != ERR_INVALID) {
			err_move(err, &why);
			return -1;
		}
		note_policy(g, err_msg(&why)); /* too large: as good as broken */
		return 0;
	}
	if (policy_history_change(g->policies, hex, blob ? git_oid_tostr_s(blob) : NULL, blob ? text.data : NULL, text.len, &why) < 0)
		note_policy(g, err_msg(&why));
	else
		g->policy_moved = true;
	return 0;
}

static int on_landing(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct git_state *g = ((void **)arg)[0];
	const char *commit = ((void **)arg)[1];

	(void)err;
	if (now->action.there && !now->result.there &&
	    (!before->action.there || before->action.mode != now->action.mode || !git_oid_equal(&before->action.oid, &now->action.oid)))
		policy_history_landed(g->policies, now->id, commit);
	return 0;
}

/* One commit of the first-parent chain. 0: judged; 1: it has to wait, and all after it; -1: the repository can't be read. */
static int walk_commit(struct git_state *g, const git_oid *oid, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	git_oid now, before;
	int had = 1;

	int rc = git_commit_lookup(&commit, g->repo, oid);
	if (rc < 0)
		return git_err(err, rc, "read a commit");
	const git_oid *parent = git_commit_parent_id(commit, 0);
	int has = policy_entry(g, oid, &now, err);
	if (has < 0 || (parent && (had = policy_entry(g, parent, &before, err)) < 0))
		return -1;
	if (has != had || (has == 0 && !git_oid_equal(&now, &before))) {
		rc = policy_changed(g, oid, has == 0 ? &now : NULL, err);
		if (rc != 0)
			return rc;
	}
	char hex[GIT_OID_HEXSZ + 1];
	git_oid_tostr(hex, sizeof(hex), oid);
	void *arg[2] = {g, hex};
	cleanup_err struct err why = ERR_INIT;
	/* A malformed folder of actions is nobody's landing; at the tip it is reported by the scan. */
	if (ops_scan(g->repo, parent, oid, on_landing, arg, &why) < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	return 0;
}

static int open_walk(struct git_state *g, git_revwalk **ret, struct err *err)
{
	cleanup_git(git_revwalk) git_revwalk *walk = NULL;
	const char *tip = policy_history_tip(g->policies);
	git_oid from;

	int rc = git_revwalk_new(&walk, g->repo);
	if (rc == 0)
		rc = git_revwalk_simplify_first_parent(walk);
	if (rc == 0)
		rc = git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
	if (rc == 0)
		rc = git_revwalk_push(walk, &g->tip);
	/* A tip that the clone does not hold any more was rewritten away: everything is walked again, in the light of what is in force. */
	if (rc == 0 && tip && git_oid_fromstr(&from, tip) == 0 && git_revwalk_hide(walk, &from) < 0)
		git_error_clear();
	if (rc < 0)
		return git_err(err, rc, "walk the branch");
	*ret = steal_ptr(&walk);
	return 0;
}

int judge_follow(struct git_state *g, struct err *err)
{
	cleanup_git(git_revwalk) git_revwalk *walk = NULL;
	cleanup_free char *last = NULL;
	git_oid oid;

	g->judge_again = g->policy_moved = false;
	approve_refresh(g);
	if (open_walk(g, &walk, err) < 0)
		return -1;
	policy_history_begin(g->policies);
	while (git_revwalk_next(&oid, walk) == 0) {
		int rc = walk_commit(g, &oid, err);
		if (rc < 0)
			return -1;
		if (rc == 1) {
			g->judge_again = true;
			break;
		}
		free(last);
		last = xstrdup(git_oid_tostr_s(&oid));
	}
	git_error_clear();
	if (last && g->judge_again)
		policy_history_pause(g->policies, last);
	else if (last)
		policy_history_end(g->policies, last);
	g->judge_at_ms = now_mono_ms() + JUDGE_AGAIN_MS;
	history_keep(g);
	return 0;
}

/* ---- one action ---- */

/* Takes a finding on: a refusal, or a reason to wait and ask again. Returns 0. */
static int found(struct git_state *g, struct judgement *ret, const struct err *why)
{
	if (why->code == ERR_INVALID) {
		ret->refuse = clean_text(err_msg(why));
	} else {
		ret->wait = clean_text(err_msg(why));
		g->judge_again = true;
	}
	return 0;
}

/* Formula and secrets as they stand where they are read: the formula at the action's landing, secrets at the tip. */
static int approve_others(struct git_state *g, enum approval_mode mode, const git_oid *at, struct landing *v, size_t n,
                          struct judgement *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (n == 0 || landings(g->repo, at, v, n, &why) < 0) {
		if (n > 0 && why.code == ERR_INVALID)
			return found(g, ret, &why);
		err_move(err, &why);
		return n == 0 ? 0 : -1;
	}
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *by = NULL;
		const struct approval_file file = {v[i].path, &v[i].blob, &v[i].commit};
		if (v[i].found && approve_file(g, mode, &file, &by, &why) < 0)
			return found(g, ret, &why);
	}
	return 0;
}

static int approve_secrets(struct git_state *g, enum approval_mode mode, const struct ops_action *a, struct judgement *ret, struct err *err)
{
	cleanup_free struct landing *v = xcalloc(a->n_secrets + 1, sizeof(*v));

	for (size_t i = 0; i < a->n_secrets; i++)
		v[i].path = vault_secret_path(a->secrets[i].name);
	int rc = approve_others(g, mode, &g->tip, v, a->n_secrets, ret, err);
	for (size_t i = 0; i < a->n_secrets; i++)
		free((char *)(uintptr_t)v[i].path);
	return rc;
}

static int approve_all(struct git_state *g, enum approval_mode mode, const struct ops_landing *l, const struct ops_action *a,
                       struct judgement *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_free char *path = vault_action_path(l->id), *formula = vault_formula_path(a->formula_name);
	const struct approval_file file = {path, &a->blob, &l->commit};
	struct landing of_formula = {.path = formula};

	if (mode == APPROVAL_LANDED)
		return 0;
	if (approve_file(g, mode, &file, &ret->by, &why) < 0)
		return found(g, ret, &why);
	if (approve_others(g, mode, &l->commit, &of_formula, 1, ret, err) < 0)
		return -1;
	return ret->refuse || ret->wait ? 0 : approve_secrets(g, mode, a, ret, err);
}

static int judge_parsed(struct git_state *g, const struct ops_landing *l, const struct ops_action *a, const struct action *action,
                        const struct formula *formula, struct judgement *ret, struct err *err)
{
	const struct policy_floor floor = policy_floor_of(g->args->config);
	cleanup_policy struct policy policy = POLICY_INIT;
	cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;
	cleanup_err struct err why = ERR_INIT;
	cleanup_free char *commit = xstrdup(git_oid_tostr_s(&l->commit));
	const char *blob = NULL;

	if (policy_history_for(g->policies, l->id, commit, &policy, &blob, &why) < 0) {
		if (g->policy_trouble)
			err_wrap(&why, "%s", g->policy_trouble);
		return found(g, ret, &why);
	}
	policy_judge(&policy, &floor, action, formula, &v);
	ret->tier = tier_name(v.tier);
	ret->policy_blob = blob ? xstrdup(blob) : NULL;
	if (v.refuse || v.wait) {
		ret->refuse = clean_text(v.refuse);
		ret->wait = v.refuse ? NULL : clean_text(v.wait);
		g->judge_again |= ret->wait != NULL; /* a thaw counts from the poll after the one that brings it */
		return 0;
	}
	if (approve_all(g, v.approval, l, a, ret, err) < 0)
		return -1;
	if (!ret->refuse && !ret->wait)
		ret->mode = approval_mode_name(v.approval);
	return 0;
}

int judge_action(struct git_state *g, const struct ops_landing *l, const struct ops_action *a, struct judgement *ret, struct err *err)
{
	cleanup_action struct action action = ACTION_INIT;
	cleanup_formula struct formula formula = FORMULA_INIT;
	cleanup_err struct err why = ERR_INIT;

	/* What does not parse is refused by core, in its own words; nothing of it can run. */
	if (!a->text || !a->formula_text || action_parse(l->id, a->text, strlen(a->text), &action, &why) < 0 ||
	    formula_parse(a->formula_name, a->formula_text, strlen(a->formula_text), &formula, &why) < 0)
		return 0;
	return judge_parsed(g, l, a, &action, &formula, ret, err);
}
