/*
 * What the dispatcher would say of an action, before it lands: for proposals, by the command line and by the git role.
 */
#ifndef VAULT_JUDGED_H
#define VAULT_JUDGED_H

#include "vault/action.h"
#include "vault/formula.h"
#include "vault/ops/ops.h"
#include "vault/policy/policy.h"

/* The clone in which, and the policy by which it is judged. All borrowed. */
struct judging {
	git_repository *git;
	git_oid tip; /* of the protected branch */
	const struct config *config;
	const struct policy *in_force;
	const char *remark; /* NULL, or why it is not the tip's own policy that is in force */
	/*
	 * in_force is known to be approved, as whoever watches the branch knows it: then nothing but it counts. Otherwise a commit's own policy is taken for
	 * approved where it has a good one.
	 */
	bool watched;
};

/* Life: JUDGED_INIT -> judged_at -> judged_free. */
struct judged {
	char *problem; /* NULL: it would run; else why not, and then what follows may be missing */
	struct ops_action files;
	struct action action;   /* json NULL: it does not parse */
	struct formula formula; /* likewise */
	struct policy policy;   /* by which it was judged */
	struct policy_verdict verdict;
	char *remark; /* NULL, or what is odd about the policy */
};
#define JUDGED_INIT \
	{ \
		.problem = NULL, .verdict = POLICY_VERDICT_INIT \
	}

/* Judges vault/actions/<id>.json as it stands at `commit`, with the formula and the secrets of that commit. -1: the repository can't be read. */
int judged_at(const struct judging *by, const git_oid *commit, const char *id, struct judged *ret, struct err *err);
/* The same for one with this text, as if it stood at the tip. Writes nothing. */
int judged_proposed(const struct judging *by, const char *id, const char *text, struct judged *ret, struct err *err);
/* The same for one that has landed: the tip's action and secrets, the formula of the commit at which it landed. ERR_NOT_FOUND: it has not. */
int judged_landed(const struct judging *by, const char *id, struct judged *ret, struct err *err);
/* Judges by policy an action whose two parts have parsed; takes the policy. A refusal becomes the problem, unless there is one. */
void judge_policy(struct judged *j, struct policy *policy, const char *remark, const struct policy_floor *floor);
void judged_free(struct judged *j);
#define cleanup_judged __attribute__((cleanup(judged_free)))

/* The policy that stands at that very commit. ERR_NOT_FOUND, ERR_INVALID. Caller frees *ret. */
int judged_policy_at(git_repository *git, const git_oid *commit, struct policy *ret, struct err *err);

/*
 * risk.c: what a human should know before he approves: id, context, formula, image, tier and why, approval, direct, secrets and what policy says of each, inputs,
 * tools, mounts, network, limits, and "missing": why the action would wait. Caller owns. Both parts must have parsed. Without a configuration (NULL)
 * what only that can tell is left out.
 */
json_t *risk_json(const struct judged *j, const struct config *config);
/*
 * last_run.c: adds "last_run": the last finished run of the same formula, as `commit` has it, and what has changed since, as sentences: {id, outcome, timestamp, image,
 * changes}; null when there is none.
 */
int risk_add_last_run(json_t *risk, git_repository *git, const git_oid *commit, const struct judged *j, struct err *err);
/* Tells it line by line: `put` gets a label and a text, which may have several lines; a text that is NULL is nothing to tell. */
void risk_tell(const json_t *risk, void (*put)(void *arg, const char *label, const char *text), void *arg);

#endif
