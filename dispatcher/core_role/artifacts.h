/*
 * Files that came out of a run: runs/<id>/artifacts/<name> in the spool.
 *
 * They come as the runner's `artifact` frames (vault/frame.h), and stand in the container's log like everything else it says. So a log that is read again from
 * its first byte brings them again: artifacts_begin removes what an earlier reading left, whole or not, and what this reading
 * keeps is what the result lists.
 *
 * The runner is ours, but it shares its container with steps: names, sizes and digests are checked here once more, and bounds hold here.
 */
#ifndef DISPATCHER_ARTIFACTS_H
#define DISPATCHER_ARTIFACTS_H

#include "lib/err.h"
#include <jansson.h>

struct artifacts;

/* Empties runs/<id>/artifacts where it is there. Nothing is made before the first artifact comes. `spool` is borrowed. */
int artifacts_begin(int spool, const char *id, struct artifacts **ret, struct err *err);
void artifacts_free(struct artifacts *a);

/* One of the runner's artifact frames, in their order. A file that can't be written is left out. */
void artifacts_frame(struct artifacts *a, const json_t *frame);

/* Files and folder are on disk; one that lacks its end is none. */
int artifacts_sync(struct artifacts *a, struct err *err);

/* [{name, bytes, sha256}] of those that are whole, and [{name, reason}] of the others. Borrowed. */
const json_t *artifacts_kept(const struct artifacts *a);
const json_t *artifacts_left_out(const struct artifacts *a);

#endif
