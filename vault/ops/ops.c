/* What stands in vault/actions at a commit, and what differs between two. */
#include "vault/ops/ops.h"
#include "lib/cleanup.h"
#include "vault/ops/ops_tree.h"

#include <string.h>

void ops_place(const struct config *config, struct git_place *ret)
{
	*ret = (struct git_place){
	    .url = config->ops_repo,
	    .token_file = config->git_token_file,
	    .known_hosts = config->known_hosts_file,
	    .ssh_key = config->ssh_key_file,
	    .ca_file = config->ca_file,
	};
}

/* Some hundred proposals at once fit, each of a file and the folders above it. What is resolved of deltas is held in memory, several objects at a time. */
void ops_bound(struct git_place *place)
{
	place->total_ms = 10000;
	place->max_bytes = 8 << 20;
	place->max_object = 8 << 20;
	place->max_objects = 1 << 16;
}

/* One side of a comparison: a walk over a folder's entries, which come sorted. A NULL tree has none. */
struct side {
	const git_tree *tree;
	size_t at, n;
	struct ops_item item; /* what stands at the present id */
	bool has_item;
};

static const char *name_at(const struct side *s, size_t i)
{
	return git_tree_entry_name(git_tree_entry_byindex(s->tree, i));
}

static void put(struct ops_file *f, const git_tree_entry *e)
{
	*f = (struct ops_file){true, *git_tree_entry_id(e), git_tree_entry_filemode_raw(e)};
}

/* Reads the next id's files. They are neighbours, since an id has no dots; only misnamed files may stand between them. */
static void read_item(struct side *s)
{
	char id[VAULT_ID_MAX + 1];

	s->item = (struct ops_item){.id = ""};
	s->has_item = false;
	for (; s->at < s->n; s->at++) {
		const git_tree_entry *e = git_tree_entry_byindex(s->tree, s->at);
		enum vault_file kind = vault_file_kind(git_tree_entry_name(e), id);
		if (kind == VAULT_FILE_KEEP || kind == VAULT_FILE_MISNAMED)
			continue;
		if (s->has_item && strcmp(id, s->item.id) != 0)
			return;
		memcpy(s->item.id, id, sizeof(id));
		s->has_item = true;
		put(kind == VAULT_FILE_ACTION ? &s->item.action : kind == VAULT_FILE_RESULT ? &s->item.result : &s->item.cancel, e);
	}
}

static bool same_entry(const git_tree_entry *a, const git_tree_entry *b)
{
	return git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b)) &&
	       git_tree_entry_filemode_raw(a) == git_tree_entry_filemode_raw(b) &&
	       strcmp(git_tree_entry_name(a), git_tree_entry_name(b)) == 0;
}

static bool same_stem(const char *a, const char *b)
{
	size_t len = strcspn(a, ".");
	return len == strcspn(b, ".") && memcmp(a, b, len) == 0;
}

/* Steps over what both sides have alike, but not into the files of an id of which any differs. */
static void skip_equal(struct side *a, struct side *b)
{
	size_t n = 0;
	while (a->at + n < a->n && b->at + n < b->n &&
	       same_entry(git_tree_entry_byindex(a->tree, a->at + n), git_tree_entry_byindex(b->tree, b->at + n)))
		n++;
	for (; n > 0; n--) {
		const char *last = name_at(a, a->at + n - 1);
		bool in_a = a->at + n < a->n && same_stem(last, name_at(a, a->at + n));
		bool in_b = b->at + n < b->n && same_stem(last, name_at(b, b->at + n));
		if (!in_a && !in_b)
			break;
	}
	a->at += n;
	b->at += n;
}

/* Order of ids as the order of their files, in which "." follows each: "a-b" comes before "a". */
static int compare_ids(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	int x = *a ? (unsigned char)*a : '.', y = *b ? (unsigned char)*b : '.';
	return x - y;
}

static bool same_file(const struct ops_file *a, const struct ops_file *b)
{
	return a->there == b->there && (!a->there || (a->mode == b->mode && git_oid_equal(&a->oid, &b->oid)));
}

static bool same_item(const struct ops_item *a, const struct ops_item *b)
{
	return same_file(&a->action, &b->action) && same_file(&a->result, &b->result) && same_file(&a->cancel, &b->cancel);
}

int ops_scan_trees(const git_tree *old, const git_tree *now, ops_change_fn fn, void *arg, struct err *err)
{
	struct side a = {.tree = old, .n = old ? git_tree_entrycount(old) : 0};
	struct side b = {.tree = now, .n = now ? git_tree_entrycount(now) : 0};

	skip_equal(&a, &b);
	read_item(&a);
	read_item(&b);
	while (a.has_item || b.has_item) {
		int order = !a.has_item ? 1 : !b.has_item ? -1 : compare_ids(a.item.id, b.item.id);
		struct ops_item before = {.id = ""}, after = {.id = ""};
		if (order <= 0)
			before = a.item;
		if (order >= 0)
			after = b.item;
		memcpy(order <= 0 ? after.id : before.id, order <= 0 ? before.id : after.id, sizeof(before.id));
		if (!same_item(&before, &after) && fn(&before, &after, arg, err) != 0)
			return -1;
		if (order == 0)
			skip_equal(&a, &b);
		if (order <= 0)
			read_item(&a);
		if (order >= 0)
			read_item(&b);
	}
	return 0;
}

int ops_actions_tree(git_repository *repo, const git_oid *commit, git_tree **ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	if (git_repo_tree(repo, commit, VAULT_ACTIONS, ret, &why) == 0)
		return 0;
	if (why.code == ERR_NOT_FOUND) {
		*ret = NULL;
		return 0;
	}
	err_move(err, &why);
	return -1;
}

int ops_scan(git_repository *repo, const git_oid *old, const git_oid *commit, ops_change_fn fn, void *arg, struct err *err)
{
	cleanup_git(git_tree) git_tree *before = NULL;
	cleanup_git(git_tree) git_tree *now = NULL;
	if (ops_actions_tree(repo, commit, &now, err) < 0 || (old && ops_actions_tree(repo, old, &before, err) < 0))
		return -1;
	if (before && now && git_oid_equal(git_tree_id(before), git_tree_id(now)))
		return 0;
	return ops_scan_trees(before, now, fn, arg, err);
}

static void put_named(const git_tree *tree, const char *path, struct ops_file *f)
{
	const git_tree_entry *e = git_tree_entry_byname(tree, strrchr(path, '/') + 1);
	if (e)
		put(f, e);
}

int ops_item(git_repository *repo, const git_oid *commit, const char *id, struct ops_item *ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_free char *action = vault_action_path(id);
	cleanup_free char *result = vault_result_path(id);
	cleanup_free char *cancel = vault_cancel_path(id);
	struct ops_item item = {.id = ""};

	if (!vault_is_id(id))
		return err_set(err, ERR_INVALID, "'%s' is no id: " VAULT_ID_RULE, id);
	if (ops_actions_tree(repo, commit, &tree, err) < 0)
		return -1;
	memcpy(item.id, id, strlen(id) + 1);
	if (tree) {
		put_named(tree, action, &item.action);
		put_named(tree, result, &item.result);
		put_named(tree, cancel, &item.cancel);
	}
	*ret = item;
	return 0;
}

static bool is_action_file(const char *name)
{
	char id[VAULT_ID_MAX + 1];
	return vault_file_kind(name, id) != VAULT_FILE_MISNAMED;
}

static bool has_stem(const char *name, const char *suffix, bool (*is_stem)(const char *))
{
	size_t len = strlen(name), tail = strlen(suffix);
	if (len <= tail || strcmp(name + len - tail, suffix) != 0)
		return false;
	cleanup_free char *stem = xasprintf("%.*s", (int)(len - tail), name);
	return is_stem(stem);
}

static bool is_formula_file(const char *name)
{
	return strcmp(name, ".gitkeep") == 0 || has_stem(name, ".yaml", vault_is_id);
}

static bool is_secret_file(const char *name)
{
	return strcmp(name, ".gitkeep") == 0 || has_stem(name, ".age", vault_is_secret);
}

int ops_misnamed(git_repository *repo, const git_oid *commit, size_t max, json_t *ret, struct err *err)
{
	static const struct {
		const char *folder;
		bool (*good)(const char *);
	} folders[] = {{VAULT_ACTIONS, is_action_file}, {VAULT_FORMULAS, is_formula_file}, {VAULT_SECRETS, is_secret_file}};

	for (size_t f = 0; f < sizeof(folders) / sizeof(*folders); f++) {
		cleanup_git(git_tree) git_tree *tree = NULL;
		cleanup_err struct err why = ERR_INIT;
		if (git_repo_tree(repo, commit, folders[f].folder, &tree, &why) < 0) {
			if (why.code == ERR_NOT_FOUND)
				continue;
			err_move(err, &why);
			return -1;
		}
		for (size_t i = 0; i < git_tree_entrycount(tree) && json_array_size(ret) < max; i++) {
			const char *name = git_tree_entry_name(git_tree_entry_byindex(tree, i));
			if (folders[f].good(name))
				continue;
			json_t *path = json_sprintf("%s/%s", folders[f].folder, name);
			json_array_append_new(ret, path ? path : json_sprintf("%s: a name that is not UTF-8", folders[f].folder));
		}
	}
	return 0;
}
