/* An agent's events as lines for people. */
#include "lib/cleanup.h"
#include "runner/progress.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

static void cleanup_progress_(struct progress **p)
{
	progress_free(*p);
}
#define cleanup_progress __attribute__((cleanup(cleanup_progress_)))

/* What becomes of the text in pieces of `piece` bytes. Caller frees. */
static char *shown_in(const char *text, size_t piece, const struct redactor *redactor, double *ret_cost)
{
	struct progress *p cleanup_progress = progress_new(redactor);
	struct buf out = BUF_INIT;

	for (size_t at = 0, len = strlen(text); at < len; at += piece)
		progress_feed(p, text + at, len - at < piece ? len - at : piece, &out);
	progress_end(p, &out);
	*ret_cost = -1;
	progress_cost(p, ret_cost);
	return out.data ? buf_steal(&out) : xstrdup("");
}

static char *shown(const char *text)
{
	double cost;
	return shown_in(text, strlen(text), NULL, &cost);
}

static const char session[] =
    "{\"type\":\"system\",\"subtype\":\"init\",\"model\":\"claude-x\",\"claude_code_version\":\"2.1.0\",\"tools\":[\"Bash\"]}\n"
    "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},{\"type\":\"text\",\"text\":\"I "
    "look.\\nThen I act.\\n\"}]}}\n"
    "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"name\":\"Bash\",\"input\":{\"description\":\"d\","
    "\"command\":\"make test\\nmake lint\"}}]}}\n"
    "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":\"12 passed\\nx\\ny\\n\"}]}}\n"
    "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"is_error\":true,\"content\":[{\"type\":\"text\",\"text\":"
    "\"no such file\"}]}]}}\n"
    "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"name\":\"Odd\",\"input\":{\"n\":1}}]}}\n"
    "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"num_turns\":3,\"duration_ms\":12345,\"result\":\"done\","
    "\"total_cost_usd\":0.0421}\n";

static const char session_lines[] = "[claude 2.1.0] model claude-x\n"
                                    "I look.\nThen I act.\n"
                                    "[Bash] make test (+1 line)\n"
                                    "[result] 12 passed (+2 lines)\n"
                                    "[error] no such file\n"
                                    "[Odd] {\"n\":1}\n"
                                    "[done] success, 3 turns, 12.3 s, $0.0421\n";

static void a_session_reads_as_text_in_any_chunking(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(session); piece += piece < 32 ? 1 : 97) {
		double cost;
		char *text cleanup_free = shown_in(session, piece, NULL, &cost);
		assert_string_equal(text, session_lines);
		assert_true(cost > 0.04209 && cost < 0.04211);
	}
}

static void what_is_no_event_passes_as_it_is(void **state)
{
	(void)state;
	static const char *const cases[] = {
	    "plain words\n",  "{\"type\":\n",      "{\"no\":\"type\"}\n",      "[1,2]\n",
	    "{\"type\":7}\n", "\x1b[31mred\xff\n", "{\"type\":\"\\u0000\"}\n",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text cleanup_free = shown(cases[i]);
		assert_string_equal(text, cases[i]);
	}
	char *unended cleanup_free = shown("an unfinished line");
	assert_string_equal(unended, "an unfinished line\n");
	char *later cleanup_free = shown("{\"type\":\"of_a_later_version\",\"x\":1}\n");
	assert_string_equal(later, "[of_a_later_version]\n");
}

static void odd_events_do_no_harm(void **state)
{
	(void)state;
	static const char *const cases[] = {
	    "{\"type\":\"assistant\"}\n",
	    "{\"type\":\"assistant\",\"message\":7}\n",
	    "{\"type\":\"assistant\",\"message\":{\"content\":[null,7,{},{\"type\":7},{\"type\":\"text\",\"text\":7}]}}\n",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text cleanup_free = shown(cases[i]);
		assert_string_equal(text, "");
	}
	char *tool cleanup_free =
	    shown("{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_use\"},{\"type\":\"tool_result\"}]}}\n");
	assert_string_equal(tool, "[tool] \n[result] \n");
	char *result cleanup_free = shown("{\"type\":\"result\",\"is_error\":true,\"result\":\"limit\\nreached\",\"total_cost_usd\":-1}\n");
	assert_string_equal(result, "[error] limit (+1 line)\n[done] , with an error\n");
}

static void a_line_without_end_is_not_kept(void **state)
{
	(void)state;
	size_t len = (size_t)3 << 20;
	char *line cleanup_free = xmalloc(len + 32);
	double cost;

	memset(line, 'x', len);
	strncpy(line + len, "\n{\"type\":\"later\"}\n", 32);
	char *text cleanup_free = shown_in(line, 65536, NULL, &cost);
	assert_int_equal(strlen(text), len + 1 + strlen("[later]\n"));
	assert_string_equal(text + len + 1, "[later]\n");
}

static void what_is_cut_is_redacted_before(void **state)
{
	(void)state;
	static const char secret[] = "correct-horse-battery-staple";
	struct redactor *redactor = redactor_new();
	redactor_add(redactor, "TOKEN", (const unsigned char *)secret, strlen(secret));
	redactor_build(redactor);

	/* At every place around the cut. */
	for (int before = 200; before < 260; before++) {
		double cost;
		char *line cleanup_free =
		    xasprintf("{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"name\":\"Bash\","
		              "\"input\":{\"command\":\"%0*d%s\"}}]}}\n",
		              before, 0, secret);
		char *text cleanup_free = shown_in(line, 4096, redactor, &cost);
		assert_null(strstr(text, "correct"));
	}
	redactor_free(redactor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_session_reads_as_text_in_any_chunking),
	    cmocka_unit_test(what_is_no_event_passes_as_it_is),
	    cmocka_unit_test(odd_events_do_no_harm),
	    cmocka_unit_test(a_line_without_end_is_not_kept),
	    cmocka_unit_test(what_is_cut_is_redacted_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
