/* What a task container is made of. */
#include "dispatcher/engine/spec.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/config/mount.h"
#include <inttypes.h>
#include <string.h>

#define SHM_BYTES (64 << 20)
#define LOG_MAX "288m" /* well above what the runner lets through, output and artifacts, so that the head of the log is never lost */

/* The configuration was checked when it was read; this is what the container is made of. */
static int mount_check(const struct config *config, const char *source, const char *target, struct err *err)
{
	if (mount_source_check(config, source, err) < 0)
		return err_wrap(err, "mounts: source");
	return mount_target_check(target, err) < 0 ? err_wrap(err, "mounts: target") : 0;
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
		if (mount_check(in->config, source, target, err) < 0) {
			if (err)
				err->code = ERR_FAIL; /* the configuration's fault, not the action's */
			return -1;
		}
		/* What is mounted below the source stays away: an engine before 25 would hand it on, and writable where it is. */
		json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:b, s:{s:b}}", "Type", "bind", "Source", source, "Target", target,
		                                        "ReadOnly", 1, "BindOptions", "NonRecursive", 1));
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
	/* Where the runner itself answers libc's questions for the name of the formula's user. */
	json_object_set_new(tmpfs, "/var/run/nscd", json_string("noexec,nosuid,nodev,mode=0755,size=64k"));
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
	json_object_set_new(host, "ShmSize", json_integer(SHM_BYTES));
	/*
	 * No core files, as they would hold secrets: with a limit of 0 a core_pattern that names a program would still be given
	 * the whole of it; with exactly 1 the kernel refuses (core(5)).
	 */
	json_object_set_new(host, "Ulimits", json_pack("[{s:s, s:i, s:i}]", "Name", "core", "Soft", 1, "Hard", 1));
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

/* Ours, and none of the image's: other programs on this machine may act on labels, and those can't be taken away, only emptied. */
static json_t *build_labels(const struct spec_input *in)
{
	json_t *labels = json_object();
	size_t i;
	const json_t *name;
	json_array_foreach (in->image->labels, i, name)
		json_object_set_new(labels, json_string_value(name), json_string(""));
	json_object_set_new(labels, "disinto.dispatcher", json_string(in->dispatcher_id));
	json_object_set_new(labels, "disinto.action", json_string(in->action_id));
	json_object_set_new(labels, "disinto.attempt", json_sprintf("%d", in->attempt));
	json_object_set_new(labels, "disinto.claim", json_string(in->claim));
	return labels;
}

int spec_build(const struct spec_input *in, json_t **ret, struct err *err)
{
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
	json_object_set_new(body, "Labels", build_labels(in));
	json_object_set_new(body, "HostConfig", build_host_config(in, mounts));
	*ret = body;
	return 0;
}
