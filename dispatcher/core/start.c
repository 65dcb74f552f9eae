/* From a landed file to the moment before GO. */
#include "dispatcher/core/internal.h"
#include "lib/buf.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MOST_MS 60000

/* Forgets what belonged to one container. Where `going` stands on disk, GO was never said: the journal must not claim it any longer. */
void core_restart(struct core *c, struct run *r)
{
	r->started_ms = r->retry_ms = r->deadline_ms = 0;
	r->decrypted = r->delivered = r->failed = r->halt_refuses = r->forfeited = false;
	r->halt = HALT_NONE;
	set_text(&r->halt_reason, NULL);
	if (r->journal >= JOURNAL_GOING)
		effect_journal(c, r, JOURNAL_CLAIMED);
}

/* Until git announces it again: time alone does not mend it. */
static void hold_back(struct core *c, struct run *r)
{
	effect_note(c, r, "waits: %s", r->held);
	set_text(&r->reason, r->held);
	r->retry_ms = r->won ? c->mono_ms + CORE_RECLAIM_MS : 0;
	run_enter(c, r, RUN_WAITING);
	core_reclaim(c, r);
}

void core_wait(struct core *c, struct run *r, const char *reason)
{
	int64_t pause = BACKOFF_FIRST_MS;

	for (int i = 0; i < r->failures && pause < BACKOFF_MOST_MS; i++)
		pause *= 2;
	if (!r->noted || strcmp(r->noted, reason) != 0) {
		effect_note(c, r, "waits: %s", reason);
		set_text(&r->noted, reason);
	}
	core_restart(c, r);
	r->failures++;
	if (r->held) {
		hold_back(c, r);
		return;
	}
	set_text(&r->reason, reason);
	r->retry_ms = c->mono_ms + (pause < BACKOFF_MOST_MS ? pause : BACKOFF_MOST_MS);
	run_enter(c, r, RUN_WAITING);
	core_reclaim(c, r);
}

/* Ready for a slot, when it may start and all that it needs is known. */
void core_requeue(struct core *c, struct run *r)
{
	core_restart(c, r);
	if (r->held) {
		hold_back(c, r);
		return;
	}
	if (!r->landed_ms)
		r->landed_ms = c->mono_ms;
	if (r->secrets) {
		run_enter(c, r, RUN_QUEUED);
		return;
	}
	set_text(&r->reason, "is asked of the git server again after a restart");
	run_enter(c, r, RUN_WAITING);
	core_reclaim(c, r);
}

/* Those that the action names, and no other, whatever the git role sent: what is taken here is what the keyring decrypts. */
static void take_secrets(struct run *r, const json_t *secrets)
{
	size_t i;
	const json_t *wanted;

	json_decref(r->secrets);
	json_decref(r->secret_blobs);
	r->secrets = json_object();
	r->secret_blobs = json_object();
	json_array_foreach (r->action.secrets, i, wanted) {
		const char *name = json_string_value(wanted);
		json_t *secret = json_object_get(secrets, name);
		if (!secret)
			continue; /* one that can't be read: the reason came with it, or the runner says that it is missing */
		json_object_set(r->secrets, name, secret);
		json_object_set(r->secret_blobs, name, json_object_get(secret, "blob"));
	}
}

static void take_landed(struct run *r, const struct landed *l)
{
	set_text(&r->commit, l->commit);
	set_text(&r->action_blob, l->action_blob);
	set_text(&r->formula_name, l->formula_name);
	set_text(&r->formula_blob, l->formula_blob);
	set_text(&r->tier, l->tier);
	set_text(&r->policy_blob, l->policy_blob);
	set_text(&r->approval_mode, l->approval_mode);
	set_text(&r->approval_by, l->approval_by);
	r->attempt = l->attempt > r->attempt ? l->attempt : r->attempt;
	r->ledger_attempt = r->attempt;
	r->contested = l->claimed;
	action_free(&r->action);
	r->action = *l->action;
	*l->action = (struct action)ACTION_INIT;
	if (r->formula)
		formula_free(r->formula);
	free(r->formula);
	r->formula = *l->formula;
	*l->formula = NULL;
	take_secrets(r, l->secrets);
}

/* Heard in the middle of a start, it counts for the next one. */
static void note_verdict(struct run *r, const struct landed *l)
{
	set_text(&r->held, l->refuse ? l->refuse : l->wait);
}

/* What must not run gets its result; what can't be judged now waits. */
static void judge(struct core *c, struct run *r, const struct landed *l)
{
	if (r->halt == HALT_CANCEL)
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
	else if (l->refuse)
		core_finish(c, r, OUTCOME_REFUSED, NULL, l->refuse);
	else
		core_requeue(c, r);
}

static const char *missing_secret(const struct run *r, const json_t *secrets)
{
	size_t i;
	json_t *name;

	json_array_foreach (r->action.secrets, i, name)
		if (!json_object_get(secrets, json_string_value(name)))
			return json_string_value(name);
	return NULL;
}

/* An operator gave a later attempt free. What is under way here goes on until the ledger says that its claim is lost. */
static void offered(struct core *c, struct run *r, const struct landed *l)
{
	r->offered = l->attempt;
	set_text(&r->offered_refuse, l->refuse);
	if (r->state == RUN_WAITING || r->state == RUN_QUEUED)
		core_drop(c, r, "an operator gave it free for another attempt");
}

/* Announced again: after a restart of git or of everything, or because somebody changed the file. What is taken keeps its bytes. */
static void landed_again(struct core *c, struct run *r, const struct landed *l)
{
	bool was_held = r->held != NULL;
	note_verdict(r, l);
	if (l->attempt > r->ledger_attempt)
		r->ledger_attempt = l->attempt;
	if (l->attempt > r->attempt)
		offered(c, r, l);
	if (r->state == RUN_DONE) {
		effect_note(c, r, "has no result in the repository any more, but it was done; it does not run again");
		return;
	}
	if (l->action_blob && r->action_blob && strcmp(r->action_blob, l->action_blob) != 0)
		effect_note(c, r, "was edited after it was taken; the edit never runs");
	if (l->refuse || l->wait) {
		/* It must not start (now), policy is frozen perhaps. What runs has its own secrets, and goes on. */
		if (r->state == RUN_WAITING || r->state == RUN_QUEUED)
			judge(c, r, l);
		return;
	}
	if (r->secrets) {
		if (r->state == RUN_WAITING && was_held)
			core_requeue(c, r);
		return;
	}
	const char *missing = missing_secret(r, l->secrets);
	if (!missing)
		take_secrets(r, l->secrets); /* also while it runs: it may turn out that it never began, or be free for another attempt */
	if (r->state != RUN_WAITING)
		return;
	if (!missing) {
		core_requeue(c, r);
		return;
	}
	char *path = vault_secret_path(missing), *why = xasprintf("%s: is not in the repository any more", path);
	core_finish(c, r, OUTCOME_REFUSED, NULL, why);
	free(path);
	free(why);
}

static bool is_taken(const struct run *r)
{
	return r->journal != JOURNAL_NONE || r->state >= RUN_CLAIMING;
}

void core_landed(struct core *c, const struct event *ev)
{
	struct run *r = core_find(c, ev->id);

	if (r && r->state == RUN_DONE && ev->landed->attempt > r->attempt) {
		core_forget(c, r);
		r = NULL;
	}
	if (r && is_taken(r)) {
		landed_again(c, r, ev->landed);
		return;
	}
	if (!r) {
		r = run_new(ev->id);
		core_add(c, r);
	}
	r->failures = 0;
	take_landed(r, ev->landed);
	note_verdict(r, ev->landed);
	judge(c, r, ev->landed);
}

/* Slots go in order of landing. */
void core_schedule(struct core *c)
{
	struct run *r;

	if (core_hold(c))
		return;
	TAILQ_FOREACH (r, &c->open, link) {
		if (c->active >= c->options.capacity)
			return;
		if (r->state != RUN_QUEUED || r->reclaiming || core_claim_due_ms(c, r) > c->mono_ms)
			continue;
		set_text(&r->reason, NULL);
		if (r->won) {
			core_prepare(c, r);
			continue;
		}
		core_new_nonce(c, r);
		run_enter(c, r, RUN_CLAIMING);
		effect_journal(c, r, JOURNAL_CLAIMED);
	}
}

void core_prepare(struct core *c, struct run *r)
{
	free(r->name);
	r->name = xasprintf("disinto-%s-%s-%d", c->options.dispatcher_id, r->id, r->attempt);
	run_enter(c, r, RUN_PREPARING);
	effect_journal(c, r, JOURNAL_STARTING);
}

void core_ready(struct core *c, struct run *r, const struct event *ev)
{
	if (r->state != RUN_STARTING)
		return;
	set_text(&r->container, ev->container);
	set_text(&r->image, ev->image);
	run_enter(c, r, RUN_DELIVERING);
	effect_add(c, EFFECT_DECRYPT, r);
}

/* Both sides have to agree: keyring that it wrote every secret, engine that the runner was sent them. */
void core_delivered(struct core *c, struct run *r)
{
	if (r->state != RUN_DELIVERING || !r->decrypted || !r->delivered || r->halt != HALT_NONE)
		return;
	r->started_ms = c->wall_ms; /* written with `going`, so that a later life knows it */
	if (c->options.ledger)
		core_new_nonce(c, r);
	run_enter(c, r, RUN_COMMITTING);
	effect_journal(c, r, JOURNAL_GOING);
}

/* The container can't be used any more: engine ends and removes it, and says FAILED. */
void core_fault(struct core *c, struct run *r, bool refuse, const char *reason)
{
	if (r->halt != HALT_NONE)
		return;
	r->halt = HALT_FAULT;
	r->halt_refuses = refuse;
	set_text(&r->halt_reason, reason);
	effect_add(c, EFFECT_KILL, r);
}

void core_not_decrypted(struct core *c, struct run *r, const struct event *ev)
{
	if (r->state == RUN_DELIVERING && !r->decrypted)
		core_fault(c, r, ev->refuse, ev->reason);
}

/* Nothing ran, and the container is gone. Also while GOING: engine was told GO and could not pass it on. */
void core_failed(struct core *c, struct run *r, bool refuse, const char *reason)
{
	if (r->state == RUN_COMMITTING) {
		r->failed = true; /* core_journaled goes on from here */
		if (r->halt == HALT_NONE) {
			r->halt = HALT_FAULT;
			r->halt_refuses = refuse;
			set_text(&r->halt_reason, reason);
		}
		return;
	}
	if (r->state != RUN_STARTING && r->state != RUN_DELIVERING && r->state != RUN_CONFIRMING && r->state != RUN_GOING)
		return;
	r->started_ms = 0;
	char *why = xstrdup(r->halt == HALT_NONE ? reason : r->halt_reason);
	if (r->forfeited)
		core_drop(c, r, why);
	else if (r->halt == HALT_CANCEL)
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, why);
	else if (r->halt == HALT_FAULT ? r->halt_refuses : refuse)
		core_finish(c, r, OUTCOME_REFUSED, NULL, why);
	else
		core_wait(c, r, why);
	free(why);
}
