/* The two halves of a job (job.c): up to GO, and from there to the container's end. */
#ifndef DISPATCHER_ENGINE_JOB_H
#define DISPATCHER_ENGINE_JOB_H

#include "dispatcher/engine/engine.h"

/*
 * start.c: makes the container, brings its runner to ready, hands over the secrets and says GO. -1: nothing ran, and nothing will;
 * ERR_INVALID: it never can. `container` is set when there is one to remove.
 */
int job_start(struct job *j, struct err *err);

/* follow.c: tells core what the log says until the container has ended, then EXITED. Silent when the role ends. */
void job_follow(struct job *j);

/* FAILED or EXITED: the job is not in hand any more when core hears it. Takes the body. */
void job_say_last(struct job *j, json_t *body);

void job_free(struct job *j);

#endif
