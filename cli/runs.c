/*
 * list: from the dispatcher where one answers, and from the ops repo.
 */
#include "cli/runs.h"
#include "cli/cli.h"
#include "cli/judge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESULT_MAX (1u << 20)
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
	json_t *result = read_json(r, &item->result, RESULT_MAX);

	if (json_is_object(result))
		return result;
	json_decref(result);
	return NULL;
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

/* list */

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

/* Rows of repo and dispatcher together; one of the two is enough, but a dispatcher that is asked for by its address must answer. */
static int collect(const struct config *config, json_t *rows, struct err *err)
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

/* Its place in the list of states; -1: it is none. */
static int rank(const json_t *row)
{
	const char *state = text_of(row, "state"), *at = state && *state ? RUNS_STATES : "";
	int place = 0;

	for (; *at; at += strcspn(at, " "), at += *at == ' ', place++)
		if (strcspn(at, " ") == strlen(state) && strncmp(at, state, strlen(state)) == 0)
			return place;
	return -1;
}

/* What is going on first, then what ended, the newest first. */
static int compare(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a;
	const json_t *y = *(json_t *const *)b;
	const char *x_end = text_of(x, "finished_at");
	const char *y_end = text_of(y, "finished_at");
	int by_rank = rank(x) - rank(y);
	int by_end = x_end && y_end ? strcmp(y_end, x_end) : 0;

	if (by_rank)
		return by_rank;
	return by_end ? by_end : strcmp(text_of(x, "id") ? text_of(x, "id") : "", text_of(y, "id") ? text_of(y, "id") : "");
}

/* Sorted, and of one state only when asked for. Caller owns. */
static json_t *arrange(const json_t *rows, const char *state)
{
	size_t n = json_array_size(rows);
	cleanup_free json_t **v = xcalloc(n + 1, sizeof(json_t *));
	json_t *sorted = json_array();

	for (size_t i = 0; i < n; i++)
		v[i] = json_array_get(rows, i);
	qsort(v, n, sizeof(json_t *), compare);
	for (size_t i = 0; i < n; i++)
		if (!state || (text_of(v[i], "state") && strcmp(text_of(v[i], "state"), state) == 0))
			json_array_append(sorted, v[i]);
	return sorted;
}

static enum colour colour_of(size_t column, const char *cell)
{
	static const struct {
		const char *word;
		enum colour colour;
	} words[] = {{"running", COLOUR_BOLD},  {"starting", COLOUR_BOLD}, {"succeeded", COLOUR_GOOD}, {"failed", COLOUR_BAD},
	             {"timed_out", COLOUR_BAD}, {"refused", COLOUR_BAD},   {"lost", COLOUR_BAD},       {"waiting", COLOUR_DIM}};

	for (size_t i = 0; column == 1 && i < sizeof(words) / sizeof(*words); i++)
		if (strncmp(words[i].word, cell, strlen(words[i].word)) == 0)
			return words[i].colour;
	return COLOUR_NONE;
}

/* "failed (3)", "running: publish", "waiting". Caller frees. */
static char *standing(const json_t *row)
{
	const char *outcome = text_of(row, "outcome"), *state = text_of(row, "state"), *step = text_of(row, "step");
	json_int_t code = json_integer_value(json_object_get(row, "exit_code"));

	if (outcome)
		return code ? xasprintf("%s (%lld)", outcome, (long long)code) : xstrdup(outcome);
	return step ? xasprintf("%s: %s", state ? state : "-", step) : xstrdup(state ? state : "-");
}

/* How long it has been going, or when it ended. Caller frees. */
static char *when_text(const json_t *row)
{
	const char *start = text_of(row, "started_at"), *end = text_of(row, "finished_at");
	int64_t began_ms = start ? time_parse(start) : -1, ended_ms = end ? time_parse(end) : -1, now = now_wall_ms();
	char text[32];

	if (ended_ms > 0)
		return xstrdup(ago(ended_ms, now, text));
	return began_ms > 0 && began_ms <= now ? xasprintf("for %s", duration_text(now - began_ms, text)) : xstrdup("-");
}

/* On a terminal: fewer columns, so that more of each is seen. */
static void print_for_people(const json_t *rows)
{
	static const char *const headers[] = {"ID", "STATE", "WHEN", "FORMULA", "REASON", NULL};
	cleanup_table struct table table;
	const json_t *row;
	size_t i;

	table_init(&table, headers);
	table.colour_of = colour_of;
	json_array_foreach (rows, i, row) {
		cleanup_free char *state = standing(row);
		cleanup_free char *when = when_text(row);

		table_add(&table, (const char *const[]){text_of(row, "id"), state, when, text_of(row, "formula"), text_of(row, "reason")});
	}
	table_print(&table, stdout);
}

/* Elsewhere: one column for each thing, and nothing cut. */
static void print_rows(const json_t *rows)
{
	static const char *const headers[] = {"ID", "STATE", "OUTCOME", "EXIT", "FORMULA", "STEP", "FINISHED", "REASON", NULL};
	cleanup_table struct table table;
	const json_t *row;
	size_t i;

	table_init(&table, headers);
	json_array_foreach (rows, i, row) {
		const json_t *code = json_object_get(row, "exit_code");
		cleanup_free char *exit_code = json_is_integer(code) ? xasprintf("%lld", (long long)json_integer_value(code)) : NULL;

		table_add(&table, (const char *const[]){text_of(row, "id"), text_of(row, "state"), text_of(row, "outcome"), exit_code,
		                                        text_of(row, "formula"), text_of(row, "step"), text_of(row, "finished_at"),
		                                        text_of(row, "reason")});
	}
	table_print(&table, stdout);
}

int cmd_list(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_json json_t *rows = json_array();
	cleanup_json json_t *sorted = NULL;
	const char *state = args_value(args, "state");
	cleanup_json json_t *probe = json_pack("{s:s}", "state", state ? state : "finished");

	if (rank(probe) < 0) {
		err_set(err, ERR_INVALID, "--state: '%s' is none of pending, waiting, queued, starting, running, recording, finished",
		        state);
		return CLI_USAGE;
	}
	if (cli_site(args, &config, err) < 0 || collect(&config, rows, err) < 0)
		return CLI_FAILED;
	sorted = arrange(rows, state);
	if (args_has(args, "json"))
		return print_json(sorted);
	if (json_array_size(sorted) == 0)
		note("list: there are no%s%s actions", state ? " " : "", state ? state : "");
	else
		(term_is(STDOUT_FILENO) ? print_for_people : print_rows)(sorted);
	return CLI_DONE;
}
