/*
 * Approval in the mode `signed`: the commit that landed a file carries a valid SSH signature of a listed signer, and its message says in its last paragraph, on a line of
 * its own and exactly once, which bytes he approves:
 *
 *     Disinto-Approve: <id> <blob>        an action, by its id
 *     Disinto-Approve: <path> <blob>      a formula, a secret or the policy, by its path in the ops repo
 *
 * The line names the blob, so that neither an old signed commit used again nor bytes that a merge slipped in are approved. One commit may approve several files. The
 * commit may be a merge of two, a fast-forward, a squash or a rebase, as long as it is the landing commit (vault/ops/landing.h) and itself signed.
 */
#ifndef VAULT_APPROVAL_SIGNED_H
#define VAULT_APPROVAL_SIGNED_H

#include "lib/buf.h"
#include "lib/err.h"
#include "vault/ssh/commit_signature.h"
#include <git2.h>
#include <stdint.h>

/* What must be approved. */
struct approval_file {
	const char *path;      /* vault/actions/<id>.json, vault/formulas/<name>.yaml, … */
	const git_oid *blob;   /* what stands there and would be used */
	const git_oid *commit; /* where it landed */
};

/*
 * Judges one file. *ret_by: who approved, all names that the list binds to the key, joined by ","; caller frees. ERR_INVALID: it
 * is not approved and never will be by this commit: refuse. Any other code: it can't be judged now, so wait and ask again. Messages begin with the path.
 */
int approval_signed(git_repository *repo, const struct approval_file *file, const struct allowed_signers *signers,
                    const struct signing_clock *clock, char **ret_by, struct err *err);

/* The same for a file of which the caller knows already that it landed at that commit as that blob: it costs no reading of trees. */
int approval_signed_landed(git_repository *repo, const struct approval_file *file, const struct allowed_signers *signers,
                           const struct signing_clock *clock, char **ret_by, struct err *err);

/* Appends the line that approves a file, with its newline: what `disinto approve` writes. */
void approval_line(const char *path, const git_oid *blob, struct buf *ret);

#endif
