/*
 * The places of proposals that are under way. A place is reserved before anything waits, so that of many equal requests that come at once one
 * passes; it ends with the git role's answer, with that role, or at its deadline. Pure, like all of core.
 *
 *   asking   git was told, and has not answered
 *   landed   git landed it; the slot is kept until core sees the action itself
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

struct proposal_place {
	TAILQ_ENTRY(proposal_place) link;
	char id[VAULT_ID_MAX + 1];
	int64_t ask;
	int64_t deadline_ms; /* monotonic */
	bool slot;           /* one for a run is kept for it, should it be landed at once */
	bool landed;
};

struct proposals {
	int max_pending, capacity;
	int asking_ms;
	int pending; /* that stand on the server, as git said last */
	TAILQ_HEAD(, proposal_place) places;
};

void proposals_init(struct proposals *p, int max_pending, int capacity);
void proposals_clear(struct proposals *p);

enum proposal_reserve { PROPOSAL_RESERVED, PROPOSAL_FULL, PROPOSAL_TAKEN };
/*
 * Reserves the id, and a slot where there is one: `busy` are in use. `known`: a proposal of that id stands there already, and is one of those that are counted.
 * *ret_slot: it may be landed at once.
 */
enum proposal_reserve proposals_reserve(struct proposals *p, const char *id, int64_t ask, bool known, int busy, int64_t now_ms,
                                        bool *ret_slot);
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
