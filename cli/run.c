/*
 * run: asks the dispatcher on the spool, or is one for this action, and follows until the result is there.
 */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/result.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_MS 250
#define START_MS 60000 /* until a dispatcher of our own answers */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* One run as it is watched. */
struct watch {
	const char *id;
	const struct config *config;
	struct api api;  /* streams the log */
	struct api side; /* asks for the state meanwhile */
	struct follow follow;
	struct own_dispatcher own;
	int timer;
	char *said; /* the last thing that was said about its state */
	json_t *row;
};

static void watch_free(struct watch *w)
{
	own_stop(&w->own);
	if (w->own.log_fd >= 0)
		close(w->own.log_fd);
	if (w->timer >= 0)
		close(w->timer);
	api_close(&w->api);
	api_close(&w->side);
	free(w->said);
	json_decref(w->row);
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

/* Says what changed: why it waits, always; the steps on a terminal only. */
static void say(struct watch *w)
{
	const char *state = text_of(w->row, "state");
	const char *reason = text_of(w->row, "reason");
	const char *step = text_of(w->row, "step");
	cleanup_free char *text = NULL;
	cleanup_free char *safe = NULL;

	if (reason && state && strcmp(state, "finished") != 0)
		text = xasprintf("%s: %s", state, reason);
	else if (term_is(STDERR_FILENO) && step && state && strcmp(state, "running") == 0)
		text = xasprintf("step %s", step);
	if (!text || (w->said && strcmp(w->said, text) == 0))
		return;
	safe = safe_line(text);
	fprintf(stderr, "%sdisinto: run: %s: %s%s\n", colour(stderr, COLOUR_DIM), w->id, safe, colour(stderr, COLOUR_NONE));
	free(w->said);
	w->said = steal_ptr(&text);
}

/* Reads the present state. -1: nobody answers. */
static int ask(struct watch *w)
{
	cleanup_free char *path = xasprintf("/actions/%s", w->id);
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_call(&w->side, "GET", path, &status, &body, NULL) < 0)
		return -1;
	if (status != 200)
		return 0;
	json_decref(w->row);
	w->row = steal_ptr(&body);
	api_explain_one(&w->side, w->row);
	say(w);
	return 0;
}

static bool finished(const struct watch *w)
{
	const char *state = text_of(w->row, "state");

	return state && strcmp(state, "finished") == 0;
}

static int on_tick(void *arg)
{
	struct watch *w = arg;
	uint64_t ticks;

	if (read(w->timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return -1;
	ask(w);
	return interrupted ? -1 : 0;
}

static int on_log(const char *data, size_t len, void *arg)
{
	struct watch *w = arg;

	return follow_data(data, len, &w->follow);
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms); /* a signal ends it early */
}

/* Follows the log until the action is finished, over restarts of the dispatcher; ends early when interrupted or left alone. */
static void follow(struct watch *w)
{
	cleanup_free char *path = xasprintf("/workers/%s/logs?follow=1", w->id);
	struct api_stream stream = {.on_data = on_log, .on_wake = on_tick, .wake_fd = w->timer, .arg = w};
	bool whole = false;

	while (!interrupted) {
		long status = 0;

		w->follow.skip = w->follow.written;
		if (!whole && api_stream(&w->api, path, &stream, &status, NULL) == 0 && status == 200)
			whole = true; /* to its end */
		ask(w);
		if (finished(w) || (w->own.pid > 0 && own_ended(&w->own)))
			break;
		pause_ms(TICK_MS);
	}
	follow_end(&w->follow);
}

static int start_timer(struct watch *w, struct err *err)
{
	const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
	const struct itimerspec every = {.it_interval = tick, .it_value = tick};
	struct sigaction action = {.sa_handler = on_signal};

	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->timer < 0 || timerfd_settime(w->timer, 0, &every, NULL) < 0)
		return err_errno(err, errno, "timer");
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return 0;
}

static int own_failed(struct watch *w, struct err *err)
{
	cleanup_free char *words = own_words(&w->own);

	return err_set(err, ERR_FAIL, "the dispatcher for this run ended with exit code %d; it said:\n%s", w->own.code, words);
}

/* Starts a dispatcher of our own and waits until it, or one that was faster, answers. */
static int start_own(struct watch *w, bool verbose, struct err *err)
{
	int64_t deadline = now_mono_ms() + START_MS;

	if (own_start(w->config, w->id, verbose, &w->own, err) < 0)
		return -1;
	while (!api_answers(&w->api)) {
		if (own_ended(&w->own))
			return own_failed(w, err);
		if (interrupted)
			return err_set(err, ERR_FAIL, "interrupted before anything was started");
		if (now_mono_ms() > deadline)
			return err_set(err, ERR_TIMEOUT,
			               "the dispatcher for this run does not answer after %d s; disinto run -v %s shows what it does",
			               START_MS / 1000, w->id);
		pause_ms(20);
	}
	return 0;
}

/* The result from the ops repo, for when no dispatcher can be asked. Caller owns. */
static json_t *result_of_repo(const struct config *config, const char *id)
{
	cleanup_repo struct repo repo = REPO_INIT;
	struct ops_item item;

	if (repo_ready(config, &repo, NULL) < 0 || ops_item(repo.git, &repo.tip, id, &item, NULL) < 0)
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
static int look_first(const struct watch *w, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *result = NULL;
	struct ops_item item;

	if (repo_ready(w->config, &repo, err) < 0 || ops_item(repo.git, &repo.tip, w->id, &item, err) < 0)
		return CLI_FAILED;
	if (item.result.there) {
		result = runs_result(&repo, &item);
		return say_already(w->id, result);
	}
	return item.action.there ? 0 : say_unknown(w->id);
}

/* 0: it is taken; else the exit code, or CLI_FAILED. */
static int ask_to_run(struct watch *w, struct err *err)
{
	cleanup_free char *path = xasprintf("/actions/%s/run", w->id);
	cleanup_json json_t *body = NULL;
	cleanup_json json_t *result = NULL;
	long status = 0;

	if (api_call(&w->api, "POST", path, &status, &body, err) < 0)
		return CLI_FAILED;
	if (status == 404)
		return say_unknown(w->id);
	if (status == 409) {
		result = json_incref(json_object_get(body, "result"));
		if (!json_is_object(result)) {
			json_decref(result);
			result = result_of_repo(w->config, w->id);
		}
		return say_already(w->id, result);
	}
	if (status != 202) {
		err_set(err, ERR_FAIL, "%s: %s", w->id, api_error(status, body));
		return CLI_FAILED;
	}
	return 0;
}

static int say_interrupted(const struct watch *w)
{
	const char *state = text_of(w->row, "state");
	bool begun = state && strcmp(state, "waiting") != 0 && strcmp(state, "queued") != 0;

	if (w->own.log_fd < 0)
		note("run: interrupted: %s goes on; disinto logs -f %s follows it again, disinto cancel %s ends it", w->id, w->id, w->id);
	else if (begun)
		note("run: interrupted: %s goes on in its container; the next dispatcher, or disinto run %s, takes it up again", w->id,
		     w->id);
	else
		note("run: interrupted: %s has not started; the next dispatcher, or disinto run %s, starts it", w->id, w->id);
	return RUN_FAILED;
}

static int conclude(const struct args *args, struct watch *w, struct err *err)
{
	cleanup_json json_t *result = json_incref(json_object_get(w->row, "result"));

	if (interrupted)
		return say_interrupted(w);
	if (!json_is_object(result)) {
		json_decref(result);
		result = result_of_repo(w->config, w->id);
	}
	if (!result) {
		if (w->own.log_fd >= 0 && w->own.pid == 0)
			own_failed(w, err);
		else
			err_set(err, ERR_NOT_FOUND, "%s ended, but its result can't be read; disinto show %s", w->id, w->id);
		return CLI_FAILED;
	}
	if (args_has(args, "json"))
		print_json(result);
	fprintf(stderr, "disinto: run: %s ", w->id);
	result_print(result, stderr);
	return run_exit_code(result);
}

static int run(const struct args *args, struct watch *w, struct err *err)
{
	int code;

	api_open(w->config, &w->api);
	api_open(w->config, &w->side);
	if (start_timer(w, err) < 0)
		return CLI_FAILED;
	if (!api_answers(&w->api)) {
		code = look_first(w, err);
		if (code != 0)
			return code;
		if (start_own(w, args_has(args, "verbose"), err) < 0)
			return CLI_FAILED;
	}
	code = ask_to_run(w, err);
	if (code != 0)
		return code;
	follow(w);
	own_stop(&w->own);
	return conclude(args, w, err);
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
	__attribute__((cleanup(watch_free))) struct watch watch = {.own = OWN_INIT, .timer = -1};
	bool json = args_has(args, "json");

	watch.id = args_operand(args, 0);
	if (cli_id(watch.id, err) < 0)
		return CLI_USAGE;
	if (cli_config(args, &config, err) < 0)
		return CLI_FAILED;
	watch.config = &config;
	watch.follow.fd = json ? STDERR_FILENO : STDOUT_FILENO;
	watch.follow.safe = term_is(watch.follow.fd);
	return args_has(args, "dry-run") ? dry_run(args, &config, watch.id, err) : run(args, &watch, err);
}
