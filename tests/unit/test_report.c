/* Results as they are told on a forge. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/forge/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static json_t *result(const char *outcome, const char *reason)
{
	return json_pack("{s:s, s:s, s:s?, s:i, s:i, s:i, s:s, s:s, s:[{s:s, s:i, s:i}]}", "id", "a-1", "outcome", outcome, "reason",
	                 reason, "exit_code", 3, "duration_ms", 2934, "attempt", 1, "timestamp", "2026-03-31T10:00:04Z", "commit", COMMIT,
	                 "steps", "id", "preflight", "exit_code", 3, "duration_ms", 1250);
}

static void test_report(void **state)
{
	cleanup_json json_t *r = result("failed", "step preflight exited with 3");
	cleanup_report struct report report = REPORT_INIT;

	(void)state;
	assert_int_equal(report_of(r, &report, NULL), 0);
	assert_string_equal(report.commit, COMMIT);
	assert_string_equal(report.context, "disinto/a-1");
	assert_string_equal(report.state, "failure");
	assert_string_equal(report.description, "failed: step preflight exited with 3");
	assert_string_equal(report.marker, "<!-- disinto: result of a-1, attempt 1 -->");
	assert_string_equal(report.text, "`a-1`: **failed**\n\n"
	                                 "```\n"
	                                 "  outcome     failed\n"
	                                 "  reason      step preflight exited with 3\n"
	                                 "  exit code   3\n"
	                                 "  took        2.934 s\n"
	                                 "  finished    2026-03-31T10:00:04Z\n"
	                                 "  attempt     1\n"
	                                 "  steps       preflight: exit code 3, 1.2 s\n"
	                                 "  result      vault/actions/a-1.result.json\n"
	                                 "```\n"
	                                 "\n<!-- disinto: result of a-1, attempt 1 -->\n");
}

static void test_states(void **state)
{
	static const char *const all[][2] = {{"succeeded", "success"}, {"failed", "failure"}, {"timed_out", "failure"},
	                                     {"cancelled", "error"},   {"refused", "error"},  {"lost", "error"}};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_json json_t *r = result(all[i][0], NULL);
		cleanup_report struct report report = REPORT_INIT;
		assert_int_equal(report_of(r, &report, NULL), 0);
		assert_string_equal(report.state, all[i][1]);
		assert_string_equal(report.description, all[i][0]);
	}
}

/* What a reason holds stays a text: it names nobody, ends no block, and is cut. guard: told_block() in vault/forge/report.c */
static void test_threat_49_a_reason_is_data(void **state)
{
	cleanup_buf struct buf reason = BUF_INIT;
	cleanup_report struct report report = REPORT_INIT;

	(void)state;
	buf_adds(&reason, "@everybody\n````\n# a title\n");
	for (int i = 0; i < 1000; i++)
		buf_adds(&reason, "\xc3\xa9");
	cleanup_json json_t *r = result("failed", reason.data);
	assert_int_equal(report_of(r, &report, NULL), 0);
	const char *begin = strstr(report.text, "`````\n"), *end = begin ? strstr(begin + 6, "`````\n") : NULL,
	           *name = strstr(report.text, "@everybody");
	assert_non_null(end);
	assert_true(name > begin && name < end);
	assert_null(strstr(end, "title"));
	assert_non_null(strstr(report.text, "…\n"));
	assert_true(strlen(report.text) < 1200);
	assert_true(strlen(report.description) < 130);
	assert_null(strchr(report.description, '\n'));
}

static void test_no_result(void **state)
{
	static const char *const all[] = {"[]",
	                                  "{}",
	                                  "{\"id\": \"A\", \"outcome\": \"failed\", \"commit\": \"" COMMIT "\"}",
	                                  "{\"id\": \"a\", \"outcome\": \"eaten\", \"commit\": \"" COMMIT "\"}",
	                                  "{\"id\": \"a\", \"outcome\": \"failed\", \"commit\": null}",
	                                  "{\"id\": \"a\", \"outcome\": \"failed\", \"commit\": \"../../x\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_json json_t *r = json_loads(all[i], 0, NULL);
		cleanup_report struct report report = REPORT_INIT;
		cleanup_err struct err err = ERR_INIT;
		assert_int_equal(report_of(r, &report, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_report),
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_threat_49_a_reason_is_data),
	    cmocka_unit_test(test_no_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
