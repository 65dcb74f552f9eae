/* Who approved what a request brought. */
#include "vault/forge/forge_call.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

static char *copy_text(const char *s)
{
	return xstrdup(s ? s : "");
}

void forge_reviews_free(struct forge_reviews *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].by);
		free(r->v[i].commit);
		free(r->v[i].state);
	}
	free(r->v);
	*r = (struct forge_reviews){0};
}

static void add_review(struct forge_reviews *r, const json_t *o)
{
	r->v = xrealloc(r->v, (r->n + 1) * sizeof(*r->v));
	r->v[r->n++] = (struct forge_review){
	    .by = copy_text(forge_text(o, "user", "login")),
	    .commit = copy_text(forge_text(o, "commit_id", NULL)),
	    .state = copy_text(forge_text(o, "state", NULL)),
	    .official = json_is_true(json_object_get(o, "official")),
	    .stale = json_is_true(json_object_get(o, "stale")),
	    .dismissed = json_is_true(json_object_get(o, "dismissed")),
	};
}

static bool on_review(const json_t *element, void *arg)
{
	add_review(arg, element);
	return false;
}

int forge_reviews(struct forge *f, int64_t pull, struct forge_reviews *ret, struct err *err)
{
	struct forge_reviews all __attribute__((cleanup(forge_reviews_free))) = {0};
	cleanup_free char *path = xasprintf("/repos/%s/pulls/%" PRId64 "/reviews", f->repo, pull);

	if (forge_each(f, path, on_review, &all, err) < 0)
		return -1;
	*ret = all;
	all = (struct forge_reviews){0};
	return 0;
}

static bool is_approver(const json_t *approvers, const char *login)
{
	size_t i;
	json_t *name;

	json_array_foreach (approvers, i, name)
		if (json_string_value(name) && strcasecmp(json_string_value(name), login) == 0) /* logins differ in more than case */
			return true;
	return false;
}

static bool is_word(const struct forge_review *r)
{
	return strcmp(r->state, "APPROVED") == 0 || strcmp(r->state, "REQUEST_CHANGES") == 0;
}

/* A later word of the same reviewer takes the place of this one. */
static bool is_superseded(const struct forge_reviews *reviews, size_t i)
{
	for (size_t later = i + 1; later < reviews->n; later++)
		if (is_word(&reviews->v[later]) && strcasecmp(reviews->v[later].by, reviews->v[i].by) == 0)
			return true;
	return false;
}

/* Why this review does not approve the request, or NULL: it does. */
static const char *flaw(const struct forge_pull *pull, const struct forge_review *r, const json_t *approvers)
{
	if (strcmp(r->state, "APPROVED") != 0)
		return "asks for changes";
	if (r->dismissed)
		return "was dismissed";
	if (r->stale || strcmp(r->commit, pull->head) != 0)
		return "is of an earlier version";
	if (!r->official)
		return "is not official";
	if (strcasecmp(r->by, pull->author) == 0)
		return "is by the author himself";
	if (!is_approver(approvers, r->by))
		return "is by somebody who is not on the list of approvers";
	return NULL;
}

int forge_judge(const struct forge_pull *pull, const struct forge_reviews *reviews, const json_t *approvers, const char *branch,
                const char *commit, const char **ret_by, struct err *err)
{
	const char *why = "there is none", *by = NULL;

	if (!pull->merged || !pull->merge_commit || strcmp(pull->merge_commit, commit) != 0)
		return err_set(err, ERR_DENIED, "pull request %" PRId64 " was not merged as %.10s", pull->number, commit);
	if (strcmp(pull->base, branch) != 0)
		return err_set(err, ERR_DENIED, "pull request %" PRId64 " was merged into %s, not into %s", pull->number, pull->base,
		               branch);
	for (size_t i = 0; i < reviews->n; i++) {
		const struct forge_review *r = &reviews->v[i];
		if (!is_word(r) || is_superseded(reviews, i))
			continue;
		const char *wrong = flaw(pull, r, approvers);
		if (!wrong) {
			*ret_by = r->by;
			return 0;
		}
		why = wrong;
		by = r->by;
	}
	return err_set(err, ERR_DENIED, "pull request %" PRId64 " has no approving review that counts: %s%s%s", pull->number, by ? by : "",
	               by ? "'s " : "", why);
}
