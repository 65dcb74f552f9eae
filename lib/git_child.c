/* The child process behind a stream. */
#include "lib/git_child.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Everything that the child needs, made before the fork: afterwards only calls that are safe in a signal handler are. */
struct plan {
	const char *const *argv;
	char *env[32];
	uid_t uid;
	gid_t gid;
	pid_t parent;
};

static void plan_free(struct plan *p)
{
	for (char **e = p->env; *e; e++)
		free(*e);
}

static void add_env(struct plan *p, const char *name, const char *value)
{
	size_t n = 0;
	while (p->env[n])
		n++;
	if (value && n + 1 < sizeof(p->env) / sizeof(*p->env))
		p->env[n] = xasprintf("%s=%s", name, value);
}

static int make_plan(const struct git_child_command *command, struct plan *p, struct err *err)
{
	const char *home = getenv("HOME"), *user = getenv("USER"), *path = getenv("PATH");
	char space[4096];
	struct passwd entry, *owner = NULL;

	*p = (struct plan){.argv = command->argv, .parent = getpid()};
	if (command->run_as && geteuid() == 0) {
		int rc = getpwuid_r(command->run_as, &entry, space, sizeof(space), &owner);
		if (!owner && (rc || !command->group))
			return err_set(err, ERR_FAIL,
			               "the owner of the repository, uid %u, has no account (%s); give the repository to one that has",
			               command->run_as, strerror(rc ? rc : ENOENT));
		p->uid = command->run_as;
		p->gid = owner ? owner->pw_gid : command->group;
		home = owner ? owner->pw_dir : NULL;
		user = owner ? owner->pw_name : NULL;
	}
	add_env(p, "PATH", path ? path : "/usr/local/bin:/usr/bin:/bin");
	add_env(p, "HOME", home);
	add_env(p, "USER", user);
	add_env(p, "LANG", "C");
	if (!p->uid)
		add_env(p, "SSH_AUTH_SOCK", getenv("SSH_AUTH_SOCK"));
	for (const char *const *e = command->env; e && *e; e++) {
		cleanup_free char *name = xasprintf("%.*s", (int)strcspn(*e, "="), *e);
		add_env(p, name, *e + strlen(name) + 1);
	}
	return 0;
}

__attribute__((noreturn)) static void child_main(const struct plan *p, int sock, int messages)
{
	static const char refused[] = "can't become the owner of the repository\n";
	sigset_t none;

	setsid();
	/* Descriptors 0 to 2 may be closed in the parent, so that ours may be among them: move them out of the way first. */
	sock = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	messages = fcntl(messages, F_DUPFD_CLOEXEC, 3);
	if (dup2(sock, 0) < 0 || dup2(sock, 1) < 0 || dup2(messages, 2) < 0 || close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		_exit(127);
	if (p->uid && (setgroups(0, NULL) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 || setresuid(p->uid, p->uid, p->uid) < 0)) {
		if (write(2, refused, sizeof(refused) - 1) < 0)
			_exit(126);
		_exit(127);
	}
	/* A change of user clears it, so only now. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != p->parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	execvpe(p->argv[0], (char *const *)p->argv, p->env);
	const char *why = strerror(errno);
	if (write(2, p->argv[0], strlen(p->argv[0])) < 0 || write(2, ": ", 2) < 0 || write(2, why, strlen(why)) < 0)
		_exit(126);
	_exit(127);
}

int git_child_start(const struct git_child_command *command, struct git_child *ret, struct err *err)
{
	__attribute__((cleanup(plan_free))) struct plan plan = {.argv = NULL};
	cleanup_fd int ours = -1;
	cleanup_fd int theirs = -1;
	cleanup_fd int out = -1;
	cleanup_fd int in = -1;
	int pair[2];

	if (make_plan(command, &plan, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "start %s", command->argv[0]);
	ours = pair[0];
	theirs = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "start %s", command->argv[0]);
	out = pair[0];
	in = pair[1];
	/* The far ends stay blocking: git's programs expect that of their standard streams. */
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0 || fcntl(out, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, errno, "start %s", command->argv[0]);
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, errno, "start %s", command->argv[0]);
	if (pid == 0)
		child_main(&plan, theirs, in);
	*ret = (struct git_child){pid, steal_fd(&ours), steal_fd(&out)};
	return 0;
}

void git_child_end(struct git_child *child, int grace_ms)
{
	if (child->pid <= 0)
		return;
	cleanup_fd int handle = pidfd_open(child->pid, 0);
	struct pollfd p = {.fd = handle, .events = POLLIN};
	if (handle < 0 || grace_ms <= 0 || poll(&p, 1, grace_ms) <= 0) {
		kill(-child->pid, SIGKILL);
		kill(child->pid, SIGKILL);
	}
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	child->pid = 0;
}
