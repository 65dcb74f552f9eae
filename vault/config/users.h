/*
 * The users that the dispatcher's roles have where they are separated (docs/security.md): numbers that no distribution hands out.
 */
#ifndef VAULT_USERS_H
#define VAULT_USERS_H

#define ROLE_UID_BASE 60706u /* parent; the others follow in the order of enum role */
#define ROLE_UID_GIT 60708u

#endif
