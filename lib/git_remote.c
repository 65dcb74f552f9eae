/* One operation on a far repository, and fetching. */
#include "lib/git_remote.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include "lib/git_repo.h"
#include "lib/git_transport.h"

#include <curl/curl.h>
#include <string.h>

#define DEFAULT_STALL_MS 30000
#define DEFAULT_TOTAL_MS 300000
#define WORDS_MAX 2048

int git_remote_setup(struct err *err)
{
	static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};

	if (git_libgit2_init() < 0)
		return git_err(err, -1, "start libgit2");
	int rc = 0;
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels) && rc == 0; i++)
		rc = git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
	/* Whoever names a repository to us trusts it; libgit2 runs nothing from it. */
	if (rc == 0)
		rc = git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	/* A clone is a cache of few large and many small packs: few descriptors and little memory, not speed, are the limit. */
	if (rc == 0)
		rc = git_libgit2_opts(GIT_OPT_SET_MWINDOW_FILE_LIMIT, (size_t)128);
	if (rc == 0)
		rc = git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)64 << 20);
	if (rc == 0)
		rc = git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)2 << 20);
	if (rc < 0)
		return git_err(err, rc, "set libgit2's options");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ERR_FAIL, "libcurl can't be started");
	return 0;
}

int git_session_begin(struct git_session *s, const struct git_place *place, struct err *err)
{
	*s = (struct git_session){.place = place, .err = ERR_INIT, .words = BUF_INIT};
	if (git_address_parse(place->url, &s->address, err) < 0)
		return -1;
	s->stall_ms = place->stall_ms > 0 ? place->stall_ms : DEFAULT_STALL_MS;
	s->deadline_ms = now_mono_ms() + (place->total_ms > 0 ? place->total_ms : DEFAULT_TOTAL_MS);
	return 0;
}

void git_session_end(struct git_session *s)
{
	git_address_free(&s->address);
	err_clear(&s->err);
	buf_free(&s->words);
}

int git_session_wait_ms(struct git_session *s, int *ret_ms, struct err *err)
{
	int64_t left = s->deadline_ms - now_mono_ms();
	if (left <= 0)
		return err_set(err, ERR_TIMEOUT, "%s: it took too long", s->address.shown);
	*ret_ms = left < s->stall_ms ? (int)left : s->stall_ms;
	return 0;
}

int git_session_fail(struct git_session *s, struct err *err)
{
	git_error_set_str(GIT_ERROR_NET, err_msg(err));
	if (s->err.code == ERR_NONE)
		err_move(&s->err, err);
	else
		err_clear(err);
	return -1;
}

int git_session_remote(struct git_session *s, git_repository *repo, git_remote **ret, struct err *err)
{
	git_remote_create_options options;
	git_remote_create_options_init(&options, GIT_REMOTE_CREATE_OPTIONS_VERSION);
	options.repository = repo;
	/* Nobody rewrites our URL; and looking for insteadOf leaks 20 KB for each line of configuration that is something else (1.5.1). */
	options.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF | GIT_REMOTE_CREATE_SKIP_DEFAULT_FETCHSPEC;
	int rc = git_remote_create_with_opts(ret, s->place->url, &options);
	return rc < 0 ? git_err(err, rc, "%s", s->address.shown) : 0;
}

int git_session_err(struct git_session *s, struct err *err)
{
	if (s->err.code == ERR_NONE)
		git_err(&s->err, -1, "%s", s->address.shown);
	err_move(err, &s->err);
	return -1;
}

int git_session_transport(git_transport **out, git_remote *owner, void *session)
{
	const struct git_session *s = session;
	bool http = s->address.scheme == GIT_SCHEME_HTTP;
	git_smart_subtransport_definition definition = {
	    .callback = http ? git_http_subtransport : git_stream_subtransport, .rpc = http, .param = session};
	return git_transport_smart(out, owner, &definition);
}

/* Keeps what the server says to people, as one line of printable text. */
int git_session_sideband(const char *text, int len, void *session)
{
	struct git_session *s = session;
	for (int i = 0; i < len && s->words.len < WORDS_MAX; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c > ' ' && c != 0x7f)
			buf_addc(&s->words, (char)c);
		else if (s->words.len && s->words.data[s->words.len - 1] != ' ')
			buf_addc(&s->words, ' ');
	}
	return 0;
}

/* Called while bytes come, and then for each delta that is resolved, when nothing is read any more and no other deadline is looked at. */
static int on_progress(const git_indexer_progress *stats, void *session)
{
	struct git_session *s = session;
	cleanup_err struct err err = ERR_INIT;
	int ms;

	if (git_session_wait_ms(s, &ms, &err) < 0)
		return git_session_fail(s, &err);
	if (!s->place->max_bytes || stats->received_bytes <= s->place->max_bytes)
		return 0;
	err_set(&err, ERR_INVALID, "%s: brings more than %zu bytes", s->address.shown, s->place->max_bytes);
	return git_session_fail(s, &err);
}

/* What libgit2 bounds for a whole process only. */
struct pack_bounds {
	size_t object, objects;
};

static struct pack_bounds bounds_set(struct pack_bounds wanted)
{
	struct pack_bounds before = {0, 0};

	git_libgit2_opts(GIT_OPT_GET_PACK_MAX_OBJECT_SIZE, &before.object);
	git_libgit2_opts(GIT_OPT_GET_PACK_MAX_OBJECTS, &before.objects);
	git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, wanted.object ? wanted.object : before.object);
	git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, wanted.objects ? wanted.objects : before.objects);
	return before;
}

/* libgit2 leaves a ref that the server does not have out without a word. */
static int all_there(git_remote *remote, const struct git_fetch_spec *specs, struct err *err)
{
	const git_remote_head **heads;
	size_t n;
	int rc = git_remote_ls(&heads, &n, remote);
	if (rc < 0)
		return git_err(err, rc, "read what the server has");
	for (; specs->src; specs++) {
		size_t i = 0;
		while (i < n && strcmp(heads[i]->name, specs->src) != 0)
			i++;
		if (i == n)
			return err_set(err, ERR_NOT_FOUND, "%s has no %s", git_remote_url(remote), specs->src);
	}
	return 0;
}

/* What git_remote_fetch() does, but for the error: hanging up after one can fail too, and would be told in its place. */
static int fetch(git_remote *remote, struct git_session *s, const git_strarray *refspecs, const git_fetch_options *options)
{
	int rc = git_remote_connect(remote, GIT_DIRECTION_FETCH, &options->callbacks, NULL, NULL);

	if (rc == 0)
		rc = git_remote_download(remote, refspecs, options);
	if (rc < 0 && s->err.code == ERR_NONE)
		git_err(&s->err, rc, "%s", s->address.shown);
	git_remote_disconnect(remote);
	return rc < 0 ? rc : git_remote_update_tips(remote, &options->callbacks, 0, options->download_tags, "fetch");
}

int git_fetch(git_repository *repo, const struct git_place *place, const struct git_fetch_spec *specs, struct err *err)
{
	cleanup_git_session struct git_session s = {.place = NULL};
	cleanup_git(git_remote) git_remote *remote = NULL;
	git_strarray refspecs = {NULL, 0};

	if (git_session_begin(&s, place, err) < 0 || git_session_remote(&s, repo, &remote, err) < 0)
		return -1;
	for (const struct git_fetch_spec *p = specs; p->src; p++) {
		refspecs.strings = xrealloc(refspecs.strings, (refspecs.count + 1) * sizeof(char *));
		refspecs.strings[refspecs.count++] = xasprintf("+%s:%s", p->src, p->dst);
	}
	git_fetch_options options;
	git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
	options.callbacks.transport = git_session_transport;
	options.callbacks.transfer_progress = on_progress;
	options.callbacks.payload = &s;
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	CRASH_POINT("fetch");
	struct pack_bounds before = bounds_set((struct pack_bounds){place->max_object, place->max_objects});
	int rc = fetch(remote, &s, &refspecs, &options);
	bounds_set(before);
	CRASH_POINT("fetched");
	for (size_t i = 0; i < refspecs.count; i++)
		free(refspecs.strings[i]);
	free(refspecs.strings);
	return rc < 0 ? git_session_err(&s, err) : all_there(remote, specs, err);
}
