/* From GO to the end. */
#include "dispatcher/core/internal.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <stdlib.h>
#include <string.h>

/* How long after the runner should have ended a run by itself the dispatcher ends it. */
#define OVERTIME_MS (120 * 1000)
#define EXIT_KILLED 137 /* as a shell says it of a process that KILL ended */

static void set_deadline(struct core *c, struct run *r)
{
	int64_t minutes = formula_timeout_minutes(r->formula, &r->action);

	r->deadline_ms = c->mono_ms + minutes * 60000 + formula_stop_seconds(r->formula) * 1000LL + OVERTIME_MS;
}

/* `going` is on disk. */
void core_go(struct core *c, struct run *r)
{
	r->failures = 0;
	r->started_ms = c->wall_ms;
	set_deadline(c, r);
	run_enter(c, r, RUN_GOING);
	effect_add(c, EFFECT_GO, r);
}

/* Of an earlier life of the engine role or of everything: it may be running. */
void core_follow(struct core *c, struct run *r)
{
	if (r->deadline_ms == 0)
		set_deadline(c, r);
	effect_add(c, EFFECT_FOLLOW, r);
	if (r->halt != HALT_NONE)
		effect_add(c, r->halt == HALT_CANCEL ? EFFECT_HALT : EFFECT_KILL, r);
}

void core_finish(struct core *c, struct run *r, enum outcome outcome, const int *exit_code, const char *reason)
{
	r->has_outcome = true;
	r->outcome = outcome;
	r->has_exit_code = exit_code != NULL;
	r->exit_code = exit_code ? *exit_code : 0;
	char *why = reason ? xstrdup(reason) : NULL;
	free(r->reason);
	r->reason = why;
	r->finished_ms = c->wall_ms;
	r->deadline_ms = r->retry_ms = 0;
	if (!r->claim || !core_holds_claim(c, r))
		core_new_nonce(c, r);
	run_enter(c, r, RUN_ENDING);
	effect_journal(c, r, JOURNAL_RESULT);
}

static const char *report_string(const struct exited *x, const char *key)
{
	return x->report ? json_string_value(json_object_get(x->report, key)) : NULL;
}

/* The engine saw the kernel kill a process of the run: whatever the rest of it made of that, a part is missing. */
static void finish_out_of_memory(struct core *c, struct run *r, int exit_code)
{
	core_finish(c, r, OUTCOME_FAILED, &exit_code, "ran out of memory; raise resources.memory in the formula");
}

/* The runner says how it went. False: it says nothing that decides. */
static bool finish_by_report(struct core *c, struct run *r, const struct exited *x)
{
	const char *name = report_string(x, "outcome");
	const json_t *code = x->report ? json_object_get(x->report, "exit_code") : NULL;
	const char *reason = report_string(x, "reason");
	enum outcome outcome;

	if (!name || outcome_parse(name, &outcome) < 0 || outcome == OUTCOME_LOST)
		return false;
	r->log_truncated = json_is_true(json_object_get(x->report, "truncated"));
	int exit_code = json_is_integer(code) ? (int)json_integer_value(code) : x->exit_code;
	if (outcome == OUTCOME_CANCELLED && r->halt_reason)
		reason = r->halt_reason;
	if (outcome == OUTCOME_TIMED_OUT)
		exit_code = EXIT_TIMED_OUT;
	if (outcome == OUTCOME_CANCELLED)
		exit_code = EXIT_CANCELLED;
	if (outcome == OUTCOME_SUCCEEDED && x->oom) {
		finish_out_of_memory(c, r, EXIT_KILLED);
		return true;
	}
	if (outcome != OUTCOME_SUCCEEDED && !reason)
		reason = "a step failed";
	core_finish(c, r, outcome, &exit_code, outcome == OUTCOME_SUCCEEDED ? NULL : reason);
	return true;
}

/* The container ended, or is not there, and its runner did not get to say how it went. */
static void finish_without_report(struct core *c, struct run *r, const struct exited *x)
{
	const int *code = x->has_exit_code ? &x->exit_code : NULL;

	if (code && r->halt == HALT_CANCEL) {
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
	} else if (code && r->halt == HALT_TIMEOUT) {
		core_finish(c, r, OUTCOME_TIMED_OUT, &(int){EXIT_TIMED_OUT}, r->halt_reason);
	} else if (code && x->oom) {
		finish_out_of_memory(c, r, *code);
	} else {
		const char *what = x->reason ? x->reason : "the container ended without a report of its runner";
		if (core_try_again(c, r, what))
			return;
		cleanup_free char *why =
		    xasprintf("%s; it may have run in part: look at its log, then propose it again under a new id", what);
		core_finish(c, r, OUTCOME_LOST, code, why);
	}
}

void core_exited(struct core *c, struct run *r, const struct exited *x)
{
	const char *outcome = report_string(x, "outcome");

	if (r->state != RUN_GOING)
		return;
	if (x->container)
		set_text(&r->container, x->container);
	if (x->image)
		set_text(&r->image, x->image);
	if (!x->going && outcome && strcmp(outcome, "not_started") == 0) {
		/* The runner's own word that it never saw GO: nothing ran, so it may be made again. */
		if (r->halt == HALT_CANCEL) {
			core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
			return;
		}
		core_wait(c, r, "its runner was cut off before it was let go; nothing ran");
		return;
	}
	if (!finish_by_report(c, r, x))
		finish_without_report(c, r, x);
}

void core_cancel(struct core *c, struct run *r, enum halt why, const char *reason)
{
	if (r->state >= RUN_ENDING || r->halt == HALT_CANCEL)
		return;
	if (r->state == RUN_WAITING && !r->commit) {
		/* Known from its cancellation only: whatever lands under this id is cancelled. */
		r->halt = why;
		set_text(&r->halt_reason, reason);
		return;
	}
	if (r->state == RUN_WAITING || r->state == RUN_QUEUED) {
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, reason);
		return;
	}
	r->halt = why;
	set_text(&r->halt_reason, reason);
	if (why == HALT_CANCEL && r->state != RUN_CLAIMING && r->state != RUN_PREPARING && r->state != RUN_COMMITTING)
		effect_journal(c, r, r->journal); /* an operator says it only once, and this life may end first */
	if (r->state == RUN_STARTING || r->state == RUN_DELIVERING || r->state == RUN_CONFIRMING)
		effect_add(c, EFFECT_KILL, r);
	else if (r->state == RUN_GOING)
		effect_add(c, why == HALT_CANCEL ? EFFECT_HALT : EFFECT_KILL, r);
	/* CLAIMING, PREPARING, COMMITTING: a write is under way, and core_journaled looks at it before it goes on; BIDDING: so does core_claimed. */
}

/* Killed, and again for as long as it is not heard to have ended: the engine may have tried in vain, be it to end what was cancelled. */
void core_overtime(struct core *c, struct run *r)
{
	r->deadline_ms = c->mono_ms + OVERTIME_MS;
	if (r->halt == HALT_NONE)
		core_cancel(c, r, HALT_TIMEOUT, "did not end in time and was killed");
	else if (c->engine_ok)
		effect_add(c, EFFECT_KILL, r);
}

void core_recorded(struct core *c, struct run *r)
{
	if (r->state != RUN_RECORDING)
		return;
	run_enter(c, r, RUN_CLOSING);
	effect_journal(c, r, JOURNAL_RECORDED);
}

/* The server has no more use for what we know of this action. */
void core_gone(struct core *c, struct run *r, const struct event *ev)
{
	if (ev->taken)
		core_met_rival(c);
	if (r->state == RUN_RECORDING && ev->ok) {
		effect_note(c, r, "%s", ev->reason);
		core_recorded(c, r); /* a result can't be replaced: ours stays in the spool */
	} else if (r->state == RUN_WAITING || r->state == RUN_QUEUED) {
		if (!ev->ok && !ev->taken)
			core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, ev->reason);
		else
			core_drop(c, r, ev->reason);
	} else if (r->state < RUN_GOING && !ev->ok && !ev->taken) {
		core_cancel(c, r, HALT_CANCEL, ev->reason); /* nothing has run: it ends as it would if it waited */
	}
}
