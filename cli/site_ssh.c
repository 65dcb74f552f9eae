/*
 * A new site and ssh: the bot's key, and the git server's. That one is never taken from the server itself: who asks a stranger for his name gets one.
 */
#include "cli/cli.h"
#include "cli/site.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_transport.h"
#include "vault/ssh/ssh_key.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KNOWN_HOSTS_MAX 65536
#define COMMENT "disinto"

/* A whole file that is no link: who may change where a link leads could put in his own key. */
static int read_known_hosts(const char *path, char **ret, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	cleanup_buf struct buf text = BUF_INIT;
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_INVALID, "%s: is a link; name the file itself", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: is no plain file", path);
	if (fd_read_all(fd, KNOWN_HOSTS_MAX, &text, err) < 0)
		return err_wrap(err, "%s", path);
	if (!strstr(text.data, "ssh-") && !strstr(text.data, "ecdsa-"))
		return err_set(err, ERR_INVALID, "%s: holds no host key; a line is: HOST ssh-ed25519 AAAA…", path);
	*ret = buf_steal(&text);
	return 0;
}

/* "host ssh-ed25519 AAAA…", as sshd(8) has it. */
static int line_of(const struct git_address *at, const char *key, char **ret, struct err *err)
{
	struct ssh_public_key public;
	cleanup_free char *text = NULL;

	if (ssh_public_key_parse(key, strlen(key), &public, err) < 0)
		return err_wrap(err, "host key");
	text = ssh_public_key_text(&public);
	if (at->port && strcmp(at->port, "22") != 0)
		*ret = xasprintf("[%s]:%s %s\n", at->host, at->port, text);
	else
		*ret = xasprintf("%s %s\n", at->host, text);
	return 0;
}

static int ask_key(const struct git_address *at, char **ret, struct err *err)
{
	char line[1024] = "";

	if (!term_is(STDIN_FILENO))
		return err_set(err, ERR_INVALID,
		               "the host key of %s must be known beforehand; give --known-hosts FILE, or --host-key 'ssh-ed25519 AAAA…' as "
		               "its operator "
		               "publishes it",
		               at->host);
	fprintf(stderr, "The host key of %s, as its operator publishes it (ssh-ed25519 AAAA…): ", at->host);
	if (!fgets(line, sizeof(line), stdin))
		return err_set(err, ERR_FAIL, "cancelled: nothing was changed");
	return line_of(at, line, ret, err);
}

int site_pin_host(struct site *s, const struct args *args, struct err *err)
{
	__attribute__((cleanup(git_address_free))) struct git_address at = {.shown = NULL};
	const char *file = args_value(args, "known-hosts"), *key = args_value(args, "host-key");

	if (!file)
		file = getenv("DISINTO_KNOWN_HOSTS_FILE");
	if (s->ops_url && git_address_parse(s->ops_url, &at, err) < 0)
		return -1;
	s->ssh = s->ops_url && at.scheme == GIT_SCHEME_SSH;
	if (!s->ssh && (args_has(args, "known-hosts") || key))
		return err_set(err, ERR_INVALID, "a host key is for an ops repo over ssh");
	if (!s->ssh)
		return 0;
	if (key)
		return line_of(&at, key, &s->known_hosts, err);
	return file && *file ? read_known_hosts(file, &s->known_hosts, err) : ask_key(&at, &s->known_hosts, err);
}

int site_lend_hosts(const struct site *s, char **ret_path, struct err *err)
{
	const char *dir = getenv("TMPDIR");
	cleanup_free char *path = xasprintf("%s/disinto-hosts-XXXXXX", dir && *dir ? dir : "/tmp");
	cleanup_fd int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	*ret_path = steal_ptr(&path);
	return fd_write_all(fd, s->known_hosts, strlen(s->known_hosts), err);
}

void site_end_loan(char **path)
{
	if (*path)
		unlink(*path);
	free(*path);
}

int site_make_key(struct site *s, struct err *err)
{
	struct ssh_public_key public;
	cleanup_free char *text = NULL;

	if (ssh_keygen(COMMENT, &s->bot_key, &s->bot_key_len, &public, err) < 0)
		return -1;
	text = ssh_public_key_text(&public);
	s->bot_public = xasprintf("%s " COMMENT, text);
	return 0;
}

int site_write_ssh(const struct site *s, int dir, struct err *err)
{
	cleanup_free char *line = xasprintf("%s\n", s->bot_public);

	if (file_write_at(dir, "id_ed25519", s->bot_key, s->bot_key_len, 0400, err) < 0 ||
	    file_write_at(dir, "id_ed25519.pub", line, strlen(line), 0644, err) < 0)
		return -1;
	return s->known_hosts ? file_write_at(dir, "known_hosts", s->known_hosts, strlen(s->known_hosts), 0644, err) : 0;
}
