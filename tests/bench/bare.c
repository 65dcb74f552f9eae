/*
 * Baseline of `make bench`: what the Docker Engine takes for one container by nothing but its API: create, attach to standard input,
 * start. Connections are kept where that is faster.
 *
 *   bare SOCKET BODY-FILE PREFIX COUNT PAUSE-MS
 *
 * BODY-FILE is the body of POST /containers/create. For each container "<PREFIX>-<n>" one line: its name, and the time in ns (wall clock) at
 * which the first call was made. The container is removed again.
 */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/http.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BODY_MAX (1 << 20)

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int call(struct http_client *c, const char *method, const char *path, const struct buf *body, struct err *err)
{
	static const char *const json[] = {"Content-Type: application/json", NULL};
	cleanup_http_response struct http_response answer = HTTP_RESPONSE_INIT;
	struct http_request request = {.method = method, .path = path, .headers = json, .timeout_ms = 60000, .repeatable = true};

	request.body = body ? body->data : "";
	request.body_len = body ? body->len : 0;
	if (http_send(c, &request, &answer, err) < 0)
		return -1;
	if (answer.status >= 300)
		return err_set(err, ERR_FAIL, "%s %s: %ld %s", method, path, answer.status, answer.body.data);
	return 0;
}

/* A connection whose standard input the container has; -1 on any failure. */
static int attach(const char *path, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char answer[4096] = "";
	size_t len = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    dprintf(fd,
	            "POST /containers/%s/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
	            name) < 0)
		return -1;
	while (!strstr(answer, "\r\n\r\n")) {
		ssize_t n = read(fd, answer + len, sizeof(answer) - 1 - len);

		if (n <= 0)
			return -1;
		len += (size_t)n;
		answer[len] = '\0';
	}
	return strncmp(answer, "HTTP/1.1 101", 12) == 0 ? fd : -1;
}

static int one(struct http_client *c, const char *sock, const struct buf *body, const char *name, struct err *err)
{
	cleanup_free char *create = xasprintf("/containers/create?name=%s", name);
	cleanup_free char *start = xasprintf("/containers/%s/start", name);
	cleanup_free char *destroy = xasprintf("/containers/%s?force=1&v=1", name);
	cleanup_fd int input = -1;
	long long began = now_ns();

	if (call(c, "POST", create, body, err) < 0)
		return -1;
	input = attach(sock, name);
	if (input < 0)
		return err_set(err, ERR_FAIL, "%s: can't attach", name);
	if (call(c, "POST", start, NULL, err) < 0)
		return -1;
	printf("%s %lld\n", name, began);
	fflush(stdout);
	return call(c, "DELETE", destroy, NULL, err);
}

static int all(char **argv, struct err *err)
{
	cleanup_http_client struct http_client *client = NULL;
	cleanup_buf struct buf body = BUF_INIT;

	client = http_client_new(&(struct http_options){.unix_socket = argv[1], .base_url = "http://docker"});
	if (file_read(argv[2], BODY_MAX, &body, err) < 0)
		return -1;
	for (long i = 1, count = strtol(argv[4], NULL, 10); i <= count; i++) {
		cleanup_free char *name = xasprintf("%s-%ld", argv[3], i);

		if (one(client, argv[1], &body, name, err) < 0)
			return -1;
		usleep((useconds_t)strtoul(argv[5], NULL, 10) * 1000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	cleanup_err struct err err = ERR_INIT;

	if (argc != 6) {
		fprintf(stderr, "usage: bare SOCKET BODY-FILE PREFIX COUNT PAUSE-MS\n");
		return 2;
	}
	if (all(argv, &err) < 0) {
		fprintf(stderr, "bare: %s\n", err_msg(&err));
		return 1;
	}
	return 0;
}
