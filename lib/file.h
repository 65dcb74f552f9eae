/*
 * Files: whole reads with a bound, durable atomic writes.
 */
#ifndef LIB_FILE_H
#define LIB_FILE_H

#include "lib/buf.h"
#include "lib/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends the file's content. ERR_NOT_FOUND when absent; ERR_INVALID when larger than max bytes. dirfd as in openat(2). */
int file_read_at(int dirfd, const char *path, size_t max, struct buf *ret, struct err *err);
int file_read(const char *path, size_t max, struct buf *ret, struct err *err);
int fd_read_all(int fd, size_t max, struct buf *ret, struct err *err);

/* Writes all, over short writes and EINTR. */
int fd_write_all(int fd, const void *data, size_t len, struct err *err);

/*
 * Replaces `path` durably: temporary file beside it (O_EXCL, the given mode), write, fsync, rename, fsync of the folder.
 * After a return of 0 the new content survives power loss; after -1 the file is whole, and the old one unless only the last fsync failed.
 */
int file_write_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct err *err);
int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *err);

/* mkdir -p of every missing component, with the given mode. */
int dir_make(const char *path, mode_t mode, struct err *err);
/* Removes a tree without following links out of it. Absent is success. */
int dir_remove_at(int dirfd, const char *path, struct err *err);

/* `path` when absolute, else base joined with it. Caller frees. */
char *path_join(const char *base, const char *path);

/* Opens a secret file read-only and checks on the open descriptor: regular, owned by us or root, no access for group and others. */
int secret_open(const char *path, int *ret_fd, struct err *err);

/* Milliseconds: CLOCK_REALTIME since 1970, CLOCK_BOOTTIME since start of the machine. */
int64_t now_wall_ms(void);
int64_t now_mono_ms(void);
/* "2026-03-31T10:00:04Z" (RFC 3339, UTC, whole seconds) into buf of at least 21 bytes; returns buf. Outside of the years 1970 to 9999: their nearest second. */
char *time_format(int64_t wall_ms, char buf[static 21]);
/* What time_format wrote; -1: it did not write this. */
int64_t time_parse(const char *text);

#endif
