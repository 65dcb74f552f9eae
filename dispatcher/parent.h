/* The parent process. */
#ifndef DISPATCHER_PARENT_H
#define DISPATCHER_PARENT_H

#include "dispatcher/dispatcher.h"

/*
 * Forks the roles and keeps them; returns the exit code when core says QUIT. -1: could not begin. `config` is args->config: SIGHUP replaces what is in it,
 * and then all roles, with what it says now.
 */
int parent_run(const struct role_args *args, struct config *config, struct err *err);

#endif
