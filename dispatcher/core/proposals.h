/*
 * The places of proposals that are under way. A place is reserved before anything waits, so that of many equal requests that come at once one
 * passes; it ends with the git role's answer, with that role, or at its deadline. Pure, like all of core.
 *
 *   asking   git was told, and has not answered
 *   landed   git landed it; the slot is kept until core sees the action itself
 *
 * A request that core refuses is asked about as well, since what git knows comes before core's reason (400 and 429 before 409 and 403). It reserves nothing.
 */
#ifndef DISPATCHER_CORE_PROPOSALS_H
#define DISPATCHER_CORE_PROPOSALS_H

#include "vault/name.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define PROPOSAL_ASKING_MS 60000 /* how long a client waits at most, unless somebody says otherwise */
#define PROPOSAL_LANDED_MS 60000 /* how long a landed action may take to be seen: another dispatcher may have taken it */
#define PROPOSAL_REFUSED_MS 3000 /* how long core's own reason waits for what may come before it */
#define PROPOSAL_REFUSED_MAX 64  /* that wait so at a time */

/* What there is room for: one more run, should policy let it land at once, and else one more that waits for approval. */
struct proposal_room {
	bool land, wait;
};

struct proposal_place {
	TAILQ_ENTRY(proposal_place) link;
	char id[VAULT_ID_MAX + 1];
	int64_t ask;
	int64_t deadline_ms; /* monotonic */
	bool slot;           /* one for a run is kept for it, should it be landed at once */
	bool waits;          /* it counts as one that waits for approval, should it not be */
	bool landed;
	bool refused; /* nothing is kept for it, not even its id, which is empty */
};

struct proposals {
	int max_pending, capacity;
	int asking_ms;
	int pending; /* that stand on the server, as git said last */
	TAILQ_HEAD(, proposal_place) places;
};

void proposals_init(struct proposals *p, int max_pending, int capacity);
void proposals_clear(struct proposals *p);

/* `busy` slots are in use. `known`: a proposal of that id stands there already, and is one of those that are counted. */
struct proposal_room proposals_room(const struct proposals *p, bool known, int busy);
/* Reserves the id, and what there is room for. False: another request has it. */
bool proposals_reserve(struct proposals *p, const char *id, int64_t ask, struct proposal_room room, int64_t now_ms);
bool proposals_has(const struct proposals *p, const char *id);
/* Asks about one that is refused. False: too many wait for that. */
bool proposals_refuse(struct proposals *p, int64_t ask, int64_t now_ms);
int proposals_count(const struct proposals *p); /* pending and asking */
int proposals_slots(const struct proposals *p); /* kept */

/* Git answered. False: nobody waits for that answer any more. */
bool proposals_answered(struct proposals *p, int64_t ask, bool landed, int64_t now_ms);
/* Core knows the action itself. */
void proposals_seen(struct proposals *p, const char *id);
/* Takes out one whose time is over, or (all) any that asks: 1, and *ret is the number of a client who waits, or -1; 0: there is none. */
int proposals_expire(struct proposals *p, bool all, int64_t now_ms, int64_t *ret);
int64_t proposals_next_ms(const struct proposals *p); /* -1: never */

#endif
