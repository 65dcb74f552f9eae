/* Actions: whatever the bytes, they are refused with a message that names the file, or keep every promise of action.h. */
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/action.h"
#include "vault/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char path[] = "vault/actions/x.json: ";
	cleanup_action struct action a = ACTION_INIT, again = ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;

	if (action_parse("x", (const char *)data, size, &a, &err) != 0) {
		must_refuse(&err, path);
		must(!a.json);
		return 0;
	}
	must(strcmp(a.id, "x") == 0 && vault_is_id(a.formula) && *a.context);
	must(json_is_array(a.secrets) && json_is_array(a.tools) && json_is_array(a.mounts) && json_is_object(a.inputs));
	must(a.timeout_minutes >= 0 && a.timeout_minutes <= 1440);
	/* What was taken once is taken again by whoever it is sent to. */
	must(action_from_json("x", a.json, &again, NULL) == 0 && json_equal(a.json, again.json));
	return 0;
}
