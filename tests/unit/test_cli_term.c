#include "cli/cli.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>

#include <cmocka.h>

static const struct {
	const char *in, *out;
} texts[] = {
    {"plain\ttext\n", "plain\ttext\n"},
    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3"},
    {"\033[31mred\007", "\\x1b[31mred\\x07"},
    {"del \x7f", "del \\x7f"},
    {"csi \xc2\x9b", "csi \\u009b"},
    {"bidi \xe2\x80\xae", "bidi \\u202e"},
    {"bom \xef\xbb\xbf", "bom \\ufeff"},
    {"tag \xf3\xa0\x80\x81", "tag \\ue0001"},
    {"line\r\n", "line\n"},
    {"over\rwrite", "over\\rwrite"},
    {"end\r", "end\\r"},
    {"\r\r\n", "\\r\n"},
    {"bad \xff byte", "bad \\xff byte"},
    {"cut \xe2\x82", "cut \\xe2\\x82"},
    {"cut \xe2\x82 here", "cut \\xe2\\x82 here"},
    {"cut \xe2\x82\xc3\xbc", "cut \\xe2\\x82\xc3\xbc"},
    {"overlong \xc0\xaf", "overlong \\xc0\\xaf"},
    {"surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80"},
    {"", ""},
};

static void text_is_made_safe(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		cleanup_free char *safe = safe_text(texts[i].in);

		assert_string_equal(safe, texts[i].out);
	}
	cleanup_free char *none = safe_text(NULL);
	assert_string_equal(none, "");
}

static void chunks_make_no_difference(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		for (size_t cut = 0; cut <= strlen(texts[i].in); cut++) {
			cleanup_buf struct buf out = BUF_INIT;
			struct safe_stream s = {.n_held = 0};

			safe_feed(&s, texts[i].in, cut, &out);
			safe_feed(&s, texts[i].in + cut, strlen(texts[i].in) - cut, &out);
			safe_end(&s, &out);
			assert_string_equal(out.data, texts[i].out);
		}
}

static void a_nul_is_shown(void **state)
{
	cleanup_buf struct buf out = BUF_INIT;
	struct safe_stream s = {.n_held = 0};

	(void)state;
	safe_feed(&s, "a\0b", 3, &out);
	safe_end(&s, &out);
	assert_string_equal(out.data, "a\\x00b");
}

static const char *const headers[] = {"ID", "STATE", "REASON", NULL};

static void table(size_t width, const char *const *cells, const char *expected)
{
	cleanup_table struct table t;
	cleanup_buf struct buf out = BUF_INIT;

	table_init(&t, headers);
	for (; *cells; cells += 3)
		table_add(&t, cells);
	table_format(&t, width, &out);
	assert_string_equal(out.data, expected);
}

static void tables_are_aligned(void **state)
{
	static const char *const cells[] = {"a", "waiting", "for a slot", "longer-id", "running", "", "\xc3\xbc", "x", "y", NULL};

	(void)state;
	table(0, cells,
	      "ID         STATE    REASON\n"
	      "a          waiting  for a slot\n"
	      "longer-id  running  \n"
	      "\xc3\xbc          x        y\n");
}

static void tables_fit(void **state)
{
	static const char *const cells[] = {"a", "b", "0123456789 abcdefghij \xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", NULL};

	(void)state;
	/* 4 + 7 columns in front, so that 20 are left of 31. */
	table(31, cells,
	      "ID  STATE  REASON\n"
	      "a   b      0123456789 abcdefgh\xe2\x80\xa6\n");
	/* The last column is never cut below 12. */
	table(5, cells,
	      "ID  STATE  REASON\n"
	      "a   b      0123456789 \xe2\x80\xa6\n");
	/* 28 columns of text, a wide character is two of them. */
	table(39, cells,
	      "ID  STATE  REASON\n"
	      "a   b      0123456789 abcdefghij \xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\n");
	table(37, cells,
	      "ID  STATE  REASON\n"
	      "a   b      0123456789 abcdefghij \xe4\xb8\xad\xe2\x80\xa6\n");
}

static void cells_stay_on_their_line(void **state)
{
	cleanup_table struct table t;
	cleanup_buf struct buf out = BUF_INIT;

	(void)state;
	table_init(&t, headers);
	table_add(&t, (const char *const[]){"a\nb", NULL, "\033[2J"});
	table_format(&t, 0, &out);
	assert_string_equal(out.data, "ID   STATE  REASON\n"
	                              "a b  -      \\x1b[2J\n");
}

/* Where even a cut last column does not fit: what says nothing goes, then the widest gives way. */
static void what_is_too_wide_is_cut_sensibly(void **state)
{
	static const char *const wide[] = {"ID", "STATE", "STEP", "FORMULA", "REASON", NULL};
	static const char *const row[] = {"an-id-of-20-columns-",     "running", NULL, "a-formula-of-30-columns-or-so",
	                                  "because of this and that", NULL};
	static const struct {
		size_t width;
		const char *second;
	} known[] = {
	    {0, "an-id-of-20-columns-  running  -     a-formula-of-30-columns-or-so  because of this and that\n"},
	    {86, "an-id-of-20-columns-  running  a-formula-of-30-columns-or-so  because of this and that\n"},
	    {80, "an-id-of-20-columns-  running  a-formula-of-30-columns-or-so  because of this a\xe2\x80\xa6\n"},
	    {60, "an-id-of-20-columns-  running  a-formula-of-3\xe2\x80\xa6  because of \xe2\x80\xa6\n"},
	    {50, "an-id-of-20-colum\xe2\x80\xa6  running  a-form\xe2\x80\xa6  because of \xe2\x80\xa6\n"},
	    {5, "an-id-\xe2\x80\xa6  running  a-form\xe2\x80\xa6  because of \xe2\x80\xa6\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		cleanup_table struct table t;
		cleanup_buf struct buf out = BUF_INIT;

		table_init(&t, wide);
		table_add(&t, row);
		table_format(&t, known[i].width, &out);
		assert_string_equal(strchr(out.data, '\n') + 1, known[i].second);
	}
}

static const char *const hostile[] = {
    "\033[2J\033]0;taken\007",
    "\x9b[31m",
    "\xc2\x9b[31mcsi",
    "right \xe2\x80\xae to left \xe2\x81\xa6 isolate",
    "over\rwritten\x08\x08",
    "two\nlines\x0b\x0c and \xe2\x80\xa8 more",
    "\xff\xfe not UTF-8 \xe4\xb8",
    "wide \xe4\xb8\xad\xe4\xb8\xad\xf0\x9f\x90\xb3 and combining e\xcc\x81\xcc\x81\xcc\x81",
    "zero\xe2\x80\x8bwidth\xe2\x80\x8d\xef\xbb\xbf",
    "<script>alert(1)</script>",
};

static void assert_harmless(const char *text, size_t len)
{
	mbstate_t decoder = {0};

	for (size_t at = 0; at < len;) {
		wchar_t c = 0;
		size_t n = mbrtowc(&c, text + at, len - at, &decoder);

		assert_true(n > 0 && n <= 4);
		assert_true(c >= 0x20 || c == '\n');
		assert_false(c >= 0x7f && c < 0xa0);
		assert_false((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff);
		at += n;
	}
}

/* Whatever stands in ids, steps and reasons: a row is one line, no wider than the terminal, and holds nothing that a terminal obeys. */
static void test_threat_49_tables_on_a_terminal(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++)
		for (size_t width = 40; width < 100; width += 7) {
			cleanup_table struct table t;
			cleanup_buf struct buf out = BUF_INIT;
			size_t lines = 0;

			table_init(&t, headers);
			table_add(&t, (const char *const[]){hostile[i], hostile[i], hostile[i]});
			table_add(&t, (const char *const[]){"plain", "running", "-"});
			table_format(&t, width, &out);
			assert_harmless(out.data, out.len);
			for (const char *line = out.data; *line; line += strcspn(line, "\n") + 1, lines++) {
				wchar_t wide[512];
				cleanup_free char *one = xasprintf("%.*s", (int)strcspn(line, "\n"), line);
				size_t n = mbstowcs(wide, one, 512);

				assert_true(n < 512);
				assert_in_range(wcswidth(wide, n), 0, width);
			}
			assert_int_equal(lines, 3);
		}
}

/* The other ways to a terminal: pairs, whose further lines can't be taken for other pairs, and logs. */
static void test_threat_49_pairs_and_logs_on_a_terminal(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
		char *text = NULL;
		size_t len = 0;
		FILE *to = open_memstream(&text, &len);
		cleanup_buf struct buf log = BUF_INIT;
		struct safe_stream s = {.n_held = 0};

		assert_non_null(to);
		print_pair(to, "reason", hostile[i]);
		fclose(to);
		assert_harmless(text, len);
		for (const char *line = strchr(text, '\n') + 1; *line; line += strcspn(line, "\n") + 1)
			assert_memory_equal(line, "              ", 14);
		free(text);
		safe_feed(&s, hostile[i], strlen(hostile[i]), &log);
		safe_end(&s, &log);
		assert_harmless(log.data, log.len);
	}
}

/* JSON says the same after it was made safe. */
static void test_threat_49_json_on_a_terminal(void **state)
{
	static const char tag[] = "tag \xf3\xa0\x80\x81 del \x7f";

	(void)state;
	for (size_t i = 0; i <= sizeof(hostile) / sizeof(*hostile); i++) {
		const char *text = i < sizeof(hostile) / sizeof(*hostile) ? hostile[i] : tag;
		cleanup_json json_t *value = json_pack("{s:s*}", "key", text);
		cleanup_free char *plain = value ? json_pretty(value) : NULL;

		/* jansson takes no text that is not UTF-8. */
		if (!plain)
			continue;
		cleanup_free char *safe = json_safe(plain);
		cleanup_json json_t *back = json_loads(safe, 0, NULL);

		assert_harmless(safe, strlen(safe));
		assert_null(strstr(safe, "\xf3\xa0"));
		assert_non_null(back);
		assert_true(json_equal(value, back));
	}
}

static void durations(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} known[] = {{-1, "0 ms"},
	             {0, "0 ms"},
	             {999, "999 ms"},
	             {1000, "1.0 s"},
	             {59999, "59.9 s"},
	             {60000, "1 min 00 s"},
	             {3599999, "59 min 59 s"},
	             {3600000, "1 h 00 min"},
	             {90061000, "25 h 01 min"}};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_string_equal(duration_text(known[i].ms, buf), known[i].text);
}

static void ages(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} known[] = {{-5, "in the future"}, {0, "0 s ago"},    {119, "119 s ago"},   {120, "2 min ago"},
	             {7199, "119 min ago"}, {7200, "2 h ago"}, {172799, "47 h ago"}, {172800, "2 days ago"}};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_string_equal(ago(1000000000000, 1000000000000 + known[i].seconds * 1000, buf), known[i].text);
	assert_string_equal(ago(0, 1000, buf), "-");
}

static void a_log_is_copied_once(void **state)
{
	struct follow f = {.fd = memfd_create("log", 0)};
	char got[32];

	(void)state;
	follow_data("one\ntwo\n", 8, &f);
	/* Followed again from the first byte, in other chunks. */
	f.skip = f.written;
	follow_data("one\n", 4, &f);
	follow_data("two\nthr", 7, &f);
	follow_data("ee\n", 3, &f);
	follow_end(&f);
	assert_int_equal(pread(f.fd, got, sizeof(got), 0), 14);
	assert_memory_equal(got, "one\ntwo\nthree\n", 14);
	close(f.fd);
}

static void exit_codes_of_run(void **state)
{
	static const struct {
		const char *result;
		int code;
	} known[] = {
	    {"{\"outcome\": \"succeeded\", \"exit_code\": 0}", 0},
	    {"{\"outcome\": \"failed\", \"exit_code\": 1}", 1},
	    {"{\"outcome\": \"failed\", \"exit_code\": 122}", 122},
	    {"{\"outcome\": \"failed\", \"exit_code\": 123}", 123},
	    {"{\"outcome\": \"failed\", \"exit_code\": 255}", 123},
	    {"{\"outcome\": \"failed\", \"exit_code\": null}", 125},
	    {"{\"outcome\": \"failed\", \"exit_code\": 0}", 125},
	    {"{\"outcome\": \"timed_out\", \"exit_code\": 124}", 124},
	    {"{\"outcome\": \"cancelled\", \"exit_code\": 130}", 130},
	    {"{\"outcome\": \"refused\", \"exit_code\": null}", 126},
	    {"{\"outcome\": \"lost\", \"exit_code\": null}", 125},
	    {"{\"outcome\": \"else\", \"exit_code\": 0}", 125},
	    {"{\"exit_code\": 0}", 125},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		cleanup_json json_t *result = json_loads(known[i].result, 0, NULL);

		assert_int_equal(run_exit_code(result), known[i].code);
	}
	assert_int_equal(run_exit_code(NULL), 125);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_made_safe),
	    cmocka_unit_test(chunks_make_no_difference),
	    cmocka_unit_test(a_nul_is_shown),
	    cmocka_unit_test(tables_are_aligned),
	    cmocka_unit_test(tables_fit),
	    cmocka_unit_test(cells_stay_on_their_line),
	    cmocka_unit_test(what_is_too_wide_is_cut_sensibly),
	    cmocka_unit_test(test_threat_49_tables_on_a_terminal),
	    cmocka_unit_test(test_threat_49_pairs_and_logs_on_a_terminal),
	    cmocka_unit_test(test_threat_49_json_on_a_terminal),
	    cmocka_unit_test(durations),
	    cmocka_unit_test(ages),
	    cmocka_unit_test(a_log_is_copied_once),
	    cmocka_unit_test(exit_codes_of_run),
	};

	term_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
