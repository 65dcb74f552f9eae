/*
 * The cached clone of the ops repo: fetch, read, commit, push again when the tip moved.
 */
#include "cli/repo.h"
#include "cli/cli.h"
#include "cli/owner.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCAL_REFS "refs/disinto/"
#define PUSH_ATTEMPTS 12 /* each lost one means that somebody else got in */
#define PUSH_PAUSE_US 20000
#define EACH_MS 30000 /* for proposals that are fetched one by one */

static int cache_dir(char **ret, struct err *err)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	if (cache && cache[0] == '/')
		*ret = xasprintf("%s/disinto", cache);
	else if (home && home[0] == '/')
		*ret = xasprintf("%s/.cache/disinto", home);
	else
		return err_set(err, ERR_FAIL, "cache: neither XDG_CACHE_HOME nor HOME names a folder; set one of them");
	return dir_make(*ret, 0700, err) < 0 ? err_wrap(err, "cache") : 0;
}

/* <cache>/<hash of the URL>.git */
static int clone_path(const char *url, char **ret, struct err *err)
{
	cleanup_free char *dir = NULL;
	unsigned char hash[16];
	char hex[2 * sizeof(hash) + 1];

	if (cache_dir(&dir, err) < 0)
		return -1;
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)url, strlen(url), NULL, 0);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	*ret = xasprintf("%s/%s.git", dir, hex);
	return 0;
}

int repo_open(const struct config *config, struct repo *ret, struct err *err)
{
	cleanup_free char *path = NULL;

	repo_close(ret);
	if (git_remote_setup(err) < 0 || clone_path(config->ops_repo, &path, err) < 0)
		return -1;
	if (git_repo_open(path, &ret->git, err) < 0)
		return err_wrap(err, "cache: %s (it may be deleted, it is made again)", path);
	ret->config = config;
	ret->lock_path = xasprintf("%s/disinto.lock", path);
	ret->branch_ref = xasprintf("refs/heads/%s", config->branch);
	ops_place(config, &ret->place);
	ret->place.token_file = owner_readable(ret->place.token_file);
	ret->place.known_hosts = owner_readable(ret->place.known_hosts);
	ret->place.ssh_key = owner_readable(ret->place.ssh_key);
	ret->place.ca_file = owner_readable(ret->place.ca_file);
	ret->policy = repo_policy_new();
	return 0;
}

void repo_close(struct repo *r)
{
	git_repository_free(r->git);
	free(r->lock_path);
	free(r->branch_ref);
	git_refs_free(&r->refs);
	repo_policy_free(r->policy);
	*r = (struct repo)REPO_INIT;
}

static int lock(const struct repo *r, int *ret_fd, struct err *err)
{
	cleanup_fd int fd = open(r->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return err_errno(err, errno, "cache: %s", r->lock_path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Our name for the server's reference: "refs/disinto/heads/…". Caller frees. */
static char *local_name(const char *ref)
{
	return xasprintf(LOCAL_REFS "%s", ref + strlen("refs/"));
}

static bool have(const struct repo *r, const char *local, const git_oid *oid)
{
	git_oid ours;

	return git_reference_name_to_id(&ours, r->git, local) == 0 && git_oid_equal(&ours, oid);
}

/* A reference of the server, as far as it is new here. 1: fetched, 0: there was nothing to do. */
static int fetch_one(struct repo *r, const struct git_place *place, const struct git_ref *ref, struct err *err)
{
	cleanup_free char *local = local_name(ref->name);
	const struct git_fetch_spec specs[] = {{ref->name, local}, {NULL, NULL}};

	if (have(r, local, &ref->oid))
		return 0;
	return git_fetch(r->git, place, specs, err) < 0 ? -1 : 1;
}

/* All proposals that are new here, at one go. */
static int fetch_proposals(struct repo *r, const struct git_place *place, const struct git_refs *refs, struct err *err)
{
	cleanup_free struct git_fetch_spec *specs = xcalloc(refs->n + 1, sizeof(*specs));
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < refs->n; i++) {
		cleanup_free char *local = local_name(refs->v[i].name);
		if (!have(r, local, &refs->v[i].oid))
			specs[n++] = (struct git_fetch_spec){refs->v[i].name, steal_ptr(&local)};
	}
	if (n > 0)
		rc = git_fetch(r->git, place, specs, err);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)specs[i].dst);
	return rc;
}

/*
 * Anybody may push a branch of a proposal: one that brings too much, or comes too slowly, takes neither the others away nor all of the time. It is told, and stays a
 * branch whose content is not known.
 */
static int fetch_each(struct repo *r, const struct git_place *place, const struct git_refs *refs, struct err *err)
{
	int64_t end = now_mono_ms() + EACH_MS;

	for (size_t i = 0; i < refs->n; i++) {
		cleanup_err struct err why = ERR_INIT;

		if (now_mono_ms() >= end) {
			note("the ops repo's proposals come so slowly that not all were read; the next command reads on");
			return 0;
		}
		if (fetch_one(r, place, &refs->v[i], &why) >= 0)
			continue;
		if (why.code == ERR_UNREACHABLE) {
			err_move(err, &why);
			return -1;
		}
		note("%s can't be fetched: %s; whoever may push there can delete it", refs->v[i].name + strlen("refs/heads/"),
		     err_msg(&why));
	}
	return 0;
}

/* The tip first, which counts for everything. */
static int fetch_new(struct repo *r, const struct git_refs *refs, struct err *err)
{
	struct git_place bounded = r->place;
	cleanup_err struct err why = ERR_INIT;
	const struct git_ref *tip = NULL;

	for (size_t i = 0; i < refs->n && !tip; i++)
		tip = strcmp(refs->v[i].name, r->branch_ref) == 0 ? &refs->v[i] : NULL;
	if (tip && fetch_one(r, &r->place, tip, err) < 0)
		return -1;
	ops_bound(&bounded);
	if (fetch_proposals(r, &bounded, refs, &why) == 0)
		return 0;
	return fetch_each(r, &bounded, refs, err);
}

int repo_sync(struct repo *r, struct err *err)
{
	const char *const prefixes[] = {r->branch_ref, PROPOSAL_REFS, NULL};
	cleanup_fd int lock_fd = -1;
	struct git_poller *poller;
	struct git_refs refs = {NULL, 0};
	const git_oid *tip;
	int code;

	if (lock(r, &lock_fd, err) < 0)
		return -1;
	poller = git_poller_new(&r->place);
	code = git_poller_refs(poller, prefixes, &refs, err);
	git_poller_free(poller);
	if (code < 0 || fetch_new(r, &refs, err) < 0) {
		git_refs_free(&refs);
		return err_wrap(err, "ops repo");
	}
	git_refs_free(&r->refs);
	r->refs = refs;
	tip = git_refs_find(&r->refs, r->branch_ref);
	r->has_tip = tip != NULL;
	if (tip)
		r->tip = *tip;
	return 0;
}

int repo_ready(const struct config *config, struct repo *ret, struct err *err)
{
	if (repo_open(config, ret, err) < 0 || repo_sync(ret, err) < 0)
		return -1;
	if (!ret->has_tip)
		return err_set(err, ERR_NOT_FOUND, "ops repo %s: it has no branch %s; make one with: disinto init --ops-repo %s",
		               config->ops_repo, config->branch, config->ops_repo);
	return 0;
}

/* A reference of the clone under the server's name. */
static void add_known(struct repo *r, git_reference *ref)
{
	cleanup_free char *name = xasprintf("refs/%s", git_reference_name(ref) + strlen(LOCAL_REFS));

	if (git_reference_target(ref)) {
		r->refs.v = xrealloc(r->refs.v, (r->refs.n + 1) * sizeof(*r->refs.v));
		r->refs.v[r->refs.n++] = (struct git_ref){steal_ptr(&name), *git_reference_target(ref)};
	}
	git_reference_free(ref);
}

int repo_as_it_was(const struct config *config, struct repo *ret, struct err *err)
{
	git_reference_iterator *all = NULL;
	git_reference *ref;

	if (repo_open(config, ret, err) < 0)
		return -1;
	if (git_reference_iterator_glob_new(&all, ret->git, LOCAL_REFS "heads/*") == 0)
		while (git_reference_next(&ref, all) == 0)
			add_known(ret, ref);
	git_reference_iterator_free(all);
	git_error_clear();
	const git_oid *tip = git_refs_find(&ret->refs, ret->branch_ref);
	ret->has_tip = tip != NULL;
	if (!tip)
		return err_set(err, ERR_NOT_FOUND, "ops repo: nothing was fetched yet");
	ret->tip = *tip;
	return 0;
}

const git_oid *repo_proposal(const struct repo *r, const char *id)
{
	cleanup_free char *ref = xasprintf(PROPOSAL_REFS "%s", id);

	return git_refs_find(&r->refs, ref);
}

int repo_file(const struct repo *r, const git_oid *commit, const char *path, size_t max, struct buf *ret, struct err *err)
{
	git_filemode_t mode;
	git_oid oid;

	if (git_repo_entry(r->git, commit, path, &oid, &mode, err) < 0)
		return -1;
	if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE)
		return err_set(err, ERR_INVALID, "%s: is no plain file", path);
	return git_repo_blob(r->git, &oid, max, ret, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

/* Whether the commit is in the history of the tip that the last sync saw. */
static bool landed(const struct repo *r, const git_oid *commit)
{
	return r->has_tip && (git_oid_equal(&r->tip, commit) || git_graph_descendant_of(r->git, &r->tip, commit) == 1);
}

/* After a push that was not won: 1 it landed all the same, 0 try again, -1 give up. */
static int settle(struct repo *r, const git_oid *commit, const git_oid *seen, bool refused, struct err *push_err, struct err *err)
{
	if (repo_sync(r, err) < 0)
		return -1;
	if (landed(r, commit))
		return 1;
	if (refused && git_oid_equal(&r->tip, seen)) {
		err_move(err, push_err);
		return err_wrap(err, "the server refused a push to %s", r->config->branch);
	}
	return 0;
}

int repo_land(struct repo *r, repo_make_fn make, void *arg, git_oid *ret, struct err *err)
{
	cleanup_err struct err last = ERR_INIT;
	git_oid commit, seen;

	for (int attempt = 0; attempt < PUSH_ATTEMPTS; attempt++) {
		enum git_push_outcome outcome;
		int settled;

		seen = r->tip;
		if (make(r, arg, &commit, err) < 0)
			return -1;
		outcome = git_push_ref(r->git, &r->place, NULL, &commit, r->branch_ref, &last);
		settled = outcome == GIT_PUSH_WON ? 1 : settle(r, &commit, &seen, outcome == GIT_PUSH_LOST, &last, err);
		if (settled < 0)
			return -1;
		if (settled > 0) {
			*ret = commit;
			return 0;
		}
		usleep(PUSH_PAUSE_US + randombytes_uniform((uint32_t)PUSH_PAUSE_US << (attempt < 5 ? attempt : 5)));
	}
	err_move(err, &last);
	return err_wrap(err, "the push to %s did not get through in %d attempts; try again", r->config->branch, PUSH_ATTEMPTS);
}

int repo_push_branch(struct repo *r, const git_oid *commit, const char *ref, struct err *err)
{
	cleanup_err struct err push_err = ERR_INIT;
	const git_oid *now;

	if (git_push_ref(r->git, &r->place, NULL, commit, ref, &push_err) == GIT_PUSH_WON)
		return 0;
	if (repo_sync(r, err) < 0)
		return -1;
	now = git_refs_find(&r->refs, ref);
	if (now && git_oid_equal(now, commit))
		return 0;
	if (now)
		return err_set(err, ERR_EXISTS, "somebody else pushed %s at the same moment", ref);
	err_move(err, &push_err);
	return err_wrap(err, "the server refused a push to %s", ref);
}

void repo_drop_branch(struct repo *r, const char *ref)
{
	git_push_ref(r->git, &r->place, NULL, NULL, ref, NULL);
}
