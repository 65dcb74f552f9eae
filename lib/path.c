/* Paths as text. */
#include "lib/path.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include <string.h>

char *path_clean(const char *path)
{
	cleanup_buf struct buf out = BUF_INIT;
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len == 2 && strncmp(path, "..", 2) == 0) {
			const char *slash = out.len ? strrchr(out.data, '/') : NULL;
			size_t keep = slash ? (size_t)(slash - out.data) : 0;
			cleanup_free char *rest = xstrdup(out.data);
			buf_reset(&out);
			buf_add(&out, rest, keep);
		} else if (len > 0 && !(len == 1 && *path == '.')) {
			buf_addc(&out, '/');
			buf_add(&out, path, len);
		}
		path += len;
		path += strspn(path, "/");
	}
	if (!out.len)
		buf_addc(&out, '/');
	return buf_steal(&out);
}

bool path_is_in(const char *path, const char *top)
{
	size_t len = strlen(top);
	if (strcmp(top, "/") == 0)
		return true;
	return strncmp(path, top, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

bool path_goes_up(const char *path)
{
	for (const char *at = strstr(path, ".."); at; at = strstr(at + 2, ".."))
		if ((at == path || at[-1] == '/') && (at[2] == '\0' || at[2] == '/'))
			return true;
	return false;
}
