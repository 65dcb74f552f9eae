/* What yaml_emit() writes reads back as what it was given, and says the same to readers of YAML 1.1. */
#include "lib/cleanup.h"
#include "lib/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct json_limits limits = {65536, 8};

static char *emitted(json_t *value)
{
	struct buf out = BUF_INIT;

	yaml_emit(value, &out);
	return buf_steal(&out);
}

static void nested_values_come_back(void **state)
{
	(void)state;
	cleanup_json json_t *value = json_pack("{s:{s:[s,s,i,b,n], s:{}, s:[]}, s:f, s:s}", "a", "list", "one", "two words", 3, 1, "empty",
	                                       "none", "real", 2.0, "lines", "first\nsecond\n");
	cleanup_free char *text = emitted(value);
	cleanup_json json_t *again = NULL;

	assert_int_equal(yaml_parse(text, strlen(text), &limits, &again, NULL), 0);
	assert_true(json_equal(value, again));
}

static void exact_text(void **state)
{
	(void)state;
	cleanup_json json_t *value =
	    json_pack("{s:{s:s, s:[s,s], s:f, s:{}}}", "edge", "image", "a/b:1", "ports", "80:80", "443", "cpus", 2.0, "labels");
	cleanup_free char *text = emitted(value);

	assert_string_equal(text, "edge:\n"
	                          "  image: a/b:1\n"
	                          "  ports:\n"
	                          "  - \"80:80\"\n"
	                          "  - \"443\"\n"
	                          "  cpus: 2.0\n"
	                          "  labels: {}\n");
}

/* Each of these is something other than a string to some reader when it stands without quotes. */
static void strings_that_must_be_quoted(void **state)
{
	static const char *const strings[] = {"",   "yes", "No",   "ON",   "off",   "y",   "N",  "true", "Null", "~",     "1",
	                                      "-1", "012", "0x1f", "0o17", "1_000", "1e3", ".5", ".inf", ".nan", "22:22", "2026-01-01",
	                                      "<<", "=",   "- a",  "a: b", "a #b",  "*x",  "&x", "!x",   "|",    ">",     "%x",
	                                      "@x", "`x",  "{a",   "[a",   "'a",    "\"a", " a", "a ",   "\ta"};

	(void)state;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		cleanup_json json_t *value = json_pack("[s]", strings[i]);
		cleanup_free char *text = emitted(value);

		assert_memory_equal(text, "- \"", 3);
	}
}

static void strings_of_several_lines(void **state)
{
	static const char *const strings[] = {"a\nb", "a\nb\n", "a\n\n\n", "\n", " a\nb\n", "a \nb", "a\n\tb\n", "# a\n- b: c\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		cleanup_json json_t *value = json_pack("{s:[s]}", "k", strings[i]);
		cleanup_free char *text = emitted(value);
		cleanup_json json_t *again = NULL;

		assert_int_equal(yaml_parse(text, strlen(text), &limits, &again, NULL), 0);
		assert_true(json_equal(value, again));
	}
}

static void strings_that_need_no_quotes(void **state)
{
	static const char *const strings[] = {"edge", "./dispatcher.yaml:/etc/x:ro", "/var/lib/disinto", "http://edge/disinto",
	                                      "no-new-privileges:true"};

	(void)state;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		cleanup_json json_t *value = json_pack("[s]", strings[i]);
		cleanup_free char *text = emitted(value);
		cleanup_free char *expected = xasprintf("- %s\n", strings[i]);

		assert_string_equal(text, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nested_values_come_back),     cmocka_unit_test(exact_text),
	    cmocka_unit_test(strings_that_must_be_quoted), cmocka_unit_test(strings_of_several_lines),
	    cmocka_unit_test(strings_that_need_no_quotes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
