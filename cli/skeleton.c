/*
 * The skeleton of vault/: in a new repository, or added to one that exists.
 */
#include "cli/cli.h"
#include "cli/repo.h"
#include "cli/sign.h"
#include "cli/site.h"
#include "cli/templates.h"
#include "lib/cleanup.h"
#include "vault/ops/ledger.h"
#include <string.h>

#define SETUP_REF "refs/heads/vault-setup"
#define RECIPIENTS_MAX 65536
#define MAX_SKELETON (4 + N_TEMPLATE_FORMULAS)
#define MESSAGE "vault: set up for disinto\n"

/* The files that vault/ needs. What is given outlives the changes. */
static size_t skeleton(const struct site *s, const char *recipients, size_t len, struct git_change changes[static MAX_SKELETON])
{
	size_t n = 0;

	changes[n++] = (struct git_change){VAULT_ACTIONS "/.gitkeep", "", 0};
	changes[n++] = (struct git_change){VAULT_SECRETS "/.gitkeep", "", 0};
	changes[n++] = (struct git_change){VAULT_POLICY, s->policy, strlen(s->policy)};
	for (size_t i = 0; i < N_TEMPLATE_FORMULAS; i++)
		changes[n++] = (struct git_change){template_formulas[i].path, template_formulas[i].text, strlen(template_formulas[i].text)};
	changes[n++] = (struct git_change){VAULT_RECIPIENTS, recipients, len};
	return n;
}

/* recipients.txt with our recipient added to what is there. */
static void add_recipient(const struct site *s, struct buf *text)
{
	if (text->len == 0)
		buf_adds(text, "# New secrets are encrypted to these age recipients; each dispatcher has one.\n");
	else if (text->data[text->len - 1] != '\n')
		buf_addc(text, '\n');
	if (!strstr(text->data, s->recipient))
		buf_addf(text, "%s\n", s->recipient);
}

/* Nobody should have to set git up before a first look. */
static int skeleton_author(git_signature **ret, struct err *err)
{
	if (repo_known_author(ret, NULL) == 0)
		return 0;
	if (git_signature_now(ret, "disinto init", "disinto@localhost") < 0)
		return git_err(err, -1, "author");
	return 0;
}

/* Appends what the tip holds at `path`; that there is no such file, or no tip, is not an error. */
static int read_present(const struct repo *r, const char *path, struct buf *ret, bool *ret_there, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	*ret_there = r->has_tip && repo_file(r, &r->tip, path, RECIPIENTS_MAX, ret, &why) == 0;
	if (*ret_there || why.code == ERR_NONE || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

/* Of all files those that the tip lacks; our own recipient is added in any case. */
static int find_missing(const struct site *s, const struct repo *r, const char *recipients, size_t len,
                        struct git_change missing[static MAX_SKELETON], size_t *ret_n, struct err *err)
{
	struct git_change all[MAX_SKELETON];
	size_t n_all = skeleton(s, recipients, len, all);
	size_t n = 0;

	for (size_t i = 0; i < n_all; i++) {
		cleanup_buf struct buf now = BUF_INIT;
		bool there;

		if (read_present(r, all[i].path, &now, &there, err) < 0)
			return -1;
		if (!there || (all[i].content == recipients && strcmp(now.data, recipients) != 0))
			missing[n++] = all[i];
	}
	*ret_n = n;
	return 0;
}

/* The commit that adds what is missing; the tip itself when nothing is. */
static int make_skeleton(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	const struct site *s = arg;
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_buf struct buf recipients = BUF_INIT;
	struct git_change missing[MAX_SKELETON];
	size_t n;
	bool there;

	if (read_present(r, VAULT_RECIPIENTS, &recipients, &there, err) < 0)
		return -1;
	add_recipient(s, &recipients);
	if (find_missing(s, r, recipients.data, recipients.len, missing, &n, err) < 0)
		return -1;
	if (n == 0 && r->has_tip) {
		*ret = r->tip;
		return 0;
	}
	if (skeleton_author(&author, err) < 0)
		return -1;
	const struct landing_commit commit = {
	    .parents = &r->tip, .n_parents = r->has_tip ? 1 : 0, .changes = missing, .n_changes = n, .author = author, .message = MESSAGE};
	return commit_landing(r->git, &commit, ret, err);
}

/* The first commit of the ledger: nothing that landed by then waits, so nothing is a backlog that an operator has to accept. */
static int make_ledger(git_repository *git, const git_oid *tip, git_oid *ret, struct err *err)
{
	cleanup_git(git_signature) git_signature *author = NULL;
	const struct ledger_origin origin = {*tip, true};
	cleanup_free char *text = ledger_origin_text(&origin);
	const struct git_change change = {LEDGER_ORIGIN, text, strlen(text)};

	if (skeleton_author(&author, err) < 0)
		return -1;
	return git_repo_commit(git, NULL, 0, &change, 1, author, "ledger: begins\n", ret, err);
}

/* For a branch that is new. Where others have one, there may be a ledger, too; and what waits in an old branch is seen by the first dispatcher, which makes it then. */
static int push_ledger(struct repo *r, const git_oid *tip, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_oid commit;

	if (make_ledger(r->git, tip, &commit, err) < 0)
		return err_wrap(err, "make the ledger");
	if (git_push_ref(r->git, &r->place, NULL, &commit, LEDGER_REF, &why) == GIT_PUSH_WON || why.code == ERR_EXISTS)
		return 0;
	err_move(err, &why);
	return err_wrap(err, "make the ledger");
}

int site_use_repo(struct site *s, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	__attribute__((cleanup(site_end_loan))) char *hosts = NULL;
	cleanup_err struct err why = ERR_INIT;
	git_oid commit;

	config.ops_repo = xstrdup(s->ops_url);
	config.branch = xstrdup(s->branch);
	config.git_token_file = s->token_file ? xstrdup(s->token_file) : NULL;
	if (s->known_hosts && site_lend_hosts(s, &hosts, err) < 0)
		return -1;
	config.known_hosts_file = hosts ? xstrdup(hosts) : NULL;
	if (repo_open(&config, &repo, err) < 0 || repo_sync(&repo, err) < 0)
		return -1;
	bool empty = !repo.has_tip;
	if (repo_land(&repo, make_skeleton, s, &commit, &why) == 0)
		return empty ? push_ledger(&repo, &commit, err) : 0;
	if (why.code == ERR_UNREACHABLE || why.code == ERR_TIMEOUT || !repo.has_tip) {
		err_move(err, &why);
		return -1;
	}
	if (make_skeleton(&repo, s, &commit, err) < 0 || repo_push_branch(&repo, &commit, SETUP_REF, err) < 0)
		return -1;
	s->setup_branch = true;
	return 0;
}

static int configure_bare(git_repository *git, struct err *err)
{
	static const char *const on[] = {"receive.denyDeletes", "receive.denyNonFastForwards", "receive.fsckObjects"};
	git_config *config;
	int code = git_repository_config(&config, git);

	for (size_t i = 0; code == 0 && i < sizeof(on) / sizeof(on[0]); i++)
		code = git_config_set_bool(config, on[i], 1);
	git_config_free(config);
	return code < 0 ? git_err(err, code, "its configuration") : 0;
}

int site_make_repo(const struct site *s, const char *path, struct err *err)
{
	git_repository_init_options options = {.version = GIT_REPOSITORY_INIT_OPTIONS_VERSION};
	cleanup_git(git_repository) git_repository *git = NULL;
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_buf struct buf recipients = BUF_INIT;
	cleanup_free char *ref = xasprintf("refs/heads/%s", s->branch);
	struct git_change changes[MAX_SKELETON];
	cleanup_git(git_reference) git_reference *branch = NULL;
	cleanup_git(git_reference) git_reference *ledger = NULL;
	git_oid commit, begins;
	size_t n;

	options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_REINIT | GIT_REPOSITORY_INIT_MKDIR;
	options.initial_head = s->branch;
	if (git_repository_init_ext(&git, path, &options) < 0)
		return git_err(err, -1, "%s", path);
	add_recipient(s, &recipients);
	n = skeleton(s, recipients.data, recipients.len, changes);
	if (configure_bare(git, err) < 0 || skeleton_author(&author, err) < 0)
		return err_wrap(err, "%s", path);
	const struct landing_commit first = {.changes = changes, .n_changes = n, .author = author, .message = MESSAGE};
	if (commit_landing(git, &first, &commit, err) < 0)
		return err_wrap(err, "%s", path);
	if (git_reference_create(&branch, git, ref, &commit, 0, "disinto init") < 0)
		return git_err(err, -1, "%s: %s", path, ref);
	if (make_ledger(git, &commit, &begins, err) < 0)
		return err_wrap(err, "%s", path);
	if (git_reference_create(&ledger, git, LEDGER_REF, &begins, 0, "disinto init") < 0)
		return git_err(err, -1, "%s: " LEDGER_REF, path);
	return site_share_repo(path, err);
}
