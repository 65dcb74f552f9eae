/* age headers: stanzas and their base64. See age_format.h. */
#include "vault/age/age_format.h"

#include "lib/cleanup.h"
#include <string.h>

#define BODY_COLUMNS 64

bool age_slice_is(struct age_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static bool begins_with(struct age_slice s, const char *prefix)
{
	return s.len >= strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

int age_base64_any(struct age_slice text, int variant, uint8_t *ret, size_t max, size_t *ret_len)
{
	for (size_t i = 0; i < text.len; i++) /* libsodium 1.0.18 takes any byte over 0x7f for '/' */
		if ((unsigned char)text.p[i] > 0x7f)
			return -1;
	return sodium_base642bin(ret, max, text.p, text.len, NULL, ret_len, NULL, variant);
}

int age_base64_decode(struct age_slice text, uint8_t *ret, size_t ret_len)
{
	size_t len = 0;
	if (age_base64_any(text, sodium_base64_VARIANT_ORIGINAL_NO_PADDING, ret, ret_len, &len) != 0)
		return -1;
	return len == ret_len ? 0 : -1;
}

int age_stanza_args(const struct age_stanza *s, struct age_slice *ret, size_t n)
{
	struct age_slice rest = s->args;
	size_t i = 0;
	while (rest.len > 0) {
		const char *space = memchr(rest.p, ' ', rest.len);
		size_t len = space ? (size_t)(space - rest.p) : rest.len;
		if (i == n)
			return -1;
		ret[i++] = (struct age_slice){rest.p, len};
		len += space ? 1 : 0;
		rest = (struct age_slice){rest.p + len, rest.len - len};
	}
	return i == n ? 0 : -1;
}

/* Takes the next line, without its newline, off the text. -1 when there is no newline any more. */
static int next_line(struct age_slice *rest, struct age_slice *ret)
{
	const char *end = memchr(rest->p, '\n', rest->len);
	if (!end)
		return -1;
	size_t len = (size_t)(end - rest->p);
	*ret = (struct age_slice){rest->p, len};
	*rest = (struct age_slice){end + 1, rest->len - len - 1};
	return 0;
}

/* "-> type arg arg…": visible ASCII, single spaces, no empty argument. */
static int parse_arguments(struct age_slice line, struct age_stanza *ret)
{
	struct age_slice args = {line.p + 3, line.len - 3};
	char before = ' ';
	for (size_t i = 0; i < args.len; i++) {
		char c = args.p[i];
		if ((c < 33 || c > 126) && !(c == ' ' && before != ' '))
			return -1;
		before = c;
	}
	if (before == ' ')
		return -1;
	const char *space = memchr(args.p, ' ', args.len);
	ret->type = (struct age_slice){args.p, space ? (size_t)(space - args.p) : args.len};
	size_t skip = ret->type.len + (space ? 1 : 0);
	ret->args = (struct age_slice){args.p + skip, args.len - skip};
	return 0;
}

/* Full lines of 64 columns, then a shorter one, which may be empty. */
static int parse_body(struct age_slice *rest, struct age_stanza *ret)
{
	struct age_slice line;
	do {
		uint8_t bytes[BODY_COLUMNS / 4 * 3];
		if (next_line(rest, &line) < 0 || line.len > BODY_COLUMNS || line.len % 4 == 1)
			return -1;
		size_t len = line.len * 3 / 4;
		if (age_base64_decode(line, bytes, len) < 0)
			return -1;
		for (size_t i = 0; i < len && ret->body_len + i < AGE_BODY_KEPT; i++)
			ret->body[ret->body_len + i] = bytes[i];
		ret->body_len += len;
	} while (line.len == BODY_COLUMNS);
	return 0;
}

static int parse_mac(struct age_slice line, struct age_slice whole, struct age_header *h)
{
	if (!begins_with(line, "--- "))
		return -1;
	h->mac_text = (struct age_slice){whole.p, (size_t)(line.p - whole.p) + 3};
	return age_base64_decode((struct age_slice){line.p + 4, line.len - 4}, h->mac, sizeof(h->mac));
}

static int parse_stanzas(struct age_slice whole, struct age_slice *rest, struct age_header *h, struct err *err)
{
	struct age_slice line;
	while (next_line(rest, &line) == 0) {
		if (begins_with(line, "---")) {
			if (parse_mac(line, whole, h) < 0)
				return err_set(err, ERR_INVALID, "age header: its last line is not \"--- \" and a MAC in base64");
			h->len = (size_t)(rest->p - whole.p);
			return 0;
		}
		struct age_stanza *s = &h->stanzas[h->n_stanzas];
		if (h->n_stanzas == AGE_STANZAS_MAX)
			return err_set(err, ERR_INVALID, "age header: has more than %d recipients", AGE_STANZAS_MAX);
		if (!begins_with(line, "-> ") || parse_arguments(line, s) < 0)
			return err_set(err, ERR_INVALID, "age header: recipient %zu does not begin with \"-> \" and arguments",
			               h->n_stanzas + 1);
		if (parse_body(rest, s) < 0)
			return err_set(err, ERR_INVALID, "age header: recipient %zu has a damaged body", h->n_stanzas + 1);
		h->n_stanzas++;
	}
	return err_set(err, ERR_INVALID, "age header: has no end (at most %d bytes); the file was cut off or is damaged", AGE_HEADER_MAX);
}

int age_header_parse(const unsigned char *file, size_t len, struct age_header *ret, struct err *err)
{
	struct age_header h cleanup_age_header = {.stanzas = xcalloc(AGE_STANZAS_MAX + 1, sizeof(*h.stanzas))};
	struct age_slice whole = {(const char *)file, len < AGE_HEADER_MAX ? len : AGE_HEADER_MAX};
	struct age_slice rest = whole;
	if (!begins_with(whole, AGE_VERSION_LINE))
		return err_set(err, ERR_INVALID, "age header: the file does not begin with \"age-encryption.org/v1\": it is no age file");
	rest.p += strlen(AGE_VERSION_LINE);
	rest.len -= strlen(AGE_VERSION_LINE);
	if (parse_stanzas(whole, &rest, &h, err) < 0)
		return -1;
	if (h.n_stanzas == 0)
		return err_set(err, ERR_INVALID, "age header: has no recipients");
	*ret = h;
	h.stanzas = NULL;
	return 0;
}

void age_header_free(struct age_header *h)
{
	free(h->stanzas);
	h->stanzas = NULL;
}

static void add_base64(struct buf *out, const uint8_t *data, size_t len)
{
	size_t room = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	sodium_bin2base64(buf_room(out, room), room, data, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	buf_grew(out, room - 1);
}

void age_header_add_stanza(struct buf *out, const char *type, const uint8_t *arg, size_t arg_len, const uint8_t *body, size_t body_len)
{
	buf_addf(out, "-> %s ", type);
	add_base64(out, arg, arg_len);
	buf_addc(out, '\n');
	add_base64(out, body, body_len);
	buf_addc(out, '\n');
}

void age_header_add_label(struct buf *out, const char *type, const char *arg)
{
	buf_addf(out, "-> %s %s\n\n", type, arg);
}

void age_header_add_mac(struct buf *out, const uint8_t mac[static 32])
{
	buf_addc(out, ' ');
	add_base64(out, mac, 32);
	buf_addc(out, '\n');
}
