/*
 * What an image and an engine must give before a secret is asked for. What depends on permissions is tried in a child that has become the
 * step's user: root's own view would be another one, and it has no capability to read past modes anyway.
 */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* A volume that an image declares inside the folder would show, and would put a secret on a disk. */
static int check_is_empty(int fd, struct err *err)
{
	DIR *dir __attribute__((cleanup(cleanup_dir))) = fdopendir(dup(fd));
	const struct dirent *entry;

	if (!dir)
		return err_errno(err, errno, "list %s", SECRETS_DIR);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return err_set(err, ERR_INVALID,
			               "%s is not empty; nothing may be mounted inside it, and no image may declare a volume there",
			               SECRETS_DIR);
	return 0;
}

/*
 * runc gives a tmpfs the mode of the image's folder at that place, if the image has one, whatever mode was asked for. What is root's can be
 * set right; what can't is found out by trying.
 */
static void set_mode(int fd, mode_t mode)
{
	struct statfs fs;
	struct stat st;

	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC && fstat(fd, &st) == 0 && st.st_uid == 0 &&
	    (st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return;
}

/* No byte of a secret on a disk: the folder is in memory, and only root puts names into it. */
static int open_secrets_dir(struct runner *r, struct err *err)
{
	struct statfs fs;
	struct stat st;

	r->secrets_fd = open(SECRETS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r->secrets_fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(err, ERR_INVALID, "%s is no folder in the image, and a tmpfs belongs there; use an image without it",
		               SECRETS_DIR);
	if (r->secrets_fd < 0)
		return err_errno(err, errno, "open %s (the engine mounts a tmpfs there)", SECRETS_DIR);
	set_mode(r->secrets_fd, 0711);
	if (fstatfs(r->secrets_fd, &fs) < 0 || fstat(r->secrets_fd, &st) < 0)
		return err_errno(err, errno, "look at %s", SECRETS_DIR);
	if (fs.f_type != TMPFS_MAGIC)
		return err_set(err, ERR_INVALID, "%s is not a tmpfs: secrets would be written to a disk; mount a tmpfs there", SECRETS_DIR);
	if (st.st_uid != 0 || (st.st_mode & 022))
		return err_set(err, ERR_INVALID, "%s is not root's alone to write (owner %u, mode %03o); mount it with mode 0711",
		               SECRETS_DIR, st.st_uid, st.st_mode & 0777U);
	return check_is_empty(r->secrets_fd, err);
}

/* HOME belongs to who lives there, or ssh and git refuse it. One that already has another owner, or can't change, stays as it is. */
static void give_home(uint32_t uid)
{
	struct stat st;
	int fd cleanup_fd = open(TASK_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 0 && fchown(fd, uid, uid) < 0)
		return; /* whether it is of use is found out by trying */
}

static bool is_program(const char *path)
{
	struct stat st;
	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_on_path(const char *tool, const char *path)
{
	if (strchr(tool, '/'))
		return is_program(tool);
	for (const char *at = path;; at++) {
		size_t len = strcspn(at, ":");
		char *file cleanup_free = len ? xasprintf("%.*s/%s", (int)len, at, tool) : xasprintf("./%s", tool);
		if (is_program(file))
			return true;
		at += len;
		if (!*at)
			return false;
	}
}

static int check_folder(const char *path, int mode, const char *what, uint32_t uid, struct err *err)
{
	if (access(path, mode) < 0)
		return err_errno(err, errno, "%s (a tmpfs of the engine) is not %s for user %u", path, what, uid);
	return 0;
}

static int check_tools(const struct runner *r, struct err *err)
{
	size_t i;
	const json_t *tool;
	struct buf missing cleanup_buf = BUF_INIT;

	json_array_foreach (r->action.tools, i, tool) {
		if (!is_on_path(json_string_value(tool), r->path))
			buf_addf(&missing, "%s%s", missing.len ? ", " : "", json_string_value(tool));
	}
	if (missing.len > 0)
		return err_set(err, ERR_INVALID,
		               "the image lacks tools that the action names: %s (PATH is %.500s); use an image that has them", missing.data,
		               r->path);
	return 0;
}

static int check_agents(const struct runner *r, struct err *err)
{
	for (size_t i = 0; i < r->formula.n_steps; i++) {
		const struct formula_step *step = &r->formula.steps[i];
		const char *program = step->prompt ? agent_program(r, step->agent) : NULL;
		char *where cleanup_free = program ? agent_where(r, step, "agent") : NULL;
		if (program && !is_on_path(program, r->path))
			return err_set(err, ERR_INVALID,
			               "%s: the image lacks the agent of step %s: %s (PATH is %.500s); use an image that has it", where,
			               step->id, program, r->path);
	}
	return 0;
}

/* As the step's user. */
static int check_as_user(const struct runner *r, struct err *err)
{
	uint32_t uid = r->formula.user;

	if (become_user(uid) < 0)
		return err_errno(err, errno, "become user %u", uid);
	if (check_folder(TASK_DIR, W_OK | X_OK, "writable", uid, err) < 0 || check_folder(TMP_DIR, W_OK | X_OK, "writable", uid, err) < 0 ||
	    check_folder(SECRETS_DIR, X_OK, "reachable", uid, err) < 0)
		return -1;
	if (!is_program(SHELL))
		return err_set(err, ERR_INVALID,
		               "the image has no %s that user %u may run, and `run` steps need one; use an image with a shell", SHELL, uid);
	return check_tools(r, err) < 0 ? -1 : check_agents(r, err);
}

static int try_as_user(const struct runner *r, struct err *err)
{
	int ends[2];
	struct buf said cleanup_buf = BUF_INIT;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, errno, "make a pipe");
	pid_t pid = fork();
	if (pid == 0) {
		struct err why = ERR_INIT;
		bool good = check_as_user(r, &why) == 0;
		_exit(good || fd_write_all(ends[1], err_msg(&why), strlen(err_msg(&why)), NULL) < 0 ? !good : 1);
	}
	int fork_errno = errno;
	close(ends[1]);
	int got = fd_read_all(ends[0], 65536, &said, NULL);
	close(ends[0]);
	if (pid < 0)
		return err_errno(err, fork_errno, "make a process");

	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (status == 0)
		return 0;
	if (got < 0 || said.len == 0)
		return err_set(err, ERR_FAIL, "the checks as the step's user were killed");
	return err_set(err, ERR_INVALID, "%s", said.data);
}

int check_machine(struct runner *r, struct err *err)
{
	r->path = getenv("PATH");
	if (!r->path || !*r->path)
		r->path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	r->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (r->null_fd < 0)
		return err_errno(err, errno, "open /dev/null");
	if (open_secrets_dir(r, err) < 0)
		return -1;
	int tmp_fd cleanup_fd = open(TMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	set_mode(tmp_fd, 01777);
	give_home(r->formula.user);
	account_open(&r->account, r->formula.user);
	return try_as_user(r, err) < 0 || outputs_open(r, err) < 0 || known_hosts_place(r, err) < 0 ? -1 : 0;
}
