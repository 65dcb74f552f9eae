/* Errors: text, wrapping, codes from errno, moving. */
#include "lib/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_set_and_wrap(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(err_set(&e, ERR_INVALID, "line %d: bad", 3), -1);
	assert_int_equal(err_wrap(&e, "%s", "a.json"), -1);
	assert_int_equal(err_wrap(&e, "read action"), -1);
	assert_string_equal(err_msg(&e), "read action: a.json: line 3: bad");
	assert_int_equal(e.code, ERR_INVALID);
	err_set(&e, ERR_TIMEOUT, "was: %s", err_msg(&e)); /* made from what it replaces */
	assert_string_equal(err_msg(&e), "was: read action: a.json: line 3: bad");
	assert_int_equal(e.code, ERR_TIMEOUT);
}

static void test_nobody_wants_it(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_FAIL, "x"), -1);
	assert_int_equal(err_errno(NULL, EIO, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
	assert_non_null(err_msg(NULL));
	err_clear(NULL);
}

static void test_empty(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	assert_non_null(err_msg(&e));
	err_wrap(&e, "context");
	assert_int_equal(e.code, ERR_FAIL);
	err_clear(&e);
	assert_int_equal(e.code, ERR_NONE);
	assert_null(e.msg);
}

static void test_errno(void **state)
{
	(void)state;
	static const struct {
		int errnum;
		enum err_code code;
	} t[] = {{ENOENT, ERR_NOT_FOUND},         {EEXIST, ERR_EXISTS},     {ENOSPC, ERR_NOSPACE},
	         {EDQUOT, ERR_NOSPACE},           {EACCES, ERR_DENIED},     {ETIMEDOUT, ERR_TIMEOUT},
	         {ECONNREFUSED, ERR_UNREACHABLE}, {EPIPE, ERR_UNREACHABLE}, {EIO, ERR_FAIL}};
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		cleanup_err struct err e = ERR_INIT;
		err_errno(&e, t[i].errnum, "open %s", "x");
		assert_int_equal(e.code, t[i].code);
	}
	cleanup_err struct err e = ERR_INIT;
	err_errno(&e, ENOENT, "open %s", "x");
	assert_string_equal(err_msg(&e), "open x: No such file or directory");
}

static void test_move(void **state)
{
	(void)state;
	cleanup_err struct err from = ERR_INIT;
	cleanup_err struct err to = ERR_INIT;
	err_set(&to, ERR_FAIL, "old");
	err_set(&from, ERR_DENIED, "new");
	err_move(&to, &from);
	assert_string_equal(err_msg(&to), "new");
	assert_int_equal(to.code, ERR_DENIED);
	assert_int_equal(from.code, ERR_NONE);
	err_move(NULL, &to);
	assert_null(to.msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_set_and_wrap), cmocka_unit_test(test_nobody_wants_it),
	    cmocka_unit_test(test_empty),        cmocka_unit_test(test_errno),
	    cmocka_unit_test(test_move),
	};
	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
