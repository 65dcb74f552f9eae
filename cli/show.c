/*
 * show, cancel: one action.
 */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <stdlib.h>
#include <string.h>

/* show */

/* What the dispatcher says of it: *ret stays NULL where it knows nothing of it. -1: none answers, or not to this token. Caller owns. */
static int live_row(const struct config *config, const char *id, json_t **ret, struct err *err)
{
	cleanup_api struct api api = API_INIT;
	cleanup_free char *path = xasprintf("/actions/%s", id);
	cleanup_json json_t *row = NULL;
	long status = 0;

	if (api_open(config, &api, err) < 0 || api_call(&api, "GET", path, &status, &row, err) < 0)
		return -1;
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "%s", api_error(status, row));
	if (status != 200 || !json_is_object(row))
		return 0;
	api_explain_one(&api, row);
	*ret = steal_ptr(&row);
	return 0;
}

/* Adds what was asked for: the action with its risk, or why it can't run; for a proposal, the branch. */
static int add_action(const struct repo *r, const char *id, bool landed, json_t *ret, struct err *err)
{
	cleanup_judged struct judged judged = JUDGED_INIT;
	const git_oid *head = repo_proposal(r, id);
	char hex[OID_TEXT];

	if (!landed)
		json_object_set_new(ret, "head", json_string(oid_text(head, hex)));
	if ((landed ? judge_landed(r, id, &judged, err) : judge(r, head, id, &judged, err)) < 0)
		return -1;
	if (judged.action.json)
		json_object_set(ret, "action", judged.action.json);
	if (judged.problem)
		json_object_set_new(ret, "problem", json_string(judged.problem));
	else
		json_object_set_new(ret, "risk", risk_json(&judged, r->config));
	return 0;
}

/* All that the ops repo knows. ERR_NOT_FOUND: nothing. Caller owns. */
static int show_repo(const struct config *config, const char *id, json_t **ret, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *all = NULL;
	cleanup_json json_t *result = NULL;
	struct ops_item item;
	bool archived;

	if (repo_ready(config, &repo, err) < 0 || runs_item(&repo, id, &item, &archived, err) < 0)
		return -1;
	if (!item.action.there && !item.result.there && !repo_proposal(&repo, id))
		return err_set(err, ERR_NOT_FOUND, "there is no action or proposal %s; disinto list shows what there is", id);
	all = runs_row(&repo, &item);
	if (!item.action.there && !item.result.there) {
		json_object_set_new(all, "state", json_string("pending"));
		json_object_set_new(all, "reason", json_null());
	}
	result = runs_result(&repo, &item);
	if (result)
		json_object_set(all, "result", result);
	if (((item.action.there && !archived) || !item.result.there) && add_action(&repo, id, item.action.there, all, err) < 0)
		return -1;
	*ret = steal_ptr(&all);
	return 0;
}

static void print_result(const json_t *result)
{
	const json_t *step;
	size_t i;

	printf("  %-12s", "result");
	result_print(result, stdout);
	print_pair(stdout, "started", text_of(result, "started_at"));
	print_pair(stdout, "finished", text_of(result, "timestamp"));
	print_pair(stdout, "image ran", text_of(result, "image"));
	json_array_foreach (json_object_get(result, "steps"), i, step) {
		const json_t *cost = json_object_get(step, "cost_usd");
		cleanup_free char *price = json_is_number(cost) ? xasprintf(", $%.4f", json_number_value(cost)) : NULL;
		cleanup_free char *line =
		    xasprintf("%s: exit %lld, %lld ms%s", text_of(step, "id") ? text_of(step, "id") : "?",
		              (long long)json_integer_value(json_object_get(step, "exit_code")),
		              (long long)json_integer_value(json_object_get(step, "duration_ms")), price ? price : "");

		print_pair(stdout, "step", line);
	}
}

static void print_one(const json_t *all)
{
	const json_t *risk = json_object_get(all, "risk");
	const json_t *result = json_object_get(all, "result");

	if (risk)
		risk_print(risk, stdout);
	else
		print_pair(stdout, "action", text_of(all, "id"));
	print_pair(stdout, "problem", text_of(all, "problem"));
	print_pair(stdout, "state", text_of(all, "state"));
	print_pair(stdout, "step", text_of(all, "step"));
	print_pair(stdout, "head", text_of(all, "head"));
	if (json_is_object(result))
		print_result(result);
	else
		print_pair(stdout, "reason", text_of(all, "reason"));
}

/* What repo and dispatcher know together; one of the two is enough. Caller owns. */
static int show_all(const struct config *config, const char *id, json_t **ret, struct err *err)
{
	cleanup_json json_t *all = NULL;
	cleanup_json json_t *live = NULL;
	cleanup_err struct err why = ERR_INIT;
	int answered = live_row(config, id, &live, &why);

	if (!cli_has_repo(config)) {
		if (answered < 0)
			err_move(err, &why);
		else if (!live)
			err_set(err, ERR_NOT_FOUND, "the dispatcher knows no action %s; disinto list shows what there is", id);
		*ret = steal_ptr(&live);
		return *ret ? 0 : -1;
	}
	err_clear(&why);
	if (show_repo(config, id, &all, &why) == 0) {
		if (live)
			json_object_update(all, live);
	} else if (live) {
		note("show: %s; what follows is only what the dispatcher knows", err_msg(&why));
		all = json_incref(live);
	} else {
		err_move(err, &why);
		return -1;
	}
	*ret = steal_ptr(&all);
	return 0;
}

int cmd_show(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_json json_t *all = NULL;
	int code = cli_action(args, &config, err);

	if (code != 0)
		return code;
	if (show_all(&config, args_operand(args, 0), &all, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(all);
	print_one(all);
	return CLI_DONE;
}

/* cancel */

int cmd_cancel(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *body = NULL;
	cleanup_free char *path = xasprintf("/workers/%s", args_operand(args, 0));
	long status = 0;
	if (cli_id(args_operand(args, 0), err) < 0)
		return CLI_USAGE;
	if (api_begin(args, &config, &api, err) < 0 || api_call(&api, "DELETE", path, &status, &body, err) < 0)
		return CLI_FAILED;
	if (status != 202) {
		err_set(err, ERR_FAIL, "%s: %s; disinto show %s says how it stands", args_operand(args, 0), api_error(status, body),
		        args_operand(args, 0));
		return CLI_FAILED;
	}
	if (args_has(args, "json"))
		return print_json(body);
	printf("%s is being cancelled; disinto show %s says when it is\n", args_operand(args, 0), args_operand(args, 0));
	return CLI_DONE;
}
