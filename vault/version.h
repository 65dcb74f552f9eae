/*
 * The version of all three programs, in one place.
 */
#ifndef VAULT_VERSION_H
#define VAULT_VERSION_H

#define DISINTO_VERSION "0.1.0"

/* Of what stands in a spool: a program refuses one that is newer than its own. */
#define SPOOL_VERSION 1
/* A folder in a spool while `disinto restore` fills it; one that is found was not filled to the end. */
#define SPOOL_UNFINISHED ".restore"

#endif
