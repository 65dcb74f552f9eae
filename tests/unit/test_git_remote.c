/* Polling, fetching and pushing, against real servers of every kind and against broken ones. */
#include "lib/git_transport.h"
#include "tests/unit/git_fixture.h"

static const char *const main_only[] = {"refs/heads/main", NULL};
static const struct git_fetch_spec main_to_seen[] = {{"refs/heads/main", "refs/disinto/main"}, {NULL, NULL}};

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

static git_repository *new_clone(struct fixture *f, const char *name)
{
	struct err err = ERR_INIT;
	git_repository *clone = NULL;
	cleanup_free char *path = xasprintf("%s/%s", f->dir, name);
	assert_ok(git_repo_open(path, &clone, &err), &err);
	return clone;
}

static void expect_refs(const struct git_place *place, size_t n, const git_oid *main)
{
	struct err err = ERR_INIT;
	struct git_refs refs = {NULL, 0};
	struct git_poller *poller = git_poller_new(place);
	for (int i = 0; i < 2; i++) { /* the second time on the same connection */
		assert_ok(git_poller_refs(poller, main_only, &refs, &err), &err);
		assert_int_equal(refs.n, n);
		if (main)
			assert_true(git_oid_equal(git_refs_find(&refs, "refs/heads/main"), main));
		git_refs_free(&refs);
	}
	git_poller_free(poller);
}

/* An empty repository, the first push, a fetch by somebody else, the second push, and a third that comes too late. */
static void whole_life(struct fixture *f, const struct git_place *place)
{
	struct err err = ERR_INIT;
	git_repository *one = new_clone(f, "one"), *two = new_clone(f, "two");
	git_oid got;

	expect_refs(place, 0, NULL);
	assert_int_equal(git_fetch(two, place, main_to_seen, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	git_oid first = commit_on(one, NULL, &(struct git_change){"a", "1", 1}, 1, "first");
	assert_int_equal(git_push_ref(one, place, NULL, &first, "refs/heads/main", &err), GIT_PUSH_WON);
	/* Names that merely begin like the one asked for are others. */
	set_ref(f->repo, "refs/heads/main-2", &first);
	expect_refs(place, 1, &first);

	assert_ok(git_fetch(two, place, main_to_seen, &err), &err);
	assert_int_equal(git_reference_name_to_id(&got, two, "refs/disinto/main"), 0);
	assert_true(git_oid_equal(&got, &first));
	git_oid second = commit_on(two, &first, &(struct git_change){"b", "2", 1}, 1, "second");
	assert_int_equal(git_push_ref(two, place, &first, &second, "refs/heads/main", &err), GIT_PUSH_WON);
	git_oid late = commit_on(one, &first, &(struct git_change){"c", "3", 1}, 1, "late");
	assert_int_equal(git_push_ref(one, place, &first, &late, "refs/heads/main", &err), GIT_PUSH_LOST);
	assert_int_equal(err.code, ERR_EXISTS);
	expect_refs(place, 1, &second);
	git_oid root = commit_on(one, NULL, NULL, 0, "another root");
	assert_int_equal(git_push_ref(one, place, NULL, &root, "refs/heads/main", &err), GIT_PUSH_LOST);
	expect_refs(place, 1, &second);
	err_clear(&err);
	git_repository_free(one);
	git_repository_free(two);
}

static void test_local(void **state)
{
	struct fixture *f = *state;
	struct git_place place = {.url = f->repo_path};
	whole_life(f, &place);
}

static void test_file_url(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *url = xasprintf("file://%s", f->repo_path);
	struct git_place place = {.url = url};
	whole_life(f, &place);
}

static void test_daemon(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *url = serve(f, "daemon", NULL);
	struct git_place place = {.url = url};
	whole_life(f, &place);
}

static void test_http(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *url = serve(f, "http", "s3cret");
	cleanup_free char *token = xasprintf("%s/token", f->dir);
	struct git_place place = {.url = url, .token_file = token};
	write_file(token, "s3cret\n", 0400);
	whole_life(f, &place);
}

static void test_http_v0(void **state)
{
	struct fixture *f = *state;
	setenv("GIT_V0", "1", 1);
	cleanup_free char *url = serve(f, "http", NULL);
	unsetenv("GIT_V0");
	struct git_place place = {.url = url};
	whole_life(f, &place);
}

static void test_ssh(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *url = serve(f, "ssh", NULL);
	cleanup_free char *hosts = xasprintf("%s/known_hosts", f->servers[0]);
	cleanup_free char *key = xasprintf("%s/id", f->servers[0]);
	struct git_place place = {.url = url, .known_hosts = hosts, .ssh_key = key};
	whole_life(f, &place);
}

/* Polls with the place; the code of the error that must come. */
static enum err_code poll_fails(const struct git_place *place, struct err *err)
{
	struct git_refs refs = {NULL, 0};
	struct git_poller *poller = git_poller_new(place);
	assert_int_equal(git_poller_refs(poller, main_only, &refs, err), -1);
	git_poller_free(poller);
	return (enum err_code)err->code;
}

static void test_parity_C14_pinned_host_key(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *url = serve(f, "ssh", NULL);
	cleanup_free char *hosts = xasprintf("%s/known_hosts", f->servers[0]);
	cleanup_free char *other = xasprintf("%s/other", f->dir);
	cleanup_free char *link = xasprintf("%s/link", f->dir);
	cleanup_free char *key = xasprintf("%s/id", f->servers[0]);
	struct git_place place = {.url = url, .known_hosts = other, .ssh_key = key};
	cleanup_buf struct buf text = BUF_INIT;

	/* The client's own key in place of the host's. */
	assert_ok(file_read(hosts, 4096, &text, &err), &err);
	cleanup_free char *port = xasprintf("%.*s", (int)strcspn(text.data, " "), text.data);
	cleanup_free char *pub = xasprintf("%s/id.pub", f->servers[0]);
	buf_reset(&text);
	buf_addf(&text, "%s ", port);
	assert_ok(file_read(pub, 4096, &text, &err), &err);
	write_file(other, text.data, 0644);
	assert_int_equal(poll_fails(&place, &err), ERR_DENIED);
	assert_non_null(strstr(err_msg(&err), "Host key verification failed"));

	assert_int_equal(symlink(hosts, link), 0);
	place.known_hosts = link;
	assert_int_equal(poll_fails(&place, &err), ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "not a link"));
}

static void test_wrong_token(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *url = serve(f, "http", "s3cret");
	cleanup_free char *token = xasprintf("%s/token", f->dir);
	struct git_place place = {.url = url};

	assert_int_equal(poll_fails(&place, &err), ERR_DENIED);
	assert_non_null(strstr(err_msg(&err), "without a credential (401)"));
	place.token_file = token;
	assert_int_equal(poll_fails(&place, &err), ERR_NOT_FOUND);
	write_file(token, "wrong-one\n", 0400);
	assert_int_equal(poll_fails(&place, &err), ERR_DENIED);
	assert_null(strstr(err_msg(&err), "wrong-one"));
	git_oid oid = commit_on(f->repo, NULL, NULL, 0, "x");
	assert_int_equal(git_push_ref(f->repo, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_LOST);
	assert_int_equal(err.code, ERR_DENIED);
	assert_int_equal(git_fetch(f->repo, &place, main_to_seen, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	write_file(token, "git:s3cret", 0400);
	expect_refs(&place, 0, NULL);
}

static void test_url_password_is_not_shown(void **state)
{
	(void)state;
	cleanup_err struct err err = ERR_INIT;
	struct git_place place = {.url = "http://bot:hunter2@127.0.0.1:1/x", .connect_ms = 1000};
	assert_int_equal(poll_fails(&place, &err), ERR_UNREACHABLE);
	assert_null(strstr(err_msg(&err), "hunter2"));
	assert_non_null(strstr(err_msg(&err), "bot:***@127.0.0.1:1"));
	assert_null(strstr(err_msg(&err), " after ")); /* the next attempt says the same: guard: curl_words_settle in lib/git_http.c */
}

static void test_addresses(void **state)
{
	(void)state;
	static const char *const bad[] = {"ssh://-oProxyCommand=x/p",
	                                  "-oProxyCommand=x:p",
	                                  "ssh://-x@h/p",
	                                  "git://-h/p",
	                                  "ssh://%2doX/p",
	                                  "ftp://h/p",
	                                  "ssh://h",
	                                  "ssh://h:22x/p",
	                                  "file://host/p",
	                                  "git://h/%0ap",
	                                  "",
	                                  "h:"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct git_address a;
		struct err err = ERR_INIT;
		if (git_address_parse(bad[i], &a, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		err_clear(&err);
	}
	static const struct {
		const char *url, *user, *host, *port, *path;
	} good[] = {
	    {"ssh://git@forge.example:2222/org/ops.git", "git", "forge.example", "2222", "/org/ops.git"},
	    {"git@forge.example:org/ops.git", "git", "forge.example", NULL, "org/ops.git"},
	    {"ssh://[::1]:22/~u/x", NULL, "::1", "22", "~u/x"},
	    {"git://h/a%20b", NULL, "h", NULL, "/a b"},
	    {"file:///srv/ops.git", NULL, NULL, NULL, "/srv/ops.git"},
	    {"-x", NULL, NULL, NULL, "./-x"},
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		cleanup_git_address struct git_address a = {.shown = NULL};
		struct err err = ERR_INIT;
		assert_ok(git_address_parse(good[i].url, &a, &err), &err);
		const char *got[] = {a.user, a.host, a.port, a.path}, *want[] = {good[i].user, good[i].host, good[i].port, good[i].path};
		for (int j = 0; j < 4; j++) {
			assert_int_equal(!got[j], !want[j]);
			if (got[j])
				assert_string_equal(got[j], want[j]);
		}
	}
}

static void test_silence(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	static const char *const schemes[] = {"http", "git", "ssh"};
	int port;
	pid_t pid = fake_server(NULL, &port);
	git_oid oid = commit_on(f->repo, NULL, NULL, 0, "x");

	for (int i = 0; i < 3; i++) {
		cleanup_free char *url = xasprintf("%s://127.0.0.1:%d/x", schemes[i], port);
		struct git_place place = {.url = url, .stall_ms = 200};
		assert_int_equal(poll_fails(&place, &err), ERR_TIMEOUT);
		assert_int_equal(git_fetch(f->repo, &place, main_to_seen, &err), -1);
		assert_int_equal(err.code, ERR_TIMEOUT);
		assert_int_equal(git_push_ref(f->repo, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_UNKNOWN);
		assert_int_equal(err.code, ERR_TIMEOUT);
	}
	end_process(pid);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* every child was reaped */
}

static void test_broken_answers(void **state)
{
	(void)state;
	static const struct {
		const char *answer;
		enum err_code code;
		const char *words;
	} cases[] = {
	    {"HTTP/1.1 302 Found\r\nLocation: http://evil.example/x\r\nContent-Length: 0\r\n\r\n", ERR_FAIL,
	     "redirects (302) to http://evil.example/x"},
	    {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", ERR_UNREACHABLE, "answered 503"},
	    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nhi!", ERR_FAIL, "not git's (text/html)"},
	    {"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-result\r\n\r\n003", ERR_FAIL, ""},
	    {"", ERR_UNREACHABLE, ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cleanup_err struct err err = ERR_INIT;
		int port;
		pid_t pid = fake_server(cases[i].answer, &port);
		cleanup_free char *url = xasprintf("http://127.0.0.1:%d/x", port);
		struct git_place place = {.url = url, .stall_ms = 5000};
		enum err_code code = poll_fails(&place, &err);
		if (code != cases[i].code || !strstr(err_msg(&err), cases[i].words))
			fail_msg("case %zu: %d %s", i, (int)code, err_msg(&err));
		end_process(pid);
	}
}

/* guard: bounds_set() before the fetch (the first two), and after it (the last) */
static void test_unpacked_size_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct git_place place = {.url = f->repo_path, .max_bytes = 1 << 20, .max_object = 1 << 20};
	git_repository *clone = new_clone(f, "clone");
	git_oid tip = large_delta(f, "refs/heads/main", 4 << 20), got;

	assert_int_equal(git_fetch(clone, &place, main_to_seen, &err), -1);
	assert_non_null(strstr(err_msg(&err), "overly large object"));
	err_clear(&err);
	place.max_object = 0;
	place.max_objects = 3; /* there are four */
	assert_int_equal(git_fetch(clone, &place, main_to_seen, &err), -1);
	assert_non_null(strstr(err_msg(&err), "too many objects"));
	err_clear(&err);
	place.max_objects = 0;
	assert_ok(git_fetch(clone, &place, main_to_seen, &err), &err);
	assert_int_equal(git_reference_name_to_id(&got, clone, "refs/disinto/main"), 0);
	assert_true(git_oid_equal(&got, &tip));
	git_repository_free(clone);
}

static void install_hook(struct fixture *f, const char *name, const char *script)
{
	cleanup_free char *path = xasprintf("%s/hooks/%s", f->repo_path, name);
	write_file(path, script, 0755);
}

static void test_declining_hook(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *http = serve(f, "http", NULL);
	const char *urls[] = {http, f->repo_path};
	git_oid oid = commit_on(f->repo, NULL, NULL, 0, "x");
	install_hook(f, "pre-receive", "#!/bin/sh\necho 'branch is protected by policy'\nexit 1\n");

	for (int i = 0; i < 2; i++) {
		cleanup_err struct err err = ERR_INIT;
		struct git_place place = {.url = urls[i]};
		assert_int_equal(git_push_ref(f->repo, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_LOST);
		assert_non_null(strstr(err_msg(&err), "pre-receive hook declined"));
		assert_non_null(strstr(err_msg(&err), "branch is protected by policy"));
		expect_refs(&place, 0, NULL);
	}
}

/* How often the server was asked what it can do before a push. */
static int times_asked(const char *trace)
{
	cleanup_buf struct buf text = BUF_INIT;
	int n = 0;

	assert_ok(file_read(trace, 1 << 20, &text, NULL), NULL);
	for (const char *at = text.data; (at = strstr(at, "built-in: git receive-pack --http-backend-info-refs")); at++)
		n++;
	return n;
}

/* guard: tell_from_memory in lib/git_http.c; push_onto in lib/git_push.c */
static void test_a_push_onto_what_is_known_is_one_request(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_free char *trace = xasprintf("%s/trace", f->dir);
	setenv("GIT_TRACE", trace, 1);
	cleanup_free char *url = serve(f, "http", NULL);
	unsetenv("GIT_TRACE");
	struct git_place place = {.url = url};
	git_repository *one = new_clone(f, "one");
	git_oid last, root = commit_on(one, NULL, &(struct git_change){"a", "1", 1}, 1, "first"), tip = root;

	git_http_forget();
	assert_int_equal(git_push_ref(one, &place, NULL, &root, "refs/heads/main", &err), GIT_PUSH_WON);
	assert_int_equal(times_asked(trace), 1);
	for (int i = 0; i < 3; i++) {
		last = tip;
		tip = commit_on(one, &last, &(struct git_change){"a", i % 2 ? "1" : "2", 1}, 1, "next");
		assert_int_equal(git_push_ref(one, &place, &last, &tip, "refs/heads/main", &err), GIT_PUSH_WON);
	}
	expect_refs(&place, 1, &tip);
	assert_int_equal(times_asked(trace), 1);
	/* Where the ref is somewhere else the server decides, and is asked again for its reasons. */
	git_oid late = commit_on(one, &root, &(struct git_change){"c", "3", 1}, 1, "late");
	assert_int_equal(git_push_ref(one, &place, &root, &late, "refs/heads/main", &err), GIT_PUSH_LOST);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_int_equal(times_asked(trace), 2);
	expect_refs(&place, 1, &tip);
	err_clear(&err);
	/* A commit that is not there was not sent, and nobody need wonder what became of it. */
	git_oid nowhere = {{1, 2, 3}};
	assert_int_equal(git_push_ref(one, &place, &tip, &nowhere, "refs/heads/main", &err), GIT_PUSH_LOST);
	err_clear(&err);
	/* As it is after an unexpected end. */
	install_hook(f, "pre-receive", "#!/bin/sh\necho not today >&2\nexit 1\n");
	git_oid next = commit_on(one, &tip, &(struct git_change){"c", "3", 1}, 1, "refused");
	assert_int_equal(git_push_ref(one, &place, &tip, &next, "refs/heads/main", &err), GIT_PUSH_LOST);
	assert_non_null(strstr(err_msg(&err), "not today"));
	assert_int_equal(times_asked(trace), 3);
	err_clear(&err);
	git_repository_free(one);
}

/* The client gives up while a hook still thinks: that is neither yes nor no, and the server may do it all the same. */
static void test_slow_hook_is_unknown(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *url = serve(f, "http", NULL);
	struct git_place place = {.url = url, .stall_ms = 1000};
	git_oid oid = commit_on(f->repo, NULL, NULL, 0, "x"), got;

	install_hook(f, "pre-receive", "#!/bin/sh\nsleep 3\n");
	assert_int_equal(git_push_ref(f->repo, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_UNKNOWN);
	assert_int_equal(err.code, ERR_TIMEOUT);
	for (int i = 0; i < 500 && git_reference_name_to_id(&got, f->repo, "refs/heads/main") < 0; i++)
		usleep(10000);
	expect_refs(&place, 1, &oid);
}

/* A hook that runs after the answer is not cut off by our going away. */
static void test_post_receive_finishes(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	struct git_place place = {.url = f->repo_path};
	cleanup_free char *mark = xasprintf("%s/mark", f->dir);
	cleanup_free char *hook = xasprintf("#!/bin/sh\nsleep 0.3\ntouch %s\n", mark);
	git_oid oid = commit_on(f->repo, NULL, NULL, 0, "x");

	install_hook(f, "post-receive", hook);
	assert_int_equal(git_push_ref(f->repo, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_WON);
	assert_int_equal(access(mark, F_OK), 0);
}

/* Pushers that start together: the server's compare-and-swap lets exactly one win each round. */
static void race(struct fixture *f, const struct git_place *place, int rounds)
{
	enum { PUSHERS = 3 };
	git_oid tip = commit_on(f->repo, NULL, NULL, 0, "root");
	set_ref(f->repo, "refs/heads/main", &tip);
	for (int round = 0; round < rounds; round++) {
		pid_t pids[PUSHERS];
		int gate[2], won = 0;
		assert_int_equal(pipe(gate), 0);
		for (int i = 0; i < PUSHERS; i++) {
			cleanup_free char *text = xasprintf("%d-%d", round, i);
			git_oid oid = commit_on(f->repo, &tip, &(struct git_change){"file", text, strlen(text)}, 1, "race");
			pids[i] = fork();
			if (pids[i] == 0) {
				struct err err = ERR_INIT;
				char c;
				close(gate[1]);
				if (read(gate[0], &c, 1) != 0)
					_exit(100);
				_exit((int)git_push_ref(f->repo, place, NULL, &oid, "refs/heads/main", &err));
			}
		}
		close(gate[0]);
		close(gate[1]);
		for (int i = 0; i < PUSHERS; i++) {
			int status = 0;
			waitpid(pids[i], &status, 0);
			assert_true(WIFEXITED(status));
			assert_in_range(WEXITSTATUS(status), GIT_PUSH_WON, GIT_PUSH_LOST);
			won += WEXITSTATUS(status) == GIT_PUSH_WON;
		}
		assert_int_equal(won, 1);
		assert_int_equal(git_reference_name_to_id(&tip, f->repo, "refs/heads/main"), 0);
	}
}

static void test_race(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *url = serve(f, "http", NULL);
	race(f, &(struct git_place){.url = url}, 10);
	race(f, &(struct git_place){.url = f->repo_path}, 10);
}

/* As root, what a push leaves in somebody's repository is theirs, and hooks don't get our powers. */
static void test_runs_as_owner(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *who = xasprintf("%s/who", f->repo_path);
	cleanup_free char *hook = xasprintf("#!/bin/sh\nid -u >%s\n", who);
	cleanup_buf struct buf text = BUF_INIT;
	struct git_place place = {.url = f->repo_path};
	git_repository *clone = new_clone(f, "clone");

	if (geteuid() != 0)
		skip();
	git_oid oid = commit_on(clone, NULL, NULL, 0, "x");
	install_hook(f, "post-receive", hook);
	assert_int_equal(RUN(NULL, "chown", "-R", "nobody", f->repo_path), 0);
	assert_int_equal(git_push_ref(clone, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_WON);
	assert_ok(file_read(who, 64, &text, &err), &err);
	assert_string_not_equal(text.data, "0\n");
	cleanup_buf struct buf strangers = BUF_INIT;
	assert_int_equal(RUN(&strangers, "find", f->repo_path, "-uid", "0"), 0);
	assert_string_equal(strangers.data, "");
	git_repository_free(clone);
}

/* In a container the owner of what was mounted need not have an account: his group is the repository's, but never root's. */
static void test_owner_without_account(void **state)
{
	struct fixture *f = *state;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *who = xasprintf("%s/who", f->repo_path);
	cleanup_free char *hook = xasprintf("#!/bin/sh\necho $(id -u) $(id -G) ${HOME-homeless} >%s\n", who);
	cleanup_buf struct buf text = BUF_INIT;
	struct git_place place = {.url = f->repo_path};
	git_repository *clone = new_clone(f, "clone");

	if (geteuid() != 0)
		skip();
	git_oid oid = commit_on(clone, NULL, NULL, 0, "x");
	install_hook(f, "post-receive", hook);
	assert_int_equal(RUN(NULL, "chown", "-R", "54321:0", f->repo_path), 0);
	assert_int_equal(git_push_ref(clone, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_UNKNOWN);
	assert_non_null(strstr(err_msg(&err), "uid 54321, has no account"));
	assert_int_equal(RUN(NULL, "chown", "-R", "54321:54322", f->repo_path), 0);
	assert_int_equal(git_push_ref(clone, &place, NULL, &oid, "refs/heads/main", &err), GIT_PUSH_WON);
	assert_ok(file_read(who, 64, &text, &err), &err);
	assert_string_equal(text.data, "54321 54322 homeless\n");
	git_repository_free(clone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_local, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_url, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_daemon, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_http, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_push_onto_what_is_known_is_one_request, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_http_v0, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ssh, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_parity_C14_pinned_host_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_token, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_url_password_is_not_shown, setup, teardown),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_broken_answers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unpacked_size_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_declining_hook, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_slow_hook_is_unknown, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_post_receive_finishes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_runs_as_owner, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_owner_without_account, setup, teardown),
	};
	return cmocka_run_group_tests_name("git_remote", tests, NULL, NULL);
}
