/* What core tells web, and how it answers what web asks. */
#include "dispatcher/core_role/core_role.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/approval/dispatch.h"
#include "vault/name.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static json_t *opt_string(const char *s)
{
	json_t *value = s ? json_string(s) : NULL;
	return value ? value : json_null();
}

static json_t *opt_time(int64_t ms)
{
	char text[21];
	return ms ? json_string(time_format(ms, text)) : json_null();
}

/* The task that an action was made of, if its id says so too. */
static const char *task_of(const struct run *r)
{
	const char *task = json_text(r->action.inputs, "task_id");
	char id[VAULT_ID_MAX + 1];

	if (!task || !dispatch_is_task(task))
		return NULL;
	dispatch_task_action(task, id);
	return strcmp(id, r->id) == 0 ? task : NULL;
}

json_t *house_row(const struct run *r)
{
	const char *task = task_of(r);
	json_t *row = json_object();

	json_object_set_new(row, "id", json_string(r->id));
	json_object_set_new(row, "state", json_string(run_state_name(r->state)));
	json_object_set_new(row, "reason", opt_string(r->reason));
	json_object_set_new(row, "formula", opt_string(r->formula_name));
	json_object_set_new(row, "attempt", json_integer(r->attempt));
	json_object_set_new(row, "step", opt_string(transcript_current_step(r->transcript)));
	json_object_set_new(row, "started_at", opt_time(r->started_ms));
	json_object_set_new(row, "finished_at", opt_time(r->finished_ms));
	json_object_set_new(row, "outcome", r->has_outcome ? json_string(outcome_name(r->outcome)) : json_null());
	json_object_set_new(row, "exit_code", r->has_exit_code ? json_integer(r->exit_code) : json_null());
	json_object_set_new(row, "commit", opt_string(r->commit));
	json_object_set_new(row, "tier", opt_string(r->tier));
	json_object_set_new(row, "approved_by", opt_string(r->approval_by));
	if (task) {
		json_object_set_new(row, "task_id", json_string(task));
		json_object_set_new(row, "repo", opt_string(json_text(r->action.inputs, "repo")));
	}
	return row;
}

void house_show_run(struct house *h, const struct run *r)
{
	cleanup_json json_t *row = house_row(r);

	if (h->conn[ROLE_WEB].fd < 0)
		return;
	json_t *body = msg_new(MSG_RUN, NULL);
	json_object_update(body, row);
	house_send(h, ROLE_WEB, body, -1);
}

static json_t *health(bool ok, const char *reason)
{
	json_t *o = json_object();

	json_object_set_new(o, "ok", json_boolean(ok));
	json_object_set_new(o, "reason", opt_string(reason));
	return o;
}

static json_t *roles(const struct house *h)
{
	json_t *o = json_object();

	json_object_set_new(o, "core", json_string("up"));
	for (enum role r = ROLE_GIT; r < N_ROLES; r++)
		json_object_set_new(o, role_name(r), json_string(h->conn[r].fd >= 0 ? "up" : "down"));
	return o;
}

/* Roles that had to be replaced since core began. */
static json_t *replaced(const struct house *h)
{
	json_t *o = json_object();

	for (enum role r = ROLE_GIT; r < N_ROLES; r++)
		if (h->replaced[r].times > 0)
			json_object_set_new(o, role_name(r),
			                    json_pack("{s:i, s:s?, s:I}", "times", h->replaced[r].times, "reason", h->replaced[r].reason,
			                              "last_ms", (json_int_t)h->replaced[r].last_ms));
	return o;
}

/* Everything that /status and /healthz show; web adds ages and memory. */
static json_t *status(const struct house *h)
{
	const struct config *config = h->args->config;
	const char *hold = core_hold(h->core);
	json_t *o = msg_new(MSG_STATUS, "{s:s, s:s, s:i, s:i, s:i, s:i, s:b, s:I, s:i}", "dispatcher_id", h->args->dispatcher_id, "branch",
	                    config->branch, "capacity", config->capacity, "active", core_active(h->core), "queued", core_queued(h->core),
	                    "recording", core_recording(h->core), "draining", core_stopping(h->core), "started_ms",
	                    (json_int_t)h->started_wall_ms, "poll_seconds", config->poll_seconds);

	json_t *poll = health(h->poll_ok, h->poll_reason);
	json_object_set_new(poll, "tip", opt_string(h->tip));
	json_object_set_new(poll, "last_ms", json_integer(h->last_poll_ms));
	json_object_set_new(o, "poll", poll);
	json_t *engine = health(h->engine_ok, h->engine_reason);
	json_object_set_new(engine, "version", opt_string(h->engine_version));
	json_object_set_new(o, "engine", engine);
	json_object_set_new(o, "keyring", health(h->keyring_ok, h->keyring_reason));
	json_t *outbox = health(h->outbox_ok, h->outbox_reason);
	json_object_set_new(outbox, "waiting", json_integer(h->outbox_waiting));
	json_object_set_new(o, "outbox", outbox);
	json_t *reports = health(h->reports_ok, h->reports_reason);
	json_object_set_new(reports, "waiting", json_integer(h->reports_waiting));
	json_object_set_new(o, "reports", reports);
	cleanup_free char *leaving = house_leaving(h);
	json_object_set_new(o, "hold", opt_string(leaving ? leaving : hold));
	json_object_set_new(o, "ledger", house_ledger_status(h));
	json_object_set_new(o, "ops_repo", opt_string(config->ops_repo));
	json_object_set_new(o, "roles", roles(h));
	json_object_set_new(o, "replaced", replaced(h));
	json_object_set_new(o, "misnamed", h->misnamed ? json_incref(h->misnamed) : json_array());
	json_object_set_new(o, "notes", h->notes ? json_incref(h->notes) : json_array());
	return o;
}

void house_show_status(struct house *h)
{
	if (h->conn[ROLE_WEB].fd < 0)
		return;
	json_t *body = status(h);
	char *text = json_compact(body);
	if (h->status_sent && strcmp(text, h->status_sent) == 0) {
		free(text);
		json_decref(body);
		return;
	}
	free(h->status_sent);
	h->status_sent = text;
	house_send(h, ROLE_WEB, body, -1);
}

static void show_one(struct run *r, void *arg)
{
	house_show_run(arg, r);
}

/* To a web role that has just begun. */
void house_show_all(struct house *h)
{
	house_show_tokens(h);
	house_show_pending(h);
	free(h->status_sent);
	h->status_sent = NULL;
	core_each(h->core, show_one, h);
	house_show_status(h);
}

void house_answer(struct house *h, json_int_t ask, int code, json_t *body)
{
	house_send(h, ROLE_WEB, msg_new(MSG_ANSWER, "{s:I, s:i, s:o}", "ask", ask, "code", code, "body", body), -1);
}

void house_refuse(struct house *h, json_int_t ask, int code, const char *error)
{
	house_answer(h, ask, code, json_pack("{s:o}", "error", opt_string(error)));
}

/* The row with the steps that have ended, and the result, if it has one. */
static json_t *row_with_result(const struct house *h, const struct run *r)
{
	cleanup_free char *text = NULL;
	json_t *row = house_row(r);
	json_t *steps = transcript_steps(r->transcript);

	if (steps)
		json_object_set(row, "steps", steps);
	if (r->state >= RUN_RECORDING && r->has_outcome && spool_result(h->args->spool_fd, r->id, &text, NULL) == 0)
		json_object_set_new(row, "result", json_loads(text, 0, NULL));
	return row;
}

static void answer_run(struct house *h, json_int_t ask, const struct run *r)
{
	json_t *row = row_with_result(h, r);

	if (r->state == RUN_DONE) {
		json_object_set_new(row, "error", json_string("already finished"));
		house_answer(h, ask, 409, row);
	} else {
		json_object_set_new(row, "status", json_string("accepted"));
		house_answer(h, ask, 202, row);
	}
}

static void ask_run(struct house *h, json_int_t ask, const char *id)
{
	struct run *r = core_find(h->core, id);

	if (r) {
		answer_run(h, ask, r);
		return;
	}
	h->asks = xrealloc(h->asks, (h->n_asks + 1) * sizeof *h->asks);
	h->asks[h->n_asks++] = (struct ask){ask, xstrdup(id)};
	house_send(h, ROLE_GIT, msg_new(MSG_POLL, NULL), -1);
}

void house_answer_polled(struct house *h, bool ok, const char *reason)
{
	if (h->polls_wanted > 0 && --h->polls_wanted > 0)
		house_send(h, ROLE_GIT, msg_new(MSG_POLL, NULL), -1);
	for (size_t i = 0; i < h->n_asks; i++) {
		struct run *r = core_find(h->core, h->asks[i].id);
		if (r)
			answer_run(h, h->asks[i].number, r);
		else if (ok)
			house_refuse(h, h->asks[i].number, 404, "no such landed action");
		else
			house_refuse(h, h->asks[i].number, 503, reason ? reason : "the git server does not answer");
		free(h->asks[i].id);
	}
	h->n_asks = 0;
}

static void ask_cancel(struct house *h, json_int_t ask, const char *id)
{
	struct run *r = core_find(h->core, id);

	if (!r && house_is_pending(h, id)) {
		house_withdraw(h, ask, id);
	} else if (!r) {
		house_refuse(h, ask, 404, "not found");
	} else if (r->state >= RUN_ENDING) {
		house_refuse(h, ask, 409, "already finished");
	} else {
		struct event ev = {.kind = EV_CANCEL, .id = r->id, .reason = "cancelled by an operator"};
		json_t *answer = json_pack("{s:s, s:s}", "status", "cancelling", "task_id", r->id);
		house_step(h, &ev); /* which writes it down first */
		house_answer(h, ask, 202, answer);
	}
}

static void ask_logs(struct house *h, json_int_t ask, const char *id)
{
	int fd = -1;

	if (!core_find(h->core, id) || spool_log(h->args->spool_fd, id, O_RDONLY, &fd, NULL) < 0)
		house_refuse(h, ask, 404, "no log: it has not run here");
	else
		house_send(h, ROLE_WEB, msg_new(MSG_LOG_FILE, "{s:I}", "ask", ask), fd);
}

/* They are the result's: before it is written, a reading of the log may still begin again. */
static bool has_artifacts(struct house *h, json_int_t ask, const struct run *r, json_t **ret_result)
{
	cleanup_free char *text = NULL;

	if (!r || (r->state >= RUN_RECORDING && spool_result(h->args->spool_fd, r->id, &text, NULL) < 0)) {
		house_refuse(h, ask, 404, "not found");
		return false;
	}
	if (r->state < RUN_RECORDING) {
		house_refuse(h, ask, 409, "not finished: artifacts are there when it is");
		return false;
	}
	*ret_result = json_loads(text, 0, NULL);
	return true;
}

static json_t *list_of(const json_t *result, const char *key)
{
	json_t *list = json_object_get(result, key);
	return list ? json_incref(list) : json_array();
}

static void ask_artifacts(struct house *h, json_int_t ask, const struct run *r)
{
	cleanup_json json_t *result = NULL;

	if (has_artifacts(h, ask, r, &result))
		house_answer(
		    h, ask, 200,
		    json_pack("{s:o, s:o}", "artifacts", list_of(result, "artifacts"), "left_out", list_of(result, "artifacts_left_out")));
}

/* Only what the result lists: nothing else that may lie there. */
static void ask_artifact(struct house *h, json_int_t ask, const struct run *r, const char *name)
{
	cleanup_json json_t *result = NULL;
	int fd = -1;
	size_t i;
	const json_t *one;

	if (!has_artifacts(h, ask, r, &result))
		return;
	json_array_foreach (json_object_get(result, "artifacts"), i, one) {
		const char *there = json_string_value(json_object_get(one, "name"));
		if (there && name && vault_is_artifact(there) && strcmp(there, name) == 0 &&
		    spool_artifact(h->args->spool_fd, r->id, name, &fd, NULL) == 0) {
			house_send(h, ROLE_WEB, msg_new(MSG_LOG_FILE, "{s:I}", "ask", ask), fd);
			return;
		}
	}
	house_refuse(h, ask, 404, "no such artifact");
}

static void ask_drain(struct house *h, json_int_t ask, bool wait)
{
	house_drain(h, false);
	if (wait)
		json_array_append_new(h->drain_asks, json_integer(ask));
	else
		house_answer(h, ask, 202, json_pack("{s:s}", "status", "draining"));
}

/* However often it is asked, two polls are enough: the one that may have looked already, and one after it. */
static void ask_poll(struct house *h, json_int_t ask)
{
	if (h->polls_wanted == 0)
		house_send(h, ROLE_GIT, msg_new(MSG_POLL, NULL), -1);
	if (h->polls_wanted < 2)
		h->polls_wanted++;
	house_answer(h, ask, 202, json_pack("{s:s}", "status", "accepted"));
}

int house_ask(struct house *h, const json_t *body, struct err *err)
{
	const char *op = json_string_value(json_object_get(body, "op"));
	const char *id = json_string_value(json_object_get(body, "id"));
	json_int_t ask = json_integer_value(json_object_get(body, "ask"));

	if (!op)
		return err_set(err, ERR_INVALID, "'ask' without op");
	if (strcmp(op, "drain") == 0 || strcmp(op, "drained") == 0) {
		ask_drain(h, ask, strcmp(op, "drained") == 0);
		return 0;
	}
	if (strcmp(op, "poll") == 0) {
		ask_poll(h, ask);
		return 0;
	}
	if (strcmp(op, "dispatch") == 0) {
		house_propose(h, ask, body);
		return 0;
	}
	if (house_decide(h, ask, op, id) || house_ask_token(h, ask, op, body))
		return 0;
	if (!id) {
		house_refuse(h, ask, 404, "not found");
		return 0;
	}
	struct run *r = vault_is_id(id) ? core_find(h->core, id) : NULL;
	if (!vault_is_id(id))
		house_refuse(h, ask, 404, "not found");
	else if (strcmp(op, "run") == 0)
		ask_run(h, ask, id);
	else if (strcmp(op, "cancel") == 0)
		ask_cancel(h, ask, id);
	else if (strcmp(op, "logs") == 0)
		ask_logs(h, ask, id);
	else if (strcmp(op, "artifacts") == 0)
		ask_artifacts(h, ask, r);
	else if (strcmp(op, "artifact") == 0)
		ask_artifact(h, ask, r, json_string_value(json_object_get(body, "name")));
	else if (strcmp(op, "show") == 0 && r)
		house_answer(h, ask, 200, row_with_result(h, r));
	else
		house_refuse(h, ask, 404, "not found");
	return 0;
}
