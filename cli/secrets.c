/*
 * secrets: one age file for each, in the ops repo. Plaintext lives in guarded memory only, never in argv or in a file.
 */
#include "cli/secrets.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* keygen */

static int write_new(const char *path, const char *text, size_t len, struct err *err)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_EXISTS, "%s: is there already; an identity is never overwritten, choose another name", path);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (fd_write_all(fd, text, len, err) < 0) {
		unlink(path);
		return err_wrap(err, "%s", path);
	}
	return fsync(fd) < 0 ? err_errno(err, errno, "%s", path) : 0;
}

int cmd_secrets_keygen(const struct args *args, struct err *err)
{
	const char *path = args_operand(args, 0) ? args_operand(args, 0) : "identity.age";
	cleanup_free char *recipient = NULL;
	cleanup_guarded unsigned char *guarded = NULL;
	char *text;
	size_t len;

	if (age_keygen(&text, &len, &recipient, err) < 0)
		return CLI_FAILED;
	guarded = (unsigned char *)text;
	if (write_new(path, (const char *)guarded, len, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json")) {
		cleanup_json json_t *made = json_pack("{s:s, s:s}", "file", path, "recipient", recipient);
		return print_json(made);
	}
	printf("%s\n", recipient);
	note("secrets keygen: wrote %s; add the line above to vault/recipients.txt of the ops repo", path);
	return CLI_DONE;
}

/* add, remove */

struct change {
	const char *name;
	char *path;
	bool was_there; /* when the user decided */
	git_oid was;
	const unsigned char *value; /* NULL: remove */
	size_t len;
};

static void change_free(struct change *c)
{
	free(c->path);
}

static int check_name(const char *name, struct err *err)
{
	if (vault_is_secret(name))
		return 0;
	err_set(err, ERR_INVALID, "'%s' is no name for a secret: %s", name, VAULT_SECRET_RULE);
	return CLI_USAGE;
}

/* Whether the tip holds the secret, and as which blob. */
static int find_secret(const struct repo *r, const char *path, bool *ret_there, git_oid *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_filemode_t mode;

	*ret_there = git_repo_entry(r->git, &r->tip, path, ret, &mode, &why) == 0;
	if (*ret_there || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

static int check_unchanged(const struct repo *r, const struct change *c, struct err *err)
{
	bool there;
	git_oid now;

	if (find_secret(r, c->path, &there, &now, err) < 0)
		return -1;
	if (there != c->was_there || (there && !git_oid_equal(&now, &c->was)))
		return err_set(err, ERR_EXISTS, "%s was changed by somebody else at the same moment; look at it and try again", c->name);
	return 0;
}

static int encrypt(const struct repo *r, const struct change *c, struct sealed *ret, struct err *err)
{
	cleanup_recipients struct age_recipients to = {NULL, 0};

	if (secrets_recipients(r, &r->tip, &to, err) < 0)
		return -1;
	return sealed_add(ret, &to, c->name, c->value, c->len, err);
}

static int make_change(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	const struct change *c = arg;
	cleanup_sealed struct sealed files = {NULL, 0};
	const char *verb = !c->value ? "remove" : c->was_there ? "replace" : "add";
	cleanup_free char *message = xasprintf("vault: %s secret %s\n", verb, c->name);

	if (check_unchanged(r, c, err) < 0 || (c->value && encrypt(r, c, &files, err) < 0))
		return -1;
	if (!c->value)
		sealed_remove(&files, c->name);
	return sealed_commit(&files, r, message, ret, err);
}

static void print_change(const struct change *c, const char *done, const struct landed_change *landed)
{
	cleanup_json json_t *pull =
	    landed->pull.number ? json_pack("{s:I, s:s}", "number", (json_int_t)landed->pull.number, "url", landed->pull.url) : NULL;
	char hex[OID_TEXT];
	cleanup_json json_t *all =
	    json_pack("{s:s, s:s, s:s, s:O*}", "name", c->name, "status", done, "commit", oid_text(&landed->commit, hex), "pull", pull);

	print_json(all);
}

static int land_change(const struct args *args, struct repo *r, struct change *c, const char *done, struct err *err)
{
	struct landed_change landed = {.pull = {0}};
	cleanup_free char *title = xasprintf("vault: secret %s %s", c->name, done);

	if (land_or_request(args, r, make_change, c, title, &landed, err) < 0)
		return CLI_FAILED;
	cleanup_free char *where = landed_text(r, &landed);
	if (args_has(args, "json"))
		print_change(c, done, &landed);
	else
		note("secrets: %s %s, %s%s", c->name, done, where, c->value ? "" : "; history still holds it: change it where it is used");
	forge_pull_free(&landed.pull);
	return CLI_DONE;
}

static int may_replace(const struct args *args, const char *name, struct err *err)
{
	cleanup_free char *question = xasprintf("%s is there already. Replace it?", name);

	if (args_has(args, "force"))
		return 0;
	if (term_is(STDIN_FILENO) && prompt_yes(question))
		return 0;
	return err_set(err, ERR_EXISTS, "%s: is there already and was kept; replace it with: disinto secrets add -f %s", name, name);
}

/* The value comes from a hidden prompt on a terminal, else from standard input as it is. */
static int read_value(const char *name, unsigned char **ret, size_t *ret_len, struct err *err)
{
	cleanup_free char *label = xasprintf("Value of %s", name);
	int code = term_is(STDIN_FILENO) ? prompt_hidden(label, SECRET_MAX_BYTES, ret, ret_len, err)
	                                 : read_hidden(STDIN_FILENO, SECRET_MAX_BYTES, ret, ret_len, err);

	if (code < 0)
		return -1;
	if (*ret_len == 0)
		return err_set(err, ERR_INVALID, "%s: the value is empty; give it at the prompt or on standard input", name);
	if (*ret_len < SECRET_MIN_BYTES)
		return err_set(err, ERR_INVALID,
		               "%s: the value has %zu bytes and must have %d or more, since shorter ones can't be kept out of logs", name,
		               *ret_len, SECRET_MIN_BYTES);
	if (!term_is(STDIN_FILENO) && (*ret)[*ret_len - 1] == '\n')
		note("secrets add: the value ends with a newline, which is kept; printf %%s or head -c -1 give one without");
	return 0;
}

int cmd_secrets_add(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_guarded unsigned char *value = NULL;
	__attribute__((cleanup(change_free))) struct change change = {.name = args_operand(args, 0)};
	int code = check_name(change.name, err);

	if (code != 0)
		return code;
	change.path = vault_secret_path(change.name);
	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0 || repo_author(&author, err) < 0 ||
	    find_secret(&repo, change.path, &change.was_there, &change.was, err) < 0)
		return CLI_FAILED;
	if ((change.was_there && may_replace(args, change.name, err) < 0) || read_value(change.name, &value, &change.len, err) < 0)
		return CLI_FAILED;
	change.value = value;
	return land_change(args, &repo, &change, change.was_there ? "replaced" : "added", err);
}

int cmd_secrets_remove(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	__attribute__((cleanup(change_free))) struct change change = {.name = args_operand(args, 0)};
	int code = check_name(change.name, err);

	if (code != 0)
		return code;
	change.path = vault_secret_path(change.name);
	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0 ||
	    find_secret(&repo, change.path, &change.was_there, &change.was, err) < 0)
		return CLI_FAILED;
	if (!change.was_there) {
		err_set(err, ERR_NOT_FOUND, "there is no secret %s; disinto secrets list shows what there is", change.name);
		return CLI_FAILED;
	}
	return land_change(args, &repo, &change, "removed", err);
}

/* show */

/* A terminal gets no control characters, and a newline at the end; all else gets the bytes. */
static int put_value(const unsigned char *value, size_t len, struct err *err)
{
	cleanup_buf struct buf out = BUF_INIT;
	struct safe_stream safe = {.n_held = 0};
	int code;

	if (!term_is(STDOUT_FILENO))
		return fd_write_all(STDOUT_FILENO, value, len, err);
	safe_feed(&safe, (const char *)value, len, &out);
	safe_end(&safe, &out);
	buf_addc(&out, '\n');
	code = fd_write_all(STDOUT_FILENO, out.data, out.len, err);
	sodium_memzero(out.data, out.len);
	return code;
}

/* As a string in JSON, without quotes. -1: it is no text. `out` has room for six times as much, and does not move. */
static int add_text(struct buf *out, const char *value, size_t len)
{
	uint32_t c = 0;

	for (size_t n; len > 0; value += n, len -= n) {
		n = text_decode(value, len, &c);
		if (n == 0)
			return -1;
		if (!text_allowed(c) || c < ' ')
			json_escape(c, out);
		else if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", (char)c);
		else
			buf_add(out, value, n);
	}
	return 0;
}

/* {name, value}, or {name, base64} of what is no text. By hand: a JSON library would leave copies of it. */
static int put_json(const char *name, const unsigned char *value, size_t len, struct err *err)
{
	cleanup_buf struct buf out = BUF_INIT;

	buf_room(&out, 6 * len + strlen(name) + 64);
	buf_addf(&out, "{\n  \"name\": \"%s\",\n  \"value\": \"", name);
	if (add_text(&out, (const char *)value, len) < 0) {
		size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
		buf_reset(&out);
		buf_addf(&out, "{\n  \"name\": \"%s\",\n  \"base64\": \"", name);
		sodium_bin2base64(buf_room(&out, size), size, value, len, sodium_base64_VARIANT_ORIGINAL);
		buf_grew(&out, size - 1);
	}
	buf_adds(&out, "\"\n}\n");
	int code = fd_write_all(STDOUT_FILENO, out.data, out.len, err);
	sodium_memzero(out.data, out.cap);
	return code;
}

int cmd_secrets_show(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_identities struct age_identities *identities = NULL;
	cleanup_guarded unsigned char *value = NULL;
	const char *name = args_operand(args, 0);
	size_t len = 0;
	int code = check_name(name, err);

	if (code != 0)
		return code;
	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0 ||
	    secrets_identities(&config, NULL, &identities, err) < 0 ||
	    secrets_open(&repo, &repo.tip, identities, name, &value, &len, err) < 0)
		return CLI_FAILED;
	code = args_has(args, "json") ? put_json(name, value, len, err) : put_value(value, len, err);
	return code < 0 ? CLI_FAILED : CLI_DONE;
}
