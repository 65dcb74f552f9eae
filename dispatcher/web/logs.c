/* Logs, whole or followed; of a run that has ended with a last line that says so: [EXIT:0] 2026-03-31T10:00:04Z. */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <string.h>
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

/* A row's last line, in brackets: how it ended, where a process did end as its exit code, and when. NULL: not known. */
static char *footer(const struct web *w, const char *id)
{
	const json_t *row = json_object_get(w->rows, id), *code = json_object_get(row, "exit_code");
	const char *outcome = json_string_value(json_object_get(row, "outcome"));
	const char *at = json_string_value(json_object_get(row, "finished_at"));

	if (!outcome || !at)
		return NULL;
	return json_is_integer(code) ? xasprintf("[EXIT:%d] %s\n", (int)json_integer_value(code), at)
	                             : xasprintf("[EXIT:%s] %s\n", outcome, at);
}

/* It begins a line, whatever the log ended with. */
static char *footer_after(const struct request *q)
{
	cleanup_free char *line = footer(q->web, q->id);
	char last = '\n';

	if (q->at > 0 && pread(q->log_fd, &last, 1, q->at - 1) != 1)
		last = '\n';
	return line ? xasprintf("%s%s", last == '\n' ? "" : "\n", line) : NULL;
}

static ssize_t read_footer(struct request *q, char *out, size_t max)
{
	if (q->wants_footer) {
		q->wants_footer = false;
		q->piece = footer_after(q);
		q->piece_at = 0;
	}
	if (!q->piece || !q->piece[q->piece_at])
		return MHD_CONTENT_READER_END_OF_STREAM;
	size_t n = strnlen(q->piece + q->piece_at, max);
	memcpy(out, q->piece + q->piece_at, n);
	q->piece_at += n;
	return (ssize_t)n;
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
	if (web_log_is_whole(q->web, q->id))
		return read_footer(q, out, max);
	if (!q->follow)
		return MHD_CONTENT_READER_END_OF_STREAM;
	q->asleep = true;
	q->web->followers++; /* until they are counted again */
	MHD_suspend_connection(q->connection);
	return 0;
}

struct MHD_Response *web_log_response(struct request *q)
{
	q->at = q->lines > 0 ? tail_offset(q->log_fd, q->lines) : 0;
	cleanup_free char *disposition = xasprintf("attachment; filename=\"%s.log\"", q->id); /* its letters need no quoting */
	struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_log, q, NULL);

	if (r) {
		MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
		MHD_add_response_header(r, "Content-Disposition", disposition);
	}
	return r;
}

int web_wake_followers(struct web *w)
{
	struct request *q;
	struct stat st;
	int asleep = 0;

	LIST_FOREACH (q, &w->requests, link) {
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
