/*
 * A dispatcher for one action: the same program, spool and lock as a daemon's, started as a child and ended again.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "disinto-dispatcher"
#define WORDS_MAX 4096

/* Beside our own program, where make and make install put it; else PATH finds it. Caller frees. */
static char *find_program(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	cleanup_free char *beside = NULL;

	if (n > 0) {
		self[n] = '\0';
		beside = xasprintf("%s/" PROGRAM, dirname(self));
		if (access(beside, X_OK) == 0)
			return steal_ptr(&beside);
	}
	return xstrdup(PROGRAM);
}

/* In the child. A process group of its own: Ctrl-C is ours to answer. */
__attribute__((noreturn)) static void become(const char *program, const char *config, const char *id, int log_fd)
{
	char *const argv[] = {(char *)(uintptr_t)PROGRAM,   (char *)(uintptr_t) "--config", (char *)(uintptr_t)config,
	                      (char *)(uintptr_t) "--only", (char *)(uintptr_t)id,          NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		_exit(127);
	execvp(program, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

int own_start(const struct config *config, const char *id, bool verbose, struct own_dispatcher *ret, struct err *err)
{
	cleanup_free char *program = find_program();
	cleanup_fd int log_fd = memfd_create("disinto-dispatcher-log", MFD_CLOEXEC);
	pid_t pid;

	if (log_fd < 0)
		return err_errno(err, errno, "dispatcher");
	pid = fork();
	if (pid < 0)
		return err_errno(err, errno, "dispatcher: it can't be started");
	if (pid == 0)
		become(program, config->file, id, verbose ? STDERR_FILENO : log_fd);
	*ret = (struct own_dispatcher){.pid = pid, .log_fd = steal_fd(&log_fd)};
	return 0;
}

static bool reap(struct own_dispatcher *o, int flags)
{
	int status;
	pid_t got;

	if (o->pid == 0)
		return true;
	do
		got = waitpid(o->pid, &status, flags);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return false;
	o->code = got < 0 ? 1 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	o->pid = 0;
	return true;
}

bool own_ended(struct own_dispatcher *o)
{
	return reap(o, WNOHANG);
}

void own_stop(struct own_dispatcher *o)
{
	if (o->pid > 0)
		kill(o->pid, SIGTERM);
	reap(o, 0);
}

char *own_words(const struct own_dispatcher *o)
{
	char words[WORDS_MAX + 1];
	off_t size = o->log_fd >= 0 ? lseek(o->log_fd, 0, SEEK_END) : 0;
	off_t from = size > WORDS_MAX ? size - WORDS_MAX : 0;
	ssize_t n = size > 0 ? pread(o->log_fd, words, WORDS_MAX, from) : 0;

	words[n > 0 ? n : 0] = '\0';
	return safe_text(words);
}
