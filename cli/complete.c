/*
 * complete: what may follow the words of a command line that is being typed, out of the table of commands. The shell's completion asks this, so that there is no second
 * list. Ids and names come from the dispatcher and from the clone of the ops repo as it is: nothing waits for a server.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 1500 /* for a dispatcher that is far away */

/* What is being completed. */
struct completion {
	const struct command *command;
	const char *word;    /* as far as it is typed */
	const char *operand; /* the one before it, or NULL */
	struct config config;
	bool has_config;
};

static void offer(const struct completion *c, const char *candidate)
{
	if (strncmp(candidate, c->word, strlen(c->word)) == 0)
		printf("%s\n", candidate);
}

/* The words of "lost|rerun" or "low medium high". */
static void offer_words(const struct completion *c, const char *words)
{
	while (*words) {
		size_t len = strcspn(words, " |");
		cleanup_free char *word = xasprintf("%.*s", (int)len, words);

		if (len > 0)
			offer(c, word);
		words += len + (words[len] != '\0');
	}
}

/* Where the site is. Completion is silent: what is wrong with it other commands say. */
static bool find_site(struct completion *c)
{
	static const struct args none = ARGS_INIT;

	if (!c->has_config)
		c->has_config = cli_site(&none, &c->config, NULL) == 0;
	return c->has_config;
}

/* Which ids make sense behind a command; all where it is not listed. */
static bool suits(const char *command, const char *state)
{
	static const struct {
		const char *command, *states;
	} narrower[] = {
	    {"approve", "pending"},
	    {"run", "waiting queued starting running recording"},
	    {"cancel", "pending waiting queued starting running"},
	    {"settle", "waiting"},
	};

	for (size_t i = 0; i < sizeof(narrower) / sizeof(*narrower); i++)
		if (strcmp(narrower[i].command, command) == 0)
			return strstr(narrower[i].states, state) != NULL;
	return true;
}

static void offer_ids(struct completion *c)
{
	cleanup_json json_t *rows = json_array();
	const json_t *row;
	size_t i;

	if (!find_site(c))
		return;
	runs_known(&c->config, PATIENCE_MS, rows);
	json_array_foreach (rows, i, row)
		if (text_of(row, "id") && text_of(row, "state") && vault_is_id(text_of(row, "id")) &&
		    suits(c->command->name, text_of(row, "state")))
			offer(c, text_of(row, "id"));
}

/* Names of the files of a folder of the tip, without their ending. */
static void offer_names(struct completion *c, const char *folder, const char *ending, bool (*is_name)(const char *))
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_git(git_tree) git_tree *tree = NULL;

	if (!find_site(c) || !cli_has_repo(&c->config) || repo_as_it_was(&c->config, &repo, NULL) < 0 ||
	    git_repo_tree(repo.git, &repo.tip, folder, &tree, NULL) < 0)
		return;
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const char *file = git_tree_entry_name(git_tree_entry_byindex(tree, i));
		size_t len = strlen(file), tail = strlen(ending);
		cleanup_free char *name = xasprintf("%.*s", (int)(len > tail ? len - tail : 0), file);

		if (len > tail && strcmp(file + len - tail, ending) == 0 && is_name(name))
			offer(c, name);
	}
}

/* Whether a command before this one begins with the same word. */
static bool is_repeated(const struct command *command, size_t len)
{
	for (const struct command *one = commands; one != command; one++)
		if (strncmp(one->name, command->name, len) == 0 && one->name[len] == ' ')
			return true;
	return false;
}

/* The first word of a command, or its second. */
static void complete_command(struct completion *c, const char *first)
{
	for (const struct command *one = commands; one->name; one++) {
		size_t len = strcspn(one->name, " ");
		cleanup_free char *word = xasprintf("%.*s", (int)len, one->name);

		if (!first && !is_repeated(one, len))
			offer(c, word);
		else if (first && strcmp(word, first) == 0 && one->name[len])
			offer(c, one->name + len + 1);
	}
}

/* By what the table calls it. Files are the shell's own business. */
static void offer_value(struct completion *c, const char *called)
{
	if (strcmp(called, "ID") == 0)
		offer_ids(c);
	else if (strcmp(called, "SECRET") == 0)
		offer_names(c, VAULT_SECRETS, ".age", vault_is_secret);
	else if (strcmp(called, "FORMULA") == 0)
		offer_names(c, VAULT_FORMULAS, ".yaml", vault_is_id);
	else if (strcmp(called, "STATE") == 0)
		offer_words(c, RUNS_STATES);
	else if (strcmp(called, "SCOPE") == 0)
		offer_words(c, "propose read operate");
	else if (strcmp(called, "TIER") == 0)
		offer_words(c, "low medium high");
	else if (strcmp(called, "COMMAND") == 0)
		complete_command(c, c->operand);
	else if (strchr(called, '|'))
		offer_words(c, called);
}

/* What the table calls operand number n: "ID lost|rerun", "[FILE…]". Caller frees; NULL: there is none. */
static char *operand_name(const struct command *command, size_t n)
{
	const char *at = command->operands;

	for (;; n--) {
		at += strspn(at, " [");
		size_t len = strcspn(at, " ]");
		cleanup_free char *name = xasprintf("%.*s", (int)len, at);
		char *more = strstr(name, "…");

		if (len == 0)
			return NULL;
		if (more)
			*more = '\0';
		if (n == 0 || more)
			return steal_ptr(&name);
		at += len + strspn(at + len, "]");
	}
}

static void offer_options(struct completion *c, const struct cli_option *options)
{
	for (const struct cli_option *o = options; o->name; o++) {
		cleanup_free char *option = xasprintf("--%s", o->name);
		offer(c, option);
	}
}

static const struct cli_option *option_in(const struct cli_option *options, const char *word)
{
	for (const struct cli_option *o = options; o->name; o++)
		if ((word[1] == '-' && strcmp(word + 2, o->name) == 0) || (word[1] != '-' && word[1] == o->letter && word[2] == '\0'))
			return o;
	return NULL;
}

/* The option that this word is, if it takes a value; else NULL. */
static const struct cli_option *wants_value(const struct command *command, const char *word)
{
	const struct cli_option *o = NULL;

	if (word[0] != '-' || word[1] == '\0')
		return NULL;
	o = command ? option_in(command->options, word) : NULL;
	if (!o)
		o = option_in(common_options, word);
	return o && o->value ? o : NULL;
}

/* Behind a command: its options, the value of one, or an operand. */
static void complete_operands(struct completion *c, char *const *words, size_t n)
{
	const struct cli_option *open = NULL; /* whose value comes next */
	size_t operands = 0;

	for (size_t i = 0; i < n; i++) {
		/* Bash takes --state=finished apart at the sign. */
		if (open && strcmp(words[i], "=") == 0)
			continue;
		if (open) {
			open = NULL;
			continue;
		}
		open = wants_value(c->command, words[i]);
		if (words[i][0] != '-') {
			c->operand = words[i];
			operands++;
		}
	}
	if (open && strcmp(c->word, "=") == 0)
		c->word = "";
	if (open) {
		offer_value(c, open->value);
	} else if (c->word[0] == '-') {
		offer_options(c, c->command->options);
		offer_options(c, common_options);
	} else {
		cleanup_free char *name = operand_name(c->command, operands);
		if (name)
			offer_value(c, name);
	}
}

/* --config before the command: it is looked at too. Returns how many words those are. */
static size_t take_front(char *const *words, size_t n)
{
	size_t i = 0;

	while (i + 1 < n && (strcmp(words[i], "--config") == 0 || strcmp(words[i], "-c") == 0)) {
		size_t value = i + 1 + (strcmp(words[i + 1], "=") == 0 && i + 2 < n);

		setenv("DISINTO_CONFIG", words[value], 1);
		i = value + 1;
	}
	return i;
}

int cmd_complete(const struct args *args, struct err *err)
{
	struct completion c = {.word = "", .config = CONFIG_INIT};
	char *const *words = (char *const *)(uintptr_t)args->operands;
	size_t n = args->n_operands, used = 0;

	(void)err;
	if (n > 0)
		c.word = words[--n];
	size_t front = take_front(words, n);
	words += front;
	n -= front;
	c.command = command_find(n, (const char *const *)(uintptr_t)words, &used);
	if (c.command)
		complete_operands(&c, words + used, n - used);
	else if (n == 0 && c.word[0] == '-')
		offer_options(&c, common_options);
	else if (n <= 1)
		complete_command(&c, n == 1 ? words[0] : NULL);
	config_free(&c.config);
	return CLI_DONE;
}
