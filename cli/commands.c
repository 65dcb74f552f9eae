/*
 * The table of commands. Dispatch, usage and --help are read from it; there is no second list.
 */
#include "cli/cli.h"
#include <string.h>

#define ANY 1000

#define JSON \
	{ \
		"json", 0, NULL, "print JSON" \
	}
#define LAND \
	{ \
		"land", 0, NULL, "push straight to the protected branch instead of a branch for review: that approves it" \
	}
#define END \
	{ \
		NULL, 0, NULL, NULL \
	}

const struct cli_option common_options[] = {
    {"config", 'c', "FILE", "configuration (else $DISINTO_CONFIG, ./dispatcher.yaml, /etc/disinto/dispatcher.yaml)"},
    {"help", 'h', NULL, "show this help"},
    END,
};

static const struct cli_option none[] = {END};
static const struct cli_option only_json[] = {JSON, END};
static const struct cli_option land_options[] = {LAND, JSON, END};

static const struct cli_option init_options[] = {
    {"ops-repo", 0, "URL", "use this repository instead of making ops.git; what it lacks of vault/ is added by a commit"},
    {"branch", 0, "NAME", "its protected branch (default main)"},
    {"git-token-file", 0, "FILE", "file with the token for an http(s) repository"},
    {"runner-image", 0, "IMAGE", "image of formulas that name none (default disinto/runner)"},
    {"forge-url", 0, "URL", "the forge of the repository; actions of tier high then want a review there"},
    {"forge-token-file", 0, "FILE", "file with the forge's token"},
    {"approver", 0, "LOGIN", "whose reviews approve (more of them: approval.approvers in dispatcher.yaml)"},
    {"known-hosts", 0, "FILE", "for an ops repo over ssh: the only host keys to accept; no link"},
    {"host-key", 0, "KEY", "the same as one key, \"ssh-ed25519 AAAA…\", as the server's operator publishes it"},
    {"domain", 0, "NAME", "a name that leads to this machine: the site is then served over HTTPS"},
    {"from-shell-dispatcher", 0, "OLD",
     "take over secrets, actions and formulas of the shell dispatcher's folder OLD, and list what can't be"},
    {"old-identity", 0, "FILE", "the age identity that opens OLD/secrets/*.enc"},
    JSON,
    END,
};

static const struct cli_option render_options[] = {
    {"dry-run", 'n', NULL, "write nothing, show what would change; exit code 1 if anything would"},
    {"force", 'f', NULL, "replace docker-compose.yml even if somebody changed it"},
    END,
};

static const struct cli_option add_options[] = {
    {"force", 'f', NULL, "replace a secret of that name without asking"},
    LAND,
    JSON,
    END,
};

static const struct cli_option backup_options[] = {
    {"seal-to", 0, "RECIPIENT",
     "put in what the configuration names too (identity, tokens, keys), encrypted to this age key (may be repeated)"},
    JSON,
    END,
};

static const struct cli_option restore_options[] = {
    {"site", 0, "DIR",
     "make this folder with the configuration, and with what is sealed if --identity opens it, instead of filling the spool"},
    {"identity", 'i', "FILE", "the age identity that opens what is sealed"},
    JSON,
    END,
};

static const struct cli_option migrate_options[] = {
    {"force", 'f', NULL, "replace secrets that are there with another value"},
    {"delete", 0, NULL, "delete the source once every value was read back from the server and compared"},
    {"identity", 'i', "FILE", "the age identity that opens a folder's files (default identity_file)"},
    LAND,
    JSON,
    END,
};

static const struct cli_option propose_options[] = {
    {"id", 0, "ID", "the action's id"},
    {"formula", 0, "FORMULA", "the formula to run"},
    {"context", 0, "TEXT", "why, for the human who reviews it"},
    {"secret", 's', "SECRET", "a secret the run gets (may be repeated)"},
    {"input", 'i', "KEY=VALUE", "an input of the formula (may be repeated)"},
    {"tool", 't', "NAME", "a command the image must have (may be repeated)"},
    {"mount", 0, "ALIAS", "a mount of the dispatcher's configuration (may be repeated)"},
    {"model", 0, "NAME", "the model for prompt steps"},
    {"timeout", 0, "MINUTES", "1 to 1440"},
    {"blast-radius", 0, "TIER", "low, medium or high; may only raise what policy gives"},
    LAND,
    JSON,
    END,
};

static const struct cli_option approve_options[] = {
    {"head", 0, "COMMIT", "approve only if this commit (or its first digits, 7 or more) is what the branch holds"},
    {"sign", 'S', NULL, "sign the merge with git's SSH key, also where neither git's settings nor policy ask for it"},
    JSON,
    END,
};

static const struct cli_option verify_options[] = {
    {"signers", 0, "FILE", "allowed_signers of the dispatchers, who sign results (default: the key of signing_key_file)"},
    {"approvers", 0, "FILE", "allowed_signers of those who approve (default approval.allowed_signers)"},
    {"since", 0, "COMMIT", "report only what came after this commit"},
    JSON,
    END,
};

static const struct cli_option run_options[] = {
    {"dry-run", 'n', NULL, "say what would run, and with what, and run nothing"},
    {"verbose", 'v', NULL, "show the log lines of a dispatcher that is started for this run"},
    {"json", 0, NULL, "print the result as JSON on standard output; the log goes to standard error"},
    END,
};

static const struct cli_option list_options[] = {
    {"state", 0, "STATE", "only these: pending, waiting, queued, starting, running, recording or finished"},
    JSON,
    END,
};

static const struct cli_option logs_options[] = {
    {"follow", 'f', NULL, "go on until the action is finished"},
    {"lines", 'n', "LINES", "only the last LINES lines"},
    {"json", 0, NULL, "print each line of an action's log as one JSON object"},
    END,
};

static const struct cli_option compose_logs_options[] = {
    {"follow", 'f', NULL, "go on until it is interrupted"},
    {"lines", 'n', "LINES", "only the last LINES lines of each"},
    END,
};

static const struct cli_option protect_options[] = {
    {"check", 0, NULL, "change nothing, say what is not as it should be"},
    {"pusher", 0, "LOGIN", "the dispatcher's account (default: the token's owner)"},
    JSON,
    END,
};

static const struct cli_option artifacts_options[] = {
    {"output", 'o', "DIR", "save them in DIR, which is made if it is missing; nothing there is replaced"},
    JSON,
    END,
};

static const struct cli_option help_options[] = {
    {"manual", 0, NULL, "print all commands as a part of the manual page (scdoc)"},
    END,
};

static const struct cli_option token_options[] = {
    {"scope", 0, "SCOPE", "propose, read (default) or operate; each includes the ones before it"},
    JSON,
    END,
};

const struct command commands[] = {
    {"init", "[DIR]", 0, 1, "make a working site: ops repo, configuration, identity, spool", init_options, "disinto init ~/site", cmd_init,
     0},
    {"secrets keygen", "[FILE]", 0, 1, "make a new age identity and print its recipient", only_json, "disinto secrets keygen identity.age",
     cmd_secrets_keygen, 0},
    {"secrets add", "SECRET", 1, 1, "encrypt a value from a hidden prompt or standard input", add_options,
     "disinto secrets add CLAWHUB_TOKEN < token.txt", cmd_secrets_add, 0},
    {"secrets show", "SECRET", 1, 1, "decrypt a secret to standard output", only_json, "disinto secrets show CLAWHUB_TOKEN",
     cmd_secrets_show, 0},
    {"secrets list", "", 0, 0, "list the secrets: size, recipients, last change", only_json, "disinto secrets list", cmd_secrets_list, 0},
    {"secrets remove", "SECRET", 1, 1, "remove a secret", land_options, "disinto secrets remove CLAWHUB_TOKEN", cmd_secrets_remove, 0},
    {"secrets rotate", "", 0, 0, "encrypt all secrets to the present recipients, in one commit", land_options, "disinto secrets rotate",
     cmd_secrets_rotate, 0},
    {"secrets migrate", "FILE [NAME…]", 1, ANY, "take secrets over from a dotenv file or a folder of NAME.enc age files", migrate_options,
     "disinto secrets migrate .env", cmd_secrets_migrate, 0},
    {"secrets exposure", "SECRET", 1, 1, "list the runs that held a secret since it last changed", only_json,
     "disinto secrets exposure CLAWHUB_TOKEN", cmd_secrets_exposure, 0},
    {"propose", "[FILE]", 0, 1, "check an action, show its risk, and push it as a branch for review", propose_options,
     "disinto propose --id hello-1 --formula hello --context 'First run' --input name=World", cmd_propose, 0},
    {"pending", "", 0, 0, "list the proposals that have not landed", only_json, "disinto pending", cmd_pending, 0},
    {"approve", "ID", 1, 1, "show a proposal and merge it into the protected branch", approve_options, "disinto approve hello-1",
     cmd_approve, 0},
    {"validate", "[FILE…]", 0, ANY, "check actions, formulas and policy as the dispatcher would", only_json,
     "disinto validate vault/actions/hello-1.json", cmd_validate, 0},
    {"branch-protect", "", 0, 0, "set up and check the protection of the ops repo's branches on the forge", protect_options,
     "disinto branch-protect --check", cmd_branch_protect, 0},
    {"verify", "[REPO]", 0, 1, "audit the ops repo, or a repository on this disk: what ran, and whether its approval holds", verify_options,
     "disinto verify --since 3f2c9ab", cmd_verify, 0},
    {"run", "ID", 1, 1, "run a landed action now, follow its log, return its exit code", run_options, "disinto run hello-1", cmd_run, 125},
    {"list", "", 0, 0, "list actions and their states", list_options, "disinto list --state running", cmd_list, 0},
    {"show", "ID", 1, 1, "show one action, its state and its result", only_json, "disinto show hello-1", cmd_show, 0},
    {"logs", "[ID]", 0, 1, "print the log of an action; without one, what the site's containers print", logs_options,
     "disinto logs -f hello-1", cmd_logs, 0},
    {"artifacts", "ID", 1, 1, "list the files that an action left behind, or save them", artifacts_options,
     "disinto artifacts -o out hello-1", cmd_artifacts, 0},
    {"cancel", "ID", 1, 1, "cancel an action that waits or runs", only_json, "disinto cancel hello-1", cmd_cancel, 0},
    {"settle", "ID lost|rerun", 2, 2, "decide about a claimed action whose run nobody can tell of", only_json,
     "disinto settle hello-1 lost", cmd_settle, 0},
    {"accept-backlog", "", 0, 0, "let what had landed before the ledger was made run", only_json, "disinto accept-backlog",
     cmd_accept_backlog, 0},
    {"accept-history", "", 0, 0, "take a branch that was rewritten as it stands now", only_json, "disinto accept-history",
     cmd_accept_history, 0},
    {"drain", "", 0, 0, "take nothing new; end the dispatcher once the last result has landed", only_json, "disinto drain", cmd_drain, 0},
    {"token add", "NAME", 1, 1, "make a key to the HTTP API and print it", token_options, "disinto token add dashboard --scope read",
     cmd_token_add, 0},
    {"token list", "", 0, 0, "list the keys to the HTTP API", only_json, "disinto token list", cmd_token_list, 0},
    {"token revoke", "NAME", 1, 1, "take a key to the HTTP API back", only_json, "disinto token revoke dashboard", cmd_token_revoke, 0},
    {"status", "", 0, 0, "show the dispatcher: roles, engine, last poll, capacity", only_json, "disinto status", cmd_status, 0},
    {"backup", "FILE", 1, 1, "write the spool and the configuration into one file (- for standard output)", backup_options,
     "disinto backup --seal-to age1… /backup/disinto.tar", cmd_backup, 0},
    {"restore", "FILE", 1, 1, "fill an empty spool, or with --site a folder, from a backup (- for standard input)", restore_options,
     "disinto restore /backup/disinto.tar", cmd_restore, 0},
    {"doctor", "", 0, 0, "check the installation, and say how to mend what is wrong", only_json, "disinto doctor", cmd_doctor, 0},
    {"compose render", "", 0, 0, "bring docker-compose.yml, Caddyfile and .env.example of the site up to date", render_options,
     "disinto compose render --dry-run", cmd_compose_render, 0},
    {"up", "[SERVICE…]", 0, ANY, "start the site's services, or some of them, in containers", none, "disinto up edge", cmd_up, 0},
    {"down", "", 0, 0, "stop and remove the site's containers; volumes stay", none, "disinto down", cmd_down, 0},
    {"shell", "[SERVICE]", 0, 1, "open a shell in the container of a service (edge)", none, "disinto shell", cmd_shell, 0},
    {"compose logs", "[SERVICE…]", 0, ANY, "print what the site's containers print", compose_logs_options, "disinto compose logs -f edge",
     cmd_compose_logs, 0},
    {"compose check", "[FILE…]", 0, ANY, "say which services of a compose file reach too far, and what else is wrong with it", only_json,
     "disinto compose check docker-compose.yml", cmd_compose_check, 0},
    {"version", "", 0, 0, "print the version", only_json, "disinto version", cmd_version, 0},
    {"complete", "[WORD…]", 0, ANY, "print what the last of these words may become, for the shell's completion", none,
     "disinto complete secrets sh", cmd_complete, 0},
    {"help", "[COMMAND…]", 0, 2, "explain a command", help_options, "disinto help propose", cmd_help, 0},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};

/* How many of the words name this command: 0, or the number of words in its name. */
static size_t words_match(const struct command *c, size_t argc, const char *const *argv)
{
	size_t first = strcspn(c->name, " ");

	if (argc == 0 || strlen(argv[0]) != first || strncmp(argv[0], c->name, first) != 0)
		return 0;
	if (c->name[first] == '\0')
		return 1;
	return argc > 1 && strcmp(argv[1], c->name + first + 1) == 0 ? 2 : 0;
}

const struct command *command_find(size_t argc, const char *const *argv, size_t *ret_words)
{
	for (const struct command *c = commands; c->name; c++) {
		*ret_words = words_match(c, argc, argv);
		if (*ret_words > 0)
			return c;
	}
	return NULL;
}
