/* Is a container what was asked for? */
#include "dispatcher/engine/spec.h"

#include "lib/cleanup.h"
#include "lib/path.h"
#include <string.h>

/*
 * Members of HostConfig that may say something though nobody asked: what the engine's own configuration decides and no container gains by. All
 * others that were not asked for must be empty, those too that a later engine may bring.
 */
static const char *const may_be_set[] = {"MaskedPaths", "ReadonlyPaths", "Runtime"};

static const char *const must_not_be_empty[] = {"MaskedPaths", "ReadonlyPaths"};

/* Zeros in an array too: ConsoleSize is [0, 0]. */
static bool is_empty(const json_t *v)
{
	size_t i;
	const json_t *entry;
	json_array_foreach (v, i, entry)
		if (!json_is_integer(entry) || json_integer_value(entry) != 0)
			return false;
	if (json_is_string(v))
		return json_string_length(v) == 0;
	if (json_is_integer(v))
		return json_integer_value(v) == 0;
	return !v || json_is_null(v) || json_is_false(v) || json_is_array(v) || (json_is_object(v) && json_object_size(v) == 0);
}

static bool is_one_of(const char *key, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, list[i]) == 0)
			return true;
	return false;
}

/* Every entry of `want` stands in `have`. */
static bool has_all(const json_t *have, const json_t *want)
{
	size_t i, k;
	const json_t *w, *h;
	json_array_foreach (want, i, w) {
		bool found = false;
		json_array_foreach (have, k, h)
			found = found || json_equal(h, w);
		if (!found)
			return false;
	}
	return true;
}

/* Everything in `want` stands in `have`; an engine may add members to objects. */
static bool covers(const json_t *have, const json_t *want)
{
	const char *key;
	json_t *v;
	if (is_empty(want) && is_empty(have))
		return true;
	if (!json_is_object(want))
		return json_equal(have, want);
	json_object_foreach ((json_t *)want, key, v)
		if (!covers(json_object_get(have, key), v))
			return false;
	return true;
}

static int differs(const char *where, const char *key, const json_t *have, struct err *err)
{
	cleanup_free char *text = have ? json_dumps(have, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	return err_set(err, ERR_FAIL, "the container that the Docker Engine made is not the one asked for: %s%s is %.200s", where, key,
	               text ? text : "absent");
}

static int check_members(const char *where, const json_t *want, const json_t *have, struct err *err)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)want, key, v) {
		const json_t *is = json_object_get(have, key);
		bool same = strcmp(key, "Tmpfs") == 0     ? json_equal(is, v) /* nothing may be added here */
		            : strcmp(key, "Ulimits") == 0 ? has_all(is, v)    /* the engine may have more of its own */
		                                          : covers(is, v);
		if (strcmp(key, "HostConfig") != 0 && !same)
			return differs(where, key, is, err);
	}
	return 0;
}

/* What nobody asked for, each of which might widen what a task can reach; and what keeps the kernel's folders closed. */
static int check_host_extras(const json_t *want, const json_t *have, struct err *err)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)have, key, v)
		if (!json_object_get(want, key) && !is_one_of(key, may_be_set, sizeof(may_be_set) / sizeof(*may_be_set)) && !is_empty(v))
			return differs("HostConfig.", key, v, err);
	for (size_t i = 0; i < sizeof(must_not_be_empty) / sizeof(*must_not_be_empty); i++)
		if (is_empty(json_object_get(have, must_not_be_empty[i])))
			return differs("HostConfig.", must_not_be_empty[i], json_object_get(have, must_not_be_empty[i]), err);
	return 0;
}

static const json_t *wanted_mount(const json_t *mounts, const char *target)
{
	size_t i;
	const json_t *m;
	json_array_foreach (mounts, i, m) {
		cleanup_free char *path = path_clean(json_string_value(json_object_get(m, "Target")));
		if (target && strcmp(path, target) == 0)
			return m;
	}
	return NULL;
}

/* What is really mounted: exactly what was asked for, read-only; an anonymous volume of the image would show here. */
static int check_mounts(const json_t *want, const json_t *have, struct err *err)
{
	size_t i;
	const json_t *m;
	json_array_foreach (have, i, m) {
		const json_t *asked = wanted_mount(want, json_string_value(json_object_get(m, "Destination")));
		const char *type = json_string_value(json_object_get(m, "Type"));
		const json_t *source = type && strcmp(type, "volume") == 0 ? json_object_get(m, "Name") : json_object_get(m, "Source");
		if (!asked || !json_equal(json_object_get(m, "Type"), json_object_get(asked, "Type")) ||
		    !json_equal(source, json_object_get(asked, "Source")) || !json_is_false(json_object_get(m, "RW")))
			return differs("", "Mounts", m, err);
	}
	if (json_array_size(have) != json_array_size(want))
		return differs("", "Mounts", have, err);
	return 0;
}

int spec_check(const json_t *want, const json_t *inspect, struct err *err)
{
	const json_t *host = json_object_get(inspect, "HostConfig");
	const json_t *want_host = json_object_get(want, "HostConfig");
	if (!json_equal(json_object_get(inspect, "Image"), json_object_get(want, "Image")))
		return differs("", "Image", json_object_get(inspect, "Image"), err);
	if (check_members("Config.", want, json_object_get(inspect, "Config"), err) < 0 ||
	    check_members("HostConfig.", want_host, host, err) < 0)
		return -1;
	if (check_host_extras(want_host, host, err) < 0)
		return -1;
	return check_mounts(json_object_get(want_host, "Mounts"), json_object_get(inspect, "Mounts"), err);
}
