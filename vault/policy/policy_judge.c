/* One action under one policy. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/check.h"
#include "vault/image.h"
#include "vault/name.h"
#include "vault/policy/policy.h"
#include <stdlib.h>

struct policy_floor policy_floor_of(const struct config *config)
{
	return (struct policy_floor){config->approval.minimum, config->approval.allow_direct, config->runner_image};
}

enum approval_mode policy_approval(const struct policy *p, const struct policy_floor *floor, enum tier tier)
{
	bool known = tier >= TIER_LOW && tier <= TIER_HIGH;
	enum approval_mode wanted = p->tiers[known ? tier : TIER_HIGH].approval;

	return wanted > floor->minimum ? wanted : floor->minimum;
}

enum approval_mode policy_change_approval(const struct policy *p, const struct policy_floor *floor)
{
	return policy_approval(p, floor, TIER_HIGH);
}

enum policy_secret policy_secret(const struct policy *p, const char *secret, const char *formula)
{
	const json_t *rule = json_object_get(p->secrets, secret);

	if (!rule)
		return POLICY_SECRET_UNLISTED;
	return check_list_has(json_object_get(rule, "formulas"), formula) ? POLICY_SECRET_ALLOWED : POLICY_SECRET_DENIED;
}

/* What policy says of the formula, in words that name whose they are. */
static enum tier policy_tier_of(const struct policy *p, const char *formula, struct buf *why)
{
	const char *who = p->merged ? "the stricter of two versions of " VAULT_POLICY : VAULT_POLICY;
	const json_t *named = json_object_get(p->formulas, formula);

	if (!p->there)
		buf_adds(why, "there is no " VAULT_POLICY ", so every tier is high");
	else if (named)
		buf_addf(why, "%s gives %s the tier %s", who, formula, tier_name((enum tier)json_integer_value(named)));
	else
		buf_addf(why, "%s does not name %s, and its default_tier is %s", who, formula, tier_name(p->default_tier));
	return named ? (enum tier)json_integer_value(named) : p->default_tier;
}

static void judge_tier(const struct policy *p, const struct action *a, struct policy_verdict *v)
{
	struct buf why = BUF_INIT;

	v->tier = policy_tier_of(p, a->formula, &why);
	if (a->blast_radius > v->tier) {
		v->tier = a->blast_radius;
		buf_addf(&why, "; the action's blast_radius raises it to %s", tier_name(v->tier));
	}
	v->why = buf_steal(&why);
}

/* "a, b and 3 more", or that there is nobody. */
static void add_some(struct buf *b, const json_t *names)
{
	const size_t max = 5;
	size_t n = json_array_size(names);

	if (n == 0)
		buf_adds(b, "no formula at all");
	for (size_t i = 0; i < n && i < max; i++)
		buf_addf(b, "%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(names, i)));
	if (n > max)
		buf_addf(b, " and %zu more", n - max);
}

/* Why this formula may not have one of the action's secrets; NULL: it may have them all. Caller frees. */
static char *refuse_secrets(const struct policy *p, const struct action *a)
{
	cleanup_free char *path = vault_action_path(a->id);
	const json_t *name;
	size_t i;

	json_array_foreach (a->secrets, i, name) {
		const char *secret = json_string_value(name);
		struct buf why = BUF_INIT;

		if (policy_secret(p, secret, a->formula) != POLICY_SECRET_DENIED)
			continue;
		buf_addf(&why, "%s: secrets[%zu]: %s may not have %s; " VAULT_POLICY " gives it to ", path, i, a->formula, secret);
		add_some(&why, json_object_get(json_object_get(p->secrets, secret), "formulas"));
		return buf_steal(&why);
	}
	return NULL;
}

/* Whether some pattern of the list covers the image. */
static bool is_listed(const char *image, const json_t *list)
{
	const json_t *pattern;
	size_t i;

	json_array_foreach (list, i, pattern) {
		if (image_matches(image, json_string_value(pattern)))
			return true;
	}
	return false;
}

/* What is wrong with the image (NULL: it is no reference), or NULL. Caller frees. */
static char *image_fault(const struct policy *p, const char *written, const char *image)
{
	const json_t *list;
	size_t i;

	if (json_array_size(p->images) == 0 && !p->require_digest)
		return NULL;
	if (!image)
		return xasprintf("%s is not a reference that can be judged, as in registry.example/team/app:1.0", written);
	json_array_foreach (p->images, i, list) {
		if (is_listed(image, list))
			continue;
		return xasprintf("%s, which is %s, is not covered by images.allow of " VAULT_POLICY "%s", written, image,
		                 image_is_pinned(image)
		                     ? " (an image by digest is covered by a pattern for every tag, as in debian:*, or by its digest)"
		                     : "");
	}
	if (p->require_digest && !image_is_pinned(image))
		return xasprintf("%s has no digest, and " VAULT_POLICY " wants one (images.require_digest), as in debian@sha256:…",
		                 written);
	return NULL;
}

/*
 * The formula's own image is refused for good; the dispatcher's is no fault of the action: another configuration, or another dispatcher, may
 * run it.
 */
static void judge_image(const struct policy *p, const struct policy_floor *floor, const struct formula *f, struct policy_verdict *v)
{
	cleanup_free char *path = vault_formula_path(f->name);
	const char *written = f->image ? f->image : floor->runner_image;
	cleanup_free char *fault = NULL;

	if (!written)
		return;
	if (image_normalise(written, &v->image, NULL) < 0)
		v->image = NULL;
	fault = image_fault(p, written, v->image);
	if (fault && f->image && !v->refuse)
		v->refuse = xasprintf("%s: image: %s", path, fault);
	else if (fault && !f->image)
		v->wait = xasprintf("runner_image of this dispatcher's configuration: %s", fault);
}

/* Whether policy lists every secret of the action for its formula. */
static bool secrets_are_listed(const struct policy *p, const struct action *a)
{
	const json_t *name;
	size_t i;

	json_array_foreach (a->secrets, i, name) {
		const char *secret = json_string_value(name);

		if (policy_secret(p, secret, a->formula) != POLICY_SECRET_ALLOWED ||
		    !json_is_true(json_object_get(json_object_get(p->secrets, secret), "direct")))
			return false;
	}
	return true;
}

void policy_judge(const struct policy *p, const struct policy_floor *floor, const struct action *a, const struct formula *f,
                  struct policy_verdict *ret)
{
	struct policy_verdict v = POLICY_VERDICT_INIT;

	judge_tier(p, a, &v);
	v.approval = policy_approval(p, floor, v.tier);
	v.refuse = refuse_secrets(p, a);
	judge_image(p, floor, f, &v);
	if (p->freeze && !v.wait)
		v.wait = xstrdup(VAULT_POLICY " says freeze: true: nothing new starts until that is changed");
	v.direct = p->tiers[v.tier].direct && floor->allow_direct && v.approval == APPROVAL_LANDED && !v.refuse &&
	           json_array_size(a->mounts) == 0 && secrets_are_listed(p, a);
	*ret = v;
}

void policy_verdict_free(struct policy_verdict *v)
{
	free(v->why);
	free(v->refuse);
	free(v->wait);
	free(v->image);
	*v = (struct policy_verdict)POLICY_VERDICT_INIT;
}
