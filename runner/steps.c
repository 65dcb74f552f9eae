/*
 * The steps, one after another. A step has three ends, which come in this order: its own process ends; everything that it left in the
 * container is killed and reaped; what stands in its pipes is read. Only then does the next one start.
 */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_FDS 4   /* in one poll(2), before the account's */
#define SWEEP_MS 10   /* between two rounds of killing */
#define STALL_MS 5000 /* with the grace: how long a stopped run waits for a reader that reads nothing */
#define READ_MAX ((size_t)64 << 10)

struct step_run {
	struct step_end end;
	struct process process;
	int64_t deadline_ms; /* its own */
	int terms;           /* that were seen when it was told to stop */
	int64_t kill_ms;     /* when it was told to stop: the end of the grace */
	int64_t swept_ms;    /* last time when all was killed */
};

void take_signals(struct runner *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue; /* has done its work by ending the wait */
		if (r->terms++ == 0)
			r->moved_ms = now_mono_ms();
	}
}

/* Events of an agent become lines for people before anything else sees them. */
static void take_output(struct runner *r, enum stream s, const char *data, size_t len)
{
	struct buf lines cleanup_buf = BUF_INIT;

	if (!r->progress || s != STREAM_OUT) {
		output_add(&r->out, s, data, len);
		return;
	}
	progress_feed(r->progress, data, len, &lines);
	output_add(&r->out, s, lines.data, lines.len);
}

/* Reads once. False when there was nothing. */
static bool pump(struct runner *r, struct process *p, enum stream s)
{
	static char piece[READ_MAX];

	ssize_t n = read(p->pipes[s], piece, sizeof(piece));
	if (n > 0)
		take_output(r, s, piece, (size_t)n);
	if (n == 0) {
		close(p->pipes[s]);
		p->pipes[s] = -1;
	}
	return n > 0;
}

static void write_output(struct runner *r)
{
	if (output_write(&r->out) || !output_is_pending(&r->out))
		r->moved_ms = now_mono_ms();
	else if (r->terms > 0 && now_mono_ms() - r->moved_ms > r->formula.grace_seconds * INT64_C(1000) + STALL_MS)
		output_give_up(&r->out);
}

/*
 * The one place that waits: for a signal, for room on standard output, for bytes of the step (as long as there is room for them), and
 * until `until_ms` at most.
 */
static void turn(struct runner *r, struct process *p, int64_t until_ms)
{
	bool reads = output_has_room(&r->out);
	struct pollfd fds[OTHER_FDS + ACCOUNT_FDS] = {{.fd = r->signal_fd, .events = POLLIN},
	                                              {.fd = output_is_pending(&r->out) ? STDOUT_FILENO : -1, .events = POLLOUT},
	                                              {.fd = reads ? p->pipes[STREAM_OUT] : -1, .events = POLLIN},
	                                              {.fd = reads ? p->pipes[STREAM_ERR] : -1, .events = POLLIN}};
	int64_t wait = until_ms - now_mono_ms();

	account_poll(&r->account, fds + OTHER_FDS);
	if (poll(fds, sizeof(fds) / sizeof(fds[0]), (int)(wait < 0 ? 0 : wait > INT_MAX ? INT_MAX : wait)) < 0)
		return; /* interrupted, or no memory for the moment */
	take_signals(r);
	account_serve(&r->account, fds + OTHER_FDS);
	for (int s = 0; s < N_STREAMS; s++)
		if (fds[2 + s].revents)
			pump(r, p, (enum stream)s);
	write_output(r);
}

void turn_output(struct runner *r)
{
	struct process none = {.pid = -1, .pipes = {-1, -1}};
	turn(r, &none, now_mono_ms() + 1000);
}

void drain_output(struct runner *r)
{
	do {
		while (output_is_pending(&r->out))
			turn_output(r);
	} while (output_next_of_tail(&r->out));
}

/* Once it is stopped, what still runs cleans up: until its time is over, or somebody asks again. */
static bool clean_up_is_over(const struct runner *r)
{
	return r->terms > r->stop_terms || now_mono_ms() >= r->clean_up_ms;
}

static enum stop wanted_stop(const struct runner *r)
{
	if (r->stopped)
		return STOP_NONE;
	if (r->terms > 0)
		return STOP_CANCELLED;
	return now_mono_ms() >= r->deadline_ms ? STOP_TIMED_OUT : STOP_NONE;
}

/* TERM once there is a reason; KILL after the grace, or at a second request. */
static void stop_when_wanted(const struct runner *r, struct step_run *s)
{
	int64_t now = now_mono_ms();

	if (r->stopped && clean_up_is_over(r)) {
		process_signal_all(SIGKILL);
		return;
	}
	if (s->end.why == STOP_NONE) {
		s->end.why = wanted_stop(r);
		if (s->end.why == STOP_NONE && now >= s->deadline_ms)
			s->end.why = STOP_STEP_TIMED_OUT;
		if (s->end.why == STOP_NONE)
			return;
		s->terms = r->terms;
		s->kill_ms = now + r->formula.grace_seconds * INT64_C(1000);
		process_signal_all(SIGTERM);
		process_signal_all(SIGCONT); /* what is stopped shall hear it too */
	}
	if (now >= s->kill_ms || r->terms > s->terms)
		process_signal_all(SIGKILL);
}

/* Again and again, since what forks while it is being killed may have missed a round. */
static void sweep(struct step_run *s)
{
	int64_t now = now_mono_ms();

	if (now - s->swept_ms < SWEEP_MS)
		return;
	s->swept_ms = now;
	process_signal_all(SIGKILL);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t next_look(const struct runner *r, const struct step_run *s)
{
	int64_t now = now_mono_ms();
	int64_t at = s->end.why != STOP_NONE ? s->kill_ms : earlier(s->deadline_ms, r->stopped ? INT64_MAX : r->deadline_ms);

	if (r->stopped)
		at = earlier(at, r->clean_up_ms);
	return s->end.ended || now >= at ? now + SWEEP_MS : at;
}

/* Until nothing of the step is left but bytes in its pipes. */
static void follow(struct runner *r, struct step_run *s)
{
	while (process_reap(s->process.pid, &s->end.ended, &s->end.status)) {
		if (s->end.ended)
			sweep(s);
		else
			stop_when_wanted(r, s);
		turn(r, &s->process, next_look(r, s));
	}
}

/* Nobody writes any more: what the pipes hold now is all. */
static void drain_pipes(struct runner *r, struct process *p)
{
	for (int s = 0; s < N_STREAMS; s++) {
		while (p->pipes[s] >= 0) {
			if (!output_has_room(&r->out)) {
				turn_output(r);
			} else if (!pump(r, p, (enum stream)s) && p->pipes[s] >= 0) {
				close(p->pipes[s]);
				p->pipes[s] = -1;
			}
		}
	}
}

static int start_script(struct runner *r, struct step_run *s, char *const *env, struct err *err)
{
	const struct command command = {.script = s->end.step->run};
	return process_start(&command, env, r->formula.user, r->null_fd, &s->process, err);
}

static int start_agent(struct runner *r, struct step_run *s, char *const *env, struct err *err)
{
	char *prompt cleanup_free = prompt_make(r, s->end.step);

	if (agent_check_prompt(s->end.step, prompt, err) < 0)
		return -1;
	char **argv = agent_argv(r, s->end.step, prompt);
	const struct command command = {.argv = argv};
	int started = process_start(&command, env, r->formula.user, r->null_fd, &s->process, err);
	agent_argv_free(argv);
	if (started == 0 && agent_speaks_events(s->end.step->agent))
		r->progress = progress_new(r->redactor);
	return started;
}

static int start(struct runner *r, struct step_run *s, struct err *err)
{
	const struct formula_step *step = s->end.step;

	if (secrets_place(&r->secrets, r->secrets_fd, step, r->formula.user, r->formula.secrets_as, err) < 0 || askpass_place(r, err) < 0)
		return -1;
	char **env = environment_make(r, step);
	int started = step->run ? start_script(r, s, env, err) : start_agent(r, s, env, err);
	sodium_free(env);
	return started;
}

/* What the agent's last line said, and its price. */
static void end_progress(struct runner *r, struct step_run *s)
{
	struct buf lines cleanup_buf = BUF_INIT;

	if (!r->progress)
		return;
	progress_end(r->progress, &lines);
	output_add(&r->out, STREAM_OUT, lines.data, lines.len);
	progress_cost(r->progress, &s->end.cost_usd);
	progress_free(r->progress);
	r->progress = NULL;
}

static void say_step_start(struct runner *r, const struct formula_step *step)
{
	output_frame(&r->out, json_pack("{s:s, s:o, s:s}", "t", "step", "id", output_string(&r->out, step->id), "state", "start"));
}

static void say_step_end(struct runner *r, const struct step_end *s, int64_t started_ms)
{
	json_int_t duration = (json_int_t)(now_mono_ms() - started_ms);
	json_t *frame = json_pack("{s:s, s:o, s:s, s:i, s:I}", "t", "step", "id", output_string(&r->out, s->step->id), "state", "end",
	                          "exit_code", ending_code(s), "duration_ms", duration);
	if (s->cost_usd >= 0)
		json_object_set_new(frame, "cost_usd", json_real(s->cost_usd));
	output_frame(&r->out, frame);
}

static int64_t step_limit_ms(const struct formula_step *step)
{
#ifdef DISINTO_TEST /* as below */
	const char *ms = getenv("DISINTO_TEST_STEP_TIMEOUT_MS");
	if (ms && step->timeout_minutes > 0)
		return strtoll(ms, NULL, 10);
#endif
	return step->timeout_minutes > 0 ? step->timeout_minutes * INT64_C(60000) : INT64_MAX / 2;
}

/* 0: the step ran, whatever came of it. -1: it could not begin. */
static int run_step(struct runner *r, struct step_run *s, struct err *err)
{
	int64_t started_ms = now_mono_ms();
	uint64_t kills = memory_kills();

	say_step_start(r, s->end.step);
	output_start_step(&r->out);
	s->deadline_ms = started_ms + step_limit_ms(s->end.step);
	int started = start(r, s, err);
	if (started == 0) {
		follow(r, s);
		drain_pipes(r, &s->process);
		end_progress(r, s);
	}
	uint64_t now = memory_kills();
	s->end.memory_kills = now > kills ? now - kills : 0;
	output_end_step(&r->out);
	return started;
}

/* From now on only what cleans up runs. */
static void stop_run(struct runner *r)
{
	r->stopped = true;
	r->stop_terms = r->terms;
	r->clean_up_ms = now_mono_ms() + r->formula.grace_seconds * INT64_C(1000);
}

static void run_and_judge(struct runner *r, struct step_run *s, struct ending *ret)
{
	struct err err cleanup_err = ERR_INIT, fault cleanup_err = ERR_INIT;
	int64_t started_ms = now_mono_ms();

	if (run_step(r, s, &err) < 0)
		ending_add_start(s->end.step, err_msg(&err), ret);
	else if (outputs_take(r, s->end.step, &fault) < 0)
		s->end.fault = err_msg(&fault);
	say_step_end(r, &s->end, started_ms);
	ending_add(r, &s->end, ret);
	if (s->end.why == STOP_CANCELLED || s->end.why == STOP_TIMED_OUT)
		stop_run(r);
}

/* One step, unless what came before it stands in its way. */
static void take_step(struct runner *r, const struct formula_step *step, struct ending *ret)
{
	struct step_run s = {.end = {.step = step, .cost_usd = -1}, .process = {.pid = -1, .pipes = {-1, -1}}};

	take_signals(r); /* one may have come since the last turn */
	enum stop why = wanted_stop(r);
	if (why != STOP_NONE) {
		stop_run(r);
		ending_add(r, &(struct step_end){.step = step, .why = why}, ret);
	}
	if (step->when != WHEN_ALWAYS && ret->status != 0)
		return;
	if (!r->stopped || !clean_up_is_over(r))
		run_and_judge(r, &s, ret);
}

static int64_t time_limit_ms(const struct runner *r)
{
#ifdef DISINTO_TEST /* a minute is the shortest limit that a formula can have */
	const char *ms = getenv("DISINTO_TEST_TIMEOUT_MS");
	if (ms)
		return strtoll(ms, NULL, 10);
#endif
	return formula_timeout_minutes(&r->formula, &r->action) * INT64_C(60000);
}

void run_steps(struct runner *r, struct ending *ret)
{
	r->deadline_ms = now_mono_ms() + time_limit_ms(r);
	/* Who finds no `going` takes it that nothing happened, so nothing happens before it is out. */
	while (output_is_pending(&r->out) && wanted_stop(r) == STOP_NONE)
		turn_output(r);
	if (r->out.broken) {
		*ret = (struct ending){.outcome = "not_started", .exit_code = -1, .status = EXIT_NOT_STARTED};
		return;
	}
	*ret = (struct ending){.outcome = "succeeded", .exit_code = 0, .status = 0};
	for (size_t i = 0; i < r->formula.n_steps; i++)
		take_step(r, &r->formula.steps[i], ret);
	secrets_place(&r->secrets, r->secrets_fd, NULL, 0, SECRETS_AS_BOTH, NULL);
}
