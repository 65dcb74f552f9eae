/*
 * Watching one action through the dispatcher.
 */
#include "cli/watch.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/forge/forge.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define QUIET_MS 5000 /* a dispatcher that is restarted is back before that */

int watch_begin(struct watch *w, struct err *err)
{
	const struct timespec tick = {.tv_nsec = WATCH_TICK_MS * 1000000L};
	const struct itimerspec every = {.it_interval = tick, .it_value = tick};

	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->timer < 0 || timerfd_settime(w->timer, 0, &every, NULL) < 0)
		return err_errno(err, errno, "timer");
	w->answered_ms = now_mono_ms();
	return api_open(w->config, &w->api, err) < 0 ? -1 : api_open(w->config, &w->side, err);
}

void watch_free(struct watch *w)
{
	if (w->timer >= 0)
		close(w->timer);
	api_close(&w->api);
	api_close(&w->side);
	free(w->said);
	json_decref(w->row);
}

static bool is_state(const struct watch *w, const char *state)
{
	const char *has = text_of(w->row, "state");

	return has && strcmp(has, state) == 0;
}

bool watch_finished(const struct watch *w)
{
	return is_state(w, "finished");
}

static void tell(const struct watch *w, const char *text)
{
	cleanup_free char *safe = safe_line(text);

	fprintf(stderr, "%sdisinto: %s: %s: %s%s\n", colour(stderr, COLOUR_DIM), w->command, w->id, safe, colour(stderr, COLOUR_NONE));
}

/* Once for as long as it stays the same. */
static void tell_change(struct watch *w, char *text)
{
	if (!w->said || strcmp(w->said, text) != 0)
		tell(w, text);
	free(w->said);
	w->said = text;
}

/* "exit 3, 1.2 s, $0.0040". Caller frees. */
static char *step_end(const json_t *step)
{
	const json_t *code = json_object_get(step, "exit_code"), *cost = json_object_get(step, "cost_usd");
	cleanup_free char *exit_code =
	    json_is_integer(code) ? xasprintf("exit %lld", (long long)json_integer_value(code)) : xstrdup("ended");
	cleanup_free char *price = json_is_number(cost) ? xasprintf(", $%.4f", json_number_value(cost)) : xstrdup("");
	char took[32];

	return xasprintf("%s, %s%s", exit_code, duration_text(json_integer_value(json_object_get(step, "duration_ms")), took), price);
}

/* On a terminal: each step as it ends, and the one that has begun, with the time since the run was seen to begin. */
static void say_steps(struct watch *w, const json_t *steps, const char *current)
{
	char since[32];

	if (!term_is(STDERR_FILENO))
		return;
	if (w->began_ms == 0)
		w->began_ms = now_mono_ms();
	duration_text(now_mono_ms() - w->began_ms, since);
	for (; w->n_steps < json_array_size(steps); w->n_steps++) {
		const json_t *step = json_array_get(steps, w->n_steps);
		cleanup_free char *end = step_end(step);

		tell_change(w, xasprintf("[%s] step %s: %s", since, text_of(step, "id") ? text_of(step, "id") : "?", end));
	}
	if (current) {
		cleanup_free char *begins = xasprintf("step %s begins", current);

		/* The time would make it new at each look. */
		if (w->said && strcmp(w->said, begins) == 0)
			return;
		cleanup_free char *line = xasprintf("[%s] %s", since, begins);
		tell(w, line);
		free(w->said);
		w->said = steal_ptr(&begins);
	}
}

/* Says what changed: why it waits, always; the steps on a terminal only. */
static void say(struct watch *w)
{
	const char *state = text_of(w->row, "state"), *reason = text_of(w->row, "reason");

	if (!state || watch_finished(w))
		return;
	if (reason)
		tell_change(w, xasprintf("%s: %s", state, reason));
	if (is_state(w, "running") || is_state(w, "recording"))
		say_steps(w, json_object_get(w->row, "steps"), text_of(w->row, "step"));
}

int watch_ask(struct watch *w, struct err *err)
{
	cleanup_free char *path = xasprintf("/actions/%s", w->id);
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_call(&w->side, "GET", path, &status, &body, err) < 0)
		return -1;
	w->answered_ms = now_mono_ms();
	w->quiet_said = false;
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "%s: %s", w->id, api_error(status, body));
	if (status != 200 || !json_is_object(body))
		return err_set(err, status == 404 ? ERR_NOT_FOUND : ERR_FAIL, "%s: %s", w->id, api_error(status, body));
	json_decref(w->row);
	w->row = steal_ptr(&body);
	api_explain_one(&w->side, w->row);
	say(w);
	return 0;
}

static bool is_over(const struct watch *w)
{
	return w->interrupted && *w->interrupted;
}

static int on_tick(void *arg)
{
	struct watch *w = arg;
	uint64_t ticks;

	if (read(w->timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return -1;
	watch_ask(w, NULL);
	return is_over(w) ? -1 : 0;
}

static int on_log(const char *data, size_t len, void *arg)
{
	struct watch *w = arg;

	return follow_data(data, len, &w->follow);
}

/* Nobody answered: -1 when that has lasted for too long. */
static int bear_silence(struct watch *w, struct err *err)
{
	int64_t silent = now_mono_ms() - w->answered_ms;

	if (silent > WATCH_SILENCE_MS)
		return err_set(
		    err, ERR_TIMEOUT,
		    "%s: the dispatcher has not answered for %d minutes; whether the action goes on, disinto show %s says when it is back",
		    w->id, WATCH_SILENCE_MS / 60000, w->id);
	if (silent > QUIET_MS && !w->quiet_said) {
		tell(w, "the dispatcher does not answer; waiting for it to come back");
		w->quiet_said = true;
	}
	return 0;
}

/* Good polls that ended since the first look at them; -1 before it. */
struct polls {
	int64_t last_ms;
	int n;
};

/* Asks the dispatcher when it polled last. A poll that fails is said, and waited out. */
static void count_polls(struct watch *w, struct polls *polls)
{
	cleanup_json json_t *status = NULL;
	long code = 0;

	if (api_call(&w->side, "GET", "/status", &code, &status, NULL) < 0)
		return;
	const json_t *poll = json_object_get(status, "poll");
	int64_t last_ms = json_integer_value(json_object_get(poll, "last_ms"));
	const char *reason = text_of(poll, "reason");
	tell_change(w, xasprintf("the dispatcher has not seen it yet%s%s", reason ? ": " : "", reason ? reason : ""));
	polls->n += last_ms != polls->last_ms;
	polls->last_ms = last_ms;
}

int watch_find(struct watch *w, struct err *err)
{
	struct polls polls = {.n = -1};

	for (;;) {
		cleanup_err struct err why = ERR_INIT;

		if (watch_ask(w, &why) == 0)
			return 0;
		if (why.code == ERR_DENIED || (why.code == ERR_NOT_FOUND && polls.n >= 2)) {
			err_move(err, &why);
			return -1;
		}
		if (why.code == ERR_NOT_FOUND)
			count_polls(w, &polls);
		else if (bear_silence(w, err) < 0)
			return -1;
		poll(NULL, 0, WATCH_TICK_MS);
	}
}

static bool left_alone(const struct watch *w)
{
	return w->alone && w->alone(w->arg);
}

int watch_follow(struct watch *w, struct err *err)
{
	cleanup_free char *path = xasprintf("/workers/%s/logs?footer=0&lines=0&follow=1", w->id);
	struct api_stream stream = {.on_data = on_log, .on_wake = on_tick, .wake_fd = w->timer, .arg = w};
	int code = 0;

	while (code == 0 && !is_over(w)) {
		cleanup_err struct err why = ERR_INIT;
		long status = 0;

		w->follow.skip = w->follow.written;
		if (!w->whole && api_stream(&w->api, path, &stream, &status, NULL) == 0 && status == 200)
			w->whole = true; /* to its end */
		if (watch_ask(w, &why) < 0) {
			code = why.code == ERR_DENIED ? -1 : bear_silence(w, err);
			if (why.code == ERR_DENIED)
				err_move(err, &why);
		}
		if (watch_finished(w) || left_alone(w))
			break;
		poll(NULL, 0, WATCH_TICK_MS); /* a signal ends it early */
	}
	follow_end(&w->follow);
	return code;
}

void watch_summary(struct watch *w, const json_t *result)
{
	const char *commit = text_of(result, "commit");
	cleanup_buf struct buf steps = BUF_INIT;
	const json_t *step;
	size_t i;

	fprintf(stderr, "disinto: %s: %s ", w->command, w->id);
	result_print(result, stderr);
	json_array_foreach (json_object_get(result, "steps"), i, step) {
		cleanup_free char *end = step_end(step);

		buf_addf(&steps, "%s%s (%s)", i > 0 ? ", " : "", text_of(step, "id") ? text_of(step, "id") : "?", end);
	}
	print_pair(stderr, "steps", steps.len > 0 ? steps.data : NULL);
	if (commit) {
		cleanup_free char *commits = forge_commits_url(w->config->approval.forge_url, w->config->ops_repo);
		cleanup_free char *text = xasprintf("%s%s", commits ? commits : "", commit);
		print_pair(stderr, "commit", text);
	}
}
