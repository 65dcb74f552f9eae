/*
 * secrets exposure: which runs held a secret since it last changed. That is what has to be looked at when it leaked.
 */
#include "cli/runs.h"
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <stdlib.h>
#include <string.h>

struct exposure {
	const struct repo *repo;
	const char *name;
	char *path;
	git_oid blob;  /* at the commit that is looked at */
	json_t *blobs; /* object: the files that hold the present value, newest first */
	json_t *runs;  /* newest first */
	json_t *ids;   /* object: of these */
	size_t unread; /* commits whose results can't be read */
	git_oid since;
	int64_t since_ms;
	char *by;
};

static void exposure_free(struct exposure *x)
{
	free(x->path);
	free(x->by);
	json_decref(x->blobs);
	json_decref(x->runs);
	json_decref(x->ids);
}

static void add_blob(struct exposure *x, const git_oid *blob)
{
	char hex[OID_TEXT];

	x->blob = *blob;
	json_object_set_new(x->blobs, oid_text(blob, hex), json_true());
}

/* A refused action ran nothing; one that never had a container was given nothing. What was lost may have been given it. */
static bool was_given(const json_t *result)
{
	const char *outcome = text_of(result, "outcome");

	if (outcome && strcmp(outcome, "refused") == 0)
		return false;
	return text_of(result, "container") || (outcome && strcmp(outcome, "lost") == 0);
}

static void copy(json_t *to, const char *key, const json_t *from, const char *from_key)
{
	json_t *value = json_object_get(from, from_key);

	json_object_set(to, key, value ? value : json_null());
}

static void add_run(struct exposure *x, const char *id, const json_t *result, const char *blob)
{
	static const char *const keys[] = {"outcome", "attempt", "started_at", "timestamp", "image", "dispatcher", "container"};
	json_t *row = json_pack("{s:s, s:s}", "id", id, "blob", blob);

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		copy(row, keys[i], result, keys[i]);
	copy(row, "formula", json_object_get(result, "formula"), "name");
	copy(row, "approved_by", json_object_get(result, "approval"), "by");
	json_array_append_new(x->runs, row);
	json_object_set_new(x->ids, id, json_true());
}

/* A result that came with this commit, whatever became of it later. */
static int on_change(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct exposure *x = arg;

	(void)err;
	if (!now->result.there || (before->result.there && git_oid_equal(&before->result.oid, &now->result.oid)))
		return 0;
	cleanup_json json_t *result = runs_result(x->repo, now);
	const char *blob = text_of(json_object_get(result, "secrets"), x->name);
	if (blob && json_object_get(x->blobs, blob) && was_given(result) && !json_object_get(x->ids, now->id))
		add_run(x, now->id, result, blob);
	return 0;
}

/* Whether the commit says that it encrypted this secret anew and left its value as it was. */
static bool says_rotated(const git_commit *c, const char *name)
{
	const char *message = git_commit_message_raw(c);
	cleanup_free char *line = xasprintf("\n" SECRETS_ROTATED "%s\n", name);

	return message && strstr(message, line);
}

enum step { SAME, ENCRYPTED_ANEW, CHANGED };

/* What a commit did to the secret; `older` is its first parent's. A folder that can't be believed is taken for unchanged: rather too many runs are listed. */
static int compare(const struct exposure *x, const git_commit *c, const git_oid *parent, git_oid *ret_older, enum step *ret,
                   struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_filemode_t mode;

	if (git_repo_entry(x->repo->git, parent, x->path, ret_older, &mode, &why) < 0) {
		*ret = why.code == ERR_NOT_FOUND ? CHANGED : SAME;
		if (why.code == ERR_NOT_FOUND || why.code == ERR_INVALID)
			return 0;
		err_move(err, &why);
		return -1;
	}
	*ret = git_oid_equal(ret_older, &x->blob) ? SAME : says_rotated(c, x->name) ? ENCRYPTED_ANEW : CHANGED;
	return 0;
}

static int scan(struct exposure *x, const git_oid *parent, const git_oid *commit, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (ops_scan(x->repo->git, parent, commit, on_change, x, &why) == 0)
		return 0;
	if (why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	x->unread++;
	return 0;
}

/* One commit. 1: go on to its parent, which is *c then; 0: this one made the secret what it is. */
static int look(struct exposure *x, git_commit **c, struct err *err)
{
	const git_oid *commit = git_commit_id(*c);
	git_commit *parent = NULL;
	enum step step = CHANGED;
	git_oid older;

	if (git_commit_parentcount(*c) > 0 && git_commit_parent(&parent, *c, 0) < 0)
		return git_err(err, -1, "history");
	const git_oid *before = parent ? git_commit_id(parent) : NULL;
	if ((before && compare(x, *c, before, &older, &step, err) < 0) || scan(x, before, commit, err) < 0) {
		git_commit_free(parent);
		return -1;
	}
	if (step == CHANGED) {
		x->since = *commit;
		x->since_ms = (int64_t)git_commit_time(*c) * 1000;
		x->by = xstrdup(git_commit_author(*c)->name);
		git_commit_free(parent);
		return 0;
	}
	if (step == ENCRYPTED_ANEW)
		add_blob(x, &older);
	git_commit_free(*c);
	*c = parent;
	return 1;
}

static int collect(struct exposure *x, struct err *err)
{
	const struct repo *r = x->repo;
	cleanup_git(git_commit) git_commit *c = NULL;
	git_filemode_t mode;
	git_oid blob;
	int rc = 1;

	if (git_repo_entry(r->git, &r->tip, x->path, &blob, &mode, err) < 0)
		return -1;
	add_blob(x, &blob);
	if (git_commit_lookup(&c, r->git, &r->tip) < 0)
		return git_err(err, -1, "history");
	while (rc > 0)
		rc = look(x, &c, err);
	return rc;
}

static json_t *to_json(const struct exposure *x)
{
	json_t *blobs = json_array();
	const char *blob;
	json_t *value;
	char time[21], hex[OID_TEXT];

	json_object_foreach (x->blobs, blob, value) {
		json_array_append_new(blobs, json_string(blob));
	}
	return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:O}", "name", x->name, "changed", time_format(x->since_ms, time), "commit",
	                 oid_text(&x->since, hex), "by", x->by, "blobs", blobs, "runs", x->runs);
}

static void print_runs(const struct exposure *x)
{
	static const char *const headers[] = {"ID", "OUTCOME", "FINISHED", "FORMULA", "DISPATCHER", "APPROVED BY", "IMAGE", NULL};
	cleanup_table struct table table;
	const json_t *row;
	size_t i;

	table_init(&table, headers);
	json_array_foreach (x->runs, i, row) {
		table_add(&table, (const char *const[]){text_of(row, "id"), text_of(row, "outcome"), text_of(row, "timestamp"),
		                                        text_of(row, "formula"), text_of(row, "dispatcher"), text_of(row, "approved_by"),
		                                        text_of(row, "image")});
	}
	table_print(&table, stdout);
}

static void tell(const struct exposure *x)
{
	size_t n = json_array_size(x->runs), anew = json_object_size(x->blobs) - 1;
	cleanup_free char *by = safe_line(x->by);
	char when[32], hex[OID_TEXT];

	if (n > 0)
		print_runs(x);
	note("secrets exposure: %s was last changed %s by %s (%.10s)%s; %zu run%s held it since", x->name,
	     ago(x->since_ms, now_wall_ms(), when), by, oid_text(&x->since, hex), anew ? " and encrypted anew after that" : "", n,
	     n == 1 ? "" : "s");
	if (x->unread > 0)
		note("secrets exposure: the results of %zu commits can't be read and are missing here", x->unread);
}

int cmd_secrets_exposure(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	__attribute__((cleanup(exposure_free))) struct exposure x = {.name = args_operand(args, 0)};

	if (!vault_is_secret(x.name)) {
		err_set(err, ERR_INVALID, "'%s' is no name for a secret: %s", x.name, VAULT_SECRET_RULE);
		return CLI_USAGE;
	}
	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0)
		return CLI_FAILED;
	x.repo = &repo;
	x.path = vault_secret_path(x.name);
	x.blobs = json_object();
	x.runs = json_array();
	x.ids = json_object();
	if (collect(&x, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json")) {
		cleanup_json json_t *all = to_json(&x);

		return print_json(all);
	}
	tell(&x);
	return CLI_DONE;
}
