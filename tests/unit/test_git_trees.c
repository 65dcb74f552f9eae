/*
 * Repositories that no program of git would write: THREATS 12 to 16. Each is built by hand, read by what the dispatcher reads with, and put in front of the
 * git role, where it must be seen: as a poll that fails, an action that waits, or one that is refused; its neighbours go on.
 */
#include "tests/unit/git_house.h"
#include "tests/unit/git_raw.h"

#include "vault/action.h"
#include "vault/ops/ops.h"

#include <sys/resource.h>
#include <zlib.h>

#define ACTION(id, secrets) "{\"id\": \"" id "\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": [" secrets "]}"
#define OTHER_ACTION "{\"id\": \"a\", \"formula\": \"f\", \"context\": \"not what was shown\", \"secrets\": []}"

/* A site with one action, which wants a secret, and whose landing is `parent` of what the test writes. */
struct place {
	git_oid parent, good, other, folder;
};

static struct place begin(struct house *h)
{
	struct place p;
	land_basics(h);
	p.parent = land(h->f.repo, "vault/actions/a.json", ACTION("a", "\"KEY\""));
	p.good = write_bytes(h->f.repo, ACTION("a", ""), strlen(ACTION("a", "")), GIT_OBJECT_BLOB);
	p.other = write_bytes(h->f.repo, OTHER_ACTION, strlen(OTHER_ACTION), GIT_OBJECT_BLOB);
	p.folder = write_bytes(h->f.repo, "", 0, GIT_OBJECT_TREE);
	return p;
}

/* A tree with these entries ("100644 name"), in this order; the first holds the good action, the second the other one. */
static git_oid tree_of(struct house *h, const struct place *p, const char *first, const char *second)
{
	cleanup_buf struct buf tree = BUF_INIT;
	raw_entry(&tree, first, strncmp(first, "40000", 5) == 0 ? &p->folder : &p->good);
	if (second)
		raw_entry(&tree, second, strncmp(second, "40000", 5) == 0 ? &p->folder : &p->other);
	return write_object(h->f.repo, &tree, GIT_OBJECT_TREE);
}

static int note_id(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	(void)before;
	(void)err;
	buf_addf(arg, "%s ", now->id);
	return 0;
}

struct malformed {
	const char *first, *second, *words;
};

/* Nothing in a malformed folder is believed, by whichever door it is entered. */
static void expect_disbelief(git_repository *repo, const git_oid *commit, const struct malformed *m)
{
	cleanup_buf struct buf out = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	struct ops_item item;
	struct ops_landing l = {.id = "a"};
	git_filemode_t mode;
	git_oid oid;

	if (ops_scan(repo, NULL, commit, note_id, &out, &err) == 0)
		fail_msg("'%s', '%s' was scanned: %s", m->first, m->second ? m->second : "", out.data);
	assert_int_equal(err.code, ERR_INVALID);
	if (!strstr(err_msg(&err), m->words) || !strstr(err_msg(&err), "vault/actions"))
		fail_msg("'%s', '%s': %s", m->first, m->second ? m->second : "", err_msg(&err));
	assert_string_equal(out.data, "");
	assert_int_equal(ops_item(repo, commit, "a", &item, NULL), -1);
	assert_int_equal(git_repo_entry(repo, commit, "vault/actions/a.json", &oid, &mode, NULL), -1);
	assert_int_equal(ops_read_action(repo, commit, commit, "a", &a, NULL), -1);
	assert_int_equal(ops_landings(repo, commit, &l, 1, NULL), -1);
}

/* The role says so, tells core of nothing in it, and goes on once it is mended, by the commit that is returned. */
static git_oid expect_frozen(struct house *h, const git_oid *commit, const git_oid *parent, const char *words)
{
	cleanup_json json_t *all = json_array();
	set_ref(h->f.repo, "refs/heads/main", commit);
	cleanup_free char *got = poll_for(h, all);
	assert_string_equal(got, "polled no\n");
	const char *reason = str(json_array_get(all, 0), "reason");
	if (!strstr(reason, words))
		fail_msg("'%s' lacks '%s'", reason, words);
	git_oid mended = commit_on(h->f.repo, parent, &(struct git_change){"README.md", words, strlen(words)}, 1, "mend");
	set_ref(h->f.repo, "refs/heads/main", &mended);
	expect_poll(h, "polled yes\n");
	if (h->frozen) { /* it had been fetched, and is no part of what stands there now */
		send_msg(h, msg_new(MSG_DECIDE, "{s:i, s:s}", "ask", 1, "what", "history"));
		json_decref(next(h));
		cleanup_free char *accepted = until_polled(h, NULL);
		assert_string_equal(accepted, "polled yes\n");
	}
	return mended;
}

static void run_malformed(struct house *h, const struct malformed *v, size_t n)
{
	struct place p = begin(h);
	expect_first(h, "landed a\npolled yes\n");
	for (size_t i = 0; i < n; i++) {
		git_oid tree = tree_of(h, &p, v[i].first, v[i].second);
		git_oid commit = commit_folder(h->f.repo, &p.parent, "actions", &tree);
		expect_disbelief(h->f.repo, &commit, &v[i]);
		p.parent = expect_frozen(h, &commit, &p.parent, v[i].words);
	}
}

/* git shows the first of two, libgit2 finds the other. guard: git_tree_check in lib/git_repo.c */
static void test_threat_12_duplicate_entries(void **state)
{
	static const struct malformed cases[] = {
	    {"100644 a.json", "100644 a.json", "is there twice"},
	    {"100644 a.json", "100755 a.json", "is there twice"},
	    {"100644 a.json", "40000 a.json", "is there twice"},
	    {"100644 a.json", "120000 a.json", "is there twice"},
	};
	struct house *h = *state;
	run_malformed(h, cases, sizeof(cases) / sizeof(*cases));
}

/* A file and a folder of one name need not be neighbours. guard: file_of_same_name in lib/git_repo.c */
static void test_threat_12_duplicates_that_are_no_neighbours(void **state)
{
	struct house *h = *state;
	cleanup_buf struct buf tree = BUF_INIT;
	const struct malformed m = {"a", "a-b, a/", "is there twice"};
	struct place p = begin(h);
	expect_first(h, "landed a\npolled yes\n");
	raw_entry(&tree, "100644 a", &p.good);
	raw_entry(&tree, "100644 a-b", &p.good);
	raw_entry(&tree, "40000 a", &p.folder);
	git_oid oid = write_object(h->f.repo, &tree, GIT_OBJECT_TREE);
	git_oid commit = commit_folder(h->f.repo, &p.parent, "actions", &oid);
	expect_disbelief(h->f.repo, &commit, &m);
	expect_frozen(h, &commit, &p.parent, m.words);
}

/*
 * In formulas or secrets they hold what wants a file from there, and nothing else. guard: git_tree_check, called for each tree on the way by checked_tree in
 * lib/git_repo.c
 */
static void test_threat_12_duplicates_in_other_folders(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	struct place p = begin(h);
	git_oid tree = tree_of(h, &p, "100644 KEY.age", "100644 KEY.age");
	git_oid commit = commit_folder(h->f.repo, &p.parent, "secrets", &tree);
	set_ref(h->f.repo, "refs/heads/main", &commit);
	land(h->f.repo, "vault/actions/b.json", ACTION("b", ""));
	start(h);
	cleanup_free char *got = until_polled(h, all);
	assert_string_equal(got, "landed a wait\nlanded b\npolled yes\n");
	assert_string_equal(str(json_array_get(all, 0), "wait"),
	                    "vault/secrets/KEY.age: vault/secrets: malformed tree: entry 1 'KEY.age' is there twice");
	assert_non_null(strstr(json_string_value(json_array_get(json_object_get(json_array_get(all, 2), "notes"), 0)), "vault/secrets"));

	git_oid tip, formulas = tree_of(h, &p, "100644 f.yaml", "100644 f.yaml");
	assert_int_equal(git_reference_name_to_id(&tip, h->f.repo, "refs/heads/main"), 0);
	commit = commit_folder(h->f.repo, &tip, "formulas", &formulas);
	set_ref(h->f.repo, "refs/heads/main", &commit);
	land(h->f.repo, "vault/actions/c.json", ACTION("c", ""));
	expect_poll(h, "landed c wait\npolled yes\n");
}

/* Two folders "actions", or two "vault": the one above freezes all. guard: checked_tree in lib/git_repo.c */
static void test_threat_12_duplicate_folders_on_the_way(void **state)
{
	struct house *h = *state;
	cleanup_buf struct buf vault = BUF_INIT;
	cleanup_buf struct buf root = BUF_INIT;
	cleanup_buf struct buf commit = BUF_INIT;
	struct place p = begin(h);
	expect_first(h, "landed a\npolled yes\n");
	git_oid one = tree_of(h, &p, "100644 a.json", NULL), two = tree_of(h, &p, "100644 b.json", NULL);
	raw_entry(&vault, "40000 actions", &one);
	raw_entry(&vault, "40000 actions", &two);
	git_oid oid = write_object(h->f.repo, &vault, GIT_OBJECT_TREE);
	raw_entry(&root, "40000 vault", &oid);
	oid = write_object(h->f.repo, &root, GIT_OBJECT_TREE);
	buf_addf(&commit, "tree %s\n", git_oid_tostr_s(&oid));
	buf_addf(&commit, "parent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n", git_oid_tostr_s(&p.parent));
	oid = write_object(h->f.repo, &commit, GIT_OBJECT_COMMIT);
	expect_frozen(h, &oid, &p.parent, "vault: malformed tree: entry 1 'actions' is there twice");
}

/* Lookups miss entries that a listing shows. guard: compare_entries, asked by git_tree_check in lib/git_repo.c */
static void test_threat_13_unsorted_trees(void **state)
{
	static const struct malformed cases[] = {
	    {"100644 b.json", "100644 a.json", "is out of order"},
	    {"100644 a.result.json", "100644 a.json", "is out of order"}, /* hides that it has a result */
	    {"40000 a.json", "100644 a.json", "is out of order"},
	    {"40000 a", "100644 a.json", "is out of order"},
	};
	struct house *h = *state;
	run_malformed(h, cases, sizeof(cases) / sizeof(*cases));
}

/* guard: entry_fault in lib/git_repo.c; what libgit2 can't parse at all is malformed by checked_tree */
static void test_threat_13_forbidden_names(void **state)
{
	static const struct malformed cases[] = {
	    {"100644 .", NULL, "a name that git forbids"},
	    {"100644 ..", NULL, "a name that git forbids"},
	    {"40000 .git", NULL, "a name that git forbids"},
	    {"40000 .GIT", NULL, "a name that git forbids"},
	    {"100644 ../a.json", NULL, "a '/' in its name"},
	    {"100644 x/a.json", NULL, "a '/' in its name"},
	    {"100644 /etc/passwd", NULL, "a '/' in its name"},
	    {"100644 ", NULL, ""},
	    {"100644 a.json", "40000 ..", "a name that git forbids"},
	    {"40000 ..", "100644 a.json", "a name that git forbids"},
	    {"100666 a.json", NULL, "a file mode"},
	    {"777 a.json", NULL, "a file mode"},
	    {"x", NULL, ""},
	};
	struct house *h = *state;
	run_malformed(h, cases, sizeof(cases) / sizeof(*cases));
}

/*
 * git allows control bytes and worse in names. Such a file runs nothing, is listed, and stands in nobody's way. guard: vault_file_kind in vault/name.c, and clean
 * JSON in ops_misnamed
 */
static void test_threat_13_control_bytes_in_names(void **state)
{
	static const char *const names[] = {"a\x01.json",         "a\n.json", "a\x1b[2J.json", "a\xff.json",
	                                    "a\xe2\x80\xae.json", " a.json",  "a.json "};
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	begin(h);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		cleanup_free char *path = xasprintf("vault/actions/%s", names[i]);
		land(h->f.repo, path, ACTION("x", ""));
	}
	start(h);
	cleanup_free char *got = until_polled(h, all);
	assert_string_equal(got, "landed a\npolled yes\n");
	const json_t *misnamed = json_object_get(json_array_get(all, 1), "misnamed");
	assert_int_equal(json_array_size(misnamed), sizeof(names) / sizeof(*names));
	cleanup_free char *text = json_dumps(misnamed, JSON_COMPACT | JSON_ENSURE_ASCII);
	assert_non_null(strstr(text, "\"vault/actions/a\\u001B[2J.json\""));
	assert_non_null(strstr(text, "\"vault/actions: a name that is not UTF-8\""));
}

/* guard: mode_fault in vault/ops/ops_read.c */
static void test_threat_14_no_plain_files(void **state)
{
	static const struct {
		const char *entry, *fault;
	} cases[] = {{"120000 a.json", "is a symbolic link"},
	             {"100755 a.json", "is executable"},
	             {"160000 a.json", "is a submodule"},
	             {"40000 a.json", "is a folder"}};
	struct house *h = *state;
	struct place p = begin(h);
	expect_first(h, "landed a\npolled yes\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cleanup_json json_t *all = json_array();
		cleanup_free char *neighbour = xasprintf("100644 n%zu.json", i),
		                  *want = xasprintf("landed a refuse\nlanded n%zu refuse\npolled yes\n", i);
		cleanup_free char *reason = xasprintf("vault/actions/a.json: %s; it must be a plain file", cases[i].fault);
		git_oid tree = tree_of(h, &p, cases[i].entry, neighbour);
		git_oid commit = commit_folder(h->f.repo, &p.parent, "actions", &tree);
		set_ref(h->f.repo, "refs/heads/main", &commit);
		stop(h);
		forget_tip(h);
		start(h);
		cleanup_free char *got = until_polled(h, all);
		assert_string_equal(got, want); /* the neighbour has the wrong id in its text, and is judged for that alone */
		assert_string_equal(str(json_array_get(all, 0), "refuse"), reason);
		assert_non_null(strstr(str(json_array_get(all, 1), "refuse"), "json: id"));
	}
}

/* In place of a formula, a secret, a cancel, a result. guard: mode_fault in vault/ops/ops_read.c; on_change in dispatcher/git/announce.c asks only whether they are there */
static void test_threat_14_in_other_places(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	struct place p = begin(h);
	cleanup_buf struct buf actions = BUF_INIT;
	git_oid with_key = write_bytes(h->f.repo, ACTION("a", "\"KEY\""), strlen(ACTION("a", "\"KEY\"")), GIT_OBJECT_BLOB);
	git_oid of_b = write_bytes(h->f.repo, ACTION("b", ""), strlen(ACTION("b", "")), GIT_OBJECT_BLOB);
	raw_entry(&actions, "100644 a.json", &with_key);
	raw_entry(&actions, "120000 b.cancel.json", &p.other); /* whatever it is, somebody wants it cancelled */
	raw_entry(&actions, "100644 b.json", &of_b);
	raw_entry(&actions, "100644 c.json", &of_b);
	raw_entry(&actions, "160000 c.result.json", &p.parent); /* whatever it is, the id is taken */
	git_oid tree = write_object(h->f.repo, &actions, GIT_OBJECT_TREE);
	git_oid commit = commit_folder(h->f.repo, &p.parent, "actions", &tree);
	tree = tree_of(h, &p, "120000 KEY.age", NULL);
	commit = commit_folder(h->f.repo, &commit, "secrets", &tree);
	set_ref(h->f.repo, "refs/heads/main", &commit);
	start(h);
	cleanup_free char *got = until_polled(h, all);
	assert_string_equal(got, "cancel b\nlanded a refuse\nlanded b\npolled yes\n");
	assert_string_equal(str(json_array_get(all, 1), "refuse"), "vault/secrets/KEY.age: is a symbolic link; it must be a plain file");
	stop(h);

	forget_tip(h);
	tree = tree_of(h, &p, "40000 f.yaml", NULL);
	commit = commit_folder(h->f.repo, &p.parent, "formulas", &tree);
	set_ref(h->f.repo, "refs/heads/main", &commit);
	land(h->f.repo, "vault/actions/d.json", ACTION("d", ""));
	json_array_clear(all);
	start(h);
	cleanup_free char *then = until_polled(h, all);
	assert_string_equal(then, "landed a\nlanded d refuse\npolled yes\n"); /* a uses the formula as it was when a landed */
	assert_string_equal(str(json_array_get(all, 1), "refuse"), "vault/formulas/f.yaml: is a folder; it must be a plain file");
}

/* ---- size ---- */

/* A loose object as bytes on the disk: what it claims to be, and what it holds. */
static void write_loose(const char *repo_path, const git_oid *oid, const char *header, const char *content, size_t len)
{
	const char *hex = git_oid_tostr_s(oid);
	cleanup_free char *dir = xasprintf("%s/objects/%.2s", repo_path, hex), *path = xasprintf("%s/%s", dir, hex + 2);
	cleanup_buf struct buf raw = BUF_INIT;
	buf_add(&raw, header, strlen(header) + 1);
	buf_add(&raw, content, len);
	uLongf size = compressBound(raw.len);
	cleanup_free char *packed = xmalloc(size);
	struct err err = ERR_INIT;
	assert_int_equal(compress((Bytef *)packed, &size, (const Bytef *)raw.data, raw.len), Z_OK);
	mkdir(dir, 0755);
	unlink(path);
	assert_ok(file_write(path, packed, size, 0644, &err), &err);
}

static void remove_loose(const char *repo_path, const git_oid *oid)
{
	const char *hex = git_oid_tostr_s(oid);
	cleanup_free char *path = xasprintf("%s/objects/%.2s/%s", repo_path, hex, hex + 2);
	assert_int_equal(unlink(path), 0);
}

static void read_again(struct house *h, const git_oid *tip, struct ops_action *ret, struct err *err)
{
	git_repository *fresh = NULL;
	assert_int_equal(git_repository_open_bare(&fresh, h->f.repo_path), 0);
	ops_action_free(ret);
	err_clear(err);
	if (ops_read_action(fresh, tip, tip, "a", ret, err) == 0)
		assert_false(err->code);
	git_repository_free(fresh);
}

/* Nothing of it is read, so it need not even be there. guard: the comparison with git_odb_read_header's size in git_repo_blob, lib/git_repo.c */
static void test_threat_15_a_blob_of_2_gib(void **state)
{
	static const char *const paths[] = {"vault/actions/a.json", "vault/formulas/f.yaml", "vault/secrets/KEY.age"};
	static const char *const most[] = {"65536", "262144", "131072"};
	struct house *h = *state;
	struct place p = begin(h);
	for (size_t i = 0; i < 3; i++) {
		cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
		cleanup_err struct err err = ERR_INIT;
		git_oid oid;
		git_filemode_t mode;
		assert_ok(git_repo_entry(h->f.repo, &p.parent, paths[i], &oid, &mode, &err), &err);
		write_loose(h->f.repo_path, &oid, "blob 2147483648", "x", 1);
		read_again(h, &p.parent, &a, &err);
		assert_int_equal(err.code, 0);
		cleanup_free char *want = xasprintf("%s: it has 2147483648 bytes; at most %s are allowed", paths[i], most[i]);
		assert_string_equal(a.refuse ? a.refuse : "no refusal", want);
		remove_loose(h->f.repo_path, &oid);
		git_oid back = i == 0   ? write_bytes(h->f.repo, ACTION("a", "\"KEY\""), strlen(ACTION("a", "\"KEY\"")), GIT_OBJECT_BLOB)
		               : i == 1 ? write_bytes(h->f.repo, "name: f", 7, GIT_OBJECT_BLOB)
		                        : write_bytes(h->f.repo, "ciphertext", 10, GIT_OBJECT_BLOB);
		assert_true(git_oid_equal(&back, &oid));
	}
}

/* Through the role: a large one is fetched, refused by its size, and its neighbour lands. guard: as above */
static void test_threat_15_a_large_blob_and_its_neighbour(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	size_t size = (size_t)64 << 20;
	cleanup_free char *large = xmalloc(size + 1);
	memset(large, ' ', size);
	large[size] = '\0';
	land_basics(h);
	land(h->f.repo, "vault/actions/large.json", large);
	land(h->f.repo, "vault/actions/small.json", ACTION("small", ""));
	start(h);
	cleanup_free char *got = until_polled(h, all);
	assert_string_equal(got, "landed large refuse\nlanded small\npolled yes\n");
	assert_string_equal(str(json_array_get(all, 0), "refuse"),
	                    "vault/actions/large.json: it has 67108864 bytes; at most 65536 are allowed");
	assert_true(json_is_null(json_object_get(json_array_get(all, 0), "action")));
}

/* guard: MISNAMED_MAX in dispatcher/git/announce.c; ops_scan_trees goes once over the folder */
static void test_threat_15_a_million_entries(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	cleanup_buf struct buf tree = BUF_INIT;
	struct place p = begin(h);
	raw_entry(&tree, "100644 a.json", &p.good);
	for (int i = 0; i < 1000000; i++) {
		char head[32];
		snprintf(head, sizeof(head), "100644 n%07d.txt", i);
		raw_entry(&tree, head, &p.other);
	}
	git_oid oid = write_object(h->f.repo, &tree, GIT_OBJECT_TREE);
	git_oid commit = commit_folder(h->f.repo, &p.parent, "actions", &oid);
	set_ref(h->f.repo, "refs/heads/main", &commit);
	start(h);
	cleanup_free char *got = until_polled(h, all);
	assert_string_equal(got, "landed a\npolled yes\n");
	assert_int_equal(json_array_size(json_object_get(json_array_get(all, 1), "misnamed")), 100);
	land(h->f.repo, "README.md", "x");
	expect_poll(h, "polled yes\n");
}

/* ---- objects that are not there, or not what they were ---- */

/* guard: BROKEN in read_file of vault/ops/ops_read.c; ERR_FAIL of checked_tree in lib/git_repo.c */
static void test_threat_15_a_missing_object_is_not_an_absent_file(void **state)
{
	static const char *const paths[] = {"vault",
	                                    "vault/actions",
	                                    "vault/formulas",
	                                    "vault/secrets",
	                                    "vault/actions/a.json",
	                                    "vault/formulas/f.yaml",
	                                    "vault/secrets/KEY.age"};
	struct house *h = *state;
	struct place p = begin(h);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
		cleanup_err struct err err = ERR_INIT;
		cleanup_free char *hex = xasprintf("%s:%s", git_oid_tostr_s(&p.parent), paths[i]);
		git_object *object = NULL;
		assert_int_equal(git_revparse_single(&object, h->f.repo, hex), 0);
		git_oid oid = *git_object_id(object);
		git_object_free(object);
		cleanup_free char *from = xasprintf("%s/objects/%.2s/%s", h->f.repo_path, git_oid_tostr_s(&oid), git_oid_tostr_s(&oid) + 2);
		cleanup_free char *to = xasprintf("%s/kept", h->f.dir);
		assert_int_equal(rename(from, to), 0);
		read_again(h, &p.parent, &a, &err);
		if (a.refuse || a.wait || !err.code || err.code == ERR_INVALID)
			fail_msg("%s: %s", paths[i], a.refuse ? a.refuse : a.wait ? a.wait : err_msg(&err));
		assert_int_equal(rename(to, from), 0);
		read_again(h, &p.parent, &a, &err);
		assert_null(a.refuse);
		assert_int_equal(err.code, 0);
	}
}

/* Bytes that don't hash to their name. guard: libgit2's strict hash verification, which nobody may turn off; BROKEN in vault/ops/ops_read.c */
static void test_threat_15_a_corrupt_object_is_not_believed(void **state)
{
	struct house *h = *state;
	struct place p = begin(h);
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	cleanup_err struct err err = ERR_INIT;
	git_oid oid;
	git_filemode_t mode;
	assert_ok(git_repo_entry(h->f.repo, &p.parent, "vault/actions/a.json", &oid, &mode, &err), &err);
	cleanup_free char *header = xasprintf("blob %zu", strlen(OTHER_ACTION));
	write_loose(h->f.repo_path, &oid, header, OTHER_ACTION, strlen(OTHER_ACTION));
	read_again(h, &p.parent, &a, &err);
	assert_null(a.text);
	assert_null(a.refuse);
	assert_int_equal(err.code, ERR_FAIL);
	cleanup_free char *path = xasprintf("%s/objects/%.2s/%s", h->f.repo_path, git_oid_tostr_s(&oid), git_oid_tostr_s(&oid) + 2);
	assert_int_equal(truncate(path, 5), 0);
	read_again(h, &p.parent, &a, &err);
	assert_null(a.text);
	assert_null(a.refuse);
	assert_true(err.code != 0 && err.code != ERR_INVALID);
}

/* On the server: the poll fails and says so; nothing is taken for removed, and it goes on when the object is back. guard: find_tips in dispatcher/git/poll.c ends a poll with its fetch */
static void test_threat_15_a_server_that_lacks_an_object(void **state)
{
	struct house *h = *state;
	land_basics(h);
	land_action(h, "a", "");
	expect_first(h, "landed a\npolled yes\n");
	git_oid blob;
	git_filemode_t mode;
	git_oid tip = land_action(h, "b", "");
	assert_int_equal(git_repo_entry(h->f.repo, &tip, "vault/actions/b.json", &blob, &mode, NULL), 0);
	remove_loose(h->f.repo_path, &blob);
	expect_poll(h, "polled no\n");
	expect_poll(h, "polled no\n");
	const char *text = "{\"id\": \"b\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}";
	cleanup_free char *header = xasprintf("blob %zu", strlen(text));
	write_loose(h->f.repo_path, &blob, header, text, strlen(text));
	expect_poll(h, "landed b\npolled yes\n");
}

/* ---- packs ---- */

#define PACKS 300

static void pack_alone(struct house *h, const git_oid *oid)
{
	git_packbuilder *builder = NULL;
	assert_int_equal(git_packbuilder_new(&builder, h->f.repo), 0);
	assert_int_equal(git_packbuilder_insert(builder, oid, NULL), 0);
	assert_int_equal(git_packbuilder_write(builder, NULL, 0, NULL, NULL), 0);
	git_packbuilder_free(builder);
	remove_loose(h->f.repo_path, oid);
}

/* In a process with few descriptors: 0: all actions were read; 1: one could not be, and that was said; 2: one was taken for absent. */
static int read_with(struct house *h, const git_oid *tip, rlim_t files)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		git_repository *repo = NULL;
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){files, files});
		if (git_repository_open_bare(&repo, h->f.repo_path) < 0)
			_exit(1);
		for (int i = 0; i < PACKS; i++) {
			struct ops_action a = OPS_ACTION_INIT;
			char id[16];
			snprintf(id, sizeof(id), "p%03d", i);
			if (ops_read_action(repo, tip, tip, id, &a, NULL) < 0)
				_exit(1);
			if (a.refuse || a.wait)
				_exit(2);
			ops_action_free(&a);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * An object in a pack that can't be opened is reported as not found. guard: GIT_OPT_SET_MWINDOW_FILE_LIMIT in lib/git_remote.c, and BROKEN in vault/ops/ops_read.c, by which
 * an object that is missing is never a file that is absent
 */
static void test_threat_16_many_packs_few_descriptors(void **state)
{
	struct house *h = *state;
	struct place p = begin(h);
	cleanup_buf struct buf tree = BUF_INIT;
	for (int i = 0; i < PACKS; i++) {
		char head[32];
		cleanup_free char *text = xasprintf("{\"id\": \"p%03d\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}", i);
		git_oid blob = write_bytes(h->f.repo, text, strlen(text), GIT_OBJECT_BLOB);
		snprintf(head, sizeof(head), "100644 p%03d.json", i);
		raw_entry(&tree, head, &blob);
		pack_alone(h, &blob);
	}
	git_oid oid = write_object(h->f.repo, &tree, GIT_OBJECT_TREE);
	git_oid tip = commit_folder(h->f.repo, &p.parent, "actions", &oid);
	assert_int_equal(read_with(h, &tip, 200), 0);
	assert_in_range(read_with(h, &tip, 24), 0, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_threat_12_duplicate_entries),
	    T(test_threat_12_duplicates_that_are_no_neighbours),
	    T(test_threat_12_duplicates_in_other_folders),
	    T(test_threat_12_duplicate_folders_on_the_way),
	    T(test_threat_13_unsorted_trees),
	    T(test_threat_13_forbidden_names),
	    T(test_threat_13_control_bytes_in_names),
	    T(test_threat_14_no_plain_files),
	    T(test_threat_14_in_other_places),
	    T(test_threat_15_a_blob_of_2_gib),
	    T(test_threat_15_a_large_blob_and_its_neighbour),
	    T(test_threat_15_a_million_entries),
	    T(test_threat_15_a_missing_object_is_not_an_absent_file),
	    T(test_threat_15_a_corrupt_object_is_not_believed),
	    T(test_threat_15_a_server_that_lacks_an_object),
	    T(test_threat_16_many_packs_few_descriptors),
	};
	return cmocka_run_group_tests_name("git_trees", tests, NULL, NULL);
}
