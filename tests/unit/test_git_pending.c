/* The git role's look at proposals: what anybody may push, and what becomes of one that is taken back. */
#include "tests/unit/git_house.h"

#include "lib/json.h"

/* The next PENDING that has `n` rows, with what comes before it dropped. */
static json_t *until_pending(struct house *h, size_t n)
{
	for (;;) {
		json_t *m = next(h);
		if (strcmp(str(m, "kind"), "pending") == 0 && json_array_size(json_object_get(m, "pending")) == n)
			return m;
		json_decref(m);
	}
}

static const json_t *row_of(const json_t *m, const char *id)
{
	const json_t *row;
	size_t i;

	json_array_foreach (json_object_get(m, "pending"), i, row)
		if (strcmp(str(row, "id"), id) == 0)
			return row;
	return NULL;
}

static void propose(struct house *h, const char *id)
{
	cleanup_free char *path = xasprintf("vault/actions/%s.json", id), *text = action_text(id, ""),
	                  *ref = xasprintf("refs/heads/vault/%s", id);
	git_oid tip;

	assert_int_equal(git_reference_name_to_id(&tip, h->f.repo, "refs/heads/main"), 0);
	git_oid head = commit_on(h->f.repo, &tip, &(struct git_change){path, text, strlen(text)}, 1, "propose");
	set_ref(h->f.repo, ref, &head);
}

/* What a branch unpacks to is bounded; beside it the others are read, and actions land. guard: ops_bound() in pending_place() */
static void test_threat_11_a_small_branch_that_unpacks_to_much(void **state)
{
	struct house *h = *state;

	land_basics(h);
	large_delta(&h->f, "refs/heads/vault/big", 16 << 20);
	propose(h, "small");
	start(h);
	cleanup_json json_t *m = until_pending(h, 2);
	assert_int_equal(json_integer_value(json_object_get(m, "total")), 2);
	assert_non_null(strstr(str(row_of(m, "big"), "problem"), "its branch can't be fetched"));
	assert_string_equal(str(row_of(m, "small"), "context"), "why");
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	assert_int_equal(stop(h), 0);
}

static json_t *withdraw(struct house *h, const char *id)
{
	send_msg(h, msg_new(MSG_DECIDE, "{s:s, s:s, s:I}", "what", "withdraw", "id", id, "ask", (json_int_t)7));
	for (;;) {
		json_t *m = next(h);
		if (strcmp(str(m, "kind"), "decided") == 0)
			return m;
		json_decref(m);
	}
}

static bool is_on_server(const struct house *h, const char *id)
{
	cleanup_free char *ref = xasprintf("refs/heads/vault/%s", id);
	git_oid oid;
	return git_reference_name_to_id(&oid, h->f.repo, ref) == 0;
}

/* What landed a moment ago runs: nobody is told that it was withdrawn. guard: candidate_has_landed() in remove_branch() */
static void test_withdrawn_too_late(void **state)
{
	struct house *h = *state;

	land_basics(h);
	propose(h, "a");
	propose(h, "b");
	start(h);
	json_decref(until_pending(h, 2));
	land_action(h, "a", "");
	cleanup_json json_t *late = withdraw(h, "a"), *in_time = withdraw(h, "b");
	assert_false(json_is_true(json_object_get(late, "ok")));
	assert_non_null(strstr(str(late, "reason"), "it has landed meanwhile"));
	assert_true(json_is_true(json_object_get(in_time, "ok")));
	assert_false(is_on_server(h, "b"));
	assert_int_equal(stop(h), 0);
}

/* What somebody pushed since is not thrown away unseen. guard: check_head() in remove_branch() */
static void test_withdrawn_as_it_was_shown(void **state)
{
	struct house *h = *state;

	land_basics(h);
	propose(h, "a");
	start(h);
	json_decref(until_pending(h, 1));
	land_action(h, "z", ""); /* so that the same proposal is another commit */
	propose(h, "a");
	cleanup_json json_t *m = withdraw(h, "a");
	assert_false(json_is_true(json_object_get(m, "ok")));
	assert_non_null(strstr(str(m, "reason"), "somebody pushed to its branch meanwhile"));
	assert_true(is_on_server(h, "a"));
	assert_int_equal(stop(h), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_threat_11_a_small_branch_that_unpacks_to_much, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_withdrawn_too_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_withdrawn_as_it_was_shown, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
