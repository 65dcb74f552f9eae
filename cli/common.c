/*
 * What most commands begin with.
 */
#include "cli/api.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "vault/name.h"
#include <stdlib.h>

int cli_config(const struct args *args, struct config *ret, struct err *err)
{
	return config_load(args_value(args, "config"), ret, err);
}

/* One that was asked for must be there. */
static bool is_named(const struct args *args)
{
	const char *file = getenv("DISINTO_CONFIG");

	return args_has(args, "config") || (file && *file);
}

int cli_site(const struct args *args, struct config *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (cli_config(args, ret, &why) == 0 || (why.code == ERR_NOT_FOUND && api_url() && !is_named(args)))
		return 0;
	err_move(err, &why);
	return -1;
}

bool cli_has_repo(const struct config *config)
{
	return config->ops_repo != NULL;
}

int api_begin(const struct args *args, struct config *config, struct api *ret, struct err *err)
{
	if (cli_site(args, config, err) < 0 || api_open(config, ret, err) < 0)
		return -1;
	return api_answers(ret) ? 0 : api_none(config, err);
}

int cli_id(const char *id, struct err *err)
{
	if (vault_is_id(id))
		return 0;
	return err_set(err, ERR_INVALID, "'%s' is no id: %s", id, VAULT_ID_RULE);
}

int cli_action(const struct args *args, struct config *ret, struct err *err)
{
	if (cli_id(args_operand(args, 0), err) < 0)
		return CLI_USAGE;
	return cli_site(args, ret, err) < 0 ? CLI_FAILED : 0;
}
