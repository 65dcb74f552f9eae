/*
 * The ops repo as the command line sees it: a bare clone under $XDG_CACHE_HOME/disinto (deleting it loses nothing), brought up to date
 * from the server by each command that needs it, and commits pushed with compare-and-swap.
 *
 * Life: REPO_INIT -> repo_open -> repo_sync, as often as wanted -> reads and pushes -> repo_close.
 */
#ifndef CLI_REPO_H
#define CLI_REPO_H

#include "lib/git_remote.h"
#include "lib/git_repo.h"
#include "vault/approval/proposal.h"
#include "vault/config/config.h"
#include "vault/ops/ops.h"
#include "vault/policy/policy.h"

struct repo {
	const struct config *config; /* borrowed */
	git_repository *git;
	struct git_place place;
	char *lock_path;      /* one command at a time writes references */
	char *branch_ref;     /* "refs/heads/main" */
	struct git_refs refs; /* of the server at the last sync: the protected branch and the proposals */
	bool has_tip;         /* false: the protected branch does not exist */
	git_oid tip;
	struct repo_policy *policy; /* what repo_policy found */
};
#define REPO_INIT \
	{ \
		.config = NULL \
	}

/* Opens or makes the clone; says nothing to the server yet. Borrows the configuration. */
int repo_open(const struct config *config, struct repo *ret, struct err *err);
void repo_close(struct repo *r);
#define cleanup_repo __attribute__((cleanup(repo_close)))

/* Asks the server for its references and fetches what is new. */
int repo_sync(struct repo *r, struct err *err);
/* repo_open, repo_sync, and an error unless the protected branch exists. */
int repo_ready(const struct config *config, struct repo *ret, struct err *err);

/*
 * The same as far as earlier commands have brought it, without a word to the server: for what must be quick and may be out of date. ERR_NOT_FOUND: nothing was
 * fetched yet.
 */
int repo_as_it_was(const struct config *config, struct repo *ret, struct err *err);

/* The head of branch vault/<id>, or NULL. Borrowed until the next sync. */
const git_oid *repo_proposal(const struct repo *r, const char *id);

/* Appends the file at `path` of a commit. ERR_NOT_FOUND; ERR_INVALID when it is no plain file or larger than max. */
int repo_file(const struct repo *r, const git_oid *commit, const char *path, size_t max, struct buf *ret, struct err *err);

/*
 * policy.c: the policy in force at the tip: its own, or the last good one before it; the remark (or NULL) says why not its own. Borrowed until it is asked
 * again after a sync, or repo_close.
 */
const struct policy *repo_policy(const struct repo *r, const char **ret_remark);
/* The policy that stands at that very commit. ERR_NOT_FOUND, ERR_INVALID. Caller frees *ret. */
int repo_policy_at(const struct repo *r, const git_oid *commit, struct policy *ret, struct err *err);
/* For repo_open and repo_close. */
struct repo_policy *repo_policy_new(void);
void repo_policy_free(struct repo_policy *p);

/*
 * author.c: who commits. GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, else user.name and user.email of git's configuration; ERR_NOT_FOUND: neither says it. The second one
 * then takes the user's name on this machine, and says so. Caller frees.
 */
int repo_known_author(git_signature **ret, struct err *err);
int repo_author(git_signature **ret, struct err *err);

/*
 * Pushes what `make` builds on the present tip to the protected branch, and builds again where somebody else was first. `make` looks at
 * r->tip, and returns -1 where what it wants is not possible (any more).
 */
typedef int (*repo_make_fn)(struct repo *r, void *arg, git_oid *ret, struct err *err);
int repo_land(struct repo *r, repo_make_fn make, void *arg, git_oid *ret, struct err *err);

/* Pushes a commit to a branch that is new or an ancestor of it. ERR_EXISTS: the server's branch holds something else now (synced again). */
int repo_push_branch(struct repo *r, const git_oid *commit, const char *ref, struct err *err);

/* Removes a branch whose work is done, if the server allows it. */
void repo_drop_branch(struct repo *r, const char *ref);

/* 40 hex digits. */
#define OID_TEXT (GIT_OID_HEXSZ + 1)
static inline const char *oid_text(const git_oid *oid, char buf[static OID_TEXT])
{
	return git_oid_tostr(buf, OID_TEXT, oid);
}

#endif
