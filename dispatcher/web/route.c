/* From a request line to an answer. */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "vault/name.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BODY_MAX (1u << 20)
#define DISCARD_MAX (64u << 20) /* of a body that is too large: read, so that its client comes to see why */
#define LOG_LINES 500

/* ---- Answers ---- */

enum MHD_Result web_send(struct request *q, unsigned code, struct MHD_Response *r)
{
	if (!r)
		return MHD_NO;
	if (q->last)
		MHD_add_response_header(r, "Connection", "close");
	/* Whatever text is in it, a browser neither guesses what it is, nor runs it, nor hands it to another site's page. */
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	if (!MHD_get_response_header(r, "Content-Security-Policy"))
		MHD_add_response_header(r, "Content-Security-Policy", "default-src 'none'; sandbox");
	if (!MHD_get_response_header(r, "Cache-Control"))
		MHD_add_response_header(r, "Cache-Control", "no-store");
	enum MHD_Result rc = MHD_queue_response(q->connection, code, r);
	MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result reply(struct request *q, unsigned code, char *body, const char *type)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);

	if (!r) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", type);
	if (code == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
	return web_send(q, code, r);
}

/* Takes the body. */
static enum MHD_Result reply_json(struct request *q, unsigned code, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return text ? reply(q, code, text, "application/json") : MHD_NO;
}

enum MHD_Result web_error(struct request *q, unsigned code, const char *error)
{
	return reply_json(q, code, json_pack("{s:s}", "error", error));
}

/* Who may not know which paths there are hears of none, nor of anything else that may be wrong. */
static enum MHD_Result unauthorized(struct request *q)
{
	return web_error(q, 401, "unauthorized");
}

/* ---- What needs core ---- */

void web_ask(struct request *q, const char *op)
{
	q->ask = ++q->web->asks;
	json_t *body = msg_new(MSG_ASK, "{s:I, s:s, s:s?}", "ask", q->ask, "op", op, "id", q->id);
	if (q->artifact)
		json_object_set_new(body, "name", json_string(q->artifact));
	if (q->scope)
		json_object_set_new(body, "scope", json_string(q->scope));
	if (q->more)
		json_object_update(body, q->more);
	if (q->hash[0])
		json_object_set_new(body, "sha256", json_string(q->hash));
	msg_queue(&q->web->core, body, -1);
	json_decref(body);
}

static void sleep_on(struct request *q)
{
	q->asleep = true;
	MHD_suspend_connection(q->connection);
}

enum MHD_Result web_wait(struct request *q, const char *op)
{
	web_ask(q, op);
	sleep_on(q);
	return MHD_YES;
}

/* Called again for a request that slept: its answer, or its log, has come. */
static enum MHD_Result answer(struct request *q)
{
	if (q->log_fd >= 0)
		return web_send(q, MHD_HTTP_OK, q->artifact ? web_artifact_response(q) : web_log_response(q));
	if (q->code) {
		json_t *body = q->answer;
		q->answer = NULL;
		if (q->token && q->code == 200) /* it is shown this once */
			json_object_set_new(body, "token", json_string(q->token));
		if (q->called && json_object_get(body, "task_id"))
			json_object_set_new(body, "task_id", json_string(q->called));
		return reply_json(q, (unsigned)q->code, body);
	}
	sleep_on(q);
	return MHD_YES;
}

/* ---- What is done, one function for each kind ---- */

static const char *query(const struct request *q, const char *name)
{
	return MHD_lookup_connection_value(q->connection, MHD_GET_ARGUMENT_KIND, name);
}

static bool query_is(const struct request *q, const char *name, const char *wanted)
{
	const char *value = query(q, name);
	return value && strcmp(value, wanted) == 0;
}

static enum MHD_Result get_health(struct request *q, const char *op)
{
	(void)op;
	return reply_json(q, 200, json_pack("{s:s}", "status", "ok"));
}

static enum MHD_Result get_healthz(struct request *q, const char *op)
{
	int code;
	json_t *body = web_healthz(q->web, &code);

	(void)op;
	return reply_json(q, (unsigned)code, body);
}

static enum MHD_Result get_status(struct request *q, const char *op)
{
	(void)op;
	return reply_json(q, 200, web_status(q->web));
}

static enum MHD_Result get_metrics(struct request *q, const char *op)
{
	(void)op;
	return reply(q, 200, web_metrics(q->web), "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result get_actions(struct request *q, const char *op)
{
	(void)op;
	return reply_json(q, 200, web_actions(q->web));
}

static enum MHD_Result get_pending(struct request *q, const char *op)
{
	(void)op;
	return reply_json(q, 200, web_pending(q->web));
}

static enum MHD_Result get_workers(struct request *q, const char *op)
{
	(void)op;
	return reply_json(q, 200, web_workers(q->web));
}

static enum MHD_Result get_logs(struct request *q, const char *op)
{
	const char *lines = query(q, "lines");

	q->follow = query_is(q, "follow", "1");
	q->wants_footer = !query_is(q, "footer", "0");
	q->lines = lines ? strtol(lines, NULL, 10) : q->follow ? 0 : LOG_LINES;
	q->wants_logs = q->follow && !web_has_log(q->web, q->id);
	if (!q->wants_logs)
		web_ask(q, op);
	sleep_on(q);
	return MHD_YES;
}

static enum MHD_Result post_drain(struct request *q, const char *op)
{
	return web_wait(q, query_is(q, "wait", "1") ? "drained" : op);
}

static enum MHD_Result get_tokens(struct request *q, const char *op)
{
	(void)op;
	return reply_json(q, 200, web_tokens(q->web));
}

/* The text is made here and leaves this process in the answer only. */
static enum MHD_Result put_token(struct request *q, const char *op)
{
	uint8_t hash[32];

	q->scope = xstrdup(query(q, "scope") ? query(q, "scope") : "read");
	q->token = sodium_malloc(TOKEN_TEXT_MAX);
	if (!q->token)
		return web_error(q, 503, "no guarded memory");
	token_new(q->token, hash);
	sodium_bin2hex(q->hash, sizeof q->hash, hash, sizeof hash);
	return web_wait(q, op);
}

static const char *header_of(const char *name, void *arg)
{
	const struct request *q = arg;
	return MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result post_hook(struct request *q, const char *op)
{
	if (!hook_is_signed(&q->web->hook, q->body.len ? q->body.data : "", q->body.len, header_of, q))
		return unauthorized(q);
	return web_wait(q, op);
}

static enum MHD_Result get_events(struct request *q, const char *op)
{
	(void)op;
	return web_events_begin(q, header_of("Last-Event-ID", q));
}

static enum MHD_Result get_page(struct request *q, const char *name)
{
	return web_send(q, MHD_HTTP_OK, web_page(name));
}

/* ---- The routes ---- */

static const struct route routes[] = {
    {"GET", "/", SCOPE_NONE, get_page, "index.html"},
    {"GET", "/style.css", SCOPE_NONE, get_page, "style.css"},
    {"GET", "/day.js", SCOPE_NONE, get_page, "day.js"},
    {"GET", "/log.js", SCOPE_NONE, get_page, "log.js"},
    {"GET", "/app.js", SCOPE_NONE, get_page, "app.js"},
    {"GET", "/health", SCOPE_NONE, get_health, NULL},
    {"GET", "/healthz", SCOPE_NONE, get_healthz, NULL},
    {"GET", "/status", SCOPE_NONE, get_status, NULL},
    {"GET", "/metrics", SCOPE_NONE, get_metrics, NULL},
    {"GET", "/openapi.yaml", SCOPE_NONE, get_page, "openapi.yaml"},
    {"POST", "/hook", SCOPE_NONE, post_hook, "poll"}, /* its signature is its key */
    {"POST", "/dispatch", SCOPE_PROPOSE, web_dispatch, "dispatch"},
    {"GET", "/actions", SCOPE_READ, get_actions, NULL},
    {"GET", "/actions/{id}", SCOPE_READ, web_wait, "show"},
    {"GET", "/actions/{id}/artifacts", SCOPE_READ, web_wait, "artifacts"},
    {"GET", "/actions/{id}/artifacts/{artifact}", SCOPE_READ, web_wait, "artifact"},
    {"GET", "/pending", SCOPE_READ, get_pending, NULL},
    {"GET", "/events", SCOPE_READ, get_events, NULL},
    {"GET", "/workers", SCOPE_READ, get_workers, NULL},
    {"GET", "/workers/{id}/logs", SCOPE_READ, get_logs, "logs"},
    {"DELETE", "/workers/{id}", SCOPE_OPERATE, web_wait, "cancel"},
    {"POST", "/actions/{id}/run", SCOPE_OPERATE, web_wait, "run"},
    {"POST", "/drain", SCOPE_OPERATE, post_drain, "drain"},
    {"POST", "/actions/{id}/lost", SCOPE_LOCAL, web_wait, "lost"},
    {"POST", "/actions/{id}/rerun", SCOPE_LOCAL, web_wait, "rerun"},
    {"POST", "/accept-backlog", SCOPE_LOCAL, web_wait, "backlog"},
    {"POST", "/accept-history", SCOPE_LOCAL, web_wait, "history"},
    {"GET", "/tokens", SCOPE_LOCAL, get_tokens, NULL},
    {"PUT", "/tokens/{token}", SCOPE_LOCAL, put_token, "token_add"},
    {"DELETE", "/tokens/{token}", SCOPE_LOCAL, web_wait, "token_revoke"},
};

/* One component of a path that stands where the template has `name`. */
static bool take(struct request *q, const char *name, size_t name_len, const char *value, size_t len)
{
	cleanup_free char *text = xasprintf("%.*s", (int)len, value);
	bool artifact = strncmp(name, "artifact", name_len) == 0, token = strncmp(name, "token", name_len) == 0;
	char **to = artifact ? &q->artifact : &q->id, *taken = NULL;

	if (!artifact && !token) {
		free(q->other);
		q->other = NULL;
		taken = web_id(q->web, text, &q->other);
	} else if (artifact ? vault_is_artifact(text) : token_is_name(text))
		taken = xstrdup(text);
	if (taken) {
		free(*to);
		*to = taken;
	}
	if (to == &q->id && taken && strcmp(taken, text) != 0) {
		free(q->called);
		q->called = steal_ptr(&text);
	}
	return taken != NULL;
}

static bool fits(struct request *q, const char *template, const char *path)
{
	while (*template && *path) {
		size_t t = strcspn(template + 1, "/") + 1, p = strcspn(path + 1, "/") + 1;
		if (template[1] == '{' ? !take(q, template + 2, t - 3, path + 1, p - 1) : t != p || strncmp(template, path, t) != 0)
			return false;
		template += t;
		path += p;
	}
	return !*template && !*path;
}

static const struct route *find_route(struct request *q, const char *method, const char *url)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		if (strcmp(method, routes[i].method) == 0 && fits(q, routes[i].template, url))
			return &routes[i];
		/* What a row that did not fit in the end has taken. */
		free(q->id);
		free(q->artifact);
		free(q->other);
		free(q->called);
		q->id = q->artifact = q->other = q->called = NULL;
	}
	return NULL;
}

static bool is_local(const struct request *q)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(q->connection, MHD_CONNECTION_INFO_DAEMON);
	return info && info->daemon == q->web->api;
}

static enum scope scope_of(const struct request *q)
{
	const char *auth = MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Authorization");

	if (is_local(q))
		return SCOPE_LOCAL;
	if (!auth || strncasecmp(auth, "Bearer ", 7) != 0)
		return SCOPE_NONE;
	auth += 7 + strspn(auth + 7, " ");
	return tokens_scope(q->web->tokens, auth, strlen(auth));
}

static enum MHD_Result too_narrow(struct request *q, enum scope has)
{
	if (q->route->scope == SCOPE_LOCAL)
		return web_error(q, 403, "this is done on the dispatcher's own machine only, over its socket");
	return reply_json(q, 403,
	                  json_pack("{s:o}", "error",
	                            json_sprintf("the token's scope is %s; this needs %s", scope_name(has), scope_name(q->route->scope))));
}

/* Under /workers a task's name comes before all else for those who dispatched it; nothing else may be meant by it. The command line means ids. */
static bool is_ambiguous(const struct request *q)
{
	return q->other && strncmp(q->route->template, "/workers/", 9) == 0 && !is_local(q);
}

static enum MHD_Result ambiguous(struct request *q)
{
	return reply_json(
	    q, 409,
	    json_pack("{s:o}", "error",
	              json_sprintf("'%s' is an action, and the name of the task whose action is %s; ask for that id, or for the "
	                           "other one on the dispatcher's own machine",
	                           q->id, q->other)));
}

static bool is_open(const struct request *q)
{
	return q->route && q->route->scope == SCOPE_NONE;
}

static enum MHD_Result begin(struct request *q)
{
	enum scope has = scope_of(q);

	q->begun = true;
	client_enters(q->connection, is_open(q) || has == SCOPE_NONE ? PHASE_ANSWER : PHASE_KEYED);
	if (!is_open(q) && has == SCOPE_NONE)
		return unauthorized(q);
	if (q->received > BODY_MAX)
		return web_error(q, 413, "the body is over 1 MiB");
	if (q->crowded || client_is_crowded(q->connection, has)) {
		client_enters(q->connection, PHASE_ANSWER); /* the refused take no place */
		return web_error(q, 503, "too much is asked at once; ask again");
	}
	if (!q->route)
		return web_error(q, 404, "not found");
	if (has < q->route->scope)
		return too_narrow(q, has);
	if (is_ambiguous(q))
		return ambiguous(q);
	return q->route->fn(q, q->route->op);
}

/* ---- A request's life ---- */

static struct request *request_new(struct web *w, struct MHD_Connection *c)
{
	struct request *q = xcalloc(1, sizeof *q);

	q->web = w;
	q->connection = c;
	q->log_fd = -1;
	q->body = (struct buf)BUF_INIT;
	LIST_INSERT_HEAD(&w->requests, q, link);
	return q;
}

static void drop_body(struct request *q)
{
	q->web->bodies -= q->body.len;
	buf_free(&q->body);
}

void web_request_done(void *web, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code)
{
	struct request *q = *state;

	(void)web, (void)code;
	*state = NULL;
	client_enters(c, PHASE_IDLE);
	if (!q)
		return;
	LIST_REMOVE(q, link);
	if (q->log_fd >= 0)
		close(q->log_fd);
	json_decref(q->answer);
	json_decref(q->more);
	drop_body(q);
	sodium_free(q->token);
	free(q->scope);
	free(q->piece);
	free(q->id);
	free(q->other);
	free(q->called);
	free(q->artifact);
	free(q);
}

/* Those without a key never take all the room that there is. */
static void keep_body(struct request *q, const char *data, size_t size)
{
	q->crowded = q->web->bodies + size > (q->route->scope == SCOPE_NONE ? BODIES_MAX / 2 : BODIES_MAX);
	if (q->crowded) {
		drop_body(q);
		return;
	}
	buf_add(&q->body, data, size);
	q->web->bodies += size;
}

/* MHD_NO ends a connection whose client sends without end. */
static enum MHD_Result take_body(struct request *q, const char *data, size_t *size)
{
	q->received += *size;
	if (q->keyed && q->received <= BODY_MAX && !q->crowded)
		keep_body(q, data, *size);
	*size = 0;
	return q->received > DISCARD_MAX ? MHD_NO : MHD_YES;
}

/* Its headers are there. What is refused now has a body that nobody reads: its end may not be where it seems to be. */
static enum MHD_Result meet(struct request *q, const char *method, const char *url)
{
	const char *why = NULL;

	q->route = find_route(q, method, url);
	unsigned fault = web_guard(q, is_local(q), &why);
	enum scope has = scope_of(q);
	q->keyed = q->route && (q->route->scope == SCOPE_NONE || has >= q->route->scope);
	client_enters(q->connection, PHASE_BODY);
	if (!fault)
		return MHD_YES;
	q->begun = q->last = true;
	return is_open(q) || has != SCOPE_NONE ? web_error(q, fault, why) : unauthorized(q);
}

enum MHD_Result web_route(void *web, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                          const char *upload_data, size_t *upload_data_size, void **state)
{
	struct request *q = *state;

	(void)version;
	if (!q) {
		*state = q = request_new(web, c);
		return meet(q, method, url);
	}
	if (*upload_data_size)
		return take_body(q, upload_data, upload_data_size);
	return q->begun ? answer(q) : begin(q);
}
