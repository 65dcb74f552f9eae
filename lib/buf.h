/*
 * A growing byte buffer. Life: BUF_INIT (or zeroed) -> any number of appends -> buf_free, after which it is
 * empty and may be used again. The bytes are always followed by a NUL that is not counted, so `data` may be
 * used as a string (an empty buffer's data is ""). Running out of memory ends the program: no caller could
 * do better.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len;
	size_t cap; /* 0: data is not owned */
};

extern char buf_empty_[1];
#define BUF_INIT \
	{ \
		buf_empty_, 0, 0 \
	}

void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Makes room for `len` more bytes and returns where they go; buf_grew() then counts what was written there. */
char *buf_room(struct buf *b, size_t len);
void buf_grew(struct buf *b, size_t len);

/* Removes the first `len` bytes (at most all). */
void buf_drop(struct buf *b, size_t len);

/* Forgets the content and keeps the memory. */
void buf_reset(struct buf *b);

/* Takes the bytes out as a NUL-terminated string that the caller frees; the buffer is empty afterwards. */
char *buf_steal(struct buf *b);

void buf_free(struct buf *b);
#define cleanup_buf __attribute__((cleanup(buf_free)))

/* Allocation that ends the program instead of failing. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
