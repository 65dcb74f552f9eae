/* Frames: line limit, cuts, UTF-8 repair, reading in any chunking, refusals. */
#include "vault/frame.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Puts together what the frames in `wire` carry in "d", checking each line's length; "t" must be `t` or the last one `end`. */
static size_t join(const struct buf *wire, const char *t, const char *end, struct buf *ret)
{
	for (size_t at = 0; at < wire->len;) {
		const char *nl = memchr(wire->data + at, '\n', wire->len - at);
		assert_non_null(nl);
		assert_true((size_t)(nl - wire->data) + 1 - at <= FRAME_MAX);
		at = (size_t)(nl - wire->data) + 1;
	}
	struct frame_reader r = FRAME_READER_INIT;
	struct err err = ERR_INIT;
	frame_reader_feed(&r, wire->data, wire->len);
	json_t *frame = NULL;
	size_t n = 0;
	while (frame_reader_next(&r, &frame, &err) == 1) {
		const json_t *d = json_object_get(frame, "d");
		assert_string_equal(json_string_value(json_object_get(frame, "t")), d ? t : end);
		buf_add(ret, d ? json_string_value(d) : "", json_string_length(d));
		json_decref(frame);
		n++;
	}
	assert_int_equal(err.code, ERR_NONE);
	assert_int_equal(r.at, r.in.len);
	frame_reader_free(&r);
	return n;
}

static void test_add(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	json_t *frame = json_pack("{s:s,s:i}", "t", "secrets_end", "count", 3);
	frame_add(&out, frame);
	frame_add(&out, frame);
	assert_string_equal(out.data, "{\"t\":\"secrets_end\",\"count\":3}\n{\"t\":\"secrets_end\",\"count\":3}\n");
	json_decref(frame);
	buf_free(&out);
}

static void check_task(const char *unit, size_t times)
{
	struct buf text = BUF_INIT, wire = BUF_INIT, back = BUF_INIT;
	for (size_t i = 0; i < times; i++)
		buf_adds(&text, unit);
	frame_add_task(&wire, text.data);
	size_t n = join(&wire, "task", "task_end", &back);
	assert_string_equal(back.data, text.data);
	assert_true(n <= wire.len / (FRAME_MAX - 8) + 2); /* frames are full */
	buf_free(&text);
	buf_free(&wire);
	buf_free(&back);
}

static void test_task_is_cut_by_escaped_size(void **state)
{
	(void)state;
	check_task("", 0);
	check_task("{\"a\": [1, 2, \"x\"]}", 1);
	for (size_t around = 0; around < 40; around++) {
		check_task("x", FRAME_MAX - 40 + around);
		check_task("\"", FRAME_MAX / 2 - 20 + around);
		check_task("\x01", FRAME_MAX / 6 - 20 + around);
		check_task("\xf0\x9f\x94\x91", FRAME_MAX / 4 - 20 + around);
		check_task("a\\\n\xc3\xa4\x1f\xe2\x82\xac", 3000 + around);
	}
	check_task("x", 1000000);
}

static void check_out(const char *data, size_t len, const char *want, size_t want_len)
{
	for (size_t size = 1; size <= len; size++) {
		struct frame_text text = {.n_carry = 0};
		struct buf wire = BUF_INIT, back = BUF_INIT;
		for (size_t at = 0; at < len; at += size)
			frame_add_out(&wire, 'o', &text, data + at, len - at < size ? len - at : size);
		frame_flush_out(&wire, 'o', &text);
		join(&wire, "out", "", &back);
		assert_int_equal(back.len, want_len);
		assert_memory_equal(back.data, want, want_len);
		buf_free(&wire);
		buf_free(&back);
	}
}
#define CHECK_OUT(data, want) check_out(data, sizeof(data) - 1, want, sizeof(want) - 1)
#define BAD "\xef\xbf\xbd"

static void test_out_repairs_utf8(void **state)
{
	(void)state;
	CHECK_OUT("plain \"quoted\" \\ \t\r\n\x1b[0m\x7f", "plain \"quoted\" \\ \t\r\n\x1b[0m\x7f");
	CHECK_OUT("a\0b", "a\0b");
	CHECK_OUT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\xf4\x8f\xbf\xbf", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\xf4\x8f\xbf\xbf");
	/* The Unicode Standard, chapter 3: examples of maximal subparts (tables 3-8 to 3-11). */
	CHECK_OUT("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A");
	CHECK_OUT("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A");
	CHECK_OUT("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", BAD BAD BAD BAD BAD "A" BAD BAD "B");
	CHECK_OUT("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", BAD BAD BAD BAD "A");
	CHECK_OUT("cut \xf0\x9f\x94", "cut " BAD);
	CHECK_OUT("\xc3\"", BAD "\"");
}

static void test_out_streams_and_emptiness(void **state)
{
	(void)state;
	struct frame_text text = {.n_carry = 0};
	struct buf wire = BUF_INIT;
	frame_add_out(&wire, 'e', &text, "", 0);
	frame_flush_out(&wire, 'e', &text);
	assert_string_equal(wire.data, "");
	frame_add_out(&wire, 'e', &text, "x\n", 2);
	assert_string_equal(wire.data, "{\"t\":\"out\",\"s\":\"e\",\"d\":\"x\\n\"}\n");
	frame_add_out(&wire, 'o', &text, "\xc3", 1); /* held for its second byte: no frame */
	assert_string_equal(wire.data, "{\"t\":\"out\",\"s\":\"e\",\"d\":\"x\\n\"}\n");
	buf_free(&wire);
}

static void test_reader_any_chunking(void **state)
{
	(void)state;
	const char *wire = "{\"t\":\"hello\",\"version\":\"0\"}\n {\"t\":\"ready\"} \n{\"t\":\"g";
	for (size_t size = 1; size <= strlen(wire); size++) {
		struct frame_reader r = FRAME_READER_INIT;
		struct err err = ERR_INIT;
		struct buf seen = BUF_INIT;
		json_t *frame;
		for (size_t at = 0; at < strlen(wire); at += size) {
			frame_reader_feed(&r, wire + at, strlen(wire) - at < size ? strlen(wire) - at : size);
			while (frame_reader_next(&r, &frame, &err) == 1) {
				buf_addf(&seen, "%s ", json_string_value(json_object_get(frame, "t")));
				json_decref(frame);
			}
		}
		assert_string_equal(seen.data, "hello ready ");
		assert_int_equal(err.code, ERR_NONE);
		buf_free(&seen);
		frame_reader_free(&r);
	}
}

static void expect_refused(const char *line, size_t len, const char *why)
{
	struct frame_reader r = FRAME_READER_INIT;
	struct err err = ERR_INIT;
	json_t *frame = NULL;
	frame_reader_feed(&r, line, len);
	for (int again = 0; again < 2; again++) { /* and it stays refused */
		assert_int_equal(frame_reader_next(&r, &frame, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err_msg(&err), why);
		assert_null(frame);
	}
	err_clear(&err);
	frame_reader_free(&r);
}
#define EXPECT_REFUSED(line, why) expect_refused(line, sizeof(line) - 1, why)

static void test_reader_refuses(void **state)
{
	(void)state;
	EXPECT_REFUSED("\n", "frame: is not JSON (column 0)");
	EXPECT_REFUSED("{\"t\":\"go\"} x\n", "frame: is not JSON (column 12)");
	EXPECT_REFUSED("{\"t\":\"go\",\"t\":\"go\"}\n", "frame: is not JSON (column 13)");
	EXPECT_REFUSED("{\"t\":\"\xff\"}\n", "frame: is not JSON (column 6)");
	EXPECT_REFUSED("[\"t\"]\n", "frame: is not an object with a string \"t\"");
	EXPECT_REFUSED("{\"t\":1}\n", "frame: is not an object with a string \"t\"");
	EXPECT_REFUSED("{\"x\":\"t\"}\n", "frame: is not an object with a string \"t\"");
	EXPECT_REFUSED("{\"t\":\"go\\u0000\"}\n", "frame: is not an object with a string \"t\"");
}

static void test_reader_line_limit(void **state)
{
	(void)state;
	char *line = malloc(FRAME_MAX + 2);
	snprintf(line, FRAME_MAX + 2, "%*s\n ", -(FRAME_MAX - 1), "{\"t\":\"go\"}");
	struct frame_reader r = FRAME_READER_INIT;
	json_t *frame = NULL;
	frame_reader_feed(&r, line, FRAME_MAX);
	assert_int_equal(frame_reader_next(&r, &frame, NULL), 1);
	json_decref(frame);
	frame_reader_free(&r);

	line[FRAME_MAX - 1] = ' ';
	line[FRAME_MAX] = '\n';
	expect_refused(line, FRAME_MAX + 1, "frame: line is longer than 12288 bytes");
	expect_refused(line, FRAME_MAX, "frame: line is longer than 12288 bytes"); /* without waiting for its end */
	free(line);
}

/* Puts a value together as the runner does. */
static void read_secret(const struct buf *wire, const char *name, unsigned char *ret, size_t max, size_t *ret_len)
{
	struct frame_reader r = FRAME_READER_INIT;
	json_t *frame = NULL;
	bool more = true;
	*ret_len = 0;
	frame_reader_feed(&r, wire->data, wire->len);
	while (frame_reader_next(&r, &frame, NULL) == 1) {
		const json_t *d = json_object_get(frame, "d");
		size_t n;
		assert_true(more);
		assert_string_equal(json_string_value(json_object_get(frame, "name")), name);
		assert_int_equal(sodium_base642bin(ret + *ret_len, max - *ret_len, json_string_value(d), json_string_length(d), NULL, &n,
		                                   NULL, sodium_base64_VARIANT_ORIGINAL),
		                 0);
		*ret_len += n;
		more = json_is_true(json_object_get(frame, "more"));
		json_decref(frame);
	}
	assert_false(more);
	frame_reader_free(&r);
}

static void test_secret(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 8, 8999, 9000, 9001, 18000, 65535, 65536};
	char name[65];
	memset(name, 'N', 64);
	name[64] = '\0';
	unsigned char *value = malloc(65536), *back = malloc(65536);
	randombytes_buf(value, 65536);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct buf wire = BUF_INIT, lines = BUF_INIT;
		size_t len = 0;
		frame_add_secret(&wire, name, value, sizes[i]);
		assert_true(wire.len <= frame_secret_room(sizes[i]));
		join(&wire, "secret", "", &lines);
		read_secret(&wire, name, back, 65536, &len);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(back, value, len);
		buf_free(&lines);
		frame_wipe(&wire);
		assert_int_equal(wire.len, 0);
	}
	free(value);
	free(back);
}

/* A guarded buffer that is large enough is written in place. */
static void test_secret_into_guarded_memory(void **state)
{
	(void)state;
	unsigned char value[20000] = {1, 2, 3};
	size_t room = 2 * frame_secret_room(sizeof(value)) + 1;
	char *memory = sodium_malloc(room);
	struct buf b = {memory, 0, room};
	memory[0] = '\0';
	frame_add_secret(&b, "A", value, sizeof(value));
	frame_add_secret(&b, "B", value, sizeof(value));
	assert_ptr_equal(b.data, memory);
	sodium_free(memory);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_add),
	    cmocka_unit_test(test_task_is_cut_by_escaped_size),
	    cmocka_unit_test(test_out_repairs_utf8),
	    cmocka_unit_test(test_out_streams_and_emptiness),
	    cmocka_unit_test(test_reader_any_chunking),
	    cmocka_unit_test(test_reader_refuses),
	    cmocka_unit_test(test_reader_line_limit),
	    cmocka_unit_test(test_secret),
	    cmocka_unit_test(test_secret_into_guarded_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
