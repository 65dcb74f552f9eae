/*
 * The version of all three programs, in one place.
 */
#ifndef VAULT_VERSION_H
#define VAULT_VERSION_H

#define DISINTO_VERSION "0.1.0"

#endif
