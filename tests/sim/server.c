/* The git server: a push is applied only if the branch is where it was when the push was built, and whoever pushed does not always hear of it. */
#include "lib/buf.h"
#include "tests/sim/world.h"

#include <string.h>

static void tree_init(struct tree *t, int n)
{
	*t = (struct tree){.main = xcalloc((size_t)n, sizeof *t->main), .ledger = xcalloc((size_t)n, sizeof *t->ledger)};
}

void tree_free(struct tree *t)
{
	free(t->main);
	free(t->ledger);
	*t = (struct tree){.main = NULL};
}

void server_init(struct server *s, int n)
{
	*s = (struct server){.up = true};
	tree_init(&s->now, n);
}

void server_free(struct server *s)
{
	tree_free(&s->now);
	free(s->log);
	for (int b = 0; b < N_BRANCHES; b++)
		free(s->log_end[b]);
	for (int i = 0; i < s->n_late; i++)
		push_clear(&s->late[i]);
}

void push_add(struct push *p, struct change c)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 4;
		p->v = xrealloc(p->v, (size_t)p->cap * sizeof *p->v);
	}
	p->v[p->n++] = c;
}

void push_clear(struct push *p)
{
	free(p->v);
	*p = (struct push){.branch = MAIN};
}

void push_copy(struct push *to, const struct push *from)
{
	push_clear(to);
	to->branch = from->branch;
	to->base = from->base;
	for (int i = 0; i < from->n; i++)
		push_add(to, from->v[i]);
}

void tree_apply(struct tree *t, const struct push *p)
{
	t->version[p->branch]++;
	for (int i = 0; i < p->n; i++) {
		const struct change *c = &p->v[i];
		if (c->action < 0)
			memcpy(t->lives[c->name], c->life, NONCE);
		else if (p->branch == MAIN)
			t->main[c->action].result = c->result;
		else
			t->ledger[c->action] = c->entry;
		if (p->branch == LEDGER && c->action >= 0 && c->entry.done && c->main_version > t->needs_main)
			t->needs_main = c->main_version;
	}
}

static void log_change(struct server *s, enum branch b, int action)
{
	if (s->n_log == s->cap_log) {
		s->cap_log = s->cap_log ? 2 * s->cap_log : 64;
		s->log = xrealloc(s->log, (size_t)s->cap_log * sizeof *s->log);
	}
	s->log[s->n_log].branch = b;
	s->log[s->n_log++].action = action;
}

static void log_version(struct server *s, enum branch b)
{
	int v = s->now.version[b];

	if (v >= s->cap_versions[b]) {
		s->cap_versions[b] = 2 * v + 64;
		s->log_end[b] = xrealloc(s->log_end[b], (size_t)s->cap_versions[b] * sizeof *s->log_end[b]);
		s->log_end[b][0] = 0;
	}
	s->log_end[b][v] = s->n_log;
}

/* A claim takes the place of another one: only those that may. What makes a push a lock is the server's; who may replace whom is checked here, by the tree. */
static void apply(struct world *w, const struct push *p)
{
	struct server *s = &w->server;

	for (int i = 0; i < p->n; i++) {
		const struct change *c = &p->v[i];
		if (c->action < 0)
			continue;
		if (p->branch == MAIN && s->now.main[c->action].result.there)
			violate(w, c->action, "a result took the place of another one");
		if (p->branch == LEDGER && s->now.ledger[c->action].done)
			violate(w, c->action, "the ledger was written after the action was done");
		if (p->branch == LEDGER && c->entry.done && !s->now.main[c->action].result.there)
			violate(w, c->action, "done in the ledger without a result on the server");
		w->results += p->branch == MAIN;
		log_change(s, p->branch, c->action);
	}
	tree_apply(&s->now, p);
	log_version(s, p->branch);
}

static void direct(struct world *w, int i)
{
	w->server.now.version[MAIN]++;
	log_change(&w->server, MAIN, i);
	log_version(&w->server, MAIN);
}

void server_land(struct world *w, int i)
{
	if (w->server.now.main[i].landed)
		return;
	tell(w, NULL, "lands %s", w->a[i].id);
	w->server.now.main[i].landed = true;
	direct(w, i);
}

void server_cancel(struct world *w, int i)
{
	tell(w, NULL, "CANCELLED BY GIT %s", w->a[i].id);
	w->server.now.main[i].cancelled = true;
	direct(w, i);
}

void server_removes_result(struct world *w, int i)
{
	tell(w, NULL, "somebody removes the result of %s", w->a[i].id);
	w->server.now.main[i].result.there = false;
	w->results--;
	direct(w, i);
}

static bool fits(const struct world *w, const struct push *p)
{
	return p->base == w->server.now.version[p->branch];
}

enum pushed server_push(struct world *w, const struct push *p)
{
	static const char *const names[] = {"main", "ledger"};
	struct server *s = &w->server;
	unsigned dice = w->faults ? (unsigned)(rnd(w) % 100) : 99;

	if (!s->up)
		return chance(w, 50) ? PUSH_LOST : PUSH_UNKNOWN;
	if (dice < 6 && s->n_late < 4) {
		tell(w, NULL, "A PUSH TO %s MAY BE APPLIED LATE", names[p->branch]);
		push_copy(&s->late[s->n_late], p);
		s->n_late++;
		return PUSH_UNKNOWN;
	}
	if (dice < 10)
		return PUSH_UNKNOWN; /* it never arrived */
	if (dice < 14)
		return PUSH_LOST; /* a hook, a protection: whatever the tip */
	if (!fits(w, p))
		return PUSH_LOST;
	apply(w, p);
	if (dice < 20) {
		tell(w, NULL, "A PUSH TO %s IS APPLIED AND NOT ANSWERED", names[p->branch]);
		return PUSH_UNKNOWN;
	}
	return PUSH_WON;
}

void server_applies_late(struct world *w)
{
	struct server *s = &w->server;

	if (s->n_late == 0)
		return;
	int k = pick(w, s->n_late);
	if (fits(w, &s->late[k])) {
		tell(w, NULL, "A LATE PUSH IS APPLIED");
		apply(w, &s->late[k]);
	}
	push_clear(&s->late[k]);
	s->late[k] = s->late[--s->n_late];
	s->late[s->n_late] = (struct push){.branch = MAIN};
}

void server_fetch(const struct server *s, struct tree *view, enum branch b, int n)
{
	int from = view->version[b], to = s->now.version[b];

	if (!view->main)
		tree_init(view, n);
	if (from == to || !view->main || !view->ledger)
		return;
	for (int k = from > 0 ? s->log_end[b][from] : 0; k < s->log_end[b][to]; k++) {
		if (s->log[k].branch != b)
			continue;
		if (b == MAIN)
			view->main[s->log[k].action] = s->now.main[s->log[k].action];
		else
			view->ledger[s->log[k].action] = s->now.ledger[s->log[k].action];
	}
	if (b == LEDGER) {
		memcpy(view->lives, s->now.lives, sizeof view->lives);
		view->needs_main = s->now.needs_main;
	}
	view->version[b] = to;
}
