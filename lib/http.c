#include "lib/http.h"
#include "lib/cleanup.h"
#include "lib/curl_words.h"
#include "lib/file.h"
#include "lib/http_url.h"
#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

enum {
	CONNECT_MS = 10000,
	MAX_RESPONSE = 16 << 20,
	MAX_HEADERS = 256 << 10,
	MAX_REDIRECTS = 3,
	POLL_MS = 60000, /* where there is no deadline; libcurl shortens it for its own timers */
};

struct http_client {
	CURL *easy;
	CURLM *multi; /* holds the connection between requests */
	char *unix_socket;
	char *base_url;
	char *user;
	char *password;
	char *bearer;
	char *ca_file;
	int connect_timeout_ms;
	bool same_host_redirects;
};

/* One request on its way, over all its redirects. */
struct transfer {
	struct http_client *client;
	const struct http_request *req;
	char *url;
	struct http_response got;
	struct err stopped; /* why we ended it ourselves */
	char curl_says[CURL_ERROR_SIZE];
	size_t header_bytes;
	bool headers_whole;
	size_t data_bytes;
	int64_t started;
	int64_t moved_at;
	curl_off_t moved; /* bytes in both directions */
};

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct http_client *http_client_new(const struct http_options *o)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, start_curl);
	struct http_client *c = xcalloc(1, sizeof(*c));
	*c = (struct http_client){
	    .easy = curl_easy_init(),
	    .multi = curl_multi_init(),
	    .unix_socket = copy(o->unix_socket),
	    .base_url = copy(o->base_url),
	    .user = copy(o->user),
	    .password = copy(o->password),
	    .bearer = copy(o->bearer),
	    .ca_file = copy(o->ca_file),
	    .connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_MS,
	    .same_host_redirects = o->same_host_redirects,
	};
	if (!c->easy || !c->multi)
		abort(); /* out of memory */
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 1L);
	return c;
}

static void free_secret(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	free(c->unix_socket);
	free(c->base_url);
	free(c->user);
	free(c->ca_file);
	free_secret(c->password);
	free_secret(c->bearer);
	free(c);
}

void http_response_free(struct http_response *r)
{
	if (!r)
		return;
	buf_free(&r->body);
	free(r->content_type);
	*r = (struct http_response)HTTP_RESPONSE_INIT;
}

static void cleanup_transfer(struct transfer *t)
{
	free(t->url);
	http_response_free(&t->got);
	err_clear(&t->stopped);
}

static void cleanup_slist(struct curl_slist *const *l)
{
	curl_slist_free_all(*l);
}
/* Wraps with "GET http://host/path" or "GET /path on /run/some.sock". */
static int wrap_place(const struct transfer *t, struct err *err)
{
	if (t->client->unix_socket)
		return err_wrap(err, "%s %s on %s", t->req->method, t->req->path, t->client->unix_socket);
	cleanup_free char *url = url_without_user(t->url);
	return err_wrap(err, "%s %s", t->req->method, url ? url : "(bad URL)");
}

static size_t on_header(const char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	/* libcurl takes a connection that closes within the headers for a whole answer with an empty body. */
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
		t->headers_whole = false;
	else if (len > 0 && (data[0] == '\r' || data[0] == '\n'))
		t->headers_whole = true;
	t->header_bytes += len;
	if (t->header_bytes <= MAX_HEADERS)
		return len;
	err_set(&t->stopped, ERR_FAIL, "its answer's headers are larger than %d bytes", MAX_HEADERS);
	return 0;
}

static size_t on_body(const char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	const struct http_request *req = t->req;
	size_t len = size * n;
	long status = 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_RESPONSE_CODE, &status);
	bool stream = req->on_data && status / 100 == 2;
	size_t max = req->max_response ? req->max_response : stream ? SIZE_MAX : MAX_RESPONSE;
	if (len > max - t->data_bytes) {
		err_set(&t->stopped, ERR_FAIL, "its answer is larger than %zu bytes", max);
		return 0;
	}
	t->data_bytes += len;
	if (!stream) {
		buf_add(&t->got.body, data, len);
	} else if (req->on_data(data, len, req->arg)) {
		err_set(&t->stopped, ERR_FAIL, "ended by its receiver");
		return 0;
	}
	return len;
}

static int add_header(struct curl_slist **list, const char *header, struct err *err)
{
	if (strpbrk(header, "\r\n"))
		return err_set(err, ERR_INVALID, "a header has a line break in it");
	struct curl_slist *more = curl_slist_append(*list, header);
	if (!more)
		abort(); /* out of memory */
	*list = more;
	return 0;
}

static int make_headers(const struct transfer *t, struct curl_slist **list, struct err *err)
{
	bool has_type = false;
	for (const char *const *h = t->req->headers; h && *h; h++) {
		has_type = has_type || strncasecmp(*h, "content-type:", 13) == 0;
		if (add_header(list, *h, err))
			return -1;
	}
	/* libcurl would say that every body is a form, and wait a second for "100 Continue". */
	if (!has_type && add_header(list, "Content-Type:", err))
		return -1;
	if (add_header(list, "Expect:", err))
		return -1;
	if (t->client->bearer) {
		char *bearer = xasprintf("Authorization: Bearer %s", t->client->bearer);
		int r = add_header(list, bearer, err);
		free_secret(bearer);
		return r;
	}
	return 0;
}

static bool is_safe(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static int set_place(const struct transfer *t)
{
	const struct http_client *c = t->client;
	int bad = 0;
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_URL, t->url);
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_PATH_AS_IS, 1L);
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file) {
		bad |= (int)curl_easy_setopt(c->easy, CURLOPT_CAINFO, c->ca_file);
		bad |= (int)curl_easy_setopt(c->easy, CURLOPT_CAPATH, NULL);
	}
	if (c->unix_socket)
		bad |= (int)curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
	if (c->user) {
		bad |= (int)curl_easy_setopt(c->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		bad |= (int)curl_easy_setopt(c->easy, CURLOPT_USERNAME, c->user);
		bad |= (int)curl_easy_setopt(c->easy, CURLOPT_PASSWORD, c->password ? c->password : "");
	}
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	/* Else the end of a request waits for a resolver thread, past every deadline. */
	bad |= (int)curl_easy_setopt(c->easy, CURLOPT_QUICK_EXIT, 1L);
	return bad;
}

static int set_request(struct transfer *t, struct curl_slist *headers)
{
	const struct http_request *req = t->req;
	CURL *easy = t->client->easy;
	int bad = 0;
	bool safe = is_safe(req->method);
	if (req->body || !safe) {
		bad |= (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(req->body ? req->body_len : 0));
		bad |= (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, req->body ? req->body : "");
	} else if (strcmp(req->method, "HEAD") == 0) {
		bad |= (int)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	bad |= (int)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, safe || req->repeatable ? 0L : 1L);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_says);
	return bad;
}

/* Milliseconds until the next deadline; -1 when one has passed. */
static int until_deadline(struct transfer *t)
{
	const struct http_request *req = t->req;
	int64_t now = now_mono_ms();
	int64_t wait = POLL_MS;
	curl_off_t down = 0;
	curl_off_t up = 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	curl_easy_getinfo(t->client->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	if (down + up + (curl_off_t)t->header_bytes != t->moved) {
		t->moved = down + up + (curl_off_t)t->header_bytes;
		t->moved_at = now;
	}
	if (req->timeout_ms) {
		int64_t left = t->started + req->timeout_ms - now;
		if (left <= 0)
			return err_set(&t->stopped, ERR_TIMEOUT, "no whole answer within %d ms", req->timeout_ms);
		wait = left < wait ? left : wait;
	}
	if (req->stall_ms) {
		int64_t left = t->moved_at + req->stall_ms - now;
		if (left <= 0)
			return err_set(&t->stopped, ERR_TIMEOUT, "nothing moved for %d ms", req->stall_ms);
		wait = left < wait ? left : wait;
	}
	return (int)wait;
}

/* Looks at wake_fd with poll(2): curl_multi_poll() does not tell that its writer has gone. */
static int look_at_wake(struct transfer *t)
{
	struct pollfd p = {t->req->wake_fd, POLLIN, 0};
	if (t->req->wake_fd <= 0 || poll(&p, 1, 0) <= 0)
		return 0;
	if (t->req->on_wake && t->req->on_wake(t->req->arg) == 0)
		return 0;
	return err_set(&t->stopped, ERR_FAIL, "ended by its caller");
}

/* Moves bytes until the transfer has ended or we end it (t->stopped). */
static void run_loop(struct transfer *t)
{
	struct curl_waitfd wake = {.fd = t->req->wake_fd, .events = CURL_WAIT_POLLIN};
	for (;;) {
		int running = 0;
		if (curl_multi_perform(t->client->multi, &running)) {
			err_set(&t->stopped, ERR_FAIL, "libcurl failed");
			return;
		}
		if (!running || t->stopped.code || look_at_wake(t))
			return;
		int wait = until_deadline(t);
		if (wait < 0)
			return;
		curl_multi_poll(t->client->multi, &wake, wake.fd > 0 ? 1 : 0, wait, NULL);
	}
}

static int connect_error(const struct transfer *t, struct err *err)
{
	char text[128];
	long errnum = 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_OS_ERRNO, &errnum);
	const char *why = errnum ? strerror_r((int)errnum, text, sizeof(text)) : t->curl_says;
	if (t->client->unix_socket)
		return err_set(err, ERR_UNREACHABLE, "connect to %s: %s; is it running, and may this user open its socket?",
		               t->client->unix_socket, why);
	err_set(err, ERR_UNREACHABLE, "%s; is it running?", why);
	return wrap_place(t, err);
}

static int curl_error(const struct transfer *t, CURLcode code, struct err *err)
{
	const char *why = t->curl_says[0] ? t->curl_says : curl_easy_strerror(code);
	long sent = 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_REQUEST_SIZE, &sent);
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return connect_error(t, err);
	case CURLE_OPERATION_TIMEDOUT:
		err_set(err, ERR_TIMEOUT, "%s", why);
		break;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL, or what the server speaks */
		err_set(err, sent ? ERR_UNREACHABLE : ERR_INVALID, "%s", why);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		err_set(err, ERR_UNREACHABLE, "%s; is the certificate authority's file right?", why);
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		err_set(err, ERR_UNREACHABLE, "the connection broke before the answer was whole (%s)", why);
		break;
	default:
		err_set(err, ERR_UNREACHABLE, "%s", why);
		break;
	}
	return wrap_place(t, err);
}

/* What the server's clock says, or 0. */
static int64_t date_of(CURL *easy)
{
	struct curl_header *header = NULL;
	if (curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return 0;
	time_t date = curl_getdate(header->value, NULL);
	return date > 0 ? (int64_t)date : 0;
}

/* One exchange, without redirects. */
static int exchange(struct transfer *t, struct err *err)
{
	__attribute__((cleanup(cleanup_slist))) struct curl_slist *headers = NULL;
	struct http_client *c = t->client;
	http_response_free(&t->got);
	t->header_bytes = 0;
	t->headers_whole = false;
	t->data_bytes = 0;
	t->curl_says[0] = '\0';
	curl_easy_reset(c->easy);
	if (make_headers(t, &headers, err))
		return wrap_place(t, err);
	if (set_place(t) || set_request(t, headers) || curl_multi_add_handle(c->multi, c->easy)) {
		err_set(err, ERR_FAIL, "libcurl lacks an option; it must be 7.85 or newer");
		return wrap_place(t, err);
	}
	run_loop(t);
	int left;
	CURLcode code = CURLE_OK;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));)
		code = m->data.result;
	if (code == CURLE_OK && !t->headers_whole)
		code = CURLE_PARTIAL_FILE;
	curl_words_settle(t->curl_says);
	if (!t->stopped.code && code == CURLE_OK) {
		char *type = NULL;
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &t->got.status);
		curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
		t->got.content_type = copy(type);
		t->got.date = date_of(c->easy);
	}
	curl_multi_remove_handle(c->multi, c->easy); /* closes the connection if the answer is not whole */
	if (t->stopped.code) {
		err_move(err, &t->stopped);
		return wrap_place(t, err);
	}
	return code == CURLE_OK ? 0 : curl_error(t, code, err);
}

/* 1: t->url is where to go next; 0: this answer is the last; -1: it points where we do not go. */
static int next_url(struct transfer *t, int hops, struct err *err)
{
	long status = t->got.status;
	char *target = NULL;
	if (!t->client->same_host_redirects || (status != 301 && status != 302 && status != 303 && status != 307 && status != 308))
		return 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_REDIRECT_URL, &target);
	if (!target)
		return 0;
	/* libcurl put our user and password into it; the next request brings its own. */
	cleanup_free char *url = url_without_user(target);
	if (hops >= MAX_REDIRECTS)
		err_set(err, ERR_FAIL, "redirected more than %d times", MAX_REDIRECTS);
	else if (!url || !url_same_place(t->client->base_url, url))
		err_set(err, ERR_FAIL, "redirected to %s, which is another place; if it is the right one, configure its address",
		        url ? url : "(bad URL)");
	else if (!is_safe(t->req->method) && status != 307 && status != 308)
		err_set(err, ERR_FAIL, "redirected to %s with status %ld, which would turn it into a GET", url, status);
	else {
		free(t->url);
		t->url = steal_ptr(&url);
		return 1;
	}
	return wrap_place(t, err);
}

int http_send(struct http_client *c, const struct http_request *req, struct http_response *ret, struct err *err)
{
	int64_t now = now_mono_ms();
	__attribute__((cleanup(cleanup_transfer))) struct transfer t = {
	    .client = c, .req = req, .got = HTTP_RESPONSE_INIT, .started = now, .moved_at = now};
	t.url = xasprintf("%s%s", c->base_url, req->path);
	for (int hops = 0;; hops++) {
		if (exchange(&t, err))
			return -1;
		int r = next_url(&t, hops, err);
		if (r < 0)
			return -1;
		if (r == 0)
			break;
	}
	http_response_free(ret);
	*ret = t.got;
	t.got = (struct http_response)HTTP_RESPONSE_INIT;
	return 0;
}
