/* What a result says of itself, as far as an audit asks. */
#ifndef VAULT_AUDIT_EVIDENCE_H
#define VAULT_AUDIT_EVIDENCE_H

#include "lib/err.h"
#include "vault/action.h"
#include "vault/config/config.h"
#include "vault/result.h"
#include <git2.h>
#include <jansson.h>
#include <stdbool.h>

/* An object id, or null. */
struct audit_oid {
	bool there;
	git_oid oid;
};

/* Life: AUDIT_EVIDENCE_INIT -> audit_evidence_parse -> audit_evidence_free. Strings are borrowed from `json`. */
struct audit_evidence {
	json_t *json; /* owned; what is null is left out */
	enum outcome outcome;
	bool started;
	enum tier tier; /* TIER_NONE: null */
	bool has_approval;
	enum approval_mode approval;
	const char *by;         /* or NULL */
	const char *dispatcher; /* or NULL */
	const char *claim;      /* or NULL */
	struct audit_oid approval_commit, commit, action, policy, formula;
	const char *formula_name; /* or NULL */
	const json_t *secrets;    /* object of names to object ids in hexadecimal; NULL: none */
};
#define AUDIT_EVIDENCE_INIT \
	{ \
		.json = NULL, .tier = TIER_NONE \
	}

/* Reads the text of vault/actions/<id>.result.json. Keys that nobody knows yet are none of our business. ERR_INVALID: "<key>: <what is wrong>". */
int audit_evidence_parse(const char *id, const char *text, size_t len, struct audit_evidence *ret, struct err *err);
void audit_evidence_free(struct audit_evidence *e);
#define cleanup_audit_evidence __attribute__((cleanup(audit_evidence_free)))

#endif
