/* What may be mounted into a run, and where. */
#include "vault/config/mount.h"
#include "lib/cleanup.h"
#include "lib/path.h"
#include "vault/check.h"
#include <stddef.h>
#include <string.h>

#define TARGET_RULE \
	"an absolute path without . and .., not /, /tmp or /task themselves, and not in or above /proc, /sys, /dev, /run, /var/run, " \
	"/disinto"

/* What the runner and the kernel need must not be covered. */
static bool target_is_taken(const char *target)
{
	static const char *const taken[] = {"/proc", "/sys", "/dev", "/run", "/var/run", "/disinto"};

	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (path_is_in(target, taken[i]) || path_is_in(taken[i], target))
			return true;
	return strcmp(target, "/tmp") == 0 || strcmp(target, "/task") == 0;
}

int mount_target_check(const char *target, struct err *err)
{
	cleanup_free char *clean = path_clean(target);
	cleanup_free char *shown = check_quote(target);

	/* A colon or a comma would mean something to Docker in other places of its interface. */
	if (strcmp(clean, target) != 0 || strlen(target) > 255 || strpbrk(target, ":,") || target_is_taken(target))
		return err_set(err, ERR_INVALID, "%s is not allowed; " TARGET_RULE, shown);
	return 0;
}

static int source_holds(const char *source, const char *what, struct err *err)
{
	cleanup_free char *shown = check_quote(source);

	return err_set(err, ERR_INVALID, "%s would give runs %s", shown, what);
}

/* Whether one of the two lies in the other: a folder gives away what is in it. */
static bool meets(const char *source, const char *path)
{
	cleanup_free char *clean = path ? path_clean(path) : NULL;

	return clean && (path_is_in(source, clean) || path_is_in(clean, source));
}

static int check_machine(const char *source, struct err *err)
{
	static const char *const docker[] = {"/run/docker.sock", "/var/run/docker.sock", "/run/docker",     "/var/run/docker",
	                                     "/run/containerd",  "/var/run/containerd",  "/var/lib/docker", "/var/lib/containerd"};
	static const char *const kernel[] = {"/proc", "/sys", "/dev"};

	for (size_t i = 0; i < sizeof(docker) / sizeof(*docker); i++)
		if (meets(source, docker[i]))
			return source_holds(source, "Docker's socket or its data, and with it this machine", err);
	for (size_t i = 0; i < sizeof(kernel) / sizeof(*kernel); i++)
		if (meets(source, kernel[i]))
			return source_holds(source, "what the kernel shows of this machine", err);
	return 0;
}

/* With what is the dispatcher's alone, a run could approve itself. */
static int check_own(const struct config *c, const char *source, struct err *err)
{
	const struct {
		const char *path, *what;
	} own[] = {
	    {c->docker_host, "Docker's socket, and with it this machine"},
	    {c->spool, "the dispatcher's spool"},
	    {c->identity_file, "the identity that opens every secret (identity_file)"},
	    {c->git_token_file, "the dispatcher's credential for the ops repo (git_token_file)"},
	    {c->ssh_key_file, "the dispatcher's credential for the ops repo (ssh_key_file)"},
	    {c->signing_key_file, "the key that signs results (signing_key_file)"},
	    {c->registry_auth_file, "the credentials of registries (registry_auth_file)"},
	    {c->webhook_secret_file, "the webhook's secret (webhook_secret_file)"},
	    {c->approval.forge_token_file, "the dispatcher's credential for the forge (approval.forge_token_file)"},
	    {c->on_drained.headers_file, "the credential of the last call (on_drained.headers_file)"},
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (meets(source, own[i].path))
			return source_holds(source, own[i].what, err);
	return 0;
}

int mount_source_check(const struct config *c, const char *source, struct err *err)
{
	cleanup_free char *clean = path_clean(source);

	if (source[0] != '/' || path_goes_up(source)) {
		cleanup_free char *shown = check_quote(source);
		return err_set(err, ERR_INVALID, "%s is not allowed; a path without .., since what it means depends on links", shown);
	}
	return check_machine(clean, err) < 0 || check_own(c, clean, err) < 0 ? -1 : 0;
}
