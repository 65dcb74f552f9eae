/*
 * Which role hangs. Every turn core asks each role for a sign of life (PING) and gives the parent one of its own (ALIVE); a role that
 * is silent for too many turns is killed and replaced, which touches nothing that runs.
 *
 * What counts is turns of whoever watches, not time: where the whole dispatcher stood still (a suspended machine, SIGSTOP, a clock that
 * jumped), one turn passed, and everybody gets the rest of its turns to answer.
 *
 * Life of a role in it: pulse_begin for each new process, pulse_heard at each sign of life, pulse_missed once in each turn.
 */
#ifndef DISPATCHER_PULSE_H
#define DISPATCHER_PULSE_H

#include "dispatcher/dispatcher.h"
#include <stdint.h>

struct pulse {
	int64_t next_ms; /* monotonic: the next turn */
	json_int_t n;    /* the last PING's */
	struct {
		json_int_t asked; /* the PING that was not answered yet; 0: none */
		int silent;       /* turns */
	} role[N_ROLES];
};

/* Whether a turn has come; then the next one is a whole turn away, however late this one was. */
bool pulse_turn(struct pulse *p, int64_t now_ms);
void pulse_begin(struct pulse *p, enum role r);
void pulse_heard(struct pulse *p, enum role r);
/* Counts a turn of silence. True: one too many. */
bool pulse_missed(struct pulse *p, enum role r);
/* How many turns there are in so many seconds. */
int pulse_turns(int seconds);
/* How many seconds of silence that is. */
int pulse_limit_s(enum role r);

#endif
