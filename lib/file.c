#include "lib/file.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

int fd_read_all(int fd, size_t max, struct buf *ret, struct err *err)
{
	size_t start = ret->len;
	for (;;) {
		size_t left = max - (ret->len - start);
		size_t want = left < 65536 ? left + 1 : 65536; /* one more than allowed, to see that it is too large */
		ssize_t n = read(fd, buf_room(ret, want), want);
		if (n > 0 && (size_t)n <= left) {
			buf_grew(ret, (size_t)n);
			continue;
		}
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		int errnum = errno;
		ret->len = start;
		ret->data[start] = '\0';
		return n > 0 ? err_set(err, ERR_INVALID, "larger than %zu bytes", max) : err_errno(err, errnum, "read");
	}
}

int file_read_at(int dirfd, const char *path, size_t max, struct buf *ret, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (fd_read_all(fd, max, ret, err))
		return err_wrap(err, "%s", path);
	return 0;
}

int file_read(const char *path, size_t max, struct buf *ret, struct err *err)
{
	return file_read_at(AT_FDCWD, path, max, ret, err);
}

int fd_write_all(int fd, const void *data, size_t len, struct err *err)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return err_errno(err, errno, "write");
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Opens the folder that holds path; *ret_name is path's last component. */
static int open_parent(int dirfd, const char *path, const char **ret_name, int *ret_fd, struct err *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *folder = slash ? xasprintf("%.*s", slash == path ? 1 : (int)(slash - path), path) : xstrdup(".");
	int fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "folder of %s", path);
	*ret_name = slash ? slash + 1 : path;
	*ret_fd = fd;
	return 0;
}

/* A fresh file in `folder`; its name is for the caller to free. */
static int open_temporary(int folder, const char *name, mode_t mode, char **ret_name, int *ret_fd, struct err *err)
{
	for (int tries = 0; tries < 100; tries++) {
		uint64_t random;
		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return err_errno(err, errno, "random number");
		cleanup_free char *tmp = xasprintf(".%.200s.%016llx.tmp", name, (unsigned long long)random);
		int fd = openat(folder, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0700);
		if (fd >= 0) {
			*ret_name = steal_ptr(&tmp);
			*ret_fd = fd;
			return 0;
		}
		if (errno != EEXIST)
			return err_errno(err, errno, "create a temporary file");
	}
	return err_set(err, ERR_FAIL, "create a temporary file: every name is taken");
}

static int write_temporary(int fd, const void *data, size_t len, mode_t mode, struct err *err)
{
	if (fd_write_all(fd, data, len, err))
		return -1;
	if (fchmod(fd, mode))
		return err_errno(err, errno, "set the mode");
	if (fsync(fd))
		return err_errno(err, errno, "fsync");
	return 0;
}

int file_write_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
	const char *name = path;
	cleanup_fd int folder = -1;
	cleanup_fd int fd = -1;
	cleanup_free char *tmp = NULL;
	if (open_parent(dirfd, path, &name, &folder, err))
		return -1;
	if (open_temporary(folder, name, mode, &tmp, &fd, err))
		return err_wrap(err, "%s", path);
	CRASH_POINT("file.%s.opened", name);
	if (write_temporary(fd, data, len, mode, err)) {
		unlinkat(folder, tmp, 0);
		return err_wrap(err, "%s", path);
	}
	CRASH_POINT("file.%s.written", name);
	if (renameat(folder, tmp, folder, name)) {
		int errnum = errno;
		unlinkat(folder, tmp, 0);
		return err_errno(err, errnum, "%s: rename", path);
	}
	CRASH_POINT("file.%s.renamed", name);
	if (fsync(folder))
		return err_errno(err, errno, "%s: fsync of its folder", path);
	return 0;
}

int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
	return file_write_at(AT_FDCWD, path, data, len, mode, err);
}

int dir_make(const char *path, mode_t mode, struct err *err)
{
	cleanup_free char *p = xstrdup(path);
	for (char *slash = p; slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (*p && mkdir(p, mode) && errno != EEXIST)
			return err_errno(err, errno, "make folder %s", p);
		if (slash)
			*slash = '/';
	}
	struct stat st;
	if (stat(path, &st))
		return err_errno(err, errno, "make folder %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_EXISTS, "make folder %s: something else with this name is there", path);
	return 0;
}

static void cleanup_dir(DIR *const *d)
{
	if (*d)
		closedir(*d);
}

static int remove_content(DIR *dir, struct err *err)
{
	struct dirent *e;
	while ((errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (dir_remove_at(dirfd(dir), e->d_name, err))
			return -1;
	}
	return errno ? err_errno(err, errno, "list the folder") : 0;
}

int dir_remove_at(int dirfd, const char *path, struct err *err)
{
	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_errno(err, errno, "remove %s", path);

	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "remove %s", path);
	__attribute__((cleanup(cleanup_dir))) DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return err_set(err, ERR_FAIL, "remove %s: can't list it", path);
	}
	if (remove_content(dir, err))
		return err_wrap(err, "%s", path);
	if (unlinkat(dirfd, path, AT_REMOVEDIR) && errno != ENOENT)
		return err_errno(err, errno, "remove %s", path);
	return 0;
}

char *path_join(const char *base, const char *path)
{
	if (path[0] == '/' || !base[0])
		return xstrdup(path);
	size_t n = strlen(base);
	return xasprintf("%s%s%s", base, base[n - 1] == '/' ? "" : "/", path);
}

int secret_open(const char *path, int *ret_fd, struct err *err)
{
	struct stat st;
	/* Without O_NONBLOCK, opening a FIFO would wait for a writer. */
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: is not a regular file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, ERR_INVALID, "%s: belongs to user id %u; it must belong to user id %u or root", path,
		               (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 077)
		return err_set(err, ERR_INVALID, "%s: its mode %04o lets others in; run: chmod 0400 %s", path,
		               (unsigned)(st.st_mode & 07777), path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int64_t clock_ms(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t now_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t now_mono_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

char *time_format(int64_t wall_ms, char buf[static 21])
{
	static const int64_t year_10000 = INT64_C(253402300800);
	time_t s = (time_t)(wall_ms / 1000);
	if (wall_ms < 0)
		s = 0;
	else if (s >= year_10000)
		s = year_10000 - 1;
	struct tm tm;
	gmtime_r(&s, &tm);
	strftime(buf, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

int64_t time_parse(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? (int64_t)timegm(&tm) * 1000 : -1;
}
