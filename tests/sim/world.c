/* The story: who moves, what goes wrong when, and the settling at the end. */
#include "tests/sim/world.h"
#include "lib/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SETTLE_STEPS 20000 /* for each dispatcher and started eight actions: without faults everything must have come to its end by then */

/* ---- dice, messages, telling ---- */

static uint64_t mix(uint64_t z)
{
	/* splitmix64 */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t rnd(struct world *w)
{
	return mix(w->rng += 0x9e3779b97f4a7c15u);
}

bool chance(struct world *w, unsigned percent)
{
	return rnd(w) % 100 < percent;
}

int pick(struct world *w, int n)
{
	return (int)(rnd(w) % (unsigned)n);
}

void tell(const struct world *w, const struct dispatcher *d, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%6ld %9.3f ", w->steps, (double)w->mono_ms / 1000);
	if (d)
		printf("%c(%s) ", (char)('A' + (d - w->d)), d->id);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void violate(struct world *w, int action, const char *what)
{
	if (w->violation)
		return;
	w->violation = what;
	w->violated = action;
	tell(w, NULL, "VIOLATION %s: %s", action >= 0 ? w->a[action].id : "-", what);
}

void fresh(struct world *w, char ret[static NONCE])
{
	snprintf(ret, NONCE, "i%llu", (unsigned long long)++w->serial);
}

void mail_free(struct mail *m)
{
	json_decref(m->mine);
	m->mine = NULL;
}

void post(struct world *w, struct queue *q, struct mail m)
{
	if (q->n == q->cap) {
		struct mail *v = xcalloc((size_t)q->cap * 2 + 16, sizeof *v);
		for (int k = 0; k < q->n; k++)
			v[k] = q->v[(q->head + k) % q->cap];
		free(q->v);
		q->v = v;
		q->head = 0;
		q->cap = q->cap * 2 + 16;
	}
	if (q->n > 400 + 4 * w->n_actions) {
		violate(w, m.action, "a queue of messages never drains");
		mail_free(&m);
		return;
	}
	q->v[(q->head + q->n++) % q->cap] = m;
}

bool take(struct queue *q, struct mail *ret)
{
	if (q->n == 0)
		return false;
	*ret = q->v[q->head];
	q->head = (q->head + 1) % q->cap;
	q->n--;
	return true;
}

void queue_clear(struct queue *q)
{
	struct mail m;

	while (take(q, &m))
		mail_free(&m);
}

/* Only what the git server does: nothing dies, so each action must run exactly once. */
static void fault_of_server(struct world *w)
{
	w->server.up = !w->server.up || chance(w, 70);
}

/* ---- who moves ---- */

static void time_passes(struct world *w, struct dispatcher *d)
{
	w->mono_ms += 1 + (int64_t)(rnd(w) % 500);
	w->wall_ms += 100;
	if (w->n_actions > 64 && !chance(w, 5))
		return; /* a look at each of many actions takes long */
	int64_t next = core_next_ms(d->core);
	if (next > w->mono_ms && next < w->mono_ms + 70000 && chance(w, 20))
		w->mono_ms = next;
	else if (next > w->mono_ms && w->faults && chance(w, 1))
		w->mono_ms = next;
	core_ticks(w, d);
}

/* Any of few; of many, one of those that are under way. */
static int some_container(struct world *w, struct dispatcher *d)
{
	const struct run *r, *found[16];
	int n = 0, looked = 0;

	if (w->n_actions <= 64)
		return pick(w, w->n_actions);
	TAILQ_FOREACH (r, core_open_runs(d->core), link) {
		if (r->state >= RUN_STARTING && r->state <= RUN_GOING)
			found[n++] = r;
		if (n == 16 || ++looked == 256)
			break;
	}
	return n ? index_of(w, found[pick(w, n)]->id) : 0;
}

static void move(struct world *w, struct dispatcher *d)
{
	struct mail m;

	switch (rnd(w) % 8) {
	case 0:
		if (take(&d->to_role[ENGINE], &m))
			engine_hears(w, d, &m);
		break;
	case 1:
		if (take(&d->to_role[KEYRING], &m))
			keyring_hears(w, d, &m);
		break;
	case 2:
		if (take(&d->to_role[GIT], &m)) {
			git_hears(w, d, &m);
			mail_free(&m);
		}
		git_moves(w, d);
		break;
	case 3:
	case 4:
		if (take(&d->to_core, &m))
			core_hears(w, d, &m);
		break;
	case 5:
		container_moves(w, d, some_container(w, d));
		break;
	case 6:
		git_moves(w, d);
		break;
	default:
		time_passes(w, d);
		break;
	}
}

static struct dispatcher *anybody(struct world *w)
{
	struct dispatcher *d = &w->d[pick(w, w->n_dispatchers)];

	return d->used && d->alive ? d : NULL;
}

/* One step: the dice depend on its number only. */
static void one_step(struct world *w)
{
	w->steps++;
	w->rng = mix(w->plan.seed) ^ mix((uint64_t)w->steps * 0xd1342543de82ef95u);
	struct dispatcher *d = anybody(w);
	bool wrong = w->faults && chance(w, 2);
	long number = wrong ? w->n_faults++ : 0;
	bool left_out = wrong && w->plan.skip && number < SKIP_WORDS * 64 && (w->plan.skip[number / 64] >> (number % 64) & 1);

	if (wrong && w->plan.server_faults_only)
		fault_of_server(w);
	else if (wrong && d && !left_out)
		fault(w, d);
	else if (!wrong && d && !d->paused)
		move(w, d);
	if (w->faults && chance(w, 3))
		server_applies_late(w);
	for (int k = 0; k < w->n_dispatchers; k++) {
		if (w->d[k].used && w->d[k].dying)
			crash(w, &w->d[k]);
		else if (w->d[k].used && w->d[k].core && !w->d[k].alive)
			end_life(&w->d[k]);
	}
	if (w->n_actions <= 64)
		for (int i = 0; i < w->n_actions; i++)
			check_action(w, i);
}

/* ---- the settling ---- */

static bool is_being_finished(const struct world *w, int i)
{
	for (int k = 0; k < w->n_dispatchers; k++)
		for (int o = 0; w->d[k].used && w->d[k].alive && o < w->d[k].git.n_out; o++)
			if (w->d[k].git.out[o].action == i && w->d[k].git.out[o].on_main)
				return true;
	return w->server.n_late > 0;
}

static int n_alive(const struct world *w)
{
	int n = 0;

	for (int k = 0; k < w->n_dispatchers; k++)
		n += w->d[k].used && w->d[k].alive;
	return n;
}

static struct dispatcher *holder_of(struct world *w, int i)
{
	for (int k = 0; k < w->n_dispatchers; k++)
		if (w->d[k].used && holds_claim(w, &w->d[k], i))
			return &w->d[k];
	return NULL;
}

/* A result keeps the holder of the claim from going on. */
static bool is_in_the_way(const struct world *w, const struct dispatcher *holder, int i)
{
	const struct result_text *there = &w->server.now.main[i].result;
	const struct run *r = core_find(holder->core, w->a[i].id);

	if (!there->there || !r->won || is_being_finished(w, i))
		return false;
	return r->state == RUN_WAITING || (r->state == RUN_RECORDING && !is_of_claim(there, &w->server.now.ledger[i], holder->name));
}

/* What no dispatcher that lives will ever end is a human's to decide. */
static void operator_settles(struct world *w)
{
	int i = pick(w, w->n_actions);
	struct dispatcher *d = anybody(w);
	const struct on_ledger *at = &w->server.now.ledger[i];

	if (n_alive(w) == 0)
		spool_is_lost(w, &w->d[0]); /* its old spool was refused: it is given a new one */
	if (w->ledger && d && !at->claimed && d->disk.state[i] && d->disk.state[i][0] != '{') {
		tell(w, d, "somebody removes the damaged state of %s",
		     w->a[i].id); /* nobody ever claimed it, so there is nothing to settle */
		end_life(d);
		free(d->disk.state[i]);
		d->disk.state[i] = NULL;
		begin_life(w, d);
		return;
	}
	if (!w->ledger || !d || !at->claimed || at->done || (at->free && !w->server.now.main[i].result.there))
		return;
	struct dispatcher *holder = holder_of(w, i);
	if (holder && !is_in_the_way(w, holder, i))
		return;
	bool refuses = holder && core_find(holder->core, w->a[i].id)->state == RUN_RECORDING; /* "its result is on the way" */
	if (refuses && n_alive(w) == 1) {
		server_removes_result(w, i); /* "a result that no dispatcher recorded stands there; remove it" */
		return;
	}
	w->a[i].excused = true;
	if (!holder)
		core_settles(w, d, i, at->attempt < 3 && chance(w, 30));
	else if (d != holder || !refuses)
		core_settles(w, d, i, false); /* it is accepted as it stands */
}

static bool is_all_over(const struct world *w)
{
	for (int i = 0; i < w->n_actions; i++)
		if (!is_over(w, i))
			return false;
	return true;
}

static void stop_faults(struct world *w)
{
	tell(w, NULL, "NOTHING GOES WRONG ANY MORE");
	w->faults = false;
	w->server.up = true;
	while (w->server.n_late > 0)
		server_applies_late(w);
	for (int k = 0; k < w->n_dispatchers; k++) {
		struct dispatcher *d = &w->d[k];
		if (d->used && d->alive && !d->docker_up)
			post(w, &d->to_core, (struct mail){.what = EV_ENGINE, .action = -1, .ok = true});
		d->docker_up = true;
		d->disk.full = d->paused = false;
	}
	for (int i = 0; i < w->n_actions; i++)
		server_land(w, i);
}

static void settle(struct world *w)
{
	long most = SETTLE_STEPS * (long)(w->n_dispatchers + 1) * (w->n_actions / 8 + 1);

	stop_faults(w);
	for (long n = 0; n < most && !w->violation; n++) {
		one_step(w);
		if (n % 16 == 0)
			operator_settles(w);
		if (n % (w->n_actions > 64 ? 4096 : 16) == 0 && is_all_over(w))
			break;
	}
	for (int i = 0; i < w->n_actions && !w->violation; i++) {
		check_action(w, i);
		if (!w->server.now.main[i].result.there)
			violate(w, i, "no result, though all faults have stopped");
		else if (w->ledger && !w->server.now.ledger[i].done)
			violate(w, i, "its result is on the server and never in the ledger");
		else if (!is_over(w, i))
			violate(w, i, "its result is on the server, and a dispatcher never learns it");
	}
}

/* ---- a world ---- */

static void world_init(struct world *w, const struct plan *plan, bool verbose)
{
	memset(w, 0, sizeof *w);
	w->plan = *plan;
	w->rng = plan->seed;
	w->verbose = verbose;
	w->mono_ms = 1000;
	w->wall_ms = 1774951200000;
	int actions = 1 + pick(w, 6), dispatchers = chance(w, 30) ? 1 : chance(w, 80) ? 2 + pick(w, 2) : 4 + pick(w, 5);
	w->ledger = dispatchers > 1 || chance(w, 60);
	w->capacity = 1 + pick(w, 3);
	w->n_actions = plan->actions ? plan->actions : actions;
	w->n_dispatchers = plan->dispatchers ? plan->dispatchers : dispatchers;
	w->ledger |= w->n_dispatchers > 1;
	w->a = xcalloc((size_t)w->n_actions, sizeof *w->a);
	for (int i = 0; i < w->n_actions; i++)
		snprintf(w->a[i].id, sizeof w->a[i].id, "a-%d", i);
	server_init(&w->server, w->n_actions);
	for (int k = 0; k < w->n_dispatchers; k++) {
		dispatcher_init(w, &w->d[k], w->n_names++, w->n_lineages++);
		begin_life(w, &w->d[k]);
	}
}

static void world_free(struct world *w)
{
	for (int k = 0; k < DISPATCHERS_MAX; k++)
		if (w->d[k].used)
			dispatcher_free(w, &w->d[k]);
	server_free(&w->server);
	free(w->a);
	w->a = NULL;
}

const char *world_run(struct world *w, const struct plan *plan, bool verbose)
{
	world_init(w, plan, verbose);
	long steps = plan->steps ? plan->steps : 300 + 150 * w->n_dispatchers;
	w->faults = true;
	for (long n = 0; n < steps && !w->violation; n++) {
		if (n % 32 == 0 || w->n_actions > 64)
			server_land(w, w->n_actions > 64 ? (int)(n % w->n_actions)
			                                 : (int)(mix(plan->seed ^ (uint64_t)n) % (unsigned)w->n_actions));
		one_step(w);
	}
	if (!w->violation)
		settle(w);
	world_free(w);
	return w->violation;
}
