/*
 * Linked into a runner of the torture build (it is static, so nothing can be preloaded): lets one kind of its calls fail. The image says which,
 * by the file /bin/fail-plan:  CALL N ERROR HOW, as in shim.c; CALL is alloc, write, open, fork or pipe. Only process 1 follows it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAN "/bin/fail-plan"

/* What the linker's --wrap gives: __real_X is the function, __wrap_X what everybody calls. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
ssize_t __real_write(int fd, const void *data, size_t len);
int __real_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
pid_t __real_fork(void);
int __real_pipe2(int ret[2], int flags);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
pid_t __wrap_fork(void);
int __wrap_pipe2(int ret[2], int flags);
/* NOLINTEND(bugprone-reserved-identifier) */

static struct {
	char call[16];
	int nth, error;
	bool always;
	atomic_int seen;
} plan;

static int error_of(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {{"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE}, {"EAGAIN", EAGAIN}, {"EIO", EIO}};
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].number;
	abort();
}

__attribute__((constructor)) static void begin(void)
{
	char text[128] = "", error[16] = "", how[16] = "";
	int fd = __real_open(PLAN, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) < 0 || sscanf(text, "%15s %d %15s %15s", plan.call, &plan.nth, error, how) != 4)
		abort();
	close(fd);
	plan.error = error_of(error);
	plan.always = strcmp(how, "always") == 0;
}

static bool fails(const char *call)
{
	if (!plan.nth || strcmp(call, plan.call) != 0 || getpid() != 1)
		return false;
	int n = atomic_fetch_add(&plan.seen, 1) + 1;
	if (n < plan.nth || (n > plan.nth && !plan.always))
		return false;
	errno = plan.error;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails("alloc") ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails("alloc") ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails("alloc") ? NULL : __real_realloc(p, size);
}

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	return fails("write") ? -1 : __real_write(fd, data, len);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return fails("open") ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return fails("open") ? -1 : __real_openat(dir, path, flags, mode);
}

pid_t __wrap_fork(void)
{
	return fails("fork") ? -1 : __real_fork();
}

int __wrap_pipe2(int ret[2], int flags)
{
	return fails("pipe") ? -1 : __real_pipe2(ret, flags);
}
