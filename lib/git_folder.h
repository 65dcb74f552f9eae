/*
 * One folder followed through history: what differs between two neighbouring versions of it. Made for flat folders of many thousand files of which each commit
 * changes one or two: raw trees are compared as bytes, and only what differs is taken apart, so that a step costs little more than reading the tree.
 *
 * Life: git_folder_new -> git_folder_step for each version, in the order of history -> git_folder_free. What a step believed is what the next one is compared with.
 */
#ifndef LIB_GIT_FOLDER_H
#define LIB_GIT_FOLDER_H

#include "lib/err.h"
#include <git2.h>
#include <stdbool.h>

/* What stands at a name on one side; `oid` and `mode` mean something only if it is there. */
struct git_folder_entry {
	bool there;
	git_oid oid;
	git_filemode_t mode;
};

/*
 * Called for each name that differs, in git's order (a folder sorts as if its name ended in '/'; a file that became a folder is two calls). The name is borrowed for
 * the call. Non-zero ends the step, which returns -1 with what the callback put into err.
 */
typedef int (*git_folder_fn)(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg,
                             struct err *err);

struct git_folder;
struct git_folder *git_folder_new(git_repository *repo); /* borrows repo; begins with an empty folder */
void git_folder_free(struct git_folder *f);              /* takes NULL */

/*
 * Goes on to the version `tree` (NULL: there is no such folder). ERR_INVALID: it is malformed (see git_tree_check) or no tree; nothing was reported, and the next step is
 * compared with the last sound version. Any other code: it can't be read.
 */
int git_folder_step(struct git_folder *f, const git_oid *tree, git_folder_fn fn, void *arg, struct err *err);

#endif
