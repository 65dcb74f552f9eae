#include "dispatcher/lend.h"
#include "dispatcher/confine.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sodium.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LENT_MAX_BYTES (1u << 20)

int act_as(uid_t uid, gid_t gid, struct err *err)
{
	if (setegid(gid) < 0 || seteuid(uid) < 0) {
		int why = errno;
		act_as_root();
		return err_errno(err, why, "can't act as user %u", (unsigned)uid);
	}
	return 0;
}

void act_as_root(void)
{
	/* Going on with another user's rights would be worse than ending. */
	if ((geteuid() != getuid() && seteuid(getuid()) < 0) || (getegid() != getgid() && setegid(getgid()) < 0))
		abort();
}

int act_as_owner(const struct config *config, const char *path, struct err *err)
{
	struct stat own, st;

	if (config->separation != SEPARATION_REQUIRED || stat(config->file, &own) < 0 || stat(path, &st) < 0 || st.st_uid == 0 ||
	    st.st_uid != own.st_uid)
		return 0;
	return act_as(st.st_uid, st.st_gid, err);
}

static const struct {
	const char *key;
	enum role role;
	size_t at; /* in struct config */
} lendable[] = {
    {"git_token_file", ROLE_GIT, offsetof(struct config, git_token_file)},
    {"ssh_key_file", ROLE_GIT, offsetof(struct config, ssh_key_file)},
    {"known_hosts_file", ROLE_GIT, offsetof(struct config, known_hosts_file)},
    {"forge_token_file", ROLE_GIT, offsetof(struct config, approval.forge_token_file)},
    {"allowed_signers", ROLE_GIT, offsetof(struct config, approval.allowed_signers)},
    {"ca_file", ROLE_GIT, offsetof(struct config, ca_file)},
    {"headers_file", ROLE_GIT, offsetof(struct config, on_drained.headers_file)},
    {"registry_auth_file", ROLE_ENGINE, offsetof(struct config, registry_auth_file)},
};
#define N_LENDABLE (sizeof lendable / sizeof lendable[0])

static const char *path_of(const struct config *config, size_t i)
{
	return *(char *const *)((const char *)config + lendable[i].at);
}

static void set_path(struct config *config, size_t i, const char *path)
{
	char **at = (char **)((char *)config + lendable[i].at);
	free(*at);
	*at = xstrdup(path);
}

static bool on_tmpfs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* A credential is never copied onto a disk. NULL: there is no tmpfs. */
static char *lent_dir(const char *dispatcher_id)
{
	static const char *const above[] = {"/run", "/dev/shm"};

	for (size_t i = 0; i < sizeof above / sizeof above[0]; i++)
		if (on_tmpfs(above[i]))
			return xasprintf("%s/disinto-%s", above[i], dispatcher_id);
	return NULL;
}

static bool readable_by(enum role r, const char *path)
{
	if (act_as(role_uid(r), role_uid(r), NULL) < 0)
		return false;
	bool readable = faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
	act_as_root();
	return readable;
}

/* Under a hidden name, until all copies are there. Caller frees. */
static char *staged(const char *key)
{
	return xasprintf(".%s", key);
}

static int copy(const struct config *config, const char *path, enum role r, int dir, const char *key, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *name = staged(key);
	cleanup_fd int fd = -1;

	if (act_as_owner(config, path, err) < 0)
		return -1;
	int rc = file_read(path, LENT_MAX_BYTES, &text, err);
	act_as_root();
	if (rc == 0) {
		unlinkat(dir, name, 0);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
		rc = fd < 0 ? err_errno(err, errno, "the role's copy") : fd_write_all(fd, text.data, text.len, err);
	}
	if (rc == 0 && fchown(fd, role_uid(r), role_uid(r)) < 0)
		rc = err_errno(err, errno, "the role's copy");
	if (text.data)
		sodium_memzero(text.data, text.len);
	return rc;
}

static int open_dir(const char *path, int *ret_fd, struct err *err)
{
	struct stat st;

	if (!path)
		return err_set(err, ERR_INVALID,
		               "neither /run nor /dev/shm is a tmpfs, where a copy could be kept; mount one, or let the file "
		               "belong to the role's user");
	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return err_errno(err, errno, "%s", path);
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", path);
	if (st.st_uid != 0)
		return err_set(err, ERR_DENIED, "%s: belongs to user %u; remove it", path, (unsigned)st.st_uid);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Whether this one needs a copy. What is missing the role reports. */
static bool is_lent(const struct config *config, size_t i)
{
	const char *path = path_of(config, i);

	return path && !readable_by(lendable[i].role, path) && faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

static int copy_all(const struct config *config, const bool *lent, const char *dir, int *ret_fd, struct err *err)
{
	for (size_t i = 0; i < N_LENDABLE; i++) {
		enum role r = lendable[i].role;
		if (lent[i] && ((*ret_fd < 0 && open_dir(dir, ret_fd, err) < 0) ||
		                copy(config, path_of(config, i), r, *ret_fd, lendable[i].key, err) < 0))
			return err_wrap(err, "%s: %s: %s: role %s, user %u, can't read it", config->file, lendable[i].key,
			                path_of(config, i), role_name(r), (unsigned)role_uid(r));
	}
	return 0;
}

int lend_all(const struct role_args *args, struct err *err)
{
	cleanup_free char *dir = lent_dir(args->dispatcher_id);
	cleanup_fd int fd = -1;
	bool lent[N_LENDABLE];

	if (args->config->separation != SEPARATION_REQUIRED)
		return 0;
	for (size_t i = 0; i < N_LENDABLE; i++)
		lent[i] = is_lent(args->config, i);
	int rc = copy_all(args->config, lent, dir, &fd, err);
	if (fd < 0 && dir)
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	for (size_t i = 0; i < N_LENDABLE && fd >= 0; i++) {
		cleanup_free char *name = staged(lendable[i].key);
		if (rc < 0)
			unlinkat(fd, name, 0);
		else if (!lent[i])
			unlinkat(fd, lendable[i].key, 0); /* of an earlier life, or of a configuration that named more */
		else if (renameat(fd, name, fd, lendable[i].key) < 0)
			rc = err_errno(err, errno, "%s/%s", dir, lendable[i].key);
	}
	return rc;
}

void lend_apply(enum role r, struct config *config, struct role_args *args)
{
	cleanup_free char *dir = lent_dir(args->dispatcher_id);

	for (size_t i = 0; i < N_LENDABLE && dir && config->separation == SEPARATION_REQUIRED; i++) {
		cleanup_free char *path = path_join(dir, lendable[i].key);
		if (lendable[i].role != r || !path_of(config, i) || faccessat(AT_FDCWD, path, F_OK, 0) < 0)
			continue;
		if (r == ROLE_ENGINE)
			args->registry_auth = steal_ptr(&path);
		else
			set_path(config, i, path);
	}
}

void lend_end(const struct role_args *args)
{
	cleanup_free char *dir = lent_dir(args->dispatcher_id);

	if (dir && args->config->separation == SEPARATION_REQUIRED)
		dir_remove_at(AT_FDCWD, dir, NULL);
}
