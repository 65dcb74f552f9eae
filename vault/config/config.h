/*
 * The site's configuration: dispatcher.yaml and DISINTO_* variables (docs/configuration.md).
 */
#ifndef VAULT_CONFIG_H
#define VAULT_CONFIG_H

#include "lib/err.h"
#include "lib/log.h"
#include <jansson.h>
#include <stdbool.h>

enum separation { SEPARATION_REQUIRED, SEPARATION_BEST_EFFORT };
enum approval_mode { APPROVAL_LANDED, APPROVAL_SIGNED, APPROVAL_FORGE };
const char *approval_mode_name(enum approval_mode m);

/* Owned by the configuration; paths are absolute (relative ones are taken from the file's folder). */
struct config {
	char *file; /* where it was read from */
	char *ops_repo;
	char *branch;         /* "main" */
	char *git_token_file; /* this and other files: NULL when not set */
	int poll_seconds;     /* 1..3600, default 2 */
	char *spool;
	char *dispatcher_id;        /* NULL: made once and kept in the spool */
	enum separation separation; /* default: best_effort */
	char *claims;               /* "ledger" or "local" */
	char *identity_file;
	int capacity;      /* 1..1024, default 4 */
	char *docker_host; /* socket path without "unix://" */
	char *registry_auth_file;
	char *runner_image;
	json_t *mounts;   /* alias -> {source, target} */
	json_t *networks; /* name -> docker network */
	json_t *agents;   /* name -> [argv…] */
	struct {
		enum approval_mode minimum;
		bool allow_direct;
		char *allowed_signers;
		json_t *approvers;
		char *forge_url;
		char *forge_token_file;
	} approval;
	char *listen; /* "127.0.0.1:8080", "off" for none */
	json_t *allowed_repos;
	json_t *allowed_hosts; /* names under which it is asked, beside addresses and names without a dot */
	char *webhook_secret_file;
	bool report_results; /* on the forge */
	int max_pending, archive_after_days, keep_runs_days;
	int drain_seconds; /* 0..86400, default 8 */
	char *known_hosts_file, *ssh_key_file, *signing_key_file, *ca_file;
	struct {
		char *url;    /* NULL: nothing is called, and the others are NULL too */
		char *method; /* NULL: POST */
		char *headers_file, *body;
	} on_drained;
	enum log_level log_level;
	bool log_json;
};

/*
 * Finds the file (`path` if not NULL, else $DISINTO_CONFIG, ./dispatcher.yaml, /etc/disinto/dispatcher.yaml), reads it, applies DISINTO_<KEY> variables
 * (nested keys joined by _; an empty variable counts as not set) and checks everything. ERR_NOT_FOUND: there is no file. ERR_INVALID:
 * "<file>: <key>: <what is wrong>; <what is allowed>" (or "DISINTO_X: …").
 */
int config_load(const char *path, struct config *ret, struct err *err);
/* The same for a text; `file` is its name in messages, and its folder is where relative paths begin. */
int config_parse(const char *file, const char *text, size_t len, struct config *ret, struct err *err);
void config_free(struct config *c);
#define cleanup_config __attribute__((cleanup(config_free)))
#define CONFIG_INIT \
	{ \
		.file = NULL \
	}

/* The names of all keys ("approval.minimum"), one for each i from 0; NULL after the last. */
const char *config_key_name(size_t i);
/* The variable of a key: "approval.minimum" is DISINTO_APPROVAL_MINIMUM. Caller frees. */
char *config_variable_name(const char *key);
/* The file that key i of this configuration names (not the spool, nor the repository); NULL: it is another key, or names none. Borrowed. */
const char *config_key_file(const struct config *c, size_t i);

#endif
