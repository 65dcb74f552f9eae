/*
 * verify: audits the ops repo.
 */
#include "cli/cli.h"
#include "cli/owner.h"
#include "cli/repo.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/audit/audit.h"
#include "vault/ops/ledger.h"
#include "vault/ssh/ssh_key.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is audited, and by which rules. Life: zeroed -> open_all -> close_all. */
struct verify {
	struct config config;
	bool has_config;
	struct repo server;  /* the ops repo, unless a repository on this disk is named */
	git_repository *own; /* that one */
	git_repository *git; /* borrowed: either of them */
	git_oid tip, since, ledger;
	bool has_ledger;
	struct allowed_signers *approvers, *dispatchers;
};

static void close_all(struct verify *v)
{
	allowed_signers_free(v->approvers);
	allowed_signers_free(v->dispatchers);
	git_repository_free(v->own);
	repo_close(&v->server);
	config_free(&v->config);
}

/* A repository on this disk can be audited by somebody who has no configuration; one that is asked for must be there. */
static int load_config(const struct args *args, struct verify *v, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	const char *file = getenv("DISINTO_CONFIG");

	if (cli_config(args, &v->config, &why) == 0) {
		v->has_config = true;
		return 0;
	}
	if (why.code == ERR_NOT_FOUND && args_operand(args, 0) && !args_has(args, "config") && !(file && *file))
		return 0;
	err_move(err, &why);
	return -1;
}

static int open_own(const char *path, struct verify *v, struct err *err)
{
	cleanup_free char *ref = v->has_config ? xasprintf("refs/heads/%s", v->config.branch) : xstrdup("HEAD");

	if (git_remote_setup(err) < 0)
		return -1;
	int rc = git_repository_open_ext(&v->own, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	if (rc < 0)
		return git_err(err, rc, "%s", path);
	rc = git_reference_name_to_id(&v->tip, v->own, ref);
	if (rc < 0)
		return git_err(err, rc, "%s: %s", path, ref);
	v->git = v->own;
	v->has_ledger = git_reference_name_to_id(&v->ledger, v->own, LEDGER_REF) == 0;
	git_error_clear();
	return 0;
}

/* No other command wants the ledger, so it is not among what they all fetch. */
static int fetch_ledger(struct verify *v, struct err *err)
{
	const char *const prefixes[] = {LEDGER_REF, NULL};
	const struct git_fetch_spec specs[] = {{LEDGER_REF, "refs/disinto/heads/" LEDGER_BRANCH}, {NULL, NULL}};
	__attribute__((cleanup(git_refs_free))) struct git_refs refs = {NULL, 0};
	struct git_poller *poller = git_poller_new(&v->server.place);

	int rc = git_poller_refs(poller, prefixes, &refs, err);
	git_poller_free(poller);
	const git_oid *tip = rc == 0 ? git_refs_find(&refs, LEDGER_REF) : NULL;
	if (!tip)
		return rc;
	v->ledger = *tip;
	v->has_ledger = true;
	return git_fetch(v->git, &v->server.place, specs, err);
}

static int open_repo(const struct args *args, struct verify *v, struct err *err)
{
	const char *path = args_operand(args, 0);

	if (path)
		return open_own(path, v, err);
	if (repo_ready(&v->config, &v->server, err) < 0)
		return -1;
	v->git = v->server.git;
	v->tip = v->server.tip;
	return fetch_ledger(v, err);
}

static int find_since(const struct args *args, struct verify *v, struct err *err)
{
	const char *spec = args_value(args, "since");
	git_object *object = NULL;

	if (!spec)
		return 0;
	cleanup_free char *commit = xasprintf("%s^{commit}", spec);
	int rc = git_revparse_single(&object, v->git, commit);
	if (rc < 0)
		return git_err(err, rc, "--since %s", spec);
	v->since = *git_object_id(object);
	git_object_free(object);
	return 0;
}

/* The key that this site's dispatcher signs with, as a list of its own: from the .pub file beside it, which anybody may read, else from the key itself. */
static int own_key(const char *path, struct allowed_signers **ret, struct err *err)
{
	cleanup_free char *beside = xasprintf("%s.pub", path);
	cleanup_ssh_private_key struct ssh_private_key *private = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	struct ssh_public_key key;

	if (file_read(beside, SSH_KEY_FILE_MAX, &text, NULL) == 0) {
		if (ssh_public_key_parse(text.data, text.len, &key, err) < 0)
			return err_wrap(err, "%s", beside);
	} else {
		if (ssh_private_key_load(owner_readable(path), &private, err) < 0)
			return err_wrap(err, "neither %s nor the key itself can be read; name the dispatchers' keys with --signers",
			                beside);
		key = *ssh_private_key_public(private);
	}
	cleanup_free char *public = ssh_public_key_text(&key);
	cleanup_free char *line = xasprintf("disinto-dispatcher %s\n", public);
	return allowed_signers_parse(line, strlen(line), "signing_key_file", ret, err);
}

static int load_keys(const struct args *args, struct verify *v, struct err *err)
{
	const char *approvers = args_value(args, "approvers"), *signers = args_value(args, "signers");

	if (!approvers && v->has_config)
		approvers = owner_readable(v->config.approval.allowed_signers);
	if (approvers && allowed_signers_load(approvers, &v->approvers, err) < 0)
		return -1;
	if (signers)
		return allowed_signers_load(signers, &v->dispatchers, err);
	return v->has_config && v->config.signing_key_file ? own_key(v->config.signing_key_file, &v->dispatchers, err) : 0;
}

static int audit(const struct args *args, struct verify *v, struct audit *ret, struct err *err)
{
	struct audit_rules rules = {.floor = {.minimum = APPROVAL_LANDED}, .now = now_wall_ms() / 1000};

	if (load_config(args, v, err) < 0 || load_keys(args, v, err) < 0 || open_repo(args, v, err) < 0 || find_since(args, v, err) < 0)
		return -1;
	rules.approvers = v->approvers;
	rules.dispatchers = v->dispatchers;
	if (v->has_config)
		rules.floor = policy_floor_of(&v->config);
	if (v->has_ledger)
		rules.ledger = &v->ledger;
	if (args_has(args, "since"))
		rules.since = &v->since;
	return audit_run(v->git, &v->tip, &rules, ret, err);
}

static json_t *finding_json(const struct audit_finding *f)
{
	cleanup_free char *what = safe_text(f->what);
	char commit[OID_TEXT];

	return json_pack("{s:s, s:s?, s:s, s:s, s:s}", "finding", audit_kind_name(f->kind), "id", f->id, "commit",
	                 oid_text(&f->commit, commit), "what", what, "do", audit_kind_advice(f->kind));
}

static void print_audit_json(const struct verify *v, const struct audit *a)
{
	cleanup_json json_t *findings = json_array();
	char tip[OID_TEXT];

	for (size_t i = 0; i < a->n_findings; i++)
		json_array_append_new(findings, finding_json(&a->findings[i]));
	cleanup_json json_t *value =
	    json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:O}", "tip", oid_text(&v->tip, tip), "commits", (json_int_t)a->n_commits,
	              "actions", (json_int_t)a->n_actions, "results", (json_int_t)a->n_results, "approvers_known", v->approvers != NULL,
	              "dispatchers_known", v->dispatchers != NULL, "forge_approvals", (json_int_t)a->n_forge, "findings", findings);
	print_json(value);
}

static void print_audit(const struct verify *v, const struct audit *a)
{
	cleanup_table struct table table;

	table_init(&table, (const char *const[]){"FINDING", "ID", "COMMIT", "WHAT", "WHAT TO DO", NULL});
	for (size_t i = 0; i < a->n_findings; i++) {
		const struct audit_finding *f = &a->findings[i];
		char commit[OID_TEXT];

		oid_text(&f->commit, commit);
		commit[10] = '\0';
		table_add(&table, (const char *const[]){audit_kind_name(f->kind), f->id, commit, f->what, audit_kind_advice(f->kind)});
	}
	if (a->n_findings > 0)
		table_print(&table, stdout);
	printf("%zu actions, %zu results, %zu findings\n", a->n_actions, a->n_results, a->n_findings);
	if (!v->dispatchers)
		note("verify: the signatures of results were not checked; name the dispatchers' keys with --signers");
	if (a->n_forge > 0)
		note("verify: %zu approvals are the forge's, of which git shows the commit and its bytes only", a->n_forge);
}

int cmd_verify(const struct args *args, struct err *err)
{
	__attribute__((cleanup(close_all))) struct verify v = {.config = CONFIG_INIT, .server = REPO_INIT};
	cleanup_audit struct audit a = AUDIT_INIT;

	if (audit(args, &v, &a, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		print_audit_json(&v, &a);
	else
		print_audit(&v, &a);
	return a.n_findings > 0 ? CLI_FINDING : CLI_DONE;
}
