/*
 * Preloaded into the dispatcher (LD_PRELOAD), lets calls of the C library fail that hardly ever do. The environment says which:
 *
 *   SHIM='ROLE CALL N ERROR HOW'   the Nth such call of that role (`any`: of all processes together, counted over every process it ever had)
 *       CALL   alloc | write | fsync | rename | open | fd | connect | send | recv | fork
 *       ERROR  ENOSPC | EIO | EMFILE | ENOMEM | ECONNRESET | EAGAIN
 *       HOW    once | always | a number: milliseconds from then on in which every such call fails
 *   SHIM_COUNTS=FILE               64 numbers (int32) for each role, in the order of the lists below: how many calls there were
 *
 * write (but for the log on standard error) and fsync are of regular files; open makes or opens a file; fd is whatever makes a descriptor; send and recv are of sockets.
 */
#undef _FORTIFY_SOURCE /* which makes inline functions of some of the calls below */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum call { ALLOC, WRITE, FSYNC, RENAME, OPEN, FD, CONNECT, SEND, RECV, FORK, N_CALLS };
static const char *const calls[N_CALLS] = {"alloc", "write", "fsync", "rename", "open", "fd", "connect", "send", "recv", "fork"};
enum who { PARENT, CORE, GIT, KEYRING, ENGINE, WEB, N_WHO, ANY = N_WHO };
static const char *const roles[N_WHO] = {"parent", "core", "git", "keyring", "engine", "web"};
static const struct {
	const char *name;
	int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"ECONNRESET", ECONNRESET}, {"EAGAIN", EAGAIN}};

#define COUNTS_EACH 64

static struct plan {
	enum who who;
	enum call call;
	int32_t nth;
	int error;
	bool always;
	int64_t for_ms; /* 0: once */
} plan;
static struct shared {
	atomic_int counts[N_WHO][COUNTS_EACH];
	atomic_int planned;         /* calls that the plan is about */
	_Atomic int64_t failing_ms; /* since when; 0: not yet */
} * shared;
static enum who self = PARENT; /* of this process */

/* glibc's own allocator under its own names, which needs no dlsym, which allocates. */
void *__libc_malloc(size_t size);           /* NOLINT(bugprone-reserved-identifier) */
void *__libc_calloc(size_t n, size_t size); /* NOLINT(bugprone-reserved-identifier) */
void *__libc_realloc(void *p, size_t size); /* NOLINT(bugprone-reserved-identifier) */

static int find(const char *const *list, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return i;
	return n;
}

static void read_plan(const char *text)
{
	char who[16], call[16], error[16], how[16];
	if (sscanf(text, "%15s %15s %d %15s %15s", who, call, &plan.nth, error, how) != 5)
		abort();
	plan.who = (enum who)find(roles, N_WHO, who);
	plan.call = (enum call)find(calls, N_CALLS, call);
	plan.always = strcmp(how, "always") == 0;
	plan.for_ms = strtoll(how, NULL, 10);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(errors[i].name, error) == 0)
			plan.error = errors[i].number;
	if (plan.call == N_CALLS || !plan.error || plan.nth < 1)
		abort();
}

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("SHIM"), *counts = getenv("SHIM_COUNTS");
	int fd = -1;
	if (!text && !counts)
		return;
	if (text)
		read_plan(text);
	if (counts && ((fd = open(counts, O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0 || ftruncate(fd, sizeof(*shared)) < 0))
		abort();
	void *memory = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	if (memory == MAP_FAILED)
		abort();
	if (fd >= 0)
		close(fd);
	shared = memory;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Counts the call. true: it is to fail, and errno says with what. */
static bool fails(enum call call)
{
	if (!shared)
		return false;
	atomic_fetch_add(&shared->counts[self][call], 1);
	if (!plan.nth || call != plan.call || (plan.who != ANY && plan.who != self))
		return false;
	int n = atomic_fetch_add(&shared->planned, 1) + 1;
	if (n < plan.nth || (n > plan.nth && !plan.always && !plan.for_ms))
		return false;
	if (plan.for_ms) {
		int64_t none = 0;
		atomic_compare_exchange_strong(&shared->failing_ms, &none, now_ms());
		if (now_ms() - atomic_load(&shared->failing_ms) > plan.for_ms)
			return false;
	}
	errno = plan.error;
	return true;
}

static bool is_kind(int fd, mode_t kind)
{
	struct stat st;
	int saved = errno;
	bool is = shared && fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
	errno = saved;
	return is;
}

/* The next definition of a function, by its type. */
#define NEXT(function) \
	static __typeof__(&(function)) next; \
	if (!next) \
	*(void **)&next = dlsym(RTLD_NEXT, #function)

void *malloc(size_t size)
{
	return fails(ALLOC) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails(ALLOC) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails(ALLOC) ? NULL : __libc_realloc(p, size);
}

/* Roles are known by the name that they give themselves first of all. */
int prctl(int option, ...)
{
	va_list ap;
	unsigned long a[4];
	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_NAME) {
		const char *dash = strchr((const char *)a[0], '-'); /* NOLINT(performance-no-int-to-ptr) */
		int who = dash ? find(roles, N_WHO, dash + 1) : N_WHO;
		if (who < N_WHO)
			self = (enum who)who;
	}
	NEXT(prctl);
	return next(option, a[0], a[1], a[2], a[3]);
}

ssize_t write(int fd, const void *data, size_t len)
{
	if (fd != STDERR_FILENO && is_kind(fd, S_IFREG) ? fails(WRITE) : is_kind(fd, S_IFSOCK) && fails(SEND))
		return -1;
	NEXT(write);
	return next(fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (fails(WRITE))
		return -1;
	NEXT(pwrite);
	return next(fd, data, len, at);
}

int fsync(int fd)
{
	if (fails(FSYNC))
		return -1;
	NEXT(fsync);
	return next(fd);
}

int fdatasync(int fd)
{
	if (fails(FSYNC))
		return -1;
	NEXT(fdatasync);
	return next(fd);
}

int rename(const char *from, const char *to)
{
	if (fails(RENAME))
		return -1;
	NEXT(rename);
	return next(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (fails(RENAME))
		return -1;
	NEXT(renameat);
	return next(from_dir, from, to_dir, to);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	if (fails(OPEN) || fails(FD))
		return -1;
	NEXT(open);
	return next(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	if (fails(OPEN) || fails(FD))
		return -1;
	NEXT(openat);
	return next(dir, path, flags, mode);
}

int socket(int domain, int type, int protocol)
{
	if (fails(FD))
		return -1;
	NEXT(socket);
	return next(domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int ret[2])
{
	if (fails(FD))
		return -1;
	NEXT(socketpair);
	return next(domain, type, protocol, ret);
}

int accept4(int fd, __SOCKADDR_ARG from, socklen_t *restrict len, int flags)
{
	if (fails(FD))
		return -1;
	NEXT(accept4);
	return next(fd, from, len, flags);
}

int pipe2(int ret[2], int flags)
{
	if (fails(FD))
		return -1;
	NEXT(pipe2);
	return next(ret, flags);
}

int eventfd(unsigned begin_with, int flags)
{
	if (fails(FD))
		return -1;
	NEXT(eventfd);
	return next(begin_with, flags);
}

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
	if (fails(CONNECT))
		return -1;
	NEXT(connect);
	return next(fd, to, len);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	if (fails(SEND))
		return -1;
	NEXT(send);
	return next(fd, data, len, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (fails(SEND))
		return -1;
	NEXT(sendmsg);
	return next(fd, m, flags);
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
	if (fails(RECV))
		return -1;
	NEXT(recv);
	return next(fd, data, len, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (fails(RECV))
		return -1;
	NEXT(recvmsg);
	return next(fd, m, flags);
}

pid_t fork(void)
{
	if (fails(FORK))
		return -1;
	NEXT(fork);
	return next();
}
