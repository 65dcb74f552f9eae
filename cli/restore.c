/* restore: what backup wrote, back into an empty spool, or into a folder that becomes a site. */
#include "cli/backup.h"
#include "cli/cli.h"
#include "cli/owner.h"
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/path.h"
#include "lib/tar.h"
#include "vault/version.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* An archive that is open at its first file behind the manifest. */
struct backup {
	int in;
	json_t *manifest;
	struct tar_entry entry;
};

static int read_manifest(struct backup *b, struct err *err)
{
	static const struct json_limits limits = {BACKUP_TEXT_MAX, 4};
	cleanup_buf struct buf text = BUF_INIT;
	int rc = tar_next(b->in, &b->entry, err);

	if (rc < 0)
		return -1;
	if (rc == 0 || strcmp(b->entry.name, BACKUP_MANIFEST) != 0)
		return err_set(err, ERR_INVALID,
		               "archive: is none that `disinto backup` has written: it does not begin with " BACKUP_MANIFEST);
	if (tar_read(b->in, &b->entry, BACKUP_TEXT_MAX, &text, err) < 0 ||
	    json_parse_strict(text.data, text.len, &limits, &b->manifest, err) < 0)
		return err_wrap(err, BACKUP_MANIFEST);
	json_int_t format = json_integer_value(json_object_get(b->manifest, "format"));
	json_int_t spool = json_integer_value(json_object_get(b->manifest, "spool_version"));
	if (format < 1 || spool < 1)
		return err_set(err, ERR_INVALID, BACKUP_MANIFEST ": is damaged");
	if (format > BACKUP_FORMAT || spool > SPOOL_VERSION)
		return err_set(err, ERR_INVALID,
		               "it was written by disinto %s, which is newer than this one (" DISINTO_VERSION "); use that version",
		               json_text(b->manifest, "version") ? json_text(b->manifest, "version") : "?");
	return 0;
}

/* Makes the folders above a file below `dir`, and the file. */
static int create_below(int dir, const char *name, mode_t mode, struct err *err)
{
	for (const char *slash = name; (slash = strchr(slash, '/')); slash++) {
		cleanup_free char *folder = xasprintf("%.*s", (int)(slash - name), name);
		if (mkdirat(dir, folder, 0700) < 0 && errno != EEXIST)
			return err_errno(err, errno, "%s", folder);
	}
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	return fd < 0 ? err_errno(err, errno, "%s", name) : fd;
}

static const char *below(const char *name, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(name, folder, len) == 0 ? name + len : NULL;
}

static int take_spool_files(struct backup *b, int dir, struct err *err)
{
	int rc;

	while ((rc = tar_next(b->in, &b->entry, err)) == 1) {
		const char *name = below(b->entry.name, BACKUP_SPOOL);
		if (!name)
			continue;
		cleanup_fd int fd = create_below(dir, name, 0600, err);
		if (fd < 0 || tar_copy(b->in, &b->entry, fd, err) < 0)
			return -1;
	}
	if (rc == 0 && faccessat(dir, BACKUP_LAST, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_INVALID, "archive: holds no whole spool");
	return rc;
}

static void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* What a file system or a dispatcher that never got a spool leaves behind does not count. */
static int check_empty(int spool, const char *path, struct err *err)
{
	static const char *const harmless[] = {".", "..", "lost+found", "lock", SPOOL_UNFINISHED};
	cleanup_fd int copy = openat(spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(cleanup_dir))) DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir)
		return err_errno(err, errno, "spool %s", path);
	steal_fd(&copy);
	for (struct dirent *e; (e = readdir(dir));) {
		bool counts = true;
		for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
			counts &= strcmp(e->d_name, harmless[i]) != 0;
		if (counts)
			return err_set(err, ERR_EXISTS, "spool %s: is not empty (%s); a backup goes into an empty one. Move it away first",
			               path, e->d_name);
	}
	return 0;
}

/* The folder that tells who the spool belongs to is moved last: until then, and while SPOOL_UNFINISHED is there, no dispatcher takes it. */
static int move_up(int spool, int from, struct err *err)
{
	static const char *const tops[] = {"runs", "git.json", "tokens.json", "boot.log", "boot.log.1", BACKUP_LAST};

	for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++)
		if (renameat(from, tops[i], spool, tops[i]) < 0 && errno != ENOENT)
			return err_errno(err, errno, "%s", tops[i]);
	if (syncfs(spool) < 0)
		return err_errno(err, errno, "spool");
	return dir_remove_at(spool, SPOOL_UNFINISHED, err);
}

static int fill_spool(struct backup *b, const char *path, struct err *err)
{
	cleanup_fd int spool = -1, lock = -1, stage = -1;

	if (dir_make(path, 0700, err) < 0 || act_as_owner(path, err) < 0)
		return -1;
	spool = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool < 0)
		return err_errno(err, errno, "spool %s", path);
	lock = openat(spool, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return err_errno(err, errno, "spool %s: lock", path);
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, ERR_EXISTS, "spool %s: a dispatcher is running on it; stop it first", path);
	if (check_empty(spool, path, err) < 0 || dir_remove_at(spool, SPOOL_UNFINISHED, err) < 0)
		return -1;
	if (mkdirat(spool, SPOOL_UNFINISHED, 0700) < 0)
		return err_errno(err, errno, "spool %s", path);
	stage = openat(spool, SPOOL_UNFINISHED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (stage < 0)
		return err_errno(err, errno, "spool %s", path);
	if (take_spool_files(b, stage, err) < 0 || syncfs(spool) < 0) {
		dir_remove_at(spool, SPOOL_UNFINISHED, NULL);
		return -1;
	}
	return move_up(spool, stage, err);
}

/* Where the manifest says that a sealed file belongs; NULL: it does not say, or leads elsewhere. */
static const char *place_of(const struct backup *b, const char *name)
{
	cleanup_free char *key = xstrdup(name);
	char *end = strrchr(key, '.');

	if (end)
		*end = '\0';
	const char *place = json_text(json_object_get(b->manifest, "sealed"), key);
	return place && place[0] != '/' && place[0] && !path_goes_up(place) ? place : NULL;
}

static int open_sealed(struct backup *b, int dir, const char *name, const struct age_identities *ids, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_guarded unsigned char *plain = NULL;
	size_t len = 0;
	const char *place = place_of(b, name);

	if (!place)
		return err_set(err, ERR_INVALID, "archive: %s: has no place", name);
	if (tar_read(b->in, &b->entry, 2 * BACKUP_TEXT_MAX, &text, err) < 0 ||
	    age_decrypt(ids, NULL, text.data, text.len, BACKUP_TEXT_MAX, &plain, &len, err) < 0)
		return err_wrap(err, "%s", name);
	cleanup_fd int fd = create_below(dir, place, 0400, err);
	return fd < 0 ? -1 : fd_write_all(fd, plain, len, err);
}

static int take_site_files(struct backup *b, int dir, const struct age_identities *ids, size_t *ret_closed, struct err *err)
{
	int rc;

	while ((rc = tar_next(b->in, &b->entry, err)) == 1) {
		const char *sealed = below(b->entry.name, BACKUP_SEALED);
		if (sealed && !ids) {
			++*ret_closed;
		} else if (sealed) {
			if (open_sealed(b, dir, sealed, ids, err) < 0)
				return -1;
		} else if (strcmp(b->entry.name, BACKUP_CONFIG) == 0) {
			cleanup_fd int fd = create_below(dir, "dispatcher.yaml", 0644, err);
			if (fd < 0 || tar_copy(b->in, &b->entry, fd, err) < 0)
				return -1;
		}
	}
	return rc;
}

/* What was restored, for --json. */
static void tell(const struct backup *b, const struct args *args, const char *what, const char *path, size_t closed)
{
	cleanup_json json_t *all =
	    json_pack("{s:s, s:O?, s:O?, s:O?}", what, path, "dispatcher_id", json_object_get(b->manifest, "dispatcher_id"), "time",
	              json_object_get(b->manifest, "time"), "version", json_object_get(b->manifest, "version"));

	if (!args_has(args, "json"))
		return;
	if (args_has(args, "site"))
		json_object_set_new(all, "closed", json_integer((json_int_t)closed));
	print_json(all);
}

static int make_site(struct backup *b, const struct args *args, struct err *err)
{
	const char *path = args_value(args, "site"), *identity = args_value(args, "identity");
	cleanup_identities struct age_identities *ids = NULL;
	size_t closed = 0;

	if (identity && secrets_identities(NULL, identity, &ids, err) < 0)
		return -1;
	if (mkdir(path, 0755) < 0)
		return err_errno(err, errno, "%s: is to be made", path);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_errno(err, errno, "%s", path);
	if (take_site_files(b, dir, ids, &closed, err) < 0) {
		dir_remove_at(AT_FDCWD, path, NULL);
		return -1;
	}
	note("restore: %s has the configuration%s; look through it, then: disinto --config %s/dispatcher.yaml restore %s", path,
	     ids ? " and what was sealed" : "", path, args_operand(args, 0));
	if (closed > 0)
		note("restore: %zu sealed files are left in the backup; --identity FILE, the key that they were sealed to, opens them",
		     closed);
	tell(b, args, "site", path, closed);
	return 0;
}

static int restore(struct backup *b, const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;

	if (args_has(args, "site"))
		return read_manifest(b, err) < 0 ? -1 : make_site(b, args, err);
	if (cli_config(args, &config, err) < 0)
		return -1;
	const char *spool = config.spool ? config.spool : "";
	if (read_manifest(b, err) < 0 || fill_spool(b, spool, err) < 0)
		return -1;
	note("restore: %s is dispatcher %s as it was at %s; start it, and the ledger says whether it may go on", spool,
	     json_text(b->manifest, "dispatcher_id"), json_text(b->manifest, "time"));
	tell(b, args, "spool", spool, 0);
	return 0;
}

int cmd_restore(const struct args *args, struct err *err)
{
	const char *path = args_operand(args, 0);
	bool in = strcmp(path, "-") == 0;
	cleanup_fd int fd = in ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	struct backup b = {.in = fd};

	if (args_has(args, "identity") && !args_has(args, "site")) {
		err_set(err, ERR_INVALID, "--identity: only with --site, the folder that gets what it opens");
		return CLI_USAGE;
	}
	if (fd < 0) {
		err_errno(err, errno, "%s", path);
		return CLI_FAILED;
	}
	int rc = restore(&b, args, err);
	json_decref(b.manifest);
	if (rc < 0) {
		err_wrap(err, "%s", in ? "standard input" : path);
		return CLI_FAILED;
	}
	return CLI_DONE;
}
