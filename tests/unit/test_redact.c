/* Redaction: fixed cases with exact output, and every chunking against a naive oracle. THREATS 29, 31. */
#include "vault/redact/redact.h"

#include "tests/redact_oracle.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MAX_SECRETS 8

struct set {
	struct oracle_secret v[MAX_SECRETS];
	size_t n;
};

static struct redactor *compile(const struct set *set)
{
	struct redactor *r = redactor_new();
	for (size_t i = 0; i < set->n; i++)
		redactor_add(r, set->v[i].name, set->v[i].value, set->v[i].len);
	redactor_build(r);
	return r;
}

static void add(struct set *set, const char *name, const char *value)
{
	set->v[set->n++] = (struct oracle_secret){name, (const unsigned char *)value, strlen(value)};
}

/* Redacts with the stream cut at each of `cuts` (ascending). */
static char *redact_cut(const struct redactor *r, const char *text, size_t len, const size_t *cuts, size_t n_cuts)
{
	struct redact_stream *s = redact_stream_new(r);
	struct buf out = BUF_INIT;
	size_t at = 0;
	for (size_t i = 0; i < n_cuts; at = cuts[i], i++)
		redact_feed(s, text + at, cuts[i] - at, &out);
	redact_feed(s, text + at, len - at, &out);
	redact_end(s, &out);
	redact_stream_free(s);
	return buf_steal(&out);
}

/* One piece, every split in two, and every chunk size. */
static void expect(const struct set *set, const char *text, const char *want)
{
	struct redactor *r = compile(set);
	size_t len = strlen(text);
	size_t *cuts = xcalloc(len + 1, sizeof(*cuts));
	for (size_t cut = 0; cut <= len; cut++) {
		char *got = redact_cut(r, text, len, &cut, 1);
		assert_string_equal(got, want);
		free(got);
	}
	for (size_t size = 1; size <= len; size++) {
		size_t n = 0;
		for (size_t at = size; at < len; at += size)
			cuts[n++] = at;
		char *got = redact_cut(r, text, len, cuts, n);
		assert_string_equal(got, want);
		free(got);
	}
	free(cuts);
	redactor_free(r);
}

static void test_plain(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	expect(&set, "nothing to hide", "nothing to hide");
	add(&set, "TOKEN", "hunter2-hunter3");
	expect(&set, "nothing to hide", "nothing to hide");
	expect(&set, "", "");
	expect(&set, "hunter2-hunter3", "[redacted:TOKEN]");
	expect(&set, "a hunter2-hunter3 b", "a [redacted:TOKEN] b");
	expect(&set, "a hunter2-hunter4 b", "a hunter2-hunter4 b");
	expect(&set, "a hunter2-hunter2-hunter3 b", "a hunter2-[redacted:TOKEN] b");
	expect(&set, "hunter2-hunter3, hunter2-hunter3", "[redacted:TOKEN], [redacted:TOKEN]");
}

/* guard: settle in vault/redact/redact.c */
static void test_threat_29_adjacent_is_one_mask(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	add(&set, "A", "aaaabbbb");
	add(&set, "B", "ccccdddd");
	expect(&set, "<aaaabbbbccccdddd>", "<[redacted:A]>");
	expect(&set, "<ccccddddaaaabbbb>", "<[redacted:B]>");
	expect(&set, "<aaaabbbb|ccccdddd>", "<[redacted:A]|[redacted:B]>");
}

/* guard: settle in vault/redact/redact.c */
static void test_threat_29_overlapping_nested_prefix(void **state)
{
	(void)state;
	struct set overlap = {.n = 0};
	add(&overlap, "A", "0123456789");
	add(&overlap, "B", "6789abcdefgh");
	expect(&overlap, ".0123456789abcdefgh.", ".[redacted:A].");
	expect(&overlap, ".0123456789abcdefgX.", ".[redacted:A]abcdefgX.");
	expect(&overlap, ".012345_6789abcdefgh.", ".012345_[redacted:B].");

	struct set nested = {.n = 0};
	add(&nested, "INNER", "34567890");
	add(&nested, "OUTER", "123456789012");
	expect(&nested, ".123456789012.", ".[redacted:OUTER].");
	expect(&nested, ".12345678901x.", ".12[redacted:INNER]1x.");

	struct set prefix = {.n = 0};
	add(&prefix, "SHORT", "passw0rd");
	add(&prefix, "LONG", "passw0rd-and-more");
	expect(&prefix, "=passw0rd-and-more=", "=[redacted:LONG]=");
	expect(&prefix, "=passw0rd-and-mor_=", "=[redacted:SHORT]-and-mor_=");
	expect(&prefix, "=passw0rd-and-passw0rd-and-more=", "=[redacted:SHORT]-and-[redacted:LONG]=");
}

static void test_repeating(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	add(&set, "A", "aaaaaaaaaaaa");
	expect(&set, "xaaaaaaaaaaax", "xaaaaaaaaaaax");
	expect(&set, "xaaaaaaaaaaaax", "x[redacted:A]x");
	expect(&set, "xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaax", "x[redacted:A]x");
	struct set period = {.n = 0};
	add(&period, "P", "abcabcabcabcabcX");
	expect(&period, "abcabcabcabcabcabcabcX abcabcabcabcabc_", "abcabc[redacted:P] abcabcabcabcabc_");
}

/* Killed with a tail held back. guard: redact_end in vault/redact/redact.c */
static void test_threat_31_cut_off_at_the_end(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	add(&set, "TOKEN", "abcdefghijklmnopqrstuvwxyz");
	add(&set, "SHORT", "12345678");
	expect(&set, "log abcdefghijklm", "log [redacted:TOKEN]");
	expect(&set, "log abcdefgh", "log [redacted:TOKEN]");
	expect(&set, "log abcdefg", "log abcdefg");
	expect(&set, "log 1234", "log [redacted:SHORT]");
	expect(&set, "log 123", "log 123");
}

static void test_cut_off_where_two_begin(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	add(&set, "Z", "same-begin-then-z");
	add(&set, "A", "same-begin-then-a");
	expect(&set, "log same-begin-the", "log [redacted:Z]");
}

static void test_equal_values(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	add(&set, "FIRST", "same-value");
	add(&set, "SECOND", "same-value");
	expect(&set, "a same-value b", "a [redacted:FIRST] b");
}

/* What can't be part of a match is shown at once: logs are followed while they grow. */
static void test_holds_back_no_more_than_needed(void **state)
{
	(void)state;
	struct set set = {.n = 0};
	add(&set, "TOKEN", "hunter2-hunter3");
	struct redactor *r = compile(&set);
	struct redact_stream *s = redact_stream_new(r);
	struct buf out = BUF_INIT;
	redact_feed(s, "ready? ", 7, &out);
	assert_string_equal(out.data, "ready? ");
	redact_feed(s, "hunt", 4, &out);
	assert_string_equal(out.data, "ready? ");
	redact_feed(s, "ing hunter2-hunt", 16, &out);
	assert_string_equal(out.data, "ready? hunting ");
	redact_feed(s, "er3!", 4, &out);
	assert_string_equal(out.data, "ready? hunting [redacted:TOKEN]!");
	redact_end(s, &out);
	assert_string_equal(out.data, "ready? hunting [redacted:TOKEN]!");
	buf_free(&out);
	redact_stream_free(s);
	redactor_free(r);
}

static uint32_t seed_ = 1;
static uint32_t rnd(uint32_t n)
{
	seed_ ^= seed_ << 13;
	seed_ ^= seed_ >> 17;
	seed_ ^= seed_ << 5;
	return seed_ % n;
}

/* Letters of a small alphabet make overlaps frequent. */
static size_t random_bytes(unsigned char *p, size_t min, size_t max, uint32_t alphabet)
{
	size_t len = min + rnd((uint32_t)(max - min + 1));
	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)('a' + rnd(alphabet));
	return len;
}

static size_t make_text(unsigned char *text, size_t max, const struct set *set, uint32_t alphabet)
{
	size_t len = 0;
	while (len + 80 < max) {
		const struct oracle_secret *s = &set->v[rnd((uint32_t)set->n)];
		size_t from = rnd(3) ? 0 : rnd((uint32_t)s->len);
		size_t n = rnd(3) ? s->len - from : rnd((uint32_t)(s->len - from + 1));
		memcpy(text + len, s->value + from, n);
		len += n;
		len += random_bytes(text + len, 0, rnd(4) * 5, alphabet);
	}
	return len;
}

static void check_random_case(void)
{
	static const char *const names[MAX_SECRETS] = {"A", "B", "C", "D", "E", "F", "G", "H"};
	static unsigned char values[MAX_SECRETS][40], text[600];
	uint32_t alphabet = 1 + rnd(4);
	struct set set = {.n = 1 + rnd(MAX_SECRETS)};
	for (size_t i = 0; i < set.n; i++)
		set.v[i] = (struct oracle_secret){names[i], values[i], random_bytes(values[i], 8, 40, alphabet)};
	size_t len = make_text(text, sizeof(text), &set, alphabet);
	struct buf want = BUF_INIT;
	redact_oracle(set.v, set.n, text, len, &want);
	struct redactor *r = compile(&set);
	for (int round = 0; round < 8; round++) {
		size_t cuts[600], n = 0;
		uint32_t most = 1 + rnd(60);
		for (size_t at = 0; (at += rnd(most + 1)) < len && n < 600;)
			cuts[n++] = at;
		char *got = redact_cut(r, (const char *)text, len, cuts, n);
		assert_string_equal(got, want.data);
		free(got);
	}
	redactor_free(r);
	buf_free(&want);
}

/* guard: undecided_from in vault/redact/redact_match.c */
static void test_threat_29_random_against_oracle(void **state)
{
	(void)state;
	for (int i = 0; i < 3000; i++)
		check_random_case();
}

/* Longer than a slice, so that compaction and long holds are met too. */
static void test_long(void **state)
{
	(void)state;
	size_t len = SECRET_MAX_BYTES;
	unsigned char *value = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		value[i] = (unsigned char)('!' + rnd(90));
	struct set set = {.v = {{"BIG", value, len}}, .n = 1};
	struct redactor *r = compile(&set);
	struct buf text = BUF_INIT, want = BUF_INIT;
	for (int i = 0; i < 5; i++) {
		buf_adds(&text, "<");
		buf_add(&text, value, len);
		buf_adds(&text, ">");
		buf_add(&text, value, len - 1);
		buf_adds(&text, "\n");
		buf_adds(&want, "<[redacted:BIG]>");
		buf_add(&want, value, len - 1);
		buf_adds(&want, "\n");
	}
	for (int round = 0; round < 20; round++) {
		size_t cuts[4000], n = 0, most = 100 + rnd(200000);
		for (size_t at = 0; (at += 1 + rnd((uint32_t)most)) < text.len && n < 4000;)
			cuts[n++] = at;
		char *got = redact_cut(r, text.data, text.len, cuts, n);
		assert_string_equal(got, want.data);
		free(got);
	}
	buf_free(&text);
	buf_free(&want);
	redactor_free(r);
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_threat_29_adjacent_is_one_mask),
	    cmocka_unit_test(test_threat_29_overlapping_nested_prefix),
	    cmocka_unit_test(test_repeating),
	    cmocka_unit_test(test_threat_31_cut_off_at_the_end),
	    cmocka_unit_test(test_cut_off_where_two_begin),
	    cmocka_unit_test(test_equal_values),
	    cmocka_unit_test(test_holds_back_no_more_than_needed),
	    cmocka_unit_test(test_threat_29_random_against_oracle),
	    cmocka_unit_test(test_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
