/*
 * What doctor looks at elsewhere: the git server, what its branches allow, the forge.
 */
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/secrets.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"
#include "vault/ops/ledger.h"
#include <stdlib.h>
#include <string.h>

#define CALL_MS 15000

static bool names_recipient(const struct doctor *d, const char *list)
{
	for (size_t i = 0; i < age_identities_count(d->ids); i++) {
		cleanup_free char *recipient = age_identity_recipient(d->ids, i);

		if (strstr(list, recipient))
			return true;
	}
	return false;
}

/* Whether new secrets would be for this site. */
static void look_at_recipients(struct doctor *d)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (!d->ids)
		return;
	if (repo_file(&d->repo, &d->repo.tip, VAULT_RECIPIENTS, 1 << 20, &text, NULL) < 0 || !names_recipient(d, text.data))
		doctor_finding(d, "identity",
		               "add its recipient to vault/recipients.txt, then `disinto secrets rotate` where the secrets can be opened",
		               "no key of identity_file stands in vault/recipients.txt, so that new secrets can't be opened here");
}

void doctor_git(struct doctor *d)
{
	static const char mend[] = "the account of git_token_file (or the ssh key) must be able to read and write the ops repo";
	cleanup_err struct err why = ERR_INIT;

	if (repo_ready(&d->config, &d->repo, &why) < 0) {
		doctor_finding(d, "git", mend, "%s", err_msg(&why));
		return;
	}
	d->has_repo = true;
	if (git_may_push(d->repo.git, &d->repo.place, &why) < 0)
		doctor_finding(d, "git", mend, "it can be read and not pushed to, so that no result would land: %s", err_msg(&why));
	else
		doctor_ok(d, "git", "%s can be read and pushed to", d->config.ops_repo);
	look_at_recipients(d);
}

/* By the forge's own words. */
static void look_at_forge(struct doctor *d, struct forge *forge)
{
	cleanup_json json_t *findings = json_array();
	cleanup_free char *login = NULL;
	cleanup_err struct err why = ERR_INIT;
	const json_t *one;
	size_t i;

	if (forge_whoami(forge, &login, &why) < 0 || forge_each_protection(forge, &d->config, login, findings, &why) < 0) {
		doctor_finding(d, "protection",
		               "approval.forge_token_file must hold a token that may read the repository's branch protections",
		               "the forge does not tell: %s", err_msg(&why));
		return;
	}
	json_array_foreach (findings, i, one)
		doctor_finding(d, "protection", "`disinto branch-protect`, with a token that may administer the repository", "%s",
		               json_string_value(one));
	if (json_array_size(findings) == 0)
		doctor_ok(d, "protection", "%s and " LEDGER_BRANCH " are protected on the forge", d->config.branch);
}

/* A setting of a repository, as it alone has it. */
static bool is_on(git_repository *git, const char *setting)
{
	git_config *settings = NULL;
	int on = 0;

	if (git_repository_config_snapshot(&settings, git) < 0 || git_config_get_bool(&on, settings, setting) < 0)
		git_error_clear();
	git_config_free(settings);
	return on != 0;
}

/* By the settings of a repository on this machine. */
static void look_at_bare(struct doctor *d, git_repository *git)
{
	static const char *const wanted[] = {"receive.denyNonFastForwards", "receive.denyDeletes"};
	size_t before = d->n_findings;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		cleanup_free char *mend = xasprintf("git -C %s config %s true", d->config.ops_repo, wanted[i]);

		if (!is_on(git, wanted[i]))
			doctor_finding(d, "protection", mend,
			               "%s is not set, so that whoever pushes may rewrite what was approved, and the ledger", wanted[i]);
	}
	if (d->n_findings == before)
		doctor_ok(d, "protection", "%s lets nobody rewrite or delete a branch", d->config.ops_repo);
}

void doctor_ledger(struct doctor *d)
{
	cleanup_forge struct forge *forge = NULL;
	cleanup_git(git_repository) git_repository *git = NULL;
	cleanup_err struct err why = ERR_INIT;

	if (!d->has_repo)
		return;
	if (cli_forge(&d->config, &forge, &why) < 0)
		doctor_finding(d, "protection", "approval.forge_url must be the forge of ops_repo", "%s", err_msg(&why));
	else if (forge)
		look_at_forge(d, forge);
	else if (git_repository_open_ext(&git, d->config.ops_repo, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) == 0)
		look_at_bare(d, git);
	else
		doctor_note(d, "protection",
		            "how the server protects %s and " LEDGER_BRANCH " can't be seen from here without approval.forge_url",
		            d->config.branch);
}

bool doctor_server_clock(const struct doctor *d, int64_t *ret_ahead)
{
	const struct http_request request = {.method = "GET", .path = "/", .timeout_ms = CALL_MS};
	cleanup_http_response struct http_response response = HTTP_RESPONSE_INIT;
	const char *url = d->config.ops_repo;

	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return false;
	cleanup_free char *base = xasprintf("%.*s", (int)(strcspn(url + 8, "/") + 8), url);
	cleanup_http_client struct http_client *http =
	    http_client_new(&(struct http_options){.base_url = base, .ca_file = d->config.ca_file});
	if (http_send(http, &request, &response, NULL) < 0 || response.date == 0)
		return false;
	*ret_ahead = response.date - now_wall_ms() / 1000;
	return true;
}
