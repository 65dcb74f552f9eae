/* Calls of the Docker Engine API. */
#include "dispatcher/engine/api.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER_MAX (8u << 20) /* a list of thousands of containers is a few MiB */
#define WORDS_MAX 500         /* of the engine's own message */

int api_patience(int ms)
{
#ifdef DISINTO_TEST
	const char *most = getenv("DISINTO_TEST_ENGINE_MS");
	if (most && atoi(most) < ms)
		return atoi(most);
#endif
	return ms;
}

void api_open(struct api *a, const char *socket_path, const char *prefix)
{
	const struct http_options options = {.unix_socket = socket_path, .base_url = "http://docker", .connect_timeout_ms = API_CONNECT_MS};
	a->http = http_client_new(&options);
	a->call_ms = api_patience(API_CALL_MS);
	snprintf(a->prefix, sizeof(a->prefix), "%s", prefix);
}

void api_close(struct api *a)
{
	http_client_free(a->http);
	a->http = NULL;
}

/* The engine's own words, on one line and not too long. */
static int refused_by_engine(const struct http_response *res, struct err *err)
{
	enum err_code code = res->status == 404 ? ERR_NOT_FOUND : res->status == 409 ? ERR_EXISTS : ERR_FAIL;
	cleanup_json json_t *body = json_loadb(res->body.data, res->body.len, 0, NULL);
	const char *message = json_string_value(json_object_get(body, "message"));
	if (!message)
		return err_set(err, code, "the Docker Engine answered with status %ld and no message", res->status);
	char words[WORDS_MAX];
	snprintf(words, sizeof(words), "%s", message);
	for (char *p = words; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	return err_set(err, code, "the Docker Engine says: %s", words);
}

int api_send(struct api *a, struct http_request *req, struct http_response *ret, struct err *err)
{
	cleanup_free char *path = xasprintf("%s%s", a->prefix, req->path);
	req->path = path;
	if (!req->max_response && !req->on_data)
		req->max_response = ANSWER_MAX;
	CRASH_POINT("call.%s.%s", req->method, path);
	int r = http_send(a->http, req, ret, err);
	CRASH_POINT("called.%s.%s", req->method, path);
	req->path = NULL;
	if (r < 0)
		return -1;
	if ((ret->status < 200 || ret->status > 299) && ret->status != 304)
		return refused_by_engine(ret, err);
	return 0;
}

static int call(struct api *a, const char *method, const json_t *body, json_t **ret, struct err *err, const char *format, va_list ap)
{
	static const char *const json_headers[] = {"Content-Type: application/json", NULL};
	cleanup_buf struct buf path = BUF_INIT;
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	buf_vaddf(&path, format, ap);
	struct http_request req = {.method = method, .path = path.data, .timeout_ms = a->call_ms};
	if (text) {
		req.headers = json_headers;
		req.body = text;
		req.body_len = strlen(text);
	}
	if (api_send(a, &req, &res, err) < 0)
		return -1;
	if (!ret)
		return 0;
	json_error_t e;
	json_t *value = res.body.len ? json_loadb(res.body.data, res.body.len, 0, &e) : NULL;
	if (!value && res.body.len)
		return err_set(err, ERR_FAIL, "the Docker Engine's answer to %s %s is not JSON: %s", method, path.data, e.text);
	*ret = value;
	return 0;
}

int api_get(struct api *a, json_t **ret, struct err *err, const char *path, ...)
{
	va_list ap;
	va_start(ap, path);
	int r = call(a, "GET", NULL, ret, err, path, ap);
	va_end(ap);
	return r;
}

int api_post(struct api *a, const json_t *body, json_t **ret, struct err *err, const char *path, ...)
{
	va_list ap;
	va_start(ap, path);
	int r = call(a, "POST", body, ret, err, path, ap);
	va_end(ap);
	return r;
}

int api_delete(struct api *a, struct err *err, const char *path, ...)
{
	va_list ap;
	va_start(ap, path);
	int r = call(a, "DELETE", NULL, NULL, err, path, ap);
	va_end(ap);
	return r;
}

int api_remove(struct api *a, const char *container, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	if (api_delete(a, &why, "/containers/%s?v=1&force=1", container) == 0 || why.code == ERR_NOT_FOUND || why.code == ERR_EXISTS)
		return 0;
	err_move(err, &why);
	return err_wrap(err, "remove container %s", container);
}

bool api_is_name(const char *s)
{
	size_t len = strlen(s);
	return len > 1 && len < 256 && isalnum((unsigned char)s[0]) &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

char *api_filters(json_t *filters)
{
	cleanup_json json_t *owned = filters;
	cleanup_free char *text = json_dumps(owned, JSON_COMPACT);
	return http_escape(text);
}

/* Waits until the socket is ready; the deadline is monotonic. */
static int wait_socket(int fd, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		int64_t left = deadline - now_mono_ms();
		struct pollfd p = {fd, events, 0};
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, ERR_TIMEOUT, "the Docker Engine does not answer");
		if (errno != EINTR)
			return err_errno(err, errno, "poll");
	}
}

static int connect_engine(const char *socket_path, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(socket_path) >= sizeof(addr.sun_path))
		return err_set(err, ERR_FAIL, "docker_host: %s: the path of a unix socket has at most %zu bytes", socket_path,
		               sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, socket_path, strlen(socket_path));
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A full backlog shows as EAGAIN, at once: the engine hangs. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		err_errno(err, errno, "connect to the Docker Engine at %s", socket_path);
		if (err)
			err->code = ERR_UNREACHABLE;
		return -1;
	}
	return steal_fd(&fd);
}

/* Reads the head of the answer and not a byte more; what follows belongs to the stream. */
static int read_head(int fd, int64_t deadline, struct buf *ret, struct err *err)
{
	while (ret->len < 4 || memcmp(ret->data + ret->len - 4, "\r\n\r\n", 4) != 0) {
		if (ret->len > 8192)
			return err_set(err, ERR_FAIL, "the Docker Engine's answer has no end");
		if (wait_socket(fd, POLLIN, deadline, err) < 0)
			return -1;
		ssize_t n = recv(fd, buf_room(ret, 1), 1, 0);
		if (n == 0)
			return err_set(err, ERR_UNREACHABLE, "the Docker Engine closed the connection");
		if (n > 0)
			buf_grew(ret, 1);
		else if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "read the Docker Engine's answer");
	}
	return 0;
}

int api_attach_stdin(const char *socket_path, const char *prefix, const char *container, int *ret_fd, struct err *err)
{
	cleanup_free char *request = xasprintf("POST %s/containers/%s/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: docker\r\n"
	                                       "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n",
	                                       prefix, container);
	cleanup_buf struct buf head = BUF_INIT;
	int64_t deadline = now_mono_ms() + api_patience(API_CONNECT_MS);
	cleanup_fd int fd = connect_engine(socket_path, err);
	if (fd < 0)
		return -1;
	CRASH_POINT("attach");
	size_t len = strlen(request); /* far below a socket's buffer, which is empty */
	if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
		return err_errno(err, errno, "attach to the container");
	if (read_head(fd, deadline, &head, err) < 0)
		return err_wrap(err, "attach to the container");
	if (strncmp(head.data, "HTTP/1.1 101 ", 13) != 0)
		return err_set(err, ERR_FAIL, "attach to the container: the Docker Engine answered %.*s", (int)strcspn(head.data, "\r\n"),
		               head.data);
	CRASH_POINT("attached");
	*ret_fd = steal_fd(&fd);
	return 0;
}
