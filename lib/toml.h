/*
 * TOML 1.0 (https://toml.io/en/v1.0.0) into JSON values, for files of older tools. Dates and times become strings as they stand there. Refused with ERR_INVALID and
 * "line N: …": what the specification refuses, inf and nan (JSON has none), characters that text_check() refuses, more size or depth than allowed.
 * Debian has no C library for it.
 */
#ifndef LIB_TOML_H
#define LIB_TOML_H

#include "lib/err.h"
#include "lib/json.h"

/* Caller owns *ret, an object. */
int toml_parse(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err);

#endif
