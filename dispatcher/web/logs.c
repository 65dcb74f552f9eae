/* Logs, whole or followed. */
#include "dispatcher/web/web.h"

#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536

/* Where the last `lines` lines begin. */
static off_t tail_offset(int fd, long lines)
{
	char block[4096];
	struct stat st;
	long seen = 0;

	if (fstat(fd, &st) < 0)
		return 0;
	off_t end = st.st_size;
	while (end > 0) {
		off_t from = end > (off_t)sizeof block ? end - (off_t)sizeof block : 0;
		ssize_t n = pread(fd, block, (size_t)(end - from), from);
		if (n <= 0)
			return from;
		for (ssize_t i = n - 1; i >= 0; i--)
			/* The newline that ends the file is not the beginning of a line. */
			if (block[i] == '\n' && from + i + 1 < st.st_size && ++seen == lines)
				return from + i + 1;
		end = from;
	}
	return 0;
}

static ssize_t read_log(void *request, uint64_t pos, char *out, size_t max)
{
	struct request *q = request;

	(void)pos;
	ssize_t n = pread(q->log_fd, out, max, q->at);
	if (n > 0) {
		q->at += n;
		return n;
	}
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	/* After a restart of the dispatcher the file is written again from its beginning: shorter for a moment, with the same bytes. */
	if (!q->follow || web_log_is_whole(q->web, q->id))
		return MHD_CONTENT_READER_END_OF_STREAM;
	q->asleep = true;
	MHD_suspend_connection(q->connection);
	return 0;
}

struct MHD_Response *web_log_response(struct request *q)
{
	q->at = q->lines > 0 ? tail_offset(q->log_fd, q->lines) : 0;
	struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_log, q, NULL);

	if (r) {
		MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
		MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	}
	return r;
}

int web_wake_followers(struct web *w)
{
	struct request *q;
	struct stat st;
	int asleep = 0;

	LIST_FOREACH(q, &w->requests, link)
	{
		if (!q->asleep || q->log_fd < 0)
			continue;
		if ((fstat(q->log_fd, &st) == 0 && st.st_size > q->at) || web_log_is_whole(w, q->id)) {
			q->asleep = false;
			MHD_resume_connection(q->connection);
		} else {
			asleep++;
		}
	}
	return asleep;
}
