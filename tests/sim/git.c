/*
 * The git role: a small model of dispatcher/git. It polls and announces; it wins claims and records results, by pushes whose ends it does not always hear of;
 * and it believes nothing but what it has read.
 */
#include "lib/buf.h"
#include "tests/sim/world.h"

#include <string.h>

void git_init(struct git_role *g, int n)
{
	*g = (struct git_role){.rerun = -1};
	g->announced = xcalloc((size_t)n, sizeof *g->announced);
	g->said_wait = xcalloc((size_t)n, sizeof *g->said_wait);
	g->said_cancel = xcalloc((size_t)n, sizeof *g->said_cancel);
}

void git_free(struct git_role *g)
{
	for (int k = g->n_claims - 1; k >= 0; k--)
		json_decref(g->claims[k].mine);
	free(g->claims);
	free(g->out);
	free(g->announced);
	free(g->said_wait);
	free(g->said_cancel);
	tree_free(&g->view);
	for (int b = 0; b < N_BRANCHES; b++)
		push_clear(&g->doubt[b]);
	*g = (struct git_role){.rerun = -1};
}

void git_begins(struct world *w, struct dispatcher *d)
{
	git_free(&d->git);
	git_init(&d->git, w->n_actions);
	role_begins(w, d, GIT);
}

static void say(struct world *w, struct dispatcher *d, struct mail m)
{
	post(w, &d->to_core, m);
}

/* ---- what core asks for ---- */

static void drop_claim(struct git_role *g, int k)
{
	json_decref(g->claims[k].mine);
	g->claims[k] = g->claims[--g->n_claims];
}

static void hear_claim(struct git_role *g, struct mail *m)
{
	for (int k = g->n_claims - 1; k >= 0; k--)
		if (g->claims[k].action == m->action)
			drop_claim(g, k);
	if (g->n_claims == g->cap_claims) {
		g->cap_claims = g->cap_claims ? 2 * g->cap_claims : 4;
		g->claims = xrealloc(g->claims, (size_t)g->cap_claims * sizeof *g->claims);
	}
	struct waiting_claim *c = &g->claims[g->n_claims++];
	*c = (struct waiting_claim){.action = m->action, .attempt = m->attempt, .mine = m->mine};
	memcpy(c->nonce, m->nonce, NONCE);
	m->mine = NULL;
}

static struct outgoing *hear_record(struct git_role *g, int i, const struct result_text *result)
{
	for (int k = 0; k < g->n_out; k++)
		if (g->out[k].action == i && g->out[k].result.digest == result->digest)
			return &g->out[k];
	if (g->n_out == g->cap_out) {
		g->cap_out = g->cap_out ? 2 * g->cap_out : 4;
		g->out = xrealloc(g->out, (size_t)g->cap_out * sizeof *g->out);
	}
	g->out[g->n_out] = (struct outgoing){.action = i, .result = *result};
	return &g->out[g->n_out++];
}

static bool is_going_out(const struct git_role *g, int i)
{
	for (int k = g->n_out - 1; k >= 0; k--)
		if (g->out[k].action == i)
			return true;
	return false;
}

/* A result under another claim than this one. */
static bool is_settled(const struct git_role *g, const struct waiting_claim *c)
{
	for (int k = g->n_out - 1; k >= 0; k--)
		if (g->out[k].action == c->action && strcmp(g->out[k].result.nonce, c->nonce) != 0)
			return true;
	return false;
}

/*
 * An operator: refused where no claim stands, or it is done. Where whoever had the claim came as far as the result, and not to the done entry, only that
 * is left to be written.
 */
static void hear_decision(struct world *w, struct dispatcher *d, const struct mail *m)
{
	struct git_role *g = &d->git;
	int i = m->action;
	const struct on_ledger *at = &g->view.ledger[i];

	if (!g->view.main || at->done || !at->claimed || is_going_out(g, i))
		return;
	const struct result_text *there = &g->view.main[i].result;
	if (at->free && !there->there)
		return;
	tell(w, d, "settles %s as %s", w->a[i].id, m->what == TO_GIT_LOST ? "lost" : "rerun");
	if (m->what == TO_GIT_RERUN) {
		g->rerun = there->there ? -1 : i;
		return;
	}
	struct result_text lost = {
	    .there = true, .digest = ++w->serial, .outcome = OUTCOME_LOST, .attempt = at->attempt, .writer = -1, .name = d->name};
	memcpy(lost.nonce, at->nonce, NONCE);
	hear_record(g, i, there->there ? there : &lost)->silent = true;
}

void git_hears(struct world *w, struct dispatcher *d, struct mail *m)
{
	if (m->what == TO_GIT_REMEMBERED)
		d->git.told = true;
	else if (m->what == EFFECT_CLAIM)
		hear_claim(&d->git, m);
	else if (m->what == EFFECT_RECORD)
		hear_record(&d->git, m->action, &m->result);
	else
		hear_decision(w, d, m);
}

/* ---- polling ---- */

static void look_at(struct world *w, struct dispatcher *d, int i)
{
	struct git_role *g = &d->git;
	const struct on_main *m = &g->view.main[i];
	const struct on_ledger *l = &g->view.ledger[i];
	bool others = l->claimed && !l->free && l->name != d->name;

	if (m->cancelled && !g->said_cancel[i] && !m->result.there) {
		g->said_cancel[i] = true;
		say(w, d, (struct mail){.what = EV_CANCEL, .action = i});
	}
	if (!m->landed || is_going_out(g, i))
		return;
	if (m->result.there || l->done || others) {
		if (g->announced[i])
			say(w, d, (struct mail){.what = EV_GONE, .action = i, .ok = true});
		g->announced[i] = 0;
		return;
	}
	int attempt = l->claimed ? l->attempt : 1;
	bool frozen = w->faults && is_slow_to_judge(w, i) && chance(w, 10); /* policy is, for a while */
	if (g->announced[i] == attempt && !g->said_wait[i] && !frozen)
		return;
	bool wait = frozen || (is_slow_to_judge(w, i) && chance(w, 50));
	g->announced[i] = attempt;
	g->said_wait[i] = wait; /* what waits is judged again later */
	bool claimed = l->claimed && !l->free;
	say(w, d,
	    (struct mail){.what = EV_LANDED, .action = i, .attempt = attempt, .ok = claimed, .refuse = is_refused(w, i), .wait = wait});
}

/* Now and then nobody sees them, so that two may believe that they are alone. */
static void look_for_others(struct world *w, struct dispatcher *d)
{
	bool any = false;

	for (int name = 0; name < NAMES_MAX; name++)
		any |= name != d->name && d->git.view.lives[name][0];
	if (any && chance(w, 50))
		say(w, d, (struct mail){.what = EV_COMPANY, .action = -1});
}

static void poll(struct world *w, struct dispatcher *d)
{
	struct git_role *g = &d->git;
	const struct server *s = &w->server;

	if (!s->up)
		return;
	if (w->ledger)
		server_fetch(s, &g->view, LEDGER, w->n_actions);
	if (g->scanned[LEDGER] != g->view.version[LEDGER])
		look_for_others(w, d);
	if (!w->faults || !chance(w, 10))
		server_fetch(s, &g->view, MAIN, w->n_actions);
	if (g->view.version[MAIN] == 0)
		return;
	for (int b = 0; b < N_BRANCHES; b++) {
		int from = g->scanned[b], to = g->view.version[b];
		for (int k = from > 0 ? s->log_end[b][from] : 0; to > from && k < s->log_end[b][to]; k++)
			if ((int)s->log[k].branch == b)
				look_at(w, d, s->log[k].action);
		g->scanned[b] = to;
	}
	for (int i = 0; i < w->n_actions && i < 8; i++)
		if (is_slow_to_judge(w, i))
			look_at(w, d, i);
}

/* ---- pushing ---- */

static void drop_out(struct git_role *g, int k)
{
	g->out[k] = g->out[--g->n_out];
}

static void superseded(struct world *w, struct dispatcher *d, int k)
{
	struct git_role *g = &d->git;

	if (!g->out[k].silent)
		say(w, d, (struct mail){.what = EV_GONE, .action = g->out[k].action, .ok = true});
	int i = g->out[k].action;
	g->announced[i] = 0;
	drop_out(g, k);
	look_at(w, d, i); /* it may be free for another attempt */
}

static void finished(struct world *w, struct dispatcher *d, int k)
{
	struct git_role *g = &d->git;

	if (!g->out[k].silent)
		say(w, d, (struct mail){.what = EV_RECORDED, .action = g->out[k].action});
	g->announced[g->out[k].action] = 0;
	drop_out(g, k);
}

static void on_main(struct world *w, struct dispatcher *d, int k)
{
	d->git.out[k].on_main = true;
	if (!w->ledger)
		finished(w, d, k);
}

static void claimed(struct world *w, struct dispatcher *d, int k)
{
	const struct waiting_claim *c = &d->git.claims[k];
	struct mail m = {.what = EV_CLAIMED, .action = c->action, .attempt = c->attempt};

	memcpy(m.nonce, c->nonce, NONCE);
	say(w, d, m);
	drop_claim(&d->git, k);
}

static void claim_lost(struct world *w, struct dispatcher *d, int k, bool finished)
{
	const struct waiting_claim *c = &d->git.claims[k];
	struct mail m = {.what = EV_CLAIM_LOST, .action = c->action, .attempt = c->attempt, .ok = finished};

	memcpy(m.nonce, c->nonce, NONCE);
	say(w, d, m);
	d->git.announced[c->action] = 0;
	drop_claim(&d->git, k);
}

static void incarnated(struct world *w, struct dispatcher *d)
{
	if (!d->git.incarnated)
		say(w, d, (struct mail){.what = EV_INCARNATED, .action = -1, .ok = true});
	d->git.incarnated = true;
}

/* Our commit stands on the server. */
static void won(struct world *w, struct dispatcher *d, const struct push *p)
{
	struct git_role *g = &d->git;

	for (int c = 0; c < p->n; c++) {
		if (p->v[c].action < 0)
			incarnated(w, d);
		for (int k = g->n_claims - 1; p->branch == LEDGER && k >= 0; k--)
			if (g->claims[k].action == p->v[c].action && strcmp(g->claims[k].nonce, p->v[c].entry.nonce) == 0)
				claimed(w, d, k);
		for (int k = g->n_out - 1; k >= 0; k--) {
			if (g->out[k].action != p->v[c].action)
				continue;
			if (p->branch == MAIN && g->out[k].result.digest == p->v[c].result.digest)
				on_main(w, d, k);
			else if (p->branch == LEDGER && p->v[c].entry.done && g->out[k].result.digest == p->v[c].entry.digest)
				finished(w, d, k);
		}
	}
}

static void push(struct world *w, struct dispatcher *d, struct push *p)
{
	struct git_role *g = &d->git;

	switch (server_push(w, p)) {
	case PUSH_WON:
		g->in_doubt[p->branch] = false;
		tree_apply(&g->view, p);
		won(w, d, p);
		break;
	case PUSH_UNKNOWN:
		if (p != &g->doubt[p->branch])
			push_copy(&g->doubt[p->branch], p);
		g->in_doubt[p->branch] = true;
		break;
	case PUSH_LOST:
	default:
		g->in_doubt[p->branch] = false;
		break;
	}
}

/* A push that nobody answered is made again while the branch stands where it stood. True: that was done. */
static bool settle_doubt(struct world *w, struct dispatcher *d, enum branch b)
{
	struct git_role *g = &d->git;

	if (!g->in_doubt[b])
		return false;
	server_fetch(&w->server, &g->view, b, w->n_actions);
	if (g->view.version[b] == g->doubt[b].base) {
		push(w, d, &g->doubt[b]);
		return true;
	}
	g->in_doubt[b] = false;
	return false;
}

/* ---- the ledger ---- */

static bool is_former(const struct self *s, const char *incarnation)
{
	for (int i = 0; i < s->n_former; i++)
		if (strcmp(s->former[i], incarnation) == 0)
			return true;
	return false;
}

/* False: a stranger's life stands in the place of ours. */
static bool look_at_life(struct world *w, struct dispatcher *d, struct push *p)
{
	struct git_role *g = &d->git;
	const char *at = g->view.lives[d->name];

	if (strcmp(at, d->self.incarnation) == 0) {
		incarnated(w, d);
		return true;
	}
	if (!g->incarnated && (!at[0] || d->self.n_former == 0 || is_former(&d->self, at))) {
		struct change c = {.action = -1, .name = d->name};
		memcpy(c.life, d->self.incarnation, NONCE);
		push_add(p, c);
		return true;
	}
	if (!g->stranger)
		say(w, d, (struct mail){.what = EV_INCARNATED, .action = -1, .ok = false});
	g->stranger = true;
	return false;
}

static bool is_mine(const struct waiting_claim *c, const char *nonce)
{
	size_t k;
	json_t *one;

	json_array_foreach (c->mine, k, one)
		if (strcmp(json_string_value(one), nonce) == 0)
			return true;
	return false;
}

static bool may_take(const struct waiting_claim *c, const struct on_ledger *at)
{
	if (!at->claimed)
		return true;
	if (at->free)
		return at->attempt == c->attempt;
	return is_mine(c, at->nonce) && at->attempt <= c->attempt;
}

bool is_of_claim(const struct result_text *r, const struct on_ledger *at, int name)
{
	return r->there && (r->name == name || strcmp(r->nonce, at->nonce) == 0);
}

static void finish_standing(struct git_role *g, int i)
{
	struct outgoing *o = hear_record(g, i, &g->view.main[i].result);

	o->on_main = o->silent = true;
}

static void look_at_claims(struct world *w, struct dispatcher *d, struct push *p)
{
	struct git_role *g = &d->git;

	for (int k = g->n_claims - 1; k >= 0; k--) {
		const struct waiting_claim *c = &g->claims[k];
		const struct on_ledger *at = &g->view.ledger[c->action];
		const struct result_text *there = &g->view.main[c->action].result;
		if (is_settled(g, c)) {
			continue; /* what an operator said is on its way */
		} else if (!at->done && at->claimed && is_of_claim(there, at, d->name) && strcmp(there->nonce, c->nonce) != 0) {
			/* Another life of ours, or an operator, came as far as the result: only the done entry is missing. */
			finish_standing(g, c->action);
			claim_lost(w, d, k, false);
		} else if (!at->done && at->claimed && !at->free && strcmp(at->nonce, c->nonce) == 0) {
			claimed(w, d, k);
		} else if (at->done || !may_take(c, at)) {
			claim_lost(w, d, k, at->done);
		} else {
			struct change change = {.action = c->action, .entry = {.claimed = true, .attempt = c->attempt, .name = d->name}};
			memcpy(change.entry.nonce, c->nonce, NONCE);
			push_add(p, change);
		}
	}
}

static void look_at_finished(struct world *w, struct dispatcher *d, struct push *p)
{
	struct git_role *g = &d->git;

	for (int k = g->n_out - 1; k >= 0; k--) {
		const struct outgoing *o = &g->out[k];
		const struct on_ledger *at = &g->view.ledger[o->action];
		if (!o->on_main)
			continue;
		if (at->done && at->digest == o->result.digest) {
			finished(w, d, k);
		} else if (at->done) {
			superseded(w, d, k);
		} else {
			struct change c = {.action = o->action, .entry = *at, .main_version = g->view.version[MAIN]};
			c.entry.claimed = c.entry.done = true;
			c.entry.digest = o->result.digest;
			push_add(p, c);
		}
	}
}

static void look_at_rerun(struct dispatcher *d, struct push *p)
{
	struct git_role *g = &d->git;
	int i = g->rerun;

	g->rerun = -1;
	if (i < 0 || g->view.ledger[i].done || g->view.ledger[i].free || !g->view.ledger[i].claimed || g->view.main[i].result.there)
		return;
	for (int k = 0; k < p->n; k++)
		if (p->v[k].action == i)
			return; /* something else is written about it just now */
	struct change c = {.action = i, .entry = g->view.ledger[i]};
	c.entry.free = true;
	c.entry.attempt++;
	push_add(p, c);
}

static void flush_ledger(struct world *w, struct dispatcher *d)
{
	struct git_role *g = &d->git;
	struct push p = {.branch = LEDGER};

	if (!w->server.up || g->stranger || settle_doubt(w, d, LEDGER))
		return;
	if (g->n_claims == 0 && g->n_out == 0 && g->rerun < 0 && g->incarnated)
		return;
	server_fetch(&w->server, &g->view, LEDGER, w->n_actions);
	if (g->view.version[MAIN] < g->view.needs_main || !g->view.version[MAIN])
		server_fetch(&w->server, &g->view, MAIN, w->n_actions);
	if (look_at_life(w, d, &p)) {
		look_at_claims(w, d, &p);
		look_at_finished(w, d, &p);
		look_at_rerun(d, &p);
		p.base = g->view.version[LEDGER];
		if (p.n > 0)
			push(w, d, &p);
	}
	push_clear(&p);
}

/* ---- results ---- */

static void flush_main(struct world *w, struct dispatcher *d)
{
	struct git_role *g = &d->git;
	struct push p = {.branch = MAIN};

	if (!w->server.up || g->stranger || g->n_out == 0 || settle_doubt(w, d, MAIN))
		return;
	if (!g->view.version[MAIN] || chance(w, 60))
		server_fetch(&w->server, &g->view, MAIN, w->n_actions);
	for (int k = g->n_out - 1; k >= 0; k--) {
		const struct outgoing *o = &g->out[k];
		const struct result_text *at = &g->view.main[o->action].result;
		const struct on_ledger *l = &g->view.ledger[o->action];
		int at_action = o->action;
		if (o->on_main)
			continue;
		if (at->there && at->digest == o->result.digest) {
			on_main(w, d, k);
		} else if (l->claimed && (l->free || strcmp(l->nonce, o->result.nonce) != 0)) {
			superseded(w, d, k); /* a human gave the claim to somebody else: too late */
		} else if (at->there && w->ledger && !l->done) {
			if (!is_of_claim(at, l, d->name))
				continue; /* a stranger's: a human has to look at it */
			superseded(w, d, k);
			finish_standing(g, at_action);
		} else if (at->there) {
			superseded(w, d, k);
		} else {
			push_add(&p, (struct change){.action = o->action, .result = o->result});
		}
	}
	p.base = g->view.version[MAIN];
	if (p.n > 0)
		push(w, d, &p);
	push_clear(&p);
}

void git_moves(struct world *w, struct dispatcher *d)
{
	if (!d->git.told)
		return;
	switch (rnd(w) % 4) {
	case 0:
		poll(w, d);
		break;
	case 1:
		flush_main(w, d);
		break;
	default:
		if (w->ledger)
			flush_ledger(w, d);
		break;
	}
}
