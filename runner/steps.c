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

#define SWEEP_MS 10   /* between two rounds of killing */
#define STALL_MS 5000 /* with the grace: how long a stopped run waits for a reader that reads nothing */
#define READ_MAX ((size_t)64 << 10)

struct step_run {
	const struct formula_step *step;
	struct process process;
	bool ended; /* its own process; status is then set */
	int status;
	enum stop why;
	int terms;        /* that were seen when it was told to stop */
	int64_t kill_ms;  /* when it was told to stop: the end of the grace */
	int64_t swept_ms; /* last time when all was killed */
	double cost_usd;  /* as its agent said; negative: it said nothing */
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
	struct pollfd fds[] = {{.fd = r->signal_fd, .events = POLLIN},
	                       {.fd = output_is_pending(&r->out) ? STDOUT_FILENO : -1, .events = POLLOUT},
	                       {.fd = reads ? p->pipes[STREAM_OUT] : -1, .events = POLLIN},
	                       {.fd = reads ? p->pipes[STREAM_ERR] : -1, .events = POLLIN}};
	int64_t wait = until_ms - now_mono_ms();

	if (poll(fds, sizeof(fds) / sizeof(fds[0]), (int)(wait < 0 ? 0 : wait > INT_MAX ? INT_MAX : wait)) < 0)
		return; /* interrupted, or no memory for the moment */
	take_signals(r);
	for (int s = 0; s < N_STREAMS; s++)
		if (fds[2 + s].revents)
			pump(r, p, (enum stream)s);
	write_output(r);
}

/* A turn for output alone. */
static void turn_output(struct runner *r)
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

static enum stop wanted_stop(const struct runner *r)
{
	if (r->terms > 0)
		return STOP_CANCELLED;
	return now_mono_ms() >= r->deadline_ms ? STOP_TIMED_OUT : STOP_NONE;
}

/* TERM once there is a reason; KILL after the grace, or at a second request. */
static void stop_when_wanted(const struct runner *r, struct step_run *s)
{
	int64_t now = now_mono_ms();

	if (s->why == STOP_NONE) {
		s->why = wanted_stop(r);
		if (s->why == STOP_NONE)
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

static int64_t next_look(const struct runner *r, const struct step_run *s)
{
	int64_t now = now_mono_ms();

	if (s->ended || (s->why != STOP_NONE && now >= s->kill_ms))
		return now + SWEEP_MS;
	return s->why != STOP_NONE ? s->kill_ms : r->deadline_ms;
}

/* Until nothing of the step is left but bytes in its pipes. */
static void follow(struct runner *r, struct step_run *s)
{
	while (process_reap(s->process.pid, &s->ended, &s->status)) {
		if (s->ended)
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
	const struct command command = {.script = s->step->run};
	return process_start(&command, env, r->formula.user, r->null_fd, &s->process, err);
}

static int start_agent(struct runner *r, struct step_run *s, char *const *env, struct err *err)
{
	char *prompt cleanup_free = prompt_make(r, s->step);

	if (agent_check_prompt(s->step, prompt, err) < 0)
		return -1;
	char **argv = agent_argv(r, s->step, prompt);
	const struct command command = {.argv = argv};
	int started = process_start(&command, env, r->formula.user, r->null_fd, &s->process, err);
	agent_argv_free(argv);
	if (started == 0 && agent_speaks_events(s->step->agent))
		r->progress = progress_new(r->redactor);
	return started;
}

static int start(struct runner *r, struct step_run *s, struct err *err)
{
	if (secrets_place(&r->secrets, r->secrets_fd, s->step, r->formula.user, r->formula.secrets_as, err) < 0 ||
	    askpass_place(r, err) < 0)
		return -1;
	char **env = environment_make(r, s->step);
	int started = s->step->run ? start_script(r, s, env, err) : start_agent(r, s, env, err);
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
	progress_cost(r->progress, &s->cost_usd);
	progress_free(r->progress);
	r->progress = NULL;
}

static int exit_code_of(const struct step_run *s)
{
	if (!s->ended)
		return EXIT_NOT_STARTED;
	return WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
}

static void say_step_start(struct runner *r, const struct formula_step *step)
{
	output_frame(&r->out, json_pack("{s:s, s:o, s:s}", "t", "step", "id", output_string(&r->out, step->id), "state", "start"));
}

static void say_step_end(struct runner *r, const struct step_run *s, int64_t started_ms)
{
	json_int_t duration = (json_int_t)(now_mono_ms() - started_ms);
	json_t *frame = json_pack("{s:s, s:o, s:s, s:i, s:I}", "t", "step", "id", output_string(&r->out, s->step->id), "state", "end",
	                          "exit_code", exit_code_of(s), "duration_ms", duration);
	if (s->cost_usd >= 0)
		json_object_set_new(frame, "cost_usd", json_real(s->cost_usd));
	output_frame(&r->out, frame);
}

/* 0: the step ran, whatever came of it. -1: it could not begin. */
static int run_step(struct runner *r, struct step_run *s, struct err *err)
{
	int64_t started_ms = now_mono_ms();

	say_step_start(r, s->step);
	output_start_step(&r->out);
	int started = start(r, s, err);
	if (started == 0) {
		follow(r, s);
		drain_pipes(r, &s->process);
		end_progress(r, s);
	}
	output_end_step(&r->out);
	say_step_end(r, s, started_ms);
	return started;
}

/* Takes reason. */
static void end_as(struct ending *ret, const char *outcome, int code, char *reason)
{
	ret->outcome = outcome;
	ret->exit_code = ret->status = code;
	ret->reason = reason;
}

static void end_stopped(const struct runner *r, enum stop why, const char *step_id, struct ending *ret)
{
	int minutes = formula_timeout_minutes(&r->formula, &r->action);

	if (why == STOP_CANCELLED)
		end_as(ret, "cancelled", EXIT_CANCELLED, xasprintf("it was told to stop (step %s)", step_id));
	else
		end_as(ret, "timed_out", EXIT_TIMED_OUT,
		       xasprintf("the time limit of %d %s passed (step %s)", minutes, minutes == 1 ? "minute" : "minutes", step_id));
}

static void end_failed(const struct step_run *s, struct ending *ret)
{
	const char *id = s->step->id;
	int code = exit_code_of(s);

	if (!WIFSIGNALED(s->status))
		end_as(ret, "failed", code, xasprintf("step %s exited with %d", id, code));
	else if (WTERMSIG(s->status) == SIGKILL)
		end_as(ret, "failed", code, xasprintf("step %s was killed (out of memory?)", id));
	else
		end_as(ret, "failed", code,
		       xasprintf("step %s was ended by signal %d (%s)", id, WTERMSIG(s->status), strsignal(WTERMSIG(s->status))));
}

/* True when the next one may run. */
static bool run_and_judge(struct runner *r, const struct formula_step *step, struct ending *ret)
{
	struct err err cleanup_err = ERR_INIT;
	struct step_run s = {.step = step, .process = {.pid = -1, .pipes = {-1, -1}}, .cost_usd = -1};

	take_signals(r); /* one may have come since the last turn */
	enum stop why = wanted_stop(r);
	if (why == STOP_NONE && run_step(r, &s, &err) < 0) {
		end_as(ret, "failed", EXIT_NOT_STARTED, xasprintf("step %s could not start: %s", step->id, err_msg(&err)));
		return false;
	}
	if (why != STOP_NONE || s.why != STOP_NONE) {
		end_stopped(r, why != STOP_NONE ? why : s.why, step->id, ret);
		return false;
	}
	if (exit_code_of(&s) != 0) {
		end_failed(&s, ret);
		return false;
	}
	return true;
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
	end_as(ret, "succeeded", 0, NULL);
	for (size_t i = 0; i < r->formula.n_steps; i++)
		if (!run_and_judge(r, &r->formula.steps[i], ret))
			break;
	secrets_place(&r->secrets, r->secrets_fd, NULL, 0, SECRETS_AS_BOTH, NULL);
}
