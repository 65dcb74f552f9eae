/* What steps leave behind: daemons, orphans, output of the dying. */
#include "tests/unit/steps_box.h"

#include "lib/file.h"
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* A double fork into a session of its own, which stops itself, ignores what it can, and holds the pipes. guard: sweep() in runner/steps.c */
static void threat_35_a_stopped_daemon_is_swept_up(void **state)
{
	(void)state;
	static const char *const scripts[] = {
	    "(setsid sh -c 'trap \"\" TERM HUP INT; echo daemon; kill -STOP $$; echo never' &) & sleep 0.2", COUNT_OTHERS};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "daemon\nothers=0\n");
}

/* guard: sweep() in runner/steps.c */
static void threat_35_a_daemon_that_holds_the_pipes_dies_with_its_step(void **state)
{
	(void)state;
	static const char *const scripts[] = {"setsid sh -c 'echo daemon; exec sleep 1000' & setsid sleep 1000 & sleep 1000 & sleep 0.1",
	                                      COUNT_OTHERS};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "daemon\nothers=0\n");
	/* It did not wait for them. */
	assert_true(json_integer_value(json_object_get(step_end(b, 0), "duration_ms")) < 100000);
}

/* One that forks and leaves without a pause is never there when a list of processes was made. */
static void what_runs_from_the_broom_is_swept_up(void **state)
{
	(void)state;
	static const char *const scripts[] = {"echo 'sh /task/r & exit' >r; sh r & sh r & sh r & sleep 0.1", "rm r; " COUNT_OTHERS};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "others=0\n");
}

/* guard: process_reap takes every child, not only the step */
static void threat_35_ten_thousand_orphans_are_reaped(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "i=0; while [ $i -lt 10000 ]; do ( : & ); i=$((i + 1)); done\n"
	                                          "sleep 0.5\n" COUNT_OTHERS);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "others=0\n");
}

static void many_living_orphans_are_killed_at_once(void **state)
{
	(void)state;
	static const char *const scripts[] = {"i=0; while [ $i -lt 500 ]; do ( sleep 1000 & ); i=$((i + 1)); done", COUNT_OTHERS};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "others=0\n");
}

static void output_of_the_dying_is_not_lost(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "head -c 60000 /dev/zero | tr '\\0' x; head -c 60000 /dev/zero | tr '\\0' y >&2; exit 0");

	assert_end(b, "succeeded", 0, "none");
	assert_int_equal(b->text[0].len, 60000);
	assert_int_equal(b->text[1].len, 60000);
}

static void a_step_may_close_its_output(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "exec >&- 2>&- <&-; sleep 0.1; exit 5");

	assert_end(b, "failed", 5, "step only exited with 5");
}

static void a_failing_start_is_said(void **state)
{
	(void)state;
	/* More than the kernel lets a program have of environment. */
	struct box_secret many[32];
	static char names[32][16];
	static char value[65537];
	struct buf members cleanup_buf = BUF_INIT;

	memset(value, 'x', sizeof(value) - 1);
	buf_adds(&members, ",\"secrets\":[");
	for (int i = 0; i < 32; i++) {
		snprintf(names[i], sizeof(names[i]), "S%d", i);
		value[i] = 'y';
		many[i] = (struct box_secret){names[i], xstrdup(value)};
		buf_addf(&members, "%s\"%s\"", i ? "," : "", names[i]);
	}
	buf_addc(&members, ']');
	struct box *b cleanup_box =
	    box_run_formula(NULL, members.data, ",\"steps\":[{\"id\":\"only\",\"run\":\"echo ran >/shared/ran\"}]", many, 32);
	for (int i = 0; i < 32; i++)
		free((char *)many[i].value);
	assert_end(b, "failed", 125, "step only could not start: run /bin/sh: Argument list too long");
	assert_false(box_has_file(b, "ran"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(threat_35_a_stopped_daemon_is_swept_up),
	    box_test(threat_35_a_daemon_that_holds_the_pipes_dies_with_its_step),
	    box_test(what_runs_from_the_broom_is_swept_up),
	    box_test(threat_35_ten_thousand_orphans_are_reaped),
	    box_test(many_living_orphans_are_killed_at_once),
	    box_test(output_of_the_dying_is_not_lost),
	    box_test(a_step_may_close_its_output),
	    box_test(a_failing_start_is_said),
	};

	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
