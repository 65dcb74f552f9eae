#include "dispatcher/core/proposals.h"

#include "lib/buf.h"
#include <stdlib.h>
#include <string.h>

void proposals_init(struct proposals *p, int max_pending, int capacity)
{
	*p = (struct proposals){.max_pending = max_pending, .capacity = capacity, .asking_ms = PROPOSAL_ASKING_MS};
	TAILQ_INIT(&p->places);
}

static void take_out(struct proposals *p, struct proposal_place *place)
{
	TAILQ_REMOVE(&p->places, place, link);
	free(place);
}

void proposals_clear(struct proposals *p)
{
	while (!TAILQ_EMPTY(&p->places))
		take_out(p, TAILQ_FIRST(&p->places));
}

static struct proposal_place *find(const struct proposals *p, const char *id)
{
	struct proposal_place *place;

	TAILQ_FOREACH (place, &p->places, link)
		if (strcmp(place->id, id) == 0)
			return place;
	return NULL;
}

int proposals_count(const struct proposals *p)
{
	const struct proposal_place *place;
	int n = p->pending;

	TAILQ_FOREACH (place, &p->places, link)
		n += !place->landed;
	return n;
}

int proposals_slots(const struct proposals *p)
{
	const struct proposal_place *place;
	int n = 0;

	TAILQ_FOREACH (place, &p->places, link)
		n += place->slot;
	return n;
}

enum proposal_reserve proposals_reserve(struct proposals *p, const char *id, int64_t ask, bool known, int busy, int64_t now_ms,
                                        bool *ret_slot)
{
	if (!known && proposals_count(p) >= p->max_pending)
		return PROPOSAL_FULL;
	if (find(p, id))
		return PROPOSAL_TAKEN;
	struct proposal_place *place = xcalloc(1, sizeof *place);
	memcpy(place->id, id, strlen(id) + 1);
	place->ask = ask;
	place->deadline_ms = now_ms + p->asking_ms;
	place->slot = busy + proposals_slots(p) < p->capacity;
	*ret_slot = place->slot;
	TAILQ_INSERT_TAIL(&p->places, place, link);
	return PROPOSAL_RESERVED;
}

bool proposals_answered(struct proposals *p, int64_t ask, bool landed, int64_t now_ms)
{
	struct proposal_place *place;

	TAILQ_FOREACH (place, &p->places, link)
		if (place->ask == ask && !place->landed)
			break;
	if (!place)
		return false;
	place->landed = landed && place->slot;
	place->deadline_ms = now_ms + PROPOSAL_LANDED_MS;
	if (!place->landed)
		take_out(p, place);
	return true;
}

void proposals_seen(struct proposals *p, const char *id)
{
	struct proposal_place *place = find(p, id);

	if (place && place->landed)
		take_out(p, place);
	else if (place)
		place->slot = false; /* its run has one of its own; git's answer is still to come */
}

int proposals_expire(struct proposals *p, bool all, int64_t now_ms, int64_t *ret)
{
	struct proposal_place *place;

	TAILQ_FOREACH (place, &p->places, link)
		if (place->deadline_ms <= now_ms || (all && !place->landed))
			break;
	if (!place)
		return 0;
	*ret = place->landed ? -1 : place->ask;
	take_out(p, place);
	return 1;
}

int64_t proposals_next_ms(const struct proposals *p)
{
	const struct proposal_place *place;
	int64_t next = -1;

	TAILQ_FOREACH (place, &p->places, link)
		if (next < 0 || place->deadline_ms < next)
			next = place->deadline_ms;
	return next;
}
