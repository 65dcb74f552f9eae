/*
 * Git's smart HTTP (gitprotocol-http) on libcurl: each request is a transfer of which the reader pulls as much as it wants, so that
 * neither a clone's size nor a slow disk costs memory. Redirects are not followed: a credential goes to the host that the
 * configuration names and to no other.
 */
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/curl_words.h"
#include "lib/file.h"
#include "lib/git_transport.h"

#include <curl/curl.h>
#include <string.h>

#define CONNECT_MS 10000
#define WINDOW (256u << 10) /* received and not yet read, at most */
#define PUSH_MAX (64u << 20)
#define TOKEN_MAX 4096

struct git_rpc {
	struct git_wire wire;
	struct git_session *s;
	CURL *easy;
	struct curl_slist *headers;
	char expected_type[64];
	struct buf in;
	size_t taken; /* of in: handed out */
	bool paused, running;
	CURLcode code; /* when not running any more */
	char why[CURL_ERROR_SIZE];
};

/* Connections live as long as the thread, so that polls, fetches and pushes share one. */
static _Thread_local CURLM *connections;

static size_t receive(char *data, size_t one, size_t n, void *arg)
{
	struct git_rpc *rpc = arg;
	(void)one;
	if (rpc->in.len - rpc->taken >= WINDOW) {
		rpc->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (rpc->in.len == 0)
		CRASH_POINT("answer.%s", rpc->expected_type);
	buf_add(&rpc->in, data, n);
	return n;
}

/* The token file's line, as "user:password". A bare token's user name matters to no forge that we know, but must not be empty. */
static int set_credential(struct git_rpc *rpc, struct err *err)
{
	const char *file = rpc->s->place->token_file;
	cleanup_buf struct buf token = BUF_INIT;
	if (!file)
		return 0;
	if (file_read(file, TOKEN_MAX, &token, err) < 0)
		return err_wrap(err, "git_token_file");
	size_t len = strcspn(token.data, "\r\n");
	if (len == 0)
		return err_set(err, ERR_INVALID, "git_token_file: %s: its first line is empty; put the token there", file);
	token.data[len] = '\0';
	const char *colon = strchr(token.data, ':');
	cleanup_free char *user = colon ? xasprintf("%.*s", (int)(colon - token.data), token.data) : xstrdup("x-access-token");
	curl_easy_setopt(rpc->easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
	curl_easy_setopt(rpc->easy, CURLOPT_USERNAME, user);
	curl_easy_setopt(rpc->easy, CURLOPT_PASSWORD, colon ? colon + 1 : token.data);
	explicit_bzero(token.data, token.len);
	return 0;
}

static void set_request(struct git_rpc *rpc, const struct git_rpc_request *req)
{
	CURL *c = rpc->easy;
	size_t len = strlen(rpc->s->place->url);
	while (len && rpc->s->place->url[len - 1] == '/')
		len--;
	cleanup_free char *url =
	    xasprintf("%.*s%s%s", (int)len, rpc->s->place->url, req->advertise ? "/info/refs?service=" : "/", req->service);
	curl_easy_setopt(c, CURLOPT_URL, url);
	snprintf(rpc->expected_type, sizeof(rpc->expected_type), "application/x-%s-%s", req->service,
	         req->advertise ? "advertisement" : "result");
	if (!req->advertise) {
		cleanup_free char *type = xasprintf("Content-Type: application/x-%s-request", req->service);
		cleanup_free char *accept = xasprintf("Accept: %s", rpc->expected_type);
		rpc->headers = curl_slist_append(rpc->headers, type);
		rpc->headers = curl_slist_append(rpc->headers, accept);
		rpc->headers = curl_slist_append(rpc->headers, "Expect:");
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, req->body);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->len);
		/* libcurl sends a request again by itself when a kept connection breaks under it. A push that was applied would then lose to itself. */
		if (strcmp(req->service, "git-receive-pack") == 0)
			curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	}
	if (req->v2)
		rpc->headers = curl_slist_append(rpc->headers, "Git-Protocol: version=2");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, rpc->headers);
}

static void set_options(struct git_rpc *rpc)
{
	const struct git_place *place = rpc->s->place;
	CURL *c = rpc->easy;
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* a name server that hangs is not waited for */
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "git/2 (disinto)");
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(place->connect_ms > 0 ? place->connect_ms : CONNECT_MS));
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, rpc->why);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, rpc);
	if (place->ca_file)
		curl_easy_setopt(c, CURLOPT_CAINFO, place->ca_file);
}

static enum err_code code_of(CURLcode code)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return ERR_INVALID;
	default:
		return ERR_UNREACHABLE;
	}
}

/* What an answer other than 200 means. These are said before the server did anything, but for its own failures. */
static int check_status(struct git_rpc *rpc, struct err *err)
{
	const char *shown = rpc->s->address.shown, *type = NULL, *target = NULL;
	long status = 0;

	curl_easy_getinfo(rpc->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(rpc->easy, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(rpc->easy, CURLINFO_REDIRECT_URL, &target);
	if (status == 200 && type && strncmp(type, rpc->expected_type, strlen(rpc->expected_type)) == 0)
		return 0;
	rpc->s->refused = status >= 300 && status < 500 && status != 408 && status != 429;
	if (status == 200)
		return err_set(err, ERR_FAIL, "%s: the answer is not git's (%s); is this the address of a repository?", shown,
		               type ? type : "no type");
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "%s: the server refuses %s (%ld); check git_token_file and what the account may do", shown,
		               rpc->s->place->token_file ? "the credential" : "without a credential", status);
	if (status == 404)
		return err_set(err, ERR_NOT_FOUND, "%s: no such repository (404), or the credential may not see it", shown);
	if (status >= 300 && status < 400)
		return err_set(err, ERR_FAIL, "%s: the server redirects (%ld) to %s; redirects are not followed: configure the new address",
		               shown, status, target ? target : "nowhere");
	return err_set(err, ERR_UNREACHABLE, "%s: the server answered %ld", shown, status);
}

static int perform(struct git_rpc *rpc, struct err *err)
{
	int left, n;
	CURLMsg *m;

	if (rpc->paused) {
		rpc->paused = false;
		curl_easy_pause(rpc->easy, CURLPAUSE_CONT);
	}
	CURLMcode mc = curl_multi_perform(connections, &left);
	while ((m = curl_multi_info_read(connections, &n)))
		if (m->msg == CURLMSG_DONE && m->easy_handle == rpc->easy) {
			rpc->running = false;
			rpc->code = m->data.result;
		}
	return mc == CURLM_OK ? 0 : err_set(err, ERR_FAIL, "%s: %s", rpc->s->address.shown, curl_multi_strerror(mc));
}

/* One turn of the transfer: what is there is received, else we wait for it, within the deadlines. */
static int pump(struct git_rpc *rpc, int64_t since, struct err *err)
{
	if (perform(rpc, err) < 0)
		return -1;
	if (!rpc->running || rpc->in.len > rpc->taken)
		return 0;
	int wait;
	if (git_session_wait_ms(rpc->s, &wait, err) < 0)
		return -1;
	int64_t silent = now_mono_ms() - since;
	if (silent >= rpc->s->stall_ms)
		return err_set(err, ERR_TIMEOUT, "%s: the server said nothing for %d ms", rpc->s->address.shown, rpc->s->stall_ms);
	if (wait > rpc->s->stall_ms - silent)
		wait = (int)(rpc->s->stall_ms - silent);
	curl_multi_poll(connections, NULL, 0, wait, NULL);
	return 0;
}

static int rpc_read(struct git_wire *wire, char *to, size_t size, size_t *ret_len, struct err *err)
{
	struct git_rpc *rpc = (struct git_rpc *)wire;
	int64_t since = now_mono_ms();
	curl_off_t sent = 0, sent_before = 0;

	while (rpc->in.len == rpc->taken && rpc->running) {
		if (pump(rpc, since, err) < 0)
			return -1;
		/* A long request on a slow line is no silence. */
		curl_easy_getinfo(rpc->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
		if (sent != sent_before)
			since = now_mono_ms();
		sent_before = sent;
	}
	if (rpc->in.len == rpc->taken && rpc->code != CURLE_OK) {
		curl_words_settle(rpc->why);
		return err_set(err, code_of(rpc->code), "%s: %s", rpc->s->address.shown,
		               *rpc->why ? rpc->why : curl_easy_strerror(rpc->code));
	}
	if (check_status(rpc, err) < 0)
		return -1;
	size_t n = rpc->in.len - rpc->taken;
	*ret_len = n < size ? n : size;
	memcpy(to, rpc->in.data + rpc->taken, *ret_len);
	rpc->taken += *ret_len;
	if (rpc->taken == rpc->in.len) {
		buf_reset(&rpc->in);
		rpc->taken = 0;
	}
	return 0;
}

int git_rpc_begin(struct git_session *s, const struct git_rpc_request *req, struct git_rpc **ret, struct err *err)
{
	if (!connections && !(connections = curl_multi_init()))
		return err_set(err, ERR_FAIL, "libcurl has no memory");
	struct git_rpc *rpc = xcalloc(1, sizeof(*rpc));
	*rpc = (struct git_rpc){.wire.read = rpc_read, .s = s, .easy = curl_easy_init(), .in = BUF_INIT, .running = true};
	if (!rpc->easy) {
		git_rpc_end(rpc);
		return err_set(err, ERR_FAIL, "libcurl has no memory");
	}
	set_options(rpc);
	set_request(rpc, req);
	if (set_credential(rpc, err) < 0) {
		git_rpc_end(rpc);
		return -1;
	}
	curl_multi_add_handle(connections, rpc->easy);
	*ret = rpc;
	return 0;
}

struct git_wire *git_rpc_wire(struct git_rpc *rpc)
{
	return &rpc->wire;
}

/* Only a transfer that came to its end leaves its connection to the next one; the end is mostly there and just not looked at yet. */
static void finish(struct git_rpc *rpc)
{
	for (int turn = 0; turn < 5; turn++) {
		buf_reset(&rpc->in);
		rpc->taken = 0;
		if (perform(rpc, NULL) < 0 || !rpc->running)
			return;
		curl_multi_poll(connections, NULL, 0, 20, NULL);
	}
}

void git_rpc_end(struct git_rpc *rpc)
{
	if (!rpc)
		return;
	if (rpc->easy) {
		finish(rpc);
		curl_multi_remove_handle(connections, rpc->easy);
		curl_easy_cleanup(rpc->easy);
	}
	curl_slist_free_all(rpc->headers);
	buf_free(&rpc->in);
	free(rpc);
}

/*
 * What the server of the last push can do, in its own words (the capabilities of gitprotocol-pack). A push whose ref's value is known needs nothing else of
 * the advertisement, so it is one request instead of two: the server compares the value all the same.
 */
static _Thread_local struct {
	char *url, *capabilities; /* NULL: not known */
} greeting;

void git_http_forget(void)
{
	free(greeting.url);
	free(greeting.capabilities);
	greeting.url = greeting.capabilities = NULL;
}

#define SERVICE_LINE "001f# service=git-receive-pack\n0000"
#define FIRST_LINE_MAX 8192

/* libgit2's view: a stream for each request; what is written is the request, and the first read sends it. */
struct stream {
	git_smart_subtransport_stream base;
	struct git_session *s;
	git_smart_service_t service;
	struct buf body;
	struct git_rpc *rpc;
	struct buf told; /* of an advertisement: its beginning, or all of one that nobody was asked for */
	size_t taken;    /* of the latter */
};

/* The first ref's line says what the server can do: "<length><oid> <name>NUL<capabilities>[LF]". */
static void learn(struct stream *st, const char *data, size_t len)
{
	size_t skip = strlen(SERVICE_LINE);

	if (greeting.url || st->told.len >= FIRST_LINE_MAX)
		return;
	buf_add(&st->told, data, len);
	if (st->told.len < skip + 4 || strncmp(st->told.data, SERVICE_LINE, skip) != 0)
		return;
	char number[5] = "";
	memcpy(number, st->told.data + skip, 4);
	size_t line = strtoul(number, NULL, 16);
	const char *begin = st->told.data + skip;
	const char *nul = line > 4 && st->told.len - skip >= line ? memchr(begin + 4, '\0', line - 4) : NULL;
	if (!nul)
		return;
	size_t n = line - (size_t)(nul + 1 - begin);
	while (n > 0 && nul[n] == '\n')
		n--;
	greeting.url = xstrdup(st->s->place->url);
	greeting.capabilities = xasprintf("%.*s", (int)n, nul + 1);
}

/* The advertisement as the server would give it, with the one ref that matters. False: it has to be asked. */
static bool tell_from_memory(struct stream *st)
{
	const struct git_session *s = st->s;

	if (!s->base || !greeting.url || strcmp(greeting.url, s->place->url) != 0)
		return false;
	cleanup_free char *ref = xasprintf("%s %s", git_oid_tostr_s(s->base), s->ref);
	size_t line = 4 + strlen(ref) + 1 + strlen(greeting.capabilities) + 1;
	buf_addf(&st->told, SERVICE_LINE "%04zx%s", line, ref);
	buf_addc(&st->told, '\0');
	buf_addf(&st->told, "%s\n0000", greeting.capabilities);
	return true;
}

static int read_from_memory(struct stream *st, char *to, size_t size, size_t *ret_len)
{
	size_t left = st->told.len - st->taken;

	*ret_len = left < size ? left : size;
	memcpy(to, st->told.data + st->taken, *ret_len);
	st->taken += *ret_len;
	return 0;
}

static int stream_write(git_smart_subtransport_stream *base, const char *data, size_t len)
{
	struct stream *st = (struct stream *)base;
	if (st->body.len + len > PUSH_MAX) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_FAIL, "%s: more than %u bytes to send at once", st->s->address.shown, PUSH_MAX);
		return git_session_fail(st->s, &err);
	}
	buf_add(&st->body, data, len);
	return 0;
}

static int stream_read(git_smart_subtransport_stream *base, char *to, size_t size, size_t *ret_len)
{
	struct stream *st = (struct stream *)base;
	bool receive_pack = st->service == GIT_SERVICE_RECEIVEPACK || st->service == GIT_SERVICE_RECEIVEPACK_LS;
	struct err err = ERR_INIT;

	if (st->service == GIT_SERVICE_RECEIVEPACK_LS && !st->rpc && !st->s->unasked)
		st->s->unasked = tell_from_memory(st);
	if (st->service == GIT_SERVICE_RECEIVEPACK_LS && st->s->unasked)
		return read_from_memory(st, to, size, ret_len);
	if (!st->rpc) {
		struct git_rpc_request req = {.service = receive_pack ? "git-receive-pack" : "git-upload-pack",
		                              .advertise =
		                                  st->service == GIT_SERVICE_UPLOADPACK_LS || st->service == GIT_SERVICE_RECEIVEPACK_LS,
		                              .body = st->body.data,
		                              .len = st->body.len};
		if (git_rpc_begin(st->s, &req, &st->rpc, &err) < 0)
			return git_session_fail(st->s, &err);
	}
	if (st->rpc->wire.read(&st->rpc->wire, to, size, ret_len, &err) < 0)
		return git_session_fail(st->s, &err);
	if (st->service == GIT_SERVICE_RECEIVEPACK_LS)
		learn(st, to, *ret_len);
	return 0;
}

static void stream_free(git_smart_subtransport_stream *base)
{
	struct stream *st = (struct stream *)base;
	git_rpc_end(st->rpc);
	buf_free(&st->told);
	buf_free(&st->body);
	free(st);
}

struct subtransport {
	git_smart_subtransport base;
	struct git_session *s;
};

static int sub_action(git_smart_subtransport_stream **out, git_smart_subtransport *base, const char *url, git_smart_service_t service)
{
	(void)url;
	struct stream *st = xcalloc(1, sizeof(*st));
	*st = (struct stream){.base = {base, stream_read, stream_write, stream_free},
	                      .s = ((struct subtransport *)base)->s,
	                      .service = service,
	                      .body = BUF_INIT,
	                      .told = BUF_INIT};
	*out = &st->base;
	return 0;
}

static int sub_close(git_smart_subtransport *base)
{
	(void)base;
	return 0;
}

static void sub_free(git_smart_subtransport *base)
{
	free(base);
}

int git_http_subtransport(git_smart_subtransport **out, git_transport *owner, void *session)
{
	(void)owner;
	struct subtransport *sub = xcalloc(1, sizeof(*sub));
	*sub = (struct subtransport){{sub_action, sub_close, sub_free}, session};
	*out = &sub->base;
	return 0;
}
