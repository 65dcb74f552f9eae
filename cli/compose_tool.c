/*
 * up, down, logs and shell of a site: the compose tool of this machine, the plugin of docker (v2) or docker-compose (v1), takes this process' place. Nothing goes
 * through a shell.
 */
#include "cli/cli.h"
#include "cli/compose.h"
#include "lib/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 1100 /* args.c's operands and a few of ours */

static int run_quietly(const char *const *argv)
{
	posix_spawn_file_actions_t files;
	int status = -1;
	pid_t child;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&child, argv[0], &files, NULL, (char *const *)argv, environ) != 0)
		child = -1;
	posix_spawn_file_actions_destroy(&files);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The words that the tool begins with. Returns how many; 0: there is none. */
static size_t find_tool(const char **words)
{
	static const char *const plugin[] = {"docker", "compose", "version", NULL}, *const program[] = {"docker-compose", "version", NULL};

	words[0] = "docker";
	words[1] = "compose";
	if (run_quietly(plugin) == 0)
		return 2;
	words[0] = "docker-compose";
	return run_quietly(program) == 0 ? 1 : 0;
}

/* Whether something listens on the socket that the tool takes, unless it was told otherwise; errno says why not. */
static bool engine_listens(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(to.sun_path))
		return true; /* not ours to say */
	memcpy(to.sun_path, path, strlen(path) + 1);
	return connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
}

/* docker-compose 1.29 says that in a hundred lines of Python. The tool has the last word, since it may know of an engine by a context or .env. */
static int check_engine(const char **words, size_t n, struct err *err)
{
	const char *host = getenv("DOCKER_HOST");
	bool is_unix = !host || !*host || strncmp(host, "unix://", 7) == 0;
	const char *path = host && *host ? host + strlen("unix://") : "/var/run/docker.sock";

	if (!is_unix || engine_listens(path))
		return 0;
	int why = errno;
	words[n] = "ps";
	words[n + 1] = "-q";
	words[n + 2] = NULL;
	if (run_quietly(words) == 0)
		return 0;
	return err_set(err, ERR_UNREACHABLE, "connect to %s: %s; is Docker running, and may this user open its socket?", path,
	               strerror(why));
}

/* Becomes the tool, in the site's folder. Returns only on failure. */
static int become_tool(const struct args *args, const char *const *ours, size_t first_operand, struct err *err)
{
	cleanup_free char *folder = compose_site_folder(args);
	cleanup_free char *file = compose_find(folder);
	const char *words[MAX_WORDS];
	size_t n;

	if (!file)
		return compose_none(folder, err);
	n = find_tool(words);
	if (n == 0)
		return err_set(err, ERR_NOT_FOUND,
		               "neither `docker compose` nor docker-compose works here; install the package docker-compose, or Docker's "
		               "compose plugin");
	if (chdir(folder) < 0)
		return err_errno(err, errno, "%s", folder);
	if (check_engine(words, n, err) < 0)
		return -1;
	for (; *ours; ours++)
		words[n++] = *ours;
	for (size_t i = first_operand; i < args->n_operands && n + 1 < MAX_WORDS; i++)
		words[n++] = args->operands[i];
	words[n] = NULL;
	signal(SIGPIPE, SIG_DFL);
	execvp(words[0], (char *const *)words);
	return err_errno(err, errno, "%s", words[0]);
}

/* An operand that the tool would take for one of its options. */
static int check_services(const struct args *args, struct err *err)
{
	for (size_t i = 0; i < args->n_operands; i++)
		if (args->operands[i][0] == '-' || !args->operands[i][0])
			return err_set(err, ERR_INVALID, "'%s' is no service", args->operands[i]);
	return 0;
}

int cmd_up(const struct args *args, struct err *err)
{
	static const char *const words[] = {"up", "-d", NULL};

	return check_services(args, err) < 0 ? CLI_USAGE : become_tool(args, words, 0, err);
}

int cmd_down(const struct args *args, struct err *err)
{
	static const char *const words[] = {"down", NULL};

	return become_tool(args, words, 0, err);
}

int cmd_compose_logs(const struct args *args, struct err *err)
{
	const char *lines = args_value(args, "lines");
	cleanup_free char *tail = xasprintf("--tail=%s", lines ? lines : "all");
	const char *const words[] = {"logs", tail, args_has(args, "follow") ? "--follow" : NULL, NULL};
	int n;

	if (check_services(args, err) < 0 || (lines && args_int(args, "lines", 1, 1000000000, 0, &n, err) < 0))
		return CLI_USAGE;
	return become_tool(args, words, 0, err);
}

int cmd_shell(const struct args *args, struct err *err)
{
	const char *service = args_operand(args, 0);
	const char *const words[] = {"exec", service ? service : "edge", "/bin/sh", NULL};

	return check_services(args, err) < 0 ? CLI_USAGE : become_tool(args, words, 1, err);
}
