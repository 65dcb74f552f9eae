/*
 * What is known of actions, from the dispatcher where one answers, and from the ops repo.
 */
#ifndef CLI_RUNS_H
#define CLI_RUNS_H

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/repo.h"
#include "lib/buf.h"
#include <sys/types.h>

/* run.c: the exit code of `disinto run` for a result, as docs/cli.md lists them. */
#define RUN_FAILED 125
#define RUN_REFUSED 126
#define RUN_UNKNOWN 127
#define RUN_ALREADY 128
#define RUN_HIGH 123 /* the action's own exit code was above 122 */
int run_exit_code(const json_t *result);

/* What the ops repo says of one action: its result, or NULL where there is none or it can't be read. Caller owns. */
json_t *runs_result(const struct repo *r, const struct ops_item *item);

/* The row of /actions as the ops repo alone can tell it. Caller owns. */
json_t *runs_row(const struct repo *r, const struct ops_item *item);

/* The files of an id, wherever they are, in the archive too. */
int runs_item(const struct repo *r, const char *id, struct ops_item *ret, bool *ret_archived, struct err *err);

/*
 * Adds the rows of repo and dispatcher together; one of the two is enough, but a dispatcher that is asked for by its address must answer.
 */
int runs_all(const struct config *config, json_t *rows, struct err *err);

/* All states that a row can have, with spaces between them. */
#define RUNS_STATES "running starting recording queued waiting pending finished"
/*
 * Adds {id, state} of what the dispatcher (asked for no longer than patience_ms) and the clone of the ops repo, as it is, know. Quick, and never an
 * error.
 */
void runs_known(const struct config *config, int patience_ms, json_t *rows);

/* "succeeded (exit 0, 1.2 s)" and the reason. */
void result_print(const json_t *result, FILE *to);

/* follow.c: copies a log as it grows. */
struct follow {
	int fd;          /* where to */
	bool safe;       /* escape what a terminal must not see */
	bool json;       /* each line as {"text": …} instead */
	struct buf line; /* json: that has not ended yet */
	struct safe_stream state;
	uint64_t written; /* bytes of the log that are out already: a log that is followed again begins anew */
	uint64_t skip;
};
int follow_data(const char *data, size_t len, void *follow);
void follow_end(struct follow *f);

/* own.c: a dispatcher for one action, as a child of ours. */
struct own_dispatcher {
	pid_t pid;  /* 0: none, or ended */
	int log_fd; /* what it said */
	int code;   /* its exit code once it ended; 128 and the signal's number */
};
#define OWN_INIT \
	{ \
		0, -1, 0 \
	}
/* `verbose`: it says what it says on our standard error. */
int own_start(const struct config *config, const char *id, bool verbose, struct own_dispatcher *ret, struct err *err);
/* Whether it has ended. */
bool own_ended(struct own_dispatcher *o);
/* TERM: it brings to its end what has ended, leaves running what runs. Then waits. */
void own_stop(struct own_dispatcher *o);
/* The last lines of what it said. Caller frees. */
char *own_words(const struct own_dispatcher *o);

#endif
