/* A repository in the site's folder, for a dispatcher whose git role is another user. */
#include "cli/site.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_repo.h"
#include "vault/config/users.h"
#include <errno.h>
#include <fts.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY ((gid_t)-1)

/* The git role's own where we may give it away; ours where nobody else is in it, since who may write there may approve. */
static gid_t group_to_share_with(void)
{
	const struct passwd *user = getpwuid(getuid());
	const struct group *group;

	if (geteuid() == 0)
		return ROLE_UID_GIT;
	group = user && getegid() == user->pw_gid ? getgrgid(user->pw_gid) : NULL;
	return group && strcmp(group->gr_name, user->pw_name) == 0 && !group->gr_mem[0] ? group->gr_gid : NOBODY;
}

/* What git makes there later is to be like it. */
static int configure(const char *path, struct err *err)
{
	cleanup_free char *file = path_join(path, "config");
	git_config *config = NULL;
	int code = git_config_open_ondisk(&config, file);

	if (code == 0)
		code = git_config_set_string(config, "core.sharedRepository", "group");
	git_config_free(config);
	return code < 0 ? git_err(err, code, "%s", file) : 0;
}

static void cleanup_fts(FTS **f)
{
	if (*f)
		fts_close(*f);
}

int site_share_repo(const char *path, struct err *err)
{
	char *const paths[] = {(char *)(uintptr_t)path, NULL};
	__attribute__((cleanup(cleanup_fts))) FTS *walk = NULL;
	gid_t group = group_to_share_with();

	if (group == NOBODY)
		return 0;
	if (configure(path, err) < 0)
		return -1;
	walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!walk)
		return err_errno(err, errno, "%s", path);
	for (FTSENT *e; (e = fts_read(walk));) {
		mode_t more = e->fts_info == FTS_DP ? S_ISGID | 0070 : S_IRGRP | (e->fts_statp->st_mode & S_IWUSR ? S_IWGRP : 0);

		if (e->fts_info == FTS_NS || e->fts_info == FTS_DNR || e->fts_info == FTS_ERR)
			return err_errno(err, e->fts_errno, "%s", e->fts_path);
		if ((e->fts_info == FTS_DP || e->fts_info == FTS_F) &&
		    (lchown(e->fts_path, (uid_t)-1, group) < 0 || chmod(e->fts_path, (e->fts_statp->st_mode & 07777) | more) < 0))
			return err_errno(err, errno, "%s", e->fts_path);
	}
	return 0;
}
