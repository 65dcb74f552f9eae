/*
 * Calls of the forge that nobody has to wait for: a thread of the git role makes them one after the other, so that a forge that is slow holds up no claim and no result. The
 * thread touches nothing of git's, only its own connection to the forge.
 */
#ifndef DISPATCHER_GIT_ERRAND_H
#define DISPATCHER_GIT_ERRAND_H

#include "vault/approval/proposal.h"
#include "vault/config/config.h"
#include "vault/forge/report.h"

#include <git2.h>

#include <sys/queue.h>

enum errand_kind {
	ERRAND_REQUEST,    /* open the request of a proposal, or find it: pull */
	ERRAND_PULLS,      /* all open requests: pulls */
	ERRAND_REPORT,     /* tell a result */
	ERRAND_CLOSE,      /* close the open request of branch vault/<id>, if there is one */
	ERRAND_PROTECTION, /* look whether the ledger is protected: findings */
};

struct errand {
	TAILQ_ENTRY(errand) link;
	enum errand_kind kind;
	char id[VAULT_ID_MAX + 1];
	int64_t ask; /* of the question that it answers */
	struct proposal_request request;
	struct report report;
	git_oid head;  /* of the branch, when its proposal was to be withdrawn */
	bool last_try; /* of a report: without a comment, where the forge still knows no request that brought the action */
	/* what came of it */
	int rc;
	struct err err;
	struct forge_pull pull;
	struct forge_pulls pulls;
	json_t *findings;
};
TAILQ_HEAD(errand_list, errand);

struct errands;
/* Borrows the configuration. The thread begins with the first errand. */
struct errands *errands_new(const struct config *config);
/* A thread that is in the middle of a call is left to the end of the process. */
void errands_free(struct errands *e);
/* Readable as long as one is done and was not taken. */
int errands_fd(const struct errands *e);
struct errand *errand_new(enum errand_kind kind, const char *id, int64_t ask);
void errand_free(struct errand *errand);
static inline void errand_freep(struct errand **errand)
{
	errand_free(*errand);
}
#define cleanup_errand __attribute__((cleanup(errand_freep)))
void errands_send(struct errands *e, struct errand *errand); /* takes it */
struct errand *errands_take(struct errands *e);              /* one that is done, or NULL. Caller frees */

#endif
