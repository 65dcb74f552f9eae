/* Proposals, looked at. */
#include "vault/candidate.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>

void candidate_free(struct candidate *c)
{
	free(c->path);
	buf_free(&c->text);
}

static int diff_of_branch(const struct judging *by, const git_oid *head, git_diff **ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_git(git_commit) git_commit *base = NULL;
	cleanup_git(git_tree) git_tree *before = NULL;
	cleanup_git(git_tree) git_tree *after = NULL;
	git_oid base_oid;

	if (git_merge_base(&base_oid, by->git, &by->tip, head) < 0)
		return err_set(err, ERR_INVALID, "the branch has no history in common with %s", by->config->branch);
	if (git_commit_lookup(&commit, by->git, head) < 0 || git_commit_lookup(&base, by->git, &base_oid) < 0 ||
	    git_commit_tree(&before, base) < 0 || git_commit_tree(&after, commit) < 0 ||
	    git_diff_tree_to_tree(ret, by->git, before, after, NULL) < 0)
		return git_err(err, -1, "the branch");
	return 0;
}

/* An approval covers one action and nothing else, so the branch may bring nothing else. */
static int check_only_action(const struct judging *by, const struct candidate *c, struct err *err)
{
	git_diff *diff = NULL;
	bool found = false;
	int code = diff_of_branch(by, &c->head, &diff, err);

	for (size_t i = 0; code == 0 && i < git_diff_num_deltas(diff); i++) {
		const git_diff_delta *d = git_diff_get_delta(diff, i);

		if (strcmp(d->new_file.path, c->path) != 0)
			code = err_set(err, ERR_INVALID, "the branch changes %s too; an approval is for one action only", d->new_file.path);
		else if (d->status != GIT_DELTA_ADDED)
			code = err_set(err, ERR_INVALID, "the branch changes %s, which must be new", c->path);
		else if (d->new_file.mode != GIT_FILEMODE_BLOB)
			code = err_set(err, ERR_INVALID, "%s is no plain file", c->path);
		else
			found = true;
	}
	git_diff_free(diff);
	if (code == 0 && !found)
		return err_set(err, ERR_INVALID, "the branch does not add %s", c->path);
	return code;
}

int candidate_look(const struct judging *by, const char *id, const git_oid *head, struct candidate *ret, struct err *err)
{
	git_filemode_t mode;

	ret->id = id;
	ret->head = *head;
	ret->path = vault_action_path(id);
	if (check_only_action(by, ret, err) < 0)
		return -1;
	if (git_repo_entry(by->git, head, ret->path, &ret->blob, &mode, err) < 0)
		return -1;
	return git_repo_blob(by->git, &ret->blob, ACTION_MAX_BYTES, &ret->text, err);
}

int candidate_merge(const struct judging *by, const struct candidate *c, const git_signature *author, git_oid *ret, struct err *err)
{
	const git_oid parents[] = {by->tip, c->head};
	struct git_change change = {c->path, c->text.data, c->text.len};

	return git_repo_commit(by->git, parents, 2, &change, 1, author, "What if\n", ret, err);
}

/* The branch's own author and time make it the same commit each time. */
int candidate_judge(const struct judging *by, const struct candidate *c, struct judged *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *head = NULL;
	git_oid merged;

	if (git_commit_lookup(&head, by->git, &c->head) < 0)
		return git_err(err, -1, "the branch");
	if (candidate_merge(by, c, git_commit_author(head), &merged, err) < 0)
		return -1;
	return judged_at(by, &merged, c->id, ret, err);
}

json_t *candidate_row(const struct judging *by, const char *id, const git_oid *head)
{
	cleanup_candidate struct candidate c = CANDIDATE_INIT;
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_err struct err why = ERR_INIT;
	const char *problem = NULL;
	char hex[GIT_OID_HEXSZ + 1], time[21];
	json_t *row;

	if (candidate_look(by, id, head, &c, &why) < 0 || candidate_judge(by, &c, &judged, &why) < 0)
		problem = err_msg(&why);
	else
		problem = judged.problem;
	row = json_pack("{s:s, s:s, s:s?, s:s?, s:O?, s:s?}", "id", id, "head", git_oid_tostr(hex, sizeof(hex), head), "formula",
	                judged.action.formula, "context", judged.action.context, "secrets", judged.action.secrets, "problem", problem);
	if (row && git_commit_lookup(&commit, by->git, head) == 0) {
		if (judged.verdict.why)
			json_object_set_new(row, "tier", json_string(tier_name(judged.verdict.tier)));
		json_object_set_new(row, "by", json_string(git_commit_author(commit)->name));
		json_object_set_new(row, "proposed", json_string(time_format((int64_t)git_commit_time(commit) * 1000, time)));
	}
	return row;
}

bool candidate_has_landed(const struct judging *by, const char *id)
{
	struct ops_item item;

	return ops_item(by->git, &by->tip, id, &item, NULL) == 0 && (item.action.there || item.result.there);
}
