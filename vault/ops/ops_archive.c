/* Finished actions that were moved out of the way: vault/archive/<year>/<month>/. */
#include "lib/cleanup.h"
#include "vault/ops/ops.h"

#include <string.h>

#define DEPTH 3 /* year, month, files */

static int tree_at(git_repository *repo, const git_tree_entry *e, git_tree **ret, struct err *err)
{
	*ret = NULL;
	if (!e || git_tree_entry_type(e) != GIT_OBJECT_TREE)
		return 0;
	int rc = git_tree_lookup(ret, repo, git_tree_entry_id(e));
	if (rc < 0)
		return git_err(err, rc, VAULT_ARCHIVE);
	return git_tree_check(*ret, err) < 0 ? err_wrap(err, VAULT_ARCHIVE) : 0;
}

static int compare(git_repository *repo, const git_tree *old, const git_tree *now, int depth, json_t *ret, struct err *err)
{
	char id[VAULT_ID_MAX + 1];

	for (size_t i = 0, n = now ? git_tree_entrycount(now) : 0; i < n; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(now, i);
		const git_tree_entry *was = old ? git_tree_entry_byname(old, git_tree_entry_name(e)) : NULL;
		cleanup_git(git_tree) git_tree *before = NULL;
		cleanup_git(git_tree) git_tree *after = NULL;
		if (was && git_oid_equal(git_tree_entry_id(was), git_tree_entry_id(e)))
			continue;
		if (depth == DEPTH && git_tree_entry_type(e) == GIT_OBJECT_BLOB &&
		    vault_file_kind(git_tree_entry_name(e), id) == VAULT_FILE_RESULT)
			json_object_set_new(ret, id, json_string(git_oid_tostr_s(git_tree_entry_id(e))));
		if (depth == DEPTH)
			continue;
		if (tree_at(repo, was, &before, err) < 0 || tree_at(repo, e, &after, err) < 0 ||
		    compare(repo, before, after, depth + 1, ret, err) < 0)
			return -1;
	}
	return 0;
}

/* NULL where there is none. */
static int root_at(git_repository *repo, const git_oid *commit, git_tree **ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (!commit || git_repo_tree(repo, commit, VAULT_ARCHIVE, ret, &why) == 0 || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

int ops_archived(git_repository *repo, const git_oid *old, const git_oid *commit, json_t *ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *before = NULL;
	cleanup_git(git_tree) git_tree *now = NULL;

	if (root_at(repo, old, &before, err) < 0 || root_at(repo, commit, &now, err) < 0)
		return -1;
	if (before && now && git_oid_equal(git_tree_id(before), git_tree_id(now)))
		return 0;
	return compare(repo, before, now, 1, ret, err);
}

/* 1: it is in that month, and *ret is its folder. */
static int look_in(git_repository *repo, const git_tree *months, const char *year, const char *file, char **ret, struct err *err)
{
	for (size_t i = 0, n = git_tree_entrycount(months); i < n; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(months, i);
		cleanup_git(git_tree) git_tree *month = NULL;
		if (tree_at(repo, e, &month, err) < 0)
			return -1;
		if (!month || !git_tree_entry_byname(month, file))
			continue;
		*ret = xasprintf(VAULT_ARCHIVE "/%s/%s", year, git_tree_entry_name(e));
		return 1;
	}
	return 0;
}

int ops_archive_folder(git_repository *repo, const git_oid *commit, const char *id, char **ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *years = NULL;
	cleanup_free char *file = xasprintf("%s.result.json", id);

	if (root_at(repo, commit, &years, err) < 0)
		return -1;
	/* The newest first: that is what people ask for. */
	for (size_t i = years ? git_tree_entrycount(years) : 0; i-- > 0;) {
		const git_tree_entry *e = git_tree_entry_byindex(years, i);
		cleanup_git(git_tree) git_tree *months = NULL;
		if (tree_at(repo, e, &months, err) < 0)
			return -1;
		int rc = months ? look_in(repo, months, git_tree_entry_name(e), file, ret, err) : 0;
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
	return err_set(err, ERR_NOT_FOUND, VAULT_ARCHIVE " holds no result of %s", id);
}

static int file_in(git_repository *repo, const git_oid *commit, const char *folder, const char *id, const char *suffix,
                   struct ops_file *ret, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/%s%s", folder, id, suffix);
	cleanup_err struct err why = ERR_INIT;

	ret->there = git_repo_entry(repo, commit, path, &ret->oid, &ret->mode, &why) == 0;
	if (ret->there || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

int ops_archive_item(git_repository *repo, const git_oid *commit, const char *id, struct ops_item *ret, struct err *err)
{
	struct ops_item item = {.id = ""};
	cleanup_free char *folder = NULL;
	cleanup_err struct err why = ERR_INIT;

	memcpy(item.id, id, strlen(id) + 1);
	if (ops_archive_folder(repo, commit, id, &folder, &why) < 0) {
		if (why.code != ERR_NOT_FOUND) {
			err_move(err, &why);
			return -1;
		}
	} else if (file_in(repo, commit, folder, id, ".json", &item.action, err) < 0 ||
	           file_in(repo, commit, folder, id, ".result.json", &item.result, err) < 0) {
		return -1;
	}
	*ret = item;
	return 0;
}
