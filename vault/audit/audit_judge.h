/* Findings, and the judgement of single results. */
#ifndef VAULT_AUDIT_JUDGE_H
#define VAULT_AUDIT_JUDGE_H

#include "vault/audit/audit.h"
#include "vault/audit/audit_history.h"
#include "vault/audit/audit_policy.h"

/* One audit at work. */
struct audit_judge {
	struct audit_history *h;
	const struct audit_rules *rules;
	struct audit_policies policies;
	struct audit_ledger *ledger; /* NULL: there is none to compare with */
	bool has_since;
	size_t since; /* nothing up to this commit is reported */
	struct audit *out;
};

/* Adds a finding about what came with a commit. `id` may be NULL. */
void audit_found(struct audit_judge *j, enum audit_kind kind, const char *id, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * Judges a result as it was recorded. *ret_taken: the commit from which on its action may not change any more; SIZE_MAX: there is no such action. -1: the
 * repository can't be read.
 */
int audit_judge_result(struct audit_judge *j, const struct audit_event *result, size_t *ret_taken, struct err *err);

#endif
