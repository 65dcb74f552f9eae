#include "tests/engine_world.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SILENCE_MS 60000 /* far more than any answer takes */

char engine_dir[64];
char engine_socket[108];

void world_engine_script(const char *verb)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO); /* standard output is the test's report */
		execl("tests/lib/engine.sh", "engine.sh", verb, engine_dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	if (status != 0)
		fprintf(stderr, "engine.sh %s: status %d\n", verb, status);
}

int world_engine_start(void)
{
	const char *given = getenv("DISINTO_TEST_DOCKER_HOST");
	if (given) {
		snprintf(engine_socket, sizeof(engine_socket), "%s", strncmp(given, "unix://", 7) == 0 ? given + 7 : given);
		return 0;
	}
	snprintf(engine_dir, sizeof(engine_dir), "/tmp/disinto-test-engine.XXXXXX");
	if (!mkdtemp(engine_dir))
		return -1;
	snprintf(engine_socket, sizeof(engine_socket), "%s/docker.sock", engine_dir);
	world_engine_script("start");
	return access(engine_socket, F_OK);
}

void world_engine_stop(void)
{
	if (engine_dir[0])
		world_engine_script("stop");
}

static void role_open(struct world *w)
{
	int ends[2];
	assert_int_equal(msg_pair(ends, NULL), 0);
	w->pid = fork();
	if (w->pid == 0) {
		close(ends[0]);
		struct role_args args = {.config = &w->config,
		                         .sock = ends[1],
		                         .identity_fd = -1,
		                         .spool_fd = -1,
		                         .lock_fd = -1,
		                         .listen_fd = -1,
		                         .api_fd = -1,
		                         .dispatcher_id = "t"};
		args.runner_fd = open("bin/disinto-runner", O_RDONLY | O_CLOEXEC);
		_exit(role_confine(ROLE_ENGINE, &args, NULL) < 0
		          ? 1
		          : engine_role(&args)); /* not exit(): a process that is not dumpable can't look for its leaks */
	}
	close(ends[1]);
	msg_conn_init(&w->core, ends[0]);
}

void world_open(struct world *w, const char *socket_path)
{
	static int count;
	*w = (struct world){.log = BUF_INIT, .kept = json_array()};
	w->config.separation = SEPARATION_BEST_EFFORT;
	w->config.docker_host = xstrdup(socket_path);
	w->config.log_level = getenv("DISINTO_TEST_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
	snprintf(w->id, sizeof(w->id), "a%d-%d", (int)getpid(), ++count);
	snprintf(w->name, sizeof(w->name), "disinto-t-%s-1", w->id);
	api_open(&w->api, engine_socket, "/v1.41");
	role_open(w);
}

void world_close(struct world *w)
{
	int status;
	msg_conn_close(&w->core);
	if (w->pid > 0) {
		waitpid(w->pid, &status, 0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	api_remove(&w->api, w->name, NULL);
	api_close(&w->api);
	json_decref(w->kept);
	buf_free(&w->log);
	free(w->config.docker_host);
}

void world_kill(struct world *w)
{
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	w->pid = 0;
	msg_conn_close(&w->core);
	json_array_clear(w->kept);
	buf_reset(&w->log);
}

void world_reopen(struct world *w)
{
	role_open(w);
}

void world_say(struct world *w, enum msg_kind kind, json_t *members, int fd)
{
	cleanup_json json_t *more = members;
	cleanup_json json_t *body = msg_new(kind, "{s:s, s:i, s:s}", "id", w->id, "attempt", 1, "name", w->name);
	if (more)
		json_object_update(body, more);
	assert_int_equal(msg_send(&w->core, body, fd, SILENCE_MS, NULL), 0);
}

void world_start(struct world *w, const char *run, const char *secret, json_t *change)
{
	json_t *action = json_pack("{s:s, s:s, s:s, s:[s*], s:[], s:[], s:{}}", "id", w->id, "formula", "f", "context", "a test", "secrets",
	                           secret, "tools", "mounts", "inputs");
	json_t *formula = json_pack("{s:s, s:s, s:i, s:[{s:s, s:s}]}", "name", "f", "network", "none", "grace_seconds", 2, "steps", "id",
	                            "only", "run", run);
	json_t *body = json_pack("{s:s, s:b, s:o, s:o, s:s, s:{}, s:[], s:s}", "claim", "c1", "replace", 1, "action", action, "formula",
	                         formula, "image", IMAGE, "agents", "mounts", "network", "none");
	assert_non_null(body);
	if (change) {
		json_object_update_recursive(body, change);
		json_decref(change);
	}
	world_say(w, MSG_START, body, -1);
}

/* Of the action at hand, or of none. */
static bool is_ours(const struct world *w, const json_t *m)
{
	const char *id = json_string_value(json_object_get(m, "id"));
	return !id || strcmp(id, w->id) == 0;
}

static json_t *take_kept(struct world *w, const char *kind)
{
	size_t i;
	json_t *m;
	json_array_foreach (w->kept, i, m)
		if (strcmp(text(m, "kind"), kind) == 0) {
			json_incref(m);
			json_array_remove(w->kept, i);
			return m;
		}
	return NULL;
}

/* Takes the next message in. The engine's state comes every half minute, so that silence alone would never be noticed. */
static void hear_one(struct world *w, const char *wanted, int64_t deadline)
{
	cleanup_msg struct msg m = MSG_INIT;
	cleanup_err struct err err = ERR_INIT;
	enum msg_kind kind;
	int64_t left = deadline - now_mono_ms();
	int got = msg_recv(&w->core, left > 0 ? (int)left : 0, &m, &err);
	if (got <= 0) {
		cleanup_free char *kept = json_dumps(w->kept, 0);
		fail_msg("no %s: %s; kept: %s; log: %s", wanted, got ? err_msg(&err) : "silence", kept, w->log.data);
	}
	if (msg_check(&m, ROLE_ENGINE, ROLE_CORE, &kind, &err) < 0)
		fail_msg("%s", err_msg(&err));
	if (kind == MSG_LOG && is_ours(w, m.body))
		buf_adds(&w->log, text(m.body, "d"));
	else if (is_ours(w, m.body))
		json_array_append(w->kept, m.body);
}

json_t *world_hear(struct world *w, enum msg_kind kind)
{
	cleanup_json json_t *like = msg_new(kind, NULL);
	int64_t deadline = now_mono_ms() + SILENCE_MS;
	for (;;) {
		json_t *m = take_kept(w, text(like, "kind"));
		if (m)
			return m;
		hear_one(w, text(like, "kind"), deadline);
	}
}

json_t *world_hear_either(struct world *w, enum msg_kind one, enum msg_kind other)
{
	cleanup_json json_t *a = msg_new(one, NULL), *b = msg_new(other, NULL);
	int64_t deadline = now_mono_ms() + SILENCE_MS;
	for (;;) {
		json_t *m = take_kept(w, text(a, "kind"));
		if (m || (m = take_kept(w, text(b, "kind"))))
			return m;
		hear_one(w, text(a, "kind"), deadline);
	}
}

void world_log_has(struct world *w, const char *s)
{
	int64_t deadline = now_mono_ms() + SILENCE_MS;
	while (!strstr(w->log.data, s))
		hear_one(w, s, deadline);
}

void world_secrets(struct world *w, const char *name, const char *value, bool whole)
{
	int ends[2];
	struct buf frames = BUF_INIT;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	if (name)
		frame_add_secret(&frames, name, (const unsigned char *)value, strlen(value));
	cleanup_json json_t *end = json_pack("{s:s, s:i}", "t", "secrets_end", "count", name ? 1 : 0);
	if (whole)
		frame_add(&frames, end);
	world_say(w, MSG_SECRETS, NULL, ends[0]);
	assert_int_equal(fd_write_all(ends[1], frames.data, frames.len, NULL), 0);
	close(ends[1]);
	frame_wipe(&frames);
}

void world_go(struct world *w, const char *secret)
{
	json_decref(world_hear(w, MSG_READY));
	world_secrets(w, secret, CANARY, true);
	json_decref(world_hear(w, MSG_DELIVERED));
	world_say(w, MSG_GO, NULL, -1);
	json_decref(world_hear(w, MSG_GOING));
}

const char *text(const json_t *m, const char *key)
{
	const char *s = json_string_value(json_object_get(m, key));
	return s ? s : "";
}

json_t *world_inspect(struct world *w)
{
	json_t *inspect = NULL;
	cleanup_err struct err err = ERR_INIT;
	if (api_get(&w->api, &inspect, &err, "/containers/%s/json", w->name) < 0 && err.code != ERR_NOT_FOUND)
		fail_msg("%s", err_msg(&err));
	return inspect;
}

static pid_t tests_pid;

static void end_tests(int sig)
{
	kill(tests_pid, sig);
}

int world_main(int (*all_tests)(void))
{
	int status = 1;
	if (world_engine_start() == 0 && (tests_pid = fork()) == 0)
		exit(all_tests());
	signal(SIGTERM, end_tests);
	signal(SIGINT, end_tests);
	if (tests_pid > 0)
		while (waitpid(tests_pid, &status, 0) < 0)
			;
	world_engine_stop();
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
