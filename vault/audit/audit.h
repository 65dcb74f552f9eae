/*
 * The audit of an ops repo: does what its history says hold? Each result on the protected branch's first-parent chain is held against the action, the formula, the
 * secrets and the policy that stood there, against the approval that it names, and against what a dispatcher would have committed; and nothing that ended may have
 * changed since. Reads a bare repository, writes nothing.
 *
 * Git shows who could write, not who wrote: without keys (rules.dispatchers) anybody who may push can make a commit that looks like a dispatcher's.
 */
#ifndef VAULT_AUDIT_H
#define VAULT_AUDIT_H

#include "lib/err.h"
#include "vault/policy/policy.h"
#include "vault/ssh/allowed_signers.h"
#include <git2.h>
#include <stddef.h>
#include <stdint.h>

enum audit_kind {
	AUDIT_MALFORMED_TREE,        /* a folder in vault/ that can't be believed */
	AUDIT_MALFORMED_RESULT,      /* a result that is none */
	AUDIT_RESULT_WITHOUT_ACTION, /* no such action had landed */
	AUDIT_FOREIGN_RESULT,        /* no dispatcher's commit brought it */
	AUDIT_UNSIGNED_RESULT,       /* its commit is not signed by a key in rules.dispatchers */
	AUDIT_OTHER_ACTION,          /* the bytes that ran are not those that landed at the commit it names */
	AUDIT_OTHER_FILE,            /* a formula, secret or policy that it names is not what stood there */
	AUDIT_APPROVAL,              /* the approval that it names does not hold */
	AUDIT_WEAKER,                /* tier or approval are weaker than policy wanted */
	AUDIT_RESULT_CHANGED,        /* edited or removed after it was recorded */
	AUDIT_ACTION_CHANGED,        /* edited or removed after it was taken */
	AUDIT_RECIPIENTS,            /* a change of vault/recipients.txt that was not approved as a change of policy must be */
	AUDIT_NOT_IN_LEDGER,         /* a result without a claim or a done entry */
	AUDIT_OTHER_ENTRY,           /* its claim or done entry is another result's */
	AUDIT_RESULT_MISSING,        /* a done entry whose result never stood there */
	AUDIT_MALFORMED_LEDGER,      /* an entry that makes no sense, or a ledger that can't be believed */
};
/* "foreign-result": what JSON calls it. */
const char *audit_kind_name(enum audit_kind kind);
/* What people should do about it: half a sentence. */
const char *audit_kind_advice(enum audit_kind kind);

struct audit_finding {
	enum audit_kind kind;
	char *id; /* owned; of the action; NULL: of none */
	git_oid commit;
	size_t at;  /* where that stands in the chain, from 0 */
	char *what; /* owned; a sentence without a full stop. May hold text from the repository */
};

struct audit_rules {
	const struct allowed_signers *approvers;   /* NULL: signed approvals can't be checked, which is a finding for each */
	const struct allowed_signers *dispatchers; /* NULL: results need no signature */
	struct policy_floor floor;
	int64_t now;           /* our clock, in seconds since 1970 */
	const git_oid *ledger; /* the ledger's tip; NULL: there is none to compare with */
	const git_oid *since;  /* only what came after this commit of the chain is reported; NULL: all */
};

struct audit {
	struct audit_finding *findings; /* owned; oldest commit first */
	size_t n_findings;
	size_t n_actions, n_results; /* that stood there at some time, each id once */
	size_t n_commits;
	size_t n_forge; /* approvals by the forge, of which git shows only the commit and the bytes */
};
#define AUDIT_INIT \
	{ \
		.findings = NULL \
	}

/*
 * Audits the chain from `tip` to its root. -1: the repository can't be read, or ERR_NOT_FOUND: rules.since is not on the chain. Objects are read without being hashed again;
 * `git fsck` does that. Not for programs with threads that use libgit2 at the same time.
 */
int audit_run(git_repository *repo, const git_oid *tip, const struct audit_rules *rules, struct audit *ret, struct err *err);
void audit_free(struct audit *a);
#define cleanup_audit __attribute__((cleanup(audit_free)))

/* What approves the vault/recipients.txt of a commit. */
struct audit_recipients {
	bool first;                /* it is the first that ever stood on the branch: nothing has to approve it */
	enum approval_mode wanted; /* by the policies in force before and with it */
	git_oid blob, commit;      /* what it is, and where it landed */
	char *fault; /* owned. NULL, or why it is not approved: judged in mode signed only; in mode forge the forge has to be asked */
};
void audit_recipients_free(struct audit_recipients *r);
#define cleanup_audit_recipients __attribute__((cleanup(audit_recipients_free)))
/* -1: ERR_NOT_FOUND: there is none; else the repository can't be read. */
int audit_recipients(git_repository *repo, const git_oid *tip, const struct audit_rules *rules, struct audit_recipients *ret,
                     struct err *err);

#endif
