/* Is a container what was asked for? */
#include "dispatcher/engine/spec.h"

#include "lib/cleanup.h"
#include <string.h>

/* What a container has of its own, though nobody asked: each of these widens what a task can reach. */
static const char *const must_be_empty[] = {
    "AutoRemove", "Binds",      "Cgroup",       "CgroupParent",   "ContainerIDFile", "DeviceCgroupRules", "DeviceRequests",     "Devices",
    "ExtraHosts", "GroupAdd",   "Links",        "OomKillDisable", "PidMode",         "PortBindings",      "Privileged",         "Sysctls",
    "UTSMode",    "UsernsMode", "VolumeDriver", "VolumesFrom",    "PublishAllPorts", "CpuRealtimePeriod", "CpuRealtimeRuntime",
};

static const char *const must_not_be_empty[] = {"MaskedPaths", "ReadonlyPaths"};

static bool is_empty(const json_t *v)
{
	if (json_is_string(v))
		return json_string_length(v) == 0;
	if (json_is_integer(v))
		return json_integer_value(v) == 0;
	return !v || json_is_null(v) || json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
	       (json_is_object(v) && json_object_size(v) == 0);
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
		bool whole = strcmp(key, "Tmpfs") == 0; /* nothing may be added here */
		if (strcmp(key, "HostConfig") != 0 && !(whole ? json_equal(is, v) : covers(is, v)))
			return differs(where, key, is, err);
	}
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
	for (size_t i = 0; i < sizeof(must_be_empty) / sizeof(must_be_empty[0]); i++)
		if (!is_empty(json_object_get(host, must_be_empty[i])))
			return differs("HostConfig.", must_be_empty[i], json_object_get(host, must_be_empty[i]), err);
	for (size_t i = 0; i < sizeof(must_not_be_empty) / sizeof(must_not_be_empty[0]); i++)
		if (is_empty(json_object_get(host, must_not_be_empty[i])))
			return differs("HostConfig.", must_not_be_empty[i], json_object_get(host, must_not_be_empty[i]), err);
	return check_mounts(json_object_get(want_host, "Mounts"), json_object_get(inspect, "Mounts"), err);
}
