/* What the web role shows, and what it asks of core. */
#include "tests/unit/web_site.h"

static int setup(void **state)
{
	return setup_with(state, NULL);
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
	static const char *const paths[] = {"/actions", "/workers",    "/actions/a", "/workers/a/logs",
	                                    "/nothing", "/index.html", "/health/",   "/..%2factions"};

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_int_equal(ask(s, false, "GET", paths[i], NULL), 401);
	assert_int_equal(ask(s, false, "POST", "/health", NULL), 401);
	assert_int_equal(ask(s, false, "DELETE", "/workers/a", NULL), 401);
	assert_int_equal(ask(s, true, "GET", "/nothing", NULL), 404);
	assert_int_equal(ask(s, true, "GET", "/actions/a%20b", NULL), 404);
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

/* All paths take a task's name for its action's id. */
static void test_parity_C4_tasks_in_paths(void **state)
{
	static const struct {
		const char *path, *id;
	} all[] = {{"/workers/fix-it", "fix-it"}, /* an action of that very name */
	           {"/workers/Fix.It", "fix-it-ae431349"},
	           {"/workers/other", "other"}, /* neither is known */
	           {"/workers/done", "done-a4c3ed04"}};
	struct site *s = *state;

	tell_run(s, "done-a4c3ed04", "running", NULL);
	tell_run(s, "fix-it", "running", NULL);
	wait_for_row(s, "\"fix-it\"");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct asked a = {.site = s, .api = true, .method = "DELETE", .path = all[i].path, .response = HTTP_RESPONSE_INIT};
		pthread_t thread;

		pthread_create(&thread, NULL, ask_thread, &a);
		json_int_t number = expect_ask(s, "cancel", all[i].id);
		tell(s, msg_new(MSG_ANSWER, "{s:I, s:i, s:{s:s}}", "ask", number, "code", 202, "body", "status", "cancelling"), -1);
		pthread_join(thread, NULL);
		http_response_free(&a.response);
	}
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

static char *whole_log(struct site *s, const char *path, const char *text)
{
	struct asked a = {.site = s, .api = true, .method = "GET", .path = path, .response = HTTP_RESPONSE_INIT};
	pthread_t thread;

	pthread_create(&thread, NULL, ask_thread, &a);
	json_int_t number = expect_ask(s, "logs", "a");
	cleanup_fd int log = make_log(s, text);
	tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), dup(log));
	pthread_join(thread, NULL);
	char *body = xstrdup(a.response.body.data);
	http_response_free(&a.response);
	cleanup_free char *file = path_join(s->dir, "log");
	unlink(file);
	return body;
}

static void test_parity_C8_footer_of_a_log(void **state)
{
	static const struct {
		int code;
		const char *path, *log, *seen;
	} all[] = {{7, "/workers/a/logs", "one\n", "one\n[EXIT:7] 2026-03-31T10:00:04Z\n"},
	           {0, "/workers/a/logs", "one", "one\n[EXIT:0] 2026-03-31T10:00:04Z\n"},
	           {0, "/workers/a/logs?lines=1", "one\ntwo", "two\n[EXIT:0] 2026-03-31T10:00:04Z\n"},
	           {0, "/workers/a/logs", "", "[EXIT:0] 2026-03-31T10:00:04Z\n"},
	           {-1, "/workers/a/logs?follow=1", "one\n", "one\n[EXIT:lost] 2026-03-31T10:00:04Z\n"},
	           {0, "/workers/a/logs?footer=0", "one", "one"}};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		json_t *code = all[i].code < 0 ? json_null() : json_integer(all[i].code);
		tell(s,
		     msg_new(MSG_RUN, "{s:s, s:s, s:s, s:o, s:s, s:i}", "id", "a", "state", "finished", "outcome",
		             all[i].code < 0 ? "lost" : "succeeded", "exit_code", code, "finished_at", "2026-03-31T10:00:04Z", "attempt",
		             (int)i),
		     -1);
		cleanup_free char *row = xasprintf("\"attempt\":%zu", i);
		wait_for_row(s, row);
		cleanup_free char *body = whole_log(s, all[i].path, all[i].log);
		assert_string_equal(body, all[i].seen);
	}
}

static void test_parity_C6_workers(void **state)
{
	struct site *s = *state;
	cleanup_free char *body = NULL;
	char start[21];

	time_format(now_wall_ms() - 150000, start);
	tell(s,
	     msg_new(MSG_RUN, "{s:s, s:s, s:s, s:i, s:s, s:s}", "id", "a", "state", "running", "formula", "hello", "attempt", 1, "step",
	             "one", "started_at", start),
	     -1);
	tell_run(s, "b", "queued", NULL);
	tell_run(s, "c", "finished", "failed");
	wait_for_row(s, "\"c\"");
	assert_int_equal(ask(s, true, "GET", "/workers", &body), 200);
	cleanup_free char *wanted = xasprintf("{\"workers\":[{\"task_id\":\"a\",\"repo\":null,\"status\":\"running\",\"formula\":\"hello\","
	                                      "\"step\":\"one\",\"attempt\":1,\"start_time\":\"%s\",\"elapsed_minutes\":2}]}",
	                                      start);
	assert_string_equal(body, wanted);
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
	                                    "/actions/a%20/artifacts/b",    "/actions/a/x/artifacts/b", "/actions//artifacts/b",
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
	    T(test_parity_C4_tasks_in_paths),
	    T(test_decisions_are_asked_of_core),
	    T(test_the_last_answer_is_given),
	    T(test_ping_is_answered),
	    T(test_log_is_followed_from_before_its_beginning_to_its_end),
	    T(test_last_lines_of_a_log),
	    T(test_parity_C8_footer_of_a_log),
	    T(test_parity_C6_workers),
	    T(test_artifacts_are_handed_out_whole),
	    T(test_artifacts_have_plain_names),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
