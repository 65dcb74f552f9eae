/* What every role does first: it gives up what it does not need. */
#include "dispatcher/confine.h"
#include "lib/log.h"
#include "vault/config/users.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

uid_t role_uid(enum role r)
{
	return ROLE_UID_BASE + (uid_t)r;
}

const char *separation_note(const struct config *config)
{
	if (config->separation == SEPARATION_REQUIRED)
		return NULL;
	return "separation: best_effort: all roles run as one user, so that a role that is taken over could trace the others; "
	       "`separation: required`, started as root, gives each its own";
}

/* Those in effect, a bit for each. */
static int capabilities(uint64_t *ret, struct err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &head, data) < 0)
		return err_errno(err, errno, "capget");
	*ret = (uint64_t)data[1].effective << 32 | data[0].effective;
	return 0;
}

int separation_check(const struct config *config, struct err *err)
{
	static const struct {
		unsigned number;
		const char *name;
	} wanted[] = {{CAP_CHOWN, "CHOWN"}, {CAP_KILL, "KILL"}, {CAP_SETGID, "SETGID"}, {CAP_SETUID, "SETUID"}};
	uint64_t have;

	if (config->separation != SEPARATION_REQUIRED)
		return 0;
	if (geteuid() != 0)
		return err_set(
		    err, ERR_DENIED,
		    "%s: separation: required: giving each role its own user needs root; start as root, or set separation: best_effort",
		    config->file);
	if (capabilities(&have, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		if (!(have >> wanted[i].number & 1))
			return err_set(
			    err, ERR_DENIED,
			    "%s: separation: required: the capability %s is missing; in a container add SETUID, SETGID, KILL and CHOWN "
			    "(cap_add), none else is needed",
			    config->file, wanted[i].name);
	return 0;
}

/* The descriptors that a role keeps, beside standard error. */
static size_t kept(enum role r, const struct role_args *args, int keep[static 8])
{
	size_t n = 0;

	keep[n++] = STDIN_FILENO;
	keep[n++] = STDOUT_FILENO;
	keep[n++] = STDERR_FILENO;
	keep[n++] = args->sock;
	if (r == ROLE_CORE) {
		keep[n++] = args->spool_fd;
		keep[n++] = args->lock_fd;
	} else if (r == ROLE_GIT) {
		keep[n++] = args->signing_fd;
	} else if (r == ROLE_KEYRING) {
		keep[n++] = args->identity_fd;
	} else if (r == ROLE_ENGINE) {
		keep[n++] = args->runner_fd;
	} else if (r == ROLE_WEB) {
		keep[n++] = args->listen_fd;
		keep[n++] = args->api_fd;
		keep[n++] = args->hook_fd;
	}
	return n;
}

static void close_others(const int *keep, size_t n)
{
	unsigned from = 0;

	/* The lists are short: take the lowest kept descriptor that is left, close up to it. */
	for (;;) {
		unsigned next = ~0u;
		for (size_t i = 0; i < n; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next == ~0u)
			break;
		if (next > from)
			close_range(from, next - 1, 0);
		from = next + 1;
	}
	close_range(from, ~0u, 0);
}

/*
 * The one group that a role needs beside its own: the engine the Docker socket's, and git that of an ops repo which is a folder of this machine and shared with
 * its group (not root's, and never the socket's).
 */
static bool group_of(enum role r, const struct config *config, gid_t *ret)
{
	struct stat socket, repo;
	bool has_socket = stat(config->docker_host, &socket) == 0;

	if (r == ROLE_ENGINE && has_socket) {
		*ret = socket.st_gid;
		return true;
	}
	if (r != ROLE_GIT || config->ops_repo[0] != '/' || stat(config->ops_repo, &repo) < 0)
		return false;
	*ret = repo.st_gid;
	return repo.st_mode & S_IWGRP && repo.st_gid != 0 && !(has_socket && repo.st_gid == socket.st_gid);
}

static int become(enum role r, const struct config *config, struct err *err)
{
	gid_t group = 0;

	if (config->separation != SEPARATION_REQUIRED)
		return 0;
	size_t n = group_of(r, config, &group) ? 1 : 0;
	if (setgroups(n, &group) < 0 || setresgid(role_uid(r), role_uid(r), role_uid(r)) < 0 ||
	    setresuid(role_uid(r), role_uid(r), role_uid(r)) < 0)
		return err_errno(err, errno, "role %s: can't become user %u", role_name(r), (unsigned)role_uid(r));
	return 0;
}

int role_confine(enum role r, const struct role_args *args, struct err *err)
{
	int keep[8];
	char name[16];
	struct rlimit none = {0, 0}, files;

	snprintf(name, sizeof name, "disinto-%s", role_name(r));
	prctl(PR_SET_NAME, name);
	close_others(keep, kept(r, args, keep));
	signal(SIGPIPE, SIG_IGN);
	if (become(r, args->config, err) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return err_errno(err, errno, "role %s: can't be confined", role_name(r));
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	log_init(role_name(r), args->config->log_level, args->config->log_json);
	return 0;
}
