/* The model of a site: the template with the services, and what this site adds to it. */
#include "compose/compose.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/yaml.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULTS "x-every"
#define VERSION_MARK "@VERSION@"
#define INPUTS "/run/secrets/"
#define REPO "/etc/disinto/ops.git"

__asm__(".pushsection .rodata\n"
        ".globl compose_template\n.type compose_template, %object\ncompose_template:\n.incbin \"templates/compose.yaml\"\n.byte 0\n"
        ".globl compose_caddyfile\n.type compose_caddyfile, %object\ncompose_caddyfile:\n.incbin \"templates/Caddyfile\"\n.byte 0\n"
        ".globl compose_env_example\n.type compose_env_example, %object\ncompose_env_example:\n.incbin \"templates/env.example\"\n.byte 0\n"
        ".popsection\n");
extern const char compose_template[], compose_env_example[];

/* It is part of the program: a template that can't be read is a broken build. */
static json_t *read_template(void)
{
	static const struct json_limits limits = {65536, 8};
	json_t *tree;

	if (yaml_parse(compose_template, strlen(compose_template), &limits, &tree, NULL) < 0)
		abort();
	return tree;
}

static void set_version(json_t *service, const char *version)
{
	const char *image = json_string_value(json_object_get(service, "image"));
	const char *mark = image ? strstr(image, VERSION_MARK) : NULL;

	if (mark)
		json_object_set_new(service, "image",
		                    json_sprintf("%.*s%s%s", (int)(mark - image), image, version, mark + strlen(VERSION_MARK)));
}

void compose_env_text(const struct compose_site *site, struct buf *ret)
{
	const char *rest = compose_env_example, *mark;

	for (; (mark = strstr(rest, VERSION_MARK)) != NULL; rest = mark + strlen(VERSION_MARK)) {
		buf_add(ret, rest, (size_t)(mark - rest));
		buf_adds(ret, site->version);
	}
	buf_adds(ret, rest);
}

/* compose replaces $NAME in values; $$ is a dollar. Caller frees. */
static char *escaped(const char *s)
{
	cleanup_buf struct buf out = BUF_INIT;

	for (; *s; s++)
		buf_adds(&out, *s == '$' ? "$$" : (const char[]){*s, '\0'});
	return buf_steal(&out);
}

/* "approval.forge_token_file" -> "approval_forge_token_file". Caller frees. */
static char *input_name(const char *key)
{
	char *name = xstrdup(key);

	for (char *p = name; *p; p++)
		if (*p == '.')
			*p = '_';
	return name;
}

static void add_input(json_t *tree, json_t *edge, const struct compose_input *input)
{
	cleanup_free char *name = input_name(input->key);
	cleanup_free char *path = escaped(input->path);
	json_t *mine = json_object_get(edge, "secrets");

	if (!mine) {
		mine = json_array();
		json_object_set_new(edge, "secrets", mine);
	}
	json_array_append_new(mine, json_pack("{s:s, s:s}", "source", name, "target", name));
	json_object_set_new(json_object_get(edge, "environment"), input->variable, json_sprintf(INPUTS "%s", name));
	json_object_set_new(json_object_get(tree, "secrets"), name, json_pack("{s:s}", "file", path));
}

/* A map as a variable's text. */
static void set_map(json_t *edge, const char *variable, const json_t *map)
{
	cleanup_free char *text = json_compact(map);
	cleanup_free char *value = escaped(text);

	json_object_set_new(json_object_get(edge, "environment"), variable, json_string(value));
}

/* The front door passes on the name that it was asked by: the configuration's names, and DOMAIN. */
static void add_hosts(json_t *edge, const json_t *hosts)
{
	cleanup_free char *text = json_compact(hosts);

	if (json_array_size(hosts) > 0)
		json_object_set_new(json_object_get(edge, "environment"), "DISINTO_ALLOWED_HOSTS",
		                    json_sprintf("%.*s,${DOMAIN:-}]", (int)strlen(text) - 1, text));
}

static void add_repo(json_t *edge, const char *repo)
{
	cleanup_free char *path = escaped(repo);

	json_array_append_new(json_object_get(edge, "volumes"),
	                      json_pack("{s:s, s:s, s:s}", "type", "bind", "source", path, "target", REPO));
	json_object_set_new(json_object_get(edge, "environment"), "DISINTO_OPS_REPO", json_string(REPO));
}

json_t *compose_model(const struct compose_site *site)
{
	cleanup_json json_t *tree = read_template();
	cleanup_json json_t *every = json_incref(json_object_get(tree, DEFAULTS));
	json_t *services = json_object_get(tree, "services");
	json_t *edge = json_object_get(services, "edge");
	const char *name;
	json_t *service;

	json_object_del(tree, DEFAULTS);
	json_object_foreach (services, name, service) {
		set_version(service, site->version);
		json_object_update_missing(service, every);
	}
	for (size_t i = 0; i < site->n_inputs; i++)
		add_input(tree, edge, &site->inputs[i]);
	if (site->repo)
		add_repo(edge, site->repo);
	if (site->hosts)
		add_hosts(edge, site->hosts);
	/* The engine looks for a mount's source on the host; a relative one would begin inside of the container. */
	if (json_object_size(site->mounts) > 0)
		set_map(edge, "DISINTO_MOUNTS", site->mounts);
	return steal_ptr(&tree);
}
