/* The git role as core sees it, for tests: a process at the other end of a socket, in front of a real repository. */
#ifndef TESTS_GIT_HOUSE_H
#define TESTS_GIT_HOUSE_H

#include "tests/unit/git_fixture.h"

#include "dispatcher/dispatcher.h"
#include "lib/log.h"

#define ANSWER_MS 20000

struct house {
	struct fixture f;
	struct config config;
	struct role_args args;
	struct msg_conn conn;
	pid_t pid;
	json_t *memory; /* what the role asked to have remembered */
	/* with a ledger: this life, and those before it */
	int life;
	json_t *former;
	bool shares; /* another dispatcher in front of the repository of the first */
	bool frozen; /* as the last POLLED said, with what follows */
	int overdue, backlog;
};

/* What comes next need not continue what was seen. */
static inline void forget_tip(struct house *h)
{
	json_decref(h->memory);
	h->memory = NULL;
}

static inline void start(struct house *h)
{
	struct err err = ERR_INIT;
	int pair[2];
	assert_ok(msg_pair(pair, &err), &err);
	fflush(NULL);
	h->pid = fork();
	if (h->pid == 0) {
		/* Not only its own other end: those of other dispatchers would keep them from being hung up on. */
		close_range(3, (unsigned)pair[1] - 1, 0);
		close_range((unsigned)pair[1] + 1, ~0u, 0);
		log_init("git", LOG_LEVEL_ERROR, false);
		signal(SIGPIPE, SIG_IGN);
		h->args.sock = pair[1];
		exit(git_role(&h->args));
	}
	close(pair[1]);
	msg_conn_init(&h->conn, pair[0]);
	/* As core does: what it was asked to remember comes first. */
	cleanup_free char *incarnation = xasprintf("%s-life%d", h->args.dispatcher_id, ++h->life);
	json_t *memory = msg_new(MSG_REMEMBERED, "{s:O?, s:s, s:O?}", "state", h->memory, "incarnation", incarnation, "former", h->former);
	assert_ok(msg_send(&h->conn, memory, -1, ANSWER_MS, &err), &err);
	json_decref(memory);
	json_array_append_new(h->former, json_string(incarnation));
}

/* Hangs up, as core's end does; the role must follow. Returns its exit code. */
static inline int stop(struct house *h)
{
	int status = -1;
	msg_conn_close(&h->conn);
	if (h->pid > 0)
		assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	h->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void house_begin(struct house *h)
{
	h->former = json_array();
	fixture_begin(&h->f);
	h->conn.fd = -1;
	h->config.ops_repo = h->f.repo_path;
	h->config.branch = "main";
	h->config.poll_seconds = 3600; /* polls are asked for */
	h->config.spool = xasprintf("%s/spool", h->f.dir);
	h->args.config = &h->config;
	h->args.dispatcher_id = "edge1";
	assert_int_equal(mkdir(h->config.spool, 0700), 0);
}

/* A second dispatcher, with a spool of its own, in front of the same repository. */
static inline struct house *another(const struct house *first, const char *name)
{
	struct house *h = xcalloc(1, sizeof(*h));
	h->f = first->f;
	h->config = first->config;
	h->args = first->args;
	h->shares = true;
	h->conn.fd = -1;
	h->former = json_array();
	h->config.spool = xasprintf("%s/spool-%s", first->f.dir, name);
	h->args.config = &h->config;
	h->args.dispatcher_id = name;
	assert_int_equal(mkdir(h->config.spool, 0700), 0);
	return h;
}

static inline void house_end(struct house *h)
{
	msg_conn_close(&h->conn);
	if (h->pid > 0)
		end_process(h->pid);
	if (!h->shares)
		fixture_end(&h->f);
	json_decref(h->former);
	free(h->config.spool);
	json_decref(h->memory);
}

static inline int setup(void **state)
{
	struct house *h = xcalloc(1, sizeof(*h));
	house_begin(h);
	*state = h;
	return 0;
}

static inline int teardown(void **state)
{
	house_end(*state);
	free(*state);
	return 0;
}

/* The next message. A test that waits for one that never comes fails after ANSWER_MS. */
static inline json_t *next(struct house *h)
{
	struct err err = ERR_INIT;
	struct msg m = MSG_INIT;
	enum msg_kind kind;
	int rc = msg_recv(&h->conn, ANSWER_MS, &m, &err);
	if (rc != 1)
		fail_msg("no message: %s", rc == 0 ? "in time" : err_msg(&err));
	assert_ok(msg_check(&m, ROLE_GIT, ROLE_CORE, &kind, &err), &err);
	if (kind == MSG_PONG && json_integer_value(json_object_get(m.body, "n")) == 0) { /* a sign of life that nobody asked for */
		json_decref(m.body);
		return next(h);
	}
	if (kind != MSG_REMEMBER)
		return m.body;
	json_decref(h->memory);
	h->memory = json_incref(json_object_get(m.body, "state"));
	json_decref(m.body);
	return next(h);
}

static inline const char *str(const json_t *m, const char *key)
{
	return json_string_value(json_object_get(m, key));
}

static inline void send_msg(struct house *h, json_t *body)
{
	struct err err = ERR_INIT;
	assert_ok(msg_send(&h->conn, body, -1, ANSWER_MS, &err), &err);
	json_decref(body);
}

/* All messages up to POLLED, one line each: "landed a", "polled yes", ... Their bodies are appended to `all` where it is not NULL. */
static inline char *until_polled(struct house *h, json_t *all)
{
	struct buf lines = BUF_INIT;
	for (bool last = false; !last;) {
		json_t *m = next(h);
		const char *kind = str(m, "kind");
		last = strcmp(kind, "polled") == 0;
		buf_addf(&lines, "%s %s", kind,
		         last           ? json_is_true(json_object_get(m, "ok")) ? "yes" : "no"
		         : str(m, "id") ? str(m, "id")
		                        : "");
		if (str(m, "refuse"))
			buf_adds(&lines, " refuse");
		if (str(m, "wait"))
			buf_adds(&lines, " wait");
		buf_adds(&lines, "\n");
		if (last) {
			h->frozen = json_is_string(json_object_get(m, "frozen"));
			h->overdue = (int)json_array_size(json_object_get(m, "overdue"));
			h->backlog = (int)json_integer_value(json_object_get(m, "backlog"));
		}
		if (all)
			json_array_append(all, m);
		json_decref(m);
	}
	return buf_steal(&lines);
}

static inline char *poll_for(struct house *h, json_t *all)
{
	send_msg(h, msg_new(MSG_POLL, NULL));
	return until_polled(h, all);
}

static inline void expect_poll(struct house *h, const char *want)
{
	cleanup_free char *got = poll_for(h, NULL);
	assert_string_equal(got, want);
}

/* The poll that the role makes by itself when it starts. */
static inline void expect_first(struct house *h, const char *want)
{
	start(h);
	cleanup_free char *got = until_polled(h, NULL);
	assert_string_equal(got, want);
}

static inline char *action_text(const char *id, const char *secrets)
{
	return xasprintf("{\"id\": \"%s\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": [%s]}", id, secrets);
}

static inline git_oid land_action(struct house *h, const char *id, const char *secrets)
{
	cleanup_free char *path = xasprintf("vault/actions/%s.json", id), *text = action_text(id, secrets);
	return land(h->f.repo, path, text);
}

static inline git_oid land_basics(struct house *h)
{
	land(h->f.repo, "vault/secrets/KEY.age", "ciphertext");
	return land(h->f.repo, "vault/formulas/f.yaml", "name: f");
}

#endif
