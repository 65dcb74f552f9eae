/*
 * Approval in the mode `forge`: the forge says that a request brought the commit that landed a file, and that somebody on the list approved exactly the head that was
 * merged (vault/forge/forge.h); and that head holds these very bytes.
 */
#ifndef VAULT_APPROVAL_FORGE_H
#define VAULT_APPROVAL_FORGE_H

#include "lib/git_remote.h"
#include "vault/approval/approval_signed.h"
#include "vault/forge/forge.h"

/* Whom to ask, and about which repository. All borrowed. */
struct approval_forge {
	git_repository *repo;
	const struct git_place *place; /* from where a head is fetched that a squash or a rebase left out of the branch */
	struct forge *forge;
	const json_t *approvers;  /* logins */
	const char *branch;       /* the protected one, without refs/heads/ */
	void (*alive)(void *arg); /* NULL, or called before each call that may take long */
	void *arg;
};

/* 0: *ret_by is who approved; caller frees. ERR_INVALID: it is not approved. ERR_NOT_FOUND: the forge knows no request that brought it (yet). Else: it can't be told now. */
int approval_forge(const struct approval_forge *a, const struct approval_file *file, char **ret_by, struct err *err);

#endif
