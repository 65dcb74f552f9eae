/*
 * For the tests that talk git: a folder of their own, bare repositories in it, and real servers in front of them. Everything
 * is taken down by fixture_end(), and by tests/lib/git-server.sh when the test dies.
 */
#ifndef TESTS_GIT_FIXTURE_H
#define TESTS_GIT_FIXTURE_H

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
#include "lib/git_remote.h"
#include "lib/git_repo.h"
#include "tests/scratch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FIXTURE_SERVERS 8

struct fixture {
	char dir[64];
	char root[80];                  /* of the bare repositories */
	char *servers[FIXTURE_SERVERS]; /* folders of running servers */
	size_t n_servers;
	git_repository *repo; /* root/ops.git, opened directly */
	char *repo_path;
};

/* Ends the test with the error's words where a call failed that should not. */
#define assert_ok(call, e) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, err_msg(e)); \
	} while (0)

/* Runs a program to its end; its output is appended to `out` (NULL: dropped). Returns the exit code. */
static inline int run(struct buf *out, const char *const *argv)
{
	int p[2];
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char watch[32];
		snprintf(watch, sizeof(watch), "%d", (int)getppid());
		setenv("WATCH_PID", watch, 1);
		dup2(p[1], 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(p[1]);
	struct buf all = BUF_INIT;
	fd_read_all(p[0], 1 << 20, out ? out : &all, NULL);
	buf_free(&all);
	close(p[0]);
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define RUN(out, ...) run(out, (const char *const[]){__VA_ARGS__, NULL})

static inline void fixture_begin(struct fixture *f)
{
	struct err err = ERR_INIT;
	*f = (struct fixture){.dir = "/tmp/disinto-test-git-XXXXXX"};
	assert_ok(git_remote_setup(&err), &err);
	assert_non_null(scratch_dir(f->dir));
	chmod(f->dir, 0755);
	snprintf(f->root, sizeof(f->root), "%s/root", f->dir);
	assert_int_equal(mkdir(f->root, 0755), 0);
	f->repo_path = xasprintf("%s/ops.git", f->root);
	assert_ok(git_repo_open(f->repo_path, &f->repo, &err), &err);
}

static inline void fixture_end(struct fixture *f)
{
	for (size_t i = 0; i < f->n_servers; i++) {
		RUN(NULL, "tests/lib/git-server.sh", "stop", f->servers[i]);
		free(f->servers[i]);
	}
	git_repository_free(f->repo);
	free(f->repo_path);
	dir_remove_at(AT_FDCWD, f->dir, NULL);
}

/* Starts a server; returns the URL of ops.git on it. Its folder is the last of f->servers. Caller frees. */
static inline char *serve(struct fixture *f, const char *kind, const char *token)
{
	cleanup_buf struct buf url = BUF_INIT;
	char *dir = xasprintf("%s/%s%zu", f->dir, kind, f->n_servers);
	assert_true(f->n_servers < FIXTURE_SERVERS);
	f->servers[f->n_servers++] = dir;
	assert_int_equal(RUN(&url, "tests/lib/git-server.sh", "start", kind, dir, f->root, token ? token : ""), 0);
	url.data[strcspn(url.data, "\n")] = '\0';
	return xasprintf("%s/ops.git", url.data);
}

static inline git_signature *somebody(void)
{
	git_signature *s = NULL;
	assert_int_equal(git_signature_new(&s, "Somebody", "somebody@example", 1700000000, 0), 0);
	return s;
}

/* A commit with these changes on top of `parent` (NULL: none). */
static inline git_oid commit_on(git_repository *repo, const git_oid *parent, const struct git_change *changes, size_t n,
                                const char *message)
{
	struct err err = ERR_INIT;
	git_oid oid;
	git_signature *who = somebody();
	assert_ok(git_repo_commit(repo, parent, parent ? 1 : 0, changes, n, who, message, &oid, &err), &err);
	git_signature_free(who);
	return oid;
}

static inline void set_ref(git_repository *repo, const char *name, const git_oid *oid)
{
	git_reference *ref = NULL;
	assert_int_equal(git_reference_create(&ref, repo, name, oid, 1, NULL), 0);
	git_reference_free(ref);
}

/* Puts a file (NULL: takes it away) on main of the server's repository, as a push by somebody else would. */
static inline git_oid land(git_repository *repo, const char *path, const char *text)
{
	git_oid tip;
	bool born = git_reference_name_to_id(&tip, repo, "refs/heads/main") == 0;
	struct git_change change = {path, text, text ? strlen(text) : 0};
	git_oid oid = commit_on(repo, born ? &tip : NULL, &change, 1, "change");
	set_ref(repo, "refs/heads/main", &oid);
	return oid;
}

/* A branch with two files of zeros, of which the server sends one as a delta of the other: some kilobytes on the wire. */
static inline git_oid large_delta(struct fixture *f, const char *ref, size_t size)
{
	cleanup_free char *text = xcalloc(1, size);
	const struct git_change changes[] = {{"a", text, size}, {"b", text, size - 1}};
	git_oid tip = commit_on(f->repo, NULL, changes, 2, "large");

	set_ref(f->repo, ref, &tip);
	assert_int_equal(RUN(NULL, "git", "-C", f->repo_path, "repack", "-qadf"), 0);
	return tip;
}

static inline void write_file(const char *path, const char *text, mode_t mode)
{
	struct err err = ERR_INIT;
	assert_ok(file_write(path, text, strlen(text), mode, &err), &err);
}

/*
 * A server that accepts connections, reads what comes, answers each with `answer` (NULL: never) and closes. Returns its process id,
 * to be killed and reaped by end_process().
 */
static inline pid_t fake_server(const char *answer, int *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int c = accept(fd, NULL, NULL);
			char text[4096];
			if (!answer)
				continue; /* and keep it open */
			if (read(c, text, sizeof(text)) > 0 && write(c, answer, strlen(answer)) < 0)
				_exit(1);
			close(c);
		}
	}
	close(fd);
	return pid;
}

static inline void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
