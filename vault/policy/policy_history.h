/*
 * Which policy each action is judged by, while the protected branch grows. Pure: told of commits, it reads none.
 *
 * In force is the last good policy on the first-parent chain: one that parses and was approved as the one before it wants for high. An
 * action is judged by the stricter of what was in force at the last tip judged before it landed, and of what is in force at its own landing
 * commit; which two these are is settled when it lands and remembered for as long as it waits. Freezing alone follows the present policy.
 *
 * Life: policy_history_new or policy_history_load -> for each poll:
 *
 *     policy_history_begin
 *     for each commit after policy_history_tip on the first-parent chain, oldest first:
 *         where vault/policy.yaml differs from the first parent's: ask whether the commit has policy_history_change_approval;
 *             it has: policy_history_change;  it has not: policy_history_doubt;  can't be told now: policy_history_pause before this commit
 *         where an action lands: policy_history_landed
 *     policy_history_end with the branch's tip
 *     policy_history_for for each action that waits, policy_history_forget for each that does not any more
 *     keep policy_history_save where it survives
 *
 * -> policy_history_free. A new history has seen nothing ("first sight"): it walks from the root, takes the first policy without asking for an approval, since no
 * older one could want any, and judges each action by what was in force at its landing commit and at that commit's first parent.
 */
#ifndef VAULT_POLICY_HISTORY_H
#define VAULT_POLICY_HISTORY_H

#include "vault/policy/policy.h"

struct policy_history;

struct policy_history *policy_history_new(void);
void policy_history_free(struct policy_history *h);

/* The state, for policy_history_load. It holds the text of each policy that matters, so that no repository is needed. Caller owns. */
json_t *policy_history_save(const struct policy_history *h);
/*
 * ERR_INVALID where the state is damaged, or holds a policy that this program does not understand: what was seen is lost then, and starting with a new
 * history is a decision for people.
 */
int policy_history_load(const json_t *state, struct policy_history **ret, struct err *err);

/* The last commit judged, in hexadecimal; NULL at first sight. Borrowed until the next end. */
const char *policy_history_tip(const struct policy_history *h);

/* Begins at the last tip judged: what a walk without an end had told is forgotten. */
void policy_history_begin(struct policy_history *h);

/* The approval that a change of policy needs at this point of the walk. */
enum approval_mode policy_history_change_approval(const struct policy_history *h, const struct policy_floor *floor);

/*
 * `commit` holds another vault/policy.yaml than its first parent, approved as it must be. `blob` is its object id, `text` NULL where the file is gone.
 * ERR_INVALID: it is missing or broken; the last good one stays in force, and the message says so.
 */
int policy_history_change(struct policy_history *h, const char *commit, const char *blob, const char *text, size_t len, struct err *err);

/*
 * `commit` holds another vault/policy.yaml than its first parent, `blob`, not approved as the one in force wants, so that nothing changes. At first sight nobody can tell,
 * though, whether that was always so, or whether the one who tightened the rules by it is not on any list any more: nothing is judged until an approved one lands.
 */
void policy_history_doubt(struct policy_history *h, const char *commit, const char *blob);
/* That commit, or NULL: what is in force is known. Borrowed until the next call. */
const char *policy_history_doubted(const struct policy_history *h);

/* What is in force where the walk is. Borrowed until the next begin, change or end. */
const struct policy *policy_history_in_force(const struct policy_history *h);

/* An action landed at `commit`. Told again with another commit, the later one counts. */
void policy_history_landed(struct policy_history *h, const char *id, const char *commit);

/* The walk came to the branch's tip. */
void policy_history_end(struct policy_history *h, const char *tip);
/* The walk came to `tip` and has to wait there. What was in force before goes on to be that for the rest of the branch, which is no less the same push. */
void policy_history_pause(struct policy_history *h, const char *tip);

/*
 * The policy by which the action is judged; caller frees *ret. *ret_blob: the policy in force at its landing commit, NULL where there is none; borrowed until the
 * next end. ERR_NOT_FOUND: the walk has not come to that commit yet; ERR_FAIL: there is a doubt. Nothing can be said now.
 */
int policy_history_for(const struct policy_history *h, const char *id, const char *commit, struct policy *ret, const char **ret_blob,
                       struct err *err);

/* The action has ended, or is gone. */
void policy_history_forget(struct policy_history *h, const char *id);

#endif
