/* The engine role on an engine that is out of its mind: errors, half answers, logs that are none. */
#include "lib/cleanup.h"
#include "tests/engine_world.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

/* What the fake answers where the path holds `part`, the first time and afterwards; the first row that fits counts. */
struct answer {
	const char *part;
	const char *bytes; /* of the whole response; NULL: says nothing for ever (with `later`: the first time) */
	size_t len;
	const char *later; /* or NULL: the same */
	size_t later_len;
};
#define SAYS(part, bytes) \
	{ \
		part, bytes, sizeof(bytes) - 1, NULL, 0 \
	}
#define FIRST_SAYS(part, bytes, later) \
	{ \
		part, bytes, sizeof(bytes) - 1, later, sizeof(later) - 1 \
	}

#define OK "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define VERSION SAYS("/version", OK "{\"Version\": \"fake\", \"MinAPIVersion\": \"1.12\", \"Arch\": \"amd64\"}")
#define LIST SAYS("/containers/json", OK "[]")
#define EVENTS \
	{ \
		"/events", NULL, 0, NULL, 0 \
	}
#define EXITED \
	SAYS("/json?", OK "{}"), \
	    SAYS("/json", \
	         OK "{\"Id\": \"c\", \"Image\": \"sha256:i\", \"State\": {\"Status\": \"exited\", \"Running\": false, \"ExitCode\": 7}}")
#define CHUNK(length, text) "\1\0\0\0\0\0\0" length text
#define HELLO CHUNK("\x27", "{\"t\":\"hello\",\"version\":\"0\",\"frames\":1}\n")

static struct {
	pid_t pid;
	char dir[40], path[64];
	unsigned *seen; /* requests for each row; shared with the fake's processes */
} fake;

static void answer(int fd, const struct answer *rows)
{
	char request[4096] = "";
	size_t len = 0;
	while (len < sizeof(request) - 1 && !strstr(request, "\r\n\r\n")) {
		ssize_t n = read(fd, request + len, sizeof(request) - 1 - len);
		if (n <= 0)
			return;
		len += (size_t)n;
	}
	*strstr(request, "\r\n") = '\0';
	for (size_t i = 0; rows[i].part; i++) {
		if (!strstr(request, rows[i].part))
			continue;
		bool later = __atomic_fetch_add(&fake.seen[i], 1, __ATOMIC_SEQ_CST) > 0 && rows[i].later;
		if (!later && !rows[i].bytes)
			pause();
		if (write(fd, later ? rows[i].later : rows[i].bytes, later ? rows[i].later_len : rows[i].len) < 0)
			return;
		return;
	}
}

/* A process of the fake: ends with the one that made it, and never stays for long. */
static bool become_fake(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(300);
	return getppid() == parent;
}

static void fake_start(const struct answer *rows)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(fake.dir, sizeof(fake.dir), "/tmp/disinto-test-fake.XXXXXX");
	assert_non_null(scratch_dir(fake.dir));
	snprintf(fake.path, sizeof(fake.path), "%s/sock", fake.dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fake.path);
	fake.seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 64), 0);
	pid_t test = getpid();
	fake.pid = fork();
	if (fake.pid == 0) {
		signal(SIGCHLD, SIG_IGN);
		for (pid_t me = getpid(); become_fake(test);) {
			int client = accept(fd, NULL, NULL);
			if (fork() == 0) {
				if (become_fake(me))
					answer(client, rows);
				_exit(0);
			}
			close(client);
		}
		_exit(0);
	}
	close(fd);
}

static struct world w;

static void begin(const struct answer *rows)
{
	fake_start(rows);
	snprintf(engine_socket, sizeof(engine_socket), "%s", fake.path);
	world_open(&w, fake.path);
}

static int end(void **state)
{
	(void)state;
	kill(fake.pid, SIGKILL);
	waitpid(fake.pid, NULL, 0);
	world_close(&w);
	unlink(fake.path);
	rmdir(fake.dir);
	munmap(fake.seen, 4096);
	return 0;
}

static void expect_state(bool ok, const char *words)
{
	cleanup_json json_t *m = world_hear(&w, MSG_ENGINE_STATE);
	assert_int_equal(json_is_true(json_object_get(m, "ok")), ok);
	if (!strstr(text(m, "reason"), words))
		fail_msg("'%s' lacks '%s'", text(m, "reason"), words);
}

static void test_threat_36_errors(void **state)
{
	(void)state;
	static const struct answer rows[] = {FIRST_SAYS("/version",
	                                                "HTTP/1.1 500 No\r\nContent-Length: 29\r\n\r\n{\"message\": \"its disk is full\"}",
	                                                OK "{\"Version\": \"fake\"}"),
	                                     LIST,
	                                     EVENTS,
	                                     {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	expect_state(false, "");
	expect_state(true, "");
}

static void test_threat_36_half_an_answer(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION,
	    FIRST_SAYS("/containers/json", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"Names\":", OK "[]"),
	    EVENTS,
	    {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	expect_state(false, "/containers/json");
	expect_state(true, "");
}

static void test_threat_36_not_json(void **state)
{
	(void)state;
	static const struct answer rows[] = {FIRST_SAYS("/version", OK "<html>", OK "{}"), LIST, EVENTS, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	expect_state(false, "is not JSON");
	expect_state(true, "");
}

/* EXITED with a reason that holds these words, though no log could be read. */
static void follow_and_expect(const char *words)
{
	world_say(&w, MSG_FOLLOW, NULL, -1);
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_int_equal(json_integer_value(json_object_get(m, "exit_code")), 7);
	assert_true(json_is_null(json_object_get(m, "report")));
	if (!strstr(text(m, "reason"), words))
		fail_msg("'%s' lacks '%s'", text(m, "reason"), words);
}

static void test_threat_36_absurd_length(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION, LIST, EVENTS, SAYS("/logs", OK "\1\0\0\0\xff\xff\xff\xff{"), EXITED, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	follow_and_expect("malformed");
}

static void test_threat_36_log_is_html(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION, LIST, EVENTS, SAYS("/logs", OK "<html>nothing of ours</html>"), EXITED, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	follow_and_expect("malformed");
}

static void test_threat_36_no_frames(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION, LIST, EVENTS, SAYS("/logs", OK HELLO CHUNK("\x06", "hello\n")), EXITED, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	follow_and_expect("is not JSON");
}

/* A log that breaks off in mid-frame is read again, and nothing of it is told twice. */
static void test_threat_36_log_breaks_off(void **state)
{
	(void)state;
#define OUT(text) CHUNK("\x1e", "{\"t\":\"out\",\"s\":\"o\",\"d\":\"" text "\"}\n")
	static const struct answer rows[] = {
	    VERSION, LIST,
	    EVENTS,  FIRST_SAYS("/logs", OK HELLO OUT("one") "\1\0\0\0\0\0\0\x1e{\"t\":\"ou", OK HELLO OUT("one") OUT("two")),
	    EXITED,  {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	follow_and_expect("");
	assert_string_equal(w.log.data, "onetwo");
}

/* A log that was read to its report is not read again, however long its container takes to end. guard: read_all in dispatcher/engine/follow.c */
static void test_log_is_read_once(void **state)
{
	(void)state;
#define REPORT CHUNK("\x3e", "{\"t\":\"report\",\"outcome\":\"failed\",\"exit_code\":7,\"reason\":null}\n")
#define RUNS OK "{\"Id\": \"c\", \"Image\": \"sha256:i\", \"State\": {\"Status\": \"running\", \"Running\": true}}"
#define HAS_EXITED OK "{\"Id\": \"c\", \"Image\": \"sha256:i\", \"State\": {\"Status\": \"exited\", \"Running\": false, \"ExitCode\": 7}}"
	static const struct answer rows[] = {VERSION,
	                                     LIST,
	                                     EVENTS,
	                                     SAYS("/logs", OK HELLO REPORT),
	                                     SAYS("/wait?", OK "{\"StatusCode\": 7}"),
	                                     SAYS("/images/", OK "{}"),
	                                     FIRST_SAYS("/json", RUNS, HAS_EXITED),
	                                     {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	world_say(&w, MSG_FOLLOW, NULL, -1);
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_string_equal(text(json_object_get(m, "report"), "outcome"), "failed");
	assert_int_equal(fake.seen[4], 1);
	assert_int_equal(fake.seen[3], 1);
}

/* Artifacts pass through in the order of the log, and once, though it had to be read twice. */
static void test_artifacts_once(void **state)
{
	(void)state;
#define BEGIN CHUNK("\x29", "{\"t\":\"artifact\",\"name\":\"f.txt\",\"size\":4}\n")
#define DATA CHUNK("\x25", "{\"t\":\"artifact_data\",\"d\":\"ZGF0YQ==\"}\n")
#define FINISH CHUNK("\x23", "{\"t\":\"artifact_end\",\"sha256\":\"3a\"}\n")
	static const struct answer rows[] = {
	    VERSION, LIST,
	    EVENTS,  FIRST_SAYS("/logs", OK HELLO BEGIN "\1\0\0\0\0\0\0\x25{\"t\":", OK HELLO BEGIN DATA FINISH),
	    EXITED,  {NULL, NULL, 0, NULL, 0}};
	static const char *const kinds[] = {"artifact", "artifact_data", "artifact_end"};
	begin(rows);
	follow_and_expect("");
	for (size_t i = 0; i < 3; i++) {
		cleanup_json json_t *m = world_hear(&w, MSG_ARTIFACT);
		assert_string_equal(text(json_object_get(m, "frame"), "t"), kinds[i]);
	}
	assert_int_equal(json_array_size(w.kept), 1); /* the engine's state, and nothing more */
}

/* A list that never comes is taken for an engine that hangs; guard: the deadline of look() in dispatcher/engine/watch.c */
static void test_threat_36_list_hangs(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION, {"/containers/json", NULL, 0, OK "[]", sizeof(OK "[]") - 1}, EVENTS, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	expect_state(false, "/containers/json");
	expect_state(true, "");
}

#define NO_IMAGE SAYS("/images/", "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n{\"message\": \"No such image\"}")

/* FAILED with these words, and at no time READY, without which core lets nothing be decrypted. */
static void expect_not_ready(bool refuse, const char *words)
{
	cleanup_json json_t *m = world_hear_either(&w, MSG_FAILED, MSG_READY);
	size_t i;
	const json_t *kept;
	assert_string_equal(text(m, "kind"), "failed");
	if (!strstr(text(m, "reason"), words))
		fail_msg("'%s' lacks '%s'", text(m, "reason"), words);
	assert_int_equal(json_is_true(json_object_get(m, "refuse")), refuse);
	json_array_foreach (w.kept, i, kept)
		assert_string_not_equal(text(kept, "kind"), "ready");
}

/* guard: stall_ms in dispatcher/engine/pull.c */
static void test_threat_37_pull_hangs(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION, LIST, EVENTS, {"/images/create", NULL, 0, NULL, 0}, NO_IMAGE, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	world_start(&w, "true", "TOKEN", NULL);
	expect_not_ready(false, "pulling it failed");
	world_start(&w, "true", "TOKEN", NULL);
	world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 300, "kill", 0), -1); /* and it can be called off */
	expect_not_ready(false, "");
}

/* The answer to a pull is a stream, and its status is 200 whatever comes of it. guard: on_progress in dispatcher/engine/pull.c */
static void test_threat_37_pull_fails(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION,  LIST,
	    EVENTS,   SAYS("/images/create", OK "{\"status\": \"Pulling\"}\r\n{\"error\": \"no space left on device\"}\r\n"),
	    NO_IMAGE, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	world_start(&w, "true", "TOKEN", NULL);
	expect_not_ready(false, "no space left on device");
}

/* It says it has pulled, and has not. */
static void test_threat_37_pull_of_nothing(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    VERSION, LIST, EVENTS, SAYS("/images/create", OK "{\"status\": \"Pulling\"}\r\n"), NO_IMAGE, {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	world_start(&w, "true", "TOKEN", NULL);
	expect_not_ready(false, "just pulled");
}

/* guard: arch_suits in dispatcher/engine/image.c */
static void test_threat_37_wrong_platform(void **state)
{
	(void)state;
	static const struct answer rows[] = {VERSION,
	                                     LIST,
	                                     EVENTS,
	                                     SAYS("/images/", OK "{\"Id\": \"sha256:1\", \"Os\": \"linux\", \"Architecture\": \"s390x\"}"),
	                                     {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	world_start(&w, "true", "TOKEN", NULL);
	expect_not_ready(true, "made for linux/s390x");
}

/* An engine that dropped our version of its API is spoken to in the oldest that it has. guard: docker_prefix in lib/docker.c */
static void test_newer_api(void **state)
{
	(void)state;
	static const struct answer rows[] = {
	    SAYS("/version", OK "{\"Version\": \"fake\", \"MinAPIVersion\": \"1.44\", \"Arch\": \"amd64\"}"),
	    SAYS("/v1.44/containers/json", OK "[]"),
	    {"/v1.44/events", NULL, 0, NULL, 0},
	    {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	expect_state(true, "");
}

/* A container that can't be removed is asked for at each list, and stays one thing to do. guard: is_asked_for in dispatcher/engine/chores.c */
static void test_removals_do_not_pile_up(void **state)
{
	(void)state;
	static const struct answer rows[] = {VERSION,
	                                     LIST,
	                                     EVENTS,
	                                     FIRST_SAYS("DELETE ", "HTTP/1.1 500 No\r\nConnection: close\r\n\r\n{\"message\": \"busy\"}",
	                                                "HTTP/1.1 204 Gone\r\nConnection: close\r\n\r\n"),
	                                     {NULL, NULL, 0, NULL, 0}};
	begin(rows);
	world_say(&w, MSG_REMOVE, NULL, -1);
	while (__atomic_load_n(&fake.seen[3], __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	world_say(&w, MSG_REMOVE, NULL, -1);
	world_say(&w, MSG_REMOVE, NULL, -1);
	json_decref(world_hear(&w, MSG_REMOVED));
	usleep(700000); /* longer than the first pause */
	assert_int_equal(fake.seen[3], 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, NULL, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_threat_36_errors),          TEST(test_threat_36_half_an_answer), TEST(test_threat_36_not_json),
	    TEST(test_threat_36_absurd_length),   TEST(test_threat_36_log_is_html),    TEST(test_threat_36_no_frames),
	    TEST(test_threat_36_log_breaks_off),  TEST(test_artifacts_once),           TEST(test_log_is_read_once),
	    TEST(test_threat_36_list_hangs),      TEST(test_threat_37_pull_hangs),     TEST(test_threat_37_pull_fails),
	    TEST(test_threat_37_pull_of_nothing), TEST(test_threat_37_wrong_platform), TEST(test_newer_api),
	    TEST(test_removals_do_not_pile_up),
	};
	setenv("DISINTO_TEST_ENGINE_MS", "3000", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
