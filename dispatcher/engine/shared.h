/*
 * What all task containers of one engine share, made where it is missing: the volume that holds disinto-runner, and the
 * network without inter-container traffic.
 */
#ifndef DISPATCHER_ENGINE_SHARED_H
#define DISPATCHER_ENGINE_SHARED_H

#include "dispatcher/engine/engine.h"

/*
 * After 0, engine->volume names a volume that holds the runner program, whole: it was read back and compared in this life. image_id:
 * any image of this engine; a container of it carries the program in and is never started.
 */
int shared_volume(struct engine *e, struct api *a, const char *image_id, struct err *err);

/* The id of the network for tasks; caller frees. */
int shared_network(struct engine *e, struct api *a, char **ret_id, struct err *err);

/*
 * The id of a network that the operator made and the configuration names; caller frees. ERR_FAIL: it is not there, or it is the host's own,
 * whatever name that goes by.
 */
int named_network(struct api *a, const char *name, char **ret_id, struct err *err);

/* A tar archive (POSIX ustar) of one program, 0555, owned by root. */
void shared_tar(const char *name, const void *data, size_t len, struct buf *ret);
/* Is the first regular file of a tar archive exactly this? */
bool shared_tar_holds(const struct buf *tar, const void *data, size_t len);

#endif
