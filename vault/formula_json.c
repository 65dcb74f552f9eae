/* The checks of a formula that is a JSON value already. Linked into the static runner, so there is no YAML here. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/check.h"
#include "vault/formula.h"
#include "vault/name.h"
#include <stdlib.h>
#include <string.h>

#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define SIZE_MAX_BYTES (1024 * GIB)
#define MEMORY_MIN_BYTES (6 * MIB) /* Docker starts no container with less */
#define TMP_MIN_BYTES (64 * KIB)

#define NANO_PER_CPU 1e9
#define CPUS_MIN 0.01
#define CPUS_MAX 1024.0

static const char *const retries[] = {"never", "safe", NULL};
static const char *const whens[] = {"success", "always", NULL};
static const char *const secret_ways[] = {"both", "file", "env", NULL};

static const struct check_kind formula_name = {"a formula's name", vault_is_id, VAULT_ID_RULE};
static const struct check_kind network_name = {"a network", vault_is_id,
                                               "default, none, or a name that `networks` of the dispatcher's configuration has"};
static const struct check_kind agent_name = {"an agent", vault_is_id,
                                             "claude, opencode, or a name that `agents` of the dispatcher's configuration has"};

/* The name stands in the file too, so that a copy under another name is not run by accident. */
static const char *get_formula_name(struct json_reader *r, const char *file_name)
{
	const char *name = check_get_name(r, "name", &formula_name, true, NULL);

	if (name && strcmp(name, file_name) != 0)
		json_reader_fail(r, "name", "\"%s\" is not the file's name; it must be \"%s\"", name, file_name);
	return name;
}

static void get_user(struct json_reader *r, struct formula *f)
{
	const json_t *user = json_object_get(r->obj, "user");

	if (json_is_integer(user) && json_integer_value(user) == 0)
		json_reader_fail(r, "user", "0 is root, and no step ever runs as root; 1 to 65534, or leave it out for %d",
		                 FORMULA_DEFAULT_USER);
	f->user = (uint32_t)json_get_int(r, "user", 1, 65534, false, FORMULA_DEFAULT_USER);
}

/* The number of bytes in "512m"; -1 when it is not written like that or does not fit. */
static int64_t parse_size(const char *s)
{
	static const char units[] = "kmg";
	size_t digits = strspn(s, CHARS_DIGIT);
	int64_t n = 0;

	/* Nine digits times 2^30 still fit, and are more than anybody has. */
	if (digits == 0 || digits > 9 || !s[digits] || !strchr(units, s[digits]) || s[digits + 1])
		return -1;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (s[i] - '0');
	for (const char *u = units;; u++) {
		n *= KIB;
		if (*u == s[digits])
			return n;
	}
}

/* A size of at least min bytes; `min_text` is the same for people. */
static int64_t get_size(struct json_reader *r, const char *key, int64_t min, const char *min_text, int64_t fallback)
{
	const json_t *value = json_get(r, key);
	int64_t n = json_is_integer(value) ? json_integer_value(value) : json_is_string(value) ? parse_size(json_string_value(value)) : -1;
	cleanup_free char *shown = NULL;

	if (!value)
		return fallback;
	if (n >= min && n <= SIZE_MAX_BYTES)
		return n;
	if (json_is_string(value))
		shown = check_quote(json_string_value(value));
	else
		shown = json_is_integer(value) ? xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value)) : xstrdup("this");
	json_reader_fail(r, key, "%s is not allowed; %s to 1024g, as in 4096k, 64m, 1g, or a whole number of bytes", shown, min_text);
	return fallback;
}

static int64_t get_nano_cpus(struct json_reader *r)
{
	const json_t *value = json_get(r, "cpus");
	double cpus = json_number_value(value);

	if (!value)
		return (int64_t)NANO_PER_CPU;
	/* Written so that a NaN, which compares false with everything, is refused. */
	if (json_is_number(value) && cpus >= CPUS_MIN && cpus <= CPUS_MAX)
		return (int64_t)(cpus * NANO_PER_CPU + 0.5);
	if (json_is_number(value))
		json_reader_fail(r, "cpus", "%.10g is out of range; 0.01 to 1024, as in 0.5 or 2", cpus);
	else
		json_reader_fail(r, "cpus", "must be a number, 0.01 to 1024, as in 0.5 or 2");
	return 0;
}

static void get_resources(struct json_reader *r, struct formula *f)
{
	const json_t *resources = json_get_object(r, "resources", 8, false);
	cleanup_json json_t *none = json_object();
	cleanup_err struct err inner = ERR_INIT;
	struct json_reader in;

	json_reader_init(&in, resources ? resources : none, "resources");
	f->nano_cpus = get_nano_cpus(&in);
	f->memory_bytes = get_size(&in, "memory", MEMORY_MIN_BYTES, "6m (the least that Docker takes)", 512 * MIB);
	f->pids = (int)json_get_int(&in, "pids", 8, 65536, false, 256);
	f->tmp_bytes = get_size(&in, "tmp", TMP_MIN_BYTES, "64k", 64 * MIB);
	if (json_reader_end(&in, &inner) != 0 && r->err.code == ERR_NONE)
		err_move(&r->err, &inner);
}

/* A host as git names it when it asks: lower case, with the port where it is not the scheme's own. */
static bool is_host(const char *s)
{
	const char *colon = strchr(s, ':');
	size_t len = colon ? (size_t)(colon - s) : strlen(s);
	char host[254];

	if (len >= sizeof(host) || (colon && !vault_matches(colon + 1, "123456789", CHARS_DIGIT, 5)))
		return false;
	memcpy(host, s, len);
	host[len] = '\0';
	return vault_matches(host, CHARS_LOWER CHARS_DIGIT, CHARS_LOWER CHARS_DIGIT ".-", sizeof(host) - 1);
}

static void get_git_auth(struct json_reader *r, struct formula *f)
{
	json_t *hosts = (json_t *)json_get_object(r, "git_auth", 16, false); /* iterating does not change it */
	const char *host;
	json_t *secret;

	f->git_auth = hosts;
	json_object_foreach (hosts, host, secret) {
		cleanup_free char *shown = check_quote(host);

		if (!is_host(host))
			json_reader_fail(
			    r, "git_auth",
			    "%s is not a host: a-z, 0-9, . and -, then :port where it is not the usual one, as in forge.example", shown);
		else if (!json_is_string(secret) || !vault_is_secret(json_string_value(secret)))
			json_reader_fail(r, "git_auth", "%s must have a secret's name: " VAULT_SECRET_RULE, shown);
	}
}

/* The script or the prompt: exactly one of the two, and not empty. */
static void get_work(struct json_reader *r, struct formula_step *step)
{
	step->run = json_get_string(r, "run", 1, FORMULA_MAX_BYTES, false, NULL);
	step->prompt = json_get_string(r, "prompt", 1, FORMULA_MAX_BYTES, false, NULL);
	step->agent = check_get_name(r, "agent", &agent_name, false, step->prompt ? "claude" : NULL);
	if (json_has(r, "run") && json_has(r, "prompt"))
		json_reader_fail(r, "prompt", "stands beside run; a step has one of the two");
	else if (!step->run && !step->prompt)
		json_reader_fail(r, "run", "is missing; a step has either run (a shell script) or prompt (text for an agent)");
	else if (step->agent && step->run)
		json_reader_fail(r, "agent", "goes with prompt only; a run step is a shell script");
}

static void read_step(struct json_reader *r, const struct formula *f, struct formula_step *step)
{
	step->id = check_get_name(r, "id", &check_id, true, NULL);
	for (size_t i = 0; step->id && i < f->n_steps; i++)
		if (f->steps[i].id && strcmp(f->steps[i].id, step->id) == 0)
			json_reader_fail(r, "id", "%s is the id of steps[%zu] too", step->id, i);
	get_work(r, step);
	step->secrets = check_get_names(r, "secrets", &check_secret, CHECK_SECRETS_MAX, false);
	step->timeout_minutes = (int)json_get_int(r, "timeout_minutes", 1, 1440, false, 0);
	step->when = (enum formula_when)json_get_enum(r, "if", whens, false, WHEN_SUCCESS);
}

static void get_steps(struct json_reader *r, struct formula *f)
{
	const json_t *steps = json_get_array(r, "steps", FORMULA_MAX_STEPS, true);

	if (steps && json_array_size(steps) == 0)
		json_reader_fail(r, "steps", "is empty; 1 to %d steps", FORMULA_MAX_STEPS);
	for (size_t i = 0; i < json_array_size(steps) && r->err.code == ERR_NONE; i++) {
		cleanup_free char *where = xasprintf("steps[%zu]", i);
		struct json_reader in;

		json_reader_init(&in, json_array_get(steps, i), where);
		if (json_is_object(in.obj))
			read_step(&in, f, &f->steps[i]);
		json_reader_end(&in, &r->err);
		f->n_steps++;
	}
}

static void read_formula(struct json_reader *r, const char *file_name, bool brings_lines, struct formula *f)
{
	f->name = get_formula_name(r, file_name);
	f->description = check_get_text(r, "description", 0, 1000, false);
	if (!f->description)
		f->description = "";
	f->image = check_get_name(r, "image", &check_image, false, NULL);
	get_user(r, f);
	f->network = check_get_name(r, "network", &network_name, false, "default");
	get_resources(r, f);
	f->timeout_minutes = (int)json_get_int(r, "timeout_minutes", 1, 1440, false, FORMULA_DEFAULT_TIMEOUT_MINUTES);
	f->grace_seconds = (int)json_get_int(r, "grace_seconds", 0, 300, false, FORMULA_DEFAULT_GRACE_SECONDS);
	f->retry = (enum formula_retry)json_get_enum(r, "retry", retries, false, RETRY_NEVER);
	f->secrets_as = (enum formula_secrets_as)json_get_enum(r, "secrets_as", secret_ways, false, SECRETS_AS_BOTH);
	get_git_auth(r, f);
	get_steps(r, f);
	if (brings_lines)
		json_get_object(r, "lines", FORMULA_MAX_BYTES, false);
}

/* An absent git_auth becomes an empty one that the formula owns. The lines go wherever it is sent. */
static int add_defaults(struct formula *f, const json_t *lines, struct err *err)
{
	if ((!f->git_auth && json_object_set_new(f->json, "git_auth", json_object()) != 0) ||
	    (lines && json_object_set_new(f->json, "lines", json_deep_copy(lines)) != 0))
		return err_set(err, ERR_FAIL, "out of memory");
	f->git_auth = json_object_get(f->json, "git_auth");
	f->lines = json_object_get(f->json, "lines");
	return 0;
}

int formula_read(const char *name, json_t *json, const json_t *lines, struct formula *ret, struct err *err)
{
	/* A copy of the outermost level: the caller's value gets no defaults, and strings below are shared, not doubled. */
	cleanup_formula struct formula f = {.json = json_is_object(json) ? json_copy(json) : json_incref(json)};
	struct json_reader r;

	json_reader_init(&r, f.json, "");
	if (json_is_object(f.json))
		read_formula(&r, name, !lines, &f);
	if (json_reader_end(&r, err) != 0 || add_defaults(&f, lines, err) != 0)
		return -1;
	*ret = f;
	f.json = NULL;
	return 0;
}

int formula_from_json(const char *name, json_t *json, struct formula *ret, struct err *err)
{
	cleanup_free char *path = vault_formula_path(name);

	return formula_read(name, json, NULL, ret, err) != 0 ? err_wrap(err, "%s", path) : 0;
}

void formula_free(struct formula *f)
{
	json_decref(f->json);
	*f = (struct formula)FORMULA_INIT;
}

/* The line of the longest part of the path that has one; 0: none of it has. */
static json_int_t line_of(const json_t *lines, const char *path)
{
	cleanup_free char *part = xstrdup(path);

	while (*part) {
		const json_t *line = json_object_get(lines, part);
		if (line)
			return json_integer_value(line);
		size_t len = strlen(part) - 1;
		while (len > 0 && part[len] != '.' && part[len] != '[')
			len--;
		part[len] = '\0';
	}
	return 0;
}

/* The id of the step that a path leads into; NULL where it leads into none, or the id is no id. */
static const char *step_of(const json_t *json, const char *path)
{
	static const char head[] = "steps[";

	if (strncmp(path, head, strlen(head)) != 0)
		return NULL;
	const json_t *step = json_array_get(json_object_get(json, "steps"), strtoul(path + strlen(head), NULL, 10));
	const char *id = json_string_value(json_object_get(step, "id"));
	return id && vault_is_id(id) ? id : NULL;
}

char *formula_place(const json_t *json, const json_t *lines, const char *path)
{
	json_int_t line = line_of(lines, path);
	const char *step = step_of(json, path);

	if (line > 0 && step)
		return xasprintf("line %" JSON_INTEGER_FORMAT ", step %s", line, step);
	if (line > 0)
		return xasprintf("line %" JSON_INTEGER_FORMAT, line);
	return step ? xasprintf("step %s", step) : NULL;
}

char *formula_where(const struct formula *f, const char *path)
{
	cleanup_free char *file = vault_formula_path(f->name);
	cleanup_free char *place = formula_place(f->json, f->lines, path);

	return place ? xasprintf("%s: %s: %s", file, place, path) : xasprintf("%s: %s", file, path);
}

/* ERR_INVALID unless the action grants the secret that stands at `path` in the formula. */
static int is_granted(const struct formula *f, const struct action *a, const char *secret, const char *path, struct err *err)
{
	cleanup_free char *action_path = vault_action_path(a->id);
	cleanup_free char *where = formula_where(f, path);

	if (check_list_has(a->secrets, secret))
		return 0;
	return err_set(err, ERR_INVALID, "%s: secrets: %s is missing; %s names it", action_path, secret, where);
}

/* ERR_INVALID when a secret that is to be exported would take the place of a variable that every step gets. */
static int can_be_exported(const struct formula *f, const struct action *a, struct err *err)
{
	cleanup_free char *formula_path = vault_formula_path(f->name);
	cleanup_free char *action_path = vault_action_path(a->id);

	for (size_t i = 0; f->secrets_as != SECRETS_AS_FILE && i < json_array_size(a->secrets); i++) {
		const char *name = json_string_value(json_array_get(a->secrets, i));

		if (vault_is_step_variable(name))
			return err_set(
			    err, ERR_INVALID,
			    "%s: secrets[%zu]: %s is a variable that every step gets anyway; name the secret otherwise, or give it as a "
			    "file (secrets_as: file in %s)",
			    action_path, i, name, formula_path);
	}
	return 0;
}

int formula_suits(const struct formula *f, const struct action *a, struct err *err)
{
	json_t *hosts = (json_t *)f->git_auth; /* iterating does not change it */
	const char *host;
	json_t *secret;

	for (size_t i = 0; i < f->n_steps; i++)
		for (size_t k = 0; k < json_array_size(f->steps[i].secrets); k++) {
			cleanup_free char *at = xasprintf("steps[%zu].secrets[%zu]", i, k);

			if (is_granted(f, a, json_string_value(json_array_get(f->steps[i].secrets, k)), at, err) != 0)
				return -1;
		}
	json_object_foreach (hosts, host, secret) {
		cleanup_free char *at = xasprintf("git_auth.%s", host);

		if (is_granted(f, a, json_string_value(secret), at, err) != 0)
			return -1;
	}
	return can_be_exported(f, a, err);
}

int formula_stop_seconds(const struct formula *f)
{
	for (size_t i = 0; i < f->n_steps; i++)
		if (f->steps[i].when == WHEN_ALWAYS)
			return 2 * f->grace_seconds;
	return f->grace_seconds;
}

bool formula_agent_is_known(const char *name)
{
	static const char *const known[] = {"claude", "opencode"};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(name, known[i]) == 0)
			return true;
	return false;
}

int formula_timeout_minutes(const struct formula *f, const struct action *a)
{
	return a->timeout_minutes > 0 ? a->timeout_minutes : f->timeout_minutes;
}
