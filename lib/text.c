#include "lib/json.h"

size_t text_decode(const char *s, size_t len, uint32_t *ret)
{
	const unsigned char *p = (const unsigned char *)s;
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3Fu);
	}
	if (c < smallest[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return 0;
	*ret = c;
	return n;
}

/* Controls, Unicode 15 general category Cf, the line and paragraph separators, and the block of tags. In order. */
static const struct {
	uint32_t first, last;
} refused[] = {
    {0x00, 0x08},       {0x0B, 0x1F},       {0x7F, 0x9F},       {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},
    {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},     {0x180E, 0x180E},   {0x200B, 0x200F},
    {0x2028, 0x202E},   {0x2060, 0x206F},   {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD}, {0x110CD, 0x110CD},
    {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE007F},
};

bool text_allowed(uint32_t c)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (c <= refused[i].last)
			return c < refused[i].first;
	return true;
}

static const char *why_refused(uint32_t c)
{
	return c == '\r' ? "save the file with Unix line ends" : "control, bidi and format characters hide what is written";
}

int text_check(const char *s, size_t len, struct err *err)
{
	for (size_t at = 0; at < len;) {
		uint32_t c;
		size_t n = text_decode(s + at, len - at, &c);
		if (n == 0)
			return err_set(err, ERR_INVALID, "invalid UTF-8 at byte %zu", at);
		if (!text_allowed(c))
			return err_set(err, ERR_INVALID, "character U+%04X at byte %zu is not allowed (%s)", c, at, why_refused(c));
		at += n;
	}
	return 0;
}
