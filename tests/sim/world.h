/*
 * A simulated world around the real core: the spool's disk, the git server, the Docker Engine with its containers, the other
 * roles with their messages in flight, the clock, and everything that can go wrong with them. One seed, one story.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "dispatcher/core/core.h"
#include <stdbool.h>
#include <stdint.h>

#define MAX_ACTIONS 6
#define MAX_QUEUE 256

/* What a container is doing. */
enum phase { C_NONE, C_MADE, C_READY, C_WENT, C_EXITED };
/* How far the engine role has come with it; forgotten when the role dies. */
enum attendance { E_NONE, E_STARTING, E_READY, E_PIPE, E_DELIVERED, E_GOING, E_FOLLOWING };

struct container {
	enum phase phase;
	bool stdin_open;  /* somebody may still say GO */
	bool has_report;  /* its runner got to say how it went */
	bool not_started; /* … namely that it never saw GO */
	bool succeeds;    /* how the steps will end */
	bool cancelled;   /* it was told to end after GO */
};

struct action_world {
	char id[16];
	bool landed, removed;
	struct container container;
	enum attendance attendance;
	bool pipe_written, pipe_dead;
	int went;               /* times that GO was passed */
	bool went_and_finished; /* the steps came to their end by themselves */
	bool vanished;          /* the container was removed, or its runner killed, by somebody else */
	bool halted;            /* core asked for its end */
	int results;            /* on the server */
	enum outcome outcome;   /* of that result */
	/* the disk */
	char *state;     /* state.json, NULL: none */
	int disk_result; /* outcome of result.json, -1: none */
};

enum { ENGINE, GIT, KEYRING };

/* A message in flight. */
struct mail {
	int what;   /* enum effect_kind towards a role, enum event_kind towards core */
	int action; /* -1: none */
	bool ok, refuse;
	bool role_engine, role_git, role_keyring;
	int journal; /* EV_JOURNALED */
	int life;    /* EV_ROLE_UP: which one of that role */
};
struct queue {
	struct mail v[MAX_QUEUE];
	int n;
};

struct world {
	uint64_t seed, rng;
	int64_t mono_ms, wall_ms;
	int n_actions, capacity;
	struct action_world a[MAX_ACTIONS];
	struct core *core;
	struct effects effects;
	struct queue to_role[3], to_core;
	int life[3];  /* of engine, git, keyring: how often it began */
	int known[3]; /* the life that core has a socket to; 0: none */
	bool docker_up, server_up, disk_full, faults;
	bool git_outbox[MAX_ACTIONS]; /* RECORD heard, not pushed */
	long steps, crashes;
	const char *violation; /* what was broken, NULL: nothing */
	int violated;          /* by which action */
	bool verbose;
};

/* One story from beginning to end. Returns the violated promise, or NULL. */
const char *world_run(struct world *w, uint64_t seed, bool verbose);

#endif
