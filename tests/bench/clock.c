/*
 * Says when it was run, in ns of the monotonic clock, which all containers of a machine share; static, so that it is there at once.
 *
 *   clock            on standard output
 *   clock PROGRAM…   on standard error; then it becomes the program
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	dprintf(argc > 1 ? STDERR_FILENO : STDOUT_FILENO, "%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
	if (argc > 1)
		execv(argv[1], argv + 1);
	return argc > 1;
}
