/* What stands in the ops repo at a commit, and what its history says. */
#include "tests/unit/git_raw.h"

#include "vault/formula.h"
#include "vault/ops/ops.h"

#include <dirent.h>

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	fixture_begin(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_end(*state);
	free(*state);
	return 0;
}

static int write_change(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	(void)err;
	assert_string_equal(before->id, now->id);
	const struct ops_file *files[] = {&before->action, &before->result, &before->cancel, &now->action, &now->result, &now->cancel};
	buf_addf(arg, "%s ", now->id);
	for (int i = 0; i < 6; i++)
		buf_addc(arg, files[i]->there ? "arcARC"[i] : '-');
	buf_addc(arg, '\n');
	return 0;
}

static char *scan(git_repository *repo, const git_oid *old, const git_oid *now)
{
	struct err err = ERR_INIT;
	struct buf out = BUF_INIT;
	assert_ok(ops_scan(repo, old, now, write_change, &out, &err), &err);
	return buf_steal(&out);
}

static void expect_scan(git_repository *repo, const git_oid *old, const git_oid *now, const char *want)
{
	cleanup_free char *got = scan(repo, old, now);
	assert_string_equal(got, want);
}

static void test_scan(void **state)
{
	struct fixture *f = *state;
	git_oid none = land(f->repo, "README.md", "x");
	expect_scan(f->repo, NULL, &none, "");
	land(f->repo, "vault/actions/a.json", "1");
	land(f->repo, "vault/actions/.gitkeep", "");
	land(f->repo, "vault/actions/a.other.json", "misnamed, between files of a");
	land(f->repo, "vault/actions/a.result.json", "r");
	land(f->repo, "vault/actions/a-b.json", "2");
	git_oid one = land(f->repo, "vault/actions/c.cancel.json", "{}");
	expect_scan(f->repo, NULL, &one, "a-b ---A--\na ---AR-\nc -----C\n");
	expect_scan(f->repo, &none, &one, "a-b ---A--\na ---AR-\nc -----C\n");
	expect_scan(f->repo, &one, &none, "a-b a-----\na ar----\nc --c---\n");
	expect_scan(f->repo, &one, &one, "");
	git_oid elsewhere = land(f->repo, "vault/formulas/x.yaml", "x");
	expect_scan(f->repo, &one, &elsewhere, "");
	git_oid cancelled = land(f->repo, "vault/actions/a.cancel.json", "{}");
	expect_scan(f->repo, &one, &cancelled, "a ar-ARC\n");
	git_oid edited = land(f->repo, "vault/actions/a-b.json", "3");
	expect_scan(f->repo, &cancelled, &edited, "a-b a--A--\n");
	land(f->repo, "vault/actions/a.result.json", NULL);
	git_oid removed = land(f->repo, "vault/actions/a.json", NULL);
	expect_scan(f->repo, &edited, &removed, "a arc--C\n");
}

/* Against the obvious way: every id of either side, looked up one by one. */
static void test_scan_random(void **state)
{
	struct fixture *f = *state;
	static const char *const ids[] = {"a", "a-a", "a0", "a_", "aa", "b", "b-", "b-0", "c"};
	static const char *const order[] = {"a-a", "a", "a0", "a_", "aa", "b-", "b-0", "b", "c"};
	static const char *const suffix[] = {"json", "result.json", "cancel.json", "odd.json"};
	struct err err = ERR_INIT;
	unsigned seed = 7;
	git_oid old = land(f->repo, "vault/actions/.gitkeep", "");

	for (int round = 0; round < 150; round++) {
		struct git_change changes[6];
		char paths[6][64];
		size_t n = 0;
		for (int i = 0; i < 6; i++) {
			git_oid oid;
			git_filemode_t mode;
			snprintf(paths[n], sizeof(paths[n]), "vault/actions/%s.%s", ids[(unsigned)rand_r(&seed) % 9],
			         suffix[(unsigned)rand_r(&seed) % 4]);
			bool again = false;
			for (size_t j = 0; j < n; j++)
				again = again || strcmp(paths[j], paths[n]) == 0;
			bool there = git_repo_entry(f->repo, &old, paths[n], &oid, &mode, NULL) == 0;
			if (again)
				continue;
			changes[n] = (struct git_change){paths[n], there && rand_r(&seed) % 2 ? NULL : rand_r(&seed) % 2 ? "x" : "y", 1};
			n++;
		}
		git_oid now = commit_on(f->repo, &old, changes, n, "random");
		cleanup_buf struct buf want = BUF_INIT;
		for (int i = 0; i < 9; i++) {
			struct ops_item a, b;
			assert_ok(ops_item(f->repo, &old, order[i], &a, &err), &err);
			assert_ok(ops_item(f->repo, &now, order[i], &b, &err), &err);
			const struct ops_file *x[] = {&a.action, &a.result, &a.cancel}, *y[] = {&b.action, &b.result, &b.cancel};
			bool differs = false;
			for (int k = 0; k < 3; k++)
				differs = differs || x[k]->there != y[k]->there || (x[k]->there && !git_oid_equal(&x[k]->oid, &y[k]->oid));
			if (differs)
				write_change(&a, &b, &want, NULL);
		}
		expect_scan(f->repo, &old, &now, want.data);
		old = now;
	}
}

/* A commit whose vault/actions is this tree. */
static git_oid commit_actions(git_repository *repo, const git_oid *actions)
{
	cleanup_buf struct buf vault = BUF_INIT;
	cleanup_buf struct buf root = BUF_INIT;
	cleanup_buf struct buf commit = BUF_INIT;
	raw_entry(&vault, "40000 actions", actions);
	git_oid oid = write_object(repo, &vault, GIT_OBJECT_TREE);
	raw_entry(&root, "40000 vault", &oid);
	oid = write_object(repo, &root, GIT_OBJECT_TREE);
	buf_addf(&commit, "tree %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n", git_oid_tostr_s(&oid));
	return write_object(repo, &commit, GIT_OBJECT_COMMIT);
}

static void test_malformed_trees(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *first, *second, *words;
	} cases[] = {
	    {"100644 a.json", "100644 a.json", "is there twice"},
	    {"100644 b.json", "100644 a.json", "is out of order"},
	    {"100644 a", "40000 a", "is there twice"},
	    {"40000 a.json", "100644 a.json", "is out of order"},
	    {"100644 ..", NULL, "a name that git forbids"},
	    {"40000 .GIT", NULL, "a name that git forbids"},
	    {"100644 a/b.json", NULL, "a '/' in its name"},
	    {"100666 a.json", NULL, "a file mode"},
	    {"100644 ", NULL, ""},
	    {"x", NULL, ""},
	};
	cleanup_buf struct buf nothing = BUF_INIT;
	git_oid blob = write_object(f->repo, &nothing, GIT_OBJECT_BLOB), none = write_object(f->repo, &nothing, GIT_OBJECT_TREE);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cleanup_buf struct buf tree = BUF_INIT;
		cleanup_buf struct buf out = BUF_INIT;
		cleanup_err struct err err = ERR_INIT;
		struct ops_item item;
		raw_entry(&tree, cases[i].first, strncmp(cases[i].first, "40000", 5) == 0 ? &none : &blob);
		if (cases[i].second)
			raw_entry(&tree, cases[i].second, strncmp(cases[i].second, "40000", 5) == 0 ? &none : &blob);
		git_oid oid = write_object(f->repo, &tree, GIT_OBJECT_TREE);
		git_oid commit = commit_actions(f->repo, &oid);
		if (ops_scan(f->repo, NULL, &commit, write_change, &out, &err) == 0)
			fail_msg("case %zu was scanned: %s", i, out.data);
		assert_int_equal(err.code, ERR_INVALID);
		if (!strstr(err_msg(&err), cases[i].words) || !strstr(err_msg(&err), "vault/actions"))
			fail_msg("case %zu: %s", i, err_msg(&err));
		assert_string_equal(out.data, "");
		assert_int_equal(ops_item(f->repo, &commit, "a", &item, NULL), -1);
	}
	cleanup_err struct err err = ERR_INIT;
	git_oid file = land(f->repo, "vault/actions", "a file");
	assert_int_equal(ops_scan(f->repo, NULL, &file, write_change, NULL, &err), -1);
	assert_string_equal(err_msg(&err), "vault/actions is not a folder");
}

/* An object that is missing is trouble with the clone, never "nothing stands there". */
static void test_missing_object(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	git_oid absent;
	cleanup_buf struct buf out = BUF_INIT;
	git_oid_fromstr(&absent, "0123456789012345678901234567890123456789");
	git_oid commit = commit_actions(f->repo, &absent);
	assert_int_equal(ops_scan(f->repo, NULL, &commit, write_change, &out, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
}

static void test_misnamed(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_json json_t *list = json_array();
	land(f->repo, "vault/actions/good.json", "");
	land(f->repo, "vault/actions/Bad.json", "");
	land(f->repo, "vault/actions/x.result.result.json", "");
	land(f->repo, "vault/formulas/good.yaml", "");
	land(f->repo, "vault/formulas/bad.yml", "");
	land(f->repo, "vault/secrets/.gitkeep", "");
	land(f->repo, "vault/secrets/GOOD.age", "");
	git_oid tip = land(f->repo, "vault/secrets/bad.age", "");
	assert_ok(ops_misnamed(f->repo, &tip, 10, list, &err), &err);
	cleanup_free char *text = json_dumps(list, JSON_COMPACT);
	assert_string_equal(
	    text,
	    "[\"vault/actions/Bad.json\",\"vault/actions/x.result.result.json\",\"vault/formulas/bad.yml\",\"vault/secrets/bad.age\"]");
	json_array_clear(list);
	assert_ok(ops_misnamed(f->repo, &tip, 2, list, &err), &err);
	assert_int_equal(json_array_size(list), 2);
}

#define ACTION(secrets) "{\"id\": \"a\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": [" secrets "]}"

/* guard: read_formula in vault/ops/ops_read.c reads at the landing */
static void test_threat_09_formula_as_it_landed(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;

	land(f->repo, "vault/formulas/f.yaml", "first");
	land(f->repo, "vault/secrets/KEY.age", "old");
	git_oid landing = land(f->repo, "vault/actions/a.json", ACTION("\"KEY\""));
	land(f->repo, "vault/formulas/f.yaml", "second");
	git_oid tip = land(f->repo, "vault/secrets/KEY.age", "rotated");
	assert_ok(ops_read_action(f->repo, &tip, &landing, "a", &a, &err), &err);
	assert_null(a.refuse);
	assert_null(a.wait);
	assert_string_equal(a.text, ACTION("\"KEY\""));
	assert_string_equal(a.formula_name, "f");
	assert_string_equal(a.formula_text, "first"); /* as it landed */
	assert_int_equal(a.n_secrets, 1);
	assert_string_equal(a.secrets[0].name, "KEY");
	assert_string_equal(a.secrets[0].age.data, "rotated"); /* as it is now */
	assert_int_equal(ops_read_action(f->repo, &tip, &landing, "b", &a, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	err_clear(&err);
}

static void expect_refused(struct fixture *f, const char *path, const char *text, git_filemode_t mode, const char *reason)
{
	struct err err = ERR_INIT;
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	git_oid tip, blob, tree, oid;
	git_commit *parent = NULL;
	git_tree *base = NULL, *with = NULL;
	git_signature *who = somebody();

	assert_int_equal(git_reference_name_to_id(&tip, f->repo, "refs/heads/main"), 0);
	assert_int_equal(git_commit_lookup(&parent, f->repo, &tip), 0);
	assert_int_equal(git_commit_tree(&base, parent), 0);
	assert_int_equal(git_blob_create_from_buffer(&blob, f->repo, text, strlen(text)), 0);
	if (mode == GIT_FILEMODE_TREE)
		blob = *git_tree_id(base);
	git_tree_update update = {GIT_TREE_UPDATE_UPSERT, blob, mode, path};
	/* git_tree_create_updated refuses to change a file into a folder at once. */
	git_tree_update away = {GIT_TREE_UPDATE_REMOVE, blob, GIT_FILEMODE_BLOB, path};
	git_tree *without = NULL;
	if (git_tree_create_updated(&tree, f->repo, base, 1, &away) == 0 && git_tree_lookup(&without, f->repo, &tree) == 0) {
		git_tree_free(base);
		base = without;
	}
	if (text[0] || mode != GIT_FILEMODE_BLOB) /* "": the file is taken away */
		assert_int_equal(git_tree_create_updated(&tree, f->repo, base, 1, &update), 0);
	assert_int_equal(git_tree_lookup(&with, f->repo, &tree), 0);
	assert_int_equal(git_commit_create_v(&oid, f->repo, NULL, who, who, NULL, "x", with, 1, parent), 0);
	assert_ok(ops_read_action(f->repo, &oid, &oid, "a", &a, &err), &err);
	if (!a.refuse || strcmp(a.refuse, reason) != 0)
		fail_msg("%s instead of %s", a.refuse ? a.refuse : "no refusal", reason);
	assert_null(a.wait);
	git_signature_free(who);
	git_tree_free(with);
	git_tree_free(base);
	git_commit_free(parent);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *large = xcalloc(1, FORMULA_MAX_BYTES + 2);
	static const char *const paths[] = {"vault/actions/a.json", "vault/formulas/f.yaml", "vault/secrets/KEY.age"};
	static const size_t max[] = {ACTION_MAX_BYTES, FORMULA_MAX_BYTES, OPS_SECRET_MAX_BYTES};

	land(f->repo, paths[1], "f");
	land(f->repo, paths[2], "s");
	land(f->repo, paths[0], ACTION("\"KEY\""));
	for (int i = 0; i < 3; i++) {
		static const struct {
			git_filemode_t mode;
			const char *fault;
		} modes[] = {{GIT_FILEMODE_LINK, "is a symbolic link"},
		             {GIT_FILEMODE_BLOB_EXECUTABLE, "is executable"},
		             {GIT_FILEMODE_TREE, "is a folder"},
		             {GIT_FILEMODE_COMMIT, "is a submodule"}};
		for (int m = 0; m < 4; m++) {
			cleanup_free char *reason = xasprintf("%s: %s; it must be a plain file", paths[i], modes[m].fault);
			expect_refused(f, paths[i], "x", modes[m].mode, reason);
		}
		memset(large, 'x', max[i] + 1);
		large[max[i] + 1] = '\0';
		cleanup_free char *reason = xasprintf("%s: it has %zu bytes; at most %zu are allowed", paths[i], max[i] + 1, max[i]);
		expect_refused(f, paths[i], large, GIT_FILEMODE_BLOB, reason);
		if (i < 2) {
			static const char *const where[] = {"line 1, column 9: id: unable to decode byte 0xff near '\"x'",
			                                    "line 1: id: invalid UTF-8 at byte 9"};
			cleanup_free char *text = xasprintf("%s: %s", paths[i], where[i]);
			expect_refused(f, paths[i], "{\"id\": \"x\xff\"}", GIT_FILEMODE_BLOB, text);
		}
	}
	expect_refused(f, paths[1], "", GIT_FILEMODE_BLOB,
	               "vault/formulas/f.yaml is not in the repo at the commit that landed the action; add the formula first");
	expect_refused(f, paths[2], "", GIT_FILEMODE_BLOB, "vault/secrets/KEY.age is not in the repo; add it with 'disinto secrets add'");
}

/* What is wrong with the action itself is said in its parser's words; a malformed folder beside it only waits. */
static void test_read_wrong_action(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	git_oid tip = land(f->repo, "vault/actions/a.json", "{\"id\": \"b\"}");
	assert_ok(ops_read_action(f->repo, &tip, &tip, "a", &a, &err), &err);
	assert_non_null(strstr(a.refuse, "vault/actions/a.json: "));
	assert_non_null(a.text);
	ops_action_free(&a);
	land(f->repo, "vault/actions/a.json", ACTION(""));
	tip = land(f->repo, "vault/formulas", "a file");
	assert_ok(ops_read_action(f->repo, &tip, &tip, "a", &a, &err), &err);
	assert_null(a.refuse);
	assert_string_equal(a.wait, "vault/formulas/f.yaml: vault/formulas is not a folder");
}

static void expect_landing(git_repository *repo, const git_oid *tip, const char *id, const git_oid *want)
{
	struct err err = ERR_INIT;
	struct ops_landing v[] = {{.id = "nothing"}, {.id = id}};
	assert_ok(ops_landings(repo, tip, v, 2, &err), &err);
	assert_false(v[0].found);
	assert_int_equal(v[1].found, want != NULL);
	if (want)
		assert_true(git_oid_equal(&v[1].commit, want));
}

/* guard: walk_back in vault/ops/ops_history.c takes first parents only */
static void test_threat_03_where_a_file_landed(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	git_oid root = land(f->repo, "vault/actions/a.json", "1");
	expect_landing(f->repo, &root, "a", &root);
	git_oid b = land(f->repo, "vault/actions/b.json", "1");
	git_oid edited = land(f->repo, "vault/actions/a.json", "2");
	git_oid tip = land(f->repo, "README.md", "x");
	expect_landing(f->repo, &tip, "a", &edited);
	expect_landing(f->repo, &tip, "b", &b);

	/* On a side branch it has not landed; the merge lands it. */
	git_oid side = commit_on(f->repo, &tip, &(struct git_change){"vault/actions/c.json", "1", 1}, 1, "side");
	git_oid parents[] = {tip, side}, merge;
	git_signature *who = somebody();
	assert_ok(git_repo_commit(f->repo, parents, 2, &(struct git_change){"vault/actions/c.json", "1", 1}, 1, who, "merge", &merge, &err),
	          &err);
	git_signature_free(who);
	set_ref(f->repo, "refs/heads/main", &merge);
	expect_landing(f->repo, &merge, "c", &merge);

	land(f->repo, "vault/actions/b.json", NULL);
	tip = land(f->repo, "x", "x");
	expect_landing(f->repo, &tip, "b", NULL);
	git_oid again = land(f->repo, "vault/actions/b.json", "1");
	tip = land(f->repo, "x", "y");
	expect_landing(f->repo, &tip, "b", &again);
	land(f->repo, "vault/actions/a.json", "1");
	git_oid back = land(f->repo, "vault/actions/a.json", "2");
	expect_landing(f->repo, &back, "a", &back);
}

static bool removed(struct fixture *f, const git_oid *tip, const char *id)
{
	struct err err = ERR_INIT;
	struct ops_past *p = ops_past_new(f->repo);
	assert_ok(ops_past_update(p, tip, &err), &err);
	bool yes = ops_past_removed(p, id);
	ops_past_free(p);
	return yes;
}

/* guard: note_removed in vault/ops/ops_history.c */
static void test_threat_08_removed_results_stay_taken(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *cache = xasprintf("%s/disinto-removed-results", f->repo_path);
	git_oid root = land(f->repo, "vault/actions/a.json", "1");
	assert_false(removed(f, &root, "a"));
	land(f->repo, "vault/actions/a.result.json", "r");
	git_oid with = land(f->repo, "vault/actions/b.result.json", "r");
	assert_false(removed(f, &with, "a"));
	git_oid without = land(f->repo, "vault/actions/a.result.json", NULL);
	assert_true(removed(f, &without, "a"));
	assert_false(removed(f, &without, "b"));
	git_oid later = land(f->repo, "x", "x");
	assert_true(removed(f, &later, "a")); /* from the cache */
	assert_int_equal(unlink(cache), 0);
	assert_true(removed(f, &later, "a")); /* from history */
	write_file(cache, "nonsense", 0600);
	assert_true(removed(f, &later, "a"));
	cleanup_free char *lie = xasprintf("%s\n../x\n", git_oid_tostr_s(&later));
	write_file(cache, lie, 0600);
	assert_true(removed(f, &later, "a"));

	/* Somebody rewinds the branch to before b's result: a and b stay taken. */
	git_oid rewound = commit_on(f->repo, &root, &(struct git_change){"y", "y", 1}, 1, "rewritten");
	assert_true(removed(f, &rewound, "b"));
	assert_true(removed(f, &rewound, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_scan_random, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_malformed_trees, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_missing_object, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_misnamed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_09_formula_as_it_landed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_read_wrong_action, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_03_where_a_file_landed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_08_removed_results_stay_taken, setup, teardown),
	};
	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
