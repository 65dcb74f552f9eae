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

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_threat_11_a_small_branch_that_unpacks_to_much, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
