/*
 * doctor: checks an installation, and says how to mend what is wrong with it.
 */
#include "cli/doctor.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/version.h"
#include <stdarg.h>
#include <string.h>

static const char *const state_names[] = {"ok", "note", "finding"};

void doctor_say(struct doctor *d, enum doctor_state state, const char *check, const char *mend, const char *fmt, ...)
{
	cleanup_buf struct buf what = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&what, fmt, ap);
	va_end(ap);
	/* What comes from servers and files may be no UTF-8. */
	cleanup_free char *safe = safe_text(what.data);
	json_array_append_new(d->rows,
	                      json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "state", state_names[state], "what", safe, "do", mend));
	d->n_findings += state == DOCTOR_FINDING;
}

/* What the dispatcher says of itself */

static void look_at_part(struct doctor *d, const json_t *status, const char *name, const char *mend)
{
	const json_t *part = json_object_get(status, name);

	if (part && !json_is_true(json_object_get(part, "ok")))
		doctor_finding(d, "dispatcher", mend, "%s: %s", name,
		               text_of(part, "reason") ? text_of(part, "reason") : "it has said nothing yet");
}

static void look_at_ledger(struct doctor *d, const json_t *ledger)
{
	const json_t *one;
	size_t i;

	if (text_of(ledger, "frozen"))
		doctor_finding(d, "dispatcher", "docs/operations.md says what to look at before `disinto accept-history`",
		               "nothing new starts: %s", text_of(ledger, "frozen"));
	if (json_integer_value(json_object_get(ledger, "backlog")) > 0)
		doctor_finding(d, "dispatcher", "`disinto list` shows them, `disinto accept-backlog` lets them run",
		               "%lld actions had landed before there was a ledger",
		               (long long)json_integer_value(json_object_get(ledger, "backlog")));
	json_array_foreach (json_object_get(ledger, "overdue"), i, one)
		doctor_finding(d, "dispatcher", "make sure that it does not run there, then `disinto settle ID lost` or `rerun`",
		               "%s, claimed by %s, is overdue", text_of(one, "id"), text_of(one, "dispatcher"));
}

static void look_at_roles(struct doctor *d, const json_t *status)
{
	const char *name;
	json_t *value;
	const json_t *one;
	size_t i;

	json_object_foreach (json_object_get(status, "roles"), name, value)
		if (!json_string_value(value) || strcmp(json_string_value(value), "up") != 0)
			doctor_finding(d, "dispatcher", "its log says why", "role %s is down", name);
	json_object_foreach (json_object_get(status, "replaced"), name, value)
		doctor_note(d, "dispatcher", "role %s was replaced %lld times: %s", name,
		            (long long)json_integer_value(json_object_get(value, "times")), text_of(value, "reason"));
	json_array_foreach (json_object_get(status, "misnamed"), i, one)
		doctor_note(d, "dispatcher", "misnamed, so that it runs nothing: %s", json_string_value(one));
	json_array_foreach (json_object_get(status, "notes"), i, one)
		doctor_note(d, "dispatcher", "%s", json_string_value(one));
	json_array_foreach (json_object_get(status, "separation"), i, one)
		doctor_note(d, "separation", "%s", json_string_value(one));
	if (json_array_size(json_object_get(status, "separation")) == 0)
		doctor_ok(d, "separation", "each role has a user of its own");
}

static void look_at_status(struct doctor *d, const json_t *status)
{
	const char *version = text_of(status, "version");
	size_t before = d->n_findings;

	if (version && strcmp(version, DISINTO_VERSION) != 0)
		doctor_finding(d, "dispatcher", "restart it, so that what is installed runs", "it is of version %s, this program of %s",
		               version, DISINTO_VERSION);
	look_at_part(d, status, "poll", "see `git` below, or the dispatcher's log");
	look_at_part(d, status, "engine", "see `engine` below; the dispatcher needs the same socket");
	look_at_part(d, status, "keyring", "see `identity` below");
	look_at_part(d, status, "reports", "let the token of approval.forge_token_file comment on pull requests and set commit statuses");
	look_at_part(d, status, "outbox", "results wait in the spool; let the account push to the protected branch");
	look_at_ledger(d, json_object_get(status, "ledger"));
	if (d->n_findings == before)
		doctor_ok(d, "dispatcher", "%s answers, version %s", text_of(status, "dispatcher_id"), version);
	look_at_roles(d, status);
}

static void look_at_dispatcher(struct doctor *d)
{
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *body = NULL;
	cleanup_err struct err why = ERR_INIT;
	long status = 0;

	if (api_open(&d->config, &api, &why) < 0)
		doctor_finding(d, "dispatcher", "docs/cli.md, over the network", "%s", err_msg(&why));
	else if (api_call(&api, "GET", "/status", &status, &body, &why) < 0 && api_url())
		doctor_finding(d, "dispatcher", "start it there, or correct DISINTO_URL", "%s", err_msg(&why));
	else if (status == 0)
		doctor_note(d, "dispatcher", "none runs on this spool, so what only it knows was not looked at");
	else if (status != 200 || !json_is_object(body))
		doctor_finding(d, "dispatcher", "is it a dispatcher's address?", "%s", api_error(status, body));
	else
		look_at_status(d, body);
}

static void look_at_all(struct doctor *d)
{
	look_at_dispatcher(d);
	if (!cli_has_repo(&d->config))
		return;
	doctor_files(d);
	doctor_identity(d);
	doctor_spool(d);
	doctor_tokens(d);
	doctor_compose(d);
	doctor_git(d);
	doctor_ledger(d);
	doctor_engine(d);
	doctor_clock(d);
	doctor_inspect(d);
}

static void print_rows(const struct doctor *d)
{
	static const enum colour colours[] = {COLOUR_GOOD, COLOUR_DIM, COLOUR_BAD};
	const json_t *row;
	size_t i;

	json_array_foreach (d->rows, i, row) {
		const char *name = text_of(row, "state");
		size_t state = strcmp(name, "ok") == 0 ? DOCTOR_OK : strcmp(name, "note") == 0 ? DOCTOR_NOTE : DOCTOR_FINDING;
		cleanup_free char *what = safe_line(text_of(row, "what"));

		printf("%s%-9s%s%-12s%s\n", colour(stdout, colours[state]), name, colour(stdout, COLOUR_NONE), text_of(row, "check"), what);
		if (text_of(row, "do"))
			printf("%21s-> %s\n", "", text_of(row, "do"));
	}
	printf("%zu checks, %zu findings\n", json_array_size(d->rows), d->n_findings);
}

static void doctor_free(struct doctor *d)
{
	age_identities_free(d->ids);
	repo_close(&d->repo);
	config_free(&d->config);
	json_decref(d->rows);
}

int cmd_doctor(const struct args *args, struct err *err)
{
	__attribute__((cleanup(doctor_free))) struct doctor d = {.config = CONFIG_INIT, .repo = REPO_INIT, .rows = json_array()};

	if (cli_site(args, &d.config, err) < 0)
		return CLI_FAILED;
	look_at_all(&d);
	if (args_has(args, "json")) {
		cleanup_json json_t *all = json_pack("{s:I, s:O}", "findings", (json_int_t)d.n_findings, "checks", d.rows);
		print_json(all);
	} else {
		print_rows(&d);
	}
	return d.n_findings > 0 ? CLI_FINDING : CLI_DONE;
}
