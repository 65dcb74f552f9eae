/*
 * Judging an action: its own rules, its formula, its secrets, policy.
 */
#include "vault/approval/judged.h"

#include "lib/cleanup.h"
#include "vault/ops/ops_names.h"
#include <stdlib.h>
#include <string.h>

/* Notes a problem once and returns 0: that an action is wrong is an answer, not a failure. */
static int problem(struct judged *j, const char *why)
{
	if (!j->problem)
		j->problem = xstrdup(why);
	return 0;
}

void judge_policy(struct judged *j, struct policy *policy, const char *remark, const struct policy_floor *floor)
{
	j->policy = *policy;
	*policy = (struct policy)POLICY_INIT;
	j->remark = remark ? xstrdup(remark) : NULL;
	policy_judge(&j->policy, floor, &j->action, &j->formula, &j->verdict);
	if (j->verdict.refuse)
		problem(j, j->verdict.refuse);
}

int judged_policy_at(git_repository *git, const git_oid *commit, struct policy *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	git_filemode_t mode;
	git_oid oid;

	if (git_repo_entry(git, commit, VAULT_POLICY, &oid, &mode, err) < 0)
		return -1;
	if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE)
		return err_set(err, ERR_INVALID, VAULT_POLICY ": is no plain file");
	if (git_repo_blob(git, &oid, POLICY_MAX_BYTES, &text, err) < 0)
		return err_wrap(err, VAULT_POLICY);
	return policy_parse(text.data, text.len, ret, err);
}

/* The commit's own policy, or the one in force. */
static void take_policy(const struct judging *by, const git_oid *commit, struct policy *ret)
{
	if (by->watched || judged_policy_at(by->git, commit, ret, NULL) < 0)
		policy_stricter(by->in_force, by->in_force, ret);
}

/* By the stricter of the policies at the two commits, as the dispatcher does. Freezing follows the tip. */
static void judge_between(const struct judging *by, const git_oid *before, const git_oid *landing, struct judged *ret)
{
	const struct policy_floor floor = policy_floor_of(by->config);
	cleanup_policy struct policy old = POLICY_INIT, new = POLICY_INIT, both = POLICY_INIT;

	take_policy(by, before, &old);
	take_policy(by, landing, &new);
	policy_stricter(&old, &new, &both);
	both.freeze = by->in_force->freeze;
	judge_policy(ret, &both, by->remark, &floor);
}

/* Its files are read. `before`: the commit on which the landing commit stands. */
static int judge_files(const struct judging *by, const git_oid *before, const git_oid *landing, const char *id, struct judged *ret,
                       struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_ops_names struct ops_names *names = ops_names_new(by->git);
	struct ops_action *files = &ret->files;

	if (ops_names_check(names, &by->tip, files, err) < 0)
		return -1;
	if (files->text && action_parse(id, files->text, strlen(files->text), &ret->action, &why) < 0)
		return problem(ret, err_msg(&why));
	if (files->refuse || files->wait)
		return problem(ret, files->refuse ? files->refuse : files->wait);
	if (!files->text || !files->formula_text)
		return problem(ret, "its files can't be read as text");
	if (formula_parse(files->formula_name, files->formula_text, strlen(files->formula_text), &ret->formula, &why) < 0 ||
	    formula_suits(&ret->formula, &ret->action, &why) < 0)
		return problem(ret, err_msg(&why));
	judge_between(by, before, landing, ret);
	return 0;
}

static int judge_at(const struct judging *by, const git_oid *tip, const git_oid *before, const git_oid *landing, const char *id,
                    struct judged *ret, struct err *err)
{
	return ops_read_action(by->git, tip, landing, id, &ret->files, err) < 0 ? -1 : judge_files(by, before, landing, id, ret, err);
}

int judged_proposed(const struct judging *by, const char *id, const char *text, struct judged *ret, struct err *err)
{
	return ops_read_proposed(by->git, &by->tip, id, text, &ret->files, err) < 0 ? -1
	                                                                            : judge_files(by, &by->tip, &by->tip, id, ret, err);
}

int judged_at(const struct judging *by, const git_oid *commit, const char *id, struct judged *ret, struct err *err)
{
	return judge_at(by, commit, &by->tip, commit, id, ret, err);
}

int judged_landed(const struct judging *by, const char *id, struct judged *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	struct ops_landing landing = {.id = id};
	const git_oid *before = NULL;

	if (ops_landings(by->git, &by->tip, &landing, 1, err) < 0)
		return -1;
	if (!landing.found)
		return err_set(err, ERR_NOT_FOUND, "%s has not landed", id);
	if (git_commit_lookup(&commit, by->git, &landing.commit) < 0)
		return git_err(err, -1, "%s", id);
	before = git_commit_parent_id(commit, 0);
	return judge_at(by, &by->tip, before ? before : &landing.commit, &landing.commit, id, ret, err);
}

void judged_free(struct judged *j)
{
	free(j->problem);
	ops_action_free(&j->files);
	action_free(&j->action);
	formula_free(&j->formula);
	policy_free(&j->policy);
	policy_verdict_free(&j->verdict);
	free(j->remark);
	*j = (struct judged)JUDGED_INIT;
}
