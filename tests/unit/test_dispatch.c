/* What POST /dispatch may ask for. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "vault/approval/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FRESH "0123abcd"

static void read_good(const char *text, struct dispatch *ret)
{
	cleanup_err struct err err = ERR_INIT;

	if (dispatch_read(text, strlen(text), FRESH, ret, &err) < 0)
		fail_msg("%s: %s", text, err_msg(&err));
}

static void assert_refused(const char *text, const char *beginning)
{
	cleanup_dispatch struct dispatch d = DISPATCH_INIT;
	cleanup_err struct err err = ERR_INIT;

	assert_int_equal(dispatch_read(text, strlen(text), FRESH, &d, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	if (strncmp(err_msg(&err), beginning, strlen(beginning)) != 0)
		fail_msg("%s: %s", text, err_msg(&err));
	assert_null(d.task_id);
}

static const char *input(const struct dispatch *d, const char *name)
{
	return json_text(json_object_get(d->action, "inputs"), name);
}

static void test_task(void **state)
{
	cleanup_dispatch struct dispatch d = DISPATCH_INIT;

	(void)state;
	read_good("{\"task_id\": \"Fix.It\", \"repo\": \"org/app\", \"prompt\": \"p\", \"model\": \"sonnet\", \"branch\": \"dev/x\"}", &d);
	assert_string_equal(d.task_id, "Fix.It");
	assert_string_equal(d.id, "fix-it-ae431349"); /* printf Fix.It | sha256sum */
	assert_string_equal(d.repo, "org/app");
	assert_true(d.asks_secrets);
	assert_string_equal(json_text(d.action, "id"), d.id);
	assert_string_equal(json_text(d.action, "formula"), "full-loop");
	assert_string_equal(json_text(d.action, "model"), "sonnet");
	assert_string_equal(input(&d, "branch"), "dev/x");
	assert_string_equal(input(&d, "task_id"), "Fix.It");
	assert_null(json_object_get(d.action, "secrets"));
}

static void test_default_names(void **state)
{
	cleanup_dispatch struct dispatch task = DISPATCH_INIT, action = DISPATCH_INIT;

	(void)state;
	read_good("{\"repo\": \"o/r\", \"prompt\": \"p\"}", &task);
	assert_string_equal(task.task_id, "dispatch-" FRESH);
	assert_null(input(&task, "branch"));
	read_good("{\"formula\": \"f\", \"context\": \"c\", \"secrets\": []}", &action);
	assert_string_equal(action.task_id, "dispatch-" FRESH);
	assert_string_equal(action.id, "dispatch-" FRESH);
	assert_null(action.repo);
}

static void test_action(void **state)
{
	cleanup_dispatch struct dispatch d = DISPATCH_INIT;

	(void)state;
	read_good("{\"id\": \"a\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": [\"S\"], \"inputs\": {\"repo\": \"o/r\"}}", &d);
	assert_string_equal(d.task_id, "a");
	assert_string_equal(d.id, "a");
	assert_string_equal(d.repo, "o/r");
	assert_false(d.asks_secrets);
	assert_null(json_object_get(d.action, "tools")); /* no defaults: the file is what was asked for */
}

/* The bounds of each field. guard: the rules in vault/approval/dispatch.c */
static void test_parity_C3_bounds(void **state)
{
	static const struct {
		const char *field, *value, *beginning; /* of the refusal; NULL: it is good */
	} all[] = {
	    {"task_id", "", "task_id: "},
	    {"task_id", "a/b", "task_id: "},
	    {"task_id", "a b", "task_id: "},
	    {"task_id", "..", NULL},
	    {"repo", "o", "repo: "},
	    {"repo", "o/", "repo: "},
	    {"repo", "/r", "repo: "},
	    {"repo", "o/r/s", "repo: "},
	    {"repo", "o/r\\n", "repo: "},
	    {"repo", "A-1._/b", NULL},
	    {"repo", "../r", "repo: "},
	    {"repo", "o/..", "repo: "},
	    {"branch", ".x", "branch: "},
	    {"branch", "a/.x", "branch: "},
	    {"branch", "x.", "branch: "},
	    {"branch", "", "branch: "},
	    {"branch", "-x", "branch: "},
	    {"branch", "/x", "branch: "},
	    {"branch", "x/", "branch: "},
	    {"branch", "a..b", "branch: "},
	    {"branch", "a//b", "branch: "},
	    {"branch", "a.lock", "branch: "},
	    {"branch", "a.lock/b", "branch: "},
	    {"branch", "a b", "branch: "},
	    {"branch", "a/b.c-d_e", NULL},
	    {"prompt", "", "prompt: "},
	    {"model", "", "model: "},
	    {"model", "--x", "model: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_free char *value = xasprintf("\"%s\"", all[i].value);
		cleanup_json json_t *o = json_pack("{s:s, s:s}", "repo", "o/r", "prompt", "p");
		json_object_set_new(o, all[i].field, json_loads(value, JSON_DECODE_ANY, NULL));
		cleanup_free char *text = json_compact(o);
		cleanup_dispatch struct dispatch d = DISPATCH_INIT;
		if (all[i].beginning)
			assert_refused(text, all[i].beginning);
		else
			read_good(text, &d);
	}
}

static void test_lengths(void **state)
{
	static const struct {
		const char *field;
		size_t max;
	} all[] = {{"task_id", 128}, {"branch", 256}, {"prompt", 10000}};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (size_t more = 0; more < 2; more++) {
			struct buf value = BUF_INIT;
			cleanup_dispatch struct dispatch d = DISPATCH_INIT;
			for (size_t n = 0; n < all[i].max + more; n++)
				buf_addc(&value, 'a');
			cleanup_json json_t *o = json_pack("{s:s, s:s}", "repo", "o/r", "prompt", "p");
			json_object_set_new(o, all[i].field, json_string(value.data));
			cleanup_free char *text = json_compact(o);
			if (more)
				assert_refused(text, all[i].field);
			else
				read_good(text, &d);
			buf_free(&value);
		}
}

static void test_refused(void **state)
{
	(void)state;
	assert_refused("", "the body: ");
	assert_refused("[]", "the body: must be an object");
	assert_refused("{\"repo\": \"o/r\", \"prompt\": \"p\", \"prompt\": \"q\"}", "the body: ");
	assert_refused("{\"repo\": \"o/r\", \"prompt\": 1}", "prompt: ");
	assert_refused("{\"repo\": \"o/r\", \"prompt\": \"p\", \"secrets\": []}", "secrets: unknown key");
	assert_refused("{\"repo\": \"o/r\", \"prompt\": \"\\u202e\"}", "the body: ");
	assert_refused("{\"id\": 1, \"formula\": \"f\", \"context\": \"c\", \"secrets\": []}", "id: must be ");
	assert_refused("{\"id\": \"a\", \"formula\": \"f\", \"context\": \"c\"}", "secrets: is required");
	assert_refused("{\"id\": \"a\", \"formula\": \"../f\", \"context\": \"c\", \"secrets\": []}", "formula: ");
	assert_refused("{\"id\": \"a\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": [], \"repo\": \"o/r\"}", "repo: unknown key");
}

/* Different tasks get different ids, whatever their names have in common, and each is one that an action may have. guard: the hash in dispatch_task_action() */
static void test_task_ids(void **state)
{
	static const struct {
		const char *task, *beginning;
	} all[] = {{"Fix.It", "fix-it-"},  {"fix-it", "fix-it-"}, {"FIX--IT", "fix-it-"},
	           {"fix_it.", "fix_it-"}, {"...", "task-"},      {"-_a", "a-"}};
	char ids[6][VAULT_ID_MAX + 1], name[DISPATCH_TASK_MAX + 1] = "";

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		dispatch_task_action(all[i].task, ids[i]);
		assert_true(vault_is_id(ids[i]));
		assert_int_equal(strlen(ids[i]), strlen(all[i].beginning) + 8);
		assert_memory_equal(ids[i], all[i].beginning, strlen(all[i].beginning));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(ids[i], ids[k]);
	}
	memset(name, 'x', DISPATCH_TASK_MAX);
	dispatch_task_action(name, ids[0]);
	assert_int_equal(strlen(ids[0]), VAULT_ID_MAX);
	assert_true(vault_is_id(ids[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_task),     cmocka_unit_test(test_default_names),
	    cmocka_unit_test(test_action),   cmocka_unit_test(test_parity_C3_bounds),
	    cmocka_unit_test(test_lengths),  cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_task_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
