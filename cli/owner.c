#include "cli/owner.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define COPY_MAX_BYTES (1u << 20)
#define COPIES_MAX 8 /* more than a configuration names */

int act_as_owner(const char *path, struct err *err)
{
	struct stat st;

	if (geteuid() != 0 || stat(path, &st) < 0 || st.st_uid == 0)
		return 0;
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return err_errno(err, errno, "%s: belongs to user %u", path, (unsigned)st.st_uid);
	return 0;
}

void act_as_self(void)
{
	/* Going on with another user's rights would be worse than ending. */
	if (seteuid(getuid()) < 0 || setegid(getgid()) < 0)
		abort();
}

static struct {
	char *dir; /* NULL: none was needed yet */
	char *from[COPIES_MAX], *to[COPIES_MAX];
	size_t n;
} copies;

static void remove_copies(void)
{
	for (size_t i = 0; i < copies.n; i++) {
		unlink(copies.to[i]);
		free(copies.from[i]);
		free(copies.to[i]);
	}
	rmdir(copies.dir);
	free(copies.dir);
	copies.dir = NULL;
	copies.n = 0;
}

/* A credential is never copied onto a disk. */
static int make_dir(struct err *err)
{
	static const char *const above[] = {"/run", "/dev/shm"};
	struct statfs fs;

	for (size_t i = 0; !copies.dir && i < sizeof(above) / sizeof(*above); i++) {
		cleanup_free char *dir = xasprintf("%s/disinto-cli-XXXXXX", above[i]);
		if (statfs(above[i], &fs) < 0 || fs.f_type != TMPFS_MAGIC || !mkdtemp(dir))
			continue;
		copies.dir = steal_ptr(&dir);
		atexit(remove_copies);
	}
	return copies.dir ? 0 : err_set(err, ERR_FAIL, "there is no tmpfs to copy it to");
}

static int copy(const char *path, char **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *to = NULL;
	cleanup_fd int fd = -1;

	if (make_dir(err) < 0 || act_as_owner(path, err) < 0)
		return -1;
	int rc = file_read(path, COPY_MAX_BYTES, &text, err);
	act_as_self();
	to = xasprintf("%s/%zu", copies.dir, copies.n);
	if (rc == 0) {
		fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
		rc = fd < 0 ? err_errno(err, errno, "%s", to) : fd_write_all(fd, text.data, text.len, err);
	}
	if (text.data)
		sodium_memzero(text.data, text.len);
	if (fd >= 0 && rc < 0)
		unlink(to);
	if (rc == 0)
		*ret = steal_ptr(&to);
	return rc;
}

static bool is_closed_to_us(const char *path)
{
	return geteuid() == 0 && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 && errno == EACCES;
}

const char *owner_readable(const char *path)
{
	char *to = NULL;

	if (!path || !is_closed_to_us(path))
		return path;
	for (size_t i = 0; i < copies.n; i++)
		if (strcmp(copies.from[i], path) == 0)
			return copies.to[i];
	if (copies.n == COPIES_MAX || copy(path, &to, NULL) < 0)
		return path;
	copies.from[copies.n] = xstrdup(path);
	copies.to[copies.n] = to;
	return copies.to[copies.n++];
}

int owner_secret_open(const char *path, int *ret_fd, struct err *err)
{
	bool closed = is_closed_to_us(path);

	if (closed && act_as_owner(path, err) < 0)
		return -1;
	int rc = secret_open(path, ret_fd, err);
	if (closed)
		act_as_self();
	return rc;
}
