/*
 * Commits that approve, signed as the user's git would sign them. See sign.h. Settings: git-config(1), gpg.*, user.signingKey, commit.gpgSign.
 */
#include "cli/sign.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/approval/approval_signed.h"
#include "vault/name.h"
#include "vault/ssh/commit_signature.h"
#include "vault/ssh/ssh_signature.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define PROGRAM "ssh-keygen"
#define OUTPUT_MAX 65536

/* What git's settings say. */
struct setup {
	bool always; /* commit.gpgsign */
	char *format;
	char *key;     /* a path, or the public key itself */
	char *program; /* gpg.ssh.program */
};

static void setup_free(struct setup *s)
{
	free(s->format);
	free(s->key);
	free(s->program);
}
#define cleanup_setup __attribute__((cleanup(setup_free)))

/* A setting, with "~/" as the home folder where it begins so (libgit2 would look for that in folders which lib/git_remote.c has taken away). Caller frees; NULL: not set. */
static char *setting(git_config *config, const char *name)
{
	const char *home = getenv("HOME");
	git_buf text = {0};
	char *copy = NULL;

	if (git_config_get_string_buf(&text, config, name) == 0 && text.size > 0)
		copy = home && strncmp(text.ptr, "~/", 2) == 0 ? path_join(home, text.ptr + 2) : xstrdup(text.ptr);
	git_buf_dispose(&text);
	return copy;
}

static void read_setup(struct setup *ret)
{
	git_config *config = git_settings();
	int always = 0;

	if (!config)
		return;
	ret->always = git_config_get_bool(&always, config, "commit.gpgsign") == 0 && always;
	ret->format = setting(config, "gpg.format");
	ret->key = setting(config, "user.signingkey");
	ret->program = setting(config, "gpg.ssh.program");
	git_config_free(config);
	git_error_clear();
}

/* The public key that is given in place of a path, as git knows it; NULL: it is a path. */
static const char *literal_key(const char *key)
{
	static const char prefix[] = "key::";

	if (strncmp(key, prefix, sizeof(prefix) - 1) == 0)
		return key + sizeof(prefix) - 1;
	return strncmp(key, "ssh-", 4) == 0 ? key : NULL;
}

/* A key that we can use ourselves, without anybody being asked; NULL: there is none. */
static struct ssh_private_key *own_key(const struct setup *s)
{
	struct ssh_private_key *key = NULL;
	size_t len = strlen(s->key);

	if (literal_key(s->key) || (s->program && strcmp(s->program, PROGRAM) != 0))
		return NULL;
	/* A public key's file stands for the private one beside it. */
	cleanup_free char *path = strndup(s->key, len > 4 && strcmp(s->key + len - 4, ".pub") == 0 ? len - 4 : len);
	return ssh_private_key_load(path, &key, NULL) == 0 ? key : NULL;
}

/* Another program signs: the setup and a folder of our own for the files that it reads and writes. */
struct signing_program {
	const char *program;
	const char *key;
	char *dir;
};

static void remove_folder(char **dir)
{
	if (*dir)
		dir_remove_at(AT_FDCWD, *dir, NULL);
	free(*dir);
}

/* Runs it as git does: PROGRAM -Y sign -n git -f KEY FILE. It may ask for a passphrase on the terminal. What it says goes to the file `errors`. */
static int run_program(const struct signing_program *p, const char *key, const char *file, const char *errors, struct err *err)
{
	const char *const argv[] = {p->program, "-Y", "sign", "-n", SSH_NAMESPACE_GIT, "-f", key, file, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int status = 0;
	pid_t pid;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, errors, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	int rc = posix_spawnp(&pid, p->program, &files, &attributes, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (rc != 0)
		return err_errno(err, rc, "%s: it can't be run", p->program);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

/* The signing callback: see struct git_signer. */
static int sign_by_program(void *arg, const void *object, size_t len, struct buf *ret, struct err *err)
{
	const struct signing_program *p = arg;
	const char *literal = literal_key(p->key);
	cleanup_free char *key = literal ? path_join(p->dir, "key.pub") : xstrdup(p->key);
	cleanup_free char *file = path_join(p->dir, "commit");
	cleanup_free char *signature = path_join(p->dir, "commit.sig");
	cleanup_free char *errors = path_join(p->dir, "errors");
	cleanup_buf struct buf said = BUF_INIT;

	if (literal && file_write(key, literal, strlen(literal), 0600, err) < 0)
		return -1;
	if (file_write(file, object, len, 0600, err) < 0)
		return -1;
	int rc = run_program(p, key, file, errors, err);
	if (rc < 0)
		return -1;
	if (rc > 0) {
		file_read(errors, OUTPUT_MAX, &said, NULL);
		while (said.len > 0 && said.data[said.len - 1] == '\n')
			said.data[--said.len] = '\0';
		return err_set(err, ERR_FAIL, "%s: %s", p->program, said.len > 0 ? said.data : "it did not sign and does not say why");
	}
	return file_read(signature, OUTPUT_MAX, ret, err) < 0 ? err_wrap(err, "%s", p->program) : 0;
}

/* The same where the signature must be one that can approve. */
static int sign_to_approve(void *arg, const void *object, size_t len, struct buf *ret, struct err *err)
{
	struct ssh_signature sig;

	if (sign_by_program(arg, object, len, ret, err) < 0)
		return -1;
	return ssh_signature_parse(ret->data, ret->len, SSH_NAMESPACE_GIT, &sig, err);
}

static int write_commit(git_repository *git, const struct landing_commit *c, const char *message, const struct git_signer *signer,
                        git_oid *ret, struct err *err)
{
	return git_repo_commit_signed(git, c->parents, c->n_parents, c->changes, c->n_changes, c->author, message, signer, ret, err);
}

static int make_folder(char **ret, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *dir = xasprintf("%s/disinto-sign-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");

	if (!mkdtemp(dir))
		return err_errno(err, errno, "%s", dir);
	*ret = steal_ptr(&dir);
	return 0;
}

static int commit_signed(git_repository *git, const struct landing_commit *c, const char *message, const struct setup *s, git_oid *ret,
                         struct err *err)
{
	cleanup_ssh_private_key struct ssh_private_key *key = own_key(s);
	__attribute__((cleanup(remove_folder))) char *dir = NULL;
	struct signing_program program = {s->program ? s->program : PROGRAM, s->key, NULL};
	struct git_signer signer = {c->must_sign ? sign_to_approve : sign_by_program, &program};

	if (key)
		signer = commit_signer(key);
	else if (make_folder(&dir, err) < 0)
		return -1;
	program.dir = dir;
	return write_commit(git, c, message, &signer, ret, err);
}

/* Whether a file of this path is ever asked for an approval. */
static bool needs_approval(const char *path)
{
	static const char *const folders[] = {VAULT_FORMULAS "/", VAULT_SECRETS "/"};
	char id[VAULT_ID_MAX + 1];

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (strncmp(path, folders[i], strlen(folders[i])) == 0)
			return path[strlen(folders[i])] != '.';
	if (strncmp(path, VAULT_ACTIONS "/", strlen(VAULT_ACTIONS "/")) == 0)
		return vault_file_kind(path + strlen(VAULT_ACTIONS "/"), id) == VAULT_FILE_ACTION;
	return strcmp(path, VAULT_POLICY) == 0 || strcmp(path, VAULT_RECIPIENTS) == 0;
}

/* Whether the last paragraph of a message is one to which a line can be added; its title is none. */
static bool ends_in_trailers(const char *message)
{
	const char *paragraph = message;

	for (const char *p = message; (p = strstr(p, "\n\n")); p += 2)
		paragraph = p + 2;
	return paragraph != message && strncmp(paragraph, "Disinto-", 8) == 0;
}

static int add_lines(const struct landing_commit *c, struct buf *message, struct err *err)
{
	bool begun = ends_in_trailers(message->data);

	for (size_t i = 0; i < c->n_changes; i++) {
		git_oid blob;

		if (!c->changes[i].content || !needs_approval(c->changes[i].path))
			continue;
		if (git_odb_hash(&blob, c->changes[i].content, c->changes[i].len, GIT_OBJECT_BLOB) < 0)
			return git_err(err, -1, "%s", c->changes[i].path);
		if (!begun)
			buf_addc(message, '\n');
		begun = true;
		approval_line(c->changes[i].path, &blob, message);
	}
	return 0;
}

int commit_landing(git_repository *git, const struct landing_commit *c, git_oid *ret, struct err *err)
{
	cleanup_setup struct setup setup = {.always = false};
	cleanup_buf struct buf message = BUF_INIT;
	bool ssh;

	buf_adds(&message, c->message);
	if (add_lines(c, &message, err) < 0)
		return -1;
	read_setup(&setup);
	if (!c->must_sign && !setup.always)
		return write_commit(git, c, message.data, NULL, ret, err);
	ssh = setup.format && strcmp(setup.format, "ssh") == 0;
	if (ssh && setup.key)
		return commit_signed(git, c, message.data, &setup, ret, err);
	if (c->must_sign || ssh)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "sign: git is not set up to sign with an SSH key%s; do it once with: git config --global gpg.format ssh && git config "
		    "--global user.signingkey ~/.ssh/id_ed25519",
		    c->must_sign ? ", and approval counts by signature here" : ", though commit.gpgsign is set");
	note("sign: git signs with %s here; only SSH signatures approve, so this commit is not signed (git config gpg.format ssh)",
	     setup.format ? setup.format : "openpgp");
	return write_commit(git, c, message.data, NULL, ret, err);
}
