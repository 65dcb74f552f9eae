/*
 * Where files landed: for each path the newest commit on the first-parent chain whose blob or mode there differs from its first parent's.
 */
#ifndef VAULT_LANDING_H
#define VAULT_LANDING_H

#include "lib/err.h"
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>

struct landing {
	const char *path; /* in; below vault/ */
	bool found;       /* out; false: nothing stands there at the tip, and what follows means nothing */
	git_oid blob;
	git_filemode_t mode; /* whether it is allowed is up to the reader */
	git_oid commit;
	size_t depth; /* commits between it and the tip */
};

/*
 * Finds all of them in one walk from the tip, which ends as soon as the last is found; quickest where neighbours of the array share a folder. A tree of the past that can't be parsed holds nothing. ERR_INVALID: a tree of
 * the tip is malformed; another code: the repository can't be read.
 */
int landings(git_repository *repo, const git_oid *tip, struct landing *v, size_t n, struct err *err);

/* Whether `path` landed as this blob at this very commit. 1: yes; 0: no; -1: the repository can't be read. */
int landed_at(git_repository *repo, const git_oid *commit, const char *path, const git_oid *blob, struct err *err);

#endif
