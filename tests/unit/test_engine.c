/* The engine role on a real Docker Engine, with the real runner; the test stands in core's place. */
#include "dispatcher/engine/shared.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "tests/engine_world.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w, engine_socket);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* EXITED, with what it must say. */
static void expect_exit(int exit_code, const char *outcome)
{
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	cleanup_free char *shown = json_dumps(m, 0);
	if (json_integer_value(json_object_get(m, "exit_code")) != exit_code ||
	    strcmp(text(json_object_get(m, "report"), "outcome"), outcome) != 0)
		fail_msg("not %d, %s: %s", exit_code, outcome, shown);
	assert_true(json_is_true(json_object_get(m, "going")));
	assert_int_equal(strlen(text(m, "container")), 64);
	assert_int_equal(strncmp(text(m, "image"), "sha256:", 7), 0);
}

/* FAILED, with a reason that holds these words; nothing is left of it. */
static void expect_failed(bool refuse, const char *words)
{
	cleanup_json json_t *m = world_hear(&w, MSG_FAILED);
	if (!strstr(text(m, "reason"), words))
		fail_msg("'%s' lacks '%s'", text(m, "reason"), words);
	assert_int_equal(json_is_true(json_object_get(m, "refuse")), refuse);
	assert_null(world_inspect(&w));
}

static void assert_no_canary(json_t *inspect)
{
	cleanup_free char *shown = json_dumps(inspect, 0);
	assert_non_null(shown);
	assert_null(strstr(shown, CANARY));
	json_decref(inspect);
}

static void test_run_with_a_secret(void **state)
{
	(void)state;
	world_start(&w, "echo begin; test \"$TOKEN\" = \"$(cat /run/secrets/TOKEN)\"; echo \"it is $TOKEN\"; id -u; sleep 1; exit 3",
	            "TOKEN", NULL);
	cleanup_json json_t *ready = world_hear(&w, MSG_READY);
	cleanup_json json_t *made = world_inspect(&w);
	assert_string_equal(text(ready, "container"), text(made, "Id"));
	assert_string_equal(text(ready, "image"), text(made, "Image"));
	const json_t *labels = json_object_get(json_object_get(made, "Config"), "Labels");
	assert_string_equal(text(labels, "disinto.dispatcher"), "t");
	assert_string_equal(text(labels, "disinto.action"), w.id);
	assert_string_equal(text(labels, "disinto.claim"), "c1");
	world_secrets(&w, "TOKEN", CANARY, true);
	json_decref(world_hear(&w, MSG_DELIVERED));
	assert_int_equal(w.log.len, 0); /* nothing before GO */
	world_say(&w, MSG_GO, NULL, -1);
	json_decref(world_hear(&w, MSG_GOING));
	world_log_has(&w, "10001");
	assert_no_canary(world_inspect(&w));
	cleanup_json json_t *begun = world_hear(&w, MSG_STEP);
	cleanup_json json_t *ended = world_hear(&w, MSG_STEP);
	assert_string_equal(text(begun, "state"), "start");
	assert_string_equal(text(ended, "state"), "end");
	assert_string_equal(text(ended, "step"), "only");
	assert_int_equal(json_integer_value(json_object_get(ended, "exit_code")), 3);
	expect_exit(3, "failed");
	assert_string_equal(w.log.data, "begin\nit is [redacted:TOKEN]\n10001\n");
	assert_no_canary(world_inspect(&w));
	world_say(&w, MSG_REMOVE, NULL, -1);
	json_decref(world_hear(&w, MSG_REMOVED));
	assert_null(world_inspect(&w));
	world_say(&w, MSG_REMOVE, NULL, -1); /* a second time it is gone already */
	json_decref(world_hear(&w, MSG_REMOVED));
}

/* Every byte in order, over many chunks; bytes that no message could carry. */
static void test_long_log(void **state)
{
	(void)state;
	cleanup_buf struct buf want = BUF_INIT;
	world_start(&w, "seq 1 40000; printf 'a\\0b\\377c\\n'", NULL, NULL);
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	for (int i = 1; i <= 40000; i++)
		buf_addf(&want, "%d\n", i);
	buf_adds(&want, "a\xef\xbf\xbd"
	                "b\xef\xbf\xbd"
	                "c\n");
	assert_int_equal(w.log.len, want.len);
	assert_memory_equal(w.log.data, want.data, want.len);
}

static void test_halt_with_grace(void **state)
{
	(void)state;
	world_start(&w, "trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.1; done", NULL, NULL);
	world_go(&w, NULL);
	world_log_has(&w, "on\n");
	world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 2, "kill", 0), -1);
	expect_exit(130, "cancelled");
	assert_non_null(strstr(w.log.data, "bye\n"));
}

static void test_threat_33_term_ignored(void **state)
{
	(void)state;
	world_start(&w, "trap '' TERM; echo on; while :; do sleep 0.1; done", NULL, NULL);
	world_go(&w, NULL);
	world_log_has(&w, "on\n");
	world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 300, "kill", 1), -1);
	expect_exit(137, "");
}

static void test_halt_before_go(void **state)
{
	(void)state;
	world_start(&w, "echo never", NULL, NULL);
	world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 2, "kill", 0), -1);
	expect_failed(false, "");
	world_start(&w, "echo never", NULL, NULL);
	json_decref(world_hear(&w, MSG_READY));
	world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 2, "kill", 0), -1);
	expect_failed(false, "called off");
	assert_int_equal(w.log.len, 0);
}

static void test_secrets_break_off(void **state)
{
	(void)state;
	world_start(&w, "echo never", "TOKEN", NULL);
	json_decref(world_hear(&w, MSG_READY));
	world_secrets(&w, "TOKEN", CANARY, false);
	expect_failed(false, "broke off");
	assert_int_equal(w.log.len, 0);
}

/* What the runner finds wrong after `ready` is its own word. */
static void test_secret_too_short(void **state)
{
	(void)state;
	world_start(&w, "echo never", "TOKEN", NULL);
	json_decref(world_hear(&w, MSG_READY));
	world_secrets(&w, "TOKEN", "short", true);
	expect_failed(true, "TOKEN");
	assert_int_equal(w.log.len, 0);
}

static void test_threat_37_image_missing(void **state)
{
	(void)state;
	world_start(&w, "true", NULL, json_pack("{s:s}", "image", "localhost:1/nobody/nothing:1"));
	expect_failed(false, "localhost:1/nobody/nothing:1 is not on this engine, and pulling it failed");
	world_start(&w, "true", NULL, json_pack("{s:s}", "image", "../../containers/x"));
	expect_failed(true, "is not an image reference");
}

static void test_tool_missing(void **state)
{
	(void)state;
	world_start(&w, "true", NULL, json_pack("{s:{s:[s]}}", "action", "tools", "clawhub"));
	expect_failed(true, "clawhub");
}

static void test_mount_source_missing(void **state)
{
	(void)state;
	world_start(&w, "true", NULL, json_pack("{s:[{s:s, s:s}]}", "mounts", "source", "/nowhere/at/all", "target", "/task/x"));
	expect_failed(false, "/nowhere/at/all");
	world_start(&w, "true", NULL, json_pack("{s:[{s:s, s:s}]}", "mounts", "source", engine_socket, "target", "/task/x"));
	expect_failed(false, "Docker's socket");
}

/* guard: api_remove in create(), dispatcher/engine/start.c */
static void test_threat_32_name_taken(void **state)
{
	(void)state;
	cleanup_json json_t *body =
	    json_pack("{s:s, s:[s,s], s:{s:s}}", "Image", IMAGE, "Cmd", "sleep", "100", "HostConfig", "NetworkMode", "none");
	assert_int_equal(api_post(&w.api, body, NULL, NULL, "/containers/create?name=%s", w.name), 0);
	assert_int_equal(api_post(&w.api, NULL, NULL, NULL, "/containers/%s/start", w.name), 0);
	/* Without the claim it may be a run of an earlier life. guard: `replace` in dispatcher/engine/start.c */
	world_start(&w, "echo fresh", NULL, json_pack("{s:b}", "replace", 0));
	cleanup_json json_t *failed = world_hear(&w, MSG_FAILED);
	assert_non_null(strstr(text(failed, "reason"), "is there already"));
	cleanup_json json_t *inspect = world_inspect(&w);
	assert_true(json_is_true(json_object_get(json_object_get(inspect, "State"), "Running")));
	world_start(&w, "echo fresh", NULL, NULL);
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "fresh\n");
}

static void test_role_killed(void **state)
{
	(void)state;
	world_start(&w, "echo one; sleep 2; echo two", NULL, NULL);
	world_go(&w, NULL);
	world_log_has(&w, "one\n");
	world_kill(&w);
	world_reopen(&w);
	world_say(&w, MSG_FOLLOW, NULL, -1);
	json_decref(world_hear(&w, MSG_GOING));
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "one\ntwo\n");
	world_say(&w, MSG_FOLLOW, NULL, -1); /* one that has ended is read all the same */
	buf_reset(&w.log);
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "one\ntwo\n");
}

/* A role that dies before GO leaves a container whose input has ended: it says so, and runs nothing. */
static void test_role_killed_before_go(void **state)
{
	(void)state;
	world_start(&w, "echo never", NULL, NULL);
	json_decref(world_hear(&w, MSG_READY));
	world_kill(&w);
	world_reopen(&w);
	world_say(&w, MSG_FOLLOW, NULL, -1);
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_string_equal(text(json_object_get(m, "report"), "outcome"), "not_started");
	assert_false(json_is_true(json_object_get(m, "going")));
	world_start(&w, "echo again", NULL, NULL);
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "again\n");
}

static void expect_gone(const char *words)
{
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_true(json_is_null(json_object_get(m, "exit_code")));
	if (!strstr(text(m, "reason"), words))
		fail_msg("'%s' lacks '%s'", text(m, "reason"), words);
}

static void test_threat_36_removed_by_others(void **state)
{
	(void)state;
	world_say(&w, MSG_FOLLOW, NULL, -1);
	expect_gone("not there");
	world_start(&w, "echo on; sleep 100", NULL, NULL);
	world_go(&w, NULL);
	world_log_has(&w, "on\n");
	assert_int_equal(api_remove(&w.api, w.name, NULL), 0);
	expect_gone("not there");
	world_start(&w, "echo never", NULL, NULL);
	json_decref(world_hear(&w, MSG_READY));
	assert_int_equal(api_remove(&w.api, w.name, NULL), 0);
	expect_failed(false, "");
}

/* A socket that does not exist yet; comes() makes it. */
static struct {
	char dir[40], path[64];
} late;

static void late_open(void)
{
	world_close(&w);
	snprintf(late.dir, sizeof(late.dir), "/tmp/disinto-test-late.XXXXXX");
	assert_non_null(scratch_dir(late.dir));
	assert_int_equal(chmod(late.dir, 0755), 0);
	snprintf(late.path, sizeof(late.path), "%s/sock", late.dir);
	world_open(&w, late.path);
	cleanup_json json_t *down = world_hear(&w, MSG_ENGINE_STATE);
	assert_false(json_is_true(json_object_get(down, "ok")));
	assert_non_null(strstr(text(down, "reason"), late.path));
}

static void late_comes(void)
{
	assert_int_equal(symlink(engine_socket, late.path), 0);
}

static void late_expect_up(void)
{
	cleanup_json json_t *up = world_hear(&w, MSG_ENGINE_STATE);
	unlink(late.path);
	rmdir(late.dir);
	assert_true(json_is_true(json_object_get(up, "ok")));
	assert_true(strlen(text(up, "version")) > 0);
	assert_true(json_is_array(json_object_get(up, "containers")));
}

static void test_engine_comes_late(void **state)
{
	(void)state;
	late_open();
	world_start(&w, "true", NULL, NULL);
	expect_failed(false, late.path);
	late_comes();
	late_expect_up();
}

/* A role with a user of its own has no group for a socket that was not there: it ends, and the next one has. */
static void test_engine_comes_late_separated(void **state)
{
	(void)state;
	struct msg m;
	if (geteuid() != 0)
		skip();
	late_open();
	world_kill(&w);
	w.config.separation = SEPARATION_REQUIRED;
	world_reopen(&w);
	json_decref(world_hear(&w, MSG_ENGINE_STATE));
	late_comes();
	assert_int_equal(msg_recv(&w.core, 60000, &m, NULL), -1);
	world_kill(&w);
	world_reopen(&w);
	late_expect_up();
}

/* An image that tries everything an image may declare. */
static void make_hostile(const char *volume)
{
	cleanup_json json_t *empty = json_pack("{s:s}", "Image", IMAGE);
	cleanup_json json_t *config =
	    json_pack("{s:[s], s:[s], s:s, s:s, s:[s,s,s,s], s:{s:{}}, s:{s:[s,s]}, s:s, s:{s:s, s:s, s:s}}", "Entrypoint", "/bin/false",
	              "Cmd", "evil", "User", "1234", "WorkingDir", "/nowhere", "Env", "PATH=/evil:/bin", "EVIL=1", "LD_PRELOAD=/evil.so",
	              "GLIBC_TUNABLES=x", "Volumes", volume, "Healthcheck", "Test", "CMD", "/bin/evil", "StopSignal", "SIGKILL", "Labels",
	              "disinto.dispatcher", "fake", "disinto.action", "fake", "traefik.enable", "true");
	assert_int_equal(api_post(&w.api, empty, NULL, NULL, "/containers/create?name=%s-base", w.name), 0);
	assert_int_equal(api_post(&w.api, config, NULL, NULL, "/commit?container=%s-base&repo=hostile&tag=1", w.name), 0);
	char base[80];
	snprintf(base, sizeof(base), "%s-base", w.name);
	assert_int_equal(api_remove(&w.api, base, NULL), 0);
}

/* guard: what spec_build in dispatcher/engine/spec.c sets; build_env and build_labels for what has to be taken away */
static void test_threat_32_hostile_image(void **state)
{
	(void)state;
	make_hostile("/tmp/cache");
	world_start(&w,
	            "pwd; echo \"$PATH|${EVIL:-none}|${LD_PRELOAD:-none}\"; id -u; grep -c ' /tmp/cache tmpfs ' /proc/mounts; "
	            "cat /proc/self/environ | tr '\\0' '\\n' | grep -c -e EVIL -e GLIBC || :; "
	            "grep -c '^Max core file size  *1  *1 ' /proc/self/limits",
	            NULL, json_pack("{s:s}", "image", "hostile:1"));
	world_go(&w, NULL);
	cleanup_json json_t *inspect = world_inspect(&w);
	const json_t *config = json_object_get(inspect, "Config");
	assert_string_equal(text(config, "StopSignal"), "SIGTERM");
	assert_string_equal(text(config, "User"), "0:0");
	const json_t *labels = json_object_get(config, "Labels");
	assert_string_equal(text(labels, "disinto.dispatcher"), "t");
	assert_string_equal(text(labels, "disinto.action"), w.id);
	assert_string_equal(text(labels, "traefik.enable"), "");
	assert_int_equal(json_array_size(json_object_get(inspect, "Mounts")), 1); /* no volume of the image */
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "/task\n/evil:/bin|none|none\n10001\n1\n0\n1\n");
}

/* guard: volume_check in dispatcher/engine/image.c */
static void test_threat_25_volume_below_secrets(void **state)
{
	(void)state;
	make_hostile("/run/secrets/x");
	world_start(&w, "true", NULL, json_pack("{s:s}", "image", "hostile:1"));
	expect_failed(true, "volume at /run/secrets/x");
}

/* The runner's volume holds something else: half a program, say. */
static void test_damaged_volume(void **state)
{
	(void)state;
	cleanup_buf struct buf tar = BUF_INIT;
	static const char *const headers[] = {"Content-Type: application/x-tar", NULL};
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	world_start(&w, "true", NULL, NULL);
	json_decref(world_hear(&w, MSG_READY));
	cleanup_json json_t *inspect = world_inspect(&w);
	const char *volume = text(json_array_get(json_object_get(inspect, "Mounts"), 0), "Name");
	assert_int_equal(strncmp(volume, "disinto-runner-", 15), 0);
	world_say(&w, MSG_HALT, NULL, -1);
	expect_failed(false, "");

	char path[128];
	cleanup_json json_t *body = json_pack("{s:s, s:{s:[{s:s, s:s, s:s}]}}", "Image", IMAGE, "HostConfig", "Mounts", "Type", "volume",
	                                      "Source", volume, "Target", "/disinto");
	assert_int_equal(api_post(&w.api, body, NULL, NULL, "/containers/create?name=%s", w.name), 0);
	shared_tar("disinto-runner", "#!/bin/sh\n", 10, &tar);
	snprintf(path, sizeof(path), "/containers/%s/archive?path=/disinto", w.name);
	struct http_request put = {.method = "PUT", .path = path, .headers = headers, .body = tar.data, .body_len = tar.len};
	assert_int_equal(api_send(&w.api, &put, &res, NULL), 0);

	world_kill(&w); /* each life looks at the volume once */
	world_reopen(&w);
	world_start(&w, "echo whole", NULL, NULL);
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "whole\n");
}

/* A carrier that an earlier life of this dispatcher left is in nobody's way; guard: is_left_by_us in dispatcher/engine/volume.c. */
static void test_carrier_left_behind(void **state)
{
	(void)state;
	world_start(&w, "true", NULL, NULL);
	json_decref(world_hear(&w, MSG_READY));
	cleanup_json json_t *inspect = world_inspect(&w);
	const char *volume = text(json_array_get(json_object_get(inspect, "Mounts"), 0), "Name");
	world_say(&w, MSG_HALT, NULL, -1);
	expect_failed(false, "");

	cleanup_json json_t *body = json_pack(
	    "{s:s, s:{s:s}}", "Image", IMAGE, "Labels", "disinto.carrier",
	    json_string_value(json_object_get(json_object_get(json_object_get(inspect, "Config"), "Labels"), "disinto.dispatcher")));
	assert_int_equal(api_post(&w.api, body, NULL, NULL, "/containers/create?name=%s-carrier", volume), 0);
	world_kill(&w);
	world_reopen(&w);
	int64_t begun_ms = now_mono_ms();
	world_start(&w, "true", NULL, NULL);
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	assert_true(now_mono_ms() - begun_ms < 30000); /* FILLER_WAIT_MS, which is for others' */
}

static void test_network(void **state)
{
	(void)state;
	world_start(&w, "cat /sys/class/net/*/address | wc -l", NULL,
	            json_pack("{s:s, s:{s:s}}", "network", "default", "formula", "network", "default"));
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "2\n"); /* loopback and its own */
	cleanup_json json_t *network = NULL;
	assert_int_equal(api_get(&w.api, &network, NULL, "/networks/disinto-tasks"), 0);
	assert_string_equal(text(json_object_get(network, "Options"), "com.docker.network.bridge.enable_icc"), "false");
	world_say(&w, MSG_REMOVE, NULL, -1);
	json_decref(world_hear(&w, MSG_REMOVED));
	world_start(&w, "true", NULL, json_pack("{s:s}", "network", "host"));
	expect_failed(false, "networks: 'host'");
	world_start(&w, "true", NULL, json_pack("{s:s}", "network", "nowhere"));
	expect_failed(false, "networks: nowhere is not on this engine; make it there");
}

/* One that the operator made; the host's own, by whatever name, is refused. guard: named_network in dispatcher/engine/network.c */
static void test_named_network(void **state)
{
	(void)state;
	cleanup_json json_t *body = json_pack("{s:s}", "Name", w.id);
	cleanup_json json_t *made = NULL, *host = NULL;
	assert_int_equal(api_post(&w.api, body, &made, NULL, "/networks/create"), 0);
	world_start(&w, "cat /sys/class/net/*/address | wc -l", NULL, json_pack("{s:s}", "network", w.id));
	world_go(&w, NULL);
	cleanup_json json_t *inspect = world_inspect(&w);
	assert_string_equal(text(json_object_get(inspect, "HostConfig"), "NetworkMode"), text(made, "Id"));
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "2\n");
	world_say(&w, MSG_REMOVE, NULL, -1);
	json_decref(world_hear(&w, MSG_REMOVED));
	assert_int_equal(api_delete(&w.api, NULL, "/networks/%s", w.id), 0);
	assert_int_equal(api_get(&w.api, &host, NULL, "/networks/host"), 0);
	world_start(&w, "true", NULL, json_pack("{s:s}", "network", text(host, "Id")));
	expect_failed(false, "it is the machine's own");
}

/* PidsLimit holds it, and the runner, which needs no process for that, ends it all. guard: PidsLimit in dispatcher/engine/spec.c */
static void test_threat_33_fork_bomb(void **state)
{
	(void)state;
	/* The first shell forks once, for the first link: it would end by itself when it can't. */
	world_start(&w, "bomb() { bomb | bomb & }; echo on; (bomb) & while :; do :; done", NULL,
	            json_pack("{s:{s:{s:f, s:i}}}", "formula", "resources", "cpus", 0.3, "pids", 32));
	world_go(&w, NULL);
	world_log_has(&w, "on\n");
	cleanup_json json_t *inspect = world_inspect(&w);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(inspect, "HostConfig"), "PidsLimit")), 32);
	world_say(&w, MSG_HALT, json_pack("{s:i, s:b}", "grace_seconds", 1, "kill", 0), -1);
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_int_equal(json_integer_value(json_object_get(m, "exit_code")), 130);
	assert_string_equal(text(json_object_get(m, "report"), "outcome"), "cancelled");
}

/* Nothing that a step can write to is a disk, or without a bound. guard: ReadonlyRootfs and the sizes in build_tmpfs, dispatcher/engine/spec.c */
static void test_threat_33_disk_filled(void **state)
{
	(void)state;
	world_start(
	    &w,
	    "for d in /task /tmp /dev/shm; do dd if=/dev/zero of=$d/x bs=1M count=100 2>/dev/null && echo wrote $d; rm -f $d/x; done; "
	    "for d in / /etc /var /disinto /run /run/secrets; do touch $d/x 2>/dev/null && echo touched $d; done; "
	    "grep -c -e ' / [^ ]* ro,' -e ' /disinto [^ ]* ro,' /proc/mounts",
	    NULL, json_pack("{s:{s:{s:s, s:s}}}", "formula", "resources", "tmp", "8m", "memory", "256m"));
	world_go(&w, NULL);
	expect_exit(0, "succeeded");
	assert_string_equal(w.log.data, "2\n");
}

/* Killed for memory: a child of PID 1, which itself ends in good order. */
static void test_threat_33_memory_bomb_in_a_child(void **state)
{
	(void)state;
	world_start(&w, "tail /dev/zero", NULL, json_pack("{s:{s:{s:s}}}", "formula", "resources", "memory", "32m"));
	world_go(&w, NULL);
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_true(json_is_true(json_object_get(m, "oom")));
	assert_string_equal(text(json_object_get(m, "report"), "outcome"), "failed");
}

/* The step knows nothing of it, and ends well. guard: memory_kills in runner/ending.c */
static void test_threat_33_memory_bomb_that_nobody_minds(void **state)
{
	(void)state;
	world_start(&w, "tail /dev/zero || echo went on", NULL, json_pack("{s:{s:{s:s}}}", "formula", "resources", "memory", "32m"));
	world_go(&w, NULL);
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_non_null(strstr(w.log.data, "went on\n"));
	assert_string_equal(text(json_object_get(m, "report"), "outcome"), "failed");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(m, "report"), "exit_code")), 137);
	assert_non_null(strstr(text(json_object_get(m, "report"), "reason"),
	                       "ran out of memory: the kernel killed 1 of its processes (it ended with 0)"));
}

enum { MANY = 6 };

static void be_number(int i)
{
	snprintf(w.id, sizeof(w.id), "many%d-%d", i, (int)getpid());
	snprintf(w.name, sizeof(w.name), "disinto-t-%s-1", w.id);
	buf_reset(&w.log);
}

/* Several at once, in any order, each with what is its own. */
static void test_many(void **state)
{
	(void)state;
	cleanup_json json_t *logs = json_object();
	for (int i = 0; i < MANY; i++) {
		char run[64];
		be_number(i);
		snprintf(run, sizeof(run), "echo %s", w.id);
		world_start(&w, run, NULL, NULL);
	}
	int64_t deadline = now_mono_ms() + 120000;
	for (int removed = 0; removed < MANY;) {
		cleanup_msg struct msg m = MSG_INIT;
		assert_true(now_mono_ms() < deadline);
		assert_int_equal(msg_recv(&w.core, 60000, &m, NULL), 1);
		int number = -1;
		if (sscanf(text(m.body, "id"), "many%d-", &number) != 1)
			continue;
		be_number(number);
		if (strcmp(m.kind, "ready") == 0)
			world_secrets(&w, NULL, NULL, true);
		else if (strcmp(m.kind, "delivered") == 0)
			world_say(&w, MSG_GO, NULL, -1);
		else if (strcmp(m.kind, "log") == 0)
			json_object_set(logs, w.id, json_object_get(m.body, "d"));
		else if (strcmp(m.kind, "failed") == 0)
			fail_msg("%s", text(m.body, "reason"));
		else if (strcmp(m.kind, "exited") == 0)
			world_say(&w, MSG_REMOVE, NULL, -1);
		else if (strcmp(m.kind, "removed") == 0)
			removed++;
	}
	for (int i = 0; i < MANY; i++) {
		be_number(i);
		assert_int_equal(strncmp(text(logs, w.id), w.id, strlen(w.id)), 0);
	}
}

/* The engine is restarted under a run: it stops the container, and what that said is still read. */
static void test_threat_36_restarted_in_mid_run(void **state)
{
	(void)state;
	if (!engine_dir[0])
		skip(); /* somebody else's engine is left alone */
	world_start(&w, "trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.1; done", NULL, NULL);
	world_go(&w, NULL);
	world_log_has(&w, "on\n");
	json_decref(world_hear(&w, MSG_ENGINE_STATE)); /* at connect */
	world_engine_script("down");
	cleanup_json json_t *down = world_hear(&w, MSG_ENGINE_STATE);
	assert_false(json_is_true(json_object_get(down, "ok")));
	world_engine_script("up");
	cleanup_json json_t *up = world_hear(&w, MSG_ENGINE_STATE);
	assert_true(json_is_true(json_object_get(up, "ok")));
	cleanup_json json_t *m = world_hear(&w, MSG_EXITED);
	assert_int_equal(json_integer_value(json_object_get(m, "exit_code")), 130);
	assert_non_null(strstr(w.log.data, "bye\n"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_run_with_a_secret),
	    TEST(test_long_log),
	    TEST(test_halt_with_grace),
	    TEST(test_threat_33_term_ignored),
	    TEST(test_halt_before_go),
	    TEST(test_secrets_break_off),
	    TEST(test_secret_too_short),
	    TEST(test_threat_37_image_missing),
	    TEST(test_tool_missing),
	    TEST(test_mount_source_missing),
	    TEST(test_threat_32_name_taken),
	    TEST(test_role_killed),
	    TEST(test_role_killed_before_go),
	    TEST(test_threat_36_removed_by_others),
	    TEST(test_engine_comes_late),
	    TEST(test_engine_comes_late_separated),
	    TEST(test_threat_32_hostile_image),
	    TEST(test_threat_25_volume_below_secrets),
	    TEST(test_damaged_volume),
	    TEST(test_carrier_left_behind),
	    TEST(test_network),
	    TEST(test_named_network),
	    TEST(test_threat_33_fork_bomb),
	    TEST(test_threat_33_disk_filled),
	    TEST(test_threat_33_memory_bomb_in_a_child),
	    TEST(test_threat_33_memory_bomb_that_nobody_minds),
	    TEST(test_many),
	    TEST(test_threat_36_restarted_in_mid_run),
	};
	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(all_tests);
}
