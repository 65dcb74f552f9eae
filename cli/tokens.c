/*
 * token add, list, revoke: keys for the HTTP API over TCP. Asked on the dispatcher's own socket, which needs none.
 */
#include "cli/api.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "vault/token.h"
#include <stdlib.h>

/* One call to the dispatcher; an answer of 2xx is success, and *ret its body (caller owns). */
static int call(const struct args *args, const char *method, const char *path, json_t **ret, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_begin(args, &config, &api, err) < 0 || api_call(&api, method, path, &status, &body, err) < 0)
		return -1;
	if (status < 200 || status > 299)
		return err_set(err, ERR_FAIL, "%s", api_error(status, body));
	*ret = steal_ptr(&body);
	return 0;
}

static int check(const char *name, struct err *err)
{
	return token_is_name(name) ? 0 : err_set(err, ERR_INVALID, "'%s' can't be a token's name: " TOKEN_NAME_RULE, name);
}

int cmd_token_add(const struct args *args, struct err *err)
{
	const char *name = args_operand(args, 0), *scope = args_value(args, "scope") ? args_value(args, "scope") : "read";
	cleanup_free char *path = xasprintf("/tokens/%s?scope=%s", name, scope);
	cleanup_json json_t *body = NULL;
	enum scope s;

	if (check(name, err) < 0)
		return CLI_USAGE;
	if (scope_parse(scope, &s) < 0) {
		err_set(err, ERR_INVALID, "--scope %s: must be propose, read or operate", scope);
		return CLI_USAGE;
	}
	if (call(args, "PUT", path, &body, err) < 0)
		return CLI_FAILED;
	json_object_set_new(body, "scope", json_string(scope));
	if (args_has(args, "json"))
		return print_json(body);
	printf("%s\n", text_of(body, "token"));
	note("token add: that was the token of %s, scope %s; it is shown this once, and only its hash is kept", name, scope);
	return CLI_DONE;
}

int cmd_token_list(const struct args *args, struct err *err)
{
	static const char *const headers[] = {"NAME", "SCOPE", "CREATED", NULL};
	cleanup_table struct table table;
	cleanup_json json_t *body = NULL;
	const json_t *token;
	size_t i;

	table_init(&table, headers);
	if (call(args, "GET", "/tokens", &body, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(json_object_get(body, "tokens"));
	json_array_foreach (json_object_get(body, "tokens"), i, token)
		table_add(&table, (const char *const[]){text_of(token, "name"), text_of(token, "scope"), text_of(token, "created")});
	if (json_array_size(json_object_get(body, "tokens")) == 0)
		note("token list: there are none, so nobody is let in over TCP; disinto token add NAME makes one");
	else
		table_print(&table, stdout);
	return CLI_DONE;
}

int cmd_token_revoke(const struct args *args, struct err *err)
{
	const char *name = args_operand(args, 0);
	cleanup_free char *path = xasprintf("/tokens/%s", name);
	cleanup_json json_t *body = NULL;

	if (check(name, err) < 0)
		return CLI_USAGE;
	if (call(args, "DELETE", path, &body, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		return print_json(body);
	note("token revoke: %s opens nothing any more", name);
	return CLI_DONE;
}
