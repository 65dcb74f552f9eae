/* Agents: which command line a prompt step runs. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "vault/check.h"
#include <string.h>

#define PROMPT "{prompt}"
#define MODEL "{model}"

/* Linux takes no longer argument, whatever the limit of all together (MAX_ARG_STRLEN, 32 pages, with its NUL). */
#define ARGUMENT_MAX ((size_t)131071)

/*
 * What we know without being told. The program's name comes first in arguments. Claude takes the last of repeated flags, so the one that
 * makes it ask nobody stands at the end.
 */
static const struct builtin {
	const char *name;
	const char *arguments[12];
	const char *variables[4];
	bool speaks_events; /* as progress.c reads them */
} builtins[] = {
    {"claude",
     {"claude", "-p", PROMPT, "--model", MODEL, "--output-format", "stream-json", "--verbose", "--permission-mode", "bypassPermissions"},
     {"CLAUDE_CONFIG_DIR=" TASK_DIR "/.claude", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"},
     true},
    {"opencode", {"opencode", "run", "--model", MODEL, PROMPT}, {NULL}, false},
};

static const struct builtin *find_builtin(const char *name)
{
	for (size_t i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++)
		if (strcmp(builtins[i].name, name) == 0)
			return &builtins[i];
	return NULL;
}

/* The i-th string of the configured command line, or NULL. */
static const char *configured(const struct runner *r, const char *name, size_t i)
{
	return json_string_value(json_array_get(json_object_get(r->agents, name), i));
}

/* How many NAME=value stand before the configured command. */
static size_t count_assignments(const struct runner *r, const char *name)
{
	size_t n = 0;

	for (const char *s; (s = configured(r, name, n)) && check_is_assignment(s);)
		n++;
	return n;
}

const char *agent_program(const struct runner *r, const char *name)
{
	const struct builtin *known = find_builtin(name);
	const char *own = configured(r, name, count_assignments(r, name));

	return own ? own : known ? known->arguments[0] : NULL;
}

const char *agent_variable(const struct runner *r, const char *name, size_t i)
{
	const struct builtin *known = find_builtin(name);
	size_t n = 0;

	while (known && known->variables[n])
		n++;
	if (i < n)
		return known->variables[i];
	return i - n < count_assignments(r, name) ? configured(r, name, i - n) : NULL;
}

bool agent_speaks_events(const char *name)
{
	const struct builtin *known = find_builtin(name);
	return known && known->speaks_events;
}

/* A command line that is being put together. */
struct line {
	char **argv;
	size_t n;
	bool has_prompt;
};

static void line_add(struct line *l, const char *s)
{
	l->argv = xrealloc(l->argv, (l->n + 2) * sizeof(*l->argv));
	l->argv[l->n++] = xstrdup(s);
	l->argv[l->n] = NULL;
}

/* Without a model, its place vanishes together with the flag before it. */
static void line_add_model(struct line *l, const char *model)
{
	if (model) {
		line_add(l, model);
	} else if (l->n > 1 && l->argv[l->n - 1][0] == '-') {
		free(l->argv[--l->n]);
		l->argv[l->n] = NULL;
	}
}

static void line_add_argument(struct line *l, const char *s, const char *prompt, const char *model)
{
	bool is_prompt = strcmp(s, PROMPT) == 0;

	l->has_prompt |= is_prompt;
	if (strcmp(s, MODEL) == 0)
		line_add_model(l, model);
	else
		line_add(l, is_prompt ? prompt : s);
}

char **agent_argv(const struct runner *r, const struct formula_step *step, const char *prompt)
{
	const struct builtin *known = find_builtin(step->agent);
	const char *model = r->action.model;
	struct line l = {.argv = NULL};
	const char *s;

	for (size_t i = count_assignments(r, step->agent); (s = configured(r, step->agent, i)); i++)
		line_add_argument(&l, s, prompt, model);
	/* What is configured for an agent that we know stands for its program, unless it is a whole command line. */
	bool whole = l.has_prompt;
	for (size_t i = l.n > 0 ? 1 : 0; known && !whole && (s = known->arguments[i]); i++)
		line_add_argument(&l, s, prompt, model);
	if (!l.has_prompt)
		line_add(&l, prompt);
	return l.argv;
}

void agent_argv_free(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

int agent_check_prompt(const struct formula_step *step, const char *prompt, struct err *err)
{
	if (strlen(prompt) > ARGUMENT_MAX)
		return err_set(
		    err, ERR_INVALID,
		    "the prompt of step %s has %zu bytes with its data, and no program takes an argument of more than %zu; shorten "
		    "the prompt or the inputs, or leave the data in files of an earlier step",
		    step->id, strlen(prompt), ARGUMENT_MAX);
	return 0;
}

char *agent_where(const struct runner *r, const struct formula_step *step, const char *key)
{
	char *path cleanup_free = xasprintf("steps[%td].%s", step - r->formula.steps, key);

	return formula_where(&r->formula, path);
}

int agent_check(const struct runner *r, const struct formula_step *step, struct err *err)
{
	char *prompt cleanup_free = prompt_make(r, step);
	char *agent_at cleanup_free = agent_where(r, step, "agent");
	char *prompt_at cleanup_free = agent_where(r, step, "prompt");

	if (!agent_program(r, step->agent))
		return err_set(err, ERR_INVALID,
		               "%s: the agent %s is not known; write claude, opencode, or a name that `agents` of the dispatcher's "
		               "configuration has",
		               agent_at, step->agent);
	return agent_check_prompt(step, prompt, err) < 0 ? err_wrap(err, "%s", prompt_at) : 0;
}
