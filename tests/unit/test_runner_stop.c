/* Ends that come from outside: signals, and the limit in time. */
#include "tests/unit/steps_box.h"

#include "lib/file.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOLD "it was told to stop (step only)"

static void term_reaches_all_of_a_step(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    go_and_wait(NULL, 100,
	                "(trap 'echo child; exit 0' TERM; echo child is; while :; do sleep 0.01 || :; done) &\n"
	                "setsid sh -c 'trap \"echo daemon; exit 0\" TERM; echo daemon is; while :; do sleep 0.01 || :; done' &\n"
	                "trap 'wait; echo cleaned up; exit 0' TERM; sleep 0.3; echo here; while :; do sleep 0.01 || :; done");

	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, TOLD);
	assert_non_null(strstr(b->text[0].data, "child\n"));
	assert_non_null(strstr(b->text[0].data, "daemon\n"));
	assert_non_null(strstr(b->text[0].data, "cleaned up\n"));
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 0);
}

static void int_is_as_term(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_and_wait(NULL, 100, "echo here; " FOREVER);

	kill(b->init, SIGINT);
	assert_end(b, "cancelled", 130, TOLD);
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 143);
}

/* guard: stop_when_wanted in runner/steps.c */
static void threat_33_who_ignores_term_is_killed_after_the_grace(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_and_wait(NULL, 1, "trap '' TERM INT; echo here; " FOREVER);
	int64_t before = now_mono_ms();

	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, TOLD);
	assert_true(now_mono_ms() - before >= 1000);
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 137);
}

static void no_grace_is_none(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_and_wait(NULL, 0, "trap '' TERM INT; echo here; " FOREVER);

	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, TOLD);
}

static void a_second_term_ends_the_grace(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_and_wait(NULL, 300, "trap 'echo heard' TERM; echo here; while :; do sleep 0.01 || :; done");

	kill(b->init, SIGTERM);
	box_until_text(b, 0, "heard");
	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, TOLD);
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 137);
}

static void a_stopped_step_hears_term(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    go_and_wait(NULL, 300, "trap 'echo heard; exit 0' TERM; echo here; kill -STOP $$; while :; do sleep 0.01 || :; done");

	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, TOLD);
	assert_non_null(strstr(b->text[0].data, "heard\n"));
}

static void no_step_begins_after_term(void **state)
{
	(void)state;
	static const char *const scripts[] = {"trap 'exit 0' TERM; echo here; while :; do sleep 0.01 || :; done", "echo ran >/shared/ran"};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_go(NULL, "", steps, NULL, 0);

	box_until_text(b, 0, "here");
	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, "it was told to stop (step s1)");
	assert_false(box_has_file(b, "ran"));
}

/* Whether any child of the process has ended and was not waited for. */
static bool has_zombie(pid_t parent)
{
	char path[64], state = '?';
	struct buf children cleanup_buf = BUF_INIT, stat cleanup_buf = BUF_INIT;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	assert_int_equal(file_read(path, 4096, &children, NULL), 0);
	long child = strtol(children.data, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%ld/stat", child);
	if (child > 0 && file_read(path, 4096, &stat, NULL) == 0 && strrchr(stat.data, ')'))
		state = strrchr(stat.data, ')')[2];
	return state == 'Z';
}

/* TERM comes when a step has ended and the next has not begun: the runner is held until both have happened. */
static void no_step_begins_after_term_between_two(void **state)
{
	(void)state;
	static const char *const scripts[] = {"echo here; until [ -e /shared/end ]; do sleep 0.01; done", "echo ran >/shared/ran"};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_go(NULL, "", steps, NULL, 0);
	char *end cleanup_free = xasprintf("%s/shared/end", b->dir);

	box_until_text(b, 0, "here");
	kill(b->init, SIGSTOP);
	assert_int_equal(mkdir(end, 0755), 0);
	while (!has_zombie(b->init))
		usleep(5000);
	kill(b->init, SIGTERM);
	kill(b->init, SIGCONT);
	assert_end(b, "cancelled", 130, "it was told to stop (step s2)");
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 0);
	assert_false(box_has_file(b, "ran"));
}

static const char *const short_limit[] = {"PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", "DISINTO_TEST_TIMEOUT_MS=500", NULL};

static void the_time_limit_ends_a_run(void **state)
{
	(void)state;
	char *formula cleanup_free = with_grace(1, "trap 'echo heard' TERM; echo here; while :; do sleep 0.01 || :; done");
	struct box *b cleanup_box =
	    box_run_formula(&(struct box_options){.sanitized = true, .env = short_limit}, ",\"timeout_minutes\":1", formula, NULL, 0);

	assert_end(b, "timed_out", 124, "the time limit of 1 minute passed (step only)");
	assert_non_null(strstr(b->text[0].data, "heard\n"));
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 137);
	assert_true(json_integer_value(json_object_get(step_end(b, 0), "duration_ms")) >= 1400);
}

/* The limit is the run's, not a step's. */
static void the_time_limit_counts_all_steps(void **state)
{
	(void)state;
	char *steps cleanup_free = steps_of(4, (const char *const[]){"sleep 0.3", "sleep 0.3", "sleep 0.3", "echo ran >/shared/ran"});
	struct box *b cleanup_box = box_run_formula(&(struct box_options){.sanitized = true, .env = short_limit}, "", steps, NULL, 0);

	assert_end(b, "timed_out", 124, "the time limit of 60 minutes passed (step s2)");
	assert_false(box_has_file(b, "ran"));
}

static void the_released_runner_has_no_test_hook(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(&(struct box_options){.env = short_limit}, "sleep 0.7; echo done");

	assert_end(b, "succeeded", 0, "none");
}

static void the_sanitizers_find_nothing(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_and_wait(&(struct box_options){.sanitized = true}, 1, "trap '' TERM; echo here; " FOREVER);

	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, TOLD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(term_reaches_all_of_a_step),
	    box_test(int_is_as_term),
	    box_test(threat_33_who_ignores_term_is_killed_after_the_grace),
	    box_test(no_grace_is_none),
	    box_test(a_second_term_ends_the_grace),
	    box_test(a_stopped_step_hears_term),
	    box_test(no_step_begins_after_term),
	    box_test(no_step_begins_after_term_between_two),
	    box_test(the_time_limit_ends_a_run),
	    box_test(the_time_limit_counts_all_steps),
	    box_test(the_released_runner_has_no_test_hook),
	    box_test(the_sanitizers_find_nothing),
	};

	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
