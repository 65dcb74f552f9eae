/*
 * Frames: writing within the line limit, reading with bounded memory. See frame.h.
 *
 * Frames that carry foreign text or secrets are written by hand instead of through jansson: their size must be known while
 * they are cut, and a JSON library leaves copies of a secret behind in the heap.
 */
#include "vault/frame.h"

#include "lib/cleanup.h"
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE "\"}\n"
#define FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15)) /* digits that every number keeps: 0.0421 stays 0.0421 */
#define REPLACEMENT "\xef\xbf\xbd"

/* buf_room() that leaves no copy of the old bytes behind. */
static void room_wiped(struct buf *b, size_t extra)
{
	size_t need = b->len + extra + 1;
	if (b->cap >= need)
		return;
	size_t cap = b->cap * 2 > need ? b->cap * 2 : need;
	char *data = xmalloc(cap);
	memcpy(data, b->data, b->len);
	data[b->len] = '\0';
	frame_wipe(&(struct buf){b->data, b->len, b->cap});
	b->data = data;
	b->cap = cap;
}

void frame_wipe(struct buf *b)
{
	if (b->cap > 0)
		sodium_memzero(b->data, b->cap);
	buf_free(b);
}

void frame_add(struct buf *out, const json_t *frame)
{
	size_t len = json_dumpb(frame, NULL, 0, FLAGS);
	if (len == 0 || len + 1 > FRAME_MAX) {
		fprintf(stderr, "frame_add: a frame of %zu bytes can't be sent (at most %d)\n", len + 1, FRAME_MAX);
		abort();
	}
	json_dumpb(frame, buf_room(out, len), len, FLAGS);
	buf_grew(out, len);
	buf_addc(out, '\n');
}

/* A row of frames that differ in one string only; opened when there is something to put in. */
struct frame_row {
	struct buf *out;
	const char *head; /* all before the string */
	size_t start;     /* of the open frame in out */
	bool open;
};

static void row_close(struct frame_row *row)
{
	if (row->open)
		buf_adds(row->out, CLOSE);
	row->open = false;
}

/* How many bytes the open frame still takes, at least `want`: a new frame is begun when they do not fit. */
static size_t row_room(struct frame_row *row, size_t want)
{
	const size_t max = FRAME_MAX - strlen(CLOSE);
	if (row->open && row->out->len - row->start + want <= max)
		return max - (row->out->len - row->start);
	row_close(row);
	row->start = row->out->len;
	row->open = true;
	buf_adds(row->out, row->head);
	return max - strlen(row->head);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void row_put_plain(struct frame_row *row, const char *s, size_t len)
{
	while (len > 0) {
		size_t room = row_room(row, 1);
		size_t n = len < room ? len : room;
		buf_add(row->out, s, n);
		s += n;
		len -= n;
	}
}

/* One character that must be escaped, as RFC 8259 section 7 has it. */
static void row_put_escaped(struct frame_row *row, unsigned char c)
{
	static const char letters[] = "\"\\\b\f\n\r\t";
	static const char escapes[] = "\"\\bfnrt";
	const char *at = c ? strchr(letters, c) : NULL;
	if (at) {
		row_room(row, 2);
		buf_addc(row->out, '\\');
		buf_addc(row->out, escapes[at - letters]);
	} else {
		row_room(row, 6);
		buf_addf(row->out, "\\u%04x", c);
	}
}

static void row_put_sequence(struct frame_row *row, const void *bytes, size_t len)
{
	row_room(row, len);
	buf_add(row->out, bytes, len);
}

/* What the first n bytes (1..4) of a UTF-8 sequence are, all but the last of which were found good. The Unicode Standard, table 3-7. */
enum sequence { SEQ_BAD, SEQ_PART, SEQ_WHOLE };
static enum sequence sequence_check(const unsigned char *s, size_t n)
{
	size_t whole = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	unsigned char low = 0x80, high = 0xbf;
	if (n == 1)
		return s[0] >= 0xc2 && s[0] <= 0xf4 ? SEQ_PART : SEQ_BAD;
	if (n == 2) {
		low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
		high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	}
	if (s[n - 1] < low || s[n - 1] > high)
		return SEQ_BAD;
	return n == whole ? SEQ_WHOLE : SEQ_PART;
}

static void row_put_byte(struct frame_row *row, struct frame_text *state, unsigned char c)
{
	state->carry[state->n_carry++] = c;
	if (state->n_carry == 1 && c < 0x80) {
		if (is_plain(c))
			row_put_sequence(row, &c, 1);
		else
			row_put_escaped(row, c);
		state->n_carry = 0;
		return;
	}
	enum sequence is = sequence_check(state->carry, state->n_carry);
	if (is == SEQ_PART)
		return;
	size_t n = state->n_carry;
	state->n_carry = 0;
	if (is == SEQ_WHOLE) {
		row_put_sequence(row, state->carry, n);
		return;
	}
	row_put_sequence(row, REPLACEMENT, strlen(REPLACEMENT));
	if (n > 1) /* the byte that did not fit begins something new */
		row_put_byte(row, state, c);
}

static void row_put(struct frame_row *row, struct frame_text *state, const char *data, size_t len)
{
	size_t i = 0;
	while (i < len) {
		size_t run = i;
		while (run < len && state->n_carry == 0 && is_plain((unsigned char)data[run]))
			run++;
		row_put_plain(row, data + i, run - i);
		if (run < len)
			row_put_byte(row, state, (unsigned char)data[run++]);
		i = run;
	}
}

static void row_flush(struct frame_row *row, struct frame_text *state)
{
	if (state->n_carry > 0)
		row_put_sequence(row, REPLACEMENT, strlen(REPLACEMENT));
	state->n_carry = 0;
	row_close(row);
}

void frame_add_task(struct buf *out, const char *text)
{
	struct frame_row row = {.out = out, .head = "{\"t\":\"task\",\"d\":\""};
	struct frame_text state = {.n_carry = 0};
	row_put(&row, &state, text, strlen(text));
	row_flush(&row, &state);
	buf_adds(out, "{\"t\":\"task_end\"}\n");
}

static struct frame_row out_row(struct buf *out, char stream)
{
	return (struct frame_row){.out = out,
	                          .head = stream == 'e' ? "{\"t\":\"out\",\"s\":\"e\",\"d\":\"" : "{\"t\":\"out\",\"s\":\"o\",\"d\":\""};
}

void frame_add_out(struct buf *out, char stream, struct frame_text *state, const char *data, size_t len)
{
	struct frame_row row = out_row(out, stream);
	row_put(&row, state, data, len);
	row_close(&row);
}

void frame_flush_out(struct buf *out, char stream, struct frame_text *state)
{
	struct frame_row row = out_row(out, stream);
	row_flush(&row, state);
}

void frame_reader_feed(struct frame_reader *r, const char *data, size_t len)
{
	buf_drop(&r->in, r->at);
	r->at = 0;
	room_wiped(&r->in, len);
	buf_add(&r->in, data, len);
}

static int frame_parse(const char *line, size_t len, json_t **ret, struct err *err)
{
	json_error_t why;
	json_t *frame cleanup_json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
	if (!frame) /* not jansson's words: they quote the line, which may hold a secret */
		return err_set(err, ERR_INVALID, "frame: is not JSON (column %d)", why.column);
	const json_t *t = json_object_get(frame, "t");
	if (!json_is_string(t) || strlen(json_string_value(t)) != json_string_length(t))
		return err_set(err, ERR_INVALID, "frame: is not an object with a string \"t\"");
	*ret = steal_ptr(&frame);
	return 0;
}

int frame_reader_next(struct frame_reader *r, json_t **ret, struct err *err)
{
	const char *line = r->in.data + r->at;
	size_t there = r->in.len - r->at;
	const char *end = memchr(line, '\n', there < FRAME_MAX ? there : FRAME_MAX);
	if (!end) {
		if (there >= FRAME_MAX)
			return err_set(err, ERR_INVALID, "frame: line is longer than %d bytes", FRAME_MAX);
		return 0;
	}
	size_t len = (size_t)(end - line);
	if (frame_parse(line, len, ret, err) < 0)
		return -1;
	r->at += len + 1;
	return 1;
}

void frame_reader_free(struct frame_reader *r)
{
	frame_wipe(&r->in);
	r->at = 0;
}

/* Everything of a secret frame but the name and the piece. */
#define SECRET_FORMAT "{\"t\":\"secret\",\"name\":\"\",\"d\":\"\",\"more\":false}\n"
/* Bytes of a value in one frame: base64 makes 4 of 3, and names have 64 bytes at most. */
#define SECRET_PIECE ((size_t)9000)
_Static_assert(SECRET_PIECE % 3 == 0 && SECRET_PIECE / 3 * 4 + sizeof(SECRET_FORMAT) + 64 < FRAME_MAX, "a piece fits a frame");

size_t frame_secret_room(size_t len)
{
	return (len / SECRET_PIECE + 1) * FRAME_MAX;
}

void frame_add_secret(struct buf *out, const char *name, const unsigned char *value, size_t len)
{
	room_wiped(out, frame_secret_room(len));
	do {
		size_t n = len < SECRET_PIECE ? len : SECRET_PIECE;
		size_t base64_len = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL);
		buf_addf(out, "{\"t\":\"secret\",\"name\":\"%s\",\"d\":\"", name);
		sodium_bin2base64(buf_room(out, base64_len), base64_len, value, n, sodium_base64_VARIANT_ORIGINAL);
		buf_grew(out, base64_len - 1);
		value += n;
		len -= n;
		buf_addf(out, "\",\"more\":%s}\n", len > 0 ? "true" : "false");
	} while (len > 0);
}
