/* Claims: who runs what, as the ledger says. */
#include "dispatcher/core/internal.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <sodium.h>
#include <string.h>

#define NONCE_BYTES 16
/* How long a fresh action is left to others by a dispatcher that has no slot free; one with slots waits its share of it. */
#define SHARE_MS 500
#define ATTEMPTS_MAX 3

bool core_holds_claim(const struct core *c, const struct run *r)
{
	return !c->options.ledger || r->won;
}

void core_met_rival(struct core *c)
{
	c->company_ms = c->mono_ms + CORE_COMPANY_MS;
}

bool core_is_alone(const struct core *c)
{
	return c->mono_ms >= c->company_ms;
}

void core_new_nonce(struct core *c, struct run *r)
{
	unsigned char nonce[NONCE_BYTES];
	char hex[2 * NONCE_BYTES + 1];

	c->nonces++;
	crypto_generichash(nonce, sizeof nonce, (const unsigned char *)&c->nonces, sizeof c->nonces, c->options.seed, CORE_SEED_BYTES);
	sodium_bin2hex(hex, sizeof hex, nonce, sizeof nonce);
	set_text(&r->claim, hex);
	if (!r->mine)
		r->mine = json_array();
	if (!c->options.ledger)
		json_array_clear(r->mine);
	json_array_append_new(r->mine, json_string(hex));
	r->won = r->reclaiming = false;
}

void core_reclaim(struct core *c, struct run *r)
{
	bool starts_soon = r->secrets && !r->held; /* and claims it then */

	if (!c->incarnated || starts_soon || r->journal == JOURNAL_NONE || r->state > RUN_QUEUED || r->reclaiming || core_holds_claim(c, r))
		return;
	core_new_nonce(c, r);
	r->reclaiming = true;
	effect_journal(c, r, JOURNAL_CLAIMED);
}

void core_claim(struct core *c, struct run *r)
{
	if (c->incarnated)
		effect_add(c, EFFECT_CLAIM, r);
}

static bool is_about_the_newest(const struct run *r, const struct event *ev)
{
	return r->claim && ev->nonce && strcmp(r->claim, ev->nonce) == 0;
}

void core_claimed(struct core *c, struct run *r, const struct event *ev)
{
	if (!is_about_the_newest(r, ev))
		return;
	r->won = true;
	r->ledger_attempt = r->attempt;
	r->reclaiming = false;
	json_array_clear(r->mine);
	json_array_append_new(r->mine, json_string(r->claim));
	if (r->state == RUN_BIDDING && r->halt == HALT_CANCEL) {
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, r->halt_reason);
	} else if (r->state == RUN_BIDDING && (core_hold(c) || r->held)) {
		core_requeue(c, r);
	} else if (r->state == RUN_BIDDING) {
		core_prepare(c, r);
	} else if (r->state == RUN_CONFIRMING && r->halt == HALT_NONE) {
		core_go(c, r);
	} else if (r->state == RUN_RECORDING && c->git_up) {
		effect_add(c, EFFECT_RECORD, r);
	} else if (r->state == RUN_WAITING && (!r->secrets || r->held)) {
		r->retry_ms = c->mono_ms + CORE_RECLAIM_MS;
	}
}

void core_claim_lost(struct core *c, struct run *r, const struct event *ev)
{
	if (!is_about_the_newest(r, ev))
		return;
	r->won = false;
	core_met_rival(c);
	if (ev->ok && r->state == RUN_RECORDING && r->container) {
		/* A run of ours, whose result an earlier life brought there: what is left to do is what follows that, its container's removal above all. */
		core_recorded(c, r);
	} else if (r->state <= RUN_QUEUED || r->state == RUN_BIDDING || r->state == RUN_RECORDING) {
		core_drop(c, r, ev->reason);
	} else if (r->state == RUN_CONFIRMING) {
		r->forfeited = true;
		core_fault(c, r, false, ev->reason); /* unless it is being ended already */
	}
}

/* The nonces were those of the attempt before; the ledger has this one free, or has it still to take their place. */
static void begin_attempt(struct core *c, struct run *r, int attempt)
{
	cleanup_free char *cancelled = r->halt == HALT_CANCEL ? xstrdup(r->halt_reason) : NULL;
	cleanup_free char *refused = r->offered_refuse;

	r->offered_refuse = NULL;
	r->attempt = attempt;
	r->offered = 0;
	r->won = r->reclaiming = r->has_outcome = r->has_exit_code = false;
	r->finished_ms = 0;
	set_text(&r->name, NULL);
	set_text(&r->container, NULL);
	set_text(&r->image, NULL);
	if (cancelled)
		core_finish(c, r, OUTCOME_CANCELLED, &(int){EXIT_CANCELLED}, cancelled);
	else if (refused)
		core_finish(c, r, OUTCOME_REFUSED, NULL, refused);
	else
		core_requeue(c, r);
}

bool core_take_offer(struct core *c, struct run *r)
{
	if (r->offered <= r->attempt)
		return false;
	begin_attempt(c, r, r->offered);
	return true;
}

void core_drop(struct core *c, struct run *r, const char *reason)
{
	if (core_take_offer(c, r))
		return;
	effect_note(c, r, "is left to others: %s", reason);
	if (r->ledger_attempt > 0 && r->ledger_attempt < r->attempt)
		r->attempt = r->ledger_attempt; /* a further one was never ours: an operator may free it yet */
	set_text(&r->reason, reason);
	set_text(&r->name, NULL); /* whoever has the claim may have a container of that name */
	r->has_outcome = r->has_exit_code = false;
	r->finished_ms = c->wall_ms;
	r->deadline_ms = r->retry_ms = 0;
	r->reclaiming = false;
	if (r->journal == JOURNAL_NONE) {
		core_done(c, r); /* nothing on disk to be followed up */
		return;
	}
	run_enter(c, r, RUN_CLOSING);
	effect_journal(c, r, JOURNAL_RECORDED);
}

bool core_try_again(struct core *c, struct run *r, const char *why)
{
	if (!r->formula || r->formula->retry != RETRY_SAFE || r->attempt >= ATTEMPTS_MAX || r->halt == HALT_CANCEL)
		return false;
	effect_note(c, r, "attempt %d is lost (%s); its formula says that it may be attempted again", r->attempt, why);
	begin_attempt(c, r, r->attempt + 1);
	return true;
}

void core_incarnated(struct core *c, const struct event *ev)
{
	struct run *r;

	if (!ev->ok) {
		c->incarnated = false;
		set_text(&c->outcast, ev->reason);
		effect_text(c, EFFECT_QUIT, NULL, "%s", ev->reason);
		return;
	}
	c->incarnated = c->git_up;
	TAILQ_FOREACH (r, &c->open, link) {
		bool asks = r->state == RUN_BIDDING || r->state == RUN_CONFIRMING || r->state == RUN_RECORDING || r->reclaiming;
		if (asks && !core_holds_claim(c, r))
			core_claim(c, r);
		core_reclaim(c, r);
	}
}

int64_t core_claim_due_ms(const struct core *c, const struct run *r)
{
	return c->options.ledger && !r->won ? r->landed_ms + (int64_t)SHARE_MS * c->active / c->options.capacity : 0;
}
