/*
 * A child process whose standard input and output are one socket: ssh, git-upload-pack, git-receive-pack.
 */
#ifndef LIB_GIT_CHILD_H
#define LIB_GIT_CHILD_H

#include "lib/err.h"
#include <stdbool.h>
#include <sys/types.h>

struct git_child {
	pid_t pid;
	int sock;     /* its standard input and output; non-blocking */
	int messages; /* its standard error; non-blocking */
};

struct git_child_command {
	const char *const *argv; /* searched in PATH */
	const char *const *env;  /* "NAME=value", added to PATH, HOME, USER, LANG=C and SSH_AUTH_SOCK; NULL-terminated, or NULL */
	uid_t run_as;            /* when we are root: the user to become; 0: stay root */
	gid_t group;             /* with run_as, where that user has no account: his group, not root's */
};

/*
 * Starts it in a session of its own, with no other descriptors, to be killed when this thread ends. The caller owns descriptors and
 * child.
 */
int git_child_start(const struct git_child_command *command, struct git_child *ret, struct err *err);

/* Waits until it has ended, at most grace_ms; then kills its whole process group. It is reaped in any case. */
void git_child_end(struct git_child *child, int grace_ms);

#endif
