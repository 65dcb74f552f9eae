#include "vault/policy/policy.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include "vault/check.h"
#include "vault/image.h"
#include "vault/name.h"
#include "vault/policy/policy_set.h"

#define FORMULAS_MAX 4096
#define SECRETS_MAX 4096
#define SECRET_FORMULAS_MAX 256
#define PATTERNS_MAX 256

static const char *const tier_names[] = {"low", "medium", "high", NULL};
static const char *const approvals[] = {"landed", "signed", "forge", NULL};
_Static_assert(TIER_LOW == 0 && TIER_HIGH == POLICY_TIERS - 1, "tier_names[] follows the enumeration");
_Static_assert(APPROVAL_LANDED == 0 && APPROVAL_FORGE == 2, "approvals[] follows the enumeration, from weak to strong");

static const struct check_kind formula_name = {"a formula's name", vault_is_id, VAULT_ID_RULE};

void policy_none(struct policy *ret)
{
	*ret = (struct policy)POLICY_INIT;
	ret->formulas = json_object();
	ret->secrets = json_object();
	ret->images = json_array();
}

void policy_free(struct policy *p)
{
	json_decref(p->formulas);
	json_decref(p->secrets);
	json_decref(p->images);
	*p = (struct policy)POLICY_INIT;
}

/* Ends a reader of something within r. */
static void end_inner(struct json_reader *in, struct json_reader *r)
{
	cleanup_err struct err inner = ERR_INIT;

	if (json_reader_end(in, &inner) != 0 && r->err.code == ERR_NONE)
		err_move(&r->err, &inner);
}

/*
 * Maps whose keys are names from elsewhere: calls `read` with each value in an object of its own, as if it stood alone, since a reader remembers only
 * so many keys.
 */
typedef void (*read_entry)(struct json_reader *one, const char *key, struct policy *p);

static void read_map(struct json_reader *r, const char *key, const struct check_kind *kind, size_t max, read_entry read, struct policy *p)
{
	json_t *map = (json_t *)json_get_object(r, key, max, false); /* iterating does not change it */
	const char *name;
	json_t *value;

	json_object_foreach (map, name, value) {
		cleanup_json json_t *alone = json_pack("{s:O}", name, value);
		cleanup_free char *shown = check_quote(name);
		struct json_reader one;

		if (!kind->is(name))
			json_reader_fail(r, key, "%s is not %s: %s", shown, kind->what, kind->rule);
		json_reader_init(&one, alone, key);
		read(&one, name, p);
		end_inner(&one, r);
	}
}

static void read_formula_tier(struct json_reader *one, const char *name, struct policy *p)
{
	json_object_set_new(p->formulas, name, json_integer(json_get_enum(one, name, tier_names, true, TIER_HIGH)));
}

static void read_secret(struct json_reader *one, const char *name, struct policy *p)
{
	const json_t *rule = json_get_object(one, name, 8, true);
	cleanup_free char *where = xasprintf("%s.%s", one->where, name);
	struct json_reader in;

	if (!rule)
		return;
	json_reader_init(&in, rule, where);
	cleanup_json json_t *formulas = set_of(check_get_names(&in, "formulas", &formula_name, SECRET_FORMULAS_MAX, true));
	end_inner(&in, one);
	json_object_set_new(p->secrets, name, json_pack("{s:O, s:b}", "formulas", formulas, "direct", true));
}

/* What is not said of a tier is as in the one below, but that nothing is direct unless it says so. */
static void read_tier(struct json_reader *r, enum tier t, struct policy *p)
{
	const json_t *rule = json_get_object(r, tier_names[t], 8, false);
	const struct policy_tier below = t > 0 ? p->tiers[t - 1] : (struct policy_tier){APPROVAL_LANDED, true};
	cleanup_free char *where = xasprintf("%s.%s", r->where, tier_names[t]);
	struct policy_tier *tier = &p->tiers[t];
	struct json_reader in;

	*tier = (struct policy_tier){below.approval, false};
	if (!rule)
		return;
	json_reader_init(&in, rule, where);
	tier->approval = (enum approval_mode)json_get_enum(&in, "approval", approvals, false, (int)below.approval);
	tier->direct = json_get_bool(&in, "direct", false, false);
	if (tier->approval < below.approval)
		json_reader_fail(&in, "approval", "%s is weaker than %s, which %s wants; a higher tier can't want less",
		                 approvals[tier->approval], approvals[below.approval], tier_names[t - 1]);
	if (tier->direct && tier->approval != APPROVAL_LANDED)
		json_reader_fail(&in, "direct", "goes with approval: landed only; what the dispatcher lands by itself has no %s",
		                 tier->approval == APPROVAL_SIGNED ? "signature" : "review");
	if (tier->direct && !below.direct)
		json_reader_fail(&in, "direct", "%s is not direct; a higher tier can't want less", tier_names[t - 1]);
	end_inner(&in, r);
}

static void read_tiers(struct json_reader *r, struct policy *p)
{
	const json_t *tiers = json_get_object(r, "tiers", 8, false);
	struct json_reader in;

	if (!tiers)
		return;
	json_reader_init(&in, tiers, "tiers");
	for (int t = 0; t < POLICY_TIERS; t++)
		read_tier(&in, (enum tier)t, p);
	end_inner(&in, r);
}

static void read_allowed(struct json_reader *in, struct policy *p)
{
	const json_t *written = check_get_names(in, "allow", &check_image_pattern, PATTERNS_MAX, false);
	cleanup_json json_t *patterns = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach (written, i, one) {
		cleanup_free char *at = xasprintf("allow[%zu]", i);
		cleanup_free char *shown = check_quote(json_string_value(one));
		cleanup_free char *pattern = NULL;
		cleanup_err struct err why = ERR_INIT;

		if (image_pattern_normalise(json_string_value(one), &pattern, &why) < 0)
			json_reader_fail(in, at, "%s: %s", shown, err_msg(&why));
		else
			json_array_append_new(patterns, json_string(pattern));
	}
	if (written)
		json_array_append_new(p->images, set_of(patterns));
}

static void read_images(struct json_reader *r, struct policy *p)
{
	const json_t *images = json_get_object(r, "images", 8, false);
	struct json_reader in;

	if (!images)
		return;
	json_reader_init(&in, images, "images");
	read_allowed(&in, p);
	p->require_digest = json_get_bool(&in, "require_digest", false, false);
	end_inner(&in, r);
}

static void read_policy(struct json_reader *r, struct policy *p)
{
	p->there = true;
	p->freeze = json_get_bool(r, "freeze", false, false);
	p->default_tier = (enum tier)json_get_enum(r, "default_tier", tier_names, false, TIER_HIGH);
	read_map(r, "formulas", &formula_name, FORMULAS_MAX, read_formula_tier, p);
	read_tiers(r, p);
	read_map(r, "secrets", &check_secret, SECRETS_MAX, read_secret, p);
	read_images(r, p);
}

int policy_parse(const char *text, size_t len, struct policy *ret, struct err *err)
{
	static const struct json_limits limits = {POLICY_MAX_BYTES, 8};
	cleanup_policy struct policy p = POLICY_INIT;
	cleanup_json json_t *json = NULL;
	struct json_reader r;

	if (yaml_parse(text, len, &limits, &json, err) != 0)
		return err_wrap(err, VAULT_POLICY);
	policy_none(&p);
	json_reader_init(&r, json, "");
	if (json_is_object(json))
		read_policy(&r, &p);
	if (json_reader_end(&r, err) != 0)
		return err_wrap(err, VAULT_POLICY);
	*ret = p;
	p = (struct policy)POLICY_INIT;
	return 0;
}
