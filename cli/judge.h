/*
 * What the dispatcher would say of an action, before it lands.
 */
#ifndef CLI_JUDGE_H
#define CLI_JUDGE_H

#include "cli/repo.h"
#include "vault/action.h"
#include "vault/formula.h"

/* Life: JUDGED_INIT -> judge -> judged_free. */
struct judged {
	char *problem; /* NULL: it would run; else why not, and then what follows may be missing */
	struct ops_action files;
	struct action action;   /* json NULL: it does not parse */
	struct formula formula; /* likewise */
};
#define JUDGED_INIT \
	{ \
		.problem = NULL \
	}

/* Judges vault/actions/<id>.json as it stands at `commit`, with the formula and the secrets of that commit. -1: the repository can't be read. */
int judge(const struct repo *r, const git_oid *commit, const char *id, struct judged *ret, struct err *err);
/* The same for one that has landed: the tip's action and secrets, the formula of the commit at which it landed. ERR_NOT_FOUND: it has not. */
int judge_landed(const struct repo *r, const char *id, struct judged *ret, struct err *err);
void judged_free(struct judged *j);
#define cleanup_judged __attribute__((cleanup(judged_free)))

/*
 * What a human should know before he approves: id, context, formula, image, tier, secrets, inputs, tools, mounts, network, limits, and
 * "missing": what this configuration lacks, so that the action would wait. Caller owns. Both parts must have parsed.
 */
json_t *risk_json(const struct judged *j, const struct config *config);
void risk_print(const json_t *risk, FILE *to);

/* approve.c: the proposals that have not landed, as `disinto pending --json` prints them. Caller owns. */
json_t *pending_rows(const struct repo *r);

#endif
