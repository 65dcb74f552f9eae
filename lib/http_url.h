/*
 * What the HTTP client asks about URLs; libcurl parses them, so that both always agree about what a URL means.
 */
#ifndef LIB_HTTP_URL_H
#define LIB_HTTP_URL_H

#include <stdbool.h>

/* The URL without user and password, as messages may show it; NULL when it is none. Caller frees. */
char *url_without_user(const char *url);

/* Whether `url` is at the scheme, host and port of base. */
bool url_same_place(const char *base, const char *url);

#endif
