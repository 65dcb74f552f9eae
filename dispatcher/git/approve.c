/* Whether what landed is approved: by having landed, by a signature on the commit that landed it, or by the forge's word. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "vault/approval/approval_forge.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define UNKNOWN_MERGE_MS (10 * 60 * 1000) /* how long a forge may know nothing of a merge */

static void note_signers(struct git_state *g, const char *trouble)
{
	if (trouble && (!g->signers_trouble || strcmp(trouble, g->signers_trouble) != 0))
		log_warn("nothing can be approved by signature", "reason", trouble, NULL);
	free(g->signers_trouble);
	g->signers_trouble = trouble ? xstrdup(trouble) : NULL;
}

/* Lines of the list that can allow nothing: said when they change. */
static void note_left_out(struct git_state *g)
{
	cleanup_buf struct buf all = BUF_INIT;

	for (size_t i = 0; g->signers && allowed_signers_note(g->signers, i); i++)
		buf_addf(&all, "%s%s", i ? "; " : "", allowed_signers_note(g->signers, i));
	if (all.len > 0 && (!g->signers_left_out || strcmp(all.data, g->signers_left_out) != 0))
		log_warn("the list of allowed signers has lines that allow nothing", "lines", all.data, NULL);
	free(g->signers_left_out);
	g->signers_left_out = all.len > 0 ? xstrdup(all.data) : NULL;
}

void approve_refresh(struct git_state *g)
{
	const char *path = g->args->config->approval.allowed_signers;
	cleanup_err struct err err = ERR_INIT;

	allowed_signers_free(g->signers);
	g->signers = NULL;
	if (!path) {
		free(g->signers_trouble);
		g->signers_trouble =
		    xasprintf("approval.allowed_signers: is not set in %s, so no signature can be checked here", g->args->config->file);
		return;
	}
	if (allowed_signers_load(path, &g->signers, &err) < 0)
		note_signers(g, err_msg(&err));
	else if (allowed_signers_count(g->signers) == 0)
		note_signers(g, "the list of allowed signers is empty");
	else
		note_signers(g, NULL);
	note_left_out(g);
}

static int by_signature(struct git_state *g, const struct approval_file *file, char **ret_by, struct err *err)
{
	if (!g->signers || g->signers_trouble)
		return err_set(err, ERR_FAIL, "%s: waits for its approval to be checked: %s", file->path, g->signers_trouble);
	const struct signing_clock clock = {.now = (int64_t)time(NULL)};
	return approval_signed(g->repo, file, g->signers, &clock, ret_by, err);
}

/* ---- the forge ---- */

static int open_forge(struct git_state *g, struct err *err)
{
	const struct config *config = g->args->config;
	cleanup_free char *repo = NULL;

	if (g->forge)
		return 0;
	if (!config->approval.forge_url)
		return err_set(err, ERR_FAIL, "approval.forge_url: is not set in %s, so the forge can't be asked", config->file);
	if (json_array_size(config->approval.approvers) == 0)
		return err_set(err, ERR_FAIL, "approval.approvers: is not set in %s, so nobody can approve", config->file);
	repo = forge_repo_of(config->ops_repo);
	if (!repo)
		return err_set(err, ERR_FAIL, "ops_repo: '%s' names no owner/name of a forge", config->ops_repo);
	const struct forge_options options = {.url = config->approval.forge_url,
	                                      .repo = repo,
	                                      .base = config->branch,
	                                      .token_file = config->approval.forge_token_file,
	                                      .ca_file = config->ca_file};
	return forge_new(&options, &g->forge, err);
}

/* A merge is unknown to a forge for a moment after the branch moved; a commit that never came by a request is so for ever. */
static int unknown_merge(struct git_state *g, const char *commit, struct err *err)
{
	int64_t now = now_mono_ms();
	const json_t *first = json_object_get(g->forge_asked, commit);

	if (!first)
		json_object_set_new(g->forge_asked, commit, json_integer(now));
	else if (now - json_integer_value(first) > UNKNOWN_MERGE_MS)
		return err_set(err, ERR_INVALID, "the forge knows no pull request that brought %.10s", commit);
	return err_set(err, ERR_FAIL, "the forge knows no pull request that brought %.10s yet; it is asked again for ten minutes", commit);
}

static void still_here(void *arg)
{
	git_alive(arg);
}

static int ask_forge(struct git_state *g, const struct approval_file *file, char **ret_by, struct err *err)
{
	const struct config *config = g->args->config;
	char commit[GIT_OID_HEXSZ + 1];

	if (open_forge(g, err) < 0)
		return -1;
	const struct approval_forge asked = {g->repo, &g->place, g->forge, config->approval.approvers, config->branch, still_here, g};
	if (approval_forge(&asked, file, ret_by, err) == 0)
		return 0;
	return err && err->code == ERR_NOT_FOUND ? unknown_merge(g, git_oid_tostr(commit, sizeof(commit), file->commit), err) : -1;
}

static int by_forge(struct git_state *g, const struct approval_file *file, char **ret_by, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (ask_forge(g, file, ret_by, &why) == 0)
		return 0;
	/* Whatever is not known to be wrong, a refused token too, may be mended. */
	return err_set(err, why.code == ERR_INVALID ? ERR_INVALID : ERR_FAIL, "%s: %s%s", file->path,
	               why.code == ERR_INVALID ? "" : "waits for its approval to be checked: ", err_msg(&why));
}

int approve_file(struct git_state *g, enum approval_mode mode, const struct approval_file *file, char **ret_by, struct err *err)
{
	char commit[GIT_OID_HEXSZ + 1], blob[GIT_OID_HEXSZ + 1];

	*ret_by = NULL;
	if (mode == APPROVAL_LANDED)
		return 0;
	git_oid_tostr(commit, sizeof(commit), file->commit);
	git_oid_tostr(blob, sizeof(blob), file->blob);
	cleanup_free char *key = xasprintf("%s %s %s %s", approval_mode_name(mode), commit, file->path, blob);
	/* A forge's yes stays: it is not asked again for each action that uses the same formula. A signature is cheap to check and may expire. */
	const char *known = json_string_value(json_object_get(g->approved, key));
	if (known) {
		*ret_by = xstrdup(known);
		return 0;
	}
	if (mode == APPROVAL_SIGNED)
		return by_signature(g, file, ret_by, err);
	if (by_forge(g, file, ret_by, err) < 0)
		return -1;
	json_object_set_new(g->approved, key, json_string(*ret_by));
	return 0;
}
