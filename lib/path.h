/* Paths as text: nothing here looks at a disk, and links are not followed. */
#ifndef LIB_PATH_H
#define LIB_PATH_H

#include <stdbool.h>

/* path.Clean of Go for absolute paths; relative ones are taken from "/". Caller frees. */
char *path_clean(const char *path);
/* Is `path` the folder `top` or anything below it? Both clean. */
bool path_is_in(const char *path, const char *top);
/* Is one of the components `..`? */
bool path_goes_up(const char *path);

#endif
