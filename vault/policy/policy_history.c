#include "vault/policy/policy_history.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/name.h"
#include <stdlib.h>
#include <string.h>

/* A policy that was in force once; blob and text are NULL for "there is none". */
struct version {
	char *blob;
	char *text;
	struct policy policy;
};

struct policy_history {
	char *tip;                 /* NULL: nothing is judged yet */
	bool first;                /* first sight: no walk has come to the branch's tip yet */
	char *doubt;               /* NULL, or the commit of a policy of which nobody can tell whether it is in force */
	struct version **versions; /* owned; the first is "there is none" */
	size_t n_versions;
	struct version *at_tip;     /* in force at `tip` */
	struct version *base;       /* in force when the last walk ended that came to its end */
	struct version *in_force;   /* where the walk is */
	struct version *begun_with; /* in force when the poll began */
	struct version *replaced;   /* in force before the commit `changed_at` */
	char *changed_at;           /* the last commit that changed what is in force, or NULL */
	json_t *landed;             /* object id -> {commit, before, at}: blobs, null for none */
};

static void version_free(struct version *v)
{
	free(v->blob);
	free(v->text);
	policy_free(&v->policy);
	free(v);
}

/* Takes what it is given. */
static struct version *add_version(struct policy_history *h, char *blob, char *text, const struct policy *policy)
{
	struct version *v = xcalloc(1, sizeof(*v));

	*v = (struct version){blob, text, *policy};
	h->versions = xrealloc(h->versions, (h->n_versions + 1) * sizeof(struct version *));
	h->versions[h->n_versions++] = v;
	return v;
}

/* NULL finds "there is none". */
static struct version *find_version(const struct policy_history *h, const char *blob)
{
	if (!blob)
		return h->versions[0];
	for (size_t i = 1; i < h->n_versions; i++)
		if (strcmp(h->versions[i]->blob, blob) == 0)
			return h->versions[i];
	return NULL;
}

struct policy_history *policy_history_new(void)
{
	struct policy_history *h = xcalloc(1, sizeof(*h));
	struct policy none;

	policy_none(&none);
	h->at_tip = h->base = h->in_force = add_version(h, NULL, NULL, &none);
	h->begun_with = h->replaced = h->in_force;
	h->first = true;
	h->landed = json_object();
	return h;
}

void policy_history_free(struct policy_history *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n_versions; i++)
		version_free(h->versions[i]);
	free(h->versions);
	free(h->changed_at);
	free(h->doubt);
	free(h->tip);
	json_decref(h->landed);
	free(h);
}

static void cleanup_history(struct policy_history **h)
{
	policy_history_free(*h);
}

/* A poll */

const char *policy_history_tip(const struct policy_history *h)
{
	return h->tip;
}

void policy_history_begin(struct policy_history *h)
{
	/* What a walk that broke off had found is found again; until then it must not count as what was in force before. */
	h->in_force = h->replaced = h->at_tip;
	h->begun_with = h->base;
	free(steal_ptr(&h->changed_at));
}

enum approval_mode policy_history_change_approval(const struct policy_history *h, const struct policy_floor *floor)
{
	return h->first && !h->in_force->blob ? APPROVAL_LANDED : policy_change_approval(&h->in_force->policy, floor);
}

const struct policy *policy_history_in_force(const struct policy_history *h)
{
	return &h->in_force->policy;
}

static void put_in_force(struct policy_history *h, struct version *v, const char *commit)
{
	h->replaced = h->in_force;
	h->in_force = v;
	free(h->changed_at);
	h->changed_at = xstrdup(commit);
}

int policy_history_change(struct policy_history *h, const char *commit, const char *blob, const char *text, size_t len, struct err *err)
{
	const char *stays = h->in_force->blob ? "the last good one stays in force" : "none is in force";
	struct version *known = text ? find_version(h, blob) : NULL;
	struct policy policy = POLICY_INIT;

	if (!text)
		return err_set(err, ERR_INVALID, "as of %.10s (%s): " VAULT_POLICY " is gone", commit, stays);
	if (!known && policy_parse(text, len, &policy, err) < 0)
		return err_wrap(err, "as of %.10s (%s)", commit, stays);
	put_in_force(h, known ? known : add_version(h, xstrdup(blob), xasprintf("%.*s", (int)len, text), &policy), commit);
	free(steal_ptr(&h->doubt));
	return 0;
}

void policy_history_doubt(struct policy_history *h, const char *commit, const char *blob)
{
	if (!h->first || (h->in_force->blob && strcmp(blob, h->in_force->blob) == 0))
		return;
	free(h->doubt);
	h->doubt = xstrdup(commit);
}

const char *policy_history_doubted(const struct policy_history *h)
{
	return h->doubt;
}

/* What was in force before the request that landed at `commit`. */
static const struct version *before(const struct policy_history *h, const char *commit)
{
	if (!h->first)
		return h->begun_with;
	/* Where there was none yet, the first one takes its place: without a policy every tier would be high. */
	return h->changed_at && strcmp(h->changed_at, commit) == 0 && h->replaced->blob ? h->replaced : h->in_force;
}

void policy_history_landed(struct policy_history *h, const char *id, const char *commit)
{
	json_object_set_new(h->landed, id,
	                    json_pack("{s:s, s:s?, s:s?}", "commit", commit, "before", before(h, commit)->blob, "at", h->in_force->blob));
}

static bool is_needed(const struct policy_history *h, const struct version *v)
{
	const char *id;
	json_t *pair;

	if (v == h->in_force || v == h->begun_with || v == h->base || !v->blob)
		return true;
	json_object_foreach (h->landed, id, pair) {
		const char *first = json_string_value(json_object_get(pair, "before"));
		const char *second = json_string_value(json_object_get(pair, "at"));

		if ((first && strcmp(first, v->blob) == 0) || (second && strcmp(second, v->blob) == 0))
			return true;
	}
	return false;
}

void policy_history_pause(struct policy_history *h, const char *tip)
{
	size_t kept = 0;

	free(h->tip);
	h->tip = xstrdup(tip);
	h->at_tip = h->in_force;
	for (size_t i = 0; i < h->n_versions; i++) {
		if (is_needed(h, h->versions[i]))
			h->versions[kept++] = h->versions[i];
		else
			version_free(h->versions[i]);
	}
	h->n_versions = kept;
	h->replaced = h->in_force; /* the one that it named may be gone */
}

void policy_history_end(struct policy_history *h, const char *tip)
{
	h->base = h->in_force;
	h->first = false;
	policy_history_pause(h, tip);
}

int policy_history_for(const struct policy_history *h, const char *id, const char *commit, struct policy *ret, const char **ret_blob,
                       struct err *err)
{
	const json_t *pair = json_object_get(h->landed, id);
	const char *landed_at = json_string_value(json_object_get(pair, "commit"));

	if (!landed_at || strcmp(landed_at, commit) != 0)
		return err_set(err, ERR_NOT_FOUND, "the policy by which %s is judged is not known yet", id);
	if (h->doubt)
		return err_set(err, ERR_FAIL,
		               VAULT_POLICY
		               " of %.10s lacks the approval that the one before it wants, and this dispatcher was not there to see "
		               "which was in force; let one land that is approved",
		               h->doubt);
	const struct version *first = find_version(h, json_string_value(json_object_get(pair, "before")));
	const struct version *second = find_version(h, json_string_value(json_object_get(pair, "at")));

	policy_stricter(&first->policy, &second->policy, ret);
	ret->freeze = h->in_force->policy.freeze || h->begun_with->policy.freeze;
	*ret_blob = second->blob;
	return 0;
}

void policy_history_forget(struct policy_history *h, const char *id)
{
	json_object_del(h->landed, id);
}

/* Its state */

json_t *policy_history_save(const struct policy_history *h)
{
	json_t *texts = json_object();

	for (size_t i = 1; i < h->n_versions; i++)
		json_object_set_new(texts, h->versions[i]->blob, json_string(h->versions[i]->text));
	return json_pack("{s:s?, s:b, s:s?, s:s?, s:s?, s:o, s:o}", "tip", h->tip, "first", h->first, "doubt", h->doubt, "in_force",
	                 h->at_tip->blob, "before", h->base->blob, "policies", texts, "landed", json_deep_copy(h->landed));
}

static int load_versions(struct policy_history *h, const json_t *texts, struct err *err)
{
	const char *blob;
	json_t *text;

	json_object_foreach ((json_t *)texts, blob, text) {
		struct policy policy = POLICY_INIT;

		if (!json_is_string(text))
			return err_set(err, ERR_INVALID, "policies: must be texts");
		if (policy_parse(json_string_value(text), json_string_length(text), &policy, err) < 0)
			return err_wrap(err, "policies: %.10s", blob);
		add_version(h, xstrdup(blob), xstrdup(json_string_value(text)), &policy);
	}
	return 0;
}

/* Whether the value is null, or names a policy that the state holds. */
static bool is_version(const struct policy_history *h, const json_t *blob)
{
	return json_is_null(blob) || (json_is_string(blob) && find_version(h, json_string_value(blob)));
}

static int load_landed(struct policy_history *h, const json_t *landed, struct err *err)
{
	const char *id;
	json_t *pair;

	json_object_foreach ((json_t *)landed, id, pair) {
		if (!vault_is_id(id) || !json_is_string(json_object_get(pair, "commit")) ||
		    !is_version(h, json_object_get(pair, "before")) || !is_version(h, json_object_get(pair, "at")))
			return err_set(err, ERR_INVALID, "landed: an entry is damaged");
	}
	json_object_update(h->landed, (json_t *)landed);
	return 0;
}

int policy_history_load(const json_t *state, struct policy_history **ret, struct err *err)
{
	__attribute__((cleanup(cleanup_history))) struct policy_history *h = policy_history_new();
	const json_t *tip = json_object_get(state, "tip"), *in_force = json_object_get(state, "in_force"),
	             *base = json_object_get(state, "before");
	const json_t *texts = json_object_get(state, "policies"), *landed = json_object_get(state, "landed");
	const json_t *doubt = json_object_get(state, "doubt");

	if (!json_is_object(texts) || !json_is_object(landed) || !(json_is_null(tip) || json_is_string(tip)))
		return err_set(err, ERR_INVALID, "the state of policy is damaged");
	if (load_versions(h, texts, err) < 0 || load_landed(h, landed, err) < 0)
		return err_wrap(err, "the state of policy");
	if (!is_version(h, in_force) || !is_version(h, base))
		return err_set(err, ERR_INVALID, "the state of policy is damaged: it lacks the one in force");
	h->at_tip = h->in_force = h->replaced = find_version(h, json_string_value(in_force));
	h->base = h->begun_with = find_version(h, json_string_value(base));
	h->tip = json_is_string(tip) ? xstrdup(json_string_value(tip)) : NULL;
	h->first = !h->tip || json_is_true(json_object_get(state, "first"));
	h->doubt = json_is_string(doubt) ? xstrdup(json_string_value(doubt)) : NULL;
	*ret = steal_ptr(&h);
	return 0;
}
