/*
 * A proposal as it stands on its branch vault/<id>: looked at before anybody approves it. The branch as it was when it was looked at; a merge is of exactly that
 * commit.
 */
#ifndef VAULT_CANDIDATE_H
#define VAULT_CANDIDATE_H

#include "vault/approval/judged.h"

struct candidate {
	const char *id; /* borrowed */
	git_oid head;
	char *path;
	git_oid blob;
	struct buf text;
	bool sign; /* it was asked for */
};
#define CANDIDATE_INIT \
	{ \
		.text = BUF_INIT \
	}
void candidate_free(struct candidate *c);
#define cleanup_candidate __attribute__((cleanup(candidate_free)))

/* Looks at a branch: refuses what no approval should cover. Borrows the id. */
int candidate_look(const struct judging *by, const char *id, const git_oid *head, struct candidate *ret, struct err *err);
/* A merge of it with the tip that is looked at and never pushed. */
int candidate_merge(const struct judging *by, const struct candidate *c, const git_signature *author, git_oid *ret, struct err *err);
/* Judges what the protected branch would hold after the merge. */
int candidate_judge(const struct judging *by, const struct candidate *c, struct judged *ret, struct err *err);
/*
 * What people should know of the proposal whose branch has this head: {id, head, formula, context, secrets, problem (null: it would run once it is approved), tier, by,
 * proposed}, as far as it can be told. Caller owns.
 */
json_t *candidate_row(const struct judging *by, const char *id, const git_oid *head);
/* Whether the action, or its result, stands on the protected branch. */
bool candidate_has_landed(const struct judging *by, const char *id);

#endif
