/* One walk over the first-parent chain. See audit_history.h. */
#include "vault/audit/audit_history.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/git_folder.h"
#include "lib/git_repo.h"
#include <string.h>

void audit_history_free(struct audit_history *h)
{
	for (size_t i = 0; i < h->n_commits; i++) {
		free(h->commits[i].malformed);
		free(h->commits[i].dispatcher);
		free(h->commits[i].foreign);
		free(h->commits[i].bare);
	}
	for (size_t i = 0; i < h->n_events; i++) {
		free(h->events[i].fault);
		free(h->events[i].by);
		if (h->events[i].formula)
			formula_free(h->events[i].formula);
		free(h->events[i].formula);
	}
	free(h->commits);
	free(h->events);
	free(h->by_oid);
	*h = (struct audit_history)AUDIT_HISTORY_INIT;
}

/* Room for one more: arrays grow at powers of two. */
static void *grown(void *v, size_t n, size_t size)
{
	return (n & (n - 1)) == 0 ? xrealloc(v, (n ? 2 * n : 1) * size) : v;
}

#define ARCHIVE_DEPTH 3 /* year, month, files */

/* The walk, at one commit. */
struct walk {
	struct audit_history *h;
	struct audit_commit *commit;
	size_t at;
	struct git_folder *root, *vault, *actions, *formulas, *secrets;
	git_oid archive; /* vault/archive as it was last seen */
	bool has_archive;
};

static void walk_end(struct walk *w)
{
	git_folder_free(w->root);
	git_folder_free(w->vault);
	git_folder_free(w->actions);
	git_folder_free(w->formulas);
	git_folder_free(w->secrets);
}

static struct audit_event *add_event(struct walk *w, enum audit_file file, const char *name, size_t len, const struct git_folder_entry *now)
{
	struct audit_history *h = w->h;
	h->events = grown(h->events, h->n_events, sizeof(*h->events));
	struct audit_event *e = &h->events[h->n_events++];
	*e = (struct audit_event){.file = file, .at = w->at, .there = now->there, .blob = now->oid, .mode = now->mode};
	memcpy(e->name, name, len);
	return e;
}

static int see_action(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg,
                      struct err *err)
{
	struct walk *w = arg;
	char id[VAULT_ID_MAX + 1];
	enum vault_file kind = vault_file_kind(name, id);
	(void)err;

	w->commit->brought_else = w->commit->brought_else || kind != VAULT_FILE_RESULT || before->there;
	if (kind == VAULT_FILE_ACTION || kind == VAULT_FILE_RESULT)
		add_event(w, kind == VAULT_FILE_ACTION ? AUDIT_ACTION : AUDIT_RESULT, id, strlen(id), now);
	return 0;
}

/* A file "<stem><suffix>" whose stem is a name by `is_stem`. */
static int see_named(struct walk *w, enum audit_file file, const char *name, const char *suffix, bool (*is_stem)(const char *),
                     const struct git_folder_entry *now)
{
	char stem[VAULT_ID_MAX + 1] = "";
	size_t len = strlen(name), tail = strlen(suffix);

	w->commit->brought_else = true;
	if (len <= tail || len - tail > VAULT_ID_MAX || strcmp(name + len - tail, suffix) != 0)
		return 0;
	memcpy(stem, name, len - tail);
	if (is_stem(stem))
		add_event(w, file, stem, len - tail, now);
	return 0;
}

static int see_formula(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg,
                       struct err *err)
{
	(void)before;
	(void)err;
	return see_named(arg, AUDIT_FORMULA, name, ".yaml", vault_is_id, now);
}

static int see_secret(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg,
                      struct err *err)
{
	(void)before;
	(void)err;
	return see_named(arg, AUDIT_SECRET, name, ".age", vault_is_secret, now);
}

/* A folder that is malformed is believed as little as it was never there, and remembered; what stood there before goes on. */
static int step(struct walk *w, struct git_folder *folder, const char *path, const struct git_folder_entry *now, git_folder_fn fn,
                struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	bool is_folder = now->there && now->mode == GIT_FILEMODE_TREE;

	if (git_folder_step(folder, is_folder ? &now->oid : NULL, fn, w, &why) == 0)
		return 0;
	if (why.code == ERR_INVALID) {
		if (!w->commit->malformed)
			w->commit->malformed = xasprintf("%s: %s", path, err_msg(&why));
		return 0;
	}
	err_move(err, &why);
	return err_wrap(err, "%s at commit %.10s", path, git_oid_tostr_s(&w->commit->oid));
}

/* One file of the archive, as it is now or no more. */
static void see_archived(struct walk *w, const git_tree_entry *e, bool there)
{
	char id[VAULT_ID_MAX + 1];
	const struct git_folder_entry now = {there, *git_tree_entry_id(e), git_tree_entry_filemode_raw(e)};

	if (git_tree_entry_type(e) == GIT_OBJECT_BLOB && vault_file_kind(git_tree_entry_name(e), id) == VAULT_FILE_RESULT)
		add_event(w, AUDIT_ARCHIVED, id, strlen(id), &now);
}

static int compare_archive(struct walk *w, const git_oid *old, const git_oid *now, int depth, struct err *err);

/* What the first has and the second has not, or has otherwise. */
static int one_side(struct walk *w, const git_tree *tree, const git_tree *other, bool is_new, int depth, struct err *err)
{
	for (size_t i = 0, n = tree ? git_tree_entrycount(tree) : 0; i < n; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		const git_tree_entry *same = other ? git_tree_entry_byname(other, git_tree_entry_name(e)) : NULL;
		const git_oid *id = git_tree_entry_id(e), *its = same ? git_tree_entry_id(same) : NULL;
		if ((its && git_oid_equal(id, its)) || (same && !is_new))
			continue;
		bool folder = git_tree_entry_type(e) == GIT_OBJECT_TREE;
		if (depth == ARCHIVE_DEPTH)
			see_archived(w, e, is_new);
		else if (folder && compare_archive(w, is_new ? its : id, is_new ? id : NULL, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

static int compare_archive(struct walk *w, const git_oid *old, const git_oid *now, int depth, struct err *err)
{
	cleanup_git(git_tree) git_tree *before = NULL;
	cleanup_git(git_tree) git_tree *after = NULL;

	if ((old && git_tree_lookup(&before, w->h->repo, old) < 0) || (now && git_tree_lookup(&after, w->h->repo, now) < 0))
		return git_err(err, -1, VAULT_ARCHIVE " at commit %.10s", git_oid_tostr_s(&w->commit->oid));
	if (one_side(w, before, after, false, depth, err) < 0)
		return -1;
	return one_side(w, after, before, true, depth, err);
}

static int see_archive(struct walk *w, const struct git_folder_entry *now, struct err *err)
{
	bool there = now->there && now->mode == GIT_FILEMODE_TREE;
	git_oid old = w->archive;
	bool had = w->has_archive;

	w->commit->brought_else = true;
	w->archive = now->oid;
	w->has_archive = there;
	return compare_archive(w, had ? &old : NULL, there ? &now->oid : NULL, 1, err);
}

static int see_vault(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg,
                     struct err *err)
{
	struct walk *w = arg;
	(void)before;

	if (strcmp(name, "actions") == 0)
		return step(w, w->actions, VAULT_ACTIONS, now, see_action, err);
	if (strcmp(name, "formulas") == 0)
		return step(w, w->formulas, VAULT_FORMULAS, now, see_formula, err);
	if (strcmp(name, "secrets") == 0)
		return step(w, w->secrets, VAULT_SECRETS, now, see_secret, err);
	if (strcmp(name, "archive") == 0)
		return see_archive(w, now, err);
	w->commit->brought_else = true;
	if (strcmp(name, "policy.yaml") == 0)
		add_event(w, AUDIT_POLICY, "", 0, now);
	if (strcmp(name, "recipients.txt") == 0)
		add_event(w, AUDIT_RECIPIENTS_FILE, "", 0, now);
	return 0;
}

static int see_root(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg, struct err *err)
{
	struct walk *w = arg;
	(void)before;

	if (strcmp(name, "vault") == 0)
		return step(w, w->vault, "vault", now, see_vault, err);
	w->commit->brought_else = true;
	return 0;
}

static int missing(const git_oid *oid, int rc, struct err *err)
{
	git_err(err, rc, "commit %.10s", git_oid_tostr_s(oid));
	if (err)
		err->code = ERR_FAIL;
	return -1;
}

/* The chain from the tip to its root, in that order. */
static int collect(struct audit_history *h, const git_oid *tip, struct err *err)
{
	git_oid oid = *tip;
	for (;;) {
		cleanup_git(git_commit) git_commit *c = NULL;
		int rc = git_commit_lookup(&c, h->repo, &oid);
		if (rc < 0)
			return missing(&oid, rc, err);
		h->commits = grown(h->commits, h->n_commits, sizeof(*h->commits));
		h->commits[h->n_commits++] = (struct audit_commit){.oid = oid, .parents = git_commit_parentcount(c)};
		if (git_commit_parentcount(c) == 0)
			return 0;
		oid = *git_commit_parent_id(c, 0);
	}
}

static void reverse(struct audit_history *h)
{
	for (size_t i = 0, j = h->n_commits; i + 1 < j; i++, j--) {
		struct audit_commit c = h->commits[i];
		h->commits[i] = h->commits[j - 1];
		h->commits[j - 1] = c;
	}
}

static int walk(struct audit_history *h, struct err *err)
{
	__attribute__((cleanup(walk_end))) struct walk w = {
	    .h = h,
	    .root = git_folder_new(h->repo),
	    .vault = git_folder_new(h->repo),
	    .actions = git_folder_new(h->repo),
	    .formulas = git_folder_new(h->repo),
	    .secrets = git_folder_new(h->repo),
	};
	int64_t latest = 0;
	for (w.at = 0; w.at < h->n_commits; w.at++) {
		cleanup_git(git_commit) git_commit *c = NULL;
		w.commit = &h->commits[w.at];
		int rc = git_commit_lookup(&c, h->repo, &w.commit->oid);
		if (rc < 0)
			return missing(&w.commit->oid, rc, err);
		w.commit->below = latest;
		latest = git_commit_time(c) > latest ? git_commit_time(c) : latest;
		struct git_folder_entry root = {true, *git_commit_tree_id(c), GIT_FILEMODE_TREE};
		if (step(&w, w.root, "the root folder", &root, see_root, err) < 0)
			return -1;
	}
	return 0;
}

static int compare_events(const void *x, const void *y)
{
	const struct audit_event *a = x, *b = y;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	int order = strcmp(a->name, b->name);
	if (order == 0)
		order = (a->at > b->at) - (a->at < b->at);
	return order != 0 ? order : a->there - b->there; /* a file that became a folder is gone first */
}

static int compare_oids(const void *x, const void *y, void *arg)
{
	const struct audit_commit *commits = arg;
	return git_oid_cmp(&commits[*(const size_t *)x].oid, &commits[*(const size_t *)y].oid);
}

int audit_history_read(git_repository *repo, const git_oid *tip, struct audit_history *ret, struct err *err)
{
	cleanup_audit_history struct audit_history h = {.repo = repo};

	if (collect(&h, tip, err) < 0)
		return err_wrap(err, "read the history");
	reverse(&h);
	if (walk(&h, err) < 0)
		return err_wrap(err, "read the history");
	if (h.n_events > 0)
		qsort(h.events, h.n_events, sizeof(*h.events), compare_events);
	h.by_oid = xcalloc(h.n_commits, sizeof(*h.by_oid));
	for (size_t i = 0; i < h.n_commits; i++)
		h.by_oid[i] = i;
	qsort_r(h.by_oid, h.n_commits, sizeof(*h.by_oid), compare_oids, h.commits);
	*ret = h;
	h = (struct audit_history)AUDIT_HISTORY_INIT;
	return 0;
}

bool audit_history_find(const struct audit_history *h, const git_oid *oid, size_t *ret)
{
	size_t low = 0, high = h->n_commits;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = git_oid_cmp(&h->commits[h->by_oid[middle]].oid, oid);
		if (order == 0) {
			*ret = h->by_oid[middle];
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* The first event that is not before this one. */
static size_t lower_bound(const struct audit_history *h, enum audit_file file, const char *name)
{
	size_t low = 0, high = h->n_events;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct audit_event *e = &h->events[middle];
		if (e->file != file ? e->file < file : strcmp(e->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct audit_event *audit_events(const struct audit_history *h, enum audit_file file, const char *name, size_t *ret_n)
{
	size_t first = lower_bound(h, file, name), n = 0;
	while (first + n < h->n_events && h->events[first + n].file == file && strcmp(h->events[first + n].name, name) == 0)
		n++;
	*ret_n = n;
	return n > 0 ? &h->events[first] : NULL;
}

struct audit_event *audit_event_at(struct audit_event *events, size_t n, size_t at)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (events[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &events[low - 1] : NULL;
}

bool audit_was_archived(const struct audit_history *h, const struct audit_event *gone, const struct audit_event *before)
{
	size_t n;
	struct audit_event *events = audit_events(h, AUDIT_ARCHIVED, gone->name, &n);
	const struct audit_event *e = audit_event_at(events, n, gone->at);
	return e && e->at == gone->at && e->there && (!before || git_oid_equal(&e->blob, &before->blob));
}
