/* Who is taken for hung, and when: by turns of the watcher, whatever the clock says. THREATS 44. */
#include "dispatcher/pulse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEN_YEARS_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

/* Turns of silence until it counts as hung. */
static int patience(struct pulse *p, enum role r)
{
	int turns = 1;

	while (!pulse_missed(p, r))
		turns++;
	return turns;
}

static void test_each_role_has_a_limit(void **state)
{
	(void)state;
	for (enum role r = ROLE_PARENT; r < N_ROLES; r++) {
		struct pulse p = {0};
		assert_in_range(patience(&p, r), 5, 1000);
		assert_in_range(pulse_limit_s(r), 10, 600);
	}
}

static void test_a_sign_of_life_begins_anew(void **state)
{
	struct pulse p = {0};
	int all = patience(&p, ROLE_WEB);

	(void)state;
	pulse_begin(&p, ROLE_WEB);
	for (int i = 1; i < all; i++)
		assert_false(pulse_missed(&p, ROLE_WEB));
	pulse_heard(&p, ROLE_WEB);
	assert_int_equal(patience(&p, ROLE_WEB), all);
}

/* Guard: next_ms is set from the present time, not from the turn before. */
static void test_threat_44_a_jump_of_the_clock_is_one_turn(void **state)
{
	struct pulse p = {0};
	int64_t now = 1000;

	(void)state;
	assert_true(pulse_turn(&p, now));
	assert_false(pulse_turn(&p, now));
	for (int i = 0; i < 3; i++) {
		now += TEN_YEARS_MS;
		assert_true(pulse_turn(&p, now));
		assert_false(pulse_turn(&p, now));
		assert_false(pulse_missed(&p, ROLE_GIT));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_role_has_a_limit),
	    cmocka_unit_test(test_a_sign_of_life_begins_anew),
	    cmocka_unit_test(test_threat_44_a_jump_of_the_clock_is_one_turn),
	};
	unsetenv("DISINTO_TEST_TURN_MS");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
