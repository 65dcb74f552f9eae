/*
 * The connections that there are, so that those who take their time take nobody else's: each phase of a request has a deadline, and when there are many connections the one
 * that has been waited for longest makes room. Who has shown a key and is being answered is let be.
 */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/file.h"

#include <stdlib.h>
#include <sys/socket.h>

#ifdef DISINTO_TEST
#define FIRST_MS 4000
#define BODY_MS 4000
#else
#define FIRST_MS 10000
#define BODY_MS 30000
#endif

/* How long a client may take. */
static const int64_t allowed_ms[N_PHASES] = {
    [PHASE_BEGIN] = FIRST_MS, /* from connecting to the end of the first headers, however they trickle in */
    [PHASE_IDLE] = 60000,     /* to the end of the next ones */
    [PHASE_BODY] = BODY_MS,   /* to send a body */
    [PHASE_ANSWER] = 60000,   /* to take an answer that anybody gets */
};

void clients_init(struct clients *c)
{
	for (int p = 0; p < N_PHASES; p++)
		TAILQ_INIT(&c->in[p]);
}

static void enter(struct client *k, enum phase phase)
{
	TAILQ_REMOVE(&k->of->in[k->phase], k, link);
	k->of->n_keyed -= k->phase == PHASE_KEYED;
	k->of->n_keyed += phase == PHASE_KEYED;
	k->phase = phase;
	k->since_ms = now_mono_ms();
	TAILQ_INSERT_TAIL(&k->of->in[phase], k, link);
}

/* The library sees the end of the connection, and says so (client_notify). */
static void send_away(struct client *k)
{
	shutdown(k->fd, SHUT_RDWR);
	enter(k, PHASE_AWAY);
}

static void make_room(struct clients *c)
{
	struct client *oldest = NULL;

	for (int p = 0; p < PHASE_KEYED; p++) {
		struct client *k = TAILQ_FIRST(&c->in[p]);
		if (k && (!oldest || k->since_ms < oldest->since_ms))
			oldest = k;
	}
	if (oldest)
		send_away(oldest);
}

void client_notify(void *clients, struct MHD_Connection *connection, void **socket, enum MHD_ConnectionNotificationCode code)
{
	struct clients *c = clients;
	struct client *k = *socket;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*socket = k = xcalloc(1, sizeof *k);
		k->of = c;
		k->fd = info ? info->connect_fd : -1;
		k->since_ms = now_mono_ms();
		TAILQ_INSERT_TAIL(&c->in[PHASE_BEGIN], k, link);
		if (++c->n > CLIENTS_MANY)
			make_room(c);
	} else if (k) {
		TAILQ_REMOVE(&c->in[k->phase], k, link);
		c->n_keyed -= k->phase == PHASE_KEYED;
		c->n--;
		free(k);
		*socket = NULL;
	}
}

void client_enters(struct MHD_Connection *connection, enum phase phase)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *k = info ? info->socket_context : NULL;

	if (k && k->phase != PHASE_AWAY)
		enter(k, phase);
}

bool client_is_crowded(struct MHD_Connection *connection, enum scope scope)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	const struct client *k = info ? info->socket_context : NULL;

	return k && k->of->n_keyed > CLIENTS_KEYED - (scope < SCOPE_OPERATE ? CLIENTS_OPERATE : 0);
}

int clients_expire(struct clients *c)
{
	int64_t now = now_mono_ms(), next = -1;

	for (int p = 0; p < PHASE_KEYED; p++) {
		struct client *k;
		while ((k = TAILQ_FIRST(&c->in[p])) && now - k->since_ms >= allowed_ms[p])
			send_away(k);
		if (k && (next < 0 || k->since_ms + allowed_ms[p] - now < next))
			next = k->since_ms + allowed_ms[p] - now;
	}
	return (int)next;
}
