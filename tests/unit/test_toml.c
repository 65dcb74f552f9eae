/* TOML into JSON values; the examples are of the specification's kinds (https://toml.io/en/v1.0.0). */
#include "lib/cleanup.h"
#include "lib/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct json_limits limits = {4096, 6};

static void ok(const char *text, const char *compact)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_json json_t *value = NULL;
	cleanup_free char *got = NULL;

	if (toml_parse(text, strlen(text), &limits, &value, &err) < 0)
		fail_msg("%s: %s", text, err_msg(&err));
	got = json_compact(value);
	assert_string_equal(got, compact);
}

static void no(const char *text, const char *message)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_json json_t *value = NULL;

	if (toml_parse(text, strlen(text), &limits, &value, &err) == 0)
		fail_msg("%s: was taken", text);
	assert_int_equal(err.code, ERR_INVALID);
	if (!strstr(err_msg(&err), message))
		fail_msg("%s: \"%s\" is not in \"%s\"", text, message, err_msg(&err));
}

static void keys(void **state)
{
	(void)state;
	ok("", "{}");
	ok("# only\n\n", "{}");
	ok("a = 1 # one\nb-b_1 = 2\n1234 = 3", "{\"1234\":3,\"a\":1,\"b-b_1\":2}");
	ok("\"a b\" = 1\n'c.d' = 2\n", "{\"a b\":1,\"c.d\":2}");
	ok("a.b.c = 1\na.\"d\" = 2\n", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}");
	no("a = 1\na = 2\n", "line 2: the key is there twice");
	no("a = 1\na.b = 2\n", "is no table");
	no("= 1", "key is missing");
	no("a", "wants =");
	no("a = 1 b = 2", "behind the value");
	no("a =", "value is missing");
}

static void strings(void **state)
{
	(void)state;
	ok("a = \"x\\\"\\\\\\n\\t\\u00e4\\U0001F600#\"", "{\"a\":\"x\\\"\\\\\\n\\tä😀#\"}");
	ok("a = 'C:\\n'", "{\"a\":\"C:\\\\n\"}");
	ok("a = \"\"\"\nfirst\nsecond\"\"\"", "{\"a\":\"first\\nsecond\"}");
	ok("a = '''\nit's \\n'''", "{\"a\":\"it's \\\\n\"}");
	ok("a = \"\"\"x \\\n    y \"z\" \"\"\"\"", "{\"a\":\"x y \\\"z\\\" \\\"\"}");
	ok("a = \"\"\nb = ''", "{\"a\":\"\",\"b\":\"\"}");
	no("a = \"x\n\"", "does not end");
	no("a = \"\"\"x", "does not end");
	no("a = \"\\q\"", "escape");
	no("a = \"\\u12\"", "too few digits");
	no("a = \"\\ud800\"", "no character");
	no("a = \"\\u0000\"", "no character");
	no("a = \"\x01\"", "");
}

static void numbers(void **state)
{
	(void)state;
	ok("a = [+99, -17, 0, 1_000, 0xDEAD_beef, 0o17, 0b101]", "{\"a\":[99,-17,0,1000,3735928559,15,5]}");
	ok("a = [9223372036854775807, -9223372036854775808]", "{\"a\":[9223372036854775807,-9223372036854775808]}");
	ok("a = [1.5, -0.25, 5e2, 1_0.5]", "{\"a\":[1.5,-0.25,500.0,10.5]}");
	ok("a = [true, false]", "{\"a\":[true,false]}");
	ok("a = [2026-03-31, 2026-03-31T10:00:00Z, 2026-03-31 10:00:00, 07:32:00]",
	   "{\"a\":[\"2026-03-31\",\"2026-03-31T10:00:00Z\",\"2026-03-31 10:00:00\",\"07:32:00\"]}");
	no("a = 012", "no value");
	no("a = 1__0", "no value");
	no("a = 1_", "no value");
	no("a = 1.", "no value");
	no("a = .5", "no value");
	no("a = 9223372036854775808", "no value");
	no("a = inf", "no value");
	no("a = yes", "no value");
}

static void collections(void **state)
{
	(void)state;
	ok("a = [ 1,\n  2, # two\n]\n", "{\"a\":[1,2]}");
	ok("a = []\nb = {}\nc = { x = 1, y.z = \"2\" }", "{\"a\":[],\"b\":{},\"c\":{\"x\":1,\"y\":{\"z\":\"2\"}}}");
	no("a = [1 2]", "wants , or ]");
	no("a = [1", "wants , or ]");
	no("a = {x = 1 y = 2}", "wants , or }");
	no("a = {x = 1,}", "key is missing");
	no("a = {\nx = 1}", "key is missing");
	no("a = [[[[[[[1]]]]]]]", "too deep");
}

static void tables(void **state)
{
	(void)state;
	ok("top = 1\n[a]\nx = 1\n[a.b]\ny = 2\n[ c . d ]\n", "{\"a\":{\"b\":{\"y\":2},\"x\":1},\"c\":{\"d\":{}},\"top\":1}");
	ok("[[s]]\nid = 1\n[s.in]\nk = 1\n[[s]]\nid = 2\n[s.in]\nk = 2\n[[s.list]]\n[[s.list]]\n",
	   "{\"s\":[{\"id\":1,\"in\":{\"k\":1}},{\"id\":2,\"in\":{\"k\":2},\"list\":[{},{}]}]}");
	ok("[a.b]\n[a]\nx = 1\n", "{\"a\":{\"b\":{},\"x\":1}}");
	no("[a]\n[a]\n", "line 2: the table is there twice");
	no("[a]\nb = 1\n[a.b]\n", "belongs to something else");
	no("a = [1]\n[[a]]\n", "belongs to something else");
	no("[[a]]\n[a]\n", "twice");
	no("[a\n", "does not end");
	no("[[a]\n", "does not end");
	no("[]\n", "key is missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys),        cmocka_unit_test(strings), cmocka_unit_test(numbers),
	    cmocka_unit_test(collections), cmocka_unit_test(tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
