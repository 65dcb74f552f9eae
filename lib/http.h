/*
 * HTTP client on libcurl, for unix sockets and TCP, with a deadline on everything.
 *
 * A client is one place to talk to (base URL or unix socket) and keeps its connection alive between requests. It is used
 * by one thread at a time; each thread makes its own. HTTP/1.1, TLS 1.2 or newer, proxies from the environment (TCP only). Callbacks
 * must not use the client that calls them.
 */
#ifndef LIB_HTTP_H
#define LIB_HTTP_H

#include "lib/buf.h"
#include "lib/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;

struct http_options {
	const char *unix_socket;  /* path, or NULL for TCP */
	const char *base_url;     /* "http://localhost" for a unix socket; no final slash */
	const char *user;         /* basic auth, or NULL */
	const char *password;     /* may be NULL */
	const char *bearer;       /* or NULL */
	const char *ca_file;      /* PEM bundle, or NULL for the system's */
	int connect_timeout_ms;   /* 0: 10 s */
	bool same_host_redirects; /* follow redirects to the same scheme, host and port only (at most 3); others are an error */
};

struct http_request {
	const char *method;         /* "GET" ... */
	const char *path;           /* appended to base_url; already escaped */
	const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
	const void *body;           /* sent when not NULL */
	size_t body_len;
	int timeout_ms;      /* whole request; 0: none (streams) */
	int stall_ms;        /* ends a transfer on which nothing moves for this long, in either direction; 0: none */
	size_t max_response; /* more is an error; 0: 16 MiB, and no limit for on_data */
	/*
	 * An idle connection may break just as a request goes out on it, and libcurl then sends the request again by itself; whether the server
	 * acted upon the first one, nobody knows. So all but GET and HEAD get a new connection, on which that can't happen, unless the
	 * caller says that doing it twice is the same as once.
	 */
	bool repeatable;
	/* When set, gets the body in pieces instead of the response buffer; non-zero ends the transfer with ERR_FAIL. Called for 2xx only. */
	int (*on_data)(const char *data, size_t len, void *arg);
	void *arg;
	int wake_fd; /* > 0: when readable, on_wake(arg) is called; non-zero return ends the transfer with ERR_FAIL. Otherwise there is none */
	int (*on_wake)(void *arg);
};

struct http_response {
	long status; /* 0 when nothing came */
	struct buf body;
	char *content_type; /* owned; NULL when absent */
	int64_t date;       /* of the Date header, in seconds since 1970; 0 when absent */
};

struct http_client *http_client_new(const struct http_options *options); /* copies all */
void http_client_free(struct http_client *c);
static inline void http_client_freep(struct http_client **c)
{
	http_client_free(*c);
}
#define cleanup_http_client __attribute__((cleanup(http_client_freep)))

/*
 * Sends one request. 0: an answer came whole, whatever its status; *ret (initialised) replaces what it held. -1: none did, and *ret is
 * untouched; ERR_TIMEOUT when a deadline passed, ERR_UNREACHABLE when the connection failed or broke, ERR_INVALID for a bad URL or header,
 * ERR_FAIL otherwise (too large, redirected elsewhere, ended by a callback). The message names the place and what to look at.
 */
int http_send(struct http_client *c, const struct http_request *req, struct http_response *ret, struct err *err);

void http_response_free(struct http_response *r);
#define cleanup_http_response __attribute__((cleanup(http_response_free)))
#define HTTP_RESPONSE_INIT \
	{ \
		0, BUF_INIT, NULL, 0 \
	}

/* Percent-encodes everything but unreserved characters (RFC 3986). Caller frees. */
char *http_escape(const char *s);

#endif
