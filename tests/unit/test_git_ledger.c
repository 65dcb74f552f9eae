/* The ledger through the git role, as core sees it: processes at the other end of sockets, in front of one real repository. */
#include "tests/unit/git_house.h"
#include "vault/ledger.h"

#include <time.h>

static int with_ledger(void **state)
{
	static char claims[] = "ledger";
	int rc = setup(state);
	((struct house *)*state)->config.claims = claims;
	return rc;
}

static void forget(struct house **h)
{
	teardown((void **)h);
}
#define cleanup_house __attribute__((cleanup(forget)))

/* ---- what is said ---- */

static json_t *expect(struct house *h, const char *kind, const char *id)
{
	json_t *m = next(h);
	if (strcmp(str(m, "kind"), kind) != 0 || (id && strcmp(str(m, "id"), id) != 0)) {
		cleanup_free char *text = json_dumps(m, 0);
		fail_msg("wanted %s %s, got %s", kind, id ? id : "", text);
	}
	return m;
}

static void expect_only(struct house *h, const char *kind, const char *id)
{
	json_decref(expect(h, kind, id));
}

/* The same, whatever comes before it. */
static void await(struct house *h, const char *kind, const char *id)
{
	for (bool found = false; !found;) {
		cleanup_json json_t *m = next(h);
		found = strcmp(str(m, "kind"), kind) == 0 && (!id || (str(m, "id") && strcmp(str(m, "id"), id) == 0));
	}
}

/* The reason of a message of that kind holds a text. */
static void expect_reason(struct house *h, const char *kind, const char *id, const char *part)
{
	cleanup_json json_t *m = expect(h, kind, id);
	const char *reason = str(m, "reason");
	if (!reason || !strstr(reason, part))
		fail_msg("%s: '%s' does not say '%s'", kind, reason ? reason : "", part);
}

/* Starts it, and waits until it may work. */
static void begin(struct house *h, const char *first)
{
	expect_first(h, first);
	cleanup_json json_t *m = expect(h, "incarnated", NULL);
	assert_true(json_is_true(json_object_get(m, "ok")));
}

static void send_claim(struct house *h, const char *id, int attempt, const char *nonce, const char *mine)
{
	json_t *list = json_array();
	if (mine)
		json_array_append_new(list, json_string(mine));
	send_msg(h, msg_new(MSG_CLAIM, "{s:s, s:i, s:s, s:o, s:s, s:I}", "id", id, "attempt", attempt, "nonce", nonce, "mine", list,
	                    "action_blob", "0123456789abcdef0123456789abcdef01234567", "deadline", (json_int_t)time(NULL) + 3600));
}

static void claim(struct house *h, const char *id, int attempt, const char *nonce, const char *mine)
{
	send_claim(h, id, attempt, nonce, mine);
	cleanup_json json_t *m = expect(h, "claimed", id);
	assert_string_equal(str(m, "nonce"), nonce);
	assert_int_equal(json_integer_value(json_object_get(m, "attempt")), attempt);
}

static char *result_text(const char *id, const char *nonce, int attempt, const char *outcome)
{
	return xasprintf("{\"id\": \"%s\", \"outcome\": \"%s\", \"attempt\": %d, \"claim\": \"%s\"}\n", id, outcome, attempt, nonce);
}

static void send_result(struct house *h, const char *id, const char *nonce, int attempt)
{
	cleanup_free char *text = result_text(id, nonce, attempt, "succeeded");
	send_msg(h, msg_new(MSG_RECORD, "{s:s, s:s}", "id", id, "result", text));
}

static void finish(struct house *h, const char *id, const char *nonce, int attempt)
{
	send_result(h, id, nonce, attempt);
	expect_only(h, "recorded", id);
}

/* An operator's decision; the reason of a no, or NULL. Caller frees. What comes before the answer is dropped. */
static char *decision(struct house *h, const char *what, const char *id, const char *result)
{
	send_msg(h, msg_new(MSG_DECIDE, "{s:i, s:s, s:s?, s:s?}", "ask", 7, "what", what, "id", id, "result", result));
	for (;;) {
		cleanup_json json_t *m = next(h);
		if (strcmp(str(m, "kind"), "decided") != 0)
			continue;
		assert_int_equal(json_integer_value(json_object_get(m, "ask")), 7);
		return json_is_true(json_object_get(m, "ok")) ? NULL : xstrdup(str(m, "reason"));
	}
}

static void decided(struct house *h, const char *what, const char *id, const char *result)
{
	cleanup_free char *no = decision(h, what, id, result);
	if (no)
		fail_msg("%s: %s", what, no);
}

static void refused(struct house *h, const char *what, const char *id, const char *result, const char *part)
{
	cleanup_free char *no = decision(h, what, id, result);
	if (!no || !strstr(no, part))
		fail_msg("%s: '%s' does not say '%s'", what, no ? no : "yes", part);
}

/* ---- what stands on the server ---- */

static git_oid ref_of(struct house *h, const char *ref)
{
	git_oid oid;
	assert_int_equal(git_reference_name_to_id(&oid, h->f.repo, ref), 0);
	return oid;
}

/* A file of the ledger; NULL: there is none. */
static char *ledger_file(struct house *h, const char *path)
{
	struct buf text = BUF_INIT;
	git_oid oid, tip = ref_of(h, LEDGER_REF);
	git_filemode_t mode;
	if (git_repo_entry(h->f.repo, &tip, path, &oid, &mode, NULL) < 0)
		return NULL;
	assert_int_equal(git_repo_blob(h->f.repo, &oid, 65536, &text, NULL), 0);
	return buf_steal(&text);
}

static struct ledger_claim claim_of(struct house *h, const char *id)
{
	struct ledger_claim c = {.attempt = 0};
	struct err err = ERR_INIT;
	cleanup_free char *path = ledger_claim_path(id);
	cleanup_free char *text = ledger_file(h, path);
	if (text)
		assert_ok(ledger_claim_parse(text, strlen(text), &c, &err), &err);
	return c;
}

static bool has_done(struct house *h, const char *id, struct ledger_done *ret)
{
	struct err err = ERR_INIT;
	cleanup_free char *path = ledger_done_path(id);
	cleanup_free char *text = ledger_file(h, path);
	if (text)
		assert_ok(ledger_done_parse(text, strlen(text), ret, &err), &err);
	return text != NULL;
}

/* Puts a file (NULL: takes it away) on the ledger, as somebody who may push could. */
static void forge_entry(struct house *h, const char *path, const char *text)
{
	git_oid tip = ref_of(h, LEDGER_REF);
	struct git_change change = {path, text, text ? strlen(text) : 0};
	git_oid oid = commit_on(h->f.repo, &tip, &change, 1, "forged");
	set_ref(h->f.repo, LEDGER_REF, &oid);
}

static size_t commits(struct house *h, const char *ref)
{
	cleanup_git(git_revwalk) git_revwalk *walk = NULL;
	git_oid oid;
	size_t n = 0;
	assert_int_equal(git_revwalk_new(&walk, h->f.repo), 0);
	assert_int_equal(git_revwalk_push_ref(walk, ref), 0);
	while (git_revwalk_next(&oid, walk) == 0)
		n++;
	return n;
}

static void hook(struct house *h, const char *name, const char *script)
{
	cleanup_free char *path = xasprintf("%s/hooks/%s", h->f.repo_path, name);
	if (script)
		write_file(path, script, 0755);
	else
		assert_int_equal(unlink(path), 0);
}

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

	/* Deleted, and added again: the id stays taken, whatever stands on the branch. guard: LEDGER_FINISHED in why_taken */
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

/* ---- history ---- */

/* guard: branch_fault in dispatcher/git/history.c */
static void test_threat_07_rewritten_branch_freezes(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	git_oid before = land_action(h, "a", "");
	land_action(h, "b", "");
	expect_poll(h, "landed a\nlanded b\npolled yes\n");
	git_oid newest = ref_of(h, "refs/heads/main");
	set_ref(h->f.repo, "refs/heads/main", &before); /* a replica that lags behind */
	expect_poll(h, "gone b\npolled yes\n");
	assert_true(h->frozen);
	send_claim(h, "a", 1, "n1", NULL); /* is kept until that is over */
	expect_poll(h, "polled yes\n");
	set_ref(h->f.repo, "refs/heads/main", &newest);
	cleanup_free char *lines = poll_for(h, NULL);
	assert_non_null(strstr(lines, "landed b"));
	assert_false(h->frozen);
	expect_only(h, "claimed", "a");

	git_oid rewritten = commit_on(h->f.repo, &before, &(struct git_change){"x", "x", 1}, 1, "rewritten");
	set_ref(h->f.repo, "refs/heads/main", &rewritten);
	expect_poll(h, "gone b\npolled yes\n");
	assert_true(h->frozen);
	stop(h);
	expect_first(h, "landed a\npolled yes\n"); /* a restart is no way round it */
	assert_true(h->frozen);
	decided(h, "history", NULL, NULL);
	for (bool polled = false; !polled;) {
		cleanup_json json_t *m = next(h);
		polled = strcmp(str(m, "kind"), "polled") == 0;
		if (polled)
			assert_true(json_is_null(json_object_get(m, "frozen")));
	}
}

/* Everything is there, but the last tip came into the branch from the side: whoever did that decided what landed. guard: on_chain in dispatcher/git/history.c */
static void test_threat_07_turned_round_branch_freezes(void **state)
{
	struct house *h = *state;
	git_oid base = land_basics(h);
	begin(h, "polled yes\n");
	git_oid seen = land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	git_oid side = commit_on(h->f.repo, &base, &(struct git_change){"x", "x", 1}, 1, "side"), merge;
	git_oid parents[] = {side, seen};
	struct err err = ERR_INIT;
	cleanup_free char *text = action_text("a", "");
	git_signature *who = somebody();
	assert_ok(git_repo_commit(h->f.repo, parents, 2, &(struct git_change){"vault/actions/a.json", text, strlen(text)}, 1, who, "merge",
	                          &merge, &err),
	          &err);
	git_signature_free(who);
	set_ref(h->f.repo, "refs/heads/main", &merge);
	free(poll_for(h, NULL));
	assert_true(h->frozen);
}

/* A dispatcher that has never seen the branch before is shown an older state of it: by the ledger it knows. guard: check_view in dispatcher/git/claim.c */
static void test_threat_07_stale_view_claims_nothing(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *fresh = another(h, "edge2");
	git_oid before = land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	claim(h, "a", 1, "n1", NULL);
	finish(h, "a", "n1", 1);
	git_oid newest = ref_of(h, "refs/heads/main");
	set_ref(h->f.repo, "refs/heads/main", &before);
	begin(fresh, "polled yes\n");
	send_claim(fresh, "b", 1, "m1", NULL);
	expect_reason(fresh, "record_state", NULL, "shows an older state");
	assert_int_equal(claim_of(h, "b").attempt, 0);
	set_ref(h->f.repo, "refs/heads/main", &newest);
	expect_only(fresh, "claimed", "b");
}

/* guard: ledger_fault in dispatcher/git/history.c */
static void test_ledger_taken_away(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	claim(h, "a", 1, "n1", NULL);
	expect_poll(h, "polled yes\n");
	assert_int_equal(git_reference_remove(h->f.repo, LEDGER_REF), 0);
	expect_poll(h, "polled yes\n");
	assert_true(h->frozen);
	stop(h);
	expect_first(h, "polled yes\n");
	assert_true(h->frozen); /* and it is not made anew */
	git_oid oid;
	assert_int_equal(git_reference_name_to_id(&oid, h->f.repo, LEDGER_REF), GIT_ENOTFOUND);
	git_error_clear();
	decided(h, "history", NULL, NULL); /* what was seen of it is put back */
	assert_string_equal(claim_of(h, "a").nonce, "n1");
}

/* Rewound and gone on: entries are missing. Those that were seen are put back, and those that came since stay. */
static void test_ledger_rewound(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	git_oid before = ref_of(h, LEDGER_REF);
	claim(h, "a", 1, "n1", NULL);
	expect_poll(h, "polled yes\n");
	set_ref(h->f.repo, LEDGER_REF, &before);
	struct ledger_claim c = {.dispatcher = "edge9", .incarnation = "i", .nonce = "z", .attempt = 1};
	cleanup_free char *text = ledger_claim_text(&c), *path = ledger_claim_path("b");
	forge_entry(h, path, text);
	expect_poll(h, "polled yes\n");
	assert_true(h->frozen);
	decided(h, "history", NULL, NULL);
	assert_string_equal(claim_of(h, "a").nonce, "n1");
	assert_string_equal(claim_of(h, "b").nonce, "z");
}

/* The branch goes on, but something in it was taken away or edited. guard: check_grown in dispatcher/git/ledger.c */
static void test_ledger_tampered(void **state)
{
	struct house *h = *state;
	cleanup_free char *claim_path = ledger_claim_path("a"), *done_path = ledger_done_path("b");
	land_basics(h);
	begin(h, "polled yes\n");
	claim(h, "a", 1, "n1", NULL);
	claim(h, "b", 1, "n2", NULL);
	finish(h, "b", "n2", 1);
	expect_poll(h, "polled yes\n");
	git_oid sound = ref_of(h, LEDGER_REF);
	const char *const paths[] = {claim_path, done_path};
	for (int i = 0; i < 2; i++) {
		forge_entry(h, paths[i], i == 0 ? NULL : "{}");
		expect_poll(h, "polled yes\n");
		assert_true(h->frozen);
		set_ref(h->f.repo, LEDGER_REF, &sound);
		expect_poll(h, "polled yes\n");
		assert_false(h->frozen);
	}
	/* A claim that nobody can read is somebody's all the same. */
	cleanup_free char *path = ledger_claim_path("c");
	forge_entry(h, path, "nonsense");
	send_claim(h, "c", 1, "n3", NULL);
	expect_only(h, "claim_lost", "c");
}

static void test_local_refuses(void **state)
{
	static char local[] = "local";
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	stop(h);
	h->config.claims = local;
	start(h);
	expect_reason(h, "incarnated", NULL, "claims: local");
}

/* ---- pushes ---- */

/* The ref is written and the answer lost: the claim is found to stand. */
static void test_threat_38_answer_lost(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	hook(h, "reference-transaction", "#!/bin/sh\n[ \"$1\" != committed ] || kill -9 $PPID\n");
	claim(h, "a", 1, "n1", NULL);
	hook(h, "reference-transaction", NULL);
	assert_string_equal(claim_of(h, "a").nonce, "n1");
	assert_int_equal(commits(h, LEDGER_REF), 2);
}

/*
 * Nobody answered, and the ref stands where it stood: the same commit is pushed again, since the first push may yet be applied; one that is built anew would not be the same a second later. guard: settle in
 * dispatcher/git/claim.c
 */
static void test_threat_38_pushed_again(void **state)
{
	struct house *h = *state;
	cleanup_free char *log = xasprintf("%s/pushed", h->f.dir);
	cleanup_free char *script =
	    xasprintf("#!/bin/sh\nread old new ref\necho $new >>%s\n[ $(wc -l <%s) -gt 1 ] || { sleep 1.1; kill -9 $PPID; }\n", log, log);
	cleanup_buf struct buf lines = BUF_INIT;
	struct err err = ERR_INIT;
	land_basics(h);
	begin(h, "polled yes\n");
	hook(h, "pre-receive", script);
	send_claim(h, "a", 1, "n1", NULL);
	expect_only(h, "record_state", NULL);
	expect_only(h, "claimed", "a");
	assert_ok(file_read(log, 65536, &lines, &err), &err);
	assert_int_equal(lines.len, 2 * 41);
	assert_memory_equal(lines.data, lines.data + 41, 41);
}

/* The server says no to the ledger only: its words are handed on, results wait, and everything goes through once it says yes. */
static void test_threat_39_refused_entries(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	claim(h, "a", 1, "n1", NULL);
	hook(h, "update", "#!/bin/sh\n[ \"$1\" != refs/heads/disinto-ledger ] || { echo 'only bots push here'; exit 1; }\n");
	send_result(h, "a", "n1", 1);
	expect_reason(h, "record_state", NULL, "only bots push here");
	send_claim(h, "b", 1, "n2", NULL);
	expect_poll(h, "polled yes\n");
	assert_int_equal(claim_of(h, "b").attempt, 0);
	hook(h, "update", NULL);
	expect_only(h, "recorded", "a");
	expect_only(h, "claimed", "b");
	cleanup_json json_t *good = expect(h, "record_state", NULL);
	assert_true(json_is_true(json_object_get(good, "ok")));
}

/* ---- the archive ---- */

static void count_files(const char *path, int *ret_packs, int *ret_loose)
{
	cleanup_buf struct buf packs = BUF_INIT;
	cleanup_buf struct buf loose = BUF_INIT;
	cleanup_free char *objects = xasprintf("%s/objects", path);
	assert_int_equal(RUN(&packs, "find", objects, "-name", "*.pack"), 0);
	assert_int_equal(RUN(&loose, "find", objects, "-path", "*/[0-9a-f][0-9a-f]/*", "-type", "f", "-not", "-path", "*/pack/*"), 0);
	*ret_packs = *ret_loose = 0;
	for (const char *p = packs.data; (p = strchr(p, '\n')); p++)
		++*ret_packs;
	for (const char *p = loose.data; (p = strchr(p, '\n')); p++)
		++*ret_loose;
}

/* Hundreds of pushes: packs and loose objects stay few, and what was known of the ledger stays known. guard: clone_compact in dispatcher/git/clone.c */
static void test_threat_16_pushes_pile_up(void **state)
{
	struct house *h = *state;
	cleanup_free char *clone = xasprintf("%s/ops.git", h->config.spool);
	int packs, loose;
	land_basics(h);
	begin(h, "polled yes\n");
	for (int i = 0; i < 80; i++) {
		cleanup_free char *id = xasprintf("p%d", i);
		claim(h, id, 1, "n1", NULL);
	}
	expect_poll(h, "polled yes\n");
	count_files(clone, &packs, &loose);
	assert_in_range(packs, 1, 16);
	assert_in_range(loose, 0, 200); /* each claim leaves five */
	claim(h, "p0", 2, "n2", "n1");
	finish(h, "p0", "n2", 2);
}

/* A commit on main of that age in days. */
static void land_old(struct house *h, const char *path, const char *text, int days)
{
	struct err err = ERR_INIT;
	git_oid tip = ref_of(h, "refs/heads/main"), oid;
	git_signature *who = NULL;
	assert_int_equal(git_signature_new(&who, "Somebody", "somebody@example", (git_time_t)time(NULL) - days * 86400, 0), 0);
	assert_ok(git_repo_commit(h->f.repo, &tip, 1, &(struct git_change){path, text, strlen(text)}, 1, who, "old", &oid, &err), &err);
	git_signature_free(who);
	set_ref(h->f.repo, "refs/heads/main", &oid);
}

static bool stands(struct house *h, const char *path)
{
	git_oid tip = ref_of(h, "refs/heads/main"), oid;
	git_filemode_t mode;
	bool there = git_repo_entry(h->f.repo, &tip, path, &oid, &mode, NULL) == 0;
	git_error_clear();
	return there;
}

static void archive_of(struct house *h, const char *landed) /* the first commits are dated 2023 */
{
	cleanup_free char *action = action_text("old", "");
	h->config.archive_after_days = 30;
	land(h->f.repo, "vault/formulas/f.yaml", "name: f");
	land_old(h, "vault/actions/old.json", action, 60);
	land_old(h, "vault/actions/old.result.json", "{\"outcome\": \"succeeded\", \"timestamp\": \"2026-02-03T00:00:00Z\"}", 50);
	land_old(h, "vault/actions/young.json", "{}", 20);
	land_old(h, "vault/actions/young.result.json", "{\"outcome\": \"failed\", \"timestamp\": \"2026-03-03T00:00:00Z\"}", 10);
	land_old(h, "vault/actions/waits.json", "{}", 9);
	start(h);
	cleanup_free char *first = until_polled(h, NULL);
	assert_string_equal(first, landed);
}

static void test_archives(void **state)
{
	struct house *h = *state;
	archive_of(h, "landed waits refuse\npolled yes\n");
	cleanup_free char *lines = poll_for(h, NULL); /* behind the archiving */
	assert_string_equal(lines, "polled yes\n");
	assert_true(stands(h, "vault/archive/2026/02/old.json"));
	assert_true(stands(h, "vault/archive/2026/02/old.result.json"));
	assert_false(stands(h, "vault/actions/old.json"));
	assert_false(stands(h, "vault/actions/old.result.json"));
	assert_true(stands(h, "vault/actions/young.result.json"));
	assert_true(stands(h, "vault/actions/waits.json"));
	size_t n = commits(h, "refs/heads/main");
	expect_poll(h, "polled yes\n");
	stop(h);
	expect_first(h, "landed waits refuse\npolled yes\n"); /* once a day */
	assert_int_equal(commits(h, "refs/heads/main"), n);
	land_action(h, "old", "");
	expect_poll(h, "landed old wait\npolled yes\n"); /* the id stays taken */
}

/* Somebody else archived: that is no news, and nothing that was changed. guard: was_archived in dispatcher/git/announce.c */
static void test_archived_by_another(void **state)
{
	struct house *h = *state;
	cleanup_house struct house *other = another(h, "edge2");
	cleanup_json json_t *all = json_array();
	land_basics(h);
	land(h->f.repo, "vault/actions/old.json", "{}");
	land(h->f.repo, "vault/actions/old.result.json", "{\"outcome\": \"lost\", \"timestamp\": \"2026-02-03T00:00:00Z\"}");
	begin(other, "polled yes\n");      /* does not archive */
	h->config.archive_after_days = 30; /* and all of this is dated 2023 */
	start(h);
	free(until_polled(h, NULL));
	await(h, "incarnated", NULL);
	expect_poll(h, "polled yes\n");
	assert_true(stands(h, "vault/archive/2026/02/old.result.json"));
	cleanup_free char *lines = poll_for(other, all);
	assert_string_equal(lines, "polled yes\n");
	assert_int_equal(json_array_size(json_object_get(json_array_get(all, 0), "notes")), 0);
}

/*
 * Four dispatchers want every one of 60 actions at once, over one smart-HTTP server: each is claimed once. guard: look_at_claim in dispatcher/git/claim.c, and the
 * server's compare-and-swap
 */
#define RACERS 4
#define PRIZES 60
static void test_threat_41_each_is_claimed_once(void **state)
{
	struct house *h = *state;
	struct house *racers[RACERS];
	int winners[PRIZES] = {0}, answers = 0;
	h->config.ops_repo = serve(&h->f, "http", NULL);
	land_basics(h);
	for (int i = 0; i < RACERS; i++) {
		cleanup_free char *name = xasprintf("racer%d", i);
		racers[i] = another(h, name);
		racers[i]->args.dispatcher_id = xstrdup(name);
		begin(racers[i], "polled yes\n");
	}
	for (int n = 0; n < PRIZES; n++)
		for (int i = 0; i < RACERS; i++) {
			cleanup_free char *id = xasprintf("p%02d", (n + i * PRIZES / RACERS) % PRIZES), *nonce = xasprintf("r%d-%d", i, n);
			send_claim(racers[i], id, 1, nonce, NULL);
		}
	for (int i = 0; i < RACERS; i++)
		for (int n = 0; n < PRIZES;) {
			cleanup_json json_t *m = next(racers[i]);
			bool won = strcmp(str(m, "kind"), "claimed") == 0;
			if (!won && strcmp(str(m, "kind"), "claim_lost") != 0)
				continue;
			winners[atoi(str(m, "id") + 1)] += won;
			answers++;
			n++;
		}
	assert_int_equal(answers, RACERS * PRIZES);
	for (int n = 0; n < PRIZES; n++)
		assert_int_equal(winners[n], 1);
	for (int i = 0; i < RACERS; i++) {
		char *name = (char *)(uintptr_t)racers[i]->args.dispatcher_id;
		forget(&racers[i]);
		free(name);
	}
	free(h->config.ops_repo);
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
	    cmocka_unit_test_setup_teardown(test_two_dispatchers, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_reclaim_after_restart, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_confirmation_asks_the_server, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_copied_spool, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_spool, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_backlog, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_rerun, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_settled_with_the_result_that_stands, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_result_gives_way_to_one_of_its_claim, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_settled_as_lost, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_overdue, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_10_a_foreign_result, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_08_changed_afterwards, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_rewritten_branch_freezes, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_turned_round_branch_freezes, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_stale_view_claims_nothing, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_taken_away, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_rewound, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_tampered, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_local_refuses, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_38_answer_lost, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_38_pushed_again, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_39_refused_entries, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_16_pushes_pile_up, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_archives, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_archived_by_another, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_41_each_is_claimed_once, with_ledger, teardown),
	};
	return cmocka_run_group_tests_name("git_ledger", tests, NULL, NULL);
}
