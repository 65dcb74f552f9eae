/* Claims in the core: who may say GO, and what becomes of those that may not. */
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* With every role up, and the ledger knowing this life. */
static void begin_alone(struct world *w)
{
	roles_up(w);
	step(w, (struct event){.kind = EV_INCARNATED, .ok = true});
}

/* The same where another dispatcher has taken an action just before. */
static void begin(struct world *w)
{
	land(w, "theirs");
	step(w, (struct event){.kind = EV_GONE, .id = "theirs", .taken = true, .reason = "d2 has it"});
	assert_int_equal(state_of(w, "theirs"), RUN_DONE);
	begin_alone(w);
}

static void answer(struct world *w, enum event_kind kind, const char *id)
{
	const struct run *r = core_find(w->core, id);
	cleanup_free char *nonce = xstrdup(r->claim);

	step(w, (struct event){.kind = kind, .id = id, .attempt = r->attempt, .nonce = nonce, .reason = "d2 has it"});
}

static void bring_to_delivering(struct world *w, const char *id)
{
	journaled(w, id, JOURNAL_CLAIMED);
	answer(w, EV_CLAIMED, id);
	journaled(w, id, JOURNAL_STARTING);
	say(w, EV_READY, id);
}

static void bring_to_confirming(struct world *w, const char *id)
{
	bring_to_delivering(w, id);
	say(w, EV_DECRYPTED, id);
	say(w, EV_DELIVERED, id);
	journaled(w, id, JOURNAL_GOING);
}

static void test_whole_life(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	const struct run *r = core_find(w->core, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_CLAIMED);
	assert_null(effect_of(w, EFFECT_CLAIM)); /* the nonce is on disk before git hears it */
	cleanup_free char *first = xstrdup(r->claim);
	assert_int_equal(json_array_size(r->mine), 1);
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_non_null(effect_of(w, EFFECT_CLAIM));
	assert_null(effect_of(w, EFFECT_JOURNAL));
	assert_int_equal(state_of(w, "a"), RUN_BIDDING);
	answer(w, EV_CLAIMED, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_STARTING);
	journaled(w, "a", JOURNAL_STARTING);
	say(w, EV_READY, "a");
	say(w, EV_DELIVERED, "a");
	say(w, EV_DECRYPTED, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_GOING);
	assert_string_not_equal(r->claim, first); /* another nonce goes to disk with `going` … */
	assert_int_equal(json_array_size(r->mine), 2);
	journaled(w, "a", JOURNAL_GOING);
	assert_non_null(effect_of(w, EFFECT_CLAIM));
	assert_null(effect_of(w, EFFECT_GO));
	answer(w, EV_CLAIMED, "a"); /* … and GO is said once that one stands in the ledger */
	assert_non_null(effect_of(w, EFFECT_GO));
	exited(w, "a", "succeeded", 0, true);
	journaled(w, "a", JOURNAL_RESULT);
	assert_non_null(effect_of(w, EFFECT_RECORD));
	assert_null(effect_of(w, EFFECT_CLAIM));
}

/* Alone it claims once, before GO. guard: core_is_alone */
static void test_alone_the_container_comes_first(void **state)
{
	struct world *w = *state;

	begin_alone(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_null(effect_of(w, EFFECT_CLAIM));
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_STARTING);
	journaled(w, "a", JOURNAL_STARTING);
	assert_false(effect_of(w, EFFECT_START)->run->replaces); /* what has its name may be an earlier life's */
	say(w, EV_READY, "a");
	say(w, EV_DELIVERED, "a");
	say(w, EV_DECRYPTED, "a");
	journaled(w, "a", JOURNAL_GOING);
	assert_non_null(effect_of(w, EFFECT_CLAIM));
	assert_null(effect_of(w, EFFECT_GO));
	answer(w, EV_CLAIM_LOST, "a");
	assert_non_null(effect_of(w, EFFECT_KILL));
	step(w, (struct event){.kind = EV_FAILED, .id = "a", .attempt = 1, .reason = "killed"});
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED); /* left to others */
	land(w, "b");                                                              /* and now it is not alone */
	journaled(w, "b", JOURNAL_CLAIMED);
	assert_int_equal(state_of(w, "b"), RUN_BIDDING);
	land(w, "c");
	w->now += CORE_COMPANY_MS; /* but not for ever */
	step(w, (struct event){.kind = EV_TICK});
	journaled(w, "c", JOURNAL_CLAIMED);
	assert_int_equal(state_of(w, "c"), RUN_PREPARING);
}

/* A start that failed may have met a container of its name: it is claimed before that one is removed. guard: r->failures in claim_written() */
static void test_alone_a_second_start_is_claimed_first(void **state)
{
	struct world *w = *state;

	begin_alone(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	step(w, (struct event){.kind = EV_FAILED, .id = "a", .attempt = 1, .reason = "its name is taken"});
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	w->now += 60000;
	step(w, (struct event){.kind = EV_TICK});
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_int_equal(state_of(w, "a"), RUN_BIDDING);
	answer(w, EV_CLAIMED, "a");
	journaled(w, "a", JOURNAL_STARTING);
	assert_true(effect_of(w, EFFECT_START)->run->replaces);
}

/* Its claim may be of a life whose spool is gone: nothing is prepared before the ledger was asked. guard: r->contested in claim_written() */
static void test_alone_what_is_claimed_already_is_asked_for_first(void **state)
{
	struct world *w = *state;

	begin_alone(w);
	w->claimed = true;
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_int_equal(state_of(w, "a"), RUN_BIDDING);
	answer(w, EV_CLAIM_LOST, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED);
	w->claimed = false;
}

static void test_nothing_is_claimed_before_the_ledger_knows_this_life(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	assert_non_null(strstr(core_hold(w->core), "ledger"));
	step(w, (struct event){.kind = EV_INCARNATED, .ok = true});
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

static void test_copied_spool_ends(void **state)
{
	struct world *w = *state;

	roles_up(w);
	step(w, (struct event){.kind = EV_INCARNATED, .ok = false, .reason = "a stranger's"});
	assert_string_equal(effect_of(w, EFFECT_QUIT)->text, "a stranger's");
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	assert_string_equal(core_hold(w->core), "a stranger's");
}

static void test_answers_about_older_nonces_count_for_nothing(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	cleanup_free char *first = xstrdup(core_find(w->core, "a")->claim);
	bring_to_confirming(w, "a");
	step(w, (struct event){.kind = EV_CLAIMED, .id = "a", .attempt = 1, .nonce = first});
	assert_null(effect_of(w, EFFECT_GO));
	step(w, (struct event){.kind = EV_CLAIM_LOST, .id = "a", .attempt = 1, .nonce = first, .reason = "no"});
	assert_int_equal(state_of(w, "a"), RUN_CONFIRMING);
	step(w, (struct event){.kind = EV_CLAIMED, .id = "a", .attempt = 2, .nonce = core_find(w->core, "a")->claim});
	assert_null(effect_of(w, EFFECT_GO));
}

static void test_lost_claim_is_left_to_others(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	answer(w, EV_CLAIM_LOST, "a");
	assert_non_null(strstr(effect_of(w, EFFECT_NOTE)->text, "d2 has it"));
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED);
	journaled(w, "a", JOURNAL_RECORDED);
	assert_null(effect_of(w, EFFECT_RECORD));
	assert_null(effect_of(w, EFFECT_REMOVE));
	assert_int_equal(state_of(w, "a"), RUN_DONE);
	assert_int_equal(core_active(w->core), 0);
}

static void test_claim_lost_before_go_ends_the_container(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	bring_to_confirming(w, "a");
	answer(w, EV_CLAIM_LOST, "a");
	assert_null(effect_of(w, EFFECT_GO));
	assert_non_null(effect_of(w, EFFECT_KILL));
	say(w, EV_FAILED, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED);
	journaled(w, "a", JOURNAL_RECORDED);
	assert_int_equal(state_of(w, "a"), RUN_DONE);
}

static void test_ledger_that_does_not_answer_before_go(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	bring_to_confirming(w, "a");
	w->now = core_next_ms(w->core);
	step(w, (struct event){.kind = EV_TICK});
	assert_non_null(effect_of(w, EFFECT_KILL)); /* it holds decrypted secrets: not for ever */
	answer(w, EV_CLAIMED, "a");
	assert_null(effect_of(w, EFFECT_GO));
	say(w, EV_FAILED, "a");
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_CLAIMED); /* `going` must not stay on disk */
}

static void test_cancel_while_the_claim_is_confirmed(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	bring_to_confirming(w, "a");
	step(w, (struct event){.kind = EV_CANCEL, .id = "a", .reason = "no"});
	assert_non_null(effect_of(w, EFFECT_KILL));
	answer(w, EV_CLAIMED, "a");
	assert_null(effect_of(w, EFFECT_GO));
	say(w, EV_FAILED, "a");
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_CANCELLED);
}

static void test_refusals_are_claimed_before_they_are_recorded(void **state)
{
	struct world *w = *state;

	begin(w);
	land_with(w, "a", "b1", "formula: is not there", NULL);
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RESULT);
	journaled(w, "a", JOURNAL_RESULT);
	assert_null(effect_of(w, EFFECT_RECORD));
	assert_non_null(effect_of(w, EFFECT_CLAIM));
	answer(w, EV_CLAIMED, "a");
	assert_non_null(effect_of(w, EFFECT_RECORD));

	land_with(w, "b", "b1", "formula: is not there", NULL);
	journaled(w, "b", JOURNAL_RESULT);
	answer(w, EV_CLAIM_LOST, "b");
	assert_null(effect_of(w, EFFECT_RECORD));
	assert_false(core_find(w->core, "b")->has_outcome);
	journaled(w, "b", JOURNAL_RECORDED);
	assert_int_equal(state_of(w, "b"), RUN_DONE);
}

static void test_git_that_comes_back_is_asked_again(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	land(w, "b");
	w->now += 500;
	step(w, (struct event){.kind = EV_TICK});
	journaled(w, "a", JOURNAL_CLAIMED);
	bring_to_confirming(w, "b");
	step(w, (struct event){.kind = EV_ROLE_DOWN, .role_git = true});
	step(w, (struct event){.kind = EV_ROLE_UP, .role_git = true});
	assert_null(effect_of(w, EFFECT_CLAIM)); /* not before it has found its place in the ledger */
	step(w, (struct event){.kind = EV_INCARNATED, .ok = true});
	int n = 0;
	for (size_t i = 0; i < w->effects.n; i++)
		n += w->effects.v[i].kind == EFFECT_CLAIM;
	assert_int_equal(n, 2);
}

/* The state on disk as a later life reads it. */
static void reborn(struct world *w, const char *id, enum journal j, bool won)
{
	struct run *r = run_new(id);
	cleanup_json json_t *a = json_pack("{s:s, s:s, s:s, s:[s]}", "id", id, "formula", "f", "context", "c", "secrets", "TOKEN");
	cleanup_json json_t *f = json_pack("{s:s, s:[{s:s, s:s}]}", "name", "f", "steps", "id", "s", "run", "true");
	struct run *again = NULL;

	r->name = xstrdup("disinto-d1-x-1");
	r->commit = xstrdup("c1");
	r->claim = xstrdup("n2");
	r->mine = json_pack("[s, s]", "n1", "n2");
	r->won = won;
	r->formula_name = xstrdup("f");
	r->formula = xcalloc(1, sizeof *r->formula);
	assert_int_equal(action_from_json(id, a, &r->action, NULL), 0);
	assert_int_equal(formula_from_json("f", f, r->formula, NULL), 0);
	cleanup_json json_t *on_disk = spool_state_json(r, j);
	run_free(r);
	assert_int_equal(spool_state_parse(id, on_disk, &again, NULL), 0);
	step(w, (struct event){.kind = EV_RECOVERED, .run = again});
}

static void test_restart_claims_again_with_a_new_nonce(void **state)
{
	struct world *w = *state;

	reborn(w, "a", JOURNAL_STARTING, true);
	begin(w);
	const struct run *r = core_find(w->core, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_CLAIMED);
	assert_int_equal(json_array_size(r->mine), 3); /* the ledger may hold any of those before */
	assert_string_equal(json_string_value(json_array_get(r->mine, 2)), r->claim);
	assert_string_not_equal(r->claim, "n2");
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_non_null(effect_of(w, EFFECT_CLAIM));
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	answer(w, EV_CLAIMED, "a");
	assert_int_equal(state_of(w, "a"), RUN_PREPARING);
}

static void test_restart_finds_that_others_have_it(void **state)
{
	struct world *w = *state;

	reborn(w, "a", JOURNAL_CLAIMED, false);
	begin(w);
	journaled(w, "a", JOURNAL_CLAIMED);
	answer(w, EV_CLAIM_LOST, "a"); /* nobody announces it any more, so nothing else would tell */
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED);
}

static void test_claim_of_what_nobody_announces_is_asked_about_again(void **state)
{
	struct world *w = *state;

	reborn(w, "a", JOURNAL_CLAIMED, false);
	begin(w);
	journaled(w, "a", JOURNAL_CLAIMED);
	answer(w, EV_CLAIMED, "a");
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	w->now = core_next_ms(w->core);
	step(w, (struct event){.kind = EV_TICK});
	assert_non_null(effect_of(w, EFFECT_CLAIM));
	answer(w, EV_CLAIM_LOST, "a"); /* an operator settled it meanwhile */
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED);
}

/* What was written before the nonce of now announces nothing. */
static void test_answers_of_the_disk_about_older_nonces(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	step(w, (struct event){.kind = EV_JOURNALED, .id = "a", .journal = JOURNAL_CLAIMED, .ok = true, .nonce = "older"});
	assert_null(effect_of(w, EFFECT_CLAIM));
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_non_null(effect_of(w, EFFECT_CLAIM));
}

static void test_restart_with_a_result(void **state)
{
	struct world *w = *state;

	reborn(w, "won", JOURNAL_RESULT, true);
	reborn(w, "open", JOURNAL_RESULT, false);
	begin(w);
	assert_string_equal(effect_of(w, EFFECT_CLAIM)->run->id, "open");
	assert_string_equal(core_find(w->core, "open")->claim, "n2"); /* as in the result's own text */
	step(w, (struct event){.kind = EV_ROLE_UP, .role_git = true});
	assert_string_equal(effect_of(w, EFFECT_RECORD)->run->id, "won");
	answer(w, EV_CLAIMED, "open");
	assert_string_equal(effect_of(w, EFFECT_RECORD)->run->id, "open");
}

/* Killed between the result's way to the server and the journal of it: nothing is left to others, least of all the container. */
static void test_restart_after_the_result_was_recorded(void **state)
{
	struct world *w = *state;

	reborn(w, "a", JOURNAL_RESULT, false);
	struct run *r = core_find(w->core, "a");
	r->container = xstrdup("c0ffee");
	begin(w);
	cleanup_free char *nonce = xstrdup(r->claim);
	step(w, (struct event){.kind = EV_CLAIM_LOST, .id = "a", .attempt = 1, .nonce = nonce, .ok = true, .reason = "it is finished"});
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RECORDED);
	journaled(w, "a", JOURNAL_RECORDED);
	assert_int_equal(state_of(w, "a"), RUN_DONE);
	assert_string_equal(effect_of(w, EFFECT_REMOVE)->run->id, "a");
	assert_string_equal(r->name, "disinto-d1-x-1");
}

static void test_lost_run_of_a_safe_formula_is_attempted_three_times(void **state)
{
	struct world *w = *state;

	w->retry_safe = true;
	begin(w);
	land(w, "a");
	for (int attempt = 1; attempt <= 3; attempt++) {
		const struct run *r = core_find(w->core, "a");
		cleanup_free char *name = xasprintf("disinto-d1-a-%d", attempt);
		assert_int_equal(r->attempt, attempt);
		bring_to_confirming(w, "a");
		answer(w, EV_CLAIMED, "a");
		assert_non_null(effect_of(w, EFFECT_GO));
		assert_string_equal(r->name, name);
		cleanup_free char *before = xstrdup(r->claim);
		exited(w, "a", NULL, 137, true);
		if (attempt == 3)
			break;
		assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
		assert_string_equal(json_string_value(json_array_get(r->mine, 0)), before); /* which the new one may replace */
		assert_int_equal(json_array_size(r->mine), 2);
		int old;
		assert_ptr_equal(core_find_by_old_container(w->core, name, &old), r);
		assert_int_equal(old, attempt);
	}
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_LOST);
}

static void test_rerun_of_what_is_done_here(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	answer(w, EV_CLAIM_LOST, "a");
	journaled(w, "a", JOURNAL_RECORDED);
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_DONE);
	w->attempt = 2; /* an operator gave it free */
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
	assert_int_equal(core_find(w->core, "a")->attempt, 2);
}

static void test_rerun_while_the_claim_is_being_lost(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	w->attempt = 2;
	land(w, "a"); /* known before the answer to the first attempt's claim */
	assert_int_equal(state_of(w, "a"), RUN_BIDDING);
	answer(w, EV_CLAIM_LOST, "a");
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
	assert_int_equal(core_find(w->core, "a")->attempt, 2);
}

/* The further attempt of a safe formula was somebody else's to make; then an operator frees just that one. */
static void test_attempt_that_was_never_ours(void **state)
{
	struct world *w = *state;

	w->retry_safe = true;
	begin(w);
	land(w, "a");
	bring_to_confirming(w, "a");
	answer(w, EV_CLAIMED, "a");
	exited(w, "a", NULL, 137, true);
	assert_int_equal(core_find(w->core, "a")->attempt, 2);
	journaled(w, "a", JOURNAL_CLAIMED);
	answer(w, EV_CLAIM_LOST, "a");
	journaled(w, "a", JOURNAL_RECORDED);
	assert_int_equal(state_of(w, "a"), RUN_DONE);
	w->attempt = 2;
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

static void test_frozen_starts_nothing(void **state)
{
	struct world *w = *state;

	begin(w);
	step(w, (struct event){.kind = EV_FROZEN, .reason = "main was rewritten"});
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	assert_string_equal(core_hold(w->core), "main was rewritten");
	step(w, (struct event){.kind = EV_FROZEN});
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

static void test_parity_C13_busy_dispatchers_leave_fresh_actions_to_others(void **state)
{
	struct world *w = *state;

	begin(w);
	land(w, "a");
	land(w, "b"); /* one slot of two is taken: half of the time */
	assert_int_equal(state_of(w, "b"), RUN_QUEUED);
	assert_int_equal(core_next_ms(w->core) - w->now, 250);
	w->now += 249;
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "b"), RUN_QUEUED);
	w->now += 1;
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "b"), RUN_CLAIMING);
}

static void test_what_others_did_leaves_no_trace(void **state)
{
	struct world *w = *state;

	land(w, "a");
	step(w, (struct event){.kind = EV_GONE, .id = "a", .ok = true, .reason = "d2 has claimed it"});
	assert_null(effect_of(w, EFFECT_JOURNAL));
	assert_int_equal(state_of(w, "a"), RUN_DONE);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, ledger_setup, world_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_whole_life),
	    T(test_alone_the_container_comes_first),
	    T(test_alone_a_second_start_is_claimed_first),
	    T(test_alone_what_is_claimed_already_is_asked_for_first),
	    T(test_nothing_is_claimed_before_the_ledger_knows_this_life),
	    T(test_copied_spool_ends),
	    T(test_answers_about_older_nonces_count_for_nothing),
	    T(test_lost_claim_is_left_to_others),
	    T(test_claim_lost_before_go_ends_the_container),
	    T(test_ledger_that_does_not_answer_before_go),
	    T(test_cancel_while_the_claim_is_confirmed),
	    T(test_refusals_are_claimed_before_they_are_recorded),
	    T(test_git_that_comes_back_is_asked_again),
	    T(test_restart_claims_again_with_a_new_nonce),
	    T(test_restart_finds_that_others_have_it),
	    T(test_claim_of_what_nobody_announces_is_asked_about_again),
	    T(test_answers_of_the_disk_about_older_nonces),
	    T(test_restart_with_a_result),
	    T(test_restart_after_the_result_was_recorded),
	    T(test_lost_run_of_a_safe_formula_is_attempted_three_times),
	    T(test_rerun_of_what_is_done_here),
	    T(test_rerun_while_the_claim_is_being_lost),
	    T(test_attempt_that_was_never_ours),
	    T(test_frozen_starts_nothing),
	    T(test_parity_C13_busy_dispatchers_leave_fresh_actions_to_others),
	    T(test_what_others_did_leaves_no_trace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
