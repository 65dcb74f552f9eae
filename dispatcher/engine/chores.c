/* What is asked of the engine beside the jobs: removals, and ends of containers. */
#include "dispatcher/engine/engine.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include <string.h>

#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 30000
#define HALT_TRIES 20
#define STOP_MARGIN_S 5 /* the runner enforces the grace itself; the engine kills where the runner does not */

static void removal_free(struct removal *r)
{
	free(r->id);
	free(r->name);
	free(r);
}

/* Core asks again at each list that shows the container. Under the lock. */
static bool is_asked_for(const struct engine *e, const char *name)
{
	const struct removal *r;
	STAILQ_FOREACH (r, &e->removals, link)
		if (strcmp(r->name, name) == 0)
			return true;
	return false;
}

void chores_remove(struct engine *e, const char *id, int attempt, const char *name)
{
	struct removal *r;
	pthread_mutex_lock(&e->lock);
	if (!is_asked_for(e, name)) {
		r = xcalloc(1, sizeof(*r));
		*r = (struct removal){.id = xstrdup(id), .name = xstrdup(name), .attempt = attempt};
		STAILQ_INSERT_TAIL(&e->removals, r, link);
		pthread_cond_broadcast(&e->changed);
	}
	pthread_mutex_unlock(&e->lock);
}

/* The first that is due, or when the next one will be (-1: never). It stays in the queue, so that nobody asks for it twice. Under the lock. */
static struct removal *take_due(struct engine *e, int64_t *ret_next_ms)
{
	struct removal *r;
	int64_t now = now_mono_ms();
	*ret_next_ms = -1;
	STAILQ_FOREACH (r, &e->removals, link) {
		if (r->due_ms <= now)
			return r;
		if (*ret_next_ms < 0 || r->due_ms < *ret_next_ms)
			*ret_next_ms = r->due_ms;
	}
	return NULL;
}

/* NULL: the role ends. */
static struct removal *wait_due(struct engine *e)
{
	struct removal *r = NULL;
	pthread_mutex_lock(&e->lock);
	while (!e->stopping) {
		int64_t next;
		if ((r = take_due(e, &next)))
			break;
		if (next < 0) {
			pthread_cond_wait(&e->changed, &e->lock);
		} else {
			struct timespec at = engine_deadline(next - now_mono_ms());
			pthread_cond_timedwait(&e->changed, &e->lock, &at);
		}
	}
	pthread_mutex_unlock(&e->lock);
	return r;
}

/* With growing distance, and one line for all of its failures. */
static void try_later(struct removal *r, const struct err *why)
{
	int64_t delay = RETRY_FIRST_MS;
	for (int i = 0; i < r->failures && delay < RETRY_MAX_MS; i++)
		delay *= 2;
	if (r->failures++ == 0)
		log_warn("a container can't be removed; trying again", "container", r->name, "reason", err_msg(why), NULL);
	r->due_ms = now_mono_ms() + delay;
}

static void removed(struct engine *e, struct removal *r)
{
	engine_send(e, msg_new(MSG_REMOVED, "{s:s, s:i}", "id", r->id, "attempt", r->attempt));
	pthread_mutex_lock(&e->lock);
	STAILQ_REMOVE(&e->removals, r, removal, link);
	pthread_mutex_unlock(&e->lock);
	removal_free(r);
}

void *remover_thread(void *arg)
{
	struct engine *e = arg;
	cleanup_api struct api a = {.http = NULL};
	struct removal *r;
	while ((r = wait_due(e))) {
		cleanup_err struct err why = ERR_INIT;
		bool up = engine_wait_up(e, -1, NULL) == 0;
		if (up)
			engine_api(e, &a);
		if (up && api_remove(&a, r->name, &why) == 0)
			removed(e, r);
		else
			try_later(r, &why);
	}
	engine_thread_ends(e);
	return NULL;
}

struct halt {
	struct engine *engine;
	char *name;
	char *id; /* of the container that had the name when it was first looked up; NULL: not yet */
	int grace_seconds;
	bool kill;
};

/* A later try must not hit another container that has taken the name meanwhile. */
static int find_container(struct api *a, struct halt *h, struct err *err)
{
	cleanup_json json_t *inspect = NULL;
	if (h->id)
		return 0;
	if (api_get(a, &inspect, err, "/containers/%s/json", h->name) < 0)
		return -1;
	const char *id = json_string_value(json_object_get(inspect, "Id"));
	h->id = xstrdup(id && api_is_name(id) ? id : h->name);
	return 0;
}

static int halt_once(struct api *a, struct halt *h, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	if (find_container(a, h, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		err_move(err, &why);
		return -1;
	}
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *path = h->kill ? xasprintf("/containers/%s/kill", h->id)
	                                  : xasprintf("/containers/%s/stop?t=%d", h->id, h->grace_seconds + STOP_MARGIN_S);
	struct http_request req = {
	    .method = "POST", .path = path, .body = "", .timeout_ms = a->call_ms + (h->kill ? 0 : h->grace_seconds + STOP_MARGIN_S) * 1000};
	/* Not there, or (kill) not running. */
	if (api_send(a, &req, &res, &why) == 0 || why.code == ERR_NOT_FOUND || why.code == ERR_EXISTS)
		return 0;
	err_move(err, &why);
	return -1;
}

static void *halt_thread(void *arg)
{
	struct halt *h = arg;
	struct engine *e = h->engine;
	cleanup_err struct err why = ERR_INIT;
	bool done = false;
	for (int i = 0; i < HALT_TRIES && !done && engine_wait_up(e, -1, NULL) == 0; i++) {
		cleanup_api struct api a = {.http = NULL};
		engine_api(e, &a);
		err_clear(&why);
		done = halt_once(&a, h, &why) == 0 || !engine_pause(e, 1000);
	}
	if (!done)
		log_warn("a container could not be stopped", "container", h->name, "reason", err_msg(&why), NULL);
	free(h->name);
	free(h->id);
	free(h);
	engine_thread_ends(e);
	return NULL;
}

int chores_halt(struct engine *e, const char *name, int grace_seconds, bool kill, struct err *err)
{
	struct halt *h = xcalloc(1, sizeof(*h));
	*h = (struct halt){.engine = e, .name = xstrdup(name), .grace_seconds = grace_seconds, .kill = kill};
	if (engine_thread(e, halt_thread, h, err) == 0)
		return 0;
	free(h->name);
	free(h);
	return -1;
}
