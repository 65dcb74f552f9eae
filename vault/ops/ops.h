/*
 * What stands in the ops repo at a commit: actions with their results and cancels, what an action brings with it, where it landed,
 * and whose result was taken away again. Read from a bare clone by object id, never checked out; shared by the dispatcher's git role
 * and the command line.
 *
 * A folder whose tree is malformed (order, names, modes, duplicates) is an ERR_INVALID of that folder, named in the message: nothing
 * in it is believed.
 */
#ifndef VAULT_OPS_H
#define VAULT_OPS_H

#include "lib/err.h"
#include "lib/git_remote.h"
#include "lib/git_repo.h"
#include "vault/config/config.h"
#include "vault/name.h"
#include <git2.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* An age file with one secret of 64 KiB (SECRET_MAX_BYTES), armoured, for as many recipients as anybody has; more than this is no credential. */
#define OPS_SECRET_MAX_BYTES 131072

/* The place that the configuration names (ops_repo, git_token_file, known_hosts_file, ssh_key_file, ca_file). Borrows from it. */
void ops_place(const struct config *config, struct git_place *ret);
/* For fetches of what anybody may have pushed: bounds time, and size as it comes and unpacked. */
void ops_bound(struct git_place *place);

/* One file of vault/actions; `oid` and `mode` mean something only if it is there. Whether the mode is allowed is up to the reader. */
struct ops_file {
	bool there;
	git_oid oid;
	git_filemode_t mode;
};

/* All that vault/actions holds for one id. */
struct ops_item {
	char id[VAULT_ID_MAX + 1];
	struct ops_file action, result, cancel;
};

/* The three files of one id at a commit; those that are not there (or whose folder is not) are so marked. */
int ops_item(git_repository *repo, const git_oid *commit, const char *id, struct ops_item *ret, struct err *err);

/*
 * Called for each id whose files differ between two commits, in the order of ids; `before` and `now` have the same id, and a side on which
 * nothing stands has no file that is there. What else happened (landed, result appeared, cancelled, edited, removed) is plain from the two.
 * Non-zero ends the scan, which returns -1 with what the callback put into err.
 */
typedef int (*ops_change_fn)(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err);

/*
 * Compares vault/actions of `old` (NULL: nothing stood there, so every id is reported) with that of `commit`. Equal folders are not
 * entered; the work is one pass over both folders' entries. Misnamed files are skipped (ops_misnamed lists them).
 */
int ops_scan(git_repository *repo, const git_oid *old, const git_oid *commit, ops_change_fn fn, void *arg, struct err *err);

/* Appends the paths of misnamed entries in vault/actions, formulas and secrets to the JSON array, at most `max`. */
int ops_misnamed(git_repository *repo, const git_oid *commit, size_t max, json_t *ret, struct err *err);

/*
 * Adds to the JSON object the ids whose results came into vault/archive between two commits (old NULL: all that stand there), each with the object id of its result. Only folders
 * that differ are entered.
 */
int ops_archived(git_repository *repo, const git_oid *old, const git_oid *commit, json_t *ret, struct err *err);
/* An id's files in the archive: marked as in ops_item. */
int ops_archive_item(git_repository *repo, const git_oid *commit, const char *id, struct ops_item *ret, struct err *err);
/* The folder of vault/archive that holds an id's result at a commit. Caller frees. ERR_NOT_FOUND: none does. */
int ops_archive_folder(git_repository *repo, const git_oid *commit, const char *id, char **ret, struct err *err);

struct ops_secret {
	char *name;
	git_oid blob;
	struct buf age; /* the file, binary or armoured */
};

/* An action with everything that it brings along. Life: OPS_ACTION_INIT -> ops_read_action -> ops_action_free. */
struct ops_action {
	char *refuse; /* NULL, or why it can never run: a sentence that names file and rule; what follows may then be incomplete */
	char *wait;   /* NULL, or what in the repo must be mended before it can be judged (a malformed folder) */
	git_oid blob;
	char *text;           /* of the action, valid UTF-8 without NUL; NULL if it could not be read as text */
	char *formula_name;   /* NULL if the action does not parse */
	git_oid formula_blob; /* with formula_text */
	char *formula_text;   /* likewise text; not parsed here; NULL if unreadable */
	struct ops_secret *secrets;
	size_t n_secrets;
};
#define OPS_ACTION_INIT \
	{ \
		.refuse = NULL \
	}

/*
 * Reads vault/actions/<id>.json and the secrets it names at `tip`, its formula at `landing` (the commit at which the action landed; for a
 * proposal the same commit as tip). Checks the action (action_parse) and that every file is a plain file within its size and, for action and
 * formula, text. -1: the repository itself could not be read; ERR_NOT_FOUND: no such action.
 */
int ops_read_action(git_repository *repo, const git_oid *tip, const git_oid *landing, const char *id, struct ops_action *ret,
                    struct err *err);
/* The same of an action with this text (UTF-8) that stands nowhere yet, as if it stood at `tip`. Writes nothing. */
int ops_read_proposed(git_repository *repo, const git_oid *tip, const char *id, const char *text, struct ops_action *ret, struct err *err);
void ops_action_free(struct ops_action *a);
#define cleanup_ops_action __attribute__((cleanup(ops_action_free)))

/* The newest commit on the first-parent chain whose vault/actions/<id>.json differs from its parent's. */
struct ops_landing {
	const char *id; /* in */
	bool found;     /* out; false: no such file at the tip */
	git_oid commit;
	size_t depth; /* commits between it and the tip: who landed first has more */
};
/* Finds all of them in one walk from the tip, which ends as soon as the last is found. */
int ops_landings(git_repository *repo, const git_oid *tip, struct ops_landing *v, size_t n, struct err *err);

/*
 * The ids whose result stood on the first-parent chain once and stands there no more: they are taken all the same. The first update walks the whole
 * history, later ones what is new. The answer is kept in a file of the clone, <repository>/disinto-removed-results, and is made again if that is
 * missing, damaged or of another history.
 */
struct ops_past;
struct ops_past *ops_past_new(git_repository *repo); /* borrows repo */
void ops_past_free(struct ops_past *p);
int ops_past_update(struct ops_past *p, const git_oid *tip, struct err *err);
bool ops_past_removed(const struct ops_past *p, const char *id);

#endif
