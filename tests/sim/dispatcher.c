/* The core role around the real core: effects are carried out, messages become events, lives begin and end. */
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

void dispatcher_init(struct world *w, struct dispatcher *d, int name, int lineage)
{
	*d = (struct dispatcher){.used = true, .name = name, .lineage = lineage, .docker_up = true};
	snprintf(d->id, sizeof d->id, "d%d", name);
	disk_init(&d->disk, w->n_actions);
	git_init(&d->git, w->n_actions);
	d->attended = xcalloc((size_t)w->n_actions, sizeof *d->attended);
	d->held = xcalloc((size_t)w->n_actions, sizeof *d->held);
	d->told = xcalloc((size_t)w->n_actions, sizeof *d->told);
	d->containers = xcalloc((size_t)w->n_actions, sizeof *d->containers);
}

void dispatcher_free(struct world *w, struct dispatcher *d)
{
	end_life(d);
	disk_free(&d->disk, w->n_actions);
	if (d->yesterday)
		disk_free(d->yesterday, w->n_actions);
	free(d->yesterday);
	git_free(&d->git);
	free(d->attended);
	free(d->held);
	free(d->told);
	free(d->containers);
	free(d->self.former);
	free(d->to_core.v);
	for (int r = 0; r < N_SIM_ROLES; r++)
		free(d->to_role[r].v);
	*d = (struct dispatcher){.used = false};
}

int index_of(const struct world *w, const char *id)
{
	int i = 0;

	for (const char *p = id + 2; *p; p++)
		i = 10 * i + (*p - '0');
	return i < w->n_actions ? i : -1;
}

/* ---- effects ---- */

static void carry_out(struct world *w, struct dispatcher *d);

static void step(struct world *w, struct dispatcher *d, struct event *ev)
{
	ev->mono_ms = w->mono_ms;
	ev->wall_ms = w->wall_ms + d->wall_skew_ms;
	core_step(d->core, ev, &d->effects);
	if (core_active(d->core) > w->capacity)
		violate(w, -1, "more slots in use than there are");
	carry_out(w, d);
}

static void do_journal(struct world *w, struct dispatcher *d, struct run *r, enum journal j)
{
	int i = index_of(w, r->id);
	int rc = 0;

	check_journal(w, r, j, i);
	if (j == JOURNAL_RESULT) {
		struct result_text text = {.there = true,
		                           .digest = ++w->serial,
		                           .outcome = r->outcome,
		                           .attempt = r->attempt,
		                           .writer = (int)(d - w->d),
		                           .name = d->name};
		memcpy(text.nonce, r->claim, strlen(r->claim) + 1);
		rc = disk_write_result(w, d, i, &text);
	}
	if (rc == 0 && !d->dying) {
		cleanup_json json_t *state = spool_state_json(r, j);
		rc = disk_write_state(w, d, i, json_dumps(state, JSON_COMPACT));
	}
	tell(w, d, "  journal %s %s%s", r->id, journal_name(j), d->dying ? " DIES" : rc < 0 ? " FAILS" : "");
	struct mail ack = {.what = EV_JOURNALED, .action = i, .ok = rc == 0, .journal = (int)j};
	if (r->claim)
		memcpy(ack.nonce, r->claim, strlen(r->claim) + 1);
	post(w, &d->to_core, ack);
}

/* What core sends to a role that has died meanwhile goes nowhere. */
static void send(struct world *w, struct dispatcher *d, int role, struct mail m)
{
	if (d->known[role] == d->life[role] && !(role == GIT && d->git_waits))
		post(w, &d->to_role[role], m);
	else
		mail_free(&m);
}

static void do_effect(struct world *w, struct dispatcher *d, const struct effect *e)
{
	static const char *const names[] = {"journal", "start", "decrypt", "go",   "follow",  "halt", "kill",
	                                    "remove",  "claim", "record",  "quit", "changed", "note"};
	struct run *r = e->run;
	int i = r ? index_of(w, r->id) : -1;

	if (e->kind == EFFECT_CHANGED)
		return;
	if (e->kind == EFFECT_NOTE || e->kind == EFFECT_QUIT) {
		tell(w, d, "  %s %s: %s", names[e->kind], r ? r->id : "-", e->text);
		d->alive &= e->kind == EFFECT_NOTE;
		return;
	}
	if (!r) /* all others are about a run */
		abort();
	check_effect(w, d, e, i);
	if (e->kind == EFFECT_JOURNAL) {
		do_journal(w, d, r, e->journal);
		return;
	}
	tell(w, d, "  -> %s %s", names[e->kind], r->id);
	struct mail m = {.what = (int)e->kind, .action = i, .attempt = r->attempt, .ok = e->kind == EFFECT_START && r->replaces};
	if (e->kind == EFFECT_CLAIM) {
		memcpy(m.nonce, r->claim, strlen(r->claim) + 1);
		m.mine = json_deep_copy(r->mine);
	}
	if (e->kind == EFFECT_RECORD)
		m.result = d->disk.result[i];
	send(w, d, e->kind == EFFECT_RECORD || e->kind == EFFECT_CLAIM ? GIT : ENGINE, m);
	if (e->kind == EFFECT_DECRYPT) {
		d->attended[i].pipe_written = false;
		d->attended[i].pipe_dead = d->known[KEYRING] != d->life[KEYRING];
		send(w, d, KEYRING, m);
	}
}

/* The dispatcher may die between any two effects, and in the middle of a write. */
static void carry_out(struct world *w, struct dispatcher *d)
{
	struct effects now = d->effects;

	d->effects = (struct effects){0};
	for (size_t n = 0; n < now.n && !d->dying && d->alive; n++) {
		if (w->faults && !w->plan.server_faults_only && now.v[n].kind != EFFECT_CHANGED && rnd(w) % 256 == 0)
			d->dying = true;
		else
			do_effect(w, d, &now.v[n]);
	}
	effects_free(&now);
}

/* ---- lives ---- */

static void recover(struct world *w, struct dispatcher *d, int i)
{
	struct run *r = NULL;
	cleanup_json json_t *state = d->disk.state[i] ? json_loads(d->disk.state[i], 0, NULL) : NULL;

	if (!d->disk.state[i])
		return;
	if (!state) { /* as core_role.c does: its id stays taken */
		r = run_new(w->a[i].id);
		r->journal = JOURNAL_RECORDED;
	} else if (spool_state_parse(w->a[i].id, state, &r, NULL) < 0) {
		violate(w, i, "a state that was written can't be read");
		return;
	}
	struct event ev = {.kind = EV_RECOVERED, .run = r};
	step(w, d, &ev);
}

void begin_life(struct world *w, struct dispatcher *d)
{
	struct core_options options = {.capacity = w->capacity, .dispatcher_id = d->id, .ledger = w->ledger};
	bool faults = w->faults;

	w->faults = false; /* a death during recovery is another story: the next fault */
	d->alive = true;
	for (size_t k = 0; k < CORE_SEED_BYTES; k++)
		options.seed[k] = (unsigned char)rnd(w);
	d->core = core_new(&options);
	memset(d->held, 0, (size_t)w->n_actions * sizeof *d->held);
	memset(d->told, 0, (size_t)w->n_actions * sizeof *d->told);
	d->company_ms = 0;
	disk_sync(w, &d->disk); /* as spool_load does */
	for (int i = 0; i < w->n_actions && !w->violation; i++)
		recover(w, d, i);
	for (int r = 0; r < N_SIM_ROLES; r++)
		d->known[r] = 0;
	keyring_begins(w, d);
	git_begins(w, d);
	engine_begins(w, d);
	w->faults = faults;
}

void end_life(struct dispatcher *d)
{
	queue_clear(&d->to_core);
	for (int r = 0; r < N_SIM_ROLES; r++)
		queue_clear(&d->to_role[r]);
	core_free(d->core);
	d->core = NULL;
	effects_free(&d->effects);
	free(d->self.former);
	d->self = (struct self){.n_former = 0};
	d->git_waits = d->dying = d->alive = false;
}

void crash(struct world *w, struct dispatcher *d)
{
	struct mail m;

	tell(w, d, "CRASH");
	w->crashes++;
	while (chance(w, 50) && take(&d->to_role[ENGINE], &m))
		engine_hears(w, d, &m);
	while (chance(w, 50) && take(&d->to_role[GIT], &m)) {
		git_hears(w, d, &m);
		mail_free(&m);
	}
	for (int k = pick(w, 3); k > 0; k--)
		git_moves(w, d);
	end_life(d);
	begin_life(w, d);
}

void role_begins(struct world *w, struct dispatcher *d, int role)
{
	queue_clear(&d->to_role[role]);
	post(w, &d->to_core, (struct mail){.what = EV_ROLE_UP, .action = -1, .role = role, .life = ++d->life[role]});
}

/* ---- the core hears ---- */

/* A git role learns the incarnation first of all, and that is on disk by then. */
static bool incarnate(struct world *w, struct dispatcher *d)
{
	struct self next = {.n_former = 0};
	const struct self *last = &d->disk.self;

	if (!w->ledger || d->self.incarnation[0])
		return true;
	self_copy(&next, last);
	if (last->incarnation[0])
		memcpy(next.former[next.n_former++], last->incarnation, NONCE);
	fresh(w, next.incarnation);
	int rc = disk_write_self(w, d, &next);
	if (rc == 0)
		self_copy(&d->self, &next);
	free(next.former);
	return rc == 0;
}

static void greet_git(struct world *w, struct dispatcher *d)
{
	d->git_waits = !incarnate(w, d);
	if (d->git_waits)
		return;
	send(w, d, GIT, (struct mail){.what = TO_GIT_REMEMBERED, .action = -1});
	struct event ev = {.kind = EV_ROLE_UP, .role_git = true};
	step(w, d, &ev);
}

static json_t *formula_json(const struct world *w, int i)
{
	return json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "name", "f", "retry", is_safe(w, i) ? "safe" : "never", "steps", "id", "s", "run",
	                 "true");
}

static void hear_landed(struct world *w, struct dispatcher *d, const struct mail *m, struct event *ev)
{
	cleanup_action struct action action = ACTION_INIT;
	struct formula *formula = xcalloc(1, sizeof *formula);
	cleanup_json json_t *a = json_pack("{s:s, s:s, s:s, s:[]}", "id", ev->id, "formula", "f", "context", "c", "secrets");
	cleanup_json json_t *f = formula_json(w, m->action);
	cleanup_json json_t *secrets = json_object();

	if (action_from_json(ev->id, a, &action, NULL) < 0 || formula_from_json("f", f, formula, NULL) < 0) {
		violate(w, m->action, "the simulator's own action is refused");
		free(formula);
		return;
	}
	struct landed l = {.commit = "c0",
	                   .action_blob = "b0",
	                   .formula_name = "f",
	                   .formula_blob = "f0",
	                   .action = &action,
	                   .formula = &formula,
	                   .secrets = secrets,
	                   .attempt = m->attempt,
	                   .claimed = m->ok,
	                   .refuse = m->refuse ? "is wrong" : NULL,
	                   .wait = m->wait ? "can't be judged now" : NULL};
	d->held[m->action] = m->refuse || m->wait;
	ev->landed = &l;
	step(w, d, ev);
	ev->landed = NULL;
	if (formula)
		formula_free(formula);
	free(formula);
}

static void hear_exited(struct world *w, struct dispatcher *d, const struct mail *m, struct event *ev)
{
	const struct container *c = &d->containers[m->action][m->attempt];
	const char *outcome = c->not_started ? "not_started" : c->cancelled ? "cancelled" : c->succeeds ? "succeeded" : "failed";
	cleanup_json json_t *report = c->has_report ? json_pack("{s:s, s:i}", "outcome", outcome, "exit_code", c->succeeds ? 0 : 7) : NULL;
	struct exited x = {.going = c->has_report && !c->not_started,
	                   .report = report,
	                   .has_exit_code = c->phase == C_EXITED,
	                   .exit_code = c->succeeds ? 0 : 7,
	                   .reason = c->phase == C_NONE ? "the container is not there" : NULL};
	ev->exited = &x;
	step(w, d, ev);
	ev->exited = NULL;
}

static void hear_role_up(struct world *w, struct dispatcher *d, const struct mail *m, struct event *ev)
{
	d->known[m->role] = m->life;
	if (m->role == GIT)
		greet_git(w, d);
	else
		step(w, d, ev);
}

static void hear_claim(struct world *w, struct dispatcher *d, const struct mail *m, struct event *ev)
{
	const struct run *r = core_find(d->core, ev->id);

	bool counts = r && r->attempt == m->attempt && r->claim && strcmp(r->claim, m->nonce) == 0;
	if (counts && ev->kind == EV_CLAIM_LOST)
		d->company_ms = w->mono_ms + CORE_COMPANY_MS;
	if (counts)
		(ev->kind == EV_CLAIMED ? check_claimed : check_lost)(w, d, m->action, m->attempt);
	memcpy(d->told[m->action], ev->kind == EV_CLAIMED ? m->nonce : "", ev->kind == EV_CLAIMED ? NONCE : 1);
	step(w, d, ev);
}

static void hear_incarnated(struct world *w, struct dispatcher *d, struct event *ev)
{
	struct self self = {.n_former = 0};

	self_copy(&self, &d->self);
	self.n_former = 0;
	if (ev->ok && memcmp(d->disk.self.incarnation, d->self.incarnation, NONCE) == 0)
		disk_write_self(w, d, &self);
	free(self.former);
	step(w, d, ev);
}

void core_hears(struct world *w, struct dispatcher *d, const struct mail *m)
{
	static const char *const names[] = {"recovered",     "landed",     "gone",       "cancel",    "recorded", "journaled",
	                                    "claimed",       "claim_lost", "incarnated", "company",   "frozen",   "decrypted",
	                                    "not_decrypted", "engine",     "ready",      "delivered", "failed",   "exited",
	                                    "role_up",       "role_down",  "stop",       "tick"};
	struct event ev = {.kind = (enum event_kind)m->what,
	                   .id = m->action >= 0 ? w->a[m->action].id : NULL,
	                   .attempt = m->attempt,
	                   .ok = m->ok,
	                   .refuse = m->refuse,
	                   .role_engine = m->role == ENGINE,
	                   .role_git = m->role == GIT,
	                   .role_keyring = m->role == KEYRING,
	                   .nonce = m->nonce,
	                   .reason = "simulated",
	                   .container = "cid",
	                   .image = "sha256:0",
	                   .journal = (enum journal)m->journal};

	tell(w, d, "core hears %s %s%s", names[m->what], ev.id ? ev.id : "", ev.kind == EV_INCARNATED && !ev.ok ? "NOT" : "");
	if (ev.kind == EV_COMPANY)
		d->company_ms = w->mono_ms + CORE_COMPANY_MS;
	if (ev.kind == EV_ROLE_UP)
		hear_role_up(w, d, m, &ev);
	else if (ev.kind == EV_LANDED)
		hear_landed(w, d, m, &ev);
	else if (ev.kind == EV_EXITED)
		hear_exited(w, d, m, &ev);
	else if (ev.kind == EV_CLAIMED || ev.kind == EV_CLAIM_LOST)
		hear_claim(w, d, m, &ev);
	else if (ev.kind == EV_INCARNATED)
		hear_incarnated(w, d, &ev);
	else
		step(w, d, &ev);
}

void core_ticks(struct world *w, struct dispatcher *d)
{
	struct event tick = {.kind = EV_TICK};

	if (d->git_waits && d->known[GIT] == d->life[GIT])
		greet_git(w, d);
	if (!d->dying)
		step(w, d, &tick);
}

/* ---- an operator ---- */

bool holds_claim(const struct world *w, const struct dispatcher *d, int i)
{
	const struct on_ledger *at = &w->server.now.ledger[i];
	const struct run *r = d->alive ? core_find(d->core, w->a[i].id) : NULL;
	size_t k;
	json_t *nonce;

	if (!r || r->state == RUN_DONE || r->attempt < at->attempt)
		return false;
	json_array_foreach (r->mine, k, nonce)
		if (strcmp(json_string_value(nonce), at->nonce) == 0)
			return true;
	return false;
}

void core_settles(struct world *w, struct dispatcher *d, int i, bool rerun)
{
	const struct run *r = core_find(d->core, w->a[i].id);

	if (r && r->state > RUN_QUEUED && r->state < RUN_DONE)
		return; /* "cancel it first" */
	send(w, d, GIT, (struct mail){.what = rerun ? TO_GIT_RERUN : TO_GIT_LOST, .action = i});
}
