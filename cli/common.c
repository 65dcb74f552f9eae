/*
 * What most commands begin with.
 */
#include "cli/cli.h"
#include "vault/name.h"

int cli_config(const struct args *args, struct config *ret, struct err *err)
{
	return config_load(args_value(args, "config"), ret, err);
}

int cli_id(const char *id, struct err *err)
{
	if (vault_is_id(id))
		return 0;
	return err_set(err, ERR_INVALID, "'%s' is no id: %s", id, VAULT_ID_RULE);
}
