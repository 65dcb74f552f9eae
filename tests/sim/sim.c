/*
 * sim: tells stories of the core, one for each seed, and checks the promises after every step.
 *   sim --seeds N [--from SEED] [--brief]   N stories; the first that breaks a promise is made small and told (--brief: only named), exit 1
 *   sim --seed SEED                         one story, told in full
 *   sim --many N                            N actions over 8 dispatchers, where only the git server fails: exactly N runs and results
 */
#include "lib/file.h"
#include "tests/sim/world.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static int one(uint64_t seed)
{
	static struct world w;
	const struct plan plan = {.seed = seed};
	const char *broken = world_run(&w, &plan, true);

	printf("seed %llu: %s\n", (unsigned long long)seed, broken ? broken : "every promise held");
	return broken != NULL;
}

static int many(int n)
{
	static struct world w;
	const struct plan plan = {.seed = 1, .actions = n, .dispatchers = 8, .steps = 8 * n, .server_faults_only = true};
	int64_t begun = now_mono_ms();
	const char *broken = world_run(&w, &plan, false);
	bool ok = !broken && w.results == n;

	printf("%s - %d actions over 8 dispatchers: %ld runs and %ld results, %ld steps, %.1f s%s%s\n", ok ? "ok" : "not ok", n, w.runs,
	       w.results, w.steps, (double)(now_mono_ms() - begun) / 1000, broken ? ": " : "", broken ? broken : "");
	return !ok;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"seeds", required_argument, NULL, 'n'}, {"from", required_argument, NULL, 'f'},
	                                      {"seed", required_argument, NULL, 's'},  {"many", required_argument, NULL, 'm'},
	                                      {"brief", no_argument, NULL, 'b'},       {NULL, 0, NULL, 0}};
	static struct world w;
	uint64_t n = 10000, from = 1;
	bool brief = false;
	long steps = 0, crashes = 0, faults = 0;
	int64_t begun = now_mono_ms();

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == 's')
			return one(strtoull(optarg, NULL, 10));
		if (c == 'm')
			return many(atoi(optarg));
		if (c == 'b') {
			brief = true;
			continue;
		}
		if (c != 'n' && c != 'f') {
			fprintf(stderr, "usage: sim [--seeds N] [--from SEED] [--brief] | --seed SEED | --many N\n");
			return 2;
		}
		*(c == 'n' ? &n : &from) = strtoull(optarg, NULL, 10);
	}
	for (uint64_t seed = from; seed < from + n; seed++) {
		const struct plan plan = {.seed = seed};
		const char *broken = world_run(&w, &plan, false);
		steps += w.steps;
		crashes += w.crashes;
		faults += w.n_faults;
		if (!broken)
			continue;
		printf("not ok - seed %llu: %s (a-%d); `sim --seed %llu` tells its whole story\n", (unsigned long long)seed, broken,
		       w.violated, (unsigned long long)seed);
		if (!brief)
			shrink(&plan);
		return 1;
	}
	printf("ok - %llu seeds, 0 violations: %ld steps, %ld faults, %ld crashes, %.1f s\n", (unsigned long long)n, steps, faults, crashes,
	       (double)(now_mono_ms() - begun) / 1000);
	return 0;
}
