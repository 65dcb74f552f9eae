/*
 * What a task container is made of: compiled from an allow-list, and compared with what the engine made of it before it is started.
 */
#ifndef DISPATCHER_ENGINE_SPEC_H
#define DISPATCHER_ENGINE_SPEC_H

#include "dispatcher/engine/image.h"
#include "lib/err.h"
#include "vault/config/config.h"
#include "vault/formula.h"
#include <jansson.h>

#define TASK_NETWORK "disinto-tasks"
#define RUNNER_MOUNT "/disinto"
#define RUNNER_PROGRAM "disinto-runner"

/* Borrowed. */
struct spec_input {
	const struct formula *formula;
	const struct image *image;
	const char *dispatcher_id, *action_id, *claim;
	int attempt;
	const char *runner_volume;
	const char *network;  /* as HostConfig.NetworkMode */
	const json_t *mounts; /* [{source, target}]: from the dispatcher's own configuration */
	const struct config *config;
};

/* The body of POST /containers/create; caller owns. ERR_FAIL: a mount of the configuration can't be allowed. */
int spec_build(const struct spec_input *in, json_t **ret, struct err *err);

/* Is the container (GET /containers/{id}/json) what `want` asked for, and nothing more? ERR_FAIL names the first difference. */
int spec_check(const json_t *want, const json_t *inspect, struct err *err);

#endif
