/*
 * Pushing one ref, and saying what became of it. libgit2 calls a push that the server rejected a success; only the callback for the
 * ref tells.
 */
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/git_repo.h"
#include "lib/git_transport.h"

#include <stdatomic.h>
#include <string.h>

/* libgit2 hands one payload to all callbacks: the transport and side band expect a session first. */
struct push {
	struct git_session s;
	bool answered, yes;
	char *status; /* the server's words when not */
};

static int on_status(const char *ref, const char *status, void *arg)
{
	struct push *p = arg;
	(void)ref;
	p->answered = true;
	p->yes = !status;
	free(p->status);
	p->status = status ? xstrdup(status) : NULL;
	return 0;
}

static enum git_push_outcome judge(struct push *p, int rc, const char *dst_ref, struct err *err)
{
	const char *shown = p->s.address.shown;
	if (p->answered && p->yes)
		return GIT_PUSH_WON;
	if (p->answered) {
		while (p->s.words.len && p->s.words.data[p->s.words.len - 1] == ' ')
			p->s.words.data[--p->s.words.len] = '\0';
		err_set(err, ERR_FAIL, "%s: %s: the server says: %s%s%s", shown, dst_ref, p->status, p->s.words.len ? ": " : "",
		        p->s.words.data);
		return GIT_PUSH_LOST;
	}
	if (rc == GIT_ENONFASTFORWARD) {
		git_error_clear();
		err_set(err, ERR_EXISTS, "%s: %s: somebody else was first", shown, dst_ref);
		return GIT_PUSH_LOST;
	}
	if (rc == 0) {
		err_set(err, ERR_FAIL, "%s: %s: the server did not say what became of it", shown, dst_ref);
		return GIT_PUSH_UNKNOWN;
	}
	git_session_err(&p->s, err);
	return p->s.refused ? GIT_PUSH_LOST : GIT_PUSH_UNKNOWN;
}

static enum git_push_outcome push_from(struct push *p, git_repository *repo, const char *src_ref, const char *dst_ref, struct err *err)
{
	cleanup_git(git_remote) git_remote *remote = NULL;
	cleanup_free char *spec = xasprintf("%s:%s", src_ref, dst_ref);
	git_strarray specs = {&spec, 1};
	git_push_options options;

	if (git_session_remote(&p->s, repo, &remote, err) < 0)
		return GIT_PUSH_UNKNOWN;
	git_push_options_init(&options, GIT_PUSH_OPTIONS_VERSION);
	options.pb_parallelism = 1;
	options.callbacks.transport = git_session_transport;
	options.callbacks.sideband_progress = git_session_sideband;
	options.callbacks.push_update_reference = on_status;
	options.callbacks.payload = p;
	CRASH_POINT("push.%s", dst_ref);
	int rc = git_remote_push(remote, &specs, &options);
	CRASH_POINT("pushed.%s", dst_ref);
	return judge(p, rc, dst_ref, err);
}

static enum git_push_outcome push_once(git_repository *repo, const struct git_place *place, const git_oid *base, const char *src_ref,
                                       const char *dst_ref, bool *ret_unasked, struct err *err)
{
	struct push p = {.answered = false};

	*ret_unasked = false;
	if (git_session_begin(&p.s, place, err) < 0)
		return GIT_PUSH_UNKNOWN;
	p.s.ref = dst_ref;
	p.s.base = base;
	enum git_push_outcome outcome = push_from(&p, repo, src_ref, dst_ref, err);
	*ret_unasked = p.s.unasked;
	git_session_end(&p.s);
	free(p.status);
	return outcome;
}

/* What is lost without having asked first may be lost for having taken too much for granted: the server is asked then, and says why in its usual words. */
static enum git_push_outcome push_onto(git_repository *repo, const struct git_place *place, const git_oid *base, const char *src_ref,
                                       const char *dst_ref, struct err *err)
{
	bool unasked = false;
	enum git_push_outcome outcome = push_once(repo, place, base, src_ref, dst_ref, &unasked, err);

	if (outcome == GIT_PUSH_WON)
		return outcome;
	git_http_forget();
	if (outcome != GIT_PUSH_LOST || !unasked)
		return outcome;
	err_clear(err);
	return push_once(repo, place, NULL, src_ref, dst_ref, &unasked, err);
}

enum git_push_outcome git_push_ref(git_repository *repo, const struct git_place *place, const git_oid *base, const git_oid *oid,
                                   const char *dst_ref, struct err *err)
{
	static atomic_uint serial;
	git_reference *ref = NULL;
	enum git_push_outcome outcome =
	    GIT_PUSH_LOST; /* nothing was sent: the disk failed under the commit, say, which is gone then and can't be sent again */

	/* A push's source must be a ref; nobody but this push knows it. */
	cleanup_free char *src_ref = xasprintf("refs/disinto/push/%d-%u", (int)getpid(), atomic_fetch_add(&serial, 1));
	int rc = oid ? git_reference_create(&ref, repo, src_ref, oid, 1, NULL) : 0;
	if (rc < 0)
		git_err(err, rc, "push %s", git_oid_tostr_s(oid));
	else
		outcome = push_onto(repo, place, base, oid ? src_ref : "", dst_ref, err);
	if (ref && git_reference_delete(ref) < 0)
		git_error_clear(); /* a ref too many in a clone hurts nobody */
	git_reference_free(ref);
	return outcome;
}

int git_may_push(git_repository *repo, const struct git_place *place, struct err *err)
{
	cleanup_git_session struct git_session s = {.place = NULL};
	cleanup_git(git_remote) git_remote *remote = NULL;
	git_remote_callbacks callbacks;

	if (git_session_begin(&s, place, err) < 0 || git_session_remote(&s, repo, &remote, err) < 0)
		return -1;
	git_remote_init_callbacks(&callbacks, GIT_REMOTE_CALLBACKS_VERSION);
	callbacks.transport = git_session_transport;
	callbacks.sideband_progress = git_session_sideband;
	callbacks.payload = &s;
	if (git_remote_connect(remote, GIT_DIRECTION_PUSH, &callbacks, NULL, NULL) < 0)
		return git_session_err(&s, err);
	git_remote_disconnect(remote);
	return 0;
}
