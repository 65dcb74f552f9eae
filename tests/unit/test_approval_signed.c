/*
 * Approval by signature: what lands through real git in every way that people merge, and every way in which somebody else's bytes could pass for approved.
 * Where a file landed is found by the walk that is tested here too.
 */
#include "tests/unit/signing_fixture.h"

#include "lib/git_repo.h"
#include "vault/approval/approval_signed.h"
#include "vault/ops/landing.h"

#define NOW 1700000000
#define ACTION "vault/actions/deploy-1.json"

static const struct signing_clock later = {NOW * 2LL, NULL}, sooner = {NOW, NULL};

static git_repository *repo;
static struct allowed_signers *signers;

static int setup(void **state)
{
	if (begin_dir(state) < 0 || git_libgit2_init() < 0)
		return -1;
	make_key("human");
	make_key("agent");
	must_run("echo \"human@example $(cat human.pub)\" >signers; chmod 644 signers", NULL, NULL);
	must_run("git init -q -b main template; cd template; git config user.name Human; git config user.email human@example; "
	         "git config gpg.format ssh; git config user.signingkey ../human; rm -rf .git/hooks; "
	         "mkdir -p vault/actions vault/formulas vault/secrets; echo 'name: hello' >vault/formulas/hello.yaml; touch "
	         "vault/actions/.gitkeep; "
	         "git add .; git commit -qm base; git branch base; git checkout -q -b agent; echo '{\"id\": \"deploy-1\"}' >" ACTION
	         "; git add .; git commit -qm 'propose deploy-1'; git checkout -q main; git commit -q --allow-empty -m 'vault: result'",
	         NULL, NULL);
	cleanup_free char *list = in_dir("signers");
	return allowed_signers_load(list, &signers, NULL);
}

static int teardown(void **state)
{
	allowed_signers_free(signers);
	git_libgit2_shutdown();
	return end_dir(state);
}

/* A new repository for each case: main with a formula, and the agent's branch that adds an action. */
static int new_repo(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("repo");
	must_run("rm -rf repo; cp -r template repo", NULL, NULL);
	return git_repository_open(&repo, path);
}

static int drop_repo(void **state)
{
	(void)state;
	git_repository_free(repo);
	repo = NULL;
	return 0;
}

/* $LINE is the line that approves the bytes which the agent's branch holds. */
#define PREFIX \
	"cd repo; blob() { git rev-parse \"$1:" ACTION "\"; }; LINE=\"Disinto-Approve: deploy-1 $(blob agent)\"; " \
	"merge() { git merge -q --no-ff \"$@\"; }; "

static void git(const char *script)
{
	cleanup_free char *whole = xasprintf(PREFIX "%s", script);
	must_run(whole, NULL, NULL);
}

/* Judges what stands at the tip of main. */
static int judge(const char *path, char **ret_by, struct err *err)
{
	struct landing l = {.path = path};
	git_oid tip;
	git_odb *odb = NULL;

	/* git has written objects since */
	assert_int_equal(git_repository_odb(&odb, repo), 0);
	assert_int_equal(git_odb_refresh(odb), 0);
	git_odb_free(odb);
	assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/main"), 0);
	assert_int_equal(landings(repo, &tip, &l, 1, err), 0);
	assert_true(l.found);
	return approval_signed(repo, &(struct approval_file){path, &l.blob, &l.commit}, signers, &later, ret_by, err);
}

static void expect_approved(const char *path)
{
	struct err err = ERR_INIT;
	cleanup_free char *by = NULL;
	assert_ok(judge(path, &by, &err), &err);
	assert_string_equal(by, "human@example");
}

/* In `words`, @ stands for the short id of the landing commit, $ for the blob at the tip, # for the blob of the agent's branch, % for the agent's fingerprint. */
static void expect_refused_words(const char *path, const char *words)
{
	cleanup_free char *landing = output_of("cd repo; git log -1 --first-parent -m --format=%h --abbrev=10 main -- \"$1\"", path, NULL);
	cleanup_free char *blob = output_of("cd repo; git rev-parse \"main:$1\"", path, NULL);
	cleanup_free char *reviewed = output_of("cd repo; git rev-parse agent:" ACTION, NULL, NULL);
	cleanup_buf struct buf expected = BUF_INIT;
	struct ssh_public_key agent = public_of("agent");
	char fingerprint[SSH_FINGERPRINT_ROOM];
	char *by = NULL;

	buf_addf(&expected, "%s: is not approved: ", path);
	for (const char *p = words; *p; p++) {
		if (*p == '@')
			buf_adds(&expected, landing);
		else if (*p == '$')
			buf_adds(&expected, blob);
		else if (*p == '#')
			buf_adds(&expected, reviewed);
		else if (*p == '%')
			buf_addf(&expected, "%s is not in %s/signers", ssh_fingerprint(&agent, fingerprint), dir);
		else
			buf_addc(&expected, *p);
	}
	assert_refused(judge(path, &by, err), ERR_INVALID, expected.data);
	assert_null(by);
}

#define NO_LINE "commit @: its message has no line \"Disinto-Approve: deploy-1 $\""
#define UNSIGNED "commit @: is not signed"

struct row {
	const char *script, *words; /* words NULL: approved */
};

static void run_rows(const struct row *rows, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		new_repo(NULL);
		git(rows[i].script);
		if (rows[i].words)
			expect_refused_words(path, rows[i].words);
		else
			expect_approved(path);
		drop_repo(NULL);
	}
}

/* How people merge. */
static void test_merges(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"merge -S -m 'Approve deploy-1' -m \"$LINE\" agent", NULL},
	    {"merge -S -m 'Approve deploy-1' -m \"$LINE\nSigned-off-by: Human <human@example>\" agent", NULL},
	    {"merge -S -m \"$LINE\" agent", NULL},
	    {"merge -S -m 'Approve deploy-1' agent", NO_LINE},
	    {"merge -m 'Approve deploy-1' -m \"$LINE\" agent", UNSIGNED},
	    {"merge -m 'Merge' agent", UNSIGNED},
	    /* squash and cherry-pick by the human */
	    {"git merge -q --squash agent >/dev/null; git commit -q -S -m Squash -m \"$LINE\"", NULL},
	    {"git cherry-pick agent >/dev/null; git commit -q --amend -S -m Picked -m \"$LINE\"", NULL},
	    {"git cherry-pick -S agent >/dev/null", NO_LINE},
	    /* rebase: each commit has the human's signature, none the line */
	    {"git checkout -q agent; git rebase -q -S main; git checkout -q main; git merge -q --ff-only agent", NO_LINE},
	    /* fast-forward to the agent's own commit */
	    {"git checkout -q main; git reset -q --hard base; git merge -q --ff-only agent", UNSIGNED},
	    {"git checkout -q agent; git commit -q --amend -S -m propose -m \"$LINE\"; git checkout -q -B main base; git merge -q "
	     "--ff-only agent",
	     NULL},
	    {"git checkout -q agent; git -c user.signingkey=../agent commit -q --amend -S -m propose -m \"$LINE\"; git checkout -q -B main "
	     "base; git merge -q --ff-only agent",
	     "commit @: the key %"},
	    /* a merge turned round: main's first parents are the agent's commits then */
	    {"git checkout -q agent; merge -S -m 'Approve deploy-1' -m \"$LINE\" main; git branch -f main agent", UNSIGNED},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* The bytes that were looked at are named by their id. guard: check_message in vault/approval/approval_signed.c */
static void test_threat_01_pushed_after_the_review(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    /* reviewed, pushed again, merged */
	    {"git checkout -q agent; echo '{\"id\": \"evil\"}' >" ACTION
	     "; git commit -q -a -m more; git checkout -q main; merge -S -m Approve -m \"$LINE\" agent; git branch -f agent agent~1",
	     "commit @: its message approves # of deploy-1, not $"},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* guard: check_message for what neither parent had, check_parents for an octopus; both in vault/approval/approval_signed.c */
static void test_threat_02_evil_merges(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    /* an evil merge holds what neither parent had */
	    {"merge -n --no-commit agent; echo '{\"id\": \"evil\"}' >" ACTION "; git add .; git commit -q -S -m Approve -m \"$LINE\"",
	     "commit @: its message approves # of deploy-1, not $"},
	    {"merge -n --no-commit agent; echo '{\"id\": \"mine\"}' >" ACTION
	     "; git add .; git commit -q -S -m Approve -m \"Disinto-Approve: deploy-1 $(git rev-parse :" ACTION ")\"",
	     NULL}, /* the human's own bytes, which he names */
	    /* an octopus, even a signed one */
	    {"git checkout -q -b third base; git commit -q --allow-empty -m third; echo 3 >3; git add .; git commit -q -m third; git "
	     "checkout -q main; "
	     "git merge -q --no-ff -S -m Octopus -m \"$LINE\" agent third",
	     "commit @: is a merge of 3 commits; at most 2 are allowed"},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* guard: check_commit in vault/approval/approval_signed.c */
static void test_threat_03_a_direct_push(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    /* straight to main */
	    {"git checkout -q agent -- vault; git commit -q -m direct -m \"$LINE\"", UNSIGNED},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* What the human signed once serves for nothing else. guard: commit_signature_check in vault/ssh/commit_signature.c, check_message in vault/approval/approval_signed.c */
static void test_threat_04_replayed(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    /* a signed commit on other parents, or with another tree */
	    {"merge -S -m Approve -m \"$LINE\" agent; git cat-file commit HEAD | sed \"s/^parent $(git rev-parse HEAD~1)/parent $(git "
	     "rev-parse base)/\" | "
	     "git hash-object -t commit -w --stdin >../h; git reset -q --hard $(cat ../h)",
	     "commit @: SSH signature: does not fit: the bytes were changed, or another key signed them"},
	    /* the human's older commit, merged again by the agent: not the one that landed the bytes */
	    {"git checkout -q -b side base; merge -S -m Approve -m \"$LINE\" agent; git checkout -q main; merge -m 'Merge side' side",
	     UNSIGNED},
	    /* what the human signed for another id */
	    {"merge -S -m Approve -m \"Disinto-Approve: deploy-10 $(blob agent)\" agent", NO_LINE},
	    {"merge -S -m Approve -m \"Disinto-Approve: deploy $(blob agent)\" agent", NO_LINE},
	    {"merge -S -m Approve -m \"Disinto-Approve: " ACTION " $(blob agent)\" agent", NO_LINE},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* The list is the dispatcher's, not the repository's. guard: approval.allowed_signers is the one list that dispatcher/git/approve.c reads */
static void test_threat_05_a_request_that_brings_its_own_signers(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    /* somebody else's list of signers in the repo changes nothing */
	    {"echo \"agent@example $(cat ../agent.pub)\" >signers; mkdir -p vault; cp signers vault/allowed_signers; git add .; "
	     "git commit -q -m signers; git -c user.signingkey=../agent merge -q --no-ff -S -m Approve -m \"$LINE\" agent",
	     "commit @: the key %"},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* It is a key like any other that is not on the list. guard: check in vault/ssh/commit_signature.c */
static void test_threat_06_a_forge_key_that_signs_web_merges(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"git -c user.signingkey=../agent merge -q --no-ff -S -m 'Approve' -m \"$LINE\" agent", "commit @: the key %"},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* Each edit lands anew and wants an approval of its own. guard: landings() in vault/ops/landing.c */
static void test_threat_08_edited_after_it_landed(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    /* edited after it landed */
	    {"merge -S -m Approve -m \"$LINE\" agent; echo '{\"id\": \"evil\"}' >" ACTION "; git commit -q -a -m edit -m \"$LINE\"",
	     UNSIGNED},
	    {"merge -S -m Approve -m \"$LINE\" agent; echo '{\"id\": \"evil\"}' >" ACTION "; git commit -q -S -a -m edit -m \"$LINE\"",
	     "commit @: its message approves # of deploy-1, not $"},
	    /* taken away and added again: landed anew */
	    {"merge -S -m Approve -m \"$LINE\" agent; git rm -q " ACTION
	     "; git commit -q -m away; git checkout -q agent -- vault; git commit -q -m again",
	     UNSIGNED},
	    {"merge -S -m Approve -m \"$LINE\" agent; git rm -q " ACTION "; git commit -q -m away; git revert --no-edit HEAD >/dev/null",
	     UNSIGNED},
	    /* made executable: landed anew too */
	    {"merge -S -m Approve -m \"$LINE\" agent; chmod +x " ACTION "; git commit -q -a -m mode", UNSIGNED},
	};
	run_rows(rows, ROWS(rows), ACTION);
}

/* The line: one, whole, alone, at the end. */
static void test_line(void **state)
{
	(void)state;
	static const char twice[] = "commit @: its message has 2 lines \"Disinto-Approve: deploy-1 …\"; exactly one is allowed";
	static const char elsewhere[] =
	    "commit @: the line \"Disinto-Approve: deploy-1 …\" does not stand in the last paragraph of its message";
	static const char something[] = "commit @: its message approves something else of deploy-1, not $";
	static const struct row rows[] = {
#define MERGE(options) "git merge -q --no-ff -S --cleanup=verbatim " options " agent"
	    {MERGE("-m \"Approve\n\n$LINE\""), NULL},
	    {MERGE("-m \"Approve\n\n$LINE\n\""), NULL},
	    {MERGE("-m \"Approve\n\n$LINE\n\n \t\n\""), NULL},
	    {MERGE("-m \"Approve\n \t \n$LINE\nDisinto-Approve: other-1 1234\n\""), NULL},
	    {MERGE("-m \"Approve\n\n$LINE\n$LINE\n\""), twice},
	    {MERGE("-m \"$LINE\n\n$LINE\n\""), twice},
	    {MERGE("-m \"Approve\n\nDisinto-Approve: deploy-1 0000000000000000000000000000000000000000\n$LINE\n\""), twice},
	    {MERGE("-m \"Approve\n\n$LINE\n\n* agent:\n  propose deploy-1\n\""), elsewhere},
	    {MERGE("-m \"$LINE\n\nMore words\""), elsewhere},
	    {MERGE("-m \"Approve\n\n $LINE\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\n> $LINE\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\nNot $LINE\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\n$(echo \"$LINE\" | tr 'DA' 'da')\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\nDisinto-Approve:deploy-1 $(blob agent)\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\nDisinto-Approve:  deploy-1 $(blob agent)\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\nDisinto-Approve: deploy-1\t$(blob agent)\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\nDisinto-Approve: deploy-1\n $(blob agent)\n\""), NO_LINE},
	    {MERGE("-m \"Approve\n\nDisinto-Approve: deploy-1  $(blob agent)\n\""), something},
	    {MERGE("-m \"Approve\n\n$LINE \n\""), something},
	    {MERGE("-m \"Approve\n\n$LINE really\n\""), something},
	    {MERGE("-m \"Approve\n\n$(printf '%s\\r' \"$LINE\")\n\""), something},
	    {MERGE("-m \"Approve\n\n$(printf 'Disinto-Approve: deploy-1 \\033[2J')\n\""), something},
	    {MERGE("-m \"Approve\n\nDisinto-Approve: deploy-1 1234567\n\""), "commit @: its message approves 1234567 of deploy-1, not $"},
	    {MERGE("-m \"Approve\n\nDisinto-Approve: deploy-1 \n\""), something},
	};
	run_rows(rows, ROWS(rows), ACTION);
	/* In a merge whose text is taken over from the agent's commits, as a squash has it: indented, so that it counts for nothing. */
	static const struct row squash = {"git checkout -q agent; git commit -q --amend -m propose -m \"$LINE\"; git checkout -q main; "
	                                  "git merge -q --squash agent >/dev/null; git commit -q -S --no-edit",
	                                  NO_LINE};
	run_rows(&squash, 1, ACTION);
}

/* Formulas, secrets and policy are approved by their path. */
static void test_other_files(void **state)
{
	(void)state;
	static const char *const paths[] = {"vault/formulas/new.yaml", "vault/secrets/TOKEN.age", "vault/policy.yaml"};

	for (size_t i = 0; i < ROWS(paths); i++) {
		cleanup_free char *add =
		    xasprintf("git checkout -q agent; echo new >%s; git add .; git commit -q -m new; git checkout -q main; ", paths[i]);
		cleanup_free char *line = xasprintf("Disinto-Approve: %s $(git rev-parse agent:%s)", paths[i], paths[i]);
		cleanup_free char *good = xasprintf("%smerge -S -m Approve -m \"%s\n$LINE\" agent", add, line);
		cleanup_free char *without = xasprintf("%smerge -S -m Approve -m \"$LINE\" agent", add);
		cleanup_free char *words = xasprintf("commit @: its message has no line \"Disinto-Approve: %s $\"", paths[i]);
		const struct row rows[] = {{good, NULL}, {without, words}};

		run_rows(rows, 2, paths[i]);
		run_rows(rows, 1, ACTION); /* one commit may approve several */
	}
}

/* What the caller says is checked: a commit that did not bring these bytes approves nothing. */
static void test_wrong_landing(void **state)
{
	(void)state;
	char *by = NULL;
	git_oid tip, older, blob, other;

	git("merge -S -m Approve -m \"$LINE\" agent; git commit -q -S --allow-empty -m 'Later' -m \"$LINE\"");
	cleanup_free char *hex = output_of("cd repo; git rev-parse main~1:" ACTION, NULL, NULL);
	assert_int_equal(git_oid_fromstr(&blob, hex), 0);
	assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/main"), 0);
	cleanup_free char *words = xasprintf(ACTION ": is not approved: commit %.10s: did not bring these bytes", git_oid_tostr_s(&tip));
	assert_refused(approval_signed(repo, &(struct approval_file){ACTION, &blob, &tip}, signers, &later, &by, err), ERR_INVALID, words);

	cleanup_free char *parent = output_of("cd repo; git rev-parse main~1", NULL, NULL);
	assert_int_equal(git_oid_fromstr(&older, parent), 0);
	assert_int_equal(approval_signed(repo, &(struct approval_file){ACTION, &blob, &older}, signers, &later, &by, NULL), 0);
	free(by);
	by = NULL;
	git_oid_cpy(&other, &tip);
	cleanup_free char *again = xasprintf(ACTION ": is not approved: commit %.10s: did not bring these bytes", git_oid_tostr_s(&older));
	assert_refused(approval_signed(repo, &(struct approval_file){ACTION, &other, &older}, signers, &later, &by, err), ERR_INVALID,
	               again);
	/* Not now: the future, and what can't be read. */
	struct err err = ERR_INIT;
	assert_int_equal(approval_signed(repo, &(struct approval_file){ACTION, &blob, &older}, signers, &sooner, &by, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
	git_oid_fromstr(&other, "00000000000000000000000000000000000000aa");
	assert_int_equal(approval_signed(repo, &(struct approval_file){ACTION, &blob, &other}, signers, &later, &by, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
	err_clear(&err);
	assert_null(by);
}

static void test_line_as_written(void **state)
{
	(void)state;
	cleanup_buf struct buf b = BUF_INIT;
	git_oid blob;
	git_oid_fromstr(&blob, "0123456789abcdef0123456789abcdef01234567");
	approval_line(ACTION, &blob, &b);
	approval_line("vault/formulas/hello.yaml", &blob, &b);
	approval_line("vault/actions/deploy-1.result.json", &blob, &b);
	assert_string_equal(b.data, "Disinto-Approve: deploy-1 0123456789abcdef0123456789abcdef01234567\n"
	                            "Disinto-Approve: vault/formulas/hello.yaml 0123456789abcdef0123456789abcdef01234567\n"
	                            "Disinto-Approve: vault/actions/deploy-1.result.json 0123456789abcdef0123456789abcdef01234567\n");
}

/* The walk agrees with git's own. */
static void test_landings(void **state)
{
	(void)state;
	static const char *const paths[] = {
	    ACTION, "vault/formulas/hello.yaml", "vault/secrets/A.age", "vault/actions/.gitkeep", "vault/policy.yaml", "vault/formulas"};
	struct landing v[ROWS(paths)];
	struct err err = ERR_INIT;
	git_oid tip;

	git("echo 1 >vault/secrets/A.age; git add .; git commit -qm a; echo x >README; git add .; git commit -qm readme; merge -m merge "
	    "agent; "
	    "echo 2 >vault/secrets/A.age; git commit -qam b; echo 1 >vault/secrets/A.age; git commit -qam back; echo p >vault/policy.yaml; "
	    "git add .; git commit -qm p; "
	    "git rm -q vault/policy.yaml; git commit -qm nop; chmod +x vault/formulas/hello.yaml; git commit -qam mode; git commit -q "
	    "--allow-empty -m last");
	for (size_t i = 0; i < ROWS(paths); i++)
		v[i] = (struct landing){.path = paths[i]};
	assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/main"), 0);
	assert_ok(landings(repo, &tip, v, ROWS(v), &err), &err);
	assert_false(v[4].found);
	for (size_t i = 0; i < 4; i++) {
		cleanup_free char *theirs = output_of("cd repo; git log -1 --first-parent -m --format=%H main -- \"$1\"", paths[i], NULL);
		cleanup_free char *depth = output_of("cd repo; git rev-list --count --first-parent \"$1..main\"", theirs, NULL);
		assert_true(v[i].found);
		assert_string_equal(git_oid_tostr_s(&v[i].commit), theirs);
		assert_int_equal(v[i].depth, atoi(depth));
	}
	assert_int_equal(v[1].mode, GIT_FILEMODE_BLOB_EXECUTABLE);
	assert_true(v[5].found);
	assert_int_equal(v[5].mode, GIT_FILEMODE_TREE); /* for the reader to refuse */
}

/* An object that is missing is not a file that was absent, nor one that landed just there. */
static void test_landing_with_holes(void **state)
{
	(void)state;
	static const char *const gone[] = {"main~1", "main~1^{tree}", "main~1:vault", "main~1:vault/formulas"};

	for (size_t i = 0; i < ROWS(gone); i++) {
		struct landing l = {.path = "vault/formulas/hello.yaml"};
		struct err err = ERR_INIT;
		git_oid tip;

		new_repo(NULL);
		git("echo 1 >vault/formulas/other.yaml; echo 1 >vault/a; git add .; git commit -qm one; echo 2 >vault/formulas/other.yaml; "
		    "echo 2 >vault/a; git commit -qam two");
		must_run("cd repo; o=$(git rev-parse \"$1\"); rm -f .git/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-)", gone[i],
		         NULL);
		assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/main"), 0);
		assert_int_equal(landings(repo, &tip, &l, 1, &err), -1);
		assert_int_equal(err.code, ERR_FAIL);
		assert_memory_equal(err_msg(&err), "the history can't be read: object ", 34);
		err_clear(&err);
		drop_repo(NULL);
	}
}

/* A tree of the tip that is malformed says nothing; one of the past holds nothing. */
static void test_landing_malformed(void **state)
{
	(void)state;
	struct landing l = {.path = "vault/formulas/hello.yaml"};
	struct err err = ERR_INIT;
	git_oid tip;

	git("b=$(git rev-parse main:vault/formulas/hello.yaml); "
	    "h=$(printf %s $b | sed 's/../\\\\x&/g'); env printf \"100644 hello.yaml\\0${h}100644 hello.yaml\\0$h\" >../t; "
	    "f=$(git hash-object -t tree -w --literally ../t); v=$(printf '040000 tree %s\\tformulas\\n' $f | git mktree); r=$(printf "
	    "'040000 tree %s\\tvault\\n' $v | git mktree); "
	    "c=$(git commit-tree -p main -m bad $r); git update-ref refs/heads/bad $c; git update-ref refs/heads/mended $(git commit-tree "
	    "-p $c -m mended main^{tree})");
	assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/bad"), 0);
	assert_int_equal(landings(repo, &tip, &l, 1, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	err_clear(&err);
	assert_int_equal(git_reference_name_to_id(&tip, repo, "refs/heads/mended"), 0);
	assert_ok(landings(repo, &tip, &l, 1, &err), &err);
}

int main(void)
{
#define IN_REPO(test) cmocka_unit_test_setup_teardown(test, new_repo, drop_repo)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_merges),
	    cmocka_unit_test(test_threat_01_pushed_after_the_review),
	    cmocka_unit_test(test_threat_02_evil_merges),
	    cmocka_unit_test(test_threat_03_a_direct_push),
	    cmocka_unit_test(test_threat_04_replayed),
	    cmocka_unit_test(test_threat_05_a_request_that_brings_its_own_signers),
	    cmocka_unit_test(test_threat_06_a_forge_key_that_signs_web_merges),
	    cmocka_unit_test(test_threat_08_edited_after_it_landed),
	    cmocka_unit_test(test_line),
	    cmocka_unit_test(test_other_files),
	    IN_REPO(test_wrong_landing),
	    cmocka_unit_test(test_line_as_written),
	    IN_REPO(test_landings),
	    cmocka_unit_test(test_landing_with_holes),
	    IN_REPO(test_landing_malformed),
	};
	return cmocka_run_group_tests_name("approval_signed", tests, setup, teardown);
}
