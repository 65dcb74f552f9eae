/* What the kernel counts of this container's memory. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_MAX 4096

/* cgroup v2 and v1, as engines mount them: the container's own group is the root of what it sees. */
static const char *const files[] = {"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"};
static const char counter[] = "oom_kill ";

/* The line "oom_kill N"; there are others that only begin so. */
static uint64_t read_counter(const char *state)
{
	for (const char *line = state; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, counter, strlen(counter)) == 0)
			return strtoull(line + strlen(counter), NULL, 10);
	return 0;
}

uint64_t memory_kills(void)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct buf state cleanup_buf = BUF_INIT;
		int fd cleanup_fd = open(files[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && fd_read_all(fd, STATE_MAX, &state, NULL) == 0)
			return read_counter(state.data);
	}
	return 0;
}
