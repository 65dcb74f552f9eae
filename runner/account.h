/*
 * The steps' account. Their uid needs no line in the image's /etc/passwd, but programs like ssh want one, and nothing of the image can be
 * written. So we answer as the name service cache (nscd), which the C libraries of Debian (glibc) and Alpine (musl) ask: on
 * /var/run/nscd/socket, a tmpfs of the engine's. We know one user and one group, "disinto"; on any other question we hang up, and the C library goes
 * on to the image's own files.
 *
 * The protocol is that of glibc's nscd/nscd-client.h, version 2; integers in the machine's own order.
 */
#ifndef RUNNER_ACCOUNT_H
#define RUNNER_ACCOUNT_H

#include "lib/buf.h"
#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define ACCOUNT_NAME "disinto"
#define ACCOUNT_DIR "/var/run/nscd"
#define ACCOUNT_SOCKET ACCOUNT_DIR "/socket"
#define ACCOUNT_CLIENTS 4 /* at once; who comes when all wait takes the place of the oldest */
#define ACCOUNT_FDS (1 + ACCOUNT_CLIENTS)

struct account {
	uint32_t uid; /* = gid */
	int listen_fd;
	int clients[ACCOUNT_CLIENTS]; /* that have asked nothing yet; -1: free */
	size_t next;                  /* place of the next client */
};
#define ACCOUNT_INIT \
	{ \
		.listen_fd = -1, .clients = { -1, -1, -1, -1 } \
	}

/* Where the folder is not there, or is none of root's alone, there is no service, and steps do without. */
void account_open(struct account *a, uint32_t uid);
/* What to wait for. */
void account_poll(const struct account *a, struct pollfd fds[static ACCOUNT_FDS]);
/* Answers who has asked. Never blocks. */
void account_serve(struct account *a, const struct pollfd fds[static ACCOUNT_FDS]);
void account_close(struct account *a);

/* The answer to a request, appended; nothing: hang up. */
void account_answer(uint32_t uid, const void *request, size_t len, struct buf *ret);

#endif
