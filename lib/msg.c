#include "lib/msg.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include "lib/json.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
	HEADER_BYTES = 8,
	FILL_BYTES = 64 * 1024,    /* one read */
	FILL_MAX = 4 * FILL_BYTES, /* one msg_fill: the rest of what is there waits for the next poll */
	MAX_UNCLAIMED_FDS = 64,
};

int msg_pair(int ret[static 2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret))
		return err_errno(err, errno, "make a socket pair");
	return 0;
}

void msg_conn_init(struct msg_conn *c, int fd)
{
	*c = (struct msg_conn){.fd = fd, .in = BUF_INIT, .out = BUF_INIT};
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void msg_conn_close(struct msg_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	for (size_t i = 0; i < c->n_out_fds; i++)
		close(c->out_fds[i].fd);
	for (size_t i = 0; i < c->n_in_fds; i++)
		close(c->in_fds[i]);
	free(c->out_fds);
	free(c->in_fds);
	buf_free(&c->in);
	buf_free(&c->out);
	*c = (struct msg_conn){.fd = -1, .in = BUF_INIT, .out = BUF_INIT};
}

void msg_queue(struct msg_conn *c, const json_t *body, int fd)
{
	CRASH_POINT("queue.%s", json_string_value(json_object_get(body, "kind")));
	cleanup_free char *text = json_compact(body);
	size_t len = strlen(text);
	if (len > MSG_MAX_BYTES) {
		c->broken = true;
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fd >= 0) {
		c->out_fds = xrealloc(c->out_fds, (c->n_out_fds + 1) * sizeof(c->out_fds[0]));
		c->out_fds[c->n_out_fds].at = c->out.len;
		c->out_fds[c->n_out_fds++].fd = fd;
	}
	uint32_t header[2] = {(uint32_t)len, fd >= 0};
	buf_add(&c->out, header, sizeof(header));
	buf_add(&c->out, text, len);
}

bool msg_wants_write(const struct msg_conn *c)
{
	return c->out.len > 0 || c->broken;
}

/* Sends bytes up to the next header that carries a descriptor; with one at the very front, that descriptor too. */
static ssize_t send_some(const struct msg_conn *c)
{
	bool with_fd = c->n_out_fds > 0 && c->out_fds[0].at == 0;
	size_t next = with_fd ? 1 : 0;
	struct iovec iov = {c->out.data, c->n_out_fds > next ? c->out_fds[next].at : c->out.len};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (with_fd) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &c->out_fds[0].fd, sizeof(int));
	}
	return sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void count_sent(struct msg_conn *c, size_t n)
{
	if (c->n_out_fds > 0 && c->out_fds[0].at == 0) {
		close(c->out_fds[0].fd);
		c->n_out_fds--;
		memmove(c->out_fds, c->out_fds + 1, c->n_out_fds * sizeof(c->out_fds[0]));
	}
	for (size_t i = 0; i < c->n_out_fds; i++)
		c->out_fds[i].at -= n;
	buf_drop(&c->out, n);
}

int msg_flush(struct msg_conn *c, struct err *err)
{
	if (c->broken)
		return err_set(err, ERR_FAIL, "a message is larger than %u bytes", MSG_MAX_BYTES);
	while (c->out.len > 0) {
		ssize_t n = send_some(c);
		if (n > 0)
			count_sent(c, (size_t)n);
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		else if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "send a message");
	}
	return 0;
}

/* Keeps what came with a read. -1: more than the protocol knows; nothing of it stays open. */
static int keep_fds(struct msg_conn *c, struct msghdr *m, struct err *err)
{
	bool bad = m->msg_flags & MSG_CTRUNC;
	size_t got = 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		c->in_fds = xrealloc(c->in_fds, (c->n_in_fds + n + 1) * sizeof(int));
		memcpy(c->in_fds + c->n_in_fds, CMSG_DATA(h), n * sizeof(int));
		c->n_in_fds += n; /* closed with the connection, at the latest */
		got += n;
	}
	if (bad)
		return err_set(err, ERR_FAIL, "a passed descriptor was lost; are there too many open files?");
	if (got > 1 || c->n_in_fds > MAX_UNCLAIMED_FDS)
		return err_set(err, ERR_INVALID, "malformed message: too many descriptors");
	return 0;
}

/* One read. 1: something came, 0: nothing there, -1: end or error. */
static int fill_once(struct msg_conn *c, struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {buf_room(&c->in, FILL_BYTES), FILL_BYTES};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t n;
	do
		n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0)
		return err_errno(err, errno, "receive a message");
	if (n == 0)
		return err_set(err, ERR_UNREACHABLE, "the other process closed the connection");
	buf_grew(&c->in, (size_t)n);
	if (keep_fds(c, &m, err)) {
		buf_reset(&c->in); /* whose descriptors these are, nobody can tell any more */
		return -1;
	}
	return 1;
}

int msg_fill(struct msg_conn *c, struct err *err)
{
	int r = 1;
	for (int total = 0; r > 0 && total < FILL_MAX; total += FILL_BYTES)
		r = fill_once(c, err);
	return r < 0 ? -1 : 0;
}

static int take_fd(struct msg_conn *c)
{
	int fd = c->in_fds[0];
	c->n_in_fds--;
	memmove(c->in_fds, c->in_fds + 1, c->n_in_fds * sizeof(int));
	return fd;
}

int msg_next(struct msg_conn *c, struct msg *ret, struct err *err)
{
	uint32_t header[2];
	if (c->in.len == 0 && c->n_in_fds > 0)
		return err_set(err, ERR_INVALID, "malformed message: a descriptor without a message");
	if (c->in.len < HEADER_BYTES)
		return 0;
	memcpy(header, c->in.data, HEADER_BYTES);
	if (header[0] == 0 || header[0] > MSG_MAX_BYTES || header[1] > 1)
		return err_set(err, ERR_INVALID, "malformed message: length %u with %u descriptors", header[0], header[1]);
	/* It came with the first byte, so it is either here or will never be. */
	if (header[1] > c->n_in_fds)
		return err_set(err, ERR_INVALID, "malformed message: its descriptor is missing");
	if (c->in.len - HEADER_BYTES < header[0])
		return 0;

	json_error_t e;
	cleanup_json json_t *body = json_loadb(c->in.data + HEADER_BYTES, header[0], JSON_REJECT_DUPLICATES, &e);
	const char *kind = json_string_value(json_object_get(body, "kind"));
	if (!kind)
		return err_set(err, ERR_INVALID, "malformed message: not an object with a \"kind\"");
	buf_drop(&c->in, HEADER_BYTES + header[0]);
	*ret = (struct msg){steal_ptr(&body), kind, header[1] ? take_fd(c) : -1};
	CRASH_POINT("got.%s", kind);
	return 1;
}

/* Waits until the socket is ready. 1 ready (or broken), 0 deadline passed. A negative deadline never passes. */
static int wait_ready(const struct msg_conn *c, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - now_mono_ms();
		struct pollfd p = {c->fd, events, 0};
		int n = poll(&p, 1, deadline < 0 ? -1 : left > 0 ? (int)left : 0);
		if (n >= 0)
			return n;
		if (errno != EINTR)
			return err_errno(err, errno, "poll");
	}
}

static int64_t deadline_in(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_mono_ms() + timeout_ms;
}

int msg_send(struct msg_conn *c, const json_t *body, int fd, int timeout_ms, struct err *err)
{
	int64_t deadline = deadline_in(timeout_ms);
	msg_queue(c, body, fd);
	for (;;) {
		if (msg_flush(c, err))
			return -1;
		if (!msg_wants_write(c)) {
			CRASH_POINT("sent.%s", json_string_value(json_object_get(body, "kind")));
			return 0;
		}
		int r = wait_ready(c, POLLOUT, deadline, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return err_set(err, ERR_TIMEOUT, "send a message: the other process takes nothing for %d ms", timeout_ms);
	}
}

int msg_recv(struct msg_conn *c, int timeout_ms, struct msg *ret, struct err *err)
{
	int64_t deadline = deadline_in(timeout_ms);
	for (;;) {
		int r = msg_next(c, ret, err);
		if (r)
			return r;
		r = wait_ready(c, POLLIN, deadline, err);
		if (r <= 0)
			return r;
		cleanup_err struct err why = ERR_INIT;
		if (msg_fill(c, &why)) {
			/* Whole messages may have come before the end; the end is reported only when there is none. */
			if (msg_next(c, ret, NULL) > 0)
				return 1;
			err_move(err, &why);
			return -1;
		}
	}
}

void msg_free(struct msg *m)
{
	if (!m)
		return;
	json_decref(m->body);
	if (m->fd >= 0)
		close(m->fd);
	*m = (struct msg)MSG_INIT;
}
