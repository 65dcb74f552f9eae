/*
 * Commits of ours that land files on the protected branch: each says in its message which files it approves (vault/approval/approval_signed.h), and is signed as the user's
 * git would sign it.
 */
#ifndef CLI_SIGN_H
#define CLI_SIGN_H

#include "lib/git_repo.h"
#include <stdbool.h>

/* author.c: git's settings of this user, from git's own files; NULL when there is no memory for them. Caller frees (git_config_free). */
git_config *git_settings(void);

/* A commit, as git_repo_commit makes it. */
struct landing_commit {
	const git_oid *parents;
	size_t n_parents;
	const struct git_change *changes;
	size_t n_changes;
	const git_signature *author;
	const char *message;
	bool must_sign; /* approval counts by signature here: rather fail than leave it unsigned */
};

/*
 * Makes it. A line Disinto-Approve is added to the message for each action, formula, secret, policy and list of recipients among the changes. It is signed if must_sign, or if git
 * signs all commits (commit.gpgsign), with the key that git would use: gpg.format ssh and user.signingkey, a file or the key itself. An unencrypted ed25519 key signs at
 * once; all else (a passphrase, an agent, another gpg.ssh.program) is left to ssh-keygen, as git does. Where git signs with another format, the commit is not signed,
 * and a note says so.
 */
int commit_landing(git_repository *git, const struct landing_commit *c, git_oid *ret, struct err *err);

#endif
