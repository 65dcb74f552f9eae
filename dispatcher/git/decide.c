/* An operator's decisions. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/log.h"

#include <string.h>

void say_decided(struct git_state *g, int64_t ask, const char *trouble)
{
	cleanup_free char *reason = clean_text(trouble);
	tell_core(g, msg_new(MSG_DECIDED, "{s:I, s:b, s:s?}", "ask", (json_int_t)ask, "ok", !trouble, "reason", reason));
}

int decide_claim(struct git_state *g, const char *id, struct ledger_claim *ret, char **ret_no, struct err *err)
{
	struct ops_item item;
	struct ledger_done done;
	cleanup_err struct err why = ERR_INIT;

	*ret_no = NULL;
	if (ops_item(g->repo, &g->tip, id, &item, err) < 0)
		return -1;
	int finished = ledger_read_done(g, id, &done, &why);
	if (finished < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	if (item.result.there || finished != 1) {
		*ret_no = xasprintf("%s has a result already", id);
		return 0;
	}
	err_clear(&why);
	int rc = ledger_read_claim(g, id, ret, &why);
	if (rc < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	if (rc == 1)
		*ret_no = xasprintf("nobody has claimed %s, so there is nothing to settle", id);
	else if (rc < 0)
		*ret_no = xasprintf("%s; a person who may push to " LEDGER_BRANCH " has to mend it", err_msg(&why));
	return 0;
}

/*
 * Whoever had the claim came as far as the result, and never to the done entry: only that is left to be written. 0: it will be; 1: no result stands there, or it
 * is a stranger's.
 */
static int finish_standing(struct git_state *g, const char *id, int64_t ask, struct err *err)
{
	struct ops_item item;
	struct ledger_claim at;
	struct ledger_done done;
	cleanup_buf struct buf text = BUF_INIT;

	if (ops_item(g->repo, &g->tip, id, &item, err) < 0)
		return -1;
	if (!item.result.there || ledger_read_done(g, id, &done, NULL) != 1 || ledger_read_claim(g, id, &at, NULL) != 0)
		return 1;
	if (!record_is_of_claim(g, &item.result.oid, at.nonce, at.dispatcher, &text))
		return 1;
	return record_add(g, id, text.data, ask, err);
}

/* A result as core made it, for a run that it knows nothing of: whose claim and attempt it stands for is what the ledger says. */
static int record_lost(struct git_state *g, const char *id, const char *text, int64_t ask, struct err *err)
{
	struct ledger_claim claim = {.attempt = 1};
	cleanup_free char *no = NULL, *patched = NULL;
	cleanup_json json_t *result = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	int standing = finish_standing(g, id, ask, err);
	if (standing <= 0)
		return standing;
	if (decide_claim(g, id, &claim, &no, err) < 0)
		return -1;
	if (no)
		return err_set(err, ERR_INVALID, "%s", no);
	if (!json_is_object(result))
		return err_set(err, ERR_INVALID, "'decide' with a result that is none");
	json_object_set_new(result, "claim", json_string(claim.nonce));
	json_object_set_new(result, "attempt", json_integer(claim.attempt));
	patched = json_pretty(result);
	return record_add(g, id, patched, ask, err);
}

static int decide_one(struct git_state *g, const char *what, const char *id, const char *text, int64_t ask, struct err *err)
{
	struct ledger_entry e = {.kind = strcmp(what, "backlog") == 0 ? LEDGER_BACKLOG : LEDGER_RERUN, .ask = ask};

	if (strcmp(what, "history") == 0)
		return g->has_tip ? history_accept(g, err) : err_set(err, ERR_FAIL, "the ops repo was not read yet; try again");
	if (!g->ledger.on)
		return err_set(err, ERR_INVALID, "there is no ledger: the configuration says claims: local");
	if (!g->repo || !g->has_tip || !g->ledger.has_tip || !g->ledger.there)
		return err_set(err, ERR_FAIL, "the ledger was not read yet; try again");
	if (g->frozen)
		return err_set(err, ERR_FAIL, "%s", g->frozen);
	if (strcmp(what, "lost") == 0)
		return record_lost(g, id, text, ask, err);
	if (id)
		memcpy(e.id, id, strlen(id) + 1);
	ledger_add(g, &e);
	return 0;
}

int decide(struct git_state *g, const json_t *body, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	const char *what = json_string_value(json_object_get(body, "what"));
	const char *id = json_string_value(json_object_get(body, "id"));
	const char *text = json_string_value(json_object_get(body, "result"));
	int64_t ask = json_integer_value(json_object_get(body, "ask"));

	bool withdraws = what && strcmp(what, "withdraw") == 0;
	bool names = withdraws || (what && (strcmp(what, "lost") == 0 || strcmp(what, "rerun") == 0));
	if (!what || ask < 0 || (!names && strcmp(what, "backlog") != 0 && strcmp(what, "history") != 0) ||
	    (names && (!id || !vault_is_id(id))) || (strcmp(what, "lost") == 0 && !text))
		return err_set(err, ERR_INVALID, "'decide' that makes no sense");
	log_info("an operator decided", "what", what, "id", id, NULL);
	if (withdraws)
		propose_withdraw(g, id, ask);
	else if (decide_one(g, what, id, text, ask, &why) < 0)
		say_decided(g, ask, err_msg(&why));
	else if (strcmp(what, "history") == 0)
		say_decided(g, ask, NULL);
	return 0;
}
