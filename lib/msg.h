/*
 * Messages between processes: length-prefixed JSON over a stream socket pair, with passed descriptors.
 *
 * On the wire: u32 length of the body, u32 number of descriptors (0 or 1), both in host order (both ends are
 * the same program), then the body: a compact JSON object whose member "kind" names the message. The
 * descriptor rides as SCM_RIGHTS on the first byte of the header.
 *
 * A connection is used either without blocking (core: msg_queue, msg_flush, msg_fill, msg_next around
 * poll(2)) or with deadlines (all other roles: msg_send, msg_recv). The conn is not thread-safe; msg_send alone may
 * be called from several threads when they share a lock.
 */
#ifndef LIB_MSG_H
#define LIB_MSG_H

#include "lib/buf.h"
#include "lib/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define MSG_MAX_BYTES (8u << 20) /* largest body; more ends the connection */

struct msg {
	json_t *body;     /* owned */
	const char *kind; /* borrowed from body */
	int fd;           /* owned; -1 without */
};

struct msg_conn {
	int fd; /* owned, non-blocking; -1 when closed */
	struct buf in;
	struct buf out;
	struct {
		size_t at; /* offset in `out` before which the descriptor must ride */
		int fd;
	} * out_fds;
	size_t n_out_fds;
	int *in_fds; /* received, not yet claimed by a message */
	size_t n_in_fds;
	bool broken; /* a message over MSG_MAX_BYTES was queued: msg_flush fails */
};

/* A connected pair, close-on-exec. */
int msg_pair(int ret[static 2], struct err *err);

/* Takes the descriptor and makes it non-blocking. */
void msg_conn_init(struct msg_conn *c, int fd);
void msg_conn_close(struct msg_conn *c); /* takes a closed or zeroed-with-fd -1 one too */

/* Queues a message; takes `fd` (-1: none) and borrows the body. */
void msg_queue(struct msg_conn *c, const json_t *body, int fd);
/* Writes what the socket takes. 0, or -1 when the connection is broken. */
int msg_flush(struct msg_conn *c, struct err *err);
bool msg_wants_write(const struct msg_conn *c);
/* Reads what is there. 0, or -1 at the end of the stream or on error. Messages that came whole before the end can still be taken. */
int msg_fill(struct msg_conn *c, struct err *err);
/* 1: *ret is the next whole message (free with msg_free); 0: none yet; -1: malformed, close the connection. */
int msg_next(struct msg_conn *c, struct msg *ret, struct err *err);

/* Queue and flush until all is written or timeout_ms passed (ERR_TIMEOUT). Takes fd. */
int msg_send(struct msg_conn *c, const json_t *body, int fd, int timeout_ms, struct err *err);
/* Next message; 0 timeout polls, -1 waits for ever. 1 got one, 0 nothing in time, -1 closed or malformed. */
int msg_recv(struct msg_conn *c, int timeout_ms, struct msg *ret, struct err *err);

void msg_free(struct msg *m);
#define cleanup_msg __attribute__((cleanup(msg_free)))
#define MSG_INIT \
	{ \
		NULL, NULL, -1 \
	}

#endif
