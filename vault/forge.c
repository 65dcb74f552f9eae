#include "vault/forge.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/json.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#define CALL_MS 20000
#define ANSWER_MAX_BYTES (4u << 20)
#define TOKEN_MAX_BYTES 4096
#define PAGE 50      /* reviews asked for at once */
#define PAGES_MAX 40 /* more reviews than that are no review */

struct forge {
	struct http_client *http;
	char *url, *repo, *token_file;
};

/* Both parts as a forge writes them. */
static bool is_repo(const char *s)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t owner = strspn(s, chars);

	if (owner == 0 || s[owner] != '/')
		return false;
	const char *name = s + owner + 1;
	size_t len = strspn(name, chars);
	return len > 0 && name[len] == '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strncmp(s, "./", 2) != 0 &&
	       strncmp(s, "../", 3) != 0;
}

int forge_new(const struct forge_options *options, struct forge **ret, struct err *err)
{
	cleanup_free char *base = xasprintf("%s", options->url);

	if (!is_repo(options->repo))
		return err_set(err, ERR_INVALID, "'%s' is not the name of a repository; owner/name", options->repo);
	for (size_t n = strlen(base); n > 0 && base[n - 1] == '/'; n--)
		base[n - 1] = '\0';
	struct http_options http = {.base_url = base, .ca_file = options->ca_file};
	struct forge *f = xcalloc(1, sizeof(*f));
	f->http = http_client_new(&http);
	f->url = xstrdup(base);
	f->repo = xstrdup(options->repo);
	f->token_file = options->token_file ? xstrdup(options->token_file) : NULL;
	*ret = f;
	return 0;
}

void forge_free(struct forge *f)
{
	if (!f)
		return;
	http_client_free(f->http);
	free(f->url);
	free(f->repo);
	free(f->token_file);
	free(f);
}

char *forge_repo_of(const char *url)
{
	const char *path = strstr(url, "://");
	cleanup_free char *copy = NULL;

	if (path) {
		path = strchr(path + 3, '/');
	} else {
		path = strchr(url, ':'); /* user@host:owner/name */
		if (path && memchr(url, '/', (size_t)(path - url)))
			path = NULL;
	}
	if (!path)
		return NULL;
	copy = xstrdup(path + 1);
	size_t len = strlen(copy);
	while (len > 0 && copy[len - 1] == '/')
		copy[--len] = '\0';
	if (len > 4 && strcmp(copy + len - 4, ".git") == 0)
		copy[len - 4] = '\0';
	/* The last two components: a forge may live under a path of its own. */
	char *name = strrchr(copy, '/');
	if (!name)
		return NULL;
	*name = '\0';
	char *owner = strrchr(copy, '/');
	*name = '/';
	owner = owner ? owner + 1 : copy;
	return is_repo(owner) ? xstrdup(owner) : NULL;
}

/* "Authorization: token …", wiped by the caller; NULL without a token file. */
static int authorization(const struct forge *f, struct buf *ret, struct err *err)
{
	cleanup_buf struct buf token = BUF_INIT;

	if (!f->token_file)
		return 0;
	int rc = file_read(f->token_file, TOKEN_MAX_BYTES, &token, err);
	while (token.len > 0 && strchr("\r\n \t", token.data[token.len - 1]))
		token.data[--token.len] = '\0';
	if (rc == 0 && (token.len == 0 || strpbrk(token.data, "\r\n")))
		rc = err_set(err, ERR_INVALID, "%s: must hold the token and nothing else", f->token_file);
	if (rc == 0)
		buf_addf(ret, "Authorization: token %s", token.data);
	if (token.cap)
		sodium_memzero(token.data, token.cap);
	return rc < 0 ? err_wrap(err, "forge_token_file") : 0;
}

static int judge_status(const struct forge *f, long status, const char *path, struct err *err)
{
	if (status == 200)
		return 0;
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "%s: answered %ld to %s; is the token in forge_token_file right, and may it read %s?",
		               f->url, status, path, f->repo);
	if (status == 404)
		return err_set(err, ERR_NOT_FOUND, "%s: knows nothing of %s", f->url, path);
	if (status == 429 || status >= 500)
		return err_set(err, ERR_UNREACHABLE, "%s: answered %ld to %s; it is asked again", f->url, status, path);
	return err_set(err, ERR_FAIL, "%s: answered %ld to %s", f->url, status, path);
}

/* GET of an API path. Caller frees *ret. */
static int get(struct forge *f, const char *path, json_t **ret, struct err *err)
{
	cleanup_buf struct buf auth = BUF_INIT;
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *whole = xasprintf("/api/v1%s", path);

	if (authorization(f, &auth, err) < 0)
		return -1;
	const char *headers[] = {"Accept: application/json", auth.len ? auth.data : NULL, NULL};
	struct http_request req = {
	    .method = "GET", .path = whole, .headers = headers, .timeout_ms = CALL_MS, .max_response = ANSWER_MAX_BYTES, .wake_fd = -1};
	int rc = http_send(f->http, &req, &res, err);
	if (auth.cap)
		sodium_memzero(auth.data, auth.cap);
	if (rc < 0 || judge_status(f, res.status, whole, err) < 0)
		return -1;
	/* Titles and bodies are whatever people wrote: only the shape is checked. */
	json_error_t why;
	*ret = json_loadb(res.body.data, res.body.len, JSON_REJECT_DUPLICATES, &why);
	return *ret ? 0 : err_set(err, ERR_UNREACHABLE, "%s: the answer to %s is no JSON: %s", f->url, whole, why.text);
}

static const char *text_at(const json_t *o, const char *key, const char *inner)
{
	const json_t *v = json_object_get(o, key);
	return json_string_value(inner ? json_object_get(v, inner) : v);
}

static char *copy_text(const char *s)
{
	return xstrdup(s ? s : "");
}

void forge_pull_free(struct forge_pull *p)
{
	free(p->author);
	free(p->head);
	free(p->base);
	free(p->merge_commit);
	*p = (struct forge_pull){0};
}

int forge_pull_of_commit(struct forge *f, const char *commit, struct forge_pull *ret, struct err *err)
{
	cleanup_json json_t *o = NULL;
	cleanup_free char *id = http_escape(commit);
	cleanup_free char *path = xasprintf("/repos/%s/commits/%s/pull", f->repo, id);

	if (get(f, path, &o, err) < 0)
		return -1;
	if (!json_is_integer(json_object_get(o, "number")) || !text_at(o, "head", "sha"))
		return err_set(err, ERR_UNREACHABLE, "%s: the answer to %s is no pull request", f->url, path);
	const char *merge = text_at(o, "merge_commit_sha", NULL);
	*ret = (struct forge_pull){
	    .number = json_integer_value(json_object_get(o, "number")),
	    .author = copy_text(text_at(o, "user", "login")),
	    .head = copy_text(text_at(o, "head", "sha")),
	    .base = copy_text(text_at(o, "base", "ref")),
	    .merge_commit = merge ? xstrdup(merge) : NULL,
	    .merged = json_is_true(json_object_get(o, "merged")),
	};
	return 0;
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
	    .by = copy_text(text_at(o, "user", "login")),
	    .commit = copy_text(text_at(o, "commit_id", NULL)),
	    .state = copy_text(text_at(o, "state", NULL)),
	    .official = json_is_true(json_object_get(o, "official")),
	    .stale = json_is_true(json_object_get(o, "stale")),
	    .dismissed = json_is_true(json_object_get(o, "dismissed")),
	};
}

int forge_reviews(struct forge *f, int64_t pull, struct forge_reviews *ret, struct err *err)
{
	struct forge_reviews all __attribute__((cleanup(forge_reviews_free))) = {0};

	for (int page = 1; page <= PAGES_MAX; page++) {
		cleanup_json json_t *list = NULL;
		cleanup_free char *path = xasprintf("/repos/%s/pulls/%" PRId64 "/reviews?page=%d&limit=%d", f->repo, pull, page, PAGE);
		size_t i;
		json_t *o;
		if (get(f, path, &list, err) < 0)
			return -1;
		if (!json_is_array(list))
			return err_set(err, ERR_UNREACHABLE, "%s: the answer to %s is no list of reviews", f->url, path);
		json_array_foreach (list, i, o)
			add_review(&all, o);
		/* A forge may cap pages below what was asked for: only an empty one is the end. */
		if (json_array_size(list) == 0) {
			*ret = all;
			all = (struct forge_reviews){0};
			return 0;
		}
	}
	return err_set(err, ERR_FAIL, "%s: pull request %" PRId64 " has too many reviews to judge", f->url, pull);
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
