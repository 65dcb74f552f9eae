/* Separation of the roles: users, descriptors, limits. */
#ifndef DISPATCHER_CONFINE_H
#define DISPATCHER_CONFINE_H

#include "dispatcher/dispatcher.h"
#include <sys/types.h>

/* The user (and group) that a role runs as where separation is required. */
uid_t role_uid(enum role r);

/* A sentence that says what is not separated, or NULL. */
const char *separation_note(const struct config *config);

/* ERR_DENIED: the configuration requires more than this start can give. */
int separation_check(const struct config *config, struct err *err);

#endif
