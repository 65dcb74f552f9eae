/* on_drained: the one request that tells somebody that this dispatcher has nothing left to do. */
#include "dispatcher/git/git.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"

#include <string.h>
#include <strings.h>

#define CALL_MS 30000
#define HEADERS_MAX 64
#define HEADERS_BYTES 65536
#define SHOWN_BYTES 300 /* of the body of an answer that is no success */

struct headers {
	struct buf text; /* the lines, each ended by NUL */
	const char *v[HEADERS_MAX + 2];
	size_t n;
	bool has_type;
};

static void headers_free(struct headers *h)
{
	buf_free(&h->text);
}

/* One "Name: value" on each line; empty lines don't count. */
static int read_headers(const char *path, struct headers *ret, struct err *err)
{
	char *save = NULL;

	if (file_read(path, HEADERS_BYTES, &ret->text, err) < 0)
		return err_wrap(err, "headers_file");
	for (char *line = strtok_r(ret->text.data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		if (ret->n == HEADERS_MAX || line[0] == ':' || !strchr(line, ':'))
			return err_set(err, ERR_INVALID, "headers_file: %s: line %zu is no header; at most %d of the form `Name: value`",
			               path, ret->n + 1, HEADERS_MAX);
		ret->has_type |= strncasecmp(line, "content-type:", 13) == 0;
		ret->v[ret->n++] = line;
	}
	return ret->n > 0 ? 0 : err_set(err, ERR_NOT_FOUND, "headers_file: %s: is empty; put the headers with the token there", path);
}

static bool is_json(const char *body)
{
	cleanup_json json_t *value = json_loads(body, 0, NULL);
	return value != NULL;
}

/* 0: *ret_said is the answer, in short (caller frees). */
static int call(const struct config *config, char **ret_said, struct err *err)
{
	const char *url = config->on_drained.url, *body = config->on_drained.body, *file = config->on_drained.headers_file;
	__attribute__((cleanup(headers_free))) struct headers headers = {.text = BUF_INIT};
	cleanup_http_response struct http_response answer = HTTP_RESPONSE_INIT;

	if (file && read_headers(file, &headers, err) < 0)
		return err_wrap(err, "skipped");
	if (body && !headers.has_type && is_json(body))
		headers.v[headers.n++] = "Content-Type: application/json";
	size_t host = strcspn(url, ":") + 3;
	cleanup_free char *base = xasprintf("%.*s", (int)(host + strcspn(url + host, "/?")), url);
	cleanup_free char *path = xasprintf("%s%s", url[strlen(base)] == '/' ? "" : "/", url + strlen(base));
	cleanup_http_client struct http_client *http =
	    http_client_new(&(struct http_options){.base_url = base, .ca_file = config->ca_file});
	const struct http_request request = {
	    .method = config->on_drained.method ? config->on_drained.method : "POST",
	    .path = path,
	    .headers = headers.v,
	    .body = body,
	    .body_len = body ? strlen(body) : 0,
	    .timeout_ms = CALL_MS,
	};
	if (http_send(http, &request, &answer, err) < 0)
		return -1;
	if (answer.status >= 200 && answer.status < 300) {
		*ret_said = xasprintf("answered %ld", answer.status);
		return 0;
	}
	size_t shown = answer.body.len < SHOWN_BYTES ? answer.body.len : SHOWN_BYTES;
	return err_set(err, ERR_FAIL, "answered %ld: %.*s", answer.status, (int)shown, shown ? answer.body.data : "");
}

void drained_call(struct git_state *g)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *said = NULL;
	bool ok = !g->args->config->on_drained.url || call(g->args->config, &said, &err) == 0;
	cleanup_free char *reason = clean_text(ok ? said : err_msg(&err));

	tell_core(g, msg_new(MSG_CALLED, "{s:b, s:s?}", "ok", ok, "reason", reason));
}
