/* The ledger beside the history: each result has its claim and its done entry, and each done entry its result. */
#ifndef VAULT_AUDIT_LEDGER_H
#define VAULT_AUDIT_LEDGER_H

#include "vault/audit/audit_history.h"
#include "vault/audit/audit_judge.h"

/* Opens rules.ledger, if there is one. What is wrong with it as a whole is a finding. */
int audit_ledger_open(struct audit_judge *j, struct err *err);
/* Holds the events of one id's result against its entries. */
int audit_ledger_judge(struct audit_judge *j, const struct audit_event *results, size_t n, struct err *err);
/* Once all were judged: what the ledger has besides. */
int audit_ledger_end(struct audit_judge *j, struct err *err);
void audit_ledger_close(struct audit_judge *j);

#endif
