/*
 * What is told on a forge: pairs of labels and texts as they are told on a terminal, in a block from which nothing that somebody else wrote can break out.
 */
#ifndef VAULT_TOLD_H
#define VAULT_TOLD_H

#include "lib/buf.h"

/* Appends "  label   text", with further lines of the text under the first. A text that is NULL is nothing to tell. */
void told_pair(struct buf *out, const char *label, const char *text);
/* Appends the text, of whole lines, as a block of code in Markdown. */
void told_block(struct buf *out, const char *text);

#endif
