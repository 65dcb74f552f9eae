/* Steps as processes. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8U
#endif

/*
 * The script as a file that nobody can change or replace, and that is on no disk: an earlier step had the same user, and could have
 * prepared any path that it can write to. The descriptor outlives exec: the shell opens it by its name in /proc.
 */
static int script_open(const char *script, struct err *err)
{
	int fd cleanup_fd = memfd_create("step", MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("step", MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, errno, "make a file in memory");
	if (fd_write_all(fd, script, strlen(script), err) < 0)
		return -1;
	if (fchmod(fd, 0444) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return err_errno(err, errno, "seal the script");
	return steal_fd(&fd);
}

struct ends {
	int read[N_STREAMS], write[N_STREAMS];
	int why[2]; /* what went wrong between fork and exec */
};
#define ENDS_INIT \
	{ \
		{-1, -1}, {-1, -1}, \
		{ \
			-1, -1 \
		} \
	}

static void cleanup_ends(struct ends *e)
{
	for (int s = 0; s < N_STREAMS; s++) {
		cleanup_fd_(&e->read[s]);
		cleanup_fd_(&e->write[s]);
		cleanup_fd_(&e->why[s]);
	}
}

static int ends_open(struct ends *e, uint32_t uid, struct err *err)
{
	for (int s = 0; s < N_STREAMS; s++) {
		int p[2];
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_errno(err, errno, "make a pipe");
		e->read[s] = p[0];
		e->write[s] = p[1];
		/* The owner may open /dev/stdout and /dev/stderr. */
		if (fchown(p[1], uid, uid) < 0 || fcntl(p[0], F_SETFL, O_NONBLOCK) < 0)
			return err_errno(err, errno, "set up a pipe");
	}
	return pipe2(e->why, O_CLOEXEC) < 0 ? err_errno(err, errno, "make a pipe") : 0;
}

/*
 * All signals as they are by default: whoever started us may have ignored some. By the system call, since sigaction(3) leaves out the two that
 * libc keeps for itself, and GNU make 4.3 hands even these on ignored. KILL and STOP refuse; they can't be ignored either.
 */
static void default_signals(void)
{
	static const unsigned long by_default[4]; /* handler, flags, restorer, mask of the kernel's own struct sigaction */

	for (int s = 1; s <= 64; s++)
		syscall(SYS_rt_sigaction, s, by_default, NULL, sizeof(by_default[3]));
}

/* When memory is short, the kernel shall take what a step runs rather than us: a run that can't report is lost. */
static void be_killed_first(void)
{
	static const char most[] = "1000";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		fd_write_all(fd, most, strlen(most), NULL);
}

/* In the child. Returns only on failure, with errno. */
static const char *become_step(char *const *argv, char *const *env, uint32_t uid, int null_fd, const struct ends *e)
{
	static char doing[64];
	sigset_t none;

	sigemptyset(&none);
	default_signals();
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || setsid() < 0)
		return "begin a session";
	if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(e->write[STREAM_OUT], STDOUT_FILENO) < 0 ||
	    dup2(e->write[STREAM_ERR], STDERR_FILENO) < 0)
		return "connect the pipes";
	umask(0022);
	be_killed_first();
	if (become_user(uid) < 0)
		return "become the step's user";
	if (chdir(TASK_DIR) < 0)
		return "enter " TASK_DIR;
	environ = (char **)env; /* execvp looks for a name without a slash on this PATH */
	execvp(argv[0], argv);
	snprintf(doing, sizeof(doing), "run %s", argv[0]);
	return doing;
}

/* Waits until the child has become the step, or reads why it could not. */
static int await_exec(const struct ends *e, pid_t pid, struct err *err)
{
	struct {
		int number;
		char doing[64];
	} why;
	ssize_t n;

	while ((n = read(e->why[0], &why, sizeof(why))) < 0 && errno == EINTR)
		continue;
	if (n == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (n != sizeof(why))
		return err_set(err, ERR_FAIL, "the step's process could not begin");
	return err_errno(err, why.number, "%s", why.doing);
}

static void tell_why(const struct ends *e, int number, const char *doing)
{
	struct {
		int number;
		char doing[64];
	} why = {.number = number};

	snprintf(why.doing, sizeof(why.doing), "%s", doing);
	fd_write_all(e->why[1], &why, sizeof(why), NULL);
}

int process_start(const struct command *command, char *const *env, uint32_t uid, int null_fd, struct process *ret, struct err *err)
{
	static const char shell[] = SHELL, flags[] = "-eu";
	struct ends e __attribute__((cleanup(cleanup_ends))) = ENDS_INIT;
	int script_fd cleanup_fd = command->script ? script_open(command->script, err) : -1;
	if ((command->script && script_fd < 0) || ends_open(&e, uid, err) < 0)
		return -1;

	char *script_path cleanup_free = xasprintf("/proc/self/fd/%d", script_fd);
	char *const script_argv[] = {(char *)shell, (char *)flags, script_path, NULL}; /* exec takes them so and changes nothing */
	char *const *argv = command->script ? script_argv : command->argv;
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, errno, "make a process");
	if (pid == 0) {
		const char *doing = become_step(argv, env, uid, null_fd, &e);
		tell_why(&e, errno, doing);
		_exit(EXIT_NOT_STARTED);
	}
	for (int s = 0; s < N_STREAMS; s++)
		close(steal_fd(&e.write[s]));
	close(steal_fd(&e.why[1]));
	if (await_exec(&e, pid, err) < 0)
		return -1;
	*ret = (struct process){.pid = pid, .pipes = {steal_fd(&e.read[STREAM_OUT]), steal_fd(&e.read[STREAM_ERR])}};
	return 0;
}

void process_signal_all(int sig)
{
	/* Reaches everything in our PID namespace but us. confine() made sure that we are process 1 of one. */
	kill(-1, sig);
}

bool process_reap(pid_t pid, bool *ret_ended, int *ret_status)
{
	for (;;) {
		int status;
		pid_t got = waitpid(-1, &status, WNOHANG);
		if (got == pid) {
			*ret_ended = true;
			*ret_status = status;
		}
		if (got == 0)
			return true;
		if (got < 0 && errno != EINTR)
			return false;
	}
}
