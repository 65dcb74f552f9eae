#include "vault/config/config_keys.h"

static const char *const separations[] = {"required", "best_effort", NULL};
static const char *const claims[] = {"local", "ledger", NULL};
static const char *const approvals[] = {"landed", "signed", "forge", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"logfmt", "json", NULL};
static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET", NULL};

/* Enumerations are stored as int by the index of their name. */
_Static_assert(sizeof(enum separation) == sizeof(int) && SEPARATION_BEST_EFFORT == 1, "separations[] follows the enumeration");
_Static_assert(sizeof(enum approval_mode) == sizeof(int) && APPROVAL_FORGE == 2, "approvals[] follows the enumeration");
_Static_assert(sizeof(enum log_level) == sizeof(int) && LOG_LEVEL_ERROR == 3, "levels[] follows the enumeration");

const char *approval_mode_name(enum approval_mode m)
{
	return approvals[m];
}

#define STRING(member) MEMBER_STRING, offsetof(struct config, member)
#define TREE(member) MEMBER_TREE, offsetof(struct config, member)
#define PLAIN(member) MEMBER_PLAIN, offsetof(struct config, member)

/* docs/configuration.md explains each; a test holds the two together. */
const struct config_key config_keys[] = {
    {"ops_repo", STRING(ops_repo), .read = read_repo, .required = true},
    {"branch", STRING(branch), .read = read_name, .fallback = "main", .kind = &config_branch},
    {"git_token_file", STRING(git_token_file), .read = read_path},
    {"poll_seconds", PLAIN(poll_seconds), .read = read_int, .fallback = "2", .min = 1, .max = 3600},
    {"spool", STRING(spool), .read = read_spool, .fallback = "/var/lib/disinto"},
    {"dispatcher_id", STRING(dispatcher_id), .read = read_name, .kind = &config_dispatcher_id},
    {"separation", PLAIN(separation), .read = read_choice, .fallback = "best_effort", .choices = separations},
    {"claims", STRING(claims), .read = read_word, .fallback = "ledger", .choices = claims},
    {"identity_file", STRING(identity_file), .read = read_path},
    {"capacity", PLAIN(capacity), .read = read_int, .fallback = "4", .min = 1, .max = 1024},
    {"docker_host", STRING(docker_host), .read = read_socket, .fallback = "unix:///var/run/docker.sock"},
    {"registry_auth_file", STRING(registry_auth_file), .read = read_path},
    {"runner_image", STRING(runner_image), .read = read_name, .fallback = "disinto/runner", .kind = &check_image},
    {"mounts", TREE(mounts), .read = read_mounts, .fallback = "{}"},
    {"networks", TREE(networks), .read = read_networks, .fallback = "{}"},
    {"agents", TREE(agents), .read = read_agents, .fallback = "{}"},
    {"approval.minimum", PLAIN(approval.minimum), .read = read_choice, .fallback = "landed", .choices = approvals},
    {"approval.allow_direct", PLAIN(approval.allow_direct), .read = read_flag, .fallback = "false"},
    {"approval.allowed_signers", STRING(approval.allowed_signers), .read = read_path},
    {"approval.approvers", TREE(approval.approvers), .read = read_list, .fallback = "[]", .kind = &config_approver, .max = 1024},
    {"approval.forge_url", STRING(approval.forge_url), .read = read_name, .kind = &config_url},
    {"approval.forge_token_file", STRING(approval.forge_token_file), .read = read_path},
    {"listen", STRING(listen), .read = read_name, .fallback = "127.0.0.1:8080", .kind = &config_listen},
    {"allowed_hosts", TREE(allowed_hosts), .read = read_list, .fallback = "[]", .kind = &config_host_name, .max = 256},
    {"allowed_repos", TREE(allowed_repos), .read = read_list, .fallback = "[]", .kind = &config_repo_name, .max = 1024},
    {"webhook_secret_file", STRING(webhook_secret_file), .read = read_path},
    {"report_results", PLAIN(report_results), .read = read_flag, .fallback = "true"},
    {"max_pending", PLAIN(max_pending), .read = read_int, .fallback = "1000", .min = 1, .max = 100000},
    {"archive_after_days", PLAIN(archive_after_days), .read = read_int, .fallback = "0", .min = 0, .max = 36500},
    {"keep_runs_days", PLAIN(keep_runs_days), .read = read_int, .fallback = "30", .min = 1, .max = 36500},
    {"drain_seconds", PLAIN(drain_seconds), .read = read_int, .fallback = "8", .min = 0, .max = 86400},
    {"known_hosts_file", STRING(known_hosts_file), .read = read_path},
    {"ssh_key_file", STRING(ssh_key_file), .read = read_path},
    {"signing_key_file", STRING(signing_key_file), .read = read_path},
    {"ca_file", STRING(ca_file), .read = read_path},
    {"on_drained.url", STRING(on_drained.url), .read = read_name, .kind = &config_call},
    {"on_drained.method", STRING(on_drained.method), .read = read_word, .choices = methods},
    {"on_drained.headers_file", STRING(on_drained.headers_file), .read = read_path},
    {"on_drained.body", STRING(on_drained.body), .read = read_body},
    {"log.level", PLAIN(log_level), .read = read_choice, .fallback = "info", .choices = levels},
    {"log.format", PLAIN(log_json), .read = read_second, .fallback = "logfmt", .choices = formats},
};
const size_t n_config_keys = sizeof(config_keys) / sizeof(*config_keys);

const char *config_key_name(size_t i)
{
	return i < n_config_keys ? config_keys[i].name : NULL;
}

const char *config_key_file(const struct config *c, size_t i)
{
	if (i >= n_config_keys || config_keys[i].read != read_path)
		return NULL;
	return *(char *const *)((const char *)c + config_keys[i].offset);
}
