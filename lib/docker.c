#include "lib/docker.h"
#include <stdio.h>

#define WANTED_MINOR 41
#define MINOR_MAX 9999

void docker_prefix(const json_t *version, char ret[static DOCKER_PREFIX_SIZE])
{
	const char *min = json_string_value(json_object_get(version, "MinAPIVersion"));
	int major = 1, minor = 0;

	if (!min || sscanf(min, "%d.%d", &major, &minor) != 2 || major != 1 || minor < WANTED_MINOR || minor > MINOR_MAX)
		minor = WANTED_MINOR;
	snprintf(ret, DOCKER_PREFIX_SIZE, "/v1.%d", minor);
}
