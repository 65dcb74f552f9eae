/* Both branches over time, through the git role: rewritten, lost in doubt, grown, archived. */
#include "tests/unit/ledger_house.h"

/* ---- history ---- */

/* guard: branch_fault in dispatcher/git/history.c; look in dispatcher/git/poll.c */
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
	expect_poll(h, "polled yes\n");                 /* nobody removed b: core would call it cancelled */
	assert_true(h->frozen);
	send_claim(h, "a", 1, "n1", NULL); /* is kept until that is over */
	expect_poll(h, "polled yes\n");
	set_ref(h->f.repo, "refs/heads/main", &newest);
	expect_poll(h, "polled yes\n");
	assert_false(h->frozen);
	expect_only(h, "claimed", "a");

	git_oid rewritten = commit_on(h->f.repo, &before, &(struct git_change){"x", "x", 1}, 1, "rewritten");
	set_ref(h->f.repo, "refs/heads/main", &rewritten);
	expect_poll(h, "polled yes\n");
	assert_true(h->frozen);
	decided(h, "history", NULL, NULL); /* and now b is gone, by an operator's word */
	cleanup_free char *accepted = until_polled(h, NULL);
	assert_string_equal(accepted, "gone b\npolled yes\n");
	assert_false(h->frozen);

	set_ref(h->f.repo, "refs/heads/main", &before);
	expect_poll(h, "polled yes\n");
	stop(h);
	expect_first(h, "polled yes\n"); /* a restart is no way round it */
	assert_true(h->frozen);
	decided(h, "history", NULL, NULL);
	cleanup_free char *again = until_polled(h, NULL);
	assert_non_null(strstr(again, "landed a"));
	assert_false(h->frozen);
}

/* Neither does a policy come into force that way. guard: the same */
static void test_threat_07_rewritten_policy(void **state)
{
	struct house *h = *state;
	land(h->f.repo, "vault/formulas/f.yaml", "name: f\nsteps: [{id: s, run: \"true\"}]\n");
	git_oid before = land(h->f.repo, "vault/policy.yaml", "freeze: true\n");
	git_oid sound = land(h->f.repo, "README.md", "x");
	begin(h, "polled yes\n");
	git_oid loose = commit_on(h->f.repo, &before, &(struct git_change){"vault/policy.yaml", "freeze: false\n", 14}, 1, "rewritten");
	set_ref(h->f.repo, "refs/heads/main", &loose);
	expect_poll(h, "polled yes\n");
	assert_true(h->frozen);
	set_ref(h->f.repo, "refs/heads/main", &sound);
	expect_poll(h, "polled yes\n");
	land_action(h, "a", "");
	expect_poll(h, "landed a wait\npolled yes\n");
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

/* A claim that had changed hands: it was rewound to what it was before, or somebody has settled it since. guard: is_lost in dispatcher/git/history.c */
static void test_ledger_rewound_under_a_claim(void **state)
{
	struct house *h = *state;
	land_basics(h);
	begin(h, "polled yes\n");
	claim(h, "a", 1, "n1", NULL);
	claim(h, "b", 1, "n2", NULL);
	expect_poll(h, "polled yes\n");
	git_oid before = ref_of(h, LEDGER_REF);
	claim(h, "a", 1, "n3", "n1");
	claim(h, "b", 1, "n4", "n2");
	expect_poll(h, "polled yes\n");
	set_ref(h->f.repo, LEDGER_REF, &before);
	struct ledger_claim c = {.dispatcher = "edge1", .incarnation = "i", .nonce = "n2", .attempt = 2, .free = true};
	cleanup_free char *text = ledger_claim_text(&c), *path = ledger_claim_path("b");
	forge_entry(h, path, text);
	expect_poll(h, "polled yes\n");
	assert_true(h->frozen);
	decided(h, "history", NULL, NULL);
	assert_string_equal(claim_of(h, "a").nonce, "n3"); /* or the result of its run would not count */
	assert_int_equal(claim_of(h, "b").attempt, 2);
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

/* A result that can't be recorded until somebody takes another one away, perhaps for days: packs do not pile up meanwhile. guard: is_idle in dispatcher/git/git.c */
static void test_threat_16_packs_beside_a_blocked_result(void **state)
{
	struct house *h = *state;
	cleanup_free char *clone = xasprintf("%s/ops.git", h->config.spool);
	int packs, loose;
	land_basics(h);
	begin(h, "polled yes\n");
	land_action(h, "b", "");
	expect_poll(h, "landed b\npolled yes\n");
	claim(h, "b", 1, "n1", NULL);
	land(h->f.repo, "vault/actions/b.result.json", "{}");
	expect_poll(h, "polled yes\n");
	send_result(h, "b", "n1", 1);
	expect_reason(h, "record_state", NULL, "no dispatcher recorded");
	for (int i = 0; i < 80; i++) {
		cleanup_free char *id = xasprintf("a%d", i), *want = xasprintf("landed a%d\npolled yes\n", i);
		land_action(h, id, "");
		expect_poll(h, want);
	}
	expect_poll(h, "polled yes\n");
	count_files(clone, &packs, &loose);
	assert_in_range(packs, 1, 40);
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
	    cmocka_unit_test_setup_teardown(test_threat_07_rewritten_branch_freezes, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_rewritten_policy, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_turned_round_branch_freezes, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_stale_view_claims_nothing, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_taken_away, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_rewound, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_rewound_under_a_claim, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_ledger_tampered, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_local_refuses, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_38_answer_lost, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_38_pushed_again, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_39_refused_entries, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_16_pushes_pile_up, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_16_packs_beside_a_blocked_result, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_archives, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_archived_by_another, with_ledger, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_41_each_is_claimed_once, with_ledger, teardown),
	};
	return cmocka_run_group_tests_name("git_history", tests, NULL, NULL);
}
