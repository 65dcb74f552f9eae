/*
 * Small HTTP servers for the tests of clients: each is a thread that answers one connection after the other with what its script says,
 * and keeps what it was asked.
 */
#ifndef TESTS_HTTP_SERVERS_H
#define TESTS_HTTP_SERVERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/http.h"

#include <pthread.h>

enum http_after { KEEP, CLOSE, HOLD }; /* HOLD: stay silent until the client goes or the test ends */

struct http_reply {
	const char *text;
	enum http_after after;
};

struct http_server {
	int listener;
	int stop[2];
	pthread_t thread;
	const struct http_reply *replies;
	size_t n_replies;
	size_t n_requests;
	size_t n_connections;
	struct buf seen; /* all requests; read it only after http_server_stop() */
	char url[64];
	char path[64]; /* of a unix socket */
};

extern struct http_server http_servers[2];

/* A test's setup and teardown: no proxies in the environment; ends the servers. */
int http_servers_begin(void **state);
int http_servers_end(void **state);

/* A port of its own on the loopback, on which nobody listens before http_server_start(). */
void http_server_bind(struct http_server *s);
void http_server_start(struct http_server *s, const struct http_reply *replies, size_t n);
#define http_server_tcp(s, replies) (http_server_bind(s), http_server_start(s, replies, sizeof(replies) / sizeof((replies)[0])))
void http_server_unix(struct http_server *s, const struct http_reply *replies, size_t n);
void http_server_stop(struct http_server *s);

struct http_client *http_client_of(const struct http_server *s);
/* Sends what must fail, and checks that nothing was written to the response. */
void http_expect_error(struct http_client *c, const struct http_request *req, enum err_code code, const char *message);
void http_expect_answer(struct http_client *c, const struct http_request *req, long status, const char *body);

/* An answer with this body of that length. */
#define OK(length, body) "HTTP/1.1 200 OK\r\nContent-Type: text/x; a=b\r\nContent-Length: " length "\r\n\r\n" body

#endif
