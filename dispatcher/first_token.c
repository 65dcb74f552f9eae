/* The first API token: made on the first start that somebody watches, and shown to him this once. */
#include "dispatcher/confine.h"
#include "dispatcher/open.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/token.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int save(const struct role_args *args, const char *hash, struct err *err)
{
	cleanup_json json_t *list = json_array();
	char now[21];

	if (tokens_add(list, "first", scope_name(SCOPE_OPERATE), hash, time_format(now_wall_ms(), now), err) < 0)
		return -1;
	cleanup_json json_t *file = json_pack("{s:O}", "tokens", list);
	cleanup_free char *text = json_pretty(file);
	if (file_write_at(args->spool_fd, TOKENS_FILE, text, strlen(text), 0600, err) < 0)
		return -1;
	if (args->config->separation == SEPARATION_REQUIRED &&
	    fchownat(args->spool_fd, TOKENS_FILE, role_uid(ROLE_CORE), role_uid(ROLE_CORE), AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_FAIL, TOKENS_FILE ": can't be handed to core");
	return 0;
}

/* A container that was given a terminal has it as its console, and the engine keeps in a log what is written there; so do others with a machine's. */
static bool is_watched(int terminal, const char *console)
{
	struct stat its, log;

	return isatty(terminal) && fstat(terminal, &its) == 0 && !(stat(console, &log) == 0 && its.st_rdev == log.st_rdev);
}

int first_token(const struct role_args *args, int terminal, const char *console, struct err *err)
{
	char text[TOKEN_TEXT_MAX], hex[65];
	uint8_t hash[32];

	if (args->listen_fd < 0 || faccessat(args->spool_fd, TOKENS_FILE, F_OK, 0) == 0)
		return 0;
	if (!is_watched(terminal, console)) {
		log_info("no API token yet: make one with `disinto token add NAME --scope read`", NULL);
		return 0;
	}
	token_new(text, hash);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	int rc = save(args, hex, err);
	if (rc == 0)
		dprintf(terminal, "API token 'first', scope operate, shown this once (disinto token revoke first): %s\n", text);
	sodium_memzero(text, sizeof text);
	return rc;
}
