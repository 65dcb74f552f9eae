/*
 * The life of this dispatcher. Each start has a new one, which the ledger must hold before anything else is written there; a copy of the spool that starts elsewhere finds a
 * stranger's life in the place of those that it remembers, and ends.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#include <string.h>

static void say(struct git_state *g, bool ok, const char *reason)
{
	tell_core(g, msg_new(MSG_INCARNATED, "{s:b, s:s?, s:b}", "ok", ok, "reason", reason, "company", ledger_has_company(g)));
}

int life_begin(struct git_state *g, const json_t *body, struct err *err)
{
	struct ledger *l = &g->ledger;
	const char *incarnation = json_string_value(json_object_get(body, "incarnation"));
	const json_t *former = json_object_get(body, "former");

	if (!l->on)
		return 0;
	if (!incarnation || !ledger_is_token(incarnation) || (former && !json_is_array(former)))
		return err_set(err, ERR_INVALID, "'remembered' without an incarnation");
	memcpy(l->incarnation, incarnation, strlen(incarnation) + 1);
	json_decref(l->former);
	l->former = json_incref((json_t *)(uintptr_t)former);
	return 0;
}

void life_refuse(struct git_state *g, const char *reason)
{
	if (!g->ledger.stranger) {
		log_error("this dispatcher must end", "reason", reason, NULL);
		say(g, false, reason);
	}
	g->ledger.stranger = true;
	g->ledger.incarnated = false;
}

void life_written(struct git_state *g)
{
	if (!g->ledger.incarnated)
		say(g, true, NULL);
	g->ledger.incarnated = true;
}

static bool was_ours(const struct ledger *l, const char *incarnation)
{
	size_t i;
	json_t *one;

	json_array_foreach (l->former, i, one) {
		if (json_is_string(one) && strcmp(json_string_value(one), incarnation) == 0)
			return true;
	}
	return false;
}

int life_check(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	struct ledger_life at = {.time = 0};
	cleanup_err struct err why = ERR_INIT;

	int rc = ledger_read_life(g, &at, &why);
	if (rc < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	if (rc == 0 && strcmp(at.incarnation, l->incarnation) == 0) {
		life_written(g);
		return 0;
	}
	/* Once ours stood there, anything else is somebody who came after us. */
	bool first = !l->incarnated && (rc == 1 || (rc == 0 && (json_array_size(l->former) == 0 || was_ours(l, at.incarnation))));
	if (first && rc == 0 && json_array_size(l->former) == 0)
		log_warn("a dispatcher of this name has worked before, with another spool; it must not be running any more, and its claims "
		         "stay taken",
		         "dispatcher", g->args->dispatcher_id, NULL);
	if (first)
		return 1;
	cleanup_free char *reason = xasprintf(
	    "another dispatcher works under the name %s: this spool is a copy, or an old one, or the name is used twice; give one "
	    "of them another dispatcher_id and a spool of its own",
	    g->args->dispatcher_id);
	life_refuse(g, reason);
	return err_set(err, ERR_DENIED, "%s", reason);
}
