#include "tests/unit/core_world.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state, bool ledger)
{
	struct core_options options = {.capacity = 2, .dispatcher_id = "d1", .ledger = ledger, .seed = "any"};
	struct world *w = xcalloc(1, sizeof *w);

	w->core = core_new(&options);
	w->now = 1000;
	w->attempt = 1;
	*state = w;
	return 0;
}

int local_setup(void **state)
{
	return setup(state, false);
}

int ledger_setup(void **state)
{
	return setup(state, true);
}

int world_teardown(void **state)
{
	struct world *w = *state;

	core_free(w->core);
	effects_free(&w->effects);
	free(w);
	return 0;
}

/* One event; the effects that follow from it replace those before. */
void step(struct world *w, struct event ev)
{
	effects_clear(&w->effects);
	ev.mono_ms = ev.wall_ms = w->now;
	core_step(w->core, &ev, &w->effects);
}

const struct effect *effect_of(const struct world *w, enum effect_kind kind)
{
	for (size_t i = 0; i < w->effects.n; i++)
		if (w->effects.v[i].kind == kind)
			return &w->effects.v[i];
	return NULL;
}

void land_with(struct world *w, const char *id, const char *blob, const char *refuse, const char *wait)
{
	struct action action = ACTION_INIT;
	struct formula *formula = xcalloc(1, sizeof *formula);
	cleanup_json json_t *a = json_pack("{s:s, s:s, s:s, s:[s]}", "id", id, "formula", "f", "context", "c", "secrets", "TOKEN");
	cleanup_json json_t *f = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "name", "f", "retry", w->retry_safe ? "safe" : "never", "steps",
	                                   "id", "s", "run", "true");
	cleanup_json json_t *secrets =
	    json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "OTHER", "blob", "0b", "age", "eQ==", "TOKEN", "blob", "5b", "age", "eA==");

	assert_int_equal(action_from_json(id, a, &action, NULL), 0);
	assert_int_equal(formula_from_json("f", f, formula, NULL), 0);
	struct landed l = {.commit = "c1",
	                   .action_blob = blob,
	                   .formula_name = "f",
	                   .formula_blob = "f1",
	                   .action = &action,
	                   .formula = &formula,
	                   .secrets = secrets,
	                   .attempt = w->attempt,
	                   .claimed = w->claimed,
	                   .refuse = refuse,
	                   .wait = wait};
	step(w, (struct event){.kind = EV_LANDED, .id = id, .landed = &l});
	action_free(&action);
	if (formula)
		formula_free(formula);
	free(formula);
}

void land(struct world *w, const char *id)
{
	land_with(w, id, "b1", NULL, NULL);
}

void roles_up(struct world *w)
{
	step(w, (struct event){.kind = EV_ROLE_UP, .role_git = true, .role_keyring = true, .role_engine = true});
	step(w, (struct event){.kind = EV_ENGINE, .ok = true});
}

void journaled(struct world *w, const char *id, enum journal j)
{
	cleanup_free char *nonce = core_find(w->core, id)->claim ? xstrdup(core_find(w->core, id)->claim) : NULL;

	step(w, (struct event){.kind = EV_JOURNALED, .id = id, .journal = j, .ok = true, .nonce = nonce});
}

void say(struct world *w, enum event_kind kind, const char *id)
{
	step(w, (struct event){.kind = kind,
	                       .id = id,
	                       .attempt = core_find(w->core, id)->attempt,
	                       .reason = "because",
	                       .container = "cid",
	                       .image = "img"});
}

enum run_state state_of(struct world *w, const char *id)
{
	return core_find(w->core, id)->state;
}

void exited(struct world *w, const char *id, const char *outcome, int code, bool going)
{
	cleanup_json json_t *report = outcome ? json_pack("{s:s, s:i}", "outcome", outcome, "exit_code", code) : NULL;
	struct exited x = {.going = going, .report = report, .has_exit_code = true, .exit_code = code};

	step(w, (struct event){.kind = EV_EXITED, .id = id, .attempt = core_find(w->core, id)->attempt, .exited = &x});
}

static struct run *remembered(const char *id, enum journal j)
{
	struct run *r = run_new(id);

	r->journal = j;
	r->name = xstrdup("disinto-d1-x-1");
	r->commit = xstrdup("c1");
	r->action_blob = xstrdup("b1");
	cleanup_json json_t *a = json_pack("{s:s, s:s, s:s, s:[s]}", "id", id, "formula", "f", "context", "c", "secrets", "TOKEN");
	cleanup_json json_t *f = json_pack("{s:s, s:[{s:s, s:s}]}", "name", "f", "steps", "id", "s", "run", "true");
	r->formula = xcalloc(1, sizeof *r->formula);
	assert_int_equal(action_from_json(id, a, &r->action, NULL), 0);
	assert_int_equal(formula_from_json("f", f, r->formula, NULL), 0);
	return r;
}

void recover(struct world *w, const char *id, enum journal j)
{
	step(w, (struct event){.kind = EV_RECOVERED, .run = remembered(id, j)});
}

void recover_cancelled(struct world *w, const char *id, enum journal j, const char *reason)
{
	struct run *r = remembered(id, j);

	r->halt = HALT_CANCEL;
	r->halt_reason = xstrdup(reason);
	step(w, (struct event){.kind = EV_RECOVERED, .run = r});
}
