/* The files of a whole site: brought up to date where they are ours, left alone where they are not. */
#include "cli/cli.h"
#include "cli/compose.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_repo.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1024 * 1024)
#define SECRETS "secrets"
#define STAGING "staging"

struct writer {
	int dir;
	unsigned flags;
	size_t left;
};

CLEANUP_GIT(git_patch, git_patch_free)

/* What stands there, and what would: a unified diff on standard output. */
static int show_change(const char *name, const struct buf *old, const char *text, struct err *err)
{
	cleanup_git(git_patch) git_patch *patch = NULL;
	git_buf out = {0};
	int code = git_patch_from_buffers(&patch, old->data, old->len, name, text, strlen(text), name, NULL);
	cleanup_free char *shown = NULL;

	if (code == 0)
		code = git_patch_to_buf(&out, patch);
	if (code < 0)
		return git_err(err, code, "compare %s", name);
	shown = safe_text(out.ptr);
	fputs(shown, stdout);
	git_buf_dispose(&out);
	return 0;
}

static void say(const struct writer *w, const char *name, const char *what)
{
	if (!(w->flags & COMPOSE_QUIET))
		note("%s: %s", name, what);
}

/* Reads what is there; *ret_there false: nothing is. */
static int read_old(const struct writer *w, const char *name, struct buf *ret, bool *ret_there, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	*ret_there = file_read_at(w->dir, name, FILE_MAX, ret, &why) == 0;
	if (*ret_there || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

/* Which of the files that are there may be replaced. */
static bool if_ours(const struct writer *w, const struct buf *old)
{
	return (w->flags & COMPOSE_FORCE) || compose_is_ours(old->data, old->len);
}

static bool never(const struct writer *w, const struct buf *old)
{
	(void)w;
	(void)old;
	return false;
}

static bool always(const struct writer *w, const struct buf *old)
{
	(void)w;
	(void)old;
	return true;
}

/* Makes the file what `text` is. One that is there and differs is replaced only if it may be. */
static int put(struct writer *w, const char *name, const char *text, bool (*may_replace)(const struct writer *w, const struct buf *old),
               struct err *err)
{
	cleanup_buf struct buf old = BUF_INIT;
	bool dry = w->flags & COMPOSE_DRY, there;

	if (read_old(w, name, &old, &there, err) < 0)
		return -1;
	if (there && old.len == strlen(text) && memcmp(old.data, text, old.len) == 0)
		return 0;
	if (there && !may_replace(w, &old)) {
		w->left += may_replace != never; /* that one is the user's to change */
		say(w, name, "is kept as it is; what disinto would change in it:");
		return show_change(name, &old, text, err);
	}
	if (dry) {
		w->left++;
		say(w, name, there ? "would change:" : "would be made");
		return there ? show_change(name, &old, text, err) : 0;
	}
	if (file_write_at(w->dir, name, text, strlen(text), 0644, err) < 0)
		return -1;
	say(w, name, there ? "brought up to date" : "made");
	return 0;
}

static int make_folder(struct writer *w, const char *name, mode_t mode, struct err *err)
{
	if ((w->flags & COMPOSE_DRY) || mkdirat(w->dir, name, mode) == 0 || errno == EEXIST)
		return 0;
	return err_errno(err, errno, "%s", name);
}

/* What two services of the site share must be something; all else is for a person to fill in. Guessed by nobody: 256 bits. */
static void first_value(const char *name, struct buf *ret)
{
	unsigned char random[32];
	char hex[sizeof(random) * 2 + 1];

	if (strcmp(name, "woodpecker_agent_secret") != 0)
		return;
	randombytes_buf(random, sizeof(random));
	buf_adds(ret, sodium_bin2hex(hex, sizeof(hex), random, sizeof(random)));
	sodium_memzero(random, sizeof(random));
	sodium_memzero(hex, sizeof(hex));
}

/*
 * A file that is missing would become a folder by the older compose's doing. Whoever a service runs as must be able to read its own; the folder keeps all
 * others of this machine out.
 */
static int make_secret(struct writer *w, const char *name, const char *path, struct err *err)
{
	cleanup_buf struct buf value = BUF_INIT;
	struct stat st;
	int code;

	if ((w->flags & COMPOSE_DRY) || fstatat(w->dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	first_value(name, &value);
	code = file_write_at(w->dir, path, value.data, value.len, 0644, err);
	sodium_memzero(value.data, value.len);
	return code;
}

static int make_secrets(struct writer *w, const struct compose_site *site, struct err *err)
{
	static const char prefix[] = "./" SECRETS "/";
	cleanup_json json_t *model = compose_model(site);
	const char *name;
	json_t *secret;

	if (make_folder(w, SECRETS, 0700, err) < 0)
		return -1;
	json_object_foreach (json_object_get(model, "secrets"), name, secret) {
		const char *file = json_string_value(json_object_get(secret, "file"));

		if (strncmp(file, prefix, strlen(prefix)) == 0 && make_secret(w, name, file + 2, err) < 0)
			return -1;
	}
	return 0;
}

int compose_write_files(const struct compose_site *site, int dir, unsigned flags, size_t *ret_left, struct err *err)
{
	struct writer w = {.dir = dir, .flags = flags};
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_buf struct buf env = BUF_INIT;

	compose_text(site, &text);
	compose_env_text(site, &env);
	if (put(&w, COMPOSE_FILE, text.data, if_ours, err) < 0 || put(&w, COMPOSE_CADDYFILE, compose_caddyfile, never, err) < 0 ||
	    put(&w, COMPOSE_ENV_EXAMPLE, env.data, always, err) < 0 || make_secrets(&w, site, err) < 0 ||
	    make_folder(&w, STAGING, 0755, err) < 0)
		return -1;
	*ret_left = w.left;
	return 0;
}
