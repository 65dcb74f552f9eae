/* Values of TOML. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/toml_reader.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool at(const struct toml_reader *r, const char *text)
{
	return strncmp(r->p, text, strlen(text)) == 0;
}

/* UTF-8 of a code point that is a character. */
static bool put_utf8(struct buf *out, unsigned long c)
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	if (c < 0x80) {
		buf_addc(out, (char)c);
	} else if (c < 0x800) {
		buf_addc(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_addc(out, (char)(0xe0 | c >> 12));
		} else {
			buf_addc(out, (char)(0xf0 | c >> 18));
			buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	if (c >= 0x80)
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	return true;
}

/* \uXXXX and \UXXXXXXXX; the reader stands behind the letter. */
static int unicode_escape(struct toml_reader *r, size_t digits, struct buf *out, struct err *err)
{
	char hex[9] = "";

	if (strspn(r->p, "0123456789abcdefABCDEF") < digits)
		return toml_fail(r, err, "a character's number has too few digits");
	memcpy(hex, r->p, digits);
	if (!put_utf8(out, strtoul(hex, NULL, 16)))
		return toml_fail(r, err, "there is no character of that number");
	r->p += digits;
	return 0;
}

/* The reader stands at the backslash. */
static int escape(struct toml_reader *r, bool multiline, struct buf *out, struct err *err)
{
	static const char letters[] = "btnfr\"\\", means[] = "\b\t\n\f\r\"\\";
	const char *letter, *blank = r->p + 1 + strspn(r->p + 1, " \t");

	if (multiline && *blank == '\n') { /* the rest of the line, and what the next one begins with */
		r->p = blank + strspn(blank, " \t\n");
		return 0;
	}
	letter = r->p[1] ? strchr(letters, r->p[1]) : NULL;
	r->p += 2;
	if (letter)
		buf_addc(out, means[letter - letters]);
	else if (r->p[-1] == 'u' || r->p[-1] == 'U')
		return unicode_escape(r, r->p[-1] == 'u' ? 4 : 8, out, err);
	else
		return toml_fail(r, err, "an escape that TOML does not know");
	return 0;
}

/* Up to two more quotes may stand right before the three that end a string of several lines. */
static bool ends_here(const struct toml_reader *r, const char *mark, size_t len)
{
	return strncmp(r->p, mark, len) == 0 && !(len == 3 && r->p[3] == mark[0]);
}

static int read_quoted(struct toml_reader *r, const char *mark, size_t len, struct buf *out, struct err *err)
{
	bool literal = mark[0] == '\'';

	while (!ends_here(r, mark, len)) {
		if (r->p >= r->end || (len == 1 && *r->p == '\n'))
			return toml_fail(r, err, "a string does not end");
		if (*r->p == '\\' && !literal) {
			if (escape(r, len == 3, out, err) < 0)
				return -1;
		} else {
			buf_addc(out, *r->p++);
		}
	}
	r->p += len;
	return 0;
}

char *toml_quoted(struct toml_reader *r, bool multiline, struct err *err)
{
	const char mark[] = {*r->p, *r->p, *r->p, '\0'};
	bool three = multiline && at(r, mark);
	cleanup_buf struct buf out = BUF_INIT;

	r->p += three ? 3 : 1;
	if (three && *r->p == '\n')
		r->p++;
	return read_quoted(r, mark, three ? 3 : 1, &out, err) < 0 ? NULL : buf_steal(&out);
}

static json_t *read_string(struct toml_reader *r, struct err *err)
{
	cleanup_free char *text = toml_quoted(r, true, err);

	return text ? json_string(text) : NULL;
}

static json_t *read_array(struct toml_reader *r, struct err *err)
{
	cleanup_json json_t *array = json_array();

	r->p++;
	for (toml_skip(r, true); *r->p != ']'; toml_skip(r, true)) {
		json_t *item = toml_value(r, err);

		if (!item)
			return NULL;
		json_array_append_new(array, item);
		toml_skip(r, true);
		if (*r->p == ',') {
			r->p++;
		} else if (*r->p != ']') {
			toml_fail(r, err, "a list wants , or ]");
			return NULL;
		}
	}
	r->p++;
	return steal_ptr(&array);
}

static json_t *read_inline_table(struct toml_reader *r, struct err *err)
{
	cleanup_json json_t *table = json_object();

	r->p++;
	toml_skip(r, false);
	while (*r->p != '}' || json_object_size(table) > 0) {
		if (toml_pair(r, table, err) < 0)
			return NULL;
		toml_skip(r, false);
		if (*r->p == '}')
			break;
		if (*r->p++ != ',') {
			toml_fail(r, err, "a table in one line wants , or }");
			return NULL;
		}
		toml_skip(r, false);
	}
	r->p++;
	return steal_ptr(&table);
}

/* Digits with single underscores between them; those are left out of `ret`. */
static bool digits_of(const char *s, const char *digits, struct buf *ret)
{
	for (size_t i = 0; s[i]; i++) {
		if (s[i] == '_' && i > 0 && s[i - 1] != '_' && s[i + 1])
			continue;
		if (!strchr(digits, s[i]))
			return false;
		buf_addc(ret, s[i]);
	}
	return ret->len > 0;
}

static json_t *integer(const char *digits, int base, bool negative)
{
	unsigned long long n;

	errno = 0;
	n = strtoull(digits, NULL, base);
	if (errno || n > (unsigned long long)INT64_MAX + negative)
		return NULL;
	return json_integer(negative ? -(json_int_t)(n - (n > INT64_MAX)) - (n > INT64_MAX) : (json_int_t)n);
}

static json_t *read_based(const char *s)
{
	static const struct {
		char letter;
		int base;
		const char *digits;
	} bases[] = {{'x', 16, "0123456789abcdefABCDEF"}, {'o', 8, "01234567"}, {'b', 2, "01"}};
	cleanup_buf struct buf digits = BUF_INIT;

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		if (s[0] == '0' && s[1] == bases[i].letter && digits_of(s + 2, bases[i].digits, &digits))
			return integer(digits.data, bases[i].base, false);
	return NULL;
}

/* [+-]digits[.digits][e[+-]digits], without a zero in front. */
static json_t *read_decimal(const char *s)
{
	cleanup_buf struct buf plain = BUF_INIT;
	bool negative = *s == '-';
	const char *number = s + (*s == '-' || *s == '+');
	size_t whole = strspn(number, "0123456789_");
	cleanup_free char *front = xasprintf("%.*s", (int)whole, number);
	char *end;
	double value;

	if (!digits_of(front, "0123456789", &plain) || (plain.len > 1 && plain.data[0] == '0'))
		return NULL;
	if (!number[whole])
		return integer(plain.data, 10, negative);
	buf_reset(&plain);
	for (const char *p = s; *p; p++)
		if (*p != '_')
			buf_addc(&plain, *p);
	if (strspn(plain.data, "+-0123456789.eE") != plain.len || !isdigit((unsigned char)plain.data[plain.len - 1]) ||
	    (number[whole] == '.' && !isdigit((unsigned char)number[whole + 1])))
		return NULL;
	value = strtod(plain.data, &end);
	return *end ? NULL : json_real(value);
}

/* Four digits and a minus, or two and a colon. */
static bool is_date(const char *s)
{
	return (strspn(s, "0123456789") == 4 && s[4] == '-') || (strspn(s, "0123456789") == 2 && s[2] == ':');
}

static json_t *read_word(struct toml_reader *r, struct err *err)
{
	size_t len = strcspn(r->p, " \t\n,]}#=");
	json_t *value;

	if (is_date(r->p) && r->p[len] == ' ' && is_date(r->p + len + 1))
		len += 1 + strcspn(r->p + len + 1, " \t\n,]}#=");
	cleanup_free char *word = xasprintf("%.*s", (int)len, r->p);
	if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
		value = json_boolean(word[0] == 't');
	else if (is_date(word))
		value = json_string(word);
	else
		value = strspn(word, "0xob") >= 2 && word[1] != '0' ? read_based(word) : read_decimal(word);
	if (!value)
		toml_fail(r, err, len ? "what stands there is no value" : "a value is missing");
	r->p += len;
	return value;
}

json_t *toml_value(struct toml_reader *r, struct err *err)
{
	json_t *value;

	if (r->depth >= r->max_depth) {
		toml_fail(r, err, "nested too deep");
		return NULL;
	}
	r->depth++;
	if (*r->p == '"' || *r->p == '\'')
		value = read_string(r, err);
	else if (*r->p == '[')
		value = read_array(r, err);
	else if (*r->p == '{')
		value = read_inline_table(r, err);
	else
		value = read_word(r, err);
	r->depth--;
	return value;
}
