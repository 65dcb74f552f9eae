/*
 * POST /dispatch as core sees it: a place is reserved, git makes the proposal, and whoever asked hears what became of it. Web, which read the request, is not
 * believed: what counts is checked again, here or by git.
 *
 * What is wrong is said in one order, 400, 429, 409, 403, and git knows of the first two: the formula that is not there, and whether policy would land it at once. So git
 * is asked about a request that core refuses too, and core's reason is given where git has none that comes before it, or does not answer soon.
 */
#include "dispatcher/core_role/core_role.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/check.h"
#include "vault/name.h"

#include <stdio.h>
#include <string.h>

void house_init_proposals(struct house *h)
{
	const struct config *config = h->args->config;

	h->proposing = json_object();
	proposals_init(&h->proposals, config->max_pending, config->capacity);
#ifdef DISINTO_TEST
	const char *ms = getenv("DISINTO_TEST_ASKING_MS");
	if (ms)
		h->proposals.asking_ms = atoi(ms);
#endif
}

static int busy(const struct house *h)
{
	return core_active(h->core) + core_queued(h->core);
}

/* 429: how many there are, and how many there may be. */
static void too_many(struct house *h, json_int_t ask, const char *error, int active, int max)
{
	house_answer(h, ask, 429, json_pack("{s:s, s:i, s:i}", "error", error, "active", active, "max", max));
}

static void refuse_task(struct house *h, json_int_t ask, int code, const char *error, const char *task)
{
	house_answer(h, ask, code, json_pack("{s:s?, s:s?}", "error", error, "task_id", task));
}

/* Core's reason against it: {code, body}; NULL: it has none. Caller owns. */
static json_t *reason_against(const struct house *h, const char *id, const char *task, const char *repo)
{
	const struct config *config = h->args->config;
	const char *taken = core_find(h->core, id)             ? "it has landed already; an id runs once, ask for it under a new one"
	                    : proposals_has(&h->proposals, id) ? "another request of this id is under way"
	                                                       : NULL;

	if (taken)
		return json_pack("{s:i, s:{s:s, s:s}}", "code", 409, "body", "error", taken, "task_id", task);
	if (!repo || check_list_has(config->allowed_repos, repo))
		return NULL;
	return json_pack("{s:i, s:{s:o, s:s}}", "code", 403, "body", "error",
	                 json_sprintf("%s may not be named here; add it to allowed_repos in %s", repo,
	                              config->file ? config->file : "the configuration"),
	                 "repo", repo);
}

static void give_reason(struct house *h, json_int_t ask, const json_t *reason)
{
	house_answer(h, ask, (int)json_integer_value(json_object_get(reason, "code")), json_incref(json_object_get(reason, "body")));
}

/* Numbers of questions as keys. */
static const char *key_of(json_int_t ask, char buf[static 24])
{
	snprintf(buf, 24, "%lld", (long long)ask);
	return buf;
}

static void send_proposal(struct house *h, json_int_t ask, const char *id, const json_t *body, struct proposal_room room, json_t *reason)
{
	char key[24];

	json_object_set_new(h->proposing, key_of(ask, key),
	                    json_pack("{s:s, s:O?, s:O?, s:O*}", "id", id, "task_id", json_object_get(body, "task_id"), "repo",
	                              json_object_get(body, "repo"), "reason", reason));
	house_send(h, ROLE_GIT,
	           msg_new(MSG_PROPOSE, "{s:I, s:s, s:O, s:b, s:b, s:b, s:b}", "ask", ask, "id", id, "action",
	                   json_object_get(body, "action"), "asks_secrets", json_is_true(json_object_get(body, "asks_secrets")), "may_land",
	                   room.land, "may_wait", room.wait, "refused", reason != NULL),
	           -1);
}

void house_propose(struct house *h, json_int_t ask, const json_t *body)
{
	const char *id = json_text(body, "id"), *task = json_text(body, "task_id");
	/* The one that the action would be run on, whatever web says of it beside. */
	const char *repo = json_text(json_object_get(json_object_get(body, "action"), "inputs"), "repo");

	if (!id || !vault_is_id(id) || !task || !json_is_object(json_object_get(body, "action"))) {
		house_refuse(h, ask, 400, "the request makes no sense");
		return;
	}
	if (core_stopping(h->core) || h->conn[ROLE_GIT].fd < 0) {
		house_refuse(h, ask, 503,
		             core_stopping(h->core) ? "the dispatcher is leaving" : "the git role is being replaced; try again");
		return;
	}
	const struct proposal_room room = proposals_room(&h->proposals, house_is_pending(h, id), busy(h));
	cleanup_json json_t *reason = reason_against(h, id, task, repo);
	bool asked =
	    reason ? proposals_refuse(&h->proposals, ask, now_mono_ms()) : proposals_reserve(&h->proposals, id, ask, room, now_mono_ms());
	if (asked)
		send_proposal(h, ask, id, body, room, reason);
	else
		give_reason(h, ask, reason);
}

bool house_is_pending(const struct house *h, const char *id)
{
	size_t i;
	json_t *row;

	json_array_foreach (json_object_get(h->proposed, "pending"), i, row) {
		const char *there = json_text(row, "id");
		if (there && strcmp(there, id) == 0)
			return true;
	}
	return false;
}

void house_show_pending(struct house *h)
{
	if (!h->proposed || h->conn[ROLE_WEB].fd < 0)
		return;
	house_send(h, ROLE_WEB,
	           msg_new(MSG_WAITING, "{s:O, s:O}", "total", json_object_get(h->proposed, "total"), "pending",
	                   json_object_get(h->proposed, "pending")),
	           -1);
}

void house_hear_pending(struct house *h, const json_t *body)
{
	const json_t *total = json_object_get(body, "total");

	if (!json_is_integer(total) || !json_is_array(json_object_get(body, "pending")))
		return;
	json_decref(h->proposed);
	h->proposed = json_incref((json_t *)(uintptr_t)body);
	h->proposals.pending = (int)json_integer_value(total);
	house_show_pending(h);
}

static void answer(struct house *h, json_int_t ask, const char *outcome, const char *reason, const char *url)
{
	char key[24];
	cleanup_json json_t *asked = json_incref(json_object_get(h->proposing, key_of(ask, key)));
	const char *task = json_text(asked, "task_id");
	const json_t *against = json_object_get(asked, "reason");

	json_object_del(h->proposing, key);
	if (strcmp(outcome, "busy") == 0) {
		too_many(h, ask, "all slots are in use", busy(h) + proposals_slots(&h->proposals), h->args->config->capacity);
	} else if (strcmp(outcome, "full") == 0) {
		too_many(h, ask, "too many proposals wait for approval", proposals_count(&h->proposals), h->args->config->max_pending);
	} else if (strcmp(outcome, "invalid") == 0) {
		house_refuse(h, ask, 400, reason);
	} else if (against && strcmp(outcome, "taken") != 0) {
		give_reason(h, ask, against);
	} else if (strcmp(outcome, "proposed") == 0 || strcmp(outcome, "landed") == 0) {
		bool landed = *outcome == 'l';
		log_info(landed ? "landed for a client" : "proposed for a client", "id", json_text(asked, "id"), "url", url, NULL);
		house_answer(h, ask, 202,
		             json_pack("{s:s?, s:s?, s:s, s:s?, s:s?}", "task_id", task, "id", json_text(asked, "id"), "status",
		                       landed ? "dispatched" : "proposed", "repo", json_text(asked, "repo"), "url", url));
	} else {
		refuse_task(h, ask, strcmp(outcome, "taken") == 0 ? 409 : strcmp(outcome, "late") == 0 ? 504 : 502, reason, task);
	}
}

void house_proposed(struct house *h, const json_t *body)
{
	json_int_t ask = json_integer_value(json_object_get(body, "ask"));
	const char *outcome = json_text(body, "outcome"), *reason = json_text(body, "reason");

	if (outcome && proposals_answered(&h->proposals, ask, strcmp(outcome, "landed") == 0, now_mono_ms()))
		answer(h, ask, outcome, reason ? reason : "the git role gave no reason", json_text(body, "url"));
}

void house_expire_proposals(struct house *h, bool all)
{
	int64_t ask;

	while (proposals_expire(&h->proposals, all, now_mono_ms(), &ask)) {
		if (ask < 0)
			continue;
		if (all)
			answer(h, ask, "failed",
			       "the git role was replaced meanwhile, and whether it proposed this is not known; ask for the same again",
			       NULL);
		else
			answer(
			    h, ask, "late",
			    "the git server did not answer in time, and whether it has the proposal is not known; ask for the same again",
			    NULL);
	}
}
