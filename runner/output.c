/*
 * Frames to standard output.
 *
 * A step's bytes go through its stream's redactor, then either at once into `out` frames (the head), or into the tail: a row of records
 * (stream, length, bytes), of which the oldest are dropped once there is more than OUTPUT_TAIL of them. The tail has a fixed place
 * in memory, so that a step's gigabytes cost no more than a megabyte.
 */
#include "runner/runner.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PENDING_MAX ((size_t)256 << 10)
#define RECORD_MAX ((size_t)4096)
#define TAIL_ROOM (2 * OUTPUT_TAIL)
#define STRING_MAX ((size_t)1500) /* every byte of it may take six in JSON, and a frame has 12 KiB */

static const char stream_letter[N_STREAMS] = {[STREAM_OUT] = 'o', [STREAM_ERR] = 'e'};

struct record {
	uint32_t stream;
	uint32_t len;
};

static struct record record_at(const struct output *o, size_t at)
{
	struct record r;
	memcpy(&r, o->tail.data + at, sizeof(r));
	return r;
}

/* Drops whole records from the front until at most OUTPUT_TAIL bytes are left. */
static void tail_trim(struct output *o)
{
	size_t at = 0;

	while (o->tail.len - at > OUTPUT_TAIL) {
		struct record r = record_at(o, at);
		o->left_out += r.len;
		at += sizeof(r) + r.len;
	}
	buf_drop(&o->tail, at);
	o->last_record -= at;
}

static void tail_new_record(struct output *o, enum stream s)
{
	const struct record r = {.stream = (uint32_t)s};

	o->last_record = o->tail.len;
	buf_add(&o->tail, &r, sizeof(r));
}

static void tail_add(struct output *o, enum stream s, const char *data, size_t len)
{
	while (len > 0) {
		if (o->tail.len + RECORD_MAX + sizeof(struct record) > TAIL_ROOM)
			tail_trim(o);
		if (o->tail.len == 0 || record_at(o, o->last_record).stream != (uint32_t)s ||
		    record_at(o, o->last_record).len >= RECORD_MAX)
			tail_new_record(o, s);
		struct record r = record_at(o, o->last_record);
		size_t n = RECORD_MAX - r.len < len ? RECORD_MAX - r.len : len;
		buf_add(&o->tail, data, n);
		r.len += (uint32_t)n;
		memcpy(o->tail.data + o->last_record, &r, sizeof(r));
		data += n;
		len -= n;
	}
}

static bool head_is_over(const struct output *o)
{
	return o->head >= OUTPUT_HEAD || o->head_cost >= OUTPUT_HEAD_COST;
}

/* What the frames from `start` on cost in an engine's log. */
static size_t cost_since(const struct output *o, size_t start)
{
	size_t len = o->pending.len - start;
	return len == 0 ? 0 : len + (len / FRAME_MAX + 1) * OUTPUT_FRAME_COST;
}

/* Redacted bytes. */
static void add_clean(struct output *o, enum stream s, const char *data, size_t len)
{
	size_t start = o->pending.len;
	size_t n = OUTPUT_HEAD - o->head < len ? OUTPUT_HEAD - o->head : len;

	if (head_is_over(o)) {
		if (o->tail.cap == 0)
			buf_room(&o->tail, TAIL_ROOM);
		tail_add(o, s, data, len);
		return;
	}
	frame_add_out(&o->pending, stream_letter[s], &o->text[s], data, n);
	o->head += n;
	o->head_cost += cost_since(o, start);
	if (n < len)
		add_clean(o, s, data + n, len - n);
}

void output_start_step(struct output *o)
{
	for (int s = 0; s < N_STREAMS; s++)
		o->redact[s] = redact_stream_new(o->redactor);
}

void output_add(struct output *o, enum stream s, const char *data, size_t len)
{
	if (o->broken)
		return;
	redact_feed(o->redact[s], data, len, &o->clean);
	add_clean(o, s, o->clean.data, o->clean.len);
	buf_reset(&o->clean);
}

static void flush_text(struct output *o)
{
	for (int s = 0; s < N_STREAMS; s++)
		frame_flush_out(&o->pending, stream_letter[s], &o->text[s]);
}

void output_end_step(struct output *o)
{
	for (int s = 0; s < N_STREAMS; s++) {
		redact_end(o->redact[s], &o->clean);
		redact_stream_free(o->redact[s]);
		o->redact[s] = NULL;
		add_clean(o, (enum stream)s, o->clean.data, o->clean.len);
		buf_reset(&o->clean);
	}
	flush_text(o);
}

void output_frame(struct output *o, json_t *frame)
{
	if (!o->broken)
		frame_add(&o->pending, frame);
	json_decref(frame);
}

static void redact_whole(const struct output *o, const char *s, struct buf *ret)
{
	if (!o->redactor) {
		buf_adds(ret, s);
		return;
	}
	struct redact_stream *stream = redact_stream_new(o->redactor);
	redact_feed(stream, s, strlen(s), ret);
	redact_end(stream, ret);
	redact_stream_free(stream);
}

json_t *output_text(const struct output *o, const char *s, size_t max)
{
	struct buf clean cleanup_buf = BUF_INIT;

	redact_whole(o, s, &clean);
	size_t len = clean.len < max ? clean.len : max;
	while (len < clean.len && len > 0 && ((unsigned char)clean.data[len] & 0xc0) == 0x80)
		len--;
	json_t *string = json_stringn(clean.data, len);
	for (size_t i = 0; !string && i < len; i++)
		if ((unsigned char)clean.data[i] >= 0x80)
			clean.data[i] = '?';
	return string ? string : json_stringn(clean.data, len);
}

json_t *output_string(const struct output *o, const char *s)
{
	return s ? output_text(o, s, STRING_MAX) : json_null();
}

bool output_has_room(const struct output *o)
{
	return o->broken || o->pending.len - o->written < PENDING_MAX;
}

bool output_is_pending(const struct output *o)
{
	return !o->broken && o->pending.len > o->written;
}

void output_give_up(struct output *o)
{
	o->broken = true;
	buf_free(&o->pending);
	o->written = 0;
}

bool output_write(struct output *o)
{
	if (!output_is_pending(o))
		return false;
	ssize_t n = write(STDOUT_FILENO, o->pending.data + o->written, o->pending.len - o->written);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		output_give_up(o);
	if (n <= 0)
		return false;
	o->written += (size_t)n;
	/* Moved to the front only when little is left, so that a slow reader does not cost a copy for each write. */
	if (o->pending.len - o->written <= o->written) {
		buf_drop(&o->pending, o->written);
		o->written = 0;
	}
	return true;
}

/* Once, before the first of the tail. */
static void tail_begin(struct output *o)
{
	struct buf line cleanup_buf = BUF_INIT;

	tail_trim(o);
	o->tail_leaves = true;
	if (o->left_out == 0)
		return;
	buf_addf(&line, "\n[... %zu bytes left out ...]\n", o->left_out);
	frame_add_out(&o->pending, stream_letter[STREAM_OUT], &o->text[STREAM_OUT], line.data, line.len);
}

bool output_next_of_tail(struct output *o)
{
	if (o->broken || o->tail_at >= o->tail.len)
		return false;
	if (!o->tail_leaves)
		tail_begin(o);
	while (o->tail_at < o->tail.len && output_has_room(o)) {
		struct record r = record_at(o, o->tail_at);
		frame_add_out(&o->pending, stream_letter[r.stream], &o->text[r.stream], o->tail.data + o->tail_at + sizeof(r), r.len);
		o->tail_at += sizeof(r) + r.len;
	}
	if (o->tail_at == o->tail.len)
		flush_text(o);
	return true;
}

void output_free(struct output *o)
{
	for (int s = 0; s < N_STREAMS; s++)
		redact_stream_free(o->redact[s]);
	buf_free(&o->pending);
	buf_free(&o->clean);
	buf_free(&o->tail);
}
