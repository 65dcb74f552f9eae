/* What is said to the runner, and what it waits for: the mailbox and the runner's standard input. */
#include "dispatcher/engine/engine.h"

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include "vault/frame.h"
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define PIECE 16384
#define SECRETS_BYTES_MAX (8u << 20) /* 32 secrets of 64 KiB, in base64 and frames, are below 3 MiB */

static int gave_up(struct err *err)
{
	return err_set(err, ERR_FAIL, "the start was called off, or the container ended");
}

/* Under the lock: has something happened after which no start goes on? */
static bool is_over(const struct job *j)
{
	return j->halt || j->died || j->engine->stopping;
}

/* Waits until fd (or nothing: -1) is ready. ERR_FAIL when the job is over, ERR_TIMEOUT. 1: fd is ready; 0: the mailbox changed. */
static int job_wait(struct job *j, int fd, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		pthread_mutex_lock(&j->engine->lock);
		bool over = is_over(j);
		pthread_mutex_unlock(&j->engine->lock);
		if (over) {
			eventfd_write(j->wake_fd, 1); /* whoever waits next must see it too */
			return gave_up(err);
		}
		int64_t left = deadline - now_mono_ms();
		struct pollfd p[] = {{j->wake_fd, POLLIN, 0}, {fd, events, 0}};
		int n = left > 0 ? poll(p, 2, (int)left) : 0;
		if (n == 0)
			return err_set(err, ERR_TIMEOUT, "nothing happened in time");
		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "poll");
		eventfd_t ignored;
		if (p[0].revents)
			eventfd_read(j->wake_fd, &ignored);
		if (n > 0)
			return p[1].revents != 0;
	}
}

static int stdin_write(struct job *j, const char *data, size_t len, struct err *err)
{
	int64_t deadline = now_mono_ms() + STDIN_MS;
	while (len > 0) {
		ssize_t n = send(j->stdin_fd, data, len, MSG_NOSIGNAL);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return err_errno(err, errno, "write to the runner");
		} else if (job_wait(j, j->stdin_fd, POLLOUT, deadline, err) < 0) {
			return err_wrap(err, "write to the runner");
		}
	}
	return 0;
}

int exchange_task(struct job *j, struct err *err)
{
	cleanup_buf struct buf frames = BUF_INIT;
	cleanup_json json_t *agents = json_incref(json_object_get(j->order, "agents"));
	cleanup_json json_t *task =
	    json_pack("{s:O, s:O, s:o}", "action", json_object_get(j->order, "action"), "formula", json_object_get(j->order, "formula"),
	              "agents", json_is_object(agents) ? json_incref(agents) : json_object());
	if (task && json_object_get(j->order, "known_hosts"))
		json_object_set(task, "known_hosts", json_object_get(j->order, "known_hosts"));
	cleanup_free char *text = task ? json_dumps(task, JSON_COMPACT) : NULL;
	if (!text)
		return err_set(err, ERR_FAIL, "the task can't be written as JSON");
	frame_add_task(&frames, text);
	CRASH_POINT("stdin.task");
	return stdin_write(j, frames.data, frames.len, err);
}

int exchange_go(struct job *j, struct err *err)
{
	cleanup_buf struct buf frames = BUF_INIT;
	cleanup_json json_t *go = json_pack("{s:s, s:O}", "t", "go", "claim", json_object_get(j->order, "claim"));
	frame_add(&frames, go);
	CRASH_POINT("stdin.go");
	/* Not stdin_write: a HALT goes to the container now. Half of this frame is as good as none of it: nothing runs. */
	for (size_t at = 0; at < frames.len;) {
		struct pollfd p = {j->stdin_fd, POLLOUT, 0};
		ssize_t n = poll(&p, 1, STDIN_MS) == 1 ? send(j->stdin_fd, frames.data + at, frames.len - at, MSG_NOSIGNAL) : 0;
		if (n <= 0)
			return err_set(err, ERR_FAIL, "GO could not be written to the runner");
		at += (size_t)n;
	}
	shutdown(j->stdin_fd, SHUT_WR);
	CRASH_POINT("stdin.gone");
	return 0;
}

/* The stream of secrets in guarded memory, a piece at a time, and its last bytes. */
struct passage {
	char *piece;
	size_t total;
	char last[64]; /* the end of what passed: a whole stream ends in a secrets_end frame; that frame holds no secret */
	size_t n_last;
};

static void passage_end(struct passage *p)
{
	sodium_free(p->piece);
	sodium_memzero(p->last, sizeof(p->last));
}

static void remember_last(struct passage *p, size_t n)
{
	size_t keep = n < sizeof(p->last) ? n : sizeof(p->last);
	size_t old = p->n_last + keep > sizeof(p->last) ? sizeof(p->last) - keep : p->n_last;
	memmove(p->last, p->last + p->n_last - old, old);
	memcpy(p->last + old, p->piece + n - keep, keep);
	p->n_last = old + keep;
}

static bool is_whole(const struct passage *p)
{
	return p->n_last > 0 && p->last[p->n_last - 1] == '\n' && memmem(p->last, p->n_last, "\"secrets_end\"", 13);
}

/* Moves one piece. 1 moved, 0 end of the pipe. */
static int pass_piece(struct job *j, int pipe_fd, struct passage *p, int64_t deadline, struct err *err)
{
	int ready;
	while ((ready = job_wait(j, pipe_fd, POLLIN, deadline, err)) == 0)
		;
	if (ready < 0)
		return err_wrap(err, "wait for the secrets");
	ssize_t n = read(pipe_fd, p->piece, PIECE);
	if (n < 0)
		return err_errno(err, errno, "read the secrets");
	p->total += (size_t)n;
	if (p->total > SECRETS_BYTES_MAX)
		return err_set(err, ERR_FAIL, "the secrets are larger than %u bytes", SECRETS_BYTES_MAX);
	CRASH_POINT("stdin.secrets");
	int r = n > 0 ? stdin_write(j, p->piece, (size_t)n, err) : 0;
	if (n > 0)
		remember_last(p, (size_t)n);
	sodium_memzero(p->piece, PIECE);
	return r < 0 ? -1 : n > 0;
}

int exchange_secrets(struct job *j, int pipe_fd, struct err *err)
{
	struct passage p __attribute__((cleanup(passage_end))) = {.piece = sodium_malloc(PIECE)};
	int64_t deadline = now_mono_ms() + ANSWER_MS;
	int moved;
	if (!p.piece)
		return err_set(err, ERR_FAIL, "no guarded memory for the secrets; is the limit of locked memory too low?");
	while ((moved = pass_piece(j, pipe_fd, &p, deadline, err)) > 0)
		;
	CRASH_POINT("stdin.secrets_end");
	if (moved == 0 && !is_whole(&p))
		return err_set(err, ERR_FAIL, "the keyring's secrets broke off");
	return moved;
}

int exchange_wait_secrets(struct job *j, int *ret_fd, struct err *err)
{
	int64_t deadline = now_mono_ms() + ANSWER_MS;
	for (;;) {
		pthread_mutex_lock(&j->engine->lock);
		int fd = j->secrets_fd;
		j->secrets_fd = -1;
		pthread_mutex_unlock(&j->engine->lock);
		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		if (job_wait(j, -1, 0, deadline, err) < 0)
			return err_wrap(err, "wait for the secrets");
	}
}

int exchange_wait_go(struct job *j, struct err *err)
{
	int64_t deadline = now_mono_ms() + ANSWER_MS;
	for (;;) {
		pthread_mutex_lock(&j->engine->lock);
		bool go = j->go && !is_over(j);
		j->past_go = go; /* from here on a HALT goes to the container, not to the mailbox */
		pthread_mutex_unlock(&j->engine->lock);
		if (go)
			return 0;
		if (job_wait(j, -1, 0, deadline, err) < 0)
			return err_wrap(err, "wait for GO");
	}
}
