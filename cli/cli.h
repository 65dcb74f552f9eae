/*
 * The command line: its table of commands, and what the families of commands share.
 *
 * commands.c holds the table; dispatch, usage and --help are all read from it. A command gets its parsed arguments and
 * returns its exit code, or CLI_FAILED with `err` set ("<what>: <why>; <what to do>"), or CLI_USAGE likewise where the
 * arguments make no sense together.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "lib/buf.h"
#include "lib/err.h"
#include "vault/config/config.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <wchar.h>

#define CLI_DONE 0
#define CLI_FINDING 1
#define CLI_FAILED (-1)
#define CLI_USAGE (-2)

/* args.c: options and operands of one command. */

struct cli_option {
	const char *name;  /* long name, without dashes; NULL ends a list */
	char letter;       /* short name, or 0 */
	const char *value; /* what its value is called in help; NULL: a flag */
	const char *help;
};

struct args;

struct command {
	const char *name;     /* one word or two: "secrets add" */
	const char *operands; /* as help shows them: "[FILE…]" */
	size_t min, max;      /* number of operands */
	const char *summary;  /* half a sentence */
	const struct cli_option *options;
	const char *example; /* a command line that works, shown by --help */
	int (*run)(const struct args *args, struct err *err);
	int failure; /* exit code instead of 1 and 2 where the command itself fails; 0: those */
};

struct args {
	const struct command *command;
	const char **operands; /* owned array of borrowed strings */
	size_t n_operands;
	struct {
		const struct cli_option *option;
		const char *value;
	} * given; /* owned */
	size_t n_given;
};

/* Parses argv (without the command's own words). --help is known to every command. Returns 0 or -1 with a sentence about what is wrong. */
int args_parse(const struct command *command, size_t argc, char *const *argv, struct args *ret, struct err *err);
void args_free(struct args *a);
#define cleanup_args __attribute__((cleanup(args_free)))
#define ARGS_INIT \
	{ \
		NULL, NULL, 0, NULL, 0 \
	}

bool args_has(const struct args *a, const char *name);
/* The last value given, or NULL. */
const char *args_value(const struct args *a, const char *name);
/* The value number i of an option that may be repeated, or NULL past the last. */
const char *args_nth(const struct args *a, const char *name, size_t i);
/* A whole number of min..max; `fallback` when not given. */
int args_int(const struct args *a, const char *name, int min, int max, int fallback, int *ret, struct err *err);
/* Operand i, or NULL. */
const char *args_operand(const struct args *a, size_t i);

/* commands.c: the table, ended by a NULL name, and the options that every command knows. */
extern const struct command commands[];
extern const struct cli_option common_options[];
/* The command that the first one or two words name, and how many words that were; NULL: none. */
const struct command *command_find(size_t argc, const char *const *argv, size_t *ret_words);

/* help.c */
void help_all(FILE *to);
/* All commands whose first word is `word`; false when there are none. */
bool help_group(FILE *to, const char *word);
/* All commands as sections of a manual page, in scdoc(5). */
void help_manual(FILE *to);
void help_command(FILE *to, const struct command *c);

/* term.c: what people see. */

/* Once, first: makes UTF-8 known whatever the locale is. */
void term_init(void);
bool term_is(int fd);
/* 80 where it can't be known. 0: not a terminal, so that nothing should be cut. */
size_t term_width(int fd);

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_DIM, COLOUR_BOLD };
/* The sequence that switches a colour on (COLOUR_NONE: back), "" unless `to` is a terminal that should have colours. */
const char *colour(FILE *to, enum colour c);

/* A sentence on standard error, "disinto: …", made safe. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Text from elsewhere, made safe for a terminal: control characters other than newline and tab, invisible format characters and
 * bytes that are not UTF-8 are shown as \x1b or \u202e. A stream takes any chunking.
 */
struct safe_stream {
	mbstate_t state;
	unsigned char held[8];
	size_t n_held;
	bool cr;
};
void safe_feed(struct safe_stream *s, const char *data, size_t len, struct buf *out);
void safe_end(struct safe_stream *s, struct buf *out);
/* One whole string. Caller frees. NULL is "". */
char *safe_text(const char *s);
/* The same on one line: newlines and tabs become spaces. */
char *safe_line(const char *s);

/*
 * Rows of cells under headers. Where a terminal is too narrow, columns that say nothing are left out, then the last one is cut, then the widest of the others.
 */
struct table {
	size_t n_columns;
	char **cells; /* n_rows * n_columns, owned, safe text; the first row is the headers */
	size_t n_rows;
	enum colour (*colour_of)(size_t column, const char *cell); /* on a terminal; NULL: none */
};
/* `headers` is NULL-terminated. */
void table_init(struct table *t, const char *const *headers);
/* Cells are copied and made safe; NULL is "-". */
void table_add(struct table *t, const char *const *cells);
/* width 0: nothing is cut. */
void table_format(const struct table *t, size_t width, struct buf *out);
void table_print(const struct table *t, FILE *to);
void table_free(struct table *t);
#define cleanup_table __attribute__((cleanup(table_free)))

/* A string member, or NULL. Borrowed. */
const char *text_of(const json_t *object, const char *key);
/* "  label   value", made safe, further lines under the first. NULL prints nothing. */
void print_pair(FILE *to, const char *label, const char *value);
/* A character as a string in JSON may have it: \u202e. */
void json_escape(uint32_t c, struct buf *out);
/* The same JSON, with what a terminal might obey, or nobody sees, written as \u202e. Caller frees. */
char *json_safe(const char *text);
/* Prints two-space indented JSON, made safe. Returns CLI_DONE. */
int print_json(const json_t *value);
/* "4.2 s", "3 min 07 s", "2 h 05 min". Returns buf. */
char *duration_text(int64_t ms, char buf[static 32]);
/* "3 min ago" for a wall-clock time; "-" for 0. Into buf of 32. Returns buf. */
char *ago(int64_t then_ms, int64_t now_ms, char buf[static 32]);

/* prompt.c */

/* Asks on the terminal; anything but y or yes is no. */
bool prompt_yes(const char *question);
/*
 * One hidden line from the terminal on standard input, into sodium_malloc'ed memory (caller sodium_frees). More than one line is refused, since
 * a shell would run the rest.
 */
int prompt_hidden(const char *label, size_t max, unsigned char **ret, size_t *ret_len, struct err *err);
/* All of standard input, as it is, likewise. ERR_INVALID when larger than max. */
int read_hidden(int fd, size_t max, unsigned char **ret, size_t *ret_len, struct err *err);

/* common.c */

/* The configuration of --config, DISINTO_CONFIG, … */
int cli_config(const struct args *args, struct config *ret, struct err *err);
/*
 * The same for commands that can do with a dispatcher alone: where DISINTO_URL names one, there need not be a configuration. It is CONFIG_INIT then, and
 * cli_has_repo says so.
 */
int cli_site(const struct args *args, struct config *ret, struct err *err);
/* What commands about one action begin with: its id, and cli_site. 0, or what the command returns. */
int cli_action(const struct args *args, struct config *ret, struct err *err);
bool cli_has_repo(const struct config *config);
/* -1 unless `id` can be an action's. */
int cli_id(const char *id, struct err *err);

/* The commands. */
int cmd_init(const struct args *args, struct err *err);
int cmd_secrets_keygen(const struct args *args, struct err *err);
int cmd_secrets_add(const struct args *args, struct err *err);
int cmd_secrets_show(const struct args *args, struct err *err);
int cmd_secrets_list(const struct args *args, struct err *err);
int cmd_secrets_remove(const struct args *args, struct err *err);
int cmd_secrets_rotate(const struct args *args, struct err *err);
int cmd_secrets_migrate(const struct args *args, struct err *err);
int cmd_secrets_exposure(const struct args *args, struct err *err);
int cmd_propose(const struct args *args, struct err *err);
int cmd_pending(const struct args *args, struct err *err);
int cmd_approve(const struct args *args, struct err *err);
int cmd_validate(const struct args *args, struct err *err);
int cmd_branch_protect(const struct args *args, struct err *err);
int cmd_verify(const struct args *args, struct err *err);
int cmd_run(const struct args *args, struct err *err);
int cmd_list(const struct args *args, struct err *err);
int cmd_show(const struct args *args, struct err *err);
int cmd_logs(const struct args *args, struct err *err);
int cmd_artifacts(const struct args *args, struct err *err);
int cmd_cancel(const struct args *args, struct err *err);
int cmd_settle(const struct args *args, struct err *err);
int cmd_accept_backlog(const struct args *args, struct err *err);
int cmd_accept_history(const struct args *args, struct err *err);
int cmd_drain(const struct args *args, struct err *err);
int cmd_backup(const struct args *args, struct err *err);
int cmd_restore(const struct args *args, struct err *err);
int cmd_token_add(const struct args *args, struct err *err);
int cmd_token_list(const struct args *args, struct err *err);
int cmd_token_revoke(const struct args *args, struct err *err);
int cmd_doctor(const struct args *args, struct err *err);
int cmd_status(const struct args *args, struct err *err);
int cmd_up(const struct args *args, struct err *err);
int cmd_down(const struct args *args, struct err *err);
int cmd_shell(const struct args *args, struct err *err);
int cmd_compose_logs(const struct args *args, struct err *err);
int cmd_compose_render(const struct args *args, struct err *err);
int cmd_compose_check(const struct args *args, struct err *err);
int cmd_version(const struct args *args, struct err *err);
int cmd_complete(const struct args *args, struct err *err);
int cmd_help(const struct args *args, struct err *err);

#endif
