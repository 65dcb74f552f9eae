/*
 * Results on their way to the server. What waits is committed together on the newest tip and pushed without force: the server's
 * compare-and-swap makes sure that nobody's work is lost. Whatever happens, a result stays here until it is seen on the server.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#define BATCH_MAX 512                 /* results in one commit */
#define REBUILDS_MAX 16               /* lost races before the next pause */
#define STANDING_MAX_BYTES (1u << 20) /* of a result on the branch; the dispatcher's own have less than a tenth */
#define SPACING_MS 500 /* between two pushes while more results may come: a push costs the server more than a result costs us */
#define RETRY_FIRST_MS 500
#define RETRY_MOST_MS 60000
#define BLOCKED_MS 5000

static void result_free(struct result_file *r)
{
	free(r->text);
	free(r->blocked);
	free(r);
}

static void drop(struct git_state *g, struct result_file *r)
{
	TAILQ_REMOVE(&g->outbox, r, link);
	g->n_outbox--;
	result_free(r);
}

void record_free(struct git_state *g)
{
	struct result_file *r = TAILQ_FIRST(&g->outbox), *next;
	for (; r; r = next) {
		next = TAILQ_NEXT(r, link);
		result_free(r);
	}
	TAILQ_INIT(&g->outbox);
	free(g->push_trouble);
	free(g->trouble_said);
}

/* What the ledger will want to know of it. */
static int read_result(struct result_file *r, struct err *err)
{
	cleanup_json json_t *json = json_loads(r->text, JSON_REJECT_DUPLICATES, NULL);

	const char *outcome = json_string_value(json_object_get(json, "outcome"));
	const char *claim = json_string_value(json_object_get(json, "claim"));
	const char *action = json_string_value(json_object_get(json, "action"));
	json_int_t attempt = json_integer_value(json_object_get(json, "attempt"));
	if (!outcome || outcome_parse(outcome, &r->done.outcome) < 0 || attempt < 1 || attempt > INT_MAX ||
	    (claim && !ledger_is_token(claim)))
		return err_set(err, ERR_INVALID, "'record' with a result that lacks its outcome, attempt or claim");
	r->done.attempt = r->claim.attempt = (int)attempt;
	ledger_digest(r->text, strlen(r->text), r->done.digest);
	if (claim)
		memcpy(r->claim.nonce, claim, strlen(claim) + 1);
	if (action && git_oid_fromstr(&r->claim.action, action) < 0)
		git_error_clear();
	return 0;
}

int record_add(struct git_state *g, const char *id, const char *text, int64_t ask, struct err *err)
{
	if (record_has(g, id)) /* core asks again after each of our restarts; a result never changes */
		return ask < 0 ? 0 : err_set(err, ERR_INVALID, "a result of %s is on its way already", id);
	struct result_file *r = xcalloc(1, sizeof(*r));
	memcpy(r->id, id, strlen(id) + 1);
	r->text = xstrdup(text);
	r->ask = ask;
	git_odb_hash(&r->blob, text, strlen(text), GIT_OBJECT_BLOB);
	if (g->ledger.on && read_result(r, err) < 0) {
		result_free(r);
		return -1;
	}
	TAILQ_INSERT_TAIL(&g->outbox, r, link);
	g->n_outbox++;
	return 0;
}

bool record_has(const struct git_state *g, const char *id)
{
	const struct result_file *r;
	TAILQ_FOREACH (r, &g->outbox, link)
		if (strcmp(r->id, id) == 0)
			return true;
	return ledger_has(g, LEDGER_FINISH, id);
}

bool record_has_other(const struct git_state *g, const char *id, const char *nonce)
{
	const struct result_file *r;
	const struct ledger_entry *e;

	TAILQ_FOREACH (r, &g->outbox, link)
		if (strcmp(r->id, id) == 0 && strcmp(r->claim.nonce, nonce) != 0)
			return true;
	TAILQ_FOREACH (e, &g->ledger.entries, link)
		if (e->kind == LEDGER_FINISH && strcmp(e->id, id) == 0 && strcmp(e->claim.nonce, nonce) != 0)
			return true;
	return false;
}

/* What stands in the way of pushes, of either branch. */
static const char *trouble_of(const struct git_state *g)
{
	const struct result_file *r;
	if (g->push_trouble || g->ledger.push_trouble)
		return g->push_trouble ? g->push_trouble : g->ledger.push_trouble;
	TAILQ_FOREACH (r, &g->outbox, link)
		if (r->blocked)
			return r->blocked;
	return NULL;
}

void record_say_state(struct git_state *g)
{
	const char *trouble = trouble_of(g);
	const struct ledger_entry *e;
	size_t waiting = g->n_outbox;

	if (trouble ? g->trouble_said && strcmp(trouble, g->trouble_said) == 0 : !g->trouble_said)
		return;
	TAILQ_FOREACH (e, &g->ledger.entries, link)
		waiting += e->kind == LEDGER_FINISH;
	cleanup_free char *reason = clean_text(trouble);
	if (reason)
		log_warn("results or claims can't be recorded", "reason", reason, NULL);
	else
		log_info("results are recorded again", NULL);
	tell_core(g, msg_new(MSG_RECORD_STATE, "{s:b, s:s?, s:I}", "ok", !trouble, "reason", reason, "waiting", (json_int_t)waiting));
	free(g->trouble_said);
	g->trouble_said = trouble ? xstrdup(trouble) : NULL;
}

void record_finished(struct git_state *g, const char *id, int64_t ask, const git_oid *commit)
{
	report_keep(g);
	if (ask >= 0)
		say_decided(g, ask, NULL);
	else
		tell_core(g, msg_new(MSG_RECORDED, "{s:s, s:s}", "id", id, "commit", git_oid_tostr_s(commit)));
}

/* The result is on the branch. With a ledger that is half of it. */
static void recorded(struct git_state *g, struct result_file *r, const git_oid *commit)
{
	json_object_set_new(g->recorded, r->id, json_true());
	json_object_del(g->announced, r->id);
	json_object_del(g->cancelled, r->id);
	report_add(g, r->id);
	if (g->ledger.on) {
		struct ledger_entry e = {.kind = LEDGER_FINISH, .claim = r->claim, .done = r->done, .ask = r->ask};
		memcpy(e.id, r->id, sizeof(e.id));
		memcpy(e.claim.dispatcher, g->args->dispatcher_id, strlen(g->args->dispatcher_id) + 1);
		memcpy(e.claim.incarnation, g->ledger.incarnation, sizeof(e.claim.incarnation));
		e.claim.time = e.claim.deadline = (int64_t)time(NULL);
		e.done.commit = *commit;
		ledger_add(g, &e);
	} else {
		record_finished(g, r->id, r->ask, commit);
	}
	drop(g, r);
}

void record_superseded(struct git_state *g, const char *id, int64_t ask, const char *reason)
{
	log_warn("our result does not count", "id", id, "reason", reason, NULL);
	if (ask >= 0)
		say_decided(g, ask, reason);
	else
		tell_core(g, msg_new(MSG_GONE, "{s:s, s:b, s:s}", "id", id, "ok", true, "reason", reason));
	json_object_del(g->announced, id);
}

bool record_is_of_claim(struct git_state *g, const git_oid *result, const char *nonce, const char *dispatcher, struct buf *ret_text)
{
	if (git_repo_blob(g->repo, result, STANDING_MAX_BYTES, ret_text, NULL) < 0)
		return false;
	cleanup_json json_t *json = json_loadb(ret_text->data, ret_text->len, JSON_REJECT_DUPLICATES, NULL);
	const char *claim = json_string_value(json_object_get(json, "claim"));
	const char *writer = json_string_value(json_object_get(json, "dispatcher"));
	return (claim && strcmp(claim, nonce) == 0) || (writer && strcmp(writer, dispatcher) == 0);
}

/* Another life of this dispatcher, or an operator, came as far as the result: that one counts, and ours does not. */
static int give_way(struct git_state *g, struct result_file *r, const char *standing, struct err *err)
{
	char id[VAULT_ID_MAX + 1];

	memcpy(id, r->id, sizeof id);
	record_superseded(g, id, r->ask, "its result stands already, by another life of this dispatcher or by an operator");
	drop(g, r);
	return record_add(g, id, standing, -1, err);
}

/* Somebody else's result stands where ours should. By the ledger it is a foreign one while the claim is ours: then ours waits until that is taken away. */
static int superseded(struct git_state *g, struct result_file *r, const git_oid *there, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *path = vault_result_path(r->id);
	struct ledger_standing standing = {.status = LEDGER_NOBODY};

	/* What stands on the branch is news; so may be what the ledger says of it. */
	if (g->ledger.on && (ledger_read_again(g, err) < 0 || ledger_status(g, r->id, &standing, err) < 0))
		return -1;
	if (standing.status == LEDGER_OURS && record_is_of_claim(g, there, r->claim.nonce, g->args->dispatcher_id, &text))
		return give_way(g, r, text.data, err);
	if (standing.status == LEDGER_OURS) {
		free(r->blocked);
		r->blocked = xasprintf(
		    "%s: a result that no dispatcher recorded stands there; remove it, so that the dispatcher's own can be recorded", path);
		return 0;
	}
	cleanup_free char *reason = xasprintf("%s stands there with another content; ours stays in the spool", path);
	record_superseded(g, r->id, r->ask, reason);
	drop(g, r);
	return 0;
}

/* A human gave the claim to somebody else while we were away: what we found out is too late. 1: it is; 0; -1. */
static int too_late(struct git_state *g, const struct result_file *r, struct err *err)
{
	struct ledger_claim at;
	cleanup_err struct err why = ERR_INIT;

	if (!g->ledger.on || !g->ledger.has_tip)
		return 0;
	int rc = ledger_read_claim(g, r->id, &at, &why);
	if (rc < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	return rc == 0 && (at.free || strcmp(at.nonce, r->claim.nonce) != 0);
}

/* A push whose end nobody knows succeeded after all if its commit is in the branch's history now. */
static bool came_through(struct git_state *g, const struct result_file *r)
{
	if (!r->in_doubt)
		return false;
	int rc = git_oid_equal(&r->commit, &g->tip) ? 1 : git_graph_descendant_of(g->repo, &g->tip, &r->commit);
	git_error_clear();
	return rc == 1;
}

/* One result at the tip: taken out of the outbox if it is on the server already, or can't be any more. */
static int settle_one(struct git_state *g, struct result_file *r, struct err *err)
{
	struct ops_item item;

	free(r->blocked);
	r->blocked = NULL;
	if (came_through(g, r)) {
		recorded(g, r, &r->commit);
		return 0;
	}
	if (ops_item(g->repo, &g->tip, r->id, &item, err) < 0)
		return -1;
	if (item.result.there && git_oid_equal(&item.result.oid, &r->blob)) {
		recorded(g, r, &g->tip);
		return 0;
	}
	int late = too_late(g, r, err);
	if (late < 0)
		return -1;
	if (late) {
		record_superseded(g, r->id, r->ask, "its claim was given to another attempt; our result stays in the spool");
		drop(g, r);
		return 0;
	}
	return item.result.there ? superseded(g, r, &item.result.oid, err) : 0;
}

static int settle(struct git_state *g, struct err *err)
{
	struct result_file *r, *next;
	for (r = TAILQ_FIRST(&g->outbox); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (settle_one(g, r, err) < 0)
			return -1;
	}
	return 0;
}

/* Commits the first results of the outbox on the tip; r->sent says which. */
static int build(struct git_state *g, git_oid *ret, size_t *ret_n, struct err *err)
{
	cleanup_free struct git_change *changes = xcalloc(BATCH_MAX, sizeof(*changes));
	struct result_file *r;
	const char *first = NULL;
	size_t n = 0;

	TAILQ_FOREACH (r, &g->outbox, link) {
		r->sent = !r->blocked && n < BATCH_MAX;
		if (!r->sent)
			continue;
		first = first ? first : r->id;
		changes[n++] = (struct git_change){vault_result_path(r->id), r->text, strlen(r->text)};
	}
	*ret_n = n;
	if (n == 0)
		return 0;
	cleanup_free char *message = n == 1 ? xasprintf("vault: result for %s\n", first) : xasprintf("vault: %zu results\n", n);
	int rc = clone_commit(g, &g->tip, changes, n, message, ret, err);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)changes[i].path);
	return rc;
}

/* Our own commit is the new tip. Where core knew all before it, it knows all after it: the next poll finds nothing. */
static int won(struct git_state *g, const git_oid *commit, struct err *err)
{
	bool known = g->has_scanned && git_oid_equal(&g->scanned, &g->tip);
	bool sound = g->has_seen && git_oid_equal(&g->seen, &g->tip);
	struct result_file *r, *next;

	g->doubt.on = false;
	if (clone_set_tip(g, TIP_REF, commit, err) < 0)
		return -1;
	TAILQ_FOREACH (r, &g->outbox, link) /* all at once: they are remembered with the first */
		if (r->sent)
			report_add(g, r->id);
	for (r = TAILQ_FIRST(&g->outbox); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->sent)
			recorded(g, r, commit);
	}
	if (sound)
		g->seen = *commit;
	if (known) {
		g->scanned = *commit;
		json_object_clear(g->recorded);
	}
	return 0;
}

static void doubt(struct git_state *g, const git_oid *commit)
{
	struct result_file *r;

	g->doubt = (struct doubt){.on = true, .commit = *commit, .base = g->tip};
	TAILQ_FOREACH (r, &g->outbox, link) {
		if (!r->sent)
			continue;
		r->in_doubt = true;
		r->commit = *commit;
	}
}

/* 1: pushed, or nothing is left to push; 0: lost a race, the tip is fresh again; -1: not now. */
static int push_once(struct git_state *g, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_oid commit, before = g->tip;
	size_t n = 1;

	if (settle(g, err) < 0)
		return -1;
	/* While the tip stands where it stood, a push that nobody answered may yet be applied: it is the one that is made again. */
	if (g->doubt.on && git_oid_equal(&g->doubt.base, &g->tip))
		commit = g->doubt.commit;
	else if (build(g, &commit, &n, err) < 0)
		return -1;
	if (n == 0)
		return 1;
	g->doubt.on = false;
	git_alive(g);
	switch (git_push_ref(g->repo, &g->place, &before, &commit, g->branch, &why)) {
	case GIT_PUSH_WON:
		return won(g, &commit, err) < 0 ? -1 : 1;
	case GIT_PUSH_LOST:
		break;
	case GIT_PUSH_UNKNOWN:
	default:
		doubt(g, &commit);
		break;
	}
	/* A tip that did not move was not what stood in the way. */
	if (clone_fetch(g, true, false, err) == 0 && !git_oid_equal(&before, &g->tip))
		return 0;
	err_clear(err);
	err_move(err, &why);
	return -1;
}

static bool may_push(const struct git_state *g)
{
	const struct result_file *r;
	TAILQ_FOREACH (r, &g->outbox, link)
		if (!r->blocked)
			return true;
	return false;
}

static int push_all(struct git_state *g, struct err *err)
{
	int rc = 0;
	for (int i = 0; i < REBUILDS_MAX && !g->core_gone; i += rc == 0) {
		rc = push_once(g, err);
		if (rc < 0)
			return -1;
		if (!may_push(g))
			return 0;
	}
	return err_set(err, ERR_FAIL, "others push to the branch all the time");
}

bool record_due(const struct git_state *g)
{
	/* A branch that is missing is not ours to make: somebody renamed or removed it. */
	return g->n_outbox && g->repo && g->has_tip && !g->branch_missing;
}

void record_flush(struct git_state *g)
{
	cleanup_err struct err err = ERR_INIT;
	int rc = push_all(g, &err);
	if (!g->has_scanned || !git_oid_equal(&g->scanned, &g->tip))
		g->poll_at_ms = 0; /* somebody else's push was fetched on the way: tell core at once */
	free(g->push_trouble);
	g->push_trouble = rc < 0 ? xstrdup(err_msg(&err)) : NULL;
	if (rc < 0)
		g->push_at_ms = now_mono_ms() + backoff_next(&g->push_backoff, RETRY_FIRST_MS, RETRY_MOST_MS);
	else
		g->push_backoff.failures = 0;
	if (rc == 0)
		g->push_at_ms = now_mono_ms() + (g->n_outbox ? BLOCKED_MS : SPACING_MS); /* what is blocked waits for somebody else */
	record_say_state(g);
}
