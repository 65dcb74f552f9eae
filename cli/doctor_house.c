/*
 * What doctor looks at on this machine: files with secrets, the identity, the spool, the keys to the API.
 */
#include "cli/cli.h"
#include "cli/compose.h"
#include "cli/doctor.h"
#include "cli/owner.h"
#include "cli/secrets.h"
#include "compose/check.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"
#include "vault/token.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOG_MAX_BYTES (16 << 20) /* of one run, as the runner lets through */

#define AS_ROOT "run doctor as the user of the dispatcher, or as root"

/* Whether the file is nobody else's. Whose it must be depends on the role that reads it, so that only its mode is looked at. */
static bool look_at_file(struct doctor *d, const char *key, const char *path)
{
	cleanup_free char *mend = xasprintf("chmod 0400 %s", path);
	struct stat st;

	if (stat(path, &st) < 0 && errno == EACCES)
		doctor_note(d, "files", "%s: %s can't be looked at by this user; " AS_ROOT, key, path);
	else if (stat(path, &st) < 0)
		doctor_finding(d, "files", "put it there, or take the key out of the configuration", "%s: %s: %s", key, path,
		               strerror(errno));
	else if (!S_ISREG(st.st_mode))
		doctor_finding(d, "files", "name a file", "%s: %s is not a regular file", key, path);
	else if (st.st_mode & 077)
		doctor_finding(d, "files", mend, "%s: %s: its mode %04o lets others in", key, path, (unsigned)(st.st_mode & 07777));
	else
		return true;
	return false;
}

void doctor_files(struct doctor *d)
{
	const struct {
		const char *key, *path;
	} files[] = {
	    {"git_token_file", d->config.git_token_file},
	    {"ssh_key_file", d->config.ssh_key_file},
	    {"signing_key_file", d->config.signing_key_file},
	    {"webhook_secret_file", d->config.webhook_secret_file},
	    {"registry_auth_file", d->config.registry_auth_file},
	    {"approval.forge_token_file", d->config.approval.forge_token_file},
	    {"on_drained.headers_file", d->config.on_drained.headers_file},
	};
	size_t named = 0, good = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (!files[i].path)
			continue;
		named++;
		good += look_at_file(d, files[i].key, files[i].path);
	}
	if (named == good)
		doctor_ok(d, "files", "%zu files with tokens and keys are their owners' alone", named);
}

void doctor_identity(struct doctor *d)
{
	cleanup_err struct err why = ERR_INIT;

	if (!d->config.identity_file)
		doctor_finding(d, "identity",
		               "`disinto secrets keygen FILE`, put its recipient into vault/recipients.txt, and name the file",
		               "identity_file is not set, so that no secret can be opened");
	else if (geteuid() != 0 && access(d->config.identity_file, R_OK) < 0 && errno == EACCES)
		doctor_note(d, "identity", "%s can't be read by this user; " AS_ROOT, d->config.identity_file);
	else if (secrets_identities(&d->config, NULL, &d->ids, &why) < 0)
		doctor_finding(d, "identity", "it must be a regular file with an age identity, its owner's alone (0400)", "%s",
		               err_msg(&why));
	else
		doctor_ok(d, "identity", "%s is its owner's alone and holds %zu keys", d->config.identity_file,
		          age_identities_count(d->ids));
}

/* What all runs at once may leave there, log and artifacts. */
static uint64_t wanted_bytes(const struct config *config)
{
	return (uint64_t)config->capacity * (LOG_MAX_BYTES + ARTIFACTS_MAX_BYTES);
}

void doctor_spool(struct doctor *d)
{
	const char *path = d->config.spool;
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st) < 0 && errno == ENOENT) {
		doctor_note(d, "spool", "%s is not there yet; the dispatcher makes it", path);
		return;
	}
	if (stat(path, &st) < 0 || statvfs(path, &fs) < 0) {
		doctor_finding(d, "spool", "let the dispatcher's user into its folder", "%s: %s", path, strerror(errno));
		return;
	}
	uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize, want = wanted_bytes(&d->config);
	if (!S_ISDIR(st.st_mode))
		doctor_finding(d, "spool", "name a folder", "%s is not a folder", path);
	else if (st.st_mode & 066)
		doctor_finding(d, "spool", "chmod go-rw it: logs and results lie there", "%s: its mode %04o lets others look", path,
		               (unsigned)(st.st_mode & 07777));
	else if (fs.f_flag & ST_RDONLY)
		doctor_finding(d, "spool", "mount it writable", "%s is on a file system that is read-only", path);
	else if (free_bytes < want)
		doctor_finding(d, "spool", "make room, lower keep_runs_days or capacity, or give the spool a file system of its own",
		               "%s has %llu MiB free; %d runs at once may leave %llu MiB", path, (unsigned long long)(free_bytes >> 20),
		               d->config.capacity, (unsigned long long)(want >> 20));
	else if (fs.f_files > 0 && fs.f_favail < 10000)
		doctor_finding(d, "spool", "make room: each run is a few files", "%s has only %llu inodes free", path,
		               (unsigned long long)fs.f_favail);
	else
		doctor_ok(d, "spool", "%s has %llu MiB free", path, (unsigned long long)(free_bytes >> 20));
}

/* Keys to the API, of the file that only the dispatcher writes. */
void doctor_tokens(struct doctor *d)
{
	cleanup_free char *path = path_join(d->config.spool, TOKENS_FILE);
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_json json_t *list = NULL;
	cleanup_err struct err why = ERR_INIT;
	struct stat st;
	size_t i, operate = 0;
	const json_t *token;

	if (stat(path, &st) < 0) {
		doctor_ok(d, "tokens", "there are none, so that nobody is let in over TCP");
		return;
	}
	if (file_read(owner_readable(path), TOKENS_FILE_MAX_BYTES, &text, &why) < 0) {
		doctor_note(d, "tokens", "%s can't be read by this user; " AS_ROOT, path);
		return;
	}
	if (tokens_parse(text.data, text.len, &list, &why) < 0) {
		doctor_finding(d, "tokens", "move it away and make the tokens anew with `disinto token add`", "%s: %s", path,
		               err_msg(&why));
		return;
	}
	json_array_foreach (list, i, token)
		operate += text_of(token, "scope") && strcmp(text_of(token, "scope"), "operate") == 0;
	if (st.st_mode & 077)
		doctor_finding(d, "tokens", "chmod 0600 it; what is kept are hashes, but others need not know them",
		               "%s: its mode %04o lets others in", path, (unsigned)(st.st_mode & 07777));
	else
		doctor_ok(d, "tokens", "%zu, of which %zu may operate", json_array_size(list), operate);
}

void doctor_compose(struct doctor *d)
{
	cleanup_free char *folder = compose_folder(&d->config);
	cleanup_free char *file = compose_find(folder);
	cleanup_json json_t *findings = NULL;
	cleanup_err struct err why = ERR_INIT;
	const json_t *one;
	size_t i;

	if (!file)
		return;
	if (compose_check((const char *const[]){file}, 1, &findings, &why) < 0) {
		doctor_finding(d, "compose", "`disinto compose check` says more", "%s", err_msg(&why));
		return;
	}
	json_array_foreach (findings, i, one)
		doctor_finding(d, "compose", "docs/site.md says what each kind means", "%s: %s: %s%s%s", text_of(one, "where"),
		               text_of(one, "kind"), text_of(one, "service") ? text_of(one, "service") : "",
		               text_of(one, "service") ? ": " : "", text_of(one, "message"));
	if (json_array_size(findings) == 0)
		doctor_ok(d, "compose", "%s: only the services that need it reach the engine's socket", file);
}
