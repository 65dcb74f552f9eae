/* The ledger through the git role: claims, lives, the backlog, decisions, foreign results. */
#include "tests/unit/ledger_house.h"

/* ---- claims ---- */

static void test_begins(void **state)
{
	struct house *h = *state;
	git_oid tip = land_basics(h);
	begin(h, "polled yes\n");
	struct ledger_origin origin;
	struct ledger_life life;
	cleanup_free char *o = ledger_file(h, LEDGER_ORIGIN), *l = ledger_file(h, "dispatchers/edge1.json");
	assert_int_equal(ledger_origin_parse(o, strlen(o), &origin, NULL), 0);
	assert_true(origin.accepted); /* nothing waits, so nobody has to be asked */
	assert_true(git_oid_equal(&origin.tip, &tip));
	assert_int_equal(ledger_life_parse(l, strlen(l), &life, NULL), 0);
	assert_string_equal(life.incarnation, "edge1-life1");

	assert_int_equal(stop(h), 0);
	begin(h, "polled yes\n");
	cleanup_free char *second = ledger_file(h, "dispatchers/edge1.json");
	assert_non_null(strstr(second, "edge1-life2"));
	assert_int_equal(commits(h, LEDGER_REF), 2);
}

static void test_claim_and_record(void **state)
{
	struct house *h = *state;
	struct ledger_done done;
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	struct ledger_claim c = claim_of(h, "a");
	assert_string_equal(c.dispatcher, "edge1");
	assert_string_equal(c.incarnation, "edge1-life1");
	assert_string_equal(c.nonce, "n1");
	assert_int_equal(c.attempt, 1);
	assert_false(has_done(h, "a", &done));
	expect_poll(h, "polled yes\n");

	finish(h, "a", "n1", 1);
	git_oid main_tip = ref_of(h, "refs/heads/main"), view;
	cleanup_free char *text = result_text("a", "n1", 1, "succeeded");
	char digest[65];
	ledger_digest(text, strlen(text), digest);
	assert_true(has_done(h, "a", &done));
	assert_string_equal(done.digest, digest);
	assert_int_equal(done.outcome, OUTCOME_SUCCEEDED);
	assert_true(git_oid_equal(&done.commit, &main_tip));
	cleanup_free char *v = ledger_file(h, LEDGER_VIEW);
	assert_int_equal(ledger_view_parse(v, strlen(v), &view, NULL), 0);
	assert_true(git_oid_equal(&view, &main_tip));
	expect_poll(h, "polled yes\n"); /* our own is no news */
	finish(h, "a", "n1", 1);        /* asked again, after a crash of core */
	send_claim(h, "a", 1, "n2", "n1");
	expect_reason(h, "claim_lost", "a", "finished");
	expect_poll(h, "polled yes\n");
}

/* All that is ready makes one commit. */
static void test_group_commit(void **state)
{
	struct house *h = *state;
	struct err err = ERR_INIT;
	land_basics(h);
	begin(h, "polled yes\n");
	size_t before = commits(h, LEDGER_REF);
	for (int i = 0; i < 40; i++) {
		cleanup_free char *id = xasprintf("g%d", i);
		cleanup_json json_t *m = msg_new(MSG_CLAIM, "{s:s, s:i, s:s, s:[], s:I}", "id", id, "attempt", 1, "nonce", "n", "mine",
		                                 "deadline", (json_int_t)time(NULL) + 60);
		msg_queue(&h->conn, m, -1);
	}
	assert_ok(msg_flush(&h->conn, &err), &err);
	for (int i = 0; i < 40; i++)
		expect_only(h, "claimed", NULL);
	assert_int_equal(commits(h, LEDGER_REF), before + 1);
}

/* While runs are under way that may bring more, claims are pushed at most every 100 ms, and a done entry waits half a second for one. guard: ledger_push_at_ms in
 * dispatcher/git/claim.c */
static void test_entries_wait_for_others(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	land_action(h, "b", "");
	land_action(h, "c", "");
	expect_poll(h, "landed a\nlanded b\nlanded c\npolled yes\n");
	int64_t t0 = now_mono_ms();
	claim(h, "a", 1, "n1", NULL);
	claim(h, "b", 1, "n2", NULL);
	assert_in_range(now_mono_ms() - t0, 100, INT64_MAX);
	t0 = now_mono_ms();
	finish(h, "a", "n1", 1);
	assert_in_range(now_mono_ms() - t0, 500, INT64_MAX);
}

/* Two dispatchers, one action: the second one hears that it is gone, and can't have it. guard: why_lost in dispatcher/git/claim.c */
static void test_two_dispatchers(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *other = another(h, "edge2");
	cleanup_json json_t *all = json_array();
	land_basics(h);
	begin(h, "polled yes\n");
	begin(other, "polled yes\n");
	land_action(h, "a", "");
	land_action(h, "b", "");
	expect_poll(h, "landed a\nlanded b\npolled yes\n");
	expect_poll(other, "landed a\nlanded b\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	send_claim(other, "a", 1, "m1", NULL); /* it has not seen the claim yet: its push loses the race */
	expect_reason(other, "claim_lost", "a", "dispatcher edge1 has claimed it");
	cleanup_free char *lines = until_polled(other, NULL); /* the news came by the way */
	assert_string_equal(lines, "polled yes\n");
	claim(h, "b", 1, "n2", NULL);
	cleanup_free char *got = poll_for(other, all);
	assert_string_equal(got, "gone b\npolled yes\n");
	assert_true(json_is_true(json_object_get(json_array_get(all, 0), "taken")));
	assert_false(json_is_true(json_object_get(json_array_get(all, 0), "ok")));
	finish(h, "a", "n1", 1);
	finish(h, "b", "n2", 1);
	expect_poll(other, "polled yes\n");
	assert_string_equal(claim_of(h, "a").dispatcher, "edge1");
	stop(other);
	begin(other, "polled yes\n"); /* nor is it told of them at its next start */
}

static void test_reclaim_after_restart(void **state)
{
	struct house *h = *state;
	land_basics(h);
	land(h->f.repo, "vault/actions/.gitkeep", "");
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	stop(h);
	begin(h, "landed a\npolled yes\n"); /* claimed by us: core may need it */
	send_claim(h, "a", 1, "n2", "stranger");
	expect_reason(h, "claim_lost", "a", "settle a lost|rerun");
	claim(h, "a", 1, "n2", "n1");
	assert_string_equal(claim_of(h, "a").nonce, "n2");
	assert_string_equal(claim_of(h, "a").incarnation, "edge1-life2");
	claim(h, "a", 1, "n2", "n1"); /* said again: confirmed */
	send_claim(h, "a", 1, "n3", "n1");
	expect_only(h, "claim_lost", "a"); /* n1 is history */
	claim(h, "a", 2, "n4", "n2");      /* retry: safe */
	assert_int_equal(claim_of(h, "a").attempt, 2);
	send_claim(h, "a", 1, "n5", "n4");
	expect_reason(h, "claim_lost", "a", "attempt 2");
}

/* A claim is confirmed by what the server says now. guard: must_confirm in dispatcher/git/claim.c */
static void test_confirmation_asks_the_server(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	claim(h, "a", 1, "n1", NULL);
	struct ledger_claim c = claim_of(h, "a");
	memcpy(c.nonce, "zz", 3); /* by a copy of the spool, say, whose life it is by now */
	cleanup_free char *text = ledger_claim_text(&c), *path = ledger_claim_path("a");
	forge_entry(h, path, text);
	send_claim(h, "a", 1, "n1", NULL);
	expect_only(h, "claim_lost", "a");
}

/* ---- lives ---- */

/* A copy of the spool began a life of its own: the first one ends at its next word with the ledger. guard: life_check in dispatcher/git/incarnate.c */
static void test_copied_spool(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *copy = another(h, "edge1");
	land_basics(h);
	begin(h, "polled yes\n");
	json_decref(copy->former);
	copy->former = json_deep_copy(h->former);
	copy->life = 100;
	begin(copy, "polled yes\n"); /* it remembers the same life, so it goes on from it */
	send_claim(h, "a", 1, "n1", NULL);
	cleanup_json json_t *m = expect(h, "incarnated", NULL);
	assert_false(json_is_true(json_object_get(m, "ok")));
	assert_non_null(strstr(str(m, "reason"), "another dispatcher works under the name edge1"));
	assert_int_equal(claim_of(h, "a").attempt, 0);
	claim(copy, "a", 1, "m1", NULL);

	/* And so does a start of an old copy. */
	stop(h);
	start(h);
	free(until_polled(h, NULL));
	cleanup_json json_t *again = expect(h, "incarnated", NULL);
	assert_false(json_is_true(json_object_get(again, "ok")));
}

/* The spool is gone: the name is taken over, but not its claims. */
static void test_lost_spool(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	stop(h);
	cleanup_house struct house *fresh = another(h, "edge1");
	fresh->life = 50;
	begin(fresh, "landed a\npolled yes\n");
	send_claim(fresh, "a", 1, "m1", NULL);
	expect_reason(fresh, "claim_lost", "a", "earlier life of this dispatcher");
}

/* ---- the backlog, and what an operator decides ---- */

static void test_backlog(void **state)
{
	struct house *h = *state;
	land_basics(h);
	land_action(h, "old", "");
	land_action(h, "done", "");
	land(h->f.repo, "vault/actions/done.result.json", "{}");
	begin(h, "landed old wait\npolled yes\n");
	assert_int_equal(h->backlog, 1);
	land_action(h, "new", "");
	expect_poll(h, "landed new\npolled yes\n");
	stop(h);
	begin(h, "landed old wait\nlanded new\npolled yes\n");
	decided(h, "backlog", NULL, NULL);
	cleanup_free char *lines = until_polled(h, NULL);
	assert_string_equal(lines, "landed old\npolled yes\n");
	assert_int_equal(h->backlog, 0);
	claim(h, "old", 1, "n1", NULL);
	decided(h, "backlog", NULL, NULL); /* said twice: it is so */
}

static void test_rerun(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *other = another(h, "edge2");
	cleanup_json json_t *all = json_array();
	land_basics(h);
	begin(h, "polled yes\n");
	begin(other, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	refused(h, "rerun", "a", NULL, "nobody has claimed a");
	claim(h, "a", 1, "n1", NULL);
	expect_poll(other, "polled yes\n");
	decided(other, "rerun", "a", NULL);
	assert_true(claim_of(h, "a").free);
	assert_int_equal(claim_of(h, "a").attempt, 2);
	cleanup_free char *lines = until_polled(other, all);
	assert_string_equal(lines, "landed a\npolled yes\n");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(all, 0), "attempt")), 2);
	decided(other, "rerun", "a", NULL); /* it is free already, for the same attempt */
	assert_int_equal(claim_of(h, "a").attempt, 2);
	expect_poll(h, "landed a\npolled yes\n");

	/* Attempt 1 is nobody's any more, and what it found out comes too late. */
	send_claim(h, "a", 1, "n2", "n1");
	expect_reason(h, "claim_lost", "a", "attempt 2");
	send_result(h, "a", "n1", 1);
	cleanup_json json_t *gone = expect(h, "gone", "a");
	assert_true(json_is_true(json_object_get(gone, "ok")));
	claim(other, "a", 2, "m1", NULL);
	finish(other, "a", "m1", 2);
	refused(other, "rerun", "a", NULL, "has a result already");
	refused(other, "lost", "a", "{}", "has a result already");
}

/*
 * Its dispatcher died between its result and the done entry, and never comes back: an operator's word lets the result count. A stranger's does not. guard: what
 * finish_standing in dispatcher/git/decide.c compares
 */
static void test_settled_with_the_result_that_stands(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *other = another(h, "edge2");
	struct ledger_done done;
	land_basics(h);
	begin(h, "polled yes\n");
	begin(other, "polled yes\n");
	land_action(h, "a", "");
	land_action(h, "b", "");
	expect_poll(h, "landed a\nlanded b\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	claim(h, "b", 1, "m1", NULL);
	cleanup_free char *ours = result_text("a", "n1", 1, "succeeded"), *strange = result_text("b", "forged", 1, "succeeded");
	cleanup_free char *lost = result_text("a", "whose", 9, "lost");
	land(h->f.repo, "vault/actions/a.result.json", ours);
	land(h->f.repo, "vault/actions/b.result.json", strange);
	expect_poll(other, "polled yes\n");
	decided(other, "lost", "a", lost);
	assert_true(has_done(h, "a", &done));
	assert_int_equal(done.outcome, OUTCOME_SUCCEEDED);
	refused(other, "lost", "b", lost, "has a result already");
	assert_false(has_done(h, "b", &done));
}

/* An operator's dispatcher recorded a run as lost, and died before it wrote that into the ledger; the run comes back. guard: give_way in dispatcher/git/record.c */
static void test_result_gives_way_to_one_of_its_claim(void **state)
{
	struct house *h = *state;
	struct ledger_done done;
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	cleanup_free char *lost = result_text("a", "n1", 1, "lost");
	land(h->f.repo, "vault/actions/a.result.json", lost);
	send_result(h, "a", "n1", 1);
	cleanup_json json_t *gone = expect(h, "gone", "a");
	assert_true(json_is_true(json_object_get(gone, "ok")));
	expect_only(h, "recorded", "a"); /* which core does not wait for any more */
	assert_true(has_done(h, "a", &done));
	assert_int_equal(done.outcome, OUTCOME_LOST);
}

/* Both are said before git looks at either: as when core began to start what an operator has just settled. */
static void say_at_once(struct house *h, json_t *first, json_t *second)
{
	kill(h->pid, SIGSTOP);
	send_msg(h, first);
	send_msg(h, second);
	kill(h->pid, SIGCONT);
}

static json_t *claim_again(const char *id)
{
	return msg_new(MSG_CLAIM, "{s:s, s:i, s:s, s:[s], s:s, s:I}", "id", id, "attempt", 1, "nonce", "n2", "mine", "n1", "action_blob",
	               "0123456789abcdef0123456789abcdef01234567", "deadline", (json_int_t)time(NULL) + 3600);
}

static void poll_for_no_claim(struct house *h)
{
	cleanup_free char *said = poll_for(h, NULL);
	if (strstr(said, "claimed"))
		fail_msg("claimed what was settled: %s", said);
}

static json_t *rerun(const char *id)
{
	return msg_new(MSG_DECIDE, "{s:i, s:s, s:s}", "ask", 7, "what", "rerun", "id", id);
}

/* What would be two runs: the claim of the one attempt, and the freedom of the next. guard: is_drafted and record_has in dispatcher/git/claim.c */
static void test_settled_while_it_is_claimed(void **state)
{
	struct house *h = *state;
	cleanup_free char *lost = result_text("c", "", 1, "lost");
	land_basics(h);
	begin(h, "polled yes\n");
	for (int i = 0; i < 3; i++)
		land_action(h, i == 0 ? "a" : i == 1 ? "b" : "c", "");
	expect_poll(h, "landed a\nlanded b\nlanded c\npolled yes\n");
	for (int i = 0; i < 3; i++)
		claim(h, i == 0 ? "a" : i == 1 ? "b" : "c", 1, "n1", NULL);
	say_at_once(h, rerun("a"), claim_again("a"));
	await(h, "claim_lost", "a");
	assert_int_equal(claim_of(h, "a").attempt, 2);
	assert_true(claim_of(h, "a").free);

	say_at_once(h, claim_again("b"), rerun("b"));
	for (bool answered = false; !answered;) {
		cleanup_json json_t *m = next(h);
		answered = strcmp(str(m, "kind"), "decided") == 0;
		if (answered)
			assert_non_null(strstr(str(m, "reason"), "is being started here just now"));
	}
	await(h, "claimed", "b");
	assert_string_equal(claim_of(h, "b").nonce, "n2");
	assert_false(claim_of(h, "b").free);

	/* Also as long as what the operator said can't be recorded. */
	hook(h, "update", "#!/bin/sh\n[ \"$1\" != refs/heads/main ]\n");
	say_at_once(h, msg_new(MSG_DECIDE, "{s:i, s:s, s:s, s:s}", "ask", 7, "what", "lost", "id", "c", "result", lost), claim_again("c"));
	expect_reason(h, "record_state", NULL, "hook declined");
	poll_for_no_claim(h);
	hook(h, "update", NULL);
	poll_for_no_claim(h);
	await(h, "claim_lost", "c");
	assert_string_equal(claim_of(h, "c").nonce, "n1");

	/* A claim that is only asked about loses nothing to its own result. */
	claim(h, "d", 1, "n1", NULL);
	cleanup_free char *text = result_text("d", "n1", 1, "cancelled");
	json_t *asked = claim_again("d");
	json_object_set_new(asked, "nonce", json_string("n1"));
	say_at_once(h, msg_new(MSG_RECORD, "{s:s, s:s}", "id", "d", "result", text), asked);
	for (int i = 0; i < 2;) {
		cleanup_json json_t *m = next(h);
		assert_string_not_equal(str(m, "kind"), "claim_lost");
		i += str(m, "id") && strcmp(str(m, "id"), "d") == 0;
	}
}

/* An operator settled it at another dispatcher, which came as far as the result. guard: result_stands in dispatcher/git/claim.c */
static void test_settled_elsewhere_while_it_is_claimed(void **state)
{
	struct house *h = *state;
	struct ledger_done done;
	cleanup_free char *lost = result_text("a", "n1", 1, "lost");
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	land(h->f.repo, "vault/actions/a.result.json", lost);
	expect_poll(h, "polled yes\n");
	send_claim(h, "a", 1, "n2", "n1");
	expect_reason(h, "claim_lost", "a", "its result stands already");
	expect_only(h, "recorded", "a");
	assert_true(has_done(h, "a", &done));
	assert_int_equal(done.outcome, OUTCOME_LOST);
	assert_string_equal(claim_of(h, "a").nonce, "n1");
}

static void test_settled_as_lost(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *other = another(h, "edge2");
	struct ledger_done done;
	land_basics(h);
	begin(h, "polled yes\n");
	begin(other, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	expect_poll(other, "polled yes\n");
	cleanup_free char *text = result_text("a", "whose", 9, "lost");
	decided(other, "lost", "a", text);
	assert_true(has_done(h, "a", &done));
	assert_int_equal(done.outcome, OUTCOME_LOST);
	assert_int_equal(done.attempt, 1);
	send_result(h, "a", "n1", 1); /* it comes back after all */
	expect_only(h, "gone", "a");
	refused(other, "lost", "b", text, "nobody has claimed b");
}

static void test_overdue(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	land_basics(h);
	begin(h, "polled yes\n");
	send_msg(h, msg_new(MSG_CLAIM, "{s:s, s:i, s:s, s:[], s:I}", "id", "a", "attempt", 1, "nonce", "n1", "mine", "deadline",
	                    (json_int_t)time(NULL) - 1));
	expect_only(h, "claimed", "a");
	claim(h, "b", 1, "n2", NULL);
	free(poll_for(h, all));
	const json_t *overdue = json_object_get(json_array_get(all, 0), "overdue");
	assert_int_equal(json_array_size(overdue), 1);
	assert_string_equal(str(json_array_get(overdue, 0), "id"), "a");
	assert_string_equal(str(json_array_get(overdue, 0), "dispatcher"), "edge1");
	finish(h, "a", "n1", 1);
	expect_poll(h, "polled yes\n");
	assert_int_equal(h->overdue, 0);
}

/* ---- foreign results ---- */

/*
 * A result that came with its own request is nobody's: the action does not run, and is not finished. guard: on_result and why_taken in
 * dispatcher/git/announce.c
 */
static void test_threat_10_a_foreign_result(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	const char *a = "{\"id\": \"a\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}";
	const struct git_change both[] = {{"vault/actions/a.json", a, strlen(a)}, {"vault/actions/a.result.json", "{}", 2}};
	git_oid base = land_basics(h);
	begin(h, "polled yes\n");
	git_oid merge = commit_on(h->f.repo, &base, both, 2, "merge");
	set_ref(h->f.repo, "refs/heads/main", &merge);
	cleanup_free char *lines = poll_for(h, all);
	assert_string_equal(lines, "landed a wait\npolled yes\n");
	assert_non_null(strstr(str(json_array_get(all, 0), "wait"), "no dispatcher recorded stands at vault/actions/a.result.json"));
	stop(h);
	begin(h, "landed a wait\npolled yes\n");

	/* One that is put there while the action runs keeps ours back until it is taken away. guard: superseded in dispatcher/git/record.c */
	land_action(h, "b", "");
	expect_poll(h, "landed b\npolled yes\n");
	claim(h, "b", 1, "n1", NULL);
	land(h->f.repo, "vault/actions/b.result.json", "{}");
	expect_poll(h, "polled yes\n");
	send_result(h, "b", "n1", 1);
	expect_reason(h, "record_state", NULL, "no dispatcher recorded");
	land(h->f.repo, "vault/actions/b.result.json", NULL);
	cleanup_free char *got = poll_for(h, NULL);
	if (!strstr(got, "recorded b"))
		await(h, "recorded", "b");
}

/* What happens to an action, or its result, once it is finished, changes nothing and is reported. guard: compare in dispatcher/git/announce.c */
static void test_threat_08_changed_afterwards(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	finish(h, "a", "n1", 1);
	land(h->f.repo, "vault/actions/a.result.json", "{\"outcome\": \"failed\"}");
	land_action(h, "a", "\"KEY\"");
	cleanup_free char *lines = poll_for(h, all);
	assert_string_equal(lines, "polled yes\n");
	const json_t *notes = json_object_get(json_array_get(all, 0), "notes");
	assert_int_equal(json_array_size(notes), 2);
	assert_string_equal(json_string_value(json_array_get(notes, 0)),
	                    "vault/actions/a.result.json was edited after its result was recorded");
	assert_string_equal(json_string_value(json_array_get(notes, 1)), "vault/actions/a.json was edited after its result was recorded");

	/* Deleted, and added again: the id stays taken, whatever stands on the branch. guard: ops_past_removed and LEDGER_FINISHED in why_taken, either of which is enough */
	land(h->f.repo, "vault/actions/a.result.json", NULL);
	land(h->f.repo, "vault/actions/a.json", NULL);
	expect_poll(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a wait\npolled yes\n");
	send_claim(h, "a", 1, "n2", "n1");
	expect_reason(h, "claim_lost", "a", "finished");
	cleanup_house struct house *other = another(h, "edge2");
	begin(other, "landed a wait\npolled yes\n");
}

/* An argument is a pattern (*, ?): only tests of such names. */
int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_begins, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_claim_and_record, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_group_commit, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_entries_wait_for_others, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_two_dispatchers, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_reclaim_after_restart, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_confirmation_asks_the_server, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_copied_spool, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_spool, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_backlog, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_rerun, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_settled_with_the_result_that_stands, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_result_gives_way_to_one_of_its_claim, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_settled_while_it_is_claimed, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_settled_elsewhere_while_it_is_claimed, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_settled_as_lost, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_overdue, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_10_a_foreign_result, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_08_changed_afterwards, with_ledger, teardown),
	};
	return cmocka_run_group_tests_name("git_ledger", tests, NULL, NULL);
}
