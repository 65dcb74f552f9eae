/* The promises. */
#include "lib/buf.h"
#include "tests/sim/world.h"

#include <string.h>

static bool claim_stands(const struct world *w, const struct run *r, int i)
{
	const struct on_ledger *at = &w->server.now.ledger[i];

	return at->claimed && !at->free && at->attempt == r->attempt && r->claim && strcmp(at->nonce, r->claim) == 0;
}

/* It knows of another one: then it wins each claim before it makes a container. */
static bool in_company(const struct world *w, const struct dispatcher *d)
{
	return w->mono_ms < d->company_ms;
}

/* What must be so before another role is asked for something. */
void check_effect(struct world *w, struct dispatcher *d, const struct effect *e, int i)
{
	const struct run *r = e->run;
	bool surely = w->ledger && !w->a[i].excused; /* where a spool was copied, its claims may be taken at any time */
	bool begins = e->kind == EFFECT_JOURNAL && e->journal == JOURNAL_STARTING && !disk_says(&d->disk, i, "starting");
	bool wants_claim = e->kind == EFFECT_GO || (begins && in_company(w, d));

	if (e->kind == EFFECT_CLAIM && (!d->disk.state[i] || !strstr(d->disk.state[i], r->claim)))
		violate(w, i, "CLAIM with a nonce that is not on disk");
	if (e->kind == EFFECT_START && !disk_says(&d->disk, i, "starting"))
		violate(w, i, "START without `starting` on disk");
	if (e->kind == EFFECT_START && d->held[i])
		violate(w, i, "START of what git held back");
	if (e->kind == EFFECT_DECRYPT && d->attended[i].how == E_STARTING)
		violate(w, i, "DECRYPT before the runner was ready");
	if (e->kind == EFFECT_GO && !disk_says(&d->disk, i, "going"))
		violate(w, i, "GO without `going` on disk");
	if (wants_claim && w->ledger && strcmp(d->told[i], r->claim) != 0)
		violate(w, i, "`starting` or GO without having been told that its claim stands");
	if (wants_claim && surely && !claim_stands(w, r, i))
		violate(w, i, "`starting` or GO without the claim");
	if (e->kind == EFFECT_RECORD && !disk_says(&d->disk, i, "result"))
		violate(w, i, "RECORD without `result` on disk");
	if (e->kind == EFFECT_RECORD && surely && !claim_stands(w, r, i) && !w->server.now.main[i].result.there)
		violate(w, i, "RECORD without the claim");
	if (e->kind == EFFECT_REMOVE && !disk_says(&d->disk, i, "recorded"))
		violate(w, i, "REMOVE before the result is on the server");
}

static bool is_ours(const struct world *w, const struct run *r, int i)
{
	const struct on_ledger *at = &w->server.now.ledger[i];
	size_t k;
	json_t *nonce;

	if (!w->ledger || !at->claimed || at->free || at->attempt != r->attempt)
		return !w->ledger;
	json_array_foreach (r->mine, k, nonce)
		if (strcmp(json_string_value(nonce), at->nonce) == 0)
			return true;
	return false;
}

void check_journal(struct world *w, const struct run *r, enum journal j, int i)
{
	if (j == JOURNAL_RECORDED && !w->server.now.main[i].result.there && is_ours(w, r, i))
		violate(w, i, "forgotten, though its claim is ours and no result is on the server");
}

void check_claimed(struct world *w, struct dispatcher *d, int i, int attempt)
{
	int *winner = &w->a[i].winner[attempt];

	if (*winner && *winner != d->lineage + 1)
		violate(w, i, "a claim was won twice");
	*winner = d->lineage + 1;
}

void check_lost(struct world *w, struct dispatcher *d, int i, int attempt)
{
	const struct on_ledger *at = &w->server.now.ledger[i];

	for (int k = 0; k < w->n_dispatchers; k++)
		if (&w->d[k] != d && w->d[k].used && w->d[k].lineage == d->lineage)
			return; /* to a copy */
	if (w->a[i].winner[attempt] == d->lineage + 1 && at->attempt == attempt && !at->free && !at->done && !w->a[i].excused)
		violate(w, i, "a claim was lost to oneself");
}

void check_went(struct world *w, int i, int attempt)
{
	w->runs++;
	if (++w->a[i].went[attempt] > 1)
		violate(w, i, "an attempt passed GO twice");
	if (attempt > 1 && !is_safe(w, i) && !w->a[i].excused)
		violate(w, i, "attempted again, though nothing happened to it and its formula does not allow it");
}

/* What every result must agree with. */
void check_action(struct world *w, int i)
{
	const struct result_text *r = &w->server.now.main[i].result;
	const struct action_world *a = &w->a[i];

	if (!r->there || r->writer < 0)
		return;
	if (!w->server.now.main[i].landed)
		violate(w, i, "a result of something that never landed");
	if ((r->outcome == OUTCOME_SUCCEEDED || r->outcome == OUTCOME_FAILED || r->outcome == OUTCOME_TIMED_OUT) && !a->went[r->attempt])
		violate(w, i, "a result of a run that never was");
	if (r->outcome == OUTCOME_REFUSED && a->went[r->attempt])
		violate(w, i, "refused, but it ran");
	if (r->outcome == OUTCOME_LOST && !a->excused && a->went[r->attempt])
		violate(w, i, "lost, though everything could be read");
	if (r->outcome == OUTCOME_CANCELLED && a->finished[r->attempt] && !a->excused)
		violate(w, i, "cancelled, though it came to its end");
}

bool is_over(const struct world *w, int i)
{
	if (!w->server.now.main[i].result.there || (w->ledger && !w->server.now.ledger[i].done))
		return false;
	for (int k = 0; k < w->n_dispatchers; k++) {
		const struct dispatcher *d = &w->d[k];
		if (d->used && d->alive && d->disk.state[i] && d->disk.state[i][0] == '{' && !disk_says(&d->disk, i, "recorded"))
			return false;
	}
	return true;
}
