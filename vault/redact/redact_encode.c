/* Forms of a secret: see redact_encode.h. */
#include "vault/redact/redact_encode.h"

#include "lib/buf.h"
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FORMS_MAX 64   /* different ones of a value; lines of base64 do not count */
#define MOST_FOR_ONE 6 /* bytes that a form needs at most for one of the value: \u00ff, &quot; */

/* Where forms are written: large enough for the longest, so that it never moves, and wiped. */
struct maker {
	unsigned char *form;
	size_t len;
	size_t min;
	redact_form_fn *fn;
	void *arg;
	/* Hashes of the forms of the value at hand: most encodings leave most secrets as they are. */
	uint8_t seen[FORMS_MAX][crypto_generichash_BYTES_MIN];
	size_t n_seen;
};

static bool was_seen(struct maker *m)
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	crypto_generichash(hash, sizeof(hash), m->form, m->len, NULL, 0);
	for (size_t i = 0; i < m->n_seen; i++)
		if (memcmp(m->seen[i], hash, sizeof(hash)) == 0)
			return true;
	if (m->n_seen < FORMS_MAX)
		memcpy(m->seen[m->n_seen++], hash, sizeof(hash));
	return false;
}

static void emit(struct maker *m)
{
	if (m->len >= m->min && !was_seen(m))
		m->fn(m->form, m->len, m->arg);
	m->len = 0;
}

static void put(struct maker *m, const char *s)
{
	for (; *s; s++)
		m->form[m->len++] = (unsigned char)*s;
}

static void put_hex(struct maker *m, unsigned value, int digits, bool upper)
{
	const char *hex = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	for (int i = digits - 1; i >= 0; i--)
		m->form[m->len++] = (unsigned char)hex[value >> (4 * i) & 15];
}

static void add_hex(struct maker *m, const unsigned char *value, size_t len)
{
	for (int upper = 0; upper < 2; upper++) {
		for (size_t i = 0; i < len; i++)
			put_hex(m, value[i], 2, upper);
		emit(m);
	}
}

/* Six bits from `bit` on, where the value's first bit is `first`; all of them are the value's. */
static unsigned six_bits(const unsigned char *value, size_t len, size_t first, size_t bit)
{
	size_t byte = (bit - first) / 8;
	unsigned two = (unsigned)value[byte] << 8 | (byte + 1 < len ? value[byte + 1] : 0);
	return two >> (10 - (bit - first) % 8) & 63;
}

/* Characters that only the value decides, when `phase` bytes stand before it in its group of three. */
static void add_base64_phase(struct maker *m, const unsigned char *value, size_t len, size_t phase, const char *last_two)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t first = 8 * phase, end = first + 8 * len;
	for (size_t bit = (first + 5) / 6 * 6; bit + 6 <= end; bit += 6) {
		unsigned v = six_bits(value, len, first, bit);
		m->form[m->len++] = (unsigned char)(v < 62 ? alphabet[v] : last_two[v - 62]);
	}
	emit(m);
}

static void add_base64(struct maker *m, const unsigned char *value, size_t len)
{
	for (size_t phase = 0; phase < 3; phase++) {
		add_base64_phase(m, value, len, phase, "+/");
		add_base64_phase(m, value, len, phase, "-_");
	}
}

static void add_base64_lines(struct maker *m, const unsigned char *value, size_t len)
{
	for (size_t line = 48; line <= 57; line += 9) /* bytes in a line of 64 and of 76 columns */
		for (size_t at = 0; len > line && at < len; at += line)
			add_base64_phase(m, value + at, len - at < line ? len - at : line, 0, "+/");
}

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static void add_percent(struct maker *m, const unsigned char *value, size_t len, const char *kept, bool plus, bool upper)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = value[i];
		if (is_alnum(c) || (c && strchr(kept, c))) {
			m->form[m->len++] = c;
		} else if (c == ' ' && plus) {
			put(m, "+");
		} else {
			put(m, "%");
			put_hex(m, c, 2, upper);
		}
	}
	emit(m);
}

static void add_urls(struct maker *m, const unsigned char *value, size_t len)
{
	for (int upper = 0; upper < 2; upper++) {
		add_percent(m, value, len, "-._~", false, upper);
		add_percent(m, value, len, "-._~/", false, upper);
		add_percent(m, value, len, "-._~!*'()", false, upper);
		add_percent(m, value, len, "-._*", true, upper);
		add_percent(m, value, len, "-._~", true, upper);
	}
}

/* One character of valid UTF-8 as its code point; the bytes it has. 0: none begins here. */
static size_t decode(const unsigned char *s, size_t len, uint32_t *ret)
{
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || n > len || s[0] > 0xf4)
		return 0;
	*ret = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*ret = *ret << 6 | (s[i] & 0x3f);
	}
	return n;
}

static void put_utf16(struct maker *m, uint32_t c, bool upper)
{
	if (c >= 0x10000) {
		put(m, "\\u");
		put_hex(m, 0xd800 + (c - 0x10000) / 0x400, 4, upper);
		c = 0xdc00 + (c - 0x10000) % 0x400;
	}
	put(m, "\\u");
	put_hex(m, c, 4, upper);
}

/* JSON, RFC 8259 section 7; `more`: characters that are escaped besides; ascii: all others too. */
static void add_json(struct maker *m, const unsigned char *value, size_t len, const char *more, bool ascii, bool upper)
{
	static const char letters[] = "\"\\\b\f\n\r\t", escapes[] = "\"\\bfnrt";
	for (size_t i = 0; i < len;) {
		unsigned char c = value[i];
		const char *letter = c ? strchr(letters, c) : NULL;
		uint32_t code = c;
		size_t n = c < 0x80 ? 1 : ascii ? decode(value + i, len - i, &code) : 0;
		if (letter) {
			put(m, (char[]){'\\', escapes[letter - letters], '\0'});
		} else if (c == '/' && strchr(more, '/')) {
			put(m, "\\/");
		} else if (c < 0x20 || (c < 0x80 && strchr(more, c)) || (n > 1)) {
			put_utf16(m, code, upper);
		} else {
			m->form[m->len++] = c;
		}
		i += n > 0 ? n : 1;
	}
	emit(m);
}

/* XML and HTML; `quotes` are the spellings of " and ', NULL to leave one alone. */
static void add_xml(struct maker *m, const unsigned char *value, size_t len, const char *quote, const char *apostrophe)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = value[i];
		const char *entity = c == '&'    ? "&amp;"
		                     : c == '<'  ? "&lt;"
		                     : c == '>'  ? "&gt;"
		                     : c == '"'  ? quote
		                     : c == '\'' ? apostrophe
		                                 : NULL;
		if (entity)
			put(m, entity);
		else
			m->form[m->len++] = c;
	}
	emit(m);
}

static void add_shell(struct maker *m, const unsigned char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '\'')
			put(m, "'\\''");
		else
			m->form[m->len++] = value[i];
	}
	emit(m);
}

/* The value itself and all that encodings make of it. */
static void add_forms(struct maker *m, const unsigned char *value, size_t len)
{
	m->n_seen = 0;
	memcpy(m->form, value, len);
	m->len = len;
	emit(m);
	add_shell(m, value, len);
	add_hex(m, value, len);
	add_base64(m, value, len);
	add_urls(m, value, len);
	for (int upper = 0; upper < 2; upper++) {
		add_json(m, value, len, "", false, upper);
		add_json(m, value, len, "/", false, upper);
		add_json(m, value, len, "<>&", false, upper);
		add_json(m, value, len, "", true, upper);
		add_json(m, value, len, "/", true, upper);
	}
	add_xml(m, value, len, NULL, NULL);
	add_xml(m, value, len, "&quot;", NULL);
	add_xml(m, value, len, "&quot;", "&apos;");
	add_xml(m, value, len, "&quot;", "&#39;");
	add_xml(m, value, len, "&quot;", "&#x27;");
	add_xml(m, value, len, "&#34;", "&#39;");
	add_base64_lines(m, value, len); /* last: many, which are not worth remembering */
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A line that the value is more than: others beside it, or blanks around it, which a shell takes away where nobody quotes. */
static void add_line(struct maker *m, const unsigned char *line, size_t len, size_t whole)
{
	while (len > 0 && is_blank(line[0])) {
		line++;
		len--;
	}
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	if (len >= m->min && len < whole)
		add_forms(m, line, len);
}

void redact_forms(const unsigned char *value, size_t len, size_t min, redact_form_fn *fn, void *arg)
{
	size_t room = len * MOST_FOR_ONE + 1;
	struct maker m = {.form = xmalloc(room), .min = min, .fn = fn, .arg = arg};
	add_forms(&m, value, len);
	for (size_t at = 0; at < len;) {
		const unsigned char *end = memchr(value + at, '\n', len - at);
		size_t n = end ? (size_t)(end - value) - at : len - at;
		add_line(&m, value + at, n, len);
		at += n + 1;
	}
	sodium_memzero(m.form, room);
	free(m.form);
	sodium_memzero(&m, sizeof(m));
}
