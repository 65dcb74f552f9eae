/* Between vault/ops/ops*.c. */
#ifndef VAULT_OPS_TREE_H
#define VAULT_OPS_TREE_H

#include "vault/ops/ops.h"

/* vault/actions at a commit, checked; NULL where there is no such folder. Caller frees. */
int ops_actions_tree(git_repository *repo, const git_oid *commit, git_tree **ret, struct err *err);

/*
 * vault/<folder> of a commit by id alone, without a look into it. 1: there; 0: there is none, or a tree on the way can't be parsed; -1: an object is missing,
 * so that nothing can be said.
 */
int ops_folder_id(git_repository *repo, const git_commit *c, const char *folder, git_oid *ret, struct err *err);

/* ops_scan on two folders; NULL: an empty one. They must be well formed. */
int ops_scan_trees(const git_tree *old, const git_tree *now, ops_change_fn fn, void *arg, struct err *err);

#endif
