#include "cli/cli.h"
#include "lib/cleanup.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int no_run(const struct args *args, struct err *err)
{
	(void)args;
	(void)err;
	return 0;
}

static const struct cli_option options[] = {
    {"force", 'f', NULL, "a flag"},
    {"input", 'i', "KEY=VALUE", "a value"},
    {"lines", 'n', "LINES", "a number"},
    {NULL, 0, NULL, NULL},
};
static const struct command command = {"test", "ID [FILE]", 1, 2, "test things", options, "disinto test x", no_run, 0};

/* Parses the words of one line, separated by single spaces. */
static int parse(const char *line, struct args *ret, struct err *err)
{
	static char copy[256];
	static char *argv[16];
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[n++] = word;
	return args_parse(&command, n, argv, ret, err);
}

static void options_and_operands_in_any_order(void **state)
{
	static const char *const lines[] = {"-f -i a=1 --input=b=2 x y", "x -fi a=1 y --input b=2", "x y -f -ia=1 --inp b=2"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		cleanup_args struct args a = ARGS_INIT;

		assert_int_equal(parse(lines[i], &a, NULL), 0);
		assert_true(args_has(&a, "force"));
		assert_false(args_has(&a, "lines"));
		assert_string_equal(args_nth(&a, "input", 0), "a=1");
		assert_string_equal(args_nth(&a, "input", 1), "b=2");
		assert_null(args_nth(&a, "input", 2));
		assert_string_equal(args_value(&a, "input"), "b=2");
		assert_string_equal(args_operand(&a, 0), "x");
		assert_string_equal(args_operand(&a, 1), "y");
		assert_null(args_operand(&a, 2));
	}
}

static void two_dashes_end_the_options(void **state)
{
	cleanup_args struct args a = ARGS_INIT;

	(void)state;
	assert_int_equal(parse("-- -f", &a, NULL), 0);
	assert_false(args_has(&a, "force"));
	assert_string_equal(args_operand(&a, 0), "-f");
}

static void help_needs_no_operands(void **state)
{
	cleanup_args struct args a = ARGS_INIT;

	(void)state;
	assert_int_equal(parse("--help", &a, NULL), 0);
	assert_true(args_has(&a, "help"));
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *line, *message;
	} wrong[] = {
	    {"", "ID [FILE] is missing"},
	    {"x y z", "'z' is one operand too many"},
	    {"x --colour", "there is no option --colour"},
	    {"x -q", "there is no option -q"},
	    {"x -fq", "there is no option -q"},
	    {"x --input", "--input needs a value"},
	    {"x -i", "-i needs a value"},
	    {"x --force=yes", "--force=yes takes no value"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		cleanup_args struct args a = ARGS_INIT;
		cleanup_err struct err err = ERR_INIT;

		assert_int_equal(parse(wrong[i].line, &a, &err), -1);
		assert_string_equal(err_msg(&err), wrong[i].message);
	}
}

static void numbers_have_bounds(void **state)
{
	static const char *const bad[] = {"x -n 0", "x -n 11", "x -n 5x", "x -n x", "x -n 99999999999999999999", "x --lines="};
	int n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cleanup_args struct args a = ARGS_INIT;

		assert_int_equal(parse(bad[i], &a, NULL), 0);
		assert_int_equal(args_int(&a, "lines", 1, 10, 7, &n, NULL), -1);
		assert_int_equal(n, 0);
	}
	cleanup_args struct args a = ARGS_INIT;
	assert_int_equal(parse("x", &a, NULL), 0);
	assert_int_equal(args_int(&a, "lines", 1, 10, 7, &n, NULL), 0);
	assert_int_equal(n, 7);
	assert_int_equal(parse("x -n 10", &a, NULL), 0);
	assert_int_equal(args_int(&a, "lines", 1, 10, 7, &n, NULL), 0);
	assert_int_equal(n, 10);
}

static void the_table_is_whole(void **state)
{
	(void)state;
	for (const struct command *c = commands; c->name; c++) {
		cleanup_free char *begin = xasprintf("disinto %s", c->name);
		size_t words = 0;
		const char *const argv[] = {c->name, NULL};

		assert_non_null(c->run);
		assert_true(c->min <= c->max);
		assert_int_equal(strncmp(c->example, begin, strlen(begin)), 0);
		assert_true(c->summary[0] >= 'a' && c->summary[0] <= 'z');
		if (!strchr(c->name, ' ')) {
			assert_ptr_equal(command_find(1, argv, &words), c);
			assert_int_equal(words, 1);
		}
		for (const struct cli_option *o = c->options; o->name; o++)
			for (const struct cli_option *other = o + 1; other->name; other++) {
				assert_string_not_equal(o->name, other->name);
				assert_false(o->letter && o->letter == other->letter);
			}
	}
}

static void commands_of_two_words(void **state)
{
	const char *const good[] = {"secrets", "add", "X"};
	const char *const half[] = {"secrets"};
	const char *const prefix[] = {"secret", "add"};
	size_t words;

	(void)state;
	assert_string_equal(command_find(3, good, &words)->name, "secrets add");
	assert_int_equal(words, 2);
	assert_null(command_find(1, half, &words));
	assert_null(command_find(2, prefix, &words));
	assert_null(command_find(0, NULL, &words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_and_operands_in_any_order),
	    cmocka_unit_test(two_dashes_end_the_options),
	    cmocka_unit_test(help_needs_no_operands),
	    cmocka_unit_test(mistakes_are_named),
	    cmocka_unit_test(numbers_have_bounds),
	    cmocka_unit_test(the_table_is_whole),
	    cmocka_unit_test(commands_of_two_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
