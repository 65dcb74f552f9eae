/*
 * A bare clone and its objects: open, read with bounds, build commits. Nothing is ever checked out.
 */
#ifndef LIB_GIT_REPO_H
#define LIB_GIT_REPO_H

#include "lib/buf.h"
#include "lib/err.h"
#include <git2.h>
#include <stdbool.h>

/* Opens the bare repository at path, making it when absent. Caller frees. */
int git_repo_open(const char *path, git_repository **ret, struct err *err);

/* Copies a blob of at most max bytes; the size is read before the content. ERR_NOT_FOUND, ERR_INVALID (too large, not a blob). */
int git_repo_blob(git_repository *repo, const git_oid *oid, size_t max, struct buf *ret, struct err *err);

/*
 * The entry at `path` in the tree of commit `commit`: its id and file mode. ERR_NOT_FOUND when absent. Every tree on the way is checked
 * as git_tree_check does.
 */
int git_repo_entry(git_repository *repo, const git_oid *commit, const char *path, git_oid *ret, git_filemode_t *ret_mode, struct err *err);

/*
 * The folder at `path` ("": the root) of commit `commit`, checked like every tree on the way. ERR_NOT_FOUND when absent, ERR_INVALID when malformed or no
 * folder. Caller frees.
 */
int git_repo_tree(git_repository *repo, const git_oid *commit, const char *path, git_tree **ret, struct err *err);

/* Order, uniqueness, names and modes of a tree, as git's fsck has them. ERR_INVALID says what is wrong. */
int git_tree_check(const git_tree *tree, struct err *err);

/* A file to put into (content) or take out of (content NULL) a tree. */
struct git_change {
	const char *path;
	const char *content;
	size_t len;
};

/* A commit on `parents` (first: the tree that is changed; none: an empty one) with the changes applied. */
int git_repo_commit(git_repository *repo, const git_oid *parents, size_t n_parents, const struct git_change *changes, size_t n_changes,
                    const git_signature *author, const char *message, git_oid *ret, struct err *err);

/* Who signs commits: appends the signature, armoured text, of a commit object as it is without one. -1 with err set: it can't. */
struct git_signer {
	int (*sign)(void *arg, const void *object, size_t len, struct buf *ret, struct err *err);
	void *arg;
};

/* git_repo_commit with a signature in the header "gpgsig", where git looks for it; no signer (NULL): without. */
int git_repo_commit_signed(git_repository *repo, const git_oid *parents, size_t n_parents, const struct git_change *changes,
                           size_t n_changes, const git_signature *author, const char *message, const struct git_signer *signer,
                           git_oid *ret, struct err *err);

/* Turns libgit2's last error into ours: "context: its words". Returns -1. */
int git_err(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define CLEANUP_GIT(type, free) \
	static inline void cleanup_##type##_(type **p) \
	{ \
		free(*p); \
	}
CLEANUP_GIT(git_repository, git_repository_free)
CLEANUP_GIT(git_commit, git_commit_free)
CLEANUP_GIT(git_reference, git_reference_free)
CLEANUP_GIT(git_tree, git_tree_free)
CLEANUP_GIT(git_blob, git_blob_free)
CLEANUP_GIT(git_remote, git_remote_free)
CLEANUP_GIT(git_revwalk, git_revwalk_free)
CLEANUP_GIT(git_signature, git_signature_free)
CLEANUP_GIT(git_odb, git_odb_free)
CLEANUP_GIT(git_odb_object, git_odb_object_free)
CLEANUP_GIT(git_index, git_index_free)
CLEANUP_GIT(git_tree_entry, git_tree_entry_free)
#define cleanup_git(type) __attribute__((cleanup(cleanup_##type##_)))

#endif
