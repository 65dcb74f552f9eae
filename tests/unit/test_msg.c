/* Messages between processes: framing, descriptors, deadlines, and a peer that does not keep to the protocol. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/msg.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

/* Both ends of a connection; closed after each test, which must not leave a descriptor open. */
static struct msg_conn a, b;
static int fds_before;

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int connect_pair(void **state)
{
	(void)state;
	int fds[2];
	fds_before = count_fds();
	if (msg_pair(fds, NULL))
		return -1;
	msg_conn_init(&a, fds[0]);
	msg_conn_init(&b, fds[1]);
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	msg_conn_close(&a);
	msg_conn_close(&b);
	msg_conn_close(&b); /* a closed one is taken too */
	if (count_fds() == fds_before)
		return 0;
	fprintf(stderr, "descriptors left open\n");
	return -1;
}

static json_t *numbered(int n)
{
	return json_pack("{s:s,s:i}", "kind", "test", "n", n);
}

static void queue(int n, int fd)
{
	cleanup_json json_t *body = numbered(n);
	msg_queue(&a, body, fd);
}

static void expect(int n, bool with_fd)
{
	cleanup_msg struct msg m = MSG_INIT;
	assert_int_equal(msg_recv(&b, 10000, &m, NULL), 1);
	assert_string_equal(m.kind, "test");
	assert_int_equal(json_integer_value(json_object_get(m.body, "n")), n);
	assert_int_equal(m.fd >= 0, with_fd);
	if (!with_fd)
		return;
	assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
	char text[16] = "";
	assert_true(pread(m.fd, text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(strtol(text, NULL, 10), n); /* it is the one that was sent with this message */
}

/* An open, unlinked file that holds the number. */
static int numbered_file(int n)
{
	char path[] = "/tmp/disinto-test-msg-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	dprintf(fd, "%d", n);
	return fd;
}

static void test_pair_is_close_on_exec(void **state)
{
	(void)state;
	assert_true(fcntl(a.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(a.fd, F_GETFL) & O_NONBLOCK);
}

static void test_one(void **state)
{
	(void)state;
	cleanup_json json_t *body = numbered(7);
	assert_int_equal(msg_send(&a, body, -1, 1000, NULL), 0);
	expect(7, false);
	cleanup_msg struct msg m = MSG_INIT;
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(msg_recv(&b, 0, &m, &e), 0);
	assert_int_equal(msg_recv(&b, 20, &m, &e), 0);
	assert_int_equal(e.code, ERR_NONE);
}

static void test_descriptors_ride_with_their_own(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++)
		queue(i, i % 3 ? -1 : numbered_file(i));
	queue(60, numbered_file(60));
	queue(61, numbered_file(61));
	assert_true(msg_wants_write(&a));
	assert_int_equal(msg_flush(&a, NULL), 0);
	assert_false(msg_wants_write(&a));
	for (int i = 0; i < 62; i++)
		expect(i, i % 3 == 0 || i > 59);
}

struct sender {
	pthread_t thread;
	int result;
};

static void *send_many(void *arg)
{
	struct sender *s = arg;
	for (int i = 0; i < 400 && !s->result; i++) {
		cleanup_json json_t *body = numbered(i);
		cleanup_free char *filler = xmalloc((size_t)i * 97 + 1);
		memset(filler, 'x', (size_t)i * 97);
		filler[i * 97] = '\0';
		json_object_set_new(body, "filler", json_string(filler));
		s->result = msg_send(&a, body, i % 5 ? -1 : numbered_file(i), 60000, NULL);
	}
	return NULL;
}

static void test_more_than_the_socket_holds(void **state)
{
	(void)state;
	struct sender s = {.result = 0};
	int small = 4096; /* so that messages and headers are cut anywhere */
	assert_int_equal(setsockopt(a.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	assert_int_equal(pthread_create(&s.thread, NULL, send_many, &s), 0);
	for (int i = 0; i < 400; i++)
		expect(i, i % 5 == 0);
	pthread_join(s.thread, NULL);
	assert_int_equal(s.result, 0);
}

/* Feeds byte by byte what msg_queue made of two messages. */
static void test_cut_anywhere(void **state)
{
	(void)state;
	cleanup_buf struct buf wire = BUF_INIT;
	queue(1, -1);
	queue(2, -1);
	buf_add(&wire, a.out.data, a.out.len);
	buf_reset(&a.out);
	struct msg m = MSG_INIT;
	int got = 0;
	for (size_t i = 0; i < wire.len; i++) {
		assert_int_equal(write(a.fd, wire.data + i, 1), 1);
		assert_int_equal(msg_fill(&b, NULL), 0);
		int r = msg_next(&b, &m, NULL);
		assert_true(r >= 0);
		if (r) {
			assert_int_equal(json_integer_value(json_object_get(m.body, "n")), ++got);
			msg_free(&m);
		}
	}
	assert_int_equal(got, 2);
}

static void test_last_words(void **state)
{
	(void)state;
	queue(1, -1);
	queue(2, numbered_file(2));
	assert_int_equal(msg_flush(&a, NULL), 0);
	msg_conn_close(&a);
	expect(1, false);
	expect(2, true);
	struct msg m = MSG_INIT;
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(msg_recv(&b, -1, &m, &e), -1);
	assert_int_equal(e.code, ERR_UNREACHABLE);
	assert_int_equal(msg_recv(&b, -1, &m, NULL), -1);
}

static void test_nobody_reads(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *body = numbered(0);
	cleanup_free char *filler = xmalloc(1000001);
	memset(filler, 'x', 1000000);
	filler[1000000] = '\0';
	json_object_set_new(body, "filler", json_string(filler));
	int64_t before = now_mono_ms();
	int r = 0;
	for (int i = 0; i < 100 && r == 0; i++)
		r = msg_send(&a, body, numbered_file(0), 50, &e);
	assert_int_equal(r, -1);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_true(now_mono_ms() - before >= 50);
}

static void test_peer_is_gone(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	cleanup_json json_t *body = numbered(0);
	msg_conn_close(&b);
	assert_int_equal(msg_send(&a, body, numbered_file(0), 1000, &e), -1); /* and no SIGPIPE */
	assert_int_equal(e.code, ERR_UNREACHABLE);
}

static json_t *sized(size_t bytes)
{
	cleanup_json json_t *empty = json_pack("{s:s,s:s}", "kind", "test", "x", "");
	cleanup_free char *text = json_dumps(empty, JSON_COMPACT);
	size_t len = bytes - strlen(text);
	cleanup_free char *filler = xmalloc(len + 1);
	memset(filler, 'x', len);
	filler[len] = '\0';
	return json_pack("{s:s,s:s}", "kind", "test", "x", filler);
}

static void *send_largest(void *arg)
{
	struct sender *s = arg;
	cleanup_json json_t *body = sized(MSG_MAX_BYTES);
	s->result = msg_send(&a, body, -1, 60000, NULL);
	return NULL;
}

static void test_largest(void **state)
{
	(void)state;
	struct sender s = {.result = -1};
	assert_int_equal(pthread_create(&s.thread, NULL, send_largest, &s), 0);
	cleanup_msg struct msg m = MSG_INIT;
	int r = msg_recv(&b, 60000, &m, NULL);
	pthread_join(s.thread, NULL);
	assert_int_equal(s.result, 0);
	assert_int_equal(r, 1);
	assert_true(json_string_length(json_object_get(m.body, "x")) > MSG_MAX_BYTES - 100);
}

static void test_too_large_to_send(void **state)
{
	(void)state;
	cleanup_json json_t *body = sized(MSG_MAX_BYTES + 1);
	cleanup_err struct err e = ERR_INIT;
	msg_queue(&a, body, numbered_file(0));
	assert_true(msg_wants_write(&a));
	assert_int_equal(msg_flush(&a, &e), -1);
	assert_int_equal(e.code, ERR_FAIL);
}

/* Writes raw bytes with n descriptors on the first one. */
static void send_raw(const void *data, size_t len, size_t n_fds)
{
	int fds[4] = {a.fd, a.fd, a.fd, a.fd};
	union {
		char bytes[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n_fds) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(a.fd, &m, 0), (ssize_t)len);
}

static void send_header(uint32_t len, uint32_t nfds, const char *body, size_t real_fds)
{
	cleanup_buf struct buf wire = BUF_INIT;
	uint32_t header[2] = {len, nfds};
	buf_add(&wire, header, sizeof(header));
	buf_adds(&wire, body);
	send_raw(wire.data, wire.len, real_fds);
}

static void expect_malformed(void)
{
	cleanup_msg struct msg m = MSG_INIT;
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(msg_recv(&b, 1000, &m, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "malformed"));
}

static const char good[] = "{\"kind\":\"test\",\"n\":1}";

static void test_good_by_hand(void **state)
{
	(void)state;
	send_header(sizeof(good) - 1, 0, good, 0);
	expect(1, false);
}

static void test_length_zero(void **state)
{
	(void)state;
	send_header(0, 0, "", 0);
	expect_malformed();
}

static void test_length_over_the_limit(void **state)
{
	(void)state;
	send_header(MSG_MAX_BYTES + 1, 0, "", 0); /* refused by the header alone */
	expect_malformed();
}

static void test_too_many_announced(void **state)
{
	(void)state;
	send_header(sizeof(good) - 1, 2, good, 1);
	expect_malformed();
}

/* That it could have two, since another message's is there too, changes nothing. */
static void test_too_many_announced_and_there(void **state)
{
	(void)state;
	send_header(sizeof(good) - 1, 2, good, 1);
	send_header(sizeof(good) - 1, 1, good, 1);
	expect_malformed();
}

static void test_no_descriptor_left_to_receive_with(void **state)
{
	(void)state;
	struct rlimit old;
	cleanup_msg struct msg m = MSG_INIT;
	cleanup_err struct err e = ERR_INIT;
	send_header(sizeof(good) - 1, 1, good, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){1, old.rlim_max}), 0);
	int r = msg_recv(&b, 1000, &m, &e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -1);
	assert_int_equal(e.code, ERR_FAIL);
	assert_non_null(strstr(err_msg(&e), "too many open files"));
}

static void test_descriptor_missing(void **state)
{
	(void)state;
	send_header(sizeof(good) - 1, 1, good, 0);
	expect_malformed();
}

static void test_descriptor_not_announced(void **state)
{
	(void)state;
	send_header(sizeof(good) - 1, 0, good, 1);
	expect(1, false);
	expect_malformed();
}

static void test_two_descriptors_at_once(void **state)
{
	(void)state;
	send_header(sizeof(good) - 1, 1, good, 2);
	expect_malformed();
}

static void test_four_descriptors_at_once(void **state)
{
	(void)state;
	cleanup_msg struct msg m = MSG_INIT;
	send_header(sizeof(good) - 1, 1, good, 4);
	assert_int_equal(msg_recv(&b, 1000, &m, NULL), -1);
}

static void test_flood_of_descriptors(void **state)
{
	(void)state;
	uint32_t header[2] = {1000, 1};
	send_raw(header, sizeof(header), 1);
	int r = 0;
	for (int i = 0; i < 200 && r == 0; i++) {
		send_raw("x", 1, 1);
		r = msg_fill(&b, NULL);
	}
	assert_int_equal(r, -1);
}

static void test_not_a_message(void **state)
{
	(void)state;
	static const char *const bodies[] = {
	    "[]", "5", "{}", "{\"kind\":5}", "{\"kind\":null}", "{\"kind\":\"x\"", "{\"kind\":\"x\"} x", "{\"kind\":\"x\",\"kind\":\"y\"}"};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		send_header((uint32_t)strlen(bodies[i]), 0, bodies[i], 0);
		expect_malformed();
		buf_reset(&b.in);
	}
}

#define connected(f) cmocka_unit_test_setup_teardown(f, connect_pair, close_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    connected(test_pair_is_close_on_exec),
	    connected(test_one),
	    connected(test_descriptors_ride_with_their_own),
	    connected(test_more_than_the_socket_holds),
	    connected(test_cut_anywhere),
	    connected(test_last_words),
	    connected(test_nobody_reads),
	    connected(test_peer_is_gone),
	    connected(test_largest),
	    connected(test_too_large_to_send),
	    connected(test_good_by_hand),
	    connected(test_length_zero),
	    connected(test_length_over_the_limit),
	    connected(test_too_many_announced),
	    connected(test_too_many_announced_and_there),
	    connected(test_no_descriptor_left_to_receive_with),
	    connected(test_descriptor_missing),
	    connected(test_descriptor_not_announced),
	    connected(test_two_descriptors_at_once),
	    connected(test_four_descriptors_at_once),
	    connected(test_flood_of_descriptors),
	    connected(test_not_a_message),
	};
	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
