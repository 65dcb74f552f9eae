/*
 * run: asks the dispatcher on the spool, or is one for this action, and follows until the result is there.
 */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/runs.h"
#include "cli/watch.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/result.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define START_MS 60000 /* until a dispatcher of our own answers */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* A run as it is watched, and who runs it if that is us. */
struct running {
	struct watch watch;
	struct own_dispatcher own;
};

static void running_free(struct running *r)
{
	own_stop(&r->own);
	if (r->own.log_fd >= 0)
		close(r->own.log_fd);
	watch_free(&r->watch);
}

/* Whether the dispatcher of our own has ended. */
static bool is_left_alone(void *arg)
{
	struct running *r = arg;

	return r->own.pid > 0 && own_ended(&r->own);
}

int run_exit_code(const json_t *result)
{
	const char *name = json_string_value(json_object_get(result, "outcome"));
	json_int_t code = json_integer_value(json_object_get(result, "exit_code"));
	enum outcome outcome;

	if (!name || outcome_parse(name, &outcome) < 0)
		return RUN_FAILED;
	switch (outcome) {
	case OUTCOME_SUCCEEDED:
		return 0;
	case OUTCOME_TIMED_OUT:
		return EXIT_TIMED_OUT;
	case OUTCOME_CANCELLED:
		return EXIT_CANCELLED;
	case OUTCOME_REFUSED:
		return RUN_REFUSED;
	case OUTCOME_FAILED:
		return code < 1 ? RUN_FAILED : code < RUN_HIGH ? (int)code : RUN_HIGH;
	case OUTCOME_LOST:
		break;
	}
	return RUN_FAILED;
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms); /* a signal ends it early */
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int own_failed(struct running *r, struct err *err)
{
	cleanup_free char *words = own_words(&r->own);

	return err_set(err, ERR_FAIL, "the dispatcher for this run ended with exit code %d; it said:\n%s", r->own.code, words);
}

/* Starts a dispatcher of our own and waits until it, or one that was faster, answers. */
static int start_own(struct running *r, bool verbose, struct err *err)
{
	int64_t deadline = now_mono_ms() + START_MS;

	if (own_start(r->watch.config, r->watch.id, verbose, &r->own, err) < 0)
		return -1;
	while (!api_answers(&r->watch.api)) {
		if (own_ended(&r->own))
			return own_failed(r, err);
		if (interrupted)
			return err_set(err, ERR_FAIL, "interrupted before anything was started");
		if (now_mono_ms() > deadline)
			return err_set(err, ERR_TIMEOUT,
			               "the dispatcher for this run does not answer after %d s; disinto run -v %s shows what it does",
			               START_MS / 1000, r->watch.id);
		pause_ms(20);
	}
	return 0;
}

/* The result from the ops repo, for when no dispatcher can be asked. Caller owns. */
static json_t *result_of_repo(const struct config *config, const char *id)
{
	cleanup_repo struct repo repo = REPO_INIT;
	struct ops_item item;

	if (!cli_has_repo(config) || repo_ready(config, &repo, NULL) < 0 || ops_item(repo.git, &repo.tip, id, &item, NULL) < 0)
		return NULL;
	return runs_result(&repo, &item);
}

static int say_already(const char *id, const json_t *result)
{
	note("run: %s: already ran; an id runs once, to do it again propose it under a new one", id);
	if (result)
		print_json(result);
	return RUN_ALREADY;
}

static int say_unknown(const char *id)
{
	note("run: %s: no such landed action; disinto pending lists what waits for approval", id);
	return RUN_UNKNOWN;
}

/* Before a dispatcher is started for it: is there anything to do? 0: yes; else the exit code, or CLI_FAILED. */
static int look_first(const struct running *r, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *result = NULL;
	struct ops_item item;

	if (repo_ready(r->watch.config, &repo, err) < 0 || ops_item(repo.git, &repo.tip, r->watch.id, &item, err) < 0)
		return CLI_FAILED;
	if (item.result.there) {
		result = runs_result(&repo, &item);
		return say_already(r->watch.id, result);
	}
	return item.action.there ? 0 : say_unknown(r->watch.id);
}

/* 0: it is taken; else the exit code, or CLI_FAILED. */
static int ask_to_run(struct running *r, struct err *err)
{
	cleanup_free char *path = xasprintf("/actions/%s/run", r->watch.id);
	cleanup_json json_t *body = NULL;
	cleanup_json json_t *result = NULL;
	long status = 0;

	if (api_call(&r->watch.api, "POST", path, &status, &body, err) < 0)
		return CLI_FAILED;
	if (status == 404)
		return say_unknown(r->watch.id);
	if (status == 409) {
		result = json_incref(json_object_get(body, "result"));
		if (!json_is_object(result)) {
			json_decref(result);
			result = result_of_repo(r->watch.config, r->watch.id);
		}
		return say_already(r->watch.id, result);
	}
	if (status != 202) {
		err_set(err, ERR_FAIL, "%s: %s", r->watch.id, api_error(status, body));
		return CLI_FAILED;
	}
	return 0;
}

static int say_interrupted(const struct running *r)
{
	const char *state = text_of(r->watch.row, "state");
	bool begun = state && strcmp(state, "waiting") != 0 && strcmp(state, "queued") != 0;

	if (r->own.log_fd < 0)
		note("run: interrupted: %s goes on; disinto logs -f %s follows it again, disinto cancel %s ends it", r->watch.id,
		     r->watch.id, r->watch.id);
	else if (begun)
		note("run: interrupted: %s goes on in its container; the next dispatcher, or disinto run %s, takes it up again",
		     r->watch.id, r->watch.id);
	else
		note("run: interrupted: %s has not started; the next dispatcher, or disinto run %s, starts it", r->watch.id, r->watch.id);
	return RUN_FAILED;
}

static int conclude(const struct args *args, struct running *r, struct err *err)
{
	cleanup_json json_t *result = json_incref(json_object_get(r->watch.row, "result"));

	if (interrupted && !watch_finished(&r->watch))
		return say_interrupted(r);
	if (!json_is_object(result)) {
		json_decref(result);
		result = result_of_repo(r->watch.config, r->watch.id);
	}
	if (!result) {
		if (r->own.log_fd >= 0 && r->own.pid == 0)
			own_failed(r, err);
		else
			err_set(err, ERR_NOT_FOUND, "%s ended, but its result can't be read; disinto show %s", r->watch.id, r->watch.id);
		return CLI_FAILED;
	}
	if (args_has(args, "json"))
		print_json(result);
	watch_summary(&r->watch, result);
	return run_exit_code(result);
}

/* A dispatcher elsewhere is asked; only on this machine can we be one ourselves. 0: one answers; else the exit code, or CLI_FAILED. */
static int find_dispatcher(const struct args *args, struct running *r, struct err *err)
{
	int code;

	if (api_answers(&r->watch.api))
		return 0;
	if (api_url()) {
		api_none(r->watch.config, err);
		return CLI_FAILED;
	}
	code = look_first(r, err);
	if (code != 0)
		return code;
	return start_own(r, args_has(args, "verbose"), err) < 0 ? CLI_FAILED : 0;
}

static int run(const struct args *args, struct running *r, struct err *err)
{
	int code;

	if (watch_begin(&r->watch, err) < 0)
		return CLI_FAILED;
	catch_signals();
	code = find_dispatcher(args, r, err);
	if (code == 0)
		code = ask_to_run(r, err);
	if (code != 0)
		return code;
	code = watch_follow(&r->watch, err);
	own_stop(&r->own);
	return code < 0 ? CLI_FAILED : conclude(args, r, err);
}

/* --dry-run: what would run, judged at the commit at which it landed. */
static int dry_run(const struct args *args, const struct config *config, const char *id, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_json json_t *result = NULL;
	cleanup_json json_t *risk = NULL;
	struct ops_item item;

	if (repo_ready(config, &repo, err) < 0 || ops_item(repo.git, &repo.tip, id, &item, err) < 0)
		return CLI_FAILED;
	if (item.result.there) {
		result = runs_result(&repo, &item);
		return say_already(id, result);
	}
	if (!item.action.there)
		return say_unknown(id);
	if (judge_landed(&repo, id, &judged, err) < 0)
		return CLI_FAILED;
	if (judged.problem) {
		cleanup_free char *problem = safe_text(judged.problem);

		note("run: %s: would be refused: %s", id, problem);
		return RUN_REFUSED;
	}
	risk = risk_json(&judged, config);
	if (args_has(args, "json"))
		return print_json(risk);
	risk_print(risk, stdout);
	return CLI_DONE;
}

int cmd_run(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	__attribute__((cleanup(running_free))) struct running r = {.watch = WATCH_INIT, .own = OWN_INIT};
	const char *id = args_operand(args, 0);
	bool dry = args_has(args, "dry-run");

	if (cli_id(id, err) < 0)
		return CLI_USAGE;
	if ((dry ? cli_config : cli_site)(args, &config, err) < 0)
		return CLI_FAILED;
	if (dry)
		return dry_run(args, &config, id, err);
	r.watch.command = "run";
	r.watch.id = id;
	r.watch.config = &config;
	r.watch.interrupted = &interrupted;
	r.watch.alone = is_left_alone;
	r.watch.arg = &r;
	r.watch.follow.fd = args_has(args, "json") ? STDERR_FILENO : STDOUT_FILENO;
	r.watch.follow.safe = term_is(r.watch.follow.fd);
	return run(args, &r, err);
}
