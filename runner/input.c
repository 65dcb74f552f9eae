/* Frames in, before GO. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <unistd.h>

/* Reads what there is. 1, or 0 at the end of the input. */
static int input_fill(struct runner *r)
{
	char piece[4096];

	ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n > 0)
		frame_reader_feed(&r->in, piece, (size_t)n);
	sodium_memzero(piece, sizeof(piece));
	return n > 0;
}

int input_next(struct runner *r, json_t **ret, struct err *err)
{
	for (;;) {
		int got = frame_reader_next(&r->in, ret, err);
		if (got != 0)
			return got > 0 ? 0 : -1;
		struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
		                     {.fd = r->signal_fd, .events = POLLIN},
		                     {.fd = output_is_pending(&r->out) ? STDOUT_FILENO : -1, .events = POLLOUT}};
		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0 && errno != EINTR)
			return err_errno(err, errno, "wait for the dispatcher");
		output_write(&r->out);
		take_signals(r);
		if (r->terms > 0)
			return err_set(err, ERR_UNREACHABLE, "the container was stopped before the run began");
		if (p[0].revents && !input_fill(r))
			return err_set(err, ERR_UNREACHABLE, "the dispatcher's input ended before it said go");
	}
}

void input_close(struct runner *r)
{
	frame_reader_free(&r->in);
	dup2(r->null_fd, STDIN_FILENO);
}
