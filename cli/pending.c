/* What stands on branches vault/<id> and has not landed. */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <stdlib.h>
#include <string.h>

static const char *secrets_text(const struct judged *j, struct buf *buf)
{
	const json_t *secret;
	size_t i;

	json_array_foreach (j->action.secrets, i, secret) {
		buf_addf(buf, "%s%s", i > 0 ? " " : "", json_string_value(secret));
	}
	return buf->len > 0 ? buf->data : "-";
}

/* NULL of candidate_row() is what cannot be said in JSON. */
static json_t *row_of(const struct judging *by, const char *id, const git_oid *head)
{
	json_t *row = candidate_row(by, id, head);

	return row ? row
	           : json_pack("{s:s, s:s, s:s, s:[]}", "id", id, "head", git_oid_tostr_s(head), "problem", "it holds what is no text",
	                       "secrets");
}

json_t *pending_rows(const struct repo *r)
{
	const struct judging by = repo_judging(r);
	json_t *rows = json_array();

	for (size_t i = 0; i < r->refs.n; i++) {
		const char *name = r->refs.v[i].name;
		const char *id = name + strlen(PROPOSAL_REFS);

		if (strncmp(name, PROPOSAL_REFS, strlen(PROPOSAL_REFS)) == 0 && vault_is_id(id) && !candidate_has_landed(&by, id))
			json_array_append_new(rows, row_of(&by, id, &r->refs.v[i].oid));
	}
	return rows;
}

static void pending_print(const json_t *rows)
{
	static const char *const headers[] = {"ID", "FORMULA", "SECRETS", "BY", "HEAD", "CONTEXT", NULL};
	cleanup_table struct table table;
	const json_t *row;
	size_t i;

	table_init(&table, headers);
	json_array_foreach (rows, i, row) {
		cleanup_buf struct buf secrets = BUF_INIT;
		cleanup_free char *problem = text_of(row, "problem") ? xasprintf("INVALID: %s", text_of(row, "problem")) : NULL;
		cleanup_free char *head = xasprintf("%.10s", text_of(row, "head"));
		struct judged judged = {.action = {.secrets = json_object_get(row, "secrets")}};
		const char *url = text_of(json_object_get(row, "pull"), "url");
		cleanup_free char *context = url && *url && !problem ? xasprintf("%s  %s", url, text_of(row, "context")) : NULL;

		table_add(&table, (const char *const[]){text_of(row, "id"), text_of(row, "formula"), secrets_text(&judged, &secrets),
		                                        text_of(row, "by"), head,
		                                        problem   ? problem
		                                        : context ? context
		                                                  : text_of(row, "context")});
	}
	table_print(&table, stdout);
}

/* Adds each proposal's request. A forge that does not answer takes nothing away from the list. */
static void add_pulls(const struct config *config, json_t *rows)
{
	struct forge_pulls pulls __attribute__((cleanup(forge_pulls_free))) = {0};
	cleanup_forge struct forge *forge = NULL;
	cleanup_err struct err why = ERR_INIT;
	json_t *row;
	size_t i;

	if (cli_forge(config, &forge, &why) < 0 || (forge && forge_open_pulls(forge, &pulls, &why) < 0))
		note("pending: without the links of the pull requests: %s", err_msg(&why));
	json_array_foreach (rows, i, row) {
		cleanup_free char *branch = xasprintf("vault/%s", text_of(row, "id"));

		for (size_t k = 0; k < pulls.n; k++)
			if (strcmp(pulls.v[k].branch, branch) == 0)
				json_object_set_new(row, "pull",
				                    json_pack("{s:I, s:s, s:s}", "number", (json_int_t)pulls.v[k].number, "url",
				                              pulls.v[k].url, "author", pulls.v[k].author));
	}
}

int pending_live(struct api *api, json_t **ret, struct err *err)
{
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_call(api, "GET", "/pending", &status, &body, err) < 0)
		return -1;
	json_t *rows = json_object_get(body, "pending");
	if (status != 200 || !json_is_array(rows))
		return err_set(err, ERR_FAIL, "%s", api_error(status, body));
	size_t total = (size_t)json_integer_value(json_object_get(body, "total"));
	if (total > json_array_size(rows))
		note("pending: the dispatcher names %zu of %zu", json_array_size(rows), total);
	*ret = json_incref(rows);
	return 0;
}

/* From the ops repo, with the links of its forge. Caller owns. */
static int pending_of_repo(const struct config *config, json_t **ret, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;

	if (repo_ready(config, &repo, err) < 0)
		return -1;
	*ret = pending_rows(&repo);
	add_pulls(config, *ret);
	return 0;
}

static int pending_of_dispatcher(const struct config *config, json_t **ret, struct err *err)
{
	cleanup_api struct api api = API_INIT;

	return api_open(config, &api, err) < 0 ? -1 : pending_live(&api, ret, err);
}

int cmd_pending(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_json json_t *rows = NULL;

	if (cli_site(args, &config, err) < 0 || (cli_has_repo(&config) ? pending_of_repo : pending_of_dispatcher)(&config, &rows, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(rows);
	if (json_array_size(rows) == 0)
		note("pending: nothing waits for approval");
	else
		pending_print(rows);
	return CLI_DONE;
}
