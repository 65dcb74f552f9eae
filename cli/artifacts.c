/*
 * artifacts: what an action left behind, from the dispatcher where one answers, else from its spool; the list also from the ops repo.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"
#include "vault/name.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

struct source {
	const struct config *config;
	const char *id;
	struct api api;
};

static void source_close(struct source *s)
{
	api_close(&s->api);
}

/* {"artifacts": [...], "left_out": [...]} of a result. Caller owns. */
static json_t *listing(const json_t *result)
{
	json_t *kept = json_object_get(result, "artifacts");
	json_t *left_out = json_object_get(result, "artifacts_left_out");

	return json_pack("{s:o, s:o}", "artifacts", json_is_array(kept) ? json_incref(kept) : json_array(), "left_out",
	                 json_is_array(left_out) ? json_incref(left_out) : json_array());
}

static int list_of_repo(const struct source *s, json_t **ret, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *result = NULL;
	struct ops_item item;

	if (!cli_has_repo(s->config))
		return err_set(err, ERR_NOT_FOUND, "%s: the dispatcher has no artifacts of it; disinto show %s says how it stands", s->id,
		               s->id);
	if (repo_ready(s->config, &repo, err) < 0 || ops_item(repo.git, &repo.tip, s->id, &item, err) < 0)
		return -1;
	result = runs_result(&repo, &item);
	if (!result)
		return err_set(err, ERR_NOT_FOUND, "%s: there are no artifacts; %s", s->id,
		               item.action.there ? "it has no result yet"
		                                 : "there is no such landed action (disinto pending, disinto list)");
	*ret = listing(result);
	return 0;
}

static int list_all(struct source *s, json_t **ret, struct err *err)
{
	cleanup_free char *path = xasprintf("/actions/%s/artifacts", s->id);
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_call(&s->api, "GET", path, &status, &body, cli_has_repo(s->config) ? NULL : err) < 0)
		return cli_has_repo(s->config) ? list_of_repo(s, ret, err) : -1;
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "%s: %s", s->id, api_error(status, body));
	if (status != 200 && status != 409)
		return list_of_repo(s, ret, err);
	if (status == 409)
		return err_set(err, ERR_FAIL, "%s: %s; disinto logs -f %s follows it", s->id, api_error(status, body), s->id);
	*ret = steal_ptr(&body);
	return 0;
}

static int on_data(const char *data, size_t len, void *arg)
{
	struct buf *out = arg;

	if (out->len + len > ARTIFACTS_MAX_BYTES)
		return 1;
	buf_add(out, data, len);
	return 0;
}

/* The bytes, from the dispatcher or its spool. */
static int fetch(struct source *s, const char *name, struct buf *ret, struct err *err)
{
	struct api_stream stream = {.on_data = on_data, .arg = ret};
	cleanup_free char *path = xasprintf("/actions/%s/artifacts/%s", s->id, name);
	cleanup_err struct err why = ERR_INIT;
	long status = 0;

	if (api_stream(&s->api, path, &stream, &status, &why) == 0 && status == 200)
		return 0;
	if (!cli_has_repo(s->config)) {
		if (status != 0)
			return err_set(err, ERR_NOT_FOUND, "%s: the dispatcher does not give it", name);
		err_move(err, &why);
		return -1;
	}
	cleanup_free char *file = xasprintf("%s/runs/%s/artifacts/%s", s->config->spool, s->id, name);
	buf_reset(ret);
	err_clear(&why);
	if (file_read(file, ARTIFACTS_MAX_BYTES, ret, &why) == 0)
		return 0;
	if (why.code == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND,
		               "%s is not here: only the dispatcher that ran %s has it, and keeps it for keep_runs_days (%d)", name, s->id,
		               s->config->keep_runs_days);
	err_move(err, &why);
	return -1;
}

static bool digest_is(const struct buf *data, const char *want)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(digest) + 1];

	crypto_hash_sha256(digest, (const unsigned char *)data->data, data->len);
	sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
	return want && strcmp(hex, want) == 0;
}

/* Nothing that is there already is replaced. */
static int save(struct source *s, int dir, const char *folder, const json_t *one, struct err *err)
{
	cleanup_buf struct buf data = BUF_INIT;
	const char *name = text_of(one, "name");
	cleanup_fd int fd = -1;

	if (!name || !vault_is_artifact(name))
		return err_set(err, ERR_INVALID, "the list holds a name that is none: " VAULT_ARTIFACT_RULE);
	if (fetch(s, name, &data, err) < 0)
		return -1;
	if (!digest_is(&data, text_of(one, "sha256")))
		return err_set(err, ERR_INVALID, "%s is not what the result says: its SHA-256 differs, nothing was written", name);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_EXISTS, "%s/%s is there already; remove it or name another folder", folder, name);
	if (fd < 0)
		return err_errno(err, errno, "%s/%s", folder, name);
	if (fd_write_all(fd, data.data, data.len, err) < 0) {
		unlinkat(dir, name, 0);
		return err_wrap(err, "%s/%s", folder, name);
	}
	return 0;
}

static int save_all(struct source *s, const char *folder, const json_t *list, struct err *err)
{
	const json_t *one;
	size_t i;

	if (dir_make(folder, 0777, err) < 0)
		return -1;
	cleanup_fd int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(err, errno, "%s", folder);
	json_array_foreach (list, i, one)
		if (save(s, dir, folder, one, err) < 0)
			return -1;
	return 0;
}

static void print_list(const json_t *list)
{
	static const char *const headers[] = {"NAME", "BYTES", "SHA256", NULL};
	cleanup_table struct table table;
	const json_t *one;
	size_t i;

	table_init(&table, headers);
	json_array_foreach (list, i, one) {
		cleanup_free char *bytes = xasprintf("%lld", (long long)json_integer_value(json_object_get(one, "bytes")));
		table_add(&table, (const char *const[]){text_of(one, "name"), bytes, text_of(one, "sha256")});
	}
	table_print(&table, stdout);
}

static void tell_left_out(const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		cleanup_free char *name = safe_line(text_of(one, "name"));
		cleanup_free char *reason = safe_line(text_of(one, "reason"));
		note("artifacts: %s was left out: %s", name, reason);
	}
}

int cmd_artifacts(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	__attribute__((cleanup(source_close))) struct source s = {&config, args_operand(args, 0), API_INIT};
	const char *folder = args_value(args, "output");
	cleanup_json json_t *all = NULL;

	if (cli_id(s.id, err) < 0)
		return CLI_USAGE;
	if (cli_site(args, &config, err) < 0 || api_open(&config, &s.api, err) < 0)
		return CLI_FAILED;
	if (list_all(&s, &all, err) < 0)
		return CLI_FAILED;
	const json_t *kept = json_object_get(all, "artifacts");
	if (folder && save_all(&s, folder, kept, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(all);
	tell_left_out(json_object_get(all, "left_out"));
	if (json_array_size(kept) == 0)
		note("artifacts: %s left none", s.id);
	else
		print_list(kept);
	return CLI_DONE;
}
