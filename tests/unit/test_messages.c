/* The table of messages is obeyed. */
#include "dispatcher/dispatcher.h"
#include "lib/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int check(const char *kind, int fd, enum role from, enum role to, enum msg_kind *ret)
{
	struct msg m = {.kind = kind, .fd = fd};
	return msg_check(&m, from, to, ret, NULL);
}

static void test_known_message_from_the_right_side(void **state)
{
	enum msg_kind kind;

	(void)state;
	assert_int_equal(check("landed", -1, ROLE_GIT, ROLE_CORE, &kind), 0);
	assert_int_equal(kind, MSG_LANDED);
	assert_int_equal(check("decrypt", 5, ROLE_CORE, ROLE_KEYRING, &kind), 0);
	assert_int_equal(kind, MSG_DECRYPT);
}

static void test_nobody_speaks_for_another(void **state)
{
	enum msg_kind kind;

	(void)state;
	assert_int_equal(check("landed", -1, ROLE_WEB, ROLE_CORE, &kind), -1);
	assert_int_equal(check("recorded", -1, ROLE_ENGINE, ROLE_CORE, &kind), -1);
	assert_int_equal(check("go", -1, ROLE_GIT, ROLE_CORE, &kind), -1);
	assert_int_equal(check("stop", -1, ROLE_WEB, ROLE_CORE, &kind), -1);
}

static void test_ping_goes_from_core_to_the_roles_and_pong_back(void **state)
{
	static const enum role roles[] = {ROLE_GIT, ROLE_KEYRING, ROLE_ENGINE, ROLE_WEB};
	enum msg_kind kind;

	(void)state;
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
		assert_int_equal(check("ping", -1, ROLE_CORE, roles[i], &kind), 0);
		assert_int_equal(check("pong", -1, roles[i], ROLE_CORE, &kind), 0);
	}
	assert_int_equal(check("pong", -1, ROLE_PARENT, ROLE_CORE, &kind), -1);
	assert_int_equal(check("ping", -1, ROLE_CORE, ROLE_PARENT, &kind), -1);
	assert_int_equal(check("ping", -1, ROLE_WEB, ROLE_CORE, &kind), -1);
}

static void test_unknown_kind_and_wrong_descriptors(void **state)
{
	enum msg_kind kind;

	(void)state;
	assert_int_equal(check("landing", -1, ROLE_GIT, ROLE_CORE, &kind), -1);
	assert_int_equal(check("", -1, ROLE_GIT, ROLE_CORE, &kind), -1);
	assert_int_equal(check("landed", 5, ROLE_GIT, ROLE_CORE, &kind), -1);
	assert_int_equal(check("decrypt", -1, ROLE_CORE, ROLE_KEYRING, &kind), -1);
}

static void test_body_carries_its_kind(void **state)
{
	(void)state;
	cleanup_json json_t *body = msg_new(MSG_GO, "{s:s, s:i}", "id", "a", "attempt", 1);
	assert_string_equal(json_string_value(json_object_get(body, "kind")), "go");
	assert_int_equal(json_object_size(body), 3);
}

static void test_role_names_come_back(void **state)
{
	enum role r;

	(void)state;
	for (enum role i = ROLE_PARENT; i < N_ROLES; i++) {
		assert_int_equal(role_parse(role_name(i), &r), 0);
		assert_int_equal(r, i);
	}
	assert_int_equal(role_parse("root", &r), -1);
	assert_int_equal(role_parse(NULL, &r), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_message_from_the_right_side),
	    cmocka_unit_test(test_nobody_speaks_for_another),
	    cmocka_unit_test(test_ping_goes_from_core_to_the_roles_and_pong_back),
	    cmocka_unit_test(test_unknown_kind_and_wrong_descriptors),
	    cmocka_unit_test(test_body_carries_its_kind),
	    cmocka_unit_test(test_role_names_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
