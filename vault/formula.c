#include "vault/formula.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include "vault/name.h"
#include <stdlib.h>
#include <string.h>

/* The id of the step that a message begins with ("steps[2].run: ..."); NULL where it is about none, or the id is no id. */
static const char *step_of(const json_t *json, const char *message)
{
	static const char head[] = "steps[";

	if (strncmp(message, head, strlen(head)) != 0)
		return NULL;
	const json_t *step = json_array_get(json_object_get(json, "steps"), strtoul(message + strlen(head), NULL, 10));
	const char *id = json_string_value(json_object_get(step, "id"));
	return id && vault_is_id(id) ? id : NULL;
}

/* Puts "line 12, step publish: " before what a reader says of the value. */
static void add_place(const json_t *json, const json_t *lines, struct err *why)
{
	size_t line = yaml_line_of(lines, err_msg(why));
	const char *step = step_of(json, err_msg(why));
	cleanup_free char *in_step = step ? xasprintf(", step %s", step) : xstrdup("");

	if (line > 0)
		err_wrap(why, "line %zu%s", line, in_step);
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
	if (formula_read(name, json, ret, &why) == 0)
		return 0;
	add_place(json, lines, &why);
	err_move(err, &why);
	return err_wrap(err, "%s", path);
}
