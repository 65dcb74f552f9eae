/*
 * Policies: whatever the bytes, they are refused with a message that names the file, or judge as policy.h says. A NUL parts two policies, of which the
 * stricter is made too; the input itself is tried as an image and as a pattern.
 */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/image.h"
#include "vault/policy/policy.h"

#define SHA "sha256:5a1c00000000000000000000000000000000000000000000000000000000beef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_judge_as_strictly(const struct policy_verdict *all, const struct policy_verdict *one)
{
	must(all->tier >= one->tier && all->approval >= one->approval && (!all->direct || one->direct));
	must((all->refuse || !one->refuse) && (all->wait || !one->wait));
}

static void judge_one(const struct policy *a, const struct policy *b, const struct policy *both, const struct action *action,
                      const struct formula *formula)
{
	static const struct policy_floor floors[] = {{APPROVAL_LANDED, true, "disinto/runner"}, {APPROVAL_SIGNED, false, NULL}};

	for (size_t i = 0; i < 2; i++) {
		cleanup_policy_verdict struct policy_verdict of_a = POLICY_VERDICT_INIT, of_b = POLICY_VERDICT_INIT;
		cleanup_policy_verdict struct policy_verdict of_both = POLICY_VERDICT_INIT;

		policy_judge(a, &floors[i], action, formula, &of_a);
		policy_judge(b, &floors[i], action, formula, &of_b);
		policy_judge(both, &floors[i], action, formula, &of_both);
		must_judge_as_strictly(&of_both, &of_a);
		must_judge_as_strictly(&of_both, &of_b);
		must(!of_both.refuse == (!of_a.refuse && !of_b.refuse));
		must(of_both.approval >= floors[i].minimum && of_both.why && (!of_both.direct || i == 0));
	}
}

static void judge_all(const struct policy *a, const struct policy *b, const struct policy *both)
{
	static const char *const actions[] = {
	    "{\"id\": \"x\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": []}",
	    "{\"id\": \"x\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": [\"A\"], \"blast_radius\": \"medium\"}",
	    "{\"id\": \"x\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": [\"CLAWHUB_TOKEN\"], \"mounts\": [\"m\"]}",
	};
	static const char *const formulas[] = {
	    "name: f\nsteps: [{id: s, run: x}]",
	    "name: f\nimage: debian:12\nsteps: [{id: s, run: x}]",
	    "name: f\nimage: debian@" SHA "\nsteps: [{id: s, run: x}]",
	};

	for (size_t i = 0; i < 3; i++) {
		cleanup_action struct action action = ACTION_INIT;
		cleanup_formula struct formula formula = FORMULA_INIT;

		must(action_parse("x", actions[i], strlen(actions[i]), &action, NULL) == 0);
		must(formula_parse("f", formulas[i], strlen(formulas[i]), &formula, NULL) == 0);
		judge_one(a, b, both, &action, &formula);
	}
}

static bool parses(const char *text, size_t len, struct policy *ret)
{
	cleanup_err struct err err = ERR_INIT;

	if (policy_parse(text, len, ret, &err) == 0)
		return true;
	must_refuse(&err, "vault/policy.yaml: ");
	return false;
}

static void check_images(const char *text)
{
	cleanup_free char *image = NULL, *pattern = NULL, *again = NULL;

	if (image_pattern_normalise(text, &pattern, NULL) == 0)
		image_matches("docker.io/library/debian:12", pattern);
	if (image_normalise(text, &image, NULL) != 0)
		return;
	/* One spelling is one, is its own pattern, and is found under "everything". */
	must(image_normalise(image, &again, NULL) == 0 && strcmp(image, again) == 0);
	must(pattern && image_matches(image, pattern) && image_matches(image, "*"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *end = memchr(text, '\0', size);
	size_t len = end ? (size_t)(end - text) : size;
	cleanup_free char *first = xasprintf("%.*s", (int)len, text);
	cleanup_policy struct policy a = POLICY_INIT, b = POLICY_INIT, both = POLICY_INIT, turned = POLICY_INIT, again = POLICY_INIT;

	check_images(first);
	if (!parses(text, len, &a))
		return 0;
	if (!end)
		policy_none(&b);
	else if (!parses(end + 1, size - len - 1, &b))
		return 0;
	policy_stricter(&a, &b, &both);
	policy_stricter(&b, &a, &turned);
	policy_stricter(&both, &a, &again);
	must(policy_equal(&both, &turned) && policy_equal(&both, &again));
	judge_all(&a, &b, &both);
	return 0;
}
