/* Buffers: growth, the NUL behind the bytes, dropping, stealing, bytes that are not owned. */
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_empty_is_a_string(void **state)
{
	(void)state;
	cleanup_buf struct buf b = BUF_INIT;
	assert_string_equal(b.data, "");
	buf_add(&b, NULL, 0);
	buf_drop(&b, 5);
	buf_reset(&b);
	assert_string_equal(b.data, "");
	cleanup_free char *s = buf_steal(&b);
	assert_string_equal(s, "");
}

static void test_grows(void **state)
{
	(void)state;
	cleanup_buf struct buf b = BUF_INIT;
	for (int i = 0; i < 10000; i++) {
		buf_addf(&b, "%04d", i);
		assert_int_equal(b.data[b.len], 0);
	}
	assert_int_equal(b.len, 40000);
	assert_memory_equal(b.data + 4 * 7777, "7777", 4);
	buf_reset(&b);
	buf_addc(&b, 'x');
	buf_adds(&b, "yz");
	buf_add(&b, "\0!", 2);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "xyz\0!", 6);
}

static void test_room(void **state)
{
	(void)state;
	cleanup_buf struct buf b = {0}; /* zeroed is allowed too */
	memcpy(buf_room(&b, 100), "hello", 5);
	assert_int_equal(b.len, 0);
	buf_grew(&b, 5);
	assert_string_equal(b.data, "hello");
}

static void test_drop(void **state)
{
	(void)state;
	cleanup_buf struct buf b = BUF_INIT;
	buf_adds(&b, "hello world");
	buf_drop(&b, 0);
	buf_drop(&b, 6);
	assert_string_equal(b.data, "world");
	assert_int_equal(b.len, 5);
	buf_drop(&b, 99);
	assert_string_equal(b.data, "");
	assert_int_equal(b.len, 0);
}

static void test_steal(void **state)
{
	(void)state;
	cleanup_buf struct buf b = BUF_INIT;
	buf_adds(&b, "mine");
	cleanup_free char *s = buf_steal(&b);
	assert_string_equal(s, "mine");
	assert_int_equal(b.len, 0);
	buf_adds(&b, "again");
	assert_string_equal(b.data, "again");
}

static void test_bytes_that_are_not_owned(void **state)
{
	(void)state;
	char text[] = "abc";
	cleanup_buf struct buf b = {text, 3, 0};
	buf_drop(&b, 1);
	buf_addc(&b, 'd');
	assert_string_equal(b.data, "bcd");
	assert_string_equal(text, "abc");
}

static void test_allocators(void **state)
{
	(void)state;
	cleanup_free void *p = xmalloc(0);
	cleanup_free void *q = xcalloc(0, 8);
	assert_non_null(p);
	assert_non_null(q);
	cleanup_free char *s = xasprintf("%s-%d", "a", 1);
	assert_string_equal(s, "a-1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty_is_a_string),
	    cmocka_unit_test(test_grows),
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_steal),
	    cmocka_unit_test(test_bytes_that_are_not_owned),
	    cmocka_unit_test(test_allocators),
	};
	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
