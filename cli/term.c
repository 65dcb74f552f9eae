/*
 * What people see: colours, text made safe, tables, JSON.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void term_init(void)
{
	/* Always there in glibc; text in the ops repo is UTF-8 whatever the user's locale says. */
	setlocale(LC_CTYPE, "C.UTF-8");
}

bool term_is(int fd)
{
	return isatty(fd) == 1;
}

size_t term_width(int fd)
{
	struct winsize size;

	if (!term_is(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

const char *colour(FILE *to, enum colour c)
{
	static const char *const codes[] = {"\033[0m", "\033[32m", "\033[31m", "\033[2m", "\033[1m"};
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if ((no && *no) || (term && strcmp(term, "dumb") == 0) || !term_is(fileno(to)))
		return "";
	return codes[c];
}

void note(const char *fmt, ...)
{
	cleanup_buf struct buf line = BUF_INIT;
	va_list ap;

	buf_adds(&line, "disinto: ");
	va_start(ap, fmt);
	buf_vaddf(&line, fmt, ap);
	va_end(ap);
	cleanup_free char *safe = safe_text(line.data);
	fprintf(stderr, "%s\n", safe);
}

void json_escape(uint32_t c, struct buf *out)
{
	if (c > 0xffff) /* a pair of surrogates (RFC 8259 section 7) */
		buf_addf(out, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)), (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
	else
		buf_addf(out, "\\u%04x", (unsigned)c);
}

char *json_safe(const char *text)
{
	cleanup_buf struct buf out = BUF_INIT;
	uint32_t c = 0;
	size_t n;

	for (size_t len = strlen(text); len > 0 && (n = text_decode(text, len, &c)) > 0; text += n, len -= n) {
		if (text_allowed(c))
			buf_add(&out, text, n);
		else
			json_escape(c, &out);
	}
	return buf_steal(&out);
}

int print_json(const json_t *value)
{
	cleanup_free char *text = json_pretty(value);
	cleanup_free char *safe = json_safe(text);

	fputs(safe, stdout);
	return CLI_DONE;
}

const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

void print_pair(FILE *to, const char *label, const char *value)
{
	cleanup_free char *text = safe_text(value);

	if (!value)
		return;
	fprintf(to, "  %-12s", label);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		fprintf(to, "%s%.*s\n", line == text ? "" : "              ", (int)strcspn(line, "\n"), line);
	}
}

char *duration_text(int64_t ms, char buf[static 32])
{
	long long s = ms / 1000;

	if (ms < 1000)
		snprintf(buf, 32, "%lld ms", (long long)(ms > 0 ? ms : 0));
	else if (s < 60)
		snprintf(buf, 32, "%lld.%lld s", s, (long long)(ms % 1000 / 100));
	else if (s < 3600)
		snprintf(buf, 32, "%lld min %02lld s", s / 60, s % 60);
	else
		snprintf(buf, 32, "%lld h %02lld min", s / 3600, s / 60 % 60);
	return buf;
}

char *ago(int64_t then_ms, int64_t now_ms, char buf[static 32])
{
	int64_t s = (now_ms - then_ms) / 1000;

	if (then_ms <= 0)
		snprintf(buf, 32, "-");
	else if (s < 0)
		snprintf(buf, 32, "in the future");
	else if (s < 120)
		snprintf(buf, 32, "%d s ago", (int)s);
	else if (s < 120 * 60)
		snprintf(buf, 32, "%d min ago", (int)(s / 60));
	else if (s < (int64_t)48 * 3600)
		snprintf(buf, 32, "%d h ago", (int)(s / 3600));
	else
		snprintf(buf, 32, "%lld days ago", (long long)(s / 86400));
	return buf;
}
