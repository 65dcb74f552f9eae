/*
 * status: what the dispatcher says of itself.
 */
#include "cli/api.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <string.h>

static long long number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static const char *or_dash(const char *text)
{
	return text ? text : "-";
}

/* "engine      ok (…)" or what is wrong. */
static void put_part(const json_t *status, const char *name, const char *detail)
{
	const json_t *part = json_object_get(status, name);
	bool good = json_is_true(json_object_get(part, "ok"));
	cleanup_free char *more = safe_line(good ? detail : text_of(part, "reason"));

	printf("  %-12s%s%s%s%s%s%s\n", name, colour(stdout, good ? COLOUR_GOOD : COLOUR_BAD), good ? "ok" : "not ok",
	       colour(stdout, COLOUR_NONE), *more ? " (" : "", more, *more ? ")" : "");
}

static void put_parts(const json_t *status)
{
	const json_t *poll = json_object_get(status, "poll");
	char when[32];
	cleanup_free char *polled =
	    xasprintf("%s, at %.10s", ago(number(poll, "last_ms"), now_wall_ms(), when), or_dash(text_of(poll, "tip")));
	cleanup_free char *outbox = xasprintf("%lld results wait for the server", number(json_object_get(status, "outbox"), "waiting"));

	put_part(status, "poll", polled);
	put_part(status, "engine", text_of(json_object_get(status, "engine"), "version"));
	put_part(status, "keyring", NULL);
	put_part(status, "outbox", outbox);
	if (json_is_false(json_object_get(json_object_get(status, "reports"), "ok")))
		put_part(status, "reports", NULL);
}

/* The sentences begin with the word that stands in front of them here. */
static const char *without_word(const char *sentence)
{
	static const char word[] = "separation: ";

	return sentence && strncmp(sentence, word, strlen(word)) == 0 ? sentence + strlen(word) : sentence;
}

/* The first sentence of a list, and how many there are beside it. */
static void put_first(const char *label, const json_t *list)
{
	size_t n = json_array_size(list);
	const char *first = without_word(json_string_value(json_array_get(list, 0)));
	cleanup_free char *text = n > 1 ? xasprintf("%s (and %zu more; --json has them)", first, n - 1) : NULL;

	print_pair(stdout, label, text ? text : first);
}

static void put_roles(const json_t *status)
{
	const json_t *roles = json_object_get(status, "roles"), *replaced = json_object_get(status, "replaced");
	cleanup_buf struct buf text = BUF_INIT;
	const char *name;
	json_t *one;

	json_object_foreach ((json_t *)(uintptr_t)roles, name, one)
		buf_addf(&text, "%s%s %s", text.len > 0 ? ", " : "", name, or_dash(json_string_value(one)));
	print_pair(stdout, "roles", text.data);
	json_object_foreach ((json_t *)(uintptr_t)replaced, name, one) {
		char when[32];
		cleanup_free char *line = xasprintf("%s, %lld times, last %s: %s; its log lines say more", name, number(one, "times"),
		                                    ago(number(one, "last_ms"), now_wall_ms(), when), or_dash(text_of(one, "reason")));
		print_pair(stdout, "replaced", line);
	}
}

/* What waits for an operator, each with what he can do. */
static void put_decisions(const json_t *ledger)
{
	long long backlog = number(ledger, "backlog");
	const json_t *overdue = json_object_get(ledger, "overdue"), *one = json_array_get(overdue, 0);

	print_pair(stdout, "frozen", text_of(ledger, "frozen"));
	if (backlog > 0) {
		cleanup_free char *text = xasprintf("%lld actions had landed before there was a ledger; `disinto list` shows them, "
		                                    "`disinto accept-backlog` lets them run",
		                                    backlog);
		print_pair(stdout, "backlog", text);
	}
	if (one) {
		size_t more = json_array_size(overdue) - 1;
		char when[21];
		const char *id = or_dash(text_of(one, "id"));
		cleanup_free char *others = more ? xasprintf(" (and %zu more; --json has them)", more) : xstrdup("");
		cleanup_free char *text = xasprintf(
		    "%s, claimed by %s, should have ended by %s; make sure that it does not run there, then `disinto settle %s lost` or "
		    "`rerun`%s",
		    id, or_dash(text_of(one, "dispatcher")), time_format(1000 * number(one, "deadline"), when), id, others);
		print_pair(stdout, "overdue", text);
	}
}

/* Nine lines where all is well; whatever is not has one more. */
static void print_status(const json_t *status)
{
	const json_t *workers = json_object_get(status, "workers");
	const char *hold = text_of(status, "hold"), *frozen = text_of(json_object_get(status, "ledger"), "frozen");
	char up[32];
	cleanup_free char *head =
	    xasprintf("%s, version %s, %s for %s", or_dash(text_of(status, "dispatcher_id")), or_dash(text_of(status, "version")),
	              or_dash(text_of(status, "status")), duration_text(1000 * number(status, "uptime_seconds"), up));
	cleanup_free char *repo = xasprintf("%s, branch %s", or_dash(text_of(status, "ops_repo")), or_dash(text_of(status, "branch")));
	cleanup_free char *busy = xasprintf("%lld of %lld run; %lld wait, %lld results are on their way", number(workers, "active"),
	                                    number(workers, "max"), number(status, "queued"), number(status, "recording"));

	print_pair(stdout, "dispatcher", head);
	print_pair(stdout, "ops repo", repo);
	print_pair(stdout, "runs", busy);
	print_pair(stdout, "on hold", hold && frozen && strcmp(hold, frozen) == 0 ? NULL : hold);
	put_decisions(json_object_get(status, "ledger"));
	put_parts(status);
	put_roles(status);
	put_first("separation", json_object_get(status, "separation"));
	put_first("misnamed", json_object_get(status, "misnamed"));
	put_first("notes", json_object_get(status, "notes"));
}

int cmd_status(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_begin(args, &config, &api, err) < 0 || api_call(&api, "GET", "/status", &status, &body, err) < 0)
		return CLI_FAILED;
	if (status != 200 || !json_is_object(body)) {
		err_set(err, ERR_FAIL, "%s", api_error(status, body));
		return CLI_FAILED;
	}
	if (args_has(args, "json"))
		return print_json(body);
	print_status(body);
	return CLI_DONE;
}
