/* What web shows of its copy of the state. */
#include "dispatcher/confine.h"
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/forge/forge.h"

#include <stdlib.h>
#include <string.h>

static const char *row_text(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

static bool is_state(const json_t *row, const char *state)
{
	const char *s = row_text(row, "state");
	return s && strcmp(s, state) == 0;
}

bool web_log_is_whole(const struct web *w, const char *id)
{
	const json_t *row = json_object_get(w->rows, id);
	return !row || is_state(row, "recording") || is_state(row, "finished");
}

bool web_has_log(const struct web *w, const char *id)
{
	const json_t *row = json_object_get(w->rows, id);
	return !row || is_state(row, "running") || web_log_is_whole(w, id);
}

static int64_t status_int(const struct web *w, const char *key)
{
	return json_integer_value(json_object_get(w->status, key));
}

static int64_t poll_age_ms(const struct web *w)
{
	int64_t last = json_integer_value(json_object_get(json_object_get(w->status, "poll"), "last_ms"));
	int64_t age = now_wall_ms() - last;

	return last == 0 ? -1 : age < 0 ? 0 : age;
}

/* Everything that makes the dispatcher unwell. */
static bool is_well(const struct web *w)
{
	const char *role;
	json_t *up;
	int64_t age = poll_age_ms(w);

	if (!w->status || age < 0 || age > 3000LL * w->args->config->poll_seconds)
		return false;
	if (json_array_size(json_object_get(json_object_get(w->status, "ledger"), "overdue")) > 0)
		return false; /* a claim that nobody will end: an operator settles it */
	json_object_foreach (json_object_get(w->status, "roles"), role, up)
		if (strcmp(json_string_value(up), "up") != 0)
			return false;
	return true;
}

static json_t *or_null(const json_t *value)
{
	return value ? json_incref((json_t *)(uintptr_t)value) : json_null();
}

json_t *web_healthz(const struct web *w, int *ret_code)
{
	bool well = is_well(w);

	*ret_code = well ? 200 : 503;
	json_t *o =
	    json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b}", "status", well ? "ok" : "unwell", "runner_id", w->args->dispatcher_id,
	              "active_sessions", (json_int_t)status_int(w, "active"), "capacity", (json_int_t)w->args->config->capacity, "queued",
	              (json_int_t)status_int(w, "queued"), "last_poll_age_ms", (json_int_t)poll_age_ms(w), "draining",
	              json_is_true(json_object_get(w->status, "draining")), "locked", w->locked);
	json_object_set_new(o, "roles", or_null(json_object_get(w->status, "roles")));
	return o;
}

/* A line of /proc/meminfo; 0: not known. */
static json_int_t megabytes(const char *meminfo, const char *key)
{
	const char *line = meminfo ? strstr(meminfo, key) : NULL;
	return line ? strtoll(line + strlen(key), NULL, 10) / 1024 : 0;
}

/* What programs can still get counts what the kernel keeps of files. */
static json_t *memory(void)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read("/proc/meminfo", 65536, &text, NULL) < 0)
		buf_adds(&text, "");
	return json_pack("{s:I, s:I}", "total_mb", megabytes(text.data, "MemTotal:"), "available_mb",
	                 megabytes(text.data, "MemAvailable:"));
}

json_t *web_status(const struct web *w)
{
	static const char *const same[] = {"dispatcher_id", "ops_repo", "branch",   "poll",     "engine", "keyring",  "outbox", "reports",
	                                   "hold",          "roles",    "misnamed", "draining", "ledger", "replaced", "notes"};
	int64_t active = status_int(w, "active"), max = w->args->config->capacity;

	json_t *o = json_pack("{s:s, s:s, s:I, s:{s:I, s:I, s:I}, s:o, s:{s:b, s:i}, s:s}", "status",
	                      !w->status                                             ? "starting"
	                      : json_is_true(json_object_get(w->status, "draining")) ? "draining"
	                                                                             : "running",
	                      "version", DISINTO_VERSION, "uptime_seconds",
	                      w->status ? (json_int_t)((now_wall_ms() - status_int(w, "started_ms")) / 1000) : 0, "workers", "active",
	                      (json_int_t)active, "max", (json_int_t)max, "available", (json_int_t)(max - active), "memory", memory(),
	                      "pulse", "enabled", 1, "interval_seconds", w->args->config->poll_seconds, "manager", "docker");
	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		json_object_set_new(o, same[i], or_null(json_object_get(w->status, same[i])));
	const struct config *config = w->args->config;
	cleanup_free char *commits = forge_commits_url(config->approval.forge_url, config->ops_repo);
	json_object_set_new(o, "commit_url", commits ? json_string(commits) : json_null());
	json_object_set_new(o, "now_ms", json_integer(now_wall_ms())); /* ages are counted by one clock, whatever the reader's says */
	json_object_set_new(o, "locked", json_boolean(w->locked));
	const char *note = separation_note(config);
	json_object_set_new(o, "separation", note ? json_pack("[s]", note) : json_array());
	json_object_set_new(o, "queued", json_integer(status_int(w, "queued")));
	json_object_set_new(o, "recording", json_integer(status_int(w, "recording")));
	return o;
}

json_t *web_actions(const struct web *w)
{
	const char *id;
	json_t *row, *list = json_array();

	json_object_foreach (w->rows, id, row)
		json_array_append(list, row);
	return json_pack("{s:o}", "actions", list);
}

json_t *web_pending(const struct web *w)
{
	if (!w->waiting)
		return json_pack("{s:[], s:i}", "pending", "total", 0);
	return json_pack("{s:O, s:O}", "pending", json_object_get(w->waiting, "pending"), "total", json_object_get(w->waiting, "total"));
}

json_t *web_tokens(const struct web *w)
{
	json_t *list = json_array(), *token;
	size_t i;

	json_array_foreach (w->tokens, i, token) {
		json_t *shown = json_copy(token);
		json_object_del(shown, "sha256");
		json_array_append_new(list, shown);
	}
	return json_pack("{s:o}", "tokens", list);
}

/* The shape that clients of task servers know; what runs no task has no repo. */
static json_t *worker(const char *id, const json_t *row)
{
	const char *start = row_text(row, "started_at");
	int64_t since = start ? time_parse(start) : -1, age = since < 0 ? 0 : now_wall_ms() - since;

	const char *task = row_text(row, "task_id");

	return json_pack("{s:s, s:O?, s:O, s:O?, s:O?, s:O?, s:O?, s:I}", "task_id", task ? task : id, "repo", json_object_get(row, "repo"),
	                 "status", json_object_get(row, "state"), "formula", json_object_get(row, "formula"), "step",
	                 json_object_get(row, "step"), "attempt", json_object_get(row, "attempt"), "start_time",
	                 json_object_get(row, "started_at"), "elapsed_minutes", (json_int_t)(age > 0 ? age / 60000 : 0));
}

json_t *web_workers(const struct web *w)
{
	const char *id;
	json_t *row, *list = json_array();

	json_object_foreach (w->rows, id, row)
		if (is_state(row, "running") || is_state(row, "starting"))
			json_array_append_new(list, worker(id, row));
	return json_pack("{s:o}", "workers", list);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %g\n", name, help, name, name, value);
}

static void metrics_outcomes(const struct web *w, struct buf *out)
{
	static const char *const outcomes[] = {"succeeded", "failed", "timed_out", "cancelled", "refused", "lost"};
	int n[sizeof outcomes / sizeof *outcomes] = {0};
	const char *id;
	json_t *row;

	json_object_foreach (w->rows, id, row) {
		const char *outcome = row_text(row, "outcome");
		for (size_t i = 0; outcome && i < sizeof n / sizeof *n; i++)
			n[i] += strcmp(outcome, outcomes[i]) == 0;
	}
	buf_adds(out, "# HELP disinto_actions_ended Actions in the spool that ended, by outcome.\n# TYPE disinto_actions_ended gauge\n");
	for (size_t i = 0; i < sizeof n / sizeof *n; i++)
		buf_addf(out, "disinto_actions_ended{outcome=\"%s\"} %d\n", outcomes[i], n[i]);
}

char *web_metrics(const struct web *w)
{
	struct buf out = BUF_INIT;
	const char *role;
	json_t *up;

	gauge(&out, "disinto_healthy", "1 when /healthz answers 200.", is_well(w));
	gauge(&out, "disinto_capacity", "Slots for runs.", w->args->config->capacity);
	gauge(&out, "disinto_active", "Slots in use.", (double)status_int(w, "active"));
	gauge(&out, "disinto_queued", "Landed actions that wait or are queued.", (double)status_int(w, "queued"));
	gauge(&out, "disinto_recording", "Results that are not on the server yet.", (double)status_int(w, "recording"));
	gauge(&out, "disinto_last_poll_age_seconds", "Time since the last successful poll; -1 before the first.",
	      poll_age_ms(w) < 0 ? -1 : (double)poll_age_ms(w) / 1000);
	const json_t *ledger = json_object_get(w->status, "ledger");
	gauge(&out, "disinto_draining", "1 while nothing new is taken.", json_is_true(json_object_get(w->status, "draining")));
	gauge(&out, "disinto_frozen", "1 while nothing new starts until an operator decides.",
	      json_is_string(json_object_get(ledger, "frozen")));
	gauge(&out, "disinto_backlog", "Actions that wait for disinto accept-backlog.",
	      (double)json_integer_value(json_object_get(ledger, "backlog")));
	gauge(&out, "disinto_claims_overdue", "Claims past their deadline, for an operator to settle.",
	      (double)json_array_size(json_object_get(ledger, "overdue")));
	gauge(&out, "disinto_engine_up", "1 while the Docker Engine answers.",
	      json_is_true(json_object_get(json_object_get(w->status, "engine"), "ok")));
	buf_adds(&out, "# HELP disinto_role_up 1 while the role's process runs.\n# TYPE disinto_role_up gauge\n");
	json_object_foreach (json_object_get(w->status, "roles"), role, up)
		buf_addf(&out, "disinto_role_up{role=\"%s\"} %d\n", role, strcmp(json_string_value(up), "up") == 0);
	buf_adds(&out, "# HELP disinto_role_replaced Times that a role had to be replaced since core began.\n"
	               "# TYPE disinto_role_replaced gauge\n");
	json_object_foreach (json_object_get(w->status, "roles"), role, up) {
		const json_t *times = json_object_get(json_object_get(json_object_get(w->status, "replaced"), role), "times");
		if (strcmp(role, "core") != 0) /* it is core that counts */
			buf_addf(&out, "disinto_role_replaced{role=\"%s\"} %lld\n", role, (long long)json_integer_value(times));
	}
	metrics_outcomes(w, &out);
	return buf_steal(&out);
}
