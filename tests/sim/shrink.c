/* A failing story made small: fewer steps, dispatchers, actions and faults, as long as some promise is still broken. */
#include "lib/buf.h"
#include "tests/sim/world.h"

#include <stdio.h>

static bool fails(const struct plan *plan, struct world *w)
{
	return world_run(w, plan, false) != NULL;
}

static bool try(struct plan *best, struct plan candidate, struct world *w)
{
	if (!fails(&candidate, w))
		return false;
	*best = candidate;
	return true;
}

static void fewer_of(struct plan *best, struct world *w, int *part, struct plan *candidate, int least, int now)
{
	for (int n = least; n < now; n++) {
		*candidate = *best;
		*part = n;
		if (try(best, *candidate, w))
			return;
	}
}

/* Leaves faults out, many at once first. */
static void fewer_faults(struct plan *best, struct world *w, uint64_t skip[static SKIP_WORDS], long n_faults)
{
	long most = n_faults < SKIP_WORDS * 64 ? n_faults : SKIP_WORDS * 64;

	for (long size = most; size >= 1; size /= 2) {
		for (long from = 0; from < most; from += size) {
			uint64_t before[SKIP_WORDS];
			for (int k = 0; k < SKIP_WORDS; k++)
				before[k] = skip[k];
			for (long f = from; f < from + size && f < most; f++)
				skip[f / 64] |= 1ULL << (f % 64);
			if (fails(best, w))
				continue;
			for (int k = 0; k < SKIP_WORDS; k++)
				skip[k] = before[k];
		}
	}
}

void shrink(const struct plan *plan)
{
	uint64_t skip[SKIP_WORDS] = {0};
	struct plan best = *plan, candidate;
	static struct world w;

	best.skip = skip;
	if (!fails(&best, &w))
		return;
	for (int round = 0; round < 3; round++) {
		fails(&best, &w);
		fewer_of(&best, &w, &candidate.dispatchers, &candidate, 1, w.n_dispatchers);
		fails(&best, &w);
		fewer_of(&best, &w, &candidate.actions, &candidate, 1, w.n_actions);
		fails(&best, &w);
		fewer_faults(&best, &w, skip, w.n_faults);
		int now = best.steps ? best.steps : 300 + 150 * DISPATCHERS_MAX;
		for (int n = 16; n < now; n *= 2) {
			candidate = best;
			candidate.steps = n;
			if (try(&best, candidate, &w))
				break;
		}
	}
	fails(&best, &w);
	int left_out = 0;
	for (long f = 0; f < w.n_faults && f < SKIP_WORDS * 64; f++)
		left_out += (int)(skip[f / 64] >> (f % 64) & 1);
	printf("# the smallest story found: %d dispatchers at first, %d actions, %ld faults of %ld\n",
	       best.dispatchers ? best.dispatchers : w.n_dispatchers, best.actions ? best.actions : w.n_actions, w.n_faults - left_out,
	       w.n_faults);
	world_run(&w, &best, true);
}
