/*
 * What an operator decides, asked of the dispatcher on its socket: settle, accept-backlog, accept-history, drain.
 */
#include "cli/api.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include <poll.h>
#include <string.h>

#define AGAIN_MS 250 /* while the dispatcher's web role is being replaced */

/* POST `path`; an answer of 2xx is success, and *ret its body (caller owns). */
static int post(struct api *api, const char *path, json_t **ret, struct err *err)
{
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_wait(api, "POST", path, &status, &body, err) < 0)
		return -1;
	if (status < 200 || status > 299)
		return err_set(err, ERR_FAIL, "%s", api_error(status, body));
	*ret = steal_ptr(&body);
	return 0;
}

/* A decision, and what came of it. */
static int decide(const struct args *args, const char *path, const char *done, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *body = NULL;

	if (api_begin(args, &config, &api, err) < 0 || post(&api, path, &body, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(body);
	cleanup_free char *reason = safe_line(text_of(body, "reason"));
	note("%s: %s%s%s", args->command->name, done, *reason ? ": " : "", reason);
	return CLI_DONE;
}

int cmd_settle(const struct args *args, struct err *err)
{
	const char *id = args_operand(args, 0), *as = args_operand(args, 1);
	bool rerun = strcmp(as, "rerun") == 0;

	if (cli_id(id, err) < 0)
		return CLI_USAGE;
	if (!rerun && strcmp(as, "lost") != 0) {
		err_set(err, ERR_INVALID, "'%s' is neither lost nor rerun", as);
		return CLI_USAGE;
	}
	cleanup_free char *path = xasprintf("/actions/%s/%s", id, as);
	cleanup_free char *done =
	    xasprintf("%s %s", id, rerun ? "is free to be run once more, as its next attempt" : "has a result now: its run is lost");
	return decide(args, path, done, err);
}

int cmd_accept_backlog(const struct args *args, struct err *err)
{
	return decide(args, "/accept-backlog", "what had landed before the ledger may run now", err);
}

int cmd_accept_history(const struct args *args, struct err *err)
{
	return decide(args, "/accept-history", "the branch is taken as it stands now", err);
}

static void say_what_it_waits_for(struct api *api)
{
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_call(api, "GET", "/status", &status, &body, NULL) < 0 || status != 200)
		return;
	long long runs = json_integer_value(json_object_get(json_object_get(body, "workers"), "active"));
	long long results = json_integer_value(json_object_get(body, "recording"));
	if (runs + results > 0)
		note("drain: waits for %lld runs and %lld results", runs, results);
}

static int say_drained(const struct args *args, const json_t *body)
{
	cleanup_free char *said = safe_line(text_of(body, "on_drained"));

	if (args_has(args, "json"))
		return print_json(body);
	note("drain: drained; the dispatcher ends%s%s", *said ? "; on_drained: " : "", said);
	return CLI_DONE;
}

/*
 * Waits as long as the dispatcher lives, over a replaced role of it too. Asking to drain and waiting for it is one request: after a first one the dispatcher might have ended
 * before a second.
 */
int cmd_drain(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_api struct api api = API_INIT;

	if (api_begin(args, &config, &api, err) < 0)
		return CLI_FAILED;
	say_what_it_waits_for(&api);
	for (;;) {
		cleanup_json json_t *end = NULL;
		cleanup_err struct err why = ERR_INIT;

		if (post(&api, "/drain?wait=1", &end, &why) == 0)
			return say_drained(args, end);
		poll(NULL, 0, AGAIN_MS);
		if (why.code == ERR_UNREACHABLE && api_answers(&api))
			continue;
		err_move(err, &why);
		err_wrap(err, "the dispatcher did not say that it had drained; its log says why");
		return CLI_FAILED;
	}
}
