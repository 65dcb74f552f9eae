/*
 * API tokens: 32 random bytes as text, known to the dispatcher by their SHA-256 only. A hash without salt or stretching is right for them, since nobody can guess
 * 256 bits. Each has a name, for people, and a scope; a wider scope includes the narrower ones.
 */
#ifndef VAULT_TOKEN_H
#define VAULT_TOKEN_H

#include "lib/err.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum scope {
	SCOPE_NONE,    /* whoever asks */
	SCOPE_PROPOSE, /* POST /dispatch */
	SCOPE_READ,    /* what was, is and will be, with logs */
	SCOPE_OPERATE, /* run, cancel, drain */
	SCOPE_LOCAL,   /* <spool>/api.sock; no token has it */
};
const char *scope_name(enum scope s);
int scope_parse(const char *name, enum scope *ret); /* -1: not one that a token can have */

#define TOKEN_TEXT_MAX 64 /* of the text, with its final NUL */
#define TOKEN_NAME_RULE "1 to 32 of a-z, 0-9, _ and -"
#define TOKENS_MAX 256
#define TOKENS_FILE "tokens.json" /* in the spool */
#define TOKENS_FILE_MAX_BYTES (TOKENS_MAX * 512)

int token_is_name(const char *s);
/* A fresh token, and the hash that is kept of it. The caller wipes the text. */
void token_new(char ret_text[static TOKEN_TEXT_MAX], uint8_t ret_hash[static 32]);
void token_hash(const char *text, size_t len, uint8_t ret[static 32]);

/* The file: {"tokens": [{"name", "scope", "sha256", "created"}]}. ERR_INVALID: what is wrong with it; *ret (caller owns) is the list. */
int tokens_parse(const char *text, size_t len, json_t **ret, struct err *err);
/* Adds one to the list. ERR_EXISTS: the name is taken; ERR_INVALID: name, scope or hash is none; or there are too many. */
int tokens_add(json_t *list, const char *name, const char *scope, const char *sha256, const char *created, struct err *err);
/* ERR_NOT_FOUND. */
int tokens_revoke(json_t *list, const char *name, struct err *err);

/*
 * The widest scope of a token of the list that has this text; SCOPE_NONE: there is none. Takes the same time for all texts of one length, whatever is on the
 * list; len is what a client sent, of any size.
 */
enum scope tokens_scope(const json_t *list, const char *text, size_t len);

#endif
