/*
 * Between lib/git_*.c: addresses, one operation's session, and the two ways to the far side. Others use git_remote.h.
 */
#ifndef LIB_GIT_TRANSPORT_H
#define LIB_GIT_TRANSPORT_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/git_remote.h"
#include <git2.h>
#include <git2/sys/transport.h>
#include <stdbool.h>
#include <stdint.h>

enum git_scheme { GIT_SCHEME_HTTP, GIT_SCHEME_SSH, GIT_SCHEME_GIT, GIT_SCHEME_LOCAL };

/* A place's URL, taken apart. All strings owned; NULL where the scheme has no such part. */
struct git_address {
	enum git_scheme scheme;
	char *shown; /* the URL for messages: without a password */
	char *user;
	char *host;
	char *port;
	char *path; /* local: without file:// */
};
/* ERR_INVALID: not a URL of a scheme we know, or a part that could be taken for an option. */
int git_address_parse(const char *url, struct git_address *ret, struct err *err);
void git_address_free(struct git_address *a);
#define cleanup_git_address __attribute__((cleanup(git_address_free)))

/*
 * One operation on a place: its deadline, and what its transport has to say beyond libgit2's return codes. Life: git_session_begin ->
 * connections -> git_session_end. It must outlive the remote that uses it.
 */
struct git_session {
	const struct git_place *place;
	struct git_address address;
	int64_t deadline_ms; /* CLOCK_BOOTTIME, of the whole operation */
	int stall_ms;
	struct err err;   /* the first failure of a transport */
	bool refused;     /* the server said no before it did anything */
	struct buf words; /* what the server told people (side band 2) */
	/* Of a push whose ref is taken to hold `base`; NULL: the server is asked. `unasked`: it was not, since what it can do is known from the push before. */
	const char *ref;
	const git_oid *base;
	bool unasked;
};
int git_session_begin(struct git_session *s, const struct git_place *place, struct err *err);
void git_session_end(struct git_session *s);
#define cleanup_git_session __attribute__((cleanup(git_session_end)))

/* How long the next wait may be: silence or the whole, what ends first. ERR_TIMEOUT when the whole has ended. */
int git_session_wait_ms(struct git_session *s, int *ret_ms, struct err *err);
/* A libgit2 remote for the place, which has no name and knows no configuration. */
int git_session_remote(struct git_session *s, git_repository *repo, git_remote **ret, struct err *err);
/* The error of a failed libgit2 call: the transport's, where it has one. Returns -1. */
int git_session_err(struct git_session *s, struct err *err);
/* Callbacks for libgit2 with the session as payload. */
int git_session_transport(git_transport **out, git_remote *owner, void *session);
int git_session_sideband(const char *text, int len, void *session);

/* A connection that bytes are read from; 0 bytes is its end. Both kinds below have one as their first member. */
struct git_wire {
	int (*read)(struct git_wire *w, char *to, size_t size, size_t *ret_len, struct err *err);
};

/* http(s): one request and its answer. The session and `body` must outlive it. */
struct git_rpc;
struct git_rpc_request {
	const char *service; /* "git-upload-pack" or "git-receive-pack" */
	bool advertise;      /* GET of the advertisement; else POST of body */
	bool v2;             /* asks for protocol version 2 */
	const void *body;
	size_t len;
};
int git_rpc_begin(struct git_session *s, const struct git_rpc_request *req, struct git_rpc **ret, struct err *err);
struct git_wire *git_rpc_wire(struct git_rpc *rpc);
void git_rpc_end(struct git_rpc *rpc);
/* The next push asks what the server can do. */
void git_http_forget(void);

/* ssh, git:// and local: a conversation with a service. git_stream_end lets a healthy far side finish, and kills any other. */
struct git_stream;
int git_stream_begin(struct git_session *s, const char *service, bool v2, struct git_stream **ret, struct err *err);
struct git_wire *git_stream_wire(struct git_stream *st);
int git_stream_write(struct git_stream *st, const void *data, size_t len, struct err *err);
void git_stream_end(struct git_stream *st);

/* What git_transport_smart() makes its subtransports from; param is the session. */
int git_http_subtransport(git_smart_subtransport **out, git_transport *owner, void *session);
int git_stream_subtransport(git_smart_subtransport **out, git_transport *owner, void *session);
/* Keeps an error for git_session_err and tells libgit2 that something failed. Returns -1. */
int git_session_fail(struct git_session *s, struct err *err);

#endif
