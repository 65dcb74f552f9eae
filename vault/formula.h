/*
 * A formula: a YAML file that says how an action runs (docs/formats.md).
 */
#ifndef VAULT_FORMULA_H
#define VAULT_FORMULA_H

#include "lib/err.h"
#include "lib/json.h"
#include "vault/action.h"
#include <stdbool.h>
#include <stdint.h>

#define FORMULA_MAX_BYTES 262144
#define FORMULA_MAX_STEPS 64
#define FORMULA_DEFAULT_USER 10001
#define FORMULA_DEFAULT_TIMEOUT_MINUTES 60
#define FORMULA_DEFAULT_GRACE_SECONDS 10

enum formula_retry { RETRY_NEVER, RETRY_SAFE };
enum formula_secrets_as { SECRETS_AS_BOTH, SECRETS_AS_FILE, SECRETS_AS_ENV };

enum formula_when { WHEN_SUCCESS, WHEN_ALWAYS };

struct formula_step {
	const char *id;
	const char *run;        /* script for /bin/sh -eu, or NULL */
	const char *prompt;     /* or NULL; exactly one of the two */
	const char *agent;      /* prompt steps: default "claude" */
	const json_t *secrets;  /* names, or NULL when not listed: all of the action's for run, none for prompt */
	int timeout_minutes;    /* of this step alone, 1..1440; 0: none but the run's */
	enum formula_when when; /* WHEN_ALWAYS: also after a failure, a timeout or a cancel */
};

struct formula {
	json_t *json; /* owned; as parsed, with git_auth added where it was absent, and `lines`. Pointers below are borrowed from it */
	const char *name;
	const char *description; /* "" when absent */
	const char *image;       /* NULL: the dispatcher's runner image */
	uint32_t user;           /* uid = gid */
	const char *network;     /* "default", "none" or a configured name */
	int64_t nano_cpus;       /* 1e9 = one core */
	int64_t memory_bytes;
	int64_t tmp_bytes;
	int pids;
	int timeout_minutes; /* 1..1440 */
	int grace_seconds;   /* 0..300 */
	enum formula_retry retry;
	enum formula_secrets_as secrets_as;
	const json_t *git_auth; /* object host -> secret name; never NULL */
	struct formula_step steps[FORMULA_MAX_STEPS];
	size_t n_steps;
	const json_t *lines; /* the line of each value in the file, by its path ("steps[2].run"); NULL: it was not read from its file */
};

/* Parses and checks the text of vault/formulas/<name>.yaml. ERR_INVALID: "vault/formulas/<name>.yaml: line <n>[, step <id>]: <key>: <rule>". */
int formula_parse(const char *name, const char *text, size_t len, struct formula *ret, struct err *err);
/* The same checks on a value (takes a new reference); what the runner and the engine role use on what they are sent. Unavailable parts: none. */
int formula_from_json(const char *name, json_t *json, struct formula *ret, struct err *err);
/* The same, with errors that do not name the file yet. lines: of the file that the value was read from; NULL: what the value brings along itself. */
int formula_read(const char *name, json_t *json, const json_t *lines, struct formula *ret, struct err *err);
void formula_free(struct formula *f);
#define cleanup_formula __attribute__((cleanup(formula_free)))
#define FORMULA_INIT \
	{ \
		.json = NULL \
	}

/* "vault/formulas/f.yaml: line 9, step b: steps[1].agent", for messages about that value; what is not known is left out. Caller frees. */
char *formula_where(const struct formula *f, const char *path);
/* Its middle, of a value that may be no good formula: "line 9, step b". NULL: nothing is known. Caller frees. */
char *formula_place(const json_t *json, const json_t *lines, const char *path);

/*
 * What can only be said of the two together: secrets that a step or git_auth names but the action does not grant, and
 * secrets that would hide a variable of the step (unless they are given as files only).
 * ERR_INVALID names both files, and the line of the formula.
 */
int formula_suits(const struct formula *f, const struct action *a, struct err *err);
/* Whether a runner knows this agent (claude, opencode) without being told of it by the configuration. */
bool formula_agent_is_known(const char *name);
/* The action's timeout, else the formula's. */
int formula_timeout_minutes(const struct formula *f, const struct action *a);
/*
 * The longest that a run may take from when it is told to stop: the grace, and once more the grace where there are steps that run always.
 */
int formula_stop_seconds(const struct formula *f);

#endif
