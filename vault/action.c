#include "vault/action.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/check.h"
#include "vault/name.h"
#include <string.h>

#define INPUT_MAX_BYTES 10000

static const char *const tiers[] = {"low", "medium", "high", NULL};

const char *tier_name(enum tier t)
{
	return t == TIER_NONE ? "none" : tiers[t];
}

static bool is_tool(const char *s)
{
	return vault_matches(s, CHARS_ALNUM "_", CHARS_ALNUM "._+-", 64);
}

static bool is_model(const char *s)
{
	return vault_matches(s, CHARS_ALNUM, CHARS_ALNUM "._:/-", 128);
}

static const struct check_kind formula_name = {"a formula's name", vault_is_id, VAULT_ID_RULE};
static const struct check_kind tool_name = {
    "a command's name", is_tool, "letters, digits and . _ + -, beginning with a letter, digit or _, at most 64 characters, no path"};
static const struct check_kind mount_alias = {"a mount's alias", vault_is_id, VAULT_ID_RULE};
static const struct check_kind model_name = {"a model's name", is_model,
                                             "letters, digits and . _ : / -, beginning with a letter or digit, at most 128 characters"};

/* The id stands in the file too, so that a copy under another name is not run by accident. */
static const char *get_id(struct json_reader *r, const char *file_id)
{
	const char *id = check_get_name(r, "id", &check_id, true, NULL);

	if (id && strcmp(id, file_id) != 0)
		json_reader_fail(r, "id", "\"%s\" is not the file's name; it must be \"%s\"", id, file_id);
	return id;
}

static const json_t *get_inputs(struct json_reader *r)
{
	json_t *inputs = (json_t *)json_get_object(r, "inputs", 64, false); /* iterating does not change it */
	const char *name;
	json_t *value;

	json_object_foreach (inputs, name, value) {
		cleanup_free char *shown = check_quote(name);

		if (!vault_is_input(name)) {
			json_reader_fail(r, "inputs", "%s is not an input's name: " VAULT_INPUT_RULE, shown);
			return NULL;
		}
		cleanup_free char *at = xasprintf("inputs.%s", name);
		if (!json_is_string(value))
			json_reader_fail(r, at, "must be a string; write a number in quotes");
		else if (json_string_length(value) > INPUT_MAX_BYTES)
			json_reader_fail(r, at, "has %zu bytes; at most %d are allowed", json_string_length(value), INPUT_MAX_BYTES);
	}
	return inputs;
}

/* Keys that an action of the older tool may carry and that would change what it means. */
static void refuse_older_keys(struct json_reader *r)
{
	if (json_object_get(r->obj, "dispatch_mode"))
		json_reader_fail(r, "dispatch_mode",
		                 "is a key of the older tool; how an action must be approved is decided by " VAULT_POLICY
		                 ", remove the key");
}

static void read_action(struct json_reader *r, const char *file_id, struct action *a)
{
	refuse_older_keys(r);
	a->id = get_id(r, file_id);
	a->formula = check_get_name(r, "formula", &formula_name, true, NULL);
	a->context = check_get_text(r, "context", 1, 10000, true);
	a->secrets = check_get_names(r, "secrets", &check_secret, CHECK_SECRETS_MAX, true);
	a->tools = check_get_names(r, "tools", &tool_name, 64, false);
	a->mounts = check_get_names(r, "mounts", &mount_alias, 16, false);
	a->inputs = get_inputs(r);
	a->model = check_get_name(r, "model", &model_name, false, NULL);
	a->timeout_minutes = (int)json_get_int(r, "timeout_minutes", 1, 1440, false, 0);
	a->blast_radius = (enum tier)json_get_enum(r, "blast_radius", tiers, false, TIER_NONE);
}

/* Lists that are absent become empty ones that the action owns. */
static int add_defaults(struct action *a, struct err *err)
{
	if ((!a->tools && json_object_set_new(a->json, "tools", json_array()) != 0) ||
	    (!a->mounts && json_object_set_new(a->json, "mounts", json_array()) != 0) ||
	    (!a->inputs && json_object_set_new(a->json, "inputs", json_object()) != 0))
		return err_set(err, ERR_FAIL, "out of memory");
	a->tools = json_object_get(a->json, "tools");
	a->mounts = json_object_get(a->json, "mounts");
	a->inputs = json_object_get(a->json, "inputs");
	return 0;
}

int action_from_json(const char *id, json_t *json, struct action *ret, struct err *err)
{
	/* A copy of the outermost level: the caller's value gets no defaults, and strings below are shared, not doubled. */
	cleanup_action struct action a = {.json = json_is_object(json) ? json_copy(json) : json_incref(json)};
	cleanup_free char *path = vault_action_path(id);
	struct json_reader r;

	json_reader_init(&r, a.json, "");
	if (json_is_object(a.json))
		read_action(&r, id, &a);
	if (json_reader_end(&r, err) != 0 || add_defaults(&a, err) != 0)
		return err_wrap(err, "%s", path);
	*ret = a;
	a = (struct action)ACTION_INIT;
	return 0;
}

int action_parse(const char *id, const char *text, size_t len, struct action *ret, struct err *err)
{
	static const struct json_limits limits = {ACTION_MAX_BYTES, 8};
	cleanup_json json_t *json = NULL;
	cleanup_free char *path = vault_action_path(id);

	if (json_parse_strict(text, len, &limits, &json, err) != 0)
		return err_wrap(err, "%s", path);
	return action_from_json(id, json, ret, err);
}

void action_free(struct action *a)
{
	json_decref(a->json);
	*a = (struct action)ACTION_INIT;
}
