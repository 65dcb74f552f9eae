/* SSH's wire format and OpenSSH's armour. See ssh_wire.h. */
#include "vault/ssh/ssh_wire.h"

#include "lib/cleanup.h"
#include "vault/name.h"
#include <sodium.h>
#include <string.h>

#define COLUMNS 70
#define COLUMNS_MIN 4
#define COLUMNS_MAX 76 /* RFC 2045; nobody writes longer ones */
#define BASE64_CHARS CHARS_ALNUM "+/="

bool ssh_take_u32(struct ssh_slice *from, uint32_t *ret)
{
	const uint8_t *p = from->p;
	if (from->len < 4)
		return false;
	*ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	*from = (struct ssh_slice){p + 4, from->len - 4};
	return true;
}

bool ssh_take_string(struct ssh_slice *from, struct ssh_slice *ret)
{
	struct ssh_slice rest = *from;
	uint32_t len;
	if (!ssh_take_u32(&rest, &len) || len > rest.len)
		return false;
	*ret = (struct ssh_slice){rest.p, len};
	*from = (struct ssh_slice){rest.p + len, rest.len - len};
	return true;
}

bool ssh_take_text(struct ssh_slice *from, const char *text)
{
	struct ssh_slice rest = *from, s;
	if (!ssh_take_string(&rest, &s) || !ssh_slice_is(s, text))
		return false;
	*from = rest;
	return true;
}

bool ssh_take_bytes(struct ssh_slice *from, const void *bytes, size_t len)
{
	if (from->len < len || memcmp(from->p, bytes, len) != 0)
		return false;
	*from = (struct ssh_slice){from->p + len, from->len - len};
	return true;
}

bool ssh_slice_is(struct ssh_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

const char *ssh_shown_name(struct ssh_slice s, char buf[static 65])
{
	size_t len = s.len <= 64 ? s.len : 0;
	memcpy(buf, s.p, len);
	buf[len] = '\0';
	return strlen(buf) == s.len && vault_matches(buf, CHARS_ALNUM, CHARS_ALNUM ".@_-", 64) ? buf : "unknown";
}

void ssh_put_u32(struct buf *to, uint32_t value)
{
	const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
	buf_add(to, bytes, sizeof(bytes));
}

void ssh_put_string(struct buf *to, const void *data, size_t len)
{
	ssh_put_u32(to, (uint32_t)len);
	buf_add(to, data, len);
}

/* The line at *at, without its LF; *at moves behind it. */
static struct ssh_slice take_line(const char *text, size_t len, size_t *at)
{
	const char *p = text + *at;
	const char *end = memchr(p, '\n', len - *at);
	size_t n = end ? (size_t)(end - p) : len - *at;
	*at += n + (end ? 1 : 0);
	return (struct ssh_slice){(const uint8_t *)p, n};
}

static bool is_base64(struct ssh_slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!line.p[i] || !strchr(BASE64_CHARS, line.p[i]))
			return false;
	return true;
}

/* Checks the lines of the content and finds where it ends: at the line `end`, which must be the last. */
static int check_lines(const char *text, size_t len, size_t begin, const char *end, size_t *ret_end, struct err *err)
{
	size_t at = begin, columns = 0, number = 2;
	bool last = false;
	for (; at < len; number++) {
		size_t line_begins = at;
		struct ssh_slice line = take_line(text, len, &at);
		if (ssh_slice_is(line, end)) {
			*ret_end = line_begins;
			return at == len ? 0 : err_set(err, ERR_INVALID, "there is something behind its end (line %zu)", number + 1);
		}
		columns = columns ? columns : line.len;
		if (last || line.len == 0 || line.len > columns || line.len > COLUMNS_MAX || !is_base64(line))
			return err_set(err, ERR_INVALID, "line %zu is not base64 in lines of one length", number);
		last = line.len < columns || columns < COLUMNS_MIN;
	}
	return err_set(err, ERR_INVALID, "the line \"%s\" is missing: it was cut off", end);
}

int ssh_armour_decode(const char *text, size_t len, const char *label, uint8_t *ret, size_t *ret_len, struct err *err)
{
	cleanup_free char *first = xasprintf("-----BEGIN %s-----", label);
	cleanup_free char *last = xasprintf("-----END %s-----", label);
	size_t begin = 0, end = 0;
	const char *stop = NULL;

	if (!ssh_slice_is(take_line(text, len, &begin), first))
		return err_set(err, ERR_INVALID, "does not begin with the line \"%s\"", first);
	if (check_lines(text, len, begin, last, &end, err) < 0)
		return -1;
	if (sodium_base642bin(ret, (end - begin) / 4 * 3 + 3, text + begin, end - begin, "\n", ret_len, &stop,
	                      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    stop != text + end)
		return err_set(err, ERR_INVALID, "its base64 is damaged");
	return 0;
}

void ssh_armour_encode(struct buf *to, const char *label, const void *data, size_t len)
{
	size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	cleanup_free char *text = xmalloc(room);

	sodium_bin2base64(text, room, data, len, sodium_base64_VARIANT_ORIGINAL);
	buf_addf(to, "-----BEGIN %s-----\n", label);
	for (size_t i = 0; i < room - 1; i += COLUMNS)
		buf_addf(to, "%.*s\n", COLUMNS, text + i);
	buf_addf(to, "-----END %s-----\n", label);
	sodium_memzero(text, room); /* it may be a private key */
}
