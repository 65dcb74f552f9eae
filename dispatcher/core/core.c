/* Events in, effects out. */
#include "dispatcher/core/internal.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* After a failed journal write, how long until the disk is tried again. */
#define DISK_RETRY_MS 5000
/* How long a container that is ready to go waits for its claim; then it is ended, and made again later. */
#define CONFIRM_MS 60000

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct run *)a)->id, ((const struct run *)b)->id);
}

struct core *core_new(const struct core_options *options)
{
	struct core *c = xcalloc(1, sizeof *c);

	c->options = *options;
	TAILQ_INIT(&c->open);
	set_text(&c->engine_reason, "the Docker Engine has not answered yet");
	return c;
}

static void free_run(void *r)
{
	run_free(r);
}

void core_free(struct core *c)
{
	if (!c)
		return;
	tdestroy(c->by_id, free_run);
	free(c->engine_reason);
	free(c->disk_reason);
	free(c->outcast);
	free(c->frozen);
	free(c);
}

void core_add(struct core *c, struct run *r)
{
	if (!tsearch(r, &c->by_id, by_id))
		abort();
	TAILQ_INSERT_TAIL(&c->open, r, link);
}

struct run *core_find(struct core *c, const char *id)
{
	struct run key = {.state = RUN_WAITING};

	if (strlen(id) > VAULT_ID_MAX)
		return NULL;
	stpncpy(key.id, id, VAULT_ID_MAX);
	struct run **found = tfind(&key, &c->by_id, by_id);
	return found ? *found : NULL;
}

/* disinto-<dispatcher id>-<action id>-<attempt>: the id is what stands between. */
static struct run *find_by_name(struct core *c, const char *name, int *ret_attempt)
{
	char id[VAULT_ID_MAX + 1] = "";
	cleanup_free char *prefix = xasprintf("disinto-%s-", c->options.dispatcher_id);
	const char *begin = name + strlen(prefix), *end = strrchr(name, '-');

	if (strncmp(name, prefix, strlen(prefix)) != 0 || end <= begin || end - begin > VAULT_ID_MAX)
		return NULL;
	memcpy(id, begin, (size_t)(end - begin));
	*ret_attempt = (int)strtol(end + 1, NULL, 10);
	return core_find(c, id);
}

struct run *core_find_by_container(struct core *c, const char *name)
{
	int attempt;
	struct run *r = find_by_name(c, name, &attempt);
	return r && r->name && strcmp(r->name, name) == 0 ? r : NULL;
}

struct run *core_find_by_old_container(struct core *c, const char *name, int *ret_attempt)
{
	struct run *r = find_by_name(c, name, ret_attempt);
	return r && *ret_attempt > 0 && *ret_attempt < r->attempt ? r : NULL;
}

void core_forget(struct core *c, struct run *r)
{
	if (r->state != RUN_DONE)
		return;
	tdelete(r, &c->by_id, by_id);
	run_free(r);
}

const struct run_list *core_open_runs(const struct core *c)
{
	return &c->open;
}

static bool holds_slot(enum run_state s)
{
	return s >= RUN_CLAIMING && s <= RUN_GOING;
}

/* What a finished run needs no more. */
static void run_shed(struct run *r)
{
	action_free(&r->action);
	if (r->formula)
		formula_free(r->formula);
	free(r->formula);
	r->formula = NULL;
	json_decref(r->secrets);
	json_decref(r->secret_blobs);
	r->secrets = r->secret_blobs = NULL;
}

void run_enter(struct core *c, struct run *r, enum run_state s)
{
	c->active += (int)holds_slot(s) - (int)holds_slot(r->state);
	if (s == RUN_DONE && r->state != RUN_DONE)
		TAILQ_REMOVE(&c->open, r, link);
	r->state = s;
	effect_add(c, EFFECT_CHANGED, r);
}

void core_done(struct core *c, struct run *r)
{
	if (r->name)
		effect_add(c, EFFECT_REMOVE, r);
	run_enter(c, r, RUN_DONE);
	run_shed(r);
}

/* A write failed: what it should have announced does not happen. */
static void journal_failed(struct core *c, struct run *r, const struct event *ev)
{
	if (!c->disk_noted)
		effect_note(c, r, "the spool can't be written: %s; nothing new starts until it can", ev->reason);
	c->disk_noted = true;
	set_text(&c->disk_reason, ev->reason);
	c->disk_retry_ms = c->mono_ms + DISK_RETRY_MS;
	r->reclaiming = false;
	if (ev->journal > r->journal)
		r->journal = ev->journal; /* it may be there all the same: only the last fsync may have failed */
	switch (r->state) {
	case RUN_CLAIMING:
	case RUN_PREPARING:
		core_wait(c, r, ev->reason);
		break;
	case RUN_COMMITTING:
		if (r->failed) {
			run_enter(c, r, RUN_STARTING);
			core_failed(c, r, false, ev->reason);
			break;
		}
		run_enter(c, r, RUN_DELIVERING);
		if (r->halt == HALT_NONE)
			core_fault(c, r, false, ev->reason);
		else
			effect_add(c, EFFECT_KILL, r);
		break;
	case RUN_ENDING:
	case RUN_CLOSING:
		r->retry_ms = c->mono_ms + DISK_RETRY_MS;
		break;
	default:
		break;
	}
}

static void claim_written(struct core *c, struct run *r)
{
	if (r->halt == HALT_CANCEL) {
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
	} else if (core_hold(c) || r->held) {
		core_requeue(c, r);
	} else if (core_holds_claim(c, r) || (core_is_alone(c) && !r->contested && r->failures == 0)) {
		core_prepare(c, r);
	} else {
		run_enter(c, r, RUN_BIDDING);
		core_claim(c, r);
	}
}

static void prepared(struct core *c, struct run *r)
{
	if (r->halt == HALT_CANCEL) {
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
	} else if (!c->engine_up || r->held) {
		core_requeue(c, r);
	} else {
		run_enter(c, r, RUN_STARTING);
		r->replaces = core_holds_claim(c, r);
		effect_add(c, EFFECT_START, r);
	}
}

/* `going` is on disk. GO is said only if nothing came in between, and nobody else holds the claim. */
static void committed(struct core *c, struct run *r)
{
	if (r->halt == HALT_NONE && core_holds_claim(c, r)) {
		core_go(c, r);
		return;
	}
	if (r->halt == HALT_NONE) {
		run_enter(c, r, RUN_CONFIRMING);
		r->deadline_ms = c->mono_ms + CONFIRM_MS;
		core_claim(c, r);
		return;
	}
	run_enter(c, r, RUN_DELIVERING);
	if (r->failed)
		core_failed(c, r, r->halt_refuses, r->halt_reason);
	else
		effect_add(c, EFFECT_KILL, r);
}

static void core_journaled(struct core *c, struct run *r, const struct event *ev)
{
	if (!ev->ok) {
		journal_failed(c, r, ev);
		return;
	}
	set_text(&c->disk_reason, NULL);
	if (c->disk_noted)
		effect_note(c, NULL, "the spool can be written again");
	c->disk_noted = false;
	r->journal = ev->journal;
	if (r->state <= RUN_CONFIRMING && !(r->claim && ev->nonce && strcmp(r->claim, ev->nonce) == 0))
		return; /* an older one: the nonce of now may not be on disk */
	if (r->state == RUN_CLAIMING && ev->journal == JOURNAL_CLAIMED) {
		claim_written(c, r);
	} else if (r->state <= RUN_QUEUED && r->reclaiming) {
		core_claim(c, r);
	} else if (r->state == RUN_PREPARING && ev->journal == JOURNAL_STARTING) {
		prepared(c, r);
	} else if (r->state == RUN_COMMITTING && ev->journal == JOURNAL_GOING) {
		committed(c, r);
	} else if (r->state == RUN_ENDING && ev->journal == JOURNAL_RESULT) {
		run_enter(c, r, RUN_RECORDING);
		if (!core_holds_claim(c, r))
			core_claim(c, r);
		else if (c->git_up)
			effect_add(c, EFFECT_RECORD, r);
	} else if (r->state == RUN_CLOSING && ev->journal == JOURNAL_RECORDED) {
		if (!core_take_offer(c, r))
			core_done(c, r);
	}
}

static void core_recovered(struct core *c, struct run *r)
{
	core_add(c, r);
	r->state = RUN_WAITING;
	if (r->journal < JOURNAL_RESULT)
		r->won = false; /* this spool may be a copy of the one that won it: a new nonce shows */
	switch (r->journal) {
	case JOURNAL_GOING:
		run_enter(c, r, RUN_GOING);
		break;
	case JOURNAL_RESULT:
		run_enter(c, r, RUN_RECORDING);
		break;
	case JOURNAL_RECORDED:
		run_enter(c, r, RUN_DONE);
		run_shed(r);
		break;
	default:
		if (r->halt == HALT_CANCEL)
			core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
		else
			core_requeue(c, r);
		break;
	}
}

static void engine_gone(struct core *c)
{
	struct run *r, *next;

	for (r = TAILQ_FIRST(&c->open); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->state == RUN_COMMITTING || r->state == RUN_CONFIRMING || (r->halt == HALT_CANCEL && r->state < RUN_GOING))
			core_failed(c, r, false, "the engine role ended while it was being started");
		else if (r->state == RUN_STARTING || r->state == RUN_DELIVERING)
			core_requeue(c, r);
	}
}

static void core_role_up(struct core *c, const struct event *ev)
{
	struct run *r;

	c->git_up |= ev->role_git;
	c->keyring_up |= ev->role_keyring;
	c->engine_up |= ev->role_engine;
	TAILQ_FOREACH (r, &c->open, link) {
		if (ev->role_engine && r->state == RUN_GOING)
			core_follow(c, r);
		if (ev->role_git && r->state == RUN_RECORDING && core_holds_claim(c, r))
			effect_add(c, EFFECT_RECORD, r);
	}
}

static void core_role_down(struct core *c, const struct event *ev)
{
	struct run *r;

	if (ev->role_git)
		c->git_up = c->incarnated = false;
	if (ev->role_keyring) {
		c->keyring_up = false;
		TAILQ_FOREACH (r, &c->open, link)
			if (r->state == RUN_DELIVERING && !r->decrypted)
				core_fault(c, r, false, "the keyring role ended while it decrypted");
	}
	if (ev->role_engine) {
		c->engine_up = c->engine_ok = false;
		set_text(&c->engine_reason, "the engine role is being replaced");
		engine_gone(c);
	}
}

static void tick_run(struct core *c, struct run *r)
{
	if (r->deadline_ms && r->deadline_ms <= c->mono_ms) {
		r->deadline_ms = 0;
		if (r->state == RUN_CONFIRMING)
			core_fault(c, r, false, "the ledger did not confirm the claim in time");
		else
			core_overtime(c, r);
	}
	if (!r->retry_ms || r->retry_ms > c->mono_ms)
		return;
	r->retry_ms = 0;
	if (r->state == RUN_ENDING)
		effect_journal(c, r, JOURNAL_RESULT);
	else if (r->state == RUN_CLOSING)
		effect_journal(c, r, JOURNAL_RECORDED);
	else if (r->state == RUN_WAITING && r->secrets && !r->held)
		core_requeue(c, r);
	else if (r->state == RUN_WAITING && r->won) {
		r->retry_ms = c->mono_ms + CORE_RECLAIM_MS;
		core_claim(c, r);
	}
}

static void core_tick(struct core *c)
{
	struct run *r, *next;

	if (c->disk_retry_ms && c->disk_retry_ms <= c->mono_ms) {
		c->disk_retry_ms = 0;
		set_text(&c->disk_reason, NULL);
	}
	for (r = TAILQ_FIRST(&c->open); r; r = next) {
		next = TAILQ_NEXT(r, link);
		tick_run(c, r);
		if (!c->disk_reason)
			core_reclaim(c, r);
	}
}

/* Events about one action that is known. */
static void step_run(struct core *c, struct run *r, const struct event *ev)
{
	switch (ev->kind) {
	case EV_GONE:
		core_gone(c, r, ev);
		break;
	case EV_CANCEL:
		core_cancel(c, r, HALT_CANCEL, ev->reason);
		break;
	case EV_RECORDED:
		core_recorded(c, r);
		break;
	case EV_JOURNALED:
		core_journaled(c, r, ev);
		break;
	case EV_CLAIMED:
		core_claimed(c, r, ev);
		break;
	case EV_CLAIM_LOST:
		core_claim_lost(c, r, ev);
		break;
	case EV_DECRYPTED:
		r->decrypted = true;
		core_delivered(c, r);
		break;
	case EV_DELIVERED:
		r->delivered = true;
		core_delivered(c, r);
		break;
	case EV_NOT_DECRYPTED:
		core_not_decrypted(c, r, ev);
		break;
	case EV_READY:
		core_ready(c, r, ev);
		break;
	case EV_FAILED:
		core_failed(c, r, ev->refuse, ev->reason);
		break;
	case EV_EXITED:
		core_exited(c, r, ev->exited);
		break;
	default:
		break;
	}
}

/* The cancellation came before its action: whatever lands under this id does not run. */
static void cancel_unknown(struct core *c, const struct event *ev)
{
	struct run *r = run_new(ev->id);

	core_add(c, r);
	r->halt = HALT_CANCEL;
	set_text(&r->halt_reason, ev->reason);
	set_text(&r->reason, "is cancelled already, and has not landed yet");
	run_enter(c, r, RUN_WAITING);
}

static void step_whole(struct core *c, const struct event *ev)
{
	switch (ev->kind) {
	case EV_RECOVERED:
		core_recovered(c, ev->run);
		break;
	case EV_LANDED:
		core_landed(c, ev);
		break;
	case EV_CANCEL:
		cancel_unknown(c, ev);
		break;
	case EV_ENGINE:
		c->engine_ok = ev->ok;
		set_text(&c->engine_reason, ev->ok ? NULL : ev->reason);
		break;
	case EV_INCARNATED:
		core_incarnated(c, ev);
		break;
	case EV_COMPANY:
		core_met_rival(c);
		break;
	case EV_FROZEN:
		set_text(&c->frozen, ev->reason);
		break;
	case EV_ROLE_UP:
		core_role_up(c, ev);
		break;
	case EV_ROLE_DOWN:
		core_role_down(c, ev);
		break;
	case EV_STOP:
		c->stopping = true;
		break;
	case EV_TICK:
		core_tick(c);
		break;
	default:
		break;
	}
}

static bool is_of_an_attempt(enum event_kind k)
{
	return k == EV_CLAIMED || k == EV_CLAIM_LOST || k == EV_READY || k == EV_DELIVERED || k == EV_FAILED || k == EV_EXITED ||
	       k == EV_DECRYPTED || k == EV_NOT_DECRYPTED;
}

void core_step(struct core *c, const struct event *ev, struct effects *out)
{
	c->out = out;
	c->mono_ms = ev->mono_ms;
	c->wall_ms = ev->wall_ms;
	struct run *r = ev->id && ev->kind != EV_LANDED ? core_find(c, ev->id) : NULL;
	if (r && !(is_of_an_attempt(ev->kind) && ev->attempt != r->attempt))
		step_run(c, r, ev);
	else if (!ev->id || ev->kind == EV_LANDED || (!r && ev->kind == EV_CANCEL))
		step_whole(c, ev);
	core_schedule(c);
	c->out = NULL;
}

int64_t core_next_ms(const struct core *c)
{
	const struct run *r;
	int64_t next = c->disk_retry_ms ? c->disk_retry_ms : -1;

	TAILQ_FOREACH (r, &c->open, link) {
		if (r->retry_ms && (next < 0 || r->retry_ms < next))
			next = r->retry_ms;
		if (r->deadline_ms && (next < 0 || r->deadline_ms < next))
			next = r->deadline_ms;
		if (r->state == RUN_QUEUED && c->active < c->options.capacity) {
			int64_t due = core_claim_due_ms(c, r);
			if (due > c->mono_ms && (next < 0 || due < next))
				next = due;
		}
	}
	return next;
}

int core_active(const struct core *c)
{
	return c->active;
}

static int count(const struct core *c, enum run_state from, enum run_state to)
{
	const struct run *r;
	int n = 0;

	TAILQ_FOREACH (r, &c->open, link)
		n += r->state >= from && r->state <= to;
	return n;
}

int core_queued(const struct core *c)
{
	return count(c, RUN_WAITING, RUN_QUEUED);
}

int core_recording(const struct core *c)
{
	return count(c, RUN_ENDING, RUN_CLOSING);
}

bool core_stopping(const struct core *c)
{
	return c->stopping;
}

const char *core_hold(const struct core *c)
{
	if (c->stopping)
		return "the dispatcher is stopping";
	if (c->outcast)
		return c->outcast;
	if (c->disk_reason)
		return c->disk_reason;
	if (c->frozen)
		return c->frozen;
	if (c->options.ledger && !c->incarnated)
		return "this dispatcher is not in the ledger yet";
	if (!c->engine_up || !c->engine_ok)
		return c->engine_reason;
	if (!c->keyring_up)
		return "the keyring role is being replaced";
	return NULL;
}

struct each {
	void (*fn)(struct run *, void *);
	void *arg;
};

static void each_node(const void *node, VISIT which, void *arg)
{
	const struct each *e = arg;

	if (which == postorder || which == leaf)
		e->fn(*(struct run *const *)node, e->arg);
}

void core_each(struct core *c, void (*fn)(struct run *r, void *arg), void *arg)
{
	struct each e = {fn, arg};

	twalk_r(c->by_id, each_node, &e);
}
