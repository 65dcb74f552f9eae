#include "dispatcher/open.h"
#include "dispatcher/confine.h"
#include "dispatcher/spool.h"
#include "dispatcher/web/hook.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/frame.h"
#include "vault/ssh_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* disinto-runner stands beside this program, or in ../libexec. */
static int open_runner(struct err *err)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n < 0)
		return err_errno(err, errno, "/proc/self/exe");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	cleanup_free char *path = path_join(self, "disinto-runner");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, errno, "%s: the runner program stands beside the dispatcher; install it there", path) : fd;
}

static int listen_api(const char *spool, int spool_fd, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* Through the open folder: sun_path is short, a spool's path need not be. */
	snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/api.sock", spool_fd);
	unlinkat(spool_fd, "api.sock", 0);
	mode_t old = umask(0177);
	int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&at, sizeof at);
	int why = errno;
	umask(old);
	if (rc < 0 || listen(fd, 64) < 0)
		return err_errno(err, rc < 0 ? why : errno, "%s/api.sock", spool);
	return steal_fd(&fd);
}

static int listen_tcp(const char *listen_at, struct err *err)
{
	cleanup_free char *host = xstrdup(listen_at);
	char *port = strrchr(host, ':');
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
	                *found = NULL;

	if (!port)
		return err_set(err, ERR_INVALID, "listen: '%s' has no port; write host:port, or off", listen_at);
	*port++ = '\0';
	size_t len = strlen(host);
	char *name = host[0] == '[' && len > 1 ? (host[len - 1] = '\0', host + 1) : host;
	int rc = getaddrinfo(name[0] ? name : NULL, port, &hints, &found);
	if (rc != 0)
		return err_set(err, ERR_INVALID, "listen: '%s': %s", listen_at, gai_strerror(rc));
	cleanup_fd int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	rc = fd < 0 ? -1 : bind(fd, found->ai_addr, found->ai_addrlen);
	int why = errno;
	freeaddrinfo(found);
	if (rc < 0 || listen(fd, 128) < 0)
		return err_errno(err, rc < 0 ? why : errno, "listen: '%s'; choose another port, or off", listen_at);
	return steal_fd(&fd);
}

/* Where roles have their own users, each needs to own its part of the spool. */
static int hand_over_spool(const struct config *config, int spool_fd, struct err *err)
{
	if (mkdirat(spool_fd, "ops.git", 0700) < 0 && errno != EEXIST)
		return err_errno(err, errno, "%s/ops.git", config->spool);
	if (config->separation != SEPARATION_REQUIRED)
		return 0;
	if (fchmod(spool_fd, 0711) < 0 || fchown(spool_fd, role_uid(ROLE_CORE), role_uid(ROLE_CORE)) < 0 ||
	    fchownat(spool_fd, "runs", role_uid(ROLE_CORE), role_uid(ROLE_CORE), AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchownat(spool_fd, "dispatcher.json", role_uid(ROLE_CORE), role_uid(ROLE_CORE), AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchownat(spool_fd, "ops.git", role_uid(ROLE_GIT), role_uid(ROLE_GIT), AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, errno, "%s: can't be handed to the roles", config->spool);
	return 0;
}

/* What the configuration names. The address stays open where it is the one that `args` has already. */
static int open_configured(const struct config *config, struct role_args *args, struct err *err)
{
	if (config->identity_file && secret_open(config->identity_file, &args->identity_fd, err) < 0)
		return err_wrap(err, "identity_file");
	if (config->signing_key_file) {
		/* The git role, which may be another user, reads it for itself; a key that is no good stops the start. */
		cleanup_ssh_private_key struct ssh_private_key *key = NULL;
		if (secret_open(config->signing_key_file, &args->signing_fd, err) < 0 ||
		    ssh_private_key_read(args->signing_fd, &key, err) < 0)
			return err_wrap(err, "%s: signing_key_file", config->file);
	}
	if (config->webhook_secret_file) {
		struct hook_secret secret = {NULL, 0};
		if (secret_open(config->webhook_secret_file, &args->hook_fd, err) < 0 || hook_secret_read(args->hook_fd, &secret, err) < 0)
			return err_wrap(err, "%s: webhook_secret_file", config->file);
		hook_secret_free(&secret);
	}
	if (config->known_hosts_file) {
		cleanup_buf struct buf text = BUF_INIT;
		if (file_read(config->known_hosts_file, KNOWN_HOSTS_MAX, &text, err) < 0 || text_check(text.data, text.len, err) < 0)
			return err_wrap(err, "%s: known_hosts_file: %s", config->file, config->known_hosts_file);
		args->known_hosts = xstrdup(text.data);
	}
	if (!args->only && args->listen_fd < 0 && strcmp(config->listen, "off") != 0 &&
	    (args->listen_fd = listen_tcp(config->listen, err)) < 0)
		return err_wrap(err, "%s", config->file);
	return 0;
}

int open_all(struct role_args *args, char **ret_id, struct err *err)
{
	const struct config *config = args->config;

	if (spool_open(config->spool, &args->spool_fd, &args->lock_fd, err) < 0)
		return -1;
	if (spool_identify(args->spool_fd, config->dispatcher_id, ret_id, err) < 0) {
		spool_boot(args->spool_fd, NULL, err_msg(err), "not started");
		return err_wrap(err, "%s", config->spool);
	}
	args->dispatcher_id = *ret_id;
	if (hand_over_spool(config, args->spool_fd, err) < 0 || open_configured(config, args, err) < 0)
		return -1;
	if ((args->runner_fd = open_runner(err)) < 0)
		return -1;
	args->api_fd = listen_api(config->spool, args->spool_fd, err);
	return args->api_fd < 0 ? -1 : 0;
}

static int refuse_change(const char *key, struct err *err)
{
	return err_set(err, ERR_INVALID,
	               "%s: can't change while the dispatcher runs; change it back, or end the dispatcher and start it again", key);
}

/* What a life of the dispatcher is bound to. */
static int check_fixed(const struct config *old, const struct config *new, const char *id, struct err *err)
{
	if (strcmp(old->spool, new->spool) != 0)
		return refuse_change("spool", err);
	if (old->separation != new->separation)
		return refuse_change("separation", err);
	if (new->dispatcher_id && strcmp(new->dispatcher_id, id) != 0)
		return refuse_change("dispatcher_id", err);
	return 0;
}

static void close_unless(int fd, int kept)
{
	if (fd >= 0 && fd != kept)
		close(fd);
}

int open_again(struct config *config, struct role_args *args, struct err *err)
{
	cleanup_config struct config new = CONFIG_INIT;
	struct role_args opened = *args;

	if (config_load(config->file, &new, err) < 0 || separation_check(&new, err) < 0)
		return -1;
	if (check_fixed(config, &new, args->dispatcher_id, err) < 0)
		return err_wrap(err, "%s", config->file);
	opened.identity_fd = opened.signing_fd = opened.hook_fd = -1;
	opened.known_hosts = NULL;
	if (strcmp(config->listen, new.listen) != 0)
		opened.listen_fd = -1;
	bool good = open_configured(&new, &opened, err) == 0;
	const struct role_args *left = good ? args : &opened, *kept = good ? &opened : args;
	close_unless(left->identity_fd, kept->identity_fd);
	close_unless(left->signing_fd, kept->signing_fd);
	close_unless(left->hook_fd, kept->hook_fd);
	free(left->known_hosts);
	close_unless(left->listen_fd, kept->listen_fd);
	if (!good)
		return -1;
	*args = opened;
	config_free(config);
	*config = new;
	new = (struct config)CONFIG_INIT;
	return 0;
}
