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
		n += place->waits && !place->landed;
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

struct proposal_room proposals_room(const struct proposals *p, bool known, int busy)
{
	return (struct proposal_room){.land = busy + proposals_slots(p) < p->capacity,
	                              .wait = known || proposals_count(p) < p->max_pending};
}

static struct proposal_place *add(struct proposals *p, int64_t ask, int64_t deadline_ms)
{
	struct proposal_place *place = xcalloc(1, sizeof *place);

	place->ask = ask;
	place->deadline_ms = deadline_ms;
	TAILQ_INSERT_TAIL(&p->places, place, link);
	return place;
}

bool proposals_has(const struct proposals *p, const char *id)
{
	return find(p, id) != NULL;
}

bool proposals_reserve(struct proposals *p, const char *id, int64_t ask, struct proposal_room room, int64_t now_ms)
{
	if (proposals_has(p, id))
		return false;
	struct proposal_place *place = add(p, ask, now_ms + p->asking_ms);
	memcpy(place->id, id, strlen(id) + 1);
	place->slot = room.land;
	place->waits = room.wait;
	return true;
}

bool proposals_refuse(struct proposals *p, int64_t ask, int64_t now_ms)
{
	const struct proposal_place *place;
	int n = 0;

	TAILQ_FOREACH (place, &p->places, link)
		n += place->refused;
	if (n >= PROPOSAL_REFUSED_MAX)
		return false;
	add(p, ask, now_ms + PROPOSAL_REFUSED_MS)->refused = true;
	return true;
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
