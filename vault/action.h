/*
 * An action: one JSON file that asks for one run of a formula (docs/formats.md).
 */
#ifndef VAULT_ACTION_H
#define VAULT_ACTION_H

#include "lib/err.h"
#include "lib/json.h"
#include <jansson.h>

enum tier { TIER_NONE = -1, TIER_LOW, TIER_MEDIUM, TIER_HIGH };
const char *tier_name(enum tier t);

#define ACTION_MAX_BYTES 65536

struct action {
	json_t *json; /* owned; as parsed, with empty tools, mounts and inputs added where absent; what follows borrows from it */
	const char *id;
	const char *formula;
	const char *context;
	const json_t *secrets;  /* array of names, never NULL */
	const json_t *tools;    /* array, never NULL */
	const json_t *mounts;   /* array, never NULL */
	const json_t *inputs;   /* object of strings, never NULL */
	const char *model;      /* or NULL */
	int timeout_minutes;    /* 0: the formula's */
	enum tier blast_radius; /* TIER_NONE when absent */
};

/*
 * Parses and checks the text of vault/actions/<id>.json. ERR_INVALID: "vault/actions/<id>.json: <key>: <rule>".
 * `id` is the one in the file name, and must equal the one inside.
 */
int action_parse(const char *id, const char *text, size_t len, struct action *ret, struct err *err);
/* The same checks on a parsed value (takes a new reference). */
int action_from_json(const char *id, json_t *json, struct action *ret, struct err *err);
void action_free(struct action *a);
#define cleanup_action __attribute__((cleanup(action_free)))
#define ACTION_INIT \
	{ \
		.json = NULL \
	}

#endif
