/* Pull requests: found, opened, approved, merged, commented on. */
#include "vault/forge/forge_call.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/http.h"

#include <inttypes.h>
#include <string.h>

#define LABEL_COLOR "#5b7a99"

static char *copy_text(const char *s)
{
	return xstrdup(s ? s : "");
}

void forge_pull_free(struct forge_pull *p)
{
	free(p->url);
	free(p->author);
	free(p->branch);
	free(p->head);
	free(p->base);
	free(p->merge_commit);
	*p = (struct forge_pull){0};
}
#define cleanup_pull __attribute__((cleanup(forge_pull_free)))

void forge_pulls_free(struct forge_pulls *p)
{
	for (size_t i = 0; i < p->n; i++)
		forge_pull_free(&p->v[i]);
	free(p->v);
	*p = (struct forge_pulls){0};
}

static bool is_pull(const json_t *o)
{
	return json_is_integer(json_object_get(o, "number")) && forge_text(o, "head", "sha");
}

static struct forge_pull read_pull(const json_t *o)
{
	const char *merge = forge_text(o, "merge_commit_sha", NULL);

	return (struct forge_pull){
	    .number = json_integer_value(json_object_get(o, "number")),
	    .url = copy_text(forge_text(o, "html_url", NULL)),
	    .author = copy_text(forge_text(o, "user", "login")),
	    .branch = copy_text(forge_text(o, "head", "ref")),
	    .head = copy_text(forge_text(o, "head", "sha")),
	    .base = copy_text(forge_text(o, "base", "ref")),
	    .merge_commit = merge ? xstrdup(merge) : NULL,
	    .merged = json_is_true(json_object_get(o, "merged")),
	};
}

int forge_pull_of_commit(struct forge *f, const char *commit, struct forge_pull *ret, struct err *err)
{
	cleanup_json json_t *o = NULL;
	cleanup_free char *id = http_escape(commit);
	cleanup_free char *path = xasprintf("/repos/%s/commits/%s/pull", f->repo, id);

	if (forge_call(f, "GET", path, NULL, &o, err) < 0)
		return -1;
	if (!is_pull(o))
		return err_set(err, ERR_UNREACHABLE, "%s: the answer to %s is no pull request", f->url, path);
	*ret = read_pull(o);
	return 0;
}

/* Of the repository's own branches, and into the branch that counts: anybody may open one from a fork, or into another. */
static bool is_own(const struct forge *f, const json_t *o)
{
	const char *base = forge_text(o, "base", "ref");
	const json_t *from = json_object_get(json_object_get(o, "head"), "repo_id");

	return is_pull(o) && json_is_integer(from) && json_equal(from, json_object_get(json_object_get(o, "base"), "repo_id")) &&
	       (!f->base || (base && strcmp(base, f->base) == 0));
}

struct own_pulls {
	const struct forge *forge;
	struct forge_pulls *all;
};

static bool on_pull(const json_t *element, void *arg)
{
	const struct own_pulls *own = arg;
	struct forge_pulls *all = own->all;

	if (!is_own(own->forge, element))
		return false;
	all->v = xrealloc(all->v, (all->n + 1) * sizeof(*all->v));
	all->v[all->n++] = read_pull(element);
	return false;
}

int forge_open_pulls(struct forge *f, struct forge_pulls *ret, struct err *err)
{
	struct forge_pulls all __attribute__((cleanup(forge_pulls_free))) = {0};
	cleanup_free char *path = xasprintf("/repos/%s/pulls?state=open", f->repo);

	struct own_pulls own = {f, &all};
	if (forge_each(f, path, on_pull, &own, err) < 0)
		return -1;
	*ret = all;
	all = (struct forge_pulls){0};
	return 0;
}

struct wanted_pull {
	const struct forge *forge;
	const char *branch;
	struct forge_pull *ret;
	bool found;
};

static bool is_wanted(const json_t *element, void *arg)
{
	struct wanted_pull *w = arg;
	const char *branch = forge_text(element, "head", "ref");

	w->found = is_own(w->forge, element) && branch && strcmp(branch, w->branch) == 0;
	if (w->found)
		*w->ret = read_pull(element);
	return w->found;
}

int forge_pull_of_branch(struct forge *f, const char *branch, struct forge_pull *ret, struct err *err)
{
	struct wanted_pull w = {f, branch, ret, false};
	cleanup_free char *path = xasprintf("/repos/%s/pulls?state=open", f->repo);

	if (forge_each(f, path, is_wanted, &w, err) < 0)
		return -1;
	return w.found ? 0 : err_set(err, ERR_NOT_FOUND, "%s: %s has no open pull request of branch %s", f->url, f->repo, branch);
}

struct label {
	const char *name;
	json_t *id;
};

static bool on_label(const json_t *element, void *arg)
{
	struct label *l = arg;
	const char *name = forge_text(element, "name", NULL);

	if (name && strcmp(name, l->name) == 0)
		l->id = json_incref(json_object_get(element, "id"));
	return l->id != NULL;
}

/* Labels are a help for the eye: a request without them is as good. */
static void add_label(struct forge *f, const char *name, json_t *ids)
{
	struct label l = {name, NULL};
	cleanup_free char *path = xasprintf("/repos/%s/labels", f->repo);
	cleanup_json json_t *body = json_pack("{s:s, s:s}", "name", name, "color", LABEL_COLOR), *made = NULL;

	if (forge_each(f, path, on_label, &l, NULL) == 0 && !l.id && forge_call(f, "POST", path, body, &made, NULL) == 0)
		l.id = json_incref(json_object_get(made, "id"));
	if (json_is_integer(l.id))
		json_array_append(ids, l.id);
	json_decref(l.id);
}

static int open_request(struct forge *f, const struct forge_request *q, struct forge_pull *ret, struct err *err)
{
	cleanup_free char *path = xasprintf("/repos/%s/pulls", f->repo);
	cleanup_json json_t *ids = json_array(), *body = NULL, *answer = NULL;

	for (size_t i = 0; q->labels && q->labels[i]; i++)
		add_label(f, q->labels[i], ids);
	body =
	    json_pack("{s:s, s:s, s:s, s:s, s:O}", "head", q->branch, "base", q->base, "title", q->title, "body", q->body, "labels", ids);
	if (!body)
		return err_set(err, ERR_INVALID, "the title or the text of the request is no valid UTF-8");
	if (forge_call(f, "POST", path, body, &answer, err) < 0)
		return -1;
	if (!is_pull(answer))
		return err_set(err, ERR_UNREACHABLE, "%s: the answer to POST %s is no pull request", f->url, path);
	*ret = read_pull(answer);
	return 0;
}

int forge_propose(struct forge *f, const struct forge_request *request, struct forge_pull *ret, bool *ret_made, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	*ret_made = false;
	if (forge_pull_of_branch(f, request->branch, ret, &why) == 0)
		return 0;
	if (why.code != ERR_NOT_FOUND) {
		err_move(err, &why);
		return -1;
	}
	err_clear(&why);
	if (open_request(f, request, ret, &why) == 0) {
		*ret_made = true;
		return 0;
	}
	/* Somebody else opened it in the same moment; or the answer to ours was lost. */
	if (forge_pull_of_branch(f, request->branch, ret, NULL) == 0)
		return 0;
	err_move(err, &why);
	return -1;
}

int forge_approve(struct forge *f, int64_t pull, const char *head, struct err *err)
{
	cleanup_free char *path = xasprintf("/repos/%s/pulls/%" PRId64 "/reviews", f->repo, pull);
	cleanup_json json_t *body = json_pack("{s:s, s:s}", "event", "APPROVED", "commit_id", head);

	return forge_call(f, "POST", path, body, NULL, err);
}

int forge_merge(struct forge *f, int64_t pull, const char *head, const char *title, const char *message, struct err *err)
{
	cleanup_free char *path = xasprintf("/repos/%s/pulls/%" PRId64 "/merge", f->repo, pull);
	cleanup_json json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:b}", "Do", "merge", "head_commit_id", head, "MergeTitleField", title,
	                                      "MergeMessageField", message, "delete_branch_after_merge", 1);

	return forge_call(f, "POST", path, body, NULL, err);
}

int forge_close(struct forge *f, int64_t pull, struct err *err)
{
	cleanup_free char *path = xasprintf("/repos/%s/pulls/%" PRId64, f->repo, pull);
	cleanup_json json_t *body = json_pack("{s:s}", "state", "closed");

	return forge_call(f, "PATCH", path, body, NULL, err);
}

struct marked {
	const char *by, *marker;
	bool found;
};

static bool on_comment(const json_t *element, void *arg)
{
	struct marked *m = arg;
	const char *text = forge_text(element, "body", NULL), *by = forge_text(element, "user", "login");

	m->found = text && by && strcmp(by, m->by) == 0 && strstr(text, m->marker);
	return m->found;
}

int forge_comment(struct forge *f, int64_t pull, const char *by, const char *marker, const char *text, struct err *err)
{
	struct marked m = {by, marker, false};
	cleanup_free char *path = xasprintf("/repos/%s/issues/%" PRId64 "/comments", f->repo, pull);
	cleanup_json json_t *body = json_pack("{s:s}", "body", text), *all = NULL;
	const json_t *element;
	size_t i;

	if (!body)
		return err_set(err, ERR_INVALID, "the comment is no valid UTF-8");
	if (forge_call(f, "GET", path, NULL, &all, err) < 0) /* this list has no pages */
		return -1;
	json_array_foreach (all, i, element)
		if (on_comment(element, &m))
			return 0;
	return forge_call(f, "POST", path, body, NULL, err);
}

struct standing {
	const char *context, *state;
	bool found;
};

/* Newest first: the first of a context is the one that counts. */
static bool on_status(const json_t *element, void *arg)
{
	struct standing *s = arg;
	const char *context = forge_text(element, "context", NULL), *state = forge_text(element, "status", NULL);

	if (!context || strcmp(context, s->context) != 0)
		return false;
	s->found = state && strcmp(state, s->state) == 0;
	return true;
}

int forge_set_status(struct forge *f, const char *commit, const char *context, const char *state, const char *description, struct err *err)
{
	struct standing s = {context, state, false};
	cleanup_free char *path = xasprintf("/repos/%s/statuses/%s", f->repo, commit), *list = xasprintf("%s?sort=recentupdate", path);
	cleanup_json json_t *body = json_pack("{s:s, s:s, s:s}", "context", context, "state", state, "description", description);

	if (!body)
		return err_set(err, ERR_INVALID, "the status is no valid UTF-8");
	cleanup_err struct err why = ERR_INIT;
	/* In a list too long to be read to its end it does not stand among the newest: one more is as good. */
	if (forge_each(f, list, on_status, &s, &why) < 0 && why.code != ERR_FAIL) {
		err_move(err, &why);
		return -1;
	}
	return s.found ? 0 : forge_call(f, "POST", path, body, NULL, err);
}

int forge_whoami(struct forge *f, char **ret, struct err *err)
{
	cleanup_json json_t *user = NULL;

	if (forge_call(f, "GET", "/user", NULL, &user, err) < 0)
		return -1;
	if (!forge_text(user, "login", NULL))
		return err_set(err, ERR_UNREACHABLE, "%s: does not say whose token it is", f->url);
	*ret = xstrdup(forge_text(user, "login", NULL));
	return 0;
}
