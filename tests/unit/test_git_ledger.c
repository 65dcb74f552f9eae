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

static __attribute__((unused)) void decided(struct house *h, const char *what, const char *id, const char *result)
{
	cleanup_free char *no = decision(h, what, id, result);
	if (no)
		fail_msg("%s: %s", what, no);
}

static __attribute__((unused)) void refused(struct house *h, const char *what, const char *id, const char *result, const char *part)
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

static __attribute__((unused)) void hook(struct house *h, const char *name, const char *script)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_begins, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_claim_and_record, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_group_commit, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_two_dispatchers, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_reclaim_after_restart, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_confirmation_asks_the_server, with_ledger, teardown),
	};
	return cmocka_run_group_tests_name("git_ledger", tests, NULL, NULL);
}
