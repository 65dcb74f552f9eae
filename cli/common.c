/*
 * What most commands begin with.
 */
#include "cli/cli.h"
#include "vault/name.h"

int cli_config(const struct args *args, struct config *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (config_load(args_value(args, "config"), ret, &why) == 0)
		return 0;
	if (why.code == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "%s; name it with --config FILE, or make a site with: disinto init DIR", err_msg(&why));
	err_move(err, &why);
	return -1;
}

int cli_id(const char *id, struct err *err)
{
	if (vault_is_id(id))
		return 0;
	return err_set(err, ERR_INVALID, "'%s' is no id: %s", id, VAULT_ID_RULE);
}
