#include "dispatcher/open.h"
#include "dispatcher/confine.h"
#include "dispatcher/core_role/spool.h"
#include "dispatcher/lend.h"
#include "dispatcher/web/hook.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/frame.h"
#include "vault/ssh/ssh_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096 /* as many as the kernel grants: a crowd waits here instead of being turned away for a second */

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
		return err_set(err, rc == EAI_AGAIN ? ERR_UNREACHABLE : ERR_INVALID, "listen: '%s': %s", listen_at, gai_strerror(rc));
	cleanup_fd int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	rc = fd < 0 ? -1 : bind(fd, found->ai_addr, found->ai_addrlen);
	int why = errno;
	freeaddrinfo(found);
	if (rc < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(err, rc < 0 ? why : errno, "listen: '%s'; choose another port, or off", listen_at);
	return steal_fd(&fd);
}

static void cleanup_fts(FTS **f)
{
	if (*f)
		fts_close(*f);
}

/* Everything below `path`, innermost first, so that a walk that was cut off goes on where it ended; what belongs to the owner already is not entered. */
static int give_tree(const char *path, const char *except, uid_t owner, struct err *err)
{
	char *const paths[] = {(char *)(uintptr_t)path, NULL};
	__attribute__((cleanup(cleanup_fts))) FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

	if (!walk)
		return err_errno(err, errno, "%s", path);
	for (FTSENT *e; (e = fts_read(walk));) {
		bool excepted = except && e->fts_level == 1 && strcmp(e->fts_name, except) == 0;
		if (e->fts_info == FTS_NS || e->fts_info == FTS_DNR || e->fts_info == FTS_ERR)
			return err_errno(err, e->fts_errno, "%s: can't be handed to the roles", e->fts_path);
		if (e->fts_info == FTS_D && (excepted || e->fts_statp->st_uid == owner))
			fts_set(walk, e, FTS_SKIP);
		else if (e->fts_info != FTS_D && !excepted && e->fts_statp->st_uid != owner && lchown(e->fts_path, owner, owner) < 0)
			return err_errno(err, errno, "%s: can't be handed to the roles", e->fts_path);
	}
	return 0;
}

/*
 * Where roles have their own users, the spool is core's and the clone in it git's, whoever it belonged to before (root, where it is new, was restored from a
 * backup, or used without separation). From then on root, which may have no right to override modes, acts as core to open what is in it.
 */
static int hand_over_spool(const char *spool, struct err *err)
{
	cleanup_free char *clone = path_join(spool, "ops.git");
	cleanup_free char *lock = path_join(spool, "lock");

	if (dir_make(spool, 0711, err) < 0)
		return err_wrap(err, "spool %s", spool);
	if (mkdir(clone, 0700) < 0 && errno != EEXIST && errno != EACCES)
		return err_errno(err, errno, "%s", clone);
	if (give_tree(clone, NULL, role_uid(ROLE_GIT), err) < 0 || give_tree(spool, "ops.git", role_uid(ROLE_CORE), err) < 0)
		return -1;
	if (lchown(lock, role_uid(ROLE_CORE), role_uid(ROLE_CORE)) < 0 && errno != ENOENT)
		return err_errno(err, errno, "%s: can't be handed to the roles", lock);
	return 0;
}

static int open_spool(struct role_args *args, char **ret_id, struct err *err)
{
	const char *spool = args->config->spool;

	if (spool_open(spool, &args->spool_fd, &args->lock_fd, err) < 0)
		return -1;
	if (spool_identify(args->spool_fd, args->config->dispatcher_id, ret_id, err) < 0) {
		spool_boot(args->spool_fd, NULL, err_msg(err), "not started");
		return err_wrap(err, "%s", spool);
	}
	args->dispatcher_id = *ret_id;
	return 0;
}

/* As core, whose the spool is; the API's socket is root's, so that an operator in the same container has it. */
static int open_own_spool(struct role_args *args, char **ret_id, struct err *err)
{
	if (hand_over_spool(args->config->spool, err) < 0 || act_as(role_uid(ROLE_CORE), role_uid(ROLE_CORE), err) < 0)
		return -1;
	int rc = open_spool(args, ret_id, err);
	if (rc == 0 && fchmod(args->spool_fd, 0711) < 0)
		rc = err_errno(err, errno, "spool %s", args->config->spool);
	act_as_root();
	return rc;
}

static int open_api(struct role_args *args, struct err *err)
{
	const struct config *config = args->config;
	bool own = config->separation == SEPARATION_REQUIRED;

	if (own && act_as(role_uid(ROLE_CORE), role_uid(ROLE_CORE), err) < 0)
		return -1;
	args->api_fd = listen_api(config->spool, args->spool_fd, err);
	if (own)
		act_as_root();
	if (own && args->api_fd >= 0 && fchownat(args->spool_fd, "api.sock", 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, errno, "%s/api.sock", config->spool);
	return args->api_fd < 0 ? -1 : 0;
}

/* A secret that is root's, or the configuration's owner's. */
static int open_secret(const struct config *config, const char *path, int *ret_fd, struct err *err)
{
	if (act_as_owner(config, path, err) < 0)
		return -1;
	int rc = secret_open(path, ret_fd, err);
	act_as_root();
	return rc;
}

static int read_known_hosts(const struct config *config, char **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (act_as_owner(config, config->known_hosts_file, err) < 0)
		return -1;
	int rc = file_read(config->known_hosts_file, KNOWN_HOSTS_MAX, &text, err);
	act_as_root();
	if (rc == 0 && text_check(text.data, text.len, err) < 0)
		rc = err_wrap(err, "%s", config->known_hosts_file);
	if (rc < 0)
		return err_wrap(err, "%s: known_hosts_file", config->file);
	*ret = xstrdup(text.data);
	return 0;
}

/* What the configuration names. The address stays open where it is the one that `args` has already. */
static int open_configured(const struct config *config, struct role_args *args, struct err *err)
{
	if (config->identity_file && open_secret(config, config->identity_file, &args->identity_fd, err) < 0)
		return err_wrap(err, "%s: identity_file", config->file);
	if (config->signing_key_file) {
		/* The git role, which may be another user, reads it for itself; a key that is no good stops the start. */
		cleanup_ssh_private_key struct ssh_private_key *key = NULL;
		if (open_secret(config, config->signing_key_file, &args->signing_fd, err) < 0 ||
		    ssh_private_key_read(args->signing_fd, &key, err) < 0)
			return err_wrap(err, "%s: signing_key_file", config->file);
	}
	if (config->webhook_secret_file) {
		struct hook_secret secret = {NULL, 0};
		if (open_secret(config, config->webhook_secret_file, &args->hook_fd, err) < 0 ||
		    hook_secret_read(args->hook_fd, &secret, err) < 0)
			return err_wrap(err, "%s: webhook_secret_file", config->file);
		hook_secret_free(&secret);
	}
	if (config->known_hosts_file && read_known_hosts(config, &args->known_hosts, err) < 0)
		return -1;
	if (!args->only && args->listen_fd < 0 && strcmp(config->listen, "off") != 0 &&
	    (args->listen_fd = listen_tcp(config->listen, err)) < 0)
		return err_wrap(err, "%s", config->file);
	return 0;
}

int open_all(struct role_args *args, char **ret_id, struct err *err)
{
	const struct config *config = args->config;
	bool own = config->separation == SEPARATION_REQUIRED;

	if ((own ? open_own_spool(args, ret_id, err) : open_spool(args, ret_id, err)) < 0)
		return err_wrap(err, "%s", config->file);
	if (!own && mkdirat(args->spool_fd, "ops.git", 0700) < 0 && errno != EEXIST)
		return err_errno(err, errno, "%s/ops.git", config->spool);
	if (open_configured(config, args, err) < 0 || lend_all(args, err) < 0)
		return -1;
	if ((args->runner_fd = open_runner(err)) < 0)
		return -1;
	return open_api(args, err);
}

void close_all(const struct role_args *args)
{
	if (args->config->separation == SEPARATION_REQUIRED && act_as(role_uid(ROLE_CORE), role_uid(ROLE_CORE), NULL) < 0)
		return;
	unlinkat(args->spool_fd, "api.sock", 0);
	act_as_root();
	lend_end(args);
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
	opened.config = &new;
	bool good = open_configured(&new, &opened, err) == 0 && lend_all(&opened, err) == 0;
	const struct role_args *left = good ? args : &opened, *kept = good ? &opened : args;
	close_unless(left->identity_fd, kept->identity_fd);
	close_unless(left->signing_fd, kept->signing_fd);
	close_unless(left->hook_fd, kept->hook_fd);
	free(left->known_hosts);
	close_unless(left->listen_fd, kept->listen_fd);
	if (!good)
		return -1;
	*args = opened;
	args->config = config;
	config_free(config);
	*config = new;
	new = (struct config)CONFIG_INIT;
	return 0;
}
