/* The host keys that ssh accepts in a run: those of the dispatcher's own configuration, in a file that no step can change. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int known_hosts_take(struct runner *r, const json_t *text, struct err *err)
{
	if (!text)
		return 0;
	if (!json_is_string(text) || json_string_length(text) > KNOWN_HOSTS_MAX)
		return err_set(err, ERR_INVALID, "the task that the dispatcher sent holds known_hosts that are no text of %d bytes at most",
		               KNOWN_HOSTS_MAX);
	r->known_hosts = xstrdup(json_string_value(text));
	return 0;
}

int known_hosts_place(const struct runner *r, struct err *err)
{
	if (!r->known_hosts)
		return 0;
	int fd cleanup_fd = openat(r->secrets_fd, KNOWN_HOSTS_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_errno(err, errno, "make %s", KNOWN_HOSTS_FILE);
	if (fd_write_all(fd, r->known_hosts, strlen(r->known_hosts), err) < 0)
		return err_wrap(err, "write %s", KNOWN_HOSTS_FILE);
	return fchmod(fd, 0444) < 0 ? err_errno(err, errno, "set the mode of %s", KNOWN_HOSTS_FILE) : 0;
}
