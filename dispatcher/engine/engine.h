/*
 * The engine role's own map: the Docker Engine on a unix socket, seen through its HTTP API 1.41.
 *
 *   main thread     engine.c   messages from core, handed to jobs and chores
 *   job threads     job.c      one for each container that is being made or followed; reads top to bottom
 *   watch thread    watch.c    one event stream and one list for all containers
 *   remover thread  chores.c   removals, one after the other
 *   halt threads    chores.c   one for each HALT, as Docker's stop call lasts as long as the grace
 *
 * Each thread has its own HTTP client. What they share is `struct engine`, under its lock. A job's mailbox (the flags below its
 * own comment) is under that lock too; everything else of a job belongs to its thread alone.
 *
 * A failed start says ERR_INVALID where it can never work (the action is refused), any other code where it may work later.
 */
#ifndef DISPATCHER_ENGINE_ENGINE_H
#define DISPATCHER_ENGINE_ENGINE_H

#include "dispatcher/dispatcher.h"
#include "dispatcher/engine/api.h"
#include "lib/buf.h"
#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#define SEND_MS 10000    /* to core, which never blocks */
#define READY_MS 120000  /* from start to `ready` */
#define ANSWER_MS 120000 /* from READY to SECRETS, from DELIVERED to GO */
#define STDIN_MS 60000   /* for the runner to take what is written to it */
#define LIST_MS 30000    /* between two full lists */

struct job {
	LIST_ENTRY(job) link;
	struct engine *engine;
	char *id;
	int attempt;
	char *name;    /* of the container */
	json_t *order; /* START's body; NULL for FOLLOW */

	/* Mailbox. */
	bool listed;
	int wake_fd;    /* eventfd: something below changed; kept for the job's whole life */
	int secrets_fd; /* -1: not yet */
	bool go, halt;
	bool died;                /* an event says that the container ended */
	bool ended;               /* a list says that it does not run */
	bool past_go;             /* GO was taken out of the mailbox, or the job began as FOLLOW: the container is never thrown away */
	int64_t running_since_ms; /* monotonic; 0: not started yet. Lists that began earlier say nothing about it */

	/* The job's own thread. */
	struct api api;
	char *container; /* id; NULL until created or found */
	char *image;     /* as READY and the result have it; NULL until resolved */
	int stdin_fd;    /* attached to the runner's standard input; -1 */
	bool hello, ready, going;
	json_t *report;
	char *fault;          /* why its log can't be read any further, or NULL */
	uint64_t frames;      /* frames of the log that were handled, so that a second reading can pass over them */
	size_t stderr_bytes;  /* the same for what the runner wrote to standard error */
	struct buf log;       /* text not yet sent to core */
	struct buf complaint; /* beginning of standard error, for messages */
};
LIST_HEAD(job_list, job);

enum engine_state { ENGINE_UNKNOWN, ENGINE_UP, ENGINE_DOWN };

struct removal {
	STAILQ_ENTRY(removal) link;
	char *id, *name;
	int attempt;
	int failures;
	int64_t due_ms;
};
STAILQ_HEAD(removal_queue, removal);

struct engine {
	const struct role_args *args;
	struct msg_conn conn;
	pthread_mutex_t send_lock; /* msg_send on conn */
	int stop_fd;               /* eventfd, readable for ever once stopping */
	gid_t socket_group;        /* of the engine's socket when this role began; (gid_t)-1: it was not there */

	pthread_mutex_t lock;   /* all below */
	pthread_cond_t changed; /* state, stopping, threads, removals; CLOCK_MONOTONIC */
	bool stopping;
	int threads;
	struct job_list jobs;
	struct removal_queue removals;
	enum engine_state state;
	char *down_reason;
	char *arch;                      /* of the engine's machine, as images name it */
	char prefix[DOCKER_PREFIX_SIZE]; /* agreed on with the engine that answered last */

	pthread_mutex_t prepare_lock; /* makes what all containers share, one thread at a time */
	bool volume_ready;
	char *network_id; /* of disinto-tasks; NULL: not looked at yet */
	char volume[40];  /* disinto-runner-<16 hex>; "" until the program was hashed */
};

/* engine.c: sends to core; takes the body. A core that takes nothing ends the role. */
void engine_send(struct engine *e, json_t *body);
/* Ends the role: its parent makes a fresh one. */
void engine_give_up(struct engine *e);
/* The group of the engine's socket now; (gid_t)-1 without one. */
gid_t engine_socket_group(const struct engine *e);
/* Starts a detached thread with a small stack and counts it. */
int engine_thread(struct engine *e, void *(*fn)(void *), void *arg, struct err *err);
void engine_thread_ends(struct engine *e);
/*
 * Waits until the engine is known to answer. `ms` < 0: as long as it takes; else for its first word only.
 * ERR_UNREACHABLE with the reason when it is down, ERR_FAIL when the role ends.
 */
int engine_wait_up(struct engine *e, int ms, struct err *err);
/* A client for the engine, in the API version that was agreed on; one that is open stays open, and follows a change of the version. */
void engine_api(struct engine *e, struct api *ret);
/* Waits, but not longer than the role lives. false: it ends. */
bool engine_pause(struct engine *e, int ms);
/* In so many milliseconds, for `changed`; a past one is now. */
struct timespec engine_deadline(int64_t ms);
/* What all containers share has to be looked at again: a start failed, or the engine is a new one. */
void engine_forget_shared(struct engine *e);

/* job.c: threads; arg is a job that is in the list and owned by its thread. */
void *job_start_thread(void *arg);
void *job_follow_thread(void *arg);
struct job *job_new(struct engine *e, const char *id, int attempt, const char *name);
void job_wake(struct job *j); /* under the lock */
/*
 * Empties the wake descriptor and tells whether what the job's thread waits for should be broken off: the role ends, a HALT came before GO, or
 * (following) a list says that the container does not run any more.
 */
bool job_interrupted(struct job *j, bool following);

/* exchange.c: what is said to the runner. All need stdin_fd. */
int exchange_task(struct job *j, struct err *err);
int exchange_secrets(struct job *j, int pipe_fd, struct err *err);
int exchange_go(struct job *j, struct err *err);
/* Waits for SECRETS (returns its descriptor) or GO. ERR_TIMEOUT; ERR_FAIL when halted or the container died. */
int exchange_wait_secrets(struct job *j, int *ret_fd, struct err *err);
int exchange_wait_go(struct job *j, struct err *err);

/*
 * log.c: reads the container's log and acts on its frames: from where the last reading stopped, whatever that was.
 * Before GO it returns at `ready` or `report`; afterwards at the end of the log. -1: the reading broke off; ERR_INVALID: the log is no
 * stream of frames, and `fault` says why.
 */
int log_read(struct job *j, bool follow, int timeout_ms, struct err *err);

/* watch.c, chores.c: threads; arg is the engine. */
void *watch_thread(void *arg);
void *remover_thread(void *arg);
void chores_remove(struct engine *e, const char *id, int attempt, const char *name);
int chores_halt(struct engine *e, const char *name, int grace_seconds, bool kill, struct err *err);

#endif
