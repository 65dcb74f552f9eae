/*
 * The names of the ops repo: what is an id, a formula, a secret, an input; where each file lives. And how branches and other repositories are named.
 */
#ifndef VAULT_NAME_H
#define VAULT_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define VAULT_ID_MAX 96
#define VAULT_SECRET_MAX 64
#define VAULT_INPUT_MAX 64
#define VAULT_ARTIFACT_MAX 128

#define VAULT_ID_RULE "a-z, 0-9, _ and -, beginning with a letter or digit, at most 96 characters"
#define VAULT_SECRET_RULE "A-Z, 0-9 and _, beginning with a letter, at most 64 characters"
#define VAULT_ARTIFACT_RULE "letters, digits and . _ + -, beginning with a letter, digit or _, at most 128 characters"
#define VAULT_INPUT_RULE "a-z, 0-9 and _, beginning with a letter, at most 64 characters"
#define VAULT_BRANCH_RULE "letters, digits and . _ / -, as git takes them, at most 256 characters"
#define VAULT_REPO_RULE "owner/name, of letters, digits and . _ -"

/*
 * True when s has 1 to max bytes, the first one out of `first` and all of them out of `rest`. What every rule below, and
 * every other rule of that shape, is made of.
 */
bool vault_matches(const char *s, const char *first, const char *rest, size_t max);
#define CHARS_DIGIT "0123456789"
#define CHARS_LOWER "abcdefghijklmnopqrstuvwxyz"
#define CHARS_UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define CHARS_ALNUM CHARS_LOWER CHARS_UPPER CHARS_DIGIT

bool vault_is_id(const char *s);       /* actions, formulas and steps: [a-z0-9][a-z0-9_-]{0,95} */
bool vault_is_secret(const char *s);   /* [A-Z][A-Z0-9_]{0,63} */
bool vault_is_input(const char *s);    /* [a-z][a-z0-9_]{0,63} */
bool vault_is_artifact(const char *s); /* [A-Za-z0-9_][A-Za-z0-9._+-]{0,127}: a plain file name on every system, and no option */

/* A branch that git takes, of plain characters: what git-check-ref-format(1) refuses is none, nor what a command would take for an option. */
bool vault_is_branch(const char *s);
/* A repository of a forge: owner/name, at most 256 characters; neither part is . or .., so that in a path it leads nowhere else. */
bool vault_is_repo(const char *s);

/* A variable that every step gets from the runner: PATH, HOME, …, INPUT_*, DISINTO_*. A secret of that name can only be a file. */
bool vault_is_step_variable(const char *s);

#define VAULT_ACTIONS "vault/actions"
#define VAULT_ARCHIVE "vault/archive" /* <year>/<month>/ with the files of finished actions */
#define VAULT_FORMULAS "vault/formulas"
#define VAULT_SECRETS "vault/secrets"
#define VAULT_POLICY "vault/policy.yaml"
#define VAULT_RECIPIENTS "vault/recipients.txt"

/* What a file name in vault/actions is. */
enum vault_file { VAULT_FILE_ACTION, VAULT_FILE_RESULT, VAULT_FILE_CANCEL, VAULT_FILE_KEEP, VAULT_FILE_MISNAMED };
/* Copies the id (without suffix) to ret_id for the first three. */
enum vault_file vault_file_kind(const char *name, char ret_id[static VAULT_ID_MAX + 1]);

/* Paths. Caller frees. */
char *vault_action_path(const char *id);
char *vault_result_path(const char *id);
char *vault_cancel_path(const char *id);
char *vault_formula_path(const char *name);
char *vault_secret_path(const char *name);

#endif
