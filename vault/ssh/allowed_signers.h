/*
 * OpenSSH's list of who may sign (ssh-keygen(1), ALLOWED SIGNERS), the same file that git's gpg.ssh.allowedSignersFile names:
 *
 *     principal[,principal…] [option,…] ssh-ed25519 AAAA… [comment]
 *
 * Only plain ed25519 keys count. Lines of other kinds and those of certificate authorities are valid and of no use here; they are left out, and each says so in a
 * note. Anything that OpenSSH refuses makes the whole file invalid, so that no line is lost by a slip.
 */
#ifndef VAULT_ALLOWED_SIGNERS_H
#define VAULT_ALLOWED_SIGNERS_H

#include "lib/err.h"
#include "vault/ssh/ssh_key.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOWED_SIGNERS_MAX 1048576 /* bytes of the file */

struct allowed_signers;

/* `where` begins each message: "<where>: line 3: …". Times without Z are in the time zone of this process, as OpenSSH has it. ERR_INVALID. */
int allowed_signers_parse(const char *text, size_t len, const char *where, struct allowed_signers **ret, struct err *err);
/* The same from a file that belongs to us or root and that nobody else may write, for who writes it approves. */
int allowed_signers_load(const char *path, struct allowed_signers **ret, struct err *err);
void allowed_signers_free(struct allowed_signers *s);
static inline void allowed_signers_cleanup_(struct allowed_signers **s)
{
	allowed_signers_free(*s);
}
#define cleanup_allowed_signers __attribute__((cleanup(allowed_signers_cleanup_)))

/* Lines that can allow something. None: nobody can approve, which is for the caller to say. */
size_t allowed_signers_count(const struct allowed_signers *s);
/* A sentence for each line that was left out, from 0; NULL after the last. Borrowed. */
const char *allowed_signers_note(const struct allowed_signers *s, size_t i);

/* What was signed, as far as the list asks. Times are seconds since 1970. */
struct signing {
	const struct ssh_public_key *key;
	const char *namespace;
	int64_t time; /* when the signer says that he signed: not before valid-after */
	int64_t
	    earliest; /* it can't have been before: the later of the two must not be past valid-before, so that an expired key can't be dated back */
	const char *name; /* whom the signer says he is (an e-mail address), or NULL */
};

/* Whether a line of the key has a valid-before that has passed by then: only then `earliest` matters. */
bool allowed_signers_ended(const struct allowed_signers *s, const struct ssh_public_key *key, int64_t now);

/*
 * Whether the list allows it, and in whose name: *ret_principals becomes every name that the list binds to the key, joined by "," - those that stand there
 * literally, and signing.name where a pattern with wildcards covers it. What the signer says of himself is never believed beyond that. ERR_INVALID: not allowed;
 * the message names the key's fingerprint and why. Caller frees.
 */
int allowed_signers_find(const struct allowed_signers *s, const struct signing *signing, char **ret_principals, struct err *err);

/* time_format for seconds that a stranger wrote, of any size. Returns buf. */
const char *signing_time_text(int64_t seconds, char buf[static 21]);

#endif
