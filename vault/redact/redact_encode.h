/*
 * The forms in which a secret is met in logs, each as a byte pattern for the matcher.
 */
#ifndef VAULT_REDACT_ENCODE_H
#define VAULT_REDACT_ENCODE_H

#include <stddef.h>

typedef void redact_form_fn(const unsigned char *form, size_t len, void *arg);

/*
 * Calls `fn` for every form of the value that has at least `min` bytes; equal ones may come more than once. The value itself comes first, then
 * each of its lines without the blanks around it; all of them as they are and
 *   in hex, lower and upper case;
 *   in base64 (RFC 4648, both alphabets) behind 0, 1 or 2 other bytes, less the characters that its neighbours decide;
 *   in base64 from its beginning as lines of 64 and of 76 columns;
 *   in percent encoding (RFC 3986; forms; what browsers leave alone; "/" kept; upper and lower case digits);
 *   in JSON strings (shortest; ASCII only; with "/" or with < > & escaped);
 *   in XML and HTML (text; attributes with the usual spellings of the apostrophe);
 *   in single quotes of the shell, as `set -x` shows them.
 * `form` is wiped after the call.
 */
void redact_forms(const unsigned char *value, size_t len, size_t min, redact_form_fn *fn, void *arg);

#endif
