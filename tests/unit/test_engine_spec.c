/* What a task container is made of, which images may run, and how registries are spoken to: without an engine. */
#include "dispatcher/engine/image.h"
#include "dispatcher/engine/shared.h"
#include "dispatcher/engine/spec.h"
#include "lib/cleanup.h"
#include "lib/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, 0, &e);
	if (!v)
		fail_msg("%s: %s", e.text, text);
	return v;
}

static void test_path_clean(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"/", "/"},
	    {"", "/"},
	    {"/a//b/", "/a/b"},
	    {"/a/./b", "/a/b"},
	    {"/a/../b", "/b"},
	    {"/../..", "/"},
	    {"a/b", "/a/b"},
	    {"/data/../run/x", "/run/x"},
	    {"/tmp/../run/secrets/", "/run/secrets"},
	    {"/a/b/../../c", "/c"},
	    {"/..a", "/..a"},
	    {"/a..", "/a.."},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_free char *got = path_clean(cases[i][0]);
		assert_string_equal(got, cases[i][1]);
	}
	assert_true(path_is_in("/run", "/run"));
	assert_true(path_is_in("/run/x", "/run"));
	assert_false(path_is_in("/runner", "/run"));
	assert_true(path_goes_up("/a/../b") && path_goes_up("..") && path_goes_up("/a/.."));
	assert_false(path_goes_up("/..a/a..b/c..") || path_goes_up("/a/...") || path_goes_up("/"));
	assert_true(path_is_in("/anything", "/"));
}

static void test_references(void **state)
{
	(void)state;
	static const struct {
		const char *ref, *registry, *repository, *tag;
	} good[] = {
	    {"debian", "docker.io", "docker.io/library/debian", "latest"},
	    {"debian:12", "docker.io", "docker.io/library/debian", "12"},
	    {"docker.io/debian:12", "docker.io", "docker.io/library/debian", "12"},
	    {"org/tool", "docker.io", "docker.io/org/tool", "latest"},
	    {"registry.example/a/b:1", "registry.example", "registry.example/a/b", "1"},
	    {"localhost:5000/x", "localhost:5000", "localhost:5000/x", "latest"},
	    {"localhost/x", "localhost", "localhost/x", "latest"},
	    {"debian@sha256:abc", "docker.io", "docker.io/library/debian", "sha256:abc"},
	    {"registry.example:443/a:1@sha256:abc", "registry.example:443", "registry.example:443/a", "sha256:abc"},
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cleanup_image_ref struct image_ref got = {.registry = NULL};
		assert_int_equal(image_ref_parse(good[i].ref, &got, NULL), 0);
		assert_string_equal(got.registry, good[i].registry);
		assert_string_equal(got.repository, good[i].repository);
		assert_string_equal(got.tag, good[i].tag);
	}
	/* None of these may become part of a request's path. */
	static const char *const bad[] = {"", "../containers", "a/../../b", "a?x=1", "a#b", "a b", "a%2f", "/a", "a//b", "a/", "a\n", "-a"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct image_ref got = {.registry = NULL};
		cleanup_err struct err err = ERR_INIT;
		assert_int_equal(image_ref_parse(bad[i], &got, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void test_registry_auth(void **state)
{
	(void)state;
	/* user:pa:ss */
	static const char text[] = "{\"auths\": {\"registry.example\": {\"auth\": \"dXNlcjpwYTpzcw==\"},"
	                           "\"https://index.docker.io/v1/\": {\"identitytoken\": \"tok\"}, \"empty.example\": {}}}";
	cleanup_free char *basic = NULL;
	cleanup_free char *hub = NULL;
	cleanup_free char *none = NULL;
	cleanup_err struct err err = ERR_INIT;
	assert_int_equal(registry_auth_header(text, strlen(text), "registry.example", &basic, NULL), 0);
	/* {"username":"user","password":"pa:ss","serveraddress":"registry.example"} */
	assert_string_equal(basic, "X-Registry-Auth: "
	                           "eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6InBhOnNzIiwic2VydmVyYWRkcmVzcyI6InJlZ2lzdHJ5LmV4YW1wbGUifQ==");
	assert_int_equal(registry_auth_header(text, strlen(text), "docker.io", &hub, NULL), 0);
	assert_non_null(hub);
	assert_int_equal(registry_auth_header(text, strlen(text), "other.example", &none, NULL), 0);
	assert_null(none);
	assert_int_equal(registry_auth_header(text, strlen(text), "empty.example", &none, &err), -1);
	assert_string_equal(err_msg(&err), "auths: empty.example: needs \"auth\" (base64 of user:password) or \"identitytoken\"");
	assert_int_equal(registry_auth_header("[]", 2, "docker.io", &none, &err), -1);
	assert_null(none);
}

static void read_image(const char *text, const char *ref, struct image *ret)
{
	cleanup_json json_t *inspect = parse(text);
	cleanup_err struct err err = ERR_INIT;
	if (image_read(inspect, ref, "amd64", ret, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static void test_image_read(void **state)
{
	(void)state;
	cleanup_image struct image image = IMAGE_INIT;
	read_image("{\"Id\": \"sha256:1\", \"Os\": \"linux\", \"Architecture\": \"amd64\","
	           "\"RepoDigests\": [\"mirror.example/debian@sha256:a\", \"debian@sha256:b\", \"debian@sha256:c\"],"
	           "\"Config\": {\"Env\": [\"PATH=/evil\", \"LD_PRELOAD=/x\", \"EMPTY=\", \"BARE\"],"
	           "\"Volumes\": {\"/tmp/cache\": {}, \"/data/../srv//x\": {}, \"/tmp\": {}}}}",
	           "docker.io/library/debian@sha256:c", &image);
	assert_string_equal(image.id, "sha256:1");
	assert_string_equal(image.shown, "debian@sha256:c");
	assert_string_equal(image.path, "/evil");
	cleanup_json json_t *unset = parse("[\"LD_PRELOAD\", \"EMPTY\", \"BARE\"]");
	cleanup_json json_t *volumes = parse("[\"/tmp/cache\", \"/srv/x\", \"/tmp\"]");
	assert_true(json_equal(image.unset, unset));
	assert_true(json_equal(image.volumes, volumes));

	cleanup_image struct image plain = IMAGE_INIT;
	read_image("{\"Id\": \"sha256:2\", \"RepoDigests\": [], \"Config\": null}", "x:1", &plain);
	assert_string_equal(plain.shown, "sha256:2");
	assert_string_equal(plain.path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

/* No second try can help these: each is a refusal. */
static void test_image_refused(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
	    {"{\"Id\": \"x\", \"Os\": \"linux\", \"Architecture\": \"s390x\"}", "made for linux/s390x"},
	    {"{\"Id\": \"x\", \"Os\": \"windows\", \"Architecture\": \"amd64\"}", "made for windows/amd64"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/run/secrets/x\": {}}}}", "volume at /run/secrets/x"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/run\": {}}}}", "volume at /run"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/tmp/../run/secrets\": {}}}}", "volume at /run/secrets"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"run/secrets\": {}}}}", "volume at /run/secrets"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/var/run/x\": {}}}}", "volume at /var/run/x"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/disinto\": {}}}}", "volume at /disinto"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/proc/x\": {}}}}", "volume at /proc/x"},
	    {"{\"Id\": \"x\", \"Config\": {\"Volumes\": {\"/\": {}}}}", "volume at /;"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_t *inspect = parse(bad[i][0]);
		struct image image = IMAGE_INIT;
		cleanup_err struct err err = ERR_INIT;
		assert_int_equal(image_read(inspect, "x", "amd64", &image, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		if (!strstr(err_msg(&err), bad[i][1]))
			fail_msg("'%s' lacks '%s'", err_msg(&err), bad[i][1]);
	}
}

/* What spec_build needs, filled with something. */
struct kit {
	struct formula formula;
	struct image image;
	json_t *mounts;
	struct config config;
	struct spec_input in;
};

static struct kit *kit_new(const char *mounts)
{
	static struct kit kit;
	kit = (struct kit){.formula = FORMULA_INIT, .image = IMAGE_INIT};
	kit.config.docker_host = (char *)(uintptr_t) "/srv/engine/docker.sock";
	kit.config.spool = (char *)(uintptr_t) "/srv/disinto/spool";
	kit.config.identity_file = (char *)(uintptr_t) "/srv/disinto/keys/../identity.age";
	kit.formula.user = 10001;
	kit.formula.memory_bytes = 512 << 20;
	kit.formula.nano_cpus = 1000000000;
	kit.formula.tmp_bytes = 64 << 20;
	kit.formula.pids = 256;
	read_image("{\"Id\": \"sha256:1\", \"RepoDigests\": [\"x@sha256:2\"], \"Config\": {\"Env\": [\"PATH=/bin\", \"EVIL=1\"], "
	           "\"Volumes\": {\"/tmp/cache\": {}},"
	           "\"Labels\": {\"traefik.enable\": \"true\", \"disinto.action\": \"another\"}}}",
	           "x", &kit.image);
	kit.mounts = parse(mounts);
	kit.in = (struct spec_input){.formula = &kit.formula,
	                             .image = &kit.image,
	                             .dispatcher_id = "d",
	                             .action_id = "a",
	                             .claim = "c",
	                             .attempt = 1,
	                             .runner_volume = "disinto-runner-0123456789abcdef",
	                             .network = "none",
	                             .mounts = kit.mounts,
	                             .config = &kit.config};
	return &kit;
}

static void kit_free(struct kit *k)
{
	image_free(&k->image);
	json_decref(k->mounts);
}

/* An inspect that says what was asked for, as an engine words it. */
static json_t *faithful(const json_t *want)
{
	json_t *config = json_deep_copy(want);
	json_t *host = json_deep_copy(json_object_get(want, "HostConfig"));
	json_t *extra = parse("{\"MaskedPaths\": [\"/proc/kcore\"], \"ReadonlyPaths\": [\"/proc/sys\"], \"Binds\": null, \"Devices\": [],"
	                      "\"PidMode\": \"\", \"OomKillDisable\": false, \"PortBindings\": {}}");
	json_t *mounts = json_array();
	size_t i;
	json_t *m;
	json_array_foreach (json_object_get(host, "Mounts"), i, m) {
		const char *type = json_string_value(json_object_get(m, "Type"));
		json_t *is = json_pack("{s:s, s:O, s:b}", "Type", type, "Destination", json_object_get(m, "Target"), "RW", 0);
		json_object_set(is, strcmp(type, "volume") == 0 ? "Name" : "Source", json_object_get(m, "Source"));
		json_array_append_new(mounts, is);
	}
	json_object_update_new(host, extra);
	json_object_set_new(json_object_get(host, "RestartPolicy"), "MaximumRetryCount", json_integer(0));
	json_object_del(config, "HostConfig");
	json_object_set_new(config, "Cmd", json_null());
	json_object_set_new(host, "ConsoleSize", json_pack("[i,i]", 0, 0));
	json_object_set_new(host, "Runtime", json_string("runc"));
	json_array_append_new(json_object_get(host, "Ulimits"), json_pack("{s:s, s:i, s:i}", "Name", "nofile", "Soft", 1024, "Hard", 1024));
	return json_pack("{s:O, s:o, s:o, s:o}", "Image", json_object_get(want, "Image"), "Config", config, "HostConfig", host, "Mounts",
	                 mounts);
}

static void test_spec(void **state)
{
	(void)state;
	struct kit *k = kit_new("[{\"source\": \"/srv/ssh\", \"target\": \"/task/.ssh\"}]");
	cleanup_json json_t *want = NULL;
	cleanup_err struct err err = ERR_INIT;
	assert_int_equal(spec_build(&k->in, &want, &err), 0);
	cleanup_json json_t *env = parse("[\"PATH=/bin\", \"EVIL\"]");
	assert_true(json_equal(json_object_get(want, "Env"), env));
	cleanup_json json_t *labels = parse("{\"traefik.enable\": \"\", \"disinto.dispatcher\": \"d\", \"disinto.action\": \"a\","
	                                    "\"disinto.attempt\": \"1\", \"disinto.claim\": \"c\"}");
	assert_true(json_equal(json_object_get(want, "Labels"), labels));
	const json_t *host = json_object_get(want, "HostConfig");
	assert_int_equal(json_integer_value(json_object_get(host, "MemorySwap")), 512 << 20);
	cleanup_json json_t *no_core = parse("[{\"Name\": \"core\", \"Soft\": 1, \"Hard\": 1}]");
	assert_true(json_equal(json_object_get(host, "Ulimits"), no_core));
	const json_t *tmpfs = json_object_get(host, "Tmpfs");
	assert_string_equal(json_string_value(json_object_get(tmpfs, "/run/secrets")), "noexec,nosuid,nodev,mode=0711,size=4m");
	assert_string_equal(json_string_value(json_object_get(tmpfs, "/tmp/cache")), "nosuid,nodev,exec,mode=1777,size=67108864");
	assert_string_equal(json_string_value(json_object_get(tmpfs, "/task")),
	                    "nosuid,nodev,exec,mode=0755,uid=10001,gid=10001,size=67108864");
	cleanup_json json_t *bind = parse("{\"Type\": \"bind\", \"Source\": \"/srv/ssh\", \"Target\": \"/task/.ssh\", \"ReadOnly\": true,"
	                                  "\"BindOptions\": {\"NonRecursive\": true}}");
	assert_true(json_equal(json_array_get(json_object_get(host, "Mounts"), 1), bind));
	cleanup_json json_t *is = faithful(want);
	if (spec_check(want, is, &err) < 0)
		fail_msg("%s", err_msg(&err));
	kit_free(k);
}

/* Every difference is found, and named. guard: image->id, not its name, in dispatcher/engine/spec.c; compared in spec_check.c */
static void test_threat_09_threat_32_spec_check(void **state)
{
	(void)state;
	static const struct {
		const char *part, *key, *value, *named;
	} changes[] = {
	    {NULL, "Image", "\"sha256:2\"", "Image is"},
	    {"Config", "User", "\"1000\"", "Config.User"},
	    {"Config", "Entrypoint", "[\"/bin/sh\"]", "Config.Entrypoint"},
	    {"Config", "Cmd", "[\"x\"]", "Config.Cmd"},
	    {"Config", "Env", "[\"PATH=/bin\", \"EVIL=1\"]", "Config.Env"},
	    {"Config", "WorkingDir", "\"/x\"", "Config.WorkingDir"},
	    {"Config", "StopSignal", "\"SIGKILL\"", "Config.StopSignal"},
	    {"Config", "Healthcheck", "{\"Test\": [\"CMD\", \"x\"]}", "Config.Healthcheck"},
	    {"Config", "Tty", "true", "Config.Tty"},
	    {"Config", "Labels", "{}", "Config.Labels"},
	    {"Config", "Labels",
	     "{\"disinto.dispatcher\": \"d\", \"disinto.action\": \"another\", \"disinto.attempt\": \"1\", \"disinto.claim\": \"c\"}",
	     "Config.Labels"},
	    {"Config", "Hostname", "\"other\"", "Config.Hostname"},
	    {"Config", "OpenStdin", "false", "Config.OpenStdin"},
	    {"HostConfig", "Privileged", "true", "HostConfig.Privileged"},
	    {"HostConfig", "CapAdd", "[\"CAP_SYS_ADMIN\"]", "HostConfig.CapAdd"},
	    {"HostConfig", "CapDrop", "null", "HostConfig.CapDrop"},
	    {"HostConfig", "SecurityOpt", "[\"no-new-privileges:true\", \"seccomp=unconfined\"]", "HostConfig.SecurityOpt"},
	    {"HostConfig", "ReadonlyRootfs", "false", "HostConfig.ReadonlyRootfs"},
	    {"HostConfig", "Tmpfs", "{\"/tmp\": \"\"}", "HostConfig.Tmpfs"},
	    {"HostConfig", "Memory", "0", "HostConfig.Memory"},
	    {"HostConfig", "MemorySwap", "-1", "HostConfig.MemorySwap"},
	    {"HostConfig", "NanoCpus", "0", "HostConfig.NanoCpus"},
	    {"HostConfig", "PidsLimit", "null", "HostConfig.PidsLimit"},
	    {"HostConfig", "ShmSize", "0", "HostConfig.ShmSize"},
	    {"HostConfig", "Ulimits", "null", "HostConfig.Ulimits"},
	    {"HostConfig", "Ulimits", "[{\"Name\": \"core\", \"Soft\": 0, \"Hard\": -1}]", "HostConfig.Ulimits"},
	    {"HostConfig", "RestartPolicy", "{\"Name\": \"always\"}", "HostConfig.RestartPolicy"},
	    {"HostConfig", "CgroupnsMode", "\"host\"", "HostConfig.CgroupnsMode"},
	    {"HostConfig", "UTSMode", "\"host\"", "HostConfig.UTSMode"},
	    {"HostConfig", "UsernsMode", "\"host\"", "HostConfig.UsernsMode"},
	    {"HostConfig", "CgroupParent", "\"/\"", "HostConfig.CgroupParent"},
	    {"HostConfig", "OomScoreAdj", "-500", "HostConfig.OomScoreAdj"},
	    {"HostConfig", "Sysctls", "{\"net.ipv4.ip_forward\": \"1\"}", "HostConfig.Sysctls"},
	    {"HostConfig", "ExtraHosts", "[\"forge.example:10.0.0.1\"]", "HostConfig.ExtraHosts"},
	    {"HostConfig", "Dns", "[\"10.0.0.1\"]", "HostConfig.Dns"},
	    {"HostConfig", "PortBindings", "{\"80/tcp\": [{\"HostPort\": \"80\"}]}", "HostConfig.PortBindings"},
	    {"HostConfig", "PublishAllPorts", "true", "HostConfig.PublishAllPorts"},
	    {"HostConfig", "DeviceRequests", "[{\"Count\": -1}]", "HostConfig.DeviceRequests"},
	    {"HostConfig", "OomKillDisable", "true", "HostConfig.OomKillDisable"},
	    {"HostConfig", "ReadonlyPaths", "null", "HostConfig.ReadonlyPaths"},
	    {"HostConfig", "OfALaterEngine", "[{\"Reach\": \"everything\"}]", "HostConfig.OfALaterEngine"},
	    {"HostConfig", "NetworkMode", "\"host\"", "HostConfig.NetworkMode"},
	    {"HostConfig", "IpcMode", "\"host\"", "HostConfig.IpcMode"},
	    {"HostConfig", "LogConfig", "{\"Type\": \"syslog\"}", "HostConfig.LogConfig"},
	    {"HostConfig", "Binds", "[\"/:/host\"]", "HostConfig.Binds"},
	    {"HostConfig", "PidMode", "\"host\"", "HostConfig.PidMode"},
	    {"HostConfig", "Devices", "[{\"PathOnHost\": \"/dev/kmsg\"}]", "HostConfig.Devices"},
	    {"HostConfig", "GroupAdd", "[\"docker\"]", "HostConfig.GroupAdd"},
	    {"HostConfig", "VolumesFrom", "[\"x\"]", "HostConfig.VolumesFrom"},
	    {"HostConfig", "MaskedPaths", "[]", "HostConfig.MaskedPaths"},
	    {"HostConfig", "AutoRemove", "true", "HostConfig.AutoRemove"},
	    {NULL, "Mounts", "[]", "Mounts is"},
	    {NULL, "Mounts",
	     "[{\"Type\": \"volume\", \"Name\": \"disinto-runner-0123456789abcdef\", \"Destination\": \"/disinto\", \"RW\": true}]",
	     "Mounts is"},
	    {NULL, "Mounts", "[{\"Type\": \"volume\", \"Name\": \"other\", \"Destination\": \"/disinto\", \"RW\": false}]", "Mounts is"},
	    {NULL, "Mounts", "[{\"Type\": \"volume\", \"Name\": \"anonymous\", \"Destination\": \"/srv\", \"RW\": true}]", "Mounts is"},
	};
	struct kit *k = kit_new("[]");
	cleanup_json json_t *want = NULL;
	assert_int_equal(spec_build(&k->in, &want, NULL), 0);
	assert_string_equal(k->image.shown, "x@sha256:2");
	assert_string_equal(json_string_value(json_object_get(want, "Image")), "sha256:1"); /* a name may mean another one by now */
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		cleanup_json json_t *is = faithful(want);
		cleanup_err struct err err = ERR_INIT;
		json_error_t e;
		json_t *part = changes[i].part ? json_object_get(is, changes[i].part) : is;
		json_object_set_new(part, changes[i].key, json_loads(changes[i].value, JSON_DECODE_ANY, &e));
		if (spec_check(want, is, &err) == 0)
			fail_msg("%s %s passes", changes[i].key, changes[i].value);
		if (!strstr(err_msg(&err), changes[i].named))
			fail_msg("'%s' lacks '%s'", err_msg(&err), changes[i].named);
		assert_int_equal(err.code, ERR_FAIL);
	}
	kit_free(k);
}

/* The operator's own configuration can't open what is closed. */
static void test_mounts_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
	    "[{\"source\": \"/srv/engine/docker.sock\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/engine\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/x/../y\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/disinto\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/disinto/spool/runs\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/disinto/identity.age\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/dev\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/var/run\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/ssh\", \"target\": \"/run/secrets\"}]",
	    "[{\"source\": \"/srv/ssh\", \"target\": \"/run/secrets/x\"}]",
	    "[{\"source\": \"/srv/ssh\", \"target\": \"/tmp/../disinto\"}]",
	    "[{\"source\": \"/srv/ssh\", \"target\": \"/task\"}]",
	    "[{\"source\": \"/srv/ssh\", \"target\": \"/\"}]",
	    "[{\"source\": \"srv\", \"target\": \"/x\"}]",
	    "[{\"source\": \"/srv/ssh\"}]",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kit *k = kit_new(bad[i]);
		json_t *want = NULL;
		cleanup_err struct err err = ERR_INIT;
		if (spec_build(&k->in, &want, &err) == 0)
			fail_msg("%s passes", bad[i]);
		assert_int_equal(err.code, ERR_FAIL);
		assert_int_equal(strncmp(err_msg(&err), "mounts: ", 8), 0);
		kit_free(k);
	}
}

static void test_tar(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 511, 512, 513, 100000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cleanup_buf struct buf tar = BUF_INIT;
		cleanup_free char *data = xmalloc(sizes[i]);
		memset(data, 'x', sizes[i]);
		shared_tar("disinto-runner", data, sizes[i], &tar);
		assert_int_equal(tar.len % 512, 0);
		assert_true(shared_tar_holds(&tar, data, sizes[i]));
		assert_false(shared_tar_holds(&tar, data, sizes[i] - 1));
		tar.data[512] = 'y';
		assert_false(shared_tar_holds(&tar, data, sizes[i]));
		tar.data[512] = 'x';
		tar.len = 512 + sizes[i] - 1; /* cut */
		assert_false(shared_tar_holds(&tar, data, sizes[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_path_clean),
	    cmocka_unit_test(test_references),
	    cmocka_unit_test(test_registry_auth),
	    cmocka_unit_test(test_image_read),
	    cmocka_unit_test(test_image_refused),
	    cmocka_unit_test(test_spec),
	    cmocka_unit_test(test_threat_09_threat_32_spec_check),
	    cmocka_unit_test(test_mounts_refused),
	    cmocka_unit_test(test_tar),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
