/*
 * The audit, as far as approvals, signatures and policy go.
 */
#include "tests/unit/audit_world.h"

static void nothing_is_found_where_all_is_signed(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	sign_from_now_on(&w);
	cleanup_free char *text = xasprintf("%s# changed\n", formula_text);
	approve(&w, "vault/formulas/f.yaml", text);
	approve(&w, "vault/formulas/f.yaml", formula_text);
	approve(&w, "vault/secrets/TOKEN.age", "other");
	approve(&w, "vault/secrets/TOKEN.age", "old");
	run_action(&w, "a");
	assert_says(&w, "");
	end(&w);
}

/* The commit that a merge brought in by its second parent is not on the chain. */
static void an_approval_beside_the_chain(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	git_oid base = w.tip, side = land_action(&w, "x"), parents[] = {base, side};
	cleanup_free char *text = action_text("x", "f", "\"TOKEN\"");
	const struct git_change change = {"vault/actions/x.json", text, strlen(text)};
	w.tip = commit(&w, HUMAN, parents, 2, &change, 1, "merge\n");
	git_oid merge = w.tip, at = record(&w, "x", result_of("x", &side));
	cleanup_free char *what = xasprintf("commit %s is not on the protected branch's first-parent chain", shorten(&side));
	assert_finds(&w, AUDIT_APPROVAL, "x", &at, what);

	land_action(&w, "y");
	git_oid landing = w.tip;
	json_t *result = result_of("y", &landing);
	set_oid(json_object_get(result, "approval"), "commit", &merge);
	const git_oid since = at;
	w.rules.since = &since;
	at = record(&w, "y", result);
	free(steal_ptr(&what));
	what = xasprintf("commit %s did not bring these bytes to the protected branch", shorten(&merge));
	assert_finds(&w, AUDIT_APPROVAL, "y", &at, what);

	git_oid draft = put(&w, HUMAN, "vault/actions/z.json", "{}"); /* approved as something else */
	landing = land_action(&w, "z");
	result = result_of("z", &landing);
	set_oid(json_object_get(result, "approval"), "commit", &draft);
	w.rules.since = &draft;
	at = record(&w, "z", result);
	free(steal_ptr(&what));
	what = xasprintf("commit %s did not bring these bytes to the protected branch", shorten(&draft));
	assert_finds(&w, AUDIT_APPROVAL, "z", &at, what);
	end(&w);
}

static void no_approval(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	git_oid landing = land_action(&w, "x");
	json_t *result = result_of("x", &landing);
	json_object_set_new(result, "approval", json_null());
	git_oid at = record(&w, "x", result);
	assert_finds(&w, AUDIT_APPROVAL, "x", &at, "it names none");
	end(&w);
}

/* Each of the files that an approval by signature covers, landed without one. */
static void a_signature_that_is_not_there(void **state)
{
	static const char *const paths[] = {"vault/actions/x.json", "vault/formulas/f.yaml", "vault/secrets/TOKEN.age"};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct world w;
		begin(&w);
		sign_from_now_on(&w);
		cleanup_free char *text = action_text("x", "f", "\"TOKEN\"");
		const char *const contents[] = {text, formula_text, "old"};
		git_oid bad = {{0}};
		for (size_t j = 3; j-- > 0;) {
			put(&w, HUMAN, paths[j], "something else");
			git_oid oid = i == j ? put(&w, HUMAN, paths[j], contents[j]) : approve(&w, paths[j], contents[j]);
			if (i == j)
				bad = oid;
		}
		git_oid landing = w.tip;
		json_t *result = result_of("x", &landing);
		json_object_set_new(json_object_get(result, "approval"), "mode", json_string("signed"));
		git_oid at = record(&w, "x", result), blob = blob_of(contents[i]);
		cleanup_free char *what = xasprintf("%s: is not approved: commit %s: its message has no line \"Disinto-Approve: %s %s\"",
		                                    paths[i], shorten(&bad), i == 0 ? "x" : paths[i], git_oid_tostr_s(&blob));
		assert_finds(&w, AUDIT_APPROVAL, "x", &at, what);
		end(&w);
	}
}

static void a_signature_in_another_name(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	sign_from_now_on(&w);
	git_oid landing = land_action(&w, "x");
	json_t *result = result_of("x", &landing);
	json_object_set_new(result, "approval",
	                    json_pack("{s:s, s:s, s:s}", "mode", "signed", "by", "boss@example", "commit", git_oid_tostr_s(&landing)));
	git_oid at = record(&w, "x", result);
	cleanup_free char *what = xasprintf("it names boss@example, but commit %s is signed by somebody@example", shorten(&landing));
	assert_finds(&w, AUDIT_APPROVAL, "x", &at, what);

	w.rules.approvers = NULL;
	assert_finds(&w, AUDIT_APPROVAL, "x", &at, "vault/actions/x.json: its signature can't be checked without approval.allowed_signers");
	end(&w);
}

/* Git can't show what the forge saw; that is counted, and no finding. */
static void an_approval_of_the_forge(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	git_oid landing = land_action(&w, "x");
	json_t *result = result_of("x", &landing);
	json_object_set_new(json_object_get(result, "approval"), "mode", json_string("forge"));
	record(&w, "x", result);
	assert_says(&w, "");
	assert_int_equal(w.audit.n_forge, 1);
	end(&w);
}

/* An action of the formula `strict` under a policy, with one thing in its result as given. */
static git_oid run_strict(struct world *w, const char *key, json_t *value)
{
	static const char strict[] = "name: strict\nsteps: [{id: a, run: 'true'}]\n";
	cleanup_free char *text = action_text("x", "strict", "\"TOKEN\"");
	git_oid policy = blob_of(policy_text), formula = blob_of(strict), action = blob_of(text);
	put(w, HUMAN, "vault/policy.yaml", policy_text);
	sign_from_now_on(w);
	approve(w, "vault/formulas/strict.yaml", strict);
	put(w, HUMAN, "vault/secrets/TOKEN.age", "something else");
	approve(w, "vault/secrets/TOKEN.age", "old");
	git_oid landing = approve(w, "vault/actions/x.json", text);
	json_t *result = result_of("x", &landing);
	set_oid(result, "policy", &policy);
	set_oid(result, "action", &action);
	json_object_set_new(result, "tier", json_string("medium"));
	json_object_set_new(json_object_get(result, "approval"), "mode", json_string("signed"));
	json_object_set_new(result, "formula", json_pack("{s:s, s:s}", "name", "strict", "blob", git_oid_tostr_s(&formula)));
	if (value)
		json_object_set_new(result, key, value);
	return record(w, "x", result);
}

static void a_tier_below_policy(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_strict(&w, "", NULL);
	assert_says(&w, "");
	end(&w);

	begin(&w);
	git_oid at = run_strict(&w, "tier", json_string("low"));
	assert_finds(&w, AUDIT_WEAKER, "x", &at, "its tier is low, not medium: vault/policy.yaml gives strict the tier medium");
	end(&w);

	begin(&w);
	at = run_strict(&w, "approval", json_pack("{s:s, s:n, s:n}", "mode", "landed", "by", "commit"));
	assert_finds(&w, AUDIT_WEAKER, "x", &at, "its approval is landed, where the tier medium wants signed");
	end(&w);
}

static void an_approval_below_the_configuration(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	git_oid at = run_action(&w, "x");
	w.rules.floor.minimum = APPROVAL_SIGNED;
	assert_finds(&w, AUDIT_WEAKER, "x", &at, "its approval is landed, where the tier high wants signed");
	end(&w);
}

/* A policy that comes with the request does not loosen the rule that it is judged by. */
static void a_policy_that_comes_with_its_action(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	put(&w, HUMAN, "vault/policy.yaml", "default_tier: medium\n");
	cleanup_free char *text = action_text("x", "f", "\"TOKEN\"");
	const struct git_change changes[] = {{"vault/policy.yaml", "default_tier: low\n", 18},
	                                     {"vault/actions/x.json", text, strlen(text)}};
	w.tip = commit(&w, HUMAN, &w.tip, 1, changes, 2, "both\n");
	git_oid landing = w.tip, policy = blob_of("default_tier: low\n");
	json_t *result = result_of("x", &landing);
	set_oid(result, "policy", &policy);
	json_object_set_new(result, "tier", json_string("low"));
	git_oid at = record(&w, "x", result);
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 1);
	assert_int_equal(w.audit.findings[0].kind, AUDIT_WEAKER);
	assert_true(git_oid_equal(&w.audit.findings[0].commit, &at));
	end(&w);
}

static void a_secret_that_policy_denies(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	put(&w, HUMAN, "vault/policy.yaml", policy_text);
	put(&w, HUMAN, "vault/secrets/KEPT.age", "kept");
	cleanup_free char *text = action_text("x", "f", "\"KEPT\"");
	git_oid landing = put(&w, HUMAN, "vault/actions/x.json", text), policy = blob_of(policy_text), action = blob_of(text);
	json_t *result = result_of("x", &landing);
	set_oid(result, "policy", &policy);
	set_oid(result, "action", &action);
	json_object_clear(json_object_get(result, "secrets"));
	git_oid at = record(&w, "x", result);
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 1);
	assert_int_equal(w.audit.findings[0].kind, AUDIT_WEAKER);
	assert_non_null(strstr(w.audit.findings[0].what, "it ran, but "));
	assert_non_null(strstr(w.audit.findings[0].what, "KEPT"));
	assert_true(git_oid_equal(&w.audit.findings[0].commit, &at));
	end(&w);
}

/* A policy that nobody approved as the one before it wanted never was in force. */
static void a_policy_that_was_not_approved(void **state)
{
	static const char lax[] = "default_tier: low\ntiers: {high: {approval: signed}}\n";
	static const char laxer[] = "default_tier: low\n";
	struct world w;
	(void)state;
	begin(&w);
	sign_from_now_on(&w);
	put(&w, HUMAN, "vault/policy.yaml", lax);
	put(&w, HUMAN, "vault/policy.yaml", "a broken policy");
	put(&w, HUMAN, "vault/policy.yaml", laxer);
	git_oid landing = land_action(&w, "x"), policy = blob_of(laxer), good = blob_of(lax);
	json_t *result = result_of("x", &landing);
	set_oid(result, "policy", &policy);
	git_oid at = record(&w, "x", result);
	cleanup_free char *what =
	    xasprintf("it was judged by policy %s, but at commit %s %s was in force", shorten(&policy), shorten(&landing), shorten(&good));
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, what);
	end(&w);
}

/* The first policy, unsigned where the configuration wants signatures: a dispatcher that ran by then did not take it, a later one did. */
static void a_first_policy_that_was_not_approved(void **state)
{
	static const char first[] = "default_tier: low\ntiers: {high: {approval: forge}}\n";
	(void)state;
	for (int taken = 0; taken < 2; taken++) {
		struct world w;
		begin(&w);
		sign_from_now_on(&w);
		w.rules.floor.minimum = APPROVAL_SIGNED;
		put(&w, HUMAN, "vault/secrets/TOKEN.age", "something else");
		approve(&w, "vault/secrets/TOKEN.age", "old");
		put(&w, HUMAN, "vault/formulas/f.yaml", "something else");
		approve(&w, "vault/formulas/f.yaml", formula_text);
		put(&w, HUMAN, "vault/policy.yaml", first);
		git_oid landing = land_action(&w, "x"), policy = blob_of(first);
		json_t *result = result_of("x", &landing);
		json_object_set_new(json_object_get(result, "approval"), "mode", json_string("signed"));
		if (taken) {
			set_oid(result, "policy", &policy);
			json_object_set_new(result, "tier", json_string("low"));
		}
		record(&w, "x", result);
		assert_says(&w, "");
		end(&w);
	}
}

static void an_unsigned_result(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	sign_from_now_on(&w);
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "something else");
	approve(&w, "vault/secrets/TOKEN.age", "old");
	put(&w, HUMAN, "vault/formulas/f.yaml", "something else");
	approve(&w, "vault/formulas/f.yaml", formula_text);
	run_action(&w, "a");
	assert_says(&w, "");
	struct ssh_private_key *key = w.dispatcher;
	w.dispatcher = NULL;
	git_oid at = run_action(&w, "x");
	w.dispatcher = key;
	cleanup_free char *what = xasprintf("commit %s: is not signed", shorten(&at));
	assert_finds(&w, AUDIT_UNSIGNED_RESULT, "x", &at, what);

	/* By a key that is no dispatcher's. */
	w.rules.since = &at;
	w.dispatcher = w.human;
	git_oid by_human = run_action(&w, "y");
	w.dispatcher = key;
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 1);
	assert_int_equal(w.audit.findings[0].kind, AUDIT_UNSIGNED_RESULT);
	assert_true(git_oid_equal(&w.audit.findings[0].commit, &by_human));
	w.rules.dispatchers = NULL;
	assert_says(&w, "");
	end(&w);
}

/*
 * Whoever stands in the list of recipients reads every new secret. guard: judge_recipients in vault/audit/audit.c, and audit_recipients_wanted, by which the first list needs no
 * approval.
 */
static void recipients_that_nobody_approved(void **state)
{
	static const char path[] = "vault/recipients.txt";
	struct world w;
	(void)state;
	begin(&w);
	put(&w, HUMAN, path, "age1first\n");
	sign_from_now_on(&w);
	w.rules.floor.minimum = APPROVAL_SIGNED;
	assert_says(&w, "");
	approve(&w, path, "age1first\nage1second\n");
	assert_says(&w, "");
	git_oid at = put(&w, HUMAN, path, "age1mallory\n"), blob = blob_of("age1mallory\n");
	cleanup_free char *what =
	    xasprintf("vault/recipients.txt: is not approved: commit %s: its message has no line \"Disinto-Approve: %s %s\"", shorten(&at),
	              path, git_oid_tostr_s(&blob));
	assert_finds(&w, AUDIT_RECIPIENTS, "-", &at, what);
	w.rules.floor.minimum = APPROVAL_LANDED;
	assert_says(&w, "");
	w.rules.floor.minimum = APPROVAL_SIGNED;
	git_oid gone = put(&w, HUMAN, path, NULL);
	w.rules.since = &gone;
	at = put(&w, HUMAN, path, "age1first\n"); /* a list that stood there before is no first one */
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 1);
	assert_true(git_oid_equal(&w.audit.findings[0].commit, &at));
	end(&w);
}

/* The rule is that of before, also where a commit loosens it with approval: that was given for the policy. */
static void recipients_and_policy_at_once(void **state)
{
	static const char strict[] = "tiers: {high: {approval: signed}}\n", loose[] = "tiers: {high: {approval: landed}}\n";
	const struct git_change both[] = {{"vault/policy.yaml", loose, strlen(loose)}, {"vault/recipients.txt", "age1mallory\n", 12}};
	struct world w;
	cleanup_buf struct buf message = BUF_INIT;
	git_oid blob = blob_of(loose);
	(void)state;
	begin(&w);
	put(&w, HUMAN, "vault/recipients.txt", "age1first\n");
	put(&w, HUMAN, "vault/policy.yaml", strict);
	sign_from_now_on(&w);
	git_oid before = w.tip;
	w.tip = commit(&w, HUMAN, &before, 1, both, 2, "both\n"); /* that policy is never in force, for nobody approved it */
	git_oid at = put(&w, HUMAN, "vault/recipients.txt", "age1mallory\nage1second\n");
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 2);
	assert_int_equal(w.audit.findings[1].kind, AUDIT_RECIPIENTS);
	assert_true(git_oid_equal(&w.audit.findings[1].commit, &at));

	buf_adds(&message, "both\n\n");
	approval_line("vault/policy.yaml", &blob, &message);
	at = w.tip = commit(&w, HUMAN, &before, 1, both, 2, message.data);
	put(&w, HUMAN, "vault/recipients.txt", "age1mallory\nage1second\n"); /* this one lands under the loose policy */
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 1);
	assert_true(git_oid_equal(&w.audit.findings[0].commit, &at));
	end(&w);
}

static void the_recipients_of_a_commit(void **state)
{
	static const char path[] = "vault/recipients.txt";
	struct world w;
	cleanup_err struct err err = ERR_INIT;
	cleanup_audit_recipients struct audit_recipients now = {.first = false};
	(void)state;
	begin(&w);
	assert_int_equal(audit_recipients(w.f.repo, &w.tip, &w.rules, &now, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	w.rules.floor.minimum = APPROVAL_SIGNED;
	git_oid at = put(&w, HUMAN, path, "age1first\n"), blob = blob_of("age1first\n");
	put(&w, HUMAN, "README", "later");
	assert_ok(audit_recipients(w.f.repo, &w.tip, &w.rules, &now, &err), &err);
	assert_true(now.first && now.wanted == APPROVAL_LANDED && !now.fault);
	assert_true(git_oid_equal(&now.commit, &at) && git_oid_equal(&now.blob, &blob));
	at = put(&w, HUMAN, path, "age1second\n");
	assert_ok(audit_recipients(w.f.repo, &w.tip, &w.rules, &now, &err), &err);
	assert_true(!now.first && now.wanted == APPROVAL_SIGNED && git_oid_equal(&now.commit, &at));
	assert_string_equal(now.fault, "vault/recipients.txt: its signature can't be checked without approval.allowed_signers");
	audit_recipients_free(&now);
	w.rules.floor.minimum = APPROVAL_FORGE;
	assert_ok(audit_recipients(w.f.repo, &w.tip, &w.rules, &now, &err), &err);
	assert_true(now.wanted == APPROVAL_FORGE && !now.fault);
	put(&w, HUMAN, path, NULL);
	assert_int_equal(audit_recipients(w.f.repo, &w.tip, &w.rules, &now, NULL), -1);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_found_where_all_is_signed),
	    cmocka_unit_test(an_approval_beside_the_chain),
	    cmocka_unit_test(no_approval),
	    cmocka_unit_test(a_signature_that_is_not_there),
	    cmocka_unit_test(a_signature_in_another_name),
	    cmocka_unit_test(an_approval_of_the_forge),
	    cmocka_unit_test(a_tier_below_policy),
	    cmocka_unit_test(an_approval_below_the_configuration),
	    cmocka_unit_test(a_policy_that_comes_with_its_action),
	    cmocka_unit_test(a_secret_that_policy_denies),
	    cmocka_unit_test(a_policy_that_was_not_approved),
	    cmocka_unit_test(a_first_policy_that_was_not_approved),
	    cmocka_unit_test(an_unsigned_result),
	    cmocka_unit_test(recipients_that_nobody_approved),
	    cmocka_unit_test(recipients_and_policy_at_once),
	    cmocka_unit_test(the_recipients_of_a_commit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
