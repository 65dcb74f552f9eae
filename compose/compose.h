/*
 * A site's docker-compose.yml: the model (templates/compose.yaml and what this site adds to it) and its text.
 *
 * Inside of the service `edge`:
 *   /etc/disinto/dispatcher.yaml   the site's configuration, read-only
 *   /etc/disinto/ops.git           the ops repo, where it is a folder of this machine
 *   /etc/caddy/Caddyfile           read-only
 *   /var/lib/disinto               the spool, a volume; /var/lib/caddy Caddy's, likewise
 *   /run/secrets/<key>             each file that the configuration names, under its key (identity_file, approval_forge_token_file), as it is on the
 *                                  host; DISINTO_<KEY> says so, and the dispatcher lends it to the role that needs it
 * The API listens on 127.0.0.1:8080 there; what is outside comes through Caddy, under /disinto/.
 */
#ifndef COMPOSE_COMPOSE_H
#define COMPOSE_COMPOSE_H

#include "lib/buf.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define COMPOSE_FILE "docker-compose.yml"
#define COMPOSE_OVERRIDE "docker-compose.override.yml"
#define COMPOSE_CADDYFILE "Caddyfile"
#define COMPOSE_ENV_EXAMPLE ".env.example"

/* A file that the configuration names. */
struct compose_input {
	const char *key;      /* "approval.forge_token_file" */
	const char *variable; /* "DISINTO_APPROVAL_FORGE_TOKEN_FILE" */
	const char *path;     /* on the host: absolute, or relative to the site's folder with "./" in front */
};

/* What tells one site from another. All is borrowed. */
struct compose_site {
	const char *version; /* of the images that the project builds */
	const struct compose_input *inputs;
	size_t n_inputs;
	const char *repo;     /* the ops repo, where it is a folder of this machine: path as in inputs; else NULL */
	const json_t *hosts;  /* the configuration's allowed_hosts, to which DOMAIN is added; NULL or empty: none */
	const json_t *mounts; /* the configuration's, with the host's absolute paths; NULL or empty: none */
};

/* The compose file as a tree. Caller owns it. */
json_t *compose_model(const struct compose_site *site);

/* The text of docker-compose.yml: a head that holds the digest of the rest, and the model. */
void compose_text(const struct compose_site *site, struct buf *ret);
/* Did compose_text() write it, and nobody change it since? */
bool compose_is_ours(const char *text, size_t len);

/* The text of .env.example. */
void compose_env_text(const struct compose_site *site, struct buf *ret);
/* The Caddyfile, the same for every site. */
extern const char compose_caddyfile[];

#endif
