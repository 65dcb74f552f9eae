/*
 * SSH's wire format (RFC 4251, section 5) and the armour that OpenSSH puts around it; for vault/ssh/ssh_*.c and vault/ssh/allowed_signers.c.
 */
#ifndef VAULT_SSH_WIRE_H
#define VAULT_SSH_WIRE_H

#include "lib/buf.h"
#include "lib/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSH_ED25519 "ssh-ed25519"

/* What is left to read; points into somebody else's bytes. */
struct ssh_slice {
	const uint8_t *p;
	size_t len;
};

/* Take a value off the front. false: it is not all there, and nothing was taken. */
bool ssh_take_u32(struct ssh_slice *from, uint32_t *ret);
bool ssh_take_string(struct ssh_slice *from, struct ssh_slice *ret);
/* Takes a string that must be exactly this text. */
bool ssh_take_text(struct ssh_slice *from, const char *text);
/* Takes bytes that must be exactly these. */
bool ssh_take_bytes(struct ssh_slice *from, const void *bytes, size_t len);

bool ssh_slice_is(struct ssh_slice s, const char *text);
/* A name out of foreign bytes, for a message: itself when it is made of harmless characters and short, else "unknown". */
const char *ssh_shown_name(struct ssh_slice s, char buf[static 65]);

void ssh_put_u32(struct buf *to, uint32_t value);
void ssh_put_string(struct buf *to, const void *data, size_t len);

/*
 * Takes the armour off: the line "-----BEGIN <label>-----", canonical base64 in lines of equal length (4 to 76; the last one may be shorter), the line
 * "-----END <label>-----", nothing before or behind; lines end with LF, which the last one may lack. `ret` has room for 3/4 of len bytes. ERR_INVALID. No copy
 * of the content is made elsewhere, so that keys can be read into guarded memory.
 */
int ssh_armour_decode(const char *text, size_t len, const char *label, uint8_t *ret, size_t *ret_len, struct err *err);
/* Puts it on, in lines of 70 as OpenSSH writes them. */
void ssh_armour_encode(struct buf *to, const char *label, const void *data, size_t len);

#endif
