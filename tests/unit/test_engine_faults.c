/*
 * The engine role on a real engine that fails at one call: with an error, before or after it did what it was asked to, in the middle of its answer, or by
 * saying nothing. Whatever it is, the run runs once, and its log is whole.
 */
#include "lib/cleanup.h"
#include "tests/engine_proxy.h"
#include "tests/engine_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char *const fault_names[N_FAULTS] = {
    [FAULT_ERROR] = "error", [FAULT_DROP] = "drop", [FAULT_DROP_AFTER] = "drop after", [FAULT_HALF] = "half", [FAULT_HANG] = "hang"};

static struct world w;

static int open_world(void **state)
{
	(void)state;
	proxy_start(engine_socket);
	world_open(&w, proxy_path);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	proxy_fault(FAULT_NONE, "", "", 0);
	proxy_change("", "");
	world_close(&w);
	proxy_stop();
	return 0;
}

/* EXITED, in good order, and then taken away. */
static void expect_whole(const char *log, const char *what)
{
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	cleanup_free char *shown = json_dumps(m, 0);
	if (strcmp(text(json_object_get(m, "report"), "outcome"), "succeeded") != 0)
		fail_msg("%s: %s", what, shown);
	if (strcmp(w.log.data, log) != 0)
		fail_msg("%s: the log is %s", what, w.log.data);
	world_say(&w, MSG_REMOVE, NULL, -1);
	json_decref(world_hear(&w, MSG_REMOVED));
	assert_null(world_inspect(&w));
}

/* Starts it, again where the first attempt fails. */
static void start_until_it_runs(const char *what)
{
	for (int attempt = 0;; attempt++) {
		buf_reset(&w.log);
		world_start(&w, "echo once; echo \"$TOKEN\" | wc -c", "TOKEN", NULL);
		cleanup_json json_t *m = world_hear_either(&w, MSG_READY, MSG_FAILED);
		if (strcmp(text(m, "kind"), "ready") == 0)
			return;
		if (json_is_true(json_object_get(m, "refuse")) || attempt > 0)
			fail_msg("%s: attempt %d: %s", what, attempt, text(m, "reason"));
		assert_int_equal(w.log.len, 0);
	}
}

static void fail_a_start_at(const char *method, const char *part)
{
	for (int kind = FAULT_ERROR; kind < N_FAULTS; kind++) {
		cleanup_free char *what = xasprintf("%s %s: %s", method, part, fault_names[kind]);
		proxy_fault((enum fault)kind, method, part, 1);
		start_until_it_runs(what);
		if (proxy_failed() != 1)
			fail_msg("%s: failed %d times", what, proxy_failed());
		world_secrets(&w, "TOKEN", CANARY, true);
		json_decref(world_hear(&w, MSG_DELIVERED));
		world_say(&w, MSG_GO, NULL, -1);
		cleanup_free char *log = xasprintf("once\n%zu\n", strlen(CANARY) + 1);
		expect_whole(log, what);
	}
}

/* guard: start_failed in dispatcher/engine/job.c takes away what was made; create() in start.c takes a name that is there */
static void test_threat_36_any_call_of_a_start_fails(void **state)
{
	(void)state;
	/* What all containers share is made and looked at once. */
	proxy_fault(FAULT_NONE, "", "", 0);
	start_until_it_runs("first");
	world_secrets(&w, "TOKEN", CANARY, true);
	json_decref(world_hear(&w, MSG_DELIVERED));
	world_say(&w, MSG_GO, NULL, -1);
	cleanup_free char *log = xasprintf("once\n%zu\n", strlen(CANARY) + 1);
	expect_whole(log, "first");
	fail_a_start_at("GET ", "/images/");
	fail_a_start_at("POST ", "/containers/create?name=disinto-t-");
	fail_a_start_at("GET ", "/json ");
	fail_a_start_at("POST ", "/attach?");
	fail_a_start_at("POST ", "/start ");
	fail_a_start_at("GET ", "/logs?");
}

/* And of what is shared. guard: engine_forget_shared after a start that failed, dispatcher/engine/start.c */
static void test_threat_36_making_the_volume_fails(void **state)
{
	static const char *const calls[][2] = {
	    {"POST ", "/containers/create?name=disinto-runner-"}, {"GET ", "/archive?"}, {"POST ", "/start "}};
	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		world_kill(&w); /* each life looks at it once */
		world_reopen(&w);
		json_decref(world_hear(&w, MSG_ENGINE_STATE));
		proxy_fault(i % 2 ? FAULT_HALF : FAULT_DROP_AFTER, calls[i][0], calls[i][1], 1);
		start_until_it_runs(calls[i][1]);
		assert_int_equal(proxy_failed(), 1);
		world_say(&w, MSG_HALT, NULL, -1);
		json_decref(world_hear(&w, MSG_FAILED));
	}
}

/* guard: follow_round in dispatcher/engine/follow.c goes on after whatever was no answer; drain_frames in log.c passes over what it had */
static void test_threat_36_any_call_of_a_run_fails(void **state)
{
	static const char *const calls[][2] = {{"GET ", "/logs?"}, {"GET ", "/json "}};
	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int kind = FAULT_ERROR; kind < N_FAULTS; kind++) {
			if (kind == FAULT_HANG && i == 0)
				continue; /* a log that is followed may be silent for as long as its step is */
			cleanup_free char *what = xasprintf("%s: %s", calls[i][1], fault_names[kind]);
			buf_reset(&w.log);
			world_start(&w, "echo one; sleep 0.7; echo two", NULL, NULL);
			world_go(&w, NULL);
			world_log_has(&w, "one\n");
			world_kill(&w);
			proxy_fault((enum fault)kind, calls[i][0], calls[i][1], 2);
			world_reopen(&w);
			world_say(&w, MSG_FOLLOW, NULL, -1);
			expect_whole("one\ntwo\n", what);
			if (proxy_failed() < 1)
				fail_msg("%s: did not fail", what);
		}
}

/* guard: try_later in dispatcher/engine/chores.c */
static void test_threat_36_removals_fail(void **state)
{
	(void)state;
	for (int kind = FAULT_ERROR; kind < N_FAULTS; kind++) {
		buf_reset(&w.log);
		world_start(&w, "echo one", NULL, NULL);
		world_go(&w, NULL);
		proxy_fault((enum fault)kind, "DELETE ", "/containers/", 1);
		expect_whole("one\n", fault_names[kind]);
		assert_int_equal(proxy_failed(), 1);
	}
}

/* guard: the tries in halt_thread, dispatcher/engine/chores.c */
static void test_threat_36_stops_fail(void **state)
{
	(void)state;
	for (int kind = FAULT_ERROR; kind < N_FAULTS; kind++) {
		buf_reset(&w.log);
		world_start(&w, "trap '' TERM; echo on; while :; do sleep 0.1; done", NULL, NULL);
		world_go(&w, NULL);
		world_log_has(&w, "on\n");
		proxy_fault((enum fault)kind, "POST ", "/kill", 1);
		world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 300, "kill", 1), -1);
		cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
		assert_int_equal(json_integer_value(json_object_get(m, "exit_code")), 137);
		assert_int_equal(proxy_failed(), 1);
		world_say(&w, MSG_REMOVE, NULL, -1);
		json_decref(world_hear(&w, MSG_REMOVED));
	}
}

/* An engine that makes something else than it was asked for: found before the start, and taken away. guard: compare() in dispatcher/engine/start.c */
static void test_threat_32_another_container(void **state)
{
	static const struct {
		const char *from, *to, *named;
	} changes[] = {
	    {"\"Privileged\":false", "\"Privileged\":true ", "HostConfig."},
	    {"\"ReadonlyRootfs\":true", "\"ReadonlyRootfs\":null", "HostConfig.ReadonlyRootfs is false"},
	    {"\"User\":\"0:0\"", "\"User\":\"1:1\"", "Config.User is \"1:1\""},
	    {"\"ReadOnly\":true", "\"ReadOnly\":null", "HostConfig.Mounts is "},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		proxy_change(changes[i].from, changes[i].to);
		proxy_fault(FAULT_ERROR, "POST ", "/start ", 1);
		world_start(&w, "echo never", "TOKEN", NULL);
		cleanup_json json_t *m = world_hear_either(&w, MSG_FAILED, MSG_READY);
		if (!strstr(text(m, "reason"), "the container that the Docker Engine made is not the one asked for: ") ||
		    !strstr(text(m, "reason"), changes[i].named))
			fail_msg("%s: %s", changes[i].to, text(m, "reason"));
		assert_false(json_is_true(json_object_get(m, "refuse"))); /* it is not the action's fault */
		assert_int_equal(proxy_failed(), 0);                      /* nobody asked for a start */
		assert_null(world_inspect(&w));
	}
	proxy_change("", "");
	proxy_fault(FAULT_NONE, "", "", 0);
	buf_reset(&w.log);
	world_start(&w, "echo one", NULL, NULL);
	world_go(&w, NULL);
	expect_whole("one\n", "as asked for");
}

static void signal_engine(int sig)
{
	char path[96];
	int pid = 0;
	snprintf(path, sizeof(path), "%s/pid", engine_dir);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	assert_int_equal(kill(pid, sig), 0);
}

static void expect_state(bool ok)
{
	cleanup_json json_t *m = world_hear(&w, MSG_ENGINE_STATE);
	assert_int_equal(json_is_true(json_object_get(m, "ok")), ok);
}

/* The whole engine stands still under a run: it is said, new starts wait, and the run's log comes whole afterwards. guard: the deadline of look(), watch.c */
static void test_threat_36_engine_hangs(void **state)
{
	(void)state;
	if (!engine_dir[0])
		skip(); /* somebody else's engine is left alone */
	expect_state(true);
	world_start(&w, "echo one; sleep 4; echo two", NULL, NULL);
	world_go(&w, NULL);
	world_log_has(&w, "one\n");
	signal_engine(SIGSTOP);
	expect_state(false);
	signal_engine(SIGCONT);
	expect_state(true);
	expect_whole("one\ntwo\n", "stopped");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_threat_36_any_call_of_a_start_fails),
	    TEST(test_threat_36_making_the_volume_fails),
	    TEST(test_threat_36_any_call_of_a_run_fails),
	    TEST(test_threat_36_removals_fail),
	    TEST(test_threat_36_stops_fail),
	    TEST(test_threat_32_another_container),
	    TEST(test_threat_36_engine_hangs),
	};
	setenv("DISINTO_TEST_ENGINE_MS", "4000", 1);
	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(all_tests);
}
