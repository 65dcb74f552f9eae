/*
 * Image references in one spelling, and the patterns that policy compares with them, so that no image is another one only
 * because it is written otherwise.
 *
 * The grammar is github.com/distribution/reference; what Docker would add is added: "debian" is "docker.io/library/debian:latest". A tag beside a
 * digest goes, since Docker does not look at it. An image's id (64 hexadecimal digits, "sha256:" before them or not) is "sha256:…".
 */
#ifndef VAULT_IMAGE_H
#define VAULT_IMAGE_H

#include "lib/err.h"
#include "vault/check.h"
#include <stdbool.h>

/* ERR_INVALID: what Docker would take for no reference, or would not find by one; the message does not name it. Caller frees *ret. */
int image_normalise(const char *reference, char **ret, struct err *err);

/* Whether a normalised reference names content: by digest, or as an id. */
bool image_is_pinned(const char *normalised);

/* The form of a pattern: characters and length. */
extern const struct check_kind check_image_pattern;

/*
 * A pattern is a reference in which `*` is any run of characters, also of / and :. It is normalised like a reference, but that without a tag and with
 * `*` at its end it covers every tag, and that "docker.io/x*" is taken as it stands. The registry has no `*`; only the pattern "*" covers all.
 * ERR_INVALID otherwise. Caller frees *ret.
 */
int image_pattern_normalise(const char *pattern, char **ret, struct err *err);

/*
 * Both normalised. A reference with a digest matches a pattern with @ by its digest, and one without @ only if that covers every tag of
 * its name: which tag a digest belongs to, or belonged to once, can't be told from the reference. An id matches itself and "*".
 */
bool image_matches(const char *image, const char *pattern);

#endif
