#include "compose/normal.h"
#include "compose/variables.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <string.h>

json_t *compose_replaced(const json_t *value, const json_t *env, json_t *unset)
{
	cleanup_free char *text = NULL;
	json_t *copy, *item;
	const char *key;
	size_t i;

	if (json_is_string(value)) {
		text = compose_substitute(json_string_value(value), env, unset);
		return json_string(text);
	}
	if (json_is_array(value)) {
		copy = json_array();
		json_array_foreach (value, i, item)
			json_array_append_new(copy, compose_replaced(item, env, unset));
		return copy;
	}
	if (!json_is_object(value))
		return json_deep_copy(value);
	copy = json_object();
	json_object_foreach ((json_t *)value, key, item)
		json_object_set_new(copy, key, compose_replaced(item, env, unset));
	return copy;
}

static bool is_replaced(const char *key)
{
	return strcmp(key, "command") == 0 || strcmp(key, "entrypoint") == 0 || strcmp(key, "test") == 0;
}

void compose_merge(json_t *base, const json_t *over)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)over, key, value) {
		json_t *there = json_object_get(base, key);

		if (json_is_object(there) && json_is_object(value))
			compose_merge(there, value);
		else if (json_is_array(there) && json_is_array(value) && !is_replaced(key))
			json_array_extend(there, value);
		else
			json_object_set_new(base, key, json_deep_copy(value));
	}
}

/* A variable without a value is passed on from the environment, if it is set there. */
static void set_variable(json_t *map, const char *name, const char *value)
{
	const char *passed = value ? value : getenv(name);

	if (passed)
		json_object_set_new(map, name, json_string(passed));
}

/* "NAME=value" items, or a map. Caller owns. */
static json_t *environment_of(const json_t *value)
{
	json_t *map = json_object(), *item;
	const char *key;
	size_t i;

	json_object_foreach ((json_t *)value, key, item)
		set_variable(map, key, json_string_value(item));
	json_array_foreach (value, i, item) {
		const char *text = json_string_value(item), *eq = text ? strchr(text, '=') : NULL;
		cleanup_free char *name = text ? xasprintf("%.*s", (int)strcspn(text, "="), text) : NULL;

		if (name)
			set_variable(map, name, eq ? eq + 1 : NULL);
	}
	return map;
}

/* A list of names as a map, which is how compose puts a list and a map together. */
static void name_networks(json_t *service)
{
	const json_t *list = json_object_get(service, "networks"), *item;
	json_t *map;
	size_t i;

	if (!json_is_array(list))
		return;
	map = json_object();
	json_array_foreach (list, i, item)
		if (json_is_string(item))
			json_object_set_new(map, json_string_value(item), json_null());
	json_object_set_new(service, "networks", map);
}

/* The variables of env_file, under those that the service names itself. */
static void add_env_files(const struct compose_surroundings *around, const char *name, json_t *service, json_t *environment)
{
	cleanup_json json_t *list = compose_listed(json_object_get(service, "env_file"));
	const json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		const char *file = json_string_value(json_is_object(entry) ? json_object_get(entry, "path") : entry);
		cleanup_free char *path = file ? path_join(around->folder, file) : NULL;
		cleanup_json json_t *read = json_object();
		cleanup_err struct err why = ERR_INIT;

		const char *required = json_string_value(json_object_get(entry, "required"));

		if (path && compose_read_env(path, read, &why) < 0 &&
		    !(why.code == ERR_NOT_FOUND && required && strcmp(required, "false") == 0))
			compose_found(around->l, "unresolved", name, "env_file", "%s: what it sets can't be judged", err_msg(&why));
		json_object_update_missing(environment, read);
	}
}

/* Caller frees. */
static char *absolute_source(const struct compose_surroundings *around, const char *source)
{
	const char *home = getenv("HOME");

	if (source[0] == '~' && home)
		return xasprintf("%s%s", home, source + 1);
	return path_join(around->folder, source);
}

static json_t *volume(const struct compose_surroundings *around, const char *source, const char *target, bool bind)
{
	cleanup_free char *path = source && bind ? absolute_source(around, source) : NULL;

	return json_pack("{s:s?, s:s?, s:b}", "source", path ? path : source, "target", target, "bind", bind);
}

/* "SOURCE:TARGET:MODE", "SOURCE:TARGET" or "TARGET"; a source that is a path begins with . / or ~. */
static json_t *short_volume(const struct compose_surroundings *around, const char *text)
{
	size_t first = strcspn(text, ":");
	cleanup_free char *source = text[first] ? xasprintf("%.*s", (int)first, text) : NULL;
	const char *rest = text[first] ? text + first + 1 : text;
	cleanup_free char *target = xasprintf("%.*s", (int)strcspn(rest, ":"), rest);

	return volume(around, source, target, source && strchr("./~", source[0]) != NULL && source[0]);
}

static json_t *long_volume(const struct compose_surroundings *around, const json_t *entry)
{
	const char *source = json_string_value(json_object_get(entry, "source"));
	const char *target = json_string_value(json_object_get(entry, "target"));
	const char *type = json_string_value(json_object_get(entry, "type"));

	if (!source)
		source = json_string_value(json_object_get(entry, "src"));
	if (!target)
		target = json_string_value(json_object_get(entry, "destination"));
	if (!target)
		target = json_string_value(json_object_get(entry, "dst"));
	return volume(around, source, target, (type && strcmp(type, "bind") == 0) || (source && source[0] && strchr("./~", source[0])));
}

/* Where a volume leads must be known; with a variable that nothing sets it is not. */
static json_t *volumes_of(const struct compose_surroundings *around, const char *name, const json_t *value)
{
	cleanup_json json_t *unset = json_object();
	cleanup_json json_t *replaced = compose_replaced(value, around->l->env, unset);
	json_t *list = json_array(), *ignored;
	const json_t *entry;
	const char *variable;
	size_t i;

	json_object_foreach (unset, variable, ignored)
		compose_found(around->l, "unresolved", name, "volumes",
		              "a volume needs the variable %s, which is not set: where it leads can't be judged", variable);
	json_array_foreach (replaced, i, entry)
		json_array_append_new(list,
		                      json_is_string(entry) ? short_volume(around, json_string_value(entry)) : long_volume(around, entry));
	return list;
}

void compose_normalise(const struct compose_surroundings *around, const char *name, json_t *service)
{
	cleanup_json json_t *volumes = volumes_of(around, name, json_object_get(service, "volumes"));
	cleanup_json json_t *replaced = compose_replaced(service, around->l->env, NULL);
	cleanup_json json_t *environment = environment_of(json_object_get(replaced, "environment"));

	add_env_files(around, name, replaced, environment);
	json_object_del(replaced, "env_file");
	json_object_set(replaced, "environment", environment);
	json_object_set(replaced, "volumes", volumes);
	name_networks(replaced);
	json_object_clear(service);
	json_object_update(service, replaced);
}
