/*
 * The web role: HTTP over TCP (open paths, and what a token's scope allows) and over <spool>/api.sock (whose mode is the key).
 *
 * It answers from its own copy of the state, which core keeps up to date with STATUS and RUN; a slow reader slows nothing but itself. What needs
 * core (run, cancel, a log file, a result) is sent there as ASK, and the connection sleeps until the answer comes.
 */
#ifndef DISPATCHER_WEB_WEB_H
#define DISPATCHER_WEB_WEB_H

#include "dispatcher/dispatcher.h"
#include "dispatcher/web/hook.h"
#include "lib/buf.h"
#include "vault/token.h"
#include <microhttpd.h>
#include <sys/queue.h>

struct request;

/* One row of the table in route.c. */
struct route {
	const char *method, *template; /* {id}: an action's, {artifact}, {token}: names of these */
	enum scope scope;              /* SCOPE_NONE: open */
	enum MHD_Result (*fn)(struct request *q, const char *op);
	const char *op; /* what core is asked, or the name of a file */
};

/* One HTTP request. */
struct request {
	LIST_ENTRY(request) link;
	struct web *web;
	struct MHD_Connection *connection;
	const struct route *route; /* NULL: no such path */
	struct buf body;
	size_t received; /* bytes of the body, kept or not */
	bool begun;      /* its body is whole, and it is being answered */
	bool keyed;      /* it may have an answer: its body is worth keeping */
	bool last;       /* of its connection: what comes behind a body is not read */
	bool crowded;    /* there is no room for its body */
	json_int_t ask;  /* number of the ASK, 0: none yet */
	bool asleep;     /* suspended */
	bool wants_logs; /* a log: asked for as soon as there is one */
	bool follow, wants_footer;
	long lines;     /* the last so many, 0: all */
	char *id;       /* of the action, or a token's name; NULL: about none */
	char *other;    /* the id of the task of this name, where an action has that very name as well; else NULL */
	char *called;   /* the task whose action that is, as its client calls it; NULL: by its id */
	char *artifact; /* a file of this name, instead of a log; NULL: none */
	char *scope;    /* of a token that is being made; NULL: none */
	char hash[65];  /* likewise */
	char *token;    /* likewise; guarded */
	json_t *more;   /* what else core is told in the question; NULL: nothing */
	int code;       /* answered; 0: not yet */
	json_t *answer;
	int log_fd; /* of the log or the artifact; -1: none */
	off_t at;
	/* of /events */
	bool events, wants_snapshot, beat;
	uint64_t seq;    /* the last event that was sent, or is being sent */
	char *piece;     /* what is being sent; NULL: nothing */
	size_t piece_at; /* bytes of it that were sent */
};
LIST_HEAD(requests, request);

#define EVENTS_KEPT 1024

/* events.c: what changed last. */
struct web_events {
	char epoch[17]; /* of this process: another one's numbers mean nothing here */
	uint64_t seq;   /* of the newest */
	char *ring[EVENTS_KEPT];
	int64_t beat_at_ms; /* monotonic */
};

/* clients.c: the connections of one address. */
enum phase {
	PHASE_BEGIN,  /* no headers yet */
	PHASE_IDLE,   /* answered; may ask again */
	PHASE_BODY,   /* sends a body */
	PHASE_ANSWER, /* gets an answer that anybody gets */
	PHASE_KEYED,  /* gets one that takes a key: no deadline of ours */
	PHASE_AWAY,   /* sent away */
	N_PHASES
};
struct client {
	TAILQ_ENTRY(client) link;
	struct clients *of;
	enum phase phase;
	int64_t since_ms; /* monotonic: in this phase */
	int fd;           /* the library's */
};
TAILQ_HEAD(client_queue, client);
struct clients {
	struct client_queue in[N_PHASES]; /* each the longest first */
	unsigned n, n_keyed;
};
#define CLIENTS_MAX 512       /* connections, of each address */
#define CLIENTS_MANY 384      /* from here on each new one takes the place of another */
#define CLIENTS_KEYED 256     /* with a key, at a time; of these */
#define CLIENTS_OPERATE 64    /* are kept for those who may operate */
#define BODIES_MAX (8u << 20) /* bytes of bodies that are kept at a time */

void clients_init(struct clients *c);
void client_notify(void *clients, struct MHD_Connection *connection, void **socket, enum MHD_ConnectionNotificationCode code);
void client_enters(struct MHD_Connection *connection, enum phase phase);
/* So many with a key are being answered that no more of this scope are. */
bool client_is_crowded(struct MHD_Connection *connection, enum scope scope);
/* Sends those away whose time is over. Milliseconds until the next one's is; -1: nobody's. */
int clients_expire(struct clients *c);

struct web {
	const struct role_args *args;
	struct msg_conn core;
	json_t *status;  /* last STATUS; NULL before the first */
	json_t *rows;    /* id -> last RUN */
	json_t *tokens;  /* the last TOKENS; NULL: none */
	json_t *waiting; /* the last WAITING; NULL: none */
	bool locked;     /* something that the spool knows has run here */
	struct hook_secret hook;
	struct web_events events;
	struct requests requests;
	json_int_t asks;
	struct MHD_Daemon *tcp, *api; /* tcp NULL when off */
	struct clients tcp_clients, api_clients;
	size_t bodies; /* bytes of bodies that are kept */
	bool look;     /* a log that is followed may have ended */
	int64_t looked_ms;
	int followers; /* asleep */
};

/* state.c: what is shown. Bodies are owned by the caller. */
json_t *web_status(const struct web *w);
json_t *web_healthz(const struct web *w, int *ret_code);
json_t *web_workers(const struct web *w);
json_t *web_actions(const struct web *w);
json_t *web_pending(const struct web *w);
json_t *web_tokens(const struct web *w); /* without their hashes */
char *web_metrics(const struct web *w);
/* The row's state has come so far that there is a log, or that nothing will be added to it any more. */
bool web_has_log(const struct web *w, const char *id);
bool web_log_is_whole(const struct web *w, const char *id);

/* route.c */
enum MHD_Result web_route(void *web, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                          const char *upload_data, size_t *upload_data_size, void **state);
void web_request_done(void *web, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code);
void web_ask(struct request *q, const char *op);
enum MHD_Result web_wait(struct request *q, const char *op); /* asks, and sleeps until the answer comes */
enum MHD_Result web_error(struct request *q, unsigned code, const char *error);
/* Queues and takes the response; NULL, for want of memory, ends the connection. */
enum MHD_Result web_send(struct request *q, unsigned code, struct MHD_Response *r);

/* guard.c: the code that a request is refused with before anything in it counts, 0: none. Sets q->last. q->route is found already. `local`: over the socket. */
unsigned web_guard(struct request *q, bool local, const char **ret_why);

/* events.c */
void web_events_init(struct web_events *e);
/* Something changed: every reader is told. */
void web_event(struct web *w, const char *type, const json_t *data);
enum MHD_Result web_events_begin(struct request *q, const char *last_id);
/* Once in each turn: keeps quiet streams alive. Milliseconds until it wants to be called again; -1: nobody reads. */
int web_beat(struct web *w);

/* page.c: a file of the dashboard, NULL: no memory */
struct MHD_Response *web_page(const char *name);

/* dispatch.c: POST /dispatch */
enum MHD_Result web_dispatch(struct request *q, const char *op);
/*
 * The id that a path names: an action's, or that of the task of this name (vault/approval/dispatch.h). NULL: neither. Caller frees. *ret_other: where both are known, the
 * task's (caller frees), else untouched.
 */
char *web_id(const struct web *w, const char *name, char **ret_other);

/* artifacts.c */
struct MHD_Response *web_artifact_response(struct request *q);

/* logs.c */
struct MHD_Response *web_log_response(struct request *q);
/* Wakes those who follow a log that has grown or ended. Returns how many go on sleeping. */
int web_wake_followers(struct web *w);

#endif
