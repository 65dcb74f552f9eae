/*
 * init: a working site in one folder. Everything is made in a hidden folder inside of it and moved into place at the end, so that
 * an init that fails leaves nothing behind.
 */
#include "cli/site.h"
#include "cli/cli.h"
#include "cli/take_over.h"
#include "cli/templates.h"
#include "compose/compose.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_remote.h"
#include "lib/json.h"
#include "vault/age/age.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void site_free(struct site *s)
{
	free(s->dir);
	free(s->ops_url);
	free(s->token_file);
	free(s->forge_token_file);
	free(s->known_hosts);
	sodium_free(s->bot_key);
	free(s->bot_public);
	free(s->policy);
	sodium_free(s->identity);
	free(s->recipient);
}

/*
 * What a site consists of, in the order in which it is moved into place: the configuration last, since it is what makes it a site. What is not `needed` is for
 * docker compose; where something of that name is there already it stays.
 */
static const struct part {
	const char *name;
	bool needed;
} parts[] = {
    {"ops.git", true},     {"spool", true},       {"identity.age", true},    {"id_ed25519", true}, {"id_ed25519.pub", true},
    {"known_hosts", true}, {COMPOSE_FILE, false}, {"Caddyfile", false},      {".env", false},      {".env.example", false},
    {"secrets", false},    {"staging", false},    {"dispatcher.yaml", true},
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static bool has_part(const struct site *s, size_t i)
{
	if (strcmp(parts[i].name, "ops.git") == 0)
		return !s->ops_url;
	return s->known_hosts || strcmp(parts[i].name, "known_hosts") != 0;
}

/* The value as YAML: any JSON is. Caller frees; NULL for what is no UTF-8. */
static char *as_yaml(json_t *value)
{
	cleanup_json json_t *owned = value;

	return owned ? json_dumps(owned, JSON_ENCODE_ANY) : NULL;
}

/* Sets a key in the template: its line, commented out or not, becomes "key: value". Takes the value. */
static void set_tree(struct buf *text, const char *key, json_t *value)
{
	cleanup_free char *yaml = as_yaml(value);
	cleanup_buf struct buf out = BUF_INIT;
	size_t len = strlen(key);

	for (const char *line = text->data, *end; yaml && *line; line = end) {
		const char *name = line + (*line == '#');

		end = line + strcspn(line, "\n");
		end += *end == '\n';
		if (strncmp(name, key, len) == 0 && name[len] == ':')
			buf_addf(&out, "%s: %s\n", key, yaml);
		else
			buf_add(&out, line, (size_t)(end - line));
	}
	if (!yaml) /* no UTF-8: the default stays, and the dispatcher says what is missing */
		return;
	buf_reset(text);
	buf_add(text, out.data, out.len);
}

static void set_key(struct buf *text, const char *key, const char *value)
{
	set_tree(text, key, json_string(value));
}

/* What is merged without a review must not be enough where there can be reviews. Caller frees. */
static char *policy_of(const struct site *s)
{
	static const char high[] = "\n  high: {approval: landed}\n";
	const char *at = s->forge_url ? strstr(template_policy, high) : NULL;

	if (!at)
		return xstrdup(template_policy);
	return xasprintf("%.*s\n  high: {approval: forge}\n%s", (int)(at - template_policy), template_policy, at + strlen(high));
}

static int write_config(const struct site *s, int dir, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	buf_adds(&text, template_config);
	set_key(&text, "ops_repo", s->ops_url ? s->ops_url : "ops.git");
	if (strcmp(s->branch, "main") != 0)
		set_key(&text, "branch", s->branch);
	if (s->token_file)
		set_key(&text, "git_token_file", s->token_file);
	if (s->runner_image)
		set_key(&text, "runner_image", s->runner_image);
	if (s->forge_url)
		set_tree(&text, "approval",
		         json_pack("{s:s, s:b, s:s, s:s, s:[s]}", "minimum", "landed", "allow_direct", 0, "forge_url", s->forge_url,
		                   "forge_token_file", s->forge_token_file, "approvers", s->approver));
	if (s->known_hosts)
		set_key(&text, "known_hosts_file", "known_hosts");
	if (s->ssh)
		set_key(&text, "ssh_key_file", "id_ed25519");
	/* The command line uses spool/api.sock; two sites on one machine should not fight for a port. */
	set_key(&text, "listen", "off");
	if (file_write_at(dir, "dispatcher.yaml", text.data, text.len, 0644, err) < 0)
		return -1;
	return site_write_compose(s, text.data, dir, err);
}

static int fill_stage(const struct site *s, const char *path, int dir, struct err *err)
{
	cleanup_free char *bare = path_join(path, "ops.git");

	if (!s->ops_url && site_make_repo(s, bare, err) < 0)
		return -1;
	if (mkdirat(dir, "spool", 0700) < 0)
		return err_errno(err, errno, "spool");
	if (file_write_at(dir, "identity.age", s->identity, s->identity_len, 0400, err) < 0)
		return -1;
	return site_write_ssh(s, dir, err) < 0 ? -1 : write_config(s, dir, err);
}

/* RENAME_NOREPLACE, or the next best where the file system does not know it. */
static int move(int from, int to, const char *name)
{
	if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL || faccessat(to, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -1;
	return renameat(from, name, to, name);
}

/* Moves part i to where it belongs; *ret_moved false: it is not needed, and one of that name is there. */
static int move_part(const struct site *s, int stage, int dir, size_t i, bool *ret_moved, struct err *err)
{
	*ret_moved = move(stage, dir, parts[i].name) == 0;
	if (*ret_moved)
		return 0;
	if (parts[i].needed || errno != EEXIST)
		return err_errno(err, errno, "%s/%s", s->dir, parts[i].name);
	note("init: %s/%s: was there before, and stays as it is; `disinto compose render` says what is different in it", s->dir,
	     parts[i].name);
	return 0;
}

static int move_parts(const struct site *s, int stage, int dir, struct err *err)
{
	bool moved[N_PARTS] = {false};

	for (size_t i = 0; i < N_PARTS; i++) {
		if (!has_part(s, i) || move_part(s, stage, dir, i, &moved[i], err) == 0)
			continue;
		while (i-- > 0)
			if (moved[i])
				move(dir, stage, parts[i].name);
		return -1;
	}
	return fsync(dir) < 0 ? err_errno(err, errno, "%s", s->dir) : 0;
}

static int build(const struct site *s, struct err *err)
{
	cleanup_free char *stage = xasprintf("%s/.disinto-init-XXXXXX", s->dir);
	cleanup_fd int stage_fd = -1;
	cleanup_fd int dir_fd = -1;
	int code = -1;

	if (!mkdtemp(stage))
		return err_errno(err, errno, "%s", s->dir);
	stage_fd = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (stage_fd < 0 || dir_fd < 0)
		err_errno(err, errno, "%s", s->dir);
	else if (fill_stage(s, stage, stage_fd, err) == 0)
		code = move_parts(s, stage_fd, dir_fd, err);
	dir_remove_at(AT_FDCWD, stage, NULL);
	return code;
}

/* How much of the path is there already: the length of its longest prefix that exists. */
static size_t existing(const char *path)
{
	cleanup_free char *prefix = xstrdup(path);
	struct stat st;

	while (*prefix && stat(prefix, &st) < 0) {
		char *slash = strrchr(prefix, '/');

		*(slash ? slash : prefix) = '\0';
	}
	return strlen(prefix);
}

/* Removes the folders that were made, from the innermost; one that is not empty stays, and all above it. */
static void remove_made(const char *path, size_t kept)
{
	cleanup_free char *dir = xstrdup(path);

	while (strlen(dir) > kept && rmdir(dir) == 0) {
		char *slash = strrchr(dir, '/');

		*(slash ? slash : dir) = '\0';
	}
}

/* Ctrl-C waits until all or nothing stands there; this takes milliseconds. */
static int build_undisturbed(const struct site *s, struct err *err)
{
	size_t kept = existing(s->dir);
	sigset_t signals, before;
	int code;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &before);
	code = dir_make(s->dir, 0755, err);
	if (code == 0)
		code = build(s, err);
	if (code < 0)
		remove_made(s->dir, kept);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return code;
}

static int check_target(const struct site *s, struct err *err)
{
	struct stat st;

	for (size_t i = 0; i < N_PARTS; i++) {
		cleanup_free char *path = path_join(s->dir, parts[i].name);

		if (parts[i].needed && has_part(s, i) && lstat(path, &st) == 0)
			return err_set(err, ERR_EXISTS, "%s: is there already; choose another folder, or remove it if it is not needed",
			               path);
	}
	return 0;
}

/* A path becomes absolute, so that it means the same from everywhere; URLs and host:path stay. Caller frees. */
static char *absolute(const char *place)
{
	char *path = strstr(place, "://") ? NULL : realpath(place, NULL);

	return path ? path : xstrdup(place);
}

static void say_made(const struct site *s)
{
	printf("Made a site in %s:\n", s->dir);
	if (s->ops_url)
		printf("  %s is its ops repo%s\n", s->ops_url,
		       s->setup_branch ? "; its branch takes no direct push: review and merge 'vault-setup' there" : "");
	else
		printf("  ops.git          the ops repo\n");
	printf("  dispatcher.yaml  configuration\n"
	       "  identity.age     opens the secrets; keep a copy in a safe place\n"
	       "  id_ed25519       the bot's SSH key; its public half: %s\n"
	       "  spool/           the dispatcher's own folder\n"
	       "  docker-compose.yml, Caddyfile, .env, secrets/, staging/: the same in containers\n"
	       "New secrets are encrypted to %s\n\n",
	       s->bot_public, s->recipient);
	if (s->ssh)
		printf("Give that public key the right to push to %s.\n\n", s->ops_url);
}

static void say_next(const struct site *s)
{
	say_made(s);
	printf("What to do next:\n"
	       "  cd %s\n"
	       "  disinto secrets add MY_TOKEN\n"
	       "  disinto propose --id hello-1 --formula hello --context 'First run' --input name=World\n"
	       "  disinto approve hello-1\n"
	       "  disinto run hello-1\n"
	       "or let a dispatcher run whatever is approved: disinto-dispatcher --config %s/dispatcher.yaml; in a container: disinto up "
	       "edge\n",
	       s->dir, s->dir);
}

/* The same for programs. Caller owns. */
static json_t *made(const struct site *s)
{
	cleanup_free char *config = path_join(s->dir, "dispatcher.yaml"), *repo = path_join(s->dir, "ops.git");

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "dir", s->dir, "config", config, "ops_repo", s->ops_url ? s->ops_url : repo,
	                 "recipient", s->recipient, "bot_key", s->bot_public, "to_be_merged", s->setup_branch);
}

/* What goes into the configuration must be text. */
static int check_texts(const struct site *s, struct err *err)
{
	const char *const texts[] = {s->ops_url,   s->branch,   s->token_file,       s->runner_image,
	                             s->forge_url, s->approver, s->forge_token_file, s->domain};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i] && (!*texts[i] || text_check(texts[i], strlen(texts[i]), err) < 0))
			return err_set(err, ERR_INVALID, "'%s': is empty or not plain UTF-8 text", texts[i]);
	return 0;
}

/* One without the others could approve nothing. */
static int check_forge(const struct site *s, struct err *err)
{
	int n = (s->forge_url != NULL) + (s->approver != NULL) + (s->forge_token_file != NULL);

	if (n == 0 || n == 3)
		return 0;
	return err_set(err, ERR_INVALID, "--forge-url, --forge-token-file and --approver go together; give all three, or none");
}

/* What an option says, else the variable that the configuration has for it. */
static const char *answer(const struct args *args, const char *option, const char *variable)
{
	const char *value = args_value(args, option), *set = getenv(variable);

	return value || !set || !*set ? value : set;
}

static char *answered_path(const struct args *args, const char *option, const char *variable)
{
	const char *value = answer(args, option, variable);

	return value ? absolute(value) : NULL;
}

static void take_answers(const struct args *args, struct site *ret)
{
	const char *dir = args_operand(args, 0), *branch = answer(args, "branch", "DISINTO_BRANCH");

	ret->dir = xstrdup(dir ? dir : ".");
	ret->branch = branch ? branch : "main";
	ret->runner_image = answer(args, "runner-image", "DISINTO_RUNNER_IMAGE");
	ret->ops_url = answered_path(args, "ops-repo", "DISINTO_OPS_REPO");
	ret->token_file = answered_path(args, "git-token-file", "DISINTO_GIT_TOKEN_FILE");
	ret->forge_url = answer(args, "forge-url", "DISINTO_APPROVAL_FORGE_URL");
	ret->approver = answer(args, "approver", "DISINTO_APPROVER");
	ret->forge_token_file = answered_path(args, "forge-token-file", "DISINTO_APPROVAL_FORGE_TOKEN_FILE");
	ret->domain = answer(args, "domain", "DOMAIN");
}

/* Before anything is made. */
static int check_old(const struct args *args, struct err *err)
{
	const char *old = args_value(args, "from-shell-dispatcher"), *identity = args_value(args, "old-identity");

	if (identity && !old)
		return err_set(err, ERR_INVALID, "--old-identity goes with --from-shell-dispatcher");
	if (old && access(old, R_OK | X_OK) < 0)
		return err_errno(err, errno, "%s", old);
	return identity && access(identity, R_OK) < 0 ? err_errno(err, errno, "%s", identity) : 0;
}

int cmd_init(const struct args *args, struct err *err)
{
	__attribute__((cleanup(site_free))) struct site site = {.dir = NULL};

	const char *old = args_value(args, "from-shell-dispatcher");

	take_answers(args, &site);
	if (check_old(args, err) < 0 || check_texts(&site, err) < 0 || check_forge(&site, err) < 0 || site_pin_host(&site, args, err) < 0)
		return CLI_USAGE;
	site.policy = policy_of(&site);
	if (git_remote_setup(err) < 0 || check_target(&site, err) < 0 || site_make_key(&site, err) < 0 ||
	    age_keygen(&site.identity, &site.identity_len, &site.recipient, err) < 0 || (site.ops_url && site_use_repo(&site, err) < 0) ||
	    build_undisturbed(&site, err) < 0)
		return CLI_FAILED;
	cleanup_json json_t *all = args_has(args, "json") ? made(&site) : NULL;
	if (!all)
		say_next(&site);
	int rc = old ? site_take_over(&site, old, args_value(args, "old-identity"), all, err) : 0;
	if (all)
		print_json(all);
	return rc < 0 ? CLI_FAILED : CLI_DONE;
}
