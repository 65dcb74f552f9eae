/* One old file into one of ours. What the old dispatcher documented and never enforced is said, not guessed. */
#include "cli/take_over.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/yaml.h"
#include "vault/action.h"
#include "vault/formula.h"
#include "vault/name.h"
#include <string.h>

#define DESCRIPTION_MAX 1000

static void leave(json_t *left, const char *where, const char *key, const char *why)
{
	json_array_append_new(left, json_sprintf("%s%s%s", where, key, why));
}

static bool is_in(const char *key, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(key, *list) == 0)
			return true;
	return false;
}

/* Strings, which is what inputs are. */
static json_t *as_inputs(const json_t *old)
{
	json_t *inputs = json_object(), *value;
	const char *key;

	json_object_foreach ((json_t *)old, key, value) {
		cleanup_free char *text = json_is_string(value) ? xstrdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);

		json_object_set_new(inputs, key, json_string(text));
	}
	return inputs;
}

int take_over_action(const char *id, json_t *old, struct buf *ret, json_t *left, struct err *err)
{
	static const char *const same[] = {"id",     "formula", "context",         "secrets",      "tools",
	                                   "mounts", "model",   "timeout_minutes", "blast_radius", NULL};
	static const char *const inputs[] = {"inputs", "vars", "params", "args", NULL};
	cleanup_json json_t *new = json_object();
	__attribute__((cleanup(action_free))) struct action action = {.json = NULL};
	cleanup_free char *text = NULL;
	const char *key;
	json_t *value;

	json_object_set_new(new, "id", json_string(id));
	json_object_set_new(new, "secrets", json_array());
	json_object_foreach (old, key, value) {
		if (is_in(key, same))
			json_object_set(new, key, value);
		else if (is_in(key, inputs) && json_is_object(value))
			json_object_set_new(new, "inputs", as_inputs(value));
		else if (strcmp(key, "dispatch_mode") == 0)
			leave(left, "", key, ": whether a proposal lands by itself is for vault/policy.yaml to say, by tier");
		else
			leave(left, "", key, ": has no counterpart");
	}
	if (action_from_json(id, new, &action, err) < 0)
		return -1;
	text = json_pretty(new);
	buf_adds(ret, text);
	return 0;
}

/* A step was told to an agent as a title and a description, or was a command. */
static json_t *as_step(json_t *old, const char *where, json_t *left)
{
	static const char *const commands[] = {"run", "command", "script", "shell", NULL};
	static const char *const known[] = {"id", "title", "description", "prompt", NULL};
	const char *title = json_string_value(json_object_get(old, "title")),
	           *text = json_string_value(json_object_get(old, "description"));
	const char *prompt = json_string_value(json_object_get(old, "prompt")), *key;
	json_t *step = json_object(), *value;

	json_object_set(step, "id", json_object_get(old, "id"));
	json_object_foreach (old, key, value) {
		if (is_in(key, commands) && json_is_string(value))
			json_object_set(step, "run", value);
		else if (strcmp(key, "needs") == 0)
			leave(left, where, key, ": steps run in the order in which they stand");
		else if (!is_in(key, known))
			leave(left, where, key, ": has no counterpart");
	}
	text = prompt ? prompt : text;
	if (!json_object_get(step, "run") && (title || text))
		json_object_set_new(step, "prompt",
		                    json_sprintf("%s%s%s", title ? title : "", title && text ? "\n\n" : "", text ? text : ""));
	return step;
}

static json_t *as_steps(const json_t *old, json_t *left)
{
	json_t *steps = json_array(), *step;
	size_t i;

	json_array_foreach (old, i, step) {
		cleanup_free char *where = xasprintf("steps[%zu].", i);

		json_t *new = json_is_object(step) ? as_step(step, where, left) : json_object();
		const char *id = json_string_value(json_object_get(new, "id"));

		if (!id || !vault_is_id(id))
			json_object_set_new(new, "id", json_sprintf("step-%zu", i + 1));
		json_array_append_new(steps, new);
	}
	return steps;
}

int take_over_formula(const char *name, json_t *old, struct buf *ret, json_t *left, struct err *err)
{
	static const char *const same[] = {"description", "image", "timeout_minutes", NULL};
	cleanup_json json_t *new = json_object();
	__attribute__((cleanup(formula_free))) struct formula formula = {.json = NULL};
	const char *key;
	json_t *value;

	json_object_set_new(new, "name", json_string(name));
	json_object_foreach (old, key, value) {
		if (strcmp(key, "description") == 0 && json_string_length(value) > DESCRIPTION_MAX)
			leave(left, "", key, ": is too long for what people see in lists");
		else if (is_in(key, same))
			json_object_set(new, key, value);
		else if (strcmp(key, "model") == 0)
			leave(left, "", key, ": belongs into the action");
		else if (strcmp(key, "vars") == 0)
			leave(left, "", key, ": are the action's inputs; a prompt gets them as data, without {{…}} in it");
		else if (strcmp(key, "steps") != 0 && strcmp(key, "name") != 0 && strcmp(key, "formula") != 0)
			leave(left, "", key, ": has no counterpart");
	}
	json_object_set_new(new, "steps", as_steps(json_object_get(old, "steps"), left));
	if (formula_from_json(name, new, &formula, err) < 0)
		return -1;
	yaml_emit(new, ret);
	return 0;
}
