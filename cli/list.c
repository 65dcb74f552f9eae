/*
 * list: the table of actions.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	if (cli_site(args, &config, err) < 0 || runs_all(&config, rows, err) < 0)
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
