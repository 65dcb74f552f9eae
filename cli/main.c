/*
 * disinto, the command line: dispatch from the table of commands (commands.c).
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>

/* "disinto: <command>: <why>" and the exit code for it. */
static int report(const struct command *c, int code, const struct err *err)
{
	cleanup_free char *text = safe_text(err_msg(err));

	note("%s: %s", c->name, text);
	if (code == CLI_USAGE)
		fprintf(stderr, "usage: disinto %s %s (disinto %s --help says more)\n", c->name, c->operands, c->name);
	if (c->failure)
		return c->failure;
	return code == CLI_USAGE ? 2 : 1;
}

static int run_command(const struct command *c, size_t argc, char *const *argv)
{
	cleanup_args struct args args = ARGS_INIT;
	cleanup_err struct err err = ERR_INIT;
	int code;

	if (args_parse(c, argc, argv, &args, &err) < 0)
		return report(c, CLI_USAGE, &err);
	if (args_has(&args, "help")) {
		help_command(stdout, c);
		return 0;
	}
	code = c->run(&args, &err);
	return code < 0 ? report(c, code, &err) : code;
}

static int unknown(size_t argc, char *const *argv)
{
	cleanup_free char *word = NULL;

	if (argc == 0) {
		help_all(stderr);
		return 2;
	}
	if (help_group(argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr, argv[0]))
		return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
	word = safe_text(argv[0]);
	note("%s: there is no such command; disinto help lists them", word);
	return 2;
}

int main(int argc, char **argv)
{
	static char version[] = "version";
	const struct command *c;
	size_t words = 0;
	size_t n = argc > 0 ? (size_t)argc - 1 : 0;
	int code;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error like a full disk */
	term_init();
	if (sodium_init() < 0) {
		note("start: no random numbers: the kernel's generator can't be read; look at /dev/urandom");
		return 1;
	}
	if (n > 0 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		help_all(stdout);
		return 0;
	}
	if (n > 0 && strcmp(argv[1], "--version") == 0)
		argv[1] = version;
	c = command_find(n, (const char *const *)(uintptr_t)(argv + 1), &words);
	code = c ? run_command(c, n - words, argv + 1 + words) : unknown(n, argv + 1);
	if (fflush(stdout) != 0 && code == 0) {
		note("output: it could not be written: %s", strerror(errno));
		return 1;
	}
	return code;
}
