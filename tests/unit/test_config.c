#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "tests/scratch.h"
#include "vault/config/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FILE_NAME "/etc/site/dispatcher.yaml"
#define MINIMAL "ops_repo: /srv/ops.git\n"
#define LEN(a) (sizeof(a) / sizeof(*(a)))

static int parse(const char *text, struct config *ret, struct err *err)
{
	return config_parse(FILE_NAME, text, strlen(text), ret, err);
}

static void assert_parses(const char *text, struct config *ret)
{
	cleanup_err struct err err = ERR_INIT;

	if (parse(text, ret, &err) != 0)
		fail_msg("%s", err_msg(&err));
}

static void assert_refused(const char *text, const char *message)
{
	cleanup_err struct err err = ERR_INIT;
	struct config c = {.capacity = 77};

	assert_int_equal(parse(text, &c, &err), -1);
	assert_string_equal(err_msg(&err), message);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(c.capacity, 77);
	assert_null(c.ops_repo);
}

static void assert_defaults(const struct config *c)
{
	assert_string_equal(c->file, FILE_NAME);
	assert_string_equal(c->ops_repo, "/srv/ops.git");
	assert_string_equal(c->branch, "main");
	assert_int_equal(c->poll_seconds, 2);
	assert_string_equal(c->spool, "/var/lib/disinto");
	assert_int_equal(c->separation, SEPARATION_BEST_EFFORT);
	assert_string_equal(c->claims, "ledger");
	assert_int_equal(c->capacity, 4);
	assert_string_equal(c->docker_host, "/var/run/docker.sock");
	assert_string_equal(c->runner_image, "disinto/runner");
	assert_int_equal(c->approval.minimum, APPROVAL_LANDED);
	assert_false(c->approval.allow_direct);
	assert_string_equal(c->listen, "127.0.0.1:8080");
	assert_int_equal(c->max_pending, 1000);
	assert_int_equal(c->archive_after_days, 0);
	assert_int_equal(c->keep_runs_days, 30);
	assert_int_equal(c->drain_seconds, 8);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_false(c->log_json);
}

static void defaults(void **state)
{
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	assert_parses(MINIMAL, &c);
	assert_defaults(&c);
	const char *const unset[] = {c.git_token_file,      c.dispatcher_id,
	                             c.identity_file,       c.registry_auth_file,
	                             c.known_hosts_file,    c.ssh_key_file,
	                             c.signing_key_file,    c.ca_file,
	                             c.webhook_secret_file, c.approval.allowed_signers,
	                             c.approval.forge_url,  c.approval.forge_token_file};
	for (size_t i = 0; i < LEN(unset); i++)
		assert_null(unset[i]);
	assert_null(c.on_drained.url);
	assert_null(c.on_drained.method);
	assert_null(c.on_drained.headers_file);
	assert_null(c.on_drained.body);
	assert_true(json_is_object(c.mounts) && json_is_object(c.networks) && json_is_object(c.agents));
	assert_true(json_is_array(c.approval.approvers) && json_is_array(c.allowed_repos));
}

/* `git_token_file:` with nothing after it means what leaving it out means. */
static void empty_values(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	for (size_t i = 0; config_key_name(i); i++)
		if (strcmp(config_key_name(i), "ops_repo") != 0 && !strchr(config_key_name(i), '.'))
			buf_addf(&text, "%s:\n", config_key_name(i));
	buf_adds(&text, MINIMAL "log:\napproval: {minimum: , approvers: ~}\non_drained: {url: }\n");
	assert_parses(text.data, &c);
	assert_defaults(&c);
}

static const char everything_text[] =
    "ops_repo: https://forge.example/org/ops.git\n"
    "branch: release/1.x\n"
    "git_token_file: token\n"
    "poll_seconds: 3600\n"
    "spool: ../spool\n"
    "dispatcher_id: edge-1\n"
    "separation: required\n"
    "claims: local\n"
    "identity_file: /run/identity.age\n"
    "capacity: 1024\n"
    "docker_host: unix:///run/d.sock\n"
    "registry_auth_file: auth.json\n"
    "runner_image: registry.example/runner@sha256:00\n"
    "mounts: {ssh: {source: ssh, target: /home/task/.ssh}}\n"
    "networks: {staging: compose_staging}\n"
    "agents: {claude: [A=b, claude, '']}\n"
    "approval:\n"
    "  minimum: landed\n"
    "  allow_direct: true\n"
    "  allowed_signers: signers\n"
    "  approvers: [alice]\n"
    "  forge_url: https://forge.example\n"
    "  forge_token_file: forge-token\n"
    "listen: '[::1]:0'\n"
    "allowed_hosts: [edge.example]\n"
    "allowed_repos: [org/project]\n"
    "max_pending: 1\n"
    "archive_after_days: 0\n"
    "keep_runs_days: 1\n"
    "drain_seconds: 0\n"
    "on_drained: {url: 'https://a.example/x?y=1', method: PUT, headers_file: headers, body: {transition: delete}}\n"
    "known_hosts_file: known_hosts\n"
    "ssh_key_file: id_ed25519\n"
    "ca_file: ca.pem\n"
    "log: {level: debug, format: json}\n";

static void everything(void **state)
{
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	assert_parses(everything_text, &c);
	assert_string_equal(c.ops_repo, "https://forge.example/org/ops.git");
	assert_string_equal(c.branch, "release/1.x");
	assert_string_equal(c.git_token_file, "/etc/site/token");
	assert_int_equal(c.poll_seconds, 3600);
	assert_string_equal(c.spool, "/etc/site/../spool");
	assert_string_equal(c.dispatcher_id, "edge-1");
	assert_int_equal(c.separation, SEPARATION_REQUIRED);
	assert_string_equal(c.identity_file, "/run/identity.age");
	assert_int_equal(c.capacity, 1024);
	assert_string_equal(c.docker_host, "/run/d.sock");
	assert_string_equal(c.registry_auth_file, "/etc/site/auth.json");
	assert_string_equal(c.runner_image, "registry.example/runner@sha256:00");
	const json_t *ssh = json_object_get(c.mounts, "ssh");
	assert_string_equal(json_string_value(json_object_get(ssh, "source")), "/etc/site/ssh");
	assert_string_equal(json_string_value(json_object_get(ssh, "target")), "/home/task/.ssh");
	assert_string_equal(json_string_value(json_object_get(c.networks, "staging")), "compose_staging");
	assert_int_equal(json_array_size(json_object_get(c.agents, "claude")), 3);
	assert_true(c.approval.allow_direct);
	assert_string_equal(c.approval.allowed_signers, "/etc/site/signers");
	assert_string_equal(json_string_value(json_array_get(c.approval.approvers, 0)), "alice");
	assert_string_equal(c.approval.forge_url, "https://forge.example");
	assert_string_equal(c.approval.forge_token_file, "/etc/site/forge-token");
	assert_string_equal(c.listen, "[::1]:0");
	assert_string_equal(json_string_value(json_array_get(c.allowed_hosts, 0)), "edge.example");
	assert_string_equal(json_string_value(json_array_get(c.allowed_repos, 0)), "org/project");
	assert_int_equal(c.max_pending, 1);
	assert_int_equal(c.keep_runs_days, 1);
	assert_int_equal(c.drain_seconds, 0);
	assert_string_equal(c.on_drained.url, "https://a.example/x?y=1");
	assert_string_equal(c.on_drained.method, "PUT");
	assert_string_equal(c.on_drained.headers_file, "/etc/site/headers");
	assert_string_equal(c.on_drained.body, "{\"transition\":\"delete\"}");
	assert_string_equal(c.known_hosts_file, "/etc/site/known_hosts");
	assert_string_equal(c.ssh_key_file, "/etc/site/id_ed25519");
	assert_string_equal(c.ca_file, "/etc/site/ca.pem");
	assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
	assert_true(c.log_json);
}

#define CALL_RULE "is not a URL to call: https://… or http://…, without a user, spaces and fragment"
/* What a backup seals and a container is given. */
static void files_are_listed(void **state)
{
	static const struct {
		const char *key, *file;
	} expected[] = {{"git_token_file", "/etc/site/token"},
	                {"approval.forge_token_file", "/etc/site/forge-token"},
	                {"on_drained.headers_file", "/etc/site/headers"},
	                {"capacity", NULL},
	                {"spool", NULL}};
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	assert_parses(everything_text, &c);
	for (size_t i = 0; i < LEN(expected); i++) {
		size_t k = 0;
		while (strcmp(config_key_name(k), expected[i].key) != 0)
			k++;
		const char *file = config_key_file(&c, k);
		assert_string_equal(file ? file : "none", expected[i].file ? expected[i].file : "none");
	}
}

#define DRAINED_RULE "on_drained.url: is required beside other keys of on_drained; https://… or http://…"
#define PATH_RULE "is not a path; an absolute one, or one that begins at the configuration's folder"
#define REPO_RULE "is not a repository; https://…, http://…, ssh://…, git://…, file:///…, user@host:path or a path"
#define CREDENTIAL "ops_repo: the URL holds a credential; put it alone into a file and name that as git_token_file"
#define BRANCH_RULE "is not a branch: letters, digits and . _ / -, as git takes them, at most 256 characters"
#define ID_RULE "a-z, 0-9, _ and -, beginning with a letter or digit, at most 96 characters"
#define DISPATCHER_RULE "is not a dispatcher's id: a-z, 0-9, _ and -, beginning with a letter or digit, at most 32 characters"
#define IMAGE_RULE "is not an image: a-z or 0-9 first, then letters, digits and . _ - / : @, at most 512 characters"
#define SOCKET_RULE "is not allowed; unix:// and the absolute path of Docker's socket, at most 107 bytes, as in unix:///var/run/docker.sock"
#define LISTEN_RULE "is not an address: host:port with a port from 0 (any that is free) to 65535, or off"
#define TARGET_RULE \
	"is not allowed; an absolute path without . and .., not /, /tmp or /task themselves, and not in or above /proc, /sys, /dev, " \
	"/run, " \
	"/var/run, /disinto"
#define DOCKER_REACHED "would give runs Docker's socket or its data, and with it this machine"
#define AGENT_RULE "must be a list of 1 to 64 strings: variables as NAME=value if any, the command, its arguments; as in [claude, -p]"
#define NETWORK_RULE "is not allowed; a Docker network's name, of letters, digits and _ . -, and not host, which is no network of its own"
#define URL_RULE "is not a URL: https://… or http://…, without user, query and fragment"

/* One more line of YAML, and all that is said of it. Keys that stand in MINIMAL come alone. */
static const struct {
	const char *yaml, *message;
} bad_values[] = {
    {"branch: main", "ops_repo: is required"},
    {"ops_repo:", "ops_repo: is required"},
    {"ops_repo: 5", "ops_repo: 5 " REPO_RULE},
    {"ops_repo: ''", "ops_repo: \"\" " REPO_RULE},
    {"ops_repo: --upload-pack=x", "ops_repo: \"--upload-pack=x\" " REPO_RULE},
    {"ops_repo: ftp://forge.example/ops.git", "ops_repo: \"ftp://forge.example/ops.git\" " REPO_RULE},
    {"ops_repo: ext::sh://x", "ops_repo: \"ext::sh://x\" " REPO_RULE},
    {"ops_repo: 'a b'", "ops_repo: \"a b\" " REPO_RULE},
    {"ops_repo: https://me:hunter2@forge.example/ops.git", CREDENTIAL},
    {"ops_repo: https://t0ken@forge.example/ops.git", CREDENTIAL},
    {"ops_repo: ssh://git:hunter2@forge.example/ops.git", CREDENTIAL},
    {"branch: a..b", "branch: \"a..b\" " BRANCH_RULE},
    {"branch: -x", "branch: \"-x\" " BRANCH_RULE},
    {"branch: a/", "branch: \"a/\" " BRANCH_RULE},
    {"branch: a.lock", "branch: \"a.lock\" " BRANCH_RULE},
    {"branch: a//b", "branch: \"a//b\" " BRANCH_RULE},
    {"branch: ''", "branch: \"\" " BRANCH_RULE},
    {"branch: 1", "branch: 1 " BRANCH_RULE},
    {"git_token_file: ''", "git_token_file: \"\" " PATH_RULE},
    {"git_token_file: [a]", "git_token_file: a list " PATH_RULE},
    {"poll_seconds: 0", "poll_seconds: 0 is out of range; 1 to 3600"},
    {"poll_seconds: 3601", "poll_seconds: 3601 is out of range; 1 to 3600"},
    {"poll_seconds: 0.5", "poll_seconds: 0.5 is not a whole number; 1 to 3600"},
    {"spool: 1", "spool: 1 " PATH_RULE},
    {"dispatcher_id: Edge", "dispatcher_id: \"Edge\" " DISPATCHER_RULE},
    {"dispatcher_id: a23456789012345678901234567890123", "dispatcher_id: \"a23456789012345678901234567890123\" " DISPATCHER_RULE},
    {"separation: none", "separation: \"none\" is not allowed; one of required, best_effort"},
    {"claims: global", "claims: \"global\" is not allowed; one of local, ledger"},
    {"identity_file: 5", "identity_file: 5 " PATH_RULE},
    {"capacity: 0", "capacity: 0 is out of range; 1 to 1024"},
    {"capacity: -4", "capacity: -4 is out of range; 1 to 1024"},
    {"capacity: 1025", "capacity: 1025 is out of range; 1 to 1024"},
    {"capacity: 4294967297", "capacity: 4294967297 is out of range; 1 to 1024"},
    {"capacity: four", "capacity: \"four\" is not a whole number; 1 to 1024"},
    {"capacity: '4'", "capacity: \"4\" is not a whole number; 1 to 1024"},
    {"docker_host: tcp://127.0.0.1:2375", "docker_host: \"tcp://127.0.0.1:2375\" " SOCKET_RULE},
    {"docker_host: /var/run/docker.sock", "docker_host: \"/var/run/docker.sock\" " SOCKET_RULE},
    {"docker_host: unix://docker.sock", "docker_host: \"unix://docker.sock\" " SOCKET_RULE},
    {"docker_host: unix:///", "docker_host: \"unix:///\" " SOCKET_RULE},
    {"registry_auth_file: {a: b}", "registry_auth_file: a map " PATH_RULE},
    {"runner_image: --rm", "runner_image: \"--rm\" " IMAGE_RULE},
    {"mounts: [ssh]", "mounts: a list is not a map of names"},
    {"mounts: {SSH: {source: /a, target: /b}}", "mounts: \"SSH\" is not a name: " ID_RULE},
    {"mounts: {ssh: /root/.ssh}", "mounts: ssh: must be an object, not \"/root/.ssh\""},
    {"mounts: {ssh: {source: /a}}", "mounts: ssh: target: is required"},
    {"mounts: {ssh: {target: /a}}", "mounts: ssh: source: is required"},
    {"mounts: {ssh: {source: /a, target: /b, mode: rw}}", "mounts: ssh: mode: unknown key; known keys are source, target"},
    {"mounts: {ssh: {source: /a, target: b}}", "mounts: ssh: target: \"b\" " TARGET_RULE},
    {"mounts: {ssh: {source: /a, target: /}}", "mounts: ssh: target: \"/\" " TARGET_RULE},
    {"mounts: {ssh: {source: /a, target: /b/../proc}}", "mounts: ssh: target: \"/b/../proc\" " TARGET_RULE},
    {"mounts: {ssh: {source: /a, target: /run}}", "mounts: ssh: target: \"/run\" " TARGET_RULE},
    {"mounts: {ssh: {source: /a, target: /run/secrets/x}}", "mounts: ssh: target: \"/run/secrets/x\" " TARGET_RULE},
    {"mounts: {ssh: {source: /a, target: /task}}", "mounts: ssh: target: \"/task\" " TARGET_RULE},
    {"mounts: {ssh: {source: /a, target: /disinto/x}}", "mounts: ssh: target: \"/disinto/x\" " TARGET_RULE},
    {"mounts: {d: {source: /var/run/docker.sock, target: /d.sock}}", "mounts: d: source: \"/var/run/docker.sock\" " DOCKER_REACHED},
    {"mounts: {d: {source: /run, target: /host}}", "mounts: d: source: \"/run\" " DOCKER_REACHED},
    {"mounts: {d: {source: /, target: /host}}", "mounts: d: source: \"/\" " DOCKER_REACHED},
    {"mounts: {d: {source: /var/lib/docker/volumes, target: /x}}", "mounts: d: source: \"/var/lib/docker/volumes\" " DOCKER_REACHED},
    {"mounts: {d: {source: /proc/1, target: /x}}", "mounts: d: source: \"/proc/1\" would give runs what the kernel shows of this machine"},
    {"mounts: {d: {source: ../a, target: /x}}",
     "mounts: d: source: \"/etc/site/../a\" is not allowed; a path without .., since what it means depends on links"},
    {"mounts: {d: {source: /var/lib/disinto/runs, target: /x}}",
     "mounts: d: source: \"/var/lib/disinto/runs\" would give runs the dispatcher's spool"},
    {"mounts: {d: {source: /var/lib, target: /x}}", "mounts: d: source: \"/var/lib\" " DOCKER_REACHED},
    {"networks: {a: host}", "networks: a: \"host\" " NETWORK_RULE},
    {"networks: {a: 'container:x'}", "networks: a: \"container:x\" " NETWORK_RULE},
    {"networks: {a: 5}", "networks: a: 5 " NETWORK_RULE},
    {"networks: {default: a}", "networks: the names default and none have a meaning of their own in formulas; choose another"},
    {"agents: {claude: claude}", "agents: claude: " AGENT_RULE},
    {"agents: {claude: []}", "agents: claude: " AGENT_RULE},
    {"agents: {claude: ['']}", "agents: claude: " AGENT_RULE},
    {"agents: {claude: [A=b]}", "agents: claude: " AGENT_RULE},
    {"agents: {claude: [A=b, '']}", "agents: claude: " AGENT_RULE},
    {"agents: {claude: [5]}", "agents: claude: " AGENT_RULE},
    {"approval: signed", "approval: must be a map of keys, as in `approval: {…}`"},
    {"approval: {minimum: none}", "approval.minimum: \"none\" is not allowed; one of landed, signed, forge"},
    {"approval: {minimum: signed}", "approval.minimum: signed needs approval.allowed_signers, the file of the keys that may approve"},
    {"approval: {minimum: forge, approvers: [me]}", "approval.minimum: forge needs approval.forge_url and approval.approvers"},
    {"approval: {minimum: forge, forge_url: 'https://forge.example'}",
     "approval.minimum: forge needs approval.forge_url and approval.approvers"},
    {"approval: {allow_direct: yes}", "approval.allow_direct: \"yes\" is not allowed; true or false"},
    {"approval: {allowed_signers: 5}", "approval.allowed_signers: 5 " PATH_RULE},
    {"approval: {approvers: alice}", "approval.approvers: \"alice\" is not a list"},
    {"approval: {approvers: ['a b']}", "approval.approvers: \"a b\" is not an account's name: 1 to 256 characters without spaces"},
    {"approval: {forge_url: forge.example}", "approval.forge_url: \"forge.example\" " URL_RULE},
    {"approval: {forge_url: 'https://me@forge.example'}", "approval.forge_url: \"https://me@forge.example\" " URL_RULE},
    {"approval: {forge_token_file: ''}", "approval.forge_token_file: \"\" " PATH_RULE},
    {"listen: 8080", "listen: 8080 " LISTEN_RULE},
    {"listen: ':8080'", "listen: \":8080\" " LISTEN_RULE},
    {"listen: localhost", "listen: \"localhost\" " LISTEN_RULE},
    {"listen: 'localhost:65536'", "listen: \"localhost:65536\" " LISTEN_RULE},
    {"listen: '::1:80'", "listen: \"::1:80\" " LISTEN_RULE},
    {"listen: '[::1:80'", "listen: \"[::1:80\" " LISTEN_RULE},
    {"listen: false", "listen: false " LISTEN_RULE},
    {"allowed_hosts: ['edge.example:80']",
     "allowed_hosts: \"edge.example:80\" is not a host's name: a name without port; those without a dot and addresses are allowed anyway"},
    {"allowed_repos: [project]", "allowed_repos: \"project\" is not a repository: owner/name, of letters, digits and . _ -"},
    {"allowed_repos: [a/b/c]", "allowed_repos: \"a/b/c\" is not a repository: owner/name, of letters, digits and . _ -"},
    {"max_pending: 0", "max_pending: 0 is out of range; 1 to 100000"},
    {"archive_after_days: -1", "archive_after_days: -1 is out of range; 0 to 36500"},
    {"keep_runs_days: 0", "keep_runs_days: 0 is out of range; 1 to 36500"},
    {"known_hosts_file: true", "known_hosts_file: true " PATH_RULE},
    {"ssh_key_file: 1", "ssh_key_file: 1 " PATH_RULE},
    {"ca_file: ''", "ca_file: \"\" " PATH_RULE},
    {"drain_seconds: -1", "drain_seconds: -1 is out of range; 0 to 86400"},
    {"on_drained: {method: POST}", DRAINED_RULE},
    {"on_drained: {body: x}", DRAINED_RULE},
    {"on_drained: {headers_file: x}", DRAINED_RULE},
    {"on_drained: {url: ftp://a.example}", "on_drained.url: \"ftp://a.example\" " CALL_RULE},
    {"on_drained: {url: 'https://me@a.example/'}", "on_drained.url: \"https://me@a.example/\" " CALL_RULE},
    {"on_drained: {url: 'https:///x'}", "on_drained.url: \"https:///x\" " CALL_RULE},
    {"on_drained: {url: 'https://a.example/', method: post}",
     "on_drained.method: \"post\" is not allowed; one of POST, PUT, PATCH, DELETE, GET"},
    {"on_drained: {url: 'https://a.example/', headers_file: 1}", "on_drained.headers_file: 1 " PATH_RULE},
    {"on_drained: {url: 'https://a.example/', body: 5}", "on_drained.body: 5 is neither text nor a map"},
    {"on_drained: {url: 'https://a.example/', token: x}", "on_drained.token: unknown key; docs/configuration.md lists all of them"},
    {"on_drained: 5", "on_drained: must be a map of keys, as in `on_drained: {…}`"},
    {"on_drained: {url: 'https://a.example/', headers_file: h}\nmounts: {x: {source: ., target: /x}}",
     "mounts: x: source: \"/etc/site\" would give runs the credential of the last call (on_drained.headers_file)"},
    {"log: {level: loud}", "log.level: \"loud\" is not allowed; one of debug, info, warn, error"},
    {"log: {format: xml}", "log.format: \"xml\" is not allowed; one of logfmt, json"},
    {"capcity: 4", "capcity: unknown key; near names are capacity"},
    {"minimum: landed", "minimum: unknown key; near names are approval.minimum"},
    {"approval: {minimun: signed}", "approval.minimun: unknown key; near names are approval.minimum"},
    {"log_level: debug", "log_level: unknown key; near names are log.level"},
    {"\"capa\\tcity\": 4", "\"capa city\": unknown key; near names are capacity"},
    {"zzzzzz: 1", "zzzzzz: unknown key; docs/configuration.md lists all of them"},
    {"approval.minimum: landed", "approval.minimum: must be written as a map, as in `approval: {minimum: …}`"},
};

static void bad_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(bad_values); i++) {
		bool alone = strstr(bad_values[i].yaml, "ops_repo:") || strstr(bad_values[i].message, "ops_repo:");
		cleanup_free char *text = xasprintf("%s%s\n", alone ? "" : MINIMAL, bad_values[i].yaml);
		cleanup_free char *message = xasprintf(FILE_NAME ": %s", bad_values[i].message);

		assert_refused(text, message);
	}
}

/* guard: `own` in check_own, vault/config/mount.c. A mount that holds what is the dispatcher's alone is refused whatever key names it; one beside it is not. */
static void mounts_hold_no_credential(void **state)
{
	static const char *const keys[] = {"spool: /k/x/it",
	                                   "identity_file: /k/x/it",
	                                   "git_token_file: /k/x/it",
	                                   "ssh_key_file: /k/x/it",
	                                   "signing_key_file: /k/x/it",
	                                   "registry_auth_file: /k/x/it",
	                                   "webhook_secret_file: /k/x/it",
	                                   "docker_host: unix:///k/x/it",
	                                   "approval: {forge_token_file: /k/x/it}",
	                                   "on_drained: {url: 'https://a.example/', headers_file: /k/x/it}"};

	(void)state;
	for (size_t i = 0; i < LEN(keys); i++) {
		cleanup_free char *in = xasprintf(MINIMAL "%s\nmounts: {d: {source: /k/x, target: /x}}\n", keys[i]);
		cleanup_free char *beside = xasprintf(MINIMAL "%s\nmounts: {d: {source: /k/y, target: /x}}\n", keys[i]);
		cleanup_err struct err err = ERR_INIT;
		cleanup_config struct config refused = CONFIG_INIT, taken = CONFIG_INIT;

		if (parse(in, &refused, &err) == 0)
			fail_msg("%s may be mounted", keys[i]);
		assert_non_null(strstr(err_msg(&err), "mounts: d: source: \"/k/x\" would give runs "));
		assert_int_equal(parse(beside, &taken, NULL), 0);
	}
}

/* Whatever the key, a value of a type that no key has is refused, and the message begins with file and key. */
static void every_key_is_checked(void **state)
{
	(void)state;
	for (size_t i = 0; config_key_name(i); i++) {
		const char *key = config_key_name(i);
		const char *dot = strchr(key, '.');
		cleanup_free char *line =
		    dot ? xasprintf("%.*s: {%s: [[]]}\n", (int)(dot - key), key, dot + 1) : xasprintf("%s: [[]]\n", key);
		cleanup_free char *text = xasprintf("%s%s", strcmp(key, "ops_repo") == 0 ? "" : MINIMAL, line);
		cleanup_free char *start = xasprintf(FILE_NAME ": %s: ", key);
		cleanup_err struct err err = ERR_INIT;
		struct config c = CONFIG_INIT;

		assert_int_equal(parse(text, &c, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_memory_equal(err_msg(&err), start, strlen(start));
	}
}

static void bad_documents(void **state)
{
	(void)state;
	assert_refused("- ops_repo\n", FILE_NAME ": must be a map of keys, as in `ops_repo: https://forge.example/org/ops.git`");
	assert_refused("", FILE_NAME ": ops_repo: is required");
	assert_refused(MINIMAL MINIMAL, FILE_NAME ": line 2: the key \"ops_repo\" is there twice");
}

static void repositories(void **state)
{
	static const struct {
		const char *written, *read;
	} cases[] = {
	    {"ops.git", "/etc/site/ops.git"},
	    {"./a:b", "/etc/site/./a:b"},
	    {"/srv/ops.git", "/srv/ops.git"},
	    {"http://127.0.0.1:3000/org/ops.git", "http://127.0.0.1:3000/org/ops.git"},
	    {"ssh://git@forge.example:22/ops.git", "ssh://git@forge.example:22/ops.git"},
	    {"git@forge.example:org/ops.git", "git@forge.example:org/ops.git"},
	    {"git://127.0.0.1:9418/ops.git", "git://127.0.0.1:9418/ops.git"},
	    {"file:///srv/ops.git", "file:///srv/ops.git"},
	    {"https://forge.example/@org/ops.git", "https://forge.example/@org/ops.git"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_free char *text = xasprintf("ops_repo: '%s'\n", cases[i].written);
		cleanup_config struct config c = CONFIG_INIT;

		assert_parses(text, &c);
		assert_string_equal(c.ops_repo, cases[i].read);
	}
}

/* The API's socket lies in the spool, and a socket's path has 107 bytes at most. */
static void spool_length(void **state)
{
	char path[128];

	(void)state;
	for (size_t len = 98; len <= 99; len++) {
		memset(path, 'a', len);
		path[0] = '/';
		path[len] = '\0';
		cleanup_free char *text = xasprintf(MINIMAL "spool: %s\n", path);
		cleanup_free char *message =
		    xasprintf(FILE_NAME ": spool: %s has 99 bytes; at most 98 are allowed, because a socket lies in it", path);
		cleanup_config struct config c = CONFIG_INIT;

		if (len == 98)
			assert_parses(text, &c);
		else
			assert_refused(text, message);
	}
}

/* Variables that this test sets; the environment is as before after each test. */
static const char *const variables[] = {"DISINTO_CAPACITY",
                                        "DISINTO_APPROVAL_MINIMUM",
                                        "DISINTO_MOUNTS",
                                        "DISINTO_LOG_LEVEL",
                                        "DISINTO_OPS_REPO",
                                        "DISINTO_ALLOWED_REPOS",
                                        "DISINTO_CAPACTY",
                                        "DISINTO_SPOOL",
                                        "DISINTO_CONFIG",
                                        "DISINTO_SOMETHING_ELSE",
                                        "DISINTO_CLAIMS",
                                        "DISINTO_LOG",
                                        "DISINTO_ON_DRAINED",
                                        "DISINTO_ON_DRAINED_URL",
                                        "DISINTO_ON_DRAINED_HEADERS_FILE",
                                        "DISINTO_ON_DRAINED_BODY",
                                        "DISINTO_LISTEN",
                                        "DISINTO_APPROVAL_ALLOW_DIRECT"};

static int forget_variables(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(variables); i++)
		unsetenv(variables[i]);
	return 0;
}

static void variables_win(void **state)
{
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	setenv("DISINTO_OPS_REPO", "git@forge.example:ops.git", 1);
	setenv("DISINTO_CAPACITY", "9", 1);
	setenv("DISINTO_LOG_LEVEL", "error", 1);
	setenv("DISINTO_SPOOL", "here", 1);
	setenv("DISINTO_LISTEN", "off", 1);
	setenv("DISINTO_APPROVAL_ALLOW_DIRECT", "true", 1);
	setenv("DISINTO_MOUNTS", "{ssh: {source: ssh, target: /home/task/.ssh}}", 1);
	setenv("DISINTO_ALLOWED_REPOS", "[\"a/b\", c/d]", 1);
	setenv("DISINTO_ON_DRAINED_URL", "https://a.example", 1);
	setenv("DISINTO_ON_DRAINED_HEADERS_FILE", "headers", 1);
	setenv("DISINTO_ON_DRAINED_BODY", "{\"a\": 1}", 1);
	setenv("DISINTO_SOMETHING_ELSE", "is not ours", 1);
	assert_parses("capacity: 0\nlog: {level: debug}\n", &c);
	assert_string_equal(c.ops_repo, "git@forge.example:ops.git");
	assert_int_equal(c.capacity, 9);
	assert_int_equal(c.log_level, LOG_LEVEL_ERROR);
	assert_string_equal(c.spool, "/etc/site/here");
	assert_string_equal(c.listen, "off");
	assert_true(c.approval.allow_direct);
	assert_int_equal(json_object_size(c.mounts), 1);
	assert_int_equal(json_array_size(c.allowed_repos), 2);
	assert_string_equal(c.on_drained.url, "https://a.example");
	assert_string_equal(c.on_drained.headers_file, "/etc/site/headers");
	assert_string_equal(c.on_drained.body, "{\"a\": 1}");
}

/* Whatever the key: its variable is looked at, before the file, and named where it is wrong. */
static void every_key_has_a_variable(void **state)
{
	(void)state;
	for (size_t i = 0; config_key_name(i); i++) {
		cleanup_free char *variable = config_variable_name(config_key_name(i));
		cleanup_free char *start = xasprintf("%s: ", variable);
		cleanup_err struct err err = ERR_INIT;
		struct config c = CONFIG_INIT;

		setenv(variable, "\x1b", 1);
		int rc = parse(MINIMAL, &c, &err);
		unsetenv(variable);
		assert_int_equal(rc, -1);
		assert_memory_equal(err_msg(&err), start, strlen(start));
	}
}

static void empty_variable_is_unset(void **state)
{
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	setenv("DISINTO_CAPACITY", "", 1);
	assert_parses(MINIMAL "capacity: 7\n", &c);
	assert_int_equal(c.capacity, 7);
}

static void bad_variables(void **state)
{
	static const struct {
		const char *variable, *value, *message;
	} cases[] = {
	    {"DISINTO_CAPACITY", "0", "DISINTO_CAPACITY: 0 is out of range; 1 to 1024"},
	    {"DISINTO_CAPACITY", "many", "DISINTO_CAPACITY: \"many\" is not a whole number; 1 to 1024"},
	    {"DISINTO_MOUNTS", "{", "DISINTO_MOUNTS: line "},
	    {"DISINTO_CAPACTY", "4", "DISINTO_CAPACTY: is no variable of disinto; a near name is DISINTO_CAPACITY"},
	    {"DISINTO_SPOOL", "a\x1b[2J", "DISINTO_SPOOL: must be text of at most 65536 bytes, without control characters"},
	    {"DISINTO_LOG", "{level: debug}", "DISINTO_LOG: is no variable of disinto; each key in it has its own, as DISINTO_LOG_LEVEL"},
	    {"DISINTO_ON_DRAINED", "{}",
	     "DISINTO_ON_DRAINED: is no variable of disinto; each key in it has its own, as DISINTO_ON_DRAINED_URL"},
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		cleanup_err struct err err = ERR_INIT;
		struct config c = CONFIG_INIT;

		setenv(cases[i].variable, cases[i].value, 1);
		assert_int_equal(parse(MINIMAL, &c, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_memory_equal(err_msg(&err), cases[i].message, strlen(cases[i].message));
		forget_variables(state);
	}
}

/* A folder of this test, and the present one, which finding the file depends on. */
struct place {
	char dir[32];
	char *before;
};

static int enter_folder(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/vault-config-XXXXXX");
	p->before = getcwd(NULL, 0);
	*state = p;
	return p->before && scratch_dir(p->dir) && chdir(p->dir) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
	struct place *p = *state;
	int failed = chdir(p->before) != 0 || dir_remove_at(-1, p->dir, NULL) != 0;

	free(p->before);
	free(p);
	return forget_variables(state) || failed;
}

static void write_file(const char *path, const char *text)
{
	cleanup_err struct err err = ERR_INIT;

	if (file_write(path, text, strlen(text), 0600, &err) != 0)
		fail_msg("%s", err_msg(&err));
}

static void assert_loads(const char *path, int capacity)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_config struct config c = CONFIG_INIT;

	if (config_load(path, &c, &err) != 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(c.capacity, capacity);
	assert_int_equal(c.file[0], '/');
}

static void finding(void **state)
{
	struct place *p = *state;
	cleanup_free char *spool = xasprintf("%s/spool", p->dir);
	cleanup_err struct err err = ERR_INIT;
	cleanup_config struct config c = CONFIG_INIT;

	write_file("one.yaml", MINIMAL "capacity: 1\n");
	write_file("two.yaml", MINIMAL "capacity: 2\n");
	assert_int_equal(config_load("none.yaml", &c, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	setenv("DISINTO_CONFIG", "two.yaml", 1);
	assert_loads("one.yaml", 1);
	assert_loads(NULL, 2);
	unsetenv("DISINTO_CONFIG");
	write_file("dispatcher.yaml", MINIMAL "capacity: 3\nspool: spool\n");
	assert_loads(NULL, 3);
	assert_int_equal(config_load(NULL, &c, NULL), 0);
	assert_string_equal(c.spool, spool);
}

static void nothing_to_find(void **state)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_config struct config c = CONFIG_INIT;

	(void)state;
	if (access("/etc/disinto/dispatcher.yaml", F_OK) == 0)
		skip();
	assert_int_equal(config_load(NULL, &c, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err_msg(&err), "no configuration in ./dispatcher.yaml and /etc/disinto/dispatcher.yaml; make a site with "
	                                   "`disinto init`, or name a file with --config or DISINTO_CONFIG");
}

/* The key's last part, after a comma or where a line, a comment or a map begins. */
static bool has_key(const char *text, const char *name)
{
	const char *last = strrchr(name, '.') ? strrchr(name, '.') + 1 : name;
	cleanup_free char *key = xasprintf("%s:", last);

	for (const char *p = text; (p = strstr(p, key)); p++)
		if (p == text || strchr("\n#{ ", p[-1]))
			return true;
	return false;
}

/* What we ship works as it is, and with every line that is commented out; and it names every key. */
static void template(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(file_read("templates/dispatcher.yaml", 65536, &text, &err), 0);
	for (size_t i = 0; config_key_name(i); i++)
		if (!has_key(text.data, config_key_name(i)))
			fail_msg("templates/dispatcher.yaml does not name %s", config_key_name(i));
	for (int round = 0; round < 2; round++) {
		cleanup_config struct config c = CONFIG_INIT;

		assert_parses(text.data, &c);
		assert_string_equal(c.identity_file, "/etc/site/identity.age");
		for (char *p = text.data; (p = strstr(p, "\n#")); p++)
			if (p[2] != ' ')
				p[1] = '\n';
	}
}

static void documented(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(file_read("docs/configuration.md", 1 << 20, &text, &err), 0);
	for (size_t i = 0; config_key_name(i); i++) {
		cleanup_free char *row = xasprintf("\n| `%s` |", config_key_name(i));

		if (!strstr(text.data, row))
			fail_msg("docs/configuration.md has no row for %s", config_key_name(i));
	}
}

static void approval_names(void **state)
{
	(void)state;
	assert_string_equal(approval_mode_name(APPROVAL_LANDED), "landed");
	assert_string_equal(approval_mode_name(APPROVAL_SIGNED), "signed");
	assert_string_equal(approval_mode_name(APPROVAL_FORGE), "forge");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(empty_values),
	    cmocka_unit_test(everything),
	    cmocka_unit_test(files_are_listed),
	    cmocka_unit_test(bad_lines),
	    cmocka_unit_test(mounts_hold_no_credential),
	    cmocka_unit_test(every_key_is_checked),
	    cmocka_unit_test(bad_documents),
	    cmocka_unit_test(repositories),
	    cmocka_unit_test(spool_length),
	    cmocka_unit_test_teardown(variables_win, forget_variables),
	    cmocka_unit_test(every_key_has_a_variable),
	    cmocka_unit_test_teardown(empty_variable_is_unset, forget_variables),
	    cmocka_unit_test_teardown(bad_variables, forget_variables),
	    cmocka_unit_test_setup_teardown(finding, enter_folder, leave_folder),
	    cmocka_unit_test_setup_teardown(nothing_to_find, enter_folder, leave_folder),
	    cmocka_unit_test(template),
	    cmocka_unit_test(documented),
	    cmocka_unit_test(approval_names),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
