/* The HTTP client against small servers: requests, answers, deadlines. */
#include "tests/http_servers.h"

#include "lib/curl_words.h"
#include "lib/file.h"

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

static void test_get(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("5", "hello"), KEEP}, {"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *c = http_client_of(s);
	cleanup_http_response struct http_response r = HTTP_RESPONSE_INIT;
	assert_int_equal(http_send(c, &get, &r, NULL), 0);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body.data, "hello");
	assert_string_equal(r.content_type, "text/x; a=b");
	assert_int_equal(http_send(c, &get, &r, NULL), 0); /* replaces what r held */
	assert_int_equal(r.status, 404);
	assert_string_equal(r.body.data, "no");
	assert_null(r.content_type);
	http_server_stop(s);
	assert_int_equal(s->n_connections, 1);
	assert_non_null(strstr(s->seen.data, "GET /x?y=%20 HTTP/1.1\r\n"));
	assert_null(strcasestr(s->seen.data, "Content-Type:"));
}

static void test_post(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("0", ""), KEEP}, {OK("0", ""), KEEP}, {OK("0", ""), KEEP}};
	static const char *const headers[] = {"Content-Type: application/json", "X-Y: z", NULL};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *c = http_client_of(s);
	cleanup_free char *big = xmalloc(3000001);
	memset(big, 'b', 3000000);
	big[3000000] = '\0';
	http_expect_answer(c, &(struct http_request){.method = "POST", .path = "/p", .headers = headers, .body = big, .body_len = 3000000},
	                   200, "");
	http_expect_answer(c, &(struct http_request){.method = "DELETE", .path = "/d"}, 200, "");
	http_expect_answer(c, &(struct http_request){.method = "PUT", .path = "/u", .body = "a\0b", .body_len = 3}, 200, "");
	http_server_stop(s);
	assert_null(strcasestr(s->seen.data, "Expect:"));
	assert_non_null(strstr(s->seen.data, "Content-Type: application/json\r\nX-Y: z\r\n"));
	assert_non_null(strstr(s->seen.data, "Content-Length: 3000000\r\n"));
	assert_non_null(strstr(s->seen.data, big));
	const char *rest = strstr(s->seen.data, "DELETE /d HTTP/1.1\r\n");
	assert_non_null(rest);
	assert_null(strcasestr(rest, "Content-Type:")); /* not called a form */
	assert_memory_equal(s->seen.data + s->seen.len - 7, "\r\n\r\na\0b", 7);
}

static void test_head(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("5", ""), KEEP}, {OK("2", "ok"), KEEP}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	http_expect_answer(c, &(struct http_request){.method = "HEAD", .path = "/"}, 200, "");
	http_expect_answer(c, &get, 200, "ok");
}

static void test_unix_socket(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("2", "ok"), KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_unix(s, replies, 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* is for TCP */
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	cleanup_http_client struct http_client *c =
	    http_client_new(&(struct http_options){.unix_socket = s->path, .base_url = "http://localhost"});
	http_expect_answer(c, &get, 200, "ok");
	http_server_stop(s);
	assert_memory_equal(s->seen.data, "GET /x?y=%20 HTTP/1.1\r\nHost: localhost\r\n", 40);
}

static void test_proxy(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("2", "ok"), KEEP}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	setenv("http_proxy", s->url, 1);
	cleanup_http_client struct http_client *c = http_client_new(&(struct http_options){.base_url = "http://forge.invalid"});
	http_expect_answer(c, &get, 200, "ok");
	http_server_stop(s);
	assert_memory_equal(s->seen.data, "GET http://forge.invalid/x?y=%20 HTTP/1.1\r\n", 42);
}

static void test_nobody_there(void **state)
{
	(void)state;
	struct http_server *s = &http_servers[0];
	char message[200];
	http_server_bind(s); /* bound and not listening: refused, and nobody else gets the port */
	cleanup_http_client struct http_client *tcp = http_client_of(s);
	snprintf(message, sizeof(message), "GET %s/x?y=%%20: Connection refused; is it running?", s->url);
	http_expect_error(tcp, &get, ERR_UNREACHABLE, message);
	cleanup_http_client struct http_client *local =
	    http_client_new(&(struct http_options){.unix_socket = "/nonexistent/docker.sock", .base_url = "http://localhost"});
	http_expect_error(local, &get, ERR_UNREACHABLE, "connect to /nonexistent/docker.sock: No such file or directory");
	cleanup_http_client struct http_client *name = http_client_new(&(struct http_options){.base_url = "http://u:pass@forge.invalid"});
	http_expect_error(name, &get, ERR_UNREACHABLE, "GET http://forge.invalid/x?y=%20: "); /* and the password in no message */
}

/* What a client says of a server that is away is the same at each attempt. guard: curl_words_settle in lib/curl_words.c */
static void test_words_without_times(void **state)
{
	static const char *const words[][2] = {
	    {"Failed to connect to a.example port 443 after 1034 ms: Couldn't connect to server",
	     "Failed to connect to a.example port 443: Couldn't connect to server"},
	    {"Connection timed out after 10001 milliseconds", "Connection timed out"},
	    {"Operation timed out after 5 milliseconds with 7 bytes received", "Operation timed out with 7 bytes received"},
	    {"a after 1 ms b after 2 ms", "a b"},
	    {"one after another after 3 tries after ms after ", "one after another after 3 tries after ms after "},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		cleanup_free char *text = xstrdup(words[i][0]);
		curl_words_settle(text);
		assert_string_equal(text, words[i][1]);
	}
}

static void test_bad_requests(void **state)
{
	(void)state;
	static const char *const headers[] = {"X: a\r\nY: b", NULL};
	cleanup_http_client struct http_client *file = http_client_new(&(struct http_options){.base_url = "file://"});
	http_expect_error(file, &(struct http_request){.method = "GET", .path = "/etc/passwd"}, ERR_INVALID, "GET file:///etc/passwd: ");
	cleanup_http_client struct http_client *bad = http_client_new(&(struct http_options){.base_url = "http://"});
	http_expect_error(bad, &(struct http_request){.method = "GET", .path = ""}, ERR_INVALID, "GET (bad URL)");
	cleanup_http_client struct http_client *c = http_client_new(&(struct http_options){.base_url = "http://127.0.0.1:1"});
	http_expect_error(c, &(struct http_request){.method = "GET", .path = "/", .headers = headers}, ERR_INVALID, "line break");
	cleanup_http_client struct http_client *token =
	    http_client_new(&(struct http_options){.base_url = "http://127.0.0.1:1", .bearer = "tok\nX: y"});
	http_expect_error(token, &get, ERR_INVALID, "line break");
}

static void test_credentials(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("0", ""), CLOSE}, {OK("0", ""), CLOSE}};
	struct http_server *s = &http_servers[0];
	http_server_tcp(s, replies);
	cleanup_http_client struct http_client *basic =
	    http_client_new(&(struct http_options){.base_url = s->url, .user = "me", .password = "p:w"});
	cleanup_http_client struct http_client *token = http_client_new(&(struct http_options){.base_url = s->url, .bearer = "t0k"});
	http_expect_answer(basic, &get, 200, "");
	http_expect_answer(token, &get, 200, "");
	http_server_stop(s);
	assert_non_null(strstr(s->seen.data, "Authorization: Basic bWU6cDp3\r\n"));
	assert_non_null(strstr(s->seen.data, "Authorization: Bearer t0k\r\n"));
}

static void test_silent_server(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{"", HOLD}, {OK("2", "ok"), KEEP}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	struct http_request req = get;
	req.timeout_ms = 100;
	int64_t before = now_mono_ms();
	http_expect_error(c, &req, ERR_TIMEOUT, "no whole answer within 100 ms");
	assert_true(now_mono_ms() - before >= 100);
	http_expect_answer(c, &get, 200, "ok"); /* on a new connection */
}

static void test_connect_deadline(void **state)
{
	(void)state;
	struct http_server *s = &http_servers[0];
	http_server_bind(s);
	assert_int_equal(listen(s->listener, 0), 0);
	/* Nobody accepts: once the queue is full, the kernel drops what else wants to connect. */
	int fill[8];
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	for (size_t i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fill[i], (struct sockaddr *)&a, sizeof(a)))
			assert_int_equal(errno, EINPROGRESS);
	}
	cleanup_http_client struct http_client *c = http_client_new(&(struct http_options){.base_url = s->url, .connect_timeout_ms = 100});
	http_expect_error(c, &get, ERR_TIMEOUT, "GET ");
	for (size_t i = 0; i < 8; i++)
		close(fill[i]);
}

static void test_stall(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("50", "half"), HOLD}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	struct http_request req = get;
	req.stall_ms = 100;
	http_expect_error(c, &req, ERR_TIMEOUT, "nothing moved for 100 ms");
}

static void test_half_answers(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("50", "half"), CLOSE},
	                                            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE},
	                                            {"HTTP/1.1 200 OK\r\nContent-Le", CLOSE},
	                                            {"", CLOSE},
	                                            {"SSH-2.0-nonsense\r\n", CLOSE}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	http_expect_error(c, &get, ERR_UNREACHABLE, "the connection broke");
	http_expect_error(c, &get, ERR_UNREACHABLE, "the connection broke");
	http_expect_error(c, &get, ERR_UNREACHABLE, "");
	http_expect_error(c, &get, ERR_UNREACHABLE, "the connection broke");
	http_expect_error(c, &get, ERR_UNREACHABLE, "");
}

static void test_oversize(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("10", "0123456789"), KEEP},
	                                            {OK("11", "0123456789A"), KEEP},
	                                            {"HTTP/1.1 500 Bad\r\nContent-Length: 11\r\n\r\n0123456789A", KEEP}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	struct http_request req = get;
	req.max_response = 10;
	http_expect_answer(c, &req, 200, "0123456789");
	http_expect_error(c, &req, ERR_FAIL, "larger than 10 bytes");
	http_expect_error(c, &req, ERR_FAIL, "larger than 10 bytes");
}

static void test_endless_headers(void **state)
{
	(void)state;
	cleanup_buf struct buf text = BUF_INIT;
	buf_adds(&text, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 20000; i++)
		buf_addf(&text, "X-%05d: something\r\n", i);
	struct http_reply replies[] = {{text.data, HOLD}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	http_expect_error(c, &get, ERR_FAIL, "headers are larger");
	http_server_stop(&http_servers[0]);
}

/* What on_data and on_wake got, and what they say. */
struct receiver {
	struct buf got;
	int stop;
	int wakes;
	int pipe[2];
};

static int receive(const char *data, size_t len, void *arg)
{
	struct receiver *r = arg;
	buf_add(&r->got, data, len);
	return r->stop;
}

static int wake(void *arg)
{
	struct receiver *r = arg;
	char c;
	r->wakes++;
	return read(r->pipe[0], &c, 1) == 1 && c == 'g' ? 0 : 1;
}

static void test_stream(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", KEEP},
	    {"HTTP/1.1 409 No\r\nContent-Length: 5\r\n\r\nbusy!", KEEP},
	    {OK("5", "three"), KEEP},
	    {OK("5", "three"), KEEP}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	struct receiver r = {.got = BUF_INIT};
	struct http_request req = get;
	req.on_data = receive;
	req.arg = &r;
	http_expect_answer(c, &req, 200, "");
	assert_string_equal(r.got.data, "onetwo");
	buf_reset(&r.got);
	http_expect_answer(c, &req, 409, "busy!"); /* an error's text is no data */
	assert_int_equal(r.got.len, 0);
	r.stop = 1;
	http_expect_error(c, &req, ERR_FAIL, "ended by its receiver");
	req.max_response = 4;
	r.stop = 0;
	http_expect_error(c, &req, ERR_FAIL, "larger than 4 bytes");
	buf_free(&r.got);
}

static void test_wake(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{OK("50", "half"), HOLD}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	struct receiver r = {.got = BUF_INIT};
	assert_int_equal(pipe2(r.pipe, O_CLOEXEC), 0);
	struct http_request req = get;
	req.on_wake = wake;
	req.wake_fd = r.pipe[0];
	req.arg = &r;
	assert_int_equal(write(r.pipe[1], "gggx", 4), 4); /* go on three times */
	http_expect_error(c, &req, ERR_FAIL, "ended by its caller");
	assert_int_equal(r.wakes, 4);
	close(r.pipe[0]);
	close(r.pipe[1]);
}

static void test_wake_writer_gone(void **state)
{
	(void)state;
	static const struct http_reply replies[] = {{"", HOLD}};
	http_server_tcp(&http_servers[0], replies);
	cleanup_http_client struct http_client *c = http_client_of(&http_servers[0]);
	struct receiver r = {.got = BUF_INIT};
	assert_int_equal(pipe2(r.pipe, O_CLOEXEC), 0);
	close(r.pipe[1]);
	struct http_request req = get;
	req.on_wake = wake;
	req.wake_fd = r.pipe[0];
	req.arg = &r;
	http_expect_error(c, &req, ERR_FAIL, "ended by its caller");
	close(r.pipe[0]);
}

#define served(f) cmocka_unit_test_setup_teardown(f, http_servers_begin, http_servers_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    served(test_get),
	    served(test_post),
	    served(test_head),
	    served(test_unix_socket),
	    served(test_proxy),
	    served(test_nobody_there),
	    cmocka_unit_test(test_words_without_times),
	    served(test_bad_requests),
	    served(test_credentials),
	    served(test_silent_server),
	    served(test_connect_deadline),
	    served(test_stall),
	    served(test_half_answers),
	    served(test_oversize),
	    served(test_endless_headers),
	    served(test_stream),
	    served(test_wake),
	    served(test_wake_writer_gone),
	};
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
