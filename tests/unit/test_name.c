#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/name.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A name of n bytes: `first`, then n - 1 times `rest`. */
static char *long_name(char first, char rest, size_t n)
{
	char *s = xmalloc(n + 1);

	memset(s, rest, n);
	s[0] = first;
	s[n] = '\0';
	return s;
}

static void check_length(bool (*is)(const char *), char c, size_t max)
{
	cleanup_free char *longest = long_name(c, c, max);
	cleanup_free char *too_long = long_name(c, c, max + 1);

	assert_true(is(longest));
	assert_false(is(too_long));
	assert_false(is(""));
}

static void ids(void **state)
{
	static const char *const good[] = {"a", "0", "publish-skill-20260331", "a_b", "0-", "9_"};
	static const char *const bad[] = {"-a", "_a", "A", "aB", "a.b", "foo.result", "a b", "a/b", "..", "a\n", "é", "a\x80"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_id(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_id(bad[i]));
	check_length(vault_is_id, 'a', 96);
}

static void secrets(void **state)
{
	static const char *const good[] = {"A", "CLAWHUB_TOKEN", "A1_", "Z9"};
	static const char *const bad[] = {"a", "1A", "_A", "A-B", "A.B", "Token", "A B", "A=B", "../A", "A\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_secret(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_secret(bad[i]));
	check_length(vault_is_secret, 'A', 64);
}

static void branches(void **state)
{
	static const char *const good[] = {"main", "_a", "release/1.x", "a-b/c_d", "1", "locks", "a.lock.b"};
	static const char *const bad[] = {"-a",   "/a",     "a/",       ".a",  "a/.b", "a.",  "a..b",
	                                  "a//b", "a.lock", "a.lock/b", "a b", "a~1",  "a:b", "@"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_branch(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_branch(bad[i]));
	check_length(vault_is_branch, 'a', 256);
}

static void repos(void **state)
{
	static const char *const good[] = {"o/r", "A-1._/b", "-/-", ".o/.r", "o/..."};
	static const char *const bad[] = {"",    "o",    "/",   "o/",   "/r",    "o/r/s", "o/r/",
	                                  "o/.", "o/..", "./r", "../r", "../..", "o/r\n", "o /r"};
	cleanup_free char *name = long_name('a', 'a', 254), *longest = xasprintf("o/%s", name), *too_long = xasprintf("oo/%s", name);

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_repo(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_repo(bad[i]));
	assert_true(vault_is_repo(longest));
	assert_false(vault_is_repo(too_long));
}

static void inputs(void **state)
{
	static const char *const good[] = {"a", "version", "a1_", "z9"};
	static const char *const bad[] = {"A", "1a", "_a", "a-b", "a.b", "a b", "a=b", "a\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_input(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_input(bad[i]));
	check_length(vault_is_input, 'a', 64);
}

static void artifacts(void **state)
{
	static const char *const good[] = {"a", "A.tar.gz", "_x", "0-1+2", "report.json"};
	static const char *const bad[] = {".a", "..", "-rf", "+a", "a/b", "a b", "a\n", "a\\b", "\xc3\xa4", "a:b", "~a"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_artifact(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_artifact(bad[i]));
	check_length(vault_is_artifact, 'a', 128);
}

static void step_variables(void **state)
{
	static const char *const good[] = {"PATH",
	                                   "HOME",
	                                   "USER",
	                                   "LOGNAME",
	                                   "TMPDIR",
	                                   "LANG",
	                                   "GIT_ASKPASS",
	                                   "GIT_TERMINAL_PROMPT",
	                                   "GIT_SSH_COMMAND",
	                                   "INPUT_A",
	                                   "DISINTO_CONTEXT",
	                                   "GIT_CONFIG_COUNT",
	                                   "GIT_CONFIG_VALUE_0"};
	static const char *const bad[] = {"PATHS", "PAT", "INPUT", "MY_INPUT_A", "DISINTO", "TOKEN", "GIT_TOKEN", "GIT_CONFIG"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(vault_is_step_variable(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(vault_is_step_variable(bad[i]));
}

static void file_kinds(void **state)
{
	static const struct {
		const char *name;
		enum vault_file kind;
		const char *id; /* "-": the buffer must be untouched */
	} cases[] = {
	    {"x.json", VAULT_FILE_ACTION, "x"},
	    {"x.result.json", VAULT_FILE_RESULT, "x"},
	    {"x.cancel.json", VAULT_FILE_CANCEL, "x"},
	    {".gitkeep", VAULT_FILE_KEEP, "-"},
	    {"result.json", VAULT_FILE_ACTION, "result"},
	    {"cancel.json", VAULT_FILE_ACTION, "cancel"},
	    {"x.result.result.json", VAULT_FILE_MISNAMED, "-"},
	    {"x.Result.json", VAULT_FILE_MISNAMED, "-"},
	    {"X.json", VAULT_FILE_MISNAMED, "-"},
	    {".json", VAULT_FILE_MISNAMED, "-"},
	    {".result.json", VAULT_FILE_MISNAMED, "-"},
	    {"x.json.bak", VAULT_FILE_MISNAMED, "-"},
	    {"x.jsonl", VAULT_FILE_MISNAMED, "-"},
	    {"x.toml", VAULT_FILE_MISNAMED, "-"},
	    {"x", VAULT_FILE_MISNAMED, "-"},
	    {"", VAULT_FILE_MISNAMED, "-"},
	    {"README.md", VAULT_FILE_MISNAMED, "-"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char id[VAULT_ID_MAX + 1] = "-";

		assert_int_equal(vault_file_kind(cases[i].name, id), cases[i].kind);
		assert_string_equal(id, cases[i].id);
	}
}

static void longest_file(void **state)
{
	cleanup_free char *longest = long_name('a', 'b', 96);
	cleanup_free char *file = xasprintf("%s.result.json", longest);
	cleanup_free char *too_long = xasprintf("a%s.result.json", longest);
	char id[VAULT_ID_MAX + 1];

	(void)state;
	assert_int_equal(vault_file_kind(file, id), VAULT_FILE_RESULT);
	assert_string_equal(id, longest);
	assert_int_equal(vault_file_kind(too_long, id), VAULT_FILE_MISNAMED);
}

static void paths(void **state)
{
	cleanup_free char *action = vault_action_path("x");
	cleanup_free char *result = vault_result_path("x");
	cleanup_free char *cancel = vault_cancel_path("x");
	cleanup_free char *formula = vault_formula_path("f");
	cleanup_free char *secret = vault_secret_path("TOKEN");

	(void)state;
	assert_string_equal(action, "vault/actions/x.json");
	assert_string_equal(result, "vault/actions/x.result.json");
	assert_string_equal(cancel, "vault/actions/x.cancel.json");
	assert_string_equal(formula, "vault/formulas/f.yaml");
	assert_string_equal(secret, "vault/secrets/TOKEN.age");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ids),        cmocka_unit_test(secrets),      cmocka_unit_test(inputs), cmocka_unit_test(artifacts),
	    cmocka_unit_test(file_kinds), cmocka_unit_test(longest_file), cmocka_unit_test(paths),  cmocka_unit_test(step_variables),
	    cmocka_unit_test(branches),   cmocka_unit_test(repos),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
