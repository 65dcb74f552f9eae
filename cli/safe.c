/*
 * Text from repositories and logs, made safe for a terminal.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include <string.h>

static void put_bytes(struct safe_stream *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_held; i++)
		buf_addf(out, "\\x%02x", s->held[i]);
	s->n_held = 0;
	s->state = (mbstate_t){0};
}

static void put_char(struct safe_stream *s, wchar_t c, struct buf *out)
{
	if (text_allowed((uint32_t)c))
		buf_add(out, s->held, s->n_held);
	else
		buf_addf(out, c < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)c);
	s->n_held = 0;
}

/* A carriage return is shown unless it belongs to a line's end. */
static void end_cr(struct safe_stream *s, char next, struct buf *out)
{
	if (s->cr && next != '\n')
		buf_adds(out, "\\r");
	s->cr = false;
}

static void feed_byte(struct safe_stream *s, char byte, struct buf *out)
{
	wchar_t c = 0;
	size_t n;

	end_cr(s, byte, out);
	if (byte == '\r' && s->n_held == 0) {
		s->cr = true;
		return;
	}
	n = mbrtowc(&c, &byte, 1, &s->state);
	if (n == (size_t)-1 && s->n_held > 0) {
		/* The sequence was cut short; this byte may begin another. */
		put_bytes(s, out);
		feed_byte(s, byte, out);
		return;
	}
	s->held[s->n_held++] = (unsigned char)byte;
	if (n == (size_t)-1)
		put_bytes(s, out);
	else if (n != (size_t)-2)
		put_char(s, c, out);
}

void safe_feed(struct safe_stream *s, const char *data, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++)
		feed_byte(s, data[i], out);
}

void safe_end(struct safe_stream *s, struct buf *out)
{
	end_cr(s, '\0', out);
	put_bytes(s, out);
}

char *safe_text(const char *text)
{
	cleanup_buf struct buf out = BUF_INIT;
	struct safe_stream s = {.n_held = 0};

	if (text)
		safe_feed(&s, text, strlen(text), &out);
	safe_end(&s, &out);
	return buf_steal(&out);
}

char *safe_line(const char *text)
{
	char *line = safe_text(text);

	for (char *p = line; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	return line;
}
