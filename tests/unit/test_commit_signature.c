/* Signed commits: real ones of git, and every way in which an object can pretend. THREATS 4. */
#include "tests/unit/signing_fixture.h"

#include "vault/ssh/commit_signature.h"
#include "vault/ssh/ssh_signature.h"

static git_repository *repo;
static struct allowed_signers *signers;

#define NOW 1700000000

/* Runs git commands in the repository, dated NOW - 1000. */
#define GIT_PREFIX "export GIT_AUTHOR_DATE='1699999000 +0200' GIT_COMMITTER_DATE='1699999000 +0200'; cd repo; "

static int setup(void **state)
{
	if (begin_dir(state) < 0 || git_libgit2_init() < 0)
		return -1;
	make_key("one");
	make_key("two");
	must_run(
	    "git init -q -b main repo; cd repo; git config user.name One; git config user.email one@example; git config gpg.format ssh; "
	    "git config user.signingkey ../one; git config gpg.ssh.allowedSignersFile ../signers; echo \"one@example $(cat ../one.pub)\" "
	    ">../signers; "
	    "echo 1 >file; git add file; GIT_COMMITTER_DATE='1699998000 +0000' git commit -qm unsigned",
	    NULL, NULL);
	cleanup_free char *path = in_dir("repo");
	cleanup_free char *list = in_dir("signers");
	must_run("chmod 644 signers", NULL, NULL);
	if (git_repository_open(&repo, path) < 0 || allowed_signers_load(list, &signers, NULL) < 0)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	allowed_signers_free(signers);
	git_repository_free(repo);
	git_libgit2_shutdown();
	return end_dir(state);
}

/* The id that the script prints last. */
static git_oid oid_of(const char *script, const char *a)
{
	cleanup_free char *whole = xasprintf(GIT_PREFIX "%s", script);
	cleanup_free char *out = output_of(whole, a, NULL);
	git_oid oid = {{0}};
	if (strlen(out) < 40 || git_oid_fromstr(&oid, out + strlen(out) - 40) < 0)
		fail_msg("no object id: %s", out);
	return oid;
}

static int check(const git_oid *oid, int64_t now, char **ret_by, struct err *err)
{
	return commit_signature_check(repo, oid, signers, &(struct signing_clock){.now = now}, NULL, ret_by, err);
}

static void expect_good(const git_oid *oid, const char *by)
{
	struct err err = ERR_INIT;
	cleanup_free char *found = NULL;
	assert_ok(check(oid, NOW, &found, &err), &err);
	assert_string_equal(found, by);
}

static void expect_bad(const git_oid *oid, int code, const char *words)
{
	cleanup_free char *expected = xasprintf("commit %.10s: %s", git_oid_tostr_s(oid), words);
	char *found = NULL;
	assert_refused(check(oid, NOW, &found, err), code, expected);
	assert_null(found);
}

static void test_of_git(void **state)
{
	(void)state;
	static const char *const scripts[] = {
	    "git commit -q -S --allow-empty -m signed; git rev-parse HEAD",
	    "git checkout -q -b side main~0; echo 2 >other; git add other; git commit -qm side; git checkout -q main; "
	    "git commit -q --allow-empty -m main; git merge -q --no-ff -S -m 'Merge it' side; git rev-parse HEAD",
	    "git commit -q -S --allow-empty -m 'No end of line' -m \"$(printf 'a\\n\\n b')\"; git rev-parse HEAD",
	    "git commit -q -S --allow-empty --allow-empty-message -m ''; git rev-parse HEAD",
	    "git -c i18n.commitEncoding=latin1 commit -q -S --allow-empty -m \"$(printf 'gr\\374n')\"; git rev-parse HEAD",
	    /* a merge of a signed tag holds the tag with its own signature in a header */
	    "git checkout -q -b tagged main; git commit -q --allow-empty -m tagged; git tag -s -m 'a tag' v1; git checkout -q main; "
	    "git merge -q --no-ff -S -m 'Merge a tag' v1; git cat-file -p HEAD | grep -q '^mergetag'; git rev-parse HEAD",
	};
	for (size_t i = 0; i < ROWS(scripts); i++) {
		git_oid oid = oid_of(scripts[i], NULL);
		expect_good(&oid, "one@example");
	}
}

static void test_ours_for_git(void **state)
{
	(void)state;
	static const char *const messages[] = {"vault: result for x\n", "no end of line", "Title\n\nBody\n\n\nKey: value\n", ""};
	cleanup_ssh_private_key struct ssh_private_key *key = private_of("one");
	const struct git_signer signer = commit_signer(key);
	struct git_change change = {"vault/x", "content", 7};
	cleanup_git(git_signature) git_signature *who = NULL;
	git_oid tip, oid;

	assert_int_equal(git_signature_new(&who, "One", "one@example", NOW - 500, -60), 0);
	for (size_t i = 0; i < ROWS(messages); i++) {
		struct err err = ERR_INIT;
		const char *id;
		git_oid parents[2];
		assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/main"), 0);
		parents[0] = tip;
		parents[1] = oid_of("git commit-tree -m other HEAD^{tree}", NULL);
		assert_ok(git_repo_commit_signed(repo, parents, i % 3, &change, 1, who, messages[i], &signer, &oid, &err), &err);
		expect_good(&oid, "one@example");
		id = git_oid_tostr_s(&oid);
		must_run("cd repo; test \"$(git cat-file commit \"$1\" | grep -c '^ $')\" = 0", id, NULL); /* no line too many */
		must_run("cd repo; git verify-commit \"$1\" 2>&1; git fsck --no-dangling 2>&1", id, NULL);
		cleanup_free char *message = output_of("cd repo; git show -s --format=%B \"$1\"", id, NULL);
		assert_memory_equal(message, messages[i], strcspn(messages[i], "\n"));
	}
}

static int refuse_to_sign(void *arg, const void *object, size_t len, struct buf *ret, struct err *err)
{
	(void)arg, (void)object, (void)len, (void)ret;
	return err_set(err, ERR_DENIED, "no key");
}

static void test_signer_that_can_not(void **state)
{
	(void)state;
	const struct git_signer signer = {refuse_to_sign, NULL};
	cleanup_git(git_signature) git_signature *who = NULL;
	struct git_change change = {"vault/x", "content", 7};
	git_oid oid;
	assert_int_equal(git_signature_new(&who, "One", "one@example", NOW, 0), 0);
	assert_refused(git_repo_commit_signed(repo, NULL, 0, &change, 1, who, "m", &signer, &oid, err), ERR_DENIED,
	               "sign a commit: no key");
}

/* guard: check in vault/ssh/commit_signature.c */
static void test_threat_04_refused_of_git(void **state)
{
	(void)state;
	static const struct {
		const char *script, *words;
	} rows[] = {
	    {"git commit -q --allow-empty -m unsigned; git rev-parse HEAD", "is not signed"},
	    /* a stand-in for gpg, so that no key ring is needed */
	    {"printf '#!/bin/sh\\ncat >/dev/null; echo \"[GNUPG:] SIG_CREATED \" >&2; echo \"-----BEGIN PGP SIGNATURE-----\"; echo; echo "
	     "AAAA; echo \"-----END PGP SIGNATURE-----\"\\n' >../gpg; "
	     "chmod +x ../gpg; git -c gpg.format=openpgp -c gpg.program=$PWD/../gpg commit -q -S --allow-empty -m pgp; git rev-parse HEAD",
	     "has an OpenPGP signature; only SSH signatures count (git config gpg.format ssh)"},
	    {"printf '#!/bin/sh\\ncat >/dev/null; echo \"[GNUPG:] SIG_CREATED \" >&2; echo \"-----BEGIN SIGNED MESSAGE-----\"; echo AAAA; "
	     "echo \"-----END SIGNED MESSAGE-----\"\\n' >../gpg; "
	     "git -c gpg.format=x509 -c gpg.x509.program=$PWD/../gpg commit -q -S --allow-empty -m x509; git rev-parse HEAD",
	     "has an X.509 signature; only SSH signatures count (git config gpg.format ssh)"},
	    {"git commit -q -S --allow-empty -m amended; git cat-file commit HEAD | sed 's/^amended$/Amended/' | git hash-object -t commit "
	     "-w --stdin",
	     "SSH signature: does not fit: the bytes were changed, or another key signed them"},
	    {"git commit -q -S --allow-empty -m amended; git cat-file commit HEAD | sed 's/^committer One/committer Two/' | git "
	     "hash-object -t commit -w --stdin",
	     "SSH signature: does not fit: the bytes were changed, or another key signed them"},
	    /* git joins repeated signatures */
	    {"git commit -q -S --allow-empty -m twice; git cat-file commit HEAD >../c; sed -n '/^gpgsig/,/END/p' ../c >../g; sed -i '/END "
	     "SSH/r ../g' ../c; git hash-object -t commit -w --stdin <../c",
	     "has more than one signature; exactly one is allowed"},
	    /* a signature over bytes that hold another one, which git leaves out too */
	    {"git commit -q -S --allow-empty -m other; git cat-file commit HEAD | sed 's/^gpgsig /gpgsig-sha256 /' | git hash-object -t "
	     "commit -w --stdin",
	     "has a signature for SHA-256 repositories (gpgsig-sha256), which is not supported"},
	    {"git commit -q -S --allow-empty -m both; git cat-file commit HEAD >../c; sed -n '/^gpgsig/,/END/p' ../c | sed 's/^gpgsig "
	     "/gpgsig-sha256 /' >../g; sed -i '/END SSH/r ../g' ../c; git hash-object -t commit -w --stdin <../c",
	     "has a signature for SHA-256 repositories (gpgsig-sha256), which is not supported"},
	    {"git commit -q -S --allow-empty -m unknown; git cat-file commit HEAD | sed 's/^gpgsig /gpgsig2 /' | git hash-object -t commit "
	     "-w --stdin",
	     "has a signature header that nobody knows"},
	    /* the signature of one commit on another */
	    {"git commit -q -S --allow-empty -m first; git cat-file commit HEAD | sed -n '/^gpgsig/,/END/p' >../g; git commit -q "
	     "--allow-empty -m second; "
	     "git cat-file commit HEAD | sed '/^committer/r ../g' | git hash-object -t commit -w --stdin",
	     "SSH signature: does not fit: the bytes were changed, or another key signed them"},
	    /* signed for another purpose: the same bytes as a file */
	    {"git commit -q --allow-empty -m file; git cat-file commit HEAD >../c; rm -f ../c.sig; ssh-keygen -q -Y sign -n file -f ../one "
	     "../c; "
	     "sed '1s/^/gpgsig /;2,$s/^/ /' ../c.sig >../g; sed '/^committer/r ../g' ../c | git hash-object -t commit -w --stdin",
	     "SSH signature: was made for the namespace file, not git"},
	    {"git commit -q --allow-empty -m text; git cat-file commit HEAD | sed '/^committer/a gpgsig trust me' | git hash-object -t "
	     "commit -w --stdin",
	     "SSH signature: does not begin with the line \"-----BEGIN SSH SIGNATURE-----\""},
	    {"git commit -q --allow-empty -m empty; git cat-file commit HEAD | sed '/^committer/a gpgsig ' | git hash-object -t commit -w "
	     "--stdin",
	     "SSH signature: does not begin with the line \"-----BEGIN SSH SIGNATURE-----\""},
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		git_oid oid = oid_of(rows[i].script, NULL);
		expect_bad(&oid, ERR_INVALID, rows[i].words);
		must_run("cd repo; git reset -q --hard main~0 2>/dev/null", NULL, NULL);
	}
}

/* guard: check_line in vault/ssh/allowed_signers.c */
static void test_threat_04_signers(void **state)
{
	(void)state;
	char fingerprint[SSH_FINGERPRINT_ROOM];
	struct ssh_public_key two = public_of("two");
	cleanup_free char *unlisted = NULL;
	cleanup_free char *list = in_dir("signers");
	cleanup_free char *words = NULL;
	ssh_fingerprint(&two, fingerprint);
	unlisted = xasprintf("the key %s is not in %s", fingerprint, list);

	git_oid oid = oid_of("git -c user.signingkey=../two commit -q -S --allow-empty -m 'by two'; git rev-parse HEAD", NULL);
	expect_bad(&oid, ERR_INVALID, unlisted);

	/* He says that he is somebody else: what counts is the key. */
	oid = oid_of("git -c user.email=root@example commit -q -S --allow-empty -m 'as root'; git rev-parse HEAD", NULL);
	expect_good(&oid, "one@example");

	/* A list in which the same key is on its way out. */
	allowed_signers_free(signers);
	must_run("echo \"two@example valid-before=\\\"20231114220000Z\\\" $(cat two.pub)\" >signers", NULL, NULL); /* 1699999200 */
	assert_int_equal(allowed_signers_load(list, &signers, NULL), 0);
	oid = oid_of("git commit -q --allow-empty -m base; git -c user.signingkey=../two commit -q -S --allow-empty -m 'in time'; git "
	             "rev-parse HEAD",
	             NULL);
	expect_good(&oid, "two@example");
	oid = oid_of("export GIT_COMMITTER_DATE='1699999201 +0000'; git -c user.signingkey=../two commit -q -S --allow-empty -m late; git "
	             "rev-parse HEAD",
	             NULL);
	words = xasprintf("the key %s expired at 2023-11-14T22:00:00Z, and this was signed at 2023-11-14T22:00:01Z (%s, line 1)",
	                  fingerprint, list);
	expect_bad(&oid, ERR_INVALID, words);
	/* Dated back, on top of a commit that is newer. */
	oid = oid_of("git -c user.signingkey=../two commit -q -S --allow-empty -m 'dated back'; git rev-parse HEAD", NULL);
	free(words);
	words = xasprintf("the key %s expired at 2023-11-14T22:00:00Z, and this was signed at 2023-11-14T22:00:01Z or later, though it is "
	                  "dated back (%s, line 1)",
	                  fingerprint, list);
	expect_bad(&oid, ERR_INVALID, words);
	/* On top of one that was dated back itself, so that nothing newer is in sight. */
	oid = oid_of(
	    "git commit -q --allow-empty -m 'dated back'; git -c user.signingkey=../two commit -q -S --allow-empty -m 'dated back too'; "
	    "git rev-parse HEAD",
	    NULL);
	expect_bad(&oid, ERR_INVALID, words);
	struct err err = ERR_INIT;
	const struct signing_clock told = {NOW, &(const int64_t){1699999000}};
	assert_ok(commit_signature_check(repo, &oid, signers, &told, NULL, NULL, &err),
	          &err); /* what the caller says of those below is taken */

	/* Whoever may push a commit from the future does not end anybody's key by it. */
	allowed_signers_free(signers);
	must_run("echo \"two@example valid-before=\\\"20231114230000Z\\\" $(cat two.pub)\" >signers", NULL, NULL); /* after NOW */
	assert_int_equal(allowed_signers_load(list, &signers, NULL), 0);
	oid = oid_of(
	    "GIT_COMMITTER_DATE='1800000000 +0000' git commit -q --allow-empty -m future; git -c user.signingkey=../two commit -q -S "
	    "--allow-empty -m present; git rev-parse HEAD",
	    NULL);
	expect_good(&oid, "two@example");
	must_run("echo \"one@example $(cat one.pub)\" >signers", NULL, NULL);
	allowed_signers_free(signers);
	assert_int_equal(allowed_signers_load(list, &signers, NULL), 0);
}

/* What is not judged is not refused: a date that has not come, a commit that can't be read. */
static void test_not_now(void **state)
{
	(void)state;
	git_oid missing;
	git_oid oid =
	    oid_of("export GIT_COMMITTER_DATE='1700000300 +0000'; git commit -q -S --allow-empty -m ahead; git rev-parse HEAD", NULL);
	expect_good(&oid, "one@example");
	oid = oid_of("export GIT_COMMITTER_DATE='1700000301 +0000'; git commit -q -S --allow-empty -m ahead; git rev-parse HEAD", NULL);
	expect_bad(&oid, ERR_FAIL, "is dated 2023-11-14T22:18:21Z, which has not come yet; its committer's clock or the one here is wrong");
	/* An unlisted signer's date makes nobody wait. */
	struct err err = ERR_INIT;
	oid = oid_of("export GIT_COMMITTER_DATE='1800000000 +0000'; git -c user.signingkey=../two commit -q -S --allow-empty -m ahead; git "
	             "rev-parse HEAD",
	             NULL);
	assert_int_equal(check(&oid, NOW, NULL, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	err_clear(&err);

	git_oid_fromstr(&missing, "00000000000000000000000000000000000000aa");
	assert_int_equal(check(&missing, NOW, NULL, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
	err_clear(&err);
	oid = oid_of("git rev-parse HEAD^{tree}", NULL);
	assert_int_equal(check(&oid, NOW, NULL, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
	err_clear(&err);
	/* its parent is gone: nobody knows whether an expired key is dated back */
	cleanup_free char *list = in_dir("signers");
	must_run("echo \"one@example valid-before=\\\"20231114220000Z\\\" $(cat one.pub)\" >signers", NULL, NULL);
	allowed_signers_free(signers);
	assert_int_equal(allowed_signers_load(list, &signers, NULL), 0);
	oid = oid_of("p=$(git commit-tree -m gone HEAD^{tree}); c=$(git commit-tree -S -p $p -m child HEAD^{tree}); rm -f "
	             ".git/objects/$(echo $p | cut -c1-2)/$(echo $p | cut -c3-); echo $c",
	             NULL);
	assert_int_equal(check(&oid, NOW, NULL, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
	err_clear(&err);
	must_run("echo \"one@example $(cat one.pub)\" >signers", NULL, NULL);
	allowed_signers_free(signers);
	assert_int_equal(allowed_signers_load(list, &signers, NULL), 0);
}

static void test_too_large(void **state)
{
	(void)state;
	git_oid oid = oid_of("head -c 1100000 /dev/zero | tr '\\0' a >../big; git commit-tree -S -F ../big HEAD^{tree}", NULL);
	cleanup_free char *size = output_of("cd repo; git cat-file -s \"$1\"", git_oid_tostr_s(&oid), NULL);
	cleanup_free char *words = xasprintf("has %s bytes; at most 1048576 are allowed", size);
	expect_bad(&oid, ERR_INVALID, words);
}

#define TEXT(s) s, sizeof(s) - 1
#define TREE "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
#define PARENT "parent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
#define AUTHOR "author A <a@x> 1 +0000\n"
#define COMMITTER "committer A <a@x> 1 +0000\n"
#define SIG "gpgsig -----BEGIN\n A\n -----END\n"

static void test_split(void **state)
{
	(void)state;
	static const struct {
		const char *object, *armour, *payload;
	} rows[] = {
	    {TREE AUTHOR COMMITTER SIG "\nmessage\n", "-----BEGIN\nA\n-----END", TREE AUTHOR COMMITTER "\nmessage\n"},
	    {TREE PARENT PARENT AUTHOR COMMITTER "encoding x\n" SIG "x-more y\n z\n\n", "-----BEGIN\nA\n-----END",
	     TREE PARENT PARENT AUTHOR COMMITTER "encoding x\nx-more y\n z\n\n"},
	    {TREE AUTHOR COMMITTER "mergetag object x\n gpgsig y\n" SIG "\ngpgsig in the message\n", "-----BEGIN\nA\n-----END",
	     TREE AUTHOR COMMITTER "mergetag object x\n gpgsig y\n\ngpgsig in the message\n"},
	    {TREE AUTHOR COMMITTER "gpgsig a\n \n b\n\nm", "a\n\nb", TREE AUTHOR COMMITTER "\nm"},
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		cleanup_signed_commit struct signed_commit c = SIGNED_COMMIT_INIT;
		struct err err = ERR_INIT;
		assert_ok(signed_commit_split(rows[i].object, strlen(rows[i].object), &c, &err), &err);
		assert_string_equal(c.armour.data, rows[i].armour);
		assert_string_equal(c.payload.data, rows[i].payload);
		assert_string_equal(c.payload.data + c.message, strstr(rows[i].payload, "\n\n") + 2);
	}
}

static void test_split_refusals(void **state)
{
	(void)state;
	static const char order[] = "is malformed: its headers are not tree, parents, author and committer, each in its place";
	static const char end[] = "is malformed: its headers have no end";
	static const char several[] = "is malformed: a header that may not has several lines";
	static const struct {
		const char *object;
		size_t len;
		const char *words;
	} rows[] = {
	    {TEXT(""), end},
	    {TEXT(TREE AUTHOR COMMITTER SIG), end},
	    {TEXT(TREE AUTHOR COMMITTER SIG "x"), end},
	    {TEXT("\nm"), "is malformed: it has no committer"},
	    {TEXT(TREE AUTHOR "\nm"), "is malformed: it has no committer"},
	    {TEXT(TREE AUTHOR COMMITTER "\n" SIG), "is not signed"},
	    {TEXT(AUTHOR COMMITTER SIG "\nm"), order},
	    {TEXT(TREE TREE AUTHOR COMMITTER SIG "\nm"), order},
	    {TEXT(TREE AUTHOR PARENT COMMITTER SIG "\nm"), order},
	    {TEXT(TREE AUTHOR AUTHOR COMMITTER SIG "\nm"), order},
	    {TEXT(TREE COMMITTER AUTHOR SIG "\nm"), order},
	    {TEXT(TREE AUTHOR COMMITTER COMMITTER SIG "\nm"), order},
	    {TEXT(TREE AUTHOR COMMITTER SIG PARENT "\nm"), order},
	    {TEXT(TREE AUTHOR COMMITTER SIG TREE "\nm"), order},
	    {TEXT(TREE SIG AUTHOR COMMITTER "\nm"), order},
	    {TEXT(SIG TREE AUTHOR COMMITTER "\nm"), order},
	    {TEXT(" x\n" TREE AUTHOR COMMITTER SIG "\nm"), several},
	    {TEXT(TREE AUTHOR " x\n" COMMITTER SIG "\nm"), several},
	    {TEXT(TREE AUTHOR COMMITTER " x\n" SIG "\nm"), several},
	    {TEXT(TREE AUTHOR COMMITTER SIG SIG "\nm"), "has more than one signature; exactly one is allowed"},
	    {TEXT(TREE AUTHOR COMMITTER "gpgsig \n" SIG "\nm"), "has more than one signature; exactly one is allowed"},
	    {TEXT(TREE AUTHOR COMMITTER "gpgsig\n" SIG "\nm"), "has a signature header that nobody knows"},
	    {TEXT(TREE AUTHOR COMMITTER SIG "gpgsig-sha512 x\n\nm"), "has a signature header that nobody knows"},
	    {TEXT(TREE AUTHOR COMMITTER SIG "gpgsig-sha256 x\n\nm"),
	     "has a signature for SHA-256 repositories (gpgsig-sha256), which is not supported"},
	    {TEXT(TREE AUTHOR COMMITTER SIG "\nm\0m"), "is malformed: it has a NUL byte"},
	    {TEXT(TREE AUTHOR COMMITTER "gpgsig -----BEGIN PGP MESSAGE-----\n\nm"),
	     "has an OpenPGP signature; only SSH signatures count (git config gpg.format ssh)"},
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		cleanup_signed_commit struct signed_commit c = SIGNED_COMMIT_INIT;
		assert_refused(signed_commit_split(rows[i].object, rows[i].len, &c, err), ERR_INVALID, rows[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_of_git),
	    cmocka_unit_test(test_ours_for_git),
	    cmocka_unit_test(test_signer_that_can_not),
	    cmocka_unit_test(test_threat_04_refused_of_git),
	    cmocka_unit_test(test_threat_04_signers),
	    cmocka_unit_test(test_not_now),
	    cmocka_unit_test(test_too_large),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_split_refusals),
	};
	return cmocka_run_group_tests_name("commit_signature", tests, setup, teardown);
}
