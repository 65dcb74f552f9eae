/*
 * What a compose file gives away: reach to the engine's socket (which is root on its machine) and to the dispatcher's control plane, secrets in clear,
 * names that stand for two things, services that would not come back, images that change by themselves.
 */
#ifndef COMPOSE_CHECK_H
#define COMPOSE_CHECK_H

#include "lib/err.h"
#include <jansson.h>
#include <stddef.h>

/*
 * Judges the files as compose would read them together (`-f A -f B`); a docker-compose.override.yml beside a single docker-compose.yml belongs to it. Variables come from the
 * environment, else from .env in the first file's folder; files that they name (extends, include, env_file) are read as well. Links are followed, on this machine.
 *
 * *ret_findings (caller owns): an array of {"kind", "service" (or null), "where" ("docker-compose.yml:12"), "message"}; empty: nothing was found. What can't be judged is a
 * finding too. -1: one of `files` can't be read, or is no compose file. docs/site.md lists the kinds.
 */
int compose_check(const char *const *files, size_t n, json_t **ret_findings, struct err *err);

#endif
