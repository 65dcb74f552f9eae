/* Log lines: both formats, escaping, levels, one write for each. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static int saved = -1;
static int lines = -1; /* a packet socket: each write of the logger is one packet */

static int catch_stderr(void **state)
{
	(void)state;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -1;
	saved = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	lines = pair[0];
	return 0;
}

static int restore_stderr(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(lines);
	return 0;
}

/* The next line without its time, which is checked; "" when there is none. */
static const char *next_line(void)
{
	static char text[65536];
	ssize_t n = recv(lines, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (n <= 0)
		return "";
	bool json = text[0] == '{';
	const char *at = text + (json ? strlen("{\"time\":\"") : strlen("time="));
	assert_memory_equal(text, json ? "{\"time\":\"" : "time=", (size_t)(at - text));
	static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	for (size_t i = 0; shape[i]; i++)
		assert_true(shape[i] == 'd' ? at[i] >= '0' && at[i] <= '9' : at[i] == shape[i]);
	at += strlen(shape);
	return at + (json ? 2 : 1);
}

static void test_logfmt(void **state)
{
	(void)state;
	log_init("core", LOG_LEVEL_INFO, false);
	log_info("dispatcher started", "spool", "/var/lib/disinto", NULL);
	assert_string_equal(next_line(), "level=info role=core msg=\"dispatcher started\" spool=/var/lib/disinto\n");
	log_warn("x", "absent", NULL, "empty", "", "b", "a=b", "q", "\"\\", NULL);
	assert_string_equal(next_line(), "level=warn role=core msg=x empty=\"\" b=\"a=b\" q=\"\\\"\\\\\"\n");
	log_init(NULL, LOG_LEVEL_INFO, false);
	log_error("x", NULL);
	assert_string_equal(next_line(), "level=error msg=x\n");
}

static void test_levels(void **state)
{
	(void)state;
	log_init("r", LOG_LEVEL_WARN, false);
	log_debug("no", NULL);
	log_info("no", NULL);
	assert_string_equal(next_line(), "");
	log_warn("yes", NULL);
	assert_string_equal(next_line(), "level=warn role=r msg=yes\n");
	log_init("r", LOG_LEVEL_DEBUG, false);
	log_debug("yes", NULL);
	assert_string_equal(next_line(), "level=debug role=r msg=yes\n");
}

static const char hostile[] = "a\x1B[2J\r\nlevel=error\t\xC2\x9B\xFF\xE2\x80\xAE \xC3\xA4\xF3\xA0\x81\x81";

static void test_hostile_values(void **state)
{
	(void)state;
	log_init("r", LOG_LEVEL_INFO, false);
	log_info("m", "v", hostile, NULL);
	assert_string_equal(
	    next_line(), "level=info role=r msg=m v=\"a\\u001b[2J\\u000d\\nlevel=error\\t\\u009b\\ufffd\\u202e \xC3\xA4\\udb40\\udc41\"\n");
}

static void test_json(void **state)
{
	(void)state;
	log_init("web", LOG_LEVEL_INFO, true);
	log_info("m \"q\"", "v", hostile, "absent", NULL, "k", "v", NULL);
	const char *line = next_line();
	cleanup_free char *text = NULL;
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_null(strchr(line, 0x1B));
	text = xstrdup(line - strlen("{\"time\":\"dddd-dd-ddTdd:dd:dd.dddZ\","));
	cleanup_json json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(v, "role")), "web");
	assert_string_equal(json_string_value(json_object_get(v, "msg")), "m \"q\"");
	assert_string_equal(json_string_value(json_object_get(v, "k")), "v");
	assert_string_equal(json_string_value(json_object_get(v, "v")),
	                    "a\x1B[2J\r\nlevel=error\t\xC2\x9B\xEF\xBF\xBD\xE2\x80\xAE \xC3\xA4\xF3\xA0\x81\x81");
	assert_null(json_object_get(v, "absent"));
	assert_int_equal(json_object_size(v), 6);
}

static void test_one_write(void **state)
{
	(void)state;
	cleanup_free char *big = xmalloc(20001);
	memset(big, 'x', 20000);
	big[20000] = '\0';
	log_init("r", LOG_LEVEL_INFO, false);
	log_info("m", "v", big, "w", "y", NULL);
	const char *line = next_line();
	assert_string_equal(line + strlen(line) - 5, " w=y\n");
	assert_string_equal(next_line(), "");
}

#define caught(f) cmocka_unit_test_setup_teardown(f, catch_stderr, restore_stderr)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    caught(test_logfmt), caught(test_levels), caught(test_hostile_values), caught(test_json), caught(test_one_write),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
