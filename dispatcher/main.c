/* disinto-dispatcher: reads the configuration and the command line, and hands over to the parent. */
#include "dispatcher/confine.h"
#include "dispatcher/open.h"
#include "dispatcher/parent.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "vault/name.h"

#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sysexits.h>
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

/*
 * EX_CONFIG where trying again can't help, since a file is wrong, missing or not ours to read: whoever supervises us waits for a person then. On a terminal
 * the message stands alone; elsewhere it is a line of the log.
 */
static int fail(const struct err *err)
{
	bool for_good = err->code == ERR_INVALID || err->code == ERR_NOT_FOUND || err->code == ERR_DENIED;
	const char *next = for_good ? "mend what it names, then start the dispatcher again" : "start it again once that is over";

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "disinto-dispatcher: %s\n", err_msg(err));
	else
		log_error("the dispatcher ends before it has begun", "why", err_msg(err), "next", next, NULL);
	return for_good ? EX_CONFIG : 1;
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
	log_init("parent", LOG_LEVEL_INFO, false);
	if (sodium_init() < 0 || config_load(o.config, &config, &err) < 0 || separation_check(&config, &err) < 0)
		return fail(&err);
	if (o.check) {
		printf("%s: is valid\n", config.file);
		return 0;
	}
	log_init("parent", config.log_level, config.log_json);
	struct role_args args = ROLE_ARGS_INIT;
	args.config = &config;
	args.only = o.only;
	if (o.only)
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* `disinto run` without a daemon: ends with it */
	if (open_all(&args, &id, &err) < 0)
		return fail(&err);
	if (first_token(&args, STDERR_FILENO, "/dev/console", &err) < 0)
		return fail(&err);
	log_info("dispatcher started", "version", DISINTO_VERSION, "id", id, "ops_repo", config.ops_repo, "spool", config.spool, NULL);
	if (separation_note(&config))
		log_warn(separation_note(&config), NULL);
	code = parent_run(&args, &config, &err);
	close_all(&args);
	return code < 0 ? fail(&err) : code;
}
