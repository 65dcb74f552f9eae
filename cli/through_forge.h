/*
 * What the command line does on a forge, where the configuration names one (approval.forge_url): requests for proposals, and the human's review and merge.
 *
 * The token is that of approval.forge_token_file. A human who approves uses his own: DISINTO_APPROVAL_FORGE_TOKEN_FILE names it.
 */
#ifndef CLI_THROUGH_FORGE_H
#define CLI_THROUGH_FORGE_H

#include "cli/cli.h"
#include "cli/judge.h"
#include "vault/approval/proposal.h"

/* As forge_of_config, where its files are another user's, too (cli/owner.h). */
int cli_forge(const struct config *config, struct forge **ret, struct err *err);

/* Opens the request of branch vault/<id>, or finds the open one: *ret (caller frees), *ret_made. `risk` is what risk_json() says. */
int forge_request_proposal(struct forge *f, const struct repo *r, const char *id, const json_t *risk, struct forge_pull *ret,
                           bool *ret_made, struct err *err);

/*
 * The human's word: reviews exactly this head where `review` asks for it, and merges it. ERR_NOT_FOUND: the branch has no open request.
 */
int forge_approve_proposal(struct forge *f, const char *id, const git_oid *head, const git_oid *blob, bool review, struct err *err);

/* Where a change of files that no action names went: landed on the protected branch, or proposed by a pull request. */
struct landed_change {
	git_oid commit;
	struct forge_pull pull; /* .number 0: it has landed */
};
/*
 * As repo_land, unless there is a forge where somebody can review it and --land is not given: then what `make` builds is pushed as a branch of its own, with a
 * request of that title. Caller frees ret->pull.
 */
int land_or_request(const struct args *args, struct repo *r, repo_make_fn make, void *arg, const char *title, struct landed_change *ret,
                    struct err *err);
/* "landed on main as 3f2c9ab012", or "proposed in pull request 7, https://…". Caller frees. */
char *landed_text(const struct repo *r, const struct landed_change *l);

/*
 * protect.c: the protected branch takes requests; the ledger takes the dispatcher's pushes (as `pusher`) and nothing else. What is not so is added to `findings`; with
 * NULL it is set up instead.
 */
int forge_each_protection(struct forge *f, const struct config *config, const char *pusher, json_t *findings, struct err *err);

#endif
