/* disinto-dispatcher: reads the configuration, opens what the roles may use, and hands over to the parent. */
#include "dispatcher/confine.h"
#include "dispatcher/parent.h"
#include "dispatcher/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "vault/ssh_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage[] = "usage: disinto-dispatcher [--config FILE] [--only ID] [--check]\n"
                            "\n"
                            "Watches the ops repo and runs what lands on its protected branch.\n"
                            "\n"
                            "  --config FILE  configuration (default: $DISINTO_CONFIG, ./dispatcher.yaml,\n"
                            "                 /etc/disinto/dispatcher.yaml)\n"
                            "  --only ID      look at this one action only (used by `disinto run`)\n"
                            "  --check        check the configuration and exit\n"
                            "  --version      print the version and exit\n"
                            "\n"
                            "example: disinto-dispatcher --config /etc/disinto/dispatcher.yaml\n";

struct options {
	const char *config, *only;
	bool check;
};

/* -1: go on; else exit with it. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {{"config", required_argument, NULL, 'c'}, {"only", required_argument, NULL, 'o'},
	                                      {"check", no_argument, NULL, 'k'},        {"version", no_argument, NULL, 'v'},
	                                      {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == 'c')
			o->config = optarg;
		else if (c == 'o')
			o->only = optarg;
		else if (c == 'k')
			o->check = true;
		else if (c == 'v')
			return printf("disinto-dispatcher %s\n", DISINTO_VERSION) < 0;
		else if (c == 'h')
			return fputs(usage, stdout) < 0;
		else
			return fputs(usage, stderr) < 0 ? 1 : 2;
	}
	if (optind < argc) {
		fprintf(stderr, "disinto-dispatcher: '%s': takes no arguments; see --help\n", argv[optind]);
		return 2;
	}
	if (o->only && !vault_is_id(o->only)) {
		fprintf(stderr, "disinto-dispatcher: --only: '%s' is not an action's id; %s\n", o->only, VAULT_ID_RULE);
		return 2;
	}
	return -1;
}

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

static int open_all(const struct config *config, struct role_args *args, char **ret_id, struct err *err)
{
	if (spool_open(config->spool, &args->spool_fd, &args->lock_fd, err) < 0)
		return -1;
	if (spool_identify(args->spool_fd, config->dispatcher_id, ret_id, err) < 0)
		return err_wrap(err, "%s", config->spool);
	args->dispatcher_id = *ret_id;
	if (hand_over_spool(config, args->spool_fd, err) < 0)
		return -1;
	if (config->identity_file && secret_open(config->identity_file, &args->identity_fd, err) < 0)
		return err_wrap(err, "identity_file");
	if (config->signing_key_file) {
		/* The git role, which may be another user, reads it for itself; a key that is no good stops the start. */
		cleanup_ssh_private_key struct ssh_private_key *key = NULL;
		if (secret_open(config->signing_key_file, &args->signing_fd, err) < 0 ||
		    ssh_private_key_read(args->signing_fd, &key, err) < 0)
			return err_wrap(err, "%s: signing_key_file", config->file);
	}
	if ((args->runner_fd = open_runner(err)) < 0)
		return -1;
	if (!args->only && strcmp(config->listen, "off") != 0 && (args->listen_fd = listen_tcp(config->listen, err)) < 0)
		return err_wrap(err, "%s", config->file);
	args->api_fd = listen_api(config->spool, args->spool_fd, err);
	return args->api_fd < 0 ? -1 : 0;
}

static int fail(const struct err *err)
{
	fprintf(stderr, "disinto-dispatcher: %s\n", err_msg(err));
	return 1;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	cleanup_err struct err err = ERR_INIT;
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_free char *id = NULL;
	int code = parse_options(argc, argv, &o);

	if (code >= 0)
		return code;
	if (sodium_init() < 0 || config_load(o.config, &config, &err) < 0 || separation_check(&config, &err) < 0)
		return fail(&err);
	if (o.check) {
		printf("%s: is valid\n", config.file);
		return 0;
	}
	log_init("parent", config.log_level, config.log_json);
	struct role_args args = {.config = &config,
	                         .sock = -1,
	                         .identity_fd = -1,
	                         .signing_fd = -1,
	                         .spool_fd = -1,
	                         .lock_fd = -1,
	                         .runner_fd = -1,
	                         .listen_fd = -1,
	                         .api_fd = -1,
	                         .only = o.only};
	if (o.only)
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* `disinto run` without a daemon: ends with it */
	if (open_all(&config, &args, &id, &err) < 0)
		return fail(&err);
	log_info("dispatcher started", "version", DISINTO_VERSION, "id", id, "ops_repo", config.ops_repo, "spool", config.spool, NULL);
	if (separation_note(&config))
		log_warn(separation_note(&config), NULL);
	code = parent_run(&args, &err);
	unlinkat(args.spool_fd, "api.sock", 0);
	return code < 0 ? fail(&err) : code;
}
