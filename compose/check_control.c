/* Ways to the dispatcher that pass by its front door: its spool with the socket in it, and, for agents, a network in common. */
#include "compose/check_rules.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/path.h"
#include <string.h>

#define EDGE "edge"
#define SPOOL "/var/lib/disinto"

static bool shows(const char *a, const char *b)
{
	return path_is_in(a, b) || path_is_in(b, a);
}

static bool ends_with(const char *s, const char *suffix)
{
	return strlen(s) >= strlen(suffix) && strcmp(s + strlen(s) - strlen(suffix), suffix) == 0;
}

/* The name that a volume of the outermost level gives itself, `name` or external's own. Borrowed; NULL: it is called <project>_<key>. */
static const char *own_name(const struct compose_loaded *l, const char *key, bool *ret_external)
{
	const json_t *volume = json_object_get(l->volumes, key), *external = json_object_get(volume, "external");
	const char *name = json_string_value(json_object_get(volume, "name"));

	*ret_external = json_is_object(external) || compose_is_true(external);
	if (!name)
		name = json_string_value(json_object_get(external, "name"));
	return name || !*ret_external ? name : key;
}

/* May the key be the name that the other one has in a project, whatever the project is called? */
static bool may_be_called(const char *key, const char *name)
{
	cleanup_free char *suffix = xasprintf("_%s", key);

	return ends_with(name, suffix);
}

/* Do two volumes of services lead to the same place? By paths, else by the names that Docker knows them by. */
static bool is_same_volume(const struct compose_loaded *l, const json_t *a, const json_t *b)
{
	const char *key_a = compose_text_of(a, "source"), *key_b = compose_text_of(b, "source");
	const char *place_a = compose_place_of(l, a), *place_b = compose_place_of(l, b), *name_a, *name_b;
	bool external;

	if (place_a && place_b) {
		cleanup_free char *path_a = compose_canonical(place_a), *path_b = compose_canonical(place_b);

		return shows(path_a, path_b);
	}
	if (!*key_a || !*key_b || json_is_true(json_object_get(a, "bind")) || json_is_true(json_object_get(b, "bind")))
		return false;
	if (strcmp(key_a, key_b) == 0)
		return true;
	name_a = own_name(l, key_a, &external);
	name_b = own_name(l, key_b, &external);
	if (name_a && name_b)
		return strcmp(name_a, name_b) == 0;
	return name_a ? may_be_called(key_b, name_a) : name_b ? may_be_called(key_a, name_b) : false;
}

/* Is a service's volume one that edge has its spool in? An override may have put another one there, so each that may be it counts. */
static bool is_spool(const struct compose_loaded *l, const json_t *edge, const json_t *volume)
{
	const json_t *its;
	size_t i;

	json_array_foreach (json_object_get(edge, "volumes"), i, its) {
		cleanup_free char *target = path_clean(compose_text_of(its, "target"));

		if (shows(target, SPOOL) && is_same_volume(l, its, volume))
			return true;
	}
	return false;
}

static void check_volume(struct compose_loaded *l, const char *name, const json_t *edge, const json_t *volume)
{
	const char *key = compose_text_of(volume, "source");
	bool external = false;

	if (!json_is_true(json_object_get(volume, "bind")))
		own_name(l, key, &external);
	if (is_spool(l, edge, volume))
		compose_found(l, "control-plane", name, "volumes",
		              "has edge's spool, and in it the dispatcher's own socket, which wants no token");
	else if (external)
		compose_found(l, "unresolved", name, "volumes", "has the external volume '%s': what it holds can't be judged", key);
}

/* The names of a service's networks; one that names none is on "default". Caller owns. */
static json_t *networks_of(const json_t *service)
{
	json_t *value = json_object_get(service, "networks"), *names = json_object();

	if (json_is_object(value))
		json_object_update(names, value);
	if (json_object_size(names) == 0 && !json_object_get(service, "network_mode"))
		json_object_set_new(names, "default", json_true());
	return names;
}

static void check_network(struct compose_loaded *l, const char *name, const json_t *service, const json_t *edge)
{
	cleanup_json json_t *mine = networks_of(service);
	cleanup_json json_t *its = networks_of(edge);
	const char *network;
	json_t *ignored;

	if (strncmp(name, "agents", 6) != 0)
		return;
	json_object_foreach (mine, network, ignored)
		if (json_object_get(its, network))
			compose_found(l, "control-plane", name, "networks",
			              "is on the network '%s' together with edge, and reaches whatever listens there", network);
}

void compose_check_control(struct compose_loaded *l, const char *name, const json_t *service)
{
	const json_t *edge = json_object_get(l->services, EDGE), *volume, *from;
	size_t i;

	if (!edge || strcmp(name, EDGE) == 0)
		return;
	json_array_foreach (json_object_get(service, "volumes"), i, volume)
		check_volume(l, name, edge, volume);
	json_array_foreach (json_object_get(service, "volumes_from"), i, from)
		if (json_is_string(from) && strcspn(json_string_value(from), ":") == strlen(EDGE) &&
		    strncmp(json_string_value(from), EDGE, strlen(EDGE)) == 0)
			compose_found(l, "control-plane", name, "volumes_from",
			              "has edge's spool, and in it the dispatcher's own socket, which wants no token");
	check_network(l, name, service, edge);
}
