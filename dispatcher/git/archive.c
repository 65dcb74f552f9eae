/*
 * Once a day, where the configuration says so: actions that were finished long ago move with their results out of the folder that everybody reads, into
 * vault/archive/<year>/<month>/. The ledger, and the history, go on knowing their ids.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"

#include <string.h>
#include <time.h>

#define MOVE_MAX 5000 /* actions in one commit */
#define RESULT_MAX 1048576
#define AGAIN_MS (10 * 60 * 1000)

static void today(char ret[static 11])
{
	char text[21];
	time_format((int64_t)time(NULL) * 1000, text);
	memcpy(ret, text, 10);
	ret[10] = '\0';
}

bool archive_due(const struct git_state *g)
{
	char day[11];

	if (g->args->config->archive_after_days == 0 || g->args->only || g->frozen || !g->has_scanned ||
	    !git_oid_equal(&g->scanned, &g->tip) || now_mono_ms() < g->archive_at_ms)
		return false;
	today(day);
	return strcmp(day, g->archived) != 0;
}

/* The newest commit on the branch that is as old as that. 0; 1: there is none; -1. */
static int find_old(struct git_state *g, git_time_t before, git_oid *ret, struct err *err)
{
	git_oid oid = g->tip;

	for (;;) {
		cleanup_git(git_commit) git_commit *c = NULL;
		int rc = git_commit_lookup(&c, g->repo, &oid);
		if (rc < 0)
			return git_err(err, rc, "walk the branch");
		if (git_commit_time(c) <= before) {
			*ret = oid;
			return 0;
		}
		if (git_commit_parentcount(c) == 0)
			return 1;
		oid = *git_commit_parent_id(c, 0);
	}
}

/* The move in the making. */
struct move {
	struct git_state *g;
	git_tree *now;              /* vault/actions at the tip */
	struct git_change *changes; /* paths and contents owned */
	size_t n, actions;
};

static void move_free(struct move *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free((char *)(uintptr_t)m->changes[i].path);
		free((char *)(uintptr_t)m->changes[i].content);
	}
	free(m->changes);
	git_tree_free(m->now);
}

static void put(struct move *m, char *path, struct buf *text)
{
	m->changes = xrealloc(m->changes, (m->n + 1) * sizeof(*m->changes));
	m->changes[m->n] = (struct git_change){path, NULL, 0};
	if (text) {
		m->changes[m->n].len = text->len;
		m->changes[m->n].content = buf_steal(text);
	}
	m->n++;
}

/* "vault/archive/2026/03" by the result's own word; NULL: it says nothing of the kind. Caller frees. */
static char *folder_of(const struct buf *result)
{
	cleanup_json json_t *json = json_loadb(result->data, result->len, 0, NULL);
	const char *when = json_string_value(json_object_get(json, "timestamp"));

	if (!when || strlen(when) < 8 || strspn(when, CHARS_DIGIT) != 4 || when[4] != '-' || strspn(when + 5, CHARS_DIGIT) != 2 ||
	    when[7] != '-')
		return NULL;
	return xasprintf(VAULT_ARCHIVE "/%.4s/%.2s", when, when + 5);
}

/* One file of vault/actions, if it is there. */
static int move_file(struct move *m, const char *folder, const char *name, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	const git_tree_entry *e = git_tree_entry_byname(m->now, name);

	if (!e || git_tree_entry_filemode_raw(e) != GIT_FILEMODE_BLOB)
		return 0;
	if (git_repo_blob(m->g->repo, git_tree_entry_id(e), RESULT_MAX, &text, err) < 0)
		return err_wrap(err, "%s", name);
	put(m, xasprintf("%s/%s", folder, name), &text);
	put(m, xasprintf(VAULT_ACTIONS "/%s", name), NULL);
	return 0;
}

static int move_action(struct move *m, const char *id, const git_oid *result, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *action = xasprintf("%s.json", id), *cancel = xasprintf("%s.cancel.json", id),
	                  *file = xasprintf("%s.result.json", id);

	if (git_repo_blob(m->g->repo, result, RESULT_MAX, &text, err) < 0)
		return -1;
	cleanup_free char *folder = folder_of(&text);
	if (!folder)
		return 0;
	m->actions++;
	if (move_file(m, folder, action, err) < 0 || move_file(m, folder, cancel, err) < 0)
		return -1;
	return move_file(m, folder, file, err);
}

/* What the ledger knows as finished, or what was before it. */
static int is_finished(struct git_state *g, const char *id, bool *ret, struct err *err)
{
	struct ledger_standing standing;
	enum ledger_old old = LEDGER_NEW;

	if (ledger_status(g, id, &standing, err) < 0)
		return -1;
	if (g->ledger.on && standing.status == LEDGER_NOBODY && ledger_is_old(g, id, &old, err) < 0)
		return -1;
	*ret = !g->ledger.on || standing.status == LEDGER_FINISHED || old == LEDGER_OLD_RESULT;
	return 0;
}

/* Of an id as it was long ago. */
static int see_old(const struct ops_item *before, const struct ops_item *old, void *arg, struct err *err)
{
	struct move *m = arg;
	cleanup_free char *name = xasprintf("%s.result.json", old->id);
	const git_tree_entry *e = old->result.there ? git_tree_entry_byname(m->now, name) : NULL;
	bool finished = false;
	(void)before;

	if (!e || !git_oid_equal(git_tree_entry_id(e), &old->result.oid) || git_tree_entry_filemode_raw(e) != GIT_FILEMODE_BLOB ||
	    m->actions >= MOVE_MAX)
		return 0;
	if (is_finished(m->g, old->id, &finished, err) < 0)
		return -1;
	return finished ? move_action(m, old->id, &old->result.oid, err) : 0;
}

static int collect(struct move *m, struct err *err)
{
	struct git_state *g = m->g;
	git_oid old;
	git_time_t before = (git_time_t)time(NULL) - (git_time_t)g->args->config->archive_after_days * 86400;

	int rc = find_old(g, before, &old, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	cleanup_err struct err why = ERR_INIT;
	if (git_repo_tree(g->repo, &g->tip, VAULT_ACTIONS, &m->now, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		err_move(err, &why);
		return -1;
	}
	rc = ops_scan(g->repo, NULL, &old, see_old, m, err);
	ledger_rest(g);
	return rc;
}

static int archive(struct git_state *g, struct err *err)
{
	__attribute__((cleanup(move_free))) struct move m = {.g = g};
	git_oid commit;

	if (collect(&m, err) < 0)
		return -1;
	if (m.n == 0)
		return 0;
	cleanup_free char *message = xasprintf("vault: archive %zu action%s\n", m.actions, m.actions == 1 ? "" : "s");
	if (clone_commit(g, &g->tip, m.changes, m.n, message, &commit, err) < 0)
		return -1;
	git_alive(g);
	if (git_push_ref(g->repo, &g->place, NULL, &commit, g->branch, err) != GIT_PUSH_WON)
		return -1; /* somebody else was faster, perhaps with the same */
	cleanup_free char *number = xasprintf("%zu", m.actions);
	log_info("old actions were archived", "actions", number, NULL);
	bool sound = g->has_seen && git_oid_equal(&g->seen, &g->tip);
	if (clone_set_tip(g, TIP_REF, &commit, err) < 0)
		return -1;
	g->scanned = commit; /* nothing that anybody waits for was in it */
	if (sound)
		g->seen = commit;
	return 0;
}

void archive_now(struct git_state *g)
{
	cleanup_err struct err err = ERR_INIT;

	g->archive_at_ms = now_mono_ms() + AGAIN_MS;
	if (archive(g, &err) < 0) {
		log_warn("old actions can't be archived", "reason", err_msg(&err), NULL);
		return;
	}
	today(g->archived);
	history_keep(g);
}
