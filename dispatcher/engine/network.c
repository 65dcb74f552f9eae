/* The network of tasks that need one: a bridge of their own, without traffic between containers. */
#include "dispatcher/engine/shared.h"
#include "dispatcher/engine/spec.h"

#include "lib/cleanup.h"
#include <string.h>

#define ICC_OPTION "com.docker.network.bridge.enable_icc"

/* The one with the smallest id among those of exactly this name; NULL when there is none. Borrowed from the list. */
static const json_t *find_first(const json_t *list, size_t *ret_count)
{
	const json_t *first = NULL;
	size_t i;
	const json_t *n;
	*ret_count = 0;
	json_array_foreach (list, i, n) {
		const char *name = json_string_value(json_object_get(n, "Name"));
		const char *id = json_string_value(json_object_get(n, "Id"));
		if (!name || !id || strcmp(name, TASK_NETWORK) != 0)
			continue;
		++*ret_count;
		if (!first || strcmp(id, json_string_value(json_object_get(first, "Id"))) < 0)
			first = n;
	}
	return first;
}

static int network_check(const json_t *network, struct err *err)
{
	const char *driver = json_string_value(json_object_get(network, "Driver"));
	const char *icc = json_string_value(json_object_get(json_object_get(network, "Options"), ICC_OPTION));
	if (!driver || strcmp(driver, "bridge") != 0 || !icc || strcmp(icc, "false") != 0)
		return err_set(err, ERR_FAIL, "is there already, but is not a bridge with %s=false; remove it, it will be made again",
		               ICC_OPTION);
	return 0;
}

static int network_create(struct api *a, char **ret_id, struct err *err)
{
	cleanup_json json_t *body = json_pack("{s:s, s:b, s:s, s:{s:s}, s:{s:s}}", "Name", TASK_NETWORK, "CheckDuplicate", 1, "Driver",
	                                      "bridge", "Options", ICC_OPTION, "false", "Labels", "disinto", "tasks");
	cleanup_json json_t *answer = NULL;
	cleanup_err struct err why = ERR_INIT;
	*ret_id = NULL;
	if (api_post(a, body, &answer, &why, "/networks/create") < 0) {
		if (why.code == ERR_EXISTS) /* another dispatcher was faster */
			return 0;
		err_move(err, &why);
		return err_wrap(err, "create it");
	}
	const char *id = json_string_value(json_object_get(answer, "Id"));
	*ret_id = id ? xstrdup(id) : NULL;
	return 0;
}

/* The engine does not exclude two of one name. Both makers see both, and the one whose id is larger takes its own away. */
static int network_find(struct api *a, char **ret_id, struct err *err)
{
	cleanup_free char *filters = api_filters(json_pack("{s:[s]}", "name", TASK_NETWORK));
	cleanup_free char *made = NULL;
	for (int round = 0; round < 3; round++) {
		cleanup_json json_t *list = NULL;
		size_t count;
		if (api_get(a, &list, err, "/networks?filters=%s", filters) < 0)
			return -1;
		const json_t *first = find_first(list, &count);
		if (!first && network_create(a, &made, err) < 0)
			return -1;
		if (!first)
			continue;
		const char *id = json_string_value(json_object_get(first, "Id"));
		if (made && strcmp(made, id) != 0 && api_delete(a, err, "/networks/%s", made) < 0)
			return err_wrap(err, "remove the second one of that name");
		if (network_check(first, err) < 0)
			return -1;
		*ret_id = xstrdup(id);
		return 0;
	}
	return err_set(err, ERR_FAIL, "is not there after it was created");
}

int shared_network(struct engine *e, struct api *a, char **ret_id, struct err *err)
{
	int r = 0;
	pthread_mutex_lock(&e->prepare_lock);
	if (!e->network_id)
		r = network_find(a, &e->network_id, err);
	if (r == 0)
		*ret_id = xstrdup(e->network_id);
	pthread_mutex_unlock(&e->prepare_lock);
	return r < 0 ? err_wrap(err, "network %s", TASK_NETWORK) : 0;
}

int named_network(struct api *a, const char *name, char **ret_id, struct err *err)
{
	cleanup_json json_t *network = NULL;
	cleanup_err struct err why = ERR_INIT;
	if (!api_is_name(name))
		return err_set(err, ERR_FAIL, "networks: '%s' is not the name of a Docker network", name);
	if (api_get(a, &network, &why, "/networks/%s", name) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return err_set(err, ERR_FAIL, "networks: %s is not on this engine; make it there: docker network create %s", name,
			               name);
		err_move(err, &why);
		return err_wrap(err, "network %s", name);
	}
	const char *driver = json_string_value(json_object_get(network, "Driver"));
	const char *id = json_string_value(json_object_get(network, "Id"));
	if (!driver || !id || strcmp(driver, "host") == 0)
		return err_set(err, ERR_FAIL,
		               "networks: '%s' can't be given to a task: it is the machine's own; name a Docker network of its own", name);
	*ret_id = xstrdup(id);
	return 0;
}
