/* Questions to the first-parent chain: where did an action land, and whose result was taken away. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/ops/landing.h"
#include "vault/ops/ops_tree.h"

#include <string.h>

#define CACHE "disinto-removed-results"
#define CACHE_MAX (64u << 20)
#define SAVE_EVERY 256 /* commits */

/* The folder `name` in a tree; 1: *ret is its id; 0: there is none. */
static int folder_in(const git_tree *tree, const char *name, git_oid *ret)
{
	const git_tree_entry *e = git_tree_entry_byname(tree, name);
	if (!e || git_tree_entry_type(e) != GIT_OBJECT_TREE)
		return 0;
	*ret = *git_tree_entry_id(e);
	return 1;
}

int ops_folder_id(git_repository *repo, const git_commit *c, const char *folder, git_oid *ret, struct err *err)
{
	git_oid oid = *git_commit_tree_id(c);
	const char *const names[] = {"vault", folder};

	for (size_t i = 0; i < 2; i++) {
		cleanup_git(git_tree) git_tree *tree = NULL;
		int rc = git_tree_lookup(&tree, repo, &oid);
		if (rc == GIT_ENOTFOUND)
			return git_err(err, -1, "read the tree of commit %s", git_oid_tostr_s(git_commit_id(c)));
		if (rc < 0 || folder_in(tree, names[i], &oid) == 0) {
			git_error_clear();
			return 0;
		}
	}
	*ret = oid;
	return 1;
}

/* A walk back along first parents. `there` and `folder` are vault/actions of the commit. */
struct walk {
	git_repository *repo;
	git_commit *commit;
	bool there;
	git_oid folder;
};

static void walk_end(struct walk *w)
{
	git_commit_free(w->commit);
}

static int look(struct walk *w, struct err *err)
{
	int rc = ops_folder_id(w->repo, w->commit, "actions", &w->folder, err);
	w->there = rc == 1;
	return rc < 0 ? -1 : 0;
}

static int walk_begin(struct walk *w, git_repository *repo, const git_oid *tip, struct err *err)
{
	*w = (struct walk){.repo = repo};
	int rc = git_commit_lookup(&w->commit, repo, tip);
	if (rc < 0)
		return git_err(err, rc, "read commit %s", git_oid_tostr_s(tip));
	return look(w, err);
}

/* 1: at the parent now; 0: there is none; -1: it can't be read. */
static int walk_back(struct walk *w, struct err *err)
{
	git_commit *parent = NULL;
	if (git_commit_parentcount(w->commit) == 0)
		return 0;
	int rc = git_commit_parent(&parent, w->commit, 0);
	if (rc < 0)
		return git_err(err, rc, "read the history below %s", git_oid_tostr_s(git_commit_id(w->commit)));
	git_commit_free(w->commit);
	w->commit = parent;
	return look(w, err) < 0 ? -1 : 1;
}

int ops_landings(git_repository *repo, const git_oid *tip, struct ops_landing *v, size_t n, struct err *err)
{
	struct landing *files = xcalloc(n + 1, sizeof(*files));

	for (size_t i = 0; i < n; i++)
		files[i].path = vault_action_path(v[i].id);
	int rc = landings(repo, tip, files, n, err);
	for (size_t i = 0; i < n; i++) {
		v[i].found = files[i].found;
		v[i].commit = files[i].commit;
		v[i].depth = files[i].depth;
		free((char *)(uintptr_t)files[i].path);
	}
	free(files);
	return rc;
}

struct ops_past {
	git_repository *repo;
	char *cache;
	json_t *removed; /* object, ids as keys */
	bool has_tip;
	git_oid tip; /* up to which history was walked */
	size_t unsaved;
};

/* The cache's lines: the tip, then the ids. Anything else makes it worthless. */
static void load(struct ops_past *p)
{
	cleanup_buf struct buf text = BUF_INIT;
	git_oid tip;
	if (file_read(p->cache, CACHE_MAX, &text, NULL) < 0)
		return;
	if (text.len < GIT_OID_HEXSZ + 1 || text.data[GIT_OID_HEXSZ] != '\n' || git_oid_fromstrn(&tip, text.data, GIT_OID_HEXSZ) < 0)
		return;
	char *save = NULL;
	for (char *line = strtok_r(text.data + GIT_OID_HEXSZ + 1, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!vault_is_id(line)) {
			json_object_clear(p->removed);
			return;
		}
		json_object_set_new(p->removed, line, json_true());
	}
	p->tip = tip;
	p->has_tip = true;
}

/* Best effort: without it the next start walks the history again. */
static void save(struct ops_past *p)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *id;
	json_t *value;
	buf_addf(&text, "%s\n", git_oid_tostr_s(&p->tip));
	json_object_foreach (p->removed, id, value) {
		buf_addf(&text, "%s\n", id);
	}
	if (file_write(p->cache, text.data, text.len, 0600, NULL) == 0)
		p->unsaved = 0;
}

struct ops_past *ops_past_new(git_repository *repo)
{
	struct ops_past *p = xcalloc(1, sizeof(*p));
	*p = (struct ops_past){.repo = repo, .cache = path_join(git_repository_path(repo), CACHE), .removed = json_object()};
	load(p);
	return p;
}

void ops_past_free(struct ops_past *p)
{
	if (!p)
		return;
	free(p->cache);
	json_decref(p->removed);
	free(p);
}

static int note_removed(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct ops_past *p = arg;
	(void)err;
	if (before->result.there && !now->result.there)
		json_object_set_new(p->removed, before->id, json_true());
	return 0;
}

/* The folder, checked; NULL where there is none or it is malformed, in which case nothing in it counts. */
static git_tree *sound_tree(git_repository *repo, const git_oid *oid)
{
	git_tree *tree = NULL;
	if (git_tree_lookup(&tree, repo, oid) == 0 && git_tree_check(tree, NULL) == 0)
		return tree;
	git_tree_free(tree);
	git_error_clear();
	return NULL;
}

/* Walks from the tip to what is known already. 1: met it; 0: came to the root. */
static int walk_history(struct ops_past *p, const git_oid *tip, git_tree **newer, struct err *err)
{
	__attribute__((cleanup(walk_end))) struct walk w = {.repo = p->repo};
	git_oid seen = {{0}};
	int rc = walk_begin(&w, p->repo, tip, err);

	if (*newer)
		seen = *git_tree_id(*newer);
	while (rc >= 0 && !(p->has_tip && git_oid_equal(git_commit_id(w.commit), &p->tip))) {
		p->unsaved++;
		rc = walk_back(&w, err);
		if (rc <= 0)
			return rc;
		if (!w.there || git_oid_equal(&seen, &w.folder))
			continue;
		git_tree *older = sound_tree(p->repo, &w.folder);
		if (!older)
			continue;
		rc = ops_scan_trees(older, *newer, note_removed, p, err);
		git_tree_free(*newer);
		*newer = older;
		seen = w.folder;
	}
	return rc < 0 ? -1 : 1;
}

int ops_past_update(struct ops_past *p, const git_oid *tip, struct err *err)
{
	cleanup_git(git_tree) git_tree *at_tip = NULL;
	cleanup_git(git_tree) git_tree *newer = NULL;
	cleanup_git(git_tree) git_tree *lost = NULL;
	bool first = !p->has_tip;
	size_t known = json_object_size(p->removed);

	if (p->has_tip && git_oid_equal(&p->tip, tip))
		return 0;
	if (ops_actions_tree(p->repo, tip, &at_tip, err) < 0)
		return err_wrap(err, "walk the history");
	if (at_tip)
		git_tree_dup(&newer, at_tip);
	int rc = walk_history(p, tip, &newer, err);
	if (rc < 0)
		return err_wrap(err, "walk the history");
	/* History was rewritten: what the old one held at its end and the new one lacks was taken away too. */
	if (rc == 0 && p->has_tip && ops_actions_tree(p->repo, &p->tip, &lost, NULL) == 0 && lost)
		ops_scan_trees(lost, at_tip, note_removed, p, NULL);
	p->tip = *tip;
	p->has_tip = true;
	if (first || json_object_size(p->removed) != known || p->unsaved >= SAVE_EVERY)
		save(p);
	return 0;
}

bool ops_past_removed(const struct ops_past *p, const char *id)
{
	return json_object_get(p->removed, id) != NULL;
}
