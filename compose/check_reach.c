/*
 * Who reaches the engine's socket: by a bind of it, of a folder that it lies in, or of a link to it; by a volume, secret or config that is one of these; by
 * another service's volumes; by a variable that names an engine.
 */
#include "compose/check_rules.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/path.h"
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CHAIN 32
#define MAX_LINKS 40

bool compose_may_have_socket(const char *service)
{
	return strcmp(service, "edge") == 0 || strcmp(service, "woodpecker-agent") == 0;
}

/* Where a link leads, put before what followed it: "/a/link" + "/rest". NULL: it is no link. Caller frees. */
static char *beyond_link(const char *path, const char *rest)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	cleanup_free char *folder = xasprintf("%.*s", (int)(strrchr(path, '/') - path), path);
	cleanup_free char *to = NULL;

	if (n < 0)
		return NULL;
	target[n] = '\0';
	to = path_join(*folder ? folder : "/", target);
	return xasprintf("%s%s", to, rest);
}

/* The longest beginning of a clean path that exists, with its links followed, and the rest behind it. A link that leads nowhere yet is followed, too. Caller frees. */
static char *follow(const char *path, int left)
{
	cleanup_free char *prefix = xstrdup(path);

	while (strlen(prefix) > 1) {
		const char *rest = path + strlen(prefix);
		cleanup_free char *real = realpath(prefix, NULL);
		cleanup_free char *beyond = !real && left > 0 ? beyond_link(prefix, rest) : NULL;
		cleanup_free char *clean = beyond ? path_clean(beyond) : NULL;
		char *slash = strrchr(prefix, '/');

		if (real)
			return xasprintf("%s%s", real, rest);
		if (clean)
			return follow(clean, left - 1);
		slash[slash == prefix] = '\0';
	}
	return xstrdup(path);
}

/* /var/run is a link to /run on every machine this is meant for. */
char *compose_canonical(const char *path)
{
	cleanup_free char *absolute = path[0] == '/' ? xstrdup(path) : realpath(".", NULL);
	cleanup_free char *whole = path[0] == '/' || !absolute ? xstrdup(path) : xasprintf("%s/%s", absolute, path);
	cleanup_free char *clean = path_clean(whole);
	cleanup_free char *real = follow(clean, MAX_LINKS);

	return path_clean(path_is_in(real, "/var/run") ? real + strlen("/var") : real);
}

/* Sockets that give the engine away; patterns as in fnmatch(3), of canonical paths. */
static const char *const sockets[] = {"/run/docker.sock",
                                      "/run/user/*/docker.sock",
                                      "/run/podman/podman.sock",
                                      "/run/user/*/podman/podman.sock",
                                      "/run/containerd/containerd.sock",
                                      "/run/crio/crio.sock",
                                      "/run/docker/*"};

/* Is it such a socket, or a folder above one? */
static bool is_above_socket(const char *path)
{
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		cleanup_free char *part = xstrdup(sockets[i]);

		for (char *end = part + strlen(part); end > part; end = strrchr(part, '/')) {
			*end = '\0';
			if (*part && fnmatch(part, path, FNM_PATHNAME) == 0)
				return true;
		}
	}
	return strcmp(path, "/") == 0;
}

/* By its name: what somebody calls docker.sock most likely is. */
static bool is_socket_name(const char *path)
{
	static const char *const names[] = {"*docker*.sock*", "*containerd*.sock*", "*podman*.sock*",
	                                    "*crio*.sock*",   "*dockershim*.sock*", "docker_engine*"};
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fnmatch(names[i], slash ? slash + 1 : path, FNM_CASEFOLD) == 0)
			return true;
	return false;
}

/* The same socket under another name, by a hard link or a bind mount on the machine itself. */
static bool is_same_file(const char *path, const char *socket)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(socket, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static bool leads_to_socket(const char *path)
{
	cleanup_free char *real = compose_canonical(path);
	const char *host = getenv("DOCKER_HOST");

	if (host && strncmp(host, "unix://", 7) == 0) {
		cleanup_free char *named = compose_canonical(host + 7);

		if (path_is_in(named, real) || is_same_file(real, named))
			return true;
	}
	return is_above_socket(real) || is_socket_name(path) || is_socket_name(real) || is_same_file(real, "/run/docker.sock");
}

/* Folders of the machine through which a container becomes root on it, and Docker's own. */
static bool is_host_folder(const char *path)
{
	static const char *const exact[] = {"/etc", "/proc", "/sys",  "/dev", "/boot", "/root", "/usr",     "/lib",
	                                    "/bin", "/sbin", "/home", "/var", "/opt",  "/srv",  "/var/lib", "/var/spool"};
	static const char *const below[] = {"/var/lib/docker", "/var/lib/containerd", "/etc/cron.d",
	                                    "/var/spool/cron", "/root/.ssh",          "/etc/docker"};
	cleanup_free char *real = compose_canonical(path);

	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
		if (strcmp(real, exact[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++)
		if (path_is_in(real, below[i]))
			return true;
	return false;
}

const char *compose_place_of(const struct compose_loaded *l, const json_t *volume)
{
	const char *source = json_string_value(json_object_get(volume, "source"));

	if (!source || json_is_true(json_object_get(volume, "bind")))
		return source;
	return json_string_value(json_object_get(json_object_get(json_object_get(l->volumes, source), "driver_opts"), "device"));
}

/* Of a service's own volumes, secrets and configs the first place that leads to the socket. Borrowed, or NULL. */
static const char *own_way(const struct compose_loaded *l, const json_t *service, const char **ret_key)
{
	static const char *const kinds[] = {"secrets", "configs"};
	const json_t *entry;
	size_t k;

	*ret_key = "volumes";
	json_array_foreach (json_object_get(service, "volumes"), k, entry) {
		const char *place = compose_place_of(l, entry), *target = compose_text_of(entry, "target");

		if ((place && leads_to_socket(place)) || is_socket_name(target))
			return place ? place : target;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		json_array_foreach (json_object_get(service, kinds[i]), k, entry) {
			const char *name = json_is_object(entry) ? compose_text_of(entry, "source") : json_string_value(entry);
			const char *file = name ? json_string_value(json_object_get(l->files, name)) : NULL;

			*ret_key = kinds[i];
			if (file && leads_to_socket(file))
				return file;
		}
	return NULL;
}

static void check_taken_volumes(struct compose_loaded *l, const char *name, const json_t *service, int chain);

/* One entry of volumes_from: "SERVICE", "SERVICE:ro" or "container:NAME". */
static void check_taken(struct compose_loaded *l, const char *name, const char *from, int chain)
{
	cleanup_free char *of = xasprintf("%.*s", (int)strcspn(from, ":"), from);
	const json_t *other = json_object_get(l->services, of);
	const char *key;

	if (!other || strcmp(of, "container") == 0)
		compose_found(l, "unresolved", name, "volumes_from",
		              "takes the volumes of '%s', which is no service here: what they hold can't be judged", from);
	else if (own_way(l, other, &key))
		compose_found(l, "socket", name, "volumes_from", "reaches Docker's socket: it takes the volumes of %s, which has it", of);
	else
		check_taken_volumes(l, name, other, chain + 1);
}

static void check_taken_volumes(struct compose_loaded *l, const char *name, const json_t *service, int chain)
{
	const json_t *from;
	size_t i;

	if (chain < MAX_CHAIN)
		json_array_foreach (json_object_get(service, "volumes_from"), i, from)
			if (json_is_string(from))
				check_taken(l, name, json_string_value(from), chain);
}

static bool is_engine_address(const char *value)
{
	return fnmatch("*tcp://*:237[56]*", value, 0) == 0 || fnmatch("*docker.sock*", value, 0) == 0;
}

static void check_variables(struct compose_loaded *l, const char *name, const json_t *service)
{
	const char *variable;
	json_t *value;

	json_object_foreach (json_object_get(service, "environment"), variable, value) {
		const char *text = json_string_value(value);

		if (text && *text && (strcmp(variable, "DOCKER_HOST") == 0 || is_engine_address(text)))
			compose_found(l, "socket", name, "environment", "reaches a Docker engine through the variable %s", variable);
	}
}

/* The machine's memory or one of its disks, under whatever name. */
static bool is_disk(const char *device)
{
	static const char *const strong[] = {"/dev",          "/dev/mem",    "/dev/kmem",  "/dev/port",   "/dev/sd*",
	                                     "/dev/hd*",      "/dev/vd*",    "/dev/xvd*",  "/dev/nvme*",  "/dev/dm-*",
	                                     "/dev/mapper/*", "/dev/disk/*", "/dev/loop*", "/dev/mmcblk*"};
	cleanup_free char *clean = device[0] == '/' ? path_clean(device) : xstrdup(device);
	cleanup_free char *real = device[0] == '/' ? compose_canonical(device) : xstrdup(device);

	for (size_t i = 0; i < sizeof(strong) / sizeof(strong[0]); i++)
		if (fnmatch(strong[i], clean, 0) == 0 || fnmatch(strong[i], real, 0) == 0)
			return true;
	return false;
}

static void check_folders(struct compose_loaded *l, const char *name, const json_t *service)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(service, "volumes"), i, entry) {
		const char *place = compose_place_of(l, entry);

		if (place && (is_host_folder(place) || is_disk(place)))
			compose_found(l, "host-folder", name, "volumes", "has the machine's own %s, through which one becomes root there",
			              place);
	}
}

/* edge and the CI's agent have the socket by intent; but the socket, and no folder or link that holds more. */
static bool is_plain_socket(const char *place)
{
	cleanup_free char *real = compose_canonical(place);
	struct stat st;

	return is_socket_name(place) && !(stat(real, &st) == 0 && S_ISDIR(st.st_mode));
}

void compose_check_reach(struct compose_loaded *l, const char *name, const json_t *service)
{
	const char *key, *place = own_way(l, service, &key);

	check_folders(l, name, service);
	if (place && !(compose_may_have_socket(name) && is_plain_socket(place)))
		compose_found(l, "socket", name, key, "reaches Docker's socket through %s: that is root on this machine", place);
	if (compose_is_true(json_object_get(service, "use_api_socket")))
		compose_found(l, "socket", name, "use_api_socket",
		              "reaches Docker's socket through use_api_socket: that is root on this machine");
	if (compose_may_have_socket(name))
		return;
	check_taken_volumes(l, name, service, 0);
	check_variables(l, name, service);
}

void compose_check_devices(struct compose_loaded *l, const char *name, const json_t *service)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(service, "devices"), i, entry) {
		const char *text = json_is_object(entry) ? compose_text_of(entry, "source") : json_string_value(entry);
		cleanup_free char *device = xasprintf("%.*s", (int)strcspn(text ? text : "", ":"), text ? text : "");

		if (is_disk(device))
			compose_found(l, "host-folder", name, "devices",
			              "has the machine's device %s, through which one becomes root there", device);
	}
	if (json_array_size(json_object_get(service, "device_cgroup_rules")) > 0)
		compose_found(l, "capability", name, "device_cgroup_rules", "may open devices of the machine by their numbers");
}
