/* A closer look at single commits and files of the history; each answer is kept in it. */
#ifndef VAULT_AUDIT_LOOK_H
#define VAULT_AUDIT_LOOK_H

#include "vault/audit/audit.h"
#include "vault/audit/audit_history.h"

/* Could a dispatcher have made this commit of results? Sets c->dispatcher, c->foreign and c->bare. */
int audit_commit_look(const struct audit_history *h, const struct audit_rules *rules, struct audit_commit *c, struct err *err);

/* Why the signature of the commit that brought a file does not approve it; NULL: it does, in the name of e->by. Borrowed. */
const char *audit_event_signed(const struct audit_history *h, const struct audit_rules *rules, struct audit_event *e);

/* The formula of an event; *ret is NULL where it is none. Borrowed. -1: it can't be read. */
int audit_event_formula(const struct audit_history *h, struct audit_event *e, const struct formula **ret, struct err *err);

/* Whether a file is a plain one. */
bool audit_is_plain(const struct audit_event *e);

/* Its path in the repository. Caller frees. */
char *audit_event_path(const struct audit_event *e);

#endif
