/* Calls to the forge's API. */
#include "vault/forge/forge_call.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/json.h"
#include "vault/name.h"

#include <sodium.h>
#include <string.h>

#define CALL_MS 20000
#define ANSWER_MAX_BYTES (4u << 20)
#define TOKEN_MAX_BYTES 4096
#define PAGE 50      /* elements asked for at once */
#define PAGES_MAX 40 /* more than that nobody reads */
#define SAID_MAX 300 /* bytes of the forge's own words in a message */

int forge_new(const struct forge_options *options, struct forge **ret, struct err *err)
{
	cleanup_free char *base = xasprintf("%s", options->url);

	if (!vault_is_repo(options->repo))
		return err_set(err, ERR_INVALID, "'%s' is not the name of a repository; owner/name", options->repo);
	for (size_t n = strlen(base); n > 0 && base[n - 1] == '/'; n--)
		base[n - 1] = '\0';
	struct http_options http = {.base_url = base, .ca_file = options->ca_file};
	struct forge *f = xcalloc(1, sizeof(*f));
	f->http = http_client_new(&http);
	f->url = xstrdup(base);
	f->repo = xstrdup(options->repo);
	f->token_file = options->token_file ? xstrdup(options->token_file) : NULL;
	f->base = options->base ? xstrdup(options->base) : NULL;
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
	free(f->base);
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
	return vault_is_repo(owner) ? xstrdup(owner) : NULL;
}

char *forge_commits_url(const char *forge_url, const char *ops_repo)
{
	cleanup_free char *repo = forge_url && ops_repo ? forge_repo_of(ops_repo) : NULL;
	size_t len = repo ? strlen(forge_url) : 0;

	while (len > 0 && forge_url[len - 1] == '/')
		len--;
	return repo ? xasprintf("%.*s/%s/commit/", (int)len, forge_url, repo) : NULL;
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

/* The forge's own words on why not, for the end of a message; empty when it has none. Caller frees. */
static char *said(const struct http_response *res)
{
	cleanup_json json_t *o = json_loadb(res->body.data ? res->body.data : "", res->body.len, 0, NULL);
	const char *message = forge_text(o, "message", NULL);

	return message && *message ? xasprintf(": %.*s", SAID_MAX, message) : xstrdup("");
}

static int judge_status(const struct forge *f, const struct http_response *res, const char *method, const char *path, struct err *err)
{
	long status = res->status;

	if (status >= 200 && status < 300)
		return 0;
	cleanup_free char *words = said(res);
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "%s: answered %ld to %s %s%s; is the token in forge_token_file right, and good for %s?",
		               f->url, status, method, path, words, f->repo);
	if (status == 404)
		return err_set(err, ERR_NOT_FOUND, "%s: knows nothing of %s", f->url, path);
	if (status == 409)
		return err_set(err, ERR_EXISTS, "%s: answered 409 to %s %s%s", f->url, method, path, words);
	if (status == 422 || status == 405)
		return err_set(err, ERR_INVALID, "%s: does not take %s %s (%ld)%s", f->url, method, path, status, words);
	if (status == 429 || status >= 500)
		return err_set(err, ERR_UNREACHABLE, "%s: answered %ld to %s%s; it is asked again", f->url, status, path, words);
	return err_set(err, ERR_FAIL, "%s: answered %ld to %s %s%s", f->url, status, method, path, words);
}

static int send(struct forge *f, const char *method, const char *path, const json_t *body, struct http_response *ret, struct err *err)
{
	cleanup_buf struct buf auth = BUF_INIT;
	cleanup_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (authorization(f, &auth, err) < 0)
		return -1;
	const char *headers[4] = {"Accept: application/json", NULL};
	size_t n = 1;
	if (text)
		headers[n++] = "Content-Type: application/json";
	if (auth.len)
		headers[n++] = auth.data;
	struct http_request req = {
	    .method = method,
	    .path = path,
	    .headers = headers,
	    .body = text,
	    .body_len = text ? strlen(text) : 0,
	    .timeout_ms = CALL_MS,
	    .max_response = ANSWER_MAX_BYTES,
	};
	int rc = http_send(f->http, &req, ret, err);
	if (auth.cap)
		sodium_memzero(auth.data, auth.cap);
	return rc;
}

int forge_call(struct forge *f, const char *method, const char *path, const json_t *body, json_t **ret, struct err *err)
{
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *whole = xasprintf("/api/v1%s", path);
	json_t *answer = NULL;
	json_error_t why;

	if (send(f, method, whole, body, &res, err) < 0 || judge_status(f, &res, method, whole, err) < 0)
		return -1;
	if (!ret)
		return 0;
	/* Titles and bodies are whatever people wrote: only the shape is checked. */
	if (res.body.len > 0 && !(answer = json_loadb(res.body.data, res.body.len, JSON_REJECT_DUPLICATES, &why)))
		return err_set(err, ERR_UNREACHABLE, "%s: the answer to %s is no JSON: %s", f->url, whole, why.text);
	*ret = answer;
	return 0;
}

int forge_each(struct forge *f, const char *path, bool (*fn)(const json_t *element, void *arg), void *arg, struct err *err)
{
	for (int page = 1; page <= PAGES_MAX; page++) {
		cleanup_json json_t *list = NULL;
		cleanup_free char *whole = xasprintf("%s%cpage=%d&limit=%d", path, strchr(path, '?') ? '&' : '?', page, PAGE);
		size_t i;
		json_t *element;

		if (forge_call(f, "GET", whole, NULL, &list, err) < 0)
			return -1;
		if (!json_is_array(list))
			return err_set(err, ERR_UNREACHABLE, "%s: the answer to %s is no list", f->url, whole);
		json_array_foreach (list, i, element)
			if (fn(element, arg))
				return 0;
		/* A forge may cap pages below what was asked for: only an empty one is the end. */
		if (json_array_size(list) == 0)
			return 0;
	}
	return err_set(err, ERR_FAIL, "%s: %s is a longer list than can be judged", f->url, path);
}

const char *forge_text(const json_t *o, const char *key, const char *inner)
{
	const json_t *v = json_object_get(o, key);

	return json_string_value(inner ? json_object_get(v, inner) : v);
}
