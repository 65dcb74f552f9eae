/*
 * Results as an audit reads them: whatever the bytes, they are refused, or what is taken from them has the form that the audit relies on.
 */
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/audit/audit_evidence.h"
#include "vault/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_secrets(const json_t *secrets)
{
	const char *name;
	json_t *blob;

	json_object_foreach ((json_t *)secrets, name, blob)
		must(vault_is_secret(name) && json_string_length(blob) == GIT_OID_HEXSZ);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_audit_evidence struct audit_evidence e = AUDIT_EVIDENCE_INIT;
	cleanup_err struct err err = ERR_INIT;

	if (audit_evidence_parse("x", (const char *)data, size, &e, &err) < 0) {
		must(err.code == ERR_INVALID && *err_msg(&err) && !e.json);
		return 0;
	}
	must(strcmp(json_string_value(json_object_get(e.json, "id")), "x") == 0);
	must(e.outcome <= OUTCOME_LOST && e.tier >= TIER_NONE && e.tier <= TIER_HIGH && e.approval <= APPROVAL_FORGE);
	must(!e.formula_name || vault_is_id(e.formula_name));
	check_secrets(e.secrets);
	return 0;
}
