/*
 * One result against what stood in the repository. The first thing that makes it worthless ends the judgement: what would follow from it is not said again.
 */
#include "vault/audit/audit_judge.h"

#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include "vault/audit/audit_evidence.h"
#include "vault/audit/audit_look.h"
#include <string.h>

/* A result, and what it is held against. */
struct trial {
	struct audit_judge *j;
	const struct audit_event *result;
	const char *id;
	struct audit_evidence said;
	struct audit_event *actions;
	size_t n_actions;
	size_t landing;             /* the commit that landed the action, by the result's own word, once that is confirmed */
	struct audit_event *action; /* what landed there */
};

#define SHORT "%.10s" /* of an object id, as people read it */

/* For messages with more than one object id. */
struct hex {
	char text[GIT_OID_HEXSZ + 1];
};

static struct hex hex(const git_oid *oid)
{
	struct hex h;
	git_oid_tostr(h.text, sizeof(h.text), oid);
	return h;
}

static struct hex commit_at(const struct trial *t, size_t at)
{
	return hex(&t->j->h->commits[at].oid);
}

#define FOUND(t, kind, ...) audit_found((t)->j, kind, (t)->id, (t)->result->at, __VA_ARGS__)

/* Nothing was decided about what was refused, or cancelled before it started: there need be no approval. */
static bool nothing_ran(const struct audit_evidence *e)
{
	return e->outcome == OUTCOME_REFUSED || (e->outcome == OUTCOME_CANCELLED && !e->started);
}

/* Who brought it? false: it is not to be believed any further. */
static int judge_commit(struct trial *t, bool *ret_believed, struct err *err)
{
	struct audit_commit *c = &t->j->h->commits[t->result->at];
	const struct audit_event *first = NULL;

	for (size_t i = 0; i < t->n_actions && !first; i++)
		if (t->actions[i].there)
			first = &t->actions[i];
	*ret_believed = false;
	if (!first || first->at > t->result->at) {
		FOUND(t, AUDIT_RESULT_WITHOUT_ACTION,
		      first ? "vault/actions/%s.json had not landed yet" : "vault/actions/%s.json never landed", t->id);
		return 0;
	}
	if (audit_commit_look(t->j->h, t->j->rules, c, err) < 0)
		return -1;
	if (first->at == t->result->at) {
		FOUND(t, AUDIT_FOREIGN_RESULT, "it came together with its action");
		return 0;
	}
	if (c->foreign) {
		FOUND(t, AUDIT_FOREIGN_RESULT, "%s", c->foreign);
		return 0;
	}
	if (c->bare)
		FOUND(t, AUDIT_UNSIGNED_RESULT, "%s", c->bare);
	*ret_believed = true;
	return 0;
}

/* 1: read; 0: it is none, and that was said; -1: it can't be read. */
static int read_result(struct trial *t, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	if (!audit_is_plain(t->result)) {
		FOUND(t, AUDIT_MALFORMED_RESULT, "it is no plain file");
		return 0;
	}
	if (git_repo_blob(t->j->h->repo, &t->result->blob, RESULT_MAX_BYTES, &text, &why) < 0 ||
	    audit_evidence_parse(t->id, text.data, text.len, &t->said, &why) < 0) {
		if (why.code == ERR_INVALID) {
			FOUND(t, AUDIT_MALFORMED_RESULT, "%s", err_msg(&why));
			return 0;
		}
		err_move(err, &why);
		return err_wrap(err, "vault/actions/%s.result.json", t->id);
	}
	return 1;
}

/* Are the bytes that ran those that landed where it says? Finds the landing. */
static bool judge_identity(struct trial *t)
{
	const struct audit_evidence *e = &t->said;
	size_t at = 0;

	if (!e->commit.there || !e->action.there) {
		if (!nothing_ran(e))
			FOUND(t, AUDIT_OTHER_ACTION, "it does not name the %s",
			      e->action.there ? "commit that landed its action" : "action's blob");
		return false;
	}
	struct hex ran = hex(&e->action.oid), commit = hex(&e->commit.oid);
	if (!audit_history_find(t->j->h, &e->commit.oid, &at)) {
		FOUND(t, AUDIT_APPROVAL, "commit " SHORT " is not on the protected branch's first-parent chain", commit.text);
		return false;
	}
	struct audit_event *landed = audit_event_at(t->actions, t->n_actions, at);
	if (at >= t->result->at || !landed || landed->at != at || !landed->there) {
		FOUND(t, AUDIT_OTHER_ACTION, "commit " SHORT " did not land its action", commit.text);
		return false;
	}
	if (!git_oid_equal(&landed->blob, &e->action.oid)) {
		FOUND(t, AUDIT_OTHER_ACTION, "blob " SHORT " ran, but commit " SHORT " landed " SHORT, ran.text, commit.text,
		      hex(&landed->blob).text);
		return false;
	}
	t->landing = at;
	t->action = landed;
	return true;
}

/* The formula as it stood where the action landed. */
static struct audit_event *formula_event(const struct trial *t, const char *name)
{
	size_t n;
	struct audit_event *events = audit_events(t->j->h, AUDIT_FORMULA, name, &n);
	struct audit_event *e = audit_event_at(events, n, t->landing);
	return e && e->there ? e : NULL;
}

/* The secret file of that blob, which stood there at some time between the landing and the result: it is read at the tip. */
static struct audit_event *secret_event(const struct trial *t, const char *name, const char *blob)
{
	size_t n;
	struct audit_event *events = audit_events(t->j->h, AUDIT_SECRET, name, &n);
	struct audit_event *e = audit_event_at(events, n, t->result->at);
	for (; e && e >= events; e--) {
		if (e->there && strcmp(hex(&e->blob).text, blob) == 0)
			return e;
		if (e->at <= t->landing)
			break;
	}
	return NULL;
}

/* The signature on the commit that brought one of the files; *by: in whose name. */
static bool judge_signed(struct trial *t, struct audit_event *e)
{
	const char *fault = e ? audit_event_signed(t->j->h, t->j->rules, e) : NULL;
	if (fault)
		FOUND(t, AUDIT_APPROVAL, "%s", fault);
	return !fault;
}

/* Action, formula and secrets: all bytes that ran were to be approved. A file that is not there is a finding of its own. */
static void judge_signatures(struct trial *t)
{
	const struct audit_evidence *e = &t->said;
	const char *name;
	json_t *blob;

	if (!judge_signed(t, t->action))
		return;
	if (e->by && strcmp(e->by, t->action->by) != 0) {
		FOUND(t, AUDIT_APPROVAL, "it names %s, but commit " SHORT " is signed by %s", e->by, commit_at(t, t->landing).text,
		      t->action->by);
		return;
	}
	if (e->formula_name && !judge_signed(t, formula_event(t, e->formula_name)))
		return;
	json_object_foreach ((json_t *)e->secrets, name, blob) {
		if (!judge_signed(t, secret_event(t, name, json_string_value(blob))))
			return;
	}
}

static void judge_approval(struct trial *t)
{
	const struct audit_evidence *e = &t->said;
	size_t at = t->landing;

	if (!e->has_approval) {
		FOUND(t, AUDIT_APPROVAL, "it names none");
		return;
	}
	if (e->approval_commit.there && !git_oid_equal(&e->approval_commit.oid, &e->commit.oid)) {
		const struct audit_event *landed = NULL;
		if (audit_history_find(t->j->h, &e->approval_commit.oid, &at))
			landed = audit_event_at(t->actions, t->n_actions, at);
		if (!landed || landed->at != at || !landed->there || !git_oid_equal(&landed->blob, &e->action.oid)) {
			FOUND(t, AUDIT_APPROVAL, "commit " SHORT " did not bring these bytes to the protected branch",
			      hex(&e->approval_commit.oid).text);
			return;
		}
	}
	if (e->approval == APPROVAL_SIGNED)
		judge_signatures(t);
	t->j->out->n_forge += e->approval == APPROVAL_FORGE;
}

static void judge_formula(struct trial *t)
{
	const struct audit_evidence *e = &t->said;

	if (!e->formula_name || !e->formula.there) {
		if (!nothing_ran(e))
			FOUND(t, AUDIT_OTHER_FILE, "it does not name the formula's blob");
		return;
	}
	const struct audit_event *f = formula_event(t, e->formula_name);
	struct hex ran = hex(&e->formula.oid), commit = commit_at(t, t->landing);
	if (!f)
		FOUND(t, AUDIT_OTHER_FILE, "there was no vault/formulas/%s.yaml at commit " SHORT, e->formula_name, commit.text);
	else if (!git_oid_equal(&f->blob, &e->formula.oid))
		FOUND(t, AUDIT_OTHER_FILE, "vault/formulas/%s.yaml ran as " SHORT ", but at commit " SHORT " it was " SHORT,
		      e->formula_name, ran.text, commit.text, hex(&f->blob).text);
}

static bool lists(const json_t *array, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach (array, i, one) {
		if (strcmp(json_string_value(one), name) == 0)
			return true;
	}
	return false;
}

/* `action` is NULL where it does not parse. */
static void judge_secrets(struct trial *t, const struct action *action)
{
	const char *name;
	json_t *blob;

	json_object_foreach ((json_t *)t->said.secrets, name, blob) {
		if (action && !lists(action->secrets, name))
			FOUND(t, AUDIT_OTHER_FILE, "it was given %s, which its action does not name", name);
		else if (!secret_event(t, name, json_string_value(blob)))
			FOUND(t, AUDIT_OTHER_FILE, "vault/secrets/%s.age was not " SHORT " at any time from landing to result", name,
			      json_string_value(blob));
	}
}

/* Policy is read where the action landed. */
static void judge_policy_blob(struct trial *t)
{
	const struct audit_oid *said = &t->said.policy;
	const struct audit_policy *p = audit_policy_at(&t->j->policies, t->landing);
	struct hex ran = hex(&said->oid), commit = commit_at(t, t->landing), there = hex(&p->blob);

	if (audit_policy_named(&t->j->policies, t->landing, said->there ? &said->oid : NULL))
		return;
	if (!said->there)
		FOUND(t, AUDIT_OTHER_FILE, "it was judged by no policy, but at commit " SHORT " vault/policy.yaml " SHORT " was in force",
		      commit.text, there.text);
	else if (!p->policy.there)
		FOUND(t, AUDIT_OTHER_FILE, "it was judged by policy " SHORT ", but at commit " SHORT " none was in force", ran.text,
		      commit.text);
	else
		FOUND(t, AUDIT_OTHER_FILE, "it was judged by policy " SHORT ", but at commit " SHORT " " SHORT " was in force", ran.text,
		      commit.text, there.text);
}

static void compare_verdict(struct trial *t, const struct policy_verdict *v)
{
	const struct audit_evidence *e = &t->said;

	if (v->refuse)
		FOUND(t, AUDIT_WEAKER, "it ran, but %s", v->refuse);
	else if (e->tier < v->tier)
		FOUND(t, AUDIT_WEAKER, "its tier is %s, not %s: %s", e->tier == TIER_NONE ? "unknown" : tier_name(e->tier),
		      tier_name(v->tier), v->why);
	else if (e->has_approval && e->approval < v->approval)
		FOUND(t, AUDIT_WEAKER, "its approval is %s, where the tier %s wants %s", approval_mode_name(e->approval),
		      tier_name(v->tier), approval_mode_name(v->approval));
}

/* By today's rules for files; one that breaks them may have been good when it ran. */
static int judge_policy(struct trial *t, const struct action *action, struct err *err)
{
	cleanup_policy_verdict struct policy_verdict verdict = POLICY_VERDICT_INIT;
	const struct formula *formula = NULL;
	struct audit_event *f = formula_event(t, action->formula);

	if (f && audit_event_formula(t->j->h, f, &formula, err) < 0)
		return -1;
	if (!formula)
		return 0;
	const struct audit_policy *now = audit_policy_named(&t->j->policies, t->landing, t->said.policy.there ? &t->said.policy.oid : NULL);
	if (!now)
		now = audit_policy_at(&t->j->policies, t->landing);
	audit_policy_judge(&t->j->policies, t->j->rules, t->landing, now, action, formula, &verdict);
	compare_verdict(t, &verdict);
	return 0;
}

/* 1: parsed; 0: it does not; -1: it can't be read. */
static int read_action(const struct trial *t, struct action *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	if (!audit_is_plain(t->action))
		return 0;
	if (git_repo_blob(t->j->h->repo, &t->action->blob, ACTION_MAX_BYTES, &text, &why) == 0)
		return action_parse(t->id, text.data, text.len, ret, NULL) == 0;
	if (why.code == ERR_INVALID)
		return 0;
	err_move(err, &why);
	return err_wrap(err, "vault/actions/%s.json", t->id);
}

/* What the result says, once action and landing are known to be right. */
static int judge_rest(struct trial *t, struct err *err)
{
	cleanup_action struct action action = ACTION_INIT;
	int parsed = read_action(t, &action, err);

	if (parsed < 0)
		return -1;
	judge_formula(t);
	if (parsed && t->said.formula_name && strcmp(t->said.formula_name, action.formula) != 0)
		FOUND(t, AUDIT_OTHER_FILE, "formula %s ran, but its action names %s", t->said.formula_name, action.formula);
	judge_secrets(t, parsed ? &action : NULL);
	if (nothing_ran(&t->said))
		return 0;
	judge_approval(t);
	judge_policy_blob(t);
	return parsed ? judge_policy(t, &action, err) : 0;
}

static int judge(struct trial *t, size_t *ret_taken, struct err *err)
{
	bool believed = false;

	if (judge_commit(t, &believed, err) < 0)
		return -1;
	const struct audit_event *last = audit_event_at(t->actions, t->n_actions, t->result->at);
	*ret_taken = last ? t->result->at : SIZE_MAX;
	if (!believed)
		return 0;
	int read = read_result(t, err);
	if (read <= 0)
		return read;
	const char *committer = t->j->h->commits[t->result->at].dispatcher;
	if (t->said.dispatcher && strcmp(t->said.dispatcher, committer) != 0) {
		FOUND(t, AUDIT_FOREIGN_RESULT, "dispatcher %s committed it, but it says that %s ran it", committer, t->said.dispatcher);
		return 0;
	}
	if (!judge_identity(t))
		return 0;
	*ret_taken = t->landing;
	return judge_rest(t, err);
}

int audit_judge_result(struct audit_judge *j, const struct audit_event *result, size_t *ret_taken, struct err *err)
{
	struct trial t = {.j = j, .result = result, .id = result->name, .said = AUDIT_EVIDENCE_INIT};

	t.actions = audit_events(j->h, AUDIT_ACTION, t.id, &t.n_actions);
	int rc = judge(&t, ret_taken, err);
	audit_evidence_free(&t.said);
	return rc;
}
