/* One folder followed through history. See git_folder.h. */
#include "lib/git_folder.h"

#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include <string.h>

/* A tree as it is stored: entries "<mode> <name>\0<20 bytes>", one after the other. */
struct bytes {
	const char *data;
	size_t len;
};

struct git_folder {
	git_repository *repo;
	git_odb *odb;
	git_odb_object *object; /* the last sound version; NULL: an empty one */
	bool has_folders;       /* some version had a folder in it */
};

struct entry {
	size_t start, end; /* in its tree */
	const char *name;  /* terminated */
	size_t name_len;
	unsigned mode;
	const unsigned char *oid;
};

struct git_folder *git_folder_new(git_repository *repo)
{
	struct git_folder *f = xcalloc(1, sizeof(*f));
	f->repo = repo;
	return f;
}

void git_folder_free(struct git_folder *f)
{
	if (!f)
		return;
	git_odb_object_free(f->object);
	git_odb_free(f->odb);
	free(f);
}

/* Takes the entry at `at` apart; false: there is none that is whole. */
static bool entry_at(const struct bytes *t, size_t at, struct entry *ret)
{
	const char *p = t->data + at, *end = t->data + t->len;
	unsigned mode = 0;

	while (p < end && *p >= '0' && *p <= '7' && mode < 01000000)
		mode = mode * 8 + (unsigned)(*p++ - '0');
	if (p == end || *p != ' ' || p == t->data + at || t->data[at] == '0') /* git pads no mode; git_tree_check refuses it too */
		return false;
	const char *name = p + 1, *nul = memchr(name, '\0', (size_t)(end - name));
	if (!nul || end - nul <= GIT_OID_RAWSZ)
		return false;
	*ret = (struct entry){
	    .start = at,
	    .end = (size_t)(nul + 1 + GIT_OID_RAWSZ - t->data),
	    .name = name,
	    .name_len = (size_t)(nul - name),
	    .mode = mode,
	    .oid = (const unsigned char *)nul + 1,
	};
	return true;
}

/* git's base_name_compare. */
static int compare(const struct entry *a, const struct entry *b)
{
	size_t least = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, least);
	if (order != 0)
		return order;
	/* A name is followed by its NUL, so that the byte behind the shorter one may be looked at in both. */
	unsigned char x = (unsigned char)a->name[least], y = (unsigned char)b->name[least];
	if (!x && a->mode == GIT_FILEMODE_TREE)
		x = '/';
	if (!y && b->mode == GIT_FILEMODE_TREE)
		y = '/';
	return (x > y) - (x < y);
}

static bool same(const struct entry *a, const struct entry *b)
{
	return a->mode == b->mode && memcmp(a->oid, b->oid, GIT_OID_RAWSZ) == 0;
}

#define CHUNK 4096

static size_t common_prefix(const struct bytes *a, const struct bytes *b)
{
	size_t max = a->len < b->len ? a->len : b->len, n = 0;
	while (max - n >= CHUNK && memcmp(a->data + n, b->data + n, CHUNK) == 0)
		n += CHUNK;
	while (n < max && a->data[n] == b->data[n])
		n++;
	return n;
}

static size_t common_suffix(const struct bytes *a, const struct bytes *b, size_t max)
{
	const char *x = a->data + a->len, *y = b->data + b->len;
	size_t n = 0;
	while (max - n >= CHUNK && memcmp(x - n - CHUNK, y - n - CHUNK, CHUNK) == 0)
		n += CHUNK;
	while (n < max && x[-1 - (ptrdiff_t)n] == y[-1 - (ptrdiff_t)n])
		n++;
	return n;
}

/* What differs between two versions: whole entries, `start` alike in both. */
struct window {
	size_t start, old_end, now_end;
	struct entry before; /* the last entry in front of it; no name: none */
	bool sound;          /* its entries in the new version are in order, and none needs a closer look */
};

/* Whether an entry may follow `before` without further questions. A folder may have a file of its name far before it: the whole tree is to be looked at. */
static bool is_plain(const struct entry *e, const struct entry *before)
{
	if (before->name && compare(before, e) >= 0)
		return false;
	if (e->name_len == 0 || memchr(e->name, '/', e->name_len) || strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0 ||
	    strcasecmp(e->name, ".git") == 0)
		return false;
	return e->mode == GIT_FILEMODE_BLOB || e->mode == GIT_FILEMODE_BLOB_EXECUTABLE || e->mode == 0100664 ||
	       e->mode == GIT_FILEMODE_LINK || e->mode == GIT_FILEMODE_COMMIT;
}

/* Both trees are alike up to the window's start, and `old` is sound. */
static void find_start(const struct bytes *old, size_t prefix, struct window *w)
{
	struct entry e;
	while (w->start < prefix && entry_at(old, w->start, &e) && e.end <= prefix) {
		w->before = e;
		w->start = e.end;
	}
}

/* Walks both in step until what is left of them is the same bytes. false: the new one can't be taken apart. */
static bool find_end(const struct bytes *old, const struct bytes *now, size_t suffix, struct window *w)
{
	struct entry e, before = w->before;
	w->old_end = w->now_end = w->start;
	w->sound = true;
	while (w->old_end < old->len || w->now_end < now->len) {
		size_t old_left = old->len - w->old_end, now_left = now->len - w->now_end;
		if (old_left == now_left && now_left <= suffix) {
			w->sound = w->sound && entry_at(now, w->now_end, &e) && (!before.name || compare(&before, &e) < 0);
			return true;
		}
		if (old_left >= now_left) {
			if (!entry_at(old, w->old_end, &e))
				return false;
			w->old_end = e.end;
			continue;
		}
		if (!entry_at(now, w->now_end, &e))
			return false;
		w->sound = w->sound && is_plain(&e, &before);
		before = e;
		w->now_end = e.end;
	}
	return true;
}

/* The whole of it, by the library's own reading. */
static int check_whole(const struct git_folder *f, const git_oid *oid, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	int rc = git_tree_lookup(&tree, f->repo, oid);
	if (rc < 0) {
		git_err(err, rc, "malformed tree");
		if (err)
			err->code = ERR_INVALID;
		return -1;
	}
	return git_tree_check(tree, err);
}

static struct git_folder_entry side(const struct entry *e)
{
	struct git_folder_entry s = {.there = false};
	if (e) {
		s.there = true;
		s.mode = (git_filemode_t)e->mode;
		memcpy(s.oid.id, e->oid, GIT_OID_RAWSZ);
	}
	return s;
}

static int report(const struct entry *a, const struct entry *b, git_folder_fn fn, void *arg, struct err *err)
{
	struct git_folder_entry before = side(a), now = side(b);
	return fn(b ? b->name : a->name, &before, &now, arg, err) == 0 ? 0 : -1;
}

static int merge(const struct bytes *old, const struct bytes *now, const struct window *w, git_folder_fn fn, void *arg, struct err *err)
{
	size_t i = w->start, j = w->start;
	while (i < w->old_end || j < w->now_end) {
		struct entry a, b;
		bool has_a = i < w->old_end && entry_at(old, i, &a), has_b = j < w->now_end && entry_at(now, j, &b);
		if (!has_a && !has_b)
			return 0; /* never: both were walked before */
		int order = !has_a ? 1 : !has_b ? -1 : compare(&a, &b);
		if ((order != 0 || !same(&a, &b)) && report(order <= 0 ? &a : NULL, order >= 0 ? &b : NULL, fn, arg, err) < 0)
			return -1;
		if (order <= 0)
			i = a.end;
		if (order >= 0)
			j = b.end;
	}
	return 0;
}

static bool brings_folder(const struct bytes *now, const struct window *w)
{
	struct entry e;
	for (size_t at = w->start; at < w->now_end && entry_at(now, at, &e); at = e.end)
		if (e.mode == GIT_FILEMODE_TREE)
			return true;
	return false;
}

static int read_tree(struct git_folder *f, const git_oid *oid, git_odb_object **ret, struct err *err)
{
	cleanup_git(git_odb_object) git_odb_object *object = NULL;
	int rc = f->odb ? 0 : git_repository_odb(&f->odb, f->repo);
	if (rc == 0)
		rc = git_odb_read(&object, f->odb, oid);
	if (rc < 0) {
		git_err(err, rc, "tree %s", git_oid_tostr_s(oid));
		if (err && rc == GIT_ENOTFOUND)
			err->code = ERR_FAIL; /* an object that is missing is not a folder that is absent */
		return -1;
	}
	if (git_odb_object_type(object) != GIT_OBJECT_TREE)
		return err_set(err, ERR_INVALID, "object %s is no tree", git_oid_tostr_s(oid));
	*ret = steal_ptr(&object);
	return 0;
}

static struct bytes bytes_of(git_odb_object *object)
{
	return object ? (struct bytes){git_odb_object_data(object), git_odb_object_size(object)} : (struct bytes){"", 0};
}

int git_folder_step(struct git_folder *f, const git_oid *tree, git_folder_fn fn, void *arg, struct err *err)
{
	cleanup_git(git_odb_object) git_odb_object *object = NULL;
	struct window w = {.start = 0};

	if (tree && f->object && git_oid_equal(tree, git_odb_object_id(f->object)))
		return 0;
	if (tree && read_tree(f, tree, &object, err) < 0)
		return -1;
	struct bytes old = bytes_of(f->object), now = bytes_of(object);
	size_t prefix = common_prefix(&old, &now);
	find_start(&old, prefix, &w);
	size_t suffix = common_suffix(&old, &now, (old.len < now.len ? old.len : now.len) - w.start);
	if (!find_end(&old, &now, suffix, &w))
		return err_set(err, ERR_INVALID, "malformed tree: it can't be taken apart");
	if (tree && (!w.sound || f->has_folders)) {
		if (check_whole(f, tree, err) < 0)
			return -1;
		f->has_folders = f->has_folders || brings_folder(&now, &w);
	}
	if (merge(&old, &now, &w, fn, arg, err) < 0)
		return -1;
	git_odb_object_free(f->object);
	f->object = steal_ptr(&object);
	return 0;
}
