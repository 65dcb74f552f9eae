/*
 * Results on their way to the server. What waits is committed together on the newest tip and pushed without force: the server's
 * compare-and-swap makes sure that nobody's work is lost. Whatever happens, a result stays here until it is seen on the server.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "vault/commit_signature.h"

#include <string.h>
#include <time.h>

#define BATCH_MAX 512   /* results in one commit */
#define REBUILDS_MAX 16 /* lost races before the next pause */
#define SPACING_MS 500  /* between two pushes while more results may come: a push costs the server more than a result costs us */
#define RETRY_FIRST_MS 500
#define RETRY_MOST_MS 60000

static void result_free(struct result_file *r)
{
	free(r->text);
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
}

void record_add(struct git_state *g, const char *id, const char *text)
{
	struct result_file *r;
	TAILQ_FOREACH(r, &g->outbox, link)
	if (strcmp(r->id, id) == 0)
		return; /* core asks again after each of our restarts; a result never changes */
	r = xcalloc(1, sizeof(*r));
	memcpy(r->id, id, strlen(id) + 1);
	r->text = xstrdup(text);
	git_odb_hash(&r->blob, text, strlen(text), GIT_OBJECT_BLOB);
	TAILQ_INSERT_TAIL(&g->outbox, r, link);
	g->n_outbox++;
}

/* Core hears of it when pushing begins to fail, fails otherwise, or works again; so does the log. */
static void say_state(struct git_state *g, const char *trouble)
{
	if (trouble ? g->push_trouble && strcmp(trouble, g->push_trouble) == 0 : !g->push_trouble)
		return;
	cleanup_free char *reason = clean_text(trouble);
	if (reason)
		log_warn("results can't be recorded", "reason", reason, NULL);
	else
		log_info("results are recorded again", NULL);
	tell_core(g, msg_new(MSG_RECORD_STATE, "{s:b, s:s?, s:I}", "ok", !trouble, "reason", reason, "waiting", (json_int_t)g->n_outbox));
	free(g->push_trouble);
	g->push_trouble = trouble ? xstrdup(trouble) : NULL;
}

static void recorded(struct git_state *g, struct result_file *r, const git_oid *commit)
{
	tell_core(g, msg_new(MSG_RECORDED, "{s:s, s:s}", "id", r->id, "commit", git_oid_tostr_s(commit)));
	json_object_set_new(g->recorded, r->id, json_true());
	json_object_del(g->announced, r->id);
	json_object_del(g->cancelled, r->id);
	drop(g, r);
}

static void superseded(struct git_state *g, struct result_file *r)
{
	cleanup_free char *path = vault_result_path(r->id);
	cleanup_free char *reason = xasprintf("%s stands there with another content; ours stays in the spool", path);
	log_warn("another result stands on the server", "id", r->id, NULL);
	tell_core(g, msg_new(MSG_GONE, "{s:s, s:b, s:s}", "id", r->id, "ok", true, "reason", reason));
	json_object_del(g->announced, r->id);
	drop(g, r);
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

/* Takes out what is on the server already, ours or somebody else's. */
static int settle(struct git_state *g, struct err *err)
{
	struct result_file *r, *next;
	for (r = TAILQ_FIRST(&g->outbox); r; r = next) {
		struct ops_item item;
		next = TAILQ_NEXT(r, link);
		if (came_through(g, r)) {
			recorded(g, r, &r->commit);
			continue;
		}
		if (ops_item(g->repo, &g->tip, r->id, &item, err) < 0)
			return -1;
		if (item.result.there && git_oid_equal(&item.result.oid, &r->blob))
			recorded(g, r, &g->tip);
		else if (item.result.there)
			superseded(g, r);
	}
	return 0;
}

/* Commits the first results of the outbox on the tip. */
static int build(struct git_state *g, git_oid *ret, size_t *ret_n, struct err *err)
{
	cleanup_free struct git_change *changes = xcalloc(BATCH_MAX, sizeof(*changes));
	cleanup_free char *email = xasprintf("%s@disinto", g->args->dispatcher_id);
	cleanup_git(git_signature) git_signature *author = NULL;
	const struct result_file *first = TAILQ_FIRST(&g->outbox), *r;
	size_t n = 0;

	int rc = git_signature_new(&author, "disinto-dispatcher", email, (git_time_t)time(NULL), 0);
	if (rc < 0)
		return git_err(err, rc, "sign the commit");
	TAILQ_FOREACH(r, &g->outbox, link)
	{
		if (n == BATCH_MAX)
			break;
		changes[n++] = (struct git_change){vault_result_path(r->id), r->text, strlen(r->text)};
	}
	cleanup_free char *message = n == 1 ? xasprintf("vault: result for %s\n", first->id) : xasprintf("vault: %zu results\n", n);
	struct git_signer signer = {NULL, NULL};
	if (g->key)
		signer = commit_signer(g->key);
	rc = git_repo_commit_signed(g->repo, &g->tip, 1, changes, n, author, message, g->key ? &signer : NULL, ret, err);
	for (size_t i = 0; i < n; i++)
		free((char *)changes[i].path);
	*ret_n = n;
	return rc;
}

/* Our own commit is the new tip. Where core knew all before it, it knows all after it: the next poll finds nothing. */
static int won(struct git_state *g, const git_oid *commit, size_t n, struct err *err)
{
	git_reference *ref = NULL;
	bool known = g->has_scanned && git_oid_equal(&g->scanned, &g->tip);

	int rc = git_reference_create(&ref, g->repo, TIP_REF, commit, 1, NULL);
	git_reference_free(ref);
	if (rc < 0)
		return git_err(err, rc, "note the new tip"); /* the next poll fetches it */
	g->tip = *commit;
	while (n-- && !TAILQ_EMPTY(&g->outbox))
		recorded(g, TAILQ_FIRST(&g->outbox), commit);
	if (known) {
		g->scanned = *commit;
		json_object_clear(g->recorded);
	}
	return 0;
}

static void doubt(struct git_state *g, const git_oid *commit, size_t n)
{
	struct result_file *r;
	TAILQ_FOREACH(r, &g->outbox, link)
	{
		if (n-- == 0)
			return;
		r->in_doubt = true;
		r->commit = *commit;
	}
}

/* 1: pushed, or nothing is left to push; 0: lost a race, the tip is fresh again; -1: not now. */
static int push_once(struct git_state *g, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_oid commit, before = g->tip;
	size_t n = 0;

	if (settle(g, err) < 0)
		return -1;
	if (TAILQ_EMPTY(&g->outbox))
		return 1;
	if (build(g, &commit, &n, err) < 0)
		return -1;
	git_alive(g);
	switch (git_push_ref(g->repo, &g->place, &commit, g->branch, &why)) {
	case GIT_PUSH_WON:
		return won(g, &commit, n, err) < 0 ? -1 : 1;
	case GIT_PUSH_LOST:
		break;
	case GIT_PUSH_UNKNOWN:
	default:
		doubt(g, &commit, n);
		break;
	}
	/* A tip that did not move was not what stood in the way. */
	if (clone_fetch(g, err) == 0 && !git_oid_equal(&before, &g->tip))
		return 0;
	err_clear(err);
	err_move(err, &why);
	return -1;
}

static int push_all(struct git_state *g, struct err *err)
{
	for (int i = 0; i < REBUILDS_MAX && !TAILQ_EMPTY(&g->outbox) && !g->core_gone;) {
		int rc = push_once(g, err);
		if (rc < 0)
			return -1;
		i += rc == 0;
	}
	return TAILQ_EMPTY(&g->outbox) ? 0 : err_set(err, ERR_FAIL, "others push to the branch all the time");
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
	if (rc == 0) {
		g->push_backoff.failures = 0;
		g->push_at_ms = now_mono_ms() + SPACING_MS;
		say_state(g, NULL);
		return;
	}
	g->push_at_ms = now_mono_ms() + backoff_next(&g->push_backoff, RETRY_FIRST_MS, RETRY_MOST_MS);
	say_state(g, err_msg(&err));
}
