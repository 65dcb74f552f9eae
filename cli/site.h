/*
 * A site in the making (init).
 */
#ifndef CLI_SITE_H
#define CLI_SITE_H

#include "lib/err.h"
#include <stdbool.h>
#include <stddef.h>

struct site {
	char *dir;     /* as the user named it */
	char *ops_url; /* NULL: ops.git is made */
	const char *branch;
	char *token_file;         /* or NULL */
	const char *runner_image; /* or NULL */
	const char *forge_url;    /* or NULL: approval is what lands */
	const char *approver;     /* with a forge: whose reviews count */
	char *forge_token_file;   /* with a forge */
	char *policy;             /* text of vault/policy.yaml */
	char *identity;           /* guarded memory */
	size_t identity_len;
	char *recipient;
	bool setup_branch; /* the server wanted a review of the skeleton */
};

/* skeleton.c: what vault/ needs. */

/* Makes a bare repository that holds it. */
int site_make_repo(const struct site *s, const char *path, struct err *err);
/* Lets the group of a separated dispatcher's git role write in it too (docs/security.md), where that lets in nobody else. */
int site_share_repo(const char *path, struct err *err);
/*
 * Adds to the repository at ops_url what is missing, and our recipient: on its branch or, where the server won't have that, on a branch
 * for review (setup_branch).
 */
int site_use_repo(struct site *s, struct err *err);

#endif
