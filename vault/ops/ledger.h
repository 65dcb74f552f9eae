/*
 * The files of the ledger, the branch on which dispatchers agree who runs what. It only grows, and every file in it is made by a dispatcher, but for what a human's
 * decision changes. Formats and paths only; how they are used stands in dispatcher/git/ledger.c.
 *
 *   claims/<xx>/<id>.json        who has won the action; <xx> is the first byte of SHA-256(id) in hexadecimal
 *   done/<xx>/<id>.json          its result is on the protected branch
 *   dispatchers/<name>.json      the present life of a dispatcher
 *   origin.json                  what stood on the protected branch when the ledger was made
 *   view.json                    a commit of the protected branch that holds every result with a done entry
 */
#ifndef VAULT_LEDGER_H
#define VAULT_LEDGER_H

#include "lib/err.h"
#include "vault/name.h"
#include "vault/result.h"
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_BRANCH "disinto-ledger"
#define LEDGER_REF "refs/heads/" LEDGER_BRANCH
#define LEDGER_CLAIMS "claims"
#define LEDGER_DONE "done"
#define LEDGER_LIVES "dispatchers"
#define LEDGER_ORIGIN "origin.json"
#define LEDGER_VIEW "view.json"
#define LEDGER_MAX_BYTES 4096 /* of each file */

#define LEDGER_NAME_MAX 32  /* of a dispatcher */
#define LEDGER_TOKEN_MAX 64 /* of a nonce or an incarnation: a-z, 0-9, _ and - */

/* Who has won an action. */
struct ledger_claim {
	char dispatcher[LEDGER_NAME_MAX + 1];
	char incarnation[LEDGER_TOKEN_MAX + 1];
	char nonce[LEDGER_TOKEN_MAX + 1];
	git_oid action; /* the blob that was approved */
	int attempt;    /* from 1 */
	int64_t time;   /* when it was claimed; Unix seconds, as deadline */
	int64_t deadline;
	bool free; /* a human gave it back: whoever claims `attempt` first has it, and the rest is history */
};

struct ledger_done {
	char digest[65]; /* SHA-256 of the result file, in hexadecimal */
	enum outcome outcome;
	int attempt;
	git_oid commit; /* of the protected branch; it holds the result */
};

struct ledger_life {
	char incarnation[LEDGER_TOKEN_MAX + 1];
	int64_t time; /* Unix seconds */
};

struct ledger_origin {
	git_oid tip;   /* of the protected branch */
	bool accepted; /* what had landed by then, and had no result, may run */
};

/* Strict: unknown and missing keys too are ERR_INVALID, "<key>: <what is wrong>". */
int ledger_claim_parse(const char *text, size_t len, struct ledger_claim *ret, struct err *err);
int ledger_done_parse(const char *text, size_t len, struct ledger_done *ret, struct err *err);
int ledger_life_parse(const char *text, size_t len, struct ledger_life *ret, struct err *err);
int ledger_origin_parse(const char *text, size_t len, struct ledger_origin *ret, struct err *err);
int ledger_view_parse(const char *text, size_t len, git_oid *ret, struct err *err);

/* What those parse. Caller frees. */
char *ledger_claim_text(const struct ledger_claim *c);
char *ledger_done_text(const struct ledger_done *d);
char *ledger_life_text(const struct ledger_life *l);
char *ledger_origin_text(const struct ledger_origin *o);
char *ledger_view_text(const git_oid *view);

/* Paths. Caller frees. */
char *ledger_claim_path(const char *id);
char *ledger_done_path(const char *id);
char *ledger_life_path(const char *dispatcher);

/* The folder <xx> of an id. */
void ledger_folder(const char *id, char ret[static 3]);
/* Whether a folder `xx` may hold a file `name`; its id, if so. */
bool ledger_file_id(const char *xx, const char *name, char ret_id[static VAULT_ID_MAX + 1]);

/* SHA-256 in hexadecimal. */
void ledger_digest(const void *data, size_t len, char ret[static 65]);
/* Whether it may be a nonce or an incarnation. */
bool ledger_is_token(const char *s);

#endif
