/* The first half of a job: from START to GO. */
#include "dispatcher/engine/image.h"
#include "dispatcher/engine/job.h"
#include "dispatcher/engine/shared.h"
#include "dispatcher/engine/spec.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "vault/formula.h"
#include <string.h>

#define FIRST_WORD_MS 5000 /* of an engine that the role has not heard of yet */
#define NAME_FREE_MS 30000 /* until a removed container's name can be taken */

/* START's body, read. Strings are borrowed from it. */
struct order {
	const char *claim, *image, *network;
	const json_t *mounts;
	bool replace; /* a container that has the name may be removed */
	struct formula formula;
};

static int order_read(const struct job *j, struct order *ret, struct err *err)
{
	json_t *formula = json_object_get(j->order, "formula");
	const char *name = json_string_value(json_object_get(formula, "name"));
	ret->claim = json_string_value(json_object_get(j->order, "claim"));
	ret->image = json_string_value(json_object_get(j->order, "image"));
	ret->network = json_string_value(json_object_get(j->order, "network"));
	ret->mounts = json_object_get(j->order, "mounts");
	ret->replace = json_is_true(json_object_get(j->order, "replace"));
	if (!ret->claim || !ret->image || !json_is_object(json_object_get(j->order, "action")) || !api_is_name(j->name))
		return err_set(err, ERR_FAIL, "the order to start lacks name, claim, image or action");
	return formula_from_json(name ? name : "", formula, &ret->formula, err);
}

/* "default": our own. "none": Docker's name for it. All else is the operator's. */
static int choose_network(struct job *j, const char *wanted, char **ret, struct err *err)
{
	if (!wanted || strcmp(wanted, "default") == 0)
		return shared_network(j->engine, &j->api, ret, err);
	if (strcmp(wanted, "none") != 0)
		return named_network(&j->api, wanted, ret, err);
	*ret = xstrdup(wanted);
	return 0;
}

static int on_pull_wake(void *arg)
{
	return job_interrupted(arg, false);
}

static int resolve_image(struct job *j, const char *ref, struct image *ret, struct err *err)
{
	const struct role_args *args = j->engine->args;
	const char *auth = args->registry_auth ? args->registry_auth : args->config->registry_auth_file;
	const struct image_waker waker = {j->wake_fd, on_pull_wake, j};
	pthread_mutex_lock(&j->engine->lock);
	cleanup_free char *arch = j->engine->arch ? xstrdup(j->engine->arch) : NULL;
	pthread_mutex_unlock(&j->engine->lock);
	if (image_resolve(&j->api, ref, arch, auth, &waker, ret, err) < 0)
		return -1;
	j->image = xstrdup(ret->shown);
	return 0;
}

/* With `replace` a container of this name never passed GO (core sees to that): it is in the way of a fresh one. */
static int create(struct job *j, const json_t *want, bool replace, struct err *err)
{
	int64_t deadline = now_mono_ms() + NAME_FREE_MS;
	for (;;) {
		cleanup_json json_t *answer = NULL;
		cleanup_err struct err why = ERR_INIT;
		if (api_post(&j->api, want, &answer, &why, "/containers/create?name=%s", j->name) == 0) {
			const char *id = json_string_value(json_object_get(answer, "Id"));
			j->container = xstrdup(id ? id : j->name);
			return 0;
		}
		if (why.code == ERR_EXISTS && !replace)
			return err_set(err, ERR_FAIL,
			               "a container of the name %s is there already; the action is claimed before it is removed", j->name);
		if (why.code != ERR_EXISTS || now_mono_ms() > deadline) {
			err_set(err, ERR_FAIL, "create the container: %s", err_msg(&why));
			return -1;
		}
		log_info("a container of the same name is removed first", "container", j->name, NULL);
		if (api_remove(&j->api, j->name, err) < 0 || !engine_pause(j->engine, 50))
			return err_wrap(err, "its name is taken");
	}
}

static int compare(struct job *j, const json_t *want, struct err *err)
{
	cleanup_json json_t *inspect = NULL;
	if (api_get(&j->api, &inspect, err, "/containers/%s/json", j->container) < 0)
		return err_wrap(err, "inspect the new container");
	return spec_check(want, inspect, err);
}

static int make_container(struct job *j, const struct order *o, struct err *err)
{
	struct engine *e = j->engine;
	cleanup_image struct image image = IMAGE_INIT;
	cleanup_free char *network = NULL;
	cleanup_json json_t *want = NULL;
	if (resolve_image(j, o->image, &image, err) < 0 || shared_volume(e, &j->api, image.id, err) < 0 ||
	    choose_network(j, o->network, &network, err) < 0)
		return -1;
	const struct spec_input in = {.formula = &o->formula,
	                              .image = &image,
	                              .dispatcher_id = e->args->dispatcher_id,
	                              .action_id = j->id,
	                              .claim = o->claim,
	                              .attempt = j->attempt,
	                              .runner_volume = e->volume,
	                              .network = network,
	                              .mounts = o->mounts,
	                              .config = e->args->config};
	if (spec_build(&in, &want, err) < 0 || create(j, want, o->replace, err) < 0 || compare(j, want, err) < 0)
		return -1;
	return api_attach_stdin(e->args->config->docker_host, j->api.prefix, j->container, &j->stdin_fd, err);
}

/* What the engine says when no attempt can ever work: it is the image that is wrong. */
static bool start_is_hopeless(const char *words)
{
	return strstr(words, "exec format error") || strstr(words, "not a directory") || strstr(words, "path escapes");
}

static int start_container(struct job *j, struct err *err)
{
	struct engine *e = j->engine;
	cleanup_err struct err why = ERR_INIT;
	pthread_mutex_lock(&e->lock);
	bool halted = j->halt;
	pthread_mutex_unlock(&e->lock);
	if (halted)
		return err_set(err, ERR_FAIL, "the start was called off");
	if (api_post(&j->api, NULL, NULL, &why, "/containers/%s/start", j->container) == 0) {
		pthread_mutex_lock(&e->lock);
		j->running_since_ms = now_mono_ms(); /* a list that was made before now may not show it running yet */
		pthread_mutex_unlock(&e->lock);
		return 0;
	}
	return err_set(err, start_is_hopeless(err_msg(&why)) ? ERR_INVALID : ERR_FAIL, "start the container: %s", err_msg(&why));
}

/* The runner ended before GO: its own words, else what the engine knows. */
static int runner_ended(struct job *j, struct err *err)
{
	const char *outcome = json_string_value(json_object_get(j->report, "outcome"));
	const char *reason = json_string_value(json_object_get(j->report, "reason"));
	cleanup_json json_t *inspect = NULL;
	if (outcome)
		return err_set(err, strcmp(outcome, "refused") == 0 ? ERR_INVALID : ERR_FAIL, "%s",
		               reason ? reason : "the runner gives no reason");
	if (api_get(&j->api, &inspect, err, "/containers/%s/json", j->container) < 0)
		return err_wrap(err, "the runner ended before it began");
	const json_t *state = json_object_get(inspect, "State");
	return err_set(err, ERR_FAIL, "the runner ended before it began (exit code %lld%s)%s%.200s",
	               (long long)json_integer_value(json_object_get(state, "ExitCode")),
	               json_is_true(json_object_get(state, "OOMKilled")) ? ", killed for memory" : "", j->complaint.len ? ": " : "",
	               j->complaint.data);
}

static int await_ready(struct job *j, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	int r = log_read(j, true, api_patience(READY_MS), &why);
	if (j->ready)
		return 0;
	if (r == 0)
		return runner_ended(j, err);
	if (why.code == ERR_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "the runner was not ready within %d s of its start", READY_MS / 1000);
	return err_set(err, ERR_FAIL, "wait for the runner: %s", err_msg(&why));
}

static int hand_over(struct job *j, struct err *err)
{
	cleanup_fd int pipe_fd = -1;
	if (exchange_wait_secrets(j, &pipe_fd, err) < 0 || exchange_secrets(j, pipe_fd, err) < 0)
		return -1;
	engine_send(j->engine, msg_new(MSG_DELIVERED, "{s:s, s:i}", "id", j->id, "attempt", j->attempt));
	if (exchange_wait_go(j, err) < 0)
		return -1;
	return exchange_go(j, err);
}

/* A runner that ended during the hand-over has said why. */
static int explain(struct job *j, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	if (log_read(j, false, j->api.call_ms, NULL) == 0 && j->report) {
		runner_ended(j, &why);
		err_clear(err);
		err_move(err, &why);
	} else if (err && err->code == ERR_INVALID) {
		err->code = ERR_FAIL;
	}
	return -1;
}

static int bring_up(struct job *j, const struct order *o, struct err *err)
{
	if (make_container(j, o, err) < 0 || start_container(j, err) < 0) {
		engine_forget_shared(j->engine);
		return -1;
	}
	if (await_ready(j, err) < 0)
		return -1;
	engine_send(j->engine, msg_new(MSG_READY, "{s:s, s:i, s:s, s:s}", "id", j->id, "attempt", j->attempt, "container", j->container,
	                               "image", j->image));
	return hand_over(j, err) < 0 ? explain(j, err) : 0;
}

int job_start(struct job *j, struct err *err)
{
	struct order o = {.formula = FORMULA_INIT};
	int r = engine_wait_up(j->engine, FIRST_WORD_MS, err);
	engine_api(j->engine, &j->api);
	if (r == 0 && (r = order_read(j, &o, err)) == 0)
		r = bring_up(j, &o, err);
	formula_free(&o.formula);
	return r;
}
