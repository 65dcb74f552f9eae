#include "vault/formula.h"
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include "vault/name.h"

int formula_parse(const char *name, const char *text, size_t len, struct formula *ret, struct err *err)
{
	static const struct json_limits limits = {FORMULA_MAX_BYTES, 8};
	cleanup_json json_t *json = NULL;
	cleanup_free char *path = vault_formula_path(name);

	if (yaml_parse(text, len, &limits, &json, err) != 0)
		return err_wrap(err, "%s", path);
	return formula_from_json(name, json, ret, err);
}
