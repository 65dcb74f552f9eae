/* Proposals and approvals by pull requests. */
#include "cli/through_forge.h"

#include "cli/owner.h"
#include "lib/cleanup.h"
#include "vault/approval/approval_signed.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_forge(const struct config *config, struct forge **ret, struct err *err)
{
	struct config ours = *config; /* borrows what it names */

	ours.approval.forge_token_file = (char *)(uintptr_t)owner_readable(config->approval.forge_token_file);
	ours.ca_file = (char *)(uintptr_t)owner_readable(config->ca_file);
	return forge_of_config(&ours, ret, err);
}

int forge_request_proposal(struct forge *f, const struct repo *r, const char *id, const json_t *risk, struct forge_pull *ret,
                           bool *ret_made, struct err *err)
{
	cleanup_proposal_request struct proposal_request q = {.branch = NULL};

	if (proposal_request(id, risk, &q, err) < 0)
		return -1;
	return proposal_open_request(f, &q, r->config->branch, ret, ret_made, err);
}

int forge_approve_proposal(struct forge *f, const char *id, const git_oid *head, const git_oid *blob, bool review, struct err *err)
{
	struct forge_pull pull __attribute__((cleanup(forge_pull_free))) = {0};
	cleanup_free char *branch = xasprintf("vault/%s", id), *title = xasprintf("Approve %s", id), *path = vault_action_path(id);
	cleanup_buf struct buf message = BUF_INIT;
	char hex[OID_TEXT];

	oid_text(head, hex);
	approval_line(path, blob, &message);
	if (forge_pull_of_branch(f, branch, &pull, err) < 0)
		return err && err->code == ERR_NOT_FOUND ? err_wrap(err, "disinto propose opens it") : -1;
	if (review && forge_approve(f, pull.number, hex, err) < 0)
		return err_wrap(err, "review pull request %lld", (long long)pull.number);
	if (forge_merge(f, pull.number, hex, title, message.data, err) < 0)
		return err_wrap(err, "merge pull request %lld", (long long)pull.number);
	return 0;
}

static int request_change(struct forge *f, struct repo *r, const char *title, struct landed_change *ret, struct err *err)
{
	char hex[OID_TEXT];
	cleanup_free char *branch = xasprintf("vault-files/%.10s", oid_text(&ret->commit, hex));
	cleanup_free char *ref = xasprintf("refs/heads/%s", branch);
	const struct forge_request request = {.branch = branch,
	                                      .base = r->config->branch,
	                                      .title = title,
	                                      .body = "Until this is merged, actions get what stands on the protected branch now.",
	                                      .labels = (const char *const[]){"vault", NULL}};
	bool made;

	if (repo_push_branch(r, &ret->commit, ref, err) < 0)
		return -1;
	return forge_propose(f, &request, &ret->pull, &made, err);
}

int land_or_request(const struct args *args, struct repo *r, repo_make_fn make, void *arg, const char *title, struct landed_change *ret,
                    struct err *err)
{
	cleanup_forge struct forge *forge = NULL;

	if (!args_has(args, "land") && cli_forge(r->config, &forge, err) < 0)
		return -1;
	if (!forge)
		return repo_land(r, make, arg, &ret->commit, err);
	if (make(r, arg, &ret->commit, err) < 0)
		return -1;
	return request_change(forge, r, title, ret, err);
}

char *landed_text(const struct repo *r, const struct landed_change *l)
{
	char hex[OID_TEXT];

	if (l->pull.number)
		return xasprintf("proposed in pull request %lld, %s", (long long)l->pull.number, l->pull.url);
	return xasprintf("landed on %s as %.10s", r->config->branch, oid_text(&l->commit, hex));
}
