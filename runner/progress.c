/* See progress.h. */
#include "runner/progress.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)1 << 20)
#define SHOWN_MAX ((size_t)240) /* of a tool's input or output */

struct progress {
	const struct redactor *redactor;
	struct buf line; /* the present one, without its end */
	bool passes;     /* the present line is too long and leaves as it comes */
	bool has_cost;
	double cost;
};

struct progress *progress_new(const struct redactor *redactor)
{
	struct progress *p = xcalloc(1, sizeof(*p));
	p->redactor = redactor;
	return p;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	buf_free(&p->line);
	free(p);
}

bool progress_cost(const struct progress *p, double *ret)
{
	if (p->has_cost)
		*ret = p->cost;
	return p->has_cost;
}

/* Without what ends a line, or the line would grow by what it only quotes. */
static size_t without_end(const char *s, size_t len)
{
	while (len > 0 && (s[len - 1] == '\n' || s[len - 1] == '\r' || s[len - 1] == ' '))
		len--;
	return len;
}

static size_t count_lines(const char *s, size_t len)
{
	size_t n = 0;

	for (const char *at = s; (at = memchr(at, '\n', len - (size_t)(at - s))); at++)
		n++;
	return n;
}

/* Text that is shown only in part: clean, its first line, at most SHOWN_MAX bytes, and how much more there was. */
static void add_short(const struct progress *p, const char *text, struct buf *out)
{
	struct buf clean cleanup_buf = BUF_INIT;

	if (p->redactor) {
		struct redact_stream *stream = redact_stream_new(p->redactor);
		redact_feed(stream, text, strlen(text), &clean);
		redact_end(stream, &clean);
		redact_stream_free(stream);
	} else {
		buf_adds(&clean, text);
	}
	size_t len = without_end(clean.data, clean.len);
	size_t more = count_lines(clean.data, len);
	size_t end = strcspn(clean.data, "\n");
	size_t shown = end < SHOWN_MAX ? end : SHOWN_MAX;
	while (shown < end && shown > 0 && ((unsigned char)clean.data[shown] & 0xc0) == 0x80)
		shown--;
	buf_add(out, clean.data, shown < len ? shown : len);
	if (shown < end)
		buf_adds(out, " …");
	if (more > 0)
		buf_addf(out, " (+%zu %s)", more, more == 1 ? "line" : "lines");
	buf_addc(out, '\n');
}

/* A message of the agent, whole. */
static void add_text(const char *text, struct buf *out)
{
	buf_add(out, text, without_end(text, strlen(text)));
	buf_addc(out, '\n');
}

static void show_tool_use(const struct progress *p, const json_t *block, struct buf *out)
{
	static const char *const telling[] = {"command", "file_path", "path", "pattern", "url", "query", "description", "prompt"};
	const json_t *input = json_object_get(block, "input");
	const char *name = json_text(block, "name");
	char *whole cleanup_free = NULL;
	const char *shown = NULL;

	for (size_t i = 0; !shown && i < sizeof(telling) / sizeof(telling[0]); i++)
		shown = json_text(input, telling[i]);
	if (!shown && input) {
		whole = json_dumps(input, JSON_COMPACT | JSON_ENCODE_ANY);
		shown = whole;
	}
	buf_addf(out, "[%s] ", name ? name : "tool");
	add_short(p, shown ? shown : "", out);
}

/* Its content is a string, or a list of blocks of which those with text count. */
static void show_tool_result(const struct progress *p, const json_t *block, struct buf *out)
{
	const json_t *content = json_object_get(block, "content");
	struct buf text cleanup_buf = BUF_INIT;
	size_t i;
	const json_t *part;

	json_array_foreach (content, i, part) {
		const char *s = json_text(part, "text");
		buf_adds(&text, s ? s : "");
	}
	buf_adds(out, json_is_true(json_object_get(block, "is_error")) ? "[error] " : "[result] ");
	add_short(p, json_is_string(content) ? json_string_value(content) : text.data, out);
}

static void show_block(const struct progress *p, const json_t *block, struct buf *out)
{
	const char *type = json_text(block, "type");
	const char *text = json_text(block, "text");

	if (!type)
		return;
	if (strcmp(type, "text") == 0 && text)
		add_text(text, out);
	else if (strcmp(type, "tool_use") == 0)
		show_tool_use(p, block, out);
	else if (strcmp(type, "tool_result") == 0)
		show_tool_result(p, block, out);
}

static void show_message(struct progress *p, const json_t *event, struct buf *out)
{
	const json_t *content = json_object_get(json_object_get(event, "message"), "content");
	size_t i;
	const json_t *block;

	if (json_is_string(content))
		add_text(json_string_value(content), out);
	json_array_foreach (content, i, block)
		show_block(p, block, out);
}

static void show_system(struct progress *p, const json_t *event, struct buf *out)
{
	const char *subtype = json_text(event, "subtype");
	const char *version = json_text(event, "claude_code_version");
	const char *model = json_text(event, "model");

	(void)p;
	if (subtype && strcmp(subtype, "init") == 0)
		buf_addf(out, "[claude%s%s] model %s\n", version ? " " : "", version ? version : "", model ? model : "unknown");
	else
		buf_addf(out, "[system] %s\n", subtype ? subtype : "");
}

static void show_result(struct progress *p, const json_t *event, struct buf *out)
{
	const json_t *cost = json_object_get(event, "total_cost_usd");
	const json_t *turns = json_object_get(event, "num_turns");
	const json_t *ms = json_object_get(event, "duration_ms");
	const char *subtype = json_text(event, "subtype");
	const char *text = json_text(event, "result");
	bool failed = json_is_true(json_object_get(event, "is_error"));

	if (json_is_number(cost) && isfinite(json_number_value(cost)) && json_number_value(cost) >= 0) {
		p->has_cost = true;
		p->cost = json_number_value(cost);
	}
	if (failed && text) {
		buf_adds(out, "[error] ");
		add_short(p, text, out);
	}
	buf_addf(out, "[done] %s%s", subtype ? subtype : "", failed ? ", with an error" : "");
	if (json_is_integer(turns))
		buf_addf(out, ", %" JSON_INTEGER_FORMAT " turn%s", json_integer_value(turns), json_integer_value(turns) == 1 ? "" : "s");
	if (json_is_integer(ms))
		buf_addf(out, ", %.1f s", (double)json_integer_value(ms) / 1000);
	if (p->has_cost)
		buf_addf(out, ", $%.4f", p->cost);
	buf_addc(out, '\n');
}

static const struct {
	const char *type;
	void (*show)(struct progress *p, const json_t *event, struct buf *out);
} kinds[] = {{"system", show_system}, {"assistant", show_message}, {"user", show_message}, {"result", show_result}};

static void show_event(struct progress *p, const char *type, const json_t *event, struct buf *out)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].type, type) == 0) {
			kinds[i].show(p, event, out);
			return;
		}
	buf_addf(out, "[%s]\n", type);
}

/* A whole line. */
static void show_line(struct progress *p, struct buf *out)
{
	json_t *event cleanup_json = json_loadb(p->line.data, p->line.len, 0, NULL);
	const char *type = json_text(event, "type");

	if (type) {
		show_event(p, type, event, out);
	} else {
		buf_add(out, p->line.data, p->line.len);
		buf_addc(out, '\n');
	}
	buf_reset(&p->line);
}

/* A piece without a line's end. */
static void add_piece(struct progress *p, const char *data, size_t len, struct buf *out)
{
	if (!p->passes && p->line.len + len <= LINE_MAX_BYTES) {
		buf_add(&p->line, data, len);
		return;
	}
	buf_add(out, p->line.data, p->line.len);
	buf_reset(&p->line);
	buf_add(out, data, len);
	p->passes = true;
}

static void end_line(struct progress *p, struct buf *out)
{
	if (p->passes)
		buf_addc(out, '\n');
	else
		show_line(p, out);
	p->passes = false;
}

void progress_feed(struct progress *p, const char *data, size_t len, struct buf *out)
{
	for (const char *end; (end = memchr(data, '\n', len));) {
		add_piece(p, data, (size_t)(end - data), out);
		end_line(p, out);
		len -= (size_t)(end + 1 - data);
		data = end + 1;
	}
	add_piece(p, data, len, out);
}

void progress_end(struct progress *p, struct buf *out)
{
	if (p->passes)
		p->passes = false;
	else if (p->line.len > 0)
		show_line(p, out);
}
