/*
 * The policy of the ops repo as far as the command line can tell. It can't tell whether a change of policy was approved: that is for the dispatcher to judge, which
 * has watched the branch.
 */
#include "cli/judge.h"
#include "lib/cleanup.h"
#include <stdlib.h>

#define LOOK_BACK 2000 /* commits in which the last good policy is looked for */

struct repo_policy {
	bool known;
	git_oid tip; /* of which it is known */
	struct policy policy;
	char *remark; /* NULL: the tip's own policy is good, or there was never one */
};

struct repo_policy *repo_policy_new(void)
{
	return xcalloc(1, sizeof(struct repo_policy));
}

static void forget(struct repo_policy *p)
{
	free(steal_ptr(&p->remark));
	policy_free(&p->policy);
	p->known = false;
}

void repo_policy_free(struct repo_policy *p)
{
	if (p)
		forget(p);
	free(p);
}

int repo_policy_at(const struct repo *r, const git_oid *commit, struct policy *ret, struct err *err)
{
	return judged_policy_at(r->git, commit, ret, err);
}

/* Puts the id of the first parent into *ret. False: there is none. */
static bool first_parent(const struct repo *r, const git_oid *commit, git_oid *ret)
{
	cleanup_git(git_commit) git_commit *c = NULL;

	if (git_commit_lookup(&c, r->git, commit) < 0 || git_commit_parentcount(c) == 0)
		return false;
	*ret = *git_commit_parent_id(c, 0);
	return true;
}

/* Goes back from `commit`, whose own policy is missing or broken, to the last one that is neither. False: there is none near. */
static bool look_back(const struct repo *r, git_oid commit, struct policy *ret, git_oid *ret_commit)
{
	git_oid bad = {{0}}, blob;
	git_filemode_t mode;

	for (size_t i = 0; i < LOOK_BACK && first_parent(r, &commit, &commit); i++) {
		if (git_repo_entry(r->git, &commit, VAULT_POLICY, &blob, &mode, NULL) < 0 || git_oid_equal(&blob, &bad))
			continue;
		if (repo_policy_at(r, &commit, ret, NULL) == 0) {
			*ret_commit = commit;
			return true;
		}
		bad = blob;
	}
	return false;
}

static void find(const struct repo *r, struct repo_policy *p)
{
	cleanup_err struct err why = ERR_INIT;
	char hex[OID_TEXT];
	git_oid commit;

	if (repo_policy_at(r, &r->tip, &p->policy, &why) == 0)
		return;
	if (look_back(r, r->tip, &p->policy, &commit)) {
		p->remark = xasprintf("%s; the last good one, of %.10s, is in force", err_msg(&why), oid_text(&commit, hex));
		return;
	}
	policy_none(&p->policy);
	if (why.code != ERR_NOT_FOUND)
		p->remark = xasprintf("%s; no good one is in force", err_msg(&why));
}

const struct policy *repo_policy(const struct repo *r, const char **ret_remark)
{
	struct repo_policy *p = r->policy;

	if (!p->known || !git_oid_equal(&p->tip, &r->tip)) {
		forget(p);
		find(r, p);
		p->known = true;
		p->tip = r->tip;
	}
	*ret_remark = p->remark;
	return &p->policy;
}

struct judging repo_judging(const struct repo *r)
{
	struct judging by = {.git = r->git, .tip = r->tip, .config = r->config};

	by.in_force = repo_policy(r, &by.remark);
	return by;
}
