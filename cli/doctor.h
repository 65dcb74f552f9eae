/*
 * doctor: what the checks of an installation share. Each check adds one row or more; what can't be looked at from here is a note, and what is wrong a finding that says how to
 * mend it.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/api.h"
#include "cli/repo.h"
#include "lib/docker.h"
#include "vault/age/age.h"
#include "vault/config/config.h"
#include <jansson.h>
#include <stdbool.h>

enum doctor_state { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_FINDING };

struct doctor {
	struct config config; /* CONFIG_INIT where only a dispatcher elsewhere is looked at */
	struct repo repo;
	bool has_repo;                          /* the ops repo was read */
	struct age_identities *ids;             /* NULL: none could be read */
	char engine_prefix[DOCKER_PREFIX_SIZE]; /* of paths of the engine's API; "": it has not answered */
	json_t *rows;                           /* [{check, state, what, do}] */
	size_t n_findings;
};

/* Adds a row. `mend` (NULL: nothing to do) says what to do; the rest is the sentence. */
void doctor_say(struct doctor *d, enum doctor_state state, const char *check, const char *mend, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
#define doctor_ok(d, check, ...) doctor_say(d, DOCTOR_OK, check, NULL, __VA_ARGS__)
#define doctor_note(d, check, ...) doctor_say(d, DOCTOR_NOTE, check, NULL, __VA_ARGS__)
#define doctor_finding(d, check, mend, ...) doctor_say(d, DOCTOR_FINDING, check, mend, __VA_ARGS__)

/* doctor_house.c: what stands on this machine. */
void doctor_files(struct doctor *d);
void doctor_identity(struct doctor *d); /* keeps the identities */
void doctor_spool(struct doctor *d);
void doctor_tokens(struct doctor *d);
void doctor_compose(struct doctor *d); /* the compose file beside the configuration, where there is one */

/* doctor_far.c: the git server and the forge. */
void doctor_git(struct doctor *d); /* keeps the repo */
void doctor_ledger(struct doctor *d);
/* Seconds that a server which tells the time by HTTP is ahead of us. false: this one does not. */
bool doctor_server_clock(const struct doctor *d, int64_t *ret_ahead);

/* doctor_engine.c */
void doctor_engine(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_inspect(struct doctor *d);

#endif
