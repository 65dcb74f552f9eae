/* The HTTP client where a server sends it elsewhere or hangs up, and what is done with URLs. */
#include "tests/http_servers.h"

#include "lib/http_url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct http_request get = {.method = "GET", .path = "/x?y=%20"};
static const struct http_request post = {.method = "POST", .path = "/p", .body = "data", .body_len = 4};

#define REDIRECT(status, to) "HTTP/1.1 " status " See\r\nContent-Length: 4\r\nLocation: " to "\r\n\r\nmove"

static struct http_client *following(const struct http_server *s)
{
	return http_client_new(&(struct http_options){.base_url = s->url, .user = "me", .password = "pw", .same_host_redirects = true});
}

static void test_redirect_at_home(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{REDIRECT("301", "/a"), KEEP},
	                                            {REDIRECT("302", "b"), CLOSE},
	                                            {OK("4", "home"), KEEP},
	                                            {REDIRECT("307", "/q"), KEEP},
	                                            {OK("2", "ok"), KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *c = following(s);
	http_expect_answer(c, &get, 200, "home");
	http_expect_answer(c, &post, 200, "ok");
	http_server_stop(s);
	assert_int_equal(s->n_requests, 5);
	assert_non_null(strstr(s->seen.data, "GET /a HTTP/1.1"));
	assert_non_null(strstr(s->seen.data, "GET /b HTTP/1.1"));
	assert_non_null(strstr(strstr(s->seen.data, "GET /b"), "Authorization: Basic bWU6cHc=\r\n"));
	const char *again = strstr(s->seen.data, "POST /q HTTP/1.1");
	assert_non_null(again);
	assert_non_null(strstr(again, "\r\n\r\ndata"));
	assert_non_null(strstr(again, "Authorization: Basic"));
}

static void test_redirect_elsewhere(void **state)
{
	(void)state;
	static const struct http_reply there[] = {{OK("4", "evil"), KEEP}};
	char text[3][200];
	struct http_reply here[3];
	struct http_server *a = &http_servers[0];
	struct http_server *b = &http_servers[1];
	http_server_bind(a);
	http_server_tcp(b, there);
	const char *port = strrchr(a->url, ':') + 1;
	snprintf(text[0], 200, REDIRECT("302", "%s/x"), b->url);                 /* another port */
	snprintf(text[1], 200, REDIRECT("302", "http://localhost:%s/x"), port);  /* another host */
	snprintf(text[2], 200, REDIRECT("302", "https://127.0.0.1:%s/x"), port); /* another scheme */
	for (size_t i = 0; i < 3; i++)
		here[i] = (struct http_reply){text[i], KEEP};
	http_server_start(a, here, 3);
	cleanup_http_client struct http_client *c = following(a);
	for (size_t i = 0; i < 3; i++)
		http_expect_error(c, &get, ERR_FAIL, "which is another place");
	http_server_stop(a);
	http_server_stop(b);
	assert_int_equal(a->n_requests, 3);
	assert_int_equal(b->n_connections, 0); /* so it can't have seen the credential */
}

static void test_redirects_that_are_not_followed(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{REDIRECT("302", "/a"), KEEP},
	                                            {REDIRECT("302", "/a"), KEEP},
	                                            {REDIRECT("302", "/a"), KEEP},
	                                            {REDIRECT("302", "/a"), KEEP},
	                                            {REDIRECT("302", "/a"), CLOSE},
	                                            {REDIRECT("302", "/a"), KEEP},
	                                            {"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *c = following(s);
	http_expect_error(c, &get, ERR_FAIL, "redirected more than 3 times");
	http_expect_error(c, &post, ERR_FAIL, "which would turn it into a GET");
	http_client_free(c);
	c = http_client_of(s);
	http_expect_answer(c, &get, 302, "move");
	http_client_free(c);
	c = following(s);
	http_expect_answer(c, &get, 302, ""); /* leads nowhere */
}

/* A kept connection that breaks under a request: did the server act upon it? Nobody knows, so it may not get it twice. */
static void test_post_is_not_repeated(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("2", "ok"), KEEP}, {"", CLOSE}, {OK("5", "again"), KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *c = http_client_of(s);
	http_expect_answer(c, &get, 200, "ok");
	http_expect_error(c, &post, ERR_UNREACHABLE, "the connection broke");
	http_server_stop(s);
	assert_int_equal(s->n_requests, 2);
}

static void test_what_may_be_repeated(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {
	    {OK("2", "ok"), KEEP}, {"", CLOSE}, {OK("5", "again"), KEEP}, {"", CLOSE}, {OK("5", "third"), KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *c = http_client_of(s);
	struct http_request req = post;
	req.repeatable = true;
	http_expect_answer(c, &get, 200, "ok");
	http_expect_answer(c, &req, 200, "again");
	http_expect_answer(c, &get, 200, "third");
}

static void check_escape(const char *s, const char *expected)
{
	cleanup_free char *text = http_escape(s);
	assert_string_equal(text, expected);
}

static void test_escape(void **state)
{
	(void)state;
	check_escape("", "");
	check_escape("azAZ09-._~", "azAZ09-._~");
	check_escape("a b/c?d=e&f+%\xC3\xA4\n", "a%20b%2Fc%3Fd%3De%26f%2B%25%C3%A4%0A");
}

static void test_same_place(void **state)
{
	(void)state;
	assert_true(url_same_place("http://Host/a", "http://host:80/b?c"));
	assert_true(url_same_place("https://host:443", "https://host/"));
	assert_false(url_same_place("http://host", "https://host"));
	assert_false(url_same_place("http://host", "http://host:8080"));
	assert_false(url_same_place("http://host", "http://host.evil"));
	assert_false(url_same_place("http://host", "http://host@evil"));
	assert_false(url_same_place("http://host", "/relative"));
	cleanup_free char *url = url_without_user("http://me:pw@host/x?y");
	assert_string_equal(url, "http://host/x?y");
	assert_null(url_without_user("http://"));
}

#define served(f) cmocka_unit_test_setup_teardown(f, http_servers_begin, http_servers_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    served(test_redirect_at_home),     served(test_redirect_elsewhere),   served(test_redirects_that_are_not_followed),
	    served(test_post_is_not_repeated), served(test_what_may_be_repeated), cmocka_unit_test(test_escape),
	    cmocka_unit_test(test_same_place),
	};
	return cmocka_run_group_tests_name("http_redirect", tests, NULL, NULL);
}
