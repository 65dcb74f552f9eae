/* What strangers throw at the web role: bytes that are no HTTP, or two kinds of it; connections that take their time; other sites' pages. */
#include "tests/unit/web_site.h"
#include "vault/token.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <sys/resource.h>

static int setup(void **state)
{
	return setup_with(state, "a secret of a forge\n");
}

/* ---- Bytes as they are ---- */

static int connect_tcp(struct site *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval bound = {.tv_sec = SOON_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound); /* of connect, too */
	at.sin_port = htons((uint16_t)strtoul(strrchr(s->tcp, ':') + 1, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

/* Waits for bytes or the end, and reads what is there. 0: the end. */
static ssize_t receive(int fd, char *out, size_t max)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, SOON_MS), 1);
	ssize_t n = recv(fd, out, max, 0);
	return n < 0 ? 0 : n; /* reset is the end, too */
}

/* What comes back until the server ends the connection. */
static char *until_end(int fd)
{
	struct buf seen = BUF_INIT;
	char block[4096];
	ssize_t n;

	buf_adds(&seen, "");
	while ((n = receive(fd, block, sizeof block)) > 0)
		buf_add(&seen, block, (size_t)n);
	return buf_steal(&seen);
}

/* Sends it, and what would be a request of its own behind it, on one connection. */
static char *throw(struct site * s, const char *bytes, size_t len)
{
	static const char next[] = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	cleanup_fd int fd = connect_tcp(s);
	cleanup_buf struct buf both = BUF_INIT;

	buf_add(&both, bytes, len);
	buf_adds(&both, next);
	assert_int_equal(fd_write_all(fd, both.data, both.len, NULL), 0);
	return until_end(fd);
}

static unsigned answers(const char *text)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, "HTTP/1.1 ")); p++)
		n++;
	return n;
}

static void assert_well(struct site *s)
{
	assert_int_equal(ask(s, false, "GET", "/health", NULL), 200);
}

static void tell_token(struct site *s, const char *token, const char *scope)
{
	uint8_t hash[32];
	char hex[65];

	token_hash(token, strlen(token), hash);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	tell(s, msg_new(MSG_TOKENS, "{s:[{s:s, s:s, s:s}]}", "tokens", "name", "t", "scope", scope, "sha256", hex), -1);
	tell_run(s, scope, "queued", NULL);
	wait_for_row(s, scope);
}

/* ---- Two readings of one request ---- */

#define POST "POST /drain HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n"
#define GET "GET /actions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n"
#define BYTES(text) text, sizeof(text) - 1

static void test_threat_47_what_can_be_read_in_two_ways_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *status;
	} all[] = {
	    {BYTES(POST "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"), "400"},
	    {BYTES(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), "400"},
	    {BYTES(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"},
	    {BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"},
	    {BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "400"},
	    {BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), "400"},
	    {BYTES(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), "400"},
	    {BYTES(POST "Content-Length: 3, 3\r\n\r\nabc"), "400"},
	    {BYTES(POST "Content-Length: +3\r\n\r\nabc"), "400"},
	    {BYTES(POST "Content-Length: -1\r\n\r\nabc"), "400"},
	    {BYTES(POST "Content-Length: 99999999999999999999\r\n\r\nabc"), "413"},
	    {BYTES(POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc"), "413"},
	    {BYTES(POST "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc"), "400"},
	    {BYTES(POST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"), "400"},
	    {BYTES(GET "X: a\rContent-Length: 5\r\n\r\n"), "400"},
	    {BYTES(GET "X: a\r\rGET /health HTTP/1.1\r\n\r\n"), "400"},
	    {BYTES(GET "X: a\vb\r\n\r\n"), "400"},
	    {BYTES(GET "X Y: a\r\n\r\n"), "400"},
	    {BYTES(GET "Host: b\r\n\r\n"), "400"},
	    {BYTES(GET "Authorization: Bearer other\r\n\r\n"), "400"},
	    {BYTES("GET /health HTTP/1.1\r\n\r\n"), "400"},
	    {BYTES(GET "no colon\r\n\r\n"), "400"},
	    {BYTES("GET /health\r\n"), "400"},
	    {BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"), ""}, /* TLS: no answer */
	};
	struct site *s = *state;

	tell_token(s, "key", "operate");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_free char *seen = throw(s, all[i].bytes, all[i].len);
		cleanup_free char *status = *all[i].status ? xasprintf("HTTP/1.1 %s ", all[i].status) : xstrdup("");
		assert_ptr_equal(strstr(seen, status), seen);
		assert_null(strstr(seen, "HTTP/1.1 200")); /* nothing behind it was taken for a request */
	}
	assert_well(s);
}

/* Whatever hides in it, a request with a body is its connection's last. */
static void test_threat_47_nothing_behind_a_body_is_a_request(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} all[] = {
	    {BYTES("GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")},
	    {BYTES("POST /hook HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")},
	    {BYTES("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")},
	};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_free char *seen = throw(s, all[i].bytes, all[i].len);
		assert_int_equal(answers(seen), 1);
	}
	cleanup_free char *seen = throw(s, BYTES("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_int_equal(answers(seen), 2); /* without one the connection goes on */
}

static void test_threat_47_paths_are_what_they_seem(void **state)
{
	static const char *const paths[] = {"/actions/a%00b",
	                                    "/actions/a%2fb",
	                                    "/actions/../tokens",
	                                    "/actions/%2e%2e/tokens",
	                                    "/actions/a%2f..%2f..%2ftokens",
	                                    "/actions%00",
	                                    "/workers/%00/logs",
	                                    "//actions",
	                                    "/actions/",
	                                    "/actions//a",
	                                    "http://a/actions",
	                                    "/actions/a/artifacts/%00",
	                                    "/actions/a%0d%0aX:%20y",
	                                    "/%61ctions/%ff",
	                                    "/actions%2fa"};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		cleanup_free char *open = xasprintf("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
		cleanup_free char *closed = throw(s, open, strlen(open));
		assert_ptr_equal(strstr(closed, "HTTP/1.1 401 "), closed);
	}
	tell_token(s, "key", "operate");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		cleanup_free char *request = xasprintf("GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n\r\n", paths[i]);
		cleanup_free char *seen = throw(s, request, strlen(request));
		assert_ptr_equal(strstr(seen, "HTTP/1.1 404 "), seen);
	}
}

/* A body of a hundred times the bound, without a length: its client is told, and nothing of it is kept. */
static void test_threat_47_chunk_bomb(void **state)
{
	struct site *s = *state;
	cleanup_fd int fd = connect_tcp(s);
	cleanup_buf struct buf chunk = BUF_INIT;
	static char zeros[65536];
	int rc = 0, i;

	assert_int_equal(fd_write_all(fd, BYTES("POST /hook HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), NULL), 0);
	buf_adds(&chunk, "10000\r\n");
	buf_add(&chunk, zeros, sizeof zeros);
	buf_adds(&chunk, "\r\n");
	for (i = 0; i < 2048 && rc == 0; i++)
		rc = fd_write_all(fd, chunk.data, chunk.len, NULL);
	assert_int_equal(rc, -1); /* it was sent away, and not for its time alone */
	assert_well(s);
}

/* ---- Who takes his time ---- */

#define MANY 10000

static unsigned open_many(struct site *s, int *fds, unsigned n, const char *begin)
{
	int64_t until = now_mono_ms() + SOON_MS;
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < n + 100)
		n = (unsigned)files.rlim_cur - 100;
	for (unsigned i = 0; i < n; i++) {
		fds[i] = connect_tcp(s);
		(void)fd_write_all(fds[i], begin, strlen(begin), NULL);
		assert_true(now_mono_ms() < until); /* they are let in as they come */
	}
	return n;
}

static unsigned count_ended(const int *fds, unsigned n)
{
	unsigned ended = 0;
	char block[4096];
	ssize_t got;

	for (unsigned i = 0; i < n; i++) {
		while ((got = recv(fds[i], block, sizeof block, MSG_DONTWAIT)) > 0)
			;
		ended += got == 0 || errno == ECONNRESET;
	}
	return ended;
}

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void crowd(struct site *s, const char *begin)
{
	static int fds[MANY];
	unsigned n = open_many(s, fds, MANY, begin);

	/* With all of them there, others are answered, and over the socket too. */
	for (int i = 0; i < 20; i++) {
		assert_well(s);
		assert_int_equal(ask(s, true, "GET", "/actions", NULL), 200);
	}
	assert_true(count_ended(fds, n) >= n - 512); /* the rest was sent away */
	close_all(fds, n);
}

static void test_threat_46_ten_thousand_slow_headers(void **state)
{
	crowd(*state, "GET /actions HTTP/1.1\r\nHost: a\r\nX: ");
}

static void test_threat_46_ten_thousand_slow_bodies(void **state)
{
	crowd(*state, "POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
}

static void test_threat_46_ten_thousand_who_were_answered_and_stay(void **state)
{
	crowd(*state, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
}

/* However they trickle, headers and bodies have a time by which they are whole. */
static void test_threat_46_trickling(void **state)
{
	struct site *s = *state;
	int fds[2] = {connect_tcp(s), connect_tcp(s)};
	char c[64];

	assert_int_equal(fd_write_all(fds[0], BYTES("GET /health HTTP/1.1\r\nHost: a\r\nX: "), NULL), 0);
	assert_int_equal(fd_write_all(fds[1], BYTES("POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"), NULL), 0);
	for (int i = 0; i < 2; i++) {
		/* A byte every 50 ms until the server has had enough. */
		int left = SOON_MS / 50;
		while (left-- > 0 && recv(fds[i], c, sizeof c, MSG_DONTWAIT) != 0 && send(fds[i], "a", 1, MSG_NOSIGNAL) == 1)
			usleep(50000);
		assert_true(left > 0);
		close(fds[i]);
	}
	assert_well(s);
}

/* Opens a stream with this token and leaves it; the status, 0 for none. */
static int sleep_with(struct site *s, const char *token, int *ret_fd)
{
	cleanup_free char *text = xasprintf("GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n", token);
	char status[13] = "";

	*ret_fd = connect_tcp(s);
	assert_int_equal(fd_write_all(*ret_fd, text, strlen(text), NULL), 0);
	for (size_t n = 0; n + 1 < sizeof status;) {
		ssize_t got = receive(*ret_fd, status + n, sizeof status - 1 - n);

		if (got <= 0)
			return 0;
		n += (size_t)got;
	}
	return atoi(status + strlen("HTTP/1.1 "));
}

/* guard: CLIENTS_OPERATE in client_is_crowded, dispatcher/web/clients.c */
static void test_threat_46_sleeping_readers_leave_room_for_operators(void **state)
{
	struct site *s = *state;
	static int fds[300];
	uint8_t hash[32];
	char hex[2][65];
	int status, operator;

	for (int i = 0; i < 2; i++) {
		token_hash(i ? "do" : "see", i ? 2 : 3, hash);
		sodium_bin2hex(hex[i], sizeof hex[i], hash, sizeof hash);
	}
	tell(s,
	     msg_new(MSG_TOKENS, "{s:[{s:s, s:s, s:s}, {s:s, s:s, s:s}]}", "tokens", "name", "see", "scope", "read", "sha256", hex[0],
	             "name", "do", "scope", "operate", "sha256", hex[1]),
	     -1);
	tell_run(s, "heard", "queued", NULL);
	wait_for_row(s, "heard"); /* the message before it was heard, too */
	status = sleep_with(s, "see", &fds[0]);
	assert_int_equal(status, 200);
	for (int i = 1; i < 300; i++)
		status = sleep_with(s, "see", &fds[i]);
	assert_int_equal(status, 503);
	assert_int_equal(sleep_with(s, "do", &operator), 200);
	close(operator);
	close_all(fds, 300);
}

/* Bodies of those who have no key are kept up to a bound, all together; what is asked with a key has room. */
static void test_threat_46_many_bodies_take_no_memory(void **state)
{
	struct site *s = *state;
	static char body[1000000];
	int fds[20];
	unsigned kept = 0;

	for (size_t i = 0; i < 20; i++) {
		fds[i] = connect_tcp(s);
		/* On a busy machine one's time may be over before its body is there: it is sent away, which is as good. */
		(void)fd_write_all(fds[i], BYTES("POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"), NULL);
		(void)fd_write_all(fds[i], body, sizeof body - 1, NULL);
	}
	for (size_t i = 0; i < 20; i++) {
		(void)fd_write_all(fds[i], "a", 1, NULL);
		cleanup_free char *seen = until_end(fds[i]);
		kept += strstr(seen, "HTTP/1.1 401 ") != NULL; /* it was read: its signature is missing */
		close(fds[i]);
	}
	assert_true(kept <= 4); /* so many fit */
	assert_well(s);
}

struct follower {
	struct site *site;
	size_t bytes;
	int rc;
};

static int count_bytes(const char *data, size_t len, void *arg)
{
	(void)data;
	__atomic_add_fetch(&((struct follower *)arg)->bytes, len, __ATOMIC_SEQ_CST);
	return 0;
}

static void *follow_thread(void *arg)
{
	struct follower *f = arg;
	cleanup_http_response struct http_response response = HTTP_RESPONSE_INIT;
	cleanup_http_client struct http_client *c =
	    http_client_new(&(struct http_options){.unix_socket = f->site->socket, .base_url = "http://localhost"});
	struct http_request req = {
	    .method = "GET",
	    .path = "/workers/a/logs?follow=1&footer=0",
	    .timeout_ms = SOON_MS,
	    .on_data = count_bytes,
	    .arg = f,
	};

	f->rc = http_send(c, &req, &response, NULL);
	return NULL;
}

/* guard: read_log in dispatcher/web/logs.c sleeps at the end of what there is */
static void test_threat_46_slow_readers_of_a_log(void **state)
{
	enum { STALLED = 5, SIZE = 8 << 20 };
	struct site *s = *state;
	struct follower f = {.site = s};
	cleanup_free char *path = path_join(s->dir, "log");
	cleanup_fd int log = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int stalled[STALLED];
	pthread_t thread;

	assert_int_equal(ftruncate(log, SIZE), 0);
	tell_token(s, "key", "read");
	tell_run(s, "a", "running", NULL);
	wait_for_row(s, "\"running\"");
	for (int i = 0; i < STALLED; i++) {
		stalled[i] = connect_tcp(s);
		assert_int_equal(
		    fd_write_all(stalled[i], BYTES("GET /workers/a/logs?follow=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n\r\n"),
		                 NULL),
		    0);
		json_int_t number = expect_ask(s, "logs", "a");
		tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), open(path, O_RDONLY | O_CLOEXEC));
	}
	pthread_create(&thread, NULL, follow_thread, &f);
	json_int_t number = expect_ask(s, "logs", "a");
	tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), open(path, O_RDONLY | O_CLOEXEC));
	for (int left = SOON_MS; left > 0 && __atomic_load_n(&f.bytes, __ATOMIC_SEQ_CST) < SIZE; left -= 10)
		usleep(10000);
	assert_well(s); /* while one waits for more and five take nothing */
	tell_run(s, "a", "finished", "succeeded");
	pthread_join(thread, NULL);
	assert_int_equal(f.rc, 0);
	assert_int_equal(f.bytes, SIZE);
	assert_well(s);
	close_all((const int *)stalled, STALLED);
}

/* ---- Browsers ---- */

static void test_threat_50_other_sites_pages_ask_in_vain(void **state)
{
	static const struct {
		const char *headers;
		bool good;
	} all[] = {
	    {"Origin: http://evil.example\r\n", false},
	    {"Origin: null\r\n", false},
	    {"Origin: http://a.evil.example\r\n", false},
	    {"Sec-Fetch-Site: cross-site\r\n", false},
	    {"Sec-Fetch-Site: same-site\r\n", false},
	    {"Sec-Fetch-Site: cross-site\r\nOrigin: http://a:80\r\n", false},
	    {"Sec-Fetch-Site: same-origin\r\nOrigin: http://a:80\r\n", true},
	    {"Sec-Fetch-Site: none\r\n", true},
	    {"Origin: http://a:80\r\n", true},
	    {"Origin: https://edge.example\r\nX-Forwarded-Host: edge.example\r\n", true}, /* a proxy that sends the address for Host */
	    {"", true},
	};
	struct site *s = *state;

	tell_token(s, "key", "read");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_free char *request =
		    xasprintf("GET /actions HTTP/1.1\r\nHost: a:80\r\nAuthorization: Bearer key\r\n%s\r\n", all[i].headers);
		cleanup_free char *seen = throw(s, request, strlen(request));
		assert_non_null(strstr(seen, all[i].good ? "HTTP/1.1 200 " : "HTTP/1.1 403 "));
		/* A link from elsewhere leads to the page. */
		cleanup_free char *link = xasprintf("GET / HTTP/1.1\r\nHost: a:80\r\n%s\r\n", all[i].headers);
		cleanup_free char *page = throw(s, link, strlen(link));
		assert_ptr_equal(strstr(page, "HTTP/1.1 200 "), page);
	}
	cleanup_free char *asked = throw(s, BYTES("OPTIONS /actions HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n"
	                                          "Access-Control-Request-Headers: authorization\r\n\r\n"));
	assert_null(strcasestr(asked, "access-control-allow"));
}

static void test_threat_50_names_that_are_not_ours(void **state)
{
	static const struct {
		const char *host;
		bool good;
	} all[] = {{"127.0.0.1:8080", true},     {"[::1]:8080", true},
	           {"localhost", true},          {"edge:80", true},
	           {"edge.example", true},       {"EDGE.example.:443", true},
	           {"evil.example", false},      {"127.0.0.1.evil.example", false},
	           {"evil.example:x", false},    {"", false},
	           {"edge.example@evil", false}, {"x.edge.example", false}};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		cleanup_free char *request = xasprintf("GET /status HTTP/1.1\r\nHost: %s\r\n\r\n", all[i].host);
		cleanup_free char *seen = throw(s, request, strlen(request));
		assert_ptr_equal(strstr(seen, all[i].good ? "HTTP/1.1 200 " : "HTTP/1.1 421 "), seen);
	}
	/* The socket has no name: who may open it may ask it. */
	struct asked a = {.site = s,
	                  .api = true,
	                  .method = "GET",
	                  .path = "/status",
	                  .headers = (const char *const[]){"Host: evil.example", NULL},
	                  .response = HTTP_RESPONSE_INIT};
	ask_thread(&a);
	assert_int_equal(a.response.status, 200);
	http_response_free(&a.response);
}

/* Who has no key hears of that alone, whatever else is wrong with what he asks. guard: meet in dispatcher/web/route.c */
static void test_threat_48_without_a_key_nothing_else_is_told(void **state)
{
	static const struct {
		const char *headers, *status; /* what one with a key is told */
	} all[] = {
	    {"Host: evil.example\r\n", "421"}, {"Host: a\r\nSec-Fetch-Site: cross-site\r\n", "403"}, {"Host: a\r\nX: a\vb\r\n", "400"},
	    {"Host: a\r\nHost: a\r\n", "400"}, {"Host: a\r\nTransfer-Encoding: gzip\r\n", "400"},
	};
	static const char *const lines[] = {"GET /actions", "POST /drain", "GET /nothing", "PUT /health"};
	struct site *s = *state;

	tell_token(s, "key", "operate");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		for (size_t j = 0; j < sizeof lines / sizeof *lines; j++)
			for (int keyed = 0; keyed < 2; keyed++) {
				cleanup_free char *request = xasprintf("%s HTTP/1.1\r\nAuthorization: Bearer %s\r\n%s\r\n", lines[j],
				                                       keyed ? "key" : "none", all[i].headers);
				cleanup_free char *seen = throw(s, request, strlen(request));
				cleanup_free char *status = xasprintf("HTTP/1.1 %s ", keyed ? all[i].status : "401");
				assert_ptr_equal(strstr(seen, status), seen);
				assert_int_equal(answers(seen), 1);
			}
	/* What is open tells anybody. */
	cleanup_free char *named = throw(s, BYTES("GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
	assert_ptr_equal(strstr(named, "HTTP/1.1 421 "), named);
	cleanup_free char *crossed = throw(s, BYTES("POST /hook HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: cross-site\r\n\r\n"));
	assert_ptr_equal(strstr(crossed, "HTTP/1.1 403 "), crossed);
}

/* Whatever a step wrote: a browser neither guesses its type nor runs it. */
static void test_threat_49_threat_50_nothing_is_run(void **state)
{
	static const char *const paths[] = {"/workers/a/logs", "/actions/a/artifacts/page.html", "/actions", "/status", "/nothing"};
	struct site *s = *state;

	tell_token(s, "key", "read");
	tell(s, msg_new(MSG_RUN, "{s:s, s:s, s:s}", "id", "a", "state", "finished", "reason", "<script>alert(1)</script>"), -1);
	wait_for_row(s, "<script>");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		cleanup_fd int fd = connect_tcp(s);
		cleanup_free char *request =
		    xasprintf("GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\nConnection: close\r\n\r\n", paths[i]);
		assert_int_equal(fd_write_all(fd, request, strlen(request), NULL), 0);
		if (i < 2) {
			json_int_t number = expect_ask(s, i == 0 ? "logs" : "artifact", "a");
			cleanup_free char *path = path_join(s->dir, "log");
			int log = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			assert_int_equal(pwrite(log, "<script>alert(1)</script>", 25, 0), 25);
			tell(s, msg_new(MSG_LOG_FILE, "{s:I}", "ask", number), log);
		}
		cleanup_free char *seen = until_end(fd);
		assert_non_null(strstr(seen, "\r\nX-Content-Type-Options: nosniff\r\n"));
		assert_non_null(strstr(seen, "\r\nContent-Security-Policy: default-src 'none'; sandbox\r\n"));
		assert_non_null(strstr(seen, "\r\nCross-Origin-Resource-Policy: same-origin\r\n"));
		assert_null(strstr(seen, "text/html"));
		if (i < 2)
			assert_non_null(strstr(seen, "\r\nContent-Disposition: attachment; filename=\""));
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(test_threat_47_what_can_be_read_in_two_ways_is_refused),
	    T(test_threat_47_nothing_behind_a_body_is_a_request),
	    T(test_threat_47_paths_are_what_they_seem),
	    T(test_threat_47_chunk_bomb),
	    T(test_threat_46_ten_thousand_slow_headers),
	    T(test_threat_46_ten_thousand_slow_bodies),
	    T(test_threat_46_ten_thousand_who_were_answered_and_stay),
	    T(test_threat_46_trickling),
	    T(test_threat_46_sleeping_readers_leave_room_for_operators),
	    T(test_threat_46_many_bodies_take_no_memory),
	    T(test_threat_46_slow_readers_of_a_log),
	    T(test_threat_50_other_sites_pages_ask_in_vain),
	    T(test_threat_50_names_that_are_not_ours),
	    T(test_threat_48_without_a_key_nothing_else_is_told),
	    T(test_threat_49_threat_50_nothing_is_run),
	};
	signal(SIGPIPE, SIG_IGN);
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
