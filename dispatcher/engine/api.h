/*
 * Calls of the Docker Engine API, on one kept-alive connection. A client belongs to one thread.
 */
#ifndef DISPATCHER_ENGINE_API_H
#define DISPATCHER_ENGINE_API_H

#include "lib/docker.h"
#include "lib/err.h"
#include "lib/http.h"
#include <jansson.h>
#include <stdbool.h>

#define API_CONNECT_MS 10000
#define API_CALL_MS 60000

struct api {
	struct http_client *http;
	char prefix[DOCKER_PREFIX_SIZE]; /* of every path */
	int call_ms;                     /* deadline of one call; API_CALL_MS after api_open */
};

/* A deadline, which tests shorten (DISINTO_TEST_ENGINE_MS, where the program is built for them). */
int api_patience(int ms);

void api_open(struct api *a, const char *socket_path, const char *prefix);
void api_close(struct api *a);
#define cleanup_api __attribute__((cleanup(api_close)))

/*
 * One call with a deadline of call_ms. `ret` (may be NULL) gets the answer's JSON (NULL when there is none); caller owns.
 * Statuses: 2xx and 304 are success; 404 ERR_NOT_FOUND, 409 ERR_EXISTS, all others ERR_FAIL, with the engine's own words as the message.
 * Nobody answered: ERR_UNREACHABLE, ERR_TIMEOUT.
 */
int api_get(struct api *a, json_t **ret, struct err *err, const char *path, ...) __attribute__((format(printf, 4, 5)));
int api_post(struct api *a, const json_t *body, json_t **ret, struct err *err, const char *path, ...) __attribute__((format(printf, 5, 6)));
int api_delete(struct api *a, struct err *err, const char *path, ...) __attribute__((format(printf, 3, 4)));

/* The same for any request: `path` without prefix; fills in what is not set. Body of a success is in `ret`. */
int api_send(struct api *a, struct http_request *req, struct http_response *ret, struct err *err);

/* May this string stand in a path as a container's, volume's or network's name? */
bool api_is_name(const char *s);

/* {"key": ["value", …]} percent-encoded, for `filters=`. Takes the object; caller frees. */
char *api_filters(json_t *filters);

/*
 * Attaches to the standard input of a container that is not started yet: a connection that is a byte stream from then on,
 * non-blocking. Deadline API_CONNECT_MS.
 */
int api_attach_stdin(const char *socket_path, const char *prefix, const char *container, int *ret_fd, struct err *err);

/* Removes a container with its anonymous volumes. Absent, or on its way out, is success. */
int api_remove(struct api *a, const char *container, struct err *err);

#endif
