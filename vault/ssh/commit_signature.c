/* Signed commits. See commit_signature.h. */
#include "vault/ssh/commit_signature.h"

#include "lib/cleanup.h"
#include "vault/ssh/ssh_signature.h"
#include "vault/ssh/ssh_wire.h"
#include <string.h>

void signed_commit_free(struct signed_commit *c)
{
	buf_free(&c->armour);
	buf_free(&c->payload);
	c->message = 0;
}

/* Headers in the order in which they must come. Those behind the committer may have any name but these. */
enum header { HEADER_NONE, HEADER_TREE, HEADER_PARENT, HEADER_AUTHOR, HEADER_COMMITTER, HEADER_OTHER };

static bool is_header(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);
	return len > n && memcmp(line, name, n) == 0 && line[n] == ' ';
}

static enum header header_kind(const char *line, size_t len)
{
	static const char *const names[] = {[HEADER_TREE] = "tree", "parent", "author", "committer"};
	for (enum header h = HEADER_TREE; h <= HEADER_COMMITTER; h++)
		if (is_header(line, len, names[h]))
			return h;
	return HEADER_OTHER;
}

static bool may_follow(enum header before, enum header now)
{
	switch (now) {
	case HEADER_TREE:
		return before == HEADER_NONE;
	case HEADER_PARENT:
		return before == HEADER_TREE || before == HEADER_PARENT;
	case HEADER_AUTHOR:
		return before == HEADER_TREE || before == HEADER_PARENT;
	case HEADER_COMMITTER:
		return before == HEADER_AUTHOR;
	case HEADER_OTHER:
		return before == HEADER_COMMITTER || before == HEADER_OTHER;
	default:
		return false;
	}
}

/* Progress through the headers. */
struct split {
	enum header before;
	bool has_signature;
	bool in_signature; /* the line before belongs to it */
	struct signed_commit *ret;
};

/* A line that begins a signature header, known or not. */
static int begin_signature(struct split *s, const char *line, size_t len, struct err *err)
{
	static const char name[] = "gpgsig";

	if (is_header(line, len, "gpgsig-sha256"))
		return err_set(err, ERR_INVALID, "has a signature for SHA-256 repositories (gpgsig-sha256), which is not supported");
	if (!is_header(line, len, name))
		return err_set(err, ERR_INVALID, "has a signature header that nobody knows");
	if (s->has_signature)
		return err_set(err, ERR_INVALID, "has more than one signature; exactly one is allowed");
	buf_add(&s->ret->armour, line + sizeof(name), len - sizeof(name));
	s->has_signature = s->in_signature = true;
	return 0;
}

/* One header line without its newline, of `whole` bytes with it. */
static int take_header(struct split *s, const char *line, size_t len, size_t whole, struct err *err)
{
	static const char prefix[] = "gpgsig";

	if (*line == ' ') { /* goes on with the header before */
		if (s->in_signature) {
			buf_addc(&s->ret->armour, '\n');
			buf_add(&s->ret->armour, line + 1, len - 1);
			return 0;
		}
		if (s->before != HEADER_OTHER)
			return err_set(err, ERR_INVALID, "is malformed: a header that may not has several lines");
	} else {
		enum header now = header_kind(line, len);

		s->in_signature = false;
		if (!may_follow(s->before, now))
			return err_set(err, ERR_INVALID,
			               "is malformed: its headers are not tree, parents, author and committer, each in its place");
		s->before = now;
		if (len >= sizeof(prefix) - 1 && memcmp(line, prefix, sizeof(prefix) - 1) == 0)
			return begin_signature(s, line, len, err);
	}
	buf_add(&s->ret->payload, line, whole);
	return 0;
}

/* Signatures that are none of ours. */
static int check_kind(const struct buf *armour, struct err *err)
{
	static const char *const kinds[][2] = {
	    {"-----BEGIN PGP ", "OpenPGP"}, {"-----BEGIN SIGNED MESSAGE-----", "X.509"}, {"-----BEGIN CMS-----", "X.509"}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strncmp(armour->data, kinds[i][0], strlen(kinds[i][0])) == 0)
			return err_set(err, ERR_INVALID, "has an %s signature; only SSH signatures count (git config gpg.format ssh)",
			               kinds[i][1]);
	return 0;
}

int signed_commit_split(const char *object, size_t len, struct signed_commit *ret, struct err *err)
{
	struct split s = {.before = HEADER_NONE, .ret = ret};
	size_t at = 0;

	if (memchr(object, '\0', len))
		return err_set(err, ERR_INVALID, "is malformed: it has a NUL byte");
	for (;;) {
		const char *line = object + at, *end = memchr(line, '\n', len - at);

		if (!end)
			return err_set(err, ERR_INVALID, "is malformed: its headers have no end");
		at += (size_t)(end - line) + 1;
		if (end == line)
			break;
		if (take_header(&s, line, (size_t)(end - line), (size_t)(end - line) + 1, err) < 0)
			return -1;
	}
	if (s.before < HEADER_COMMITTER)
		return err_set(err, ERR_INVALID, "is malformed: it has no committer");
	if (!s.has_signature)
		return err_set(err, ERR_INVALID, "is not signed");
	ret->message = ret->payload.len + 1;
	buf_add(&ret->payload, object + at - 1, len - at + 1);
	return check_kind(&ret->armour, err);
}

/* Whatever the repository can't give is no judgement on the commit. */
static int unreadable(struct err *err)
{
	if (err && err->code == ERR_NOT_FOUND)
		err->code = ERR_FAIL;
	return -1;
}

static int read_object(git_repository *repo, const git_oid *oid, struct buf *ret, struct err *err)
{
	cleanup_git(git_odb) git_odb *odb = NULL;
	cleanup_git(git_odb_object) git_odb_object *object = NULL;
	git_object_t type = GIT_OBJECT_INVALID;
	size_t size = 0;

	int rc = git_repository_odb(&odb, repo);
	if (rc == 0)
		rc = git_odb_read_header(&size, &type, odb, oid);
	if (rc < 0 || type != GIT_OBJECT_COMMIT) {
		git_err(err, rc, "can't be read");
		return unreadable(err);
	}
	if (size > SIGNED_COMMIT_MAX)
		return err_set(err, ERR_INVALID, "has %zu bytes; at most %d are allowed", size, SIGNED_COMMIT_MAX);
	rc = git_odb_read(&object, odb, oid);
	if (rc < 0) {
		git_err(err, rc, "can't be read");
		return unreadable(err);
	}
	buf_add(ret, git_odb_object_data(object), git_odb_object_size(object));
	return 0;
}

/*
 * A commit is never older than those that it stands on, whose dates are not all its own: the latest of these, by first parents down to the root, since one below it can be dated
 * back as easily as itself.
 */
static int read_below(const git_commit *commit, int64_t *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *at = NULL;

	*ret = 0;
	for (const git_commit *c = commit; git_commit_parentcount(c) > 0; c = at) {
		git_commit *parent = NULL;
		int rc = git_commit_parent(&parent, c, 0);
		if (rc < 0) {
			git_err(err, rc, "can't be read");
			return unreadable(err);
		}
		git_commit_free(at);
		at = parent;
		if (git_commit_time(at) > *ret)
			*ret = git_commit_time(at);
	}
	return 0;
}

/* When, by whom, and by his own word. What claims to come from the future says nothing of others. */
static int read_signing(const git_commit *commit, const struct signing_clock *clock, const struct allowed_signers *signers,
                        struct signing *ret, struct err *err)
{
	int64_t below = 0;

	ret->time = git_commit_time(commit);
	ret->name = git_commit_committer(commit)->email;
	if (!allowed_signers_ended(signers, ret->key, clock->now))
		return 0;
	if (clock->below)
		below = *clock->below;
	else if (read_below(commit, &below, err) < 0)
		return -1;
	ret->earliest = below < clock->now ? below : clock->now;
	return 0;
}

static int check(git_repository *repo, const git_oid *oid, const struct allowed_signers *signers, const struct signing_clock *clock,
                 struct signed_commit *c, char **ret_by, struct err *err)
{
	cleanup_buf struct buf object = BUF_INIT;
	cleanup_git(git_commit) git_commit *commit = NULL;
	struct ssh_signature sig;
	struct signing signing = {.namespace = SSH_NAMESPACE_GIT, .key = &sig.key};
	char time[21];

	if (read_object(repo, oid, &object, err) < 0 || signed_commit_split(object.data, object.len, c, err) < 0 ||
	    ssh_signature_parse(c->armour.data, c->armour.len, SSH_NAMESPACE_GIT, &sig, err) < 0 ||
	    ssh_signature_verify(&sig, SSH_NAMESPACE_GIT, c->payload.data, c->payload.len, err) < 0)
		return -1;
	int rc = git_commit_lookup(&commit, repo, oid);
	if (rc < 0) {
		git_err(err, rc, "can't be read");
		return unreadable(err);
	}
	if (read_signing(commit, clock, signers, &signing, err) < 0 || allowed_signers_find(signers, &signing, ret_by, err) < 0)
		return -1;
	/* Last: an unlisted signer's date makes nobody wait. */
	if (signing.time > clock->now + SIGNED_COMMIT_CLOCK_SKEW)
		return err_set(err, ERR_FAIL, "is dated %s, which has not come yet; its committer's clock or the one here is wrong",
		               signing_time_text(signing.time, time));
	return 0;
}

int commit_signature_check(git_repository *repo, const git_oid *oid, const struct allowed_signers *signers,
                           const struct signing_clock *clock, struct signed_commit *ret, char **ret_by, struct err *err)
{
	cleanup_signed_commit struct signed_commit c = SIGNED_COMMIT_INIT;
	cleanup_free char *by = NULL;

	if (check(repo, oid, signers, clock, &c, &by, err) < 0)
		return err_wrap(err, "commit %.10s", git_oid_tostr_s(oid));
	if (ret) {
		*ret = c;
		c = (struct signed_commit)SIGNED_COMMIT_INIT;
	}
	if (ret_by)
		*ret_by = steal_ptr(&by);
	return 0;
}

static int sign(void *arg, const void *object, size_t len, struct buf *ret, struct err *err)
{
	(void)err;
	ssh_sign(arg, SSH_NAMESPACE_GIT, object, len, ret);
	return 0;
}

struct git_signer commit_signer(struct ssh_private_key *key)
{
	return (struct git_signer){sign, key};
}
