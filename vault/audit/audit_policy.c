/* The policies that were in force along the history. See audit_policy.h. */
#include "vault/audit/audit_policy.h"

#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include "vault/audit/audit_look.h"

void audit_policies_free(struct audit_policies *p)
{
	for (size_t i = 0; i < p->n; i++)
		policy_free(&p->v[i].policy);
	free(p->v);
	*p = (struct audit_policies)AUDIT_POLICIES_INIT;
}

static void add(struct audit_policies *p, size_t at, const git_oid *blob, bool doubtful, const struct policy *policy)
{
	p->v = xrealloc(p->v, (p->n + 1) * sizeof(*p->v));
	p->v[p->n++] = (struct audit_policy){at, *blob, doubtful, *policy};
}

/* 1: it is a policy; 0: it is none, so that the one before stays; -1: it can't be read. */
static int parse(const struct audit_history *h, const struct audit_event *e, struct policy *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	/* As the dispatcher has it: executable or not. */
	if (!e->there || (e->mode != GIT_FILEMODE_BLOB && e->mode != GIT_FILEMODE_BLOB_EXECUTABLE))
		return 0;
	if (git_repo_blob(h->repo, &e->blob, POLICY_MAX_BYTES, &text, &why) == 0)
		return policy_parse(text.data, text.len, ret, NULL) == 0;
	if (why.code == ERR_INVALID)
		return 0;
	err_move(err, &why);
	return err_wrap(err, VAULT_POLICY " at commit %.10s", git_oid_tostr_s(&h->commits[e->at].oid));
}

static bool is_approved(const struct audit_history *h, const struct audit_rules *rules, const struct audit_policies *p,
                        struct audit_event *e)
{
	if (policy_change_approval(&p->v[p->n - 1].policy, &rules->floor) != APPROVAL_SIGNED)
		return true;
	return !audit_event_signed(h, rules, e);
}

int audit_policies_read(const struct audit_history *h, const struct audit_rules *rules, struct audit_policies *ret, struct err *err)
{
	cleanup_audit_policies struct audit_policies p = AUDIT_POLICIES_INIT;
	const git_oid nothing = {{0}};
	struct policy policy = POLICY_INIT;
	size_t n;
	struct audit_event *events = audit_events(h, AUDIT_POLICY, "", &n);

	policy_none(&policy);
	add(&p, 0, &nothing, false, &policy);
	for (size_t i = 0; i < n; i++) {
		policy = (struct policy)POLICY_INIT;
		int rc = parse(h, &events[i], &policy, err);
		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		bool approved = is_approved(h, rules, &p, &events[i]);
		if (approved || p.n == 1)
			add(&p, events[i].at, &events[i].blob, !approved, &policy);
		else
			policy_free(&policy);
	}
	*ret = p;
	p = (struct audit_policies)AUDIT_POLICIES_INIT;
	return 0;
}

const struct audit_policy *audit_policy_at(const struct audit_policies *p, size_t at)
{
	size_t low = 0, high = p->n; /* v[low] is in force by then, v[high] is not yet */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (p->v[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return &p->v[low];
}

static bool is_named(const struct audit_policy *v, const git_oid *blob)
{
	return v->policy.there == (blob != NULL) && (!blob || git_oid_equal(&v->blob, blob));
}

const struct audit_policy *audit_policy_named(const struct audit_policies *p, size_t at, const git_oid *blob)
{
	const struct audit_policy *now = audit_policy_at(p, at);
	if (is_named(now, blob))
		return now;
	return now->doubtful && is_named(now - 1, blob) ? now - 1 : NULL;
}

void audit_policy_judge(const struct audit_policies *p, const struct audit_rules *rules, size_t at, const struct audit_policy *now,
                        const struct action *action, const struct formula *formula, struct policy_verdict *ret)
{
	const struct audit_policy *before = at > 0 ? audit_policy_at(p, at - 1) : now;
	cleanup_policy struct policy both = POLICY_INIT;

	/* Where there was none before, the first one takes its place: without a policy every tier would be high. */
	if (before >= now || !before->policy.there) {
		policy_judge(&now->policy, &rules->floor, action, formula, ret);
		return;
	}
	policy_stricter(&before->policy, &now->policy, &both);
	policy_judge(&both, &rules->floor, action, formula, ret);
}

enum approval_mode audit_recipients_wanted(const struct audit_policies *p, const struct audit_rules *rules, const struct audit_event *e,
                                           bool first)
{
	if (first)
		return APPROVAL_LANDED;
	enum approval_mode before = policy_change_approval(&audit_policy_at(p, e->at > 0 ? e->at - 1 : 0)->policy, &rules->floor);
	enum approval_mode with = policy_change_approval(&audit_policy_at(p, e->at)->policy, &rules->floor);
	return before > with ? before : with;
}
