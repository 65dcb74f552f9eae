/* The runner before GO: whatever is wrong is said, and nothing of the formula runs. */
#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

#define MARK ",\"steps\":[{\"id\":\"mark\",\"run\":\"echo ran >/shared/ran\"}]"

static const struct box_secret token = {"TOKEN", "t0p-secret-value"};

static void assert_kinds(const struct box *b, const char *expected)
{
	struct buf kinds cleanup_buf = BUF_INIT;
	size_t i;
	const json_t *frame;

	json_array_foreach (b->frames, i, frame) {
		buf_addf(&kinds, "%s%s", i ? " " : "", json_string_value(json_object_get(frame, "t")));
	}
	assert_string_equal(kinds.data, expected);
}

/* Ended before a step, as `outcome`, with `words` in the reason. */
static void assert_nothing_ran(struct box *b, const char *outcome, const char *words)
{
	box_wait(b);
	assert_string_equal(box_outcome(b), outcome);
	assert_int_equal(b->status, strcmp(outcome, "refused") == 0 ? 126 : 125);
	assert_true(json_is_null(json_object_get(box_report(b), "exit_code")));
	if (!strstr(box_reason(b), words))
		fail_msg("\"%s\" is not in the reason: %s", words, box_reason(b));
	assert_false(box_has_file(b, "ran"));
}

static void frames_come_in_order(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run_formula(NULL, ",\"secrets\":[\"TOKEN\"]", MARK, &token, 1);

	assert_kinds(b, "hello ready going step step report");
	assert_string_equal(box_outcome(b), "succeeded");
	assert_int_equal(b->status, 0);
	assert_true(box_has_file(b, "ran"));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(b->frames, 0), "frames")), FRAME_VERSION);
	assert_true(json_is_null(json_object_get(box_report(b), "reason")));
	assert_true(json_is_false(json_object_get(box_report(b), "truncated")));
	assert_int_equal(json_integer_value(json_object_get(box_report(b), "exit_code")), 0);
}

static void ready_waits_for_the_task_and_going_for_go(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_start(NULL);
	struct buf in cleanup_buf = BUF_INIT;
	char *text cleanup_free = job_text(",\"secrets\":[\"TOKEN\"]", MARK);

	box_until(b, "hello");
	job_add_task(&in, text);
	box_send(b, in.data, in.len);
	box_until(b, "ready");
	buf_reset(&in);
	job_add_secrets(&in, &token, 1);
	box_send(b, in.data, in.len);
	assert_false(box_has_file(b, "ran"));
	buf_reset(&in);
	job_add_go(&in);
	box_send(b, in.data, in.len);
	box_until(b, "going");
	box_wait(b);
	assert_true(box_has_file(b, "ran"));
}

static void input_of_a_job(struct buf *in)
{
	char *text cleanup_free = job_text(",\"secrets\":[\"TOKEN\"]", MARK);

	job_add_task(in, text);
	job_add_secrets(in, &token, 1);
	job_add_go(in);
}

/* guard: runner/input.c waits for go */
static void threat_27_a_cut_anywhere_before_go_runs_nothing(void **state)
{
	(void)state;
	struct buf in cleanup_buf = BUF_INIT;

	input_of_a_job(&in);
	for (size_t len = 0; len < in.len; len++) {
		struct box *b cleanup_box = box_start(NULL);
		box_send(b, in.data, len);
		box_close_in(b);
		assert_nothing_ran(b, "not_started", "input ended before it said go");
	}
	/* The negative control: with the last byte it runs, although the input ends right there. */
	struct box *b cleanup_box = box_start(NULL);
	box_send(b, in.data, in.len);
	box_close_in(b);
	box_wait(b);
	assert_string_equal(box_outcome(b), "succeeded");
	assert_true(box_has_file(b, "ran"));
}

static void input_comes_in_any_pieces(void **state)
{
	(void)state;
	struct buf in cleanup_buf = BUF_INIT;
	struct box *b cleanup_box = box_start(NULL);

	input_of_a_job(&in);
	for (size_t i = 0; i < in.len; i++) {
		box_send(b, in.data + i, 1);
		usleep(100);
	}
	box_wait(b);
	assert_string_equal(box_outcome(b), "succeeded");
}

static void frames_out_of_order_are_refused(void **state)
{
	(void)state;
	static const char go[] = "{\"t\":\"go\",\"claim\":\"x\"}\n";
	static const char secret[] = "{\"t\":\"secret\",\"name\":\"TOKEN\",\"d\":\"MTIzNDU2Nzg=\",\"more\":false}\n";
	static const char end[] = "{\"t\":\"secrets_end\",\"count\":0}\n";
	static const struct {
		bool task;
		const char *then, *words;
	} cases[] = {
	    {false, go, "\"go\" where a piece of the task belongs"},
	    {false, secret, "\"secret\" where a piece of the task belongs"},
	    {false, end, "\"secrets_end\" where a piece of the task belongs"},
	    {false, "{\"t\":\"task\"}\n", "where a piece of the task belongs"},
	    {false, "{\"t\":\"task_end\"}\n", "holds no action and formula"},
	    {false, "{\"t\":\"task\",\"d\":\"[]\"}\n{\"t\":\"task_end\"}\n", "holds no action and formula"},
	    {false, "nonsense\n", "not JSON"},
	    {false, "{\"d\":\"x\"}\n", "\"t\""},
	    {true, go, "\"go\" where a secret belongs"},
	    {true, "{\"t\":\"task_end\"}\n", "\"task_end\" where a secret belongs"},
	    {true, "{\"t\":\"unheard_of\"}\n", "\"unheard_of\" where a secret belongs"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf in cleanup_buf = BUF_INIT;
		char *text cleanup_free = job_text(",\"secrets\":[\"TOKEN\"]", MARK);
		struct box *b cleanup_box = box_start(NULL);
		if (cases[i].task)
			job_add_task(&in, text);
		buf_adds(&in, cases[i].then);
		box_send(b, in.data, in.len);
		assert_nothing_ran(b, "refused", cases[i].words);
	}
}

static void a_second_secrets_end_is_not_go(void **state)
{
	(void)state;
	char *text cleanup_free = job_text("", MARK);
	struct buf in cleanup_buf = BUF_INIT;
	struct box *b cleanup_box = box_start(NULL);

	job_add_task(&in, text);
	job_add_secrets(&in, NULL, 0);
	job_add_secrets(&in, NULL, 0);
	job_add_go(&in);
	box_send(b, in.data, in.len);
	assert_nothing_ran(b, "refused", "\"secrets_end\" where go belongs");
}

static void an_endless_line_is_refused(void **state)
{
	(void)state;
	char line[FRAME_MAX];
	struct box *b cleanup_box = box_start(NULL);

	memset(line, 'x', sizeof(line));
	box_send(b, line, sizeof(line));
	box_send(b, line, sizeof(line));
	assert_nothing_ran(b, "refused", "longer than");
}

static void a_task_too_large_is_refused(void **state)
{
	(void)state;
	char piece[8192];
	struct buf in cleanup_buf = BUF_INIT;
	struct box *b cleanup_box = box_start(NULL);

	memset(piece, 'x', sizeof(piece));
	for (int i = 0; i < 330; i++)
		buf_addf(&in, "{\"t\":\"task\",\"d\":\"%.*s\"}\n", (int)sizeof(piece), piece);
	box_send(b, in.data, in.len);
	assert_nothing_ran(b, "refused", "larger than");
}

#define SECRET(name, d, more) "{\"t\":\"secret\",\"name\":\"" name "\",\"d\":\"" d "\",\"more\":" more "}\n"
#define ONE SECRET("ONE", "b25lLW9uZS1vbmU=", "false")
#define TWO SECRET("TWO", "dHdvLXR3by10d28=", "false")
#define END(count) "{\"t\":\"secrets_end\",\"count\":" count "}\n"

static void wrong_sets_of_secrets_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *frames, *words;
	} cases[] = {
	    {END("0"), "did not send the secret ONE"},
	    {ONE END("1"), "did not send the secret TWO"},
	    {ONE TWO END("1"), "counts other secrets than the 2"},
	    {ONE TWO "{\"t\":\"secrets_end\"}\n", "counts other secrets"},
	    {ONE TWO SECRET("THREE", "dHdvLXR3by10d28=", "false"), "a secret that the action does not name"},
	    {SECRET("../ONE", "dHdvLXR3by10d28=", "false"), "a secret that the action does not name"},
	    {ONE ONE, "the secret ONE twice"},
	    {SECRET("ONE", "b25lLW9uZS1vbmU=", "true") END("2"), "ONE did not come whole"},
	    {SECRET("ONE", "b25lLW9uZS1vbmU=", "true") TWO, "another secret before the end of ONE"},
	    {SECRET("ONE", "b25lLW9uZS1vbmU", "false"), "did not come as base64"},
	    {SECRET("ONE", "b25lLW9uZ!", "false"), "did not come as base64"},
	    {SECRET("ONE", "b25l=", "false"), "did not come as base64"},
	    {SECRET("ONE", "MTIzNDU2Nw==", "false"), "shorter than 8 bytes"},
	    {SECRET("ONE", "", "false"), "shorter than 8 bytes"},
	    {"{\"t\":\"secret\",\"name\":\"ONE\",\"d\":\"b25lLW9uZS1vbmU=\"}\n", "without name, d or more"},
	    {"{\"t\":\"secret\",\"d\":\"b25lLW9uZS1vbmU=\",\"more\":false}\n", "without name, d or more"},
	    {SECRET("ONE", "MTIzNAA1Njc4", "false") TWO END("2"), "ONE holds a NUL byte"},
	};
	char *text cleanup_free = job_text(",\"secrets\":[\"ONE\",\"TWO\"]", MARK);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf in cleanup_buf = BUF_INIT;
		struct box *b cleanup_box = box_start(NULL);
		job_add_task(&in, text);
		buf_adds(&in, cases[i].frames);
		job_add_go(&in);
		box_send(b, in.data, in.len);
		assert_nothing_ran(b, "refused", cases[i].words);
	}
}

static void a_secret_too_large_is_refused(void **state)
{
	(void)state;
	char *value cleanup_free = xmalloc(65538);
	const struct box_secret large = {"TOKEN", value};

	memset(value, 'x', 65537);
	value[65537] = '\0';
	struct box *b cleanup_box = box_run_formula(NULL, ",\"secrets\":[\"TOKEN\"]", MARK, &large, 1);
	assert_nothing_ran(b, "refused", "longer than 65536 bytes");
	value[65536] = '\0';
	struct box *fits cleanup_box = box_run_formula(NULL, ",\"secrets\":[\"TOKEN\"]", MARK, &large, 1);
	assert_string_equal(box_outcome(fits), "succeeded");
}

static void a_secret_named_as_a_variable_of_ours_is_refused(void **state)
{
	(void)state;
	static const char *const names[] = {"PATH", "HOME", "DISINTO_STEP", "INPUT_X"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct box_secret secret = {names[i], "something-long"};
		char *members cleanup_free = xasprintf(",\"secrets\":[\"%s\"]", names[i]);
		struct box *b cleanup_box = box_run_formula(NULL, members, MARK, &secret, 1);
		assert_nothing_ran(b, "refused", "is a variable that every step gets");
		struct box *as_file cleanup_box = box_run_formula(NULL, members, ",\"secrets_as\":\"file\"" MARK, &secret, 1);
		assert_string_equal(box_outcome(as_file), "succeeded");
	}
}

/* No message may hold what came as a secret. */
static void refusals_show_no_value(void **state)
{
	(void)state;
	struct buf in cleanup_buf = BUF_INIT;
	char *text cleanup_free = job_text(",\"secrets\":[\"ONE\"]", MARK);
	struct box *b cleanup_box = box_start(NULL);

	job_add_task(&in, text);
	buf_adds(&in, "{\"t\":\"secret\",\"name\":\"ONE\",\"d\":\"Y2FuYXJ5LWNhbmFyeQ==\", canary-canary\n");
	box_send(b, in.data, in.len);
	assert_nothing_ran(b, "refused", "not JSON");
	assert_null(strstr(box_reason(b), "canary"));
	assert_null(strstr(box_reason(b), "Y2FuYXJ5"));
}

static void action_and_formula_are_checked_again(void **state)
{
	(void)state;
	static const struct {
		const char *action, *formula, *words;
	} cases[] = {
	    {",\"dispatch_mode\":\"x\"", MARK, "vault/actions/job-1.json: "},
	    {",\"timeout_minutes\":0", MARK, "timeout_minutes"},
	    {"", ",\"user\":0" MARK, "vault/formulas/job.yaml: user"},
	    {"", ",\"steps\":[]", "steps: is empty"},
	    {"", ",\"steps\":[{\"id\":\"a\",\"run\":\"true\",\"secrets\":[\"TOKEN\"]}]", "secrets: TOKEN is missing"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box *b cleanup_box = box_run_formula(NULL, cases[i].action, cases[i].formula, &token, 1);
		assert_nothing_ran(b, "refused", cases[i].words);
		assert_kinds(b, "hello report");
	}
}

static void missing_tools_are_named_before_a_secret_is_asked_for(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run_formula(NULL, ",\"tools\":[\"sh\",\"no-such-tool\",\"cat\",\"neither-this\"]", MARK, NULL, 0);
	assert_nothing_ran(b, "refused", "lacks tools that the action names: no-such-tool, neither-this (PATH is /usr/bin:/bin)");
	assert_kinds(b, "hello report");

	struct box *good cleanup_box = box_run_formula(NULL, ",\"tools\":[\"sh\",\"cat\"]", MARK, NULL, 0);
	assert_string_equal(box_outcome(good), "succeeded");

	/* Folders are no tools, and neither is what the user may not run. */
	static const char *const env[] = {"PATH=/:/dev:/usr/lib", "ASAN_OPTIONS=detect_leaks=0", NULL};
	struct box *not_programs cleanup_box =
	    box_run_formula(&(struct box_options){.env = env}, ",\"tools\":[\"usr\",\"null\",\"os-release\"]", MARK, NULL, 0);
	assert_nothing_ran(not_programs, "refused", "usr, null, os-release");
}

static void without_path_there_is_a_usual_one(void **state)
{
	(void)state;
	static const char *const env[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
	struct box *b cleanup_box = box_run_formula(&(struct box_options){.env = env}, ",\"tools\":[\"cat\"]",
	                                            ",\"steps\":[{\"id\":\"a\",\"run\":\"echo $PATH\"}]", NULL, 0);

	assert_string_equal(box_outcome(b), "succeeded");
	assert_string_equal(b->text[0].data, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
}

static void wrong_mounts_are_refused(void **state)
{
	(void)state;
	static const struct {
		struct box_options options;
		const char *words;
	} cases[] = {
	    {{.secrets_volume = true}, "/run/secrets is not empty"},
	    {{.no_secrets_dir = true}, "open /run/secrets"},
	    {{.secrets_mode = "1777,uid=4711"}, "/run/secrets is not root's alone to write"},
	    {{.task_read_only = true}, "/task (a tmpfs of the engine) is not writable for user 10001: Read-only file system"},
	    {{.task = "mode=0755,uid=4711"}, "/task (a tmpfs of the engine) is not writable for user 10001: Permission denied"},
	    {{.tmp = "mode=0755,uid=4711"}, "/tmp (a tmpfs of the engine) is not writable for user 10001"},
	    {{.bare = true}, "the image has no /bin/sh"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box *b cleanup_box = box_run_formula(&cases[i].options, "", MARK, NULL, 0);
		assert_nothing_ran(b, "refused", cases[i].words);
		assert_kinds(b, "hello report");
	}
}

/* As runc leaves them where the image has such folders. guard: set_mode in runner/check.c */
static void modes_are_set_right(void **state)
{
	(void)state;
	const struct box_options options = {.secrets_mode = "1777", .tmp = "mode=0755"};
	struct box *b cleanup_box =
	    box_run_formula(&options, "", ",\"steps\":[{\"id\":\"a\",\"run\":\"stat -c %a /run/secrets /tmp; touch /tmp/x\"}]", NULL, 0);

	assert_string_equal(box_outcome(b), "succeeded");
	assert_string_equal(b->text[0].data, "711\n1777\n");
}

/* guard: the tmpfs that runner/check.c wants */
static void threat_25_secrets_on_a_disk_are_refused(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run_formula(&(struct box_options){.secrets_on_disk = true}, "", MARK, NULL, 0);

	assert_nothing_ran(b, "refused", "/run/secrets is not a tmpfs");
}

static void missing_capabilities_are_named(void **state)
{
	(void)state;
	static const struct {
		uint64_t without;
		const char *words;
	} cases[] = {
	    {UINT64_C(1) << CAP_SETUID, "capabilities SETUID;"},
	    {UINT64_C(1) << CAP_SETGID, "capabilities SETGID;"},
	    {UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_KILL, "capabilities CHOWN, KILL;"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box *b cleanup_box = box_run_formula(&(struct box_options){.without_caps = cases[i].without}, "", MARK, NULL, 0);
		assert_nothing_ran(b, "refused", cases[i].words);
	}
}

/* Outside of a PID namespace its kill(-1) would end the machine's processes. */
static void it_must_be_process_1(void **state)
{
	(void)state;
	const char *given = getenv("DISINTO_RUNNER");
	int out[2], status;
	char text[4096];
	ssize_t n;
	size_t len = 0;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(out[1], 1);
		execl(given ? given : "bin/disinto-runner", "disinto-runner", (char *)NULL);
		_exit(99);
	}
	close(out[1]);
	while ((n = read(out[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 126);
	assert_non_null(strstr(text, "must be process 1 of its container"));
}

static void term_before_go_runs_nothing(void **state)
{
	(void)state;
	char *text cleanup_free = job_text("", MARK);
	struct buf in cleanup_buf = BUF_INIT;
	struct box *b cleanup_box = box_start(NULL);

	job_add_task(&in, text);
	box_send(b, in.data, in.len);
	box_until(b, "ready");
	kill(b->init, SIGTERM);
	assert_nothing_ran(b, "not_started", "stopped before the run began");
}

/* Somebody who can't be told `going` is somebody for whom nothing may happen. */
static void nobody_reading_means_nothing_runs(void **state)
{
	(void)state;
	char *text cleanup_free = job_text("", MARK);
	struct buf in cleanup_buf = BUF_INIT;
	struct box *b cleanup_box = box_start(NULL);

	job_add_task(&in, text);
	job_add_secrets(&in, NULL, 0);
	box_send(b, in.data, in.len);
	box_until(b, "ready");
	box_close_out(b);
	buf_reset(&in);
	job_add_go(&in);
	box_send(b, in.data, in.len);
	box_wait(b);
	assert_int_equal(b->status, 125);
	assert_false(box_has_file(b, "ran"));
}

static void locked_memory_is_not_required(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run_formula(&(struct box_options){.no_memlock = true}, ",\"secrets\":[\"TOKEN\"]", MARK, &token, 1);

	assert_string_equal(box_outcome(b), "succeeded");
}

static void the_sanitizers_find_nothing(void **state)
{
	(void)state;
	const struct box_options o = {.sanitized = true};
	struct box *good cleanup_box = box_run_formula(&o, ",\"secrets\":[\"TOKEN\"]", MARK, &token, 1);
	struct box *bad cleanup_box = box_run_formula(&o, "", ",\"user\":0" MARK, NULL, 0);
	struct box *wrong cleanup_box = box_run_formula(&o, "", MARK, &token, 1);

	assert_string_equal(box_outcome(good), "succeeded");
	assert_nothing_ran(bad, "refused", "user");
	assert_nothing_ran(wrong, "refused", "does not name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(frames_come_in_order),
	    box_test(ready_waits_for_the_task_and_going_for_go),
	    box_test(threat_27_a_cut_anywhere_before_go_runs_nothing),
	    box_test(input_comes_in_any_pieces),
	    box_test(frames_out_of_order_are_refused),
	    box_test(a_second_secrets_end_is_not_go),
	    box_test(an_endless_line_is_refused),
	    box_test(a_task_too_large_is_refused),
	    box_test(wrong_sets_of_secrets_are_refused),
	    box_test(a_secret_too_large_is_refused),
	    box_test(a_secret_named_as_a_variable_of_ours_is_refused),
	    box_test(refusals_show_no_value),
	    box_test(action_and_formula_are_checked_again),
	    box_test(missing_tools_are_named_before_a_secret_is_asked_for),
	    box_test(without_path_there_is_a_usual_one),
	    box_test(wrong_mounts_are_refused),
	    box_test(modes_are_set_right),
	    box_test(threat_25_secrets_on_a_disk_are_refused),
	    box_test(missing_capabilities_are_named),
	    box_test(it_must_be_process_1),
	    box_test(term_before_go_runs_nothing),
	    box_test(nobody_reading_means_nothing_runs),
	    box_test(locked_memory_is_not_required),
	    box_test(the_sanitizers_find_nothing),
	};

	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
