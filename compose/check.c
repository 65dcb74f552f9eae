/* The rules, one function each; what reaches the socket is check_reach.c's. */
#include "compose/check.h"
#include "compose/check_rules.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include <string.h>

bool compose_is_true(const json_t *value)
{
	static const char *const words[] = {"true", "yes", "on", "y", "1"};
	const char *s = json_string_value(value);

	for (size_t i = 0; s && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return json_is_true(value);
}

const char *compose_text_of(const json_t *service, const char *key)
{
	const char *s = json_string_value(json_object_get(service, key));

	return s ? s : "";
}

/* "no" is a policy too: somebody thought about it. */
static void check_restart(struct compose_loaded *l, const char *name, const json_t *service)
{
	const json_t *deploy = json_object_get(service, "deploy");

	if (!*compose_text_of(service, "restart") && !json_object_get(deploy, "restart_policy"))
		compose_found(l, "no-restart", name, NULL,
		              "has no restart policy: it stays down once it ended; say restart: unless-stopped, or \"no\"");
}

/* A tag that names a version, or a digest. What is built here needs none. */
static void check_image(struct compose_loaded *l, const char *name, const json_t *service)
{
	const char *image = compose_text_of(service, "image"), *slash = strrchr(image, '/'), *tag = strchr(slash ? slash : image, ':');

	if (strchr(image, '@') || (!*image && json_object_get(service, "build")))
		return;
	if (!tag || !tag[1] || strcmp(tag, ":latest") == 0)
		compose_found(l, "unpinned", name, "image",
		              "the image %s names no version: the next pull may bring another one; name a tag, or a digest",
		              *image ? image : "(none)");
}

/* Another name of a service under which others may find it, or which Docker refuses. */
static void claim_name(struct compose_loaded *l, json_t *taken, const char *name, const char *key, const char *as)
{
	const char *holder = json_string_value(json_object_get(taken, as));

	if (holder && strcmp(holder, name) != 0)
		compose_found(l, "duplicate-name", name, key, "is called '%s', and so is the service '%s'", as, holder);
	else
		json_object_set_new(taken, as, json_string(name));
}

static void check_names(struct compose_loaded *l)
{
	cleanup_json json_t *taken = json_object();
	const char *name, *network;
	json_t *service, *settings, *alias;
	size_t i;

	json_object_foreach (l->services, name, service)
		json_object_set_new(taken, name, json_string(name));
	json_object_foreach (l->services, name, service) {
		const char *container = compose_text_of(service, "container_name");

		if (*container)
			claim_name(l, taken, name, "container_name", container);
		json_object_foreach (json_object_get(service, "networks"), network, settings)
			json_array_foreach (json_object_get(settings, "aliases"), i, alias)
				if (json_is_string(alias))
					claim_name(l, taken, name, "networks", json_string_value(alias));
	}
}

/* A deploy, build or hook section that asks for what the service itself could ask for. */
static void check_privileged(struct compose_loaded *l, const char *name, const json_t *service)
{
	static const char *const hooks[] = {"post_start", "pre_stop"};
	const json_t *hook;
	size_t k;

	if (compose_is_true(json_object_get(service, "privileged")))
		compose_found(l, "privileged", name, "privileged", "is privileged, which is as good as root on this machine");
	if (compose_is_true(json_object_get(json_object_get(service, "build"), "privileged")))
		compose_found(l, "privileged", name, "build", "is built with privileges, which is as good as root on this machine");
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
		json_array_foreach (json_object_get(service, hooks[i]), k, hook)
			if (compose_is_true(json_object_get(hook, "privileged")))
				compose_found(l, "privileged", name, hooks[i],
				              "has a hook that runs privileged, which is as good as root on this machine");
}

/* What others than compose and Docker do for it: a build with more rights than its container's, a program of this machine. */
static void check_helpers(struct compose_loaded *l, const char *name, const json_t *service)
{
	cleanup_json json_t *entitlements = compose_listed(json_object_get(json_object_get(service, "build"), "entitlements"));
	const json_t *entry;
	size_t i;

	json_array_foreach (entitlements, i, entry)
		compose_found(l, "privileged", name, "build", "is built with %s, a way out of its container",
		              json_is_string(entry) ? json_string_value(entry) : "an entitlement");
	if (json_object_get(service, "provider"))
		compose_found(l, "unresolved", name, "provider", "is run by a program of this machine: what that does can't be judged");
}

/* Namespaces of the machine, or of another container. */
static void check_namespaces(struct compose_loaded *l, const char *name, const json_t *service)
{
	static const char *const keys[] = {"pid", "network_mode", "ipc", "userns_mode", "uts", "cgroup"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = compose_text_of(service, keys[i]);
		bool host = strcmp(value, "host") == 0, other = strncmp(value, "container:", 10) == 0;

		if (host)
			compose_found(l, "host-namespace", name, keys[i],
			              "%s: host: it shares that with the machine, and reaches what others run there", keys[i]);
		else if (other || (strncmp(value, "service:", 8) == 0 && compose_may_have_socket(value + 8)))
			compose_found(l, "shared-namespace", name, keys[i],
			              "%s: %s: it shares that with a container that may hold the socket", keys[i], value);
	}
}

static void check_capabilities(struct compose_loaded *l, const char *name, const json_t *service)
{
	static const char *const strong[] = {"ALL",       "SYS_ADMIN",       "SYS_PTRACE", "SYS_MODULE",
	                                     "SYS_RAWIO", "DAC_READ_SEARCH", "BPF",        "PERFMON"};
	const json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(service, "cap_add"), i, entry) {
		const char *cap = json_is_string(entry) ? json_string_value(entry) : "";

		cap += strncasecmp(cap, "CAP_", 4) == 0 ? 4 : 0;
		for (size_t k = 0; k < sizeof(strong) / sizeof(strong[0]); k++)
			if (strcasecmp(cap, strong[k]) == 0)
				compose_found(l, "capability", name, "cap_add", "has the capability %s, a way out of its container",
				              strong[k]);
	}
	json_array_foreach (json_object_get(service, "security_opt"), i, entry)
		if (json_is_string(entry) && strstr(json_string_value(entry), "unconfined"))
			compose_found(l, "capability", name, "security_opt", "%s: what holds it in its container is switched off",
			              json_string_value(entry));
}

static void check_service(struct compose_loaded *l, const char *name, const json_t *service)
{
	check_privileged(l, name, service);
	check_helpers(l, name, service);
	check_namespaces(l, name, service);
	check_capabilities(l, name, service);
	compose_check_devices(l, name, service);
	compose_check_reach(l, name, service);
	compose_check_control(l, name, service);
	check_restart(l, name, service);
	check_image(l, name, service);
}

int compose_check(const char *const *files, size_t n, json_t **ret_findings, struct err *err)
{
	cleanup_compose_loaded struct compose_loaded l = COMPOSE_LOADED_INIT;
	const char *name;
	json_t *service;

	if (compose_load(files, n, &l, err) < 0)
		return -1;
	if (json_object_size(l.services) == 0)
		return err_set(err, ERR_INVALID, "%s: names no services; it is no compose file", files[0]);
	json_object_foreach (l.services, name, service)
		check_service(&l, name, service);
	check_names(&l);
	*ret_findings = json_incref(l.findings);
	return 0;
}
