/* The parent process. */
#ifndef DISPATCHER_PARENT_H
#define DISPATCHER_PARENT_H

#include "dispatcher/dispatcher.h"

/* Forks the roles and keeps them; returns the exit code when core says QUIT. -1: could not begin. */
int parent_run(const struct role_args *args, struct err *err);

#endif
