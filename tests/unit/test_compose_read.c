/* Compose files as trees: what YAML's shorthands unfold to, what is refused, and what variables become. */
#include "compose/read.h"
#include "compose/variables.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void reads(const char *text, const char *compact)
{
	cleanup_compose_document struct compose_document d = COMPOSE_DOCUMENT_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *got = NULL;

	if (compose_read(text, strlen(text), &d, &err) < 0)
		fail_msg("%s: %s", text, err_msg(&err));
	got = json_compact(d.tree);
	assert_string_equal(got, compact);
}

static void refuses(const char *text, size_t len, const char *message)
{
	cleanup_compose_document struct compose_document d = COMPOSE_DOCUMENT_INIT;
	cleanup_err struct err err = ERR_INIT;

	assert_int_equal(compose_read(text, len, &d, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_null(d.tree);
	if (!strstr(err_msg(&err), message))
		fail_msg("\"%s\" is not in \"%s\"", message, err_msg(&err));
}
#define REFUSES(text, message) refuses(text, sizeof(text) - 1, message)

static void scalars_are_text(void **state)
{
	(void)state;
	reads("{a: yes, b: 012, c: 1e3, d: !!int '7', e: \"\", f: , g: ~, h: null, i: 'null'}",
	      "{\"a\":\"yes\",\"b\":\"012\",\"c\":\"1e3\",\"d\":\"7\",\"e\":\"\",\"f\":null,\"g\":null,\"h\":null,\"i\":\"null\"}");
}

static void aliases_unfold(void **state)
{
	(void)state;
	reads("{x: &a [1, {k: v}], y: *a}", "{\"x\":[\"1\",{\"k\":\"v\"}],\"y\":[\"1\",{\"k\":\"v\"}]}");
	reads("{&k key: 1, other: *k}", "{\"key\":\"1\",\"other\":\"key\"}");
}

/* https://yaml.org/type/merge.html: the map's own keys win, wherever they stand; of several maps the first. */
static void merge_keys(void **state)
{
	(void)state;
	reads("{x: &a {k: base, l: base}, y: {<<: *a, k: own}, z: {k: own, <<: *a}}",
	      "{\"x\":{\"k\":\"base\",\"l\":\"base\"},\"y\":{\"k\":\"own\",\"l\":\"base\"},\"z\":{\"k\":\"own\",\"l\":\"base\"}}");
	reads("{x: &a {k: 1}, y: &b {k: 2, l: 2}, z: {<<: [*a, *b]}}",
	      "{\"x\":{\"k\":\"1\"},\"y\":{\"k\":\"2\",\"l\":\"2\"},\"z\":{\"k\":\"1\",\"l\":\"2\"}}");
	reads("{x: &a {k: 1}, y: &b {<<: *a, l: 2}, z: {<<: *b}}",
	      "{\"x\":{\"k\":\"1\"},\"y\":{\"k\":\"1\",\"l\":\"2\"},\"z\":{\"k\":\"1\",\"l\":\"2\"}}");
	REFUSES("{y: {<<: text}}", "no map");
	REFUSES("{y: {<<: [text]}}", "no map");
}

static void what_is_refused(void **state)
{
	(void)state;
	REFUSES("", "empty");
	REFUSES("[a]", "no map");
	REFUSES("a: 1\n---\nb: 2\n", "second document");
	REFUSES("{[a]: 1}", "not text");
	REFUSES("a: \"\\0\"", "NUL");
	REFUSES("a: *gone", "line 1");
	REFUSES("a: {b: ", "line ");
	REFUSES("a: \xff", "");
}

/* Nine lines that unfold to a billion values, and a value that holds itself. */
static void bombs(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;

	(void)state;
	buf_adds(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++) {
		buf_addf(&text, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_addf(&text, "*a%d%s", i - 1, k < 9 ? ", " : "]\n");
	}
	refuses(text.data, text.len, "too much");
	REFUSES("a: &a [*a]", "too deep");
	REFUSES("a: &a {<<: *a}", "too deep");
	buf_reset(&text);
	for (int i = 0; i < COMPOSE_READ_MAX / 2 + 1; i++)
		buf_adds(&text, "#\n");
	refuses(text.data, text.len, "larger");
}

static void keys_that_stand_there_twice(void **state)
{
	static const char text[] = "services:\n  a: {x: 1}\n  b: {x: 1, x: 2}\n  a: {}\n";
	cleanup_compose_document struct compose_document d = COMPOSE_DOCUMENT_INIT;
	cleanup_free char *doubles = NULL;

	(void)state;
	assert_int_equal(compose_read(text, strlen(text), &d, NULL), 0);
	doubles = json_compact(d.doubles);
	assert_string_equal(doubles, "[\"services.b.x\",\"services.a\"]");
	assert_int_equal(json_integer_value(json_object_get(d.lines, "services.a")), 4);
}

static void variables(void **state)
{
	static const struct {
		const char *value, *replaced;
	} cases[] = {
	    {"a", "a"},
	    {"$A", "va"},
	    {"${A}", "va"},
	    {"x${A}y$A", "xvayva"},
	    {"$$A", "$A"},
	    {"$", "$"},
	    {"$-", "$-"},
	    {"${A:-d}", "va"},
	    {"${NO:-d}", "d"},
	    {"${NO-d}", "d"},
	    {"${E:-d}", "d"},
	    {"${E-d}", ""},
	    {"${E:+x}", ""},
	    {"${E+x}", "x"},
	    {"${A:+x}", "x"},
	    {"${NO:+x}", ""},
	    {"${NO:?msg}", ""},
	    {"${A:?msg}", "va"},
	    {"${NO:-:80}", ":80"},
	    {"${NO:-${A}}b", "vab"},
	    {"${NO:-${NO:-$A}}", "va"},
	    {"${A", "va"},
	    {"${}", ""},
	    {"$A}", "va}"},
	};
	cleanup_json json_t *env = json_pack("{s:s, s:s}", "A", "va", "E", "");

	(void)state;
	unsetenv("A");
	unsetenv("E");
	unsetenv("NO");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_free char *got = compose_substitute(cases[i].value, env, NULL);

		assert_string_equal(got, cases[i].replaced);
	}
}

static void variables_that_are_not_set(void **state)
{
	cleanup_json json_t *env = json_pack("{s:s}", "A", "va"), *unset = json_object();
	cleanup_free char *got = compose_substitute("$A ${NO} ${OTHER:-x} ${MUST:?why}", env, unset);
	cleanup_free char *names = json_compact(unset);
	cleanup_free char *literal = compose_literal("$A ${A} ${A:-x} $$");

	(void)state;
	assert_string_equal(got, "va  x ");
	assert_string_equal(names, "{\"MUST\":true,\"NO\":true}");
	assert_string_equal(literal, "  x $");
}

static void the_environment_wins(void **state)
{
	cleanup_json json_t *env = json_pack("{s:s}", "DISINTO_TEST_VARIABLE", "file");
	cleanup_free char *got = NULL;

	(void)state;
	setenv("DISINTO_TEST_VARIABLE", "process", 1);
	got = compose_substitute("$DISINTO_TEST_VARIABLE", env, NULL);
	unsetenv("DISINTO_TEST_VARIABLE");
	assert_string_equal(got, "process");
}

static void files_of_variables(void **state)
{
	static const char text[] = "\xef\xbb\xbf" /* a byte order mark */
	                           "A=/run # a comment\r\n"
	                           "# B=no\n"
	                           "export B = ${A}/$A\n"
	                           "C='$A # \\n'\n"
	                           "D=\"a\\n\\\"$A\nsecond # line\" # comment\n"
	                           "E: e\n"
	                           "F=\n"
	                           "G\n"
	                           "H=a#b\n"
	                           "I='open\n"
	                           "A=last";
	char path[] = "/tmp/disinto-env-XXXXXX";
	int fd = mkstemp(path);
	cleanup_json json_t *env = json_object();
	cleanup_free char *got = NULL;

	(void)state;
	assert_true(fd >= 0);
	for (const char *name = "ABCDEFGHI"; *name; name++)
		unsetenv((char[]){*name, '\0'});
	assert_int_equal(fd_write_all(fd, text, strlen(text), NULL), 0);
	close(fd);
	assert_int_equal(compose_read_env(path, env, NULL), 0);
	unlink(path);
	got = json_compact(env);
	assert_string_equal(got,
	                    "{\"A\":\"last\",\"B\":\"/run//run\",\"C\":\"$A # \\\\n\",\"D\":\"a\\n\\\"/run\\nsecond # line\",\"E\":\"e\","
	                    "\"F\":\"\",\"H\":\"a#b\",\"I\":\"'open\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(scalars_are_text),
	    cmocka_unit_test(aliases_unfold),
	    cmocka_unit_test(merge_keys),
	    cmocka_unit_test(what_is_refused),
	    cmocka_unit_test(bombs),
	    cmocka_unit_test(keys_that_stand_there_twice),
	    cmocka_unit_test(variables),
	    cmocka_unit_test(variables_that_are_not_set),
	    cmocka_unit_test(the_environment_wins),
	    cmocka_unit_test(files_of_variables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
