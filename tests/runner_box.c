/* See runner_box.h. */
#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "tests/scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

#define KEEPER_STATUS_FD 100

#define NEED(call) ((call) < 0 ? die(#call) : (void)0)

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "box: %s: %s\n", what, strerror(errno));
	_exit(99);
}

bool box_possible(void)
{
	return geteuid() == 0;
}

int box_skip_all(const struct CMUnitTest *tests, size_t n)
{
	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++)
		printf("ok %zu - %s # SKIP needs root, for mounts and PID namespaces\n", i + 1, tests[i].name);
	return 0;
}

static void runner_path(bool sanitized, char ret[static PATH_MAX])
{
	char self[PATH_MAX - 32];
	const char *given = getenv("DISINTO_RUNNER");

	if (!sanitized) {
		assert_non_null(realpath(given ? given : "bin/disinto-runner", ret));
		return;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(ret, PATH_MAX, "%s/disinto-runner", self);
}

/* ---- inside: the namespaces ---- */

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	NEED(fd);
	close(fd);
}

static void bind_file(const char *from, const char *to)
{
	make_file(to);
	NEED(mount(from, to, NULL, MS_BIND, NULL));
}

static void fill_debian(void)
{
	NEED(mkdir("usr", 0755));
	NEED(mount("/usr", "usr", NULL, MS_BIND | MS_REC, NULL));
	NEED(symlink("usr/bin", "bin"));
	NEED(symlink("usr/sbin", "sbin"));
	NEED(symlink("usr/lib", "lib"));
	NEED(symlink("usr/lib64", "lib64"));
}

static void fill_busybox(void)
{
	static const char *const links[] = {"sh", "cat", "echo", "id", "sleep", "true", "kill", "env", "ls", "stat"};

	NEED(mkdir("bin", 0755));
	bind_file("/bin/busybox", "bin/busybox");
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		char path[32];
		snprintf(path, sizeof(path), "bin/%s", links[i]);
		NEED(symlink("busybox", path));
	}
}

static void fill_dev(void)
{
	NEED(mkdir("dev", 0755));
	bind_file("/dev/null", "dev/null");
	bind_file("/dev/zero", "dev/zero");
	bind_file("/dev/urandom", "dev/urandom");
	NEED(symlink("/proc/self/fd", "dev/fd"));
	NEED(symlink("/proc/self/fd/1", "dev/stdout"));
	NEED(symlink("/proc/self/fd/2", "dev/stderr"));
}

static void mount_tmpfs(const char *path, const char *options, unsigned long flags)
{
	NEED(mkdir(path, 0755));
	NEED(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | flags, options));
}

static void fill_secrets(const struct box_options *o)
{
	char mode[32];

	NEED(mkdir("run", 0755));
	if (o->no_secrets_dir)
		return;
	snprintf(mode, sizeof(mode), "mode=%s", o->secrets_mode ? o->secrets_mode : "0711");
	if (o->secrets_on_disk) {
		NEED(mkdir("run/secrets", 0711));
		NEED(mount("../disk", "run/secrets", NULL, MS_BIND, NULL));
	} else {
		mount_tmpfs("run/secrets", mode, MS_NOEXEC);
	}
	if (o->secrets_volume)
		mount_tmpfs("run/secrets/volume", "mode=0755", 0);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	NEED(fd);
	NEED(fd_write_all(fd, text, strlen(text), NULL));
	close(fd);
}

static void fill_account(const struct box_options *o)
{
	NEED(mkdir("etc", 0755));
	write_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nother:x:4242:4242::/:/bin/sh\n");
	write_file("etc/group", "root:x:0:\nother:x:4242:\n");
	NEED(mkdir("var", 0755));
	NEED(symlink("../run", "var/run"));
	if (!o->account_mode || *o->account_mode)
		mount_tmpfs("run/nscd", o->account_mode ? o->account_mode : "mode=0755", MS_NOEXEC);
}

/* In dir/root, with dir/shared beside it. */
static void make_root(const struct box_options *o, const char *dir, const char *runner)
{
	NEED(chdir(dir));
	NEED(mount("tmpfs", "root", "tmpfs", 0, "mode=0755"));
	NEED(chdir("root"));
	if (o->busybox)
		fill_busybox();
	else if (!o->bare)
		fill_debian();
	fill_dev();
	fill_secrets(o);
	fill_account(o);
	mount_tmpfs("task", o->task ? o->task : "mode=0755", o->task_read_only ? MS_RDONLY : 0);
	mount_tmpfs("tmp", o->tmp ? o->tmp : "mode=1777", 0);
	NEED(mkdir("proc", 0755));
	NEED(mkdir("shared", 0755));
	NEED(mount("../shared", "shared", NULL, MS_BIND, NULL));
	bind_file(runner, "disinto-runner");
	NEED(mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	NEED(chroot("."));
}

void box_reduce_caps(uint64_t without)
{
	const uint64_t four =
	    (UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_SETGID | UINT64_C(1) << CAP_SETUID) & ~without;
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {{.permitted = (uint32_t)four, .effective = (uint32_t)four}};

	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(four >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap);
	NEED(syscall(SYS_capset, &head, caps));
}

__attribute__((noreturn)) static void be_init(const struct box_options *o)
{
	static const char *const plain[] = {"PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", NULL};
	char *const argv[] = {"disinto-runner", NULL};
	const struct rlimit none = {0, 0};

	struct rlimit core;

	NEED(prctl(PR_SET_PDEATHSIG, SIGKILL));
	NEED(mount("proc", "/proc", "proc", 0, NULL));
	NEED(getrlimit(RLIMIT_CORE, &core));
	core.rlim_cur = core.rlim_max; /* that no core is written is the runner's doing */
	NEED(setrlimit(RLIMIT_CORE, &core));
	if (o->no_memlock)
		NEED(setrlimit(RLIMIT_MEMLOCK, &none));
	box_reduce_caps(o->without_caps);
	execve("/disinto-runner", argv, (char **)(o->env ? o->env : plain));
	die("execve");
}

/* Tells PID 1's pid, then how it ended. */
__attribute__((noreturn)) static void be_keeper(const struct box_options *o, const char *dir, int in, int out, int status_fd)
{
	char runner[PATH_MAX];
	int status;

	/* The runner's ends are 0 and 1, and nobody here holds the test's: an end that is closed must be closed. */
	NEED(dup2(in, STDIN_FILENO));
	NEED(dup2(out, STDOUT_FILENO));
	NEED(dup3(status_fd, KEEPER_STATUS_FD, O_CLOEXEC));
	NEED(close_range(STDERR_FILENO + 1, KEEPER_STATUS_FD - 1, 0));
	NEED(close_range(KEEPER_STATUS_FD + 1, ~0U, 0));
	runner_path(o->sanitized, runner);
	NEED(prctl(PR_SET_PDEATHSIG, SIGKILL));
	NEED(unshare(CLONE_NEWNS | CLONE_NEWPID));
	NEED(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	make_root(o, dir, runner);
	pid_t pid = fork();
	NEED(pid);
	if (pid == 0)
		be_init(o);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	NEED(fd_write_all(KEEPER_STATUS_FD, &pid, sizeof(pid), NULL));
	NEED(waitpid(pid, &status, 0));
	NEED(fd_write_all(KEEPER_STATUS_FD, &status, sizeof(status), NULL));
	_exit(0);
}

/* ---- outside ---- */

static struct box *boxes;

static void boxes_remove(const struct box *b)
{
	struct box **at = &boxes;

	while (*at && *at != b)
		at = &(*at)->next;
	if (*at)
		*at = b->next;
}

int box_free_all(void **state)
{
	(void)state;
	while (boxes)
		box_free(boxes);
	return 0;
}

static void make_dirs(struct box *b, const struct box_options *o)
{
	/* Not on a tmpfs if it can be helped: one test wants a folder that is on a disk. */
	snprintf(b->dir, sizeof(b->dir), "%s/disinto-box-XXXXXX", o->secrets_on_disk ? "/var/tmp" : "/tmp");
	assert_non_null(scratch_dir(b->dir));
	assert_int_equal(chmod(b->dir, 0755), 0);
	static const char *const names[] = {"root", "shared", "disk"};
	for (size_t i = 0; i < 3; i++) {
		char *path cleanup_free = xasprintf("%s/%s", b->dir, names[i]);
		assert_int_equal(mkdir(path, 0755), 0);
		assert_int_equal(chmod(path, i == 1 ? 01777 : 0711), 0);
	}
}

struct box *box_start(const struct box_options *options)
{
	static const struct box_options plain;
	const struct box_options *o = options ? options : &plain;
	struct box *b = xcalloc(1, sizeof(*b));
	int in[2], out[2], status[2];

	*b = (struct box){.reader = FRAME_READER_INIT, .text = {BUF_INIT, BUF_INIT}, .frames = json_array(), .status = -1, .next = boxes};
	boxes = b;
	make_dirs(b, o);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(status, O_CLOEXEC), 0);
	b->keeper = fork();
	assert_true(b->keeper >= 0);
	if (b->keeper == 0)
		be_keeper(o, b->dir, in[0], out[1], status[1]);
	close(in[0]);
	close(out[1]);
	close(status[1]);
	b->in = in[1];
	b->out = out[0];
	b->status_fd = status[0];
	assert_int_equal(read(b->status_fd, &b->init, sizeof(b->init)), sizeof(b->init));
	return b;
}

void box_send(struct box *b, const void *data, size_t len)
{
	/* The runner may have refused and gone; that is for the test to find in its report. */
	fd_write_all(b->in, data, len, NULL);
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void box_close_in(struct box *b)
{
	close_end(&b->in);
}

void box_close_out(struct box *b)
{
	close_end(&b->out);
}

static void keep_text(struct box *b, const json_t *frame)
{
	const char *stream = json_string_value(json_object_get(frame, "s"));
	const json_t *d = json_object_get(frame, "d");

	if (strcmp(json_string_value(json_object_get(frame, "t")), "out") != 0)
		return;
	assert_true(stream && json_is_string(d) && (strcmp(stream, "o") == 0 || strcmp(stream, "e") == 0));
	buf_add(&b->text[*stream == 'e'], json_string_value(d), json_string_length(d));
}

const json_t *box_next(struct box *b)
{
	struct err err cleanup_err = ERR_INIT;
	char piece[65536];
	json_t *frame;

	for (;;) {
		int got = frame_reader_next(&b->reader, &frame, &err);
		if (got < 0)
			fail_msg("the runner sent what is no frame: %s", err_msg(&err));
		if (got > 0) {
			json_array_append_new(b->frames, frame);
			keep_text(b, frame);
			return frame;
		}
		ssize_t n = read(b->out, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return NULL;
		frame_reader_feed(&b->reader, piece, (size_t)n);
	}
}

const json_t *box_until(struct box *b, const char *t)
{
	const json_t *frame;

	while ((frame = box_next(b)))
		if (strcmp(json_string_value(json_object_get(frame, "t")), t) == 0)
			return frame;
	fail_msg("no frame \"%s\" came; reason: %s", t, box_reason(b));
	return NULL;
}

void box_until_text(struct box *b, int stream, const char *text)
{
	while (!memmem(b->text[stream].data, b->text[stream].len, text, strlen(text)))
		if (!box_next(b))
			fail_msg("the output ended without \"%s\": %s", text, b->text[stream].data);
}

void box_wait(struct box *b)
{
	int status;

	while (b->out >= 0 && box_next(b))
		continue;
	if (b->status != -1)
		return;
	assert_int_equal(read(b->status_fd, &status, sizeof(status)), sizeof(status));
	b->status = WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

void box_free(struct box *b)
{
	struct err err cleanup_err = ERR_INIT;

	if (!b)
		return;
	boxes_remove(b);
	if (b->status == -1 && b->init > 0)
		kill(b->init, SIGKILL);
	while (b->keeper > 0 && waitpid(b->keeper, NULL, 0) < 0 && errno == EINTR)
		continue;
	close_end(&b->in);
	close_end(&b->out);
	close_end(&b->status_fd);
	dir_remove_at(AT_FDCWD, b->dir, &err);
	frame_reader_free(&b->reader);
	json_decref(b->frames);
	buf_free(&b->text[0]);
	buf_free(&b->text[1]);
	free(b);
}

const json_t *box_report(const struct box *b)
{
	const json_t *last = json_array_get(b->frames, json_array_size(b->frames) - 1);
	const char *t = json_string_value(json_object_get(last, "t"));
	return t && strcmp(t, "report") == 0 ? last : NULL;
}

const char *box_outcome(const struct box *b)
{
	const char *outcome = json_string_value(json_object_get(box_report(b), "outcome"));
	return outcome ? outcome : "none";
}

const char *box_reason(const struct box *b)
{
	const char *reason = json_string_value(json_object_get(box_report(b), "reason"));
	return reason ? reason : "none";
}

bool box_has_file(const struct box *b, const char *name)
{
	char *path cleanup_free = xasprintf("%s/shared/%s", b->dir, name);
	return access(path, F_OK) == 0;
}

/* ---- what the dispatcher sends ---- */

char *job_text(const char *action_members, const char *formula_members)
{
	const char *secrets = strstr(action_members, "\"secrets\"") ? "" : ",\"secrets\":[]";

	return xasprintf("{\"action\":{\"id\":\"job-1\",\"formula\":\"job\",\"context\":\"a test\"%s%s},"
	                 "\"formula\":{\"name\":\"job\"%s},\"agents\":{}}",
	                 secrets, action_members, formula_members);
}

char *job_step(const char *id, const char *script)
{
	json_t *step cleanup_json = json_pack("{s:s, s:s}", "id", id, "run", script);
	return json_dumps(step, JSON_COMPACT);
}

void job_add_task(struct buf *out, const char *text)
{
	frame_add_task(out, text);
}

void job_add_secrets(struct buf *out, const struct box_secret *secrets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		frame_add_secret(out, secrets[i].name, (const unsigned char *)secrets[i].value, strlen(secrets[i].value));
	buf_addf(out, "{\"t\":\"secrets_end\",\"count\":%zu}\n", n);
}

void job_add_go(struct buf *out)
{
	buf_adds(out, "{\"t\":\"go\",\"claim\":\"n0nce\"}\n");
}

/* Sends all without waiting for the answers: that they are in order is for the tests to look at. */
static struct box *start_job(const struct box_options *options, const char *action_members, const char *formula_members,
                             const struct box_secret *secrets, size_t n)
{
	char *text cleanup_free = job_text(action_members, formula_members);
	struct buf in cleanup_buf = BUF_INIT;
	struct box *b = box_start(options);

	job_add_task(&in, text);
	job_add_secrets(&in, secrets, n);
	job_add_go(&in);
	box_send(b, in.data, in.len);
	return b;
}

struct box *box_go(const struct box_options *options, const char *action_members, const char *formula_members,
                   const struct box_secret *secrets, size_t n)
{
	struct box *b = start_job(options, action_members, formula_members, secrets, n);
	box_until(b, "going");
	return b;
}

struct box *box_run_formula(const struct box_options *options, const char *action_members, const char *formula_members,
                            const struct box_secret *secrets, size_t n)
{
	struct box *b = start_job(options, action_members, formula_members, secrets, n);
	box_wait(b);
	return b;
}

struct box *box_run(const struct box_options *options, const char *script)
{
	char *step cleanup_free = job_step("only", script);
	char *members cleanup_free = xasprintf(",\"steps\":[%s]", step);
	return box_run_formula(options, "", members, NULL, 0);
}
