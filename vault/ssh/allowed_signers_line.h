/* Between vault/ssh/allowed_signers*.c. */
#ifndef VAULT_ALLOWED_SIGNERS_LINE_H
#define VAULT_ALLOWED_SIGNERS_LINE_H

#include "vault/ssh/allowed_signers.h"
#include <stdbool.h>

struct signer_line {
	size_t number;
	char *principals;      /* pattern list */
	char *namespaces;      /* pattern list; NULL: all */
	int64_t after, before; /* seconds since 1970, both inclusive; INT64_MIN and INT64_MAX where not given */
	bool has_after, has_before;
	bool authority;
	const char *unusable;      /* NULL, or why the line allows nothing here */
	struct ssh_public_key key; /* only if it is usable */
};

/* Parses one line that is neither empty nor a comment, without its newline. ERR_INVALID. Whatever happened, free it. */
int signer_line_parse(const char *text, struct signer_line *ret, struct err *err);
void signer_line_free(struct signer_line *l);

/*
 * OpenSSH's pattern lists: comma-separated, * for any characters, ? for one, a pattern behind ! excludes. True when some pattern matches and no excluding one does.
 */
bool signer_list_matches(const char *list, const char *name);

#endif
