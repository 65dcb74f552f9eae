/* The environment of a step: these variables and no others. vault_is_step_variable() keeps secrets from taking their names. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "runner/askpass.h"
#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Two passes over the same variables: without vars it counts, with vars it writes. */
struct environment {
	char **vars;
	char *at;
	size_t n;
	size_t bytes;
};

static char *put(char *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	return to + len;
}

static void add(struct environment *e, const char *prefix, const char *name, const void *value, size_t len)
{
	if (e->vars) {
		e->vars[e->n] = e->at;
		e->at = put(e->at, prefix, strlen(prefix));
		e->at = put(e->at, name, strlen(name));
		e->at = put(e->at, "=", 1);
		e->at = put(e->at, value, len);
		e->at = put(e->at, "", 1);
	}
	e->n++;
	e->bytes += strlen(prefix) + strlen(name) + 1 + len + 1;
}

static void add_text(struct environment *e, const char *name, const char *value)
{
	add(e, "", name, value, strlen(value));
}

static void add_input(struct environment *e, const char *name, const char *value)
{
	char *upper = xstrdup(name);
	for (char *c = upper; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	add(e, "INPUT_", upper, value, strlen(value));
	free(upper);
}

/* GIT_CONFIG_KEY_<i> and its value, as git reads them after all files (git-config(1)). */
static void add_git_setting(struct environment *e, size_t i, const char *key, const char *value)
{
	char *key_name cleanup_free = xasprintf("GIT_CONFIG_KEY_%zu", i);
	char *value_name cleanup_free = xasprintf("GIT_CONFIG_VALUE_%zu", i);

	add_text(e, key_name, key);
	add_text(e, value_name, value);
}

/*
 * An empty helper ends the list of those before it. One that the image or an earlier step has set up would be asked before us and told what we
 * answered; `store` writes it down for steps that have no such secret. Other hosts keep theirs.
 */
static void add_no_other_helpers(struct environment *e, const struct runner *r, const struct formula_step *step)
{
	static const char *const schemes[] = {"https", "http"};
	json_t *hosts = (json_t *)r->formula.git_auth; /* only read; jansson's iterators want it so */
	const char *host;
	json_t *secret;
	size_t n = 0;

	json_object_foreach (hosts, host, secret) {
		for (size_t i = 0; i < 2 && secrets_granted(step, json_string_value(secret)); i++) {
			char *key cleanup_free = xasprintf("credential.%s://%s.helper", schemes[i], host);
			add_git_setting(e, n++, key, "");
		}
	}
	char *count cleanup_free = xasprintf("%zu", n);
	add_text(e, "GIT_CONFIG_COUNT", count);
}

/* Hosts are known beforehand or not at all. Where git_auth has something for the step, the helper answers for the terminal at which nobody sits. */
static void add_git(struct environment *e, const struct runner *r, const struct formula_step *step)
{
	char *map cleanup_free = askpass_map(r, step);

	if (r->known_hosts)
		add_text(e, "GIT_SSH_COMMAND",
		         "ssh -o UserKnownHostsFile=" KNOWN_HOSTS_FILE " -o StrictHostKeyChecking=yes -o BatchMode=yes");
	if (*map) {
		add_text(e, "GIT_TERMINAL_PROMPT", "0");
		add_text(e, "GIT_ASKPASS", ASKPASS_PATH);
		add_text(e, ASKPASS_MAP, map);
		add_no_other_helpers(e, r, step);
	}
}

static void add_agent(struct environment *e, const struct runner *r, const struct formula_step *step)
{
	const char *variable;

	for (size_t i = 0; step->agent && (variable = agent_variable(r, step->agent, i)); i++) {
		char *name cleanup_free = xasprintf("%.*s", (int)strcspn(variable, "="), variable);
		add_text(e, name, variable + strlen(name) + 1);
	}
}

static void add_all(struct environment *e, const struct runner *r, const struct formula_step *step)
{
	const char *name;
	json_t *value;
	json_t *inputs = (json_t *)r->action.inputs; /* only read; jansson's iterators want it so */

	add_text(e, "PATH", r->path);
	add_text(e, "HOME", TASK_DIR);
	add_text(e, "USER", ACCOUNT_NAME);
	add_text(e, "LOGNAME", ACCOUNT_NAME);
	add_text(e, "TMPDIR", TMP_DIR);
	add_text(e, "LANG", "C.UTF-8");
	add_text(e, "DISINTO_ACTION_ID", r->action.id);
	add_text(e, "DISINTO_CONTEXT", r->action.context);
	add_text(e, "DISINTO_STEP", step->id);
	add_text(e, "DISINTO_OUTPUT", OUTPUT_FILE);
	add_git(e, r, step);
	json_object_foreach (inputs, name, value) {
		add_input(e, name, json_string_value(value));
	}
	json_object_foreach (r->outputs, name, value) {
		add_input(e, name, json_string_value(value));
	}
	for (size_t i = 0; r->formula.secrets_as != SECRETS_AS_FILE && i < r->secrets.n; i++)
		if (secrets_granted(step, r->secrets.items[i].name))
			add(e, "", r->secrets.items[i].name, r->secrets.items[i].value, r->secrets.items[i].len);
	add_agent(e, r, step); /* last: of two variables with one name most programs take the first, and a secret is meant */
}

char **environment_make(const struct runner *r, const struct formula_step *step)
{
	struct environment size = {.vars = NULL};
	add_all(&size, r, step);

	size_t table = (size.n + 1) * sizeof(char *);
	/* Guarded memory ends at a page's end, so that the table is aligned only when the whole is. */
	size_t total = (table + size.bytes + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
	struct environment e = {.vars = sodium_malloc(total)};
	if (!e.vars)
		abort();
	e.at = (char *)e.vars + table;
	add_all(&e, r, step);
	e.vars[e.n] = NULL;
	return e.vars;
}
