#include "lib/cleanup.h"
#include "lib/json.h"
#include "vault/policy/policy_history.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define STRICT "formulas: {f: high}\ntiers: {high: {approval: forge}}\nsecrets: {S: {formulas: [g]}}"
#define LOOSE "formulas: {f: low}\ntiers: {high: {approval: landed}}"
#define BROKEN "formulas: [f]"

static const struct policy_floor lowest = {APPROVAL_LANDED, false, NULL};

static void cleanup_history(struct policy_history **h)
{
	policy_history_free(*h);
}
#define HISTORY __attribute__((cleanup(cleanup_history))) struct policy_history *

static int change(struct policy_history *h, const char *commit, const char *blob, const char *text, struct err *err)
{
	return policy_history_change(h, commit, blob, text, text ? strlen(text) : 0, err);
}

static void changes(struct policy_history *h, const char *commit, const char *blob, const char *text)
{
	cleanup_err struct err err = ERR_INIT;

	if (change(h, commit, blob, text, &err) != 0)
		fail_msg("%s", err_msg(&err));
}

/* A history that has judged one commit, c0, with this policy in force (NULL: none). */
static struct policy_history *begun(const char *text)
{
	struct policy_history *h = policy_history_new();

	policy_history_begin(h);
	if (text)
		changes(h, "c0", "b0", text);
	policy_history_end(h, "c0");
	return h;
}

/* The tier that formula f has for an action, and whether S is refused to it, as "high refused". */
static const char *judged(const struct policy_history *h, const char *id, const char *commit)
{
	static char text[64];
	cleanup_policy struct policy p = POLICY_INIT;
	cleanup_action struct action a = ACTION_INIT;
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;
	cleanup_err struct err err = ERR_INIT;
	static const char action[] = "{\"id\": \"x\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": [\"S\"]}";
	static const char formula[] = "name: f\nsteps: [{id: s, run: \"true\"}]";
	const char *blob;

	if (policy_history_for(h, id, commit, &p, &blob, &err) != 0)
		return err.code == ERR_NOT_FOUND ? "unknown" : "?";
	assert_int_equal(action_parse("x", action, strlen(action), &a, NULL), 0);
	assert_int_equal(formula_parse("f", formula, strlen(formula), &f, NULL), 0);
	policy_judge(&p, &lowest, &a, &f, &v);
	snprintf(text, sizeof(text), "%s %s%s%s", tier_name(v.tier), approval_mode_name(v.approval), v.refuse ? " refused" : "",
	         v.wait ? " waits" : "");
	return text;
}

/* A request that changes the rules and adds an action, merged in one commit or fast-forwarded in two. guard: policy_history_for in vault/policy/policy_history.c */
static void threat_05_no_request_loosens_its_own_rule(void **state)
{
	HISTORY h = begun(STRICT);

	(void)state;
	policy_history_begin(h);
	changes(h, "c1", "b1", LOOSE);
	policy_history_landed(h, "at-once", "c1");
	policy_history_landed(h, "one-later", "c2");
	policy_history_end(h, "c2");
	assert_string_equal(judged(h, "at-once", "c1"), "high forge refused");
	assert_string_equal(judged(h, "one-later", "c2"), "high forge refused");
	/* what lands after the loosened policy was seen is judged by that */
	policy_history_begin(h);
	policy_history_landed(h, "next", "c3");
	policy_history_end(h, "c3");
	assert_string_equal(judged(h, "next", "c3"), "low landed");
	/* and waiting helps nobody */
	assert_string_equal(judged(h, "at-once", "c1"), "high forge refused");
}

static void a_stricter_policy_counts_at_once(void **state)
{
	HISTORY h = begun(LOOSE);

	(void)state;
	policy_history_begin(h);
	policy_history_landed(h, "earlier", "c1");
	changes(h, "c2", "b2", STRICT);
	policy_history_landed(h, "with", "c2");
	policy_history_end(h, "c2");
	assert_string_equal(judged(h, "earlier", "c1"), "low landed");
	assert_string_equal(judged(h, "with", "c2"), "high forge refused");
}

static void the_last_good_one_stays(void **state)
{
	HISTORY h = begun(STRICT);
	cleanup_err struct err broken = ERR_INIT, gone = ERR_INIT, first = ERR_INIT;
	HISTORY fresh = policy_history_new();

	(void)state;
	policy_history_begin(h);
	assert_int_equal(change(h, "c1", "b1", BROKEN, &broken), -1);
	assert_string_equal(err_msg(&broken),
	                    "as of c1 (the last good one stays in force): vault/policy.yaml: formulas: must be an object, not an array");
	assert_int_equal(change(h, "c2", NULL, NULL, &gone), -1);
	assert_string_equal(err_msg(&gone), "as of c2 (the last good one stays in force): vault/policy.yaml is gone");
	policy_history_landed(h, "a", "c2");
	policy_history_end(h, "c2");
	assert_string_equal(judged(h, "a", "c2"), "high forge refused");
	policy_history_begin(fresh);
	assert_int_equal(change(fresh, "c1", "b1", BROKEN, &first), -1);
	assert_non_null(strstr(err_msg(&first), "none is in force"));
}

/* Between two polls a policy may be good and then broken: what counts does not depend on when somebody looked. */
static void polls_make_no_difference(void **state)
{
	HISTORY often = begun(STRICT);
	HISTORY seldom = begun(STRICT);
	cleanup_json json_t *a = NULL, *b = NULL;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct policy_history *h = i == 0 ? often : seldom;

		policy_history_begin(h);
		changes(h, "c1", "b1", LOOSE);
		if (h == often) {
			policy_history_end(h, "c1");
			policy_history_begin(h);
		}
		change(h, "c2", "b2", BROKEN, NULL);
		policy_history_end(h, "c2");
		policy_history_begin(h);
		policy_history_end(h, "c2");
	}
	a = policy_history_save(often);
	b = policy_history_save(seldom);
	assert_true(json_equal(a, b));
	assert_string_equal(json_string_value(json_object_get(a, "in_force")), "b1");
}

static void a_change_needs_what_the_old_one_wants(void **state)
{
	const struct policy_floor floor = {APPROVAL_SIGNED, false, NULL};
	HISTORY strict = begun(STRICT);
	HISTORY loose = begun(LOOSE);
	HISTORY none = begun(NULL);
	HISTORY fresh = policy_history_new();

	(void)state;
	assert_int_equal(policy_history_change_approval(strict, &lowest), APPROVAL_FORGE);
	assert_int_equal(policy_history_change_approval(loose, &lowest), APPROVAL_LANDED);
	assert_int_equal(policy_history_change_approval(loose, &floor), APPROVAL_SIGNED);
	assert_int_equal(policy_history_change_approval(none, &floor), APPROVAL_SIGNED);
	assert_int_equal(policy_history_change_approval(fresh, &floor), APPROVAL_LANDED);
	policy_history_begin(loose);
	changes(loose, "c1", "b1", STRICT);
	assert_int_equal(policy_history_change_approval(loose, &lowest), APPROVAL_FORGE);
}

/* At first sight there is no tip judged before: the landing commit's first parent takes its place. */
static void first_sight(void **state)
{
	HISTORY h = policy_history_new();
	HISTORY other = policy_history_new();

	(void)state;
	policy_history_begin(other);
	changes(other, "c1", "b1", LOOSE);
	policy_history_landed(other, "with-the-first", "c1");
	assert_string_equal(judged(other, "with-the-first", "c1"), "low landed");
	assert_null(policy_history_tip(h));
	policy_history_begin(h);
	policy_history_landed(h, "before-any", "c1");
	changes(h, "c2", "b2", STRICT);
	policy_history_landed(h, "with-the-first", "c2");
	changes(h, "c3", "b3", LOOSE);
	policy_history_landed(h, "with-a-change", "c3");
	policy_history_landed(h, "after-it", "c4");
	policy_history_end(h, "c4");
	assert_string_equal(policy_history_tip(h), "c4");
	assert_string_equal(judged(h, "before-any", "c1"), "high landed");
	assert_string_equal(judged(h, "with-the-first", "c2"), "high forge refused");
	assert_string_equal(judged(h, "with-a-change", "c3"), "high forge refused");
	assert_string_equal(judged(h, "after-it", "c4"), "low landed");
}

/*
 * A change that nobody approved, as far as a dispatcher can tell that was not there: neither is it taken, nor what was before it. guard: policy_history_doubt, asked by
 * policy_history_for
 */
static void threat_05_first_sight_of_a_change_without_approval(void **state)
{
	HISTORY h = policy_history_new();
	HISTORY again = NULL;
	cleanup_json json_t *saved = NULL;

	(void)state;
	policy_history_begin(h);
	assert_int_equal(policy_history_change_approval(h, &lowest), APPROVAL_LANDED);
	changes(h, "c1", "b1", STRICT);
	policy_history_landed(h, "before", "c1");
	assert_int_equal(policy_history_change_approval(h, &lowest), APPROVAL_FORGE); /* the second is asked for what the first one wants */
	policy_history_pause(h, "c1");
	policy_history_begin(h);
	assert_int_equal(policy_history_change_approval(h, &lowest), APPROVAL_FORGE);
	policy_history_doubt(h, "c1a", "b1"); /* taken away and put back: it is in force anyway */
	assert_null(policy_history_doubted(h));
	policy_history_doubt(h, "c2", "b2");
	policy_history_landed(h, "with", "c2");
	policy_history_end(h, "c2");
	assert_string_equal(policy_history_doubted(h), "c2");
	assert_string_equal(judged(h, "before", "c1"), "?");
	assert_string_equal(judged(h, "with", "c2"), "?");
	saved = policy_history_save(h);
	assert_int_equal(policy_history_load(saved, &again, NULL), 0);
	assert_string_equal(policy_history_doubted(again), "c2");

	policy_history_begin(again);
	changes(again, "c3", "b3", LOOSE); /* an approved one ends it, and each is judged by what was in force for it */
	policy_history_landed(again, "after", "c3");
	policy_history_end(again, "c3");
	assert_null(policy_history_doubted(again));
	assert_string_equal(judged(again, "with", "c2"), "high forge refused");
	policy_history_begin(again);
	policy_history_doubt(again, "c4", "b4"); /* who is there has seen it all, and goes on by what is in force */
	policy_history_landed(again, "later", "c4");
	policy_history_end(again, "c4");
	assert_string_equal(judged(again, "later", "c4"), "low landed");
}

/* A first walk in two parts is a first walk to its end. */
static void a_first_walk_that_has_to_wait(void **state)
{
	HISTORY h = policy_history_new();
	HISTORY again = NULL;
	cleanup_json json_t *saved = NULL;

	(void)state;
	policy_history_begin(h);
	changes(h, "c1", "b1", LOOSE);
	policy_history_pause(h, "c1");
	saved = policy_history_save(h);
	assert_int_equal(policy_history_load(saved, &again, NULL), 0);
	policy_history_begin(again);
	policy_history_landed(again, "a", "c2");
	policy_history_end(again, "c2");
	assert_string_equal(judged(again, "a", "c2"), "low landed");
}

/* The first policy of a repo that was watched before: until then every tier was high. */
static void the_first_policy(void **state)
{
	HISTORY h = begun(NULL);

	(void)state;
	policy_history_begin(h);
	changes(h, "c1", "b1", LOOSE);
	policy_history_landed(h, "a", "c1");
	policy_history_end(h, "c1");
	assert_string_equal(judged(h, "a", "c1"), "high landed");
}

/* A walk that breaks off (an object can't be read) begins again, and what it saw is not yet "before". */
static void a_walk_that_breaks_off(void **state)
{
	HISTORY h = begun(STRICT);
	cleanup_json json_t *saved = NULL;

	(void)state;
	policy_history_begin(h);
	changes(h, "c1", "b1", LOOSE);
	policy_history_landed(h, "a", "c1");
	saved = policy_history_save(h);
	assert_string_equal(json_string_value(json_object_get(saved, "in_force")), "b0");
	policy_history_begin(h);
	assert_int_equal(policy_history_change_approval(h, &lowest), APPROVAL_FORGE);
	changes(h, "c1", "b1", LOOSE);
	policy_history_landed(h, "a", "c1");
	policy_history_end(h, "c1");
	assert_string_equal(judged(h, "a", "c1"), "high forge refused");
}

/* A push that is judged in two parts, because the forge was away in between, is one push all the same; over a restart too. */
static void a_walk_that_has_to_wait(void **state)
{
	HISTORY h = begun(STRICT);
	HISTORY again = NULL;
	cleanup_json json_t *saved = NULL;

	(void)state;
	policy_history_begin(h);
	changes(h, "c1", "b1", LOOSE);
	policy_history_pause(h, "c1");
	policy_history_begin(h);
	policy_history_pause(h, "c1");
	saved = policy_history_save(h);
	assert_int_equal(policy_history_load(saved, &again, NULL), 0);
	policy_history_begin(again);
	assert_int_equal(policy_history_change_approval(again, &lowest), APPROVAL_LANDED);
	changes(again, "c2", "b2", LOOSE "\n");
	policy_history_landed(again, "a", "c2");
	policy_history_end(again, "c2");
	assert_string_equal(judged(again, "a", "c2"), "high forge refused");
	policy_history_begin(again);
	policy_history_landed(again, "b", "c3");
	policy_history_end(again, "c3");
	assert_string_equal(judged(again, "b", "c3"), "low landed");
}

static void freezing_follows_the_present(void **state)
{
	HISTORY h = begun("freeze: true\nformulas: {f: low}");

	(void)state;
	policy_history_begin(h);
	policy_history_landed(h, "a", "c1");
	policy_history_end(h, "c1");
	assert_string_equal(judged(h, "a", "c1"), "low landed waits");
	policy_history_begin(h);
	changes(h, "c2", "b2", "formulas: {f: low}");
	policy_history_landed(h, "thaws-itself", "c2");
	policy_history_end(h, "c2");
	assert_string_equal(judged(h, "thaws-itself", "c2"), "low landed waits");
	policy_history_begin(h);
	assert_string_equal(judged(h, "a", "c1"), "low landed");
	changes(h, "c3", "b3", "freeze: true");
	policy_history_end(h, "c3");
	assert_string_equal(judged(h, "a", "c1"), "low landed waits");
}

static void what_is_not_known_waits(void **state)
{
	HISTORY h = begun(LOOSE);

	(void)state;
	assert_string_equal(judged(h, "a", "c1"), "unknown");
	policy_history_begin(h);
	policy_history_landed(h, "a", "c1");
	policy_history_end(h, "c1");
	assert_string_equal(judged(h, "a", "c1"), "low landed");
	assert_string_equal(judged(h, "a", "c2"), "unknown"); /* edited since: it landed again, at a commit that was not walked */
	policy_history_forget(h, "a");
	assert_string_equal(judged(h, "a", "c1"), "unknown");
	policy_history_forget(h, "a");
}

/* A restart in between changes nothing, and what nobody needs any more goes. */
static void survives_a_restart(void **state)
{
	HISTORY h = begun(STRICT);
	HISTORY again = NULL;
	cleanup_json json_t *saved = NULL, *later = NULL;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	policy_history_begin(h);
	changes(h, "c1", "b1", LOOSE);
	policy_history_landed(h, "a", "c1");
	changes(h, "c2", "b2", "default_tier: medium");
	policy_history_end(h, "c2");
	saved = policy_history_save(h);
	if (policy_history_load(saved, &again, &err) != 0)
		fail_msg("%s", err_msg(&err));
	assert_string_equal(policy_history_tip(again), "c2");
	assert_string_equal(judged(again, "a", "c1"), "high forge refused");
	policy_history_begin(again);
	policy_history_landed(again, "b", "c3");
	policy_history_forget(again, "a");
	policy_history_end(again, "c3");
	assert_string_equal(judged(again, "b", "c3"), "medium landed");
	later = policy_history_save(again);
	assert_int_equal(json_object_size(json_object_get(saved, "policies")), 3);
	assert_int_equal(json_object_size(json_object_get(later, "policies")), 1);
}

/* A state is all there or no state: half of one would judge by the wrong policy. */
static void damaged_states(void **state)
{
	static const char *const damage[] = {
	    "{}",
	    "[]",
	    "{\"tip\": 1, \"in_force\": null, \"before\": null, \"policies\": {}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"before\": null, \"policies\": {}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"in_force\": null, \"policies\": {}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"in_force\": null, \"before\": \"b\", \"policies\": {}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"in_force\": \"b\", \"before\": null, \"policies\": {}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"in_force\": \"b\", \"before\": null, \"policies\": {\"b\": 1}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"in_force\": \"b\", \"before\": null, \"policies\": {\"b\": \"freeze: 1\"}, \"landed\": {}}",
	    "{\"tip\": \"c\", \"in_force\": null, \"before\": null, \"policies\": {}, \"landed\": {\"a\": {\"commit\": \"c\", \"before\": "
	    "\"b\", \"at\": "
	    "null}}}",
	    "{\"tip\": \"c\", \"in_force\": null, \"before\": null, \"policies\": {}, \"landed\": {\"a\": {\"commit\": \"c\", \"at\": "
	    "null}}}",
	    "{\"tip\": \"c\", \"in_force\": null, \"before\": null, \"policies\": {}, \"landed\": {\"a\": {\"before\": null, \"at\": "
	    "null}}}",
	    "{\"tip\": \"c\", \"in_force\": null, \"before\": null, \"policies\": {}, \"landed\": {\"A b\": {\"commit\": \"c\", "
	    "\"before\": null, \"at\": "
	    "null}}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct policy_history *h = NULL;
		cleanup_json json_t *json = json_loads(damage[i], 0, NULL);
		cleanup_err struct err err = ERR_INIT;

		assert_non_null(json);
		if (policy_history_load(json, &h, &err) == 0)
			fail_msg("%s", damage[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threat_05_no_request_loosens_its_own_rule),
	    cmocka_unit_test(a_stricter_policy_counts_at_once),
	    cmocka_unit_test(the_last_good_one_stays),
	    cmocka_unit_test(polls_make_no_difference),
	    cmocka_unit_test(a_change_needs_what_the_old_one_wants),
	    cmocka_unit_test(first_sight),
	    cmocka_unit_test(threat_05_first_sight_of_a_change_without_approval),
	    cmocka_unit_test(a_first_walk_that_has_to_wait),
	    cmocka_unit_test(the_first_policy),
	    cmocka_unit_test(a_walk_that_breaks_off),
	    cmocka_unit_test(a_walk_that_has_to_wait),
	    cmocka_unit_test(freezing_follows_the_present),
	    cmocka_unit_test(what_is_not_known_waits),
	    cmocka_unit_test(survives_a_restart),
	    cmocka_unit_test(damaged_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
