#include "tests/sim/world.h"
#include "dispatcher/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STORY_STEPS 400   /* with faults */
#define SETTLE_STEPS 6000 /* without: everything must have come to its end by then */

static uint64_t rnd(struct world *w)
{
	/* splitmix64 */
	uint64_t z = (w->rng += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static bool chance(struct world *w, unsigned percent)
{
	return rnd(w) % 100 < percent;
}

static void tell(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	va_start(ap, fmt);
	printf("%6ld ", w->steps);
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
}

static void violate(struct world *w, int action, const char *what)
{
	if (w->violation)
		return;
	w->violation = what;
	w->violated = action;
	tell(w, "VIOLATION %s: %s", action >= 0 ? w->a[action].id : "-", what);
}

static void post(struct world *w, struct queue *q, struct mail m)
{
	if (q->n == MAX_QUEUE)
		violate(w, m.action, "a queue of messages never drains");
	else
		q->v[q->n++] = m;
}

static bool take(struct queue *q, struct mail *ret)
{
	if (q->n == 0)
		return false;
	*ret = q->v[0];
	q->n--;
	memmove(q->v, q->v + 1, (size_t)q->n * sizeof *q->v);
	return true;
}

static int index_of(const struct world *w, const char *id)
{
	for (int i = 0; i < w->n_actions; i++)
		if (strcmp(w->a[i].id, id) == 0)
			return i;
	return -1;
}

/* ---- the core and its effects ---- */

static void crash(struct world *w);
static void carry_out(struct world *w);

static void step(struct world *w, struct event *ev)
{
	ev->mono_ms = w->mono_ms;
	ev->wall_ms = w->wall_ms;
	core_step(w->core, ev, &w->effects);
	if (core_active(w->core) > w->capacity)
		violate(w, -1, "more slots in use than there are");
	carry_out(w);
}

static const char *disk_state(const struct world *w, int i)
{
	const char *s = w->a[i].state ? strstr(w->a[i].state, "\"state\":\"") : NULL;
	return s ? s + strlen("\"state\":\"") : "none";
}

static bool on_disk(const struct world *w, int i, const char *state)
{
	return strncmp(disk_state(w, i), state, strlen(state)) == 0;
}

static void do_journal(struct world *w, struct run *r, enum journal j)
{
	int i = index_of(w, r->id);
	bool ok = !w->disk_full;

	tell(w, "  journal %s %s%s", r->id, journal_name(j), ok ? "" : " FAILS");
	if (ok) {
		if (j == JOURNAL_RESULT)
			w->a[i].disk_result = (int)r->outcome;
		cleanup_json json_t *state = spool_state_json(r, j);
		free(w->a[i].state);
		w->a[i].state = json_dumps(state, JSON_COMPACT);
	}
	post(w, &w->to_core, (struct mail){.what = EV_JOURNALED, .action = i, .ok = ok, .journal = (int)j});
}

/* What must stand on disk before another role is asked for something. */
static void check_announced(struct world *w, const struct effect *e, int i)
{
	if (e->kind == EFFECT_START && !on_disk(w, i, "starting"))
		violate(w, i, "START without `starting` on disk");
	if (e->kind == EFFECT_DECRYPT && w->a[i].container.phase != C_READY && w->a[i].attendance != E_NONE)
		violate(w, i, "DECRYPT before the runner was ready");
	if (e->kind == EFFECT_GO && !on_disk(w, i, "going"))
		violate(w, i, "GO without `going` on disk");
	if (e->kind == EFFECT_RECORD && !on_disk(w, i, "result"))
		violate(w, i, "RECORD without `result` on disk");
	if (e->kind == EFFECT_REMOVE && !on_disk(w, i, "recorded"))
		violate(w, i, "REMOVE before the result is on the server");
}

/* What core sends to a role that has died meanwhile goes nowhere. */
static void send(struct world *w, int role, struct mail m)
{
	if (w->known[role] == w->life[role])
		post(w, &w->to_role[role], m);
}

static bool is_about(const struct mail *m, int role)
{
	return role == ENGINE ? m->role_engine : role == GIT ? m->role_git : m->role_keyring;
}

static void role_begins(struct world *w, int role)
{
	w->to_role[role].n = 0;
	post(w, &w->to_core,
	     (struct mail){.what = EV_ROLE_UP,
	                   .action = -1,
	                   .role_engine = role == ENGINE,
	                   .role_git = role == GIT,
	                   .role_keyring = role == KEYRING,
	                   .life = ++w->life[role]});
}

static void do_effect(struct world *w, const struct effect *e)
{
	static const char *const names[] = {"journal", "start",  "decrypt", "go",      "follow", "halt",
	                                    "kill",    "remove", "claim",   "record", "quit", "changed", "note"};
	int i = e->run ? index_of(w, e->run->id) : -1;

	if (e->kind == EFFECT_CHANGED)
		return;
	if (e->kind == EFFECT_NOTE) {
		tell(w, "  note %s: %s", e->run ? e->run->id : "-", e->text);
		return;
	}
	if (e->kind == EFFECT_JOURNAL) {
		do_journal(w, e->run, e->journal);
		return;
	}
	tell(w, "  -> %s %s", names[e->kind], e->run->id);
	check_announced(w, e, i);
	struct mail m = {.what = (int)e->kind, .action = i};
	send(w, e->kind == EFFECT_RECORD ? GIT : ENGINE, m);
	if (e->kind == EFFECT_DECRYPT) {
		w->a[i].pipe_written = false;
		w->a[i].pipe_dead = w->known[KEYRING] != w->life[KEYRING];
		send(w, KEYRING, m);
	}
}

/* The dispatcher may die between any two effects. */
static void carry_out(struct world *w)
{
	struct effects now = w->effects;

	w->effects = (struct effects){0};
	for (size_t n = 0; n < now.n; n++) {
		if (w->faults && now.v[n].kind != EFFECT_CHANGED && chance(w, 1)) {
			effects_free(&now);
			crash(w);
			return;
		}
		do_effect(w, &now.v[n]);
	}
	effects_free(&now);
}

/* ---- the git role and its server ---- */

static const char formula_text[] = "{\"name\":\"f\",\"steps\":[{\"id\":\"s\",\"run\":\"true\"}]}";

static void announce(struct world *w, int i)
{
	if (w->a[i].landed && !w->a[i].removed && w->a[i].results == 0)
		post(w, &w->to_core, (struct mail){.what = EV_LANDED, .action = i});
}

static void git_begins(struct world *w)
{
	memset(w->git_outbox, 0, sizeof w->git_outbox);
	role_begins(w, GIT);
	for (int i = 0; i < w->n_actions; i++)
		announce(w, i);
}

static void git_hears(struct world *w, const struct mail *m)
{
	w->git_outbox[m->action] = true;
}

/* A push. The answer may be lost with the role; the result then stands there already when it is sent again. */
static void git_pushes(struct world *w, int i)
{
	struct action_world *a = &w->a[i];

	if (!w->server_up || !w->git_outbox[i])
		return;
	if (a->results == 0) {
		a->results = 1;
		a->outcome = (enum outcome)a->disk_result;
		tell(w, "pushed %s: %s", a->id, outcome_name(a->outcome));
	}
	w->git_outbox[i] = false;
	post(w, &w->to_core, (struct mail){.what = EV_RECORDED, .action = i});
}

/* ---- the engine role and its containers ---- */

static void engine_says(struct world *w, enum event_kind what, int i)
{
	post(w, &w->to_core, (struct mail){.what = (int)what, .action = i});
}

static void container_ends(struct container *c)
{
	if (c->phase == C_MADE || c->phase == C_READY) {
		c->has_report = c->not_started = true;
		c->phase = C_EXITED;
	}
}

static void engine_fails(struct world *w, int i)
{
	memset(&w->a[i].container, 0, sizeof w->a[i].container);
	w->a[i].attendance = E_NONE;
	engine_says(w, EV_FAILED, i);
}

static void engine_starts(struct world *w, int i)
{
	struct action_world *a = &w->a[i];

	if (a->container.phase == C_WENT)
		violate(w, i, "START over a container that passed GO");
	a->container = (struct container){.phase = C_MADE, .stdin_open = true, .succeeds = chance(w, 70)};
	a->attendance = E_STARTING;
	if (!w->docker_up || (w->faults && chance(w, 5)))
		engine_fails(w, i);
}

static void engine_goes(struct world *w, int i)
{
	struct action_world *a = &w->a[i];

	if (a->attendance != E_DELIVERED || a->container.phase != C_READY || !a->container.stdin_open)
		return;
	a->container.phase = C_WENT;
	a->container.stdin_open = false;
	a->attendance = E_GOING;
	if (++a->went > 1)
		violate(w, i, "an action passed GO twice");
	tell(w, "GO passed %s", a->id);
}

static void engine_halts(struct world *w, int i)
{
	struct action_world *a = &w->a[i];

	a->halted = true;
	if (a->attendance == E_STARTING || a->attendance == E_READY || a->attendance == E_PIPE || a->attendance == E_DELIVERED)
		engine_fails(w, i);
	else if (a->container.phase == C_WENT)
		a->container.cancelled = true;
}

static void engine_hears(struct world *w, const struct mail *m)
{
	struct action_world *a = &w->a[m->action];

	switch ((enum effect_kind)m->what) {
	case EFFECT_START:
		engine_starts(w, m->action);
		break;
	case EFFECT_DECRYPT:
		if (a->attendance == E_READY)
			a->attendance = E_PIPE;
		break;
	case EFFECT_GO:
		engine_goes(w, m->action);
		break;
	case EFFECT_FOLLOW:
		a->attendance = E_FOLLOWING;
		break;
	case EFFECT_HALT:
	case EFFECT_KILL:
		engine_halts(w, m->action);
		break;
	case EFFECT_REMOVE:
		memset(&a->container, 0, sizeof a->container);
		break;
	default:
		break;
	}
}

static void engine_begins(struct world *w)
{
	for (int i = 0; i < w->n_actions; i++) {
		w->a[i].attendance = E_NONE;
		w->a[i].container.stdin_open = false;
	}
	role_begins(w, ENGINE);
	post(w, &w->to_core, (struct mail){.what = EV_ENGINE, .action = -1, .ok = w->docker_up});
}

/* The steps of a container, and what the engine role sees of them. */
static void container_moves(struct world *w, int i)
{
	struct action_world *a = &w->a[i];
	struct container *c = &a->container;

	if (!c->stdin_open)
		container_ends(c);
	if (c->phase == C_MADE && a->attendance == E_STARTING) {
		c->phase = C_READY;
		a->attendance = E_READY;
		engine_says(w, EV_READY, i);
	} else if (a->attendance == E_PIPE && a->pipe_written) {
		a->attendance = E_DELIVERED;
		engine_says(w, EV_DELIVERED, i);
	} else if (a->attendance == E_PIPE && a->pipe_dead) {
		engine_fails(w, i);
	} else if (w->faults && c->phase == C_READY && a->attendance != E_NONE && chance(w, 5)) {
		tell(w, "DIES BEFORE GO %s", a->id);
		engine_fails(w, i);
	} else if (c->phase == C_WENT) {
		c->phase = C_EXITED;
		c->has_report = true;
		a->went_and_finished = !c->cancelled;
	} else if ((a->attendance == E_GOING || a->attendance == E_FOLLOWING) && (c->phase == C_EXITED || c->phase == C_NONE) &&
	           w->docker_up) {
		a->attendance = E_NONE;
		engine_says(w, EV_EXITED, i);
	}
}

static void keyring_hears(struct world *w, const struct mail *m)
{
	bool damaged = strcmp(w->a[m->action].id, "a-damaged") == 0;

	w->a[m->action].pipe_written = !damaged;
	w->a[m->action].pipe_dead = damaged;
	post(w, &w->to_core, (struct mail){.what = damaged ? EV_NOT_DECRYPTED : EV_DECRYPTED, .action = m->action, .refuse = true});
}

/* ---- the core hears ---- */

static void core_hears_landed(struct world *w, int i, struct event *ev)
{
	struct action action = ACTION_INIT;
	struct formula *formula = xcalloc(1, sizeof *formula);
	cleanup_json json_t *a = json_pack("{s:s, s:s, s:s, s:[]}", "id", w->a[i].id, "formula", "f", "context", "c", "secrets");
	cleanup_json json_t *f = json_loads(formula_text, 0, NULL);
	cleanup_json json_t *secrets = json_object();

	if (action_from_json(w->a[i].id, a, &action, NULL) < 0 || formula_from_json("f", f, formula, NULL) < 0) {
		violate(w, i, "the simulator's own action is refused");
		free(formula);
		return;
	}
	struct landed l = {.commit = "c0",
	                   .action_blob = "b0",
	                   .formula_name = "f",
	                   .formula_blob = "f0",
	                   .action = &action,
	                   .formula = &formula,
	                   .secrets = secrets};
	ev->landed = &l;
	step(w, ev);
	ev->landed = NULL;
	action_free(&action);
	if (formula)
		formula_free(formula);
	free(formula);
}

static void core_hears_exited(struct world *w, int i, struct event *ev)
{
	const struct container *c = &w->a[i].container;
	const char *outcome = c->not_started ? "not_started" : c->cancelled ? "cancelled" : c->succeeds ? "succeeded" : "failed";
	cleanup_json json_t *report = c->has_report ? json_pack("{s:s, s:i}", "outcome", outcome, "exit_code", c->succeeds ? 0 : 7) : NULL;
	struct exited x = {.going = c->has_report && !c->not_started,
	                   .report = report,
	                   .has_exit_code = c->phase == C_EXITED,
	                   .exit_code = c->succeeds ? 0 : 7,
	                   .reason = c->phase == C_NONE ? "the container is not there" : NULL};
	ev->exited = &x;
	step(w, ev);
	ev->exited = NULL;
}

static void core_hears(struct world *w, const struct mail *m)
{
	static const char *const names[] = {"recovered", "landed",        "gone",      "cancel", "recorded",  "journaled", "claimed", "claim_lost", "incarnated", "frozen",
	                                    "decrypted", "not_decrypted", "engine",    "ready",  "delivered", "failed",
	                                    "exited",    "role_up",       "role_down", "stop",   "tick"};
	struct event ev = {.kind = (enum event_kind)m->what,
	                   .id = m->action >= 0 ? w->a[m->action].id : NULL,
	                   .attempt = 1,
	                   .ok = m->ok,
	                   .refuse = m->refuse,
	                   .role_engine = m->role_engine,
	                   .role_git = m->role_git,
	                   .role_keyring = m->role_keyring,
	                   .reason = "simulated",
	                   .container = "cid",
	                   .image = "sha256:0"};

	tell(w, "core hears %s %s", names[m->what], ev.id ? ev.id : "");
	ev.journal = (enum journal)m->journal;
	for (int role = 0; role < 3 && ev.kind == EV_ROLE_UP; role++)
		if (is_about(m, role))
			w->known[role] = m->life;
	if (ev.kind == EV_LANDED)
		core_hears_landed(w, m->action, &ev);
	else if (ev.kind == EV_EXITED)
		core_hears_exited(w, m->action, &ev);
	else
		step(w, &ev);
}

/* ---- faults ---- */

static void begin_life(struct world *w)
{
	struct core_options options = {.capacity = w->capacity, .dispatcher_id = "sim"};

	w->core = core_new(&options);
	for (int i = 0; i < w->n_actions && !w->violation; i++) {
		struct run *r = NULL;
		cleanup_err struct err err = ERR_INIT;
		cleanup_json json_t *state = w->a[i].state ? json_loads(w->a[i].state, 0, NULL) : NULL;
		if (!state)
			continue;
		if (spool_state_parse(w->a[i].id, state, &r, &err) < 0) {
			violate(w, i, "a state that was written can't be read");
			continue;
		}
		struct event ev = {.kind = EV_RECOVERED, .run = r};
		step(w, &ev);
	}
	role_begins(w, KEYRING);
	git_begins(w);
	engine_begins(w);
}

/* kill -9 of everything: each role may have worked off a part of its mail before. */
static void crash(struct world *w)
{
	struct mail m;

	tell(w, "CRASH");
	w->crashes++;
	while (chance(w, 50) && take(&w->to_role[ENGINE], &m))
		engine_hears(w, &m);
	while (chance(w, 50) && take(&w->to_role[GIT], &m))
		git_hears(w, &m);
	for (int i = 0; i < w->n_actions; i++)
		if (chance(w, 30))
			git_pushes(w, i);
	w->to_core.n = 0;
	memset(w->known, 0, sizeof w->known);
	core_free(w->core);
	w->core = NULL;
	effects_free(&w->effects);
	bool faults = w->faults;
	w->faults = false; /* a crash during recovery is another story: the next fault */
	begin_life(w);
	w->faults = faults;
}

static void role_dies(struct world *w, int role)
{
	struct mail down = {.what = EV_ROLE_DOWN, .action = -1, .role_engine = role == 0, .role_git = role == 1, .role_keyring = role == 2};

	tell(w, "ROLE DIES %s", role == 0 ? "engine" : role == 1 ? "git" : "keyring");
	post(w, &w->to_core, down);
	if (role == 0) {
		engine_begins(w);
	} else if (role == 1) {
		git_begins(w);
	} else {
		for (int i = 0; i < w->n_actions; i++)
			w->a[i].pipe_dead |= !w->a[i].pipe_written;
		role_begins(w, KEYRING);
	}
}

static void somebody_meddles(struct world *w, int i)
{
	struct container *c = &w->a[i].container;

	if (c->phase == C_WENT || (c->phase == C_EXITED && w->a[i].results == 0)) {
		tell(w, "REMOVED BY OTHERS %s", w->a[i].id);
		memset(c, 0, sizeof *c);
		w->a[i].vanished = true;
	}
}

static void fault(struct world *w)
{
	int i = (int)(rnd(w) % (unsigned)w->n_actions);

	switch (rnd(w) % 9) {
	case 0:
		crash(w);
		break;
	case 1:
	case 2:
	case 3:
		role_dies(w, (int)(rnd(w) % 3));
		break;
	case 4:
		w->docker_up = !w->docker_up;
		post(w, &w->to_core, (struct mail){.what = EV_ENGINE, .action = -1, .ok = w->docker_up});
		break;
	case 5:
		w->server_up = !w->server_up;
		break;
	case 6:
		w->disk_full = !w->disk_full;
		break;
	case 7:
		if (chance(w, 20))
			somebody_meddles(w, i);
		break;
	case 8:
		if (w->a[i].landed && chance(w, 30))
			post(w, &w->to_core, (struct mail){.what = EV_CANCEL, .action = i});
		break;
	}
}

/* ---- the story ---- */

static void time_passes(struct world *w)
{
	int64_t next = core_next_ms(w->core);
	struct event tick = {.kind = EV_TICK};

	w->mono_ms += 1 + (int64_t)(rnd(w) % 500);
	if (next > w->mono_ms && chance(w, 50))
		w->mono_ms = next;
	w->wall_ms += 100;
	step(w, &tick);
}

static void land(struct world *w)
{
	int i = (int)(rnd(w) % (unsigned)w->n_actions);

	if (w->a[i].landed)
		return;
	w->a[i].landed = true;
	tell(w, "lands %s", w->a[i].id);
	announce(w, i);
}

static void move(struct world *w)
{
	struct mail m;
	int i = (int)(rnd(w) % (unsigned)w->n_actions);

	w->steps++;
	switch (rnd(w) % 8) {
	case 0:
		if (take(&w->to_role[ENGINE], &m))
			engine_hears(w, &m);
		break;
	case 1:
		if (take(&w->to_role[KEYRING], &m))
			keyring_hears(w, &m);
		break;
	case 2:
		if (take(&w->to_role[GIT], &m))
			git_hears(w, &m);
		break;
	case 3:
	case 4:
		if (take(&w->to_core, &m))
			core_hears(w, &m);
		break;
	case 5:
		container_moves(w, i);
		break;
	case 6:
		git_pushes(w, i);
		break;
	case 7:
		time_passes(w);
		break;
	}
}

/* What every result must agree with. */
static void check_result(struct world *w, int i)
{
	const struct action_world *a = &w->a[i];

	if (a->results == 0)
		return;
	if (!a->landed)
		violate(w, i, "a result of something that never landed");
	if ((a->outcome == OUTCOME_SUCCEEDED || a->outcome == OUTCOME_FAILED || a->outcome == OUTCOME_TIMED_OUT) && !a->went)
		violate(w, i, "a result of a run that never was");
	if (a->outcome == OUTCOME_REFUSED && a->went)
		violate(w, i, "refused, but it ran");
	if (a->outcome == OUTCOME_LOST && !a->vanished && a->went)
		violate(w, i, "lost, though everything could be read");
	if (a->outcome == OUTCOME_CANCELLED && a->went_and_finished && !a->vanished)
		violate(w, i, "cancelled, though it came to its end");
}

static bool all_done(const struct world *w)
{
	for (int i = 0; i < w->n_actions; i++)
		if (w->a[i].results == 0 || !w->a[i].state || !on_disk(w, i, "recorded"))
			return false;
	return true;
}

static void settle(struct world *w)
{
	w->faults = w->disk_full = false;
	w->server_up = true;
	if (!w->docker_up)
		post(w, &w->to_core, (struct mail){.what = EV_ENGINE, .action = -1, .ok = true});
	w->docker_up = true;
	for (int i = 0; i < w->n_actions; i++)
		if (!w->a[i].landed) {
			w->a[i].landed = true;
			announce(w, i);
		}
	for (long n = 0; n < SETTLE_STEPS && !w->violation && !all_done(w); n++) {
		move(w);
		for (int i = 0; i < w->n_actions; i++)
			check_result(w, i);
	}
	for (int i = 0; i < w->n_actions && !w->violation; i++) {
		if (w->a[i].results == 0)
			violate(w, i, "no result, though all faults have stopped");
		else if (!on_disk(w, i, "recorded"))
			violate(w, i, "its result is on the server, and it never hears of it");
	}
}

static void world_init(struct world *w, uint64_t seed, bool verbose)
{
	memset(w, 0, sizeof *w);
	w->seed = w->rng = seed;
	w->verbose = verbose;
	w->mono_ms = 1000;
	w->wall_ms = 1774951200000;
	w->n_actions = 1 + (int)(rnd(w) % MAX_ACTIONS);
	w->capacity = 1 + (int)(rnd(w) % 3);
	w->docker_up = w->server_up = true;
	for (int i = 0; i < w->n_actions; i++) {
		snprintf(w->a[i].id, sizeof w->a[i].id, i == 5 ? "a-damaged" : "a-%d", i);
		w->a[i].disk_result = -1;
	}
}

static void world_free(struct world *w)
{
	core_free(w->core);
	effects_free(&w->effects);
	for (int i = 0; i < w->n_actions; i++)
		free(w->a[i].state);
}

const char *world_run(struct world *w, uint64_t seed, bool verbose)
{
	world_init(w, seed, verbose);
	begin_life(w);
	w->faults = true;
	for (long n = 0; n < STORY_STEPS && !w->violation; n++) {
		if (chance(w, 3))
			land(w);
		if (chance(w, 2))
			fault(w);
		else
			move(w);
		for (int i = 0; i < w->n_actions; i++)
			check_result(w, i);
	}
	settle(w);
	world_free(w);
	return w->violation;
}
