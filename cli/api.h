/*
 * Client of the dispatcher's web role: of the one that listens on <spool>/api.sock, or, where DISINTO_URL is set, of the one there, with DISINTO_TOKEN
 * or the token in the file that DISINTO_TOKEN_FILE names. For the latter no configuration is needed.
 */
#ifndef CLI_API_H
#define CLI_API_H

#include "lib/err.h"
#include "lib/http.h"
#include "vault/config/config.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Life: API_INIT -> api_open -> calls -> api_close. */
struct api {
	struct http_client *http;
	char *socket;    /* NULL with DISINTO_URL */
	char *url;       /* of DISINTO_URL, or NULL */
	int patience_ms; /* how long a call may take; 0: a minute */
};
#define API_INIT \
	{ \
		NULL, NULL, NULL, 0 \
	}

/* DISINTO_URL, or NULL. */
const char *api_url(void);
/* Connects to nothing yet. ERR_INVALID and others: DISINTO_URL or the token's file is not good. */
int api_open(const struct config *config, struct api *ret, struct err *err);
void api_close(struct api *a);
#define cleanup_api __attribute__((cleanup(api_close)))

/* Whether a dispatcher answers. A socket that nobody listens on counts as none. */
bool api_answers(struct api *a);

/*
 * One call. 0: it was answered, with *ret_status and, where the body is JSON, *ret (else NULL; caller owns). -1: ERR_UNREACHABLE when no dispatcher
 * listens.
 */
int api_call(struct api *a, const char *method, const char *path, long *ret_status, json_t **ret, struct err *err);
/* POST with a JSON body, likewise. */
int api_post(struct api *a, const char *path, const json_t *body, long *ret_status, json_t **ret, struct err *err);
/* The same for what takes as long as it takes: ends with the answer, or when the dispatcher does. */
int api_wait(struct api *a, const char *method, const char *path, long *ret_status, json_t **ret, struct err *err);
/*
 * Adds to rows of /actions that are queued the reason why nothing starts, if there is one: rows speak of their own action only, what stops
 * all of them (no engine, no space) is in /status.
 */
void api_explain(struct api *a, json_t *rows);
void api_explain_one(struct api *a, json_t *row);
/* The member "error" of an answer, or the status as words. Borrowed from `body` or static. */
const char *api_error(long status, const json_t *body);

/*
 * Streams GET `path` (a log) into on_data. `wake_fd` and on_wake as in lib/http.h. *ret_status is the answer's; on_data sees a 200's body only.
 */
struct api_stream {
	int (*on_data)(const char *data, size_t len, void *arg);
	int (*on_wake)(void *arg);
	int wake_fd; /* -1: none */
	void *arg;
};
int api_stream(struct api *a, const char *path, const struct api_stream *stream, long *ret_status, struct err *err);

/* "no dispatcher listens …" for commands that need one. Returns -1. */
int api_none(const struct config *config, struct err *err);

/*
 * What commands begin with that only talk to a dispatcher: the configuration, as cli_site (cli.h) has it, and a dispatcher that answers. -1: there is none.
 */
struct args;
int api_begin(const struct args *args, struct config *config, struct api *ret, struct err *err);

#endif
