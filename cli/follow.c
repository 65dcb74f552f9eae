/*
 * Copying a log to where it should go, once, whatever happens to the connection.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"

static int put(struct follow *f, const char *data, size_t len)
{
	cleanup_buf struct buf out = BUF_INIT;

	if (!f->safe)
		return fd_write_all(f->fd, data, len, NULL);
	safe_feed(&f->state, data, len, &out);
	return fd_write_all(f->fd, out.data, out.len, NULL);
}

int follow_data(const char *data, size_t len, void *arg)
{
	struct follow *f = arg;

	if (f->skip >= len) {
		f->skip -= len;
		return 0;
	}
	data += f->skip;
	len -= f->skip;
	f->skip = 0;
	f->written += len;
	return put(f, data, len);
}

void follow_end(struct follow *f)
{
	cleanup_buf struct buf out = BUF_INIT;

	safe_end(&f->state, &out);
	fd_write_all(f->fd, out.data, out.len, NULL);
}
