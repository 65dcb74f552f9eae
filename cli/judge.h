/*
 * Judging in the command line's clone.
 */
#ifndef CLI_JUDGE_H
#define CLI_JUDGE_H

#include "cli/api.h"
#include "cli/repo.h"
#include "vault/approval/candidate.h"
#include "vault/approval/judged.h"

/* By the policy in force as far as the command line can tell. Borrows from the repository until its next sync. */
struct judging repo_judging(const struct repo *r);

static inline int judge(const struct repo *r, const git_oid *commit, const char *id, struct judged *ret, struct err *err)
{
	const struct judging by = repo_judging(r);
	return judged_at(&by, commit, id, ret, err);
}

static inline int judge_landed(const struct repo *r, const char *id, struct judged *ret, struct err *err)
{
	const struct judging by = repo_judging(r);
	return judged_landed(&by, id, ret, err);
}

/* Whether the action, or its result, stands on the protected branch. */
static inline bool proposal_has_landed(const struct repo *r, const char *id)
{
	const struct judging by = repo_judging(r);
	return candidate_has_landed(&by, id);
}

/* risk.c: on the terminal. */
void risk_print(const json_t *risk, FILE *to);

/* pending.c: the proposals that have not landed, as `disinto pending --json` prints them. Caller owns. */
json_t *pending_rows(const struct repo *r);
/* The same as the dispatcher knows them, with their requests. Caller owns. */
int pending_live(struct api *api, json_t **ret, struct err *err);

#endif
