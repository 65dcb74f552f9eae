/* What the core role does for `claims: ledger`, and how an operator's decisions reach the git role. */
#include "dispatcher/core_role/core_role.h"
#include "dispatcher/core_role/spool.h"
#include "dispatcher/core_role/transcript.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/name.h"

#include <stdio.h>
#include <string.h>

/* How much longer than its formula allows a run may take until its claim counts as overdue: images are pulled, results pushed. */
#define CLAIM_SLACK_S 3600
#define INCARNATE_RETRY_MS 5000

bool house_uses_ledger(const struct house *h)
{
	return strcmp(h->args->config->claims, "ledger") == 0;
}

/* False: the disk does not take it yet. */
static bool incarnate(struct house *h)
{
	cleanup_err struct err err = ERR_INIT;

	if (h->incarnation || !house_uses_ledger(h))
		return true;
	if (spool_incarnate(h->args->spool_fd, &h->incarnation, &h->former, &err) == 0)
		return true;
	log_error("this start can't be written to the spool; nothing is claimed until it can", "error", err_msg(&err), NULL);
	return false;
}

void house_greet_git(struct house *h)
{
	h->git_waits = !incarnate(h);
	h->git_retry_ms = now_mono_ms() + INCARNATE_RETRY_MS;
	if (h->git_waits)
		return;
	cleanup_json json_t *none = json_array();
	house_send(h, ROLE_GIT,
	           msg_new(MSG_REMEMBERED, "{s:O?, s:s?, s:O}", "state", h->git_memory, "incarnation", h->incarnation, "former",
	                   h->former ? h->former : none),
	           -1);
	struct event ev = {.kind = EV_ROLE_UP, .role_git = true};
	house_step(h, &ev);
}

static void hear_company(struct house *h, const json_t *body)
{
	struct event ev = {.kind = EV_COMPANY};

	if (json_is_true(json_object_get(body, "company")))
		house_step(h, &ev);
}

void house_hear_incarnated(struct house *h, const json_t *body)
{
	cleanup_err struct err err = ERR_INIT;
	const char *reason = json_string_value(json_object_get(body, "reason"));
	struct event ev = {
	    .kind = EV_INCARNATED,
	    .ok = json_is_true(json_object_get(body, "ok")),
	    .reason =
	        reason ? reason : "another dispatcher uses a copy of this spool; give this one a spool and a dispatcher_id of its own",
	};

	/* Failing to forget only means that the ledger is asked about older lives, too. */
	if (ev.ok && spool_incarnated(h->args->spool_fd, &err) < 0)
		log_warn("former incarnations can't be forgotten", "error", err_msg(&err), NULL);
	if (!ev.ok)
		house_found(h, NULL, ev.reason, "ended: this spool must not be used");
	hear_company(h, body); /* before anything starts */
	house_step(h, &ev);
}

static int64_t deadline_of(const struct run *r)
{
	int64_t minutes = r->formula ? formula_timeout_minutes(r->formula, &r->action) : 0;

	return now_wall_ms() / 1000 + minutes * 60 + CLAIM_SLACK_S;
}

void house_claim(struct house *h, struct run *r)
{
	house_send(h, ROLE_GIT,
	           msg_new(MSG_CLAIM, "{s:s, s:i, s:s, s:O, s:s?, s:I}", "id", r->id, "attempt", r->attempt, "nonce", r->claim, "mine",
	                   r->mine, "action_blob", r->action_blob, "deadline", (json_int_t)deadline_of(r)),
	           -1);
}

void house_hear_claim(struct house *h, enum event_kind kind, const char *id, const json_t *body)
{
	const char *reason = json_string_value(json_object_get(body, "reason"));
	struct event ev = {
	    .kind = kind,
	    .id = id,
	    .attempt = (int)json_integer_value(json_object_get(body, "attempt")),
	    .nonce = json_string_value(json_object_get(body, "nonce")),
	    .ok = json_is_true(json_object_get(body, "ok")),
	    .reason = reason ? reason : "it is claimed by another dispatcher",
	};
	house_step(h, &ev);
}

void house_hear_ledger(struct house *h, const json_t *polled)
{
	const char *frozen = json_string_value(json_object_get(polled, "frozen"));
	json_t *overdue = json_object_get(polled, "overdue");

	hear_company(h, polled);
	if (json_is_array(overdue)) {
		json_decref(h->overdue);
		h->overdue = json_incref(overdue);
		h->backlog = json_integer_value(json_object_get(polled, "backlog"));
	}
	if (!json_object_get(polled, "frozen") || (frozen ? h->frozen && strcmp(frozen, h->frozen) == 0 : !h->frozen))
		return;
	if (frozen)
		log_error("nothing new starts until an operator decides", "reason", frozen, NULL);
	else
		log_info("starts go on", NULL);
	free(h->frozen);
	h->frozen = frozen ? xstrdup(frozen) : NULL;
	struct event ev = {.kind = EV_FROZEN, .reason = h->frozen};
	house_step(h, &ev);
}

json_t *house_ledger_status(const struct house *h)
{
	cleanup_json json_t *none = json_array();

	return json_pack("{s:s, s:s?, s:O, s:I}", "claims", h->args->config->claims, "frozen", h->frozen, "overdue",
	                 h->overdue ? h->overdue : none, "backlog", h->backlog);
}

/* Why an operator can't settle what this dispatcher has in hand, or NULL. */
static const char *in_hand(const struct run *r)
{
	if (!r || r->state <= RUN_QUEUED || r->state == RUN_DONE)
		return NULL;
	if (r->state == RUN_CLAIMING || r->state == RUN_BIDDING)
		return "it is being claimed here at this moment; ask again";
	return r->state >= RUN_ENDING ? "its result is on the way to the server" : "it is running here; cancel it first";
}

/* The result of a run that nobody knows the end of. What this spool knows of it, if anything, stands in it. Caller frees. */
static char *lost_result(const struct house *h, const char *id, const struct run *known)
{
	struct run *r = run_new(id);

	if (known) {
		r->attempt = known->attempt;
		r->started_ms = known->started_ms;
		r->commit = known->commit ? xstrdup(known->commit) : NULL;
		r->action_blob = known->action_blob ? xstrdup(known->action_blob) : NULL;
		r->claim = known->claim ? xstrdup(known->claim) : NULL;
	}
	r->has_outcome = true;
	r->outcome = OUTCOME_LOST;
	r->finished_ms = now_wall_ms();
	r->reason = xstrdup("an operator settled it as lost: it may have run, and nobody can say how it went");
	char *text = transcript_result(r, NULL, h->args->dispatcher_id);
	run_free(r);
	return text;
}

static void decide(struct house *h, json_int_t ask, const char *what, const char *id, const char *result)
{
	char number[32];

	snprintf(number, sizeof number, "%lld", (long long)ask);
	json_object_set_new(h->deciding, number, strcmp(what, "withdraw") == 0 ? json_string(id) : json_true());
	house_send(h, ROLE_GIT, msg_new(MSG_DECIDE, "{s:I, s:s, s:s?, s:s?}", "ask", ask, "what", what, "id", id, "result", result), -1);
}

static void settle(struct house *h, json_int_t ask, const char *op, const char *id)
{
	if (!house_uses_ledger(h)) {
		house_refuse(h, ask, 409, "claims are local here: there is no ledger with claims to settle");
		return;
	}
	if (!id || !vault_is_id(id)) {
		house_refuse(h, ask, 404, "not found");
		return;
	}
	const struct run *r = core_find(h->core, id);
	const char *why = in_hand(r);
	if (why) {
		house_refuse(h, ask, 409, why);
		return;
	}
	cleanup_free char *text = strcmp(op, "lost") == 0 ? lost_result(h, id, r) : NULL;
	decide(h, ask, op, id, text);
}

bool house_decide(struct house *h, json_int_t ask, const char *op, const char *id)
{
	bool about_one = strcmp(op, "lost") == 0 || strcmp(op, "rerun") == 0;

	if (!about_one && strcmp(op, "backlog") != 0 && strcmp(op, "history") != 0)
		return false;
	if (h->conn[ROLE_GIT].fd < 0 || h->git_waits) {
		house_refuse(h, ask, 503, "the git role is being replaced; ask again");
		return true;
	}
	if (about_one)
		settle(h, ask, op, id);
	else
		decide(h, ask, op, NULL, NULL);
	return true;
}

void house_withdraw(struct house *h, json_int_t ask, const char *id)
{
	if (h->conn[ROLE_GIT].fd < 0 || h->git_waits)
		house_refuse(h, ask, 503, "the git role is being replaced; ask again");
	else
		decide(h, ask, "withdraw", id, NULL);
}

void house_decided(struct house *h, const json_t *body)
{
	json_int_t ask = json_integer_value(json_object_get(body, "ask"));
	const char *reason = json_string_value(json_object_get(body, "reason"));
	char number[32];

	snprintf(number, sizeof number, "%lld", (long long)ask);
	cleanup_json json_t *asked = json_incref(json_object_get(h->deciding, number));
	if (json_object_del(h->deciding, number) < 0)
		return; /* nobody waits for it */
	bool ok = json_is_true(json_object_get(body, "ok"));
	if (ok && json_is_string(asked))
		house_answer(h, ask, 200, json_pack("{s:s, s:O}", "status", "withdrawn", "task_id", asked));
	else if (ok)
		house_answer(h, ask, 200, json_pack("{s:s, s:s?}", "status", "done", "reason", reason));
	else
		house_refuse(h, ask, 409, reason ? reason : "no reason was given");
}

void house_undecided(struct house *h)
{
	const char *number;
	json_t *value;

	json_object_foreach (h->deciding, number, value)
		house_refuse(h, strtoll(number, NULL, 10), 503,
		             "the git role ended before it answered; look whether it was done, and ask again");
	json_object_clear(h->deciding);
}
