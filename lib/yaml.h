/*
 * YAML into JSON values, so that one validator serves both. The subset is what people mean: block and flow
 * mappings and sequences, scalars plain, quoted and literal. Refused with ERR_INVALID and "line 6: steps[1].run: ..." (without a path
 * where there is none yet): anchors, aliases, tags, directives, several documents, duplicate or non-string keys, merge keys, too much depth
 * or size, and every character that text_check() refuses.
 * Plain scalars follow the JSON schema of YAML 1.2: true, false, null (and empty, ~) are themselves, [-]?[0-9]+ is an
 * integer, a plain decimal number (1.0, 0.5) a real; all else (`no`, `1e3`, `0x10`, 2026-01-01) is a string.
 */
#ifndef LIB_YAML_H
#define LIB_YAML_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"

/* Caller owns *ret. An empty document is an empty object. */
int yaml_parse(const char *text, size_t len, const struct json_limits *limits, json_t **ret, struct err *err);

/*
 * The same, and where each value stands: *ret_lines is an object from a value's path, as json_reader's messages begin with it
 * ("steps[2].run"), to the line of its key, counted from 1. Caller owns both.
 */
int yaml_parse_lines(const char *text, size_t len, const struct json_limits *limits, json_t **ret, json_t **ret_lines, struct err *err);

/*
 * Appends the value as a document in block style, members in the order in which they were put in. Strings that some reader of YAML 1.1 or 1.2 takes
 * for anything else stand in quotes, so that all read back the same value.
 */
void yaml_emit(const json_t *value, struct buf *ret);

#endif
