/*
 * What the HTTP client asks about URLs; libcurl parses them, so that both always agree about what a URL means.
 */
#ifndef LIB_HTTP_URL_H
#define LIB_HTTP_URL_H

#include "lib/buf.h"
#include <stdbool.h>

/* Appends the URL without user and password, as messages may show it. */
void url_show(struct buf *b, const char *url);

/* Whether `url` is at the scheme, host and port of base, and brings no user of its own. */
bool url_same_place(const char *base, const char *url);

#endif
