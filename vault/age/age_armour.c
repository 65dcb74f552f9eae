/* age's strict ASCII armour: PEM (RFC 7468, strict) without headers. See age_format.h. */
#include "vault/age/age_format.h"

#include <string.h>

#define BEGIN_LINE "-----BEGIN AGE ENCRYPTED FILE-----"
#define END_LINE "-----END AGE ENCRYPTED FILE-----"
#define COLUMNS 64

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whitespace before and behind is no part of the armour. */
static struct age_slice trim(const unsigned char *file, size_t len)
{
	while (len > 0 && is_space(file[0])) {
		file++;
		len--;
	}
	while (len > 0 && is_space(file[len - 1]))
		len--;
	return (struct age_slice){(const char *)file, len};
}

bool age_is_armoured(const unsigned char *file, size_t len)
{
	struct age_slice text = trim(file, len);
	return text.len >= 5 && memcmp(text.p, "-----", 5) == 0;
}

/* Takes the next line off: ends with LF, CRLF, or the text. */
static struct age_slice next_line(struct age_slice *rest)
{
	const char *end = memchr(rest->p, '\n', rest->len);
	size_t len = end ? (size_t)(end - rest->p) : rest->len;
	struct age_slice line = {rest->p, len};
	len += end ? 1 : 0;
	*rest = (struct age_slice){rest->p + len, rest->len - len};
	if (end && line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return line;
}

static int decode_line(struct age_slice line, struct buf *ret)
{
	size_t len = 0;
	unsigned char bytes[COLUMNS / 4 * 3];
	if (line.len == 0 || line.len > COLUMNS)
		return -1;
	if (age_base64_any(line, sodium_base64_VARIANT_ORIGINAL, bytes, sizeof(bytes), &len) != 0)
		return -1;
	buf_add(ret, bytes, len);
	return 0;
}

int age_armour_decode(const unsigned char *file, size_t len, struct buf *ret, struct err *err)
{
	struct age_slice rest = trim(file, len);
	size_t number = 1, last = COLUMNS;
	if (!age_slice_is(next_line(&rest), BEGIN_LINE))
		return err_set(err, ERR_INVALID, "age armour: does not begin with the line \"" BEGIN_LINE "\"");
	while (rest.len > 0) {
		struct age_slice line = next_line(&rest);
		number++;
		if (age_slice_is(line, END_LINE)) {
			if (rest.len > 0)
				return err_set(err, ERR_INVALID, "age armour: there is something behind its end (line %zu)", number + 1);
			return 0;
		}
		if (last != COLUMNS || decode_line(line, ret) < 0)
			return err_set(err, ERR_INVALID, "age armour: line %zu is not base64 in lines of %d columns", number, COLUMNS);
		/* padding inside a full line ends the data as well */
		last = line.p[line.len - 1] == '=' ? 0 : line.len;
	}
	return err_set(err, ERR_INVALID, "age armour: the line \"" END_LINE "\" is missing: the file was cut off");
}
