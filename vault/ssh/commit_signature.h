/*
 * Signed commits: the SSH signature in a commit's header, as `git commit -S` and `git merge -S` put it there with gpg.format ssh, and whether a listed signer
 * made it. Stricter than git: git verify-commit joins repeated signature headers and takes what is around a signature.
 */
#ifndef VAULT_COMMIT_SIGNATURE_H
#define VAULT_COMMIT_SIGNATURE_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/git_repo.h"
#include "vault/ssh/allowed_signers.h"
#include "vault/ssh/ssh_key.h"
#include <stdint.h>

#define SIGNED_COMMIT_MAX 1048576    /* bytes of a commit object */
#define SIGNED_COMMIT_CLOCK_SKEW 300 /* seconds that a committer's clock may be ahead of ours */

/* A commit object taken apart. Life: SIGNED_COMMIT_INIT -> signed_commit_split -> signed_commit_free. */
struct signed_commit {
	struct buf armour;  /* its signature; not looked into yet */
	struct buf payload; /* what the signature covers: the object without it */
	size_t message;     /* where in the payload the message begins */
};
#define SIGNED_COMMIT_INIT \
	{ \
		BUF_INIT, BUF_INIT, 0 \
	}

/*
 * Takes a commit object apart that has exactly one signature. ERR_INVALID: none, several, of another kind (OpenPGP, X.509, gpgsig-sha256), a NUL byte, or headers that
 * are not tree, parents, author, committer and others in this order, so that no two programs read the object differently.
 */
int signed_commit_split(const char *object, size_t len, struct signed_commit *ret, struct err *err);
void signed_commit_free(struct signed_commit *c);
#define cleanup_signed_commit __attribute__((cleanup(signed_commit_free)))

/* Times in seconds since 1970. */
struct signing_clock {
	int64_t now; /* by our own clock */
	const int64_t *
	    below; /* the latest date of the commits below it; NULL: not known, so it is found by a walk to the root where a key has expired */
};

/*
 * Reads a commit and checks its signature: made for git by a key that `signers` allows at the committer's time. `ret` and *ret_by (all names that the list binds to
 * the key, joined by ","; caller frees) may be NULL. ERR_INVALID: judged, and wrong, for good. Any other code: it can't be judged now (the repository can't be read, the
 * commit is dated in the future): ask again. Messages begin with the commit.
 */
int commit_signature_check(git_repository *repo, const git_oid *commit, const struct allowed_signers *signers,
                           const struct signing_clock *clock, struct signed_commit *ret, char **ret_by, struct err *err);

/* Signs with a key, for git_repo_commit_signed. Borrows the key. */
struct git_signer commit_signer(struct ssh_private_key *key);

#endif
