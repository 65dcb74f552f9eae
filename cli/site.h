/*
 * A site in the making (init).
 */
#ifndef CLI_SITE_H
#define CLI_SITE_H

#include "lib/err.h"
#include <stdbool.h>
#include <stddef.h>

struct site {
	char *dir;     /* as the user named it */
	char *ops_url; /* NULL: ops.git is made */
	const char *branch;
	char *token_file;         /* or NULL */
	const char *runner_image; /* or NULL */
	const char *forge_url;    /* or NULL: approval is what lands */
	const char *approver;     /* with a forge: whose reviews count */
	char *forge_token_file;   /* with a forge */
	const char *domain;       /* or NULL: the site is served over plain HTTP */
	bool ssh;                 /* the ops repo is reached over ssh */
	char *known_hosts;        /* text, for ssh: the only host keys to accept */
	char *bot_key;            /* guarded memory */
	size_t bot_key_len;
	char *bot_public; /* "ssh-ed25519 AAAA… disinto" */
	char *policy;     /* text of vault/policy.yaml */
	char *identity;   /* guarded memory */
	size_t identity_len;
	char *recipient;
	bool setup_branch; /* the server wanted a review of the skeleton */
};

/* site_ssh.c: how the bot is known to the git server, and that server to the bot. */

struct args;
/* Sets `ssh` and, for ssh, known_hosts: from --known-hosts or --host-key (or their variables), else from what a person types. Never from the server. */
int site_pin_host(struct site *s, const struct args *args, struct err *err);
/* Sets bot_key and bot_public. */
int site_make_key(struct site *s, struct err *err);
/* The known hosts as a temporary file, for ssh. site_end_loan() removes it. */
int site_lend_hosts(const struct site *s, char **ret_path, struct err *err);
void site_end_loan(char **path);
int site_write_ssh(const struct site *s, int dir, struct err *err);

/* site_files.c: what docker compose needs, beside the text of dispatcher.yaml. */
int site_write_compose(const struct site *s, const char *config_text, int dir, struct err *err);

/* skeleton.c: what vault/ needs. */

/* Makes a bare repository that holds it. */
int site_make_repo(const struct site *s, const char *path, struct err *err);
/* Lets the group of a separated dispatcher's git role write in it too (docs/security.md), where that lets in nobody else. */
int site_share_repo(const char *path, struct err *err);
/*
 * Adds to the repository at ops_url what is missing, and our recipient: on its branch or, where the server won't have that, on a branch
 * for review (setup_branch).
 */
int site_use_repo(struct site *s, struct err *err);

#endif
