/*
 * Trees of any bytes as vault/actions. Input: the length of the first tree in two bytes, it, then a second one. What is said of them is compared with a
 * reading of the bytes as git's fsck (strict) has it: which is malformed, and what differs between two sound ones. Everything else that reads trees
 * must live with them.
 */
#include "lib/cleanup.h"
#include "lib/git_folder.h"
#include "lib/git_repo.h"
#include "tests/fuzz/must.h"
#include "vault/name.h"
#include "vault/ops/ops.h"
#include <git2/sys/mempack.h>
#include <git2/sys/repository.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES 4096
#define MAX_ENTRIES (MAX_BYTES / 20)

struct entry {
	const char *name; /* terminated, in the input */
	unsigned mode;
	const uint8_t *oid;
};

struct tree {
	const uint8_t *bytes;
	size_t len;
	struct entry v[MAX_ENTRIES];
	size_t n;
	bool sound;
	git_oid oid, commit;
};

static bool is_folder(const struct entry *e)
{
	return e->mode == 040000;
}

/* "<octal> <name>\0<20 bytes>". */
static bool take_entry(const uint8_t **at, const uint8_t *end, struct entry *ret)
{
	const uint8_t *p = *at;

	*ret = (struct entry){.mode = 0};
	for (; p < end && *p >= '0' && *p <= '7' && ret->mode < 01000000; p++)
		ret->mode = ret->mode * 8 + (*p - '0');
	if (p == *at || **at == '0' || p == end || *p != ' ')
		return false;
	ret->name = (const char *)++p;
	p = memchr(p, '\0', (size_t)(end - p));
	if (!p || end - p < 1 + GIT_OID_RAWSZ)
		return false;
	ret->oid = p + 1;
	*at = p + 1 + GIT_OID_RAWSZ;
	return true;
}

static bool good_entry(const struct entry *e)
{
	static const unsigned modes[] = {0100644, 0100755, 0100664, 0120000, 040000, 0160000};
	bool known = false;

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		known = known || e->mode == modes[i];
	return known && *e->name && !strchr(e->name, '/') && strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0 &&
	       strcasecmp(e->name, ".git") != 0;
}

static bool in_order(const struct entry *a, const struct entry *b)
{
	cleanup_free char *x = xasprintf("%s%s", a->name, is_folder(a) ? "/" : "");
	cleanup_free char *y = xasprintf("%s%s", b->name, is_folder(b) ? "/" : "");

	return strcmp(x, y) < 0;
}

static void read_tree(struct tree *t, const uint8_t *bytes, size_t len)
{
	const uint8_t *p = bytes, *end = bytes + len;

	t->bytes = bytes;
	t->len = len;
	t->n = 0;
	t->sound = true;
	while (p < end && t->sound) {
		struct entry *e = &t->v[t->n];
		t->sound = take_entry(&p, end, e);
		if (!t->sound)
			break;
		t->n++;
		t->sound = good_entry(e) && (t->n == 1 || in_order(e - 1, e));
		for (size_t i = 0; i + 1 < t->n && t->sound; i++)
			t->sound = strcmp(t->v[i].name, e->name) != 0;
	}
}

static git_oid put(git_odb *odb, const void *data, size_t len, git_object_t type)
{
	git_oid oid;

	must(git_odb_write(&oid, odb, data, len, type) == 0);
	return oid;
}

static git_oid put_folder(git_odb *odb, const char *name, const git_oid *in)
{
	cleanup_buf struct buf b = BUF_INIT;

	buf_addf(&b, "40000 %s", name);
	buf_addc(&b, '\0');
	buf_add(&b, in->id, GIT_OID_RAWSZ);
	return put(odb, b.data, b.len, GIT_OBJECT_TREE);
}

static git_oid put_commit(git_odb *odb, const git_oid *root, const git_oid *parent)
{
	cleanup_buf struct buf b = BUF_INIT;

	buf_addf(&b, "tree %s\n", git_oid_tostr_s(root));
	if (parent)
		buf_addf(&b, "parent %s\n", git_oid_tostr_s(parent));
	buf_adds(&b, "author A <a@example> 1700000000 +0000\ncommitter A <a@example> 1700000000 +0000\n\nx\n");
	return put(odb, b.data, b.len, GIT_OBJECT_COMMIT);
}

/* Writes the tree as vault/actions, formulas and secrets of a commit. */
static void put_tree(git_odb *odb, struct tree *t, const git_oid *parent)
{
	cleanup_buf struct buf vault = BUF_INIT;
	static const char *const folders[] = {"40000 actions", "40000 formulas", "40000 secrets"};

	t->oid = put(odb, t->len > 0 ? (const void *)t->bytes : "", t->len, GIT_OBJECT_TREE);
	for (size_t i = 0; i < 3; i++) {
		buf_adds(&vault, folders[i]);
		buf_addc(&vault, '\0');
		buf_add(&vault, t->oid.id, GIT_OID_RAWSZ);
	}
	git_oid oid = put(odb, vault.data, vault.len, GIT_OBJECT_TREE);
	oid = put_folder(odb, "vault", &oid);
	t->commit = put_commit(odb, &oid, parent);
}

static const struct entry *entry_of(const struct tree *t, const char *id, const char *suffix)
{
	cleanup_free char *name = xasprintf("%s%s", id, suffix);

	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].name, name) == 0)
			return &t->v[i];
	return NULL;
}

static bool is_file(const struct ops_file *f, const struct entry *e)
{
	return f->there == (e != NULL) && (!e || (memcmp(f->oid.id, e->oid, GIT_OID_RAWSZ) == 0 && (unsigned)f->mode == e->mode));
}

static bool is_item(const struct ops_item *item, const struct tree *t)
{
	return is_file(&item->action, entry_of(t, item->id, ".json")) && is_file(&item->result, entry_of(t, item->id, ".result.json")) &&
	       is_file(&item->cancel, entry_of(t, item->id, ".cancel.json"));
}

static bool same(const struct entry *a, const struct entry *b)
{
	return a ? b && a->mode == b->mode && memcmp(a->oid, b->oid, GIT_OID_RAWSZ) == 0 : !b;
}

static bool id_differs(const struct tree *a, const struct tree *b, const char *id)
{
	static const char *const suffixes[] = {".json", ".result.json", ".cancel.json"};

	for (size_t i = 0; i < 3; i++)
		if (!same(entry_of(a, id, suffixes[i]), entry_of(b, id, suffixes[i])))
			return true;
	return false;
}

/* Ids of which some file differs, each counted once: at the first of its files, the older tree's first. */
static size_t count_ids(const struct tree *a, const struct tree *b)
{
	cleanup_json json_t *seen = json_object();
	const struct tree *const sides[] = {a, b};

	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < sides[s]->n; i++) {
			char id[VAULT_ID_MAX + 1];
			enum vault_file kind = vault_file_kind(sides[s]->v[i].name, id);
			if (kind != VAULT_FILE_KEEP && kind != VAULT_FILE_MISNAMED && id_differs(a, b, id))
				json_object_set_new(seen, id, json_true());
		}
	}
	return json_object_size(seen);
}

struct seen {
	const struct tree *a, *b;
	size_t n;
};

static int see_item(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	must(strcmp(before->id, now->id) == 0 && vault_is_id(now->id));
	must(is_item(before, s->a) && is_item(now, s->b) && id_differs(s->a, s->b, now->id));
	s->n++;
	return 0;
}

static void check_scan(git_repository *repo, const struct tree *a, const struct tree *b)
{
	cleanup_err struct err err = ERR_INIT;
	struct seen seen = {.a = a, .b = b};

	if (ops_scan(repo, &a->commit, &b->commit, see_item, &seen, &err) == 0) {
		must(a->sound && b->sound && seen.n == count_ids(a, b));
	} else {
		must((!a->sound || !b->sound) && err.code == ERR_INVALID && seen.n == 0);
	}
}

static bool is_entry(const struct git_folder_entry *f, const struct entry *e)
{
	return f->there == (e != NULL) && (!e || (memcmp(f->oid.id, e->oid, GIT_OID_RAWSZ) == 0 && (unsigned)f->mode == e->mode));
}

/* A file that became a folder, or the other way about, is two calls with one side each. */
static int see_entry(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg,
                     struct err *err)
{
	struct seen *s = arg;
	const struct entry *a = entry_of(s->a, name, ""), *b = entry_of(s->b, name, "");
	bool turned = a && b && is_folder(a) != is_folder(b);

	(void)err;
	must(before->there || now->there);
	must(!same(a, b));
	must(is_entry(before, turned && now->there ? NULL : a) && is_entry(now, turned && before->there ? NULL : b));
	s->n++;
	return 0;
}

static size_t count_entries(const struct tree *a, const struct tree *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct entry *e = entry_of(b, a->v[i].name, "");
		n += !same(&a->v[i], e);
		n += e && is_folder(&a->v[i]) != is_folder(e);
	}
	for (size_t i = 0; i < b->n; i++)
		n += !entry_of(a, b->v[i].name, "");
	return n;
}

static void check_step(struct git_folder *f, const struct tree *a, const struct tree *b)
{
	cleanup_err struct err err = ERR_INIT;
	struct seen seen = {.a = a, .b = b};

	if (git_folder_step(f, &b->oid, see_entry, &seen, &err) == 0) {
		must(b->sound && seen.n == count_entries(a, b));
	} else {
		must(!b->sound && err.code == ERR_INVALID && seen.n == 0);
	}
}

static void check_folder(git_repository *repo, const struct tree *a, const struct tree *b)
{
	static const struct tree nothing = {.sound = true};
	struct git_folder *f = git_folder_new(repo);

	check_step(f, &nothing, a);
	check_step(f, a->sound ? a : &nothing, b);
	check_step(f, b->sound ? b : a->sound ? a : &nothing, a);
	git_folder_free(f);
}

/* What has no oracle: it says what it says, and ends. */
static void read_all(git_repository *repo, const struct tree *t)
{
	cleanup_json json_t *misnamed = json_array();
	struct ops_landing landing = {.id = "a"};
	struct ops_item item;

	must((ops_misnamed(repo, &t->commit, 100, misnamed, NULL) == 0) == t->sound);
	must((ops_landings(repo, &t->commit, &landing, 1, NULL) == 0) == t->sound);
	must((ops_item(repo, &t->commit, "a", &item, NULL) == 0) == t->sound);
	if (!t->sound)
		return;
	must(is_item(&item, t) && landing.found == item.action.there);
	cleanup_ops_action struct ops_action action = OPS_ACTION_INIT;
	ops_read_action(repo, &t->commit, &t->commit, "a", &action, NULL); /* its blob is nowhere */
}

static void check_verdict(git_repository *repo, const struct tree *t)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_err struct err err = ERR_INIT;

	if (git_repo_tree(repo, &t->commit, "vault/actions", &tree, &err) == 0)
		must(t->sound && git_tree_entrycount(tree) == t->n);
	else
		must(!t->sound && err.code == ERR_INVALID && strncmp(err_msg(&err), "vault/actions: ", 15) == 0);
}

/* As the root, too, where nothing of ours is found in it. */
static void check_root(git_repository *repo, git_odb *odb, const struct tree *t)
{
	git_oid oid, commit = put_commit(odb, &t->oid, NULL);
	git_filemode_t mode;
	struct seen seen = {.a = t, .b = t};

	if (git_repo_entry(repo, &commit, "a.json", &oid, &mode, NULL) == 0)
		must(t->sound && entry_of(t, "a", ".json"));
	ops_scan(repo, NULL, &commit, see_item, &seen, NULL);
	must(seen.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tree a, b;
	static int ready = 0; /* the library, once */
	cleanup_git(git_repository) git_repository *repo = NULL;
	cleanup_git(git_odb) git_odb *odb = NULL;
	git_odb_backend *memory = NULL;

	if (size < 2 || size > MAX_BYTES)
		return 0;
	size_t first = (size_t)data[0] << 8 | data[1];
	first = first < size - 2 ? first : size - 2;
	ready = ready > 0 ? ready : git_libgit2_init();
	must(ready > 0 && git_odb_new(&odb) == 0 && git_mempack_new(&memory) == 0);
	must(git_odb_add_backend(odb, memory, 1) == 0 && git_repository_wrap_odb(&repo, odb) == 0);
	read_tree(&a, data + 2, first);
	read_tree(&b, data + 2 + first, size - 2 - first);
	put_tree(odb, &a, NULL);
	put_tree(odb, &b, &a.commit);
	check_verdict(repo, &a);
	check_verdict(repo, &b);
	check_scan(repo, &a, &b);
	check_folder(repo, &a, &b);
	read_all(repo, &b);
	check_root(repo, odb, &a);
	return 0;
}
