/* The core, event by event. The simulator covers the orders that nobody thought of; this names the ones that matter. */
#include "lib/cleanup.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* From landing to the moment before GO. */
static void bring_to_committing(struct world *w, const char *id)
{
	land(w, id);
	journaled(w, id, JOURNAL_CLAIMED);
	journaled(w, id, JOURNAL_STARTING);
	say(w, EV_READY, id);
	say(w, EV_DECRYPTED, id);
	say(w, EV_DELIVERED, id);
}

static void bring_to_going(struct world *w, const char *id)
{
	bring_to_committing(w, id);
	journaled(w, id, JOURNAL_GOING);
}

static void test_whole_life(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_CLAIMED);
	assert_null(effect_of(w, EFFECT_START));
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_STARTING);
	assert_string_equal(core_find(w->core, "a")->name, "disinto-d1-a-1");
	journaled(w, "a", JOURNAL_STARTING);
	assert_non_null(effect_of(w, EFFECT_START));
	assert_null(effect_of(w, EFFECT_DECRYPT)); /* nothing is decrypted before the runner is ready */
	say(w, EV_READY, "a");
	assert_non_null(effect_of(w, EFFECT_DECRYPT));
	say(w, EV_DELIVERED, "a");
	assert_null(effect_of(w, EFFECT_JOURNAL)); /* the keyring has not said that it wrote them all */
	say(w, EV_DECRYPTED, "a");
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_GOING);
	assert_int_equal(core_find(w->core, "a")->started_ms, w->now); /* goes to disk with `going` */
	assert_null(effect_of(w, EFFECT_GO));
	journaled(w, "a", JOURNAL_GOING);
	assert_non_null(effect_of(w, EFFECT_GO));
	assert_int_equal(core_active(w->core), 1);
	exited(w, "a", "succeeded", 0, true);
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RESULT);
	assert_null(effect_of(w, EFFECT_RECORD));
	assert_int_equal(core_active(w->core), 0);
	journaled(w, "a", JOURNAL_RESULT);
	assert_non_null(effect_of(w, EFFECT_RECORD));
	assert_null(effect_of(w, EFFECT_REMOVE)); /* not before the result is on the server */
	say(w, EV_RECORDED, "a");
	assert_null(effect_of(w, EFFECT_REMOVE)); /* … and the spool knows it */
	journaled(w, "a", JOURNAL_RECORDED);
	assert_non_null(effect_of(w, EFFECT_REMOVE));
	assert_int_equal(state_of(w, "a"), RUN_DONE);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_SUCCEEDED);
}

static void test_capacity_in_order_of_landing(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "c");
	land(w, "b");
	land(w, "a");
	assert_int_equal(state_of(w, "c"), RUN_CLAIMING);
	assert_int_equal(state_of(w, "b"), RUN_CLAIMING);
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	assert_int_equal(core_active(w->core), 2);
	step(w, (struct event){.kind = EV_CANCEL, .id = "c", .reason = "no"});
	journaled(w, "c", JOURNAL_CLAIMED);
	assert_int_equal(state_of(w, "c"), RUN_ENDING);
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

static void test_nothing_starts_without_engine(void **state)
{
	struct world *w = *state;

	step(w, (struct event){.kind = EV_ROLE_UP, .role_git = true, .role_keyring = true, .role_engine = true});
	step(w, (struct event){.kind = EV_ENGINE, .ok = false, .reason = "no socket"});
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	assert_string_equal(core_hold(w->core), "no socket");
	step(w, (struct event){.kind = EV_ENGINE, .ok = true});
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

static void test_refused_is_recorded_and_never_started(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land_with(w, "a", "b1", "vault/actions/a.json: id: is wrong", NULL);
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_RESULT);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_REFUSED);
	assert_string_equal(core_find(w->core, "a")->reason, "vault/actions/a.json: id: is wrong");
	journaled(w, "a", JOURNAL_RESULT);
	assert_null(effect_of(w, EFFECT_START));
	assert_non_null(effect_of(w, EFFECT_RECORD));
}

static void test_what_cannot_be_judged_waits_for_git(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land_with(w, "a", "b1", NULL, "policy can't be judged");
	w->now += 3600000;
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "a"), RUN_WAITING); /* time alone does not approve it */
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

/* Policy is frozen while it waits for its next try, while it is being started, and while it queues. guard: `held` in core/start.c and core.c */
static void test_what_may_not_start_any_more_is_not_tried_again(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	say(w, EV_FAILED, "a");
	land_with(w, "a", "b1", NULL, "policy is frozen");
	assert_string_equal(core_find(w->core, "a")->reason, "policy is frozen");
	w->now += 3600000;
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);

	land_with(w, "a", "b1", NULL, "policy is frozen");
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	land_with(w, "a", "b1", NULL, "policy is frozen");
	assert_int_equal(state_of(w, "a"), RUN_STARTING); /* it had begun */
	say(w, EV_FAILED, "a");
	w->now += 3600000;
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	assert_string_equal(core_find(w->core, "a")->reason, "policy is frozen");

	step(w, (struct event){.kind = EV_ENGINE, .ok = false, .reason = "no socket"});
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
	land_with(w, "a", "b1", NULL, "policy is frozen");
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	step(w, (struct event){.kind = EV_ENGINE, .ok = true});
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
}

static void test_failed_start_is_tried_again_later(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	say(w, EV_FAILED, "a");
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	assert_string_equal(core_find(w->core, "a")->reason, "because");
	assert_int_equal(core_active(w->core), 0);
	int64_t first = core_next_ms(w->core) - w->now;
	assert_true(first > 0);
	w->now = core_next_ms(w->core);
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	say(w, EV_FAILED, "a");
	assert_null(effect_of(w, EFFECT_NOTE)); /* the same reason is noted once */
	assert_true(core_next_ms(w->core) - w->now > first);
}

static void test_failed_start_that_will_never_work_is_refused(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	step(w, (struct event){.kind = EV_FAILED, .id = "a", .attempt = 1, .refuse = true, .reason = "tools: jq: is not there"});
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_REFUSED);
}

static void test_damaged_secret_ends_the_container_before_the_refusal(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	say(w, EV_READY, "a");
	step(w, (struct event){
	            .kind = EV_NOT_DECRYPTED, .id = "a", .attempt = 1, .refuse = true, .reason = "vault/secrets/TOKEN.age: damaged"});
	assert_non_null(effect_of(w, EFFECT_KILL));
	assert_int_equal(state_of(w, "a"), RUN_DELIVERING);
	say(w, EV_FAILED, "a");
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_REFUSED);
	assert_string_equal(core_find(w->core, "a")->reason, "vault/secrets/TOKEN.age: damaged");
}

static bool noted(const struct world *w, const char *text)
{
	for (size_t i = 0; i < w->effects.n; i++)
		if (w->effects.v[i].kind == EFFECT_NOTE && strstr(w->effects.v[i].text, text))
			return true;
	return false;
}

/* A disk that stays full is told of once, however often it is tried, and once more when it is not full any more. guard: disk_noted in core.c */
static void test_full_disk_is_noted_once(void **state)
{
	struct world *w = *state;

	roles_up(w);
	land(w, "a");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(state_of(w, "a"), RUN_CLAIMING);
		step(w, (struct event){.kind = EV_JOURNALED, .id = "a", .journal = JOURNAL_CLAIMED, .reason = "No space left on device"});
		assert_true(noted(w, "the spool can't be written: No space left on device") == (i == 0));
		w->now += 60000;
		step(w, (struct event){.kind = EV_TICK});
	}
	journaled(w, "a", JOURNAL_CLAIMED);
	assert_true(noted(w, "the spool can be written again"));
	journaled(w, "a", JOURNAL_STARTING);
	assert_false(noted(w, "the spool can be written again"));
}

static void test_failed_journal_stops_the_effect(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_committing(w, "a");
	step(w,
	     (struct event){.kind = EV_JOURNALED, .id = "a", .journal = JOURNAL_GOING, .ok = false, .reason = "No space left on device"});
	assert_null(effect_of(w, EFFECT_GO));
	assert_non_null(effect_of(w, EFFECT_KILL));
	assert_string_equal(core_hold(w->core), "No space left on device");
	land(w, "b");
	assert_int_equal(state_of(w, "b"), RUN_QUEUED); /* a full disk stops new claims … */
	w->now += 5000;
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(state_of(w, "b"), RUN_CLAIMING); /* … and they resume by themselves */
}

static void test_engine_that_dies_before_go_is_not_told_go(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_committing(w, "a");
	step(w, (struct event){.kind = EV_ROLE_DOWN, .role_engine = true});
	journaled(w, "a", JOURNAL_GOING);
	assert_null(effect_of(w, EFFECT_GO));
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_CLAIMED); /* `going` must not stay on disk */
}

static void test_engine_that_dies_after_go_makes_it_followed(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	step(w, (struct event){.kind = EV_ROLE_DOWN, .role_engine = true});
	assert_int_equal(state_of(w, "a"), RUN_GOING);
	step(w, (struct event){.kind = EV_ROLE_UP, .role_engine = true});
	assert_non_null(effect_of(w, EFFECT_FOLLOW));
	assert_null(effect_of(w, EFFECT_START));
}

static void test_never_begun_by_its_own_word_is_made_again(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	exited(w, "a", "not_started", 70, false);
	assert_int_equal(state_of(w, "a"), RUN_WAITING);
	assert_int_equal(effect_of(w, EFFECT_JOURNAL)->journal, JOURNAL_CLAIMED);
}

static void test_without_a_report_it_is_lost(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	exited(w, "a", NULL, 137, true);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_LOST);
	assert_non_null(strstr(core_find(w->core, "a")->reason, "new id"));
}

/* guard: x->oom in finish_by_report, dispatcher/core/end.c */
static void test_threat_33_out_of_memory_is_no_success(void **state)
{
	struct world *w = *state;
	cleanup_json json_t *report = json_pack("{s:s, s:i}", "outcome", "succeeded", "exit_code", 0);
	struct exited x = {.going = true, .report = report, .has_exit_code = true, .exit_code = 0, .oom = true};

	roles_up(w);
	bring_to_going(w, "a");
	step(w, (struct event){.kind = EV_EXITED, .id = "a", .attempt = 1, .exited = &x});
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_FAILED);
	assert_int_equal(core_find(w->core, "a")->exit_code, 137);
	assert_non_null(strstr(core_find(w->core, "a")->reason, "out of memory"));
}

static void test_cancel_while_running(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	step(w, (struct event){.kind = EV_CANCEL, .id = "a", .reason = "changed my mind"});
	assert_non_null(effect_of(w, EFFECT_HALT));
	exited(w, "a", "cancelled", 143, true);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_CANCELLED);
	assert_int_equal(core_find(w->core, "a")->exit_code, 130);
	assert_string_equal(core_find(w->core, "a")->reason, "changed my mind");
}

/* A cancellation is on disk before anything comes of it, and a later life keeps to it. guard: core_cancel in core/end.c, core_recovered in core/core.c */
static void test_cancel_outlives_the_dispatcher(void **state)
{
	struct world *w = *state;
	static const struct {
		enum journal journal;
		enum run_state state;
	} at[] = {{JOURNAL_STARTING, RUN_STARTING}, {JOURNAL_GOING, RUN_GOING}};

	roles_up(w);
	bring_to_going(w, "b");
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	for (int i = 0; i < 2; i++) {
		const char *id = i == 0 ? "a" : "b";
		assert_int_equal(state_of(w, id), at[i].state);
		step(w, (struct event){.kind = EV_CANCEL, .id = id, .reason = "changed my mind"});
		assert_int_equal(w->effects.v[0].kind, EFFECT_JOURNAL);
		assert_int_equal(w->effects.v[0].journal, at[i].journal);
		journaled(w, id, at[i].journal);
		assert_int_equal(state_of(w, id), at[i].state);
	}
}

static void test_a_cancelled_start_of_an_earlier_life_ends(void **state)
{
	struct world *w = *state;

	recover_cancelled(w, "a", JOURNAL_STARTING, "changed my mind");
	assert_int_equal(state_of(w, "a"), RUN_ENDING);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_CANCELLED);
	assert_string_equal(core_find(w->core, "a")->reason, "changed my mind");
	recover_cancelled(w, "b", JOURNAL_GOING, "changed my mind");
	step(w, (struct event){.kind = EV_ROLE_UP, .role_engine = true});
	assert_non_null(effect_of(w, EFFECT_HALT));
}

/* Its file is removed while it is being started, and while it runs. guard: core_gone in core/end.c */
static void test_removed_before_it_ran(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "b");
	land(w, "a");
	journaled(w, "a", JOURNAL_CLAIMED);
	journaled(w, "a", JOURNAL_STARTING);
	for (int i = 0; i < 2; i++)
		step(w, (struct event){.kind = EV_GONE, .id = i == 0 ? "b" : "a", .reason = "vault/actions/x.json was removed"});
	assert_non_null(effect_of(w, EFFECT_KILL));
	say(w, EV_FAILED, "a");
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_CANCELLED);
	assert_string_equal(core_find(w->core, "a")->reason, "vault/actions/x.json was removed");
	assert_int_equal(state_of(w, "b"), RUN_GOING);
	assert_int_equal(core_find(w->core, "b")->halt, HALT_NONE);
}

static void test_cancel_before_landing(void **state)
{
	struct world *w = *state;

	roles_up(w);
	step(w, (struct event){.kind = EV_CANCEL, .id = "a", .reason = "never"});
	land(w, "a");
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_CANCELLED);
}

static void test_overtime_is_killed(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	w->now += 61 * 60000;
	step(w, (struct event){.kind = EV_TICK});
	assert_null(effect_of(w, EFFECT_KILL)); /* the runner's own timeout comes first */
	w->now = core_next_ms(w->core);
	step(w, (struct event){.kind = EV_TICK});
	assert_non_null(effect_of(w, EFFECT_KILL));
	exited(w, "a", NULL, 137, true);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_TIMED_OUT);
	assert_int_equal(core_find(w->core, "a")->exit_code, 124);
}

/* An engine may try in vain, to kill what takes too long or to end what was cancelled. guard: core_overtime in core/end.c */
static void test_overtime_is_killed_until_it_ends(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	bring_to_going(w, "b");
	step(w, (struct event){.kind = EV_CANCEL, .id = "b", .reason = "no"});
	assert_non_null(effect_of(w, EFFECT_HALT));
	for (int i = 0; i < 3; i++) {
		w->now = core_next_ms(w->core);
		step(w, (struct event){.kind = EV_TICK});
		assert_string_equal(effect_of(w, EFFECT_KILL)->run->id, "a");
		assert_int_equal(w->effects.n, 2); /* b too */
	}
	step(w, (struct event){.kind = EV_ENGINE, .ok = false, .reason = "no socket"}); /* nobody is there to be asked */
	w->now = core_next_ms(w->core);
	step(w, (struct event){.kind = EV_TICK});
	assert_int_equal(w->effects.n, 0);
	exited(w, "b", NULL, 137, true);
	assert_int_equal(core_find(w->core, "b")->outcome, OUTCOME_CANCELLED);
	exited(w, "a", NULL, 137, true);
	assert_int_equal(core_find(w->core, "a")->outcome, OUTCOME_TIMED_OUT);
	assert_int_equal(core_next_ms(w->core), -1);
}

/* guard: landed_again in core/start.c */
static void test_threat_08_edit_before_it_is_taken_counts_and_after_does_not(void **state)
{
	struct world *w = *state;

	land(w, "a");
	land_with(w, "a", "b2", NULL, NULL);
	assert_string_equal(core_find(w->core, "a")->action_blob, "b2");
	roles_up(w);
	land_with(w, "a", "b3", NULL, NULL);
	assert_string_equal(core_find(w->core, "a")->action_blob, "b2");
	assert_non_null(strstr(effect_of(w, EFFECT_NOTE)->text, "edited"));
}

/* guard: as above */
static void test_threat_08_done_is_taken_for_ever(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_going(w, "a");
	exited(w, "a", "succeeded", 0, true);
	journaled(w, "a", JOURNAL_RESULT);
	say(w, EV_RECORDED, "a");
	journaled(w, "a", JOURNAL_RECORDED);
	land(w, "a");
	assert_null(effect_of(w, EFFECT_JOURNAL));
	assert_int_equal(state_of(w, "a"), RUN_DONE);
}

static void test_recovery(void **state)
{
	struct world *w = *state;

	recover(w, "claimed", JOURNAL_CLAIMED);
	recover(w, "starting", JOURNAL_STARTING);
	recover(w, "going", JOURNAL_GOING);
	recover(w, "result", JOURNAL_RESULT);
	recover(w, "recorded", JOURNAL_RECORDED);
	assert_int_equal(state_of(w, "claimed"), RUN_WAITING);
	assert_int_equal(state_of(w, "starting"), RUN_WAITING);
	assert_int_equal(state_of(w, "going"), RUN_GOING);
	assert_int_equal(state_of(w, "result"), RUN_RECORDING);
	assert_int_equal(state_of(w, "recorded"), RUN_DONE);
	step(w, (struct event){.kind = EV_ROLE_UP, .role_engine = true});
	assert_string_equal(effect_of(w, EFFECT_FOLLOW)->run->id, "going");
	step(w, (struct event){.kind = EV_ROLE_UP, .role_git = true});
	assert_string_equal(effect_of(w, EFFECT_RECORD)->run->id, "result");
	assert_int_equal(core_active(w->core), 1);
}

/* The secrets of an action that waits are read anew after a restart, and may have become wrong since; what runs has its own. */
static void test_secrets_that_became_wrong_are_not_taken_after_a_restart(void **state)
{
	struct world *w = *state;

	recover(w, "claimed", JOURNAL_CLAIMED);
	recover(w, "waits", JOURNAL_CLAIMED);
	recover(w, "going", JOURNAL_GOING);
	land_with(w, "claimed", "b1", "vault/secrets/TOKEN.age: was encrypted as OTHER", NULL);
	land_with(w, "waits", "b1", NULL, "vault/secrets can't be read");
	land_with(w, "going", "b1", "vault/secrets/TOKEN.age: was encrypted as OTHER", NULL);
	assert_int_equal(core_find(w->core, "claimed")->outcome, OUTCOME_REFUSED);
	assert_string_equal(core_find(w->core, "claimed")->reason, "vault/secrets/TOKEN.age: was encrypted as OTHER");
	assert_int_equal(state_of(w, "waits"), RUN_WAITING);
	assert_string_equal(core_find(w->core, "waits")->reason, "vault/secrets can't be read");
	assert_null(core_find(w->core, "waits")->secrets);
	assert_int_equal(state_of(w, "going"), RUN_GOING);
	assert_null(core_find(w->core, "going")->secrets);
	land(w, "waits");
	assert_int_equal(state_of(w, "waits"), RUN_QUEUED);
}

/*
 * THREATS 28: extra decryptions. The git role sends a ciphertext that the action does not name (land() does); it never reaches the keyring, and no
 * result says that it was used. Guard: take_secrets() in core/start.c; with all of them taken this fails.
 */
static void test_threat_28_extra_decryptions(void **state)
{
	struct world *w = *state;

	roles_up(w);
	bring_to_committing(w, "a");
	const struct run *r = core_find(w->core, "a");
	assert_int_equal(json_object_size(r->secrets), 1);
	assert_non_null(json_object_get(r->secrets, "TOKEN"));
	assert_int_equal(json_object_size(r->secret_blobs), 1);
	assert_string_equal(json_string_value(json_object_get(r->secret_blobs, "TOKEN")), "5b");

	recover(w, "b", JOURNAL_CLAIMED); /* and as little after a restart */
	land(w, "b");
	assert_int_equal(json_object_size(core_find(w->core, "b")->secrets), 1);
}

/*
 * A thousand actions in one merge, one of which always fails to start, and one that lands while they run: each gets its turn, in the order of landing. guard: the queue's order
 * and the retry's delay in core/start.c
 */
static void test_threat_11_nothing_starves(void **state)
{
	struct world *w = *state;
	char order[1002][8];
	int n = 0;

	roles_up(w);
	for (int i = 0; i < 1000; i++) {
		snprintf(order[i], sizeof(order[i]), "m%04d", 999 - i); /* not the order of names */
		land(w, order[i]);
	}
	snprintf(order[1000], sizeof(order[1000]), "later");
	for (; n < 1001; n++) {
		const char *id = order[n];
		if (n == 500)
			land(w, order[1000]);
		if (state_of(w, id) != RUN_CLAIMING)
			fail_msg("%s is not the next one, number %d", id, n);
		assert_int_equal(core_active(w->core), n < 1000 ? 2 : 1);
		journaled(w, id, JOURNAL_CLAIMED);
		journaled(w, id, JOURNAL_STARTING);
		if (n == 3) { /* it comes back later, and holds nobody up until then */
			say(w, EV_FAILED, id);
			assert_int_equal(state_of(w, id), RUN_WAITING);
			continue;
		}
		say(w, EV_READY, id);
		say(w, EV_DECRYPTED, id);
		say(w, EV_DELIVERED, id);
		journaled(w, id, JOURNAL_GOING);
		exited(w, id, "succeeded", 0, true);
		journaled(w, id, JOURNAL_RESULT);
		say(w, EV_RECORDED, id);
		journaled(w, id, JOURNAL_RECORDED);
	}
	for (int i = 0; i < 1001; i++)
		assert_int_equal(state_of(w, order[i]), i == 3 ? RUN_WAITING : RUN_DONE);
}

static void test_stop_starts_nothing_new(void **state)
{
	struct world *w = *state;

	roles_up(w);
	step(w, (struct event){.kind = EV_STOP});
	land(w, "a");
	assert_int_equal(state_of(w, "a"), RUN_QUEUED);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, local_setup, world_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_whole_life),
	    T(test_capacity_in_order_of_landing),
	    T(test_nothing_starts_without_engine),
	    T(test_refused_is_recorded_and_never_started),
	    T(test_what_cannot_be_judged_waits_for_git),
	    T(test_what_may_not_start_any_more_is_not_tried_again),
	    T(test_failed_start_is_tried_again_later),
	    T(test_failed_start_that_will_never_work_is_refused),
	    T(test_damaged_secret_ends_the_container_before_the_refusal),
	    T(test_full_disk_is_noted_once),
	    T(test_failed_journal_stops_the_effect),
	    T(test_engine_that_dies_before_go_is_not_told_go),
	    T(test_engine_that_dies_after_go_makes_it_followed),
	    T(test_never_begun_by_its_own_word_is_made_again),
	    T(test_without_a_report_it_is_lost),
	    T(test_threat_33_out_of_memory_is_no_success),
	    T(test_cancel_while_running),
	    T(test_cancel_outlives_the_dispatcher),
	    T(test_a_cancelled_start_of_an_earlier_life_ends),
	    T(test_removed_before_it_ran),
	    T(test_cancel_before_landing),
	    T(test_overtime_is_killed),
	    T(test_overtime_is_killed_until_it_ends),
	    T(test_threat_08_edit_before_it_is_taken_counts_and_after_does_not),
	    T(test_threat_08_done_is_taken_for_ever),
	    T(test_recovery),
	    T(test_secrets_that_became_wrong_are_not_taken_after_a_restart),
	    T(test_threat_28_extra_decryptions),
	    T(test_threat_11_nothing_starves),
	    T(test_stop_starts_nothing_new),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
