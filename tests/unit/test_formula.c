#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/formula.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PATH "vault/formulas/f.yaml: "
#define MINIMAL "name: f\nsteps: [{id: s, run: \"true\"}]\n"
#define LEN(a) (sizeof(a) / sizeof(*(a)))

static int parse(const char *text, struct formula *ret, struct err *err)
{
	return formula_parse("f", text, strlen(text), ret, err);
}

static void assert_refused(const char *text, const char *message)
{
	cleanup_err struct err err = ERR_INIT;
	struct formula f = {.name = "untouched"};

	assert_int_equal(parse(text, &f, &err), -1);
	assert_string_equal(err_msg(&err), message);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(f.name, "untouched");
	assert_null(f.json);
}

static void defaults(void **state)
{
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse(MINIMAL, &f, &err), 0);
	assert_string_equal(f.name, "f");
	assert_string_equal(f.description, "");
	assert_null(f.image);
	assert_int_equal(f.user, 10001);
	assert_string_equal(f.network, "default");
	assert_int_equal(f.nano_cpus, 1000000000);
	assert_int_equal(f.memory_bytes, 512 << 20);
	assert_int_equal(f.tmp_bytes, 64 << 20);
	assert_int_equal(f.pids, 256);
	assert_int_equal(f.timeout_minutes, 60);
	assert_int_equal(f.grace_seconds, 10);
	assert_int_equal(f.retry, RETRY_NEVER);
	assert_int_equal(f.secrets_as, SECRETS_AS_BOTH);
	assert_true(json_is_object(f.git_auth));
	assert_int_equal(f.n_steps, 1);
	assert_string_equal(f.steps[0].id, "s");
	assert_string_equal(f.steps[0].run, "true");
	assert_null(f.steps[0].prompt);
	assert_null(f.steps[0].agent);
	assert_null(f.steps[0].secrets);
}

static const char everything_text[] = "name: f\n"
                                      "description: Publish the skill\n"
                                      "image: docker.io/library/debian:bookworm-slim\n"
                                      "user: 65534\n"
                                      "network: none\n"
                                      "resources: {cpus: 0.5, memory: 6m, pids: 8, tmp: 4096k}\n"
                                      "timeout_minutes: 1440\n"
                                      "grace_seconds: 0\n"
                                      "retry: safe\n"
                                      "secrets_as: file\n"
                                      "git_auth: {forge.example: GIT_TOKEN, \"forge.example:3000\": GIT_TOKEN}\n"
                                      "steps:\n"
                                      "  - id: publish\n"
                                      "    run: |\n"
                                      "      set -e\n"
                                      "      publish \"$INPUT_VERSION\"\n"
                                      "    secrets: []\n"
                                      "  - id: announce\n"
                                      "    prompt: Write the note.\n"
                                      "    secrets: [ANTHROPIC_API_KEY]\n"
                                      "  - {id: more, prompt: x, agent: opencode}\n";

static void everything(void **state)
{
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse(everything_text, &f, &err), 0);
	assert_string_equal(f.description, "Publish the skill");
	assert_string_equal(f.image, "docker.io/library/debian:bookworm-slim");
	assert_int_equal(f.user, 65534);
	assert_string_equal(f.network, "none");
	assert_int_equal(f.nano_cpus, 500000000);
	assert_int_equal(f.memory_bytes, 6 << 20);
	assert_int_equal(f.tmp_bytes, 4 << 20);
	assert_int_equal(f.pids, 8);
	assert_int_equal(f.timeout_minutes, 1440);
	assert_int_equal(f.grace_seconds, 0);
	assert_int_equal(f.retry, RETRY_SAFE);
	assert_int_equal(f.secrets_as, SECRETS_AS_FILE);
	assert_string_equal(json_string_value(json_object_get(f.git_auth, "forge.example:3000")), "GIT_TOKEN");
	assert_int_equal(f.n_steps, 3);
	assert_string_equal(f.steps[0].run, "set -e\npublish \"$INPUT_VERSION\"\n");
	assert_true(json_is_array(f.steps[0].secrets));
	assert_int_equal(json_array_size(f.steps[0].secrets), 0);
	assert_string_equal(f.steps[1].prompt, "Write the note.");
	assert_string_equal(f.steps[1].agent, "claude");
	assert_string_equal(json_string_value(json_array_get(f.steps[1].secrets, 0)), "ANTHROPIC_API_KEY");
	assert_string_equal(f.steps[2].agent, "opencode");
}

/* What the engine role and the runner do: the value travels as JSON and is checked once more. */
static void survives_the_journey(void **state)
{
	cleanup_formula struct formula f = FORMULA_INIT, again = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse(everything_text, &f, &err), 0);
	cleanup_free char *text = json_compact(f.json);
	cleanup_json json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	assert_int_equal(formula_from_json("f", json, &again, &err), 0);
	assert_true(json_equal(again.json, f.json));
	assert_int_equal(again.nano_cpus, 500000000);
}

static void stands(const struct formula *f, const char *path, const char *where)
{
	cleanup_free char *text = formula_where(f, path);

	assert_string_equal(text, where);
}

/* Whoever is sent the value can still say where a part of it stands in the file. guard: formula_where and add_defaults in vault/formula_json.c */
static void lines_travel_with_it(void **state)
{
	static const char text[] =
	    "name: f\nnetwork: far\ngit_auth:\n  a.example: A\nsteps:\n  - id: a\n    run: x\n  - id: b\n    prompt: x\n"
	    "    agent: mine\n    secrets:\n      - A\n      - B\n";
	cleanup_formula struct formula f = FORMULA_INIT, again = FORMULA_INIT, bare = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse(text, &f, &err), 0);
	assert_int_equal(formula_from_json("f", f.json, &again, &err), 0);
	for (const struct formula *each = &f; each; each = each == &f ? &again : NULL) {
		stands(each, "network", "vault/formulas/f.yaml: line 2: network");
		stands(each, "git_auth.a.example", "vault/formulas/f.yaml: line 4: git_auth.a.example");
		stands(each, "steps[1].agent", "vault/formulas/f.yaml: line 10, step b: steps[1].agent");
		stands(each, "steps[1].secrets[1]", "vault/formulas/f.yaml: line 13, step b: steps[1].secrets[1]");
		/* What is not there stands where it would. */
		stands(each, "steps[0].agent", "vault/formulas/f.yaml: line 6, step a: steps[0].agent");
		stands(each, "image", "vault/formulas/f.yaml: image");
	}
	/* A value that never stood in a file, as older spools hold them. */
	json_object_del(f.json, "lines");
	assert_int_equal(formula_from_json("f", f.json, &bare, &err), 0);
	stands(&bare, "steps[1].agent", "vault/formulas/f.yaml: step b: steps[1].agent");
	stands(&bare, "network", "vault/formulas/f.yaml: network");
	/* A file can't bring its own. */
	assert_int_equal(parse(MINIMAL "lines: {steps: 5}\n", &bare, &err), -1);
	assert_non_null(strstr(err_msg(&err), "line 3: lines: unknown key"));
	assert_null(strstr(err_msg(&err), ", lines"));
	json_object_set_new(f.json, "lines", json_string("5"));
	assert_int_equal(formula_from_json("f", f.json, &bare, &err), -1);
	f.lines = NULL;
}

#define ID_RULE "a-z, 0-9, _ and -, beginning with a letter or digit, at most 96 characters"
#define SECRET_RULE "A-Z, 0-9 and _, beginning with a letter, at most 64 characters"
#define IMAGE_RULE "a-z or 0-9 first, then letters, digits and . _ - / : @, at most 512 characters"
#define HOST_RULE "a-z, 0-9, . and -, then :port where it is not the usual one, as in forge.example"
#define SIZES "to 1024g, as in 4096k, 64m, 1g, or a whole number of bytes"
#define MEMORY "6m (the least that Docker takes) " SIZES
#define CPUS "0.01 to 1024, as in 0.5 or 2"

/* YAML that comes after the minimal formula, and all that is said of it. */
static const struct {
	const char *yaml, *message;
} bad_keys[] = {
    {"description: 5", "description: must be a string of 0 to 1000 characters"},
    {"image: ''", "image: \"\" is not an image: " IMAGE_RULE},
    {"image: --privileged", "image: \"--privileged\" is not an image: " IMAGE_RULE},
    {"image: debian bookworm", "image: \"debian bookworm\" is not an image: " IMAGE_RULE},
    {"image: Debian", "image: \"Debian\" is not an image: " IMAGE_RULE},
    {"image: 5", "image: must be a string, an image: " IMAGE_RULE},
    {"user: 0", "user: 0 is root, and no step ever runs as root; 1 to 65534, or leave it out for 10001"},
    {"user: -1", "user: must be an integer from 1 to 65534, not -1"},
    {"user: 65535", "user: must be an integer from 1 to 65534, not 65535"},
    {"user: root", "user: must be an integer from 1 to 65534, not \"root\""},
    {"user: '0'", "user: must be an integer from 1 to 65534, not \"0\""},
    {"network: host.docker", "network: \"host.docker\" is not a network: default, none, or a name that `networks` of the dispatcher's "
                             "configuration has"},
    {"network: [none]", "network: must be a string, a network: default, none, or a name that `networks` of the dispatcher's "
                        "configuration has"},
    {"resources: 5", "resources: must be an object, not 5"},
    {"resources: {cpus: 0}", "resources.cpus: 0 is out of range; " CPUS},
    {"resources: {cpus: 0.009}", "resources.cpus: 0.009 is out of range; " CPUS},
    {"resources: {cpus: -1.5}", "resources.cpus: -1.5 is out of range; " CPUS},
    {"resources: {cpus: 1024.5}", "resources.cpus: 1024.5 is out of range; " CPUS},
    {"resources: {cpus: '1'}", "resources.cpus: must be a number, " CPUS},
    {"resources: {cpus: 1e3}", "resources.cpus: must be a number, " CPUS},
    {"resources: {cpus: .nan}", "resources.cpus: must be a number, " CPUS},
    {"resources: {memory: 5m}", "resources.memory: \"5m\" is not allowed; " MEMORY},
    {"resources: {memory: 6291455}", "resources.memory: 6291455 is not allowed; " MEMORY},
    {"resources: {memory: 512}", "resources.memory: 512 is not allowed; " MEMORY},
    {"resources: {memory: 512M}", "resources.memory: \"512M\" is not allowed; " MEMORY},
    {"resources: {memory: 512mb}", "resources.memory: \"512mb\" is not allowed; " MEMORY},
    {"resources: {memory: '512'}", "resources.memory: \"512\" is not allowed; " MEMORY},
    {"resources: {memory: m}", "resources.memory: \"m\" is not allowed; " MEMORY},
    {"resources: {memory: -512m}", "resources.memory: \"-512m\" is not allowed; " MEMORY},
    {"resources: {memory: 0.5g}", "resources.memory: \"0.5g\" is not allowed; " MEMORY},
    {"resources: {memory: 1.5}", "resources.memory: this is not allowed; " MEMORY},
    {"resources: {memory: 1025g}", "resources.memory: \"1025g\" is not allowed; " MEMORY},
    {"resources: {memory: 17179869184g}", "resources.memory: \"17179869184g\" is not allowed; " MEMORY},
    {"resources: {tmp: 63k}", "resources.tmp: \"63k\" is not allowed; 64k " SIZES},
    {"resources: {pids: 7}", "resources.pids: must be an integer from 8 to 65536, not 7"},
    {"resources: {pids: 65537}", "resources.pids: must be an integer from 8 to 65536, not 65537"},
    {"resources: {disk: 1g}", "resources.disk: unknown key; known keys are cpus, memory, pids, tmp"},
    {"timeout_minutes: 0", "timeout_minutes: must be an integer from 1 to 1440, not 0"},
    {"timeout_minutes: 1441", "timeout_minutes: must be an integer from 1 to 1440, not 1441"},
    {"grace_seconds: -1", "grace_seconds: must be an integer from 0 to 300, not -1"},
    {"grace_seconds: 301", "grace_seconds: must be an integer from 0 to 300, not 301"},
    {"retry: always", "retry: must be one of never, safe, not \"always\""},
    {"retry: no", "retry: must be one of never, safe, not \"no\""},
    {"secrets_as: argv", "secrets_as: must be one of both, file, env, not \"argv\""},
    {"git_auth: [GIT_TOKEN]", "git_auth: must be an object, not an array"},
    {"git_auth: {'https://forge.example': GIT_TOKEN}", "git_auth: \"https://forge.example\" is not a host: " HOST_RULE},
    {"git_auth: {Forge.example: GIT_TOKEN}", "git_auth: \"Forge.example\" is not a host: " HOST_RULE},
    {"git_auth: {'forge.example:0': GIT_TOKEN}", "git_auth: \"forge.example:0\" is not a host: " HOST_RULE},
    {"git_auth: {'forge.example:': GIT_TOKEN}", "git_auth: \"forge.example:\" is not a host: " HOST_RULE},
    {"git_auth: {'*': GIT_TOKEN}", "git_auth: \"*\" is not a host: " HOST_RULE},
    {"git_auth: {'': GIT_TOKEN}", "git_auth: \"\" is not a host: " HOST_RULE},
    {"git_auth: {forge.example: token}", "git_auth: \"forge.example\" must have a secret's name: " SECRET_RULE},
    {"git_auth: {forge.example: 5}", "git_auth: \"forge.example\" must have a secret's name: " SECRET_RULE},
    {"needs: [x]", "needs: unknown key; known keys are name, description, image, user, network, resources, timeout_minutes, "
                   "grace_seconds, retry, secrets_as, git_auth, steps"},
};

static void bad_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(bad_keys); i++) {
		cleanup_free char *text = xasprintf(MINIMAL "%s\n", bad_keys[i].yaml);
		cleanup_free char *message = xasprintf(PATH "line 3: %s", bad_keys[i].message);

		assert_refused(text, message);
	}
}

static void bad_steps(void **state)
{
	static const struct {
		const char *steps, *step, *message;
	} cases[] = {
	    {"5", NULL, "steps: must be an array, not 5"},
	    {"[]", NULL, "steps: is empty; 1 to 64 steps"},
	    {"[x]", NULL, "steps[0]: must be an object, not \"x\""},
	    {"[{run: a}]", NULL, "steps[0].id: is required"},
	    {"[{id: A, run: a}]", NULL, "steps[0].id: \"A\" is not an id: " ID_RULE},
	    {"[{id: a, run: a}, {id: a, run: b}]", "a", "steps[1].id: a is the id of steps[0] too"},
	    {"[{id: a}]", "a", "steps[0].run: is missing; a step has either run (a shell script) or prompt (text for an agent)"},
	    {"[{id: a, run: x, prompt: y}]", "a", "steps[0].prompt: stands beside run; a step has one of the two"},
	    {"[{id: a, run: ''}]", "a", "steps[0].run: must be a string of 1 to 262144 bytes, not \"\""},
	    {"[{id: a, run: [ls]}]", "a", "steps[0].run: must be a string of 1 to 262144 bytes, not an array"},
	    {"[{id: a, prompt: ''}]", "a", "steps[0].prompt: must be a string of 1 to 262144 bytes, not \"\""},
	    {"[{id: a, run: x, agent: claude}]", "a", "steps[0].agent: goes with prompt only; a run step is a shell script"},
	    {"[{id: a, prompt: x, agent: /bin/sh}]", "a",
	     "steps[0].agent: \"/bin/sh\" is not an agent: claude, opencode, or a name that "
	     "`agents` of the dispatcher's configuration has"},
	    {"[{id: a, run: x, secrets: [t]}]", "a", "steps[0].secrets[0]: \"t\" is not a secret's name: " SECRET_RULE},
	    {"[{id: a, run: x, secrets: [T, T]}]", "a", "steps[0].secrets[1]: T is listed twice"},
	    {"[{id: a, run: x, secrets: T}]", "a", "steps[0].secrets: must be an array, not \"T\""},
	    {"[{id: a, run: x}, {id: b, run: x, needs: y}]", "b",
	     "steps[1].needs: unknown key; known keys are id, run, prompt, agent, secrets, timeout_minutes, if"},
	    {"[{id: a, run: x, if: never}]", "a", "steps[0].if: must be one of success, always, not \"never\""},
	    {"[{id: a, run: x, if: true}]", "a", "steps[0].if: must be one of success, always, not true"},
	    {"[{id: a, run: x, timeout_minutes: 0}]", "a", "steps[0].timeout_minutes: must be an integer from 1 to 1440, not 0"},
	    {"[{id: a, run: x, timeout_minutes: 1441}]", "a", "steps[0].timeout_minutes: must be an integer from 1 to 1440, not 1441"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_free char *text = xasprintf("name: f\nsteps: %s\n", cases[i].steps);
		cleanup_free char *message =
		    xasprintf(PATH "line 2%s%s: %s", cases[i].step ? ", step " : "", cases[i].step ? cases[i].step : "", cases[i].message);

		assert_refused(text, message);
	}
}

/* Each value at its own line, also where the key that is wrong is missing. */
static void errors_name_line_and_step(void **state)
{
	static const char head[] = "name: f\n# a comment\nsteps:\n  - id: one\n    run: |\n      true\n      false\n";
	static const struct {
		const char *tail, *message;
	} cases[] = {
	    {"  - id: two\n    run: x\n    timeout_minutes: 0\n",
	     "line 10, step two: steps[1].timeout_minutes: must be an integer from 1 to 1440, not 0"},
	    {"\n  -\n    id: two\n",
	     "line 10, step two: steps[1].run: is missing; a step has either run (a shell script) or prompt (text for an agent)"},
	    {"  - id: two\n    run: x\n    secrets:\n      - A\n      - a\n",
	     "line 12, step two: steps[1].secrets[1]: \"a\" is not a secret's name: " SECRET_RULE},
	    {"  - id: Two\n    run: x\n", "line 8: steps[1].id: \"Two\" is not an id: " ID_RULE},
	    {"\nresources:\n  cpus: 1\n  tmp: 1\n", "line 11: resources.tmp: 1 is not allowed; 64k " SIZES},
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_free char *text = xasprintf("%s%s", head, cases[i].tail);
		cleanup_free char *message = xasprintf(PATH "%s", cases[i].message);

		assert_refused(text, message);
	}
}

static void steps_that_run_always(void **state)
{
	cleanup_formula struct formula f = FORMULA_INIT, plain = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    parse("name: f\ngrace_seconds: 7\nsteps:\n  - {id: a, run: x, timeout_minutes: 3}\n  - {id: b, run: x, if: always}\n"
	          "  - {id: c, run: x, if: success}\n",
	          &f, &err),
	    0);
	assert_int_equal(f.steps[0].timeout_minutes, 3);
	assert_int_equal(f.steps[1].timeout_minutes, 0);
	assert_int_equal(f.steps[0].when, WHEN_SUCCESS);
	assert_int_equal(f.steps[1].when, WHEN_ALWAYS);
	assert_int_equal(f.steps[2].when, WHEN_SUCCESS);
	assert_int_equal(formula_stop_seconds(&f), 14);
	assert_int_equal(parse(MINIMAL "grace_seconds: 7\n", &plain, &err), 0);
	assert_int_equal(formula_stop_seconds(&plain), 7);
}

static void bad_documents(void **state)
{
	static const char *const somehow[] = {
	    "name: f\nsteps: &a [{id: s, run: x}]\n",
	    "name: f\nsteps: !!seq [{id: s, run: x}]\n",
	    MINIMAL "name: f\n",
	    MINIMAL "---\n" MINIMAL,
	    "%YAML 1.1\n---\n" MINIMAL,
	    MINIMAL "resources: {cpus: [[[[[[[1]]]]]]]}\n",
	    MINIMAL "description: \"a\xe2\x80\xae\"\n",
	    MINIMAL "description: \"\\0\"\n",
	    "name: f\nsteps: [\n",
	    "\x01",
	};

	(void)state;
	assert_refused("", PATH "name: is required");
	assert_refused("- x\n", PATH "must be an object, not an array");
	assert_refused("steps: [{id: s, run: x}]\n", PATH "name: is required");
	assert_refused("name: g\nsteps: [{id: s, run: x}]\n", PATH "line 1: name: \"g\" is not the file's name; it must be \"f\"");
	assert_refused("name: F\n", PATH "line 1: name: \"F\" is not a formula's name: " ID_RULE);
	assert_refused("name: f\n", PATH "steps: is required");
	for (size_t i = 0; i < LEN(somehow); i++) {
		cleanup_err struct err err = ERR_INIT;
		struct formula f = FORMULA_INIT;

		assert_int_equal(parse(somehow[i], &f, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_memory_equal(err_msg(&err), PATH, strlen(PATH));
	}
}

static void step_count(void **state)
{
	(void)state;
	for (size_t n = FORMULA_MAX_STEPS; n <= FORMULA_MAX_STEPS + 1; n++) {
		cleanup_buf struct buf text = BUF_INIT;
		cleanup_err struct err err = ERR_INIT;
		cleanup_formula struct formula f = FORMULA_INIT;

		buf_adds(&text, "name: f\nsteps:\n");
		for (size_t i = 0; i < n; i++)
			buf_addf(&text, "  - {id: s%zu, run: x}\n", i);
		assert_int_equal(parse(text.data, &f, &err), n > FORMULA_MAX_STEPS ? -1 : 0);
		if (n > FORMULA_MAX_STEPS)
			assert_string_equal(err_msg(&err), PATH "line 2: steps: must have at most 64 entries, not 65");
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *yaml;
		int64_t bytes;
	} cases[] = {
	    {"6m", INT64_C(6) << 20},    {"6144k", INT64_C(6) << 20},         {"6291456", INT64_C(6) << 20}, {"1g", INT64_C(1) << 30},
	    {"1024g", INT64_C(1) << 40}, {"1099511627776", INT64_C(1) << 40}, {"0512m", INT64_C(512) << 20},
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_free char *text = xasprintf(MINIMAL "resources: {memory: %s}\n", cases[i].yaml);
		cleanup_err struct err err = ERR_INIT;
		cleanup_formula struct formula f = FORMULA_INIT;

		assert_int_equal(parse(text, &f, &err), 0);
		assert_int_equal(f.memory_bytes, cases[i].bytes);
	}
}

static void cpus(void **state)
{
	static const struct {
		const char *yaml;
		int64_t nano;
	} cases[] = {{"0.01", 10000000}, {"1", 1000000000}, {"1.0", 1000000000}, {"0.1", 100000000}, {"1024", 1024000000000}};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_free char *text = xasprintf(MINIMAL "resources: {cpus: %s}\n", cases[i].yaml);
		cleanup_err struct err err = ERR_INIT;
		cleanup_formula struct formula f = FORMULA_INIT;

		assert_int_equal(parse(text, &f, &err), 0);
		assert_int_equal(f.nano_cpus, cases[i].nano);
	}
}

/* The action x with these secrets. */
static void make_action(const char *secrets, int timeout, struct action *ret)
{
	cleanup_json json_t *json =
	    json_pack("{ss ss ss so}", "id", "x", "formula", "f", "context", "c", "secrets", json_loads(secrets, 0, NULL));
	cleanup_err struct err err = ERR_INIT;

	if (timeout)
		json_object_set_new(json, "timeout_minutes", json_integer(timeout));
	assert_int_equal(action_from_json("x", json, ret, &err), 0);
}

static void suits(void **state)
{
	static const struct {
		const char *yaml, *secrets, *message; /* NULL: suits */
	} cases[] = {
	    {MINIMAL, "[]", NULL},
	    {MINIMAL, "[\"A\"]", NULL},
	    {"name: f\nsteps: [{id: s, run: x, secrets: [A]}]\n", "[\"B\", \"A\"]", NULL},
	    {"name: f\nsteps: [{id: s, run: x}, {id: t, run: x, secrets: [B, A]}]\n", "[\"B\"]",
	     "vault/actions/x.json: secrets: A is missing; vault/formulas/f.yaml: line 2, step t: steps[1].secrets[1] names it"},
	    {MINIMAL "git_auth: {forge.example: GIT_TOKEN}\n", "[\"GIT_TOKEN\"]", NULL},
	    {MINIMAL "git_auth: {forge.example: GIT_TOKEN}\n", "[]",
	     "vault/actions/x.json: secrets: GIT_TOKEN is missing; vault/formulas/f.yaml: line 3: git_auth.forge.example names it"},
	    {MINIMAL, "[\"A\", \"INPUT_TOKEN\"]",
	     "vault/actions/x.json: secrets[1]: INPUT_TOKEN is a variable that every step gets anyway; name the secret otherwise, or give "
	     "it as "
	     "a file (secrets_as: file in vault/formulas/f.yaml)"},
	    {MINIMAL "secrets_as: env\n", "[\"PATH\"]",
	     "vault/actions/x.json: secrets[0]: PATH is a variable that every step gets anyway; name the secret otherwise, or give it as a "
	     "file "
	     "(secrets_as: file in vault/formulas/f.yaml)"},
	    {MINIMAL "secrets_as: file\n", "[\"PATH\", \"INPUT_TOKEN\"]", NULL},
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_formula struct formula f = FORMULA_INIT;
		cleanup_action struct action a = ACTION_INIT;
		cleanup_err struct err err = ERR_INIT;

		make_action(cases[i].secrets, 0, &a);
		assert_int_equal(parse(cases[i].yaml, &f, &err), 0);
		assert_int_equal(formula_suits(&f, &a, &err), cases[i].message ? -1 : 0);
		assert_int_equal(err.code, cases[i].message ? ERR_INVALID : ERR_NONE);
		if (cases[i].message)
			assert_string_equal(err_msg(&err), cases[i].message);
	}
}

static void timeouts(void **state)
{
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_action struct action with = ACTION_INIT, without = ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	make_action("[]", 5, &with);
	make_action("[]", 0, &without);
	assert_int_equal(parse(MINIMAL "timeout_minutes: 30\n", &f, &err), 0);
	assert_int_equal(formula_timeout_minutes(&f, &with), 5);
	assert_int_equal(formula_timeout_minutes(&f, &without), 30);
}

/* Every formula that we ship parses under its own name. */
static void templates(void **state)
{
	DIR *dir = opendir("templates/formulas");
	int n = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		cleanup_free char *path = xasprintf("templates/formulas/%s", d->d_name);
		cleanup_free char *name = xstrdup(d->d_name);
		cleanup_buf struct buf text = BUF_INIT;
		cleanup_formula struct formula f = FORMULA_INIT;
		cleanup_err struct err err = ERR_INIT;
		char *dot = strrchr(name, '.');

		if (!dot || strcmp(dot, ".yaml") != 0)
			continue;
		*dot = '\0';
		assert_int_equal(file_read(path, FORMULA_MAX_BYTES, &text, &err), 0);
		if (formula_parse(name, text.data, text.len, &f, &err) != 0)
			fail_msg("%s", err_msg(&err));
		n++;
	}
	closedir(dir);
	assert_true(n > 0);
}

/* The example in the documents holds every key, and each has a row in its table. */
static void documented(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_formula struct formula f = FORMULA_INIT;
	const char *key;
	json_t *value;

	(void)state;
	assert_int_equal(file_read("docs/formats.md", 1 << 20, &text, &err), 0);
	const char *start = strstr(text.data, "```yaml formula\n");
	assert_non_null(start);
	start = strchr(start, '\n') + 1;
	if (formula_parse("clawhub-publish", start, (size_t)(strstr(start, "```") - start), &f, &err) != 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(json_object_del(f.json, "lines"), 0); /* no key of the file */
	assert_int_equal(json_object_size(f.json), 12);
	json_object_foreach (f.json, key, value) {
		cleanup_free char *row = xasprintf("\n| `%s` |", key);

		assert_non_null(strstr(start, row));
	}
}

/* A formula that is good but for one more key. */
static json_t *json_in(const char *key, json_t *value)
{
	json_t *json = json_pack("{s:s, s:[{s:s, s:s}]}", "name", "f", "steps", "id", "a", "run", "true");
	json_object_set_new(json, key, value);
	return json;
}

static void refused_at(const json_t *json, const char *key)
{
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *text = json_compact(json);

	assert_int_equal(parse(text, &f, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	if (!strstr(err_msg(&err), key))
		fail_msg("'%s' does not name %s", err_msg(&err), key);
}

/*
 * Shell and template text in every string: where people write, it stays as it is; a name is refused, by its key. guard: formula_json.c hands texts on untouched, and checks each name
 * against its own letters.
 */
static void threat_21_hostile_text(void **state)
{
	static const char hostile[] = "$(rm -rf /) `id` ${HOME} {{x}} '; DROP TABLE; %s%n \\\" <script>";
	static const struct {
		const char *step; /* NULL: a key of the formula */
		const char *key, *named;
	} names[] = {
	    {NULL, "name", "name: "},
	    {NULL, "image", "image: "},
	    {NULL, "network", "network: "},
	    {NULL, "retry", "retry: "},
	    {NULL, "secrets_as", "secrets_as: "},
	    {"run", "id", "steps[0].id: "},
	    {"prompt", "agent", "steps[0].agent: "},
	    {"run", "if", "steps[0].if: "},
	};
	cleanup_json json_t *plain = json_pack("{s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}]}", "name", "f", "description", hostile, "steps", "id",
	                                       "a", "run", hostile, "id", "b", "prompt", hostile);
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_non_null(plain);
	cleanup_free char *text = json_compact(plain);
	assert_int_equal(parse(text, &f, &err), 0); /* JSON is YAML */
	assert_string_equal(f.description, hostile);
	assert_string_equal(f.steps[0].run, hostile);
	assert_string_equal(f.steps[1].prompt, hostile);

	for (size_t i = 0; i < LEN(names); i++) {
		cleanup_json json_t *step = json_pack("{s:s, s:s}", "id", "a", names[i].step ? names[i].step : "run", "true");
		cleanup_json json_t *json = json_pack("{s:s, s:[O]}", "name", "f", "steps", step);
		json_object_set_new(names[i].step ? step : json, names[i].key, json_string(hostile));
		refused_at(json, names[i].named);
	}
	cleanup_json json_t *memory = json_in("resources", json_pack("{s:s}", "memory", hostile));
	cleanup_json json_t *host = json_in("git_auth", json_pack("{s:s}", hostile, "TOKEN"));
	cleanup_json json_t *token = json_in("git_auth", json_pack("{s:s}", "forge.example", hostile));
	cleanup_json json_t *minutes = json_in("timeout_minutes", json_string(hostile));
	cleanup_json json_t *secrets = json_in("steps", json_pack("[{s:s, s:s, s:[s]}]", "id", "a", "run", "true", "secrets", hostile));
	refused_at(memory, "resources.memory: ");
	refused_at(host, "git_auth: ");
	refused_at(token, "git_auth: ");
	refused_at(minutes, "timeout_minutes: ");
	refused_at(secrets, "steps[0].secrets");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(everything),
	    cmocka_unit_test(survives_the_journey),
	    cmocka_unit_test(bad_values),
	    cmocka_unit_test(bad_steps),
	    cmocka_unit_test(errors_name_line_and_step),
	    cmocka_unit_test(steps_that_run_always),
	    cmocka_unit_test(bad_documents),
	    cmocka_unit_test(step_count),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(cpus),
	    cmocka_unit_test(suits),
	    cmocka_unit_test(lines_travel_with_it),
	    cmocka_unit_test(timeouts),
	    cmocka_unit_test(threat_21_hostile_text),
	    cmocka_unit_test(templates),
	    cmocka_unit_test(documented),
	};

	return cmocka_run_group_tests_name("formula", tests, NULL, NULL);
}
