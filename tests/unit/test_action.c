#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/action.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PATH "vault/actions/x.json: "
#define MINIMAL "\"id\": \"x\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []"
#define LEN(a) (sizeof(a) / sizeof(*(a)))

static int parse(const char *text, struct action *ret, struct err *err)
{
	return action_parse("x", text, strlen(text), ret, err);
}

static void assert_refused(const char *text, const char *message)
{
	cleanup_err struct err err = ERR_INIT;
	struct action a = {.id = "untouched"};

	assert_int_equal(parse(text, &a, &err), -1);
	assert_string_equal(err_msg(&err), message);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(a.id, "untouched");
	assert_null(a.json);
}

static void minimal(void **state)
{
	cleanup_action struct action a = ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse("{" MINIMAL "}", &a, &err), 0);
	assert_string_equal(a.id, "x");
	assert_string_equal(a.formula, "f");
	assert_string_equal(a.context, "why");
	assert_int_equal(json_array_size(a.secrets), 0);
	assert_true(json_is_array(a.secrets) && json_is_array(a.tools) && json_is_array(a.mounts) && json_is_object(a.inputs));
	assert_null(a.model);
	assert_int_equal(a.timeout_minutes, 0);
	assert_int_equal(a.blast_radius, TIER_NONE);
}

static void everything(void **state)
{
	static const char text[] =
	    "{" MINIMAL ", \"tools\": [\"git\", \"g++\"], \"mounts\": [\"ssh\"], \"inputs\": {\"version\": \"0.3.0\"},"
	    "\"model\": \"sonnet\", \"timeout_minutes\": 1440, \"blast_radius\": \"high\"}";
	cleanup_action struct action a = ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse(text, &a, &err), 0);
	assert_string_equal(json_string_value(json_array_get(a.tools, 1)), "g++");
	assert_string_equal(json_string_value(json_array_get(a.mounts, 0)), "ssh");
	assert_string_equal(json_string_value(json_object_get(a.inputs, "version")), "0.3.0");
	assert_string_equal(a.model, "sonnet");
	assert_int_equal(a.timeout_minutes, 1440);
	assert_int_equal(a.blast_radius, TIER_HIGH);
}

#define ID_RULE "a-z, 0-9, _ and -, beginning with a letter or digit, at most 96 characters"
#define SECRET_RULE "A-Z, 0-9 and _, beginning with a letter, at most 64 characters"
#define INPUT_RULE "a-z, 0-9 and _, beginning with a letter, at most 64 characters"
#define TOOL_RULE "letters, digits and . _ + -, beginning with a letter, digit or _, at most 64 characters, no path"
#define MODEL_RULE "letters, digits and . _ : / -, beginning with a letter or digit, at most 128 characters"

/* One key of the minimal action with another value (NULL: without it), and all that is said of it. */
static const struct {
	const char *key, *value, *message;
} bad_keys[] = {
    {"id", NULL, "id: is required"},
    {"id", "5", "id: must be a string, an id: " ID_RULE},
    {"id", "\"y\"", "id: \"y\" is not the file's name; it must be \"x\""},
    {"id", "\"X\"", "id: \"X\" is not an id: " ID_RULE},
    {"id", "\"\"", "id: \"\" is not an id: " ID_RULE},
    {"id", "\"../x\"", "id: \"../x\" is not an id: " ID_RULE},
    {"formula", NULL, "formula: is required"},
    {"formula", "\"f.yaml\"", "formula: \"f.yaml\" is not a formula's name: " ID_RULE},
    {"formula", "[]", "formula: must be a string, a formula's name: " ID_RULE},
    {"context", NULL, "context: is required"},
    {"context", "\"\"", "context: has 0 characters; 1 to 10000 are allowed"},
    {"context", "null", "context: must be a string of 1 to 10000 characters"},
    {"secrets", NULL, "secrets: is required"},
    {"secrets", "{}", "secrets: must be an array, not an object"},
    {"secrets", "[1]", "secrets[0]: must be a string, a secret's name: " SECRET_RULE},
    {"secrets", "[\"A\", \"token\"]", "secrets[1]: \"token\" is not a secret's name: " SECRET_RULE},
    {"secrets", "[\"A\", \"B\", \"A\"]", "secrets[2]: A is listed twice"},
    {"secrets", "[\"../../etc\\n\"]", "secrets[0]: \"../../etc \" is not a secret's name: " SECRET_RULE},
    {"tools", "\"git\"", "tools: must be an array, not \"git\""},
    {"tools", "[\"/bin/git\"]", "tools[0]: \"/bin/git\" is not a command's name: " TOOL_RULE},
    {"tools", "[\"-git\"]", "tools[0]: \"-git\" is not a command's name: " TOOL_RULE},
    {"tools", "[\"..\"]", "tools[0]: \"..\" is not a command's name: " TOOL_RULE},
    {"tools", "[\"git\", \"git\"]", "tools[1]: git is listed twice"},
    {"mounts", "[\"/root/.ssh\"]", "mounts[0]: \"/root/.ssh\" is not a mount's alias: " ID_RULE},
    {"mounts", "[\"ssh\", \"ssh\"]", "mounts[1]: ssh is listed twice"},
    {"inputs", "[]", "inputs: must be an object, not an array"},
    {"inputs", "{\"Version\": \"1\"}", "inputs: \"Version\" is not an input's name: " INPUT_RULE},
    {"inputs", "{\"a=b\": \"1\"}", "inputs: \"a=b\" is not an input's name: " INPUT_RULE},
    {"inputs", "{\"n\": 1}", "inputs.n: must be a string; write a number in quotes"},
    {"model", "\"-p\"", "model: \"-p\" is not a model's name: " MODEL_RULE},
    {"model", "\"a b\"", "model: \"a b\" is not a model's name: " MODEL_RULE},
    {"model", "\"\"", "model: \"\" is not a model's name: " MODEL_RULE},
    {"timeout_minutes", "0", "timeout_minutes: must be an integer from 1 to 1440, not 0"},
    {"timeout_minutes", "-1", "timeout_minutes: must be an integer from 1 to 1440, not -1"},
    {"timeout_minutes", "1441", "timeout_minutes: must be an integer from 1 to 1440, not 1441"},
    {"timeout_minutes", "\"30\"", "timeout_minutes: must be an integer from 1 to 1440, not \"30\""},
    {"timeout_minutes", "4294967297", "timeout_minutes: must be an integer from 1 to 1440, not 4294967297"},
    {"timeout_minutes", "true", "timeout_minutes: must be an integer from 1 to 1440, not true"},
    {"blast_radius", "\"none\"", "blast_radius: must be one of low, medium, high, not \"none\""},
    {"blast_radius", "\"High\"", "blast_radius: must be one of low, medium, high, not \"High\""},
    {"blast_radius", "2", "blast_radius: must be one of low, medium, high, not 2"},
    {"dispatch_mode", "\"direct\"",
     "dispatch_mode: is a key of the older tool; how an action must be approved is decided by vault/policy.yaml, remove the key"},
    {"network", "\"none\"",
     "network: unknown key; known keys are id, formula, context, secrets, tools, mounts, inputs, model, timeout_minutes, blast_radius"},
};

/* The minimal action with `key` set to the JSON text `value`, or without it. Caller frees. */
static char *action_with(const char *key, const char *value)
{
	cleanup_json json_t *json = json_loads("{" MINIMAL "}", 0, NULL);

	assert_non_null(json);
	if (value)
		assert_int_equal(json_object_set_new(json, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
	else
		json_object_del(json, key);
	return json_dumps(json, 0);
}

static void bad_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(bad_keys); i++) {
		cleanup_free char *text = action_with(bad_keys[i].key, bad_keys[i].value);
		cleanup_free char *message = xasprintf(PATH "%s", bad_keys[i].message);

		assert_refused(text, message);
	}
}

static void bad_texts(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
	    {"[]", PATH "must be an object, not an array"},
	    {"null", PATH "must be an object, not null"},
	    {"{" MINIMAL ", \"timeout_minutes\": 3e1}",
	     PATH "line 1: timeout_minutes: the number 3e1 must be an integer without point and exponent"},
	    {"{" MINIMAL ", \"timeout_minutes\": 30.0}",
	     PATH "line 1: timeout_minutes: the number 30.0 must be an integer without point and exponent"},
	    {"\xef\xbb\xbf{" MINIMAL "}", PATH "begins with a byte order mark; save it as plain UTF-8"},
	};
	/* The words are jansson's or lib/json.c's; ours is that they name the key, where there is one. */
	static const struct {
		const char *text, *key;
	} somehow[] = {
	    {"", ""},
	    {"{" MINIMAL, ""},
	    {"{" MINIMAL "} {}", ""},
	    {"{" MINIMAL ",}", ""},
	    {"{" MINIMAL ", \"id\": \"x\"}", "id"},
	    {"{" MINIMAL ", \"\\u0069d\": \"x\"}", "u0069d"},
	    {"{" MINIMAL ", \"timeout_minutes\": 9223372036854775808}", "timeout_minutes: "},
	    {"{" MINIMAL ", \"inputs\": {\"a\": \"\\u0000\"}}", "inputs.a: "},
	    {"{" MINIMAL ", \"inputs\": {\"a\": \"\\ud800\"}}", "inputs.a: "},
	    {"{" MINIMAL ", \"inputs\": {\"a\": \"\xff\"}}", "inputs.a: "},
	    {"{" MINIMAL ", \"inputs\": {\"a\": \"\xe2\x80\xae\"}}", "inputs.a: "},
	    {"{" MINIMAL ", \"inputs\": {\"a\": [[[[[[[[]]]]]]]]}}", "inputs.a[0][0][0][0][0][0]: "},
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		assert_refused(cases[i].text, cases[i].message);
	for (size_t i = 0; i < LEN(somehow); i++) {
		cleanup_err struct err err = ERR_INIT;
		struct action a = ACTION_INIT;

		assert_int_equal(parse(somehow[i].text, &a, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_memory_equal(err_msg(&err), PATH, strlen(PATH));
		if (!strstr(err_msg(&err), somehow[i].key))
			fail_msg("\"%s\" is not in \"%s\"", somehow[i].key, err_msg(&err));
	}
}

/* "unit" n times. Caller frees. */
static char *repeat(const char *unit, size_t n)
{
	cleanup_buf struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_adds(&b, unit);
	return buf_steal(&b);
}

/* Refuses `format` filled with one unit too many, takes it with the most that is allowed. */
static void check_most(const char *key, const char *before, const char *unit, const char *after, size_t most, const char *message)
{
	for (size_t n = most; n <= most + 1; n++) {
		cleanup_free char *filling = repeat(unit, n);
		cleanup_free char *value = xasprintf("%s%s%s", before, filling, after);
		cleanup_free char *text = action_with(key, value);
		cleanup_err struct err err = ERR_INIT;
		cleanup_action struct action a = ACTION_INIT;

		assert_int_equal(parse(text, &a, &err), n > most ? -1 : 0);
		if (n > most)
			assert_string_equal(err_msg(&err), message);
	}
}

static void text_bounds(void **state)
{
	(void)state;
	check_most("context", "\"", "\xf0\x9f\x98\x80", "\"", 10000, PATH "context: has 10001 characters; 1 to 10000 are allowed");
	check_most("inputs", "{\"a\": \"", "a", "\"}", 10000, PATH "inputs.a: has 10001 bytes; at most 10000 are allowed");
	check_most("model", "\"", "m", "\"", 128,
	           PATH "model: \"mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm…\" is not a model's name: " MODEL_RULE);
	check_most("tools", "[\"", "t", "\"]", 64,
	           PATH "tools[0]: \"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt…\" is not a command's name: " TOOL_RULE);
}

/* guard: integers in lib/json.c, bounds in vault/action.c */
static void threat_18_every_spelling_of_a_number(void **state)
{
	static const char *const bad[] = {"1e3",  "3600.0", "\"3600\"", "9223372036854775808", "18446744073709551616", "-1", "0", "-0",
	                                  "1441", "true",   "[30]"};

	(void)state;
	for (size_t i = 0; i < LEN(bad); i++) {
		cleanup_free char *text = xasprintf("{" MINIMAL ", \"timeout_minutes\": %s}", bad[i]);
		cleanup_err struct err err = ERR_INIT;
		cleanup_action struct action a = ACTION_INIT;

		if (parse(text, &a, &err) == 0)
			fail_msg("%s was taken for a number of minutes", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void count_bounds(void **state)
{
	static const struct {
		const char *key;
		size_t most;
		const char *letter;
	} lists[] = {{"secrets", 32, "A"}, {"tools", 64, "a"}, {"mounts", 16, "a"}, {"inputs", 64, "a"}};

	(void)state;
	for (size_t i = 0; i < LEN(lists); i++)
		for (size_t n = lists[i].most; n <= lists[i].most + 1; n++) {
			bool object = strcmp(lists[i].key, "inputs") == 0;
			cleanup_buf struct buf value = BUF_INIT;
			cleanup_err struct err err = ERR_INIT;
			cleanup_action struct action a = ACTION_INIT;

			for (size_t k = 0; k < n; k++)
				buf_addf(&value, "%s\"%s%zu\"%s", k ? "," : object ? "{" : "[", lists[i].letter, k, object ? ":\"\"" : "");
			buf_addc(&value, object ? '}' : ']');
			cleanup_free char *text = action_with(lists[i].key, value.data);
			cleanup_free char *message =
			    xasprintf(PATH "%s: must have at most %zu entries, not %zu", lists[i].key, lists[i].most, n);

			assert_int_equal(parse(text, &a, &err), n > lists[i].most ? -1 : 0);
			if (n > lists[i].most)
				assert_string_equal(err_msg(&err), message);
		}
}

/* guard: ACTION_MAX_BYTES in vault/action.c */
static void threat_18_size_bound(void **state)
{
	static const char whole[] = "{" MINIMAL "}";

	(void)state;
	for (size_t n = ACTION_MAX_BYTES; n <= ACTION_MAX_BYTES + 1; n++) {
		cleanup_free char *spaces = repeat(" ", n - strlen(whole));
		cleanup_free char *text = xasprintf("%s%s", whole, spaces);
		cleanup_err struct err err = ERR_INIT;
		cleanup_action struct action a = ACTION_INIT;

		assert_int_equal(parse(text, &a, &err), n > ACTION_MAX_BYTES ? -1 : 0);
		if (n > ACTION_MAX_BYTES)
			assert_string_equal(err_msg(&err), PATH "larger than 65536 bytes");
	}
}

/* Whatever stands in a text is data and stays as it was; a name is refused, by its key. guard: vault/action.c keeps text as it is, and checks each name against its own letters */
static void threat_21_hostile_text(void **state)
{
	static const char hostile[] = "$(rm -rf /) `id` ${HOME} {{x}} '; DROP TABLE; %s%n \\\" <script>";
	cleanup_json json_t *json = json_loads("{" MINIMAL "}", 0, NULL);
	cleanup_action struct action a = ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	json_object_set_new(json, "context", json_string(hostile));
	json_object_set_new(json, "inputs", json_pack("{ss}", "a", hostile));
	cleanup_free char *text = json_dumps(json, 0);

	assert_int_equal(parse(text, &a, &err), 0);
	assert_string_equal(a.context, hostile);
	assert_string_equal(json_string_value(json_object_get(a.inputs, "a")), hostile);

	static const struct {
		const char *key, *format; /* of json_pack */
		const char *named;
	} names[] = {
	    {"id", "s", PATH "id: "},
	    {"formula", "s", PATH "formula: "},
	    {"secrets", "[s]", PATH "secrets[0]: "},
	    {"tools", "[s]", PATH "tools[0]: "},
	    {"mounts", "[s]", PATH "mounts[0]: "},
	    {"inputs", "{ss}", PATH "inputs: "},
	    {"model", "s", PATH "model: "},
	    {"timeout_minutes", "s", PATH "timeout_minutes: "},
	    {"blast_radius", "s", PATH "blast_radius: "},
	    {hostile, "s", PATH},
	};
	for (size_t i = 0; i < LEN(names); i++) {
		cleanup_json json_t *spoiled = json_deep_copy(json);
		cleanup_action struct action refused = ACTION_INIT;
		cleanup_err struct err why = ERR_INIT;

		json_object_set_new(spoiled, names[i].key, json_pack(names[i].format, hostile, "value"));
		cleanup_free char *whole = json_dumps(spoiled, 0);
		assert_int_equal(parse(whole, &refused, &why), -1);
		assert_int_equal(why.code, ERR_INVALID);
		if (strncmp(err_msg(&why), names[i].named, strlen(names[i].named)) != 0)
			fail_msg("'%s' does not name %s", err_msg(&why), names[i].key);
	}
}

/* The value that the caller passed in is read, not changed, and may go before the action does. */
static void value_stays_as_it_was(void **state)
{
	json_t *json = json_loads("{" MINIMAL "}", 0, NULL);
	cleanup_json json_t *before = json_deep_copy(json);
	cleanup_action struct action a = ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(action_from_json("x", json, &a, &err), 0);
	assert_true(json_equal(json, before));
	json_decref(json);
	assert_string_equal(a.context, "why");
}

/* The example in the documents holds every key, and each has a row in its table. */
static void documented(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_action struct action a = ACTION_INIT;
	const char *key;
	json_t *value;

	(void)state;
	assert_int_equal(file_read("docs/formats.md", 1 << 20, &text, &err), 0);
	const char *start = strstr(text.data, "```json action\n");
	assert_non_null(start);
	start = strchr(start, '\n') + 1;
	if (action_parse("publish-skill-20260331", start, (size_t)(strstr(start, "```") - start), &a, &err) != 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(json_object_size(a.json), 10);
	json_object_foreach (a.json, key, value) {
		cleanup_free char *row = xasprintf("\n| `%s` |", key);

		assert_non_null(strstr(start, row));
	}
}

static void template(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_action struct action a = ACTION_INIT;

	(void)state;
	assert_int_equal(file_read("templates/actions/hello.json", ACTION_MAX_BYTES, &text, &err), 0);
	if (action_parse("hello", text.data, text.len, &a, &err) != 0)
		fail_msg("%s", err_msg(&err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(minimal),
	    cmocka_unit_test(everything),
	    cmocka_unit_test(bad_values),
	    cmocka_unit_test(bad_texts),
	    cmocka_unit_test(text_bounds),
	    cmocka_unit_test(threat_18_every_spelling_of_a_number),
	    cmocka_unit_test(count_bounds),
	    cmocka_unit_test(threat_18_size_bound),
	    cmocka_unit_test(threat_21_hostile_text),

	    cmocka_unit_test(value_stays_as_it_was),
	    cmocka_unit_test(documented),
	    cmocka_unit_test(template),
	};

	return cmocka_run_group_tests_name("action", tests, NULL, NULL);
}
