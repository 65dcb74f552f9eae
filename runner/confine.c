/* What the runner gives up before it reads a byte, and what its steps give up before they run one. */
#include "runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	unsigned number;
	const char *name;
} needed[] = {{CAP_CHOWN, "CHOWN"}, {CAP_KILL, "KILL"}, {CAP_SETGID, "SETGID"}, {CAP_SETUID, "SETUID"}};

/* The kernel's interface, since libcap would only wrap these two calls. */
static int caps_get(struct __user_cap_data_struct ret[static 2])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	return (int)syscall(SYS_capget, &head, ret);
}

static int caps_set(const struct __user_cap_data_struct caps[static 2])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	return (int)syscall(SYS_capset, &head, caps);
}

/* Keeps the needed ones and nothing else. */
static int caps_reduce(struct err *err)
{
	struct __user_cap_data_struct have[2], keep[2] = {{0}};
	struct buf missing cleanup_buf = BUF_INIT;

	if (caps_get(have) < 0)
		return err_errno(err, errno, "read own capabilities");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		uint32_t bit = UINT32_C(1) << needed[i].number;
		keep[0].permitted |= have[0].permitted & bit;
		if (!(have[0].permitted & bit))
			buf_addf(&missing, "%s%s", missing.len ? ", " : "", needed[i].name);
	}
	keep[0].effective = keep[0].permitted;
	/* The bounding set can only be reduced with a capability that the engine does not give; no-new-privileges makes it moot. */
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap > 31 || !(keep[0].permitted & (UINT32_C(1) << cap)))
			prctl(PR_CAPBSET_DROP, cap);
	if (caps_set(keep) < 0)
		return err_errno(err, errno, "drop capabilities");
	if (missing.len > 0)
		return err_set(err, ERR_DENIED,
		               "the runner lacks the capabilities %s; it starts as root with CHOWN, KILL, SETGID and SETUID", missing.data);
	return 0;
}

int confine(struct err *err)
{
	/* For steps: a limit of 0 would still hand the whole of a core to a core_pattern that names a program; 1 does not (core(5)). */
	const struct rlimit no_core = {1, 1};

	/* Not dumpable also gives /proc/1 to root: no step reads our memory, environment or descriptors. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, errno, "confine the runner");
	umask(0077);
	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "no randomness from the kernel");
	/* kill(-1) is our broom: elsewhere it would sweep the whole machine. */
	if (getpid() != 1)
		return err_set(err, ERR_DENIED,
		               "the runner is process %d and must be process 1 of its container; start it without an init process",
		               (int)getpid());
	return caps_reduce(err);
}

int confine_signals(struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	int fd = sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "take signals");
	fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
	return fd;
}

int become_user(uint32_t uid)
{
	const struct __user_cap_data_struct none[2] = {{0}};

	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 || caps_set(none) < 0)
		return -1;
	if (setuid(0) == 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}
