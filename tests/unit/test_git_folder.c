/*
 * lib/git_folder: against a naive oracle, on random folders that change at random, some of them malformed.
 */
#include "tests/unit/git_fixture.h"

#include "lib/git_folder.h"

struct item {
	char name[16];
	unsigned mode;
	unsigned char content; /* stands for the blob */
};

struct tree {
	struct item v[1024];
	size_t n;
};

static unsigned long long seed = 1;

static unsigned roll(unsigned below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return below ? (unsigned)(seed >> 33) % below : 0;
}

static git_oid blob_of(const struct item *item)
{
	git_oid oid;
	memset(oid.id, item->content, sizeof(oid.id));
	return oid;
}

static git_oid write_tree(git_repository *repo, const struct tree *t)
{
	cleanup_buf struct buf raw = BUF_INIT;
	git_odb *odb = NULL;
	git_oid oid;
	for (size_t i = 0; i < t->n; i++) {
		git_oid blob = blob_of(&t->v[i]);
		buf_addf(&raw, "%o %s", t->v[i].mode, t->v[i].name);
		buf_addc(&raw, '\0');
		buf_add(&raw, blob.id, sizeof(blob.id));
	}
	assert_int_equal(git_repository_odb(&odb, repo), 0);
	assert_int_equal(git_odb_write(&oid, odb, raw.data, raw.len, GIT_OBJECT_TREE), 0);
	git_odb_free(odb);
	return oid;
}

static int order(const void *x, const void *y)
{
	const struct item *a = x, *b = y;
	cleanup_free char *s = xasprintf("%s%s", a->name, a->mode == 040000 ? "/" : "");
	cleanup_free char *t = xasprintf("%s%s", b->name, b->mode == 040000 ? "/" : "");
	return strcmp(s, t);
}

/* Adds, changes, removes; now and then what no folder may hold. */
static void change(struct tree *t)
{
	static const char *const odd[] = {"", ".", "..", ".git", "a/b"};
	static const unsigned modes[] = {0100644, 0100644, 0100644, 0100755, 0120000, 0160000, 040000};
	for (unsigned n = roll(4); n > 0; n--) {
		size_t at = t->n ? roll((unsigned)t->n) : 0;
		switch (roll(8)) {
		case 0:
			if (t->n > 0)
				memmove(&t->v[at], &t->v[at + 1], (--t->n - at) * sizeof(*t->v));
			break;
		case 1:
			if (t->n > 0)
				t->v[at].content = (unsigned char)roll(256);
			break;
		case 2:
			if (t->n > 0)
				t->v[at].mode = modes[roll(7)];
			break;
		default:
			if (t->n == 48)
				break;
			t->v[t->n] = (struct item){.mode = modes[roll(roll(4) ? 3 : 7)], .content = (unsigned char)roll(256)};
			snprintf(t->v[t->n++].name, sizeof(t->v->name), "%c%s", 'a' + (int)roll(6),
			         (const char *[]){"", "-", ".x", "0", "bc"}[roll(5)]);
		}
	}
	qsort(t->v, t->n, sizeof(*t->v), order);
	if (t->n > 1 && roll(12) == 0) { /* out of order */
		size_t at = roll((unsigned)t->n - 1);
		struct item item = t->v[at];
		t->v[at] = t->v[at + 1];
		t->v[at + 1] = item;
	}
	if (t->n > 0 && roll(24) == 0)
		snprintf(t->v[roll((unsigned)t->n)].name, sizeof(t->v->name), "%s", odd[roll(5)]);
	if (t->n > 0 && roll(24) == 0)
		t->v[roll((unsigned)t->n)].mode = 0100600;
}

static void add_side(struct buf *out, const struct git_folder_entry *e)
{
	if (e->there)
		buf_addf(out, " %o:%02x", (unsigned)e->mode, e->oid.id[0]);
	else
		buf_adds(out, " -");
}

static int hear(const char *name, const struct git_folder_entry *before, const struct git_folder_entry *now, void *arg, struct err *err)
{
	(void)err;
	buf_adds(arg, name);
	add_side(arg, before);
	add_side(arg, now);
	buf_addc(arg, '\n');
	return 0;
}

static struct git_folder_entry entry_of(const struct item *item)
{
	if (!item)
		return (struct git_folder_entry){.there = false};
	return (struct git_folder_entry){true, blob_of(item), (git_filemode_t)item->mode};
}

/* What a step from a to b has to say, both being sound. */
static void oracle(const struct tree *a, const struct tree *b, struct buf *out)
{
	size_t i = 0, j = 0;
	while (i < a->n || j < b->n) {
		int o = i == a->n ? 1 : j == b->n ? -1 : order(&a->v[i], &b->v[j]);
		struct git_folder_entry before = entry_of(o <= 0 ? &a->v[i] : NULL), now = entry_of(o >= 0 ? &b->v[j] : NULL);
		if (o != 0 || a->v[i].mode != b->v[j].mode || a->v[i].content != b->v[j].content)
			hear(o <= 0 ? a->v[i].name : b->v[j].name, &before, &now, out, NULL);
		i += o <= 0;
		j += o >= 0;
	}
}

/* What the library's own reading and git_tree_check say. */
static bool is_sound(git_repository *repo, const git_oid *oid)
{
	git_tree *tree = NULL;
	bool sound = git_tree_lookup(&tree, repo, oid) == 0 && git_tree_check(tree, NULL) == 0;
	git_tree_free(tree);
	return sound;
}

static void says_what_the_oracle_says(void **state)
{
	struct fixture f;
	size_t n_sound = 0, n_malformed = 0;
	(void)state;
	fixture_begin(&f);
	for (int round = 0; round < 60; round++) {
		struct git_folder *folder = git_folder_new(f.repo);
		struct tree believed = {.n = 0};
		for (int i = 0; i < 40; i++) {
			cleanup_buf struct buf said = BUF_INIT, expected = BUF_INIT;
			cleanup_err struct err err = ERR_INIT;
			struct tree next = believed;
			change(&next);
			git_oid oid = write_tree(f.repo, &next);
			bool sound = is_sound(f.repo, &oid);
			int rc = git_folder_step(folder, &oid, hear, &said, &err);
			if (!sound) {
				assert_int_equal(rc, -1);
				assert_int_equal(err.code, ERR_INVALID);
				assert_string_equal(said.data, "");
				n_malformed++;
				continue;
			}
			assert_ok(rc, &err);
			oracle(&believed, &next, &expected);
			assert_string_equal(said.data, expected.data);
			believed = next;
			n_sound++;
		}
		git_folder_free(folder);
	}
	assert_true(n_sound > 1000 && n_malformed > 100);
	print_message("# %zu steps, %zu malformed trees\n", n_sound, n_malformed);
	fixture_end(&f);
}

/* One file of many, as it is in life: far more bytes than are compared at once, in front of what differs and behind it. */
static void finds_one_of_many(void **state)
{
	static struct tree a, b;
	struct fixture f;
	(void)state;
	fixture_begin(&f);
	struct git_folder *folder = git_folder_new(f.repo);
	for (a.n = 0; a.n < 900; a.n++) {
		a.v[a.n] = (struct item){.mode = 0100644, .content = (unsigned char)roll(256)};
		snprintf(a.v[a.n].name, sizeof(a.v->name), "f%04zu", 10 * a.n);
	}
	git_oid oid = write_tree(f.repo, &a);
	cleanup_buf struct buf first = BUF_INIT;
	assert_int_equal(git_folder_step(folder, &oid, hear, &first, NULL), 0);
	for (int i = 0; i < 200; i++) {
		cleanup_buf struct buf said = BUF_INIT, expected = BUF_INIT;
		size_t at = i == 0 ? 0 : i == 1 ? a.n - 1 : roll((unsigned)a.n);
		b = a;
		switch (roll(3)) {
		case 0:
			memmove(&b.v[at], &b.v[at + 1], (--b.n - at) * sizeof(*b.v));
			break;
		case 1:
			b.v[at].content++;
			break;
		default:
			memmove(&b.v[at + 1], &b.v[at], (b.n++ - at) * sizeof(*b.v));
			b.v[at].name[5] = (char)('0' + i % 10);
			b.v[at].name[6] = '\0';
			qsort(b.v, b.n, sizeof(*b.v), order);
		}
		oid = write_tree(f.repo, &b);
		if (!is_sound(f.repo, &oid))
			continue; /* that name was taken */
		assert_int_equal(git_folder_step(folder, &oid, hear, &said, NULL), 0);
		oracle(&a, &b, &expected);
		assert_string_equal(said.data, expected.data);
		a = b;
	}
	git_folder_free(folder);
	fixture_end(&f);
}

/* The folder goes, comes again, and is the same as before. */
static void no_folder_is_an_empty_one(void **state)
{
	struct fixture f;
	struct err err = ERR_INIT;
	cleanup_buf struct buf said = BUF_INIT;
	struct tree t = {.v = {{"a", 0100644, 1}}, .n = 1};
	(void)state;
	fixture_begin(&f);
	struct git_folder *folder = git_folder_new(f.repo);
	git_oid oid = write_tree(f.repo, &t);
	const git_oid *steps[] = {NULL, &oid, &oid, NULL, NULL, &oid};
	for (size_t i = 0; i < 6; i++)
		assert_ok(git_folder_step(folder, steps[i], hear, &said, &err), &err);
	assert_string_equal(said.data, "a - 100644:01\na 100644:01 -\na - 100644:01\n");
	git_folder_free(folder);
	fixture_end(&f);
}

static void broken_objects_are_told_apart(void **state)
{
	struct fixture f;
	struct err err = ERR_INIT;
	git_odb *odb = NULL;
	git_oid oid;
	(void)state;
	fixture_begin(&f);
	struct git_folder *folder = git_folder_new(f.repo);
	assert_int_equal(git_repository_odb(&odb, f.repo), 0);

	memset(oid.id, 7, sizeof(oid.id));
	assert_int_equal(git_folder_step(folder, &oid, hear, NULL, &err), -1);
	assert_int_equal(err.code, ERR_FAIL); /* missing: nothing can be said */
	assert_int_equal(git_odb_write(&oid, odb, "blob", 4, GIT_OBJECT_BLOB), 0);
	assert_int_equal(git_folder_step(folder, &oid, hear, NULL, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	const struct buf cut[] = {{"100644 a", 8, 0},
	                          {"100644 a\0short", 14, 0},
	                          {" a\0"
	                           "12345678901234567890",
	                           23, 0},
	                          {"99 a\0"
	                           "12345678901234567890",
	                           25, 0}};
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(git_odb_write(&oid, odb, cut[i].data, cut[i].len, GIT_OBJECT_TREE), 0);
		assert_int_equal(git_folder_step(folder, &oid, hear, NULL, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	err_clear(&err);
	git_odb_free(odb);
	git_folder_free(folder);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(says_what_the_oracle_says),
	    cmocka_unit_test(finds_one_of_many),
	    cmocka_unit_test(no_folder_is_an_empty_one),
	    cmocka_unit_test(broken_objects_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
