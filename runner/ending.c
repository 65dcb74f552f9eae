/* How a run ended: what its first step that went wrong says. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define CODE_KILLED (128 + SIGKILL)
#define CODE_FAULT 1

/* What its process says. */
static int process_code(const struct step_end *s)
{
	if (!s->ended)
		return EXIT_NOT_STARTED;
	return WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
}

int ending_code(const struct step_end *s)
{
	int code = process_code(s);

	if (code == 0 && s->memory_kills > 0)
		return CODE_KILLED;
	return code == 0 && s->fault ? CODE_FAULT : code;
}

/* Takes reason. */
static void end_as(struct ending *e, const char *outcome, int code, char *reason)
{
	e->outcome = outcome;
	e->exit_code = e->status = code;
	e->reason = reason;
}

static char *time_passed(const char *id, const char *whose, int minutes)
{
	return xasprintf("%s time limit of %d %s passed (step %s)", whose, minutes, minutes == 1 ? "minute" : "minutes", id);
}

static void end_stopped(const struct runner *r, const struct step_end *s, struct ending *e)
{
	const char *id = s->step->id;

	if (s->why == STOP_CANCELLED)
		end_as(e, "cancelled", EXIT_CANCELLED, xasprintf("it was told to stop (step %s)", id));
	else if (s->why == STOP_STEP_TIMED_OUT)
		end_as(e, "timed_out", EXIT_TIMED_OUT, time_passed(id, "the step's", s->step->timeout_minutes));
	else
		end_as(e, "timed_out", EXIT_TIMED_OUT, time_passed(id, "the", formula_timeout_minutes(&r->formula, &r->action)));
}

/* Whatever its exit code: where the kernel killed a part of a step, nobody knows what is missing. */
static char *memory_reason(const struct step_end *s)
{
	return xasprintf("step %s ran out of memory: the kernel killed %" PRIu64
	                 " of its processes (it ended with %d); raise resources.memory in the formula",
	                 s->step->id, s->memory_kills, process_code(s));
}

static char *reason_of(const struct step_end *s)
{
	const char *id = s->step->id;

	if (s->memory_kills > 0)
		return memory_reason(s);
	if (!WIFSIGNALED(s->status) && process_code(s) == 0)
		return xasprintf("step %s: %s", id, s->fault);
	if (!WIFSIGNALED(s->status))
		return xasprintf("step %s exited with %d", id, process_code(s));
	if (WTERMSIG(s->status) == SIGKILL)
		return xasprintf("step %s was killed (out of memory?)", id);
	return xasprintf("step %s was ended by signal %d (%s)", id, WTERMSIG(s->status), strsignal(WTERMSIG(s->status)));
}

void ending_add(const struct runner *r, const struct step_end *s, struct ending *e)
{
	if (e->status != 0)
		return;
	if (s->why != STOP_NONE)
		end_stopped(r, s, e);
	else if (ending_code(s) != 0)
		end_as(e, "failed", ending_code(s), reason_of(s));
}

void ending_add_start(const struct formula_step *step, const char *why, struct ending *e)
{
	if (e->status == 0)
		end_as(e, "failed", EXIT_NOT_STARTED, xasprintf("step %s could not start: %s", step->id, why));
}
