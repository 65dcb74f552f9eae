/*
 * The forge (Forgejo, Gitea; API v1): which request brought a commit, and who approved exactly what it brought.
 *
 * Only what an approval needs is read, and nothing is believed beyond it: `merged_by` can come from an e-mail address that anybody may
 * write, so it proves nothing; an approving, official review of the head that was merged, by somebody on the list, does.
 */
#ifndef VAULT_FORGE_H
#define VAULT_FORGE_H

#include "lib/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forge;

struct forge_options {
	const char *url;        /* "https://forge.example", with a path if it lives under one; no final slash needed */
	const char *repo;       /* "owner/name" */
	const char *token_file; /* read at each use, so that it can be rotated; or NULL */
	const char *ca_file;    /* or NULL */
};

/* Copies all. ERR_INVALID: repo is no owner/name. */
int forge_new(const struct forge_options *options, struct forge **ret, struct err *err);
void forge_free(struct forge *f);

/* "owner/name" out of the address of an ops repo (http, ssh, scp-like), without a final ".git". Caller frees; NULL when there is none in it. */
char *forge_repo_of(const char *url);

struct forge_pull {
	int64_t number;
	char *author;       /* login */
	char *head;         /* commit that was reviewed last and merged */
	char *base;         /* branch that it was merged into */
	char *merge_commit; /* NULL: not merged */
	bool merged;
};
void forge_pull_free(struct forge_pull *p);

struct forge_review {
	char *by; /* login */
	char *commit;
	char *state; /* APPROVED, REQUEST_CHANGES, COMMENT, … */
	bool official, stale, dismissed;
};
struct forge_reviews {
	struct forge_review *v;
	size_t n;
};
void forge_reviews_free(struct forge_reviews *r);

/*
 * All of them: ERR_UNREACHABLE or ERR_TIMEOUT when the forge can't say now (no answer, 429, 5xx): ask again. ERR_DENIED: the token is not good for it.
 * ERR_NOT_FOUND: it knows no such thing (a merge is unknown for a moment after the branch moved).
 */
int forge_pull_of_commit(struct forge *f, const char *commit, struct forge_pull *ret, struct err *err);
int forge_reviews(struct forge *f, int64_t pull, struct forge_reviews *ret, struct err *err);

/*
 * Whether the request was approved: merged into `branch` as `commit`, and its head reviewed by somebody of `approvers` (array of logins) who is not
 * its author, with the last word of each reviewer counting. 0: *ret_by is who (borrowed from the reviews). -1 with ERR_DENIED: a sentence that says what is missing.
 */
int forge_judge(const struct forge_pull *pull, const struct forge_reviews *reviews, const json_t *approvers, const char *branch,
                const char *commit, const char **ret_by, struct err *err);

#endif
