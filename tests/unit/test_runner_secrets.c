/* A run's secrets: who sees them, in which form, and that the runner keeps no copy. */
#include "tests/unit/steps_box.h"

#include "lib/file.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <unistd.h>

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
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(threat_24_no_copy_of_a_secret_in_the_heap),
	    box_test(secrets_are_files_and_variables),
	    box_test(secrets_as_says_how),
	    box_test(a_step_sees_what_it_lists),
	    box_test(a_changed_secret_file_is_made_anew),
	    box_test(the_sanitizers_find_nothing),
	};

	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
