/* The audit of an ops repo. See audit.h. */
#include "vault/audit/audit.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/audit/audit_judge.h"
#include "vault/audit/audit_ledger.h"
#include "vault/audit/audit_look.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *advice;
} kinds[] = {
    [AUDIT_MALFORMED_TREE] = {"malformed-tree", "run git fsck, and find out who pushed it; let the server check what it receives"},
    [AUDIT_MALFORMED_RESULT] = {"malformed-result", "find out who wrote it; the run's own result is in the dispatcher's spool"},
    [AUDIT_RESULT_WITHOUT_ACTION] = {"result-without-action", "find out who wrote it: no dispatcher does"},
    [AUDIT_FOREIGN_RESULT] = {"foreign-result", "find out who wrote it, and whether the action ever ran; protect the branch"},
    [AUDIT_UNSIGNED_RESULT] = {"unsigned-result", "look for the run in the dispatcher's spool; list the key if it is a dispatcher's"},
    [AUDIT_OTHER_ACTION] = {"other-action", "look at the run's log, and at what it was given"},
    [AUDIT_OTHER_FILE] = {"other-file", "look at the run's log, and at who changed the file"},
    [AUDIT_APPROVAL] = {"approval", "find out who landed it; if nobody wanted it, undo what it did and rotate its secrets"},
    [AUDIT_WEAKER] = {"weaker-than-policy", "look at the action as if it were proposed now; check the dispatcher's configuration"},
    [AUDIT_RESULT_CHANGED] = {"result-changed", "compare it with what the commit before had, which is what counts"},
    [AUDIT_RECIPIENTS] = {"recipients", "look whom it names; change the secrets that were encrypted to it, at their source"},
    [AUDIT_ACTION_CHANGED] = {"action-changed", "what ran is what had landed; propose the change under a new id"},
    [AUDIT_NOT_IN_LEDGER] = {"not-in-ledger", "find out who wrote it, and whether the action ever ran; protect both branches"},
    [AUDIT_OTHER_ENTRY] = {"other-entry", "compare it with the result in the dispatcher's spool; find out who changed which"},
    [AUDIT_RESULT_MISSING] = {"result-missing", "look for it in the dispatcher's spool; find out who rewrote the branch, or the ledger"},
    [AUDIT_MALFORMED_LEDGER] = {"malformed-ledger", "find out who pushed to disinto-ledger; only dispatchers should be able to"},
};

const char *audit_kind_name(enum audit_kind kind)
{
	return kinds[kind].name;
}

const char *audit_kind_advice(enum audit_kind kind)
{
	return kinds[kind].advice;
}

void audit_free(struct audit *a)
{
	for (size_t i = 0; i < a->n_findings; i++) {
		free(a->findings[i].id);
		free(a->findings[i].what);
	}
	free(a->findings);
	*a = (struct audit)AUDIT_INIT;
}

void audit_found(struct audit_judge *j, enum audit_kind kind, const char *id, size_t at, const char *fmt, ...)
{
	struct audit *a = j->out;
	struct buf what = BUF_INIT;
	va_list ap;

	if (j->has_since && at <= j->since)
		return;
	va_start(ap, fmt);
	buf_vaddf(&what, fmt, ap);
	va_end(ap);
	if ((a->n_findings & (a->n_findings - 1)) == 0)
		a->findings = xrealloc(a->findings, (a->n_findings ? 2 * a->n_findings : 1) * sizeof(*a->findings));
	a->findings[a->n_findings++] = (struct audit_finding){
	    .kind = kind, .id = id ? xstrdup(id) : NULL, .commit = j->h->commits[at].oid, .at = at, .what = buf_steal(&what)};
}

/* Every change of an action after the commit at which it was taken. */
static void judge_later(struct audit_judge *j, const char *id, size_t taken)
{
	size_t n;
	const struct audit_event *events = audit_events(j->h, AUDIT_ACTION, id, &n);

	for (size_t i = 0; i < n; i++)
		if (events[i].at > taken && !(!events[i].there && audit_was_archived(j->h, &events[i], NULL)))
			audit_found(j, AUDIT_ACTION_CHANGED, id, events[i].at, "vault/actions/%s.json was %s after it was taken", id,
			            !events[i].there                ? "removed"
			            : i > 0 && !events[i - 1].there ? "put there again"
			                                            : "edited");
}

/* What was moved to vault/archive stays as it is there. */
static void judge_archive(struct audit_judge *j, const struct audit_event *events, size_t n)
{
	for (size_t i = 1; i < n; i++)
		audit_found(j, AUDIT_RESULT_CHANGED, events->name, events[i].at, "the result of %s was %s in " VAULT_ARCHIVE, events->name,
		            events[i].there ? "edited" : "removed");
}

/* The events of one id's result: the first, and each that follows a removal, is recorded; all others change what was recorded. */
static int judge_id(struct audit_judge *j, const struct audit_event *results, size_t n, struct err *err)
{
	size_t taken = SIZE_MAX;

	for (size_t i = 0; i < n; i++) {
		const char *id = results[i].name;
		size_t this_taken = SIZE_MAX;

		if (!results[i].there && i > 0 && audit_was_archived(j->h, &results[i], &results[i - 1]))
			continue;
		if (!results[i].there) {
			audit_found(j, AUDIT_RESULT_CHANGED, id, results[i].at, "vault/actions/%s.result.json was removed", id);
			continue;
		}
		if (i > 0 && results[i - 1].there) {
			audit_found(j, AUDIT_RESULT_CHANGED, id, results[i].at, "vault/actions/%s.result.json was edited", id);
			continue;
		}
		if (audit_judge_result(j, &results[i], &this_taken, err) < 0)
			return -1;
		if (this_taken < taken)
			taken = this_taken;
	}
	judge_later(j, results->name, taken);
	return audit_ledger_judge(j, results, n, err);
}

static void judge_recipients(struct audit_judge *j)
{
	size_t n;
	struct audit_event *events = audit_events(j->h, AUDIT_RECIPIENTS_FILE, "", &n);

	for (size_t i = 0; i < n; i++) {
		struct audit_event *e = &events[i];
		enum approval_mode wanted = audit_recipients_wanted(&j->policies, j->rules, e, i == 0);

		if (e->there && wanted == APPROVAL_SIGNED && audit_event_signed(j->h, j->rules, e))
			audit_found(j, AUDIT_RECIPIENTS, NULL, e->at, "%s", e->fault);
		j->out->n_forge += e->there && wanted == APPROVAL_FORGE;
	}
}

static int judge_all(struct audit_judge *j, struct err *err)
{
	const struct audit_history *h = j->h;

	for (size_t i = 0, n; i < h->n_events; i += n) {
		const struct audit_event *events = audit_events(h, h->events[i].file, h->events[i].name, &n);

		j->out->n_actions += events->file == AUDIT_ACTION;
		j->out->n_results += events->file == AUDIT_RESULT;
		if (events->file == AUDIT_RESULT && judge_id(j, events, n, err) < 0)
			return -1;
		if (events->file == AUDIT_ARCHIVED)
			judge_archive(j, events, n);
		if (events->file == AUDIT_RECIPIENTS_FILE)
			judge_recipients(j);
	}
	for (size_t i = 0; i < h->n_commits; i++)
		if (h->commits[i].malformed)
			audit_found(j, AUDIT_MALFORMED_TREE, NULL, i, "%s", h->commits[i].malformed);
	j->out->n_commits = h->n_commits;
	return audit_ledger_end(j, err);
}

static int compare_findings(const void *x, const void *y)
{
	const struct audit_finding *a = x, *b = y;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	int order = strcmp(a->id ? a->id : "", b->id ? b->id : "");
	return order != 0 ? order : (int)a->kind - (int)b->kind;
}

static int run(struct audit_judge *j, struct err *err)
{
	const git_oid *since = j->rules->since;

	j->has_since = since != NULL;
	if (since && !audit_history_find(j->h, since, &j->since))
		return err_set(err, ERR_NOT_FOUND, "commit %.10s is not on the branch's first-parent chain", git_oid_tostr_s(since));
	if (audit_policies_read(j->h, j->rules, &j->policies, err) < 0 || audit_ledger_open(j, err) < 0 || judge_all(j, err) < 0)
		return -1;
	if (j->out->n_findings > 0)
		qsort(j->out->findings, j->out->n_findings, sizeof(*j->out->findings), compare_findings);
	return 0;
}

/* Hashing each version of a large folder again costs far more than the comparison. */
static int read_history(git_repository *repo, const git_oid *tip, struct audit_history *ret, struct err *err)
{
	git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
	int rc = audit_history_read(repo, tip, ret, err);
	git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
	return rc;
}

int audit_run(git_repository *repo, const git_oid *tip, const struct audit_rules *rules, struct audit *ret, struct err *err)
{
	cleanup_audit_history struct audit_history h = AUDIT_HISTORY_INIT;
	cleanup_audit struct audit out = AUDIT_INIT;
	struct audit_judge j = {.h = &h, .rules = rules, .policies = AUDIT_POLICIES_INIT, .out = &out};

	if (read_history(repo, tip, &h, err) < 0)
		return -1;
	int rc = run(&j, err);
	audit_policies_free(&j.policies);
	audit_ledger_close(&j);
	if (rc < 0)
		return -1;
	*ret = out;
	out = (struct audit)AUDIT_INIT;
	return 0;
}

void audit_recipients_free(struct audit_recipients *r)
{
	free(r->fault);
	*r = (struct audit_recipients){.first = false};
}

static int last_recipients(struct audit_history *h, const struct audit_rules *rules, struct audit_recipients *ret, struct err *err)
{
	struct audit_policies policies = AUDIT_POLICIES_INIT;
	size_t n;
	struct audit_event *events = audit_events(h, AUDIT_RECIPIENTS_FILE, "", &n);

	if (n == 0 || !events[n - 1].there)
		return err_set(err, ERR_NOT_FOUND, VAULT_RECIPIENTS ": is not there");
	if (audit_policies_read(h, rules, &policies, err) < 0)
		return -1;
	struct audit_event *e = &events[n - 1];
	*ret = (struct audit_recipients){.first = n == 1,
	                                 .wanted = audit_recipients_wanted(&policies, rules, e, n == 1),
	                                 .blob = e->blob,
	                                 .commit = h->commits[e->at].oid};
	if (ret->wanted == APPROVAL_SIGNED && audit_event_signed(h, rules, e))
		ret->fault = xstrdup(e->fault);
	audit_policies_free(&policies);
	return 0;
}

int audit_recipients(git_repository *repo, const git_oid *tip, const struct audit_rules *rules, struct audit_recipients *ret,
                     struct err *err)
{
	cleanup_audit_history struct audit_history h = AUDIT_HISTORY_INIT;

	return read_history(repo, tip, &h, err) < 0 ? -1 : last_recipients(&h, rules, ret, err);
}
