/* The runner's steps as processes: how they end, what they see, what they can't do. */
#include "tests/unit/steps_box.h"

#include "lib/file.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void exit_codes_are_the_steps(void **state)
{
	(void)state;
	/* Those that engines and shells use for themselves too: the report tells them apart. */
	for (int code = 0; code < 256; code++) {
		char *script cleanup_free = xasprintf("exit %d", code);
		char *reason cleanup_free = code ? xasprintf("step only exited with %d", code) : xstrdup("none");
		struct box *b cleanup_box = box_run(NULL, script);
		assert_end(b, code ? "failed" : "succeeded", code, reason);
		assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), code);
		assert_true(json_integer_value(json_object_get(step_end(b, 0), "duration_ms")) >= 0);
	}
}

static void signals_are_128_and_their_number(void **state)
{
	(void)state;
	struct box *segv cleanup_box = box_run(NULL, "kill -SEGV $$");
	assert_end(segv, "failed", 139, "step only was ended by signal 11 (Segmentation fault)");
	struct box *killed cleanup_box = box_run(NULL, "kill -KILL $$");
	assert_end(killed, "failed", 137, "step only was killed (out of memory?)");
	struct box *pipe cleanup_box = box_run(NULL, "kill -PIPE $$"); /* not ignored, though the runner ignores it */
	assert_end(pipe, "failed", 141, "step only was ended by signal 13 (Broken pipe)");
}

/* Each that ends a process. Those of real time have no name. */
static void any_signal_is_told_from_an_exit_code(void **state)
{
	(void)state;
	static const int harmless[] = {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, 32, 33, 0};

	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		size_t i = 0;
		while (harmless[i] && harmless[i] != sig)
			i++;
		if (harmless[i])
			continue;
		char *script cleanup_free = xasprintf("kill -%d $$; exit 9", sig);
		char *by_exit cleanup_free = xasprintf("step only exited with %d", 128 + sig);
		struct box *b cleanup_box = box_run(NULL, script);
		box_wait(b);
		assert_int_equal(b->status, 128 + sig);
		assert_string_not_equal(box_reason(b), by_exit);
		assert_string_equal(box_outcome(b), "failed");
	}
}

/* Standard input is nobody's: what a step does to it reaches neither us nor the next one. */
static void a_step_may_close_its_input(void **state)
{
	(void)state;
	static const char *const scripts[] = {"exec <&-; cat 2>/dev/null || echo closed",
	                                      "cat; echo empty; exec </dev/zero; head -c 1 | wc -c"};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "closed\nempty\n1\n");
}

static void the_shell_stops_at_the_first_error(void **state)
{
	(void)state;
	struct box *failing cleanup_box = box_run(NULL, "false\necho not reached");
	assert_end(failing, "failed", 1, "step only exited with 1");
	assert_string_equal(failing->text[0].data, "");
	struct box *unset cleanup_box = box_run(NULL, "echo \"$NO_SUCH_VARIABLE\"\necho not reached");
	box_wait(unset);
	assert_string_equal(box_outcome(unset), "failed");
	assert_string_equal(unset->text[0].data, "");
}

static void the_first_failing_step_ends_the_run(void **state)
{
	(void)state;
	char *steps cleanup_free = steps_of(3, (const char *const[]){"echo one", "exit 7", "echo three >/shared/ran"});
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "failed", 7, "step s2 exited with 7");
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 0), "exit_code")), 0);
	assert_int_equal(json_integer_value(json_object_get(step_end(b, 1), "exit_code")), 7);
	assert_null(step_end(b, 2));
	assert_false(box_has_file(b, "ran"));
}

static void steps_share_their_home(void **state)
{
	(void)state;
	char *steps cleanup_free = steps_of(2, (const char *const[]){"pwd; echo kept >file", "cat /task/file ~/file"});
	struct box *b cleanup_box = box_run_formula(NULL, "", steps, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "/task\nkept\nkept\n");
}

static void any_shell_will_do(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(&(struct box_options){.busybox = true}, "echo $0 $#; id -u; echo error >/dev/stderr; exit 3");

	assert_end(b, "failed", 3, "step only exited with 3");
	assert_non_null(strstr(b->text[0].data, "/proc/self/fd/"));
	assert_non_null(strstr(b->text[0].data, " 0\n10001\n"));
	assert_string_equal(b->text[1].data, "error\n");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of text, sorted. */
static void assert_lines(const char *text, const char *const expected[], size_t n)
{
	char *copy cleanup_free = xstrdup(text);
	char *lines[64] = {NULL}, *save = NULL;
	size_t found = 0;

	for (char *line = strtok_r(copy, "\n", &save); line && found < 64; line = strtok_r(NULL, "\n", &save))
		lines[found++] = line;
	qsort(lines, found, sizeof(lines[0]), by_text);
	assert_int_equal(found, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(lines[i], expected[i]);
}

/* guard: runner/environment.c hands inputs on as they are */
static void threat_21_the_environment_is_exactly_this(void **state)
{
	(void)state;
	static const char *const env[] = {"PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", "FROM_THE_ENGINE=must not arrive", NULL};
	static const char *const expected[] = {
	    "DISINTO_ACTION_ID=job-1",
	    "DISINTO_CONTEXT=a test",
	    "DISINTO_OUTPUT=/run/secrets/.output",
	    "DISINTO_STEP=s1",
	    "HOME=/task",
	    "INPUT_DRY_RUN=yes; $(rm) `x`",
	    "INPUT_VERSION=1.0",
	    "LANG=C.UTF-8",
	    "LOGNAME=disinto",
	    "PATH=/usr/bin:/bin",
	    "TMPDIR=/tmp",
	    "TOKEN=[redacted:TOKEN]",
	    "USER=disinto",
	};
	static const struct box_secret token = {"TOKEN", "t0p-secret-value"};
	/* What the kernel was given, before the shell added its own to it. */
	char *steps cleanup_free = steps_of(1, (const char *const[]){"tr '\\0' '\\n' </proc/$$/environ"});
	struct box *b cleanup_box =
	    box_run_formula(&(struct box_options){.env = env},
	                    ",\"secrets\":[\"TOKEN\"],\"inputs\":{\"version\":\"1.0\",\"dry_run\":\"yes; $(rm) `x`\"}", steps, &token, 1);

	assert_end(b, "succeeded", 0, "none");
	assert_lines(b->text[0].data, expected, sizeof(expected) / sizeof(expected[0]));
}

static void a_step_has_no_power(void **state)
{
	(void)state;
	static const char *const expected[] = {
	    "CapAmb:\t0000000000000000",
	    "CapEff:\t0000000000000000",
	    "CapInh:\t0000000000000000",
	    "CapPrm:\t0000000000000000",
	    "Gid:\t4711\t4711\t4711\t4711",
	    "Groups:\t ",
	    "NoNewPrivs:\t1",
	    "SigBlk:\t0000000000000000",
	    "SigIgn:\t0000000000000000",
	    "Uid:\t4711\t4711\t4711\t4711",
	    "Umask:\t0022",
	    "core=0",
	    "oom=1000",
	    "session=yes",
	    "stdin=",
	};
	char *step cleanup_free =
	    job_step("only", "busybox grep -E '^(Umask|Uid|Gid|Groups|SigBlk|SigIgn|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs):' /proc/self/status\n"
	                     "echo core=$(ulimit -c); echo stdin=$(cat); echo oom=$(cat /proc/self/oom_score_adj)\n"
	                     "set -- $(cat /proc/$$/stat); [ $6 = $$ ] && echo session=yes");
	char *members cleanup_free = xasprintf(",\"user\":4711,\"steps\":[%s]", step);
	struct box *b cleanup_box = box_run_formula(NULL, "", members, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_lines(b->text[0].data, expected, sizeof(expected) / sizeof(expected[0]));
}

/* guard: the step's own user, and PR_SET_DUMPABLE in runner/confine.c */
static void threat_26_steps_do_not_reach_process_1(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    box_run(NULL, "for f in mem environ maps fd/0 fd/1 root; do head -c 1 /proc/1/$f >/dev/null 2>&1 && echo \"reads $f\"; done\n"
	                  "echo '{\"t\":\"report\"}' 2>/dev/null >/proc/1/fd/1 && echo writes\n"
	                  "for s in TERM KILL INT CHLD STOP; do kill -$s 1 2>/dev/null && echo \"sends $s\"; done\n"
	                  "head -c 1 /proc/$$/environ >/dev/null && echo own");

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "own\n");
}

static bool can_read_environ(pid_t pid)
{
	char path[64], byte;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &byte, 1) == 1;
}

/* Who has its user and its capabilities may look into any process (here: its parent), but not into one that is not dumpable. guard: PR_SET_DUMPABLE in runner/confine.c */
static void threat_26_nobody_of_its_kind_reads_process_1(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_and_wait(NULL, 0, "echo here; " FOREVER);
	int status;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		box_reduce_caps(0);
		if (fork() == 0)
			_exit(!can_read_environ(getppid()) ? 2 : can_read_environ(b->init));
		wait(&status);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A frame on a step's own output is text. */
static void a_step_forges_no_frame(void **state)
{
	(void)state;
	const char *forged = "\n{\"t\":\"report\",\"outcome\":\"succeeded\",\"exit_code\":0,\"reason\":null,\"truncated\":false}\n";
	char *script cleanup_free = xasprintf("echo '%s'; echo '%s' >&2; exit 9", forged, forged);
	struct box *b cleanup_box = box_run(NULL, script);
	char *expected cleanup_free = xasprintf("%s\n", forged);

	assert_end(b, "failed", 9, "step only exited with 9");
	assert_string_equal(b->text[0].data, expected);
	assert_string_equal(b->text[1].data, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(exit_codes_are_the_steps),
	    box_test(signals_are_128_and_their_number),
	    box_test(any_signal_is_told_from_an_exit_code),
	    box_test(a_step_may_close_its_input),
	    box_test(the_shell_stops_at_the_first_error),
	    box_test(the_first_failing_step_ends_the_run),
	    box_test(steps_share_their_home),
	    box_test(any_shell_will_do),
	    box_test(threat_21_the_environment_is_exactly_this),
	    box_test(a_step_has_no_power),
	    box_test(threat_26_steps_do_not_reach_process_1),
	    box_test(threat_26_nobody_of_its_kind_reads_process_1),
	    box_test(a_step_forges_no_frame),
	};

	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
