/* YAML into JSON values: what each scalar becomes, what is refused and in which line. */
#include "lib/cleanup.h"
#include "lib/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct json_limits limits = {1000, 4};

static void ok(const char *text, const char *compact)
{
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	if (yaml_parse(text, strlen(text), &limits, &v, &e))
		fail_msg("%s: %s", text, err_msg(&e));
	assert_null(e.msg);
	cleanup_free char *s = json_compact(v);
	assert_string_equal(s, compact);
}

static void refused(const char *text, size_t len, const char *message)
{
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	assert_int_equal(yaml_parse(text, len, &limits, &v, &e), -1);
	assert_null(v);
	assert_int_equal(e.code, ERR_INVALID);
	if (strncmp(err_msg(&e), message, strlen(message)) != 0)
		fail_msg("\"%s\" is not the beginning of \"%s\"", message, err_msg(&e));
}
#define no(s, message) refused(s, sizeof(s) - 1, message)

static void test_empty(void **state)
{
	(void)state;
	ok("", "{}");
	ok("# only a comment\n\n", "{}");
	ok("---\n", "{}");
	ok("---\n...\n", "{}");
	ok("null", "null"); /* written out, so meant */
}

/* guard: resolve_plain in lib/yaml.c */
static void test_threat_20_scalars(void **state)
{
	(void)state;
	ok("a: true\nb: false\nc: null\nd: ~\ne:\n", "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}");
	ok("[0, -5, 007, 9223372036854775807]", "[0,-5,7,9223372036854775807]");
	ok("[1.0, 0.5, -2.25]", "[1.0,0.5,-2.25]");
	ok("[no, yes, on, True, NULL, 1e3, 0x10, 2026-01-01, 12:30:45, +5, .5, 5., 1.2.3, -, 512m, .inf, .nan]",
	   "[\"no\",\"yes\",\"on\",\"True\",\"NULL\",\"1e3\",\"0x10\",\"2026-01-01\",\"12:30:45\",\"+5\",\".5\",\"5.\",\"1.2.3\",\"-\","
	   "\"512m\","
	   "\".inf\",\".nan\"]");
	ok("['true', \"5\", 'null', \"1.0\", '']", "[\"true\",\"5\",\"null\",\"1.0\",\"\"]");
}

static void test_shapes(void **state)
{
	(void)state;
	ok("b: {x: [1, {y: 2}]}\na:\n  - 1\n  - k: v\n", "{\"a\":[1,{\"k\":\"v\"}],\"b\":{\"x\":[1,{\"y\":2}]}}");
	ok("run: |\n  one\n  two\n", "{\"run\":\"one\\ntwo\\n\"}");
	ok("run: |-\n  one\n    two\n", "{\"run\":\"one\\n  two\"}");
	ok("run: >\n  one\n  two\n", "{\"run\":\"one two\\n\"}");
	ok("a: \"x\\ty\\n\"\n", "{\"a\":\"x\\ty\\n\"}");
	ok("a: \xC3\xA4\n", "{\"a\":\"\xC3\xA4\"}");
	ok("test -n \"$A\": 1", "{\"test -n \\\"$A\\\"\":1}");
	ok("'true': 1\n'<<': 2\n", "{\"<<\":2,\"true\":1}");
}

/* guard: refuse_extras and read_key in lib/yaml.c */
static void test_threat_20_what_readers_disagree_about(void **state)
{
	(void)state;
	no("a: 1\nb: &x 1\n", "line 2: b: anchors");
	no("&x a: 1\n", "line 1: anchors");
	no("a: &x [1]\n", "line 1: a: anchors");
	no("a: &x {b: 1}\n", "line 1: a: anchors");
	no("a: *x\n", "line 1: a: aliases");
	no("a: [*x]\n", "line 1: a[0]: aliases");
	no("*x : 1\n", "line 1: ");
	no("a: !!str 1\n", "line 1: a: tags");
	no("a: ! 1\n", "line 1: a: tags");
	no("a: !x [1]\n", "line 1: a: tags");
	no("a: !x {b: 1}\n", "line 1: a: tags");
	no("%YAML 1.1\n---\na: 1\n", "line 1: directives");
	no("%TAG ! tag:x,2000:\n---\na: 1\n", "line 1: directives");
	no("a: 1\n---\nb: 2\n", "line 2: a second document");
	no("---\n---\n", "line 2: a second document");
	no("a: 1\nb: 1\na: 2\n", "line 3: the key \"a\" is there twice");
	no("a: 1\n\"\\x61\": 2\n", "line 2: the key \"a\" is there twice");
	no("x: {a: 1, a: 1}\n", "line 1: x: the key \"a\" is there twice");
	no("1: x\n", "line 1: the key \"1\" is not a string");
	no("true: x\n", "line 1: the key \"true\" is not a string");
	no("~: x\n", "line 1: the key \"~\" is not a string");
	no("<<: {a: 1}\n", "line 1: merge keys");
	no("? [a]\n: b\n", "line 1: a key must be a string");
	no("? {a: 1}\n: b\n", "line 1: a key must be a string");
}

/* Neither stack nor memory grows with what a file asks for. guard: the depth in lib/yaml.c, before a value is made */
static void test_threat_20_a_million_levels(void **state)
{
	(void)state;
	static const struct json_limits wide = {4 << 20, 8};
	static const char *const units[] = {"[", "{a: ", "- ", "? "};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		cleanup_err struct err e = ERR_INIT;
		cleanup_json json_t *v = NULL;
		size_t unit = strlen(units[i]), len = unit * 1000000;
		cleanup_free char *text = malloc(len);
		assert_non_null(text);
		for (size_t at = 0; at < len; at += unit)
			memcpy(text + at, units[i], unit);
		assert_int_equal(yaml_parse(text, len, &wide, &v, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(v);
	}
}

static void test_syntax(void **state)
{
	(void)state;
	no("a: [1, 2\n", "line 2: ");
	no("a: 1\n\tb: 1\n", "line 2: ");
	no("a: b: c\n", "line 1: ");
	no("a: 1\n b: 2\n", "line 2: ");
	no("a: 'x\n", "line 2: ");
	no("}\n", "line 1: ");
	no("a: \"\\q\"\n", "line 1: ");
}

/* guard: read_collection and yaml_parse in lib/yaml.c */
static void test_threat_20_limits(void **state)
{
	(void)state;
	ok("[[[[1]]]]", "[[[[1]]]]");
	no("a: 1\nb: [[[[1]]]]\n", "line 2: b[0][0][0]: nested more than 4 deep");
	no("[[[[[[[[[[[[[[[[[[[[[[[[", "line 1: [0][0][0][0]: nested more than 4 deep");
	no("a: 99999999999999999999\n", "line 1: a: the number 99999999999999999999 is too large");
	no("a: -99999999999999999999\n", "line 1: a: the number");
	char big[1002];
	memset(big, '#', sizeof(big));
	refused(big, 1001, "larger than 1000 bytes");
	big[1000] = '\0';
	ok(big, "{}");
	/* A real that no double can hold. */
	char *p = big;
	for (int i = 0; i < 400; i++)
		*p++ = '9';
	memcpy(p, ".5", 3);
	refused(big, strlen(big), "line 1: the number 9999999999999999999999999999999999999999 is too large");
}

/* guard: check_text in lib/yaml.c */
static void test_threat_19_characters(void **state)
{
	(void)state;
	no("\xEF\xBB\xBF"
	   "a: 1\n",
	   "line 1: character U+FEFF");
	no("a: 1\nb: \xFF\n", "line 2: b: invalid UTF-8 at byte 3");
	no("a: x\0y\n", "line 1: a: character U+0000");
	no("a: 1\r\nb: 2\r\n", "line 1: a: character U+000D");
	no("a: 1\n# \xE2\x80\xAE hidden\n", "line 2: character U+202E"); /* in a comment too */
	no("a: \"\\u202e\"\n", "line 1: a: character U+202E");
	no("a: \"\\e[2J\"\n", "line 1: a: character U+001B");
	no("a: \"\\0\"\n", "line 1: a: character U+0000");
	no("\"a\\0\": 1\n", "line 1: character U+0000");
	no("a: \"\\N\"\n", "line 1: a: character U+0085");
	refused("\xFF\xFE"
	        "a\0",
	        4, "line 1: invalid UTF-8"); /* UTF-16 */
}

/* Whatever is wrong, the message names the line and the path to where it is. guard: at_path and at_character in lib/yaml.c */
static void test_errors_name_the_path(void **state)
{
	(void)state;
#define STEPS "name: f\nsteps:\n  - id: a\n    run: x\n  - id: b\n    "
	no(STEPS "run: *x\n", "line 6: steps[1].run: aliases");
	no(STEPS "run: !x y\n", "line 6: steps[1].run: tags");
	no(STEPS "timeout_minutes: 99999999999999999999\n",
	   "line 6: steps[1].timeout_minutes: the number 99999999999999999999 is too large");
	no(STEPS "secrets: [A, B, 99999999999999999999]\n", "line 6: steps[1].secrets[2]: the number");
	no(STEPS "id: b\n", "line 6: steps[1]: the key \"id\" is there twice");
	no(STEPS "1: b\n", "line 6: steps[1]: the key \"1\" is not a string");
	no(STEPS "<<: {}\n", "line 6: steps[1]: merge keys");
	no(STEPS "? [a]\n    : b\n", "line 6: steps[1]: a key must be a string");
	no(STEPS "run: {a: {b: c}}\n", "line 6: steps[1].run.a: nested more than 4 deep");
	no(STEPS "run: \"\\e\"\n", "line 6: steps[1].run: character U+001B at byte 0");
	/* What libyaml says: where it stopped; it looks for a colon before it gives the key. */
	no(STEPS "run: \"\\q\"\n", "line 6: steps[1].run: found unknown escape character");
	no(STEPS "run: 'x\n", "line 7: steps[1].run: found unexpected end of stream");
	no(STEPS "run: a: b\n", "line 6: steps[1]: mapping values are not allowed in this context");
	no(STEPS "secrets: [A, \"\\q\"]\n", "line 6: steps[1].secrets[1]: found unknown escape character");
	/* Characters, before anything is read: in each kind of scalar, and in a key. */
	no(STEPS "run: a \xE2\x80\xAE b\n", "line 6: steps[1].run: character U+202E at byte 11 is not allowed");
	no(STEPS "run: \"\xC3\xA4\xFF\"\n", "line 6: steps[1].run: invalid UTF-8 at byte 12");
	no(STEPS "run: '\xEF\xBB\xBF'\n", "line 6: steps[1].run: character U+FEFF");
	no(STEPS "run: |\n      \xC3\xA4\n      b\x7F\n    if: always\n", "line 8: steps[1].run: character U+007F");
	no(STEPS "secrets: [A, B\x01]\n", "line 6: steps[1].secrets[1]: character U+0001");
	no(STEPS "\xC2\x80: x\n", "line 6: steps[1]: character U+0080");
	no(STEPS "run: x # \xE2\x80\xAE\n", "line 6: character U+202E"); /* a comment is no key's */
	no(STEPS "run: # \xE2\x80\xAE\n      x\n", "line 6: character U+202E");
	no(STEPS "run: \"\\q\"\n    if: \x01\n", "line 7: character U+0001"); /* it can't be read so far */
	/* A path goes to terminals, and into one line. */
	no("\"\xC3\xA4\\n b\": {c: *x}\n", "line 1: ????b.c: aliases");
	char text[300];
	memset(text, 'k', sizeof(text));
	memcpy(text + 290, ": *x\n", 5);
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	assert_int_equal(yaml_parse(text, 295, &limits, &v, &e), -1);
	assert_non_null(strstr(err_msg(&e), "kkkk: aliases"));
	assert_true(strlen(err_msg(&e)) < 290);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_threat_20_scalars),
	    cmocka_unit_test(test_shapes),
	    cmocka_unit_test(test_threat_20_what_readers_disagree_about),
	    cmocka_unit_test(test_syntax),
	    cmocka_unit_test(test_threat_20_a_million_levels),
	    cmocka_unit_test(test_threat_20_limits),
	    cmocka_unit_test(test_threat_19_characters),
	    cmocka_unit_test(test_errors_name_the_path),
	};
	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
