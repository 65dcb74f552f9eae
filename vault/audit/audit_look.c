/* A closer look at single commits and files. See audit_look.h. */
#include "vault/audit/audit_look.h"

#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include "vault/approval/approval_signed.h"
#include "vault/result.h"
#include "vault/ssh/commit_signature.h"
#include <string.h>

bool audit_is_plain(const struct audit_event *e)
{
	return e->there && (e->mode == GIT_FILEMODE_BLOB || (unsigned)e->mode == 0100664);
}

char *audit_event_path(const struct audit_event *e)
{
	switch (e->file) {
	case AUDIT_ACTION:
		return vault_action_path(e->name);
	case AUDIT_RESULT:
		return vault_result_path(e->name);
	case AUDIT_FORMULA:
		return vault_formula_path(e->name);
	case AUDIT_SECRET:
		return vault_secret_path(e->name);
	case AUDIT_RECIPIENTS_FILE:
		return xstrdup(VAULT_RECIPIENTS);
	case AUDIT_POLICY:
	default:
		return xstrdup(VAULT_POLICY);
	}
}

/* The id in "<id>@disinto", or NULL. Caller frees. */
static char *dispatcher_of(const git_signature *author)
{
	size_t len = strlen(author->email), tail = strlen(RESULT_AUTHOR_HOST);

	if (strcmp(author->name, RESULT_AUTHOR) != 0 || len <= tail || strcmp(author->email + len - tail, RESULT_AUTHOR_HOST) != 0)
		return NULL;
	return xasprintf("%.*s", (int)(len - tail), author->email);
}

int audit_commit_look(const struct audit_history *h, const struct audit_rules *rules, struct audit_commit *c, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_err struct err why = ERR_INIT;

	if (c->looked_at)
		return 0;
	int rc = git_commit_lookup(&commit, h->repo, &c->oid);
	if (rc < 0)
		return git_err(err, rc, "commit %.10s", git_oid_tostr_s(&c->oid));
	const git_signature *author = git_commit_author(commit);
	c->dispatcher = dispatcher_of(author);
	if (!c->dispatcher)
		c->foreign = xasprintf("its commit is by %s <%s>, not by a dispatcher", author->name, author->email);
	else if (c->parents != 1)
		c->foreign = xstrdup(c->parents ? "it came with a merge" : "it came with the first commit");
	else if (c->brought_else)
		c->foreign = xstrdup("its commit changes more than to add results");
	const struct signing_clock clock = {rules->now, &c->below};
	if (rules->dispatchers && commit_signature_check(h->repo, &c->oid, rules->dispatchers, &clock, NULL, NULL, &why) < 0)
		c->bare = xstrdup(err_msg(&why));
	c->looked_at = true;
	return 0;
}

const char *audit_event_signed(const struct audit_history *h, const struct audit_rules *rules, struct audit_event *e)
{
	cleanup_free char *path = audit_event_path(e);
	cleanup_err struct err why = ERR_INIT;
	const struct approval_file file = {path, &e->blob, &h->commits[e->at].oid};
	const struct signing_clock clock = {rules->now, &h->commits[e->at].below};

	if (e->judged)
		return e->fault;
	e->judged = true;
	if (!rules->approvers)
		e->fault = xasprintf("%s: its signature can't be checked without approval.allowed_signers", path);
	else if (approval_signed_landed(h->repo, &file, rules->approvers, &clock, &e->by, &why) < 0)
		e->fault = xstrdup(err_msg(&why));
	return e->fault;
}

int audit_event_formula(const struct audit_history *h, struct audit_event *e, const struct formula **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;
	struct formula formula = FORMULA_INIT;

	if (!e->parsed && audit_is_plain(e)) {
		int rc = git_repo_blob(h->repo, &e->blob, FORMULA_MAX_BYTES, &text, &why);
		if (rc < 0 && why.code != ERR_INVALID) {
			err_move(err, &why);
			return -1;
		}
		if (rc == 0 && formula_parse(e->name, text.data, text.len, &formula, NULL) == 0) {
			e->formula = xmalloc(sizeof(formula));
			*e->formula = formula;
		}
	}
	e->parsed = true;
	*ret = e->formula;
	return 0;
}
