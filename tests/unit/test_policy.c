#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/policy/policy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PATH "vault/policy.yaml: "
#define LEN(a) (sizeof(a) / sizeof(*(a)))
#define SHA "sha256:5a1c00000000000000000000000000000000000000000000000000000000beef"

static const struct policy_floor lowest = {APPROVAL_LANDED, false, "disinto/runner"};

static void parse(const char *text, struct policy *ret)
{
	cleanup_err struct err err = ERR_INIT;

	if (policy_parse(text, strlen(text), ret, &err) != 0)
		fail_msg("%s", err_msg(&err));
}

/* An action and its formula; `more` is put into the action, image NULL: the formula names none. */
static void make(const char *formula, const char *secrets, const char *more, const char *image, struct action *a, struct formula *f)
{
	cleanup_free char *action =
	    xasprintf("{\"id\": \"x\", \"formula\": \"%s\", \"context\": \"c\", \"secrets\": %s%s}", formula, secrets, more);
	cleanup_free char *yaml =
	    xasprintf("name: %s\n%s%s\nsteps: [{id: s, run: \"true\"}]\n", formula, image ? "image: " : "", image ? image : "");
	cleanup_err struct err err = ERR_INIT;

	if (action_parse("x", action, strlen(action), a, &err) != 0 || formula_parse(formula, yaml, strlen(yaml), f, &err) != 0)
		fail_msg("%s", err_msg(&err));
}

static void judge(const char *policy, const struct policy_floor *floor, const char *formula, const char *secrets, const char *more,
                  const char *image, struct policy_verdict *ret)
{
	cleanup_policy struct policy p = POLICY_INIT;
	cleanup_action struct action a = ACTION_INIT;
	cleanup_formula struct formula f = FORMULA_INIT;

	if (policy)
		parse(policy, &p);
	else
		policy_none(&p);
	make(formula, secrets, more, image, &a, &f);
	policy_judge(&p, floor, &a, &f, ret);
}

static void says(const char *got, const char *wanted)
{
	if (!wanted)
		assert_null(got);
	else if (!got || !strstr(got, wanted))
		fail_msg("'%s' does not say '%s'", got ? got : "(nothing)", wanted);
}

/* Parsing */

static void everything(void **state)
{
	static const char text[] = "freeze: true\n"
	                           "default_tier: medium\n"
	                           "formulas: {groom-backlog: low, release: high}\n"
	                           "tiers:\n"
	                           "  low: {approval: landed, direct: true}\n"
	                           "  medium: {approval: signed}\n"
	                           "  high: {approval: forge, direct: false}\n"
	                           "secrets:\n"
	                           "  TOKEN: {formulas: [release, groom-backlog]}\n"
	                           "images: {allow: [\"registry.example/*\", debian], require_digest: true}\n";
	cleanup_policy struct policy p = POLICY_INIT;
	cleanup_json json_t *formulas = json_pack("{s:i, s:i}", "groom-backlog", TIER_LOW, "release", TIER_HIGH);
	cleanup_json json_t *secrets = json_pack("{s:{s:[s, s], s:b}}", "TOKEN", "formulas", "groom-backlog", "release", "direct", true);
	cleanup_json json_t *images = json_pack("[[s, s]]", "docker.io/library/debian:latest", "registry.example/*");

	(void)state;
	parse(text, &p);
	assert_true(p.there);
	assert_false(p.merged);
	assert_true(p.freeze);
	assert_true(p.require_digest);
	assert_int_equal(p.default_tier, TIER_MEDIUM);
	assert_int_equal(p.tiers[TIER_LOW].approval, APPROVAL_LANDED);
	assert_int_equal(p.tiers[TIER_MEDIUM].approval, APPROVAL_SIGNED);
	assert_int_equal(p.tiers[TIER_HIGH].approval, APPROVAL_FORGE);
	assert_true(p.tiers[TIER_LOW].direct);
	assert_false(p.tiers[TIER_MEDIUM].direct);
	assert_true(json_equal(p.formulas, formulas));
	assert_true(json_equal(p.secrets, secrets));
	assert_true(json_equal(p.images, images));
}

static void defaults(void **state)
{
	cleanup_policy struct policy empty = POLICY_INIT, none = POLICY_INIT, tiers = POLICY_INIT;

	(void)state;
	parse("", &empty);
	policy_none(&none);
	assert_true(empty.there && !none.there);
	empty.there = false;
	assert_true(policy_equal(&empty, &none));
	assert_int_equal(none.default_tier, TIER_HIGH);
	assert_int_equal(none.tiers[TIER_HIGH].approval, APPROVAL_LANDED);
	assert_false(none.tiers[TIER_LOW].direct);
	/* A tier of which nothing is said wants what the one below it wants. */
	parse("tiers: {low: {direct: true}, medium: {approval: signed}}", &tiers);
	assert_int_equal(tiers.tiers[TIER_HIGH].approval, APPROVAL_SIGNED);
	assert_true(tiers.tiers[TIER_LOW].direct);
	assert_false(tiers.tiers[TIER_HIGH].direct);
}

static void bad(void **state)
{
	static const char *const table[][2] = {
	    {"freze: true", "freze: unknown key; known keys are freeze, default_tier, formulas, tiers, secrets, images"},
	    {"freeze: yes", "freeze: must be true or false, not \"yes\""},
	    {"freeze:", "freeze: must be true or false, not null"},
	    {"freeze: true\nfreeze: true", "line 2: "},
	    {"[]", "must be an object"},
	    {"default_tier: huge", "default_tier: must be one of low, medium, high, not \"huge\""},
	    {"formulas: [a]", "formulas: must be an object"},
	    {"formulas: {a: lo}", "formulas.a: must be one of low, medium, high, not \"lo\""},
	    {"formulas: {a: 1}", "formulas.a: must be one of low, medium, high, not 1"},
	    {"formulas: {a: low, b: }", "formulas.b: must be one of low, medium, high, not null"},
	    {"formulas: {A b: low}", "formulas: \"A b\" is not a formula's name: "},
	    {"tiers: {highest: {}}", "tiers.highest: unknown key; known keys are low, medium, high"},
	    {"tiers: {high: forge}", "tiers.high: must be an object, not \"forge\""},
	    {"tiers: {high: {approval: merged}}", "tiers.high.approval: must be one of landed, signed, forge, not \"merged\""},
	    {"tiers: {high: {aproval: forge}}", "tiers.high.aproval: unknown key; known keys are approval, direct"},
	    {"tiers: {low: {direct: 1}}", "tiers.low.direct: must be true or false, not 1"},
	    {"tiers: {low: {approval: forge}, high: {approval: signed}}",
	     "tiers.high.approval: signed is weaker than forge, which medium wants; a higher tier can't want less"},
	    {"tiers: {medium: {direct: true}}", "tiers.medium.direct: low is not direct; a higher tier can't want less"},
	    {"tiers: {low: {approval: signed, direct: true}}",
	     "tiers.low.direct: goes with approval: landed only; what the dispatcher lands by itself has no signature"},
	    {"secrets: {token: {formulas: []}}", "secrets: \"token\" is not a secret's name: "},
	    {"secrets: {TOKEN: [a]}", "secrets.TOKEN: must be an object, not an array"},
	    {"secrets: {TOKEN: {}}", "secrets.TOKEN.formulas: is required"},
	    {"secrets: {TOKEN: {formulas: a}}", "secrets.TOKEN.formulas: must be an array, not \"a\""},
	    {"secrets: {TOKEN: {formulas: [a, a]}}", "secrets.TOKEN.formulas[1]: a is listed twice"},
	    {"secrets: {TOKEN: {formulas: [\"*\"]}}", "secrets.TOKEN.formulas[0]: \"*\" is not a formula's name: "},
	    {"secrets: {TOKEN: {formulas: [a], formula: b}}", "secrets.TOKEN.formula: unknown key; known keys are formulas"},
	    {"images: [debian]", "images: must be an object"},
	    {"images: {allow: debian}", "images.allow: must be an array, not \"debian\""},
	    {"images: {allow: [1]}", "images.allow[0]: must be a string, an image or a pattern of images: "},
	    {"images: {allow: [debian, \"Deb ian\"]}", "images.allow[1]: \"Deb ian\" is not an image or a pattern of images: "},
	    {"images: {allow: [\"registry.example*\"]}", "images.allow[0]: \"registry.example*\": the registry must be written out: "},
	    {"images: {require_digest: always}", "images.require_digest: must be true or false, not \"always\""},
	    {"images: {deny: []}", "images.deny: unknown key; known keys are allow, require_digest"},
	    {"formulas: &a {x: low}", "line 1: formulas: anchors"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		struct policy p = {.default_tier = TIER_NONE};
		cleanup_err struct err err = ERR_INIT;
		cleanup_free char *wanted = xasprintf(PATH "%s", table[i][1]);

		assert_int_equal(policy_parse(table[i][0], strlen(table[i][0]), &p, &err), -1);
		if (strncmp(err_msg(&err), wanted, strlen(wanted)) != 0)
			fail_msg("%s\n%s", err_msg(&err), wanted);
		assert_int_equal(err.code, ERR_INVALID);
		assert_int_equal(p.default_tier, TIER_NONE);
		assert_null(p.formulas);
	}
}

static void too_large(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;
	struct policy p;

	(void)state;
	while (text.len <= POLICY_MAX_BYTES)
		buf_adds(&text, "# nothing\n");
	assert_int_equal(policy_parse(text.data, text.len, &p, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(strncmp(err_msg(&err), PATH, strlen(PATH)), 0);
}

/* Judging */

static void tiers(void **state)
{
	static const char policy[] = "default_tier: medium\nformulas: {known: low}\n"
	                             "tiers: {medium: {approval: signed}, high: {approval: forge}}";
	static const char raised[] = ", \"blast_radius\": \"high\"", lowered[] = ", \"blast_radius\": \"low\"";
	static const struct {
		const char *policy, *formula, *more, *why;
		enum tier tier;
		enum approval_mode approval;
	} table[] = {
	    {policy, "known", "", "vault/policy.yaml gives known the tier low", TIER_LOW, APPROVAL_LANDED},
	    {policy, "new", "", "vault/policy.yaml does not name new, and its default_tier is medium", TIER_MEDIUM, APPROVAL_SIGNED},
	    {policy, "known", raised, "the tier low; the action's blast_radius raises it to high", TIER_HIGH, APPROVAL_FORGE},
	    {policy, "new", lowered, "default_tier is medium", TIER_MEDIUM, APPROVAL_SIGNED},
	    {"", "new", "", "does not name new, and its default_tier is high", TIER_HIGH, APPROVAL_LANDED},
	    {NULL, "new", "", "there is no vault/policy.yaml, so every tier is high", TIER_HIGH, APPROVAL_LANDED},
	    {NULL, "new", lowered, "there is no vault/policy.yaml, so every tier is high", TIER_HIGH, APPROVAL_LANDED},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;

		judge(table[i].policy, &lowest, table[i].formula, "[]", table[i].more, NULL, &v);
		says(v.why, table[i].why);
		assert_int_equal(v.tier, table[i].tier);
		assert_int_equal(v.approval, table[i].approval);
		assert_null(v.refuse);
		assert_null(v.wait);
	}
}

/* Policy can raise what the configuration wants and never lower it. */
static void the_floor(void **state)
{
	static const char *const wanted[] = {"landed", "signed", "forge"};

	(void)state;
	for (enum approval_mode minimum = APPROVAL_LANDED; minimum <= APPROVAL_FORGE; minimum++)
		for (enum approval_mode asked = APPROVAL_LANDED; asked <= APPROVAL_FORGE; asked++) {
			const struct policy_floor floor = {minimum, true, NULL};
			cleanup_free char *text = xasprintf("tiers: {low: {approval: %s}}", wanted[asked]);
			cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;
			cleanup_policy struct policy p = POLICY_INIT;

			judge(text, &floor, "f", "[]", "", NULL, &v);
			assert_int_equal(v.approval, asked > minimum ? asked : minimum);
			parse(text, &p);
			assert_int_equal(policy_change_approval(&p, &floor), v.approval);
			assert_int_equal(policy_approval(&p, &floor, TIER_NONE), v.approval);
		}
}

static void direct(void **state)
{
	static const char policy[] = "formulas: {f: low, g: low, h: medium}\n"
	                             "tiers: {low: {direct: true}, medium: {}}\n"
	                             "secrets: {TOKEN: {formulas: [f, h]}}";
	static const struct policy_floor allows = {APPROVAL_LANDED, true, NULL}, signed_only = {APPROVAL_SIGNED, true, NULL};
	static const struct {
		const struct policy_floor *floor;
		const char *formula, *secrets, *more;
		bool direct;
	} table[] = {
	    {&allows, "f", "[\"TOKEN\"]", "", true},
	    {&allows, "f", "[]", "", true},
	    {&lowest, "f", "[\"TOKEN\"]", "", false},
	    {&signed_only, "f", "[]", "", false},
	    {&allows, "f", "[\"TOKEN\", \"OTHER\"]", "", false},
	    {&allows, "f", "[]", ", \"mounts\": [\"ssh\"]", false},
	    {&allows, "f", "[]", ", \"blast_radius\": \"medium\"", false},
	    {&allows, "g", "[\"TOKEN\"]", "", false},
	    {&allows, "g", "[]", "", true},
	    {&allows, "h", "[\"TOKEN\"]", "", false},
	    {&allows, "other", "[]", "", false},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;

		judge(policy, table[i].floor, table[i].formula, table[i].secrets, table[i].more, NULL, &v);
		if (v.direct != table[i].direct)
			fail_msg("line %zu", i);
	}
}

static void secrets(void **state)
{
	static const char policy[] =
	    "secrets: {TOKEN: {formulas: [f, g]}, NOBODY: {formulas: []}, MANY: {formulas: [a, b, c, d, e, g, h]}}";
	static const struct {
		const char *formula, *secrets, *refuse;
	} table[] = {
	    {"f", "[\"TOKEN\", \"OTHER\"]", NULL},
	    {"h", "[\"OTHER\", \"TOKEN\"]", "vault/actions/x.json: secrets[1]: h may not have TOKEN; vault/policy.yaml gives it to f, g"},
	    {"f", "[\"NOBODY\"]",
	     "vault/actions/x.json: secrets[0]: f may not have NOBODY; vault/policy.yaml gives it to no formula at all"},
	    {"f", "[\"MANY\"]", "gives it to a, b, c, d, e and 2 more"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;

		judge(policy, &lowest, table[i].formula, table[i].secrets, "", NULL, &v);
		says(v.refuse, table[i].refuse);
	}
}

static void images(void **state)
{
	static const char list[] = "images: {allow: [\"docker.io/library/debian:*\", \"registry.example/*\"]}";
	static const char digest[] = "images: {require_digest: true}";
	static const char both[] = "images: {allow: [\"debian:*\"], require_digest: true}";
	static const struct {
		const char *policy, *image, *refuse, *wait;
	} table[] = {
	    {list, "debian:12", NULL, NULL},
	    {list, "index.docker.io/debian", NULL, NULL},
	    {list, "registry.example/a/b:tag", NULL, NULL},
	    {list, "alpine",
	     "vault/formulas/f.yaml: image: alpine, which is docker.io/library/alpine:latest, is not covered by images.allow of "
	     "vault/policy.yaml",
	     NULL},
	    {list, "evil.example/library/debian:12", "which is evil.example/library/debian:12, is not covered", NULL},
	    {list, "alpine@" SHA, "(an image by digest is covered by a pattern for every tag", NULL},
	    {list, "a//b", "image: a//b is not a reference that can be judged", NULL},
	    {list, NULL, NULL,
	     "runner_image of this dispatcher's configuration: disinto/runner, which is docker.io/disinto/runner:latest, is "},
	    {digest, "debian:12", "vault/formulas/f.yaml: image: debian:12 has no digest, and vault/policy.yaml wants one", NULL},
	    {digest, "debian:12@" SHA, NULL, NULL},
	    {digest, "a//b", "not a reference", NULL},
	    {digest, NULL, NULL, "runner_image of this dispatcher's configuration: disinto/runner has no digest"},
	    {both, "debian@" SHA, NULL, NULL},
	    {both, "debian:12", "has no digest", NULL},
	    {both, "alpine@" SHA, "not covered", NULL},
	    {"images: {allow: []}", "debian:12", "not covered", NULL},
	    {"images: {allow: [\"*\"]}", "debian:12", NULL, NULL},
	    {"", "a//b", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT;

		judge(table[i].policy, &lowest, "f", "[]", "", table[i].image, &v);
		says(v.refuse, table[i].refuse);
		says(v.wait, table[i].wait);
	}
}

static void the_image_as_it_was_judged(void **state)
{
	static const struct policy_floor unknown = {APPROVAL_LANDED, false, NULL};
	cleanup_policy_verdict struct policy_verdict own = POLICY_VERDICT_INIT, runner = POLICY_VERDICT_INIT, none = POLICY_VERDICT_INIT;

	(void)state;
	judge("", &lowest, "f", "[]", "", "debian", &own);
	assert_string_equal(own.image, "docker.io/library/debian:latest");
	judge("", &lowest, "f", "[]", "", NULL, &runner);
	assert_string_equal(runner.image, "docker.io/disinto/runner:latest");
	judge("images: {allow: []}", &unknown, "f", "[]", "", NULL, &none);
	assert_null(none.image);
	assert_null(none.refuse);
	assert_null(none.wait);
}

static void freeze(void **state)
{
	cleanup_policy_verdict struct policy_verdict v = POLICY_VERDICT_INIT, refused = POLICY_VERDICT_INIT;

	(void)state;
	judge("freeze: true", &lowest, "f", "[]", "", NULL, &v);
	assert_string_equal(v.wait, "vault/policy.yaml says freeze: true: nothing new starts until that is changed");
	assert_null(v.refuse);
	judge("freeze: true\nsecrets: {S: {formulas: []}}", &lowest, "f", "[\"S\"]", "", NULL, &refused);
	says(refused.refuse, "f may not have S");
	says(refused.wait, "freeze");
}

/* The stricter of two */

static void by_field(void **state)
{
	static const char *const table[][3] = {
	    /* both ways: a, b, the stricter */
	    {"freeze: true", "freeze: false", "freeze: true"},
	    {"default_tier: low", "default_tier: medium", "default_tier: medium"},
	    {"default_tier: low\nformulas: {f: low, g: high}", "default_tier: medium\nformulas: {h: low}",
	     "default_tier: medium\nformulas: {f: medium, g: high, h: low}"},
	    {"formulas: {f: low}", "formulas: {f: medium}", "formulas: {f: medium}"},
	    {"tiers: {high: {approval: forge}}", "tiers: {low: {approval: signed}}",
	     "tiers: {low: {approval: signed}, high: {approval: forge}}"},
	    {"tiers: {low: {direct: true}, medium: {direct: true}}", "tiers: {low: {direct: true}}", "tiers: {low: {direct: true}}"},
	    {"secrets: {A: {formulas: [f, g]}}", "secrets: {A: {formulas: [h, g]}}", "secrets: {A: {formulas: [g]}}"},
	    {"secrets: {A: {formulas: [f]}}", "secrets: {A: {formulas: [g]}}", "secrets: {A: {formulas: []}}"},
	    {"images: {require_digest: true}", "images: {allow: [debian]}", "images: {allow: [debian], require_digest: true}"},
	    {"images: {allow: [b, a]}", "images: {allow: [a, b, \"a:latest\"]}", "images: {allow: [a, b]}"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_policy struct policy a = POLICY_INIT, b = POLICY_INIT, wanted = POLICY_INIT, one = POLICY_INIT, other = POLICY_INIT;

		parse(table[i][0], &a);
		parse(table[i][1], &b);
		parse(table[i][2], &wanted);
		policy_stricter(&a, &b, &one);
		policy_stricter(&b, &a, &other);
		if (!policy_equal(&one, &wanted) || !policy_equal(&other, &wanted))
			fail_msg("line %zu", i);
		assert_int_equal(one.merged, !policy_equal(&a, &b));
	}
}

/* What can't be written as one policy: a secret that one of the two does not list, an image that must be on two lists. */
static void of_both(void **state)
{
	static const struct policy_floor allows = {APPROVAL_LANDED, true, NULL};
	cleanup_policy struct policy a = POLICY_INIT, b = POLICY_INIT, both = POLICY_INIT;
	cleanup_action struct action action = ACTION_INIT;
	cleanup_formula struct formula debian = FORMULA_INIT, alpine = FORMULA_INIT;
	cleanup_policy_verdict struct policy_verdict good = POLICY_VERDICT_INIT, wrong = POLICY_VERDICT_INIT, alone = POLICY_VERDICT_INIT;

	(void)state;
	parse("formulas: {f: low}\ntiers: {low: {direct: true}}\nsecrets: {S: {formulas: [f]}}\nimages: {allow: [\"docker.io/*\"]}", &a);
	parse("formulas: {f: low}\ntiers: {low: {direct: true}}\nimages: {allow: [\"debian:*\", \"registry.example/*\"]}", &b);
	policy_stricter(&a, &b, &both);
	make("f", "[\"S\"]", "", "debian:12", &action, &debian);
	policy_judge(&a, &allows, &action, &debian, &alone);
	assert_true(alone.direct);
	policy_judge(&both, &allows, &action, &debian, &good);
	assert_null(good.refuse);
	assert_false(good.direct);
	says(good.why, "the stricter of two versions of vault/policy.yaml gives f the tier low");
	action_free(&action);
	make("f", "[]", "", "alpine", &action, &alpine);
	policy_judge(&both, &allows, &action, &alpine, &wrong);
	says(wrong.refuse, "not covered");
}

/* Policies, actions and formulas from a seed, out of small pools so that they meet. */

static uint64_t random_state;

static unsigned below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 11) % n);
}

#define PICK(pool) ((pool)[below(LEN(pool))])

static const char *const tier_pool[] = {"low", "medium", "high"};
static const char *const approval_pool[] = {"landed", "signed", "forge"};
static const char *const formula_pool[] = {"f", "g", "h", "i"};
static const char *const secret_pool[] = {"A", "B", "C"};
static const char *const image_pool[] = {"debian",
                                         "debian:12",
                                         "debian@" SHA,
                                         "debian:12@" SHA,
                                         "alpine:3",
                                         "team/app:1.0",
                                         "registry.example/a",
                                         "registry.example/a/b:2",
                                         "registry.example/a@" SHA,
                                         SHA};
static const char *const pattern_pool[] = {
    "debian", "debian:*", "deb*", "docker.io/*", "registry.example/*", "registry.example/a:*", "team/*", "debian@sha256:*", "*", SHA};

/* Some of a pool, each at most once, as "[x, y]". */
static void add_list(struct buf *b, const char *const *pool, size_t n)
{
	const char *sign = "";

	buf_adds(b, "[");
	for (size_t i = 0; i < n; i++)
		if (below(3) == 0) {
			buf_addf(b, "%s\"%s\"", sign, pool[i]);
			sign = ", ";
		}
	buf_adds(b, "]");
}

static void add_tiers(struct buf *b)
{
	unsigned approval = 0;
	bool may_be_direct = true;

	buf_adds(b, "tiers:\n  {");
	for (size_t t = 0; t < LEN(tier_pool); t++) {
		approval += below(3 - approval);
		may_be_direct = may_be_direct && approval == 0 && below(3) > 0;
		buf_addf(b, "%s%s: {approval: %s, direct: %s}", t > 0 ? ", " : "", tier_pool[t], approval_pool[approval],
		         may_be_direct ? "true" : "false");
	}
	buf_adds(b, "}\n");
}

static void random_policy(struct policy *ret)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (below(20) == 0) {
		policy_none(ret);
		return;
	}
	buf_addf(&b, "freeze: %s\ndefault_tier: %s\nformulas:\n  {", below(5) == 0 ? "true" : "false", PICK(tier_pool));
	for (size_t i = 0; i < LEN(formula_pool); i++)
		if (below(2) == 0)
			buf_addf(&b, "%s: %s, ", formula_pool[i], PICK(tier_pool));
	buf_adds(&b, "}\n");
	add_tiers(&b);
	buf_adds(&b, "secrets:\n  {");
	for (size_t i = 0; i < LEN(secret_pool); i++)
		if (below(2) == 0) {
			buf_addf(&b, "%s: {formulas: ", secret_pool[i]);
			add_list(&b, formula_pool, LEN(formula_pool));
			buf_adds(&b, "}, ");
		}
	buf_addf(&b, "}\nimages:\n  require_digest: %s\n", below(4) == 0 ? "true" : "false");
	if (below(2) == 0) {
		buf_adds(&b, "  allow: ");
		add_list(&b, pattern_pool, LEN(pattern_pool));
		buf_adds(&b, "\n");
	}
	parse(b.data, ret);
}

static void random_action(struct action *a, struct formula *f)
{
	cleanup_buf struct buf list = BUF_INIT;
	cleanup_free char *more = xasprintf("%s%s%s%s", below(4) == 0 ? ", \"mounts\": [\"ssh\"]" : "",
	                                    below(2) == 0 ? ", \"blast_radius\": \"" : ", \"model\": \"", PICK(tier_pool), "\"");

	add_list(&list, secret_pool, LEN(secret_pool));
	make(PICK(formula_pool), list.data, more, below(5) == 0 ? NULL : PICK(image_pool), a, f);
}

/* That nothing which `all` lets pass is judged more strictly by `one`. */
static void assert_not_looser(const struct policy_verdict *all, const struct policy_verdict *one)
{
	assert_true(all->tier >= one->tier);
	assert_true(all->approval >= one->approval);
	assert_true(!all->direct || one->direct);
	assert_true(all->refuse || !one->refuse);
	assert_true(all->wait || !one->wait);
}

static void check_pair(const struct policy *a, const struct policy *b, const struct policy *both)
{
	const struct policy_floor floor = {(enum approval_mode)below(3), below(3) > 0, below(4) == 0 ? NULL : PICK(image_pool)};
	cleanup_action struct action action = ACTION_INIT;
	cleanup_formula struct formula formula = FORMULA_INIT;
	cleanup_policy_verdict struct policy_verdict of_a = POLICY_VERDICT_INIT, of_b = POLICY_VERDICT_INIT, of_all = POLICY_VERDICT_INIT;

	random_action(&action, &formula);
	policy_judge(a, &floor, &action, &formula, &of_a);
	policy_judge(b, &floor, &action, &formula, &of_b);
	policy_judge(both, &floor, &action, &formula, &of_all);
	assert_not_looser(&of_all, &of_a);
	assert_not_looser(&of_all, &of_b);
	/* and no stricter than the two ask for */
	assert_int_equal(of_all.tier, of_a.tier > of_b.tier ? of_a.tier : of_b.tier);
	assert_int_equal(of_all.refuse != NULL, of_a.refuse || of_b.refuse);
	assert_int_equal(of_all.wait != NULL, of_a.wait || of_b.wait);
	assert_true(of_all.approval >= floor.minimum);
	assert_true(floor.allow_direct || !of_all.direct);
	assert_true(of_all.tier >= action.blast_radius);
}

static void laws(void **state)
{
	size_t direct_seen = 0;

	(void)state;
	random_state = 20260331;
	for (size_t i = 0; i < 3000; i++) {
		cleanup_policy struct policy a = POLICY_INIT, b = POLICY_INIT, c = POLICY_INIT;
		cleanup_policy struct policy ab = POLICY_INIT, ba = POLICY_INIT, aa = POLICY_INIT, aab = POLICY_INIT;
		cleanup_policy struct policy ab_c = POLICY_INIT, bc = POLICY_INIT, a_bc = POLICY_INIT;

		random_policy(&a);
		random_policy(&b);
		random_policy(&c);
		policy_stricter(&a, &b, &ab);
		policy_stricter(&b, &a, &ba);
		policy_stricter(&a, &a, &aa);
		policy_stricter(&a, &ab, &aab);
		policy_stricter(&ab, &c, &ab_c);
		policy_stricter(&b, &c, &bc);
		policy_stricter(&a, &bc, &a_bc);
		assert_true(policy_equal(&ab, &ba) && ab.merged == ba.merged);
		assert_true(policy_equal(&aa, &a) && aa.merged == a.merged);
		assert_true(policy_equal(&aab, &ab));
		assert_true(policy_equal(&ab_c, &a_bc));
		for (size_t k = 0; k < 4; k++)
			check_pair(&a, &b, &ab);
		direct_seen += ab.tiers[TIER_LOW].direct;
	}
	assert_true(direct_seen > 100);
}

/* An action that raises its own tier, or any formula in a higher tier, is never judged less strictly. */
static void raising_never_loosens(void **state)
{
	(void)state;
	random_state = 77;
	for (size_t i = 0; i < 2000; i++) {
		const struct policy_floor floor = {(enum approval_mode)below(3), below(2) > 0, NULL};
		cleanup_policy struct policy a = POLICY_INIT, b = POLICY_INIT, p = POLICY_INIT;

		random_policy(&a);
		random_policy(&b);
		policy_stricter(&a, &b, &p);
		for (enum tier t = TIER_LOW; t < TIER_HIGH; t++) {
			assert_true(policy_approval(&p, &floor, t + 1) >= policy_approval(&p, &floor, t));
			assert_true(p.tiers[t].direct || !p.tiers[t + 1].direct);
		}
	}
}

/* Documents and templates */

static void documented(void **state)
{
	static const char *const keys[] = {"freeze",  "default_tier",          "formulas",
	                                   "tiers",   "tiers.<tier>.approval", "tiers.<tier>.direct",
	                                   "secrets", "images.allow",          "images.require_digest"};
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_policy struct policy p = POLICY_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(file_read("docs/formats.md", 1 << 20, &text, &err), 0);
	const char *start = strstr(text.data, "```yaml policy\n");
	assert_non_null(start);
	start = strchr(start, '\n') + 1;
	if (policy_parse(start, (size_t)(strstr(start, "```") - start), &p, &err) != 0)
		fail_msg("%s", err_msg(&err));
	assert_true(p.tiers[TIER_LOW].direct && p.tiers[TIER_HIGH].approval == APPROVAL_FORGE);
	for (size_t i = 0; i < LEN(keys); i++) {
		cleanup_free char *row = xasprintf("\n| `%s` |", keys[i]);

		if (!strstr(start, row))
			fail_msg("%s has no row", keys[i]);
	}
}

/* The template holds as it is, and so does each line that it has commented out. */
static void template(void **state)
{
	cleanup_buf struct buf text = BUF_INIT, all = BUF_INIT;
	cleanup_policy struct policy p = POLICY_INIT, whole = POLICY_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(file_read("templates/policy.yaml", 1 << 20, &text, &err), 0);
	parse(text.data, &p);
	for (const char *line = text.data; *line; line = strchr(line, '\n') + 1) {
		size_t len = strcspn(line, "\n") + 1;
		bool off = line[0] == '#' && line[1] != ' ';

		buf_add(&all, line + off, len - off);
	}
	parse(all.data, &whole);
	assert_int_equal(json_array_size(whole.images), 1);
	assert_true(json_object_size(whole.secrets) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything),
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(bad),
	    cmocka_unit_test(too_large),
	    cmocka_unit_test(tiers),
	    cmocka_unit_test(the_floor),
	    cmocka_unit_test(direct),
	    cmocka_unit_test(secrets),
	    cmocka_unit_test(images),
	    cmocka_unit_test(freeze),
	    cmocka_unit_test(the_image_as_it_was_judged),
	    cmocka_unit_test(by_field),
	    cmocka_unit_test(of_both),
	    cmocka_unit_test(laws),
	    cmocka_unit_test(raising_never_loosens),
	    cmocka_unit_test(documented),
	    cmocka_unit_test(template),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
