/* The engine role: its main thread, which takes messages from core, and what all its threads use. */
#include "dispatcher/engine/engine.h"
#include "dispatcher/engine/job.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define STACK_BYTES (256 * 1024)
#define ARENAS 2    /* of malloc: one for each thread would cost more memory than waiting for a lock costs time */
#define END_MS 3000 /* for the threads to end, once core is gone */

void engine_give_up(struct engine *e)
{
	shutdown(e->conn.fd, SHUT_RDWR); /* the main thread sees the end */
}

gid_t engine_socket_group(const struct engine *e)
{
	struct stat st;
	return stat(e->args->config->docker_host, &st) == 0 ? st.st_gid : (gid_t)-1;
}

void engine_send(struct engine *e, json_t *body)
{
	cleanup_json json_t *owned = body;
	cleanup_err struct err err = ERR_INIT;
	pthread_mutex_lock(&e->send_lock);
	int r = msg_send(&e->conn, owned, -1, SEND_MS, &err);
	pthread_mutex_unlock(&e->send_lock);
	if (r == 0)
		return;
	pthread_mutex_lock(&e->lock);
	bool stopping = e->stopping;
	pthread_mutex_unlock(&e->lock);
	if (!stopping)
		log_error("core can't be told", "reason", err_msg(&err), NULL);
	engine_give_up(e);
}

int engine_thread(struct engine *e, void *(*fn)(void *), void *arg, struct err *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&e->lock);
	int r = pthread_create(&thread, &attr, fn, arg);
	if (r == 0)
		e->threads++;
	pthread_mutex_unlock(&e->lock);
	pthread_attr_destroy(&attr);
	return r ? err_errno(err, r, "start a thread") : 0;
}

void engine_thread_ends(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->threads--;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

/* now_mono_ms() counts another clock, which condition variables do not know. */
struct timespec engine_deadline(int64_t ms)
{
	struct timespec at;
	if (ms < 0)
		ms = 0;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += ms % 1000 * 1000000;
	at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	return at;
}

int engine_wait_up(struct engine *e, int ms, struct err *err)
{
	struct timespec deadline = engine_deadline(ms < 0 ? 0 : ms);
	pthread_mutex_lock(&e->lock);
	while (!e->stopping && e->state != ENGINE_UP) {
		if (ms < 0)
			pthread_cond_wait(&e->changed, &e->lock);
		else if (e->state == ENGINE_DOWN || pthread_cond_timedwait(&e->changed, &e->lock, &deadline) == ETIMEDOUT)
			break;
	}
	int r = e->stopping ? err_set(err, ERR_FAIL, "the dispatcher stops")
	        : e->state == ENGINE_UP
	            ? 0
	            : err_set(err, ERR_UNREACHABLE, "%s", e->down_reason ? e->down_reason : "the Docker Engine does not answer");
	pthread_mutex_unlock(&e->lock);
	return r;
}

void engine_api(struct engine *e, struct api *ret)
{
	pthread_mutex_lock(&e->lock);
	if (!ret->http)
		api_open(ret, e->args->config->docker_host, e->prefix);
	else
		snprintf(ret->prefix, sizeof(ret->prefix), "%s", e->prefix);
	pthread_mutex_unlock(&e->lock);
}

bool engine_pause(struct engine *e, int ms)
{
	struct timespec deadline = engine_deadline(ms);
	pthread_mutex_lock(&e->lock);
	while (!e->stopping && pthread_cond_timedwait(&e->changed, &e->lock, &deadline) != ETIMEDOUT)
		;
	bool going_on = !e->stopping;
	pthread_mutex_unlock(&e->lock);
	return going_on;
}

void engine_forget_shared(struct engine *e)
{
	pthread_mutex_lock(&e->prepare_lock);
	e->volume_ready = false;
	free(e->network_id);
	e->network_id = NULL;
	pthread_mutex_unlock(&e->prepare_lock);
}

/* Under the lock. */
static struct job *find_job(struct engine *e, const char *id, int attempt)
{
	struct job *j;
	LIST_FOREACH (j, &e->jobs, link)
		if (j->attempt == attempt && strcmp(j->id, id) == 0)
			return j;
	return NULL;
}

/* What every message to the engine has, or should have. */
struct address {
	const char *id, *name;
	int attempt;
};

/* start: START, whose body becomes the job's own; NULL: FOLLOW. */
static int add_job(struct engine *e, const struct address *to, struct msg *start, struct err *err)
{
	pthread_mutex_lock(&e->lock);
	bool known = find_job(e, to->id, to->attempt) != NULL;
	pthread_mutex_unlock(&e->lock);
	if (known) {
		log_warn("this run is in hand already", "action", to->id, NULL);
		return 0;
	}
	struct job *j = job_new(e, to->id, to->attempt, to->name);
	j->order = start ? steal_ptr(&start->body) : NULL;
	j->past_go = !start;
	j->running_since_ms = start ? 0 : now_mono_ms();
	pthread_mutex_lock(&e->lock);
	LIST_INSERT_HEAD(&e->jobs, j, link);
	j->listed = true;
	pthread_mutex_unlock(&e->lock);
	if (j->wake_fd >= 0 && engine_thread(e, start ? job_start_thread : job_follow_thread, j, err) == 0)
		return 0;
	pthread_mutex_lock(&e->lock);
	LIST_REMOVE(j, link);
	pthread_mutex_unlock(&e->lock);
	job_free(j);
	return err_wrap(err, "no means for one more run");
}

/* SECRETS and GO: into the mailbox of a job that began with START. */
static void into_mailbox(struct engine *e, enum msg_kind kind, const struct address *to, struct msg *m)
{
	pthread_mutex_lock(&e->lock);
	struct job *j = find_job(e, to->id, to->attempt);
	bool wanted = j && j->order && !j->past_go;
	if (wanted && kind == MSG_GO)
		j->go = true;
	if (wanted && kind == MSG_SECRETS && j->secrets_fd < 0)
		j->secrets_fd = steal_fd(&m->fd);
	if (wanted)
		job_wake(j);
	pthread_mutex_unlock(&e->lock);
	if (!wanted)
		log_debug("a message for a run that is not in hand", "kind", m->kind, "action", to->id, NULL);
}

/* Before GO a start is called off by its own thread; afterwards the container is told. */
static int halt(struct engine *e, const struct address *to, const json_t *body, struct err *err)
{
	pthread_mutex_lock(&e->lock);
	struct job *j = find_job(e, to->id, to->attempt);
	bool before_go = j && !j->past_go;
	if (before_go) {
		j->halt = true;
		job_wake(j);
	}
	pthread_mutex_unlock(&e->lock);
	if (before_go)
		return 0;
	int64_t grace = json_integer_value(json_object_get(body, "grace_seconds"));
	return chores_halt(e, to->name, grace < 0 ? 0 : grace > 3600 ? 3600 : (int)grace, json_is_true(json_object_get(body, "kill")), err);
}

/* Whoever holds a lock of ours for too long hangs us: the sign of life needs both. */
static void pong(struct engine *e, const struct msg *m)
{
	pthread_mutex_lock(&e->lock);
	pthread_mutex_unlock(&e->lock);
	engine_send(e, msg_new(MSG_PONG, "{s:O}", "n", json_object_get(m->body, "n")));
}

static int dispatch(struct engine *e, struct msg *m, struct err *err)
{
	enum msg_kind kind;
	struct address to = {.id = json_string_value(json_object_get(m->body, "id")),
	                     .name = json_string_value(json_object_get(m->body, "name"))};
	if (msg_check(m, ROLE_CORE, ROLE_ENGINE, &kind, err) < 0)
		return -1;
	if (kind == MSG_PING) {
		pong(e, m);
		return 0;
	}
	to.attempt = (int)json_integer_value(json_object_get(m->body, "attempt"));
	bool named = kind != MSG_SECRETS && kind != MSG_GO;
	if (!to.id || to.attempt < 1 || (named && (!to.name || !api_is_name(to.name))))
		return err_set(err, ERR_INVALID, "core's '%s' lacks id, attempt or name", m->kind);
	switch (kind) {
	case MSG_START:
		return add_job(e, &to, m, err);
	case MSG_FOLLOW:
		return add_job(e, &to, NULL, err);
	case MSG_HALT:
		return halt(e, &to, m->body, err);
	case MSG_REMOVE:
		chores_remove(e, to.id, to.attempt, to.name);
		return 0;
	default:
		into_mailbox(e, kind, &to, m);
		return 0;
	}
}

static int open_engine(struct engine *e, const struct role_args *args, struct err *err)
{
	pthread_condattr_t attr;
	*e = (struct engine){.args = args, .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	docker_prefix(NULL, e->prefix);
	e->socket_group = engine_socket_group(e);
	LIST_INIT(&e->jobs);
	STAILQ_INIT(&e->removals);
	msg_conn_init(&e->conn, args->sock);
	pthread_mutex_init(&e->send_lock, NULL);
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->prepare_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (e->stop_fd < 0)
		return err_errno(err, errno, "eventfd");
	if (engine_thread(e, watch_thread, e, err) < 0)
		return -1;
	return engine_thread(e, remover_thread, e, err);
}

/* Core is gone: every thread is woken and given a moment. Containers are left as they are. */
static void close_engine(struct engine *e)
{
	struct job *j;
	struct timespec deadline = engine_deadline(END_MS);
	pthread_mutex_lock(&e->lock);
	e->stopping = true;
	eventfd_write(e->stop_fd, 1);
	LIST_FOREACH (j, &e->jobs, link)
		job_wake(j);
	pthread_cond_broadcast(&e->changed);
	while (e->threads > 0 && pthread_cond_timedwait(&e->changed, &e->lock, &deadline) != ETIMEDOUT)
		;
	bool all_ended = e->threads == 0;
	pthread_mutex_unlock(&e->lock);
	if (!all_ended) /* one still waits for the engine; the process ends under it */
		return;
	msg_conn_close(&e->conn);
	while (!STAILQ_EMPTY(&e->removals)) {
		struct removal *r = STAILQ_FIRST(&e->removals);
		STAILQ_REMOVE_HEAD(&e->removals, link);
		free(r->id);
		free(r->name);
		free(r);
	}
	free(e->down_reason);
	free(e->arch);
	free(e->network_id);
}

static int serve(struct engine *e, struct err *err)
{
	for (;;) {
		cleanup_msg struct msg m = MSG_INIT;
		cleanup_err struct err why = ERR_INIT;
		if (msg_recv(&e->conn, -1, &m, &why) < 0) {
			if (why.code == ERR_UNREACHABLE)
				return 0;
			err_move(err, &why);
			return -1;
		}
		if (dispatch(e, &m, err) < 0)
			return -1;
	}
}

int engine_role(const struct role_args *args)
{
	static struct engine engine; /* threads may outlive this function for a moment */
	cleanup_err struct err err = ERR_INIT;
	mallopt(M_ARENA_MAX, ARENAS);
	signal(SIGPIPE, SIG_IGN);
	int r = sodium_init() < 0 ? err_set(&err, ERR_FAIL, "libsodium does not start") : 0;
	if (r == 0) {
		r = open_engine(&engine, args, &err);
		if (r == 0)
			r = serve(&engine, &err);
		close_engine(&engine);
	}
	if (r < 0)
		log_error("the engine role ends", "reason", err_msg(&err), NULL);
	return r < 0 ? 1 : 0;
}
