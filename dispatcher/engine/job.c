/* A job: one container, from START or FOLLOW to FAILED or EXITED. */
#include "dispatcher/engine/job.h"
#include "dispatcher/engine/engine.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include <string.h>
#include <sys/eventfd.h>

struct job *job_new(struct engine *e, const char *id, int attempt, const char *name)
{
	struct job *j = xcalloc(1, sizeof(*j));
	*j = (struct job){.engine = e, .attempt = attempt, .secrets_fd = -1, .stdin_fd = -1, .log = BUF_INIT, .complaint = BUF_INIT};
	j->id = xstrdup(id);
	j->name = xstrdup(name);
	j->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return j;
}

void job_free(struct job *j)
{
	if (j->wake_fd >= 0)
		close(j->wake_fd);
	if (j->secrets_fd >= 0)
		close(j->secrets_fd);
	if (j->stdin_fd >= 0)
		close(j->stdin_fd);
	api_close(&j->api);
	json_decref(j->order);
	json_decref(j->report);
	free(j->id);
	free(j->name);
	free(j->container);
	free(j->image);
	free(j->fault);
	buf_free(&j->log);
	buf_free(&j->complaint);
	free(j);
}

void job_wake(struct job *j)
{
	eventfd_write(j->wake_fd, 1);
}

bool job_interrupted(struct job *j, bool following)
{
	struct engine *e = j->engine;
	eventfd_t ignored;
	eventfd_read(j->wake_fd, &ignored);
	pthread_mutex_lock(&e->lock);
	bool stop = e->stopping || (following && j->ended) || (!j->past_go && j->halt);
	pthread_mutex_unlock(&e->lock);
	return stop;
}

static void leave_list(struct job *j)
{
	pthread_mutex_lock(&j->engine->lock);
	if (j->listed)
		LIST_REMOVE(j, link);
	j->listed = false;
	pthread_mutex_unlock(&j->engine->lock);
}

void job_say_last(struct job *j, json_t *body)
{
	leave_list(j); /* core may say START or FOLLOW as soon as it hears this */
	engine_send(j->engine, body);
}

static void job_end(struct job *j)
{
	struct engine *e = j->engine;
	leave_list(j);
	job_free(j);
	engine_thread_ends(e);
}

/* What became of a start that did not reach GO: the container is taken away, and core hears why. */
static void start_failed(struct job *j, const struct err *why)
{
	struct engine *e = j->engine;
	cleanup_err struct err err = ERR_INIT;
	pthread_mutex_lock(&e->lock);
	bool stopping = e->stopping;
	pthread_mutex_unlock(&e->lock);
	if (stopping) /* the runner sees its input end */
		return;
	if (j->container && api_remove(&j->api, j->name, &err) < 0)
		log_warn("a container that ran nothing stays behind", "container", j->name, "reason", err_msg(&err), NULL);
	job_say_last(j, msg_new(MSG_FAILED, "{s:s, s:i, s:b, s:s}", "id", j->id, "attempt", j->attempt, "refuse", why->code == ERR_INVALID,
	                        "reason", err_msg(why)));
}

void *job_start_thread(void *arg)
{
	struct job *j = arg;
	cleanup_err struct err why = ERR_INIT;
	if (job_start(j, &why) == 0)
		job_follow(j);
	else
		start_failed(j, &why);
	job_end(j);
	return NULL;
}

void *job_follow_thread(void *arg)
{
	struct job *j = arg;
	job_follow(j);
	job_end(j);
	return NULL;
}
