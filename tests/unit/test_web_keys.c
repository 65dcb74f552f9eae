/* Who may ask the web role for what: tokens with scopes, and the webhook's signature. */
#include "tests/unit/web_site.h"
#include "vault/token.h"

#include <sodium.h>

#define HOOK_SECRET "a secret of a forge"
#define HOOK_BODY "{\"ref\":\"refs/heads/main\"}"
#define HOOK_GOOD "58af0310257acdac3cef4fe590ca985a24f77f52d63328e6af26246939b9de12"

static int setup(void **state)
{
	return setup_with(state, HOOK_SECRET "\n");
}

static void tell_tokens(struct site *s, const char *token, const char *scope)
{
	uint8_t hash[32];
	char hex[65];

	token_hash(token, strlen(token), hash);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	tell(s, msg_new(MSG_TOKENS, "{s:[{s:s, s:s, s:s}]}", "tokens", "name", "t", "scope", scope, "sha256", hex), -1);
	tell_run(s, scope, "queued", NULL);
	wait_for_row(s, scope); /* the message before it was heard, too */
}

/* A call over TCP with this Authorization header. */
static long call(struct site *s, const char *method, const char *path, const char *auth, const char *body, size_t len, char **ret)
{
	cleanup_free char *line = xasprintf("Authorization: %s", auth);
	struct asked a = {.site = s,
	                  .method = method,
	                  .path = path,
	                  .headers = (const char *const[]){auth ? line : NULL, NULL},
	                  .body = body,
	                  .body_len = len,
	                  .response = HTTP_RESPONSE_INIT};

	ask_thread(&a);
	assert_int_equal(a.rc, 0);
	long status = a.response.status;
	if (ret)
		*ret = xstrdup(a.response.body.data);
	http_response_free(&a.response);
	return status;
}

static long get(struct site *s, const char *path, const char *auth)
{
	return call(s, "GET", path, auth, NULL, 0, NULL);
}

static void test_no_token_opens_nothing_where_none_is_configured(void **state)
{
	struct site *s = *state;

	assert_int_equal(get(s, "/actions", "Bearer "), 401);
	assert_int_equal(get(s, "/actions", "Bearer x"), 401);
	assert_int_equal(get(s, "/nothing", "Bearer x"), 401);
	assert_int_equal(get(s, "/actions", NULL), 401);
}

static void test_bearer_in_any_case_and_changes_at_once(void **state)
{
	struct site *s = *state;

	tell_tokens(s, "first", "read");
	assert_int_equal(get(s, "/actions", "Bearer first"), 200);
	assert_int_equal(get(s, "/actions", "bearer first"), 200);
	assert_int_equal(get(s, "/actions", "BEARER  first"), 200);
	assert_int_equal(get(s, "/actions", "first"), 401);
	assert_int_equal(get(s, "/actions", "Basic first"), 401);
	assert_int_equal(get(s, "/nothing", "Bearer first"), 404);
	tell_tokens(s, "second", "operate");
	assert_int_equal(get(s, "/actions", "Bearer first"), 401);
	assert_int_equal(get(s, "/actions", "Bearer second"), 200);
}

static void test_threat_48_wrong_tokens(void **state)
{
	struct site *s = *state;
	cleanup_free char *megabyte = xcalloc(1, (1 << 20) + 8);
	static const char *const wrong[] = {"Bearer",        "Bearer ",         "Bearer s3cre",    "Bearer s3cret!",
	                                    "Bearer S3CRET", "Bearer \xff\xfe", "Bearer s3cret\t", "Bearer s3cret, Bearer s3cret"};

	tell_tokens(s, "s3cret", "operate");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_not_equal(get(s, "/actions", wrong[i]), 200);
	assert_int_equal(get(s, "/actions?token=s3cret", NULL), 401);
	assert_int_equal(get(s, "/actions?access_token=s3cret", "Bearer x"), 401);
	memset(megabyte, 'a', 1 << 20);
	memcpy(megabyte, "Bearer ", 7);
	/* The server may end the connection instead of answering; it must go on serving. */
	cleanup_free char *line = xasprintf("Authorization: %s", megabyte);
	struct asked a = {
	    .site = s, .method = "GET", .path = "/actions", .headers = (const char *const[]){line, NULL}, .response = HTTP_RESPONSE_INIT};
	ask_thread(&a);
	assert_int_not_equal(a.response.status, 200);
	http_response_free(&a.response);
	assert_int_equal(get(s, "/actions", "Bearer s3cret"), 200);
}

static void test_scopes_are_nested(void **state)
{
	struct site *s = *state;
	cleanup_free char *body = NULL;

	tell_tokens(s, "t", "propose");
	assert_int_equal(call(s, "GET", "/actions", "Bearer t", NULL, 0, &body), 403);
	assert_string_equal(body, "{\"error\":\"the token's scope is propose; this needs read\"}");
	tell_tokens(s, "t", "read");
	assert_int_equal(get(s, "/actions", "Bearer t"), 200);
	assert_int_equal(call(s, "DELETE", "/workers/a", "Bearer t", NULL, 0, NULL), 403);
	assert_int_equal(call(s, "POST", "/drain", "Bearer t", NULL, 0, NULL), 403);
	tell_tokens(s, "t", "operate");
	assert_int_equal(call(s, "POST", "/accept-history", "Bearer t", NULL, 0, NULL), 403);
	assert_int_equal(call(s, "POST", "/actions/a/lost", "Bearer t", NULL, 0, NULL), 403);
	assert_int_equal(call(s, "PUT", "/tokens/me", "Bearer t", NULL, 0, NULL), 403);
	assert_int_equal(get(s, "/tokens", "Bearer t"), 403);
}

static void test_body_that_is_too_large_is_told_so_after_the_key(void **state)
{
	struct site *s = *state;
	size_t len = (1 << 20) + 1;
	cleanup_free char *large = xcalloc(1, len);

	tell_tokens(s, "t", "operate");
	assert_int_equal(call(s, "POST", "/drain", "Bearer t", large, len, NULL), 413);
	assert_int_equal(call(s, "POST", "/nothing", "Bearer t", large, len, NULL), 413);
	assert_int_equal(call(s, "POST", "/drain", "Bearer x", large, len, NULL), 401);
}

static void *answer_token(void *arg)
{
	struct site *s = arg;
	cleanup_msg struct msg m = MSG_INIT;

	if (msg_recv(&s->web, SOON_MS, &m, NULL) != 1)
		return NULL;
	json_t *body = msg_new(MSG_ANSWER, "{s:O, s:i, s:{s:s}}", "ask", json_object_get(m.body, "ask"), "code", 200, "body", "name", "me");
	msg_send(&s->web, body, -1, SOON_MS, NULL);
	json_decref(body);
	return json_incref(m.body);
}

/* guard: is_ambiguous in dispatcher/web/route.c */
static void test_name_of_an_action_and_of_a_task_is_told_so(void **state)
{
	struct site *s = *state;
	cleanup_free char *said = NULL;

	tell_tokens(s, "t", "operate");
	tell_run(s, "done", "running", NULL);
	tell_run(s, "done-a4c3ed04", "running", NULL); /* the action of the task "done" */
	wait_for_row(s, "\"done-a4c3ed04\"");
	assert_int_equal(call(s, "DELETE", "/workers/done", "Bearer t", NULL, 0, &said), 409);
	assert_non_null(strstr(said, "'done' is an action"));
	assert_non_null(strstr(said, "done-a4c3ed04; ask for that id"));
	assert_int_equal(get(s, "/workers/done/logs", "Bearer t"), 409);
	assert_int_equal(get(s, "/workers/done/logs", "Bearer x"), 401);
}

static void test_token_is_made_here_and_core_gets_its_hash(void **state)
{
	struct site *s = *state;
	cleanup_free char *text = NULL;
	pthread_t thread;
	void *heard;
	uint8_t hash[32];
	char hex[65];

	pthread_create(&thread, NULL, answer_token, s);
	assert_int_equal(ask(s, true, "PUT", "/tokens/me?scope=propose", &text), 200);
	pthread_join(thread, &heard);
	cleanup_json json_t *asked = heard, *answer = json_loads(text, 0, NULL);
	const char *token = json_string_value(json_object_get(answer, "token"));
	assert_non_null(token);
	token_hash(token, strlen(token), hash);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	assert_string_equal(json_string_value(json_object_get(asked, "op")), "token_add");
	assert_string_equal(json_string_value(json_object_get(asked, "id")), "me");
	assert_string_equal(json_string_value(json_object_get(asked, "scope")), "propose");
	assert_string_equal(json_string_value(json_object_get(asked, "sha256")), hex);
	cleanup_free char *told = json_dumps(asked, 0);
	assert_null(strstr(told, token));
}

static void test_list_of_tokens_has_no_hashes(void **state)
{
	struct site *s = *state;
	cleanup_free char *body = NULL;

	tell_tokens(s, "t", "read");
	assert_int_equal(ask(s, true, "GET", "/tokens", &body), 200);
	assert_string_equal(body, "{\"tokens\":[{\"name\":\"t\",\"scope\":\"read\"}]}");
}

static long hook(struct site *s, const char *header, const char *body)
{
	struct asked a = {.site = s,
	                  .method = "POST",
	                  .path = "/hook",
	                  .headers = (const char *const[]){header, NULL},
	                  .body = body,
	                  .body_len = strlen(body),
	                  .response = HTTP_RESPONSE_INIT};

	ask_thread(&a);
	assert_int_equal(a.rc, 0);
	long status = a.response.status;
	http_response_free(&a.response);
	return status;
}

static void *hook_thread(void *arg)
{
	return (void *)(uintptr_t)hook(arg, "X-Gitea-Signature: " HOOK_GOOD, HOOK_BODY);
}

static void test_signed_webhook_makes_core_poll(void **state)
{
	struct site *s = *state;
	pthread_t thread;
	void *status;

	pthread_create(&thread, NULL, hook_thread, s);
	json_int_t n = expect_ask(s, "poll", NULL);
	tell(s, msg_new(MSG_ANSWER, "{s:I, s:i, s:{s:s}}", "ask", n, "code", 202, "body", "status", "accepted"), -1);
	pthread_join(thread, &status);
	assert_int_equal((long)(uintptr_t)status, 202);
}

static void test_unsigned_webhook_is_closed(void **state)
{
	struct site *s = *state;

	assert_int_equal(hook(s, "X-Gitea-Signature: " HOOK_GOOD, HOOK_BODY " "), 401);
	assert_int_equal(hook(s, "X-Gitea-Signature;", HOOK_BODY), 401);
	assert_int_equal(hook(s, NULL, HOOK_BODY), 401);
	assert_int_equal(ask(s, true, "POST", "/hook", NULL), 401); /* over the socket too */
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(test_no_token_opens_nothing_where_none_is_configured),
	    T(test_bearer_in_any_case_and_changes_at_once),
	    T(test_threat_48_wrong_tokens),
	    T(test_scopes_are_nested),
	    T(test_body_that_is_too_large_is_told_so_after_the_key),
	    T(test_name_of_an_action_and_of_a_task_is_told_so),
	    T(test_token_is_made_here_and_core_gets_its_hash),
	    T(test_list_of_tokens_has_no_hashes),
	    T(test_signed_webhook_makes_core_poll),
	    T(test_unsigned_webhook_is_closed),
	};
	signal(SIGPIPE, SIG_IGN);
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
