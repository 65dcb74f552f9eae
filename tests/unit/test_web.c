/* The web role in a process of its own, with this test as its core, asked over real sockets. */
#include "dispatcher/dispatcher.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/json.h"
#include "tests/scratch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SOON_MS 20000 /* a bound against hanging, not a measurement */

struct site {
	char dir[64], socket[96], tcp[64];
	pid_t pid;
	struct msg_conn web; /* our end, as core */
	struct config config;
};

static int listen_unix(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	return bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 8) < 0 ? -1 : fd;
}

static int listen_loopback(char *url, size_t size)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return -1;
	snprintf(url, size, "http://127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

static int setup(void **state)
{
	struct site *s = xcalloc(1, sizeof *s);
	int pair[2];

	snprintf(s->dir, sizeof s->dir, "/tmp/disinto-web.XXXXXX");
	if (!scratch_dir(s->dir) || msg_pair(pair, NULL) < 0)
		return -1;
	snprintf(s->socket, sizeof s->socket, "%s/api.sock", s->dir);
	int api = listen_unix(s->socket), tcp = listen_loopback(s->tcp, sizeof s->tcp);
	s->config = (struct config){.poll_seconds = 2, .capacity = 4};
	s->pid = fork();
	if (s->pid == 0) {
		struct role_args args = {.config = &s->config, .sock = pair[1], .listen_fd = tcp, .api_fd = api, .dispatcher_id = "d1"};
		close(pair[0]);
		_exit(web_role(&args));
	}
	close(pair[1]);
	close(api);
	close(tcp);
	msg_conn_init(&s->web, pair[0]);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	msg_conn_close(&s->web);
	waitpid(s->pid, NULL, 0); /* a role without core ends by itself */
	dir_remove_at(AT_FDCWD, s->dir, NULL);
	free(s);
	return 0;
}

static void tell(struct site *s, json_t *body, int fd)
{
	assert_int_equal(msg_send(&s->web, body, fd, SOON_MS, NULL), 0);
	json_decref(body);
}

static void tell_run(struct site *s, const char *id, const char *state, const char *outcome)
{
	tell(s, msg_new(MSG_RUN, "{s:s, s:s, s:s?}", "id", id, "state", state, "outcome", outcome), -1);
}

static void tell_status(struct site *s, int64_t last_poll_ms, const char *git)
{
	tell(s,
	     msg_new(MSG_STATUS, "{s:i, s:i, s:{s:I, s:b}, s:{s:b}, s:{s:s, s:s}, s:b}", "active", 1, "queued", 2, "poll", "last_ms",
	             (json_int_t)last_poll_ms, "ok", 1, "engine", "ok", 1, "roles", "core", "up", "git", git, "draining", 0),
	     -1);
}

struct asked {
	struct site *site;
	bool api;
	const char *method, *path;
	struct http_response response;
	int rc;
};

static void *ask_thread(void *arg)
{
	struct asked *a = arg;
	struct http_options options = {.unix_socket = a->api ? a->site->socket : NULL,
	                               .base_url = a->api ? "http://localhost" : a->site->tcp};
	cleanup_http_client struct http_client *c = http_client_new(&options);
	struct http_request req = {.method = a->method, .path = a->path, .timeout_ms = SOON_MS, .wake_fd = -1};

	a->rc = http_send(c, &req, &a->response, NULL);
	return NULL;
}

/* Asks and waits. The answer is parsed when it is JSON; caller frees. */
static long ask(struct site *s, bool api, const char *method, const char *path, char **ret_body)
{
	struct asked a = {.site = s, .api = api, .method = method, .path = path, .response = HTTP_RESPONSE_INIT};

	ask_thread(&a);
	assert_int_equal(a.rc, 0);
	long status = a.response.status;
	if (ret_body)
		*ret_body = xstrdup(a.response.body.data);
	http_response_free(&a.response);
	return status;
}

/* RUN and STATUS are heard before the next request is answered only if they were read: ask until it shows. */
static void wait_for_row(struct site *s, const char *text)
{
	for (;;) {
		cleanup_free char *body = NULL;
		assert_int_equal(ask(s, true, "GET", "/actions", &body), 200);
		if (strstr(body, text))
			return;
		usleep(1000);
	}
}

static json_int_t expect_ask(struct site *s, const char *op, const char *id)
{
	cleanup_msg struct msg m = MSG_INIT;

	assert_int_equal(msg_recv(&s->web, SOON_MS, &m, NULL), 1);
	assert_string_equal(m.kind, "ask");
	assert_string_equal(json_string_value(json_object_get(m.body, "op")), op);
	const char *about = json_string_value(json_object_get(m.body, "id"));
	assert_true(id ? about && strcmp(about, id) == 0 : !about);
	return json_integer_value(json_object_get(m.body, "ask"));
}

static void test_open_paths_answer_everywhere(void **state)
{
	struct site *s = *state;
	static const char *const paths[] = {"/health", "/status", "/metrics"};

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ask(s, false, "GET", paths[i], NULL), 200);
		assert_int_equal(ask(s, true, "GET", paths[i], NULL), 200);
	}
	cleanup_free char *health = NULL;
	ask(s, false, "GET", "/health", &health);
	assert_string_equal(health, "{\"status\":\"ok\"}");
}

static void test_everything_else_is_closed_over_tcp(void **state)
{
	struct site *s = *state;
	static const char *const paths[] = {"/actions", "/workers", "/actions/a", "/workers/a/logs",
	                                    "/nothing", "/",        "/health/",   "/..%2factions"};

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_int_equal(ask(s, false, "GET", paths[i], NULL), 401);
	assert_int_equal(ask(s, false, "POST", "/health", NULL), 401);
	assert_int_equal(ask(s, false, "DELETE", "/workers/a", NULL), 401);
	assert_int_equal(ask(s, true, "GET", "/nothing", NULL), 404);
	assert_int_equal(ask(s, true, "GET", "/actions/A.b", NULL), 404);
}

static void test_healthz_tells_the_truth(void **state)
{
	struct site *s = *state;
	cleanup_free char *body = NULL;

	assert_int_equal(ask(s, false, "GET", "/healthz", NULL), 503); /* core has said nothing yet */
	tell_status(s, now_wall_ms(), "up");
	tell_run(s, "a", "queued", NULL);
	wait_for_row(s, "\"queued\"");
	assert_int_equal(ask(s, false, "GET", "/healthz", &body), 200);
	assert_non_null(strstr(body, "\"active_sessions\":1"));
	assert_non_null(strstr(body, "\"queued\":2"));
	tell_status(s, now_wall_ms() - 7000, "up"); /* the last poll is more than three intervals old */
	tell_run(s, "a", "running", NULL);
	wait_for_row(s, "\"running\"");
	assert_int_equal(ask(s, false, "GET", "/healthz", NULL), 503);
	tell_status(s, now_wall_ms(), "down");
	tell_run(s, "a", "recording", NULL);
	wait_for_row(s, "\"recording\"");
	assert_int_equal(ask(s, false, "GET", "/healthz", NULL), 503);
}

static void test_healthz_is_red_while_a_claim_is_overdue(void **state)
{
	struct site *s = *state;
	static const char *const overdue[] = {"[]", "[{\"id\":\"a\",\"dispatcher\":\"d2\",\"deadline\":1}]"};

	for (int i = 0; i < 2; i++) {
		tell(s,
		     msg_new(MSG_STATUS, "{s:{s:I}, s:{s:s}, s:{s:o}}", "poll", "last_ms", (json_int_t)now_wall_ms(), "roles", "core", "up",
		             "ledger", "overdue", json_loads(overdue[i], 0, NULL)),
		     -1);
		tell_run(s, "a", i == 0 ? "running" : "recording", NULL);
		wait_for_row(s, i == 0 ? "\"running\"" : "\"recording\"");
		assert_int_equal(ask(s, false, "GET", "/healthz", NULL), i == 0 ? 200 : 503);
	}
}

static void test_metrics_count_outcomes(void **state)
{
	struct site *s = *state;
	cleanup_free char *body = NULL;

	tell_run(s, "a", "finished", "failed");
	tell_run(s, "b", "finished", "failed");
	wait_for_row(s, "\"b\"");
	assert_int_equal(ask(s, false, "GET", "/metrics", &body), 200);
	assert_non_null(strstr(body, "disinto_actions_ended{outcome=\"failed\"} 2\n"));
	assert_non_null(strstr(body, "disinto_capacity 4\n"));
}

static void test_core_is_asked_and_its_answer_given(void **state)
{
	struct site *s = *state;
	struct asked a = {.site = s, .api = true, .method = "DELETE", .path = "/workers/a", .response = HTTP_RESPONSE_INIT};
	pthread_t thread;

	pthread_create(&thread, NULL, ask_thread, &a);
	json_int_t number = expect_ask(s, "cancel", "a");
	/* Meanwhile nobody else waits. */
	assert_int_equal(ask(s, true, "GET", "/health", NULL), 200);
	tell(s, msg_new(MSG_ANSWER, "{s:I, s:i, s:{s:s}}", "ask", number, "code", 409, "body", "error", "already finished"), -1);
	pthread_join(thread, NULL);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.response.status, 409);
	assert_string_equal(a.response.body.data, "{\"error\":\"already finished\"}");
	http_response_free(&a.response);
}

/* What an operator decides: each path asks its own op, over the socket only. */
static void test_decisions_are_asked_of_core(void **state)
{
	static const struct {
		const char *path, *op, *id;
	} all[] = {{"/actions/a/run", "run", "a"},       {"/actions/a/lost", "lost", "a"},     {"/actions/a/rerun", "rerun", "a"},
	           {"/accept-backlog", "backlog", NULL}, {"/accept-history", "history", NULL}, {"/drain", "drain", NULL},
	           {"/drain?wait=1", "drained", NULL}};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct asked a = {.site = s, .api = true, .method = "POST", .path = all[i].path, .response = HTTP_RESPONSE_INIT};
		pthread_t thread;

		assert_int_equal(ask(s, false, "POST", all[i].path, NULL), 401);
		pthread_create(&thread, NULL, ask_thread, &a);
		json_int_t number = expect_ask(s, all[i].op, all[i].id);
		tell(s, msg_new(MSG_ANSWER, "{s:I, s:i, s:{s:s}}", "ask", number, "code", 200, "body", "status", "done"), -1);
		pthread_join(thread, NULL);
		assert_int_equal(a.response.status, 200);
		http_response_free(&a.response);
	}
	assert_int_equal(ask(s, true, "POST", "/accept-everything", NULL), 404);
	assert_int_equal(ask(s, true, "POST", "/actions/a/settle", NULL), 404);
}

/* What core had answered before it ended is still said. */
static void test_the_last_answer_is_given(void **state)
{
	struct site *s = *state;
	struct asked a = {.site = s, .api = true, .method = "POST", .path = "/drain?wait=1", .response = HTTP_RESPONSE_INIT};
	pthread_t thread;

	pthread_create(&thread, NULL, ask_thread, &a);
	json_int_t number = expect_ask(s, "drained", NULL);
	tell(s, msg_new(MSG_ANSWER, "{s:I, s:i, s:{s:s}}", "ask", number, "code", 200, "body", "status", "drained"), -1);
	msg_conn_close(&s->web);
	pthread_join(thread, NULL);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.response.status, 200);
	http_response_free(&a.response);
}

static void test_ping_is_answered(void **state)
{
	struct site *s = *state;
	cleanup_msg struct msg m = MSG_INIT;

	tell(s, msg_new(MSG_PING, "{s:i}", "n", 7), -1);
	assert_int_equal(msg_recv(&s->web, SOON_MS, &m, NULL), 1);
	assert_string_equal(m.kind, "pong");
	assert_int_equal(json_integer_value(json_object_get(m.body, "n")), 7);
}

static int make_log(struct site *s, const char *text)
{
	cleanup_free char *path = path_join(s->dir, "log");
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text), NULL), 0);
	return fd;
}

static void test_log_is_followed_from_before_its_beginning_to_its_end(void **state)
{
	struct site *s = *state;
	struct asked a = {.site = s, .api = true, .method = "GET", .path = "/workers/a/logs?follow=1", .response = HTTP_RESPONSE_INIT};
	pthread_t thread;

	tell_run(s, "a", "queued", NULL);
	wait_for_row(s, "\"queued\"");
	pthread_create(&thread, NULL, ask_thread, &a);
	tell_run(s, "a", "running", NULL);
	json_int_t number = expect_ask(s, "logs", "a");
	cleanup_fd int log = make_log(s, "one\n");
	tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), dup(log));
	for (int i = 0; i < 20; i++) {
		assert_int_equal(fd_write_all(log, "more\n", 5, NULL), 0);
		usleep(10000);
	}
	tell_run(s, "a", "recording", "succeeded");
	pthread_join(thread, NULL);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.response.status, 200);
	assert_int_equal(a.response.body.len, 4 + 20 * 5);
	assert_memory_equal(a.response.body.data, "one\nmore\nmore\n", 14);
	http_response_free(&a.response);
}

static void test_last_lines_of_a_log(void **state)
{
	struct site *s = *state;
	struct asked a = {.site = s, .api = true, .method = "GET", .path = "/workers/a/logs?lines=2", .response = HTTP_RESPONSE_INIT};
	pthread_t thread;

	tell_run(s, "a", "finished", "failed");
	wait_for_row(s, "\"a\"");
	pthread_create(&thread, NULL, ask_thread, &a);
	json_int_t number = expect_ask(s, "logs", "a");
	cleanup_fd int log = make_log(s, "one\ntwo\nthree\n");
	tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), dup(log));
	pthread_join(thread, NULL);
	assert_string_equal(a.response.body.data, "two\nthree\n");
	http_response_free(&a.response);
}

static void test_artifacts_are_handed_out_whole(void **state)
{
	struct site *s = *state;
	struct asked a = {
	    .site = s, .api = true, .method = "GET", .path = "/actions/a/artifacts/page.html", .response = HTTP_RESPONSE_INIT};
	pthread_t thread;

	pthread_create(&thread, NULL, ask_thread, &a);
	json_int_t number = expect_ask(s, "artifact", "a");
	cleanup_fd int file = make_log(s, "<script>alert(1)</script>");
	tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), dup(file));
	pthread_join(thread, NULL);
	assert_int_equal(a.response.status, 200);
	assert_string_equal(a.response.content_type, "application/octet-stream");
	assert_string_equal(a.response.body.data, "<script>alert(1)</script>");
	http_response_free(&a.response);

	struct asked list = {.site = s, .api = true, .method = "GET", .path = "/actions/a/artifacts", .response = HTTP_RESPONSE_INIT};
	pthread_create(&thread, NULL, ask_thread, &list);
	number = expect_ask(s, "artifacts", "a");
	tell(s, msg_new(MSG_ANSWER, "{s:I, s:i, s:{s:[]}}", "ask", number, "code", 200, "body", "artifacts"), -1);
	pthread_join(thread, NULL);
	assert_string_equal(list.response.body.data, "{\"artifacts\":[]}");
	http_response_free(&list.response);
}

/* None of these is asked of core, by whatever spelling. */
static void test_artifacts_have_plain_names(void **state)
{
	struct site *s = *state;
	static const char *const paths[] = {"/actions/a/artifacts/",        "/actions/a/artifacts/..",  "/actions/a/artifacts/%2e%2e",
	                                    "/actions/a/artifacts/.hidden", "/actions/a/artifacts/b/c", "/actions/a/artifacts/b%2fc",
	                                    "/actions/A/artifacts/b",       "/actions/a/x/artifacts/b", "/actions//artifacts/b",
	                                    "/actions/a/artifacts/b%0d%0ac"};

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_int_equal(ask(s, true, "GET", paths[i], NULL), 404);
	assert_int_equal(ask(s, false, "GET", "/actions/a/artifacts/b", NULL), 401);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_open_paths_answer_everywhere),
	    T(test_everything_else_is_closed_over_tcp),
	    T(test_healthz_tells_the_truth),
	    T(test_healthz_is_red_while_a_claim_is_overdue),
	    T(test_metrics_count_outcomes),
	    T(test_core_is_asked_and_its_answer_given),
	    T(test_decisions_are_asked_of_core),
	    T(test_the_last_answer_is_given),
	    T(test_ping_is_answered),
	    T(test_log_is_followed_from_before_its_beginning_to_its_end),
	    T(test_last_lines_of_a_log),
	    T(test_artifacts_are_handed_out_whole),
	    T(test_artifacts_have_plain_names),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
