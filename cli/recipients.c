/*
 * vault/recipients.txt decides who can read every secret that is made from then on. So nothing is encrypted to a list that somebody changed without the approval that
 * a change of policy needs.
 */
#include "cli/owner.h"
#include "cli/secrets.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/approval/approval_forge.h"
#include "vault/audit/audit.h"

static int refused(const git_oid *commit, const char *why, struct err *err)
{
	return err_set(
	    err, ERR_DENIED,
	    "%s; nothing is encrypted to whom it names: look at who changed it in %.10s, and let a version land that is approved", why,
	    git_oid_tostr_s(commit));
}

static int by_forge(const struct repo *r, const struct audit_recipients *now, struct err *err)
{
	const struct config *config = r->config;
	const struct approval_file file = {VAULT_RECIPIENTS, &now->blob, &now->commit};
	cleanup_forge struct forge *forge = NULL;
	cleanup_free char *by = NULL;
	cleanup_err struct err why = ERR_INIT;

	if (cli_forge(config, &forge, err) < 0)
		return -1;
	if (!forge)
		return refused(&now->commit,
		               VAULT_RECIPIENTS ": needs the forge's word, and approval.forge_url is not set in the configuration", err);
	const struct approval_forge asked = {r->git, &r->place, forge, config->approval.approvers, config->branch, NULL, NULL};
	if (approval_forge(&asked, &file, &by, &why) == 0)
		return 0;
	cleanup_free char *text = xasprintf(VAULT_RECIPIENTS ": is not approved: %s", err_msg(&why));
	return refused(&now->commit, text, err);
}

int recipients_approved(const struct repo *r, const git_oid *commit, struct err *err)
{
	struct audit_rules rules = {.floor = policy_floor_of(r->config), .now = now_wall_ms() / 1000};
	cleanup_audit_recipients struct audit_recipients now = {.first = false};
	const char *list = owner_readable(r->config->approval.allowed_signers);
	struct allowed_signers *approvers = NULL;
	cleanup_err struct err why = ERR_INIT;

	/* A list that can't be read is as good as none: it matters only if a signature has to be checked. */
	if (list)
		(void)allowed_signers_load(list, &approvers, &why);
	rules.approvers = approvers;
	int rc = audit_recipients(r->git, commit, &rules, &now, err);
	allowed_signers_free(approvers);
	if (rc < 0)
		return err_wrap(err, "recipients");
	if (now.fault)
		return refused(&now.commit, why.code ? err_msg(&why) : now.fault, err);
	return now.wanted == APPROVAL_FORGE ? by_forge(r, &now, err) : 0;
}
