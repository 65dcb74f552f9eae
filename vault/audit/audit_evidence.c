/* A result read back. See audit_evidence.h. */
#include "vault/audit/audit_evidence.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include "vault/name.h"
#include <string.h>

void audit_evidence_free(struct audit_evidence *e)
{
	json_decref(e->json);
	*e = (struct audit_evidence)AUDIT_EVIDENCE_INIT;
}

/* The object without what is null: to the reader null is a value of the wrong type. New reference. */
static json_t *without_nulls(const json_t *object)
{
	json_t *copy = json_object(), *value;
	const char *key;

	json_object_foreach ((json_t *)object, key, value) {
		if (json_is_object(value))
			json_object_set_new(copy, key, without_nulls(value));
		else if (!json_is_null(value))
			json_object_set(copy, key, value);
	}
	return copy;
}

static bool is_oid(const char *text, git_oid *ret)
{
	return strlen(text) == GIT_OID_HEXSZ && strspn(text, "0123456789abcdef") == GIT_OID_HEXSZ && git_oid_fromstr(ret, text) == 0;
}

static struct audit_oid get_oid(struct json_reader *r, const char *key)
{
	const char *text = json_get_string(r, key, 1, 64, false, NULL);
	struct audit_oid oid = {.there = false};

	if (!text)
		return oid;
	oid.there = is_oid(text, &oid.oid);
	if (!oid.there)
		json_reader_fail(r, key, "must be an object id: 40 hexadecimal digits");
	return oid;
}

/* An object that is a member of the result. The reader of the result itself learns of what is wrong in it. */
static void read_approval(struct json_reader *top, struct audit_evidence *e)
{
	static const char *const modes[] = {"landed", "signed", "forge", NULL};
	const json_t *object = json_get_object(top, "approval", SIZE_MAX, false);
	struct json_reader r;

	if (!object)
		return;
	json_reader_init(&r, object, "");
	e->has_approval = true;
	e->approval = (enum approval_mode)json_get_enum(&r, "mode", modes, true, 0);
	e->by = json_get_string(&r, "by", 0, RESULT_MAX_BYTES, false, NULL);
	e->approval_commit = get_oid(&r, "commit");
	if (r.err.code)
		json_reader_fail(top, "approval", "%s", err_msg(&r.err));
	err_clear(&r.err);
}

static void read_formula(struct json_reader *top, struct audit_evidence *e)
{
	const json_t *object = json_get_object(top, "formula", SIZE_MAX, false);
	struct json_reader r;

	if (!object)
		return;
	json_reader_init(&r, object, "");
	e->formula_name = json_get_string(&r, "name", 1, VAULT_ID_MAX, true, NULL);
	if (e->formula_name && !vault_is_id(e->formula_name))
		json_reader_fail(&r, "name", "must be a formula's name: " VAULT_ID_RULE);
	e->formula = get_oid(&r, "blob");
	if (r.err.code)
		json_reader_fail(top, "formula", "%s", err_msg(&r.err));
	err_clear(&r.err);
}

static void read_secrets(struct json_reader *top, struct audit_evidence *e)
{
	const char *name;
	json_t *blob;
	git_oid oid;

	e->secrets = json_get_object(top, "secrets", SIZE_MAX, false);
	json_object_foreach ((json_t *)e->secrets, name, blob) {
		if (!vault_is_secret(name) || !json_is_string(blob) || !is_oid(json_string_value(blob), &oid))
			json_reader_fail(top, "secrets", "must map names of secrets to object ids");
	}
}

static int read_members(const char *id, struct audit_evidence *e, struct err *err)
{
	static const char *const outcomes[] = {"succeeded", "failed", "timed_out", "cancelled", "refused", "lost", NULL};
	static const char *const tiers[] = {"low", "medium", "high", NULL};
	struct json_reader r;

	json_reader_init(&r, e->json, "");
	const char *own_id = json_get_string(&r, "id", 1, VAULT_ID_MAX, true, NULL);
	if (own_id && strcmp(own_id, id) != 0)
		json_reader_fail(&r, "id", "is %s", own_id);
	e->outcome = (enum outcome)json_get_enum(&r, "outcome", outcomes, true, 0);
	e->started = json_get_string(&r, "started_at", 1, 64, false, NULL) != NULL;
	e->tier = json_has(&r, "tier") ? (enum tier)json_get_enum(&r, "tier", tiers, true, 0) : TIER_NONE;
	e->dispatcher = json_get_string(&r, "dispatcher", 1, 1024, false, NULL);
	e->claim = json_get_string(&r, "claim", 1, 1024, false, NULL);
	e->commit = get_oid(&r, "commit");
	e->action = get_oid(&r, "action");
	e->policy = get_oid(&r, "policy");
	read_approval(&r, e);
	read_formula(&r, e);
	read_secrets(&r, e);
	bool failed = r.err.code != ERR_NONE;
	if (failed)
		err_move(err, &r.err);
	err_clear(&r.err);
	return failed ? -1 : 0;
}

int audit_evidence_parse(const char *id, const char *text, size_t len, struct audit_evidence *ret, struct err *err)
{
	cleanup_audit_evidence struct audit_evidence e = AUDIT_EVIDENCE_INIT;
	json_error_t why;
	/* Not json_parse_strict: logs hold what a program wrote, control characters too. */
	cleanup_json json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);

	if (!json)
		return err_set(err, ERR_INVALID, "line %d: %s", why.line, why.text);
	if (!json_is_object(json))
		return err_set(err, ERR_INVALID, "must be an object");
	e.json = without_nulls(json);
	if (read_members(id, &e, err) < 0)
		return -1;
	*ret = e;
	e = (struct audit_evidence)AUDIT_EVIDENCE_INIT;
	return 0;
}
