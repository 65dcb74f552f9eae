/*
 * The forge (Forgejo, Gitea; API v1): which request brought a commit, and who approved exactly what it brought; requests opened, merged and
 * commented on; branches protected.
 *
 * For an approval only what it needs is read, and nothing is believed beyond it: `merged_by` can come from an e-mail address that anybody may
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
	const char *base;       /* branch that open requests are looked for of; NULL: any */
	const char *token_file; /* read at each use, so that it can be rotated; or NULL */
	const char *ca_file;    /* or NULL */
};

/* Copies all. ERR_INVALID: repo is no owner/name. */
int forge_new(const struct forge_options *options, struct forge **ret, struct err *err);
void forge_free(struct forge *f);

/* "owner/name" out of the address of an ops repo (http, ssh, scp-like), without a final ".git". Caller frees; NULL when there is none in it. */
char *forge_repo_of(const char *url);

/* Where people look at the commits of that ops repo, "https://forge.example/owner/name/commit/", behind which an oid is put. Caller frees; NULL: nobody knows. */
char *forge_commits_url(const char *forge_url, const char *ops_repo);

struct forge_pull {
	int64_t number;
	char *url;          /* for people; "" when the forge names none */
	char *author;       /* login */
	char *branch;       /* whose work it brings */
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
 * ERR_NOT_FOUND: it knows no such thing (a merge is unknown for a moment after the branch moved). ERR_INVALID: it refuses what was asked, in its own
 * words. ERR_EXISTS: what stands there is in the way.
 */
int forge_pull_of_commit(struct forge *f, const char *commit, struct forge_pull *ret, struct err *err);
int forge_reviews(struct forge *f, int64_t pull, struct forge_reviews *ret, struct err *err);

/*
 * Whether the request was approved: merged into `branch` as `commit`, and its head reviewed by somebody of `approvers` (array of logins) who is not
 * its author, with the last word of each reviewer counting. 0: *ret_by is who (borrowed from the reviews). -1 with ERR_DENIED: a sentence that says what is missing.
 */
int forge_judge(const struct forge_pull *pull, const struct forge_reviews *reviews, const json_t *approvers, const char *branch,
                const char *commit, const char **ret_by, struct err *err);

/* ---- Requests: forge_pull.c ---- */

struct forge_pulls {
	struct forge_pull *v;
	size_t n;
};
void forge_pulls_free(struct forge_pulls *p);

/* All open ones of the repository's own branches into the base: a fork may have a branch of the same name, and so may another base a request. */
int forge_open_pulls(struct forge *f, struct forge_pulls *ret, struct err *err);
/* The open one of that branch, likewise. ERR_NOT_FOUND: there is none. */
int forge_pull_of_branch(struct forge *f, const char *branch, struct forge_pull *ret, struct err *err);

struct forge_request {
	const char *branch, *base, *title, *body;
	const char *const
	    *labels; /* names, NULL-terminated, or NULL; made where the repository lacks them, left out where the token may not */
};
/* Opens it, unless that branch has an open one, which is then *ret as it is. */
int forge_propose(struct forge *f, const struct forge_request *request, struct forge_pull *ret, bool *ret_made, struct err *err);

/* Approves exactly that head, as the token's owner. ERR_INVALID: the forge does not let him (an author can't approve his own). */
int forge_approve(struct forge *f, int64_t pull, const char *head, struct err *err);
/* Merges exactly that head by a merge commit, and removes the branch. ERR_INVALID, ERR_EXISTS: not now, or not like this. */
int forge_merge(struct forge *f, int64_t pull, const char *head, const char *title, const char *message, struct err *err);

/* Closes it without a merge. */
int forge_close(struct forge *f, int64_t pull, struct err *err);

/* Comments on a request, unless a comment of `by` (a login) that holds `marker` is there; the text should hold it. */
int forge_comment(struct forge *f, int64_t pull, const char *by, const char *marker, const char *text, struct err *err);
/* Gives a commit a status ("pending", "success", "error", "failure"), unless that context has it already. */
int forge_set_status(struct forge *f, const char *commit, const char *context, const char *state, const char *description, struct err *err);

/* ---- Branch protection: forge_protect.c ---- */

/*
 * What a branch of the ops repo should be like: the dispatcher alone pushes to it directly, and everything else comes by requests, if any come at all. Where
 * there are approvers, one of them approves a request's last head, and one of them merges it. Holds for administrators too.
 */
struct forge_protection {
	const char *branch;
	const char *pusher;      /* login that may push directly */
	bool requests;           /* whether requests are merged into it */
	const json_t *approvers; /* logins; NULL or empty: anybody who may write */
};
/* What the ledger's should be like: nothing is merged into it. */
struct forge_protection forge_ledger_protection(const char *pusher);
/* Adds a sentence for each thing that is not as it should be to `findings` (an array). */
int forge_check_protection(struct forge *f, const struct forge_protection *wanted, json_t *findings, struct err *err);
int forge_protect(struct forge *f, const struct forge_protection *wanted, struct err *err);
/* The repository's own setting that believes commit authors on who merged: off, as an approval needs it. */
int forge_distrust_manual_merges(struct forge *f, struct err *err);

/* The login that the token belongs to. Caller frees. */
int forge_whoami(struct forge *f, char **ret, struct err *err);

#endif
