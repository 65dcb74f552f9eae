/*
 * Copying a log to where it should go, once, whatever happens to the connection.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <string.h>

static int put_line(struct follow *f)
{
	json_t *text = json_stringn(f->line.data ? f->line.data : "", f->line.len);
	cleanup_free char *shown = text ? NULL : safe_text(f->line.data); /* it is not UTF-8 */
	cleanup_json json_t *line = json_pack("{s:o}", "text", text ? text : json_string(shown));
	cleanup_free char *plain = json_dumps(line, JSON_COMPACT), *safe = json_safe(plain);
	cleanup_free char *out = xasprintf("%s\n", safe);

	buf_reset(&f->line);
	return fd_write_all(f->fd, out, strlen(out), NULL);
}

static int put_lines(struct follow *f, const char *data, size_t len)
{
	for (const char *end; (end = memchr(data, '\n', len)); data = end + 1) {
		size_t n = (size_t)(end - data);
		buf_add(&f->line, data, n);
		if (put_line(f) < 0)
			return -1;
		len -= n + 1;
	}
	buf_add(&f->line, data, len);
	return 0;
}

static int put(struct follow *f, const char *data, size_t len)
{
	cleanup_buf struct buf out = BUF_INIT;

	if (f->json)
		return put_lines(f, data, len);
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

	if (f->line.len > 0)
		put_line(f);
	buf_free(&f->line);
	safe_end(&f->state, &out);
	fd_write_all(f->fd, out.data, out.len, NULL);
}
