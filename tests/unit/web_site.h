/* What the tests of the web role share: the role in a process of its own, with the test as its core, asked over real sockets. */
#ifndef TESTS_UNIT_WEB_SITE_H
#define TESTS_UNIT_WEB_SITE_H

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
#include <sys/mman.h>
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

static inline int listen_unix(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	return bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 8) < 0 ? -1 : fd;
}

static inline int listen_loopback(char *url, size_t size)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0 || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return -1;
	snprintf(url, size, "http://127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

static inline int setup_with(void **state, const char *hook_secret)
{
	struct site *s = xcalloc(1, sizeof *s);
	int pair[2], hook = -1;

	if (hook_secret) {
		hook = memfd_create("hook", MFD_CLOEXEC);
		if (write(hook, hook_secret, strlen(hook_secret)) < 0)
			return -1;
	}
	snprintf(s->dir, sizeof s->dir, "/tmp/disinto-web.XXXXXX");
	if (!scratch_dir(s->dir) || msg_pair(pair, NULL) < 0)
		return -1;
	snprintf(s->socket, sizeof s->socket, "%s/api.sock", s->dir);
	int api = listen_unix(s->socket), tcp = listen_loopback(s->tcp, sizeof s->tcp);
	s->config = (struct config){.poll_seconds = 2, .capacity = 4, .allowed_hosts = json_pack("[s]", "edge.example")};
	s->pid = fork();
	if (s->pid == 0) {
		struct role_args args = {
		    .config = &s->config, .sock = pair[1], .listen_fd = tcp, .api_fd = api, .hook_fd = hook, .dispatcher_id = "d1"};
		close(pair[0]);
		_exit(web_role(&args));
	}
	close(pair[1]);
	close(api);
	close(tcp);
	if (hook >= 0)
		close(hook);
	msg_conn_init(&s->web, pair[0]);
	*state = s;
	return 0;
}

static inline int teardown(void **state)
{
	struct site *s = *state;

	msg_conn_close(&s->web);
	waitpid(s->pid, NULL, 0); /* a role without core ends by itself */
	dir_remove_at(AT_FDCWD, s->dir, NULL);
	json_decref(s->config.allowed_hosts);
	free(s);
	return 0;
}

static inline void tell(struct site *s, json_t *body, int fd)
{
	assert_int_equal(msg_send(&s->web, body, fd, SOON_MS, NULL), 0);
	json_decref(body);
}

static inline void tell_run(struct site *s, const char *id, const char *state, const char *outcome)
{
	tell(s, msg_new(MSG_RUN, "{s:s, s:s, s:s?}", "id", id, "state", state, "outcome", outcome), -1);
}

static inline void tell_status(struct site *s, int64_t last_poll_ms, const char *git)
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
	const char *const *headers; /* NULL-terminated, or NULL */
	const char *body;           /* or NULL */
	size_t body_len;
	struct http_response response;
	int rc;
};

static inline void *ask_thread(void *arg)
{
	struct asked *a = arg;
	struct http_options options = {.unix_socket = a->api ? a->site->socket : NULL,
	                               .base_url = a->api ? "http://localhost" : a->site->tcp};
	cleanup_http_client struct http_client *c = http_client_new(&options);
	struct http_request req = {
	    .method = a->method,
	    .path = a->path,
	    .headers = a->headers,
	    .body = a->body,
	    .body_len = a->body_len,
	    .timeout_ms = SOON_MS,
	};

	a->rc = http_send(c, &req, &a->response, NULL);
	return NULL;
}

/* Asks and waits. The answer is parsed when it is JSON; caller frees. */
static inline long ask(struct site *s, bool api, const char *method, const char *path, char **ret_body)
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
static inline void wait_for_row(struct site *s, const char *text)
{
	for (;;) {
		cleanup_free char *body = NULL;
		assert_int_equal(ask(s, true, "GET", "/actions", &body), 200);
		if (strstr(body, text))
			return;
		usleep(1000);
	}
}

static inline json_int_t expect_ask(struct site *s, const char *op, const char *id)
{
	cleanup_msg struct msg m = MSG_INIT;

	assert_int_equal(msg_recv(&s->web, SOON_MS, &m, NULL), 1);
	assert_string_equal(m.kind, "ask");
	assert_string_equal(json_string_value(json_object_get(m.body, "op")), op);
	const char *about = json_string_value(json_object_get(m.body, "id"));
	assert_true(id ? about && strcmp(about, id) == 0 : !about);
	return json_integer_value(json_object_get(m.body, "ask"));
}

#endif
