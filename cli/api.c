/*
 * HTTP to the dispatcher: over its socket, whose mode is the key, or to DISINTO_URL with DISINTO_TOKEN.
 */
#include "cli/api.h"
#include "cli/compose.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_FILE_MAX 4096
#define POST_MS 120000 /* a proposal goes to the git server, which has a minute */
#define CALL_MS 60000  /* POST …/run waits for a poll of the ops repo */

/* A variable of the environment; one that is empty is none. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

const char *api_url(void)
{
	return variable("DISINTO_URL");
}

/* The token, wiped by its buffer; empty where none is given. */
static int read_token(struct buf *ret, struct err *err)
{
	const char *token = variable("DISINTO_TOKEN"), *file = variable("DISINTO_TOKEN_FILE");

	if (token)
		buf_adds(ret, token);
	else if (file && file_read(file, TOKEN_FILE_MAX, ret, err) < 0)
		return err_wrap(err, "DISINTO_TOKEN_FILE");
	while (ret->len > 0 && isspace((unsigned char)ret->data[ret->len - 1]))
		ret->data[--ret->len] = '\0';
	for (size_t i = 0; i < ret->len; i++)
		if (!isgraph((unsigned char)ret->data[i]))
			return err_set(err, ERR_INVALID, "%s: is no token: it must be one word, as `disinto token add` printed it",
			               token ? "DISINTO_TOKEN" : file);
	return 0;
}

/* By TCP, with the token. */
static int open_url(const struct config *config, struct api *ret, struct err *err)
{
	const char *ca_file = config->ca_file ? config->ca_file : variable("DISINTO_CA_FILE");
	const char *url = api_url();
	size_t len = strlen(url);
	cleanup_buf struct buf token = BUF_INIT;

	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return err_set(err, ERR_INVALID, "DISINTO_URL: '%s' does not begin with http:// or https://", url);
	if (read_token(&token, err) < 0)
		return -1;
	while (len > 0 && url[len - 1] == '/')
		len--;
	ret->url = xasprintf("%.*s", (int)len, url);
	ret->http =
	    http_client_new(&(struct http_options){.base_url = ret->url, .bearer = token.len > 0 ? token.data : NULL, .ca_file = ca_file});
	return 0;
}

int api_open(const struct config *config, struct api *ret, struct err *err)
{
	api_close(ret);
	if (api_url())
		return open_url(config, ret, err);
	ret->socket = path_join(config->spool, "api.sock");
	ret->http = http_client_new(&(struct http_options){.unix_socket = ret->socket, .base_url = "http://disinto"});
	return 0;
}

void api_close(struct api *a)
{
	http_client_free(a->http);
	free(a->socket);
	free(a->url);
	*a = (struct api)API_INIT;
}

static int send(struct api *a, const struct http_request *request, long *ret_status, json_t **ret, struct err *err)
{
	cleanup_http_response struct http_response response = HTTP_RESPONSE_INIT;

	if (http_send(a->http, request, &response, err) < 0)
		return -1;
	*ret_status = response.status;
	*ret = json_loadb(response.body.data, response.body.len, JSON_REJECT_DUPLICATES, NULL);
	return 0;
}

int api_call(struct api *a, const char *method, const char *path, long *ret_status, json_t **ret, struct err *err)
{
	const struct http_request request = {.method = method, .path = path, .timeout_ms = a->patience_ms ? a->patience_ms : CALL_MS};

	return send(a, &request, ret_status, ret, err);
}

int api_wait(struct api *a, const char *method, const char *path, long *ret_status, json_t **ret, struct err *err)
{
	const struct http_request request = {.method = method, .path = path};

	return send(a, &request, ret_status, ret, err);
}

int api_post(struct api *a, const char *path, const json_t *body, long *ret_status, json_t **ret, struct err *err)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	cleanup_free char *text = json_compact(body);
	const struct http_request request = {
	    .method = "POST",
	    .path = path,
	    .headers = headers,
	    .body = text,
	    .body_len = strlen(text),
	    .timeout_ms = POST_MS,
	};

	return send(a, &request, ret_status, ret, err);
}

bool api_answers(struct api *a)
{
	cleanup_json json_t *body = NULL;
	long status = 0;

	return api_call(a, "GET", "/health", &status, &body, NULL) == 0 && status == 200;
}

static bool unexplained(const json_t *row)
{
	const char *state = json_string_value(json_object_get(row, "state"));

	return state && strcmp(state, "queued") == 0 && !json_is_string(json_object_get(row, "reason"));
}

void api_explain(struct api *a, json_t *rows)
{
	cleanup_json json_t *body = NULL;
	json_t *row;
	size_t i;
	long status = 0;

	json_array_foreach (rows, i, row) {
		if (!unexplained(row))
			continue;
		if (!body && api_call(a, "GET", "/status", &status, &body, NULL) < 0)
			return;
		if (!json_is_string(json_object_get(body, "hold")))
			return;
		json_object_set(row, "reason", json_object_get(body, "hold"));
	}
}

void api_explain_one(struct api *a, json_t *row)
{
	cleanup_json json_t *rows = json_pack("[O]", row);

	api_explain(a, rows);
}

const char *api_error(long status, const json_t *body)
{
	const char *error = json_string_value(json_object_get(body, "error"));

	if (status == 401)
		return "it knows no such token; DISINTO_TOKEN, or the file DISINTO_TOKEN_FILE, must hold one that `disinto token add` "
		       "printed there";
	if (error)
		return error;
	return status == 404 ? "not found" : "the dispatcher gave an answer that can't be read; are both of one version?";
}

int api_stream(struct api *a, const char *path, const struct api_stream *stream, long *ret_status, struct err *err)
{
	cleanup_http_response struct http_response response = HTTP_RESPONSE_INIT;
	struct http_request request = {.method = "GET",
	                               .path = path,
	                               .on_data = stream->on_data,
	                               .on_wake = stream->on_wake,
	                               .wake_fd = stream->wake_fd,
	                               .arg = stream->arg};
	int code = http_send(a->http, &request, &response, err);

	*ret_status = response.status;
	return code;
}

int api_none(const struct config *config, struct err *err)
{
	if (api_url())
		return err_set(err, ERR_UNREACHABLE, "no dispatcher answers at %s (DISINTO_URL); is its `listen` that address?", api_url());
	cleanup_free char *folder = compose_folder(config);
	cleanup_free char *site = compose_find(folder);

	return err_set(err, ERR_UNREACHABLE, "no dispatcher listens on %s/api.sock; start one with: disinto-dispatcher --config %s%s",
	               config->spool, config->file,
	               site ? "; the one that `disinto up edge` starts is asked there: docker compose exec edge disinto status" : "");
}
