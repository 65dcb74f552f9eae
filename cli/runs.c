/*
 * What is known of actions: from the dispatcher where one answers, and from the ops repo.
 */
#include "cli/runs.h"
#include "cli/cli.h"
#include "cli/judge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/result.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_DISPATCHER "no dispatcher runs"

/* What the ops repo says */

static json_t *read_json(const struct repo *r, const struct ops_file *file, size_t max)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (!file->there || git_repo_blob(r->git, &file->oid, max, &text, NULL) < 0)
		return NULL;
	return json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
}

json_t *runs_result(const struct repo *r, const struct ops_item *item)
{
	json_t *result = read_json(r, &item->result, RESULT_MAX_BYTES);

	if (json_is_object(result))
		return result;
	json_decref(result);
	return NULL;
}

int runs_item(const struct repo *r, const char *id, struct ops_item *ret, bool *ret_archived, struct err *err)
{
	if (ops_item(r->git, &r->tip, id, ret, err) < 0)
		return -1;
	*ret_archived = !ret->action.there && !ret->result.there;
	return *ret_archived ? ops_archive_item(r->git, &r->tip, id, ret, err) : 0;
}

static void copy(json_t *to, const char *key, const json_t *from, const char *from_key)
{
	json_t *value = json_object_get(from, from_key);

	json_object_set(to, key, value ? value : json_null());
}

json_t *runs_row(const struct repo *r, const struct ops_item *item)
{
	cleanup_json json_t *action = read_json(r, &item->action, ACTION_MAX_BYTES);
	cleanup_json json_t *result = runs_result(r, item);
	json_t *row = json_object();

	json_object_set_new(row, "id", json_string(item->id));
	json_object_set_new(row, "state", json_string(item->result.there ? "finished" : "waiting"));
	if (result)
		copy(row, "reason", result, "reason");
	else
		json_object_set_new(row, "reason",
		                    item->result.there ? json_string("its result can't be read") : json_string(NO_DISPATCHER));
	copy(row, "formula", action, "formula");
	copy(row, "attempt", result, "attempt");
	json_object_set_new(row, "step", json_null());
	copy(row, "started_at", result, "started_at");
	copy(row, "finished_at", result, "timestamp");
	copy(row, "outcome", result, "outcome");
	copy(row, "exit_code", result, "exit_code");
	return row;
}

struct scan {
	const struct repo *repo;
	json_t *rows;
};

static int add_row(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct scan *s = arg;

	(void)before;
	(void)err;
	if (now->action.there || now->result.there)
		json_array_append_new(s->rows, runs_row(s->repo, now));
	return 0;
}

static int rows_of_repo(const struct repo *r, json_t *rows, struct err *err)
{
	struct scan s = {r, rows};

	return ops_scan(r->git, NULL, &r->tip, add_row, &s, err);
}

void result_print(const json_t *result, FILE *to)
{
	const char *outcome = text_of(result, "outcome");
	const char *reason = text_of(result, "reason");
	const json_t *code = json_object_get(result, "exit_code");
	cleanup_free char *name = safe_line(outcome ? outcome : "ended");
	cleanup_free char *why = safe_line(reason);
	bool good = outcome && strcmp(outcome, "succeeded") == 0;
	double seconds = (double)json_integer_value(json_object_get(result, "duration_ms")) / 1000;

	fprintf(to, "%s%s%s (", colour(to, good ? COLOUR_GOOD : COLOUR_BAD), name, colour(to, COLOUR_NONE));
	if (json_is_integer(code))
		fprintf(to, "exit %lld, ", (long long)json_integer_value(code));
	fprintf(to, "%.1f s)%s%s\n", seconds, *why ? ": " : "", why);
}

/* Without a look at what stands in the files: for many actions that takes a while. */
static int add_known(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	(void)before;
	(void)err;
	if (now->action.there || now->result.there)
		json_array_append_new(arg, json_pack("{s:s, s:s}", "id", now->id, "state", now->result.there ? "finished" : "waiting"));
	return 0;
}

static void add_known_of_repo(const struct config *config, json_t *rows)
{
	cleanup_repo struct repo repo = REPO_INIT;

	if (repo_as_it_was(config, &repo, NULL) < 0 || ops_scan(repo.git, NULL, &repo.tip, add_known, rows, NULL) < 0)
		return;
	for (size_t i = 0; i < repo.refs.n; i++) {
		const char *name = repo.refs.v[i].name, *id = name + strlen(PROPOSAL_REFS);

		if (strncmp(name, PROPOSAL_REFS, strlen(PROPOSAL_REFS)) == 0 && vault_is_id(id) && !proposal_has_landed(&repo, id))
			json_array_append_new(rows, json_pack("{s:s, s:s}", "id", id, "state", "pending"));
	}
}

/* Both together */

static void add_pending(const json_t *pending, json_t *rows)
{
	const json_t *one;
	size_t i;

	json_array_foreach (pending, i, one) {
		json_t *row = json_object();

		copy(row, "id", one, "id");
		json_object_set_new(row, "state", json_string("pending"));
		copy(row, "reason", one, text_of(one, "problem") ? "problem" : "context");
		copy(row, "formula", one, "formula");
		json_array_append_new(rows, row);
	}
}

/* The dispatcher knows better about every action that it names. */
static void overlay(json_t *rows, const json_t *live)
{
	cleanup_json json_t *index = json_object();
	json_t *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		json_object_set(index, text_of(row, "id"), row);
	}
	json_array_foreach (live, i, row) {
		json_t *known = text_of(row, "id") ? json_object_get(index, text_of(row, "id")) : NULL;

		if (known)
			json_object_update(known, row);
		else
			json_array_append(rows, row);
	}
}

/* Who has claimed it, if that claim is overdue. Borrowed; NULL: nobody, or not overdue. */
static const char *overdue_at(const json_t *status, const char *id)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(json_object_get(status, "ledger"), "overdue"), i, one) {
		if (text_of(one, "id") && strcmp(text_of(one, "id"), id) == 0)
			return text_of(one, "dispatcher") ? text_of(one, "dispatcher") : "?";
	}
	return NULL;
}

/* What landed and is not this dispatcher's. */
static void explain_others(struct api *api, json_t *rows)
{
	cleanup_json json_t *status = NULL;
	json_t *row;
	size_t i;
	long code = 0;

	json_array_foreach (rows, i, row) {
		const char *reason = text_of(row, "reason"), *id = text_of(row, "id");

		if (!reason || !id || strcmp(reason, NO_DISPATCHER) != 0)
			continue;
		if (!status && (api_call(api, "GET", "/status", &code, &status, NULL) < 0 || !json_is_object(status)))
			return;
		const char *claimant = overdue_at(status, id);
		cleanup_free char *text = claimant
		                              ? xasprintf("claimed by %s, and overdue; `disinto settle %s lost` or `rerun`", claimant, id)
		                              : xstrdup("not taken by this dispatcher: another one has it, or it has landed just now");
		json_object_set_new(row, "reason", json_string(text));
	}
}

/* What the dispatcher says. Caller owns. */
static int actions(struct api *api, json_t **ret, struct err *err)
{
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_call(api, "GET", "/actions", &status, &body, err) < 0)
		return -1;
	if (status != 200)
		return err_set(err, ERR_FAIL, "%s", api_error(status, body));
	*ret = steal_ptr(&body);
	return 0;
}

/* What the ops repo says. Where it can't be read it is enough that the dispatcher answered. */
static int collect_repo(const struct config *config, bool live, json_t *rows, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_err struct err why = ERR_INIT;

	if (repo_ready(config, &repo, &why) == 0 && rows_of_repo(&repo, rows, &why) == 0) {
		cleanup_json json_t *pending = pending_rows(&repo);

		add_pending(pending, rows);
		return 0;
	}
	if (!live) {
		err_move(err, &why);
		return -1;
	}
	cleanup_free char *text = safe_line(err_msg(&why));
	note("list: %s; what follows is only what the dispatcher knows", text);
	return 0;
}

int runs_all(const struct config *config, json_t *rows, struct err *err)
{
	cleanup_api struct api api = API_INIT;
	cleanup_err struct err why = ERR_INIT;
	cleanup_json json_t *body = NULL;

	if (api_open(config, &api, err) < 0)
		return -1;
	if (actions(&api, &body, &why) < 0 && api_url()) {
		err_move(err, &why);
		return -1;
	}
	if (!cli_has_repo(config)) {
		cleanup_json json_t *pending = NULL;

		if (pending_live(&api, &pending, err) < 0)
			return -1;
		add_pending(pending, rows);
	} else if (collect_repo(config, body != NULL, rows, err) < 0) {
		return -1;
	}
	if (body) {
		api_explain(&api, json_object_get(body, "actions"));
		overlay(rows, json_object_get(body, "actions"));
		explain_others(&api, rows);
	}
	return 0;
}

void runs_known(const struct config *config, int patience_ms, json_t *rows)
{
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *body = NULL;

	if (cli_has_repo(config))
		add_known_of_repo(config, rows);
	if (api_open(config, &api, NULL) < 0)
		return;
	api.patience_ms = patience_ms;
	if (actions(&api, &body, NULL) == 0)
		overlay(rows, json_object_get(body, "actions"));
}
