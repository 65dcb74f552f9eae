/* The first API token is shown to somebody who watches, and to no log. */
#include "dispatcher/open.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What is written to a terminal at a first start, and whether a token was made. Caller frees. */
static char *first_start(bool is_console, bool *ret_made)
{
	char dir[] = "/tmp/disinto-first.XXXXXX", text[512];
	struct config config = {.separation = SEPARATION_BEST_EFFORT};
	struct role_args args = ROLE_ARGS_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_fd int near = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), spool = -1, terminal = -1;
	ssize_t n;

	assert_true(near >= 0 && grantpt(near) == 0 && unlockpt(near) == 0);
	terminal = open(ptsname(near), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(terminal >= 0);
	assert_non_null(mkdtemp(dir));
	spool = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	args.config = &config;
	args.spool_fd = spool;
	args.listen_fd = 0;
	assert_int_equal(first_token(&args, terminal, is_console ? ptsname(near) : "/nonexistent/console", &err), 0);
	*ret_made = faccessat(spool, "tokens.json", F_OK, 0) == 0;
	n = read(near, text, sizeof text);
	dir_remove_at(AT_FDCWD, dir, NULL);
	return xasprintf("%.*s", n > 0 ? (int)n : 0, text);
}

static void test_somebody_who_watches_sees_it(void **state)
{
	bool made;
	cleanup_free char *shown = first_start(false, &made);

	(void)state;
	assert_true(made);
	assert_non_null(strstr(shown, "API token 'first'"));
}

/* guard: is_watched in dispatcher/first_token.c */
static void test_console_is_a_log(void **state)
{
	bool made;
	cleanup_free char *shown = first_start(true, &made);

	(void)state;
	assert_false(made);
	assert_string_equal(shown, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_somebody_who_watches_sees_it),
	    cmocka_unit_test(test_console_is_a_log),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
