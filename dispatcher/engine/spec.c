/* What a task container is made of. */
#include "dispatcher/engine/spec.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include <inttypes.h>
#include <string.h>

#define LOG_MAX "256m" /* well above what the runner lets through, so that the head of the log is never lost */

/* Folders that a mount of the configuration must not cover, nor anything below the first ones. */
static int mount_check(const char *source, const char *target, const char *socket_path, struct err *err)
{
	static const char *const kept_whole[] = {"/run", "/var/run", RUNNER_MOUNT, "/proc", "/sys", "/dev"};
	static const char *const sockets[] = {"/run/docker.sock", "/var/run/docker.sock"};
	cleanup_free char *from = path_clean(source);
	cleanup_free char *to = path_clean(target);
	cleanup_free char *socket = path_clean(socket_path);
	if (source[0] != '/' || target[0] != '/')
		return err_set(err, ERR_FAIL, "mounts: %s to %s: both paths must be absolute", source, target);
	for (size_t i = 0; i < sizeof(kept_whole) / sizeof(kept_whole[0]); i++)
		if (path_is_in(to, kept_whole[i]))
			return err_set(err, ERR_FAIL, "mounts: target %s: nothing may be mounted below %s", target, kept_whole[i]);
	if (strcmp(to, "/") == 0 || strcmp(to, "/tmp") == 0 || strcmp(to, "/task") == 0)
		return err_set(err, ERR_FAIL, "mounts: target %s: would hide what the runner needs; mount below it or elsewhere", target);
	if (path_is_in(socket, from) || path_is_in(sockets[0], from) || path_is_in(sockets[1], from))
		return err_set(err, ERR_FAIL, "mounts: source %s: holds the Docker socket, which no task may have", source);
	return 0;
}

static int build_mounts(const struct spec_input *in, json_t **ret, struct err *err)
{
	cleanup_json json_t *mounts = json_pack("[{s:s, s:s, s:s, s:b, s:{s:b}}]", "Type", "volume", "Source", in->runner_volume, "Target",
	                                        RUNNER_MOUNT, "ReadOnly", 1, "VolumeOptions", "NoCopy", 1);
	size_t i;
	const json_t *m;
	json_array_foreach (in->mounts, i, m) {
		const char *source = json_string_value(json_object_get(m, "source"));
		const char *target = json_string_value(json_object_get(m, "target"));
		if (!source || !target)
			return err_set(err, ERR_FAIL, "mounts: each needs a source and a target");
		if (mount_check(source, target, in->socket_path, err) < 0)
			return -1;
		json_array_append_new(mounts,
		                      json_pack("{s:s, s:s, s:s, s:b}", "Type", "bind", "Source", source, "Target", target, "ReadOnly", 1));
	}
	*ret = steal_ptr(&mounts);
	return 0;
}

static json_t *build_tmpfs(const struct spec_input *in)
{
	cleanup_free char *tmp = xasprintf("nosuid,nodev,exec,mode=1777,size=%" PRId64, in->formula->tmp_bytes);
	cleanup_free char *task = xasprintf("nosuid,nodev,exec,mode=0755,uid=%u,gid=%u,size=%" PRId64, in->formula->user, in->formula->user,
	                                    in->formula->tmp_bytes);
	json_t *tmpfs = json_object();
	size_t i;
	const json_t *v;
	json_array_foreach (in->image->volumes, i, v)
		json_object_set_new(tmpfs, json_string_value(v), json_string(tmp));
	json_object_set_new(tmpfs, "/tmp", json_string(tmp));
	json_object_set_new(tmpfs, "/task", json_string(task));
	json_object_set_new(tmpfs, "/run/secrets", json_string("noexec,nosuid,nodev,mode=0711,size=4m"));
	return tmpfs;
}

static json_t *build_host_config(const struct spec_input *in, json_t *mounts)
{
	const struct formula *f = in->formula;
	json_t *host = json_pack("{s:[s], s:[s,s,s,s], s:[s], s:b, s:b, s:b, s:b}", "CapDrop", "ALL", "CapAdd", "CAP_CHOWN", "CAP_KILL",
	                         "CAP_SETGID", "CAP_SETUID", "SecurityOpt", "no-new-privileges:true", "ReadonlyRootfs", 1, "Privileged", 0,
	                         "AutoRemove", 0, "Init", 0);
	json_object_set_new(host, "Memory", json_integer(f->memory_bytes));
	json_object_set_new(host, "MemorySwap", json_integer(f->memory_bytes));
	json_object_set_new(host, "NanoCpus", json_integer(f->nano_cpus));
	json_object_set_new(host, "PidsLimit", json_integer(f->pids));
	json_object_set_new(host, "NetworkMode", json_string(in->network));
	json_object_set_new(host, "IpcMode", json_string("private"));
	json_object_set_new(host, "CgroupnsMode", json_string("private"));
	json_object_set_new(host, "RestartPolicy", json_pack("{s:s}", "Name", "no"));
	json_object_set_new(host, "LogConfig",
	                    json_pack("{s:s, s:{s:s, s:s}}", "Type", "json-file", "Config", "max-size", LOG_MAX, "max-file", "1"));
	json_object_set_new(host, "Tmpfs", build_tmpfs(in));
	json_object_set_new(host, "Mounts", mounts);
	return host;
}

/* A bare name takes a variable of the image away. */
static json_t *build_env(const struct image *image)
{
	json_t *env = json_array();
	cleanup_free char *path = xasprintf("PATH=%s", image->path);
	json_array_append_new(env, json_string(path));
	json_array_extend(env, image->unset);
	return env;
}

int spec_build(const struct spec_input *in, json_t **ret, struct err *err)
{
	cleanup_free char *attempt = xasprintf("%d", in->attempt);
	json_t *mounts = NULL;
	if (build_mounts(in, &mounts, err) < 0)
		return -1;
	json_t *body = json_pack("{s:s, s:s, s:[s], s:[], s:s, s:s, s:s}", "Image", in->image->id, "User", "0:0", "Entrypoint",
	                         RUNNER_MOUNT "/" RUNNER_PROGRAM, "Cmd", "WorkingDir", "/", "StopSignal", "SIGTERM", "Hostname", "task");
	json_object_set_new(body, "Env", build_env(in->image));
	json_object_set_new(body, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
	json_object_set_new(body, "OpenStdin", json_true());
	json_object_set_new(body, "StdinOnce", json_true());
	json_object_set_new(body, "AttachStdin", json_true());
	json_object_set_new(body, "Tty", json_false());
	json_object_set_new(body, "Labels",
	                    json_pack("{s:s, s:s, s:s, s:s}", "disinto.dispatcher", in->dispatcher_id, "disinto.action", in->action_id,
	                              "disinto.attempt", attempt, "disinto.claim", in->claim));
	json_object_set_new(body, "HostConfig", build_host_config(in, mounts));
	*ret = body;
	return 0;
}
