/* Requests and branch protection on a forge, against a stand-in that holds each call against the real API. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "tests/forge.h"
#include "vault/forge/forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "1111111111111111111111111111111111111111"
#define PULLS "/repos/org/ops/pulls"
#define LABELS "/repos/org/ops/labels"
#define RULES "/repos/org/ops/branch_protections"

struct site {
	struct fake_forge *fake;
	struct forge *forge;
};

static int setup(void **state)
{
	struct site *s = xcalloc(1, sizeof(*s));

	s->fake = fake_forge_start(NULL);
	if (!s->fake)
		return -1;
	*state = s;
	return forge_new(&(struct forge_options){.url = fake_forge_url(s->fake), .repo = "org/ops", .base = "main"}, &s->forge, NULL);
}

static int teardown(void **state)
{
	struct site *s = *state;
	const char *violation = fake_forge_violation(s->fake);
	int rc = violation ? -1 : 0;

	if (violation)
		fprintf(stderr, "%s\n", violation);
	forge_free(s->forge);
	fake_forge_stop(s->fake);
	free(s);
	return rc;
}

static json_t *pull_json(int number, const char *branch, int repo_id)
{
	return json_pack("{s:i, s:s, s:{s:s}, s:{s:s, s:s, s:i}, s:{s:s, s:i}, s:b, s:n}", "number", number, "html_url",
	                 "https://forge.example/org/ops/pulls/7", "user", "login", "agent", "head", "ref", branch, "sha", HEAD, "repo_id",
	                 repo_id, "base", "ref", "main", "repo_id", 1, "merged", 0, "merge_commit_sha");
}

static const struct forge_request request = {
    .branch = "vault/a", .base = "main", .title = "vault: a", .body = "why", .labels = (const char *const[]){"vault", NULL}};

static void test_request_is_opened_with_labels(void **state)
{
	struct site *s = *state;
	struct forge_pull p __attribute__((cleanup(forge_pull_free))) = {0};
	bool made = false;

	fake_forge_answer(s->fake, "GET", PULLS, 200, json_array());
	fake_forge_answer(s->fake, "GET", LABELS, 200, json_pack("[{s:i, s:s}]", "id", 3, "name", "other"));
	fake_forge_answer(s->fake, "POST", LABELS, 201, json_pack("{s:i, s:s}", "id", 4, "name", "vault"));
	fake_forge_answer(s->fake, "POST", PULLS, 201, pull_json(7, "vault/a", 1));
	assert_int_equal(forge_propose(s->forge, &request, &p, &made, NULL), 0);
	assert_true(made);
	assert_int_equal(p.number, 7);
	assert_string_equal(p.branch, "vault/a");
	cleanup_json json_t *body = fake_forge_body(s->fake, "POST", PULLS);
	cleanup_json json_t *wanted =
	    json_pack("{s:s, s:s, s:s, s:s, s:[i]}", "head", "vault/a", "base", "main", "title", "vault: a", "body", "why", "labels", 4);
	assert_true(json_equal(body, wanted));
}

static void test_open_request_is_returned_as_it_is(void **state)
{
	struct site *s = *state;
	struct forge_pull p __attribute__((cleanup(forge_pull_free))) = {0};
	bool made = true;

	fake_forge_answer(s->fake, "GET", PULLS, 200,
	                  json_pack("[o, o, o]", pull_json(5, "vault/b", 1), pull_json(6, "vault/a", 2), pull_json(7, "vault/a", 1)));
	assert_int_equal(forge_propose(s->forge, &request, &p, &made, NULL), 0);
	assert_false(made);
	assert_int_equal(p.number, 7); /* 6 is a fork's branch of the same name */
	cleanup_json json_t *body = fake_forge_body(s->fake, "POST", PULLS);
	assert_null(body);
}

/* guard: is_own() in on_pull(); and both of its conditions */
static void test_requests_of_others_are_not_ours(void **state)
{
	struct site *s = *state;
	struct forge_pulls all __attribute__((cleanup(forge_pulls_free))) = {0};
	struct forge_pull p __attribute__((cleanup(forge_pull_free))) = {0};
	json_t *elsewhere = pull_json(6, "vault/a", 1);

	json_object_set_new(json_object_get(elsewhere, "base"), "ref", json_string("other"));
	fake_forge_answer(s->fake, "GET", PULLS, 200,
	                  json_pack("[o, o, o]", pull_json(5, "vault/a", 2), elsewhere, pull_json(7, "vault/a", 1)));
	assert_int_equal(forge_open_pulls(s->forge, &all, NULL), 0);
	assert_int_equal(all.n, 1);
	assert_int_equal(all.v[0].number, 7);
	assert_int_equal(forge_pull_of_branch(s->forge, "vault/a", &p, NULL), 0);
	assert_int_equal(p.number, 7);
}

static void test_labels_are_no_condition(void **state)
{
	struct site *s = *state;
	struct forge_pull p __attribute__((cleanup(forge_pull_free))) = {0};
	bool made = false;

	fake_forge_answer(s->fake, "GET", PULLS, 200, json_array());
	fake_forge_answer(s->fake, "GET", LABELS, 200, json_array());
	fake_forge_answer(s->fake, "POST", LABELS, 403, json_pack("{s:s}", "message", "no"));
	fake_forge_answer(s->fake, "POST", PULLS, 201, pull_json(7, "vault/a", 1));
	assert_int_equal(forge_propose(s->forge, &request, &p, &made, NULL), 0);
	assert_true(made);
}

static void test_refusal_has_the_forges_own_words(void **state)
{
	struct site *s = *state;
	cleanup_err struct err err = ERR_INIT;

	fake_forge_answer(s->fake, "POST", PULLS "/7/reviews", 422, json_pack("{s:s}", "message", "approve your own pull is not allowed"));
	assert_int_equal(forge_approve(s->forge, 7, HEAD, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "approve your own pull is not allowed"));
}

static void test_approval_and_merge_name_the_head(void **state)
{
	struct site *s = *state;

	fake_forge_answer(s->fake, "POST", PULLS "/7/reviews", 200, json_pack("{s:s}", "state", "APPROVED"));
	fake_forge_answer(s->fake, "POST", PULLS "/7/merge", 200, json_object());
	assert_int_equal(forge_approve(s->forge, 7, HEAD, NULL), 0);
	assert_int_equal(forge_merge(s->forge, 7, HEAD, "Approve a", "words", NULL), 0);
	cleanup_json json_t *review = fake_forge_body(s->fake, "POST", PULLS "/7/reviews");
	cleanup_json json_t *merge = fake_forge_body(s->fake, "POST", PULLS "/7/merge");
	assert_string_equal(json_string_value(json_object_get(review, "commit_id")), HEAD);
	assert_string_equal(json_string_value(json_object_get(review, "event")), "APPROVED");
	assert_string_equal(json_string_value(json_object_get(merge, "head_commit_id")), HEAD);
	assert_string_equal(json_string_value(json_object_get(merge, "Do")), "merge");
}

static void test_comment_and_status_are_made_once(void **state)
{
	struct site *s = *state;
	static const char comments[] = "/repos/org/ops/issues/7/comments", statuses[] = "/repos/org/ops/statuses/" HEAD;

	fake_forge_answer(s->fake, "GET", comments, 200,
	                  json_pack("[{s:s, s:{s:s}}, {s:s, s:{s:s}}]", "body", "nice <!-- result a -->", "user", "login", "mallory",
	                            "body", "nice <!-- result b -->", "user", "login", "bot"));
	fake_forge_answer(s->fake, "POST", comments, 201, json_object());
	assert_int_equal(forge_comment(s->forge, 7, "bot", "<!-- result a -->", "done <!-- result a -->", NULL), 0);
	assert_int_equal(fake_forge_count(s->fake, comments), 2);
	/* What somebody else wrote into one of his own keeps none away. guard: strcmp(by, m->by) in vault/forge/forge_pull.c */
	assert_int_equal(forge_comment(s->forge, 7, "bot", "<!-- result b -->", "done <!-- result b -->", NULL), 0);
	assert_int_equal(fake_forge_count(s->fake, comments), 3);

	fake_forge_answer(
	    s->fake, "GET", statuses, 200,
	    json_pack("[{s:s, s:s}, {s:s, s:s}]", "context", "disinto", "status", "success", "context", "disinto", "status", "pending"));
	fake_forge_answer(s->fake, "POST", statuses, 201, json_object());
	assert_int_equal(forge_set_status(s->forge, HEAD, "disinto", "success", "it ran", NULL), 0);
	cleanup_json json_t *none = fake_forge_body(s->fake, "POST", statuses);
	assert_null(none);
	assert_int_equal(forge_set_status(s->forge, HEAD, "disinto", "pending", "it runs", NULL), 0);
	cleanup_json json_t *posted = fake_forge_body(s->fake, "POST", statuses);
	assert_string_equal(json_string_value(json_object_get(posted, "state")), "pending");
}

/* guard: ERR_FAIL in forge_set_status() */
static void test_status_among_too_many(void **state)
{
	struct site *s = *state;
	static const char statuses[] = "/repos/org/ops/statuses/" HEAD;

	fake_forge_answer(s->fake, "GET", statuses, 200, json_pack("[{s:s, s:s}]", "context", "other", "status", "success"));
	fake_forge_answer(s->fake, "POST", statuses, 201, json_object());
	fake_forge_endless(s->fake);
	assert_int_equal(forge_set_status(s->forge, HEAD, "disinto", "success", "it ran", NULL), 0);
	cleanup_json json_t *posted = fake_forge_body(s->fake, "POST", statuses);
	assert_string_equal(json_string_value(json_object_get(posted, "state")), "success");
}

static void test_protection_is_made_where_there_is_none(void **state)
{
	struct site *s = *state;
	cleanup_json json_t *approvers = json_pack("[s]", "alice"), *findings = json_array();
	const struct forge_protection main_rule = {"main", "bot", true, approvers};

	fake_forge_answer(s->fake, "POST", RULES, 201, json_object());
	assert_int_equal(forge_check_protection(s->forge, &main_rule, findings, NULL), 0);
	assert_int_equal(json_array_size(findings), 1);
	assert_int_equal(forge_protect(s->forge, &main_rule, NULL), 0);
	cleanup_json json_t *rule = fake_forge_body(s->fake, "POST", RULES);
	assert_string_equal(json_string_value(json_object_get(rule, "rule_name")), "main");
	/* What was set is what the check wants. */
	fake_forge_answer(s->fake, "GET", RULES "/main", 200, json_incref(rule));
	json_array_clear(findings);
	assert_int_equal(forge_check_protection(s->forge, &main_rule, findings, NULL), 0);
	assert_int_equal(json_array_size(findings), 0);
}

/* Each field that an approval rests on, changed alone, is found. */
static void test_each_weakened_field_is_found(void **state)
{
	struct site *s = *state;
	cleanup_json json_t *approvers = json_pack("[s, s]", "alice", "bob");
	const struct forge_protection main_rule = {"main", "bot", true, approvers};
	cleanup_json json_t *weak =
	    json_pack("{s:b, s:[s,s], s:b, s:b, s:[s,s,s], s:i, s:b, s:[s], s:b, s:b, s:b, s:b, s:s}", "enable_push_whitelist", 0,
	              "push_whitelist_usernames", "bot", "agent", "push_whitelist_deploy_keys", 1, "enable_merge_whitelist", 0,
	              "merge_whitelist_usernames", "alice", "bob", "agent", "required_approvals", 0, "enable_approvals_whitelist", 0,
	              "approvals_whitelist_username", "agent", "block_on_rejected_reviews", 0, "dismiss_stale_approvals", 0,
	              "ignore_stale_approvals", 1, "apply_to_admins", 0, "unprotected_file_patterns", "vault/**");
	const char *key;
	json_t *value;

	fake_forge_answer(s->fake, "POST", RULES, 201, json_object());
	assert_int_equal(forge_protect(s->forge, &main_rule, NULL), 0);
	json_object_foreach (weak, key, value) {
		cleanup_json json_t *findings = json_array();
		json_t *rule = fake_forge_body(s->fake, "POST", RULES);
		json_object_set(rule, key, value);
		fake_forge_answer(s->fake, "GET", RULES "/main", 200, rule);
		assert_int_equal(forge_check_protection(s->forge, &main_rule, findings, NULL), 0);
		if (json_array_size(findings) != 1)
			print_error("%s: %zu findings\n", key, json_array_size(findings));
		assert_int_equal(json_array_size(findings), 1);
		assert_non_null(strstr(json_string_value(json_array_get(findings, 0)), key));
	}
}

static void test_branch_without_requests_takes_none(void **state)
{
	struct site *s = *state;
	const struct forge_protection ledger = {"disinto-ledger", "bot", false, NULL};

	fake_forge_answer(s->fake, "PATCH", RULES "/disinto-ledger", 200, json_object());
	assert_int_equal(forge_protect(s->forge, &ledger, NULL), 0);
	cleanup_json json_t *rule = fake_forge_body(s->fake, "PATCH", RULES "/disinto-ledger");
	assert_true(json_is_true(json_object_get(rule, "enable_merge_whitelist")));
	assert_int_equal(json_array_size(json_object_get(rule, "merge_whitelist_usernames")), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_request_is_opened_with_labels, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_open_request_is_returned_as_it_is, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_requests_of_others_are_not_ours, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_labels_are_no_condition, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusal_has_the_forges_own_words, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_approval_and_merge_name_the_head, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_comment_and_status_are_made_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status_among_too_many, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_protection_is_made_where_there_is_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_each_weakened_field_is_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_branch_without_requests_takes_none, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
