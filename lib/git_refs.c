/*
 * Which refs a place has: packet lines (gitprotocol-common), the ls-refs command of protocol v2 (gitprotocol-v2) and the v0
 * advertisement (gitprotocol-pack).
 */
#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include "lib/git_transport.h"

#include <ctype.h>
#include <string.h>

#define PACKET_MAX 65520
#define REFS_MAX 1000000 /* of those asked for; a server that sends more is broken */

struct git_poller {
	const struct git_place *place;
	bool v0;              /* the server turned out to speak nothing newer */
	git_repository *repo; /* local places: kept open */
};

void git_refs_free(struct git_refs *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->v[i].name);
	free(r->v);
	*r = (struct git_refs){NULL, 0};
}

const git_oid *git_refs_find(const struct git_refs *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].name, name) == 0)
			return &r->v[i].oid;
	return NULL;
}

/* A full name stands for itself, one with a final slash for all below it. */
static bool wanted(const char *const *prefixes, const char *name, size_t len)
{
	for (; *prefixes; prefixes++) {
		size_t n = strlen(*prefixes);
		bool folder = n && (*prefixes)[n - 1] == '/';
		if (folder ? len > n && strncmp(name, *prefixes, n) == 0 : len == n && strncmp(name, *prefixes, n) == 0)
			return true;
	}
	return false;
}

static void add_ref(struct git_refs *refs, const char *name, size_t len, const git_oid *oid)
{
	if ((refs->n & (refs->n + 1)) == 0)
		refs->v = xrealloc(refs->v, (refs->n * 2 + 1) * sizeof(*refs->v));
	refs->v[refs->n++] = (struct git_ref){xasprintf("%.*s", (int)len, name), *oid};
}

/* Packet lines from a wire. */
struct packets {
	struct git_wire *wire;
	struct buf in;
	size_t taken;
	bool begun; /* anything came at all */
};

static void packets_free(struct packets *p)
{
	buf_free(&p->in);
}

static int need(struct packets *p, size_t len, struct err *err)
{
	while (p->in.len - p->taken < len) {
		size_t n = 0;
		if (p->taken == p->in.len) {
			buf_reset(&p->in);
			p->taken = 0;
		}
		char *room = buf_room(&p->in, PACKET_MAX);
		if (p->wire->read(p->wire, room, PACKET_MAX, &n, err) < 0)
			return -1;
		if (n == 0)
			return err_set(err, ERR_UNREACHABLE, "the answer ends early");
		buf_grew(&p->in, n);
		p->begun = true;
	}
	return 0;
}

/* The next line without its newline, borrowed until the next call; NULL for a flush or other delimiter. */
static int next_packet(struct packets *p, const char **ret, size_t *ret_len, struct err *err)
{
	size_t len = 0;
	bool hex = true;
	if (need(p, 4, err) < 0)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p->in.data[p->taken++];
		hex = hex && isxdigit((unsigned char)c);
		len = len * 16 + (size_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	if (!hex || len == 3 || len > PACKET_MAX)
		return err_set(err, ERR_FAIL, "the answer is not git's protocol");
	*ret = NULL;
	*ret_len = 0;
	if (len < 4)
		return 0;
	if (need(p, len - 4, err) < 0)
		return -1;
	*ret = p->in.data + p->taken;
	*ret_len = len - 4;
	p->taken += len - 4;
	if (*ret_len && (*ret)[*ret_len - 1] == '\n')
		--*ret_len;
	if (*ret_len >= 4 && strncmp(*ret, "ERR ", 4) == 0)
		return err_set(err, ERR_FAIL, "the server says: %.*s", (int)*ret_len - 4, *ret + 4);
	return 0;
}

/* "<oid> <name>[ <attributes>]" of v2 or "<oid> <name>[NUL <capabilities>]" of v0. Lines about other things are no refs. */
static int parse_line(const char *line, size_t len, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	git_oid oid;
	if ((len >= 7 && strncmp(line, "unborn ", 7) == 0) || (len >= 8 && strncmp(line, "shallow ", 8) == 0))
		return 0;
	if (len < GIT_OID_HEXSZ + 2 || line[GIT_OID_HEXSZ] != ' ' || git_oid_fromstrn(&oid, line, GIT_OID_HEXSZ) < 0)
		return err_set(err, ERR_FAIL, "the answer is not a list of refs");
	const char *name = line + GIT_OID_HEXSZ + 1;
	size_t n = 0, rest = len - GIT_OID_HEXSZ - 1;
	while (n < rest && name[n] && name[n] != ' ')
		n++;
	if (!wanted(prefixes, name, n))
		return 0;
	if (refs->n >= REFS_MAX)
		return err_set(err, ERR_FAIL, "more than %d refs", REFS_MAX);
	add_ref(refs, name, n, &oid);
	return 0;
}

static int read_refs(struct packets *p, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	const char *line;
	size_t len;
	for (;;) {
		if (next_packet(p, &line, &len, err) < 0)
			return -1;
		if (!line)
			return 0;
		if (parse_line(line, len, prefixes, refs, err) < 0)
			return -1;
	}
}

static void add_packet(struct buf *b, const char *text)
{
	buf_addf(b, "%04zx%s\n", strlen(text) + 5, text);
}

static void ls_refs_request(const char *const *prefixes, struct buf *ret)
{
	add_packet(ret, "command=ls-refs");
	buf_adds(ret, "0001");
	for (; *prefixes; prefixes++) {
		cleanup_free char *argument = xasprintf("ref-prefix %s", *prefixes);
		add_packet(ret, argument);
	}
	buf_adds(ret, "0000");
}

static int over_wire(struct git_wire *wire, const char *const *prefixes, struct git_refs *refs, bool *ret_begun, struct err *err)
{
	__attribute__((cleanup(packets_free))) struct packets p = {.wire = wire, .in = BUF_INIT};
	int rc = read_refs(&p, prefixes, refs, err);
	*ret_begun = p.begun;
	return rc;
}

/* One request that asks for just these; a server without v2 fails on it or answers nothing. */
static int http_v2(struct git_session *s, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	cleanup_buf struct buf body = BUF_INIT;
	struct git_rpc *rpc = NULL;
	bool begun;

	ls_refs_request(prefixes, &body);
	struct git_rpc_request req = {.service = "git-upload-pack", .v2 = true, .body = body.data, .len = body.len};
	if (git_rpc_begin(s, &req, &rpc, err) < 0)
		return -1;
	int rc = over_wire(git_rpc_wire(rpc), prefixes, refs, &begun, err);
	git_rpc_end(rpc);
	return rc;
}

static int http_v0(struct git_session *s, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	__attribute__((cleanup(packets_free))) struct packets p = {.in = BUF_INIT};
	struct git_rpc_request req = {.service = "git-upload-pack", .advertise = true};
	struct git_rpc *rpc = NULL;
	const char *line;
	size_t len;

	if (git_rpc_begin(s, &req, &rpc, err) < 0)
		return -1;
	p.wire = git_rpc_wire(rpc);
	/* "# service=git-upload-pack", flush, then the advertisement */
	int rc = next_packet(&p, &line, &len, err);
	if (rc == 0 && (!line || len < 10 || strncmp(line, "# service=", 10) != 0))
		rc = err_set(err, ERR_FAIL, "the answer is not git's smart protocol");
	if (rc == 0)
		rc = next_packet(&p, &line, &len, err);
	if (rc == 0)
		rc = read_refs(&p, prefixes, refs, err);
	git_rpc_end(rpc);
	return rc;
}

static int http_refs(struct git_poller *p, struct git_session *s, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	cleanup_err struct err first = ERR_INIT;
	if (!p->v0 && http_v2(s, prefixes, refs, &first) == 0)
		return 0;
	/* Silence, a closed door and a refusal are no matter of versions. */
	if (first.code == ERR_TIMEOUT || first.code == ERR_DENIED || first.code == ERR_NOT_FOUND || first.code == ERR_INVALID) {
		err_move(err, &first);
		return -1;
	}
	git_refs_free(refs);
	s->refused = false;
	if (http_v0(s, prefixes, refs, err) < 0)
		return -1;
	p->v0 = true;
	return 0;
}

/* The first line tells the version: "version 2" is followed by capabilities, anything else is v0 (or 1, which differs by that line). */
static int talk(struct git_stream *st, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	__attribute__((cleanup(packets_free))) struct packets p = {.wire = git_stream_wire(st), .in = BUF_INIT};
	cleanup_buf struct buf request = BUF_INIT;
	const char *line;
	size_t len;

	if (next_packet(&p, &line, &len, err) < 0)
		return -1;
	bool v2 = line && len == 9 && strncmp(line, "version 2", 9) == 0;
	bool v1 = line && len == 9 && strncmp(line, "version 1", 9) == 0;
	if (!v2) {
		if (line && !v1 && parse_line(line, len, prefixes, refs, err) < 0)
			return -1;
		if (line && read_refs(&p, prefixes, refs, err) < 0)
			return -1;
		return git_stream_write(st, "0000", 4, err);
	}
	while (line)
		if (next_packet(&p, &line, &len, err) < 0)
			return -1;
	ls_refs_request(prefixes, &request);
	if (git_stream_write(st, request.data, request.len, err) < 0 || read_refs(&p, prefixes, refs, err) < 0)
		return -1;
	return git_stream_write(st, "0000", 4, err);
}

static int stream_refs(struct git_session *s, const char *const *prefixes, struct git_refs *refs, struct err *err)
{
	struct git_stream *st = NULL;
	if (git_stream_begin(s, "git-upload-pack", true, &st, err) < 0)
		return -1;
	int rc = talk(st, prefixes, refs, err);
	git_stream_end(st);
	return rc;
}

static int local_folder(git_repository *repo, const char *prefix, struct git_refs *refs)
{
	cleanup_free char *glob = xasprintf("%s*", prefix);
	git_reference_iterator *i = NULL;
	const char *name;
	git_oid oid;

	int rc = git_reference_iterator_glob_new(&i, repo, glob);
	while (rc == 0 && (rc = git_reference_next_name(&name, i)) == 0)
		if (git_reference_name_to_id(&oid, repo, name) == 0)
			add_ref(refs, name, strlen(name), &oid);
	git_reference_iterator_free(i);
	return rc == GIT_ITEROVER ? 0 : rc;
}

/* Refs on this machine are read where they lie: asking git for them would cost a process for each poll. */
static int local_refs(struct git_poller *p, const char *path, const char *const *prefixes, struct git_refs *refs)
{
	git_oid oid;
	cleanup_free char *head = p->repo ? xasprintf("%sHEAD", git_repository_path(p->repo)) : NULL;
	/* An open repository that was taken away looks like one without refs. */
	if (head && access(head, F_OK) < 0)
		return GIT_ENOTFOUND;
	int rc = p->repo ? 0 : git_repository_open_ext(&p->repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	for (; *prefixes && rc == 0; prefixes++) {
		size_t len = strlen(*prefixes);
		if (len && (*prefixes)[len - 1] == '/') {
			rc = local_folder(p->repo, *prefixes, refs);
			continue;
		}
		rc = git_reference_name_to_id(&oid, p->repo, *prefixes);
		if (rc == 0)
			add_ref(refs, *prefixes, len, &oid);
		else if (rc == GIT_ENOTFOUND)
			rc = 0;
	}
	git_error_clear();
	return rc;
}

struct git_poller *git_poller_new(const struct git_place *place)
{
	struct git_poller *p = xcalloc(1, sizeof(*p));
	p->place = place;
	return p;
}

void git_poller_free(struct git_poller *p)
{
	if (!p)
		return;
	git_repository_free(p->repo);
	free(p);
}

int git_poller_refs(struct git_poller *p, const char *const *prefixes, struct git_refs *ret, struct err *err)
{
	cleanup_git_session struct git_session s = {.place = NULL};
	struct git_refs refs = {NULL, 0};
	int rc;

	if (git_session_begin(&s, p->place, err) < 0)
		return -1;
	if (s.address.scheme == GIT_SCHEME_HTTP) {
		rc = http_refs(p, &s, prefixes, &refs, err);
	} else if (s.address.scheme == GIT_SCHEME_LOCAL && local_refs(p, s.address.path, prefixes, &refs) == 0) {
		rc = 0;
	} else {
		/* What libgit2 can't read here (a format of refs that it does not know), git can. */
		git_repository_free(p->repo);
		p->repo = NULL;
		git_refs_free(&refs);
		rc = stream_refs(&s, prefixes, &refs, err);
	}
	if (rc < 0) {
		git_refs_free(&refs);
		return -1;
	}
	*ret = refs;
	return 0;
}
