/*
 * sim: tells stories of the core, one for each seed, and checks the promises after every step.
 *   sim --seeds N [--from SEED]   N stories; exit 1 at the first that breaks a promise
 *   sim --seed SEED               one story, told in full
 */
#include "tests/sim/world.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static int one(uint64_t seed)
{
	struct world w;
	const char *broken = world_run(&w, seed, true);

	printf("seed %llu: %s\n", (unsigned long long)seed, broken ? broken : "every promise held");
	return broken != NULL;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"seeds", required_argument, NULL, 'n'},
	                                      {"from", required_argument, NULL, 'f'},
	                                      {"seed", required_argument, NULL, 's'},
	                                      {NULL, 0, NULL, 0}};
	uint64_t n = 10000, from = 1;
	long steps = 0, crashes = 0;

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == 's')
			return one(strtoull(optarg, NULL, 10));
		if (c != 'n' && c != 'f') {
			fprintf(stderr, "usage: sim [--seeds N] [--from SEED] | --seed SEED\n");
			return 2;
		}
		*(c == 'n' ? &n : &from) = strtoull(optarg, NULL, 10);
	}
	for (uint64_t seed = from; seed < from + n; seed++) {
		struct world w;
		const char *broken = world_run(&w, seed, false);
		steps += w.steps;
		crashes += w.crashes;
		if (!broken)
			continue;
		printf("not ok - seed %llu: %s (%s); `sim --seed %llu` tells its story\n", (unsigned long long)seed, broken,
		       w.violated >= 0 ? w.a[w.violated].id : "-", (unsigned long long)seed);
		return 1;
	}
	printf("ok - %llu seeds, %ld steps, %ld crashes, every promise held\n", (unsigned long long)n, steps, crashes);
	return 0;
}
