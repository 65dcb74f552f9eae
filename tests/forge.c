#include "tests/forge.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define API "tests/data/forge/api-v1.json"
#define PREFIX "/api/v1"

struct fake_forge {
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock;
	json_t *api;     /* the description */
	json_t *answers; /* "GET /path" -> {status, body} */
	json_t *counts;  /* path -> number */
	json_t *bodies;  /* "POST /path" -> the last one */
	char *token, *url, *violation;
	fake_forge_fn fn; /* or NULL */
	void *arg;
	bool endless; /* lists have no last page */
};

/* A request as it comes in. */
struct incoming {
	struct buf body;
};

static void violate(struct fake_forge *f, const char *method, const char *path, const char *what)
{
	if (!f->violation)
		f->violation = xasprintf("%s %s: %s", method, path, what);
}

/* "/repos/{owner}/{repo}/pulls" against a path: each {…} is one component, but for the last of contents, which is all that is left. */
static bool path_fits(const char *template, const char *path)
{
	for (;;) {
		size_t t = strcspn(template, "/"), p = strcspn(path, "/");
		bool variable = t > 0 && template[0] == '{';
		if (variable ? p == 0 : t != p || strncmp(template, path, t) != 0)
			return false;
		if (variable && strncmp(template, "{filepath}", t) == 0)
			return true;
		template += t;
		path += p;
		if (!*template || !*path)
			return !*template && !*path;
		template ++;
		path++;
	}
}

static const json_t *operation_of(const struct fake_forge *f, const char *method, const char *path)
{
	const char *template;
	json_t *item;

	json_object_foreach (json_object_get(f->api, "paths"), template, item) {
		const char *name;
		json_t *operation;
		if (!path_fits(template, path))
			continue;
		json_object_foreach (item, name, operation)
			if (strcasecmp(name, method) == 0)
				return operation;
	}
	return NULL;
}

static bool has_type(const json_t *value, const char *type)
{
	if (!type)
		return true;
	return strcmp(type, "string") == 0    ? json_is_string(value)
	       : strcmp(type, "integer") == 0 ? json_is_integer(value)
	       : strcmp(type, "boolean") == 0 ? json_is_boolean(value)
	       : strcmp(type, "array") == 0   ? json_is_array(value)
	                                      : true;
}

/* What is wrong with a body, or NULL. */
static const char *body_flaw(const struct fake_forge *f, const json_t *schema, const json_t *body)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref"));
	const json_t *type = ref ? json_object_get(json_object_get(f->api, "definitions"), strrchr(ref, '/') + 1) : schema;
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(body))
		return "the body is no JSON object";
	json_array_foreach (json_object_get(type, "required"), i, value)
		if (!json_object_get(body, json_string_value(value)))
			return "a required field of the body is missing";
	json_object_foreach ((json_t *)(uintptr_t)body, key, value) {
		const json_t *property = json_object_get(json_object_get(type, "properties"), key);
		if (!property)
			return "the body has a field that the API does not know";
		if (!has_type(value, json_string_value(json_object_get(property, "type"))))
			return "a field of the body has the wrong type";
	}
	return NULL;
}

struct query {
	const json_t *operation;
	bool unknown;
};

static enum MHD_Result check_query(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct query *q = arg;
	size_t i;
	json_t *p;
	bool known = false;

	(void)kind;
	json_array_foreach (json_object_get(q->operation, "parameters"), i, p) {
		const char *in = json_string_value(json_object_get(p, "in")), *name = json_string_value(json_object_get(p, "name"));
		bool number = strcmp(json_string_value(json_object_get(p, "type")) ? json_string_value(json_object_get(p, "type")) : "",
		                     "integer") == 0;
		if (strcmp(in, "query") == 0 && strcmp(name, key) == 0)
			known = !number || (value && *value && strspn(value, "0123456789") == strlen(value));
	}
	q->unknown |= !known;
	return MHD_YES;
}

static void check(struct fake_forge *f, struct MHD_Connection *c, const char *method, const char *path, const json_t *body)
{
	const json_t *operation = operation_of(f, method, path);
	cleanup_free char *wanted = xasprintf("token %s", f->token ? f->token : "");
	const char *auth = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
	struct query q = {operation, false};
	size_t i;
	json_t *p;

	if (f->token && (!auth || strcmp(auth, wanted) != 0))
		violate(f, method, path, "came without the token");
	if (!operation) {
		violate(f, method, path, "is no call of the API");
		return;
	}
	MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, check_query, &q);
	if (q.unknown)
		violate(f, method, path, "has a query that the API does not know");
	json_array_foreach (json_object_get(operation, "parameters"), i, p) {
		if (strcmp(json_string_value(json_object_get(p, "in")), "body") != 0)
			continue;
		const char *flaw = body_flaw(f, json_object_get(p, "schema"), body);
		if (flaw)
			violate(f, method, path, flaw);
	}
	cleanup_free char *key = xasprintf("%s %s", method, path);
	if (body)
		json_object_set(f->bodies, key, (json_t *)(uintptr_t)body);
}

/* Pages after the first are empty. */
static bool is_later_page(struct MHD_Connection *c)
{
	const char *page = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "page");
	return page && strcmp(page, "1") != 0;
}

static const char *token_of(struct MHD_Connection *c)
{
	const char *auth = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");

	return auth && strncmp(auth, "token ", 6) == 0 ? auth + 6 : "";
}

static char *answer_text(struct fake_forge *f, struct MHD_Connection *c, const struct fake_forge_call *call, unsigned *ret_status)
{
	cleanup_free char *key = xasprintf("%s %s", call->method, call->path);
	cleanup_json json_t *made = f->fn ? f->fn(f->arg, call, ret_status) : NULL;
	const json_t *answer = json_object_get(f->answers, key), *body = made ? made : json_object_get(answer, "body");

	if (!made)
		*ret_status = answer ? (unsigned)json_integer_value(json_object_get(answer, "status")) : 404;
	if (!made && !answer)
		return xstrdup("{\"message\":\"not found\"}");
	if (json_is_array(body) && is_later_page(c) && !f->endless)
		return xstrdup("[]");
	return json_dumps(body, JSON_ENCODE_ANY);
}

static enum MHD_Result serve(void *arg, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                             const char *data, size_t *size, void **state)
{
	struct fake_forge *f = arg;
	struct incoming *in = *state;
	unsigned status = 404;

	(void)version;
	if (!in) {
		*state = in = xcalloc(1, sizeof(*in));
		in->body = (struct buf)BUF_INIT;
		return MHD_YES;
	}
	if (*size) {
		buf_add(&in->body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	const char *path = strncmp(url, PREFIX, strlen(PREFIX)) == 0 ? url + strlen(PREFIX) : url;
	pthread_mutex_lock(&f->lock);
	if (path == url)
		violate(f, method, url, "is not below " PREFIX);
	cleanup_json json_t *body = in->body.len ? json_loadb(in->body.data, in->body.len, 0, NULL) : NULL;
	check(f, c, method, path, body);
	json_object_set_new(f->counts, path, json_integer(json_integer_value(json_object_get(f->counts, path)) + 1));
	const struct fake_forge_call call = {method, path, token_of(c), body};
	char *text = answer_text(f, c, &call, &status);
	pthread_mutex_unlock(&f->lock);
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	MHD_add_response_header(r, "Content-Type", "application/json");
	enum MHD_Result rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return rc;
}

static void done(void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code)
{
	struct incoming *in = *state;

	(void)arg, (void)c, (void)code;
	if (in)
		buf_free(&in->body);
	free(in);
}

struct fake_forge *fake_forge_start(const char *token)
{
	struct fake_forge *f = xcalloc(1, sizeof(*f));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	pthread_mutex_init(&f->lock, NULL);
	f->api = json_load_file(API, 0, NULL);
	f->answers = json_object();
	f->counts = json_object();
	f->bodies = json_object();
	f->token = token ? xstrdup(token) : NULL;
	f->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, serve, f, MHD_OPTION_SOCK_ADDR, &at,
	                             MHD_OPTION_NOTIFY_COMPLETED, done, NULL, MHD_OPTION_END);
	const union MHD_DaemonInfo *info = f->daemon ? MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
	if (!f->api || !info) {
		fake_forge_stop(f);
		return NULL;
	}
	f->url = xasprintf("http://127.0.0.1:%u", info->port);
	return f;
}

void fake_forge_stop(struct fake_forge *f)
{
	if (!f)
		return;
	if (f->daemon)
		MHD_stop_daemon(f->daemon);
	pthread_mutex_destroy(&f->lock);
	json_decref(f->api);
	json_decref(f->answers);
	json_decref(f->counts);
	json_decref(f->bodies);
	free(f->token);
	free(f->url);
	free(f->violation);
	free(f);
}

const char *fake_forge_url(const struct fake_forge *f)
{
	return f->url;
}

void fake_forge_endless(struct fake_forge *f)
{
	pthread_mutex_lock(&f->lock);
	f->endless = true;
	pthread_mutex_unlock(&f->lock);
}

void fake_forge_answer(struct fake_forge *f, const char *method, const char *path, unsigned status, json_t *body)
{
	cleanup_free char *key = xasprintf("%s %s", method, path);

	pthread_mutex_lock(&f->lock);
	json_object_set_new(f->answers, key, json_pack("{s:i, s:o}", "status", (int)status, "body", body));
	pthread_mutex_unlock(&f->lock);
}

void fake_forge_on(struct fake_forge *f, fake_forge_fn fn, void *arg)
{
	pthread_mutex_lock(&f->lock);
	f->fn = fn;
	f->arg = arg;
	pthread_mutex_unlock(&f->lock);
}

const char *fake_forge_violation(struct fake_forge *f)
{
	pthread_mutex_lock(&f->lock);
	const char *what = f->violation;
	pthread_mutex_unlock(&f->lock);
	return what;
}

int fake_forge_count(struct fake_forge *f, const char *path)
{
	pthread_mutex_lock(&f->lock);
	int n = (int)json_integer_value(json_object_get(f->counts, path));
	pthread_mutex_unlock(&f->lock);
	return n;
}

json_t *fake_forge_body(struct fake_forge *f, const char *method, const char *path)
{
	cleanup_free char *key = xasprintf("%s %s", method, path);

	pthread_mutex_lock(&f->lock);
	json_t *body = json_deep_copy(json_object_get(f->bodies, key));
	pthread_mutex_unlock(&f->lock);
	return body;
}
