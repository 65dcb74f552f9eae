/*
 * secrets migrate: from a dotenv file, or from a folder of age files, to one file for each secret in the ops repo.
 */
#include "cli/secrets.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOTENV_MAX (1u << 20)
#define SUFFIX ".enc"

struct migration {
	const char *path; /* what is migrated */
	bool is_folder, force;
	unsigned char *text; /* of the dotenv file: guarded */
	size_t len;
	struct plains all; /* what it holds; those that are not wanted are taken out */
	size_t n_left;     /* how many those were */
	struct age_identities *ids;
	json_t *added, *replaced, *unchanged; /* names, as the last look at the tip has them */
};

static void migration_free(struct migration *m)
{
	sodium_free(m->text);
	plains_free(&m->all);
	age_identities_free(m->ids);
	json_decref(m->added);
	json_decref(m->replaced);
	json_decref(m->unchanged);
}

/* Reading */

static int read_dotenv(struct migration *m, struct err *err)
{
	cleanup_fd int fd = open(m->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, errno, "%s", m->path);
	if (read_hidden(fd, DOTENV_MAX, &m->text, &m->len, err) < 0 || dotenv_parse(m->text, m->len, &m->all, err) < 0)
		return err_wrap(err, "%s", m->path);
	return 0;
}

/* The name of NAME.enc; NULL for other files. Caller frees. */
static char *name_of(const char *file)
{
	size_t len = strlen(file), tail = strlen(SUFFIX);

	return len > tail && strcmp(file + len - tail, SUFFIX) == 0 ? strndup(file, len - tail) : NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct plain *)a)->name, ((const struct plain *)b)->name);
}

/* Those that are wanted are opened later: others may be for somebody else. */
static int read_folder(struct migration *m, struct err *err)
{
	DIR *dir = opendir(m->path);
	struct dirent *e;
	int code = 0;

	if (!dir)
		return err_errno(err, errno, "%s", m->path);
	while (code == 0 && (e = readdir(dir))) {
		char *name = name_of(e->d_name);
		if (!name)
			continue;
		struct plain *entry = plains_add(&m->all, name);
		entry->path = xasprintf("%s/%s", m->path, e->d_name);
		code = file_read(entry->path, OPS_SECRET_MAX_BYTES, &entry->source, err);
	}
	closedir(dir);
	if (m->all.n > 0)
		qsort(m->all.v, m->all.n, sizeof(*m->all.v), by_name);
	return code;
}

static int read_source(struct migration *m, struct err *err)
{
	struct stat st;

	if (stat(m->path, &st) < 0)
		return err_errno(err, errno, "%s", m->path);
	m->is_folder = S_ISDIR(st.st_mode);
	if ((m->is_folder ? read_folder(m, err) : read_dotenv(m, err)) < 0)
		return -1;
	if (m->all.n == 0)
		return err_set(err, ERR_INVALID, "%s: holds no secret: %s", m->path,
		               m->is_folder ? "it has no NAME" SUFFIX : "it has no NAME=value");
	return 0;
}

/* Choosing: the names behind the file, or all. */

static bool is_wanted(const struct args *args, const char *name)
{
	if (args->n_operands == 1)
		return true;
	for (size_t i = 1; i < args->n_operands; i++)
		if (strcmp(args->operands[i], name) == 0)
			return true;
	return false;
}

static bool has(const struct plains *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].name, name) == 0)
			return true;
	return false;
}

static int choose(const struct args *args, struct migration *m, struct err *err)
{
	struct plains wanted = {NULL, 0}, others = {NULL, 0};

	for (size_t i = 1; i < args->n_operands; i++)
		if (!has(&m->all, args->operands[i]))
			return err_set(err, ERR_NOT_FOUND, "%s: does not hold %s", m->path, args->operands[i]);
	for (size_t i = 0; i < m->all.n; i++) {
		struct plains *to = is_wanted(args, m->all.v[i].name) ? &wanted : &others;
		*plains_add(to, NULL) = m->all.v[i];
	}
	free(m->all.v);
	m->all = wanted;
	m->n_left = others.n;
	plains_free(&others);
	if (m->n_left > 0 && args_has(args, "delete"))
		return err_set(err, ERR_INVALID,
		               "%s: --delete would lose what is not migrated (%zu names); migrate all, or delete it yourself", m->path,
		               m->n_left);
	return 0;
}

/* Where an entry stands, for messages. Caller frees. */
static char *place(const struct migration *m, const struct plain *entry)
{
	return m->is_folder ? xstrdup(entry->path) : xasprintf("%s: line %zu: %s", m->path, entry->line, entry->name);
}

static int check_entry(const struct plain *entry, struct err *err)
{
	if (!vault_is_secret(entry->name))
		return err_set(err, ERR_INVALID, "is no name for a secret: %s", VAULT_SECRET_RULE);
	if (entry->fault)
		return err_set(err, ERR_INVALID, "%s", entry->fault);
	if (entry->len < SECRET_MIN_BYTES || entry->len > SECRET_MAX_BYTES)
		return err_set(err, ERR_INVALID,
		               "the value has %zu bytes; %d to %d are allowed, since shorter ones can't be kept out of logs", entry->len,
		               SECRET_MIN_BYTES, SECRET_MAX_BYTES);
	return 0;
}

/* A folder's files are opened as secrets of their names. */
static int open_entry(const struct age_identities *ids, struct plain *entry, struct err *err)
{
	if (!vault_is_secret(entry->name))
		return check_entry(entry, err);
	if (age_decrypt(ids, entry->name, entry->source.data, entry->source.len, SECRET_MAX_BYTES, &entry->value, &entry->len, err) < 0)
		return -1;
	return 0;
}

/* All faults are told at once: the file is mended in one go. */
static int check_all(const struct migration *m, const struct age_identities *ids, struct err *err)
{
	size_t faults = 0;

	for (size_t i = 0; i < m->all.n; i++) {
		cleanup_err struct err why = ERR_INIT;
		struct plain *entry = &m->all.v[i];
		if ((!m->is_folder || open_entry(ids, entry, &why) == 0) && check_entry(entry, &why) == 0)
			continue;
		cleanup_free char *where = place(m, entry);
		note("secrets migrate: %s: %s", where, err_msg(&why));
		faults++;
	}
	if (faults == 0)
		return 0;
	return err_set(err, ERR_INVALID,
	               "%s: %zu of %zu can't be migrated, so nothing was changed; mend them, or name those that should be: "
	               "disinto secrets migrate %s NAME…",
	               m->path, faults, m->all.n, m->path);
}

/* Landing */

/* 1: the tip holds this very value; 0: it holds none, or another that may be replaced; -1. */
static int compare(const struct repo *r, const struct migration *m, const struct plain *entry, bool *ret_there, struct err *err)
{
	cleanup_guarded unsigned char *value = NULL;
	cleanup_err struct err why = ERR_INIT;
	size_t len = 0;

	*ret_there = true;
	if (secrets_open(r, &r->tip, m->ids, entry->name, &value, &len, &why) == 0) {
		if (len == entry->len && sodium_memcmp(value, entry->value, len) == 0)
			return 1;
	} else if (why.code == ERR_NOT_FOUND) {
		*ret_there = false;
		return 0;
	}
	if (m->force)
		return 0;
	return err_set(err, ERR_EXISTS, "%s: is there already %s and was kept; replace it with -f", entry->name,
	               why.code == ERR_NONE ? "with another value" : "and can't be opened to compare it");
}

static void begin(struct migration *m)
{
	json_t **const lists[] = {&m->added, &m->replaced, &m->unchanged};

	for (size_t i = 0; i < 3; i++) {
		json_decref(*lists[i]);
		*lists[i] = json_array();
	}
}

static int collect(const struct repo *r, struct migration *m, struct sealed *ret, struct err *err)
{
	cleanup_recipients struct age_recipients to = {NULL, 0};

	begin(m);
	if (secrets_recipients(r, &r->tip, &to, err) < 0)
		return -1;
	for (size_t i = 0; i < m->all.n; i++) {
		const struct plain *entry = &m->all.v[i];
		bool there;
		int same = compare(r, m, entry, &there, err);

		if (same < 0)
			return -1;
		json_array_append_new(same ? m->unchanged : there ? m->replaced : m->added, json_string(entry->name));
		if (!same && sealed_add(ret, &to, entry->name, entry->value, entry->len, err) < 0)
			return -1;
	}
	return 0;
}

static int verify(const struct repo *r, const struct migration *m, const git_oid *commit, struct err *err)
{
	for (size_t i = 0; i < m->all.n; i++)
		if (secrets_verify(r, commit, m->ids, m->all.v[i].name, m->all.v[i].value, m->all.v[i].len, err) < 0)
			return -1;
	return 0;
}

static int make_migration(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	struct migration *m = arg;
	cleanup_sealed struct sealed files = {NULL, 0};

	if (collect(r, m, &files, err) < 0)
		return -1;
	if (files.n == 0)
		return err_set(err, ERR_EXISTS, "somebody else did the same at the same moment; look at it and try again");
	cleanup_free char *message = xasprintf("vault: migrate %zu secret%s\n", files.n, files.n == 1 ? "" : "s");
	return sealed_commit(&files, r, message, ret, err) < 0 || verify(r, m, ret, err) < 0 ? -1 : 0;
}

/* Deleting */

/* Only what was read is deleted: a file that changed meanwhile holds something else. */
static int delete_file(const char *path, const void *content, size_t len, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_guarded unsigned char *now = NULL;
	size_t now_len = 0;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (read_hidden(fd, DOTENV_MAX, &now, &now_len, err) < 0)
		return err_wrap(err, "%s", path);
	if (now_len != len || sodium_memcmp(now, content, len) != 0)
		return err_set(err, ERR_EXISTS, "%s: was changed meanwhile and was kept; look at it and try again", path);
	return unlink(path) < 0 ? err_errno(err, errno, "%s", path) : 0;
}

static int delete_source(const struct migration *m, struct err *err)
{
	if (!m->is_folder)
		return delete_file(m->path, m->text, m->len, err);
	for (size_t i = 0; i < m->all.n; i++)
		if (delete_file(m->all.v[i].path, m->all.v[i].source.data, m->all.v[i].source.len, err) < 0)
			return -1;
	rmdir(m->path); /* where it is empty now */
	return 0;
}

/* On the server's tip as it is now, not on what was meant to land. */
static int verify_and_delete(struct repo *r, const struct migration *m, struct err *err)
{
	if (repo_sync(r, err) < 0 || verify(r, m, &r->tip, err) < 0 || delete_source(m, err) < 0)
		return -1;
	note("secrets migrate: deleted %s%s (what a disk or a backup still holds of it stays there)", m->path,
	     m->is_folder ? "/*" SUFFIX : "");
	return 0;
}

static void tell(const json_t *names, const char *what)
{
	cleanup_buf struct buf text = BUF_INIT;
	const json_t *name;
	size_t i;

	json_array_foreach (names, i, name) {
		buf_addf(&text, "%s%s", i > 0 ? ", " : "", json_string_value(name));
	}
	if (text.len > 0)
		note("secrets migrate: %s: %s", what, text.data);
}

static int report(const struct args *args, const struct repo *r, const struct migration *m, const struct landed_change *landed)
{
	char hex[OID_TEXT] = "";

	if (landed)
		oid_text(&landed->commit, hex);
	if (args_has(args, "json")) {
		cleanup_json json_t *all =
		    json_pack("{s:s?, s:O, s:O, s:O, s:b}", "commit", landed ? hex : NULL, "added", m->added, "replaced", m->replaced,
		              "unchanged", m->unchanged, "deleted", args_has(args, "delete"));

		return print_json(all);
	}
	tell(m->added, "added");
	tell(m->replaced, "replaced");
	tell(m->unchanged, "there already with the same value");
	if (landed) {
		cleanup_free char *where = landed_text(r, landed);
		note("secrets migrate: read back and %s", where);
	} else
		note("secrets migrate: nothing to do");
	if (m->n_left > 0)
		note("secrets migrate: %zu other names of %s were left alone", m->n_left, m->path);
	else if (!args_has(args, "delete"))
		note("secrets migrate: %s was kept; delete it once nothing uses it, or with --delete", m->path);
	return CLI_DONE;
}

static int prepare(const struct args *args, const struct config *config, struct migration *m, struct err *err)
{
	cleanup_identities struct age_identities *other = NULL;
	const char *path = args_value(args, "identity");

	if (secrets_identities(config, NULL, &m->ids, err) < 0 || (path && secrets_identities(config, path, &other, err) < 0))
		return -1;
	if (read_source(m, err) < 0 || choose(args, m, err) < 0)
		return -1;
	return check_all(m, other ? other : m->ids, err);
}

int cmd_secrets_migrate(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_sealed struct sealed files = {NULL, 0};
	__attribute__((cleanup(migration_free))) struct migration m = {.path = args_operand(args, 0), .force = args_has(args, "force")};
	struct landed_change landed = {.pull = {0}};

	if (cli_config(args, &config, err) < 0 || prepare(args, &config, &m, err) < 0 || repo_ready(&config, &repo, err) < 0 ||
	    collect(&repo, &m, &files, err) < 0)
		return CLI_FAILED;
	bool changes = files.n > 0;
	if (args_has(args, "delete") && config.approval.forge_url && !args_has(args, "land"))
		return err_set(err, ERR_INVALID,
		               "--delete: nothing is deleted before the secrets have landed; give --land too, or migrate again "
		               "with --delete once the request is merged");
	if (changes && land_or_request(args, &repo, make_migration, &m, "vault: take secrets over", &landed, err) < 0)
		return CLI_FAILED;
	int code = CLI_FAILED;
	if (!args_has(args, "delete") || verify_and_delete(&repo, &m, err) == 0)
		code = report(args, &repo, &m, changes ? &landed : NULL);
	forge_pull_free(&landed.pull);
	return code;
}
