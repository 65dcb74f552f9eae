/*
 * Who commits: as git would say it, read from git's own files. The repositories themselves are used without them (lib/git_remote.h), so that
 * no setting of a user changes where we push.
 */
#include "cli/cli.h"
#include "cli/repo.h"
#include "cli/sign.h"
#include "lib/cleanup.h"
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAY_IT "git config --global user.name 'Your Name' && git config --global user.email you@example.org"

static void add_file(git_config *config, const char *path, git_config_level_t level)
{
	if (access(path, R_OK) == 0)
		git_config_add_file_ondisk(config, path, level, NULL, 0);
}

/* git-config(1), FILES: the system's, $XDG_CONFIG_HOME/git/config, ~/.gitconfig; GIT_CONFIG_GLOBAL in place of the last two. */
git_config *git_settings(void)
{
	const char *nosystem = getenv("GIT_CONFIG_NOSYSTEM");
	const char *global = getenv("GIT_CONFIG_GLOBAL");
	const char *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	cleanup_free char *xdg_file = xdg && *xdg ? xasprintf("%s/git/config", xdg) : xasprintf("%s/.config/git/config", home ? home : "");
	cleanup_free char *home_file = xasprintf("%s/.gitconfig", home ? home : "");
	git_config *config;

	if (git_config_new(&config) < 0)
		return NULL;
	if (!nosystem || strcmp(nosystem, "0") == 0)
		add_file(config, "/etc/gitconfig", GIT_CONFIG_LEVEL_SYSTEM);
	if (global) {
		add_file(config, global, GIT_CONFIG_LEVEL_GLOBAL);
	} else {
		add_file(config, xdg_file, GIT_CONFIG_LEVEL_XDG);
		add_file(config, home_file, GIT_CONFIG_LEVEL_GLOBAL);
	}
	return config;
}

/* The variable, else the setting. Caller frees. NULL when neither says anything. */
static char *look_up(git_config *config, const char *variable, const char *setting)
{
	const char *value = getenv(variable);
	git_buf text = {0};
	char *copy = NULL;

	if (value && *value)
		return xstrdup(value);
	if (config && git_config_get_string_buf(&text, config, setting) == 0 && text.size > 0)
		copy = xstrdup(text.ptr);
	git_buf_dispose(&text);
	return copy;
}

/* As git does where it can: what this machine calls the user. What is known stays; what it does not know either stays NULL. */
static void guess(char **name, char **email)
{
	const struct passwd *user = getpwuid(getuid());
	char host[256] = "";

	if (!user || !*user->pw_name || gethostname(host, sizeof(host) - 1) < 0)
		return;
	size_t full = strcspn(user->pw_gecos ? user->pw_gecos : "", ",");
	if (!*name)
		*name = full > 0 ? xasprintf("%.*s", (int)full, user->pw_gecos) : xstrdup(user->pw_name);
	if (!*email)
		*email = xasprintf("%s@%s", user->pw_name, host);
}

/* Once in a command. */
static void tell_guess(const char *name, const char *email)
{
	static bool told;

	if (!told)
		note("git does not know who you are: the author is %s <%s>; say it once with: " SAY_IT, name, email);
	told = true;
}

static int find_author(bool may_guess, git_signature **ret, struct err *err)
{
	git_config *config = git_settings();
	cleanup_free char *name = look_up(config, "GIT_AUTHOR_NAME", "user.name");
	cleanup_free char *email = look_up(config, "GIT_AUTHOR_EMAIL", "user.email");
	bool known = name && email;

	git_config_free(config);
	if (!known && may_guess)
		guess(&name, &email);
	if (!name || !email)
		return err_set(err, ERR_NOT_FOUND, "author: git does not know who you are; say it once with: " SAY_IT);
	if (git_signature_now(ret, name, email) < 0)
		return git_err(err, -1, "author: '%s <%s>'", name, email);
	if (!known)
		tell_guess(name, email);
	return 0;
}

int repo_known_author(git_signature **ret, struct err *err)
{
	return find_author(false, ret, err);
}

int repo_author(git_signature **ret, struct err *err)
{
	return find_author(true, ret, err);
}
