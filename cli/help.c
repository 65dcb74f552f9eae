/*
 * Usage, --help, help and version, out of the table of commands.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "vault/version.h"
#include <string.h>

/* Columns of text with non-ASCII characters, which printf would count in bytes. */
static void put_padded(FILE *to, const char *s, size_t width)
{
	size_t columns = 0;

	for (const char *p = s; *p; p++)
		columns += ((unsigned char)*p & 0xc0) != 0x80;
	fputs(s, to);
	do
		fputc(' ', to);
	while (++columns < width);
}

static void put_command(FILE *to, const struct command *c)
{
	cleanup_free char *usage = xasprintf("%s %s", c->name, c->operands);

	fputs("  ", to);
	put_padded(to, usage, 24);
	fprintf(to, "%s\n", c->summary);
}

void help_all(FILE *to)
{
	fputs("usage: disinto COMMAND [OPTION…] [OPERAND…]\n\n", to);
	for (const struct command *c = commands; c->name; c++)
		put_command(to, c);
	fputs("\ndisinto COMMAND --help says more about one of them.\n", to);
}

bool help_group(FILE *to, const char *word)
{
	size_t len = strlen(word);
	bool found = false;

	for (const struct command *c = commands; c->name; c++) {
		if (strncmp(c->name, word, len) != 0 || c->name[len] != ' ')
			continue;
		if (!found)
			fprintf(to, "usage: disinto %s COMMAND [OPTION…] [OPERAND…]\n\n", word);
		put_command(to, c);
		found = true;
	}
	return found;
}

static void put_options(FILE *to, const struct cli_option *options)
{
	for (const struct cli_option *o = options; o->name; o++) {
		char letter[] = {'-', o->letter, ',', ' ', '\0'};
		cleanup_free char *usage =
		    xasprintf("%s--%s%s%s", o->letter ? letter : "    ", o->name, o->value ? " " : "", o->value ? o->value : "");

		fputs("  ", to);
		put_padded(to, usage, 26);
		fprintf(to, "%s\n", o->help);
	}
}

void help_command(FILE *to, const struct command *c)
{
	fprintf(to, "usage: disinto %s [OPTION…]%s%s\n\n%c%s.\n\n", c->name, *c->operands ? " " : "", c->operands,
	        c->summary[0] - 'a' + 'A', c->summary + 1);
	put_options(to, c->options);
	put_options(to, common_options);
	fprintf(to, "\nexample: %s\n", c->example);
}

/* Text in which scdoc(5) finds no markup. */
static void put_plain(FILE *to, const char *s)
{
	for (; *s; s++) {
		if (strchr("*_\\`#<>+", *s))
			fputc('\\', to);
		fputc(*s, to);
	}
}

static void manual_options(FILE *to, const struct cli_option *options)
{
	for (const struct cli_option *o = options; o->name; o++) {
		if (o->letter)
			fprintf(to, "*-%c*, ", o->letter);
		fprintf(to, "*--%s*", o->name);
		if (o->value)
			fprintf(to, " _%s_", o->value);
		fputs("\n\t", to);
		put_plain(to, o->help);
		fputs("\n\n", to);
	}
}

static void manual_command(FILE *to, const struct command *c)
{
	fprintf(to, "## %s %s\n\n", c->name, c->operands);
	fputc(c->summary[0] - 'a' + 'A', to);
	put_plain(to, c->summary + 1);
	fputs(".\n\n", to);
	manual_options(to, c->options);
	fprintf(to, "```\n%s\n```\n\n", c->example);
}

void help_manual(FILE *to)
{
	fputs("Every command knows these options.\n\n", to);
	manual_options(to, common_options);
	for (const struct command *c = commands; c->name; c++)
		manual_command(to, c);
}

int cmd_help(const struct args *args, struct err *err)
{
	const struct command *c;
	size_t n;

	if (args_has(args, "manual")) {
		help_manual(stdout);
		return CLI_DONE;
	}
	if (args->n_operands == 0) {
		help_all(stdout);
		return CLI_DONE;
	}
	c = command_find(args->n_operands, args->operands, &n);
	if (c)
		help_command(stdout, c);
	else if (!help_group(stdout, args->operands[0])) {
		err_set(err, ERR_INVALID, "there is no command '%s'; disinto help lists them", args->operands[0]);
		return CLI_USAGE;
	}
	return CLI_DONE;
}

int cmd_version(const struct args *args, struct err *err)
{
	(void)err;
	if (args_has(args, "json"))
		printf("{\"version\": \"%s\"}\n", DISINTO_VERSION);
	else
		printf("disinto %s\n", DISINTO_VERSION);
	return CLI_DONE;
}
