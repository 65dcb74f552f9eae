/* Approval in the mode `forge`. See approval_forge.h. */
#include "vault/approval/approval_forge.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/git_repo.h"

#include <inttypes.h>

static void alive(const struct approval_forge *a)
{
	if (a->alive)
		a->alive(a->arg);
}

/* It is fetched from the request's own ref where a squash or a rebase left it out of the branch. */
static int have_head(const struct approval_forge *a, const struct forge_pull *pull, git_oid *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *there = NULL;

	if (git_oid_fromstr(ret, pull->head) < 0)
		return err_set(err, ERR_FAIL, "the forge names no commit as the head of pull request %" PRId64, pull->number);
	if (git_commit_lookup(&there, a->repo, ret) == 0)
		return 0;
	git_error_clear();
	cleanup_free char *src = xasprintf("refs/pull/%" PRId64 "/head", pull->number);
	cleanup_free char *dst = xasprintf("refs/disinto/pull/%" PRId64, pull->number);
	const struct git_fetch_spec specs[] = {{src, dst}, {NULL, NULL}};
	alive(a);
	if (git_fetch(a->repo, a->place, specs, err) < 0)
		return err_set(err, ERR_FAIL, "the head of pull request %" PRId64 " can't be fetched", pull->number);
	return 0;
}

/* The head that was reviewed holds these very bytes. */
static int same_bytes(const struct approval_forge *a, const struct forge_pull *pull, const struct approval_file *file, struct err *err)
{
	git_oid head, blob;
	git_filemode_t mode;
	cleanup_err struct err why = ERR_INIT;

	if (have_head(a, pull, &head, err) < 0)
		return -1;
	if (git_repo_entry(a->repo, &head, file->path, &blob, &mode, &why) < 0 && why.code != ERR_NOT_FOUND)
		return err_set(err, why.code == ERR_INVALID ? ERR_INVALID : ERR_FAIL, "%s", err_msg(&why));
	if (why.code == ERR_NOT_FOUND || !git_oid_equal(&blob, file->blob))
		return err_set(err, ERR_INVALID, "what pull request %" PRId64 " had reviewed is not what landed", pull->number);
	return 0;
}

/* Not what stood there already in the commit from which the request's branch begins. */
static int is_new(const struct approval_forge *a, const git_oid *base, const struct forge_pull *pull, const struct approval_file *file,
                  struct err *err)
{
	git_oid blob;
	git_filemode_t mode;
	cleanup_err struct err why = ERR_INIT;

	if (git_repo_entry(a->repo, base, file->path, &blob, &mode, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		return err_set(err, why.code == ERR_INVALID ? ERR_INVALID : ERR_FAIL, "%s", err_msg(&why));
	}
	if (git_oid_equal(&blob, file->blob))
		return err_set(err, ERR_INVALID, "pull request %" PRId64 " did not change it, so nobody reviewed that it comes back",
		               pull->number);
	return 0;
}

/*
 * A head holds many files that nobody reviewed, since the request does not change them: those of the time when its branch began. A merge made by hand may bring one of
 * them back, a policy or a formula that was replaced since, and the forge knows that merge as the request's.
 */
static int changed_by(const struct approval_forge *a, const struct forge_pull *pull, const struct approval_file *file, struct err *err)
{
	cleanup_git(git_commit) git_commit *landing = NULL;
	git_oidarray bases = {NULL, 0};
	git_oid head;
	int result = 0;

	if (git_oid_fromstr(&head, pull->head) < 0 || git_commit_lookup(&landing, a->repo, file->commit) < 0)
		return git_err(err, -1, "the history can't be read");
	if (git_commit_parentcount(landing) == 0)
		return 0;
	int rc = git_merge_bases(&bases, a->repo, git_commit_parent_id(landing, 0), &head);
	if (rc < 0 && rc != GIT_ENOTFOUND)
		return git_err(err, -1, "the history can't be read");
	for (size_t i = 0; i < bases.count && result == 0; i++)
		result = is_new(a, &bases.ids[i], pull, file, err);
	git_oidarray_dispose(&bases);
	git_error_clear();
	return result;
}

/* Whatever the forge answers in place of what it was asked is no judgement. */
static int no_answer(struct err *err)
{
	if (err && (err->code == ERR_NOT_FOUND || err->code == ERR_INVALID))
		err->code = ERR_FAIL;
	return -1;
}

int approval_forge(const struct approval_forge *a, const struct approval_file *file, char **ret_by, struct err *err)
{
	struct forge_pull pull __attribute__((cleanup(forge_pull_free))) = {0};
	struct forge_reviews reviews __attribute__((cleanup(forge_reviews_free))) = {0};
	char commit[GIT_OID_HEXSZ + 1];
	const char *by = NULL;

	git_oid_tostr(commit, sizeof(commit), file->commit);
	alive(a);
	if (forge_pull_of_commit(a->forge, commit, &pull, err) < 0)
		return err && err->code == ERR_NOT_FOUND ? -1 : no_answer(err);
	if (forge_reviews(a->forge, pull.number, &reviews, err) < 0)
		return no_answer(err);
	if (forge_judge(&pull, &reviews, a->approvers, a->branch, commit, &by, err) < 0) {
		if (err && err->code == ERR_DENIED)
			err->code = ERR_INVALID;
		return -1;
	}
	if (same_bytes(a, &pull, file, err) < 0 || changed_by(a, &pull, file, err) < 0)
		return -1;
	*ret_by = xstrdup(by);
	return 0;
}
