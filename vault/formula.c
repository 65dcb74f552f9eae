#include "vault/formula.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include "vault/name.h"
#include <string.h>

/* Puts "line 12, step publish: " before what a reader says of the value, which begins with its path. */
static void add_place(const json_t *json, const json_t *lines, struct err *why)
{
	const char *end = strstr(err_msg(why), ": ");
	cleanup_free char *path = xasprintf("%.*s", end ? (int)(end - err_msg(why)) : 0, err_msg(why));
	cleanup_free char *place = formula_place(json, lines, path);

	if (place)
		err_wrap(why, "%s", place);
}

int formula_parse(const char *name, const char *text, size_t len, struct formula *ret, struct err *err)
{
	static const struct json_limits limits = {FORMULA_MAX_BYTES, 8};
	cleanup_json json_t *json = NULL;
	cleanup_json json_t *lines = NULL;
	cleanup_free char *path = vault_formula_path(name);
	cleanup_err struct err why = ERR_INIT;

	if (yaml_parse_lines(text, len, &limits, &json, &lines, err) != 0)
		return err_wrap(err, "%s", path);
	if (formula_read(name, json, lines, ret, &why) == 0)
		return 0;
	add_place(json, lines, &why);
	err_move(err, &why);
	return err_wrap(err, "%s", path);
}
