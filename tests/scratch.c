#include "tests/scratch.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The other end of the keeper's pipe, and whose it is: a forked child has a copy of it, and keeps the keeper waiting for as long as it lives;
 * what it makes by itself goes to a keeper of its own.
 */
static int to_keeper = -1;
static pid_t keeper_of;

/* Collects paths, each with its NUL, until everybody who could use them is gone. */
static void keep(int fd)
{
	cleanup_buf struct buf paths = BUF_INIT;

	setsid(); /* what ends the test's group must not end this */
	fd_read_all(fd, 1 << 20, &paths, NULL);
	for (const char *p = paths.data; p < paths.data + paths.len; p += strlen(p) + 1)
		dir_remove_at(AT_FDCWD, p, NULL);
}

/* Not our child, for some tests look whether they have any. */
static int start_keeper(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid_t between = fork();
	if (between == 0) {
		if (fork() == 0) {
			dup2(ends[0], 0);
			close_range(1, UINT_MAX, 0);
			keep(0);
		}
		_exit(0);
	}
	close(ends[0]);
	if (between < 0) {
		close(ends[1]);
		return -1;
	}
	waitpid(between, NULL, 0);
	to_keeper = ends[1];
	keeper_of = getpid();
	return 0;
}

char *scratch_dir(char *template)
{
	if (keeper_of != getpid() && start_keeper() < 0)
		return NULL;
	if (!mkdtemp(template))
		return NULL;
	return fd_write_all(to_keeper, template, strlen(template) + 1, NULL) == 0 ? template : NULL;
}
