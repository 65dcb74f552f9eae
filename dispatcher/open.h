/*
 * What the parent opens for the roles: once at the start, and the part that the configuration names once more when it was changed.
 */
#ifndef DISPATCHER_OPEN_H
#define DISPATCHER_OPEN_H

#include "dispatcher/dispatcher.h"

/* No descriptor is open in it yet. */
#define ROLE_ARGS_INIT \
	{ \
		.sock = -1, .identity_fd = -1, .signing_fd = -1, .spool_fd = -1, .lock_fd = -1, .runner_fd = -1, .listen_fd = -1, \
		.api_fd = -1, .hook_fd = -1 \
	}

/*
 * Everything, for args->config: the spool and its lock (ERR_EXISTS: another dispatcher has it), the runner, the sockets, and what
 * open_configured opens. *ret_id, owned by the caller, is the dispatcher's id, and args->dispatcher_id borrows it.
 */
int open_all(struct role_args *args, char **ret_id, struct err *err);
/* At the end: what should not stay behind on disk. The descriptors end with the process. */
void close_all(const struct role_args *args);

/*
 * Reads the configuration anew from its file. 0: *config is the new one, `args` has its files and its address. -1: it is no good, names
 * what can't change while the dispatcher lives, or what it names can't be opened; nothing changed. Roles that run keep what they were forked with.
 */
int open_again(struct config *config, struct role_args *args, struct err *err);

/*
 * Where the API is served over TCP and the spool has no list of tokens yet: makes one with the scope operate and writes it to `terminal`, once; if that is no terminal,
 * or the one at the path `console`, where it would stay in somebody's log, makes none. -1: the spool can't be written.
 */
int first_token(const struct role_args *args, int terminal, const char *console, struct err *err);

#endif
