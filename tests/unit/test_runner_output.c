/* What leaves the runner: whole, bounded, valid, without a secret, and never in the way of anything else. */
#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "runner/runner.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

#define MIB ((size_t)1 << 20)
#define CAP (OUTPUT_HEAD + OUTPUT_TAIL)

static void assert_succeeded(struct box *b, bool truncated)
{
	box_wait(b);
	assert_string_equal(box_outcome(b), "succeeded");
	assert_int_equal(b->status, 0);
	assert_int_equal(json_is_true(json_object_get(box_report(b), "truncated")), truncated);
}

static void both_streams_arrive_as_written(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "echo one; echo two >&2; printf 'three\\tno newline'");

	assert_succeeded(b, false);
	assert_string_equal(b->text[0].data, "one\nthree\tno newline");
	assert_string_equal(b->text[1].data, "two\n");
}

/* guard: frame_add_out in vault/frame.c */
static void threat_34_any_byte_comes_as_valid_utf8(void **state)
{
	(void)state;
	/* NUL, escape, an invalid byte, a cut sequence at the end. */
	struct box *b cleanup_box = box_run(NULL, "printf 'a\\000b\\033[31m\\377\\303\\251.\\342\\202'");

	assert_succeeded(b, false);
	static const char expected[] = "a\0b\033[31m\xef\xbf\xbd\xc3\xa9.\xef\xbf\xbd";
	assert_int_equal(b->text[0].len, sizeof(expected) - 1);
	assert_memory_equal(b->text[0].data, expected, sizeof(expected) - 1);
}

static void a_sequence_in_two_writes_is_one_character(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "printf '\\303'; sleep 0.1; echo between >&2; printf '\\251'");

	assert_succeeded(b, false);
	assert_string_equal(b->text[0].data, "\xc3\xa9");
}

static void megabytes_of_bad_bytes_arrive(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "head -c 2000000 /dev/zero; head -c 2000000 /dev/zero | tr '\\0' '\\377' >&2");

	assert_succeeded(b, false);
	assert_int_equal(b->text[0].len, 2000000);
	assert_int_equal(b->text[1].len, 3 * 2000000);
	for (size_t i = 0; i < b->text[0].len; i++)
		assert_int_equal(b->text[0].data[i], 0);
}

/* ---- the cap ---- */

/* Lines of 8 bytes that count, so that each byte tells where it was. */
#define COUNT(from, to) "seq -f %07.0f " #from " " #to

static void output_up_to_the_cap_is_whole(void **state)
{
	(void)state;
	_Static_assert(CAP / 8 == 2097152, "16 MiB of lines");
	struct box *b cleanup_box = box_run(NULL, COUNT(1, 2097152));

	/* The tail keeps whole records, so a little less than all of it may be kept; nothing is lost in silence. */
	box_wait(b);
	assert_string_equal(box_outcome(b), "succeeded");
	assert_true(b->text[0].len >= CAP - 8192);
	struct box *below cleanup_box = box_run(NULL, COUNT(1, 2095000));
	assert_succeeded(below, false);
	assert_int_equal(below->text[0].len, 2095000 * 8);
	for (size_t i = 0; i < 2095000; i++) {
		char line[16];
		snprintf(line, sizeof(line), "%07zu\n", i + 1);
		assert_memory_equal(below->text[0].data + i * 8, line, 8);
	}
}

#define GAP_END " bytes left out ...]\n"

/* guard: the tail in runner/output.c */
static void threat_34_over_the_cap_head_and_tail_are_kept(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, COUNT(1, 5000000));

	assert_succeeded(b, true);
	char *gap = strstr(b->text[0].data, "\n[... ");
	assert_non_null(gap);
	assert_int_equal(gap - b->text[0].data, OUTPUT_HEAD);
	char *words = NULL;
	size_t left_out = strtoul(gap + strlen("\n[... "), &words, 10);
	assert_int_equal(strncmp(words, GAP_END, strlen(GAP_END)), 0);
	size_t tail = b->text[0].len - (size_t)(words + strlen(GAP_END) - b->text[0].data);
	assert_int_equal(OUTPUT_HEAD + left_out + tail, 5000000 * 8);
	assert_true(tail <= OUTPUT_TAIL && tail >= OUTPUT_TAIL - 8192);
	assert_memory_equal(b->text[0].data + b->text[0].len - 16, "4999999\n5000000\n", 16);
	assert_null(strstr(gap + 1, "left out ...]\n[..."));
}

/* guard: as above */
static void threat_34_one_endless_line_is_cut_too(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "head -c 40000000 /dev/zero | tr '\\0' x; echo error >&2; printf END");

	assert_succeeded(b, true);
	assert_true(b->text[0].len < CAP + 64);
	assert_memory_equal(b->text[0].data + b->text[0].len - 3, "END", 3);
	assert_string_equal(b->text[1].data, "error\n");
}

static void later_steps_stand_in_the_tail(void **state)
{
	(void)state;
	char *first cleanup_free = job_step("first", "head -c 17000000 /dev/zero | tr '\\0' x");
	char *second cleanup_free = job_step("second", "echo done; exit 4");
	char *members cleanup_free = xasprintf(",\"steps\":[%s,%s]", first, second);
	struct box *b cleanup_box = box_run_formula(NULL, "", members, NULL, 0);

	box_wait(b);
	assert_int_equal(b->status, 4);
	assert_memory_equal(b->text[0].data + b->text[0].len - 6, "xdone\n", 6);
}

/* Frames of a byte each would make an engine's log many times as large as their text. */
static void tiny_frames_have_a_cap_of_their_own(void **state)
{
	(void)state;
	struct output o __attribute__((cleanup(output_free))) = OUTPUT_INIT;
	struct redactor *none = redactor_new();

	redactor_build(none);
	o.redactor = none;
	output_start_step(&o);
	for (int i = 0; i < 1000000; i++)
		output_add(&o, STREAM_OUT, "x", 1);
	output_end_step(&o);
	assert_true(o.head < 600000);
	assert_true(o.head_cost < OUTPUT_HEAD_COST + FRAME_MAX);
	assert_true(o.pending.len + o.head * OUTPUT_FRAME_COST < OUTPUT_HEAD_COST + FRAME_MAX);
	redactor_free(none);
}

/* ---- secrets ---- */

static const struct box_secret canary = {"CANARY", "canary-0123456789-value"};
#define WITH_CANARY ",\"secrets\":[\"CANARY\"]"

/* Neither in a frame nor, split over several, in the text that a reader puts together. */
static void assert_no_canary(const struct box *b)
{
	size_t i;
	const json_t *frame;

	json_array_foreach (b->frames, i, frame) {
		char *text cleanup_free = json_dumps(frame, JSON_COMPACT);
		assert_null(strstr(text, canary.value));
	}
	for (int s = 0; s < 2; s++)
		assert_null(memmem(b->text[s].data, b->text[s].len, canary.value, strlen(canary.value)));
}

static struct box *run_with_canary(const struct box_options *o, const char *script)
{
	char *step cleanup_free = job_step("only", script);
	char *members cleanup_free = xasprintf(",\"steps\":[%s]", step);
	return box_run_formula(o, WITH_CANARY, members, &canary, 1);
}

/* guard: a stream for each of the two outputs in runner/output.c */
static void threat_31_secrets_are_redacted_in_any_chunks(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    run_with_canary(NULL, "echo \"<$CANARY>\"; echo \"<$CANARY>\" >&2\n"
	                          "a=${CANARY%89-value}; b=${CANARY#$a}\n"
	                          "printf %s \"<$a\"; sleep 0.1; printf %s \"<$a\" >&2; sleep 0.1; echo \"$b>\"; echo \"$b>\" >&2\n"
	                          "for c in $(echo $CANARY | sed 's/./& /g'); do printf %s $c; sleep 0.01; done");

	assert_succeeded(b, false);
	assert_no_canary(b);
	assert_string_equal(b->text[0].data, "<[redacted:CANARY]>\n<[redacted:CANARY]>\n[redacted:CANARY]");
	assert_string_equal(b->text[1].data, "<[redacted:CANARY]>\n<[redacted:CANARY]>\n");
}

static void secrets_across_the_cap_are_redacted(void **state)
{
	(void)state;
	/* Every place at which head or tail may begin or end falls into one. */
	struct box *b cleanup_box = run_with_canary(NULL, "yes \"$CANARY\" | head -c 40000000; yes \"$CANARY\" | head -c 1000000 >&2");

	assert_succeeded(b, true);
	assert_no_canary(b);
}

/* What is held back when a step is killed: the beginning of a secret is masked, and what is too short for one is not lost. guard: redact_end, called by runner/output.c */
static void threat_31_an_unfinished_secret_at_the_end_is_masked_or_harmless(void **state)
{
	(void)state;
	static const struct {
		const char *script, *shown;
	} cases[] = {{"printf %s \"end ${CANARY%e}\"; kill -KILL $$", "end [redacted:CANARY]"},
	             {"printf %s \"end ${CANARY%-01*}\"; kill -KILL $$", "end canary"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box *b cleanup_box = run_with_canary(NULL, cases[i].script);
		box_wait(b);
		assert_string_equal(box_outcome(b), "failed");
		assert_string_equal(b->text[0].data, cases[i].shown);
	}
}

/* Names that a formula chose may be a secret's value. guard: the report is redacted in runner/output.c */
static void threat_31_secrets_in_names_and_reasons_are_redacted(void **state)
{
	(void)state;
	char *step cleanup_free = job_step(canary.value, "exit 3");
	char *members cleanup_free = xasprintf(",\"steps\":[%s]", step);
	struct box *b cleanup_box = box_run_formula(NULL, WITH_CANARY, members, &canary, 1);

	box_wait(b);
	assert_no_canary(b);
	assert_string_equal(box_reason(b), "step [redacted:CANARY] exited with 3");
}

/* ---- a reader that is slow, or gone ---- */

/* Waits until the step has put a file there. */
static void await_file(const struct box *b, const char *name)
{
	while (!box_has_file(b, name))
		poll(NULL, 0, 5);
}

static struct box *go_script(const struct box_options *o, const char *script)
{
	char *step cleanup_free = job_step("only", script);
	char *members cleanup_free = xasprintf(",\"grace_seconds\":0,\"steps\":[%s]", step);
	return box_go(o, "", members, NULL, 0);
}

static void a_slow_reader_gets_everything(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_script(NULL, "touch /shared/begun; " COUNT(1, 1000000) "; touch /shared/done");

	await_file(b, "begun");
	poll(NULL, 0, 300);
	/* The step waits for us, since what is kept is bounded. */
	assert_false(box_has_file(b, "done"));
	assert_succeeded(b, false);
	assert_int_equal(b->text[0].len, 8000000);
	assert_memory_equal(b->text[0].data + 8000000 - 8, "1000000\n", 8);
}

/* Standard output stands still: TERM works all the same, and in the end the runner goes without having been read. */
static void a_stalled_reader_stops_no_signal(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    go_script(NULL, "trap 'touch /shared/heard' TERM; yes >/dev/null & touch /shared/begun; yes || :; " COUNT(1, 10));
	int64_t before = now_mono_ms();

	await_file(b, "begun");
	poll(NULL, 0, 100);
	kill(b->init, SIGTERM);
	struct pollfd p = {.fd = b->status_fd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 120000), 1);
	assert_true(now_mono_ms() - before >= 5000);
	box_close_out(b);
	box_wait(b);
	assert_int_equal(b->status, 130);
}

static void a_reader_that_is_gone_does_not_end_the_run(void **state)
{
	(void)state;
	struct box *b cleanup_box = go_script(NULL, "touch /shared/begun; " COUNT(1, 1000000) "; touch /shared/done; exit 6");

	await_file(b, "begun");
	box_close_out(b);
	box_wait(b);
	assert_int_equal(b->status, 6);
	assert_true(box_has_file(b, "done"));
}

/* ---- memory ---- */

static long kilobytes(pid_t pid, const char *key)
{
	char path[64];
	struct buf text cleanup_buf = BUF_INIT;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	assert_int_equal(file_read(path, 65536, &text, NULL), 0);
	const char *line = strstr(text.data, key);
	assert_non_null(line);
	return strtol(line + strlen(key), NULL, 10);
}

/* guard: tail_trim, and output_has_room before each read; runner/output.c and steps.c */
static void threat_34_a_gigabyte_takes_no_memory(void **state)
{
	(void)state;
	char *step cleanup_free = job_step("only", "head -c 1073741824 /dev/zero; touch /shared/done; sleep 1000");
	char *members cleanup_free = xasprintf(",\"grace_seconds\":0,\"steps\":[%s]", step);
	struct box *b cleanup_box = box_go(NULL, WITH_CANARY, members, &canary, 1);
	int waited = 0;

	/* What came is thrown away at once: this is about the runner's memory, not ours. */
	while (!box_has_file(b, "done") || waited++ < 3) {
		char piece[65536];
		struct pollfd p = {.fd = b->out, .events = POLLIN};
		if (poll(&p, 1, 50) > 0)
			assert_true(read(b->out, piece, sizeof(piece)) > 0);
	}
	long peak = kilobytes(b->init, "VmHWM:");
	print_message("# peak of the runner while a step wrote 1 GB: %ld KB\n", peak);
	assert_true(peak < 4096);
	assert_true(peak > 1000); /* it was measured */
}

static void the_sanitizers_find_nothing(void **state)
{
	(void)state;
	struct box *b cleanup_box = run_with_canary(&(struct box_options){.sanitized = true},
	                                            "yes \"$CANARY\" | head -c 30000000; printf '\\342\\202'; printf '\\377' >&2");

	assert_succeeded(b, true);
	assert_no_canary(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(both_streams_arrive_as_written),
	    box_test(threat_34_any_byte_comes_as_valid_utf8),
	    box_test(a_sequence_in_two_writes_is_one_character),
	    box_test(megabytes_of_bad_bytes_arrive),
	    box_test(output_up_to_the_cap_is_whole),
	    box_test(threat_34_over_the_cap_head_and_tail_are_kept),
	    box_test(threat_34_one_endless_line_is_cut_too),
	    box_test(later_steps_stand_in_the_tail),
	    box_test(tiny_frames_have_a_cap_of_their_own),
	    box_test(threat_31_secrets_are_redacted_in_any_chunks),
	    box_test(secrets_across_the_cap_are_redacted),
	    box_test(threat_31_an_unfinished_secret_at_the_end_is_masked_or_harmless),
	    box_test(threat_31_secrets_in_names_and_reasons_are_redacted),
	    box_test(a_slow_reader_gets_everything),
	    box_test(a_stalled_reader_stops_no_signal),
	    box_test(a_reader_that_is_gone_does_not_end_the_run),
	    box_test(threat_34_a_gigabyte_takes_no_memory),
	    box_test(the_sanitizers_find_nothing),
	};

	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
