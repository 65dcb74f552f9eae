/*
 * pending and approve: what stands on branches vault/<id>, and the merge that lands one of them.
 */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/repo.h"
#include "cli/sign.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/approval_signed.h"
#include "vault/landing.h"
#include <stdlib.h>
#include <string.h>

/* The branch as it was when it was looked at; the merge is of exactly that commit. */
struct candidate {
	const char *id;
	git_oid head;
	char *path;
	git_oid blob;
	struct buf text;
	bool sign; /* it was asked for */
};

static void candidate_free(struct candidate *c)
{
	free(c->path);
	buf_free(&c->text);
}
#define cleanup_candidate __attribute__((cleanup(candidate_free)))

static int diff_of_branch(const struct repo *r, const git_oid *head, git_diff **ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_git(git_commit) git_commit *base = NULL;
	cleanup_git(git_tree) git_tree *before = NULL;
	cleanup_git(git_tree) git_tree *after = NULL;
	git_oid base_oid;

	if (git_merge_base(&base_oid, r->git, &r->tip, head) < 0)
		return err_set(err, ERR_INVALID, "the branch has no history in common with %s", r->config->branch);
	if (git_commit_lookup(&commit, r->git, head) < 0 || git_commit_lookup(&base, r->git, &base_oid) < 0 ||
	    git_commit_tree(&before, base) < 0 || git_commit_tree(&after, commit) < 0 ||
	    git_diff_tree_to_tree(ret, r->git, before, after, NULL) < 0)
		return git_err(err, -1, "the branch");
	return 0;
}

/* An approval covers one action and nothing else, so the branch may bring nothing else. */
static int check_only_action(const struct repo *r, const struct candidate *c, struct err *err)
{
	git_diff *diff = NULL;
	bool found = false;
	int code = diff_of_branch(r, &c->head, &diff, err);

	for (size_t i = 0; code == 0 && i < git_diff_num_deltas(diff); i++) {
		const git_diff_delta *d = git_diff_get_delta(diff, i);

		if (strcmp(d->new_file.path, c->path) != 0)
			code = err_set(err, ERR_INVALID, "the branch changes %s too; an approval is for one action only", d->new_file.path);
		else if (d->status != GIT_DELTA_ADDED)
			code = err_set(err, ERR_INVALID, "the branch changes %s, which must be new", c->path);
		else if (d->new_file.mode != GIT_FILEMODE_BLOB)
			code = err_set(err, ERR_INVALID, "%s is no plain file", c->path);
		else
			found = true;
	}
	git_diff_free(diff);
	if (code == 0 && !found)
		return err_set(err, ERR_INVALID, "the branch does not add %s", c->path);
	return code;
}

/* Looks at a branch: refuses what no approval should cover. */
static int look(const struct repo *r, const char *id, const git_oid *head, struct candidate *ret, struct err *err)
{
	git_filemode_t mode;

	ret->id = id;
	ret->head = *head;
	ret->path = vault_action_path(id);
	if (check_only_action(r, ret, err) < 0)
		return -1;
	if (git_repo_entry(r->git, head, ret->path, &ret->blob, &mode, err) < 0)
		return -1;
	return git_repo_blob(r->git, &ret->blob, ACTION_MAX_BYTES, &ret->text, err);
}

/* A merge that is looked at and never pushed. */
static int merge(const struct repo *r, const struct candidate *c, const git_signature *author, git_oid *ret, struct err *err)
{
	const git_oid parents[] = {r->tip, c->head};
	struct git_change change = {c->path, c->text.data, c->text.len};

	return git_repo_commit(r->git, parents, 2, &change, 1, author, "What if\n", ret, err);
}

/* The merge that lands it, with the line that approves it. */
static int land(const struct repo *r, const struct candidate *c, const git_signature *author, bool must_sign, git_oid *ret, struct err *err)
{
	const git_oid parents[] = {r->tip, c->head};
	struct git_change change = {c->path, c->text.data, c->text.len};
	cleanup_free char *message = xasprintf("Approve %s\n", c->id);
	const struct landing_commit commit = {parents, 2, &change, 1, author, message, must_sign};

	return commit_landing(r->git, &commit, ret, err);
}

/* Paths of all that must be approved for the action to run. Caller frees paths and array. */
static struct landing *needed_files(const struct candidate *c, const struct judged *judged, size_t *ret_n)
{
	const struct ops_action *files = &judged->files;
	struct landing *v = xcalloc(files->n_secrets + 2, sizeof(*v));
	size_t n = 0;

	v[n++].path = xstrdup(c->path);
	v[n++].path = vault_formula_path(judged->action.formula);
	for (size_t i = 0; i < files->n_secrets; i++)
		v[n++].path = vault_secret_path(files->secrets[i].name);
	*ret_n = n;
	return v;
}

/*
 * Whether the dispatcher will take the signatures of the action, its formula and its secrets, as far as its list of signers can be read here: better to know before the
 * push than after, when the id is spent.
 */
static int check_signatures(const struct repo *r, const struct candidate *c, const struct judged *judged, const git_oid *commit,
                            struct err *err)
{
	cleanup_allowed_signers struct allowed_signers *signers = NULL;
	const char *list = r->config->approval.allowed_signers;
	size_t n = 0;

	if (!list || allowed_signers_load(list, &signers, NULL) < 0)
		return 0;
	struct landing *v = needed_files(c, judged, &n);
	int code = landings(r->git, commit, v, n, err);
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *by = NULL;
		const struct approval_file file = {v[i].path, &v[i].blob, &v[i].commit};

		if (code == 0 && v[i].found)
			code = approval_signed(r->git, &file, signers, now_wall_ms() / 1000, &by, err);
		free((char *)(uintptr_t)v[i].path);
	}
	free(v);
	return code;
}

/* Judges what the protected branch would hold after the merge. The branch's own author and time make it the same commit each time. */
static int judge_merged(const struct repo *r, const struct candidate *c, struct judged *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *head = NULL;
	git_oid merged;

	if (git_commit_lookup(&head, r->git, &c->head) < 0)
		return git_err(err, -1, "the branch");
	if (merge(r, c, git_commit_author(head), &merged, err) < 0)
		return -1;
	return judge(r, &merged, c->id, ret, err);
}

/* pending */

static bool is_landed(const struct repo *r, const char *id)
{
	struct ops_item item;

	return ops_item(r->git, &r->tip, id, &item, NULL) == 0 && (item.action.there || item.result.there);
}

static const char *secrets_text(const struct judged *j, struct buf *buf)
{
	const json_t *secret;
	size_t i;

	json_array_foreach (j->action.secrets, i, secret) {
		buf_addf(buf, "%s%s", i > 0 ? " " : "", json_string_value(secret));
	}
	return buf->len > 0 ? buf->data : "-";
}

static json_t *pending_row(const struct repo *r, const char *id, const git_oid *head)
{
	cleanup_candidate struct candidate c = {.text = BUF_INIT};
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_err struct err why = ERR_INIT;
	const char *problem = NULL;
	char hex[OID_TEXT], time[21];
	json_t *row;

	if (look(r, id, head, &c, &why) < 0 || judge_merged(r, &c, &judged, &why) < 0)
		problem = err_msg(&why);
	else
		problem = judged.problem;
	row = json_pack("{s:s, s:s, s:s?, s:s?, s:O?, s:s?}", "id", id, "head", oid_text(head, hex), "formula", judged.action.formula,
	                "context", judged.action.context, "secrets", judged.action.secrets, "problem", problem);
	if (row && git_commit_lookup(&commit, r->git, head) == 0) {
		if (judged.verdict.why)
			json_object_set_new(row, "tier", json_string(tier_name(judged.verdict.tier)));
		json_object_set_new(row, "by", json_string(git_commit_author(commit)->name));
		json_object_set_new(row, "proposed", json_string(time_format((int64_t)git_commit_time(commit) * 1000, time)));
	}
	return row;
}

json_t *pending_rows(const struct repo *r)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < r->refs.n; i++) {
		const char *name = r->refs.v[i].name;
		const char *id = name + strlen(PROPOSAL_REFS);

		if (strncmp(name, PROPOSAL_REFS, strlen(PROPOSAL_REFS)) == 0 && vault_is_id(id) && !is_landed(r, id))
			json_array_append_new(rows, pending_row(r, id, &r->refs.v[i].oid));
	}
	return rows;
}

static void pending_print(const json_t *rows)
{
	static const char *const headers[] = {"ID", "FORMULA", "SECRETS", "BY", "HEAD", "CONTEXT", NULL};
	cleanup_table struct table table;
	const json_t *row;
	size_t i;

	table_init(&table, headers);
	json_array_foreach (rows, i, row) {
		cleanup_buf struct buf secrets = BUF_INIT;
		cleanup_free char *problem = text_of(row, "problem") ? xasprintf("INVALID: %s", text_of(row, "problem")) : NULL;
		cleanup_free char *head = xasprintf("%.10s", text_of(row, "head"));
		struct judged judged = {.action = {.secrets = json_object_get(row, "secrets")}};

		table_add(&table, (const char *const[]){text_of(row, "id"), text_of(row, "formula"), secrets_text(&judged, &secrets),
		                                        text_of(row, "by"), head, problem ? problem : text_of(row, "context")});
	}
	table_print(&table, stdout);
}

int cmd_pending(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *rows = NULL;

	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0)
		return CLI_FAILED;
	rows = pending_rows(&repo);
	if (args_has(args, "json"))
		return print_json(rows);
	if (json_array_size(rows) == 0)
		note("pending: nothing waits for approval");
	else
		pending_print(rows);
	return CLI_DONE;
}

/* approve */

static int make_approval(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	const struct candidate *c = arg;
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_judged struct judged judged = JUDGED_INIT;

	if (is_landed(r, c->id))
		return err_set(err, ERR_EXISTS, "%s has landed already; disinto show %s says how it stands", c->id, c->id);
	if (repo_author(&author, err) < 0 || merge(r, c, author, ret, err) < 0 || judge(r, ret, c->id, &judged, err) < 0)
		return -1;
	if (judged.problem)
		return err_set(err, ERR_INVALID, "%s", judged.problem);
	bool by_signature = judged.verdict.approval == APPROVAL_SIGNED;
	if (land(r, c, author, c->sign || by_signature, ret, err) < 0)
		return -1;
	return by_signature ? check_signatures(r, c, &judged, ret, err) : 0;
}

/* Which branch head, if --head asks for one in particular. */
static int check_head(const struct args *args, const git_oid *head, struct err *err)
{
	const char *wanted = args_value(args, "head");
	char hex[OID_TEXT];

	oid_text(head, hex);
	if (!wanted)
		return 0;
	if (strlen(wanted) < 7 || strncmp(wanted, hex, strlen(wanted)) != 0)
		return err_set(err, ERR_INVALID, "the branch holds %.10s now, not %s; look at it again: disinto pending", hex, wanted);
	return 0;
}

static int approve(const struct args *args, struct repo *r, const char *id, const git_oid *head, struct err *err)
{
	cleanup_candidate struct candidate c = {.text = BUF_INIT};
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_json json_t *risk = NULL;
	cleanup_free char *ref = xasprintf(PROPOSAL_REFS "%s", id);
	char hex[OID_TEXT], blob[OID_TEXT];
	git_oid commit;

	c.sign = args_has(args, "sign");
	if (check_head(args, head, err) < 0 || look(r, id, head, &c, err) < 0 || judge_merged(r, &c, &judged, err) < 0)
		return -1;
	if (judged.problem)
		return err_set(err, ERR_INVALID, "%s", judged.problem);
	risk = risk_json(&judged, r->config);
	if (risk_add_last_run(risk, r->git, &r->tip, &judged, err) < 0)
		return -1;
	if (!args_has(args, "json"))
		risk_print(risk, stdout);
	if (repo_land(r, make_approval, &c, &commit, err) < 0)
		return -1;
	repo_drop_branch(r, ref);
	oid_text(&commit, hex);
	oid_text(&c.blob, blob);
	if (args_has(args, "json")) {
		cleanup_json json_t *done =
		    json_pack("{s:s, s:s, s:s, s:s, s:O}", "id", id, "status", "landed", "commit", hex, "action", blob, "risk", risk);

		return print_json(done);
	}
	printf("%s is approved: %.10s on %s; a dispatcher may run it now\n", id, hex, r->config->branch);
	return 0;
}

int cmd_approve(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	const char *id = args_operand(args, 0);
	const git_oid *head;
	git_oid copy;

	if (cli_id(id, err) < 0)
		return CLI_USAGE;
	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0)
		return CLI_FAILED;
	head = repo_proposal(&repo, id);
	if (is_landed(&repo, id))
		err_set(err, ERR_EXISTS, "%s has landed already; disinto show %s says how it stands", id, id);
	else if (!head)
		err_set(err, ERR_NOT_FOUND, "there is no proposal %s; disinto pending lists what there is", id);
	else {
		copy = *head;
		return approve(args, &repo, id, &copy, err) < 0 ? CLI_FAILED : CLI_DONE;
	}
	return CLI_FAILED;
}
