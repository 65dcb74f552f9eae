/*
 * An action as it is watched: its log copied as it grows, steps and reasons said as they come, a summary at its end.
 *
 * Life: WATCH_INIT with the members of the first group -> watch_begin -> watch_follow -> watch_summary -> watch_free.
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/api.h"
#include "cli/runs.h"
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define WATCH_TICK_MS 250

struct watch {
	const char *command; /* who speaks: "run" */
	const char *id;
	const struct config *config;
	const volatile sig_atomic_t *interrupted; /* set by a signal: no more; NULL: never */
	bool (*alone)(void *arg);                 /* whether nobody will answer any more; NULL: never */
	void *arg;
	struct follow follow;

	struct api api;  /* streams the log */
	struct api side; /* asks for the state meanwhile */
	int timer;
	json_t *row;            /* the last answer of GET /actions/{id}, or NULL */
	char *said;             /* what was last said about why it waits, or which step began */
	size_t n_steps;         /* how many steps were said to have ended */
	int64_t began_ms;       /* monotonic: when it was first seen to run; 0: not yet */
	int64_t answered_ms;    /* monotonic: when the dispatcher last answered */
	bool quiet_said, whole; /* that it does not answer was said; the log was read to its end */
};
#define WATCH_INIT \
	{ \
		.timer = -1 \
	}

int watch_begin(struct watch *w, struct err *err);
/* Reads the present state and says what is new in it. ERR_NOT_FOUND: the dispatcher knows no such action; ERR_DENIED: not for this token. */
int watch_ask(struct watch *w, struct err *err);
/*
 * The same for an action that may be new: waits for a dispatcher that is not up yet, WATCH_SILENCE_MS at most, and gives it the time of two polls, of which the second
 * has begun after this. ERR_NOT_FOUND: it looked, and there is none.
 */
int watch_find(struct watch *w, struct err *err);
/*
 * Follows until the action is finished, over restarts of the dispatcher; ends early, with 0, when interrupted or alone. -1: the token is not good for it, or the
 * dispatcher was silent for WATCH_SILENCE_MS.
 */
#define WATCH_SILENCE_MS 600000
int watch_follow(struct watch *w, struct err *err);
bool watch_finished(const struct watch *w);
/* "disinto: run: x succeeded (exit 0, 1.2 s)", its steps, and where it landed, on standard error. */
void watch_summary(struct watch *w, const json_t *result);
void watch_free(struct watch *w);
#define cleanup_watch __attribute__((cleanup(watch_free)))

#endif
