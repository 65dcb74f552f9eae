/*
 * The history of an ops repo as an auditor needs it: each commit of the protected branch's first-parent chain, and every change of a file in vault/ that
 * matters, collected in one walk that compares folders by object id and never looks a path up.
 *
 * Life: AUDIT_HISTORY_INIT -> audit_history_read -> lookups, which cost a binary search -> audit_history_free.
 */
#ifndef VAULT_AUDIT_HISTORY_H
#define VAULT_AUDIT_HISTORY_H

#include "lib/err.h"
#include "vault/formula.h"
#include "vault/name.h"
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* AUDIT_ARCHIVED: a result in vault/archive, whichever month. */
enum audit_file { AUDIT_ACTION, AUDIT_RESULT, AUDIT_FORMULA, AUDIT_SECRET, AUDIT_POLICY, AUDIT_RECIPIENTS_FILE, AUDIT_ARCHIVED };

/* Commits are counted from 0, the root of the chain. */
struct audit_commit {
	git_oid oid;
	unsigned parents;
	int64_t below;     /* the latest date of the commits below it, in seconds since 1970 */
	bool brought_else; /* it changed more than to add results */
	char *malformed;   /* NULL, or which of its folders can't be believed, and why: what stands there is as before then */
	/* What audit_commit_look found out about it as a commit of results. All owned. */
	bool looked_at;
	char *dispatcher; /* who committed, by his own word; NULL: no dispatcher */
	char *foreign;    /* NULL, or why no dispatcher made it */
	char *bare;       /* NULL, or why its signature does not count */
};

/* One file as it was from commit `at` on, until its next event. */
struct audit_event {
	enum audit_file file;
	char name[VAULT_ID_MAX + 1]; /* an id, the name of a formula or a secret; "" for the policy and the recipients */
	size_t at;
	bool there; /* false: it was removed */
	git_oid blob;
	git_filemode_t mode;
	/* What audit_event_signed and audit_event_formula found out about it. All owned. */
	bool judged, parsed;
	char *fault; /* NULL: approved by a signature */
	char *by;    /* whose */
	struct formula *formula;
};

struct audit_history {
	git_repository *repo; /* borrowed */
	struct audit_commit *commits;
	size_t n_commits;
	struct audit_event *events; /* by file, name and commit */
	size_t n_events;
	size_t *by_oid; /* the commits in the order of their object ids */
};
#define AUDIT_HISTORY_INIT \
	{ \
		.repo = NULL \
	}

int audit_history_read(git_repository *repo, const git_oid *tip, struct audit_history *ret, struct err *err);
void audit_history_free(struct audit_history *h);
#define cleanup_audit_history __attribute__((cleanup(audit_history_free)))

/* Where a commit stands in the chain. */
bool audit_history_find(const struct audit_history *h, const git_oid *oid, size_t *ret);

/* All events of one file: the first one, and how many there are; NULL where there are none. */
struct audit_event *audit_events(const struct audit_history *h, enum audit_file file, const char *name, size_t *ret_n);
/* Whether a file of vault/actions is gone since its result was moved to vault/archive. `before`: the result as it stood; NULL: any. */
bool audit_was_archived(const struct audit_history *h, const struct audit_event *gone, const struct audit_event *before);
/* The last of n events at or before a commit; NULL: none. What it says holds there. */
struct audit_event *audit_event_at(struct audit_event *events, size_t n, size_t at);

#endif
