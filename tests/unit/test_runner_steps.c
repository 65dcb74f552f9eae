/* The runner from GO on: steps as processes, their secrets, their ends. */
#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

#define FOREVER "while :; do sleep 1000; done"

/* The shell's words for: print how many processes of the step's user there are besides this shell; zombies in brackets too. */
#define COUNT_OTHERS \
	"n=0; for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || ! [ -e /proc/$p ] || n=$((n + 1)); done; echo " \
	"others=$n\n"

static char *steps_of(size_t n, const char *const scripts[])
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		char id[24];
		snprintf(id, sizeof(id), "s%zu", i + 1);
		char *step cleanup_free = job_step(id, scripts[i]);
		buf_addf(&b, "%s%s", i ? "," : ",\"steps\":[", step);
	}
	buf_addc(&b, ']');
	return buf_steal(&b);
}

static char *with_grace(int seconds, const char *script)
{
	char *step cleanup_free = job_step("only", script);
	return xasprintf(",\"grace_seconds\":%d,\"steps\":[%s]", seconds, step);
}

static struct box *go_and_wait(const struct box_options *o, int grace, const char *script)
{
	char *formula cleanup_free = with_grace(grace, script);
	struct box *b = box_go(o, "", formula, NULL, 0);
	box_until_text(b, 0, "here");
	return b;
}

static void assert_end(struct box *b, const char *outcome, int code, const char *reason)
{
	box_wait(b);
	assert_string_equal(box_outcome(b), outcome);
	assert_int_equal(json_integer_value(json_object_get(box_report(b), "exit_code")), code);
	assert_int_equal(b->status, code);
	assert_string_equal(box_reason(b), reason);
}

/* The n-th frame that says that a step ended. */
static const json_t *step_end(const struct box *b, size_t n)
{
	size_t i;
	const json_t *frame;

	json_array_foreach (b->frames, i, frame) {
		const char *state = json_string_value(json_object_get(frame, "state"));
		if (state && strcmp(state, "end") == 0 && n-- == 0)
			return frame;
	}
	return NULL;
}

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

/* The part of a process's memory that has this name, or nothing. */
static void read_mapping(pid_t pid, const char *name, struct buf *ret)
{
	char path[64], line[512];
	unsigned long from, to;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "re");
	assert_non_null(maps);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	int fd cleanup_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, name) && sscanf(line, "%lx-%lx", &from, &to) == 2) {
			ssize_t n = pread(fd, buf_room(ret, to - from), to - from, (off_t)from);
			buf_grew(ret, n > 0 ? (size_t)n : 0);
		}
	fclose(maps);
}

static bool holds(const struct buf *memory, const char *text)
{
	return memmem(memory->data, memory->len, text, strlen(text)) != NULL;
}

/*
 * A part of a value, 36 bytes and a NUL, that is like no other: a multiple of 3, so that it is a whole piece of base64, and larger than what
 * compilers leave on the stack of what they had in a register.
 */
static void add_unit(char *to, size_t i)
{
	snprintf(to, 37, "s3cr3t-%05zu.of-a-rather-long-value;", i);
}

/*
 * Values came through the frame reader and jansson, and are kept in memory of their own. guard: wipe_and_free in runner/main.c, frame_wipe in
 * vault/frame.c, sodium_memzero in runner/input.c
 */
static void threat_24_no_copy_of_a_secret_in_the_heap(void **state)
{
	(void)state;
	enum { UNITS = 600, UNIT = 36 };
	char *value cleanup_free = xcalloc(UNITS, UNIT + 1);
	for (size_t i = 0; i < UNITS; i++)
		add_unit(value + i * UNIT, i);
	const struct box_secret token = {"TOKEN", value};
	struct buf heap cleanup_buf = BUF_INIT, stack cleanup_buf = BUF_INIT;
	char *steps cleanup_free = steps_of(1, (const char *const[]){"echo here; " FOREVER});
	struct box *b cleanup_box =
	    box_go(NULL, ",\"secrets\":[\"TOKEN\"],\"inputs\":{\"witness\":\"this-is-in-the-heap\"}", steps, &token, 1);

	box_until_text(b, 0, "here");
	read_mapping(b->init, "[heap]", &heap);
	read_mapping(b->init, "[stack]", &stack);
	assert_true(holds(&heap, "this-is-in-the-heap")); /* it was the right memory */
	assert_true(stack.len > 0);
	for (size_t i = 0; i < UNITS; i++) {
		char unit[UNIT + 1], base64[UNIT / 3 * 4 + 1];
		add_unit(unit, i);
		sodium_bin2base64(base64, sizeof(base64), (unsigned char *)unit, UNIT, sodium_base64_VARIANT_ORIGINAL);
		if (holds(&heap, unit) || holds(&heap, base64))
			fail_msg("the heap holds %s or %s", unit, base64);
		if (holds(&stack, unit) || holds(&stack, base64))
			fail_msg("the stack holds %s or %s", unit, base64);
	}
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

/* ---- secrets ---- */

static const struct box_secret three[] = {{"AAA", "aaaa-first-aaaa"}, {"BBB", "bbbb-second-bbbb"}, {"CCC", "cccc-third-cccc"}};
#define THREE ",\"secrets\":[\"AAA\",\"BBB\",\"CCC\"]"
/* A secret's text shows as its redaction, which tells that it was there. */
#define SHOW "for n in AAA BBB CCC; do eval \"echo env $n=\\${$n-none}\"; cat /run/secrets/$n 2>/dev/null || echo no file $n; echo; done\n"

static void secrets_are_files_and_variables(void **state)
{
	(void)state;
	char *steps cleanup_free =
	    steps_of(1, (const char *const[]){
	                    "stat -c '%a %u %g %s %n' /run/secrets/AAA /run/secrets/BBB\n"
	                    "[ \"$AAA\" = \"$(cat /run/secrets/AAA)\" ] && echo same\n"
	                    "printf %s \"$BBB\" | cmp - /run/secrets/BBB && echo same to the byte\n"
	                    "touch /run/secrets/X 2>/dev/null || echo no new files; ls /run/secrets 2>/dev/null || echo no list\n"});
	struct box *b cleanup_box = box_run_formula(NULL, THREE, steps, three, 3);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "400 10001 10001 15 /run/secrets/AAA\n400 10001 10001 16 /run/secrets/BBB\n"
	                                     "same\nsame to the byte\nno new files\nno list\n");
}

static void secrets_as_says_how(void **state)
{
	(void)state;
	static const struct {
		const char *as, *expected;
	} cases[] = {
	    {"file", "env AAA=none\n[redacted:AAA]\nenv BBB=none\n[redacted:BBB]\nenv CCC=none\n[redacted:CCC]\n"},
	    {"env",
	     "env AAA=[redacted:AAA]\nno file AAA\n\nenv BBB=[redacted:BBB]\nno file BBB\n\nenv CCC=[redacted:CCC]\nno file CCC\n\n"},
	    {"both",
	     "env AAA=[redacted:AAA]\n[redacted:AAA]\nenv BBB=[redacted:BBB]\n[redacted:BBB]\nenv CCC=[redacted:CCC]\n[redacted:CCC]\n"},
	};

	for (size_t i = 0; i < 3; i++) {
		char *step cleanup_free = job_step("only", SHOW);
		char *members cleanup_free = xasprintf(",\"secrets_as\":\"%s\",\"steps\":[%s]", cases[i].as, step);
		struct box *b cleanup_box = box_run_formula(NULL, THREE, members, three, 3);
		assert_end(b, "succeeded", 0, "none");
		assert_string_equal(b->text[0].data, cases[i].expected);
	}
}

static char *step_listing(const char *id, const char *script, const char *secrets)
{
	char *step cleanup_free = job_step(id, script);
	return xasprintf("%.*s,\"secrets\":%s}", (int)strlen(step) - 1, step, secrets);
}

/* Also a file that is there for one step is gone for the next, and back for the one after. */
static void a_step_sees_what_it_lists(void **state)
{
	(void)state;
	char *all cleanup_free = job_step("all", SHOW);
	char *one cleanup_free = step_listing("one", SHOW, "[\"BBB\"]");
	char *none cleanup_free = step_listing("none", SHOW, "[]");
	char *again cleanup_free = step_listing("again", SHOW, "[]");
	char *members cleanup_free = xasprintf(",\"steps\":[%s,%s,%s,%s]", one, none, all, again);
	struct box *b cleanup_box = box_run_formula(NULL, THREE, members, three, 3);
	static const char without[] = "env AAA=none\nno file AAA\n\nenv BBB=none\nno file BBB\n\nenv CCC=none\nno file CCC\n\n";
	char *expected cleanup_free = xasprintf(
	    "env AAA=none\nno file AAA\n\nenv BBB=[redacted:BBB]\n[redacted:BBB]\nenv CCC=none\nno file CCC\n\n"
	    "%s"
	    "env AAA=[redacted:AAA]\n[redacted:AAA]\nenv BBB=[redacted:BBB]\n[redacted:BBB]\nenv CCC=[redacted:CCC]\n[redacted:CCC]\n"
	    "%s",
	    without, without);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, expected);
}

/* Its owner may change the file; the next step finds the secret. */
static void a_changed_secret_file_is_made_anew(void **state)
{
	(void)state;
	static const char *const scripts[] = {"chmod 600 /run/secrets/AAA; echo other >/run/secrets/AAA; cat /run/secrets/AAA",
	                                      "stat -c %a /run/secrets/AAA; cat /run/secrets/AAA"};
	char *steps cleanup_free = steps_of(2, scripts);
	struct box *b cleanup_box = box_run_formula(NULL, THREE, steps, three, 3);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "other\n400\n[redacted:AAA]");
}

/* ---- what steps leave behind ---- */

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

/* ---- the ends that come from outside ---- */

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
	const struct box_options o = {.sanitized = true};
	char *listing cleanup_free = step_listing("one", SHOW, "[\"BBB\"]");
	char *all cleanup_free = job_step("two", SHOW "sleep 1000 & exit 3");
	char *members cleanup_free = xasprintf(",\"steps\":[%s,%s]", listing, all);
	struct box *b cleanup_box = box_run_formula(&o, THREE, members, three, 3);
	assert_end(b, "failed", 3, "step two exited with 3");
	assert_string_equal(b->text[1].data, "");

	struct box *stopped cleanup_box = go_and_wait(&o, 1, "trap '' TERM; echo here; " FOREVER);
	kill(stopped->init, SIGTERM);
	assert_end(stopped, "cancelled", 130, TOLD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(exit_codes_are_the_steps),
	    box_test(signals_are_128_and_their_number),
	    box_test(any_signal_is_told_from_an_exit_code),
	    box_test(threat_35_a_stopped_daemon_is_swept_up),
	    box_test(a_step_may_close_its_input),
	    box_test(the_shell_stops_at_the_first_error),
	    box_test(the_first_failing_step_ends_the_run),
	    box_test(steps_share_their_home),
	    box_test(any_shell_will_do),
	    box_test(threat_21_the_environment_is_exactly_this),
	    box_test(a_step_has_no_power),
	    box_test(threat_26_steps_do_not_reach_process_1),
	    box_test(threat_26_nobody_of_its_kind_reads_process_1),
	    box_test(threat_24_no_copy_of_a_secret_in_the_heap),
	    box_test(a_step_forges_no_frame),
	    box_test(secrets_are_files_and_variables),
	    box_test(secrets_as_says_how),
	    box_test(a_step_sees_what_it_lists),
	    box_test(a_changed_secret_file_is_made_anew),
	    box_test(threat_35_a_daemon_that_holds_the_pipes_dies_with_its_step),
	    box_test(what_runs_from_the_broom_is_swept_up),
	    box_test(threat_35_ten_thousand_orphans_are_reaped),
	    box_test(many_living_orphans_are_killed_at_once),
	    box_test(output_of_the_dying_is_not_lost),
	    box_test(a_step_may_close_its_output),
	    box_test(a_failing_start_is_said),
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
