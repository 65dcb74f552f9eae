/*
 * The parent with few privileges. In a container root has SETUID, SETGID, KILL and CHOWN only, and so obeys modes like everybody else: what belongs to
 * another user it opens as that user, and what a role must open by itself and can't it copies for the role. Only with `separation: required`.
 */
#ifndef DISPATCHER_LEND_H
#define DISPATCHER_LEND_H

#include "dispatcher/dispatcher.h"
#include <sys/types.h>

/*
 * The effective user and group of the process, until act_as_root. Of one thread, and not for long: signals that come meanwhile are
 * handled with that user's rights.
 */
int act_as(uid_t uid, gid_t gid, struct err *err);
void act_as_root(void);

/*
 * Acts as the owner of a file that the configuration names, where that is the owner of the configuration itself: who writes it decides what is opened anyway.
 * Anybody else's file is left to root's rights. Always ended by act_as_root.
 */
int act_as_owner(const struct config *config, const char *path, struct err *err);

/*
 * Copies the credentials that a role reads by itself (git_token_file, ssh_key_file, registry_auth_file, …) and can't, since they belong to somebody else, to
 * /run/disinto-<dispatcher id>/<key> (or below /dev/shm: a tmpfs in any case), mode 0400, the role's own. What a role can read stays where it is, and may be changed at any time; a copy
 * is taken again at SIGHUP. -1: the copies of before are as they were.
 */
int lend_all(const struct role_args *args, struct err *err);
/* In the role's process: its configuration names its copies (registry_auth_file: `args` does, since the original is what must not be mounted). */
void lend_apply(enum role r, struct config *config, struct role_args *args);
/* Removes the copies. */
void lend_end(const struct role_args *args);

#endif
