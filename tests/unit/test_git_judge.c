/*
 * The judgement of what landed, by the git role as it is: a real repository, policies in its history, real signatures, and a stand-in for a forge
 * that holds requests against the real API.
 */
#include "tests/unit/git_fixture.h"

#include "dispatcher/dispatcher.h"
#include "lib/log.h"
#include "tests/forge.h"
#include "vault/approval_signed.h"
#include "vault/commit_signature.h"

#define ANSWER_MS 20000
#define FORMULA "name: f\nsteps: [{id: s, run: 'true'}]\n"

struct house {
	struct fixture f;
	struct config config;
	struct role_args args;
	struct msg_conn conn;
	pid_t pid;
	json_t *memory;
	struct ssh_private_key *human;
	char *signers_path;
	struct fake_forge *forge;
};

static void start(struct house *h)
{
	struct err err = ERR_INIT;
	int pair[2];
	assert_ok(msg_pair(pair, &err), &err);
	fflush(NULL);
	h->pid = fork();
	if (h->pid == 0) {
		close(pair[0]);
		log_init("git", LOG_LEVEL_ERROR, false);
		signal(SIGPIPE, SIG_IGN);
		h->args.sock = pair[1];
		_exit(git_role(&h->args));
	}
	close(pair[1]);
	msg_conn_init(&h->conn, pair[0]);
	json_t *memory = msg_new(MSG_REMEMBERED, "{s:O?}", "state", h->memory);
	assert_ok(msg_send(&h->conn, memory, -1, ANSWER_MS, &err), &err);
	json_decref(memory);
}

static void stop(struct house *h)
{
	msg_conn_close(&h->conn);
	if (h->pid > 0)
		waitpid(h->pid, NULL, 0);
	h->pid = 0;
}

static void make_human(struct house *h)
{
	struct err err = ERR_INIT;
	cleanup_free char *key = xasprintf("%s/human", h->f.dir), *public = xasprintf("%s/human.pub", h->f.dir);
	cleanup_buf struct buf text = BUF_INIT;
	assert_int_equal(RUN(NULL, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "human", "-f", key), 0);
	assert_ok(ssh_private_key_load(key, &h->human, &err), &err);
	buf_adds(&text, "human@example ");
	assert_ok(file_read(public, 4096, &text, &err), &err);
	h->signers_path = xasprintf("%s/signers", h->f.dir);
	write_file(h->signers_path, text.data, 0644);
}

static int setup(void **state)
{
	struct house *h = xcalloc(1, sizeof(*h));
	fixture_begin(&h->f);
	make_human(h);
	h->conn.fd = -1;
	h->config = (struct config){.ops_repo = h->f.repo_path,
	                            .file = (char *)(uintptr_t) "dispatcher.yaml",
	                            .branch = (char *)(uintptr_t) "main",
	                            .poll_seconds = 3600,
	                            .runner_image = (char *)(uintptr_t) "disinto/runner"};
	h->config.spool = xasprintf("%s/spool", h->f.dir);
	h->args.config = &h->config;
	h->args.dispatcher_id = "edge1";
	assert_int_equal(mkdir(h->config.spool, 0700), 0);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct house *h = *state;
	const char *violation = h->forge ? fake_forge_violation(h->forge) : NULL;
	if (violation)
		fprintf(stderr, "%s\n", violation);
	msg_conn_close(&h->conn);
	if (h->pid > 0)
		end_process(h->pid);
	fake_forge_stop(h->forge);
	ssh_private_key_free(h->human);
	json_decref(h->config.approval.approvers);
	json_decref(h->memory);
	fixture_end(&h->f);
	free(h->config.spool);
	free(h->signers_path);
	free(h);
	return violation ? -1 : 0;
}

/* What LANDED says of `id` in the next poll; NULL: it is not announced. The caller owns it. */
static json_t *poll_for(struct house *h, const char *id, bool ask)
{
	struct err err = ERR_INIT;
	json_t *landed = NULL;
	if (ask) {
		json_t *poll = msg_new(MSG_POLL, NULL);
		assert_ok(msg_send(&h->conn, poll, -1, ANSWER_MS, &err), &err);
		json_decref(poll);
	}
	for (;;) {
		cleanup_msg struct msg m = MSG_INIT;
		int rc = msg_recv(&h->conn, ANSWER_MS, &m, &err);
		if (rc != 1)
			fail_msg("no message: %s", rc == 0 ? "in time" : err_msg(&err));
		const char *about = json_string_value(json_object_get(m.body, "id"));
		if (strcmp(m.kind, "remember") == 0) {
			json_decref(h->memory);
			h->memory = json_incref(json_object_get(m.body, "state"));
		} else if (strcmp(m.kind, "landed") == 0 && strcmp(about, id) == 0) {
			json_decref(landed);
			landed = json_incref(m.body);
		} else if (strcmp(m.kind, "polled") == 0) {
			if (!json_is_true(json_object_get(m.body, "ok")))
				fail_msg("the poll failed: %s", json_string_value(json_object_get(m.body, "reason")));
			return landed;
		}
	}
}

static const char *said(const json_t *landed, const char *key)
{
	return json_string_value(json_object_get(landed, key));
}

/* The judgement in one line: "high landed", "refuse: …", "wait: …"; "nothing" where it was not announced. */
static char *line_of(const json_t *landed)
{
	if (!landed)
		return xstrdup("nothing");
	if (said(landed, "refuse"))
		return xasprintf("refuse: %s", said(landed, "refuse"));
	if (said(landed, "wait"))
		return xasprintf("wait: %s", said(landed, "wait"));
	return xasprintf("%s %s%s%s", said(landed, "tier"), said(landed, "approval_mode"), said(landed, "approval_by") ? " by " : "",
	                 said(landed, "approval_by") ? said(landed, "approval_by") : "");
}

static void expect(struct house *h, const char *id, const char *want)
{
	bool running = h->pid > 0;
	if (!running)
		start(h);
	cleanup_json json_t *landed = poll_for(h, id, running);
	cleanup_free char *got = line_of(landed);
	if (strncmp(got, want, strlen(want)) != 0 ||
	    (want[strlen(want) - 1] != ' ' && strchr(want, ':') == NULL && strlen(got) != strlen(want)))
		fail_msg("%s: expected '%s', got '%s'", id, want, got);
}

static char *action_text(const char *id, const char *secrets)
{
	return xasprintf("{\"id\": \"%s\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": [%s]}", id, secrets);
}

static git_oid land_action(struct house *h, const char *id, const char *secrets)
{
	cleanup_free char *path = xasprintf("vault/actions/%s.json", id), *text = action_text(id, secrets);
	return land(h->f.repo, path, text);
}

static void land_formula(struct house *h)
{
	land(h->f.repo, "vault/formulas/f.yaml", FORMULA);
}

static git_oid land_policy(struct house *h, const char *text)
{
	return land(h->f.repo, "vault/policy.yaml", text);
}

/* One commit with several files. */
static git_oid land_all(struct house *h, const struct git_change *changes, size_t n)
{
	git_oid tip;
	assert_int_equal(git_reference_name_to_id(&tip, h->f.repo, "refs/heads/main"), 0);
	git_oid oid = commit_on(h->f.repo, &tip, changes, n, "several");
	set_ref(h->f.repo, "refs/heads/main", &oid);
	return oid;
}

static void test_without_a_policy_everything_is_high(void **state)
{
	struct house *h = *state;
	land_formula(h);
	land_action(h, "a", "");
	expect(h, "a", "high landed");
}

static void test_policy_gives_the_tier(void **state)
{
	struct house *h = *state;
	land_formula(h);
	land_policy(h, "formulas: {f: low}\ntiers: {low: {approval: landed}, medium: {approval: landed}, high: {approval: landed}}\n");
	land_action(h, "a", "");
	start(h);
	cleanup_json json_t *landed = poll_for(h, "a", false);
	assert_string_equal(said(landed, "tier"), "low");
	assert_int_equal(strlen(said(landed, "policy_blob")), 40);
}

static void test_freeze_holds_and_lets_go(void **state)
{
	struct house *h = *state;
	land_formula(h);
	land_policy(h, "freeze: true\n");
	land_action(h, "a", "");
	expect(h, "a", "wait: ");
	land_policy(h, "freeze: false\n");
	land(h->f.repo, "README.md", "x");
	expect(h, "a", "nothing"); /* the poll that brings the thaw still knows the frost */
	land(h->f.repo, "README.md", "y");
	expect(h, "a", "high landed");
	land_policy(h, "freeze: true\n"); /* it was announced, and may still be queued */
	expect(h, "a", "wait: ");
}

static void test_secret_for_another_formula_is_refused(void **state)
{
	struct house *h = *state;
	land_formula(h);
	land(h->f.repo, "vault/secrets/KEY.age", "ciphertext");
	land_policy(h, "secrets: {KEY: {formulas: [other]}}\n");
	land_action(h, "a", "\"KEY\"");
	expect(h, "a", "refuse: ");
}

/* A request that loosens the rule and adds an action at once. guard: policy_history_for, asked by judge_parsed in dispatcher/git/judge.c */
static void test_threat_05_no_request_loosens_the_rule_it_is_judged_by(void **state)
{
	struct house *h = *state;
	cleanup_free char *text = action_text("a", "");
	h->config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_action(h, "before", "");
	expect(h, "before", "refuse: "); /* it is not signed */
	const struct git_change both[] = {{"vault/policy.yaml", "tiers: {high: {approval: landed}}\n", 34},
	                                  {"vault/actions/a.json", text, strlen(text)}};
	land_all(h, both, 2);
	expect(h, "a", "refuse: ");
	land_action(h, "after", "");
	expect(h, "after", "refuse: "); /* and the loosened policy is not in force, for its change was not signed */
	stop(h);
}

/* The same after a restart that lost the clone: what was in force is remembered by core. */
static void test_policy_in_force_outlives_the_clone(void **state)
{
	struct house *h = *state;
	cleanup_free char *clone = xasprintf("%s/ops.git", h->config.spool);
	h->config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_action(h, "first", "");
	expect(h, "first", "refuse: ");
	land_policy(h, "tiers: {high: {approval: landed}}\n");
	land(h->f.repo, "README.md", "x");
	expect(h, "none", "nothing");
	stop(h);
	assert_int_equal(dir_remove_at(AT_FDCWD, clone, NULL), 0);
	land_action(h, "a", "");
	expect(h, "a", "refuse: ");
}

static git_oid land_signed(struct house *h, const struct git_change *changes, size_t n, const char *message)
{
	struct git_signer signer = commit_signer(h->human);
	cleanup_git(git_signature) git_signature *who = somebody();
	struct err err = ERR_INIT;
	git_oid tip, oid;
	assert_int_equal(git_reference_name_to_id(&tip, h->f.repo, "refs/heads/main"), 0);
	assert_ok(git_repo_commit_signed(h->f.repo, &tip, 1, changes, n, who, message, &signer, &oid, &err), &err);
	set_ref(h->f.repo, "refs/heads/main", &oid);
	return oid;
}

/* Lands a file signed, with the line that approves these bytes, or those of `approves` where it is not NULL. */
static void approve(struct house *h, const char *path, const char *text, const char *approves)
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

static void test_signed(void **state)
{
	struct house *h = *state;
	cleanup_free char *a = action_text("a", ""), *b = action_text("b", ""), *c = action_text("c", "\"KEY\"");
	h->config.approval.minimum = APPROVAL_SIGNED;
	h->config.approval.allowed_signers = h->signers_path;
	land(h->f.repo, "README.md", "x");
	approve(h, "vault/formulas/f.yaml", FORMULA, NULL);
	approve(h, "vault/actions/a.json", a, NULL);
	expect(h, "a", "high signed by human@example");
	approve(h, "vault/actions/b.json", b, a); /* signed, but other bytes */
	expect(h, "b", "refuse: vault/actions/b.json");
	land(h->f.repo, "vault/secrets/KEY.age", "ciphertext"); /* a secret that nobody approved */
	approve(h, "vault/actions/c.json", c, NULL);
	expect(h, "c", "refuse: vault/secrets/KEY.age");
}

static void test_signed_needs_an_approved_formula(void **state)
{
	struct house *h = *state;
	cleanup_free char *a = action_text("a", "");
	h->config.approval.minimum = APPROVAL_SIGNED;
	h->config.approval.allowed_signers = h->signers_path;
	land_formula(h);
	approve(h, "vault/actions/a.json", a, NULL);
	expect(h, "a", "refuse: vault/formulas/f.yaml");
}

static void test_without_a_list_of_signers_it_waits(void **state)
{
	struct house *h = *state;
	land_formula(h);
	land_policy(h, "tiers: {high: {approval: signed}}\n");
	land_action(h, "a", "");
	expect(h, "a", "wait: vault/actions/a.json: waits for its approval to be checked: approval.allowed_signers: is not set");
}

/* ---- forge ---- */

static json_t *pull_json(const git_oid *commit)
{
	cleanup_free char *hex = xstrdup(git_oid_tostr_s(commit));
	return json_pack("{s:i, s:{s:s}, s:{s:s}, s:{s:s}, s:b, s:s}", "number", 7, "user", "login", "agent", "head", "sha", hex, "base",
	                 "ref", "main", "merged", 1, "merge_commit_sha", hex);
}

static void answer_pull(struct house *h, const git_oid *commit, unsigned status)
{
	cleanup_free char *path = xasprintf("/repos/org/ops/commits/%s/pull", git_oid_tostr_s(commit));
	fake_forge_answer(h->forge, "GET", path, status, status == 200 ? pull_json(commit) : json_object());
}

static void answer_reviews(struct house *h, const git_oid *commit, const char *state, bool stale)
{
	fake_forge_answer(h->forge, "GET", "/repos/org/ops/pulls/7/reviews", 200,
	                  json_pack("[{s:{s:s}, s:s, s:s, s:b, s:b, s:b}]", "user", "login", "boss", "state", state, "commit_id",
	                            git_oid_tostr_s(commit), "official", 1, "stale", stale, "dismissed", 0));
}

/* The clone comes over the file system, but its address must name a repository of the forge: a folder org/ops.git. */
static void use_forge(struct house *h)
{
	cleanup_free char *org = xasprintf("%s/org", h->f.dir), *link = xasprintf("%s/org/ops.git", h->f.dir);
	assert_int_equal(mkdir(org, 0700), 0);
	assert_int_equal(symlink(h->f.repo_path, link), 0);
	h->config.ops_repo = xasprintf("file://%s", link);
	h->forge = fake_forge_start(NULL);
	assert_non_null(h->forge);
	h->config.approval.minimum = APPROVAL_FORGE;
	h->config.approval.forge_url = (char *)(uintptr_t)fake_forge_url(h->forge);
	h->config.approval.approvers = json_pack("[s]", "boss");
}

static git_oid land_both(struct house *h)
{
	cleanup_free char *a = action_text("a", "");
	const struct git_change both[] = {{"vault/formulas/f.yaml", FORMULA, strlen(FORMULA)}, {"vault/actions/a.json", a, strlen(a)}};
	land(h->f.repo, "README.md", "x");
	return land_all(h, both, 2);
}

static void test_forge(void **state)
{
	struct house *h = *state;
	use_forge(h);
	git_oid commit = land_both(h);
	answer_pull(h, &commit, 503);
	expect(h, "a", "wait: vault/actions/a.json: waits for its approval to be checked: ");
	answer_pull(h, &commit, 404); /* a merge that it does not know yet */
	land(h->f.repo, "README.md", "1");
	expect(h, "a", "wait: ");
	answer_pull(h, &commit, 200);
	answer_reviews(h, &commit, "APPROVED", false);
	land(h->f.repo, "README.md", "2");
	expect(h, "a", "high forge by boss");
	free(h->config.ops_repo);
}

static void test_forge_review_of_an_earlier_version(void **state)
{
	struct house *h = *state;
	use_forge(h);
	git_oid commit = land_both(h);
	answer_pull(h, &commit, 200);
	answer_reviews(h, &commit, "APPROVED", true);
	expect(h, "a", "refuse: vault/actions/a.json: pull request 7 has no approving review that counts");
	free(h->config.ops_repo);
}

/* Approve, push another commit, merge. The forge says yes to a head that does not hold what landed. guard: same_bytes in dispatcher/git/approve.c */
static void test_threat_01_forge_reviewed_other_bytes(void **state)
{
	struct house *h = *state;
	cleanup_free char *a = action_text("a", ""), *other = action_text("a", "\"KEY\"");
	const struct git_change reviewed[] = {{"vault/formulas/f.yaml", FORMULA, strlen(FORMULA)},
	                                      {"vault/actions/a.json", other, strlen(other)}};
	use_forge(h);
	git_oid base = land(h->f.repo, "README.md", "x");
	git_oid head = commit_on(h->f.repo, &base, reviewed, 2, "reviewed");
	set_ref(h->f.repo, "refs/pull/7/head", &head);
	const struct git_change both[] = {{"vault/formulas/f.yaml", FORMULA, strlen(FORMULA)}, {"vault/actions/a.json", a, strlen(a)}};
	git_oid commit = land_all(h, both, 2);
	cleanup_free char *path = xasprintf("/repos/org/ops/commits/%s/pull", git_oid_tostr_s(&commit));
	json_t *pull = pull_json(&commit);
	json_object_set_new(json_object_get(pull, "head"), "sha", json_string(git_oid_tostr_s(&head)));
	fake_forge_answer(h->forge, "GET", path, 200, pull);
	answer_reviews(h, &head, "APPROVED", false);
	expect(h, "a", "refuse: vault/actions/a.json: what pull request 7 had reviewed is not what landed");
	free(h->config.ops_repo);
}

/* A direct push, as anybody with the right to push may do it. guard: approve_file in dispatcher/git/approve.c, for each mode */
static void test_threat_03_a_direct_push(void **state)
{
	struct house *h = *state;
	use_forge(h);
	git_oid commit = land_both(h);
	answer_pull(h, &commit, 404); /* it never came by a request */
	expect(h, "a", "wait: vault/actions/a.json: waits for its approval to be checked: ");
	stop(h);
	h->config.approval.minimum = APPROVAL_SIGNED;
	h->config.approval.allowed_signers = h->signers_path;
	expect(h, "a", "refuse: vault/actions/a.json: is not approved: ");
	stop(h);
	h->config.approval.minimum = APPROVAL_LANDED; /* the negative control: where landing is enough it runs */
	expect(h, "a", "high landed");
	free(h->config.ops_repo);
}

/* One commit that swaps a secret under an approved name and adds the action that uses it. guard: approve_secrets in dispatcher/git/judge.c */
static void test_threat_10_secrets_and_actions_together(void **state)
{
	struct house *h = *state;
	cleanup_free char *c = action_text("c", "\"KEY\"");
	const struct git_change both[] = {{"vault/secrets/KEY.age", "swapped", 7}, {"vault/actions/c.json", c, strlen(c)}};
	git_oid blob;
	h->config.approval.minimum = APPROVAL_SIGNED;
	h->config.approval.allowed_signers = h->signers_path;
	land(h->f.repo, "README.md", "x");
	approve(h, "vault/formulas/f.yaml", FORMULA, NULL);
	approve(h, "vault/secrets/KEY.age", "ciphertext", NULL);

	cleanup_buf struct buf message = BUF_INIT;
	buf_adds(&message, "Approve\n\n");
	git_odb_hash(&blob, c, strlen(c), GIT_OBJECT_BLOB);
	approval_line("vault/actions/c.json", &blob, &message);
	git_oid base;
	assert_int_equal(git_reference_name_to_id(&base, h->f.repo, "refs/heads/main"), 0);
	land_signed(h, both, 2, message.data);
	expect(h, "c", "refuse: vault/secrets/KEY.age");
	stop(h);

	set_ref(h->f.repo, "refs/heads/main", &base); /* the negative control: with a line for each it runs */
	git_odb_hash(&blob, "swapped", 7, GIT_OBJECT_BLOB);
	approval_line("vault/secrets/KEY.age", &blob, &message);
	land_signed(h, both, 2, message.data);
	expect(h, "c", "high signed by human@example");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_without_a_policy_everything_is_high),
	    T(test_policy_gives_the_tier),
	    T(test_freeze_holds_and_lets_go),
	    T(test_secret_for_another_formula_is_refused),
	    T(test_threat_05_no_request_loosens_the_rule_it_is_judged_by),
	    T(test_policy_in_force_outlives_the_clone),
	    T(test_signed),
	    T(test_signed_needs_an_approved_formula),
	    T(test_without_a_list_of_signers_it_waits),
	    T(test_forge),
	    T(test_forge_review_of_an_earlier_version),
	    T(test_threat_03_a_direct_push),
	    T(test_threat_10_secrets_and_actions_together),
	    T(test_threat_01_forge_reviewed_other_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
