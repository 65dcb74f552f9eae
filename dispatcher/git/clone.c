/*
 * The role's bare clone: a cache of the server, never the only place of anything. So nothing in it is synced to disk, and trouble
 * with it is met by throwing it away.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_child.h"
#include "vault/ssh/commit_signature.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COMPACT_AFTER 64  /* packs of fetches, and pushes, each of which leaves a handful of loose objects */
#define COMPACT_BUSY 1024 /* so many, and it waits no longer for an idle moment */
#define COMPACT_MS 60000

static void clone_close(struct git_state *g)
{
	ledger_rest(g);
	ops_past_free(g->past);
	ops_names_free(g->names);
	git_repository_free(g->repo);
	g->past = NULL;
	g->names = NULL;
	g->repo = NULL;
	g->has_tip = false;
}

/* Each fetch leaves one, in earlier lives too. */
static int count_packs(const char *clone)
{
	cleanup_free char *path = xasprintf("%s/objects/pack", clone);
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		n += len > 5 && strcmp(e->d_name + len - 5, ".pack") == 0;
	}
	if (d)
		closedir(d);
	return n;
}

int clone_open(struct git_state *g, struct err *err)
{
	if (git_repo_open(g->clone_path, &g->repo, err) < 0)
		return -1;
	g->past = ops_past_new(g->repo);
	g->names = ops_names_new(g->repo);
	g->has_tip = git_reference_name_to_id(&g->tip, g->repo, TIP_REF) == 0;
	g->ledger.has_tip = git_reference_name_to_id(&g->ledger.tip, g->repo, LEDGER_TIP_REF) == 0;
	g->additions = count_packs(g->clone_path);
	git_error_clear();
	return 0;
}

/* Empties the folder and leaves it: its parent is not ours to write. */
static void empty_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			dir_remove_at(dirfd(d), e->d_name, NULL); /* what stays in the way is said by the next attempt to open it */
	if (d)
		closedir(d);
}

void clone_reset(struct git_state *g)
{
	clone_close(g);
	ledger_reset(g);
	empty_folder(g->clone_path);
}

static int read_tip(struct git_state *g, const char *ref, bool *ret_has, git_oid *ret, struct err *err)
{
	int rc = git_reference_name_to_id(ret, g->repo, ref);
	if (rc < 0)
		return git_err(err, rc, "read what was fetched");
	*ret_has = true;
	return 0;
}

int clone_fetch(struct git_state *g, bool branch, bool ledger, struct err *err)
{
	struct git_fetch_spec specs[3] = {{NULL, NULL}};
	size_t n = 0;

	if (branch)
		specs[n++] = (struct git_fetch_spec){g->branch, TIP_REF};
	if (ledger)
		specs[n++] = (struct git_fetch_spec){LEDGER_REF, LEDGER_TIP_REF};
	git_alive(g);
	if (git_fetch(g->repo, &g->place, specs, err) < 0)
		return err_wrap(err, "fetch");
	g->additions++;
	if (branch && read_tip(g, TIP_REF, &g->has_tip, &g->tip, err) < 0)
		return -1;
	return ledger ? read_tip(g, LEDGER_TIP_REF, &g->ledger.has_tip, &g->ledger.tip, err) : 0;
}

int clone_set_tip(struct git_state *g, const char *ref, const git_oid *commit, struct err *err)
{
	cleanup_git(git_reference) git_reference *made = NULL;

	int rc = git_reference_create(&made, g->repo, ref, commit, 1, NULL);
	if (rc < 0)
		return git_err(err, rc, "note the new tip"); /* the next poll fetches it */
	g->additions++;
	return strcmp(ref, TIP_REF) == 0 ? read_tip(g, ref, &g->has_tip, &g->tip, err)
	                                 : read_tip(g, ref, &g->ledger.has_tip, &g->ledger.tip, err);
}

int clone_commit(struct git_state *g, const git_oid *parent, const struct git_change *changes, size_t n, const char *message, git_oid *ret,
                 struct err *err)
{
	cleanup_free char *email = xasprintf("%s" RESULT_AUTHOR_HOST, g->args->dispatcher_id);
	cleanup_git(git_signature) git_signature *author = NULL;
	struct git_signer signer = {NULL, NULL};

	int rc = git_signature_new(&author, RESULT_AUTHOR, email, (git_time_t)time(NULL), 0);
	if (rc < 0)
		return git_err(err, rc, "sign the commit");
	if (g->key)
		signer = commit_signer(g->key);
	return git_repo_commit_signed(g->repo, parent, parent ? 1 : 0, changes, n, author, message, g->key ? &signer : NULL, ret, err);
}

/*
 * Packs of about the same size become one, so that there are never many, and what is large is not written again each time. What nobody refers to stays, until the clone is made
 * again. What was opened before has to be closed: it would hold on to the old packs.
 */
void clone_compact(struct git_state *g, bool idle)
{
	const char *const argv[] = {"git", "-C", g->clone_path, "repack", "-d", "-q", "--geometric=2", NULL};
	const char *const env[] = {"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", NULL};
	struct git_child child;
	cleanup_err struct err err = ERR_INIT;

	if (g->additions < (idle ? COMPACT_AFTER : COMPACT_BUSY) || !g->repo)
		return;
	git_alive(g);
	if (git_child_start(&(struct git_child_command){.argv = argv, .env = env}, &child, &err) == 0) {
		/* It says nothing; packs that stay many only cost descriptors, of which libgit2 uses a few at a time. */
		git_child_end(&child, COMPACT_MS);
		close(child.sock);
		close(child.messages);
	}
	clone_close(g);
	if (clone_open(g, &err) < 0)
		clone_reset(g);
	else if (g->additions >= COMPACT_AFTER)
		g->additions = 0; /* it did not work; not again at once */
}
