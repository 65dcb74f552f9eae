/* Files that runs left behind: handed out to be kept, never to be shown. */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <string.h>
#include <sys/stat.h>

/* What a step wrote could be a page with a script in it: it must run nowhere, least of all in the dispatcher's own name. */
struct MHD_Response *web_artifact_response(struct request *q)
{
	struct stat st;
	cleanup_free char *disposition = xasprintf("attachment; filename=\"%s\"", q->artifact); /* its letters need no quoting */

	if (fstat(q->log_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	struct MHD_Response *r = MHD_create_response_from_fd64((uint64_t)st.st_size, q->log_fd);
	if (!r)
		return NULL;
	q->log_fd = -1; /* the response's now */
	MHD_add_response_header(r, "Content-Type", "application/octet-stream");
	MHD_add_response_header(r, "Content-Disposition", disposition);
	return r;
}
