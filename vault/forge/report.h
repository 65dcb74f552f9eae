/*
 * A result as it is told on a forge: a comment on the pull request that brought the action, and the status of the commit that landed it.
 */
#ifndef VAULT_REPORT_H
#define VAULT_REPORT_H

#include "lib/err.h"
#include <jansson.h>

/* All owned. */
struct report {
	char *commit;      /* that landed the action */
	char *marker;      /* in the comment, where nobody sees it */
	char *text;        /* of the comment */
	char *context;     /* of the status: one for each action, as one merge may land many */
	char *state;       /* "success", "failure", "error" */
	char *description; /* of the status: a line */
};
#define REPORT_INIT \
	{ \
		.commit = NULL \
	}

/* Of a result as it stands in its file. ERR_INVALID: it is none, or names no commit. */
int report_of(const json_t *result, struct report *ret, struct err *err);
void report_free(struct report *r);
#define cleanup_report __attribute__((cleanup(report_free)))

#endif
