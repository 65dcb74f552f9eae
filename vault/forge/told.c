#include "vault/forge/told.h"

#include <string.h>

void told_pair(struct buf *out, const char *label, const char *text)
{
	if (!text)
		return;
	buf_addf(out, "  %-12s", label);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		buf_addf(out, "%s%.*s\n", line == text ? "" : "              ", (int)strcspn(line, "\n"), line);
	}
}

/* The fence is longer than any run of backticks in the text. */
void told_block(struct buf *out, const char *text)
{
	size_t run = 0, longest = 2;

	for (const char *p = text; *p; p++) {
		run = *p == '`' ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	for (int end = 0; end < 2; end++) {
		for (size_t i = 0; i <= longest; i++)
			buf_addc(out, '`');
		buf_addc(out, '\n');
		if (!end)
			buf_adds(out, text);
	}
}
