/* From a request line to an answer. */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "vault/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum MHD_Result reply(struct MHD_Connection *c, unsigned code, char *body, const char *type)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);

	if (!r) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	enum MHD_Result rc = MHD_queue_response(c, code, r);
	MHD_destroy_response(r);
	return rc;
}

/* Takes the body. */
static enum MHD_Result reply_json(struct MHD_Connection *c, unsigned code, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return text ? reply(c, code, text, "application/json") : MHD_NO;
}

static enum MHD_Result reply_error(struct MHD_Connection *c, unsigned code, const char *error)
{
	return reply_json(c, code, json_pack("{s:s}", "error", error));
}

static struct request *request_new(struct web *w, struct MHD_Connection *c, const char *id)
{
	struct request *q = xcalloc(1, sizeof *q);

	q->web = w;
	q->connection = c;
	q->log_fd = -1;
	q->id = id ? xstrdup(id) : NULL;
	LIST_INSERT_HEAD(&w->requests, q, link);
	return q;
}

void web_request_done(void *web, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code)
{
	struct request *q = *state;

	(void)web, (void)c, (void)code;
	*state = NULL;
	if (!q || !q->web) /* the marker of a request that was answered at once */
		return;
	LIST_REMOVE(q, link);
	if (q->log_fd >= 0)
		close(q->log_fd);
	json_decref(q->answer);
	free(q->id);
	free(q->artifact);
	free(q);
}

void web_ask(struct request *q, const char *op)
{
	q->ask = ++q->web->asks;
	json_t *body = msg_new(MSG_ASK, "{s:I, s:s, s:s?}", "ask", q->ask, "op", op, "id", q->id);
	if (q->artifact)
		json_object_set_new(body, "name", json_string(q->artifact));
	msg_queue(&q->web->core, body, -1);
	json_decref(body);
}

static void sleep_on(struct request *q)
{
	q->asleep = true;
	MHD_suspend_connection(q->connection);
}

/* Called again for a request that slept: its answer, or its log, has come. */
static enum MHD_Result answer(struct request *q)
{
	if (q->log_fd >= 0) {
		struct MHD_Response *r = q->artifact ? web_artifact_response(q) : web_log_response(q);
		if (!r)
			return MHD_NO;
		enum MHD_Result rc = MHD_queue_response(q->connection, MHD_HTTP_OK, r);
		MHD_destroy_response(r);
		return rc;
	}
	if (q->code) {
		json_t *body = q->answer;
		q->answer = NULL;
		return reply_json(q->connection, (unsigned)q->code, body);
	}
	sleep_on(q);
	return MHD_YES;
}

/* The open paths: GET only. False: not one of them. */
static bool route_open(struct web *w, struct MHD_Connection *c, const char *url, enum MHD_Result *rc)
{
	int code;

	if (strcmp(url, "/health") == 0) {
		*rc = reply_json(c, 200, json_pack("{s:s}", "status", "ok"));
	} else if (strcmp(url, "/healthz") == 0) {
		json_t *body = web_healthz(w, &code);
		*rc = reply_json(c, (unsigned)code, body);
	} else if (strcmp(url, "/status") == 0) {
		*rc = reply_json(c, 200, web_status(w));
	} else if (strcmp(url, "/metrics") == 0) {
		*rc = reply(c, 200, web_metrics(w), "text/plain; version=0.0.4; charset=utf-8");
	} else {
		return false;
	}
	return true;
}

/* "/actions/{id}/run" -> id between prefix and suffix. */
static bool match(const char *url, const char *prefix, const char *suffix, char id[static VAULT_ID_MAX + 1])
{
	size_t p = strlen(prefix), s = strlen(suffix), n = strlen(url);

	if (n <= p + s || n - p - s > VAULT_ID_MAX || strncmp(url, prefix, p) != 0 || strcmp(url + n - s, suffix) != 0)
		return false;
	memcpy(id, url + p, n - p - s);
	id[n - p - s] = '\0';
	return vault_is_id(id);
}

/* Begins what needs core; id NULL: about no action. The state pointer then names the request. */
static enum MHD_Result ask(struct web *w, struct MHD_Connection *c, const char *id, const char *op, void **state)
{
	struct request *q = request_new(w, c, id);

	*state = q;
	if (strcmp(op, "logs") == 0) {
		const char *follow = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "follow");
		const char *lines = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "lines");
		q->follow = follow && strcmp(follow, "1") == 0;
		q->lines = lines ? strtol(lines, NULL, 10) : 0;
		q->wants_logs = q->follow && !web_has_log(w, id);
	}
	if (!q->wants_logs)
		web_ask(q, op);
	sleep_on(q);
	return MHD_YES;
}

static enum MHD_Result ask_artifact(struct web *w, struct MHD_Connection *c, const char *id, const char *name, void **state)
{
	struct request *q = request_new(w, c, id);

	*state = q;
	q->artifact = xstrdup(name);
	web_ask(q, "artifact");
	sleep_on(q);
	return MHD_YES;
}

static enum MHD_Result route_post(struct web *w, struct MHD_Connection *c, const char *url, void **state)
{
	/* What is done to one action, and what to the whole. */
	static const char *const to_one[] = {"run", "lost", "rerun"};
	static const struct {
		const char *url, *op;
	} to_all[] = {{"/drain", "drain"}, {"/accept-backlog", "backlog"}, {"/accept-history", "history"}};
	char id[VAULT_ID_MAX + 1];

	for (size_t i = 0; i < sizeof to_one / sizeof *to_one; i++) {
		char suffix[16];
		snprintf(suffix, sizeof suffix, "/%s", to_one[i]);
		if (match(url, "/actions/", suffix, id))
			return ask(w, c, id, to_one[i], state);
	}
	for (size_t i = 0; i < sizeof to_all / sizeof *to_all; i++) {
		if (strcmp(url, to_all[i].url) != 0)
			continue;
		const char *wait = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "wait");
		bool drained = strcmp(to_all[i].op, "drain") == 0 && wait && strcmp(wait, "1") == 0;
		return ask(w, c, NULL, drained ? "drained" : to_all[i].op, state);
	}
	return reply_error(c, 404, "not found");
}

static enum MHD_Result route_socket(struct web *w, struct MHD_Connection *c, const char *url, const char *method, void **state)
{
	char id[VAULT_ID_MAX + 1], name[VAULT_ARTIFACT_MAX + 1];
	bool get = strcmp(method, "GET") == 0;

	if (get && strcmp(url, "/actions") == 0)
		return reply_json(c, 200, web_actions(w));
	if (get && strcmp(url, "/workers") == 0)
		return reply_json(c, 200, web_workers(w));
	if (get && match(url, "/workers/", "/logs", id))
		return ask(w, c, id, "logs", state);
	if (get && match(url, "/actions/", "/artifacts", id))
		return ask(w, c, id, "artifacts", state);
	if (get && web_match_artifact(url, id, name))
		return ask_artifact(w, c, id, name, state);
	if (get && match(url, "/actions/", "", id))
		return ask(w, c, id, "show", state);
	if (strcmp(method, "DELETE") == 0 && match(url, "/workers/", "", id))
		return ask(w, c, id, "cancel", state);
	if (strcmp(method, "POST") == 0)
		return route_post(w, c, url, state);
	return reply_error(c, 404, "not found");
}

static bool is_api(struct web *w, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_DAEMON);
	return info && info->daemon == w->api;
}

enum MHD_Result web_route(void *web, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                          const char *upload_data, size_t *upload_data_size, void **state)
{
	static struct request seen; /* marks a request whose headers were read */
	struct web *w = web;
	enum MHD_Result rc;

	(void)version, (void)upload_data;
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (*upload_data_size) {
		*upload_data_size = 0; /* no request of this version has a body that means anything */
		return MHD_YES;
	}
	if (*state != &seen)
		return answer(*state);
	if (strcmp(method, "GET") == 0 && route_open(w, c, url, &rc))
		return rc;
	if (!is_api(w, c))
		return reply_error(c, 401, "unauthorized");
	return route_socket(w, c, url, method, state);
}
