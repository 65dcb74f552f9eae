/* Proposals: their words, and whether they may be made. */
#include "vault/approval/proposal.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/forge/told.h"
#include <stdlib.h>
#include <string.h>

char *proposal_message(const struct action *action)
{
	struct buf text = BUF_INIT;
	const json_t *secret;
	size_t i;

	buf_addf(&text, "vault: %s\n\n%s\n\nFormula: %s\nSecrets:", action->id, action->context, action->formula);
	json_array_foreach (action->secrets, i, secret) {
		buf_addf(&text, " %s", json_string_value(secret));
	}
	buf_adds(&text, json_array_size(action->secrets) > 0 ? "\n" : " none\n");
	return buf_steal(&text);
}

int proposal_check_free(git_repository *git, const git_oid *tip, const char *id, struct err *err)
{
	struct ops_past *past = ops_past_new(git);
	struct ops_item item;
	int code;

	code = ops_item(git, tip, id, &item, err);
	if (code == 0)
		code = ops_past_update(past, tip, err);
	if (code == 0 && (item.result.there || ops_past_removed(past, id)))
		code = err_set(err, ERR_EXISTS, "%s has run already; an id runs once, propose it again under a new one (disinto show %s)",
		               id, id);
	else if (code == 0 && item.action.there)
		code = err_set(err, ERR_EXISTS, "%s has landed already; disinto show %s says how it stands", id, id);
	ops_past_free(past);
	return code;
}

int proposal_check_same(git_repository *git, const git_oid *head, const char *id, const git_oid *blob, struct err *err)
{
	cleanup_free char *path = vault_action_path(id);
	git_filemode_t mode;
	git_oid there;

	if (git_repo_entry(git, head, path, &there, &mode, err) == 0 && git_oid_equal(&there, blob))
		return 0;
	return err_set(err, ERR_EXISTS, "%s is proposed already, with other content, on branch vault/%s; choose a new id", id, id);
}

static void add_pair(void *to, const char *label, const char *text)
{
	told_pair(to, label, text);
}

int proposal_request(const char *id, const json_t *risk, struct proposal_request *ret, struct err *err)
{
	const char *tier = json_text(risk, "tier");
	cleanup_buf struct buf told = BUF_INIT;
	struct buf body = BUF_INIT;

	if (!risk)
		return err_set(err, ERR_FAIL, "what %s would do can't be told", id);
	/* What a reviewer reads first is what would run, as it is told on a terminal; the author's own words stand in it as data. */
	risk_tell(risk, add_pair, &told);
	buf_addf(&body, "Merging this lets `%s` run once:\n\n", id);
	told_block(&body, told.data);
	*ret = (struct proposal_request){
	    .branch = xasprintf("vault/%s", id),
	    .title = xasprintf("vault: %s", id),
	    .body = buf_steal(&body),
	    .label = xasprintf("tier: %s", tier ? tier : "high"),
	};
	return 0;
}

void proposal_request_free(struct proposal_request *q)
{
	free(q->branch);
	free(q->title);
	free(q->body);
	free(q->label);
	*q = (struct proposal_request){.branch = NULL};
}

int proposal_open_request(struct forge *f, const struct proposal_request *q, const char *base, struct forge_pull *ret, bool *ret_made,
                          struct err *err)
{
	const struct forge_request request = {.branch = q->branch,
	                                      .base = base,
	                                      .title = q->title,
	                                      .body = q->body,
	                                      .labels = (const char *const[]){"vault", q->label, NULL}};

	if (forge_propose(f, &request, ret, ret_made, err) < 0)
		return err_wrap(err, "branch %s is pushed, and has no pull request yet; propose the same again to open it", q->branch);
	return 0;
}

int forge_of_config(const struct config *config, struct forge **ret, struct err *err)
{
	cleanup_free char *repo = NULL;

	if (!config->approval.forge_url)
		return 0;
	repo = forge_repo_of(config->ops_repo);
	if (!repo)
		return err_set(err, ERR_INVALID, "%s: ops_repo: '%s' names no owner/name of the forge at %s", config->file,
		               config->ops_repo, config->approval.forge_url);
	const struct forge_options options = {.url = config->approval.forge_url,
	                                      .repo = repo,
	                                      .base = config->branch,
	                                      .token_file = config->approval.forge_token_file,
	                                      .ca_file = config->ca_file};
	return forge_new(&options, ret, err);
}
