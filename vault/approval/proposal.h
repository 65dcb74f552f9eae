/*
 * What makes a proposal out of an action: a commit on branch vault/<id>, and with a forge its pull request. Shared by the command line and the git role.
 */
#ifndef VAULT_PROPOSAL_H
#define VAULT_PROPOSAL_H

#include "vault/approval/judged.h"
#include "vault/forge/forge.h"

#define PROPOSAL_REFS "refs/heads/vault/"

/* The commit's message: title, context, formula, secrets. Caller frees. */
char *proposal_message(const struct action *action);

/* Whether the id may still be proposed, as far as the protected branch tells: ERR_EXISTS says why not. A removed result keeps it taken. */
int proposal_check_free(git_repository *git, const git_oid *tip, const char *id, struct err *err);

/* Whether the branch's head holds exactly this action: 0; ERR_EXISTS: it holds something else. */
int proposal_check_same(git_repository *git, const git_oid *head, const char *id, const git_oid *blob, struct err *err);

/* A pull request's parts; all owned. */
struct proposal_request {
	char *branch, *title, *body, *label;
};
/* `risk` is what risk_json() says. */
int proposal_request(const char *id, const json_t *risk, struct proposal_request *ret, struct err *err);
void proposal_request_free(struct proposal_request *q);
#define cleanup_proposal_request __attribute__((cleanup(proposal_request_free)))

/* Opens the request into `base`, or finds the open one of that branch. Caller frees *ret. */
int proposal_open_request(struct forge *f, const struct proposal_request *q, const char *base, struct forge_pull *ret, bool *ret_made,
                          struct err *err);

/* The configuration's forge; *ret stays NULL where it names none. Caller frees. */
int forge_of_config(const struct config *config, struct forge **ret, struct err *err);
static inline void forge_freep(struct forge **f)
{
	forge_free(*f);
}
#define cleanup_forge __attribute__((cleanup(forge_freep)))

#endif
