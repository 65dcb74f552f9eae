#include "lib/log.h"
#include "lib/buf.h"
#include "lib/file.h"
#include "lib/json.h"
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static struct {
	const char *role;
	enum log_level level;
	bool json;
} config = {NULL, LOG_LEVEL_INFO, false};

void log_init(const char *role, enum log_level level, bool json)
{
	config.role = role;
	config.level = level;
	config.json = json;
}

/* \uXXXX, as a surrogate pair above U+FFFF: valid in JSON, and harmless on a terminal. */
static void add_escaped(struct buf *b, uint32_t c)
{
	if (c == '"' || c == '\\')
		buf_addf(b, "\\%c", (int)c);
	else if (c == '\n')
		buf_adds(b, "\\n");
	else if (c == '\t')
		buf_adds(b, "\\t");
	else if (c > 0xFFFF)
		buf_addf(b, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
	else
		buf_addf(b, "\\u%04x", c);
}

static void add_quoted(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (size_t len = strlen(s); len > 0;) {
		uint32_t c = 0xFFFD; /* stands for a byte that is no UTF-8 */
		size_t n = text_decode(s, len, &c);
		if (n == 0 || c == '"' || c == '\\' || c == '\n' || c == '\t' || !text_allowed(c))
			add_escaped(b, c);
		else
			buf_add(b, s, n);
		n = n ? n : 1;
		s += n;
		len -= n;
	}
	buf_addc(b, '"');
}

static bool is_bare(const char *s)
{
	const char *p = s;
	while (*p > ' ' && *p < 0x7F && *p != '"' && *p != '\\' && *p != '=')
		p++;
	return p > s && !*p;
}

static void add_pair(struct buf *b, const char *key, const char *value)
{
	if (!value)
		return;
	if (config.json) {
		buf_addc(b, b->len ? ',' : '{');
		add_quoted(b, key);
		buf_addc(b, ':');
		add_quoted(b, value);
		return;
	}
	if (b->len)
		buf_addc(b, ' ');
	buf_addf(b, "%s=", key);
	if (is_bare(value))
		buf_adds(b, value);
	else
		add_quoted(b, value);
}

static void add_time(struct buf *b)
{
	char text[21];
	int64_t now = now_wall_ms();
	cleanup_buf struct buf t = BUF_INIT;
	buf_addf(&t, "%.19s.%03dZ", time_format(now, text), (int)(now % 1000));
	add_pair(b, "time", t.data);
}

void log_line(enum log_level level, const char *msg, ...)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	if (level < config.level)
		return;
	cleanup_buf struct buf b = BUF_INIT;
	add_time(&b);
	add_pair(&b, "level", names[level]);
	add_pair(&b, "role", config.role);
	add_pair(&b, "msg", msg);

	va_list ap;
	va_start(ap, msg);
	for (const char *key; (key = va_arg(ap, const char *));)
		add_pair(&b, key, va_arg(ap, const char *));
	va_end(ap);

	buf_adds(&b, config.json ? "}\n" : "\n");
	fd_write_all(STDERR_FILENO, b.data, b.len, NULL);
}
