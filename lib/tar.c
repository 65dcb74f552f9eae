#include "lib/tar.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512u
#define PAX_MAX 4096u
#define PIECE 65536u

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6], version[2], uname[32], gname[32],
	    devmajor[8], devminor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

static bool good_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > TAR_NAME_MAX)
		return false;
	for (const char *part = name;; part++) {
		size_t n = strcspn(part, "/");
		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += n;
		if (!*part)
			return true;
	}
}

static unsigned checksum(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	unsigned sum = 8 * ' ';

	for (size_t i = 0; i < BLOCK; i++)
		if (i < offsetof(struct header, sum) || i >= offsetof(struct header, sum) + sizeof h->sum)
			sum += p[i];
	return sum;
}

static int add_header(int out, char type, const char *name, int64_t mtime_s, uint64_t size, struct err *err)
{
	struct header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};
	size_t len = strlen(name);

	if (size > 077777777777)
		return err_set(err, ERR_INVALID, "%s: is too large for an archive (8 GiB)", name);
	memcpy(h.name, name, len < sizeof h.name ? len : sizeof h.name);
	snprintf(h.mode, sizeof h.mode, "%07o", 0600);
	snprintf(h.uid, sizeof h.uid, "%07o", 0);
	snprintf(h.gid, sizeof h.gid, "%07o", 0);
	snprintf(h.size, sizeof h.size, "%011llo", (unsigned long long)size);
	snprintf(h.mtime, sizeof h.mtime, "%011llo", (unsigned long long)(mtime_s > 0 ? mtime_s : 0) & 077777777777);
	snprintf(h.sum, sizeof h.sum, "%06o", checksum(&h));
	h.sum[7] = ' ';
	return fd_write_all(out, &h, sizeof h, err);
}

/* "LENGTH path=NAME\n", where LENGTH counts itself. */
static int add_pax(int out, const char *name, struct err *err)
{
	static const char zeros[BLOCK];
	size_t rest = strlen(" path=\n") + strlen(name);
	size_t len = rest + (rest + 2 > 99 ? 3 : 2);
	cleanup_free char *record = xasprintf("%zu path=%s\n", len, name);

	if (add_header(out, 'x', "path", 0, len, err) < 0 || fd_write_all(out, record, len, err) < 0)
		return -1;
	return fd_write_all(out, zeros, (BLOCK - len % BLOCK) % BLOCK, err);
}

static int begin(int out, const char *name, int64_t mtime_s, uint64_t size, struct err *err)
{
	if (!good_name(name))
		return err_set(err, ERR_INVALID, "'%s': can't be the name of a file in an archive", name);
	if (strlen(name) > sizeof((struct header *)0)->name && add_pax(out, name, err) < 0)
		return -1;
	return add_header(out, '0', name, mtime_s, size, err);
}

static int zeros_to(int out, uint64_t n, struct err *err)
{
	static const char zeros[PIECE];

	for (uint64_t piece; n > 0; n -= piece) {
		piece = n < sizeof zeros ? n : sizeof zeros;
		if (fd_write_all(out, zeros, piece, err) < 0)
			return -1;
	}
	return 0;
}

static uint64_t padding(uint64_t size)
{
	return (BLOCK - size % BLOCK) % BLOCK;
}

int tar_add(int out, const char *name, int64_t mtime_s, const void *data, size_t len, struct err *err)
{
	if (begin(out, name, mtime_s, len, err) < 0 || fd_write_all(out, data, len, err) < 0)
		return -1;
	return zeros_to(out, padding(len), err);
}

int tar_add_fd(int out, const char *name, int64_t mtime_s, int in, uint64_t size, struct err *err)
{
	char piece[PIECE];
	uint64_t left = size;

	if (begin(out, name, mtime_s, size, err) < 0)
		return -1;
	while (left > 0) {
		ssize_t n = read(in, piece, left < sizeof piece ? left : sizeof piece);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "%s", name);
		if (n == 0)
			break;
		if (fd_write_all(out, piece, (size_t)n, err) < 0)
			return -1;
		left -= (uint64_t)n;
	}
	return zeros_to(out, left + padding(size), err);
}

int tar_end(int out, struct err *err)
{
	return zeros_to(out, (uint64_t)2 * BLOCK, err);
}

static int read_all(int in, void *to, size_t len, struct err *err)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(in, (char *)to + got, len - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "archive");
		if (n == 0)
			return err_set(err, ERR_INVALID, "archive: is cut off");
		got += (size_t)n;
	}
	return 0;
}

/* To `out`, to a buffer, or nowhere; with the padding behind the last byte. */
static int consume(int in, struct tar_entry *e, int out, struct buf *ret, struct err *err)
{
	char piece[PIECE];

	while (e->left > 0) {
		size_t n = e->left < sizeof piece ? (size_t)e->left : sizeof piece;
		if (read_all(in, piece, n, err) < 0)
			return -1;
		if (ret)
			buf_add(ret, piece, n);
		if (out >= 0 && fd_write_all(out, piece, n, err) < 0)
			return -1;
		e->left -= n;
	}
	size_t pad = (size_t)padding(e->size);
	e->size = 0;
	return read_all(in, piece, pad, err);
}

/* An octal number that fills its field or ends with a blank or NUL. */
static int octal(const char *field, size_t len, uint64_t *ret, struct err *err)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	if (i == 0 || (i < len && field[i] != ' ' && field[i] != '\0'))
		return err_set(err, ERR_INVALID, "archive: a header holds what is no number");
	*ret = value;
	return 0;
}

/* 0: the archive's end. */
static int read_header(int in, struct header *h, uint64_t *ret_size, struct err *err)
{
	static const char zeros[BLOCK];
	uint64_t sum;

	if (read_all(in, h, BLOCK, err) < 0)
		return -1;
	if (memcmp(h, zeros, BLOCK) == 0)
		return 0;
	if (memcmp(h->magic, "ustar", 5) != 0)
		return err_set(err, ERR_INVALID, "archive: is none that `disinto backup` has written");
	if (octal(h->sum, sizeof h->sum, &sum, err) < 0 || octal(h->size, sizeof h->size, ret_size, err) < 0)
		return -1;
	return sum == checksum(h) ? 1 : err_set(err, ERR_INVALID, "archive: is damaged");
}

/* The name in a pax header, which is all that is looked at. */
static int read_pax(int in, uint64_t size, struct buf *ret, struct err *err)
{
	struct tar_entry e = {.size = size, .left = size};
	cleanup_buf struct buf text = BUF_INIT;

	if (size > PAX_MAX)
		return err_set(err, ERR_INVALID, "archive: a header is too large");
	if (consume(in, &e, -1, &text, err) < 0)
		return -1;
	for (size_t at = 0; at < text.len;) {
		char *end;
		errno = 0;
		unsigned long len = strtoul(text.data + at, &end, 10);
		size_t digits = (size_t)(end - (text.data + at));
		if (errno || digits == 0 || *end != ' ' || len < digits + 2 || len > text.len - at || text.data[at + len - 1] != '\n')
			return err_set(err, ERR_INVALID, "archive: a header is malformed");
		size_t body = len - digits - 2;
		if (body > 5 && strncmp(end + 1, "path=", 5) == 0) {
			buf_reset(ret);
			buf_add(ret, end + 6, body - 5);
		}
		at += len;
	}
	return 0;
}

static int take_name(struct tar_entry *e, const struct header *h, const struct buf *pax, struct err *err)
{
	cleanup_buf struct buf name = BUF_INIT;

	if (pax->len > 0) {
		buf_add(&name, pax->data, pax->len);
	} else {
		if (h->prefix[0] && memcmp(h->magic, "ustar", 6) == 0) { /* GNU's own format has other things there */
			buf_add(&name, h->prefix, strnlen(h->prefix, sizeof h->prefix));
			buf_adds(&name, "/");
		}
		buf_add(&name, h->name, strnlen(h->name, sizeof h->name));
	}
	if (h->type == '5' && name.len > 0 && name.data[name.len - 1] == '/')
		name.data[--name.len] = '\0';
	if (name.len == 0 || strlen(name.data) != name.len || !good_name(name.data))
		return err_set(err, ERR_INVALID, "archive: a file has a name that leads elsewhere");
	memcpy(e->name, name.data, name.len + 1);
	return 0;
}

int tar_next(int in, struct tar_entry *e, struct err *err)
{
	cleanup_buf struct buf pax = BUF_INIT;

	for (;;) {
		struct header h;
		uint64_t size;
		if (consume(in, e, -1, NULL, err) < 0)
			return -1;
		int rc = read_header(in, &h, &size, err);
		if (rc <= 0)
			return rc;
		if (h.type == 'x') {
			if (read_pax(in, size, &pax, err) < 0)
				return -1;
			continue;
		}
		if (h.type != '0' && h.type != '\0' && h.type != '5')
			return err_set(err, ERR_INVALID, "archive: holds something that is neither a file nor a folder");
		if (take_name(e, &h, &pax, err) < 0)
			return -1;
		buf_reset(&pax);
		e->size = e->left = size;
		if (h.type != '5')
			return 1;
	}
}

int tar_read(int in, struct tar_entry *e, size_t max, struct buf *ret, struct err *err)
{
	if (e->left > max)
		return err_set(err, ERR_INVALID, "archive: %s: is larger than %zu bytes", e->name, max);
	return consume(in, e, -1, ret, err);
}

int tar_copy(int in, struct tar_entry *e, int out, struct err *err)
{
	return consume(in, e, out, NULL, err);
}
