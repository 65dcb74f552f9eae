/*
 * What POST /dispatch may ask for (docs/operations.md): a task, from which an action of the formula `full-loop` is made, or an action as it will stand in its file.
 * Pure: no git, no policy; whether the action may be proposed is for others to say.
 */
#ifndef VAULT_DISPATCH_H
#define VAULT_DISPATCH_H

#include "lib/err.h"
#include "vault/name.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define DISPATCH_FORMULA "full-loop"
#define DISPATCH_TASK_MAX 128
#define DISPATCH_TASK_RULE "letters, digits and . _ -, at most 128 characters"

bool dispatch_is_task(const char *s); /* [A-Za-z0-9._-]{1,128} */

/*
 * The action's id of a task: what of its name an id may have, "-", and 8 hex digits of the SHA-256 of the whole name, so that different tasks get
 * different ids. The name must be one.
 */
void dispatch_task_action(const char *task, char ret_id[static VAULT_ID_MAX + 1]);

/* Life: DISPATCH_INIT -> dispatch_read -> dispatch_free. */
struct dispatch {
	char *task_id; /* as its client calls it: the task's name, or the action's id */
	char id[VAULT_ID_MAX + 1];
	char *repo;        /* that it names; NULL: none */
	json_t *action;    /* as in its file; of a task without `secrets`, */
	bool asks_secrets; /* which are then those that the formula asks for */
};
#define DISPATCH_INIT \
	{ \
		.task_id = NULL \
	}

/* Where a request names no id it gets "dispatch-<fresh>". ERR_INVALID: "<field>: <rule>", for the first field that is wrong. */
int dispatch_read(const char *text, size_t len, const char fresh[static 9], struct dispatch *ret, struct err *err);
void dispatch_free(struct dispatch *d);
#define cleanup_dispatch __attribute__((cleanup(dispatch_free)))

#endif
