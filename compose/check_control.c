/* Ways to the dispatcher that pass by its front door: its spool with the socket in it, and, for agents, a network in common. */
#include "compose/check_rules.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include <string.h>

#define EDGE "edge"
#define SPOOL "/var/lib/disinto"

/* The source of the volume that edge has its spool in. Borrowed, or NULL. */
static const char *spool_of(const json_t *edge)
{
	const json_t *volume;
	size_t i;

	json_array_foreach (json_object_get(edge, "volumes"), i, volume)
		if (strcmp(compose_text_of(volume, "target"), SPOOL) == 0)
			return json_string_value(json_object_get(volume, "source"));
	return NULL;
}

/* The names of a service's networks; one that names none is on "default". Caller owns. */
static json_t *networks_of(const json_t *service)
{
	const json_t *value = json_object_get(service, "networks"), *item;
	json_t *names = json_object();
	size_t i;

	if (json_is_object(value))
		json_object_update(names, (json_t *)value);
	json_array_foreach (value, i, item)
		if (json_is_string(item))
			json_object_set_new(names, json_string_value(item), json_true());
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
	const char *spool = spool_of(edge);
	size_t i;

	if (!edge || strcmp(name, EDGE) == 0)
		return;
	json_array_foreach (json_object_get(service, "volumes"), i, volume)
		if (spool && strcmp(compose_text_of(volume, "source"), spool) == 0)
			compose_found(l, "control-plane", name, "volumes",
			              "has edge's spool, and in it the dispatcher's own socket, which wants no token");
	json_array_foreach (json_object_get(service, "volumes_from"), i, from)
		if (json_is_string(from) && strcspn(json_string_value(from), ":") == strlen(EDGE) &&
		    strncmp(json_string_value(from), EDGE, strlen(EDGE)) == 0)
			compose_found(l, "control-plane", name, "volumes_from",
			              "has edge's spool, and in it the dispatcher's own socket, which wants no token");
	check_network(l, name, service, edge);
}
