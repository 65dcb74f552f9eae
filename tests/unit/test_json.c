/* Strict JSON and the typed reader. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct json_limits limits = {1000, 3};

static void refused(const char *text, size_t len, const char *message)
{
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	assert_int_equal(json_parse_strict(text, len, &limits, &v, &e), -1);
	assert_null(v);
	assert_int_equal(e.code, ERR_INVALID);
	if (!strstr(err_msg(&e), message))
		fail_msg("\"%s\" is not in \"%s\"", message, err_msg(&e));
}
#define no(s, message) refused(s, sizeof(s) - 1, message)

static void ok(const char *text, const char *compact)
{
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	if (json_parse_strict(text, strlen(text), &limits, &v, &e))
		fail_msg("%s: %s", text, err_msg(&e));
	assert_null(e.msg);
	cleanup_free char *s = json_compact(v);
	assert_string_equal(s, compact);
}

static void test_accepted(void **state)
{
	(void)state;
	ok(" {\"b\" : [1, -5, 0], \"a\":{\"x\":null}}\n", "{\"a\":{\"x\":null},\"b\":[1,-5,0]}");
	ok("5", "5");
	ok("\"a\\\"[[[[1e5 1.5\"", "\"a\\\"[[[[1e5 1.5\""); /* in a string, nothing of it counts */
	ok("[[[1],[2]],[]]", "[[[1],[2]],[]]");
	ok("9223372036854775807", "9223372036854775807");
	ok("-9223372036854775808", "-9223372036854775808");
	ok("\"\\ud83d\\ude80 \\n\\t\"", "\"\xF0\x9F\x9A\x80 \\n\\t\"");
}

static void test_grammar(void **state)
{
	(void)state;
	no("", "line 1");
	no("{", "line 1");
	no("{\"a\":1}\n x", "line 2");
	no("{\"a\":1,}", "line 1");
	no("{'a':1}", "line 1");
	no("[1 2]", "line 1");
	no("\"abc", "line 1");
	no("\"abc\\", "line 1");
	no("01", "line 1");
	no("+1", "line 1");
	no("-", "line 1");
	no("NaN", "line 1");
	no("// c\n1", "line 1");
	no("]]]", "line 1");
}

/* guard: scan_number in lib/json.c */
static void test_threat_18_numbers(void **state)
{
	(void)state;
	no("{\"a\":\n1e3}", "line 2: a: the number 1e3");
	no("3600.0", "3600.0");
	no("[1E5]", "1E5");
	no("-1.5", "-1.5");
	no("9223372036854775808", "big");
	no("-9223372036854775809", "too big negative");
	no("1-1", "1-1");
}

/* guard: JSON_REJECT_DUPLICATES in lib/json.c */
static void test_threat_17_repeated_keys(void **state)
{
	(void)state;
	no("{\"id\":1,\"id\":2}", "duplicate");
	no("{\"id\":1,\"\\u0069d\":2}", "duplicate");
	no("[{\"a\":{\"x\":1,\"x\":1}}]", "duplicate");
}

/* guard: scan and json_parse_strict in lib/json.c */
static void test_threat_18_depth_and_size(void **state)
{
	(void)state;
	no("[[[[1]]]]", "nested more than 3 deep");
	no("{\"a\":[{\"b\":[", "nested more than 3 deep");
	char big[1002];
	memset(big, ' ', sizeof(big));
	big[0] = '1';
	refused(big, 1001, "larger than 1000 bytes");
	big[1000] = '\0';
	ok(big, "1");
}

/* Whatever is wrong with the text, the message says under which keys. guard: add_path and check_texts in lib/json.c */
static void test_keys_are_named(void **state)
{
	(void)state;
	no("{\"a\": 1, \"b\": 1.5}", "line 1: b: the number 1.5");
	no("{\"a\": {\"b\": [1,\n2.0]}}", "line 2: a.b[1]: the number 2.0");
	no("{\"a\": {\"b\": 1}, \"c\": 1e1}", "line 1: c: the number 1e1");
	no("{\"a\": {\"b\": 1}, 1.5}", "line 1: the number 1.5");
	no("{\"a\": [[[1]]]}", "line 1: a[0][0]: nested more than 3 deep");
	no("{\"a\": \0}", "line 1: a: NUL byte");
	no("{\"a\": {\"b\": 9223372036854775808}}", ": a.b: too big integer");
	no("{\"a\": {\"b\": \"x\xff\"}}", ": a.b: unable to decode");
	no("{\"a\": \"\\u0000\"}", ": a: ");
	no("{\"a\": \"\\ud800\"}", ": a: ");
	no("{\"a\": \"x\ty\"}", ": a: control character");
	no("{\"a\": nul}", ": a: ");
	no("{\"\x1b[2J\xe2\x80\xae\": 1.5}", "line 1: ?[2J???: the number 1.5");
	no("]}]\"a\": 1.5", "the number 1.5");
	no("[{\"a\": [1, 2]}, {\"b\": [0, 1.5]}]", "line 1: [1].b[1]: the number 1.5");
	no("{\"secrets\": [\"A\", B]}", ": secrets[1]: invalid token");
	no("{\"secrets\": [\"A\", \"B\"], \"x\": [1 2]}", ": x[0]: ");
	/* What only the values show. */
	no("{\"a\": [{\"b\": \"\\u202e\"}]}", "a[0].b: character U+202E");
	no("{\"a\": [{\"b\": 1}, {\"c\\u202e\": 1}]}", "a[1]: a key: character U+202E");
	no("{\"\xc3\xa4\\n\": {\"b c\": \"\\u202e\"}}", "???.b?c: character U+202E");
}

/* guard: check_texts in lib/json.c */
static void test_threat_19_characters(void **state)
{
	(void)state;
	no("\xEF\xBB\xBF{}", "byte order mark");
	no("{\"a\":1}\0", "NUL");
	no("\"a\0b\"", "line 1");
	no("\"\\u0000\"", "line 1");
	no("{\"\\u0000\":1}", "line 1");
	no("\"\xC0\xAF\"", "line 1");
	no("\"\xED\xA0\x80\"", "line 1");
	no("\"\\ud800\"", "line 1");
	no("\"\\ude80\\ud83d\"", "line 1");
	no("\"\\u001b\"", "U+001B");
	no("\"\\u007f\"", "U+007F");
	no("\"a\tb\"", "line 1"); /* raw */
	no("{\"inputs\":{\"x\":[\"a\",\"\\u202e\"]}}", "inputs.x[1]: character U+202E at byte 0");
	no("{\"a\xE2\x80\x8B\":1}", "a key: character U+200B");
	no("{\"a\\u2028\":1}", "a key: character U+2028");
}

/* Refused before anything is built: an array of 8 MB would take 166 MB, and a million levels the stack. guard: size and depth in lib/json.c */
static void test_threat_18_nothing_is_built_of_what_is_too_large(void **state)
{
	(void)state;
	static const struct json_limits wide = {9 << 20, 8};
	size_t len = 8 << 20;
	cleanup_free char *text = malloc(len);
	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = i == 0 ? '[' : i == len - 1 ? ']' : i % 2 ? '1' : ',';
	refused(text, len, "larger than 1000 bytes");
	memset(text, '[', len);
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	assert_int_equal(json_parse_strict(text, len, &wide, &v, &e), -1);
	assert_non_null(strstr(err_msg(&e), "nested more than 8 deep"));
}

static void test_message_is_harmless(void **state)
{
	(void)state;
	static const char *const texts[] = {"[\"x\x1B]0;evil\x07\"]", "\x1B[2J", "[1, \x7F]", "{\"a\xC2\x9B\" 1}", "[1] \xE2\x80\xAE"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cleanup_err struct err e = ERR_INIT;
		json_t *v;
		assert_int_equal(json_parse_strict(texts[i], strlen(texts[i]), &limits, &v, &e), -1);
		for (const char *p = err_msg(&e); *p; p++)
			assert_true(*p >= ' ' && *p <= '~');
	}
}

static void test_pretty(void **state)
{
	(void)state;
	cleanup_json json_t *v = json_pack("{s:i,s:[i]}", "b", 1, "a", 2);
	cleanup_free char *s = json_pretty(v);
	assert_string_equal(s, "{\n  \"b\": 1,\n  \"a\": [\n    2\n  ]\n}\n");
}

static void test_load_path(void **state)
{
	(void)state;
	char path[] = "/tmp/disinto-test-json-XXXXXX";
	cleanup_fd int fd = mkstemp(path);
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = NULL;
	assert_int_equal(write(fd, "{\"a\":1}", 7), 7);
	int good = json_load_path(path, &v, &e);
	assert_int_equal(pwrite(fd, "{\"a\":1,\"a\":2}", 13, 0), 13);
	int bad = json_load_path(path, &v, &e);
	unlink(path);
	assert_int_equal(good, 0);
	assert_int_equal(json_integer_value(json_object_get(v, "a")), 1);
	assert_int_equal(bad, -1);
	assert_non_null(strstr(err_msg(&e), path));
	assert_int_equal(json_load_path(path, &v, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static const char *const tiers[] = {"low", "medium", "high", NULL};

/* Reads the keys that the tests below use. */
static int read_all(const char *text, const char *where, struct err *err)
{
	cleanup_json json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
	struct json_reader r;
	json_reader_init(&r, v, where);
	json_get_string(&r, "name", 1, 8, true, NULL);
	json_get_int(&r, "n", 1, 1440, false, 60);
	json_get_bool(&r, "flag", false, true);
	json_get_enum(&r, "tier", tiers, false, 2);
	json_get_array(&r, "list", 2, false);
	json_get_object(&r, "map", 1, false);
	return json_reader_end(&r, err);
}

static void read_error(const char *text, const char *where, const char *message)
{
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(read_all(text, where, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(err_msg(&e), message);
}

static void test_reader_values(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = json_loads("{\"s\":\"x\",\"n\":5,\"b\":false,\"t\":\"low\",\"a\":[1],\"o\":{}}", 0, NULL);
	struct json_reader r;
	json_reader_init(&r, v, "");
	assert_string_equal(json_get_string(&r, "s", 1, 1, true, NULL), "x");
	assert_int_equal(json_get_int(&r, "n", 5, 5, true, 0), 5);
	assert_false(json_get_bool(&r, "b", true, true));
	assert_int_equal(json_get_enum(&r, "t", tiers, true, 2), 0);
	assert_int_equal(json_array_size(json_get_array(&r, "a", 1, true)), 1);
	assert_non_null(json_get_object(&r, "o", 0, true));
	assert_true(json_has(&r, "s"));
	assert_false(json_has(&r, "absent"));
	assert_string_equal(json_get_string(&r, "absent", 0, 9, false, "fall"), "fall");
	assert_int_equal(json_get_int(&r, "absent", 0, 9, false, 77), 77);
	assert_true(json_get_bool(&r, "absent", false, true));
	assert_int_equal(json_get_enum(&r, "absent", tiers, false, 2), 2);
	assert_null(json_get_array(&r, "absent", 9, false));
	assert_null(json_get_object(&r, "absent", 9, false));
	assert_int_equal(json_reader_end(&r, &e), 0);
	assert_null(e.msg);
}

static void test_reader_errors(void **state)
{
	(void)state;
	read_error("{}", "", "name: is required");
	read_error("{\"name\":\"\"}", "inputs", "inputs.name: must be a string of 1 to 8 bytes, not \"\"");
	read_error("{\"name\":\"123456789\"}", "steps[2]", "steps[2].name: must be a string of 1 to 8 bytes, not of 9");
	read_error("{\"name\":null}", "", "name: must be a string of 1 to 8 bytes, not null");
	read_error("{\"name\":[\"x\"]}", "", "name: must be a string of 1 to 8 bytes, not an array");
	read_error("{\"name\":\"x\",\"n\":0}", "", "n: must be an integer from 1 to 1440, not 0");
	read_error("{\"name\":\"x\",\"n\":1441}", "", "n: must be an integer from 1 to 1440, not 1441");
	read_error("{\"name\":\"x\",\"n\":\"5\"}", "", "n: must be an integer from 1 to 1440, not \"5\"");
	read_error("{\"name\":\"x\",\"n\":1.0}", "", "n: must be an integer from 1 to 1440, not 1.0");
	read_error("{\"name\":\"x\",\"flag\":1}", "", "flag: must be true or false, not 1");
	read_error("{\"name\":\"x\",\"tier\":\"hgih\"}", "", "tier: must be one of low, medium, high, not \"hgih\"");
	read_error("{\"name\":\"x\",\"tier\":true}", "", "tier: must be one of low, medium, high, not true");
	read_error("{\"name\":\"x\",\"list\":{}}", "", "list: must be an array, not an object");
	read_error("{\"name\":\"x\",\"list\":[1,2,3]}", "", "list: must have at most 2 entries, not 3");
	read_error("{\"name\":\"x\",\"map\":[]}", "", "map: must be an object, not an array");
	read_error("{\"name\":\"x\",\"map\":{\"a\":1,\"b\":2}}", "", "map: must have at most 1 entries, not 2");
	read_error("[]", "steps[0]", "steps[0]: must be an object, not an array");
	read_error("5", "", "must be an object, not 5");
	/* The first one counts. */
	read_error("{\"n\":0,\"tier\":1,\"zzz\":1}", "", "name: is required");
}

static void test_reader_unknown(void **state)
{
	(void)state;
	read_error("{\"name\":\"x\",\"foo\":1}", "", "foo: unknown key; known keys are name, n, flag, tier, list, map");
	read_error("{\"name\":\"x\",\"foo\":1}", "steps[1]", "steps[1].foo: unknown key; known keys are name, n, flag, tier, list, map");
	read_error("{\"name\":\"x\",\"a\\u001bb\":1}", "", "\"a\\u001Bb\": unknown key; known keys are name, n, flag, tier, list, map");
}

static void test_reader_shortens(void **state)
{
	(void)state;
	char text[400];
	char value[200];
	cleanup_err struct err e = ERR_INIT;
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	snprintf(text, sizeof(text), "{\"name\":\"x\",\"tier\":\"%s\"}", value);
	assert_int_equal(read_all(text, "", &e), -1);
	assert_true(strlen(err_msg(&e)) < 130);
	assert_non_null(strstr(err_msg(&e), "vvv…"));
}

static void test_reader_gives_defaults_after_an_error(void **state)
{
	(void)state;
	cleanup_json json_t *v = json_loads("{\"n\":5,\"s\":\"x\",\"a\":[],\"bad\":1}", 0, NULL);
	struct json_reader r;
	json_reader_init(&r, v, "");
	assert_null(json_get_string(&r, "bad", 0, 9, true, NULL));
	assert_string_equal(json_get_string(&r, "s", 0, 9, true, "fall"), "fall");
	assert_int_equal(json_get_int(&r, "n", 0, 9, true, 7), 7);
	assert_null(json_get_array(&r, "a", 9, true));
	assert_int_equal(json_reader_end(&r, NULL), -1);
}

static void test_reader_fail(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *v = json_pack("{s:i}", "id", 5);
	struct json_reader r;
	json_reader_init(&r, v, "top");
	json_get(&r, "id");
	json_reader_fail(&r, "secrets[2]", "must match %s", "[A-Z]");
	json_reader_fail(&r, "id", "second");
	assert_int_equal(json_reader_end(&r, &e), -1);
	assert_string_equal(err_msg(&e), "top.secrets[2]: must match [A-Z]");
	json_reader_init(&r, NULL, "");
	assert_int_equal(json_reader_end(&r, NULL), -1);
}

/* A string of which a byte is missing, as jansson makes it when memory runs out, must never come about; guard: set_allocator in lib/json.c. */
static void test_threat_43_no_memory_is_the_end(void **state)
{
	(void)state;
	json_malloc_t allocate;
	json_free_t release;
	json_get_alloc_funcs(&allocate, &release);
	assert_ptr_equal(allocate, xmalloc); /* which ends the process */
	assert_ptr_equal(release, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accepted),
	    cmocka_unit_test(test_grammar),
	    cmocka_unit_test(test_threat_18_numbers),
	    cmocka_unit_test(test_threat_17_repeated_keys),
	    cmocka_unit_test(test_threat_18_depth_and_size),
	    cmocka_unit_test(test_keys_are_named),
	    cmocka_unit_test(test_threat_19_characters),
	    cmocka_unit_test(test_threat_18_nothing_is_built_of_what_is_too_large),
	    cmocka_unit_test(test_message_is_harmless),
	    cmocka_unit_test(test_pretty),
	    cmocka_unit_test(test_load_path),
	    cmocka_unit_test(test_reader_values),
	    cmocka_unit_test(test_reader_errors),
	    cmocka_unit_test(test_reader_unknown),
	    cmocka_unit_test(test_reader_shortens),
	    cmocka_unit_test(test_reader_gives_defaults_after_an_error),
	    cmocka_unit_test(test_reader_fail),
	    cmocka_unit_test(test_threat_43_no_memory_is_the_end),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
