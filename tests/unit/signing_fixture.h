/*
 * For the tests of signatures: a folder of their own, in which real ssh-keygen and git work without any setting of whoever runs the tests.
 */
#ifndef TESTS_SIGNING_FIXTURE_H
#define TESTS_SIGNING_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/file.h"
#include "tests/scratch.h"
#include "vault/ssh/ssh_key.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROWS(table) (sizeof(table) / sizeof(*(table)))

/* Ends the test with the error's words where a call failed that should not. */
#define assert_ok(call, e) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, err_msg(e)); \
	} while (0)

/* The call is refused, with this code and exactly these words. */
#define assert_refused(call, expected_code, words) \
	do { \
		struct err err_ = ERR_INIT; \
		struct err *err = &err_; \
		assert_int_equal((call), -1); \
		assert_string_equal(err_msg(&err_), (words)); \
		assert_int_equal(err_.code, (expected_code)); \
		err_clear(&err_); \
	} while (0)

static char dir[64];

/* Runs a shell script in the folder and returns its exit code; "$1" and further ones are `a` and `b`. Standard output is appended to `out`, the other goes to the file "errors". */
static inline int shell(struct buf *out, const char *script, const char *a, const char *b)
{
	int p[2];
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char *const env[] = {
		    xasprintf("HOME=%s", dir), xasprintf("PATH=%s", getenv("PATH")), "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC", "LC_ALL=C", NULL};
		const char *const argv[] = {"sh", "-euc", script, "sh", a, b, NULL};
		if (chdir(dir) < 0 || dup2(p[1], 1) < 0 || dup2(open("/dev/null", O_RDONLY), 0) < 0 ||
		    dup2(open("errors", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2) < 0)
			_exit(126);
		execvpe("sh", (char *const *)argv, env);
		_exit(127);
	}
	close(p[1]);
	struct buf all = BUF_INIT;
	fd_read_all(p[0], 1 << 22, out ? out : &all, NULL);
	buf_free(&all);
	close(p[0]);
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The script must succeed. */
static inline void must_run(const char *script, const char *a, const char *b)
{
	cleanup_buf struct buf out = BUF_INIT;
	if (shell(&out, script, a, b) == 0)
		return;
	cleanup_free char *errors = xasprintf("%s/errors", dir);
	file_read(errors, 1 << 16, &out, NULL);
	fail_msg("failed: %s: %s", script, out.data);
}

/* What the script prints, without the last newline. Caller frees. */
static inline char *output_of(const char *script, const char *a, const char *b)
{
	struct buf out = BUF_INIT;
	if (shell(&out, script, a, b) != 0)
		fail_msg("failed: %s", script);
	if (out.len > 0 && out.data[out.len - 1] == '\n')
		out.data[--out.len] = '\0';
	return buf_steal(&out);
}

static inline char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static inline void read_in(const char *name, struct buf *ret)
{
	struct err err = ERR_INIT;
	cleanup_free char *path = in_dir(name);
	assert_ok(file_read(path, 1 << 20, ret, &err), &err);
}

static inline void write_in(const char *name, const void *data, size_t len)
{
	struct err err = ERR_INIT;
	cleanup_free char *path = in_dir(name);
	assert_ok(file_write(path, data, len, 0600, &err), &err);
}

/* A key pair by ssh-keygen: files `name` and `name`.pub, comment name@example. */
static inline void make_key(const char *name)
{
	must_run("ssh-keygen -q -t ed25519 -N '' -C \"$1@example\" -f \"$1\"", name, NULL);
}

static inline struct ssh_public_key public_of(const char *name)
{
	struct err err = ERR_INIT;
	cleanup_free char *file = xasprintf("%s.pub", name);
	cleanup_buf struct buf text = BUF_INIT;
	struct ssh_public_key key;
	read_in(file, &text);
	assert_ok(ssh_public_key_parse(text.data, text.len, &key, &err), &err);
	return key;
}

static inline struct ssh_private_key *private_of(const char *name)
{
	struct err err = ERR_INIT;
	cleanup_free char *path = in_dir(name);
	struct ssh_private_key *key;
	assert_ok(ssh_private_key_load(path, &key, &err), &err);
	return key;
}

static inline int begin_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/disinto-test-sign-XXXXXX");
	return scratch_dir(dir) ? 0 : -1;
}

static inline int end_dir(void **state)
{
	(void)state;
	return dir_remove_at(AT_FDCWD, dir, NULL);
}

#endif
