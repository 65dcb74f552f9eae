/*
 * The far side of a git repository, with deadlines on everything.
 *
 * libgit2's own transports wait for ever on a silent server, and its local one pushes without compare-and-swap, so both
 * are replaced: http(s) goes through libcurl (git_http.c); ssh, git:// and local paths talk to a child process or a
 * socket through one stream transport (git_stream.c). All functions here use them for every scheme below.
 *
 * One thread in each process: connections and libgit2's last error belong to it.
 */
#ifndef LIB_GIT_REMOTE_H
#define LIB_GIT_REMOTE_H

#include "lib/err.h"
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>

/* Where a repository is and how to get in. Strings are borrowed and must outlive every use. */
struct git_place {
	const char *url;         /* http(s)://…, ssh://…, user@host:path, git://…, file://… or a path */
	const char *token_file;  /* http(s): holds the token (or user:password), read at each use so that it can be rotated; or NULL */
	const char *known_hosts; /* ssh: the only host keys that are accepted; must not be a symlink; NULL: the user's */
	const char *ssh_key;     /* ssh: private key file; NULL: the user's */
	const char *ca_file;     /* https: PEM bundle instead of the system's; or NULL */
	int connect_ms;          /* deadline of connecting; 0: 10000 */
	int stall_ms;            /* deadline of silence in mid-transfer; 0: 30000 */
	int total_ms;            /* deadline of one whole operation; 0: 300000 */
	size_t max_bytes;        /* of what a fetch may bring; 0: whatever there is */
	size_t max_object;       /* bytes of an object that a fetch brings as a delta, and of what it is a delta of; 0: whatever there is */
	size_t max_objects;      /* that a fetch may bring; 0: whatever there is */
};

/* Starts libgit2 and curl with our options (fsync, few windows, nobody's git configuration). Once in each process, after fork. */
int git_remote_setup(struct err *err);

struct git_ref {
	char *name; /* "refs/heads/main" */
	git_oid oid;
};
struct git_refs {
	struct git_ref *v;
	size_t n;
};
void git_refs_free(struct git_refs *r);
const git_oid *git_refs_find(const struct git_refs *r, const char *name); /* NULL when absent */

/*
 * A poller asks one place again and again which refs it has, on one kept-alive connection where the transport
 * allows it: one protocol v2 `ls-refs` request limited to the prefixes (a server that only speaks v0 is understood too).
 */
struct git_poller;
struct git_poller *git_poller_new(const struct git_place *place); /* borrows place */
void git_poller_free(struct git_poller *p);
/* prefixes: NULL-terminated, full names or "refs/heads/vault/". ERR_TIMEOUT, ERR_UNREACHABLE: ask later. ERR_DENIED: credential. Caller frees. */
int git_poller_refs(struct git_poller *p, const char *const *prefixes, struct git_refs *ret, struct err *err);

/*
 * Fetches the refs `src` (full name) into `dst` (full name, overwritten) of the bare repository `repo`.
 * Pairs are NULL-terminated.
 */
struct git_fetch_spec {
	const char *src;
	const char *dst;
};
int git_fetch(git_repository *repo, const struct git_place *place, const struct git_fetch_spec *specs, struct err *err);

enum git_push_outcome {
	GIT_PUSH_WON,  /* the server's status for this ref said yes */
	GIT_PUSH_LOST, /* the server said no: somebody else was first, a hook, or protection; err has its words. Or nothing could be sent */
	GIT_PUSH_UNKNOWN, /* nobody said anything that settles it: read the ref again; err says why */
};
/*
 * Pushes commit `oid` to `dst_ref` (full name; made when absent) without force; oid NULL deletes it. Compare-and-swap against what the server advertises on this
 * connection; or, over http, against `base`, which the ref is taken to hold: then all but the first push of a process are one request. NULL: not known.
 */
enum git_push_outcome git_push_ref(git_repository *repo, const struct git_place *place, const git_oid *base, const git_oid *oid,
                                   const char *dst_ref, struct err *err);

/*
 * Whether the server would let us push: what a push begins with, and nothing sent. What it would say of a certain branch only a push can tell. ERR_DENIED: the
 * credential is not good for it; else as git_poller_refs.
 */
int git_may_push(git_repository *repo, const struct git_place *place, struct err *err);

#endif
