/*
 * Mounts of the configuration: what an operator may let runs have of this machine. By the text of the paths alone, since they are the
 * Docker Engine's, which need not be ours.
 */
#ifndef VAULT_MOUNT_H
#define VAULT_MOUNT_H

#include "lib/err.h"
#include "vault/config/config.h"

/* In the container: absolute, clean, and not where the runner or the kernel has something of its own. ERR_INVALID: the rule. */
int mount_target_check(const char *target, struct err *err);

/*
 * On the machine: absolute, without `..`; not Docker's socket or its data, not the kernel's folders, not the spool, and no file of the configuration
 * that holds a credential; nor anything that these lie in. ERR_INVALID: what it would give away.
 */
int mount_source_check(const struct config *c, const char *source, struct err *err);

#endif
