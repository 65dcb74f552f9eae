/*
 * Root without the right to override modes, as in the edge container: it acts as the owner of what it reads or fills.
 */
#ifndef CLI_OWNER_H
#define CLI_OWNER_H

#include "lib/err.h"

/* Until act_as_self(). Nothing happens where we are not root, or the file is root's, or is not there. */
int act_as_owner(const char *path, struct err *err);
void act_as_self(void);

/*
 * The path itself, or, where we can't read the file but could as its owner, the path of a copy that is ours: 0400, on a tmpfs, removed when the program ends. For what others
 * read later, ssh among them. NULL stays NULL; what can't be copied stays as it is, so that whoever reads it says why. Borrowed, for good.
 */
const char *owner_readable(const char *path);

/* As secret_open, as the owner where we can't read it but could as that. */
int owner_secret_open(const char *path, int *ret_fd, struct err *err);

#endif
