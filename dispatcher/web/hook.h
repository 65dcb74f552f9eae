/*
 * The forge's webhook: a request that is signed with a secret which only the forge and this dispatcher know says "look", and nothing else. Its body is what the
 * signature is of; nothing in it is believed.
 */
#ifndef DISPATCHER_WEB_HOOK_H
#define DISPATCHER_WEB_HOOK_H

#include "lib/err.h"
#include <stdbool.h>
#include <stddef.h>

#define HOOK_SECRET_MIN 16 /* bytes; a shorter one can be guessed from one signed request */

struct hook_secret {
	unsigned char *bytes; /* guarded; NULL: none */
	size_t len;
};

/* Reads it from an open file, from its first byte on, without a final newline. ERR_INVALID: it is too short, or far too long. */
int hook_secret_read(int fd, struct hook_secret *ret, struct err *err);
void hook_secret_free(struct hook_secret *s); /* wipes */

/*
 * Whether the body is signed: HMAC-SHA256 in lower-case hex in X-Forgejo-Signature, X-Gitea-Signature or X-Gogs-Signature, or behind "sha256=" in
 * X-Hub-Signature-256. One at least is there, and each that is there is right. `header` gives a header's value or NULL.
 */
typedef const char *(*hook_header_fn)(const char *name, void *arg);
bool hook_is_signed(const struct hook_secret *s, const void *body, size_t len, hook_header_fn header, void *arg);

#endif
