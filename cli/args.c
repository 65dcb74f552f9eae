/*
 * Options and operands of one command, on getopt_long.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 24
#define FIRST_LONG 256 /* codes of options without a letter begin here */

struct known {
	const struct cli_option *v[MAX_OPTIONS];
	size_t n;
	struct option longs[MAX_OPTIONS + 1];
	struct buf shorts;
};

static void known_free(struct known *k)
{
	buf_free(&k->shorts);
}

static void know(struct known *k, const struct cli_option *options)
{
	for (const struct cli_option *o = options; o && o->name && k->n < MAX_OPTIONS; o++) {
		k->longs[k->n] = (struct option){o->name, o->value ? required_argument : no_argument, NULL, FIRST_LONG + (int)k->n};
		if (o->letter) {
			buf_addc(&k->shorts, o->letter);
			buf_adds(&k->shorts, o->value ? ":" : "");
		}
		k->v[k->n++] = o;
	}
}

static const struct cli_option *find(const struct known *k, int code)
{
	if (code >= FIRST_LONG)
		return (size_t)(code - FIRST_LONG) < k->n ? k->v[code - FIRST_LONG] : NULL;
	for (size_t i = 0; i < k->n; i++)
		if (k->v[i]->letter == code)
			return k->v[i];
	return NULL;
}

/* optopt is a letter, or 0 or a long option's code, and then `word` is what stood there. */
static int refuse(int code, const char *word, struct err *err)
{
	char letter[3] = {'-', (char)optopt, '\0'};

	if (optopt > 0 && optopt < FIRST_LONG)
		word = letter;
	if (code == ':')
		return err_set(err, ERR_INVALID, "%s needs a value", word);
	if (optopt >= FIRST_LONG)
		return err_set(err, ERR_INVALID, "%s takes no value", word);
	return err_set(err, ERR_INVALID, "there is no option %s", word);
}

static int check_operands(const struct args *a, struct err *err)
{
	const struct command *c = a->command;

	if (a->n_operands < c->min)
		return err_set(err, ERR_INVALID, "%s is missing", c->operands);
	if (a->n_operands > c->max)
		return err_set(err, ERR_INVALID, "'%s' is one operand too many", a->operands[c->max]);
	return 0;
}

/* getopt_long needs a program name in front and moves the pointers about; the copy is its own. */
static char **with_name(size_t argc, char *const *argv)
{
	char **copy = xcalloc(argc + 2, sizeof(*copy));
	static char name[] = "disinto";

	copy[0] = name;
	for (size_t i = 0; i < argc; i++)
		copy[i + 1] = argv[i];
	return copy;
}

int args_parse(const struct command *command, size_t argc, char *const *argv, struct args *ret, struct err *err)
{
	__attribute__((cleanup(known_free))) struct known known = {.shorts = BUF_INIT};
	cleanup_free char **copy = with_name(argc, argv);
	int code;

	args_free(ret);
	ret->command = command;
	ret->operands = xcalloc(argc + 1, sizeof(*ret->operands));
	ret->given = xcalloc(argc + 1, sizeof(*ret->given));
	buf_adds(&known.shorts, ":");
	know(&known, command->options);
	know(&known, common_options);

	optind = 0; /* starts anew, glibc's way */
	opterr = 0;
	while ((code = getopt_long((int)argc + 1, copy, known.shorts.data, known.longs, NULL)) != -1) {
		const struct cli_option *o = find(&known, code);

		if (code == ':' || !o)
			return refuse(code, copy[optind - 1], err);
		ret->given[ret->n_given].option = o;
		ret->given[ret->n_given++].value = optarg;
	}
	for (size_t i = (size_t)optind; i < argc + 1; i++)
		ret->operands[ret->n_operands++] = copy[i];
	if (args_has(ret, "help"))
		return 0;
	return check_operands(ret, err);
}

void args_free(struct args *a)
{
	free(a->operands);
	free(a->given);
	*a = (struct args)ARGS_INIT;
}

const char *args_nth(const struct args *a, const char *name, size_t nth)
{
	for (size_t i = 0; i < a->n_given; i++)
		if (strcmp(a->given[i].option->name, name) == 0 && nth-- == 0)
			return a->given[i].value ? a->given[i].value : "";
	return NULL;
}

bool args_has(const struct args *a, const char *name)
{
	return args_nth(a, name, 0) != NULL;
}

const char *args_value(const struct args *a, const char *name)
{
	const char *last = NULL;
	const char *value;

	for (size_t i = 0; (value = args_nth(a, name, i)); i++)
		last = value;
	return last;
}

int args_int(const struct args *a, const char *name, int min, int max, int fallback, int *ret, struct err *err)
{
	const char *text = args_value(a, name);
	char *end;
	long n;

	if (!text) {
		*ret = fallback;
		return 0;
	}
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max)
		return err_set(err, ERR_INVALID, "--%s: '%s' is not a whole number from %d to %d", name, text, min, max);
	*ret = (int)n;
	return 0;
}

const char *args_operand(const struct args *a, size_t i)
{
	return i < a->n_operands ? a->operands[i] : NULL;
}
