/* What the ledger holds, as far as this dispatcher wants to know. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <string.h>
#include <time.h>

#define FOLDERS 256
/* Nothing is ever removed from the ledger, and nobody says there that he lives on: as long is one taken to be there whose life began. */
#define LIFE_S (30 * 24 * 3600)

void ledger_init(struct git_state *g)
{
	struct ledger *l = &g->ledger;

	l->on = strcmp(g->args->config->claims ? g->args->config->claims : "local", "ledger") == 0;
	l->open = json_object();
	l->moved = json_object();
	TAILQ_INIT(&l->entries);
}

void ledger_free(struct git_state *g)
{
	struct ledger *l = &g->ledger;
	struct ledger_entry *e;

	while ((e = TAILQ_FIRST(&l->entries))) {
		TAILQ_REMOVE(&l->entries, e, link);
		json_decref(e->mine);
		free(e);
	}
	json_decref(l->open);
	json_decref(l->moved);
	json_decref(l->former);
	free(l->trouble);
	free(l->push_trouble);
}

void ledger_reset(struct git_state *g)
{
	g->ledger.has_tip = g->ledger.has_scanned = g->ledger.has_view_known = false;
	g->ledger.doubt.on = false;
	json_object_clear(g->ledger.open);
	ledger_rest(g);
}

/* ---- one file ---- */

/* 0; 1: there is none; -1. */
static int read_file(struct git_state *g, const char *path, struct buf *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_oid oid;
	git_filemode_t mode;

	if (git_repo_entry(g->repo, &g->ledger.tip, path, &oid, &mode, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 1;
		err_move(err, &why);
		return err_wrap(err, LEDGER_BRANCH);
	}
	if (mode != GIT_FILEMODE_BLOB)
		return err_set(err, ERR_INVALID, LEDGER_BRANCH ": %s is no plain file", path);
	return git_repo_blob(g->repo, &oid, LEDGER_MAX_BYTES, ret, err) < 0 ? err_wrap(err, LEDGER_BRANCH ": %s", path) : 0;
}

#define READ(path_, parse, ret) \
	do { \
		cleanup_buf struct buf text = BUF_INIT; \
		cleanup_free char *path = (path_); \
		int rc = read_file(g, path, &text, err); \
		if (rc != 0) \
			return rc; \
		return parse(text.data, text.len, ret, err) < 0 ? err_wrap(err, LEDGER_BRANCH ": %s", path) : 0; \
	} while (0)

int ledger_read_claim(struct git_state *g, const char *id, struct ledger_claim *ret, struct err *err)
{
	READ(ledger_claim_path(id), ledger_claim_parse, ret);
}

int ledger_read_done(struct git_state *g, const char *id, struct ledger_done *ret, struct err *err)
{
	READ(ledger_done_path(id), ledger_done_parse, ret);
}

int ledger_read_life(struct git_state *g, struct ledger_life *ret, struct err *err)
{
	READ(ledger_life_path(g->args->dispatcher_id), ledger_life_parse, ret);
}

int ledger_read_origin(struct git_state *g, struct ledger_origin *ret, struct err *err)
{
	READ(xstrdup(LEDGER_ORIGIN), ledger_origin_parse, ret);
}

int ledger_read_view(struct git_state *g, git_oid *ret, struct err *err)
{
	READ(xstrdup(LEDGER_VIEW), ledger_view_parse, ret);
}

/* ---- what is new ---- */

/* claims/ and done/ of a commit, each checked; NULL where there is none. */
struct sides {
	git_tree *claims, *done;
};

static void sides_free(struct sides *s)
{
	git_tree_free(s->claims);
	git_tree_free(s->done);
}

static int folder_at(git_repository *repo, const git_oid *commit, const char *path, git_tree **ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (git_repo_tree(repo, commit, path, ret, &why) == 0 || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return err_wrap(err, LEDGER_BRANCH);
}

static int sides_read(git_repository *repo, const git_oid *commit, struct sides *ret, struct err *err)
{
	if (folder_at(repo, commit, LEDGER_CLAIMS, &ret->claims, err) < 0)
		return -1;
	return folder_at(repo, commit, LEDGER_DONE, &ret->done, err);
}

/* The folder `xx` in claims/ or done/, checked; NULL where there is none. */
static int folder_in(git_repository *repo, const git_tree *tree, const char *xx, git_tree **ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *folder = NULL;
	const git_tree_entry *e = tree ? git_tree_entry_byname(tree, xx) : NULL;

	*ret = NULL;
	if (!e)
		return 0;
	if (git_tree_entry_type(e) != GIT_OBJECT_TREE)
		return err_set(err, ERR_INVALID, LEDGER_BRANCH ": %s is no folder", xx);
	int rc = git_tree_lookup(&folder, repo, git_tree_entry_id(e));
	if (rc < 0)
		return git_err(err, -1, LEDGER_BRANCH ": folder %s", xx);
	if (git_tree_check(folder, err) < 0)
		return err_wrap(err, LEDGER_BRANCH ": folder %s", xx);
	*ret = steal_ptr(&folder);
	return 0;
}

static bool same_file(const git_tree_entry *a, const git_tree_entry *b)
{
	return a && b && git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b)) &&
	       git_tree_entry_filemode_raw(a) == git_tree_entry_filemode_raw(b);
}

/* A claim as `open` keeps it. What can't be read is taken all the same, by nobody knows whom. */
static json_t *open_claim(const struct ledger_claim *c, const char *trouble)
{
	return json_pack("{s:s, s:s, s:i, s:I, s:b, s:s?}", "dispatcher", c->dispatcher, "nonce", c->nonce, "attempt", c->attempt,
	                 "deadline", (json_int_t)c->deadline, "free", c->free, "trouble", trouble);
}

static int see_claim(struct git_state *g, const char *id, struct err *err)
{
	struct ledger_claim c = {.attempt = 1};
	cleanup_err struct err why = ERR_INIT;
	int rc = ledger_read_claim(g, id, &c, &why);

	if (rc < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	cleanup_free char *trouble = rc < 0 ? clean_text(err_msg(&why)) : NULL;
	json_object_set_new(g->ledger.open, id, open_claim(&c, trouble));
	return 0;
}

/* The files of one folder `xx` that differ from before; those of claims that have a done entry are of no interest. */
static int scan_folder(struct git_state *g, const char *xx, bool claims, const git_tree *old, const git_tree *now, const git_tree *done,
                       struct err *err)
{
	char id[VAULT_ID_MAX + 1];

	for (size_t i = 0, n = git_tree_entrycount(now); i < n; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(now, i);
		const char *name = git_tree_entry_name(e);
		if (same_file(old ? git_tree_entry_byname(old, name) : NULL, e) || !ledger_file_id(xx, name, id))
			continue;
		if (g->ledger.has_scanned)
			json_object_set_new(g->ledger.moved, id, json_true());
		if (!claims)
			json_object_del(g->ledger.open, id);
		else if ((!done || !git_tree_entry_byname(done, name)) && see_claim(g, id, err) < 0)
			return -1;
	}
	return 0;
}

/* Entries are added, and a claim may change hands. Nothing else ever happens to them by a dispatcher's doing. */
static int check_grown(const char *what, const git_tree *old, const git_tree *now, bool edits, struct err *err)
{
	for (size_t i = 0, n = old ? git_tree_entrycount(old) : 0; i < n; i++) {
		const git_tree_entry *was = git_tree_entry_byindex(old, i);
		const git_tree_entry *is = now ? git_tree_entry_byname(now, git_tree_entry_name(was)) : NULL;
		if (!is || (!edits && !same_file(was, is)))
			return err_set(err, ERR_INVALID, LEDGER_BRANCH ": %s/%s was %s, and nothing in it ever is", what,
			               git_tree_entry_name(was), is ? "edited" : "removed");
	}
	return 0;
}

static int scan_side(struct git_state *g, bool claims, const git_tree *old, const git_tree *now, const git_tree *done, struct err *err)
{
	const char *what = claims ? LEDGER_CLAIMS : LEDGER_DONE;

	if (check_grown(what, old, now, true, err) < 0)
		return -1;
	for (size_t i = 0, n = now ? git_tree_entrycount(now) : 0; i < n; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(now, i);
		const char *xx = git_tree_entry_name(e);
		cleanup_git(git_tree) git_tree *before = NULL;
		cleanup_git(git_tree) git_tree *after = NULL;
		cleanup_git(git_tree) git_tree *finished = NULL;
		if (same_file(old ? git_tree_entry_byname(old, xx) : NULL, e))
			continue;
		if (folder_in(g->repo, old, xx, &before, err) < 0 || folder_in(g->repo, now, xx, &after, err) < 0 ||
		    (claims && folder_in(g->repo, done, xx, &finished, err) < 0) || check_grown(what, before, after, claims, err) < 0 ||
		    scan_folder(g, xx, claims, before, after, finished, err) < 0)
			return -1;
	}
	return 0;
}

/* The clone was made again: what changed in between was not seen, so whatever core may have heard of is looked at again. */
static void doubt_all(struct git_state *g)
{
	json_object_update(g->ledger.moved, g->ledger.open);
	json_object_update(g->ledger.moved, g->announced);
}

/* A life that makes no sense is taken for one that has just begun. */
static int see_life(struct git_state *g, const char *name, struct err *err)
{
	struct ledger_life life = {.time = 0};
	cleanup_free char *path = xasprintf(LEDGER_LIVES "/%s", name), *own = ledger_life_path(g->args->dispatcher_id);
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	if (strcmp(path, own) == 0)
		return 0;
	if ((read_file(g, path, &text, &why) < 0 || ledger_life_parse(text.data, text.len, &life, &why) < 0)) {
		if (why.code != ERR_INVALID) {
			err_move(err, &why);
			return -1;
		}
		life.time = time(NULL);
	}
	if (life.time > g->ledger.others_time)
		g->ledger.others_time = life.time;
	return 0;
}

static int scan_lives(struct git_state *g, struct err *err)
{
	cleanup_git(git_tree) git_tree *lives = NULL;

	if (folder_at(g->repo, &g->ledger.tip, LEDGER_LIVES, &lives, err) < 0)
		return -1;
	if (!lives || git_oid_equal(git_tree_id(lives), &g->ledger.lives))
		return 0;
	g->ledger.others_time = 0;
	for (size_t i = 0, n = git_tree_entrycount(lives); i < n; i++)
		if (see_life(g, git_tree_entry_name(git_tree_entry_byindex(lives, i)), err) < 0)
			return -1;
	g->ledger.lives = *git_tree_id(lives);
	return 0;
}

bool ledger_has_company(const struct git_state *g)
{
	return g->ledger.others_time > 0 && g->ledger.others_time + LIFE_S > (int64_t)time(NULL);
}

int ledger_scan(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	__attribute__((cleanup(sides_free))) struct sides old = {NULL, NULL};
	__attribute__((cleanup(sides_free))) struct sides now = {NULL, NULL};

	if (l->has_scanned && git_oid_equal(&l->scanned, &l->tip))
		return 0;
	if (sides_read(g->repo, &l->tip, &now, err) < 0 || (l->has_scanned && sides_read(g->repo, &l->scanned, &old, err) < 0))
		return -1;
	int rc = ledger_read_origin(g, &l->origin, err);
	if (rc < 0 || scan_lives(g, err) < 0 || scan_side(g, true, old.claims, now.claims, now.done, err) < 0 ||
	    scan_side(g, false, l->has_scanned ? old.done : now.done, now.done, NULL, err) < 0)
		return -1;
	if (!l->has_scanned && g->has_scanned)
		doubt_all(g);
	l->has_origin = rc == 0;
	l->scanned = l->tip;
	l->has_scanned = true;
	ledger_rest(g);
	return 0;
}

/* ---- questions ---- */

static int is_done(struct git_state *g, const char *id, bool *ret, struct err *err)
{
	cleanup_free char *name = xasprintf("%s.json", id);
	char xx[3];

	ledger_folder(id, xx);
	size_t i = strtoul(xx, NULL, 16);
	if (!g->ledger.done && folder_at(g->repo, &g->ledger.scanned, LEDGER_DONE, &g->ledger.done, err) < 0)
		return -1;
	if (!g->ledger.folders[i] && folder_in(g->repo, g->ledger.done, xx, &g->ledger.folders[i], err) < 0)
		return -1;
	*ret = g->ledger.folders[i] && git_tree_entry_byname(g->ledger.folders[i], name);
	return 0;
}

void ledger_rest(struct git_state *g)
{
	for (size_t i = 0; i < FOLDERS; i++) {
		git_tree_free(g->ledger.folders[i]);
		g->ledger.folders[i] = NULL;
	}
	git_tree_free(g->ledger.done);
	g->ledger.done = NULL;
}

int ledger_status(struct git_state *g, const char *id, struct ledger_standing *ret, struct err *err)
{
	const json_t *claim = json_object_get(g->ledger.open, id);
	bool done = false;

	*ret = (struct ledger_standing){.status = LEDGER_NOBODY, .attempt = 1};
	if (!g->ledger.on || !g->ledger.has_scanned)
		return 0;
	if (!claim) {
		if (is_done(g, id, &done, err) < 0)
			return -1;
		if (done)
			ret->status = LEDGER_FINISHED;
		return 0;
	}
	ret->who = json_string_value(json_object_get(claim, "dispatcher"));
	ret->attempt = (int)json_integer_value(json_object_get(claim, "attempt"));
	ret->status = json_is_true(json_object_get(claim, "free"))    ? LEDGER_FREE
	              : strcmp(ret->who, g->args->dispatcher_id) == 0 ? LEDGER_OURS
	                                                              : LEDGER_OTHERS;
	return 0;
}

int ledger_is_old(struct git_state *g, const char *id, enum ledger_old *ret, struct err *err)
{
	const struct ledger *l = &g->ledger;
	cleanup_git(git_commit) git_commit *there = NULL;
	struct ops_item item;

	*ret = LEDGER_NEW;
	if (!l->on || !l->has_origin)
		return 0;
	if (git_commit_lookup(&there, g->repo, &l->origin.tip) < 0) {
		/* History was rewritten: what can't be told from what was there before waits with it. */
		git_error_clear();
		*ret = LEDGER_OLD_ACTION;
		return 0;
	}
	if (ops_item(g->repo, &l->origin.tip, id, &item, err) < 0)
		return -1;
	if (item.result.there)
		*ret = LEDGER_OLD_RESULT;
	else if (item.action.there)
		*ret = LEDGER_OLD_ACTION;
	return 0;
}

void ledger_overdue(const struct git_state *g, json_t *ret)
{
	const char *id;
	json_t *claim;

	json_object_foreach (g->ledger.open, id, claim) {
		json_int_t deadline = json_integer_value(json_object_get(claim, "deadline"));
		if (json_is_true(json_object_get(claim, "free")) || deadline >= (json_int_t)time(NULL))
			continue;
		json_array_append_new(
		    ret, json_pack("{s:s, s:O, s:I}", "id", id, "dispatcher", json_object_get(claim, "dispatcher"), "deadline", deadline));
	}
}

void ledger_know(struct git_state *g, const struct ledger_entry *e)
{
	if (e->kind == LEDGER_CLAIM || e->kind == LEDGER_RERUN)
		json_object_set_new(g->ledger.open, e->id, open_claim(&e->claim, NULL));
	else if (e->kind == LEDGER_FINISH)
		json_object_del(g->ledger.open, e->id);
	else if (e->kind == LEDGER_BACKLOG)
		g->ledger.origin.accepted = true;
}
