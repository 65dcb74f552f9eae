/* Finds the configuration, decides for each key which value counts, and refuses keys that nobody knows. */
#include "vault/config/config.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/yaml.h"
#include "vault/config/config_keys.h"
#include "vault/config/mount.h"
#include "vault/name.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define CONFIG_MAX_BYTES 65536
#define VARIABLE_PREFIX "DISINTO_"

static const struct json_limits limits = {CONFIG_MAX_BYTES, 8};

char *config_variable_name(const char *key)
{
	cleanup_buf struct buf b = BUF_INIT;

	buf_adds(&b, VARIABLE_PREFIX);
	for (; *key; key++)
		buf_addc(&b, *key == '.' ? '_' : (char)toupper((unsigned char)*key));
	return buf_steal(&b);
}

/* Length of the group's name in "approval.minimum", with its dot; 0 for a key of the outermost level. */
static size_t group_len(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? (size_t)(dot - name) + 1 : 0;
}

/* The number of single characters to insert, delete or exchange between two names (Levenshtein's distance). */
static size_t distance(const char *a, const char *b)
{
	size_t row[64];
	size_t len = strlen(b);

	if (len >= sizeof(row) / sizeof(*row))
		return SIZE_MAX;
	for (size_t k = 0; k <= len; k++)
		row[k] = k;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0]++;

		for (size_t k = 0; k < len; k++) {
			size_t change = diagonal + (a[i] != b[k]);
			size_t least = row[k] < row[k + 1] ? row[k] + 1 : row[k + 1] + 1;

			diagonal = row[k + 1];
			row[k + 1] = change < least ? change : least;
		}
	}
	return row[len];
}

/* Near enough to be a slip of the hand, or the right word in the wrong place. */
static bool is_near(const char *name, const char *key)
{
	size_t allowed = strlen(name) < 5 ? 1 : strlen(name) < 10 ? 2 : 3;

	return distance(name, key) <= allowed || strcmp(name + group_len(name), key + group_len(key)) == 0;
}

/* ERR_INVALID for a name that is no key, with those that may have been meant. */
static int refuse_unknown(const char *name, struct err *err)
{
	cleanup_buf struct buf near = BUF_INIT;
	bool plain = vault_matches(name, CHARS_ALNUM "_", CHARS_ALNUM "._-", 60);
	cleanup_free char *shown = plain ? xstrdup(name) : check_quote(name);

	for (size_t i = 0; i < n_config_keys; i++)
		if (is_near(name, config_keys[i].name))
			buf_addf(&near, "%s%s", near.len ? ", " : "", config_keys[i].name);
	if (near.len)
		return err_set(err, ERR_INVALID, "%s: unknown key; near names are %s", shown, near.data);
	return err_set(err, ERR_INVALID, "%s: unknown key; docs/configuration.md lists all of them", shown);
}

enum known { KNOWN_NOT, KNOWN_KEY, KNOWN_GROUP };

static enum known look_up(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n_config_keys; i++) {
		if (strcmp(config_keys[i].name, name) == 0)
			return KNOWN_KEY;
		if (group_len(config_keys[i].name) == len + 1 && strncmp(config_keys[i].name, name, len) == 0)
			return KNOWN_GROUP;
	}
	return KNOWN_NOT;
}

/* Keys of the file in the group `prefix` ("" or "approval."). Groups do not nest. */
static int check_known(const json_t *map, const char *prefix, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)map, key, value) {
		cleanup_free char *name = xasprintf("%s%s", prefix, key);
		cleanup_free char *inner = xasprintf("%s.", name);
		enum known known = look_up(name);

		if (known == KNOWN_NOT)
			return refuse_unknown(name, err);
		if (strchr(key, '.'))
			return err_set(err, ERR_INVALID, "%s: must be written as a map, as in `%.*s: {%s: …}`", key,
			               (int)group_len(key) - 1, key, key + group_len(key));
		if (known == KNOWN_GROUP && !json_is_object(value) && !json_is_null(value))
			return err_set(err, ERR_INVALID, "%s: must be a map of keys, as in `%s: {…}`", name, name);
		if (known == KNOWN_GROUP && check_known(value, inner, err) != 0)
			return -1;
	}
	return 0;
}

/* Whether the variable is named as the key's group is: DISINTO_LOG. */
static bool names_group(const char *variable, const char *key)
{
	cleanup_free char *group = xasprintf("%.*s", (int)(group_len(key) ? group_len(key) - 1 : 0), key);
	cleanup_free char *of_group = config_variable_name(group);

	return *group && strcmp(variable, of_group) == 0;
}

/* One that begins as ours do, and is none. */
static int check_stranger(const char *variable, struct err *err)
{
	for (size_t i = 0; i < n_config_keys; i++) {
		cleanup_free char *known = config_variable_name(config_keys[i].name);

		if (names_group(variable, config_keys[i].name))
			return err_set(err, ERR_INVALID, "%s: is no variable of disinto; each key in it has its own, as %s", variable,
			               known);
		if (distance(variable + strlen(VARIABLE_PREFIX), known + strlen(VARIABLE_PREFIX)) <= 2)
			return err_set(err, ERR_INVALID, "%s: is no variable of disinto; a near name is %s", variable, known);
	}
	return 0;
}

/* The environment belongs to others too, so only what is nearly one of our variables counts as a mistake. */
static int check_variables(struct err *err)
{
	for (char **env = environ; *env; env++) {
		cleanup_free char *variable = xasprintf("%.*s", (int)strcspn(*env, "="), *env);
		bool stranger = strncmp(variable, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0;

		for (size_t i = 0; stranger && i < n_config_keys; i++) {
			cleanup_free char *known = config_variable_name(config_keys[i].name);

			stranger = strcmp(known, variable) != 0;
		}
		if (stranger && check_stranger(variable, err) != 0)
			return -1;
	}
	return 0;
}

/* The value in the file, borrowed; NULL when the key is absent or has no value. */
static const json_t *file_value(const json_t *root, const char *name)
{
	cleanup_free char *group = xasprintf("%.*s", (int)(group_len(name) ? group_len(name) - 1 : 0), name);
	const json_t *map = *group ? json_object_get(root, group) : root;
	const json_t *value = json_object_get(map, name + group_len(name));

	return json_is_null(value) ? NULL : value;
}

/* A variable's text, or a default, as the value that a file would have. */
static int value_from_text(const struct config_key *key, const char *text, json_t **ret, struct err *err)
{
	if (key->member != MEMBER_STRING)
		return yaml_parse(text, strlen(text), &limits, ret, err);
	if (strlen(text) > CONFIG_MAX_BYTES || text_check(text, strlen(text), err) != 0)
		return err_set(err, ERR_INVALID, "must be text of at most %d bytes, without control characters", CONFIG_MAX_BYTES);
	*ret = json_string(text);
	return 0;
}

static int read_value(const struct config_key *key, const json_t *value, const char *base, struct config *c, struct err *err)
{
	return key->read(key, value, base, (char *)c + key->offset, err);
}

/* From the variable, else from the file, else the default. */
static int read_key(const struct config_key *key, const char *file, const json_t *root, const char *base, struct config *c, struct err *err)
{
	cleanup_free char *variable = config_variable_name(key->name);
	const char *text = getenv(variable);
	const json_t *in_file = file_value(root, key->name);
	cleanup_json json_t *value = NULL;

	if (text && *text) {
		if (value_from_text(key, text, &value, err) != 0 || read_value(key, value, base, c, err) != 0)
			return err_wrap(err, "%s", variable);
		return 0;
	}
	if (in_file) {
		if (read_value(key, in_file, base, c, err) == 0)
			return 0;
		err_wrap(err, "%s", key->name);
		return err_wrap(err, "%s", file);
	}
	if (key->required)
		return err_set(err, ERR_INVALID, "%s: %s: is required", file, key->name);
	if (!key->fallback)
		return 0;
	return value_from_text(key, key->fallback, &value, err) != 0 ? -1 : read_value(key, value, base, c, err);
}

/* The file's absolute path. Caller frees. */
static int absolute(const char *file, char **ret, struct err *err)
{
	cleanup_free char *here = NULL;

	if (file[0] != '/' && !(here = getcwd(NULL, 0)))
		return err_errno(err, errno, "where am I");
	*ret = path_join(here ? here : "/", file);
	return 0;
}

/* A mode that could never find its proof would hold everything for ever. */
static int check_approval(const char *file, const struct config *c, struct err *err)
{
	if (c->approval.minimum == APPROVAL_SIGNED && !c->approval.allowed_signers)
		return err_set(err, ERR_INVALID,
		               "%s: approval.minimum: signed needs approval.allowed_signers, the file of the keys that may approve", file);
	if (c->approval.minimum == APPROVAL_FORGE && (!c->approval.forge_url || json_array_size(c->approval.approvers) == 0))
		return err_set(err, ERR_INVALID, "%s: approval.minimum: forge needs approval.forge_url and approval.approvers", file);
	return 0;
}

/* Without an address the rest would never be used. */
static int check_drained(const char *file, const struct config *c, struct err *err)
{
	if (c->on_drained.url || !(c->on_drained.method || c->on_drained.headers_file || c->on_drained.body))
		return 0;
	return err_set(err, ERR_INVALID, "%s: on_drained.url: is required beside other keys of on_drained; https://… or http://…", file);
}

/* Sources are held against the rest of the configuration, so it has to be whole. */
static int check_mounts(const char *file, const struct config *c, struct err *err)
{
	const char *alias;
	json_t *m;

	json_object_foreach (c->mounts, alias, m)
		if (mount_source_check(c, json_string_value(json_object_get(m, "source")), err) != 0)
			return err_wrap(err, "%s: mounts: %s: source", file, alias);
	return 0;
}

int config_parse(const char *file, const char *text, size_t len, struct config *ret, struct err *err)
{
	cleanup_config struct config c = CONFIG_INIT;
	cleanup_json json_t *root = NULL;

	if (yaml_parse(text, len, &limits, &root, err) != 0)
		return err_wrap(err, "%s", file);
	if (!json_is_object(root))
		return err_set(err, ERR_INVALID, "%s: must be a map of keys, as in `ops_repo: https://forge.example/org/ops.git`", file);
	if (check_known(root, "", err) != 0)
		return err_wrap(err, "%s", file);
	if (check_variables(err) != 0 || absolute(file, &c.file, err) != 0)
		return -1;
	cleanup_free char *base = xasprintf("%.*s", (int)(strrchr(c.file, '/') - c.file + 1), c.file);
	for (size_t i = 0; i < n_config_keys; i++)
		if (read_key(&config_keys[i], file, root, base, &c, err) != 0)
			return -1;
	if (check_approval(file, &c, err) != 0 || check_drained(file, &c, err) != 0 || check_mounts(file, &c, err) != 0)
		return -1;
	*ret = c;
	c = (struct config)CONFIG_INIT;
	return 0;
}

/* The first of the usual places that has a file; NULL when none has. */
static const char *find_file(void)
{
	static const char *const places[] = {"dispatcher.yaml", "/etc/disinto/dispatcher.yaml"};
	const char *named = getenv("DISINTO_CONFIG");

	if (named && *named)
		return named;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (access(places[i], F_OK) == 0)
			return places[i];
	return NULL;
}

int config_load(const char *path, struct config *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *file = path ? path : find_file();

	if (!file)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "no configuration in ./dispatcher.yaml and /etc/disinto/dispatcher.yaml; make a site with `disinto init`, or name "
		    "a file with --config or DISINTO_CONFIG");
	if (file_read(file, CONFIG_MAX_BYTES, &text, err) != 0)
		return err_wrap(err, "read configuration");
	return config_parse(file, text.data, text.len, ret, err);
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < n_config_keys; i++) {
		void *member = (char *)c + config_keys[i].offset;

		if (config_keys[i].member == MEMBER_STRING)
			free(*(char **)member);
		else if (config_keys[i].member == MEMBER_TREE)
			json_decref(*(json_t **)member);
	}
	free(c->file);
	*c = (struct config)CONFIG_INIT;
}
