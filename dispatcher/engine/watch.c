/* The watch thread: is the engine there, and which of our containers run? */
#include "dispatcher/engine/engine.h"

#include "lib/cleanup.h"
#include "lib/docker.h"
#include "lib/file.h"
#include "lib/log.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 20000 /* an engine that takes longer for a list hangs */
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS 5000
#define CALM_MS 1000 /* an event stream that ends at once is not opened again at once */
#define EVENT_MAX 65536

struct watch {
	struct engine *engine;
	struct api api;
	char *version;   /* of the engine that answers; NULL while none does */
	char *filters;   /* own containers */
	char *prefix;    /* of their names */
	struct buf line; /* event that is not whole yet */
};

/* A new engine, or the same after a silence. */
static int greet(struct watch *w, struct err *err)
{
	struct engine *e = w->engine;
	cleanup_json json_t *version = NULL;
	w->api.prefix[0] = '\0';
	if (api_get(&w->api, &version, err, "/version") < 0)
		return -1;
	const char *arch = json_string_value(json_object_get(version, "Arch"));
	const char *number = json_string_value(json_object_get(version, "Version"));
	docker_prefix(version, w->api.prefix);
	pthread_mutex_lock(&e->lock);
	free(e->arch);
	e->arch = arch ? xstrdup(arch) : NULL;
	snprintf(e->prefix, sizeof(e->prefix), "%s", w->api.prefix);
	pthread_mutex_unlock(&e->lock);
	engine_forget_shared(e);
	free(w->version);
	w->version = xstrdup(number ? number : "unknown");
	log_info("the Docker Engine answers", "socket", e->args->config->docker_host, "version", w->version, NULL);
	return 0;
}

/* [{name, running}] of the containers that carry our name. */
static json_t *own_containers(const struct watch *w, const json_t *list)
{
	json_t *own = json_array();
	size_t i;
	const json_t *c;
	json_array_foreach (list, i, c) {
		const char *name = json_string_value(json_array_get(json_object_get(c, "Names"), 0));
		const char *state = json_string_value(json_object_get(c, "State"));
		if (!name || !state || name[0] != '/' || strncmp(name + 1, w->prefix, strlen(w->prefix)) != 0)
			continue;
		bool running = strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 || strcmp(state, "restarting") == 0;
		json_array_append_new(own, json_pack("{s:s, s:b}", "name", name + 1, "running", running));
	}
	return own;
}

static bool runs(const json_t *own, const char *name)
{
	size_t i;
	const json_t *c;
	json_array_foreach (own, i, c)
		if (strcmp(json_string_value(json_object_get(c, "name")), name) == 0)
			return json_is_true(json_object_get(c, "running"));
	return false;
}

/* Jobs whose container the list does not show running: an event, or a log's end, may have been missed. */
static void tell_jobs(struct engine *e, const json_t *own, int64_t began_ms)
{
	struct job *j;
	LIST_FOREACH (j, &e->jobs, link) {
		if (!j->running_since_ms || j->running_since_ms >= began_ms || runs(own, j->name))
			continue;
		j->died = j->ended = true;
		job_wake(j);
	}
}

static void set_state(struct engine *e, enum engine_state state, const char *reason)
{
	e->state = state;
	free(e->down_reason);
	e->down_reason = reason ? xstrdup(reason) : NULL;
	pthread_cond_broadcast(&e->changed);
}

/* One full list; core and the jobs hear of it. */
static int look(struct watch *w, struct err *err)
{
	struct engine *e = w->engine;
	cleanup_json json_t *list = NULL;
	int64_t began_ms = now_mono_ms();
	if (!w->version && greet(w, err) < 0)
		return -1;
	if (api_get(&w->api, &list, err, "/containers/json?all=1&filters=%s", w->filters) < 0)
		return -1;
	json_t *own = own_containers(w, list);
	pthread_mutex_lock(&e->lock);
	tell_jobs(e, own, began_ms);
	set_state(e, ENGINE_UP, NULL);
	pthread_mutex_unlock(&e->lock);
	engine_send(e, msg_new(MSG_ENGINE_STATE, "{s:b, s:n, s:s, s:o}", "ok", 1, "reason", "version", w->version, "containers", own));
	return 0;
}

static void on_event(struct watch *w)
{
	struct engine *e = w->engine;
	struct job *j;
	cleanup_json json_t *event = json_loadb(w->line.data, w->line.len, 0, NULL);
	const char *name = json_string_value(json_object_get(json_object_get(json_object_get(event, "Actor"), "Attributes"), "name"));
	if (!name)
		return;
	pthread_mutex_lock(&e->lock);
	LIST_FOREACH (j, &e->jobs, link)
		if (j->running_since_ms && strcmp(j->name, name) == 0) {
			j->died = true;
			job_wake(j);
		}
	pthread_mutex_unlock(&e->lock);
}

static int on_data(const char *data, size_t len, void *arg)
{
	struct watch *w = arg;
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		if (w->line.len + n > EVENT_MAX)
			return 1;
		buf_add(&w->line, data, n);
		if (end) {
			on_event(w);
			buf_reset(&w->line);
			n++;
		}
		data += n;
		len -= n;
	}
	return 0;
}

static int on_stop(void *arg)
{
	(void)arg;
	return 1;
}

/* Listens to events until it is time for the next list, or the stream ends. */
static void listen_events(struct watch *w, int64_t since_s)
{
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *filters = api_filters(
	    json_pack("{s:[s], s:[s,s], s:[s]}", "type", "container", "event", "die", "destroy", "label", "disinto.dispatcher"));
	cleanup_free char *path = xasprintf("/events?since=%lld&filters=%s", (long long)since_s, filters);
	struct http_request req = {.method = "GET",
	                           .path = path,
	                           .timeout_ms = api_patience(LIST_MS),
	                           .on_data = on_data,
	                           .arg = w,
	                           .wake_fd = w->engine->stop_fd,
	                           .on_wake = on_stop};
	int64_t began_ms = now_mono_ms();
	buf_reset(&w->line);
	(void)api_send(&w->api, &req, &res, NULL); /* however it ends, the next list tells what is the case */
	if (now_mono_ms() - began_ms < CALM_MS)
		engine_pause(w->engine, CALM_MS);
}

/*
 * With a user of its own, the role was given the group of the socket when it began. One that appeared later, or changed hands, needs a
 * fresh role; one that is simply closed to us does not get better by that.
 */
static void check_access(struct engine *e)
{
	gid_t group = engine_socket_group(e);
	if (group == (gid_t)-1 || group == e->socket_group || access(e->args->config->docker_host, R_OK | W_OK) == 0 || errno != EACCES)
		return;
	log_warn("the Docker Engine's socket has another group now; this role begins again to join it", NULL);
	engine_give_up(e);
}

/* The engine does not answer: said once. */
static void lost(struct watch *w, const struct err *why, bool first)
{
	struct engine *e = w->engine;
	if (!first && !w->version)
		return;
	free(w->version);
	w->version = NULL;
	pthread_mutex_lock(&e->lock);
	set_state(e, ENGINE_DOWN, err_msg(why));
	pthread_mutex_unlock(&e->lock);
	log_warn("the Docker Engine does not answer", "socket", e->args->config->docker_host, "reason", err_msg(why), NULL);
	engine_send(e, msg_new(MSG_ENGINE_STATE, "{s:b, s:s, s:n, s:[]}", "ok", 0, "reason", err_msg(why), "version", "containers"));
}

static int backoff(int failures)
{
	int ms = BACKOFF_FIRST_MS;
	for (int i = 1; i < failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms / 2 + (int)randombytes_uniform((uint32_t)ms);
}

static void watch_for_ever(struct watch *w)
{
	for (int failures = 0;;) {
		cleanup_err struct err why = ERR_INIT;
		int64_t since_s = now_wall_ms() / 1000;
		if (look(w, &why) == 0) {
			failures = 0;
			listen_events(w, since_s);
		} else {
			lost(w, &why, failures == 0);
			failures++;
			check_access(w->engine);
		}
		if (!engine_pause(w->engine, failures ? backoff(failures) : 0))
			return;
	}
}

void *watch_thread(void *arg)
{
	struct engine *e = arg;
	struct watch w = {.engine = e, .line = BUF_INIT};
	cleanup_free char *label = xasprintf("disinto.dispatcher=%s", e->args->dispatcher_id);
	w.filters = api_filters(json_pack("{s:[s]}", "label", label));
	w.prefix = xasprintf("disinto-%s-", e->args->dispatcher_id);
	api_open(&w.api, e->args->config->docker_host, "");
	w.api.call_ms = api_patience(LOOK_MS);
	watch_for_ever(&w);
	api_close(&w.api);
	free(w.version);
	free(w.filters);
	free(w.prefix);
	buf_free(&w.line);
	engine_thread_ends(e);
	return NULL;
}
