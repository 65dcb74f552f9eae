/* backup: what a dispatcher must not lose, in one file. Works while it runs, since each of its files is replaced whole. */
#include "cli/backup.h"
#include "cli/cli.h"
#include "cli/owner.h"
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/tar.h"
#include "vault/version.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where a file belongs, from the site's folder; by its key alone where it is outside. Caller frees. */
static char *place_of(const struct config *config, const char *key, const char *file)
{
	size_t folder = (size_t)(strrchr(config->file, '/') - config->file);

	if (strncmp(file, config->file, folder + 1) == 0 && !strstr(file + folder + 1, ".."))
		return xstrdup(file + folder + 1);
	return xasprintf("files/%s", key);
}

/* What a backup is sealed with must not be in it. */
static int check_recipients(const struct config *config, const struct age_recipients *to, struct err *err)
{
	cleanup_identities struct age_identities *ids = NULL;

	if (!config->identity_file)
		return 0;
	if (act_as_owner(config->identity_file, err) < 0)
		return -1;
	int rc = secrets_identities(config, NULL, &ids, err);
	act_as_self();
	if (rc < 0)
		return -1;
	for (size_t i = 0; i < age_identities_count(ids); i++) {
		cleanup_free char *own = age_identity_recipient(ids, i);
		cleanup_recipients struct age_recipients one = {NULL, 0};
		if (age_recipients_parse(own, strlen(own), "identity_file", &one, err) < 0)
			return -1;
		for (size_t j = 0; j < to->n; j++)
			if (memcmp(one.keys[0], to->keys[j], sizeof(to->keys[j])) == 0)
				return err_set(err, ERR_INVALID,
				               "--seal-to: %s is the identity that is to be sealed; it could be opened with itself only. "
				               "Use another key (disinto secrets keygen), and keep it elsewhere",
				               own);
	}
	return 0;
}

static int read_recipients(const struct args *args, struct age_recipients *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *one;

	for (size_t i = 0; (one = args_nth(args, "seal-to", i)); i++)
		buf_addf(&text, "%s\n", one);
	return text.len > 0 ? age_recipients_parse(text.data, text.len, "--seal-to", ret, err) : 0;
}

static int add_sealed(int out, const struct config *config, size_t i, const struct age_recipients *to, struct err *err)
{
	cleanup_buf struct buf plain = BUF_INIT, file = BUF_INIT;
	cleanup_free char *name = xasprintf(BACKUP_SEALED "%s.age", config_key_name(i));
	const char *path = config_key_file(config, i);

	if (act_as_owner(path, err) < 0)
		return -1;
	int rc = file_read(path, BACKUP_TEXT_MAX, &plain, err);
	act_as_self();
	if (rc == 0)
		rc = age_encrypt(to, NULL, (const unsigned char *)plain.data, plain.len, &file, err);
	if (plain.data)
		sodium_memzero(plain.data, plain.len);
	if (rc == 0)
		rc = tar_add(out, name, now_wall_ms() / 1000, file.data, file.len, err);
	return rc < 0 ? err_wrap(err, "%s", config_key_name(i)) : 0;
}

/* Which files are sealed, and where each belongs. Caller owns. */
static json_t *places(const struct config *config, const struct age_recipients *to)
{
	json_t *sealed = json_object();

	for (size_t i = 0; to->n > 0 && config_key_name(i); i++) {
		const char *file = config_key_file(config, i);
		cleanup_free char *place = file ? place_of(config, config_key_name(i), file) : NULL;
		if (place)
			json_object_set_new(sealed, config_key_name(i), json_string(place));
	}
	return sealed;
}

/* Fills the manifest. */
static int add_head(int out, const struct config *config, const struct age_recipients *to, const char *id, json_t *manifest,
                    struct err *err)
{
	char when[21];
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read(config->file, BACKUP_TEXT_MAX, &text, err) < 0)
		return -1;
	json_object_update_new(manifest, json_pack("{s:i, s:s, s:i, s:s, s:s, s:o}", "format", BACKUP_FORMAT, "version", DISINTO_VERSION,
	                                           "spool_version", SPOOL_VERSION, "dispatcher_id", id, "time",
	                                           time_format(now_wall_ms(), when), "sealed", places(config, to)));
	cleanup_free char *head = json_pretty(manifest);
	if (tar_add(out, BACKUP_MANIFEST, now_wall_ms() / 1000, head, strlen(head), err) < 0 ||
	    tar_add(out, BACKUP_CONFIG, now_wall_ms() / 1000, text.data, text.len, err) < 0)
		return -1;
	for (size_t i = 0; to->n > 0 && config_key_name(i); i++)
		if (config_key_file(config, i) && add_sealed(out, config, i, to, err) < 0)
			return -1;
	return 0;
}

/* A file that is gone by now was not worth keeping: a log that was pruned, a temporary file. */
static int add_file(int out, const char *path, const char *name, struct err *err)
{
	struct stat st;
	cleanup_fd int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	cleanup_free char *entry = xasprintf(BACKUP_SPOOL "%s", name);

	if (in < 0 && errno == ENOENT)
		return 0;
	if (in < 0 || fstat(in, &st) < 0)
		return err_errno(err, errno, "%s", path);
	return tar_add_fd(out, entry, st.st_mtime, in, (uint64_t)st.st_size, err);
}

static void cleanup_fts(FTS **f)
{
	if (*f)
		fts_close(*f);
}

static bool left_out(const FTSENT *e)
{
	static const char *const tops[] = {"ops.git", "lock", "api.sock", BACKUP_LAST};

	for (size_t i = 0; e->fts_level == 1 && i < sizeof tops / sizeof tops[0]; i++)
		if (strcmp(e->fts_name, tops[i]) == 0)
			return true;
	return e->fts_level > 0 && e->fts_name[0] == '.'; /* being written */
}

static int add_spool(int out, const char *spool, struct err *err)
{
	char *const paths[] = {(char *)(uintptr_t)spool, NULL};
	__attribute__((cleanup(cleanup_fts))) FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	cleanup_free char *last = path_join(spool, BACKUP_LAST);

	if (!walk)
		return err_errno(err, errno, "%s", spool);
	for (FTSENT *e; (e = fts_read(walk));) {
		if (e->fts_info == FTS_DP)
			continue;
		if (left_out(e)) {
			fts_set(walk, e, FTS_SKIP);
			continue;
		}
		if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR)
			return err_errno(err, e->fts_errno, "%s", e->fts_path);
		if (e->fts_info == FTS_F && add_file(out, e->fts_path, e->fts_path + strlen(spool) + 1, err) < 0)
			return -1;
	}
	return add_file(out, last, BACKUP_LAST, err);
}

/* Who the spool belongs to; one that was never used is not worth a backup. Caller frees. */
static int read_id(const char *spool, char **ret, struct err *err)
{
	cleanup_free char *path = path_join(spool, BACKUP_LAST);
	cleanup_json json_t *self = NULL;

	if (json_load_path(path, &self, err) < 0)
		return err_wrap(err, "the spool has not been used by a dispatcher");
	if (!json_text(self, "id"))
		return err_set(err, ERR_INVALID, "%s: is damaged", path);
	*ret = xstrdup(json_text(self, "id"));
	return 0;
}

static int write_all(int out, const struct config *config, const struct age_recipients *to, json_t *manifest, struct err *err)
{
	cleanup_free char *id = NULL;

	if (act_as_owner(config->spool, err) < 0)
		return -1;
	int rc = read_id(config->spool, &id, err);
	act_as_self();
	if (rc < 0 || add_head(out, config, to, id, manifest, err) < 0 || act_as_owner(config->spool, err) < 0)
		return -1;
	rc = add_spool(out, config->spool, err);
	act_as_self();
	return rc < 0 ? -1 : tar_end(out, err);
}

static int write_file(const char *path, const struct config *config, const struct age_recipients *to, json_t *manifest, struct err *err)
{
	cleanup_free char *partial = xasprintf("%s.partial", path);
	cleanup_fd int out = -1;

	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, ERR_EXISTS, "%s: is there already; choose another name", path);
	out = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out < 0)
		return err_errno(err, errno, "%s", partial);
	int rc = write_all(out, config, to, manifest, err);
	if (rc == 0 && (fsync(out) < 0 || rename(partial, path) < 0))
		rc = err_errno(err, errno, "%s", path);
	if (rc < 0)
		unlink(partial);
	return rc;
}

int cmd_backup(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_recipients struct age_recipients to = {NULL, 0};
	cleanup_json json_t *manifest = json_object();
	const char *path = args_operand(args, 0);
	bool out = strcmp(path, "-") == 0;

	if (cli_config(args, &config, err) < 0)
		return CLI_FAILED;
	if (read_recipients(args, &to, err) < 0)
		return CLI_USAGE;
	if (out && term_is(STDOUT_FILENO)) {
		err_set(err, ERR_INVALID, "a backup is no text for a terminal; name a file, or send it into one");
		return CLI_USAGE;
	}
	if (out && args_has(args, "json")) {
		err_set(err, ERR_INVALID, "--json: the backup itself goes to standard output; name a file");
		return CLI_USAGE;
	}
	if (to.n > 0 && check_recipients(&config, &to, err) < 0)
		return CLI_FAILED;
	if ((out ? write_all(STDOUT_FILENO, &config, &to, manifest, err) : write_file(path, &config, &to, manifest, err)) < 0)
		return CLI_FAILED;
	note("backup: written%s%s; an ops repo and its branch disinto-ledger are backed up as git repositories are", out ? "" : " to ",
	     out ? "" : path);
	if (to.n == 0)
		note("backup: it does not hold the identity or any other file that the configuration names; --seal-to RECIPIENT puts them "
		     "in");
	if (!args_has(args, "json"))
		return CLI_DONE;
	json_object_set_new(manifest, "file", json_string(path));
	return print_json(manifest);
}
