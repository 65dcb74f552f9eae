/* branch-protect: the protection of the ops repo's branches on the forge, checked and set up. */
#include "cli/cli.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "vault/ops/ledger.h"
#include <stdlib.h>
#include <string.h>

static int need_forge(const struct config *config, struct forge **ret, struct err *err)
{
	if (cli_forge(config, ret, err) < 0)
		return -1;
	if (!*ret)
		return err_set(err, ERR_INVALID, "approval.forge_url: is not set in %s; branches are protected on a forge", config->file);
	return 0;
}

int forge_each_protection(struct forge *f, const struct config *config, const char *pusher, json_t *findings, struct err *err)
{
	const struct forge_protection rules[] = {
	    {config->branch, pusher, true, config->approval.approvers},
	    forge_ledger_protection(pusher),
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		int code = findings ? forge_check_protection(f, &rules[i], findings, err) : forge_protect(f, &rules[i], err);
		if (code < 0)
			return err_wrap(err, "%s", rules[i].branch);
	}
	return findings ? 0 : forge_distrust_manual_merges(f, err);
}

static int report(const struct args *args, const struct config *config, const char *pusher, const json_t *findings)
{
	bool good = json_array_size(findings) == 0;
	const json_t *finding;
	size_t i;

	if (args_has(args, "json")) {
		cleanup_json json_t *all = json_pack("{s:b, s:[s,s], s:s, s:O}", "ok", good, "branches", config->branch, LEDGER_BRANCH,
		                                     "pusher", pusher, "findings", findings);
		print_json(all);
		return good ? CLI_DONE : CLI_FINDING;
	}
	json_array_foreach (findings, i, finding) {
		cleanup_free char *line = safe_line(json_string_value(finding));
		printf("%s\n", line);
	}
	if (good)
		printf("%s and " LEDGER_BRANCH " are protected: only %s pushes, all else comes by reviewed requests\n", config->branch,
		       pusher);
	else
		note("branch-protect: the protection is not what approvals need; without --check it is set up, by a token that may "
		     "administer the repository");
	return good ? CLI_DONE : CLI_FINDING;
}

int cmd_branch_protect(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_forge struct forge *forge = NULL;
	cleanup_json json_t *findings = json_array();
	cleanup_free char *pusher = NULL;
	const char *given = args_value(args, "pusher");

	if (cli_config(args, &config, err) < 0 || need_forge(&config, &forge, err) < 0)
		return CLI_FAILED;
	if (given)
		pusher = xstrdup(given);
	else if (forge_whoami(forge, &pusher, err) < 0)
		return CLI_FAILED;
	if (!args_has(args, "check") && forge_each_protection(forge, &config, pusher, NULL, err) < 0)
		return CLI_FAILED;
	/* What was set is read back. */
	if (forge_each_protection(forge, &config, pusher, findings, err) < 0)
		return CLI_FAILED;
	return report(args, &config, pusher, findings);
}
