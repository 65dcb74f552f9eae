/* POST /dispatch, and how tasks are called in paths. */
#include "vault/approval/dispatch.h"
#include "dispatcher/web/web.h"
#include "lib/cleanup.h"

#include <sodium.h>
#include <string.h>

enum MHD_Result web_dispatch(struct request *q, const char *op)
{
	cleanup_dispatch struct dispatch d = DISPATCH_INIT;
	cleanup_err struct err why = ERR_INIT;
	unsigned char random[4];
	char fresh[2 * sizeof random + 1];

	randombytes_buf(random, sizeof random);
	sodium_bin2hex(fresh, sizeof fresh, random, sizeof random);
	if (dispatch_read(q->body.len ? q->body.data : "", q->body.len, fresh, &d, &why) < 0)
		return web_error(q, 400, err_msg(&why));
	q->id = xstrdup(d.id);
	q->more =
	    json_pack("{s:s, s:s?, s:O, s:b}", "task_id", d.task_id, "repo", d.repo, "action", d.action, "asks_secrets", d.asks_secrets);
	return web_wait(q, op);
}

static bool is_known(const struct web *w, const char *id)
{
	size_t i;
	json_t *row;

	json_array_foreach (json_object_get(w->waiting, "pending"), i, row)
		if (json_is_string(json_object_get(row, "id")) && strcmp(json_string_value(json_object_get(row, "id")), id) == 0)
			return true;
	return json_object_get(w->rows, id) != NULL;
}

char *web_id(const struct web *w, const char *name, char **ret_other)
{
	char id[VAULT_ID_MAX + 1];

	if (!dispatch_is_task(name)) /* every id is one */
		return NULL;
	dispatch_task_action(name, id);
	if (vault_is_id(name) && is_known(w, name)) {
		if (ret_other && strcmp(id, name) != 0 && is_known(w, id))
			*ret_other = xstrdup(id);
		return xstrdup(name);
	}
	return xstrdup(vault_is_id(name) && !is_known(w, id) ? name : id);
}
