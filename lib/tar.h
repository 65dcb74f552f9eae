/*
 * Archives of regular files: POSIX ustar (IEEE Std 1003.1, pax), with a pax header for names that don't fit. Written and read as streams, so that a pipe will do.
 * What tar(1) makes of such an archive can be read back; what holds anything but regular files and folders can't.
 */
#ifndef LIB_TAR_H
#define LIB_TAR_H

#include "lib/buf.h"
#include "lib/err.h"
#include <stdint.h>

#define TAR_NAME_MAX 255

/* A file with the bytes given; mtime_s: seconds since 1970. The name is relative, without empty components, . and .. */
int tar_add(int out, const char *name, int64_t mtime_s, const void *data, size_t len, struct err *err);
/* A file with exactly `size` bytes of `in` from where it stands; one that ends early is filled up with NULs. */
int tar_add_fd(int out, const char *name, int64_t mtime_s, int in, uint64_t size, struct err *err);
/* What tells a whole archive from one that was cut off. */
int tar_end(int out, struct err *err);

struct tar_entry {
	char name[TAR_NAME_MAX + 1]; /* checked as above */
	uint64_t size;
	uint64_t left; /* bytes of it that were not read yet */
};

/* The next file; what was not read of the present one is skipped (zeroed before the first call). 1: there is one; 0: the archive ends here, whole. */
int tar_next(int in, struct tar_entry *e, struct err *err);
/* The present file's content: into a buffer, of at most max bytes (ERR_INVALID: it has more), or into a descriptor. */
int tar_read(int in, struct tar_entry *e, size_t max, struct buf *ret, struct err *err);
int tar_copy(int in, struct tar_entry *e, int out, struct err *err);

#endif
