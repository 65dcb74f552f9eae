/* The second half of a job: from GO (or FOLLOW) to the container's end. */
#include "dispatcher/engine/image.h"
#include "dispatcher/engine/job.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <string.h>

#define AGAIN_MS 300 /* after something failed that should not */

enum look { LOOK_RUNNING, LOOK_ENDED, LOOK_GONE, LOOK_UNKNOWN };

struct ending {
	bool has_exit_code;
	int exit_code;
	bool oom;
	char *reason; /* owned; or NULL */
};

static void ending_free(struct ending *e)
{
	free(e->reason);
}

/* What the result should call the image of a container that was found here. */
static void name_image(struct job *j, const char *image_id)
{
	cleanup_json json_t *inspect = NULL;
	cleanup_image struct image image = IMAGE_INIT;
	if (j->image || !image_id)
		return;
	if (api_get(&j->api, &inspect, NULL, "/images/%s/json", image_id) == 0 && image_read(inspect, "", NULL, &image, NULL) == 0)
		j->image = steal_ptr(&image.shown);
	else
		j->image = xstrdup(image_id);
}

static void read_state(const json_t *state, struct ending *ret)
{
	const char *status = json_string_value(json_object_get(state, "Status"));
	const char *error = json_string_value(json_object_get(state, "Error"));
	ret->has_exit_code = !status || strcmp(status, "created") != 0;
	ret->exit_code = (int)json_integer_value(json_object_get(state, "ExitCode"));
	ret->oom = json_is_true(json_object_get(state, "OOMKilled"));
	free(ret->reason);
	ret->reason = !ret->has_exit_code ? xstrdup("the container was made and never started")
	              : error && *error   ? xasprintf("%.400s", error)
	                                  : NULL;
}

static enum look look(struct job *j, struct ending *ret)
{
	cleanup_json json_t *inspect = NULL;
	cleanup_err struct err why = ERR_INIT;
	if (api_get(&j->api, &inspect, &why, "/containers/%s/json", j->name) < 0) {
		if (why.code != ERR_NOT_FOUND)
			return LOOK_UNKNOWN;
		*ret = (struct ending){.reason = xstrdup("its container is not there any more: somebody else removed it")};
		return LOOK_GONE;
	}
	const json_t *state = json_object_get(inspect, "State");
	const char *id = json_string_value(json_object_get(inspect, "Id"));
	if (!json_is_object(state) || !id)
		return LOOK_UNKNOWN;
	if (!j->container)
		j->container = xstrdup(id);
	if (json_is_true(json_object_get(state, "Running")))
		return LOOK_RUNNING;
	name_image(j, json_string_value(json_object_get(inspect, "Image")));
	read_state(state, ret);
	return LOOK_ENDED;
}

static void say_exited(struct job *j, const struct ending *end)
{
	json_t *code = end->has_exit_code ? json_integer(end->exit_code) : json_null();
	job_say_last(j, msg_new(MSG_EXITED, "{s:s, s:i, s:s?, s:s?, s:b, s:O?, s:o, s:b, s:s?}", "id", j->id, "attempt", j->attempt,
	                        "container", j->container, "image", j->image, "going", j->going, "report", j->report, "exit_code", code,
	                        "oom", end->oom, "reason", end->reason ? end->reason : j->fault));
}

static int on_wake(void *arg)
{
	return job_interrupted(arg, true);
}

/* Its log ended, or can't be read: nothing to do until the container has ended too. */
static void await_end(struct job *j)
{
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *path = xasprintf("/containers/%s/wait?condition=not-running", j->name);
	struct http_request req = {.method = "POST", .path = path, .body = "", .wake_fd = j->wake_fd, .on_wake = on_wake, .arg = j};
	if (!job_interrupted(j, true) && api_send(&j->api, &req, &res, NULL) < 0)
		engine_pause(j->engine, AGAIN_MS);
}

/* A new look at everything: what a list said of it is used up, and the engine may be another one. false: the role ends. */
static bool begin_round(struct job *j)
{
	struct engine *e = j->engine;
	if (engine_wait_up(e, -1, NULL) < 0)
		return false;
	engine_api(e, &j->api);
	pthread_mutex_lock(&e->lock);
	j->ended = false;
	pthread_mutex_unlock(&e->lock);
	return true;
}

/* One round: reads the log as far as it goes, then looks at the container. true: it has ended and nothing more can be learnt. */
static bool follow_round(struct job *j, struct ending *end)
{
	bool read_all = !j->fault && (j->report || log_read(j, true, 0, NULL) == 0); /* the report is the last of it */
	switch (look(j, end)) {
	case LOOK_GONE:
		return true;
	case LOOK_ENDED:
		/* A stream that was broken off, or one that ended too early for the report. */
		if (j->fault || (read_all && j->report) || log_read(j, false, j->api.call_ms, NULL) == 0 || j->fault)
			return true;
		engine_pause(j->engine, AGAIN_MS);
		return false;
	case LOOK_RUNNING:
		if (read_all || j->fault)
			await_end(j);
		else
			engine_pause(j->engine, AGAIN_MS);
		return false;
	case LOOK_UNKNOWN:
		break;
	}
	engine_pause(j->engine, AGAIN_MS);
	return false;
}

void job_follow(struct job *j)
{
	struct ending end __attribute__((cleanup(ending_free))) = {.has_exit_code = false};
	while (begin_round(j))
		if (follow_round(j, &end)) {
			say_exited(j, &end);
			return;
		}
}
