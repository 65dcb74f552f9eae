/*
 * show, logs, cancel: one action.
 */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/runs.h"
#include "cli/watch.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BLOCK 65536

/* Usage errors and the configuration, the same for all three. 0, or what the command returns. */
static int begin(const struct args *args, struct config *ret, struct err *err)
{
	if (cli_id(args_operand(args, 0), err) < 0)
		return CLI_USAGE;
	return cli_site(args, ret, err) < 0 ? CLI_FAILED : 0;
}

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

/* The files of an id, wherever they are. */
static int find_item(const struct repo *r, const char *id, struct ops_item *ret, bool *ret_archived, struct err *err)
{
	if (ops_item(r->git, &r->tip, id, ret, err) < 0)
		return -1;
	*ret_archived = !ret->action.there && !ret->result.there;
	return *ret_archived ? ops_archive_item(r->git, &r->tip, id, ret, err) : 0;
}

/* All that the ops repo knows. ERR_NOT_FOUND: nothing. Caller owns. */
static int show_repo(const struct config *config, const char *id, json_t **ret, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *all = NULL;
	cleanup_json json_t *result = NULL;
	struct ops_item item;
	bool archived;

	if (repo_ready(config, &repo, err) < 0 || find_item(&repo, id, &item, &archived, err) < 0)
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
	int code = begin(args, &config, err);

	if (code != 0)
		return code;
	if (show_all(&config, args_operand(args, 0), &all, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(all);
	print_one(all);
	return CLI_DONE;
}

/* logs */

static int on_log(const char *data, size_t len, void *arg)
{
	return follow_data(data, len, arg);
}

/* From the dispatcher. 0: done; 1: it has none, and err says what it said. */
static int stream_log(const struct config *config, const char *id, bool follow, int lines, struct follow *f, struct err *err)
{
	cleanup_api struct api api = API_INIT;
	struct api_stream stream = {.on_data = on_log, .wake_fd = -1, .arg = f};
	cleanup_free char *path = lines > 0 ? xasprintf("/workers/%s/logs?footer=0&lines=%d%s", id, lines, follow ? "&follow=1" : "")
	                                    : xasprintf("/workers/%s/logs?footer=0&lines=0%s", id, follow ? "&follow=1" : "");
	long status = 0;

	if (api_open(config, &api, err) < 0 || api_stream(&api, path, &stream, &status, err) < 0)
		return -1;
	if (status == 200)
		return 0;
	if (status == 404)
		err_set(err, ERR_NOT_FOUND, "%s: the dispatcher has no log of it; disinto show %s says how it stands", id, id);
	else
		err_set(err, ERR_FAIL, "%s: %s", id, api_error(status, NULL));
	return 1;
}

/* Where the last `lines` lines of a text begin. */
static size_t tail(const char *text, size_t len, int lines)
{
	size_t at = len;

	if (lines <= 0)
		return 0;
	while (at > 0) {
		if (text[at - 1] == '\n' && at < len && --lines == 0)
			return at;
		at--;
	}
	return 0;
}

/* From the spool: whole, or its end. ERR_NOT_FOUND where it is not there. */
static int spool_log(const struct config *config, const char *id, int lines, struct follow *f, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/runs/%s/log", config->spool, id);
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;
	size_t from;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	while ((n = read(fd, buf_room(&text, LOG_BLOCK), LOG_BLOCK)) > 0)
		buf_grew(&text, (size_t)n);
	if (n < 0)
		return err_errno(err, errno, "%s", path);
	from = tail(text.data, text.len, lines);
	follow_data(text.data + from, text.len - from, f);
	return 0;
}

/* From the result in the ops repo: its last 4096 bytes, for a run that was elsewhere. */
static int result_log(const struct config *config, const char *id, int lines, struct follow *f, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *result = NULL;
	struct ops_item item;
	bool archived;
	const char *text;
	size_t from;

	if (repo_ready(config, &repo, err) < 0 || find_item(&repo, id, &item, &archived, err) < 0)
		return -1;
	result = runs_result(&repo, &item);
	text = text_of(result, "logs");
	if (!text)
		return err_set(err, ERR_NOT_FOUND, "%s: there is no log; %s", id,
		               item.action.there ? "it has not run yet" : "there is no such landed action (disinto pending, disinto list)");
	note("logs: %s: the log is not in this spool; this is the end of it, from the result", id);
	from = tail(text, strlen(text), lines);
	follow_data(text + from, strlen(text) - from, f);
	return 0;
}

/* Whole, from the dispatcher, the spool, or the result, whichever has it. */
static int print_log(const struct config *config, const char *id, int lines, struct follow *f, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	int code = stream_log(config, id, false, lines, f, &why);

	if (code != 0 && (f->written > 0 || !cli_has_repo(config))) {
		err_move(err, &why);
		return -1;
	}
	if (code == 0 || spool_log(config, id, lines, f, NULL) == 0)
		return 0;
	return result_log(config, id, lines, f, err);
}

/* Goes on until the action is finished, and tells how it ended. 0, CLI_FAILED, or 1: no dispatcher follows it. */
static int follow_log(const struct config *config, const char *id, int lines, struct follow *f, struct err *err)
{
	cleanup_watch struct watch w = WATCH_INIT;
	cleanup_err struct err why = ERR_INIT;
	int code;

	w.command = "logs";
	w.id = id;
	w.config = config;
	w.follow = *f;
	if (watch_begin(&w, err) < 0)
		return CLI_FAILED;
	if (watch_ask(&w, &why) < 0) {
		if (cli_has_repo(config) && why.code != ERR_DENIED)
			return 1;
		err_move(err, &why);
		return CLI_FAILED;
	}
	/* Which part of a log its last lines are can't be told twice, so there is no second try. */
	code = lines > 0 ? stream_log(config, id, true, lines, f, err) : watch_follow(&w, err);
	if (code == 0 && lines > 0)
		code = watch_ask(&w, err);
	if (code == 0 && json_is_object(json_object_get(w.row, "result")))
		watch_summary(&w, json_object_get(w.row, "result"));
	return code == 0 ? CLI_DONE : CLI_FAILED;
}

int cmd_logs(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	struct follow f = {.fd = STDOUT_FILENO, .safe = term_is(STDOUT_FILENO)};
	const char *id = args_operand(args, 0);
	int lines, code;

	if (!id)
		return cmd_compose_logs(args, err);
	code = begin(args, &config, err);
	if (code != 0)
		return code;
	if (args_int(args, "lines", 1, 1000000000, 0, &lines, err) < 0)
		return CLI_USAGE;
	code = args_has(args, "follow") ? follow_log(&config, id, lines, &f, err) : 1;
	if (code == 1)
		code = print_log(&config, id, lines, &f, err);
	follow_end(&f);
	return code;
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
