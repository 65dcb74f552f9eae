#include "dispatcher/pulse.h"

#include <stdlib.h>

#define TURN_MS 2000
#define TURNS(seconds) ((seconds)*1000 / TURN_MS)

/* How long each may be silent: what it may rightly be busy with at one go, and as much again or a minute. */
static const int limits[N_ROLES] = {
    [ROLE_PARENT] = TURNS(10),  /* what core gets to leave once it was told to leave at once; the parent counts it under its own name */
    [ROLE_CORE] = TURNS(60),    /* it waits for nothing but the disk */
    [ROLE_GIT] = TURNS(360),    /* one request to the git server gets 300 s (lib/git_remote.c); it gives signs of life between them */
    [ROLE_KEYRING] = TURNS(30), /* 10 s for a runner that does not take its secrets, 10 s for core */
    [ROLE_ENGINE] = TURNS(30),  /* what waits for the engine has a thread of its own; the one that answers waits for core, 10 s */
    [ROLE_WEB] = TURNS(20),     /* it waits for nobody */
};

static int turn_ms(void)
{
#ifdef DISINTO_TEST
	const char *ms = getenv("DISINTO_TEST_TURN_MS");
	if (ms)
		return atoi(ms);
#endif
	return TURN_MS;
}

bool pulse_turn(struct pulse *p, int64_t now_ms)
{
	if (now_ms < p->next_ms)
		return false;
	p->next_ms = now_ms + turn_ms();
	return true;
}

void pulse_begin(struct pulse *p, enum role r)
{
	p->role[r].asked = 0;
	p->role[r].silent = 0;
}

void pulse_heard(struct pulse *p, enum role r)
{
	p->role[r].silent = 0;
}

bool pulse_missed(struct pulse *p, enum role r)
{
	return ++p->role[r].silent > limits[r];
}

int pulse_turns(int seconds)
{
	return TURNS(seconds);
}

int pulse_limit_s(enum role r)
{
	return limits[r] * turn_ms() / 1000;
}
