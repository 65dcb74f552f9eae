/*
 * The spool (spool.c) and who it belongs to (identity.c): the dispatcher's durable folder. Only core writes it once the roles are forked (tokens.json: tokens.c,
 * and the parent before that, first_token.c; boot.log: boot.c).
 *
 *   lock  dispatcher.json  git.json  tokens.json  boot.log  api.sock  ops.git/ (the git role's)  runs/<id>/{state.json,log,artifacts/,result.json}
 *
 * A state is on disk (file and folder synced) before spool_save returns 0.
 */
#ifndef DISPATCHER_SPOOL_H
#define DISPATCHER_SPOOL_H

#include "dispatcher/core/core.h"
#include "lib/err.h"
#include "vault/version.h"
#include <stdint.h>

/*
 * Opens the folder (making it, 0700) and takes its lock; *ret_fd is the folder. ERR_EXISTS: another dispatcher has it. The lock is
 * held until every copy of *ret_lock is closed.
 */
int spool_open(const char *path, int *ret_fd, int *ret_lock, struct err *err);

/*
 * The dispatcher's id: `configured` if not NULL, else the one in dispatcher.json, else a new one. Writes dispatcher.json. ERR_INVALID when the file is newer
 * than this program or the configured id differs from the one the spool was used with. Caller frees *ret_id.
 */
int spool_identify(int spool, const char *configured, char **ret_id, struct err *err);
/*
 * Begins a life: a fresh incarnation, on disk before this returns 0, and those that the ledger may still hold for this spool (an array of strings, empty
 * for a spool that is new). Caller frees both.
 */
int spool_incarnate(int spool, char **ret_incarnation, json_t **ret_former, struct err *err);
/* The ledger holds the present incarnation: the former ones are forgotten. */
int spool_incarnated(int spool, struct err *err);

/* Writes runs/<id>/state.json. */
int spool_save(int spool, const struct run *r, enum journal journal, struct err *err);
/* Writes runs/<id>/result.json. */
int spool_save_result(int spool, const char *id, const char *text, struct err *err);
/* Reads runs/<id>/result.json. Caller frees. */
int spool_result(int spool, const char *id, char **ret, struct err *err);
/* Opens runs/<id>/log with the given flags (O_CREAT made 0600). */
int spool_log(int spool, const char *id, int flags, int *ret_fd, struct err *err);

/* Opens the folder runs/<id>/artifacts, made 0700 where it is missing. */
int spool_artifacts(int spool, const char *id, int *ret_fd, struct err *err);
/* Removes it with all that is in it. Absent is success. */
int spool_drop_artifacts(int spool, const char *id, struct err *err);
/* Opens one of its files for reading. name: vault_is_artifact. */
int spool_artifact(int spool, const char *id, const char *name, int *ret_fd, struct err *err);

/*
 * Calls fn for every run in the spool (fn takes it), once what it read of it is sure to be on disk. What can't be read is told to `bad` by its id and left alone: it is neither run nor removed.
 */
int spool_load(int spool, void (*fn)(struct run *r, void *arg), void (*bad)(const char *id, const char *why, void *arg), void *arg,
               struct err *err);

/* Removes runs/<id>, its state last, so that a crash in between leaves what is there to be removed again. */
int spool_remove(int spool, const char *id, struct err *err);

/* git.json: what the git role must not forget over its own restarts and the loss of its clone (policies in force). *ret NULL: nothing yet. */
int spool_save_git(int spool, const json_t *state, struct err *err);
int spool_load_git(int spool, json_t **ret, struct err *err);

/* Appends one line (a JSON object with the time) to boot.log; best effort. */
void spool_boot(int spool, const char *id, const char *found, const char *did);

/* state.json as a value; for tests and for what shows it. Caller owns. */
json_t *spool_state_json(const struct run *r, enum journal journal);
int spool_state_parse(const char *id, const json_t *value, struct run **ret, struct err *err);

#endif
