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

/* What commands of earlier tools are called now. */
static const struct {
	const char *was, *is;
} former[] = {{"vault-run", "run ID"}};

static bool asks_for_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int unknown(size_t argc, char *const *argv)
{
	bool asked = argc > 1 && asks_for_help(argv[1]);
	cleanup_free char *word = NULL;

	if (argc == 0) {
		help_all(stderr);
		return 2;
	}
	if (help_group(asked ? stdout : stderr, argv[0]))
		return asked ? 0 : 2;
	for (size_t i = 0; i < sizeof(former) / sizeof(*former); i++)
		if (strcmp(argv[0], former[i].was) == 0) {
			note("%s: is called `disinto %s` now", former[i].was, former[i].is);
			return 2;
		}
	word = safe_text(argv[0]);
	note("%s: there is no such command; disinto help lists them", word);
	return 2;
}

/* `disinto --config FILE list` is `disinto list --config FILE`: what stands before the command goes behind its words. */
static size_t options_in_front(size_t n, char *const *argv)
{
	size_t i = 0;

	while (i < n && argv[i][0] == '-') {
		bool config = strcmp(argv[i], "--config") == 0 || strcmp(argv[i], "-c") == 0;

		if (!config && strncmp(argv[i], "--config=", 9) != 0)
			break;
		i += config ? 2 : 1;
	}
	return i < n ? i : 0;
}

static char **with_options_behind(size_t n, char **argv)
{
	size_t front = options_in_front(n, argv), words = 0;
	const struct command *c = command_find(n - front, (const char *const *)(uintptr_t)(argv + front), &words);
	char **moved = xcalloc(n + 1, sizeof(*moved));

	if (!c)
		words = n - front;
	for (size_t i = 0; i < words; i++)
		moved[i] = argv[front + i];
	for (size_t i = 0; i < front; i++)
		moved[words + i] = argv[i];
	for (size_t i = front + words; i < n; i++)
		moved[i] = argv[i];
	return moved;
}

int main(int argc, char **argv)
{
	cleanup_free char **words_first = NULL;
	static char version[] = "version";
	const struct command *c;
	char **first;
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
	first = argv + 1 + options_in_front(n, argv + 1);
	if (n > 0 && asks_for_help(*first)) {
		help_all(stdout);
		return 0;
	}
	if (n > 0 && strcmp(*first, "--version") == 0)
		*first = version;
	words_first = with_options_behind(n, argv + 1);
	c = command_find(n, (const char *const *)(uintptr_t)words_first, &words);
	code = c ? run_command(c, n - words, words_first + words) : unknown(n, words_first);
	if (fflush(stdout) != 0 && code == 0) {
		note("output: it could not be written: %s", strerror(errno));
		return 1;
	}
	return code;
}
