/*
 * The table of configuration keys: what drives the file, the variables, the defaults, the checks and the messages. Used by
 * config.c (which value counts), config_keys.c (the table) and config_read.c (checks and conversions) only.
 */
#ifndef VAULT_CONFIG_KEYS_H
#define VAULT_CONFIG_KEYS_H

#include "vault/check.h"
#include "vault/config/config.h"
#include <stddef.h>

/* What the member of struct config is. A variable's text is the value itself for strings, and YAML for all others. */
enum config_member { MEMBER_STRING, MEMBER_TREE, MEMBER_PLAIN };

struct config_key {
	const char *name; /* with a dot for nested keys */
	enum config_member member;
	size_t offset; /* of the member */
	/* Checks the value and stores it at `ret`; nothing is stored on failure. `base`: folder where relative paths begin. */
	int (*read)(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err);
	const char *fallback; /* default, written as in a variable; NULL: the member stays NULL */
	bool required;
	int min, max;                  /* read_int; read_list: at most max entries */
	const char *const *choices;    /* read_choice, read_word: NULL-terminated */
	const struct check_kind *kind; /* read_name, read_list */
};
extern const struct config_key config_keys[];
extern const size_t n_config_keys;

typedef int config_read(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err);
config_read read_int;    /* int */
config_read read_flag;   /* bool */
config_read read_choice; /* enum: the index of the choice */
config_read read_second; /* bool: whether it is the second of two choices */
config_read read_word;   /* char *: one of the choices */
config_read read_name;   /* char *: of the key's kind */
config_read read_path;   /* char *: made absolute */
config_read read_spool;  /* char *: as read_path, short enough for the socket in it */
config_read read_repo;   /* char *: URL, or a path made absolute */
config_read read_socket; /* char *: path out of unix://PATH */
config_read read_list;   /* json_t *: strings of the key's kind */
config_read read_mounts;
config_read read_networks;
config_read read_agents;
config_read read_body; /* char *: text, or a map as JSON */

extern const struct check_kind config_branch, config_dispatcher_id, config_listen, config_url, config_call, config_approver,
    config_repo_name, config_host_name;

/* The value as messages show it. Caller frees. */
char *config_shown(const json_t *value);

#endif
