/* Configurations: whatever the bytes, they are refused with a message that names the file, or keep every promise of config.h. */
#include "tests/fuzz/must.h"
#include "vault/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	must(!path || *path == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char file[] = "/site/dispatcher.yaml: ";
	cleanup_config struct config c = CONFIG_INIT;
	cleanup_err struct err err = ERR_INIT;

	if (config_parse("/site/dispatcher.yaml", (const char *)data, size, &c, &err) != 0) {
		must_refuse(&err, file);
		must(!c.ops_repo);
		return 0;
	}
	must(c.ops_repo[0] && c.ops_repo[0] != '-' && c.branch[0] && c.branch[0] != '-');
	must(c.capacity >= 1 && c.capacity <= 1024 && c.poll_seconds >= 1);
	must(c.approval.minimum != APPROVAL_SIGNED || c.approval.allowed_signers);
	must(c.approval.minimum != APPROVAL_FORGE || (c.approval.forge_url && json_array_size(c.approval.approvers) > 0));
	must(strcmp(c.claims, "local") == 0 || strcmp(c.claims, "ledger") == 0);
	check_path(c.approval.allowed_signers);
	check_path(c.signing_key_file);
	check_path(c.spool);
	check_path(c.docker_host);
	check_path(c.identity_file);
	check_path(c.git_token_file);
	return 0;
}
