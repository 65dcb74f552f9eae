/* API tokens. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/token.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void add(json_t *list, const char *name, const char *scope, char text[static TOKEN_TEXT_MAX])
{
	uint8_t hash[32];
	char hex[65];

	token_new(text, hash);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	assert_int_equal(tokens_add(list, name, scope, hex, "2026-01-01T00:00:00Z", NULL), 0);
}

static void test_token_opens_what_its_scope_says(void **state)
{
	(void)state;
	cleanup_json json_t *list = json_array();
	char agent[TOKEN_TEXT_MAX], person[TOKEN_TEXT_MAX];

	add(list, "agent", "propose", agent);
	add(list, "person", "operate", person);
	assert_int_equal(strlen(agent), 43);
	assert_string_not_equal(agent, person);
	assert_int_equal(tokens_scope(list, agent, strlen(agent)), SCOPE_PROPOSE);
	assert_int_equal(tokens_scope(list, person, strlen(person)), SCOPE_OPERATE);
	assert_int_equal(tokens_revoke(list, "agent", NULL), 0);
	assert_int_equal(tokens_scope(list, agent, strlen(agent)), SCOPE_NONE);
	assert_int_equal(tokens_scope(list, person, strlen(person)), SCOPE_OPERATE);
}

static void test_threat_48_other_texts_open_nothing(void **state)
{
	(void)state;
	cleanup_json json_t *list = json_array();
	char token[TOKEN_TEXT_MAX];
	cleanup_free char *huge = xcalloc(1, 1 << 20);

	assert_int_equal(tokens_scope(list, "", 0), SCOPE_NONE); /* no token is configured */
	add(list, "person", "operate", token);
	assert_int_equal(tokens_scope(list, "", 0), SCOPE_NONE);
	assert_int_equal(tokens_scope(list, token, strlen(token) - 1), SCOPE_NONE);
	assert_int_equal(tokens_scope(list, token, strlen(token) + 1), SCOPE_NONE); /* the NUL too */
	assert_int_equal(tokens_scope(list, "\xff\xfe\xfd", 3), SCOPE_NONE);
	memset(huge, 'a', 1 << 20);
	assert_int_equal(tokens_scope(list, huge, 1 << 20), SCOPE_NONE);
	/* The hash that stands in the file is no token. */
	const char *hex = json_string_value(json_object_get(json_array_get(list, 0), "sha256"));
	assert_int_equal(tokens_scope(list, hex, strlen(hex)), SCOPE_NONE);
}

static void test_list_refuses_what_it_can_not_hold(void **state)
{
	(void)state;
	cleanup_json json_t *list = json_array();
	static const char hash[] = "00000000000000000000000000000000000000000000000000000000000000ff";
	cleanup_err struct err err = ERR_INIT;

	assert_int_equal(tokens_add(list, "a", "operate", hash, NULL, NULL), 0);
	assert_int_equal(tokens_add(list, "a", "read", hash, NULL, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_int_equal(tokens_add(list, "A", "read", hash, NULL, NULL), -1);
	assert_int_equal(tokens_add(list, "", "read", hash, NULL, NULL), -1);
	assert_int_equal(tokens_add(list, "b", "local", hash, NULL, NULL), -1);
	assert_int_equal(tokens_add(list, "b", "none", hash, NULL, NULL), -1);
	assert_int_equal(tokens_add(list, "b", "read", "00ff", NULL, NULL), -1);
	assert_int_equal(tokens_revoke(list, "b", NULL), -1);
	assert_int_equal(json_array_size(list), 1);
}

static void test_file_comes_back_and_a_damaged_one_is_refused(void **state)
{
	(void)state;
	cleanup_json json_t *list = json_array(), *again = NULL;
	char token[TOKEN_TEXT_MAX];

	add(list, "person", "read", token);
	cleanup_json json_t *file = json_pack("{s:O}", "tokens", list);
	cleanup_free char *text = json_dumps(file, 0);
	assert_null(strstr(text, token));
	assert_int_equal(tokens_parse(text, strlen(text), &again, NULL), 0);
	assert_true(json_equal(list, again));
	json_t *none = NULL;
	static const char *const bad[] = {"",
	                                  "{}",
	                                  "[]",
	                                  "{\"tokens\": [{}]}",
	                                  "{\"tokens\": [1]}",
	                                  "{\"tokens\": [{\"name\": \"a\", \"scope\": \"local\", \"sha256\": \"00\"}]}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(tokens_parse(bad[i], strlen(bad[i]), &none, NULL), -1);
	assert_null(none);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_token_opens_what_its_scope_says),
	    cmocka_unit_test(test_threat_48_other_texts_open_nothing),
	    cmocka_unit_test(test_list_refuses_what_it_can_not_hold),
	    cmocka_unit_test(test_file_comes_back_and_a_damaged_one_is_refused),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
