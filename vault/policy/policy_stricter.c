/* Two policies into one that is at least as strict as each. */
#include "lib/cleanup.h"
#include "vault/policy/policy.h"
#include "vault/policy/policy_set.h"

#define STRONGER(a, b) ((a) > (b) ? (a) : (b))

bool policy_equal(const struct policy *a, const struct policy *b)
{
	for (int t = 0; t < POLICY_TIERS; t++)
		if (a->tiers[t].approval != b->tiers[t].approval || a->tiers[t].direct != b->tiers[t].direct)
			return false;
	return a->there == b->there && a->freeze == b->freeze && a->default_tier == b->default_tier &&
	       a->require_digest == b->require_digest && json_equal(a->formulas, b->formulas) && json_equal(a->secrets, b->secrets) &&
	       json_equal(a->images, b->images);
}

static enum tier tier_of(const struct policy *p, const char *formula)
{
	const json_t *tier = json_object_get(p->formulas, formula);

	return tier ? (enum tier)json_integer_value(tier) : p->default_tier;
}

/* Those that `a` names. */
static void add_formulas(const struct policy *a, const struct policy *b, json_t *ret)
{
	const char *name;
	json_t *value;

	json_object_foreach (a->formulas, name, value) {
		json_object_set_new(ret, name, json_integer(STRONGER(tier_of(a, name), tier_of(b, name))));
	}
}

/*
 * The rules of `a`, narrowed by those of `b`. A secret that only one of the two lists stays with that list, but is no longer one that
 * a direct action may have: the other one never said so.
 */
static void add_secrets(const struct policy *a, const struct policy *b, json_t *ret)
{
	const char *name;
	json_t *rule;

	json_object_foreach (a->secrets, name, rule) {
		const json_t *other = json_object_get(b->secrets, name);
		json_t *formulas = json_object_get(rule, "formulas");
		bool direct = json_is_true(json_object_get(rule, "direct")) && json_is_true(json_object_get(other, "direct"));
		cleanup_json json_t *both = other ? set_common(formulas, json_object_get(other, "formulas")) : json_incref(formulas);

		json_object_set_new(ret, name, json_pack("{s:O, s:b}", "formulas", both, "direct", direct));
	}
}

void policy_stricter(const struct policy *a, const struct policy *b, struct policy *ret)
{
	struct policy p = {
	    .there = a->there || b->there,
	    .merged = a->merged || b->merged || !policy_equal(a, b),
	    .freeze = a->freeze || b->freeze,
	    .default_tier = STRONGER(a->default_tier, b->default_tier),
	    .require_digest = a->require_digest || b->require_digest,
	    .formulas = json_object(),
	    .secrets = json_object(),
	    .images = set_of_sets(a->images, b->images),
	};

	for (int t = 0; t < POLICY_TIERS; t++) {
		p.tiers[t].approval = STRONGER(a->tiers[t].approval, b->tiers[t].approval);
		p.tiers[t].direct = a->tiers[t].direct && b->tiers[t].direct;
	}
	add_formulas(a, b, p.formulas);
	add_formulas(b, a, p.formulas);
	add_secrets(a, b, p.secrets);
	add_secrets(b, a, p.secrets);
	*ret = p;
}
