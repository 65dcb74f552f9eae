/* The web role's loop. */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE_SECONDS 60        /* without a byte, for those whom clients.c sets no deadline */
#define CONNECTION_BYTES 16384 /* each one's headers and buffers */
#define NICE 10                /* answering anybody must not slow what runs */
#define END_MS 1000
#define FOLLOW_MS 100 /* how often logs that are followed are looked at */

static struct request *find(struct web *w, json_int_t ask)
{
	struct request *q;

	LIST_FOREACH (q, &w->requests, link)
		if (q->ask == ask && q->code == 0 && q->log_fd < 0)
			return q;
	return NULL;
}

static void wake(struct request *q)
{
	if (q->asleep) {
		q->asleep = false;
		MHD_resume_connection(q->connection);
	}
}

/* Requests for a log that did not exist yet. */
static void ask_for_logs(struct web *w, const char *id)
{
	struct request *q;

	LIST_FOREACH (q, &w->requests, link)
		if (q->wants_logs && strcmp(q->id, id) == 0 && web_has_log(w, id)) {
			q->wants_logs = false;
			web_ask(q, "logs");
		}
}

static void hear_run(struct web *w, struct msg *m)
{
	const char *id = json_string_value(json_object_get(m->body, "id"));

	if (!id)
		return;
	json_object_del(m->body, "kind");
	w->look = true;
	w->locked |= json_is_string(json_object_get(m->body, "started_at"));
	web_event(w, "run", m->body);
	if (json_is_true(json_object_get(m->body, "forgotten"))) {
		json_object_del(w->rows, id);
		return;
	}
	json_object_set(w->rows, id, m->body);
	id = json_string_value(json_object_get(m->body, "id"));
	ask_for_logs(w, id);
}

static void hear_answer(struct web *w, struct msg *m, bool log)
{
	struct request *q = find(w, json_integer_value(json_object_get(m->body, "ask")));

	if (!q)
		return; /* whoever asked has gone */
	if (log) {
		q->log_fd = steal_fd(&m->fd);
	} else {
		q->code = (int)json_integer_value(json_object_get(m->body, "code"));
		q->answer = json_incref(json_object_get(m->body, "body"));
	}
	wake(q);
}

static void pong(struct web *w, const struct msg *m)
{
	json_t *body = msg_new(MSG_PONG, "{s:O}", "n", json_object_get(m->body, "n"));

	msg_queue(&w->core, body, -1);
	json_decref(body);
}

static void tell_status(struct web *w)
{
	cleanup_json json_t *status = web_status(w);

	web_event(w, "status", status);
}

/* Readers ask for the list themselves: the events that are kept stay small. */
static void tell_waiting(struct web *w)
{
	cleanup_json json_t *total = json_pack("{s:O}", "total", json_object_get(w->waiting, "total"));

	web_event(w, "pending", total);
}

static int hear(struct web *w, struct msg *m, struct err *err)
{
	enum msg_kind kind;

	if (msg_check(m, ROLE_CORE, ROLE_WEB, &kind, err) < 0)
		return -1;
	switch (kind) {
	case MSG_PING:
		pong(w, m);
		break;
	case MSG_STATUS:
		json_decref(w->status);
		w->status = json_incref(m->body);
		tell_status(w);
		break;
	case MSG_TOKENS:
		json_decref(w->tokens);
		w->tokens = json_incref(json_object_get(m->body, "tokens"));
		break;
	case MSG_WAITING:
		json_decref(w->waiting);
		w->waiting = json_incref(m->body);
		tell_waiting(w);
		break;
	case MSG_RUN:
		hear_run(w, m);
		break;
	case MSG_ANSWER:
	case MSG_LOG_FILE:
		hear_answer(w, m, kind == MSG_LOG_FILE);
		break;
	default:
		break;
	}
	return 0;
}

/* -1: core is gone. */
static int hear_core(struct web *w)
{
	cleanup_err struct err err = ERR_INIT;
	int open = msg_fill(&w->core, &err), rc;

	for (;;) {
		cleanup_msg struct msg m = MSG_INIT;
		if ((rc = msg_next(&w->core, &m, &err)) != 1)
			break;
		if (hear(w, &m, &err) < 0) {
			log_error("core talks nonsense", "error", err_msg(&err), NULL);
			return -1;
		}
	}
	return open < 0 || rc < 0 ? -1 : 0;
}

static int hex_byte(const char *s)
{
	char hex[3] = {0};

	if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]))
		return -1;
	memcpy(hex, s, 2);
	return (int)strtol(hex, NULL, 16);
}

/* What comes percent-encoded stays so where it would be a separator, or no text: %2f is not /, %00 ends nothing. */
static size_t unescape(void *arg, struct MHD_Connection *connection, char *s)
{
	char *to = s;

	(void)arg, (void)connection;
	for (const char *from = s; *from;) {
		int c = *from == '%' ? hex_byte(from + 1) : -1;
		bool plain = c > ' ' && c != 0x7f && c != '/' && c != '%';
		*to++ = plain ? (char)c : *from;
		from += plain ? 3 : 1;
	}
	*to = '\0';
	return (size_t)(to - s);
}

static struct MHD_Daemon *serve(struct web *w, struct clients *clients, int fd)
{
	clients_init(clients);
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, web_route, w, MHD_OPTION_LISTEN_SOCKET, fd,
	                        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
	                        MHD_OPTION_NOTIFY_COMPLETED, web_request_done, w, MHD_OPTION_NOTIFY_CONNECTION, client_notify, clients,
	                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
	                        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static int epoll_of(struct MHD_Daemon *d)
{
	const union MHD_DaemonInfo *info = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	return info ? info->epoll_fd : -1;
}

/* Those who follow a log are looked after ten times a second, however much else happens, and when a run has ended. */
static void look_after_followers(struct web *w)
{
	int64_t now = now_mono_ms();

	if (!w->look && now - w->looked_ms < FOLLOW_MS)
		return;
	w->looked_ms = now;
	w->look = false;
	w->followers = web_wake_followers(w);
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int wait_ms(struct web *w)
{
	struct MHD_Daemon *both[2] = {w->tcp, w->api};
	int wait = sooner(web_beat(w), w->followers ? FOLLOW_MS : -1);

	wait = sooner(wait, sooner(clients_expire(&w->tcp_clients), clients_expire(&w->api_clients)));
	for (int i = 0; i < 2; i++) {
		MHD_UNSIGNED_LONG_LONG t;
		if (both[i] && MHD_get_timeout(both[i], &t) == MHD_YES)
			wait = sooner(wait, t > INT_MAX ? INT_MAX : (int)t);
	}
	return wait;
}

/* One turn. -1: core is gone. */
static int turn(struct web *w)
{
	struct pollfd fds[3] = {
	    {.fd = w->core.fd, .events = POLLIN}, {.fd = epoll_of(w->api), .events = POLLIN}, {.fd = epoll_of(w->tcp), .events = POLLIN}};

	if (msg_wants_write(&w->core))
		fds[0].events |= POLLOUT;
	if (poll(fds, 3, wait_ms(w)) < 0 && errno != EINTR)
		return -1;
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) && hear_core(w) < 0)
		return -1;
	look_after_followers(w); /* before MHD_run, which alone goes on with whom it wakes: MHD_get_timeout does not know of them */
	MHD_run(w->api);
	if (w->tcp)
		MHD_run(w->tcp);
	return msg_flush(&w->core, NULL);
}

static bool owes_answers(const struct web *w)
{
	const struct request *q;

	LIST_FOREACH (q, &w->requests, link)
		if (q->code)
			return true;
	return false;
}

/* Core is gone: what it had answered is still sent, to whoever takes it. */
static void end(struct web *w)
{
	int64_t until = now_mono_ms() + END_MS;

	while (owes_answers(w) && now_mono_ms() < until) {
		struct pollfd fds[2] = {{.fd = epoll_of(w->api), .events = POLLIN}, {.fd = epoll_of(w->tcp), .events = POLLIN}};
		MHD_run(w->api);
		if (w->tcp)
			MHD_run(w->tcp);
		poll(fds, 2, FOLLOW_MS);
	}
}

int web_role(const struct role_args *args)
{
	struct web w = {.args = args, .rows = json_object()};

	LIST_INIT(&w.requests);
	web_events_init(&w.events);
	msg_conn_init(&w.core, args->sock);
	setpriority(PRIO_PROCESS, 0, NICE);
	if (args->hook_fd >= 0 && hook_secret_read(args->hook_fd, &w.hook, NULL) < 0)
		return 1; /* the parent has read it too */
	w.api = serve(&w, &w.api_clients, args->api_fd);
	w.tcp = args->listen_fd >= 0 ? serve(&w, &w.tcp_clients, args->listen_fd) : NULL;
	if (!w.api || (args->listen_fd >= 0 && !w.tcp)) {
		log_error("the HTTP server can't start", NULL);
		return 1;
	}
	while (turn(&w) == 0)
		;
	end(&w);
	return 0;
}
