/* The keyring role as a process: what it says, what goes through the pipe, what it refuses. THREATS 28. */
#include "dispatcher/dispatcher.h"
#include "dispatcher/keyring/keyring.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "vault/frame.h"
#include "vault/redact/redact.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define PATIENCE_MS 60000 /* only so that nothing blocks for ever */

static struct age_recipients ours, foreign;
static int identity = -1; /* its file offset is at the end, as a former life of the role would leave it */

/* A process that runs the role, and core's end of its socket. */
struct child {
	pid_t pid;
	struct msg_conn conn;
};
static struct child role;

static int memory_file(const char *text, size_t len)
{
	int fd = memfd_create("identity", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, len, NULL), 0);
	return fd;
}

static int start_role(struct child *r, int identity_fd)
{
	int pair[2];
	assert_int_equal(msg_pair(pair, NULL), 0);
	r->pid = fork();
	if (r->pid == 0) {
		close(pair[0]);
		signal(SIGPIPE, SIG_IGN);
		log_init("keyring", LOG_LEVEL_ERROR, false);
		_exit(keyring_role(&(struct role_args){.sock = pair[1], .identity_fd = identity_fd}));
	}
	close(pair[1]);
	msg_conn_init(&r->conn, pair[0]);
	return 0;
}

/* Closes the connection; the role's exit code. */
static int end_role(struct child *r)
{
	int status = 0;
	if (r->pid <= 0)
		return -1;
	msg_conn_close(&r->conn);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Also after a failed test: no process stays. */
static int end_test(void **state)
{
	(void)state;
	if (role.pid > 0) {
		kill(role.pid, SIGKILL);
		end_role(&role);
	}
	return 0;
}

static json_t *receive(enum msg_kind want)
{
	struct msg m cleanup_msg = MSG_INIT;
	struct err err cleanup_err = ERR_INIT;
	enum msg_kind kind;
	if (msg_recv(&role.conn, PATIENCE_MS, &m, &err) != 1)
		fail_msg("no answer: %s", err_msg(&err));
	if (msg_check(&m, ROLE_KEYRING, ROLE_CORE, &kind, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(kind, want);
	return json_incref(m.body);
}

static void start_ready(int identity_fd)
{
	start_role(&role, identity_fd);
	json_decref(receive(MSG_KEYRING_STATE));
}

/* A file that says that it is `name`'s (NULL: says nothing). */
static json_t *secret_named(const struct age_recipients *to, const char *name, const void *plain, size_t len)
{
	struct buf file cleanup_buf = BUF_INIT;
	assert_int_equal(age_encrypt(to, name, plain, len, &file, NULL), 0);
	size_t room = sodium_base64_ENCODED_LEN(file.len, sodium_base64_VARIANT_ORIGINAL);
	char *text cleanup_free = xmalloc(room);
	sodium_bin2base64(text, room, (unsigned char *)file.data, file.len, sodium_base64_VARIANT_ORIGINAL);
	return json_pack("{s:s, s:s}", "blob", "0123456789012345678901234567890123456789", "age", text);
}

static json_t *secret_of(const struct age_recipients *to, const void *plain, size_t len)
{
	return secret_named(to, NULL, plain, len);
}

/* Sends DECRYPT (takes `secrets`), reads the pipe to its end; returns the answer. */
static json_t *ask(json_t *secrets, enum msg_kind want, struct buf *ret_wire)
{
	int fds[2];
	struct err err cleanup_err = ERR_INIT;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	json_t *body cleanup_json = msg_new(MSG_DECRYPT, "{s:s, s:i, s:o}", "id", "act", "attempt", 1, "secrets", secrets);
	assert_int_equal(msg_send(&role.conn, body, fds[1], PATIENCE_MS, NULL), 0);
	assert_int_equal(fd_read_all(fds[0], 1 << 24, ret_wire, &err), 0);
	close(fds[0]);
	json_t *reply = receive(want);
	assert_string_equal(json_string_value(json_object_get(reply, "id")), "act");
	assert_int_equal(json_integer_value(json_object_get(reply, "attempt")), 1);
	return reply;
}

/* The frames as the runner reads them: {NAME: value}, and the count of secrets_end. */
static json_t *unpack(const struct buf *wire, json_int_t *ret_count)
{
	struct frame_reader r = FRAME_READER_INIT;
	json_t *frame = NULL, *values = json_object();
	unsigned char *bytes cleanup_free = xmalloc(FRAME_MAX);
	struct buf value = BUF_INIT;
	*ret_count = -1;
	frame_reader_feed(&r, wire->data, wire->len);
	while (frame_reader_next(&r, &frame, NULL) == 1) {
		const char *name = json_string_value(json_object_get(frame, "name")), *d = json_string_value(json_object_get(frame, "d"));
		size_t len;
		assert_int_equal(*ret_count, -1);
		if (!name) {
			*ret_count = json_integer_value(json_object_get(frame, "count"));
		} else {
			assert_int_equal(
			    sodium_base642bin(bytes, FRAME_MAX, d, strlen(d), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
			buf_add(&value, bytes, len);
			if (!json_is_true(json_object_get(frame, "more"))) {
				json_object_set_new(values, name, json_stringn(value.data, value.len));
				buf_reset(&value);
			}
		}
		json_decref(frame);
	}
	assert_int_equal(r.at, r.in.len);
	frame_reader_free(&r);
	buf_free(&value);
	return values;
}

static void test_state_at_start(void **state)
{
	(void)state;
	start_role(&role, identity);
	json_t *s = receive(MSG_KEYRING_STATE);
	assert_true(json_is_true(json_object_get(s, "ok")));
	assert_true(json_is_null(json_object_get(s, "reason")));
	assert_int_equal(json_array_size(json_object_get(s, "recipients")), 1);
	assert_memory_equal(json_string_value(json_array_get(json_object_get(s, "recipients"), 0)), "age1", 4);
	json_decref(s);
	assert_int_equal(end_role(&role), 0);
}

/* guard: decrypt_all in dispatcher/keyring/decrypt.c */
static void test_threat_28_exactly_the_named_secrets(void **state)
{
	(void)state;
	struct buf wire cleanup_buf = BUF_INIT;
	json_int_t count;
	start_ready(identity);
	json_t *answer = ask(json_pack("{s:o, s:o}", "A", secret_of(&ours, "value of a", 10), "B_2", secret_of(&ours, "value of b", 10)),
	                     MSG_DECRYPTED, &wire);
	assert_int_equal(json_integer_value(json_object_get(answer, "count")), 2);
	json_t *values = unpack(&wire, &count);
	assert_int_equal(count, 2);
	assert_int_equal(json_object_size(values), 2);
	assert_string_equal(json_string_value(json_object_get(values, "A")), "value of a");
	assert_string_equal(json_string_value(json_object_get(values, "B_2")), "value of b");
	json_decref(values);
	json_decref(answer);
	assert_int_equal(end_role(&role), 0);
}

static void test_sizes(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		const char *reason; /* NULL: accepted */
	} cases[] = {
	    {0, "vault/secrets/S.age: the secret has 0 bytes, fewer than the 8 that can be kept out of logs; store a longer one"},
	    {7, "vault/secrets/S.age: the secret has 7 bytes, fewer than the 8 that can be kept out of logs; store a longer one"},
	    {8, NULL},
	    {65536, NULL},
	    {65537, "vault/secrets/S.age: age payload: has 65537 bytes, more than the 65536 that are allowed"},
	};
	char *plain cleanup_free = xmalloc(SECRET_MAX_BYTES + 1);
	memset(plain, 'x', SECRET_MAX_BYTES + 1);
	start_ready(identity);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf wire cleanup_buf = BUF_INIT;
		json_int_t count;
		json_t *answer = ask(json_pack("{s:o}", "S", secret_of(&ours, plain, cases[i].len)),
		                     cases[i].reason ? MSG_NOT_DECRYPTED : MSG_DECRYPTED, &wire);
		json_t *values = unpack(&wire, &count);
		if (cases[i].reason) {
			assert_string_equal(json_string_value(json_object_get(answer, "reason")), cases[i].reason);
			assert_true(json_is_true(json_object_get(answer, "refuse")));
			assert_int_equal(wire.len, 0);
		} else {
			assert_int_equal(json_string_length(json_object_get(values, "S")), cases[i].len);
		}
		json_decref(values);
		json_decref(answer);
	}
	assert_int_equal(end_role(&role), 0);
}

static void expect_nothing(json_t *secrets, bool refuse, const char *reason)
{
	struct buf wire cleanup_buf = BUF_INIT;
	json_t *answer = ask(secrets, MSG_NOT_DECRYPTED, &wire);
	assert_string_equal(json_string_value(json_object_get(answer, "reason")), reason);
	assert_int_equal(json_is_true(json_object_get(answer, "refuse")), refuse);
	assert_int_equal(wire.len, 0); /* not even the good secret beside a bad one */
	json_decref(answer);
}

static void test_nothing_unless_all(void **state)
{
	(void)state;
	start_ready(identity);
	expect_nothing(json_pack("{s:o, s:o}", "GOOD", secret_of(&ours, "good value", 10), "BAD", secret_of(&foreign, "bad value", 9)),
	               false, "vault/secrets/BAD.age: age: none of 1 identities opens it; it is for 1 age1… recipients");
	expect_nothing(json_pack("{s:o, s:{s:s}}", "GOOD", secret_of(&ours, "good value", 10), "BAD", "age", "aGVsbG8="), true,
	               "vault/secrets/BAD.age: age header: the file does not begin with \"age-encryption.org/v1\": it is no age file");
	expect_nothing(json_pack("{s:{s:s}}", "BAD", "age", "%%%"), true, "vault/secrets/BAD.age: is not base64 in the message");
	expect_nothing(json_pack("{s:o}", "bad-name", secret_of(&ours, "good value", 10)), true,
	               "a secret without a good name or without its file was asked for");
	json_t *many = json_object();
	for (int i = 0; i < KEYRING_SECRETS_MAX + 1; i++) {
		char name[16];
		snprintf(name, sizeof(name), "S%d", i);
		json_object_set_new(many, name, secret_of(&ours, "good value", 10));
	}
	expect_nothing(many, true, "33 secrets were asked for; at most 32 are allowed");
	assert_int_equal(end_role(&role), 0);
}

/* The last guard, whatever the git role believed: a file opens under the name that it says. guard: decrypt_one in dispatcher/keyring/decrypt.c */
static void test_threat_22_under_its_own_name_only(void **state)
{
	(void)state;
	struct buf wire cleanup_buf = BUF_INIT;
	start_ready(identity);
	json_decref(ask(json_pack("{s:o}", "PROD", secret_named(&ours, "PROD", "good value", 10)), MSG_DECRYPTED, &wire));
	expect_nothing(
	    json_pack("{s:o, s:o}", "GOOD", secret_of(&ours, "good value", 10), "STAGING", secret_named(&ours, "PROD", "good value", 10)),
	    true,
	    "vault/secrets/STAGING.age: was encrypted as PROD; a secret works under its own name only: store the value anew "
	    "with 'disinto secrets add -f STAGING'");
	assert_int_equal(end_role(&role), 0);
}

static void test_without_identity(void **state)
{
	(void)state;
	struct buf wire cleanup_buf = BUF_INIT;
	json_int_t count;
	start_role(&role, -1);
	json_t *s = receive(MSG_KEYRING_STATE);
	assert_true(json_is_false(json_object_get(s, "ok")));
	assert_string_equal(json_string_value(json_object_get(s, "reason")),
	                    "this dispatcher has no identity; set identity_file in its configuration (`disinto secrets keygen` makes one)");
	json_decref(s);
	expect_nothing(
	    json_pack("{s:o}", "A", secret_of(&ours, "good value", 10)), false,
	    "vault/secrets/A.age: this dispatcher has no identity; set identity_file in its configuration (`disinto secrets keygen` "
	    "makes one)");
	/* An action without secrets needs none. */
	json_t *answer = ask(json_object(), MSG_DECRYPTED, &wire);
	json_t *values = unpack(&wire, &count);
	assert_int_equal(count, 0);
	assert_int_equal(json_object_size(values), 0);
	json_decref(values);
	json_decref(answer);
	assert_int_equal(end_role(&role), 0);
}

static void expect_bad_identity(const char *text, size_t len, const char *reason)
{
	int fd = memory_file(text, len);
	start_role(&role, fd);
	close(fd);
	json_t *s = receive(MSG_KEYRING_STATE);
	assert_true(json_is_false(json_object_get(s, "ok")));
	assert_string_equal(json_string_value(json_object_get(s, "reason")), reason);
	json_decref(s);
	assert_int_equal(end_role(&role), 0);
}

static void test_bad_identity(void **state)
{
	(void)state;
	char *large cleanup_free = xcalloc(1, KEYRING_IDENTITY_MAX + 1);
	expect_bad_identity(
	    "AGE-SECRET-KEY-1XYZ\n", 20,
	    "identity_file: line 1: is no identity (AGE-SECRET-KEY-1…): is too short, or does not begin with the right letters");
	expect_bad_identity(large, KEYRING_IDENTITY_MAX + 1, "identity_file is larger than 65536 bytes");
	expect_bad_identity("", 0, "identity_file: holds no identity (a line AGE-SECRET-KEY-1…); make one with `disinto secrets keygen`");
}

/* The reader is gone: that is said, nothing else happens, and the next request is served. */
static void test_reader_gone(void **state)
{
	(void)state;
	int fds[2];
	struct buf wire cleanup_buf = BUF_INIT;
	start_ready(identity);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	json_t *body =
	    msg_new(MSG_DECRYPT, "{s:s, s:i, s:{s:o}}", "id", "act", "attempt", 1, "secrets", "A", secret_of(&ours, "good value", 10));
	assert_int_equal(msg_send(&role.conn, body, fds[1], PATIENCE_MS, NULL), 0);
	json_decref(body);
	json_t *answer = receive(MSG_NOT_DECRYPTED);
	assert_string_equal(json_string_value(json_object_get(answer, "reason")), "the engine role closed the pipe for the secrets");
	assert_true(json_is_false(json_object_get(answer, "refuse")));
	json_decref(answer);
	json_decref(ask(json_pack("{s:o}", "A", secret_of(&ours, "good value", 10)), MSG_DECRYPTED, &wire));
	assert_int_equal(end_role(&role), 0);
}

/* More than a pipe holds: waits for the reader, but not for ever. */
static void test_slow_reader(void **state)
{
	(void)state;
	struct err err cleanup_err = ERR_INIT;
	int fds[2];
	char *data cleanup_free = xcalloc(1, 1 << 20);
	struct keyring_frames f = {.data = data, .len = 1 << 20, .count = 1};
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(keyring_deliver(fds[1], &f, 20, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_string_equal(err_msg(&err), "the engine role does not take the secrets");
	close(fds[0]);
	close(fds[1]);
}

static void test_nonsense_ends_the_role(void **state)
{
	(void)state;
	json_t *go cleanup_json = msg_new(MSG_GO, "{s:s, s:i}", "id", "act", "attempt", 1);
	json_t *bare cleanup_json = msg_new(MSG_DECRYPT, "{s:s, s:i, s:{}}", "id", "act", "attempt", 1, "secrets");
	json_t *const messages[] = {go, bare}; /* another role's; no descriptor */
	for (size_t i = 0; i < 2; i++) {
		struct msg m cleanup_msg = MSG_INIT;
		start_ready(identity);
		assert_int_equal(msg_send(&role.conn, messages[i], -1, PATIENCE_MS, NULL), 0);
		assert_int_equal(msg_recv(&role.conn, PATIENCE_MS, &m, NULL), -1);
		assert_int_equal(end_role(&role), 1);
	}
}

/* In the child: a bit for each thing that is still allowed. */
static int allowed(void)
{
	int fds[2];
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return (pid > 0) | (open("/dev/null", O_RDONLY) >= 0) << 1 | (socket(AF_INET, SOCK_STREAM, 0) >= 0) << 2 |
	       (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) >= 0) << 3 | (kill(getppid(), 0) == 0) << 4;
}

static void test_sealed(void **state)
{
	(void)state;
	for (int sealed = 0; sealed < 2; sealed++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0)
			_exit(sealed && keyring_seal(NULL) < 0 ? 99 : allowed());
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), sealed ? 0 : 31);
	}
}

static void make_recipients(struct age_recipients *ret, char **ret_text, size_t *ret_len)
{
	char *recipient = NULL;
	assert_int_equal(age_keygen(ret_text, ret_len, &recipient, NULL), 0);
	assert_int_equal(age_recipients_parse(recipient, strlen(recipient), "test", ret, NULL), 0);
	free(recipient);
}

static int setup(void **state)
{
	(void)state;
	char *text;
	size_t len;
	if (sodium_init() < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	make_recipients(&foreign, &text, &len);
	sodium_free(text);
	make_recipients(&ours, &text, &len);
	identity = memory_file(text, len);
	sodium_free(text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	age_recipients_free(&ours);
	age_recipients_free(&foreign);
	close(identity);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_state_at_start, end_test),
	    cmocka_unit_test_teardown(test_threat_28_exactly_the_named_secrets, end_test),
	    cmocka_unit_test_teardown(test_sizes, end_test),
	    cmocka_unit_test_teardown(test_nothing_unless_all, end_test),
	    cmocka_unit_test_teardown(test_threat_22_under_its_own_name_only, end_test),
	    cmocka_unit_test_teardown(test_without_identity, end_test),
	    cmocka_unit_test_teardown(test_bad_identity, end_test),
	    cmocka_unit_test_teardown(test_reader_gone, end_test),
	    cmocka_unit_test_teardown(test_slow_reader, end_test),
	    cmocka_unit_test_teardown(test_nonsense_ends_the_role, end_test),
	    cmocka_unit_test_teardown(test_sealed, end_test),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
