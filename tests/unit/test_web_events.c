/* The stream of events: whole for whoever listens, resumed where it broke, begun anew where it can't be. */
#include "tests/unit/web_site.h"

static int setup(void **state)
{
	return setup_with(state, NULL);
}

/* A reader that stops as soon as it has seen `until`. */
struct reader {
	struct site *site;
	const char *last_id, *until;
	struct buf seen;
	int rc;
};

static int on_events(const char *data, size_t len, void *arg)
{
	struct reader *r = arg;

	buf_add(&r->seen, data, len);
	return strstr(r->seen.data, r->until) ? 1 : 0;
}

static void *read_thread(void *arg)
{
	struct reader *r = arg;
	cleanup_http_response struct http_response response = HTTP_RESPONSE_INIT;
	cleanup_http_client struct http_client *c =
	    http_client_new(&(struct http_options){.unix_socket = r->site->socket, .base_url = "http://localhost"});
	cleanup_free char *id = xasprintf("Last-Event-ID: %s", r->last_id ? r->last_id : "");
	struct http_request req = {
	    .method = "GET",
	    .path = "/events",
	    .headers = (const char *const[]){r->last_id ? id : NULL, NULL},
	    .timeout_ms = SOON_MS,
	    .on_data = on_events,
	    .arg = r,
	};

	r->rc = http_send(c, &req, &response, NULL);
	return NULL;
}

static char *read_until(struct site *s, const char *last_id, const char *until)
{
	struct reader r = {s, last_id, until, BUF_INIT, 0};

	read_thread(&r);
	assert_non_null(r.seen.data);
	assert_non_null(strstr(r.seen.data, until));
	return buf_steal(&r.seen);
}

/* The id of the last event in a text. */
static char *last_id_in(const char *text)
{
	const char *id = NULL;

	for (const char *p = text; (p = strstr(p, "id: ")); p += 4)
		id = p + 4;
	assert_non_null(id);
	return xasprintf("%.*s", (int)strcspn(id, "\n"), id);
}

static int count(const char *text, const char *what)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static void test_snapshot_comes_first_then_what_changes(void **state)
{
	struct site *s = *state;
	pthread_t thread;

	tell_run(s, "a", "queued", NULL);
	wait_for_row(s, "\"queued\"");
	struct reader r = {s, NULL, "\"finished\"", BUF_INIT, 0};
	pthread_create(&thread, NULL, read_thread, &r);
	/* Whether the reader is there before or after these does not matter: it sees the end. */
	tell_run(s, "a", "running", NULL);
	tell_run(s, "a", "finished", "succeeded");
	pthread_join(thread, NULL);
	assert_int_equal(count(r.seen.data, "event: snapshot\n"), 1);
	assert_true(strncmp(strchr(r.seen.data, '\n') + 1, "event: snapshot\n", 16) == 0);
	assert_non_null(strstr(r.seen.data, "\"status\":"));
	buf_free(&r.seen);
}

static void test_broken_stream_is_resumed(void **state)
{
	struct site *s = *state;

	tell_run(s, "a", "queued", NULL);
	wait_for_row(s, "\"queued\"");
	cleanup_free char *first = read_until(s, NULL, "\"queued\"");
	cleanup_free char *id = last_id_in(first);
	tell_run(s, "b", "running", NULL);
	tell_run(s, "c", "waiting", NULL);
	wait_for_row(s, "\"waiting\"");
	cleanup_free char *rest = read_until(s, id, "\"waiting\"");
	assert_int_equal(count(rest, "event: snapshot\n"), 0);
	assert_int_equal(count(rest, "event: run\n"), 2);
	assert_null(strstr(rest, "\"queued\""));
}

static void test_place_that_means_nothing_begins_anew(void **state)
{
	struct site *s = *state;
	static const char *const ids[] = {"", "x", "0011223344556677.1", "0011223344556677.18446744073709551616", ".", "1"};

	tell_run(s, "a", "queued", NULL);
	wait_for_row(s, "\"queued\"");
	cleanup_free char *first = read_until(s, NULL, "\"queued\"");
	cleanup_free char *id = last_id_in(first);
	cleanup_free char *later = xasprintf("%.16s.999", id), *tailed = xasprintf("%s0x", id);
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		cleanup_free char *text = read_until(s, ids[i], "\"queued\"");
		assert_int_equal(count(text, "event: snapshot\n"), 1);
	}
	cleanup_free char *a = read_until(s, later, "\"queued\""), *b = read_until(s, tailed, "\"queued\"");
	assert_int_equal(count(a, "event: snapshot\n") + count(b, "event: snapshot\n"), 2);
}

static void test_place_that_the_ring_has_left_begins_anew(void **state)
{
	struct site *s = *state;

	tell_run(s, "a", "queued", NULL);
	wait_for_row(s, "\"queued\"");
	cleanup_free char *first = read_until(s, NULL, "\"queued\"");
	cleanup_free char *id = last_id_in(first);
	for (int i = 0; i < 1100; i++)
		tell_run(s, "a", "running", NULL);
	tell_run(s, "a", "finished", "succeeded");
	wait_for_row(s, "\"finished\"");
	cleanup_free char *text = read_until(s, id, "\"finished\"");
	assert_int_equal(count(text, "event: snapshot\n"), 1);
	assert_int_equal(count(text, "event: run\n"), 0);
}

static void test_forgotten_run_is_told(void **state)
{
	struct site *s = *state;

	tell_run(s, "a", "finished", "failed");
	wait_for_row(s, "\"failed\"");
	cleanup_free char *first = read_until(s, NULL, "\"failed\"");
	cleanup_free char *id = last_id_in(first);
	tell(s, msg_new(MSG_RUN, "{s:s, s:b}", "id", "a", "forgotten", 1), -1);
	cleanup_free char *text = read_until(s, id, "forgotten");
	assert_non_null(strstr(text, "\"forgotten\":true"));
	assert_non_null(strstr(text, "\"id\":\"a\""));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(test_snapshot_comes_first_then_what_changes),
	    T(test_broken_stream_is_resumed),
	    T(test_place_that_means_nothing_begins_anew),
	    T(test_place_that_the_ring_has_left_begins_anew),
	    T(test_forgotten_run_is_told),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
