/* The places of proposals that are under way. */
#include "dispatcher/core/proposals.h"
#include "lib/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct proposals *p = xcalloc(1, sizeof *p);

	proposals_init(p, 3, 2);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	proposals_clear(*state);
	free(*state);
	return 0;
}

static bool reserve(struct proposals *p, const char *id, int64_t ask)
{
	return proposals_reserve(p, id, ask, proposals_room(p, false, 0), 0);
}

static bool gets_slot(struct proposals *p, const char *id, int64_t ask, int busy)
{
	struct proposal_room room = proposals_room(p, false, busy);

	assert_true(proposals_reserve(p, id, ask, room, 0));
	return room.land;
}

/* Of equal requests that come while the first one waits, none passes. guard: proposals_has() in proposals_reserve() */
static void test_of_equal_requests_one_passes(void **state)
{
	struct proposals *p = *state;

	assert_true(reserve(p, "a", 1));
	assert_false(reserve(p, "a", 2));
	assert_true(reserve(p, "b", 3));
	assert_false(reserve(p, "a", 4));
	assert_true(proposals_has(p, "a"));
	assert_true(proposals_answered(p, 1, false, 0));
	assert_true(reserve(p, "a", 5)); /* git finds the one that is there */
}

/* guard: proposals_count() in proposals_room() */
static void test_pending_and_asking_count(void **state)
{
	struct proposals *p = *state;

	p->pending = 1;
	assert_true(reserve(p, "a", 1));
	assert_true(proposals_room(p, false, 0).wait);
	assert_true(reserve(p, "b", 2));
	assert_false(proposals_room(p, false, 0).wait);
	assert_int_equal(proposals_count(p), 3);
	/* One that stands there already is no further one. */
	assert_true(proposals_room(p, true, 0).wait);
	/* What has no room may still be landed, and is not counted. */
	assert_true(reserve(p, "c", 3));
	assert_int_equal(proposals_count(p), 3);
	assert_true(proposals_answered(p, 2, false, 0));
	assert_true(proposals_room(p, false, 0).wait);
}

/* What is refused takes nothing from anybody, and not too many wait. guard: PROPOSAL_REFUSED_MAX in proposals_refuse() */
static void test_refused_ones_hold_nothing(void **state)
{
	struct proposals *p = *state;
	int64_t ask = 0;

	for (int i = 0; i < PROPOSAL_REFUSED_MAX; i++)
		assert_true(proposals_refuse(p, i, 0));
	assert_false(proposals_refuse(p, 100, 0));
	assert_int_equal(proposals_count(p) + proposals_slots(p), 0);
	assert_true(reserve(p, "a", 101));
	assert_true(proposals_answered(p, 0, true, 0)); /* whatever git says */
	assert_int_equal(proposals_next_ms(p), PROPOSAL_REFUSED_MS);
	assert_true(proposals_refuse(p, 102, 1));
	for (int i = 1; i < PROPOSAL_REFUSED_MAX; i++)
		assert_int_equal(proposals_expire(p, false, PROPOSAL_REFUSED_MS, &ask), 1);
	assert_int_equal(proposals_expire(p, false, PROPOSAL_REFUSED_MS, &ask), 0);
	assert_int_equal(proposals_expire(p, true, 0, &ask), 1); /* with git */
}

/* A slot is kept from before git is asked until core has the action itself. guard: proposals_slots() in proposals_room() */
static void test_slots(void **state)
{
	struct proposals *p = *state;

	assert_true(gets_slot(p, "a", 1, 1));
	assert_false(gets_slot(p, "b", 2, 1));
	assert_true(proposals_answered(p, 2, false, 0));
	assert_true(proposals_answered(p, 1, true, 0)); /* it landed, and core does not see it yet */
	assert_false(gets_slot(p, "c", 3, 1));
	assert_false(reserve(p, "a", 4));
	proposals_seen(p, "a");
	assert_false(gets_slot(p, "d", 5, 2));
	assert_true(gets_slot(p, "e", 6, 1)); /* d has none, so it keeps none */
}

/* Core may hear of the landing before it hears git's answer: there is one slot for the two. */
static void test_seen_before_answered(void **state)
{
	struct proposals *p = *state;

	assert_true(gets_slot(p, "a", 1, 1));
	proposals_seen(p, "a");
	assert_false(gets_slot(p, "b", 2, 2));
	assert_true(proposals_answered(p, 1, true, 0));
	assert_int_equal(proposals_count(p), 1);
	assert_int_equal(proposals_next_ms(p), PROPOSAL_ASKING_MS); /* b's */
}

/* guard: deadline_ms in proposals_expire() */
static void test_places_end(void **state)
{
	struct proposals *p = *state;
	int64_t ask = 0;

	assert_int_equal(proposals_next_ms(p), -1);
	assert_true(gets_slot(p, "a", 1, 0));
	assert_int_equal(proposals_next_ms(p), PROPOSAL_ASKING_MS);
	assert_int_equal(proposals_expire(p, false, PROPOSAL_ASKING_MS - 1, &ask), 0);
	assert_int_equal(proposals_expire(p, false, PROPOSAL_ASKING_MS, &ask), 1);
	assert_int_equal(ask, 1);
	assert_false(proposals_answered(p, 1, false, 0)); /* nobody waits any more */
	assert_true(reserve(p, "a", 2));
	assert_true(proposals_answered(p, 2, true, 10));
	assert_int_equal(proposals_expire(p, true, 11, &ask), 0); /* git going down says nothing about what has landed */
	assert_int_equal(proposals_expire(p, false, 10 + PROPOSAL_LANDED_MS, &ask), 1);
	assert_int_equal(ask, -1);
}

static void test_git_goes_down(void **state)
{
	struct proposals *p = *state;
	int64_t ask = 0;
	int n = 0;

	assert_true(reserve(p, "a", 1));
	assert_true(reserve(p, "b", 2));
	while (proposals_expire(p, true, 0, &ask)) {
		n++;
		assert_int_equal(ask, n);
	}
	assert_int_equal(n, 2);
	assert_int_equal(proposals_count(p), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_of_equal_requests_one_passes),
	                                   T(test_pending_and_asking_count),
	                                   T(test_refused_ones_hold_nothing),
	                                   T(test_slots),
	                                   T(test_seen_before_answered),
	                                   T(test_places_end),
	                                   T(test_git_goes_down)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
