/* The policies that were in force along the history. */
#ifndef VAULT_AUDIT_POLICY_H
#define VAULT_AUDIT_POLICY_H

#include "vault/audit/audit.h"
#include "vault/audit/audit_history.h"

/* One policy, in force from commit `at` on. */
struct audit_policy {
	size_t at;
	git_oid blob;  /* means something only if policy.there */
	bool doubtful; /* the first one, without the approval that the configuration wants: taken only by a dispatcher that began later */
	struct policy policy;
};

struct audit_policies {
	struct audit_policy *v; /* owned; the first is "there is none" */
	size_t n;
};
#define AUDIT_POLICIES_INIT \
	{ \
		NULL, 0 \
	}

/*
 * Policies that parse and were approved as the one before them wants, where git can tell: what the forge was to approve counts as approved. The first one may have been
 * there before any dispatcher was, and then needed no approval.
 */
int audit_policies_read(const struct audit_history *h, const struct audit_rules *rules, struct audit_policies *ret, struct err *err);
void audit_policies_free(struct audit_policies *p);
#define cleanup_audit_policies __attribute__((cleanup(audit_policies_free)))

/* The one in force at a commit. */
const struct audit_policy *audit_policy_at(const struct audit_policies *p, size_t at);

/* The one in force at a commit that a result which names `blob` (NULL: none) may have been judged by; NULL: it names another. */
const struct audit_policy *audit_policy_named(const struct audit_policies *p, size_t at, const git_oid *blob);

/* Judges an action that landed at a commit: by the stricter of `now`, in force there, and of what was in force at that commit's first parent. */
void audit_policy_judge(const struct audit_policies *p, const struct audit_rules *rules, size_t at, const struct audit_policy *now,
                        const struct action *action, const struct formula *formula, struct policy_verdict *ret);

/*
 * The approval that a vault/recipients.txt needs: that of a change of policy, by the stricter of what was in force before it and with it. The first one on the branch
 * needs none: whoever sets up the site puts it there.
 */
enum approval_mode audit_recipients_wanted(const struct audit_policies *p, const struct audit_rules *rules, const struct audit_event *e,
                                           bool first);

#endif
