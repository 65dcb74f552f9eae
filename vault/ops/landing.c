/* Where files landed. See landing.h. */
#include "vault/ops/landing.h"

#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include <string.h>

/* What stands at a path. Nothing: all zero. */
struct entry {
	git_oid oid;
	git_filemode_t mode;
};

static bool same_entry(const struct entry *a, const struct entry *b)
{
	return git_oid_equal(&a->oid, &b->oid) && a->mode == b->mode;
}

static int missing(git_oid oid, struct err *err)
{
	git_err(err, -1, "object %s", git_oid_tostr_s(&oid));
	return err_wrap(err, "the history can't be read");
}

/* The folder that was looked into last: the next path is mostly in the same one. */
struct folder {
	char *path;     /* NULL: none was looked into yet */
	git_tree *tree; /* NULL: there is none */
};

static void folder_free(struct folder *f)
{
	free(f->path);
	git_tree_free(f->tree);
	*f = (struct folder){.path = NULL};
}
#define cleanup_folder __attribute__((cleanup(folder_free)))

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Empties it for the folder of `path`. false: it is that one already. */
static bool folder_turn(struct folder *f, const char *path)
{
	size_t len = (size_t)(name_of(path) - path);

	if (f->path && strlen(f->path) == len && memcmp(f->path, path, len) == 0)
		return false;
	folder_free(f);
	f->path = strndup(path, len);
	return true;
}

static struct entry entry_in(const struct folder *f, const char *path)
{
	const git_tree_entry *e = f->tree ? git_tree_entry_byname(f->tree, name_of(path)) : NULL;

	git_error_clear();
	return e ? (struct entry){*git_tree_entry_id(e), git_tree_entry_filemode_raw(e)} : (struct entry){.mode = GIT_FILEMODE_UNREADABLE};
}

/* A folder of the past ("": the root): one that can't be parsed holds nothing. An object that is missing is not a file that is absent (hence no git_tree_entry_bypath). */
static int old_folder(git_repository *repo, const git_oid *root, const char *path, git_tree **ret, struct err *err)
{
	git_oid oid = *root;

	for (const char *p = path;;) {
		cleanup_git(git_tree) git_tree *tree = NULL;
		cleanup_free char *name = strndup(p, strcspn(p, "/"));

		int rc = git_tree_lookup(&tree, repo, &oid);
		if (rc == GIT_ENOTFOUND)
			return missing(oid, err);
		if (rc == 0 && !*p)
			*ret = steal_ptr(&tree);
		const git_tree_entry *e = tree ? git_tree_entry_byname(tree, name) : NULL;
		git_error_clear();
		if (!e || git_tree_entry_type(e) != GIT_OBJECT_TREE)
			return 0;
		oid = *git_tree_entry_id(e);
		p += strlen(name) + (p[strlen(name)] == '/');
	}
}

/* What stood at `path` in a tree of the past. */
static int old_entry(git_repository *repo, const git_oid *root, const char *path, struct folder *f, struct entry *ret, struct err *err)
{
	if (folder_turn(f, path) && old_folder(repo, root, f->path, &f->tree, err) < 0)
		return -1;
	*ret = entry_in(f, path);
	return 0;
}

static int entry_at(git_repository *repo, const git_oid *root, const char *path, struct entry *ret, struct err *err)
{
	cleanup_folder struct folder f = {.path = NULL};
	return old_entry(repo, root, path, &f, ret, err);
}

/* The first parent; 1: there is one; 0: there is none. */
static int parent_of(const git_commit *commit, git_commit **ret, struct err *err)
{
	if (git_commit_parentcount(commit) == 0)
		return 0;
	return git_commit_parent(ret, commit, 0) < 0 ? missing(*git_commit_parent_id(commit, 0), err) : 1;
}

/* The folder of the tip, checked; none where there is none. */
static int tip_folder(git_repository *repo, const git_oid *tip, struct folder *f, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_free char *path = strndup(f->path, strlen(f->path) - (*f->path != '\0'));

	if (git_repo_tree(repo, tip, path, &f->tree, &why) == 0 || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

static int at_tip(git_repository *repo, const git_oid *tip, struct landing *v, size_t n, size_t *ret_found, struct err *err)
{
	cleanup_folder struct folder f = {.path = NULL};

	*ret_found = 0;
	for (size_t i = 0; i < n; i++) {
		if (folder_turn(&f, v[i].path) && tip_folder(repo, tip, &f, err) < 0)
			return -1;
		struct entry now = entry_in(&f, v[i].path);
		v[i].depth = SIZE_MAX;
		v[i].blob = now.oid;
		v[i].mode = now.mode;
		v[i].found = now.mode != GIT_FILEMODE_UNREADABLE;
		*ret_found += v[i].found;
	}
	return 0;
}

/* Settles those that the parent's tree (NULL: there is none) has not, or has otherwise: they landed at `commit`. */
static int settle(git_repository *repo, const git_oid *tree, const git_oid *commit, size_t depth, struct landing *v, size_t n, size_t *left,
                  struct err *err)
{
	cleanup_folder struct folder f = {.path = NULL};

	for (size_t i = 0; i < n; i++) {
		const struct entry now = {v[i].blob, v[i].mode};
		struct entry older = {.mode = GIT_FILEMODE_UNREADABLE};

		if (!v[i].found || v[i].depth != SIZE_MAX)
			continue;
		if (tree && old_entry(repo, tree, v[i].path, &f, &older, err) < 0)
			return -1;
		if (same_entry(&now, &older))
			continue;
		v[i].commit = *commit;
		v[i].depth = depth;
		--*left;
	}
	return 0;
}

int landings(git_repository *repo, const git_oid *tip, struct landing *v, size_t n, struct err *err)
{
	git_commit *commit = NULL;
	struct entry vault, older;
	size_t left;
	int result = -1;

	if (at_tip(repo, tip, v, n, &left, err) < 0)
		return -1;
	if (git_commit_lookup(&commit, repo, tip) < 0)
		return missing(*tip, err);
	if (entry_at(repo, git_commit_tree_id(commit), "vault", &vault, err) == 0)
		result = 0;
	for (size_t depth = 0; left > 0 && result == 0; depth++) {
		git_commit *parent = NULL;
		int there = parent_of(commit, &parent, err);

		older = (struct entry){.mode = GIT_FILEMODE_UNREADABLE};
		if (there < 0 || (there > 0 && entry_at(repo, git_commit_tree_id(parent), "vault", &older, err) < 0))
			result = -1;
		else if (!same_entry(&vault, &older))
			result = settle(repo, parent ? git_commit_tree_id(parent) : NULL, git_commit_id(commit), depth, v, n, &left, err);
		vault = older;
		git_commit_free(commit);
		commit = parent;
	}
	git_commit_free(commit);
	return result;
}

int landed_at(git_repository *repo, const git_oid *oid, const char *path, const git_oid *blob, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_git(git_commit) git_commit *parent = NULL;
	struct entry now, older = {.mode = GIT_FILEMODE_UNREADABLE};

	if (git_commit_lookup(&commit, repo, oid) < 0)
		return missing(*oid, err);
	int there = parent_of(commit, &parent, err);
	if (there < 0 || entry_at(repo, git_commit_tree_id(commit), path, &now, err) < 0 ||
	    (there > 0 && entry_at(repo, git_commit_tree_id(parent), path, &older, err) < 0))
		return -1;
	return git_oid_equal(&now.oid, blob) && !same_entry(&now, &older);
}
