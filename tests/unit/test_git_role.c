/* The git role as core sees it: a process at the other end of a socket, in front of a real repository. */
#include "tests/unit/git_house.h"

#include <dirent.h>

static void test_announces_once(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	land_basics(h);
	git_oid landing = land_action(h, "a", "\"KEY\"");
	git_oid tip = land(h->f.repo, "vault/actions/Bad.json", "{}");

	start(h);
	cleanup_free char *first = until_polled(h, all);
	assert_string_equal(first, "landed a\npolled yes\n");
	const json_t *m = json_array_get(all, 0), *polled = json_array_get(all, 1),
	             *secret = json_object_get(json_object_get(m, "secrets"), "KEY");
	assert_string_equal(str(m, "commit"), git_oid_tostr_s(&landing));
	assert_string_equal(str(m, "formula_name"), "f");
	assert_string_equal(str(m, "formula"), "name: f");
	assert_string_equal(str(secret, "age"), "Y2lwaGVydGV4dA==");
	assert_int_equal(strlen(str(secret, "blob")), 40);
	assert_int_equal(strlen(str(m, "action_blob")), 40);
	assert_null(str(m, "refuse"));
	assert_string_equal(str(polled, "tip"), git_oid_tostr_s(&tip));
	assert_true(json_is_true(json_object_get(polled, "scanned")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(polled, "misnamed"), 0)), "vault/actions/Bad.json");

	expect_poll(h, "polled yes\n");
	land(h->f.repo, "README.md", "x");
	expect_poll(h, "polled yes\n");
	land_action(h, "b", "");
	expect_poll(h, "landed b\npolled yes\n");
	land_action(h, "a", ""); /* an edit */
	expect_poll(h, "landed a\npolled yes\n");
	land(h->f.repo, "vault/actions/b.cancel.json", "{\"reason\": \"no longer needed\"}");
	expect_poll(h, "cancel b\npolled yes\n");
	expect_poll(h, "polled yes\n");
	assert_int_equal(stop(h), 0);
	expect_first(h, "cancel b\nlanded b\nlanded a\npolled yes\n"); /* in order of landing */
}

static void test_cancel_reason(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	land_basics(h);
	land(h->f.repo, "vault/actions/a.cancel.json", "{\"reason\": \"no longer needed\"}");
	land(h->f.repo, "vault/actions/b.cancel.json", "not JSON");
	start(h);
	cleanup_free char *first = until_polled(h, all);
	assert_string_equal(first, "cancel a\ncancel b\npolled yes\n");
	assert_string_equal(str(json_array_get(all, 0), "reason"), "cancelled: no longer needed");
	assert_string_equal(str(json_array_get(all, 1), "reason"), "cancelled by vault/actions/b.cancel.json");
}

static void test_gone(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	land_basics(h);
	land_action(h, "a", "");
	land_action(h, "b", "");
	land(h->f.repo, "vault/actions/done.json", "{}");
	land(h->f.repo, "vault/actions/done.result.json", "{}");
	expect_first(h, "landed a\nlanded b\npolled yes\n");
	land(h->f.repo, "vault/actions/a.result.json", "{}");
	land(h->f.repo, "vault/actions/b.json", NULL);
	cleanup_free char *got = poll_for(h, all);
	assert_string_equal(got, "gone a\ngone b\npolled yes\n");
	assert_true(json_is_true(json_object_get(json_array_get(all, 0), "ok")));
	assert_string_equal(str(json_array_get(all, 0), "reason"), "vault/actions/a.result.json stands there, written by somebody else");
	assert_false(json_is_true(json_object_get(json_array_get(all, 1), "ok")));
	assert_string_equal(str(json_array_get(all, 1), "reason"), "vault/actions/b.json was removed");
}

static void test_refuse_and_wait(void **state)
{
	struct house *h = *state;
	land_action(h, "a", "");
	expect_first(h, "landed a refuse\npolled yes\n"); /* no formula */
	land_basics(h);
	land(h->f.repo, "vault/actions/b.json", "\xff");
	land_action(h, "c", "\"OTHER\"");
	land_action(h, "d", "\"KEY\"");
	expect_poll(h, "landed b refuse\nlanded c refuse\nlanded d\npolled yes\n");

	/* An id whose result was removed stays taken. */
	land_action(h, "g", "");
	land(h->f.repo, "vault/actions/g.result.json", "{}");
	expect_poll(h, "polled yes\n");
	land(h->f.repo, "vault/actions/g.result.json", NULL);
	expect_poll(h, "landed g wait\npolled yes\n");
	stop(h);
	expect_first(h, "landed a refuse\nlanded b refuse\nlanded c refuse\nlanded d\nlanded g wait\npolled yes\n");
}

static void test_only(void **state)
{
	struct house *h = *state;
	land_basics(h);
	land_action(h, "a", "");
	land_action(h, "b", "");
	h->args.only = "b";
	expect_first(h, "landed b\npolled yes\n");
}

static json_t *record(const char *id, const char *text)
{
	return msg_new(MSG_RECORD, "{s:s, s:s}", "id", id, "result", text);
}

static void expect_next(struct house *h, const char *kind, const char *id, json_t **ret)
{
	json_t *m = next(h);
	assert_string_equal(str(m, "kind"), kind);
	if (id)
		assert_string_equal(str(m, "id"), id);
	if (ret)
		*ret = m;
	else
		json_decref(m);
}

static git_commit *server_tip(struct house *h)
{
	git_oid oid;
	git_commit *c = NULL;
	assert_int_equal(git_reference_name_to_id(&oid, h->f.repo, "refs/heads/main"), 0);
	assert_int_equal(git_commit_lookup(&c, h->f.repo, &oid), 0);
	return c;
}

static void expect_file(struct house *h, const char *path, const char *want)
{
	struct err err = ERR_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_git(git_commit) git_commit *tip = server_tip(h);
	git_oid oid;
	git_filemode_t mode;
	assert_ok(git_repo_entry(h->f.repo, git_commit_id(tip), path, &oid, &mode, &err), &err);
	assert_ok(git_repo_blob(h->f.repo, &oid, 65536, &text, &err), &err);
	assert_string_equal(text.data, want);
	assert_int_equal(mode, GIT_FILEMODE_BLOB);
}

static void test_records(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *m = NULL;
	land_basics(h);
	land_action(h, "a", "");
	expect_first(h, "landed a\npolled yes\n");
	send_msg(h, record("a", "{}\n"));
	expect_next(h, "recorded", "a", &m);
	cleanup_git(git_commit) git_commit *tip = server_tip(h);
	assert_string_equal(str(m, "commit"), git_oid_tostr_s(git_commit_id(tip)));
	assert_string_equal(git_commit_message(tip), "vault: result for a\n");
	assert_string_equal(git_commit_author(tip)->name, "disinto-dispatcher");
	assert_string_equal(git_commit_author(tip)->email, "edge1@disinto");
	expect_file(h, "vault/actions/a.result.json", "{}\n");
	expect_file(h, "vault/formulas/f.yaml", "name: f");
	expect_poll(h, "polled yes\n"); /* our own result is no news */

	/* Asked again, after a crash of core say: it is there. And what has no action is committed all the same. */
	send_msg(h, record("a", "{}\n"));
	expect_next(h, "recorded", "a", NULL);
	cleanup_git(git_commit) git_commit *same = server_tip(h);
	assert_true(git_oid_equal(git_commit_id(tip), git_commit_id(same)));
	send_msg(h, record("orphan", "{}\n"));
	expect_next(h, "recorded", "orphan", NULL);
	expect_file(h, "vault/actions/orphan.result.json", "{}\n");
	expect_poll(h, "polled yes\n");
}

static void test_group_commit(void **state)
{
	struct house *h = *state;
	struct err err = ERR_INIT;
	git_oid before = land_basics(h);
	expect_first(h, "polled yes\n");
	for (int i = 0; i < 5; i++) {
		cleanup_free char *id = xasprintf("r%d", i);
		cleanup_json json_t *m = record(id, "{}");
		msg_queue(&h->conn, m, -1);
	}
	assert_ok(msg_flush(&h->conn, &err), &err);
	for (int i = 0; i < 5; i++)
		expect_next(h, "recorded", NULL, NULL);
	cleanup_git(git_commit) git_commit *tip = server_tip(h);
	assert_string_equal(git_commit_message(tip), "vault: 5 results\n");
	assert_true(git_oid_equal(git_commit_parent_id(tip, 0), &before));
}

/* Guard: SPACING_MS in dispatcher/git/record.c. While others run, the next push waits until the last one is half a second old. */
static void test_pushes_are_spaced(void **state)
{
	struct house *h = *state;
	land_basics(h);
	land_action(h, "a", "");
	land_action(h, "b", "");
	land_action(h, "c", "");
	expect_first(h, "landed a\nlanded b\nlanded c\npolled yes\n");
	int64_t before = now_mono_ms();
	send_msg(h, record("a", "{}"));
	expect_next(h, "recorded", "a", NULL);
	send_msg(h, record("b", "{}"));
	expect_next(h, "recorded", "b", NULL);
	assert_true(now_mono_ms() - before >= 500);
	send_msg(h, record("c", "{}"));
	expect_next(h, "recorded", "c", NULL);
}

/* Somebody pushed since the last poll: our result goes on top of theirs, and theirs is announced. */
static void lost_race(struct house *h)
{
	land_basics(h);
	expect_first(h, "polled yes\n");
	git_oid theirs = land_action(h, "theirs", "");
	send_msg(h, record("a", "{}"));
	expect_next(h, "recorded", "a", NULL);
	cleanup_git(git_commit) git_commit *tip = server_tip(h);
	assert_true(git_oid_equal(git_commit_parent_id(tip, 0), &theirs));
	cleanup_free char *got = until_polled(h, NULL);
	assert_string_equal(got, "landed theirs\npolled yes\n");
}

static void test_lost_race(void **state)
{
	lost_race(*state);
}

static void test_over_http(void **state)
{
	struct house *h = *state;
	h->config.ops_repo = serve(&h->f, "http", "s3cret");
	h->config.git_token_file = xasprintf("%s/token", h->f.dir);
	write_file(h->config.git_token_file, "s3cret\n", 0400);
	lost_race(h);
	expect_poll(h, "polled yes\n");
	assert_int_equal(stop(h), 0);
	free(h->config.ops_repo);
	free(h->config.git_token_file);
}

static void test_result_by_another(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *m = NULL;
	land_basics(h);
	land_action(h, "a", "");
	expect_first(h, "landed a\npolled yes\n");
	land(h->f.repo, "vault/actions/a.result.json", "theirs");
	send_msg(h, record("a", "ours"));
	expect_next(h, "gone", "a", &m);
	assert_true(json_is_true(json_object_get(m, "ok")));
	expect_file(h, "vault/actions/a.result.json", "theirs");
	cleanup_free char *got = until_polled(h, NULL);
	assert_string_equal(got, "polled yes\n");
}

static void install_hook(struct house *h, const char *name, const char *script)
{
	cleanup_free char *path = xasprintf("%s/hooks/%s", h->f.repo_path, name);
	if (script)
		write_file(path, script, 0755);
	else
		assert_int_equal(unlink(path), 0);
}

static void test_declined(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *bad = NULL;
	land_basics(h);
	expect_first(h, "polled yes\n");
	install_hook(h, "pre-receive", "#!/bin/sh\nprintf 'branch is protected \\377\\n'\nexit 1\n");
	send_msg(h, record("a", "{}"));
	expect_next(h, "record_state", NULL, &bad);
	assert_false(json_is_true(json_object_get(bad, "ok")));
	assert_non_null(strstr(str(bad, "reason"), "branch is protected"));
	assert_int_equal(json_integer_value(json_object_get(bad, "waiting")), 1);
	expect_poll(h, "polled yes\n"); /* and no second word of it, though it was tried again */
	usleep(1500000);
	expect_poll(h, "polled yes\n");
	install_hook(h, "pre-receive", NULL);
	cleanup_json json_t *good = NULL;
	expect_next(h, "recorded", "a", NULL);
	expect_next(h, "record_state", NULL, &good);
	assert_true(json_is_true(json_object_get(good, "ok")));
}

/* The ref is written and the answer lost: the server is asked, and nothing is pushed twice. */
static void test_answer_lost(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *m = NULL;
	git_oid before = land_basics(h);
	expect_first(h, "polled yes\n");
	install_hook(h, "reference-transaction", "#!/bin/sh\n[ \"$1\" != committed ] || kill -9 $PPID\n");
	send_msg(h, record("a", "{}"));
	expect_next(h, "recorded", "a", &m);
	install_hook(h, "reference-transaction", NULL);
	cleanup_git(git_commit) git_commit *tip = server_tip(h);
	assert_string_equal(str(m, "commit"), git_oid_tostr_s(git_commit_id(tip)));
	assert_true(git_oid_equal(git_commit_parent_id(tip, 0), &before));
}

static void test_empty_repository(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	start(h);
	cleanup_free char *first = until_polled(h, all);
	assert_string_equal(first, "polled yes\n");
	assert_null(str(json_array_get(all, 0), "tip"));
	send_msg(h, record("early", "{}")); /* there is nothing to put it on yet */
	expect_poll(h, "polled yes\n");
	land_basics(h);
	land_action(h, "early", ""); /* what is done is no news */
	land_action(h, "a", "");
	expect_poll(h, "landed a\npolled yes\n");
	expect_next(h, "recorded", "early", NULL);
}

static void test_server_away(void **state)
{
	struct house *h = *state;
	cleanup_free char *away = xasprintf("%s.away", h->f.repo_path);
	land_basics(h);
	expect_first(h, "polled yes\n");
	assert_int_equal(rename(h->f.repo_path, away), 0);
	expect_poll(h, "polled no\n");
	send_msg(h, record("a", "{}"));
	expect_next(h, "record_state", NULL, NULL);
	assert_int_equal(rename(away, h->f.repo_path), 0);
	land_action(h, "b", "");
	cleanup_free char *got = poll_for(h, NULL);
	/* The result may be tried before or after the poll. */
	assert_non_null(strstr(got, "landed b\n"));
	if (!strstr(got, "recorded a"))
		expect_next(h, "recorded", "a", NULL);
}

static void test_branch_missing(void **state)
{
	struct house *h = *state;
	git_oid oid;
	git_oid tip = land_basics(h);
	expect_first(h, "polled yes\n");
	assert_int_equal(git_reference_remove(h->f.repo, "refs/heads/main"), 0);
	expect_poll(h, "polled no\n");
	send_msg(h, record("a", "{}"));
	expect_poll(h, "polled no\n");
	assert_int_equal(git_reference_name_to_id(&oid, h->f.repo, "refs/heads/main"), GIT_ENOTFOUND);
	set_ref(h->f.repo, "refs/heads/main", &tip);
	expect_poll(h, "polled yes\n");
	expect_next(h, "recorded", "a", NULL);
}

static void test_malformed_folder(void **state)
{
	struct house *h = *state;
	cleanup_json json_t *all = json_array();
	land_basics(h);
	land_action(h, "a", "");
	expect_first(h, "landed a\npolled yes\n");
	land(h->f.repo, "vault/actions/a.json", NULL);
	land(h->f.repo, "vault/actions", "a file");
	cleanup_free char *got = poll_for(h, all);
	assert_string_equal(got, "polled no\n");
	assert_string_equal(str(json_array_get(all, 0), "reason"), "walk the history: vault/actions is not a folder");
	expect_poll(h, "polled no\n");
	land(h->f.repo, "vault/actions", NULL);
	land_action(h, "a", "");
	land_action(h, "b", "");
	expect_poll(h, "landed b\npolled yes\n"); /* a was never away, as far as can be believed */
}

static void truncate_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		cleanup_free char *path = xasprintf("%s/%s", dir, e->d_name);
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			truncate_all(path);
		else if (e->d_type == DT_REG) {
			chmod(path, 0600);
			assert_int_equal(truncate(path, 0), 0);
		}
	}
	if (d)
		closedir(d);
}

/* Power was lost, and nothing of the clone had reached the disk but names: it is made again. */
static void test_clone_broken(void **state)
{
	struct house *h = *state;
	cleanup_free char *clone = xasprintf("%s/ops.git", h->config.spool);
	cleanup_free char *objects = xasprintf("%s/objects", clone);
	land_basics(h);
	land_action(h, "a", "");
	const char *broken[] = {objects, clone};
	for (int i = 0; i < 2; i++) {
		expect_first(h, "landed a\npolled yes\n");
		stop(h);
		truncate_all(broken[i]);
		start(h);
		cleanup_free char *got = until_polled(h, NULL);
		for (int tries = 0; !strstr(got, "polled yes") && tries < 6; tries++) {
			free(got);
			got = poll_for(h, NULL);
		}
		assert_string_equal(got, "landed a\npolled yes\n");
		send_msg(h, record("r", "{}"));
		expect_next(h, "recorded", "r", NULL);
		stop(h);
	}
}

/*
 * A server that names its branches and gives nonsense for them: what is said of it stays the same, also when the clone is made anew on the way, so
 * that the log has one line. guard: fetch in dispatcher/git/poll.c
 */
static void test_trouble_stays_the_same(void **state)
{
	struct house *h = *state;
	struct err err = ERR_INIT;
	static const char program[] =
	    "#!/bin/sh\n[ -z \"$GIT_PROTOCOL\" ] || exec /usr/lib/git-core/git-upload-pack \"$@\"\nprintf '0009junk\\n'\n";
	cleanup_free char *bin = xasprintf("%s/bin", h->f.dir), *path = xasprintf("%s:%s", bin, getenv("PATH"));
	cleanup_free char *file = xasprintf("%s/git-upload-pack", bin), *before = xstrdup(getenv("PATH")), *first = NULL;
	assert_int_equal(mkdir(bin, 0700), 0);
	assert_ok(file_write(file, program, strlen(program), 0700, &err), &err);
	land_basics(h);
	setenv("PATH", path, 1);
	start(h);
	setenv("PATH", before, 1);
	for (int i = 0; i < 9; i++) {
		cleanup_json json_t *all = json_array();
		cleanup_free char *got = i == 0 ? until_polled(h, all) : poll_for(h, all);
		const char *reason = str(json_array_get(all, 0), "reason");
		assert_string_equal(got, "polled no\n");
		if (!first)
			first = xstrdup(reason);
		assert_string_equal(reason, first);
	}
	assert_int_equal(unlink(file), 0);
	expect_poll(h, "polled yes\n");
}

static void test_nonsense_ends_it(void **state)
{
	struct house *h = *state;
	expect_first(h, "polled yes\n");
	send_msg(h, msg_new(MSG_GO, "{s:s, s:i}", "id", "a", "attempt", 1));
	int status;
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	h->pid = 0;
	assert_int_equal(WEXITSTATUS(status), 1);
	msg_conn_close(&h->conn);
	start(h);
	send_msg(h, record("../x", "{}"));
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	h->pid = 0;
	assert_int_equal(WEXITSTATUS(status), 1);
}

/* A poll that finds nothing touches no file. */
static void test_idle_writes_nothing(void **state)
{
	struct house *h = *state;
	cleanup_buf struct buf out = BUF_INIT;
	land_basics(h);
	expect_first(h, "polled yes\n");
	usleep(20000);
	cleanup_free char *mark = xasprintf("%s/mark", h->f.dir);
	write_file(mark, "", 0600);
	usleep(20000);
	for (int i = 0; i < 3; i++)
		expect_poll(h, "polled yes\n");
	assert_int_equal(RUN(&out, "find", h->config.spool, "-newer", mark), 0);
	assert_string_equal(out.data, "");
}

/* Many polls with news: the clone is compacted on the way and nothing is missed. */
static void test_compaction(void **state)
{
	struct house *h = *state;
	cleanup_buf struct buf out = BUF_INIT;
	cleanup_free char *packs = xasprintf("%s/ops.git/objects/pack", h->config.spool);
	land_basics(h);
	expect_first(h, "polled yes\n");
	for (int i = 0; i < 70; i++) {
		cleanup_free char *id = xasprintf("a%d", i);
		cleanup_free char *want = xasprintf("landed a%d\npolled yes\n", i);
		land_action(h, id, "");
		expect_poll(h, want);
	}
	send_msg(h, record("a0", "{}"));
	expect_next(h, "recorded", "a0", NULL);
	assert_int_equal(RUN(&out, "find", packs, "-name", "*.pack"), 0);
	size_t n = 0;
	for (const char *p = out.data; (p = strchr(p, '\n')); p++)
		n++;
	assert_in_range(n, 1, 20);
}

/* Only the protected branch counts. guard: clone_fetch in dispatcher/git/clone.c fetches that one ref */
static void test_threat_03_a_side_branch(void **state)
{
	struct house *h = *state;
	git_oid base = land_basics(h);
	const char *text = "{\"id\": \"a\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}";
	git_oid side = commit_on(h->f.repo, &base, &(struct git_change){"vault/actions/a.json", text, strlen(text)}, 1, "propose");
	set_ref(h->f.repo, "refs/heads/vault/a", &side);
	set_ref(h->f.repo, "refs/heads/main2", &side);
	set_ref(h->f.repo, "refs/tags/main", &side);
	set_ref(h->f.repo, "refs/pull/1/head", &side);
	expect_first(h, "polled yes\n");
	set_ref(h->f.repo, "refs/heads/main", &side);
	expect_poll(h, "landed a\npolled yes\n");
}

/*
 * The branch is rewound to before a result, by somebody's hand or by a replica that lags behind: the id stays taken. guard: ops_past_removed, asked by judge() in
 * dispatcher/git/announce.c
 */
static void test_threat_07_an_older_tip_frees_no_id(void **state)
{
	struct house *h = *state;
	land_basics(h);
	git_oid before = land_action(h, "a", "");
	expect_first(h, "landed a\npolled yes\n");
	send_msg(h, record("a", "{}"));
	expect_next(h, "recorded", "a", NULL);
	expect_poll(h, "polled yes\n");
	git_oid newer;
	assert_int_equal(git_reference_name_to_id(&newer, h->f.repo, "refs/heads/main"), 0);

	set_ref(h->f.repo, "refs/heads/main", &before); /* the replica */
	expect_poll(h, "polled yes\n");
	assert_true(h->frozen);
	set_ref(h->f.repo, "refs/heads/main", &newer);
	expect_poll(h, "polled yes\n");
	git_oid rewritten = commit_on(h->f.repo, &before, &(struct git_change){"README.md", "x", 1}, 1, "rewritten");
	set_ref(h->f.repo, "refs/heads/main", &rewritten);
	expect_poll(h, "polled yes\n");
	send_msg(h, msg_new(MSG_DECIDE, "{s:i, s:s}", "ask", 7, "what", "history"));
	json_decref(next(h));
	cleanup_free char *accepted = until_polled(h, NULL);
	assert_string_equal(accepted, "landed a wait\npolled yes\n");
	stop(h);
	expect_first(h, "landed a wait\npolled yes\n");
}

/* Whoever brings the result with the action has said that it is done. guard: result.there in on_change, dispatcher/git/announce.c */
static void test_threat_10_a_request_with_its_own_result(void **state)
{
	struct house *h = *state;
	const char *a = "{\"id\": \"a\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}";
	const char *b = "{\"id\": \"b\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}";
	const struct git_change both[] = {{"vault/actions/a.json", a, strlen(a)},
	                                  {"vault/actions/a.result.json", "{\"outcome\": \"succeeded\"}", 24},
	                                  {"vault/actions/b.json", b, strlen(b)}};
	git_oid base = land_basics(h);
	git_oid merge = commit_on(h->f.repo, &base, both, 3, "merge");
	set_ref(h->f.repo, "refs/heads/main", &merge);
	expect_first(h, "landed b\npolled yes\n");
	land(h->f.repo, "vault/actions/a.result.json", NULL); /* nor is it free again when that is taken away */
	expect_poll(h, "landed a wait\npolled yes\n");
}

#define MANY 1000

/* guard: announce_found in dispatcher/git/announce.c says all that a scan found, each once, in one order */
static void test_threat_11_a_thousand_actions_in_one_merge(void **state)
{
	struct house *h = *state;
	struct git_change changes[MANY];
	cleanup_buf struct buf want = BUF_INIT;
	git_oid base = land_basics(h);
	for (int i = 0; i < MANY; i++) {
		char *path = xasprintf("vault/actions/m%04d.json", i);
		char *text =
		    i == 500 ? xstrdup("{") : xasprintf("{\"id\": \"m%04d\", \"formula\": \"f\", \"context\": \"c\", \"secrets\": []}", i);
		changes[i] = (struct git_change){path, text, strlen(text)};
		buf_addf(&want, "landed m%04d%s\n", i, i == 500 ? " refuse" : "");
	}
	buf_adds(&want, "polled yes\n");
	git_oid merge = commit_on(h->f.repo, &base, changes, MANY, "merge");
	set_ref(h->f.repo, "refs/heads/main", &merge);
	expect_first(h, want.data);
	expect_poll(h, "polled yes\n");
	land_action(h, "later", "");
	expect_poll(h, "landed later\npolled yes\n");
	for (int i = 0; i < MANY; i++) {
		free((char *)(uintptr_t)changes[i].path);
		free((char *)(uintptr_t)changes[i].content);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_announces_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cancel_reason, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refuse_and_wait, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_records, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_group_commit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pushes_are_spaced, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_race, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_over_http, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_result_by_another, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_declined, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_answer_lost, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_empty_repository, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_server_away, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_branch_missing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_malformed_folder, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clone_broken, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_trouble_stays_the_same, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nonsense_ends_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_idle_writes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_compaction, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_03_a_side_branch, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_07_an_older_tip_frees_no_id, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_10_a_request_with_its_own_result, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threat_11_a_thousand_actions_in_one_merge, setup, teardown),
	};
	return cmocka_run_group_tests_name("git_role", tests, NULL, NULL);
}
