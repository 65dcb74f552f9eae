/*
 * The judgement of what landed, by the git role as it is: a real repository, policies in its history, real signatures, and a stand-in for a forge
 * that holds requests against the real API.
 */
#include "tests/unit/git_house.h"

#include "tests/forge.h"
#include "vault/approval/approval_signed.h"
#include "vault/ssh/commit_signature.h"

#define FORMULA "name: f\nsteps: [{id: s, run: 'true'}]\n"

struct court {
	struct house house;
	struct ssh_private_key *human;
	char *signers_path;
	struct fake_forge *forge;
};

static void make_human(struct court *h)
{
	struct err err = ERR_INIT;
	cleanup_free char *key = xasprintf("%s/human", h->house.f.dir), *public = xasprintf("%s/human.pub", h->house.f.dir);
	cleanup_buf struct buf text = BUF_INIT;
	assert_int_equal(RUN(NULL, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "human", "-f", key), 0);
	assert_ok(ssh_private_key_load(key, &h->human, &err), &err);
	buf_adds(&text, "human@example ");
	assert_ok(file_read(public, 4096, &text, &err), &err);
	h->signers_path = xasprintf("%s/signers", h->house.f.dir);
	write_file(h->signers_path, text.data, 0644);
}

static int court_setup(void **state)
{
	struct court *h = xcalloc(1, sizeof(*h));
	house_begin(&h->house);
	make_human(h);
	h->house.config.file = (char *)(uintptr_t) "dispatcher.yaml";
	h->house.config.runner_image = (char *)(uintptr_t) "disinto/runner";
	*state = h;
	return 0;
}

static int court_teardown(void **state)
{
	struct court *h = *state;
	const char *violation = h->forge ? fake_forge_violation(h->forge) : NULL;
	if (violation)
		fprintf(stderr, "%s\n", violation);
	fake_forge_stop(h->forge);
	ssh_private_key_free(h->human);
	json_decref(h->house.config.approval.approvers);
	house_end(&h->house);
	free(h->signers_path);
	free(h);
	return violation ? -1 : 0;
}

/* What LANDED says of `id` in this poll; NULL: it is not announced. The caller owns it. */
static json_t *judged(struct court *h, const char *id, bool ask)
{
	cleanup_json json_t *all = json_array();
	cleanup_free char *lines = ask ? poll_for(&h->house, all) : until_polled(&h->house, all);
	json_t *m, *landed = NULL;
	size_t i;
	if (!strstr(lines, "polled yes\n"))
		fail_msg("the poll failed: %s", str(json_array_get(all, json_array_size(all) - 1), "reason"));
	json_array_foreach (all, i, m)
		if (strcmp(str(m, "kind"), "landed") == 0 && strcmp(str(m, "id"), id) == 0)
			landed = m;
	return json_incref(landed);
}

/* The judgement in one line: "high landed", "refuse: …", "wait: …"; "nothing" where it was not announced. */
static char *line_of(const json_t *landed)
{
	if (!landed)
		return xstrdup("nothing");
	if (str(landed, "refuse"))
		return xasprintf("refuse: %s", str(landed, "refuse"));
	if (str(landed, "wait"))
		return xasprintf("wait: %s", str(landed, "wait"));
	return xasprintf("%s %s%s%s", str(landed, "tier"), str(landed, "approval_mode"), str(landed, "approval_by") ? " by " : "",
	                 str(landed, "approval_by") ? str(landed, "approval_by") : "");
}

static void expect(struct court *h, const char *id, const char *want)
{
	bool running = h->house.pid > 0;
	if (!running)
		start(&h->house);
	cleanup_json json_t *landed = judged(h, id, running);
	cleanup_free char *got = line_of(landed);
	if (strncmp(got, want, strlen(want)) != 0 ||
	    (want[strlen(want) - 1] != ' ' && strchr(want, ':') == NULL && strlen(got) != strlen(want)))
		fail_msg("%s: expected '%s', got '%s'", id, want, got);
}

static void land_formula(struct court *h)
{
	land(h->house.f.repo, "vault/formulas/f.yaml", FORMULA);
}

static git_oid land_policy(struct court *h, const char *text)
{
	return land(h->house.f.repo, "vault/policy.yaml", text);
}

/* One commit with several files. */
static git_oid land_all(struct court *h, const struct git_change *changes, size_t n)
{
	git_oid tip;
	assert_int_equal(git_reference_name_to_id(&tip, h->house.f.repo, "refs/heads/main"), 0);
	git_oid oid = commit_on(h->house.f.repo, &tip, changes, n, "several");
	set_ref(h->house.f.repo, "refs/heads/main", &oid);
	return oid;
}

static void test_without_a_policy_everything_is_high(void **state)
{
	struct court *h = *state;
	land_formula(h);
	land_action(&h->house, "a", "");
	expect(h, "a", "high landed");
}

static void test_policy_gives_the_tier(void **state)
{
	struct court *h = *state;
	land_formula(h);
	land_policy(h, "formulas: {f: low}\ntiers: {low: {approval: landed}, medium: {approval: landed}, high: {approval: landed}}\n");
	land_action(&h->house, "a", "");
	start(&h->house);
	cleanup_json json_t *landed = judged(h, "a", false);
	assert_string_equal(str(landed, "tier"), "low");
	assert_int_equal(strlen(str(landed, "policy_blob")), 40);
}

static void test_freeze_holds_and_lets_go(void **state)
{
	struct court *h = *state;
	land_formula(h);
	land_policy(h, "freeze: true\n");
	land_action(&h->house, "a", "");
	expect(h, "a", "wait: ");
	land_policy(h, "freeze: false\n");
	land(h->house.f.repo, "README.md", "x");
	expect(h, "a", "nothing"); /* the poll that brings the thaw still knows the frost */
	land(h->house.f.repo, "README.md", "y");
	expect(h, "a", "high landed");
	land_policy(h, "freeze: true\n"); /* it was announced, and may still be queued */
	expect(h, "a", "wait: ");
}

static void test_secret_for_another_formula_is_refused(void **state)
{
	struct court *h = *state;
	land_formula(h);
	land(h->house.f.repo, "vault/secrets/KEY.age", "ciphertext");
	land_policy(h, "secrets: {KEY: {formulas: [other]}}\n");
	land_action(&h->house, "a", "\"KEY\"");
	expect(h, "a", "refuse: ");
}

/* A request that loosens the rule and adds an action at once. guard: policy_history_for, asked by judge_parsed in dispatcher/git/judge.c */
static void test_threat_05_no_request_loosens_the_rule_it_is_judged_by(void **state)
{
	struct court *h = *state;
	cleanup_free char *text = action_text("a", "");
	h->house.config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_action(&h->house, "before", "");
	expect(h, "before", "refuse: "); /* it is not signed */
	const struct git_change both[] = {{"vault/policy.yaml", "tiers: {high: {approval: landed}}\n", 34},
	                                  {"vault/actions/a.json", text, strlen(text)}};
	land_all(h, both, 2);
	expect(h, "a", "refuse: ");
	land_action(&h->house, "after", "");
	expect(h, "after", "refuse: "); /* and the loosened policy is not in force, for its change was not signed */
	stop(&h->house);
}

/* The same after a restart that lost the clone: what was in force is remembered by core. */
static void test_policy_in_force_outlives_the_clone(void **state)
{
	struct court *h = *state;
	cleanup_free char *clone = xasprintf("%s/ops.git", h->house.config.spool);
	h->house.config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_action(&h->house, "first", "");
	expect(h, "first", "refuse: ");
	land_policy(h, "tiers: {high: {approval: landed}}\n");
	land(h->house.f.repo, "README.md", "x");
	expect(h, "none", "nothing");
	stop(&h->house);
	assert_int_equal(dir_remove_at(AT_FDCWD, clone, NULL), 0);
	land_action(&h->house, "a", "");
	expect(h, "a", "refuse: ");
}

static git_oid land_signed(struct court *h, const struct git_change *changes, size_t n, const char *message)
{
	struct git_signer signer = commit_signer(h->human);
	cleanup_git(git_signature) git_signature *who = somebody();
	struct err err = ERR_INIT;
	git_oid tip, oid;
	assert_int_equal(git_reference_name_to_id(&tip, h->house.f.repo, "refs/heads/main"), 0);
	assert_ok(git_repo_commit_signed(h->house.f.repo, &tip, 1, changes, n, who, message, &signer, &oid, &err), &err);
	set_ref(h->house.f.repo, "refs/heads/main", &oid);
	return oid;
}

/* Lands a file signed, with the line that approves these bytes, or those of `approves` where it is not NULL. */
static void approve(struct court *h, const char *path, const char *text, const char *approves)
{
	cleanup_buf struct buf message = BUF_INIT;
	git_oid blob;
	const struct git_change change = {path, text, strlen(text)};
	const char *named = approves ? approves : text;
	git_odb_hash(&blob, named, strlen(named), GIT_OBJECT_BLOB);
	buf_adds(&message, "Approve\n\n");
	approval_line(path, &blob, &message);
	land_signed(h, &change, 1, message.data);
}

/*
 * A dispatcher that begins later, or lost its spool, was not there when a policy was pushed that nobody approved, and takes it no more than the others did. guard:
 * policy_history_doubt, called by policy_changed in dispatcher/git/judge.c
 */
static void test_threat_05_a_dispatcher_that_begins_later(void **state)
{
	struct court *h = *state;
	h->house.config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_policy(h, "tiers: {high: {approval: landed}}\n");
	land_action(&h->house, "a", "");
	expect(h, "a", "wait: vault/policy.yaml: is not approved: commit ");
	approve(h, "vault/policy.yaml", "tiers: {high: {approval: signed}}\n# looked at\n", NULL);
	expect(h, "a", "refuse: vault/actions/a.json: is not approved: ");
	stop(&h->house);

	approve(h, "vault/policy.yaml", "tiers: {high: {approval: landed}}\n# so be it\n",
	        NULL); /* the negative control: a change that was approved */
	land_action(&h->house, "b", "");
	json_decref(h->house.memory);
	h->house.memory = NULL;
	expect(h, "b", "high landed");
}

static void test_signed(void **state)
{
	struct court *h = *state;
	cleanup_free char *a = action_text("a", ""), *b = action_text("b", ""), *c = action_text("c", "\"KEY\"");
	h->house.config.approval.minimum = APPROVAL_SIGNED;
	h->house.config.approval.allowed_signers = h->signers_path;
	land(h->house.f.repo, "README.md", "x");
	approve(h, "vault/formulas/f.yaml", FORMULA, NULL);
	approve(h, "vault/actions/a.json", a, NULL);
	expect(h, "a", "high signed by human@example");
	approve(h, "vault/actions/b.json", b, a); /* signed, but other bytes */
	expect(h, "b", "refuse: vault/actions/b.json");
	land(h->house.f.repo, "vault/secrets/KEY.age", "ciphertext"); /* a secret that nobody approved */
	approve(h, "vault/actions/c.json", c, NULL);
	expect(h, "c", "refuse: vault/secrets/KEY.age");
}

static void test_signed_needs_an_approved_formula(void **state)
{
	struct court *h = *state;
	cleanup_free char *a = action_text("a", "");
	h->house.config.approval.minimum = APPROVAL_SIGNED;
	h->house.config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	approve(h, "vault/actions/a.json", a, NULL);
	expect(h, "a", "refuse: vault/formulas/f.yaml");
}

static void test_without_a_list_of_signers_it_waits(void **state)
{
	struct court *h = *state;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_action(&h->house, "a", "");
	expect(h, "a", "wait: vault/actions/a.json: waits for its approval to be checked: approval.allowed_signers: is not set");
}

/* ---- forge ---- */

static json_t *pull_json(const git_oid *commit)
{
	cleanup_free char *hex = xstrdup(git_oid_tostr_s(commit));
	return json_pack("{s:i, s:{s:s}, s:{s:s}, s:{s:s}, s:b, s:s}", "number", 7, "user", "login", "agent", "head", "sha", hex, "base",
	                 "ref", "main", "merged", 1, "merge_commit_sha", hex);
}

static void answer_pull(struct court *h, const git_oid *commit, unsigned status)
{
	cleanup_free char *path = xasprintf("/repos/org/ops/commits/%s/pull", git_oid_tostr_s(commit));
	fake_forge_answer(h->forge, "GET", path, status, status == 200 ? pull_json(commit) : json_object());
}

static void answer_reviews(struct court *h, const git_oid *commit, const char *state, bool stale)
{
	fake_forge_answer(h->forge, "GET", "/repos/org/ops/pulls/7/reviews", 200,
	                  json_pack("[{s:{s:s}, s:s, s:s, s:b, s:b, s:b}]", "user", "login", "boss", "state", state, "commit_id",
	                            git_oid_tostr_s(commit), "official", 1, "stale", stale, "dismissed", 0));
}

/* The clone comes over the file system, but its address must name a repository of the forge: a folder org/ops.git. */
static void use_forge(struct court *h)
{
	cleanup_free char *org = xasprintf("%s/org", h->house.f.dir), *link = xasprintf("%s/org/ops.git", h->house.f.dir);
	assert_int_equal(mkdir(org, 0700), 0);
	assert_int_equal(symlink(h->house.f.repo_path, link), 0);
	h->house.config.ops_repo = xasprintf("file://%s", link);
	h->forge = fake_forge_start(NULL);
	assert_non_null(h->forge);
	h->house.config.approval.minimum = APPROVAL_FORGE;
	h->house.config.approval.forge_url = (char *)(uintptr_t)fake_forge_url(h->forge);
	h->house.config.approval.approvers = json_pack("[s]", "boss");
}

static git_oid land_both(struct court *h)
{
	cleanup_free char *a = action_text("a", "");
	const struct git_change both[] = {{"vault/formulas/f.yaml", FORMULA, strlen(FORMULA)}, {"vault/actions/a.json", a, strlen(a)}};
	land(h->house.f.repo, "README.md", "x");
	return land_all(h, both, 2);
}

static void test_forge(void **state)
{
	struct court *h = *state;
	use_forge(h);
	git_oid commit = land_both(h);
	answer_pull(h, &commit, 503);
	expect(h, "a", "wait: vault/actions/a.json: waits for its approval to be checked: ");
	answer_pull(h, &commit, 422); /* it answers something else: no word on the merge */
	land(h->house.f.repo, "README.md", "0");
	expect(h, "a", "wait: ");
	answer_pull(h, &commit, 404); /* a merge that it does not know yet */
	land(h->house.f.repo, "README.md", "1");
	expect(h, "a", "wait: ");
	answer_pull(h, &commit, 200);
	answer_reviews(h, &commit, "APPROVED", false);
	land(h->house.f.repo, "README.md", "2");
	expect(h, "a", "high forge by boss");
	free(h->house.config.ops_repo);
}

static void test_forge_review_of_an_earlier_version(void **state)
{
	struct court *h = *state;
	use_forge(h);
	git_oid commit = land_both(h);
	answer_pull(h, &commit, 200);
	answer_reviews(h, &commit, "APPROVED", true);
	expect(h, "a", "refuse: vault/actions/a.json: pull request 7 has no approving review that counts");
	free(h->house.config.ops_repo);
}

/* What the forge says of a request of that head, which was merged as that commit. */
static void answer_merge(struct court *h, const git_oid *head, const git_oid *commit)
{
	cleanup_free char *path = xasprintf("/repos/org/ops/commits/%s/pull", git_oid_tostr_s(commit));
	json_t *pull = pull_json(commit);
	json_object_set_new(json_object_get(pull, "head"), "sha", json_string(git_oid_tostr_s(head)));
	fake_forge_answer(h->forge, "GET", path, 200, pull);
	answer_reviews(h, head, "APPROVED", false);
}

/* Approve, push another commit, merge. The forge says yes to a head that does not hold what landed. guard: same_bytes in vault/approval/approval_forge.c */
static void test_threat_01_forge_reviewed_other_bytes(void **state)
{
	struct court *h = *state;
	cleanup_free char *a = action_text("a", ""), *other = action_text("a", "\"KEY\"");
	const struct git_change reviewed[] = {{"vault/formulas/f.yaml", FORMULA, strlen(FORMULA)},
	                                      {"vault/actions/a.json", other, strlen(other)}};
	use_forge(h);
	git_oid base = land(h->house.f.repo, "README.md", "x");
	git_oid head = commit_on(h->house.f.repo, &base, reviewed, 2, "reviewed");
	set_ref(h->house.f.repo, "refs/pull/7/head", &head);
	const struct git_change both[] = {{"vault/formulas/f.yaml", FORMULA, strlen(FORMULA)}, {"vault/actions/a.json", a, strlen(a)}};
	git_oid commit = land_all(h, both, 2);
	answer_merge(h, &head, &commit);
	expect(h, "a", "refuse: vault/actions/a.json: what pull request 7 had reviewed is not what landed");
	free(h->house.config.ops_repo);
}

/*
 * A request is reviewed that adds an action. Whoever may push merges it by hand, and the merge holds the formula as it was when the request's branch began: the head has these
 * bytes, and nobody looked at them. guard: changed_by in vault/approval/approval_forge.c
 */
static void test_threat_02_a_merge_that_brings_back_what_was_replaced(void **state)
{
	static const char older[] = "name: f\nsteps: [{id: s, run: 'a mistake'}]\n";
	struct court *h = *state;
	struct err err = ERR_INIT;
	cleanup_free char *a = action_text("a", "");
	cleanup_git(git_signature) git_signature *who = somebody();
	const struct git_change asked[] = {{"vault/actions/a.json", a, strlen(a)}};
	const struct git_change merged[] = {{"vault/actions/a.json", a, strlen(a)}, {"vault/formulas/f.yaml", older, strlen(older)}};
	git_oid merge;
	use_forge(h);
	git_oid begun = land(h->house.f.repo, "vault/formulas/f.yaml", older);
	git_oid head = commit_on(h->house.f.repo, &begun, asked, 1, "ask");
	git_oid tip = land(h->house.f.repo, "vault/formulas/f.yaml", FORMULA);
	assert_ok(git_repo_commit(h->house.f.repo, (git_oid[]){tip, head}, 2, merged, 2, who, "merge", &merge, &err), &err);
	set_ref(h->house.f.repo, "refs/heads/main", &merge);
	answer_merge(h, &head, &merge);
	expect(h, "a", "refuse: vault/formulas/f.yaml: pull request 7 did not change it, so nobody reviewed that it comes back");
	free(h->house.config.ops_repo);
}

/* A direct push, as anybody with the right to push may do it. guard: approve_file in dispatcher/git/approve.c, for each mode */
static void test_threat_03_a_direct_push(void **state)
{
	struct court *h = *state;
	use_forge(h);
	git_oid commit = land_both(h);
	answer_pull(h, &commit, 404); /* it never came by a request */
	expect(h, "a", "wait: vault/actions/a.json: waits for its approval to be checked: ");
	stop(&h->house);
	h->house.config.approval.minimum = APPROVAL_SIGNED;
	h->house.config.approval.allowed_signers = h->signers_path;
	expect(h, "a", "refuse: vault/actions/a.json: is not approved: ");
	stop(&h->house);
	h->house.config.approval.minimum = APPROVAL_LANDED; /* the negative control: where landing is enough it runs */
	expect(h, "a", "high landed");
	free(h->house.config.ops_repo);
}

/* One commit that swaps a secret under an approved name and adds the action that uses it. guard: approve_secrets in dispatcher/git/judge.c */
static void test_threat_10_secrets_and_actions_together(void **state)
{
	struct court *h = *state;
	cleanup_free char *c = action_text("c", "\"KEY\"");
	const struct git_change both[] = {{"vault/secrets/KEY.age", "swapped", 7}, {"vault/actions/c.json", c, strlen(c)}};
	git_oid blob;
	h->house.config.approval.minimum = APPROVAL_SIGNED;
	h->house.config.approval.allowed_signers = h->signers_path;
	land(h->house.f.repo, "README.md", "x");
	approve(h, "vault/formulas/f.yaml", FORMULA, NULL);
	approve(h, "vault/secrets/KEY.age", "ciphertext", NULL);

	cleanup_buf struct buf message = BUF_INIT;
	buf_adds(&message, "Approve\n\n");
	git_odb_hash(&blob, c, strlen(c), GIT_OBJECT_BLOB);
	approval_line("vault/actions/c.json", &blob, &message);
	git_oid base;
	assert_int_equal(git_reference_name_to_id(&base, h->house.f.repo, "refs/heads/main"), 0);
	land_signed(h, both, 2, message.data);
	expect(h, "c", "refuse: vault/secrets/KEY.age");
	stop(&h->house);

	forget_tip(&h->house);
	set_ref(h->house.f.repo, "refs/heads/main", &base); /* the negative control: with a line for each it runs */
	git_odb_hash(&blob, "swapped", 7, GIT_OBJECT_BLOB);
	approval_line("vault/secrets/KEY.age", &blob, &message);
	land_signed(h, both, 2, message.data);
	expect(h, "c", "high signed by human@example");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, court_setup, court_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_without_a_policy_everything_is_high),
	    T(test_policy_gives_the_tier),
	    T(test_freeze_holds_and_lets_go),
	    T(test_secret_for_another_formula_is_refused),
	    T(test_threat_05_no_request_loosens_the_rule_it_is_judged_by),
	    T(test_policy_in_force_outlives_the_clone),
	    T(test_threat_05_a_dispatcher_that_begins_later),
	    T(test_signed),
	    T(test_signed_needs_an_approved_formula),
	    T(test_without_a_list_of_signers_it_waits),
	    T(test_forge),
	    T(test_forge_review_of_an_earlier_version),
	    T(test_threat_03_a_direct_push),
	    T(test_threat_10_secrets_and_actions_together),
	    T(test_threat_01_forge_reviewed_other_bytes),
	    T(test_threat_02_a_merge_that_brings_back_what_was_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
