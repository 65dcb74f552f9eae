/*
 * What the commands for secrets share. Values live in guarded memory (sodium_malloc) from the moment they are read to the moment they are
 * encrypted; none is ever in a message, an argument or a file.
 */
#ifndef CLI_SECRETS_H
#define CLI_SECRETS_H

#include "cli/cli.h"
#include "cli/repo.h"
#include "vault/age/age.h"
#include "vault/redact/redact.h"
#include <sodium.h>

static inline void free_guarded_(unsigned char **p)
{
	sodium_free(*p);
}
#define cleanup_guarded __attribute__((cleanup(free_guarded_)))

static inline void age_identities_cleanup_(struct age_identities **ids)
{
	age_identities_free(*ids);
}
#define cleanup_identities __attribute__((cleanup(age_identities_cleanup_)))
#define cleanup_recipients __attribute__((cleanup(age_recipients_free)))

/* secrets_common.c */

/*
 * Whom new secrets are encrypted to: vault/recipients.txt of a commit. Whoever stands there reads them, so ERR_DENIED where it lacks the approval that a change of policy
 * would need.
 */
int secrets_recipients(const struct repo *r, const git_oid *commit, struct age_recipients *ret, struct err *err);
/* recipients.c: whether those of a commit are approved. ERR_DENIED: they are not, or nobody here can tell. */
int recipients_approved(const struct repo *r, const git_oid *commit, struct err *err);
/* The identities of a file (NULL: identity_file of the configuration), which must be readable by its owner only. */
int secrets_identities(const struct config *config, const char *path, struct age_identities **ret, struct err *err);
/* vault/secrets of a commit, checked; NULL when there is none. Caller frees. */
int secrets_tree(const struct repo *r, const git_oid *commit, git_tree **ret, struct err *err);
/* The secret whose file has this name; NULL: it is no secret's. Caller frees. */
char *secrets_name_of(const char *file);
/* The value of a secret at a commit, opened under its own name. ERR_NOT_FOUND; else as age_decrypt, with the file's name. */
int secrets_open(const struct repo *r, const git_oid *commit, const struct age_identities *ids, const char *name, unsigned char **ret,
                 size_t *ret_len, struct err *err);
/* Reads a secret of a commit back and compares. */
int secrets_verify(const struct repo *r, const git_oid *commit, const struct age_identities *ids, const char *name,
                   const unsigned char *value, size_t len, struct err *err);

/* Files that go into one commit. */
struct sealed {
	struct git_change *v; /* paths and contents owned */
	size_t n;
};
void sealed_free(struct sealed *s);
#define cleanup_sealed __attribute__((cleanup(sealed_free)))
/* Encrypts a value as the secret `name`. */
int sealed_add(struct sealed *s, const struct age_recipients *to, const char *name, const unsigned char *value, size_t len,
               struct err *err);
/* Takes its file away. */
void sealed_remove(struct sealed *s, const char *name);
/* A commit with them on the tip. */
int sealed_commit(const struct sealed *s, const struct repo *r, const char *message, git_oid *ret, struct err *err);

/* In the message of a commit that encrypts secrets anew, one line for each name: the value stayed what it was. */
#define SECRETS_ROTATED "Disinto-Rotated: "

/* dotenv.c: what a file says of one name. */
struct plain {
	char *name;           /* as it stands there; whether a secret can have it, the caller looks */
	char *fault;          /* NULL, or why it can't be taken: a sentence without any of the value */
	unsigned char *value; /* guarded; NULL with a fault */
	size_t len;
	size_t line;       /* in a dotenv file */
	char *path;        /* of its own file, in a folder */
	struct buf source; /* what that file held */
};
struct plains {
	struct plain *v;
	size_t n;
};
struct plain *plains_add(struct plains *p, char *name); /* takes the name */
void plains_free(struct plains *p);
#define cleanup_plains __attribute__((cleanup(plains_free)))

/*
 * NAME=value lines as dotenv files have them: comments, blank lines, `export`, single quotes (all as it stands), double quotes (\n \r \t \" \\ \$
 * and \`), several lines within quotes, comments behind a value. Where programs that read such files differ (expansion of $, backslashes, quotes in
 * the middle of a value), the name gets a fault instead of a guess. ERR_INVALID: the file as a whole can't be read; the line is named and not shown.
 */
int dotenv_parse(const unsigned char *text, size_t len, struct plains *ret, struct err *err);

#endif
