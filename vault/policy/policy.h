/*
 * Policy: vault/policy.yaml, which says how strictly an action is judged (docs/formats.md). Pure: no files, no git.
 *
 * A policy is strict in every field by itself, so that of two the stricter can be made field by field. Within one, a higher tier never wants
 * less than a lower one: an action that raises its own tier gains nothing by it.
 *
 * Life: POLICY_INIT or policy_none -> policy_parse or policy_stricter -> policy_free.
 */
#ifndef VAULT_POLICY_H
#define VAULT_POLICY_H

#include "lib/err.h"
#include "vault/action.h"
#include "vault/config/config.h"
#include "vault/formula.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define POLICY_MAX_BYTES 65536
#define POLICY_TIERS 3 /* by enum tier, without TIER_NONE */

struct policy_tier {
	enum approval_mode approval;
	bool direct; /* a proposal may be landed by the dispatcher itself */
};

/* The values are owned and canonical: equal policies are equal member by member. */
struct policy {
	bool there;  /* false: there is no policy file, and never was one */
	bool merged; /* the stricter of two that differ: for the words of a verdict only */
	bool freeze;
	enum tier default_tier;
	struct policy_tier tiers[POLICY_TIERS];
	json_t *formulas; /* object name -> tier as an integer */
	json_t *secrets; /* object NAME -> {"formulas": [name…], "direct": bool}; direct: listed by each policy that this one is made of */
	json_t *images;  /* array of allow-lists, each an array of normalised patterns; an image must be on every list */
	bool require_digest;
};
#define POLICY_INIT \
	{ \
		.there = false, .default_tier = TIER_HIGH \
	}

/* What holds where there is no policy: every tier is high, and its approval is the configuration's minimum. */
void policy_none(struct policy *ret);

/* Parses and checks the text of vault/policy.yaml. ERR_INVALID: "vault/policy.yaml: <key>: <rule>". */
int policy_parse(const char *text, size_t len, struct policy *ret, struct err *err);
void policy_free(struct policy *p);
#define cleanup_policy __attribute__((cleanup(policy_free)))

/* Whether two policies judge alike. */
bool policy_equal(const struct policy *a, const struct policy *b);

/*
 * Field by field the stricter: the higher tier of each formula, the stronger approval of each tier, direct only where both are, secrets for the formulas
 * that both let have them, images that are on the lists of both, a digest if either wants one, frozen if either is. Commutative and
 * idempotent; nothing that it lets pass is refused, or judged more strictly, by one of the two.
 */
void policy_stricter(const struct policy *a, const struct policy *b, struct policy *ret);

/* What the dispatcher's own configuration says: policy can raise it and never lower it. */
struct policy_floor {
	enum approval_mode minimum;
	bool allow_direct;
	const char *runner_image; /* for formulas that name none; NULL: not known here */
};
struct policy_floor policy_floor_of(const struct config *config); /* borrows from it */

/* The approval that formula, secret and action files of a tier need. */
enum approval_mode policy_approval(const struct policy *p, const struct policy_floor *floor, enum tier tier);
/* The approval that a change of the policy itself needs, under the policy that is to be changed: that of high. */
enum approval_mode policy_change_approval(const struct policy *p, const struct policy_floor *floor);

/* What an action has to expect. Life: policy_judge -> policy_verdict_free. */
struct policy_verdict {
	enum tier tier;
	char *why; /* of the tier: half a sentence, "vault/policy.yaml gives release the tier high" */
	enum approval_mode approval;
	bool direct;  /* a proposal of it may be landed without a human */
	char *refuse; /* NULL, or why it can never run under this policy: a sentence that names file and rule */
	char *wait;   /* NULL, or why nothing starts now */
	char *image;  /* the image that will be used, normalised, as it was judged; NULL: not known here, or no reference */
};
#define POLICY_VERDICT_INIT \
	{ \
		.tier = TIER_HIGH, .approval = APPROVAL_FORGE \
	}

/* Judges an action with its formula, which must be the one that it names. ret must be fresh. */
void policy_judge(const struct policy *p, const struct policy_floor *floor, const struct action *a, const struct formula *f,
                  struct policy_verdict *ret);
void policy_verdict_free(struct policy_verdict *v);
#define cleanup_policy_verdict __attribute__((cleanup(policy_verdict_free)))

/* Whether policy lists the secret, and whether this formula may have it. */
enum policy_secret { POLICY_SECRET_UNLISTED, POLICY_SECRET_ALLOWED, POLICY_SECRET_DENIED };
enum policy_secret policy_secret(const struct policy *p, const char *secret, const char *formula);

#endif
