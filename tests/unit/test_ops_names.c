/* Whose ciphertext is it: what history says of files that do not say it themselves. */
#include "tests/unit/git_fixture.h"

#include "vault/age/age.h"
#include "vault/age/age_format.h"
#include "vault/ops/ops_names.h"

static struct age_recipients to;

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

static int setup_group(void **state)
{
	char *text, *recipient;
	size_t len;
	(void)state;
	if (age_keygen(&text, &len, &recipient, NULL) < 0)
		return -1;
	int rc = age_recipients_parse(recipient, strlen(recipient), "test", &to, NULL);
	sodium_free(text);
	free(recipient);
	return rc;
}

static int teardown_group(void **state)
{
	(void)state;
	age_recipients_free(&to);
	return 0;
}

/* A fresh ciphertext; name NULL: as the age program makes it. */
static void encrypt(const char *name, struct buf *ret)
{
	assert_int_equal(age_encrypt(&to, name, (const unsigned char *)"the value", 9, ret, NULL), 0);
}

static void armour(const struct buf *file, struct buf *ret)
{
	size_t room = sodium_base64_ENCODED_LEN(file->len, sodium_base64_VARIANT_ORIGINAL);
	cleanup_free char *text = xmalloc(room);
	sodium_bin2base64(text, room, (const unsigned char *)file->data, file->len, sodium_base64_VARIANT_ORIGINAL);
	buf_adds(ret, "-----BEGIN AGE ENCRYPTED FILE-----\n");
	for (const char *p = text; *p; p += strnlen(p, 64))
		buf_addf(ret, "%.64s\n", p);
	buf_adds(ret, "-----END AGE ENCRYPTED FILE-----\n");
}

struct secret {
	const char *name;
	const struct buf *file; /* NULL: taken away */
};

/* Puts secrets on main in one commit. */
static git_oid land_secrets(struct fixture *f, const struct secret *v, size_t n)
{
	git_oid tip, oid;
	bool born = git_reference_name_to_id(&tip, f->repo, "refs/heads/main") == 0;
	struct git_change changes[4];
	for (size_t i = 0; i < n; i++)
		changes[i] = (struct git_change){xasprintf("vault/secrets/%s.age", v[i].name), v[i].file ? v[i].file->data : NULL,
		                                 v[i].file ? v[i].file->len : 0};
	oid = commit_on(f->repo, born ? &tip : NULL, changes, n, "secrets");
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)changes[i].path);
	set_ref(f->repo, "refs/heads/main", &oid);
	return oid;
}

static git_oid land_secret(struct fixture *f, const char *name, const struct buf *file)
{
	return land_secrets(f, &(struct secret){name, file}, 1);
}

/* What a fresh look says of the file under that name; NULL: it may be used. Caller frees. */
static char *refusal(struct fixture *f, const git_oid *tip, const char *name, const struct buf *file)
{
	cleanup_ops_names struct ops_names *names = ops_names_new(f->repo);
	cleanup_err struct err err = ERR_INIT;
	if (ops_names_secret(names, tip, name, file->data, file->len, &err) == 0)
		return NULL;
	if (err.code != ERR_INVALID)
		fail_msg("%s", err_msg(&err));
	return xstrdup(err_msg(&err));
}

static void expect(struct fixture *f, const git_oid *tip, const char *name, const struct buf *file, const char *why)
{
	cleanup_free char *got = refusal(f, tip, name, file);
	bool same = got && why ? strcmp(got, why) == 0 : !got && !why;
	if (!same)
		fail_msg("%s: %s", name, got ? got : "may be used");
}

#define AGAIN "a secret works under its own name only: store the value anew with 'disinto secrets add -f "
#define OF_PROD(name) "vault/secrets/" name ".age: holds the ciphertext that landed first as vault/secrets/PROD.age; " AGAIN name "'"

/*
 * THREATS 22: PROD.age copied under another name. Guard: check_owner() in ops_names.c for files that do not say their name, the comparison of names
 * in ops_names_secret() for those that do; without either this fails.
 */
static void test_threat_22_copied_under_another_name(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_buf struct buf theirs = BUF_INIT, ours = BUF_INIT, armoured = BUF_INIT, fresh = BUF_INIT;
	encrypt(NULL, &theirs);
	encrypt(NULL, &fresh);
	encrypt("PROD_2", &ours);
	armour(&theirs, &armoured);
	land(f->repo, "vault/formulas/f.yaml", "f");
	land_secrets(f, (struct secret[]){{"PROD", &theirs}, {"PROD_2", &ours}, {"STAGING", &fresh}}, 3);
	git_oid tip = land(f->repo, "vault/actions/a.json",
	                   "{\"id\": \"a\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": [\"PROD\", \"PROD_2\", \"STAGING\"]}");

	static const char in_header[] = "vault/secrets/STAGING.age: was encrypted as PROD_2; " AGAIN "STAGING'";
	const struct {
		const struct buf *staging;
		const char *why;
	} steps[] = {{&fresh, NULL}, {&theirs, OF_PROD("STAGING")}, {&armoured, OF_PROD("STAGING")}, {&ours, in_header}, {&fresh, NULL}};
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
		cleanup_ops_names struct ops_names *names = ops_names_new(f->repo);
		tip = land_secret(f, "STAGING", steps[i].staging);
		assert_ok(ops_read_action(f->repo, &tip, &tip, "a", &a, &err), &err);
		assert_null(a.refuse);
		assert_ok(ops_names_check(names, &tip, &a, &err), &err);
		if (!a.refuse != !steps[i].why || (a.refuse && strcmp(a.refuse, steps[i].why) != 0))
			fail_msg("step %zu: %s", i, a.refuse ? a.refuse : "not refused");
	}
}

static void test_renamed_after_deletion(void **state)
{
	struct fixture *f = *state;
	cleanup_buf struct buf file = BUF_INIT;
	encrypt(NULL, &file);
	land_secret(f, "PROD", &file);
	land_secret(f, "PROD", NULL);
	git_oid tip = land_secret(f, "STAGING", &file);
	expect(f, &tip, "STAGING", &file, OF_PROD("STAGING"));
	tip = land_secrets(f, (struct secret[]){{"STAGING", NULL}, {"PROD", &file}}, 2);
	expect(f, &tip, "PROD", &file, NULL); /* back under its own name */
}

static void test_two_names_at_once(void **state)
{
	struct fixture *f = *state;
	cleanup_buf struct buf file = BUF_INIT, other = BUF_INIT;
	encrypt(NULL, &file);
	encrypt(NULL, &other);
	git_oid tip = land_secrets(f, (struct secret[]){{"PROD", &file}, {"STAGING", &file}, {"OTHER", &other}}, 3);
	static const char neither[] =
	    ".age: holds a ciphertext that landed as vault/secrets/PROD.age and vault/secrets/STAGING.age at once, so that it belongs to "
	    "neither; " AGAIN;
	static const char *const names[] = {"PROD", "STAGING", "THIRD"};
	for (size_t i = 0; i < 3; i++) {
		cleanup_free char *why = xasprintf("vault/secrets/%s%s%s'", names[i], neither, names[i]);
		expect(f, &tip, names[i], &file, why);
	}
	expect(f, &tip, "OTHER", &other, NULL);
}

/* What a merge brings lands with the merge, in whatever order it was made on its branch. */
static void test_first_parents_only(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_buf struct buf file = BUF_INIT;
	encrypt(NULL, &file);
	git_oid base = land(f->repo, "README.md", "x"), merge;
	git_oid side = commit_on(f->repo, &base, &(struct git_change){"vault/secrets/STAGING.age", file.data, file.len}, 1, "side");
	git_oid main = land_secret(f, "PROD", &file);
	git_signature *who = somebody();
	assert_ok(git_repo_commit(f->repo, (git_oid[]){main, side}, 2,
	                          &(struct git_change){"vault/secrets/STAGING.age", file.data, file.len}, 1, who, "merge", &merge, &err),
	          &err);
	git_signature_free(who);
	expect(f, &merge, "STAGING", &file, OF_PROD("STAGING"));
	expect(f, &merge, "PROD", &file, NULL);
}

/* The index grows with history, is kept in the clone, and is made again when it is missing or damaged. */
static void test_cache(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *cache = xasprintf("%s/disinto-secret-names", f->repo_path);
	cleanup_buf struct buf prod = BUF_INIT, late = BUF_INIT, text = BUF_INIT;
	encrypt(NULL, &prod);
	encrypt(NULL, &late);
	land_secret(f, "PROD", &prod);
	git_oid tip = land_secret(f, "STAGING", &prod);
	expect(f, &tip, "STAGING", &prod, OF_PROD("STAGING"));
	assert_int_equal(file_read(cache, 1 << 20, &text, NULL), 0);
	assert_memory_equal(text.data, git_oid_tostr_s(&tip), GIT_OID_HEXSZ);
	assert_int_equal(text.len, GIT_OID_HEXSZ + 1 + 96 + 1 + 4 + 1); /* one ciphertext, one owner */

	land_secret(f, "OTHER", &late);
	tip = land_secret(f, "PROD", &late);
	expect(f, &tip, "STAGING", &prod, OF_PROD("STAGING")); /* from the cache */
	expect(f, &tip, "OTHER", &late, NULL);                 /* from what is new */
	cleanup_free char *other = refusal(f, &tip, "PROD", &late);
	assert_non_null(strstr(other, "vault/secrets/OTHER.age"));

	cleanup_free char *cut = xasprintf("%s\n%.80s", git_oid_tostr_s(&tip), text.data + GIT_OID_HEXSZ + 1);
	cleanup_free char *odd = xasprintf("%s\n%.96s ../X\n", git_oid_tostr_s(&tip), text.data + GIT_OID_HEXSZ + 1);
	const char *const damaged[] = {"", "nonsense", cut, odd};
	for (size_t i = 0; i < sizeof(damaged) / sizeof(*damaged); i++) {
		write_file(cache, damaged[i], 0600);
		expect(f, &tip, "STAGING", &prod, OF_PROD("STAGING"));
	}
	assert_int_equal(unlink(cache), 0);
	expect(f, &tip, "STAGING", &prod, OF_PROD("STAGING"));

	/* Rewritten history: what was seen stays known. */
	git_oid rewritten =
	    commit_on(f->repo, NULL, &(struct git_change){"vault/secrets/STAGING.age", prod.data, prod.len}, 1, "rewritten");
	expect(f, &rewritten, "STAGING", &prod, OF_PROD("STAGING"));
}

/* Files that say their name need no history: none is walked, and no file is written for them. */
static void test_named_files_need_no_index(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *cache = xasprintf("%s/disinto-secret-names", f->repo_path);
	cleanup_buf struct buf file = BUF_INIT;
	encrypt("PROD", &file);
	git_oid tip = land_secret(f, "PROD", &file);
	expect(f, &tip, "PROD", &file, NULL);
	assert_int_equal(access(cache, F_OK), -1);
}

/* Other files in the folder own nothing, and don't stand in the way. */
static void test_other_files(void **state)
{
	struct fixture *f = *state;
	cleanup_buf struct buf file = BUF_INIT, large = BUF_INIT, nothing = BUF_INIT;
	encrypt(NULL, &file);
	buf_add(&large, file.data, file.len);
	memset(buf_room(&large, OPS_SECRET_MAX_BYTES), 0, OPS_SECRET_MAX_BYTES);
	buf_grew(&large, OPS_SECRET_MAX_BYTES);
	buf_adds(&nothing, "no age file");
	land_secrets(f, (struct secret[]){{"lower", &file}, {"TOO.MANY", &file}, {"LARGE", &large}, {"NOTHING", &nothing}}, 4);
	git_oid tip = land_secret(f, "PROD", &file);
	expect(f, &tip, "PROD", &file, NULL);
	expect(f, &tip, "NOTHING", &nothing, NULL);
	expect(f, &tip, "lower", &file, OF_PROD("lower"));
}

/* Against the obvious way: every commit from the first, every file of it. */
static void test_random_histories(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"A", "B", "B_2", "C"};
	struct buf files[5];
	struct ops_names *names_index = ops_names_new(f->repo);
	char owner[5] = "";
	unsigned seed = 11;
	for (int i = 0; i < 5; i++) {
		files[i] = (struct buf)BUF_INIT;
		encrypt(NULL, &files[i]);
	}
	for (int round = 0; round < 120; round++) {
		size_t n = 1 + (unsigned)rand_r(&seed) % 2, at = (unsigned)rand_r(&seed) % 4;
		struct secret v[2];
		char was[5];
		memcpy(was, owner, sizeof(was));
		for (size_t i = 0; i < n; i++) {
			size_t name = (at + i) % 4, file = (unsigned)rand_r(&seed) % (unsigned)(1 + round / 10 > 5 ? 5 : 1 + round / 10);
			v[i] = (struct secret){names[name], &files[file]};
			if (!was[file])
				owner[file] = (char)(owner[file] ? '!' : '1' + (char)name);
		}
		git_oid tip = land_secrets(f, v, n);
		for (size_t file = 0; round % 7 == 0 && file < 5; file++) {
			for (size_t name = 0; owner[file] && name < 4; name++) {
				bool may = ops_names_secret(names_index, &tip, names[name], files[file].data, files[file].len, NULL) == 0;
				cleanup_free char *fresh = refusal(f, &tip, names[name], &files[file]);
				assert_int_equal(may, owner[file] == '1' + (char)name);
				assert_int_equal(!fresh, may);
			}
		}
	}
	for (int i = 0; i < 5; i++)
		buf_free(&files[i]);
	ops_names_free(names_index);
}

/* An object that is missing is trouble with the clone, never "nobody's". */
static void test_missing_object(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_buf struct buf file = BUF_INIT;
	cleanup_ops_names struct ops_names *names = ops_names_new(f->repo);
	git_oid absent, blob;
	encrypt(NULL, &file);
	git_oid_fromstr(&absent, "0123456789012345678901234567890123456789");
	assert_int_equal(ops_names_secret(names, &absent, "PROD", file.data, file.len, &err), -1);
	assert_int_not_equal(err.code, ERR_INVALID);
	err_clear(&err);

	git_oid tip = land_secret(f, "PROD", &file);
	assert_int_equal(git_odb_hash(&blob, file.data, file.len, GIT_OBJECT_BLOB), 0);
	cleanup_free char *object = xasprintf("%s/objects/%.2s/%s", f->repo_path, git_oid_tostr_s(&blob), git_oid_tostr_s(&blob) + 2);
	assert_int_equal(unlink(object), 0);
	git_repository_free(f->repo); /* it may have the object in memory */
	assert_ok(git_repo_open(f->repo_path, &f->repo, &err), &err);
	cleanup_ops_names struct ops_names *again = ops_names_new(f->repo);
	assert_int_equal(ops_names_secret(again, &tip, "PROD", file.data, file.len, &err), -1);
	assert_int_not_equal(err.code, ERR_INVALID);
	err_clear(&err);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_threat_22_copied_under_another_name),
	    T(test_renamed_after_deletion),
	    T(test_two_names_at_once),
	    T(test_first_parents_only),
	    T(test_cache),
	    T(test_named_files_need_no_index),
	    T(test_other_files),
	    T(test_random_histories),
	    T(test_missing_object),
	};
	return cmocka_run_group_tests_name("ops_names", tests, setup_group, teardown_group);
}
