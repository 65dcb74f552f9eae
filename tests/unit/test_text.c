/* Text that people will read: UTF-8 and the characters that hide what is written. */
#include "lib/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ok(s) assert_int_equal(text_check(s, sizeof(s) - 1, NULL), 0)

static void refused(const char *s, size_t len, const char *message)
{
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(text_check(s, len, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	if (!strstr(err_msg(&e), message))
		fail_msg("\"%s\" is not in \"%s\"", message, err_msg(&e));
}
#define no(s, message) refused(s, sizeof(s) - 1, message)

static void test_ordinary(void **state)
{
	(void)state;
	ok("");
	ok("plain\n\ttext ~");
	ok("Grüße, 日本語, \xF0\x9F\x9A\x80");
	ok("\xC2\xA0\xF4\x8F\xBF\xBF"); /* U+00A0, U+10FFFF */
	ok("\xEF\xBF\xBD\xED\x9F\xBF\xEE\x80\x80");
}

static void test_not_utf8(void **state)
{
	(void)state;
	no("ab\xFF", "invalid UTF-8 at byte 2");
	no("\x80", "at byte 0");
	no("\xC0\xAF", "at byte 0"); /* overlong / */
	no("\xC1\xBF", "at byte 0");
	no("\xE0\x9F\xBF", "at byte 0");     /* overlong U+07FF */
	no("\xF0\x8F\xBF\xBF", "at byte 0"); /* overlong U+FFFF */
	no("\xED\xA0\x80", "at byte 0");     /* surrogate U+D800 */
	no("\xED\xBF\xBF", "at byte 0");     /* surrogate U+DFFF */
	no("\xF4\x90\x80\x80", "at byte 0"); /* U+110000 */
	no("\xF5\x80\x80\x80", "at byte 0");
	no("x\xC3", "at byte 1"); /* cut off */
	no("\xE2\x82", "at byte 0");
	no("\xF0\x9F\x9A", "at byte 0");
	no("\xC3(", "at byte 0");
}

static void test_controls(void **state)
{
	(void)state;
	for (char c = 0; c < 32; c++)
		assert_int_equal(text_check(&c, 1, NULL), c == '\n' || c == '\t' ? 0 : -1);
	no("ab\0", "U+0000 at byte 2");
	no("\x1B[2J", "U+001B at byte 0");
	no("a\x7F", "U+007F at byte 1");
	no("\xC2\x9B", "U+009B at byte 0");
	no("x\r\n", "Unix line ends");
}

/* First, last and outer neighbours of each range; encodes by hand, so as not to trust the code under test. */
static void test_hidden(void **state)
{
	(void)state;
	static const uint32_t ranges[][2] = {
	    {0x7F, 0x9F},       {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},
	    {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},     {0x180E, 0x180E},   {0x200B, 0x200F},
	    {0x2028, 0x202E},   {0x2060, 0x206F},   {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD},
	    {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE007F},
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		assert_true(text_allowed(ranges[i][0] - 1));
		assert_false(text_allowed(ranges[i][0]));
		assert_false(text_allowed(ranges[i][1]));
		assert_true(text_allowed(ranges[i][1] + 1));
	}
	no("ok \xE2\x80\xAE", "U+202E at byte 3");
	no("\xEF\xBB\xBFx", "U+FEFF at byte 0");
	no("\xF3\xA0\x81\x81", "U+E0041 at byte 0");
}

static void test_decode(void **state)
{
	(void)state;
	uint32_t c = 0;
	assert_int_equal(text_decode("A", 1, &c), 1);
	assert_int_equal(c, 'A');
	assert_int_equal(text_decode("\xC3\xA4x", 3, &c), 2);
	assert_int_equal(c, 0xE4);
	assert_int_equal(text_decode("\xE2\x82\xAC", 3, &c), 3);
	assert_int_equal(c, 0x20AC);
	assert_int_equal(text_decode("\xF0\x9F\x9A\x80", 4, &c), 4);
	assert_int_equal(c, 0x1F680);
	assert_int_equal(text_decode("\xF0\x9F\x9A\x80", 3, &c), 0);
	assert_int_equal(c, 0x1F680);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ordinary), cmocka_unit_test(test_not_utf8), cmocka_unit_test(test_controls),
	    cmocka_unit_test(test_hidden),   cmocka_unit_test(test_decode),
	};
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
