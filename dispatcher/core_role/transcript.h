/*
 * What a run says while it runs: its log, on disk and as a running digest, the list of its steps, its outputs and artifacts.
 *
 * Begun again whenever the container is followed from its first byte; what is read again is what stands in the log file already, and is passed over. So nobody who reads it
 * at an offset notices, and if the container is gone, all that was ever read of it is kept.
 */
#ifndef DISPATCHER_TRANSCRIPT_H
#define DISPATCHER_TRANSCRIPT_H

#include "dispatcher/core/core.h"
#include "lib/err.h"
#include <jansson.h>

struct transcript;

/* Opens runs/<id>/log, cut to nothing unless the same container is read again, and removes what an earlier reading left of artifacts. Caller frees; `spool` is borrowed. */
int transcript_begin(int spool, const char *id, bool again, struct transcript **ret, struct err *err);
void transcript_free(struct transcript *t);

/* Appends text of the log. After a write that fails nothing more is kept, and the result says that its log is not whole. */
void transcript_log(struct transcript *t, const char *text, size_t len);
/* A `step` message: state "start" or "end". */
void transcript_step(struct transcript *t, const json_t *message);
/* An `output` message: the last value of a name counts. */
void transcript_output(struct transcript *t, const json_t *message);
/* One of the runner's artifact frames. */
void transcript_artifact(struct transcript *t, const json_t *frame);
/* The id of the step that runs, or NULL. */
const char *transcript_current_step(const struct transcript *t);
/* The steps that have ended, as a result lists them, or NULL. Borrowed. */
json_t *transcript_steps(const struct transcript *t);

/* At the end: nothing more is read. Log and artifacts are on disk. */
int transcript_sync(struct transcript *t, struct err *err);

/*
 * The text of vault/actions/<id>.result.json for a run whose outcome is decided. `t` may be NULL: no container ever ran. Caller frees.
 */
char *transcript_result(const struct run *r, struct transcript *t, const char *dispatcher_id);

#endif
