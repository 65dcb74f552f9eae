/*
 * Whose ciphertext is it? A secret works under its own name only. A file that says its name in its header (vault/age/age.h) is that secret's. One that
 * says none, as the age program makes them, belongs to the first name that its ciphertext landed under: on the first-parent chain of
 * the protected branch, as vault/secrets/<NAME>.age. Armour makes no difference, and neither does that the first file was removed since.
 *
 * The answer for all of history is kept in a file of the clone, <repository>/disinto-secret-names; it is brought up to date when a file without a
 * name is asked for, by a walk over what is new, and made again by a walk over everything if it is missing or damaged. Where history was rewritten,
 * what was known stays known.
 */
#ifndef VAULT_OPS_NAMES_H
#define VAULT_OPS_NAMES_H

#include "lib/err.h"
#include "vault/ops/ops.h"
#include <git2.h>
#include <stddef.h>

struct ops_names;
struct ops_names *ops_names_new(git_repository *repo); /* borrows repo */
void ops_names_free(struct ops_names *n);              /* NULL is allowed */
static inline void ops_names_cleanup_(struct ops_names **n)
{
	ops_names_free(*n);
}
#define cleanup_ops_names __attribute__((cleanup(ops_names_cleanup_)))

/*
 * Whether vault/secrets/<name>.age, with this content and standing at `tip` or at a commit that is not on the branch yet, may be used as `name`. 0: yes,
 * or it is no age file, which nobody can open anyway. -1 with ERR_INVALID: no; the sentence names the file, and the other one. Other errors: the
 * repository can't be read.
 */
int ops_names_secret(struct ops_names *n, const git_oid *tip, const char *name, const void *file, size_t len, struct err *err);

/* The same for all secrets of an action that was read by ops_read_action: sets a->refuse. -1: the repository can't be read. */
int ops_names_check(struct ops_names *n, const git_oid *tip, struct ops_action *a, struct err *err);

#endif
