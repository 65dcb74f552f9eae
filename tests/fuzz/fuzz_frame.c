/*
 * Frames. First byte: how the rest is cut. Reading gives the same frames and the same verdict for every chunking; whatever is
 * put into `out` and `task` frames is read again as the same valid text.
 */
#include "lib/cleanup.h"
#include "vault/frame.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All frames in one text, and the verdict at its end. */
static void read_frames(const char *data, size_t len, size_t chunk, struct buf *ret)
{
	struct frame_reader r = FRAME_READER_INIT;
	struct err err cleanup_err = ERR_INIT;
	int rc = 0;
	for (size_t at = 0; at < len && rc == 0; at += chunk) {
		json_t *frame = NULL;
		frame_reader_feed(&r, data + at, len - at < chunk ? len - at : chunk);
		while ((rc = frame_reader_next(&r, &frame, &err)) == 1) {
			char *text cleanup_free = json_dumps(frame, JSON_COMPACT);
			buf_addf(ret, "%s\n", text);
			json_decref(frame);
		}
		if (r.in.len - r.at > FRAME_MAX + chunk)
			abort();
	}
	buf_addf(ret, "%d %s", rc, err_msg(&err));
	frame_reader_free(&r);
}

static void join(const struct buf *wire, struct buf *ret)
{
	struct frame_reader r = FRAME_READER_INIT;
	json_t *frame = NULL;
	int rc;
	frame_reader_feed(&r, wire->data, wire->len);
	while ((rc = frame_reader_next(&r, &frame, NULL)) == 1) {
		const json_t *d = json_object_get(frame, "d");
		buf_add(ret, json_string_value(d), json_string_length(d));
		json_decref(frame);
	}
	if (rc != 0 || r.at != r.in.len)
		abort();
	frame_reader_free(&r);
}

static void through_out(const char *data, size_t len, size_t chunk, struct buf *ret)
{
	struct buf wire cleanup_buf = BUF_INIT;
	struct frame_text text = {.n_carry = 0};
	for (size_t at = 0; at < len; at += chunk)
		frame_add_out(&wire, 'o', &text, data + at, len - at < chunk ? len - at : chunk);
	frame_flush_out(&wire, 'o', &text);
	join(&wire, ret);
}

static void expect_equal(const struct buf *a, const struct buf *b)
{
	if (a->len != b->len || memcmp(a->data, b->data, a->len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole cleanup_buf = BUF_INIT, cut cleanup_buf = BUF_INIT, out cleanup_buf = BUF_INIT, out_cut cleanup_buf = BUF_INIT;
	struct buf wire cleanup_buf = BUF_INIT, task cleanup_buf = BUF_INIT;
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	size_t len = size - 1, chunk = (size_t)data[0] * data[0] + 1;
	if (len > 1000 && chunk < 64)
		chunk = 64; /* a frame for each byte is slow and finds nothing more */
	read_frames(text, len, len + 1, &whole);
	read_frames(text, len, chunk, &cut);
	expect_equal(&whole, &cut);
	through_out(text, len, len + 1, &out);
	through_out(text, len, chunk, &out_cut);
	expect_equal(&out, &out_cut);
	if (memchr(out.data, '\0', out.len))
		return 0;
	frame_add_task(&wire, out.data); /* repaired above, so it is valid */
	join(&wire, &task);
	expect_equal(&out, &task);
	return 0;
}
