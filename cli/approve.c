/* The human's merge of a proposal. */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/owner.h"
#include "cli/sign.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/approval/approval_signed.h"
#include "vault/ops/landing.h"
#include <stdlib.h>
#include <string.h>

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
	const char *list = owner_readable(r->config->approval.allowed_signers);
	const struct signing_clock clock = {.now = now_wall_ms() / 1000};
	size_t n = 0;

	if (!list || allowed_signers_load(list, &signers, NULL) < 0)
		return 0;
	struct landing *v = needed_files(c, judged, &n);
	int code = landings(r->git, commit, v, n, err);
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *by = NULL;
		const struct approval_file file = {v[i].path, &v[i].blob, &v[i].commit};

		if (code == 0 && v[i].found)
			code = approval_signed(r->git, &file, signers, &clock, &by, err);
		free((char *)(uintptr_t)v[i].path);
	}
	free(v);
	return code;
}

static int make_approval(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	const struct candidate *c = arg;
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_judged struct judged judged = JUDGED_INIT;
	const struct judging by = repo_judging(r);

	if (proposal_has_landed(r, c->id))
		return err_set(err, ERR_EXISTS, "%s has landed already; disinto show %s says how it stands", c->id, c->id);
	if (repo_author(&author, err) < 0 || candidate_merge(&by, c, author, ret, err) < 0 || judged_at(&by, ret, c->id, &judged, err) < 0)
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

/*
 * The merge, where it is made: by the forge, unless it is a signature of this user that counts, which a forge can't make for him.
 */
static int land_approval(struct repo *r, struct candidate *c, enum approval_mode mode, git_oid *ret, struct err *err)
{
	cleanup_forge struct forge *forge = NULL;
	cleanup_free char *ref = xasprintf(PROPOSAL_REFS "%s", c->id);

	if (cli_forge(r->config, &forge, err) < 0)
		return -1;
	if (!forge || c->sign || mode == APPROVAL_SIGNED) {
		if (repo_land(r, make_approval, c, ret, err) < 0)
			return -1;
		repo_drop_branch(r, ref);
		return 0;
	}
	if (forge_approve_proposal(forge, c->id, &c->head, &c->blob, mode == APPROVAL_FORGE, err) < 0 || repo_sync(r, err) < 0)
		return -1;
	*ret = r->tip;
	return proposal_has_landed(r, c->id)
	           ? 0
	           : err_set(err, ERR_FAIL,
	                     "the forge says that it merged %s, and %s does not have it yet; disinto show %s tells when it does", c->id,
	                     r->config->branch, c->id);
}

static int approve(const struct args *args, struct repo *r, const char *id, const git_oid *head, struct err *err)
{
	cleanup_candidate struct candidate c = CANDIDATE_INIT;
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_json json_t *risk = NULL;
	const struct judging by = repo_judging(r);
	char hex[OID_TEXT], blob[OID_TEXT];
	git_oid commit;

	c.sign = args_has(args, "sign");
	if (check_head(args, head, err) < 0 || candidate_look(&by, id, head, &c, err) < 0 || candidate_judge(&by, &c, &judged, err) < 0)
		return -1;
	if (judged.problem)
		return err_set(err, ERR_INVALID, "%s", judged.problem);
	risk = risk_json(&judged, r->config);
	if (risk_add_last_run(risk, r->git, &r->tip, &judged, err) < 0)
		return -1;
	if (!args_has(args, "json"))
		risk_print(risk, stdout);
	if (land_approval(r, &c, judged.verdict.approval, &commit, err) < 0)
		return -1;
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
	if (proposal_has_landed(&repo, id))
		err_set(err, ERR_EXISTS, "%s has landed already; disinto show %s says how it stands", id, id);
	else if (!head)
		err_set(err, ERR_NOT_FOUND, "there is no proposal %s; disinto pending lists what there is", id);
	else {
		copy = *head;
		return approve(args, &repo, id, &copy, err) < 0 ? CLI_FAILED : CLI_DONE;
	}
	return CLI_FAILED;
}
