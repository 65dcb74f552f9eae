/*
 * Results told on the forge: a comment on the request that brought the action, a status on the commit that landed it. Nothing waits for it, and nothing is lost: what is to
 * be told is remembered before core hears that the result is recorded, and forgotten once it was told. Told twice it stands there once.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"

#include <string.h>

#define WAITING_MAX 10000
#define RESULT_MAX_BYTES (1u << 20)
#define UNKNOWN_TRIES 3 /* after which a merge that the forge does not know came by no request */
#define RETRY_FIRST_MS 1000
#define RETRY_MOST_MS 300000

struct reports {
	json_t *waiting; /* id -> how often the forge knew nothing of its merge */
	bool changed;    /* not remembered yet */
	bool asking;
	int64_t at_ms;
	struct backoff backoff;
	char *trouble; /* NULL: it works */
	char *said;
};

static bool is_on(const struct git_state *g)
{
	return g->args->config->report_results && g->args->config->approval.forge_url;
}

void report_init(struct git_state *g)
{
	g->reports = xcalloc(1, sizeof *g->reports);
	g->reports->waiting = json_object();
}

void report_end(struct git_state *g)
{
	json_decref(g->reports->waiting);
	free(g->reports->trouble);
	free(g->reports->said);
	free(g->reports);
}

void report_remember(struct git_state *g, const json_t *ids)
{
	size_t i;
	json_t *id;

	json_array_foreach (ids, i, id)
		if (is_on(g) && json_is_string(id) && vault_is_id(json_string_value(id)))
			json_object_set_new(g->reports->waiting, json_string_value(id), json_integer(0));
}

json_t *report_memory(const struct git_state *g)
{
	const char *id;
	json_t *tries, *ids;

	if (json_object_size(g->reports->waiting) == 0)
		return NULL;
	ids = json_array();
	json_object_foreach (g->reports->waiting, id, tries)
		json_array_append_new(ids, json_string(id));
	return ids;
}

void report_add(struct git_state *g, const char *id)
{
	struct reports *r = g->reports;

	if (!is_on(g) || json_object_get(r->waiting, id))
		return;
	if (json_object_size(r->waiting) >= WAITING_MAX) {
		log_warn("too many results wait to be told on the forge; one is left out", "id", id, NULL);
		return;
	}
	json_object_set_new(r->waiting, id, json_integer(0));
	r->changed = true;
}

void report_keep(struct git_state *g)
{
	if (!g->reports->changed)
		return;
	g->reports->changed = false;
	history_keep(g);
}

/* How that goes, at each change. */
static void say(struct git_state *g)
{
	struct reports *r = g->reports;
	size_t n = json_object_size(r->waiting);
	char *text = r->trouble ? xasprintf("%zu %s", n, r->trouble) : NULL;

	if (text ? r->said && strcmp(text, r->said) == 0 : !r->said) {
		free(text);
		return;
	}
	free(r->said);
	r->said = text;
	cleanup_free char *reason = clean_text(r->trouble);
	tell_core(g, msg_new(MSG_REPORT_STATE, "{s:b, s:s?, s:I}", "ok", !r->trouble, "reason", reason, "waiting", (json_int_t)n));
}

static void set_trouble(struct git_state *g, const char *trouble)
{
	struct reports *r = g->reports;

	if (trouble && !r->trouble)
		log_warn("results can't be told on the forge", "reason", trouble, NULL);
	else if (!trouble && r->trouble)
		log_info("results are told on the forge again", NULL);
	char *copy = trouble ? xstrdup(trouble) : NULL;
	free(r->trouble);
	r->trouble = copy;
	say(g);
}

int64_t report_at_ms(const struct git_state *g)
{
	const struct reports *r = g->reports;

	/* Before the first scan the clone may be of an earlier life. */
	if (r->asking || !g->repo || !g->has_scanned || json_object_size(r->waiting) == 0)
		return INT64_MAX;
	return r->at_ms;
}

/* The result as it stands at the tip, as a report. */
static int read_report(struct git_state *g, const char *id, struct report *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct ops_item item;

	if (ops_item(g->repo, &g->tip, id, &item, err) < 0)
		return -1;
	if (!item.result.there)
		return err_set(err, ERR_NOT_FOUND, "it does not stand there any more");
	if (git_repo_blob(g->repo, &item.result.oid, RESULT_MAX_BYTES, &text, err) < 0)
		return -1;
	cleanup_json json_t *json = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
	return report_of(json, ret, err);
}

void report_next(struct git_state *g)
{
	struct reports *r = g->reports;
	cleanup_free char *id = xstrdup(json_object_iter_key(json_object_iter(r->waiting)));
	cleanup_errand struct errand *errand = errand_new(ERRAND_REPORT, id, -1);
	cleanup_err struct err why = ERR_INIT;

	if (read_report(g, id, &errand->report, &why) < 0) {
		log_warn("a result is not told on the forge", "id", id, "reason", err_msg(&why), NULL);
		json_object_del(r->waiting, id);
		return;
	}
	errand->last_try = json_integer_value(json_object_get(r->waiting, id)) >= UNKNOWN_TRIES;
	r->asking = true;
	errands_send(g->errands, steal_ptr(&errand));
}

/* To the end of the row. */
static void again(struct reports *r, const char *id, json_int_t tries)
{
	json_object_del(r->waiting, id);
	json_object_set_new(r->waiting, id, json_integer(tries));
	r->at_ms = now_mono_ms() + backoff_next(&r->backoff, RETRY_FIRST_MS, RETRY_MOST_MS);
}

void report_done(struct git_state *g, const struct errand *errand)
{
	struct reports *r = g->reports;
	json_int_t tries = json_integer_value(json_object_get(r->waiting, errand->id));

	r->asking = false;
	if (errand->rc < 0 && errand->err.code == ERR_NOT_FOUND && !errand->last_try) {
		again(r, errand->id, tries + 1);
		return;
	}
	if (errand->rc < 0 && errand->err.code != ERR_INVALID && errand->err.code != ERR_NOT_FOUND) {
		again(r, errand->id, tries);
		set_trouble(g, err_msg(&errand->err));
		return;
	}
	if (errand->rc < 0)
		log_warn("the forge does not take a result", "id", errand->id, "reason", err_msg(&errand->err), NULL);
	json_object_del(r->waiting, errand->id);
	r->backoff.failures = 0;
	r->at_ms = 0;
	set_trouble(g, NULL);
}
