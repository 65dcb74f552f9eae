#include "tests/http_servers.h"

#include "tests/scratch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct http_server http_servers[2];

/* Waits for fd or the end of the test. */
static bool readable(const struct http_server *s, int fd)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {s->stop[0], POLLIN, 0}};
	return poll(p, 2, -1) > 0 && !p[1].revents;
}

/* Waits for a request on fd; a client that makes a new connection instead has no more use for this one. */
static bool requested(const struct http_server *s, int fd)
{
	struct pollfd p[3] = {{fd, POLLIN, 0}, {s->stop[0], POLLIN, 0}, {s->listener, POLLIN, 0}};
	return poll(p, 3, -1) > 0 && !p[1].revents && p[0].revents;
}

/* Reads up to the end of one request and keeps it. */
static bool read_request(struct http_server *s, int fd)
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

static void serve_connection(struct http_server *s, int fd)
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
	struct http_server *s = arg;
	while (readable(s, s->listener)) {
		cleanup_fd int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		s->n_connections++;
		serve_connection(s, fd);
	}
	return NULL;
}

void http_server_start(struct http_server *s, const struct http_reply *replies, size_t n)
{
	s->seen = (struct buf)BUF_INIT;
	s->replies = replies;
	s->n_replies = n;
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(pipe2(s->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void http_server_bind(struct http_server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", ntohs(a.sin_port));
}

void http_server_unix(struct http_server *s, const struct http_reply *replies, size_t n)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/disinto-test-http-XXXXXX";
	assert_non_null(scratch_dir(folder));
	snprintf(s->path, sizeof(s->path), "%s/s", folder);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	http_server_start(s, replies, n);
}

void http_server_stop(struct http_server *s)
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

int http_servers_begin(void **state)
{
	(void)state;
	static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		unsetenv(proxies[i]);
	memset(http_servers, 0, sizeof(http_servers));
	return 0;
}

int http_servers_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		http_server_stop(&http_servers[i]);
		buf_free(&http_servers[i].seen);
		if (!http_servers[i].path[0])
			continue;
		unlink(http_servers[i].path);
		*strrchr(http_servers[i].path, '/') = '\0';
		rmdir(http_servers[i].path);
	}
	return 0;
}

struct http_client *http_client_of(const struct http_server *s)
{
	return http_client_new(&(struct http_options){.base_url = s->url});
}

void http_expect_error(struct http_client *c, const struct http_request *req, enum err_code code, const char *message)
{
	cleanup_http_response struct http_response r = HTTP_RESPONSE_INIT;
	cleanup_err struct err e = ERR_INIT;
	int result = http_send(c, req, &r, &e);
	if (result != -1 || (int)code != e.code || !strstr(err_msg(&e), message))
		fail_msg("result %d, code %d, message \"%s\" without \"%s\"", result, e.code, err_msg(&e), message);
	assert_int_equal(r.status, 0);
	assert_int_equal(r.body.len, 0);
}

void http_expect_answer(struct http_client *c, const struct http_request *req, long status, const char *body)
{
	cleanup_http_response struct http_response r = HTTP_RESPONSE_INIT;
	cleanup_err struct err e = ERR_INIT;
	if (http_send(c, req, &r, &e))
		fail_msg("%s", err_msg(&e));
	assert_null(e.msg);
	assert_int_equal(r.status, status);
	assert_string_equal(r.body.data, body);
}
