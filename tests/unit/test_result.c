#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/result.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void outcomes(void **state)
{
	static const char *const names[] = {"succeeded", "failed", "timed_out", "cancelled", "refused", "lost"};
	enum outcome o = OUTCOME_LOST;

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_string_equal(outcome_name((enum outcome)i), names[i]);
		assert_int_equal(outcome_parse(names[i], &o), 0);
		assert_int_equal(o, i);
	}
	assert_int_equal(outcome_parse("Succeeded", &o), -1);
	assert_int_equal(outcome_parse("", &o), -1);
	assert_int_equal(o, OUTCOME_LOST);
}

static void whole_result(void **state)
{
	cleanup_json json_t *secrets = json_pack("{ss}", "CLAWHUB_TOKEN", "5ecd");
	cleanup_json json_t *steps = json_pack("[{ss si si}]", "id", "preflight", "exit_code", 0, "duration_ms", 12);
	cleanup_json json_t *artifacts = json_pack("[{ss si ss}]", "name", "a.txt", "bytes", 5, "sha256", "2c26");
	cleanup_json json_t *left_out = json_pack("[{ss ss}]", "name", "b", "reason", "it holds a secret");
	cleanup_json json_t *outputs = json_pack("{ss}", "url", "https://hub.example/42");
	const struct result r = {
	    .id = "publish-skill-20260331",
	    .outcome = OUTCOME_SUCCEEDED,
	    .has_exit_code = true,
	    .exit_code = 0,
	    .started_ms = 1774951201000,
	    .finished_ms = 1774951203934,
	    .attempt = 1,
	    .tier = "high",
	    .approval_mode = "landed",
	    .approval_by = "operator@example",
	    .approval_commit = "c1",
	    .commit = "c2",
	    .action_blob = "b1",
	    .policy_blob = "b2",
	    .formula_name = "clawhub-publish",
	    .formula_blob = "b3",
	    .image = "debian@sha256:00",
	    .dispatcher = "edge-1",
	    .engine = "docker",
	    .container = "d0c",
	    .claim = "n0",
	    .secrets = secrets,
	    .steps = steps,
	    .outputs = outputs,
	    .artifacts = artifacts,
	    .artifacts_left_out = left_out,
	    .logs = "done\n",
	    .log_bytes = 5,
	    .log_sha256 = "ab",
	    .log_truncated = false,
	};
	cleanup_json json_t *json = result_to_json(&r);
	cleanup_free char *text = json_dumps(json, JSON_COMPACT);

	(void)state;
	assert_string_equal(
	    text, "{\"id\":\"publish-skill-20260331\",\"outcome\":\"succeeded\",\"exit_code\":0,\"reason\":null,"
	          "\"timestamp\":\"2026-03-31T10:00:03Z\",\"started_at\":\"2026-03-31T10:00:01Z\",\"duration_ms\":2934,"
	          "\"attempt\":1,\"tier\":\"high\",\"approval\":{\"mode\":\"landed\",\"by\":\"operator@example\",\"commit\":\"c1\"},"
	          "\"commit\":\"c2\",\"action\":\"b1\",\"policy\":\"b2\",\"formula\":{\"name\":\"clawhub-publish\",\"blob\":\"b3\"},"
	          "\"image\":\"debian@sha256:00\",\"dispatcher\":\"edge-1\",\"engine\":\"docker\",\"container\":\"d0c\","
	          "\"claim\":\"n0\",\"secrets\":{\"CLAWHUB_TOKEN\":\"5ecd\"},"
	          "\"steps\":[{\"id\":\"preflight\",\"exit_code\":0,\"duration_ms\":12}],\"outputs\":{\"url\":\"https://hub.example/"
	          "42\"},\"artifacts\":[{\"name\":\"a.txt\",\"bytes\":5,\"sha256\":\"2c26\"}],"
	          "\"artifacts_left_out\":[{\"name\":\"b\",\"reason\":\"it holds a secret\"}],\"logs\":\"done\\n\",\"log_bytes\":5,"
	          "\"log_sha256\":\"ab\",\"log_truncated\":false}");
}

/* A refusal knows next to nothing, and still has every key. */
static void bare_result(void **state)
{
	const struct result r = {
	    .id = "x", .outcome = OUTCOME_REFUSED, .reason = "vault/actions/x.json: no", .finished_ms = 1774951203934, .attempt = 1};
	cleanup_json json_t *json = result_to_json(&r);
	cleanup_free char *text = json_dumps(json, JSON_COMPACT);

	(void)state;
	assert_string_equal(text, "{\"id\":\"x\",\"outcome\":\"refused\",\"exit_code\":null,\"reason\":\"vault/actions/x.json: no\","
	                          "\"timestamp\":\"2026-03-31T10:00:03Z\",\"started_at\":null,\"duration_ms\":null,\"attempt\":1,"
	                          "\"tier\":null,\"approval\":null,\"commit\":null,\"action\":null,\"policy\":null,\"formula\":null,"
	                          "\"image\":null,\"dispatcher\":null,\"engine\":null,\"container\":null,\"claim\":null,"
	                          "\"secrets\":{},\"steps\":[],\"outputs\":{},\"artifacts\":[],\"artifacts_left_out\":[],\"logs\":\"\","
	                          "\"log_bytes\":0,\"log_sha256\":null,"
	                          "\"log_truncated\":false}");
}

static void clock_set_back(void **state)
{
	const struct result r = {.id = "x", .started_ms = 1774951203934, .finished_ms = 1774951201000};
	cleanup_json json_t *json = result_to_json(&r);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(json, "duration_ms")), 0);
}

/* jansson has no string for invalid UTF-8; the key must be there all the same. */
static void invalid_text_stays(void **state)
{
	const struct result r = {.id = "x", .reason = "server said \xff!", .logs = "a\xc3"};
	cleanup_json json_t *json = result_to_json(&r);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(json, "reason")), "server said \xef\xbf\xbd!");
	assert_string_equal(json_string_value(json_object_get(json, "logs")), "a\xef\xbf\xbd");
}

static void log_tails(void **state)
{
	static const struct {
		const char *log;
		size_t len, max;
		const char *tail;
	} cases[] = {
	    {"", 0, 4, ""},
	    {"abcd", 4, 4, "abcd"},
	    {"abcde", 5, 4, "bcde"},
	    {"abcde", 5, 0, ""},
	    {"a\xc3\xa9z", 4, 3, "\xc3\xa9z"},
	    {"a\xc3\xa9z", 4, 2, "z"},                        /* the cut goes through é */
	    {"\xf0\x9f\x98\x80!", 5, 4, "!"},                 /* and through an emoji */
	    {"\xa9\xa9", 2, 8, "\xef\xbf\xbd\xef\xbf\xbd"},   /* nothing was cut: these are invalid by themselves */
	    {"ab\xff", 3, 3, "\xef\xbf\xbd"},                 /* what replaces is longer; the bound holds */
	    {"ab\x80\x80\x80\x80\x80", 7, 5, "\xef\xbf\xbd"}, /* no character is that long: only three belong to the cut */
	    {"ab\xff", 3, 4, "b\xef\xbf\xbd"},
	    {"a\0b", 3, 9,
	     "a\xef\xbf\xbd"
	     "b"},
	    {"a\xe2\x82", 3, 9, "a\xef\xbf\xbd\xef\xbf\xbd"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cleanup_free char *tail = result_log_tail(cases[i].log, cases[i].len, cases[i].max);

		assert_string_equal(tail, cases[i].tail);
	}
}

/* Every byte pattern at every cut: bounded and valid. */
static void log_tail_property(void **state)
{
	static const char pieces[] = "a\xc3\xa9\xff\xe2\x82\xac\x80\xf0\x9f\x98\x80\xed\xa0\x80\n\x1b[0m\xc0\xaf";

	(void)state;
	for (size_t start = 0; start < sizeof(pieces); start++)
		for (size_t max = 0; max < 2 * sizeof(pieces); max++) {
			cleanup_free char *tail = result_log_tail(pieces + start, sizeof(pieces) - start, max);
			cleanup_json json_t *string = json_string(tail);

			assert_true(strlen(tail) <= max);
			assert_non_null(string);
		}
}

/* The example in the documents has the keys of a result in their order, and each has a row in its table. */
static void documented(void **state)
{
	const struct result r = {.id = "x"};
	cleanup_json json_t *json = result_to_json(&r);
	cleanup_buf struct buf text = BUF_INIT;
	const char *key;
	json_t *value;

	(void)state;
	assert_int_equal(file_read("docs/formats.md", 1 << 20, &text, NULL), 0);
	const char *start = strstr(text.data, "```json result\n");
	assert_non_null(start);
	start = strchr(start, '\n') + 1;
	cleanup_json json_t *example = json_loadb(start, (size_t)(strstr(start, "```") - start), 0, NULL);
	assert_int_equal(json_object_size(example), json_object_size(json));
	void *at = json_object_iter(example);
	json_object_foreach (json, key, value) {
		cleanup_free char *row = xasprintf("\n| `%s` |", key);

		assert_non_null(strstr(start, row));
		assert_string_equal(json_object_iter_key(at), key);
		at = json_object_iter_next(example, at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(outcomes),           cmocka_unit_test(whole_result), cmocka_unit_test(bare_result),
	    cmocka_unit_test(clock_set_back),     cmocka_unit_test(log_tails),    cmocka_unit_test(log_tail_property),
	    cmocka_unit_test(invalid_text_stays), cmocka_unit_test(documented),
	};

	return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
