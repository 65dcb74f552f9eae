/* Maps and lists of the configuration. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/config/config_keys.h"
#include "vault/config/mount.h"
#include "vault/name.h"
#include <string.h>

#define ENTRIES_MAX 256

int read_list(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	cleanup_free char *shown_value = config_shown(value);
	size_t i;
	json_t *entry;

	(void)base;
	if (!json_is_array(value))
		return err_set(err, ERR_INVALID, "%s is not a list", shown_value);
	if (json_array_size(value) > (size_t)key->max)
		return err_set(err, ERR_INVALID, "has %zu entries; at most %d are allowed", json_array_size(value), key->max);
	json_array_foreach (value, i, entry) {
		cleanup_free char *shown = config_shown(entry);

		if (!json_is_string(entry) || !key->kind->is(json_string_value(entry)))
			return err_set(err, ERR_INVALID, "%s is not %s: %s", shown, key->kind->what, key->kind->rule);
	}
	*(json_t **)ret = json_deep_copy(value);
	return 0;
}

/* A map from names by the rule of ids to what `entry` makes of each value. */
static int read_map(const json_t *value, const char *base, json_t *(*entry)(const json_t *value, const char *base, struct err *err),
                    void *ret, struct err *err)
{
	cleanup_json json_t *map = json_object();
	cleanup_free char *shown_value = config_shown(value);
	const char *name;
	json_t *from;

	if (!json_is_object(value))
		return err_set(err, ERR_INVALID, "%s is not a map of names", shown_value);
	if (json_object_size(value) > ENTRIES_MAX)
		return err_set(err, ERR_INVALID, "has %zu entries; at most %d are allowed", json_object_size(value), ENTRIES_MAX);
	json_object_foreach ((json_t *)value, name, from) {
		cleanup_free char *shown = check_quote(name);
		json_t *to = vault_is_id(name) ? entry(from, base, err) : NULL;

		if (!vault_is_id(name))
			return err_set(err, ERR_INVALID, "%s is not a name: " VAULT_ID_RULE, shown);
		if (!to)
			return err_wrap(err, "%s", name);
		json_object_set_new(map, name, to);
	}
	*(json_t **)ret = steal_ptr(&map);
	return 0;
}

static json_t *read_mount(const json_t *value, const char *base, struct err *err)
{
	struct json_reader r;

	json_reader_init(&r, value, "");
	const char *source = json_get_string(&r, "source", 1, 4096, true, NULL);
	const char *target = json_get_string(&r, "target", 1, 4096, true, NULL);
	cleanup_free char *path = source ? path_join(base, source) : NULL;
	cleanup_err struct err why = ERR_INIT;

	if (target && mount_target_check(target, &why) != 0)
		json_reader_fail(&r, "target", "%s", err_msg(&why));
	if (json_reader_end(&r, err) != 0)
		return NULL;
	return json_pack("{ss ss}", "source", path, "target", target);
}

int read_mounts(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	(void)key;
	return read_map(value, base, read_mount, ret, err);
}

static json_t *read_network(const json_t *value, const char *base, struct err *err)
{
	const char *s = json_is_string(value) ? json_string_value(value) : "";
	cleanup_free char *shown = config_shown(value);

	(void)base;
	if (vault_matches(s, CHARS_ALNUM, CHARS_ALNUM "_.-", 128) && strcmp(s, "host") != 0)
		return json_string(s);
	err_set(err, ERR_INVALID,
	        "%s is not allowed; a Docker network's name, of letters, digits and _ . -, and not host, which is no network of its own",
	        shown);
	return NULL;
}

int read_networks(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	(void)key;
	if (json_object_get(value, "default") || json_object_get(value, "none"))
		return err_set(err, ERR_INVALID, "the names default and none have a meaning of their own in formulas; choose another");
	return read_map(value, base, read_network, ret, err);
}

static json_t *read_agent(const json_t *value, const char *base, struct err *err)
{
	bool good = json_is_array(value) && json_array_size(value) <= 64;
	const char *command = NULL; /* the first that is no variable */

	(void)base;
	for (size_t i = 0; good && i < json_array_size(value); i++) {
		const char *s = json_string_value(json_array_get(value, i));

		good = s != NULL;
		if (s && !command && !check_is_assignment(s))
			command = s;
	}
	if (good && command && *command)
		return json_deep_copy(value);
	err_set(err, ERR_INVALID,
	        "must be a list of 1 to 64 strings: variables as NAME=value if any, the command, its arguments; as in [claude, -p]");
	return NULL;
}

int read_agents(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	(void)key;
	return read_map(value, base, read_agent, ret, err);
}
