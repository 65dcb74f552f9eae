/*
 * The Docker Engine API, as far as more than one of our programs has to agree about it.
 */
#ifndef LIB_DOCKER_H
#define LIB_DOCKER_H

#include <jansson.h>

#define DOCKER_PREFIX_SIZE 16

/*
 * What begins every path but that of /version: "/v1.41", the version that we are written for, or the oldest that this engine still has, where it dropped ours.
 * `version`: its answer to GET /version; NULL or without MinAPIVersion: ours.
 */
void docker_prefix(const json_t *version, char ret[static DOCKER_PREFIX_SIZE]);

#endif
