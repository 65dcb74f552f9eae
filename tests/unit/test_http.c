/*
 * The HTTP client against small servers of this test's own: each server is a thread that answers one connection after the other with
 * what its script says, and keeps what it was asked.
 */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/http_url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

enum after { KEEP, CLOSE, HOLD }; /* HOLD: stay silent until the client goes or the test ends */

struct reply {
	const char *text;
	enum after after;
};

struct server {
	int listener;
	int stop[2];
	pthread_t thread;
	const struct reply *replies;
	size_t n_replies;
	size_t n_requests;
	size_t n_connections;
	struct buf seen; /* all requests; read it only after server_stop() */
	char url[64];
	char path[64]; /* of a unix socket */
};

static struct server servers[2];

/* Waits for fd or the end of the test. */
static bool readable(const struct server *s, int fd)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {s->stop[0], POLLIN, 0}};
	return poll(p, 2, -1) > 0 && !p[1].revents;
}

/* Waits for a request on fd; a client that makes a new connection instead has no more use for this one. */
static bool requested(const struct server *s, int fd)
{
	struct pollfd p[3] = {{fd, POLLIN, 0}, {s->stop[0], POLLIN, 0}, {s->listener, POLLIN, 0}};
	return poll(p, 3, -1) > 0 && !p[1].revents && p[0].revents;
}

/* Reads up to the end of one request and keeps it. */
static bool read_request(struct server *s, int fd)
{
	size_t start = s->seen.len;
	for (;;) {
		const char *end = strstr(s->seen.data + start, "\r\n\r\n");
		const char *length = strcasestr(s->seen.data + start, "\r\nContent-Length:");
		size_t body = length && end ? (size_t)strtoll(length + 17, NULL, 10) : 0;
		if (end && (size_t)(s->seen.data + s->seen.len - end) - 4 >= body)
			return true;
		if (!requested(s, fd))
			return false;
		ssize_t n = read(fd, buf_room(&s->seen, 65536), 65536);
		if (n <= 0)
			return false;
		buf_grew(&s->seen, (size_t)n);
	}
}

static void send_text(int fd, const char *text)
{
	for (size_t len = strlen(text); len > 0;) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void serve_connection(struct server *s, int fd)
{
	while (read_request(s, fd)) {
		size_t i = s->n_requests++;
		if (i >= s->n_replies)
			return;
		send_text(fd, s->replies[i].text);
		if (s->replies[i].after == HOLD)
			readable(s, fd);
		if (s->replies[i].after != KEEP)
			return;
	}
}

static void *serve(void *arg)
{
	struct server *s = arg;
	while (readable(s, s->listener)) {
		cleanup_fd int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		s->n_connections++;
		serve_connection(s, fd);
	}
	return NULL;
}

static void start(struct server *s, const struct reply *replies, size_t n)
{
	s->seen = (struct buf)BUF_INIT;
	s->replies = replies;
	s->n_replies = n;
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(pipe2(s->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void bind_tcp(struct server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", ntohs(a.sin_port));
}

#define start_tcp(s, replies) (bind_tcp(s), start(s, replies, sizeof(replies) / sizeof((replies)[0])))

static void start_unix(struct server *s, const struct reply *replies, size_t n)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/disinto-test-http-XXXXXX";
	assert_non_null(mkdtemp(folder));
	snprintf(s->path, sizeof(s->path), "%s/s", folder);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	start(s, replies, n);
}

static void stop(struct server *s)
{
	if (s->thread) {
		close(s->stop[1]);
		pthread_join(s->thread, NULL);
		close(s->stop[0]);
		s->thread = 0;
	}
	if (s->listener > 0)
		close(s->listener);
	s->listener = 0;
}

static int begin(void **state)
{
	(void)state;
	static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		unsetenv(proxies[i]);
	memset(servers, 0, sizeof(servers));
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		stop(&servers[i]);
		buf_free(&servers[i].seen);
		if (!servers[i].path[0])
			continue;
		unlink(servers[i].path);
		*strrchr(servers[i].path, '/') = '\0';
		rmdir(servers[i].path);
	}
	return 0;
}

static struct http_client *client_of(const struct server *s)
{
	return http_client_new(&(struct http_options){.base_url = s->url});
}

/* Sends what must fail, and checks that nothing was written to the response. */
static void expect_error(struct http_client *c, const struct http_request *req, enum err_code code, const char *message)
{
	cleanup_http_response struct http_response r = HTTP_RESPONSE_INIT;
	cleanup_err struct err e = ERR_INIT;
	int result = http_send(c, req, &r, &e);
	if (result != -1 || (int)code != e.code || !strstr(err_msg(&e), message))
		fail_msg("result %d, code %d, message \"%s\" without \"%s\"", result, e.code, err_msg(&e), message);
	assert_int_equal(r.status, 0);
	assert_int_equal(r.body.len, 0);
}

static void expect_answer(struct http_client *c, const struct http_request *req, long status, const char *body)
{
	cleanup_http_response struct http_response r = HTTP_RESPONSE_INIT;
	cleanup_err struct err e = ERR_INIT;
	if (http_send(c, req, &r, &e))
		fail_msg("%s", err_msg(&e));
	assert_null(e.msg);
	assert_int_equal(r.status, status);
	assert_string_equal(r.body.data, body);
}

static const struct http_request get = {.method = "GET", .path = "/x?y=%20", .wake_fd = -1};
static const struct http_request post = {.method = "POST", .path = "/p", .body = "data", .body_len = 4};

#define OK(length, body) "HTTP/1.1 200 OK\r\nContent-Type: text/x; a=b\r\nContent-Length: " length "\r\n\r\n" body

static void test_get(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("5", "hello"), KEEP}, {"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", KEEP}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *c = client_of(s);
	cleanup_http_response struct http_response r = HTTP_RESPONSE_INIT;
	assert_int_equal(http_send(c, &get, &r, NULL), 0);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body.data, "hello");
	assert_string_equal(r.content_type, "text/x; a=b");
	assert_int_equal(http_send(c, &get, &r, NULL), 0); /* replaces what r held */
	assert_int_equal(r.status, 404);
	assert_string_equal(r.body.data, "no");
	assert_null(r.content_type);
	stop(s);
	assert_int_equal(s->n_connections, 1);
	assert_non_null(strstr(s->seen.data, "GET /x?y=%20 HTTP/1.1\r\n"));
	assert_null(strcasestr(s->seen.data, "Content-Type:"));
}

static void test_post(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("0", ""), KEEP}, {OK("0", ""), KEEP}, {OK("0", ""), KEEP}};
	static const char *const headers[] = {"Content-Type: application/json", "X-Y: z", NULL};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *c = client_of(s);
	cleanup_free char *big = xmalloc(3000001);
	memset(big, 'b', 3000000);
	big[3000000] = '\0';
	expect_answer(c, &(struct http_request){.method = "POST", .path = "/p", .headers = headers, .body = big, .body_len = 3000000}, 200,
	              "");
	expect_answer(c, &(struct http_request){.method = "DELETE", .path = "/d"}, 200, "");
	expect_answer(c, &(struct http_request){.method = "PUT", .path = "/u", .body = "a\0b", .body_len = 3}, 200, "");
	stop(s);
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
	static const struct reply replies[] = {{OK("5", ""), KEEP}, {OK("2", "ok"), KEEP}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	expect_answer(c, &(struct http_request){.method = "HEAD", .path = "/"}, 200, "");
	expect_answer(c, &get, 200, "ok");
}

static void test_unix_socket(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("2", "ok"), KEEP}};
	struct server *s = &servers[0];
	start_unix(s, replies, 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* is for TCP */
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	cleanup_http_client struct http_client *c =
	    http_client_new(&(struct http_options){.unix_socket = s->path, .base_url = "http://localhost"});
	expect_answer(c, &get, 200, "ok");
	stop(s);
	assert_memory_equal(s->seen.data, "GET /x?y=%20 HTTP/1.1\r\nHost: localhost\r\n", 40);
}

static void test_proxy(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("2", "ok"), KEEP}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	setenv("http_proxy", s->url, 1);
	cleanup_http_client struct http_client *c = http_client_new(&(struct http_options){.base_url = "http://forge.invalid"});
	expect_answer(c, &get, 200, "ok");
	stop(s);
	assert_memory_equal(s->seen.data, "GET http://forge.invalid/x?y=%20 HTTP/1.1\r\n", 42);
}

static void test_nobody_there(void **state)
{
	(void)state;
	struct server *s = &servers[0];
	char message[200];
	bind_tcp(s); /* bound and not listening: refused, and nobody else gets the port */
	cleanup_http_client struct http_client *tcp = client_of(s);
	snprintf(message, sizeof(message), "GET %s/x?y=%%20: Connection refused; is it running?", s->url);
	expect_error(tcp, &get, ERR_UNREACHABLE, message);
	cleanup_http_client struct http_client *local =
	    http_client_new(&(struct http_options){.unix_socket = "/nonexistent/docker.sock", .base_url = "http://localhost"});
	expect_error(local, &get, ERR_UNREACHABLE, "connect to /nonexistent/docker.sock: No such file or directory");
	cleanup_http_client struct http_client *name = http_client_new(&(struct http_options){.base_url = "http://u:pass@forge.invalid"});
	expect_error(name, &get, ERR_UNREACHABLE, "GET http://forge.invalid/x?y=%20: "); /* and the password in no message */
}

static void test_bad_requests(void **state)
{
	(void)state;
	static const char *const headers[] = {"X: a\r\nY: b", NULL};
	cleanup_http_client struct http_client *file = http_client_new(&(struct http_options){.base_url = "file://"});
	expect_error(file, &(struct http_request){.method = "GET", .path = "/etc/passwd"}, ERR_INVALID, "GET file:///etc/passwd: ");
	cleanup_http_client struct http_client *bad = http_client_new(&(struct http_options){.base_url = "http://"});
	expect_error(bad, &(struct http_request){.method = "GET", .path = ""}, ERR_INVALID, "GET (bad URL)");
	cleanup_http_client struct http_client *c = http_client_new(&(struct http_options){.base_url = "http://127.0.0.1:1"});
	expect_error(c, &(struct http_request){.method = "GET", .path = "/", .headers = headers}, ERR_INVALID, "line break");
	cleanup_http_client struct http_client *token =
	    http_client_new(&(struct http_options){.base_url = "http://127.0.0.1:1", .bearer = "tok\nX: y"});
	expect_error(token, &get, ERR_INVALID, "line break");
}

static void test_credentials(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("0", ""), CLOSE}, {OK("0", ""), CLOSE}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *basic =
	    http_client_new(&(struct http_options){.base_url = s->url, .user = "me", .password = "p:w"});
	cleanup_http_client struct http_client *token = http_client_new(&(struct http_options){.base_url = s->url, .bearer = "t0k"});
	expect_answer(basic, &get, 200, "");
	expect_answer(token, &get, 200, "");
	stop(s);
	assert_non_null(strstr(s->seen.data, "Authorization: Basic bWU6cDp3\r\n"));
	assert_non_null(strstr(s->seen.data, "Authorization: Bearer t0k\r\n"));
}

static void test_silent_server(void **state)
{
	(void)state;
	static const struct reply replies[] = {{"", HOLD}, {OK("2", "ok"), KEEP}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	struct http_request req = get;
	req.timeout_ms = 100;
	int64_t before = now_mono_ms();
	expect_error(c, &req, ERR_TIMEOUT, "no whole answer within 100 ms");
	assert_true(now_mono_ms() - before >= 100);
	expect_answer(c, &get, 200, "ok"); /* on a new connection */
}

static void test_connect_deadline(void **state)
{
	(void)state;
	struct server *s = &servers[0];
	bind_tcp(s);
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
	expect_error(c, &get, ERR_TIMEOUT, "GET ");
	for (size_t i = 0; i < 8; i++)
		close(fill[i]);
}

static void test_stall(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("50", "half"), HOLD}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	struct http_request req = get;
	req.stall_ms = 100;
	expect_error(c, &req, ERR_TIMEOUT, "nothing moved for 100 ms");
}

static void test_half_answers(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("50", "half"), CLOSE},
	                                       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE},
	                                       {"HTTP/1.1 200 OK\r\nContent-Le", CLOSE},
	                                       {"", CLOSE},
	                                       {"SSH-2.0-nonsense\r\n", CLOSE}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	expect_error(c, &get, ERR_UNREACHABLE, "the connection broke");
	expect_error(c, &get, ERR_UNREACHABLE, "the connection broke");
	expect_error(c, &get, ERR_UNREACHABLE, "");
	expect_error(c, &get, ERR_UNREACHABLE, "the connection broke");
	expect_error(c, &get, ERR_UNREACHABLE, "");
}

static void test_oversize(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("10", "0123456789"), KEEP},
	                                       {OK("11", "0123456789A"), KEEP},
	                                       {"HTTP/1.1 500 Bad\r\nContent-Length: 11\r\n\r\n0123456789A", KEEP}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	struct http_request req = get;
	req.max_response = 10;
	expect_answer(c, &req, 200, "0123456789");
	expect_error(c, &req, ERR_FAIL, "larger than 10 bytes");
	expect_error(c, &req, ERR_FAIL, "larger than 10 bytes");
}

static void test_endless_headers(void **state)
{
	(void)state;
	cleanup_buf struct buf text = BUF_INIT;
	buf_adds(&text, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 20000; i++)
		buf_addf(&text, "X-%05d: something\r\n", i);
	struct reply replies[] = {{text.data, HOLD}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	expect_error(c, &get, ERR_FAIL, "headers are larger");
	stop(&servers[0]);
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
	static const struct reply replies[] = {
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", KEEP},
	    {"HTTP/1.1 409 No\r\nContent-Length: 5\r\n\r\nbusy!", KEEP},
	    {OK("5", "three"), KEEP},
	    {OK("5", "three"), KEEP}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	struct receiver r = {.got = BUF_INIT};
	struct http_request req = get;
	req.on_data = receive;
	req.arg = &r;
	expect_answer(c, &req, 200, "");
	assert_string_equal(r.got.data, "onetwo");
	buf_reset(&r.got);
	expect_answer(c, &req, 409, "busy!"); /* an error's text is no data */
	assert_int_equal(r.got.len, 0);
	r.stop = 1;
	expect_error(c, &req, ERR_FAIL, "ended by its receiver");
	req.max_response = 4;
	r.stop = 0;
	expect_error(c, &req, ERR_FAIL, "larger than 4 bytes");
	buf_free(&r.got);
}

static void test_wake(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("50", "half"), HOLD}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	struct receiver r = {.got = BUF_INIT};
	assert_int_equal(pipe2(r.pipe, O_CLOEXEC), 0);
	struct http_request req = get;
	req.on_wake = wake;
	req.wake_fd = r.pipe[0];
	req.arg = &r;
	assert_int_equal(write(r.pipe[1], "gggx", 4), 4); /* go on three times */
	expect_error(c, &req, ERR_FAIL, "ended by its caller");
	assert_int_equal(r.wakes, 4);
	close(r.pipe[0]);
	close(r.pipe[1]);
}

static void test_wake_writer_gone(void **state)
{
	(void)state;
	static const struct reply replies[] = {{"", HOLD}};
	start_tcp(&servers[0], replies);
	cleanup_http_client struct http_client *c = client_of(&servers[0]);
	struct receiver r = {.got = BUF_INIT};
	assert_int_equal(pipe2(r.pipe, O_CLOEXEC), 0);
	close(r.pipe[1]);
	struct http_request req = get;
	req.on_wake = wake;
	req.wake_fd = r.pipe[0];
	req.arg = &r;
	expect_error(c, &req, ERR_FAIL, "ended by its caller");
	close(r.pipe[0]);
}

#define REDIRECT(status, to) "HTTP/1.1 " status " See\r\nContent-Length: 4\r\nLocation: " to "\r\n\r\nmove"

static struct http_client *following(const struct server *s)
{
	return http_client_new(&(struct http_options){.base_url = s->url, .user = "me", .password = "pw", .same_host_redirects = true});
}

static void test_redirect_at_home(void **state)
{
	(void)state;
	static const struct reply replies[] = {{REDIRECT("301", "/a"), KEEP},
	                                       {REDIRECT("302", "b"), CLOSE},
	                                       {OK("4", "home"), KEEP},
	                                       {REDIRECT("307", "/q"), KEEP},
	                                       {OK("2", "ok"), KEEP}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *c = following(s);
	expect_answer(c, &get, 200, "home");
	expect_answer(c, &post, 200, "ok");
	stop(s);
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
	static const struct reply there[] = {{OK("4", "evil"), KEEP}};
	char text[3][200];
	struct reply here[3];
	struct server *a = &servers[0];
	struct server *b = &servers[1];
	bind_tcp(a);
	start_tcp(b, there);
	const char *port = strrchr(a->url, ':') + 1;
	snprintf(text[0], 200, REDIRECT("302", "%s/x"), b->url);                 /* another port */
	snprintf(text[1], 200, REDIRECT("302", "http://localhost:%s/x"), port);  /* another host */
	snprintf(text[2], 200, REDIRECT("302", "https://127.0.0.1:%s/x"), port); /* another scheme */
	for (size_t i = 0; i < 3; i++)
		here[i] = (struct reply){text[i], KEEP};
	start(a, here, 3);
	cleanup_http_client struct http_client *c = following(a);
	for (size_t i = 0; i < 3; i++)
		expect_error(c, &get, ERR_FAIL, "which is another place");
	stop(a);
	stop(b);
	assert_int_equal(a->n_requests, 3);
	assert_int_equal(b->n_connections, 0); /* so it can't have seen the credential */
}

static void test_redirects_that_are_not_followed(void **state)
{
	(void)state;
	static const struct reply replies[] = {{REDIRECT("302", "/a"), KEEP},
	                                       {REDIRECT("302", "/a"), KEEP},
	                                       {REDIRECT("302", "/a"), KEEP},
	                                       {REDIRECT("302", "/a"), KEEP},
	                                       {REDIRECT("302", "/a"), CLOSE},
	                                       {REDIRECT("302", "/a"), KEEP},
	                                       {"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", KEEP}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *c = following(s);
	expect_error(c, &get, ERR_FAIL, "redirected more than 3 times");
	expect_error(c, &post, ERR_FAIL, "which would turn it into a GET");
	http_client_free(c);
	c = client_of(s);
	expect_answer(c, &get, 302, "move");
	http_client_free(c);
	c = following(s);
	expect_answer(c, &get, 302, ""); /* leads nowhere */
}

/* A kept connection that breaks under a request: did the server act upon it? Nobody knows, so it may not get it twice. */
static void test_post_is_not_repeated(void **state)
{
	(void)state;
	static const struct reply replies[] = {{OK("2", "ok"), KEEP}, {"", CLOSE}, {OK("5", "again"), KEEP}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *c = client_of(s);
	expect_answer(c, &get, 200, "ok");
	expect_error(c, &post, ERR_UNREACHABLE, "the connection broke");
	stop(s);
	assert_int_equal(s->n_requests, 2);
}

static void test_what_may_be_repeated(void **state)
{
	(void)state;
	static const struct reply replies[] = {
	    {OK("2", "ok"), KEEP}, {"", CLOSE}, {OK("5", "again"), KEEP}, {"", CLOSE}, {OK("5", "third"), KEEP}};
	struct server *s = &servers[0];
	start_tcp(s, replies);
	cleanup_http_client struct http_client *c = client_of(s);
	struct http_request req = post;
	req.repeatable = true;
	expect_answer(c, &get, 200, "ok");
	expect_answer(c, &req, 200, "again");
	expect_answer(c, &get, 200, "third");
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

#define served(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    served(test_get),
	    served(test_post),
	    served(test_head),
	    served(test_unix_socket),
	    served(test_proxy),
	    served(test_nobody_there),
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
	    served(test_redirect_at_home),
	    served(test_redirect_elsewhere),
	    served(test_redirects_that_are_not_followed),
	    served(test_post_is_not_repeated),
	    served(test_what_may_be_repeated),
	    cmocka_unit_test(test_escape),
	    cmocka_unit_test(test_same_place),
	};
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
