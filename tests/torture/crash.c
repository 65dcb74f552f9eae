/*
 * What CRASH_POINT does in the dispatcher of the torture build. The environment says where to die, and where to write which points were passed:
 *
 *   CRASH_AT='POINT N all'    at the Nth pass of that point, counted over all processes of the dispatcher, SIGKILL for every one of them
 *   CRASH_AT='POINT N role'   … for the process that passes it alone; once only, so that the role that replaces it lives
 *   CRASH_TRACE=FILE          the name of each point, a line for each pass, in their order; the rest of the file is NULs
 *
 * The processes are forked from one and never executed again, so they share the memory that is mapped before main. Nothing else works in all of
 * them: the keyring may open no files, send no signals by kill(2), and has no descriptors but its own.
 */
#ifndef DISINTO_CRASH
#define DISINTO_CRASH /* also where only this file is compiled, as by the analysers */
#endif
#include "lib/crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TRACE_BYTES (4u << 20)
#define PROCESSES_MAX 64
#define NAME_MAX_BYTES 128
#define LOCK_TRIES 20 /* of a millisecond: who holds it so long was killed */

static struct shared {
	atomic_flag lock;
	char at[NAME_MAX_BYTES]; /* empty: nowhere */
	int pass;                /* passes until then */
	bool all;
	char *trace; /* NULL: not wanted */
	size_t traced;
	pid_t processes[PROCESSES_MAX]; /* the parent first */
	size_t n_processes;
} * shared;

static struct {
	pid_t pid; /* which the rest is about: forked processes find their parent's */
	char role[16];
} self;

static void map_trace(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, TRACE_BYTES) < 0)
		abort();
	shared->trace = mmap(NULL, TRACE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared->trace == MAP_FAILED)
		abort();
	close(fd);
}

__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv("CRASH_AT"), *trace = getenv("CRASH_TRACE");
	char who[8] = "";

	if (!at && !trace)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	atomic_flag_clear(&shared->lock);
	if (at && (sscanf(at, "%127s %d %7s", shared->at, &shared->pass, who) != 3 || shared->pass < 1))
		abort();
	shared->all = strcmp(who, "all") == 0;
	if (trace)
		map_trace(trace);
}

static void lock(void)
{
	const struct timespec ms = {0, 1000000};
	for (int i = 0; i < LOCK_TRIES && atomic_flag_test_and_set(&shared->lock); i++)
		nanosleep(&ms, NULL);
}

/* Threads have the name of the process that made them. */
static void know_self(void)
{
	char name[16] = "";

	if (self.pid == getpid())
		return;
	prctl(PR_GET_NAME, name);
	const char *dash = strchr(name, '-');
	bool parent = !dash || strncmp("-dispatcher", dash, strlen(dash)) == 0; /* the kernel keeps 15 bytes of a name */
	snprintf(self.role, sizeof(self.role), "%s", parent ? "parent" : dash + 1);
	self.pid = getpid();
	if (shared->n_processes < PROCESSES_MAX)
		shared->processes[shared->n_processes++] = self.pid;
}

static void note(const char *name)
{
	size_t len = strlen(name);
	if (!shared->trace || shared->traced + len + 1 >= TRACE_BYTES)
		return;
	memcpy(shared->trace + shared->traced, name, len);
	shared->trace[shared->traced + len] = '\n';
	shared->traced += len + 1;
}

/* The keyring's filter knows kill(2) only. */
static void end(pid_t pid)
{
	syscall(SYS_tgkill, pid, pid, SIGKILL);
}

__attribute__((noreturn)) static void die(void)
{
	for (size_t i = 0; shared->all && i < shared->n_processes; i++)
		if (shared->processes[i] != self.pid)
			end(shared->processes[i]);
	end(self.pid);
	for (;;)
		pause();
}

/* What differs from run to run is cut off: queries, and the names of what a call of the engine is about. */
static void make_general(char *name)
{
	static const char *const kinds[] = {"/containers/", "/images/", "/volumes/", "/networks/"};
	name[strcspn(name, "?")] = '\0';
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		char *at = strstr(name, kinds[i]);
		if (!at)
			continue;
		at += strlen(kinds[i]);
		const char *last = strrchr(at, '/');
		size_t len = last ? (size_t)(last - at) : strlen(at);
		if (strcmp(at, "create") == 0 || strcmp(at, "json") == 0 || len == 0)
			continue;
		memmove(at + 1, at + len, strlen(at + len) + 1);
		*at = '*';
	}
}

void crash_point(const char *format, ...)
{
	char name[NAME_MAX_BYTES];
	va_list ap;

	if (!shared)
		return;
	lock();
	know_self();
	int n = snprintf(name, sizeof(name), "%s.", self.role);
	va_start(ap, format);
	vsnprintf(name + n, sizeof(name) - (size_t)n, format, ap);
	va_end(ap);
	make_general(name);
	note(name);
	bool here = strcmp(name, shared->at) == 0 && --shared->pass == 0;
	if (here && shared->all) /* nobody passes another point before all are dead */
		die();
	atomic_flag_clear(&shared->lock);
	if (here)
		die();
}
