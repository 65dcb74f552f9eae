/*
 * Sets of strings as policy keeps them: JSON arrays, sorted by bytes, each string once. For vault/policy/policy*.c only.
 */
#ifndef VAULT_POLICY_SET_H
#define VAULT_POLICY_SET_H

#include <jansson.h>

/* The strings of an array (NULL: none) as a set. Caller owns. */
json_t *set_of(const json_t *strings);
/* What is in both sets. Caller owns. */
json_t *set_common(const json_t *a, const json_t *b);
/* All arrays of both, each array once, in an order that does not depend on which came first. Caller owns. */
json_t *set_of_sets(const json_t *a, const json_t *b);

#endif
