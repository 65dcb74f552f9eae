/* The model of a site and its text. */
#include "compose/compose.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct compose_input inputs[] = {
    {"identity_file", "DISINTO_IDENTITY_FILE", "./identity.age"},
    {"approval.forge_token_file", "DISINTO_APPROVAL_FORGE_TOKEN_FILE", "/srv/$x/forge-token"},
};

static json_t *service(const json_t *model, const char *name)
{
	return json_object_get(json_object_get(model, "services"), name);
}

/* In whatever form its items are. */
static bool holds(const json_t *array, const char *part)
{
	cleanup_free char *text = array ? json_dumps(array, 0) : NULL;

	return text && strstr(text, part);
}

static void parity_E6_only_two_have_the_socket(void **state)
{
	const struct compose_site site = {.version = "1.2.3"};
	cleanup_json json_t *model = compose_model(&site);
	const char *name;
	json_t *s;

	(void)state;
	json_object_foreach (json_object_get(model, "services"), name, s) {
		bool may = strcmp(name, "edge") == 0 || strcmp(name, "woodpecker-agent") == 0;

		assert_int_equal(holds(json_object_get(s, "volumes"), "docker.sock"), may);
		assert_true(holds(json_object_get(s, "cap_drop"), "ALL"));
		assert_true(holds(json_object_get(s, "security_opt"), "no-new-privileges"));
		assert_true(json_is_true(json_object_get(s, "read_only")));
		assert_non_null(json_object_get(s, "mem_limit"));
		assert_non_null(json_object_get(s, "cpus"));
		assert_non_null(json_object_get(s, "pids_limit"));
		assert_non_null(json_object_get(s, "restart"));
	}
}

/* Whether one works stands in the image of ours (edge) or here; agents and runner serve nobody. */
static void who_serves_says_how_he_is(void **state)
{
	static const char *const served[] = {"forgejo", "woodpecker", "woodpecker-agent", "staging"};
	const struct compose_site site = {.version = "1.2.3"};
	cleanup_json json_t *model = compose_model(&site);
	cleanup_buf struct buf image = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++)
		assert_non_null(json_object_get(json_object_get(service(model, served[i]), "healthcheck"), "test"));
	assert_int_equal(file_read("templates/edge/Dockerfile", 65536, &image, NULL), 0);
	assert_non_null(strstr(image.data, "\nHEALTHCHECK "));
}

static bool same_network(const json_t *model, const char *a, const char *b)
{
	const json_t *name;
	size_t i;

	json_array_foreach (json_object_get(service(model, a), "networks"), i, name)
		if (holds(json_object_get(service(model, b), "networks"), json_string_value(name)))
			return true;
	return false;
}

static void agents_do_not_meet_edge(void **state)
{
	const struct compose_site site = {.version = "1.2.3"};
	cleanup_json json_t *model = compose_model(&site);

	(void)state;
	assert_false(same_network(model, "agents", "edge"));
	assert_false(same_network(model, "agents-llama", "edge"));
	assert_true(same_network(model, "agents", "forgejo"));
	assert_true(same_network(model, "edge", "forgejo"));
	assert_true(same_network(model, "runner", "edge"));
	assert_null(json_object_get(service(model, "runner"), "volumes"));
}

static void files_of_the_configuration(void **state)
{
	const struct compose_site site = {.version = "1.2.3", .inputs = inputs, .n_inputs = 2, .repo = "./ops.git"};
	cleanup_json json_t *model = compose_model(&site);
	const json_t *edge = service(model, "edge"), *env = json_object_get(edge, "environment"),
	             *secrets = json_object_get(model, "secrets");
	const char *file = json_string_value(json_object_get(json_object_get(secrets, "approval_forge_token_file"), "file"));

	(void)state;
	assert_string_equal(file, "/srv/$$x/forge-token");
	assert_string_equal(json_string_value(json_object_get(env, "DISINTO_IDENTITY_FILE")), "/run/secrets/identity_file");
	assert_int_equal(json_array_size(json_object_get(edge, "secrets")), 2);
	assert_string_equal(json_string_value(json_object_get(edge, "image")), "${EDGE_IMAGE:-disinto/edge:1.2.3}");
	assert_string_equal(json_string_value(json_object_get(env, "DISINTO_OPS_REPO")), "/etc/disinto/ops.git");
	assert_null(json_object_get(service(model, "agents"), "x-every"));
}

/* Behind the front door the dispatcher is asked by the site's own name, too. */
static void the_sites_names_are_allowed(void **state)
{
	cleanup_json json_t *hosts = json_pack("[s, s]", "a.example", "b.example");
	const struct compose_site plain = {.version = "1"}, named = {.version = "1", .hosts = hosts};
	cleanup_json json_t *without = compose_model(&plain), *with = compose_model(&named);
	const json_t *env = json_object_get(service(without, "edge"), "environment");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(env, "DISINTO_ALLOWED_HOSTS")), "[${DOMAIN:-}]");
	env = json_object_get(service(with, "edge"), "environment");
	assert_string_equal(json_string_value(json_object_get(env, "DISINTO_ALLOWED_HOSTS")), "[\"a.example\",\"b.example\",${DOMAIN:-}]");
}

/* The engine looks for a mount's source on the host. */
static void mounts_keep_the_hosts_paths(void **state)
{
	cleanup_json json_t *mounts = json_pack("{s:{s:s, s:s}}", "ssh", "source", "/srv/$HOME", "target", "/task/.ssh");
	const struct compose_site site = {.version = "1", .mounts = mounts};
	cleanup_json json_t *model = compose_model(&site);
	const json_t *env = json_object_get(service(model, "edge"), "environment");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(env, "DISINTO_MOUNTS")),
	                    "{\"ssh\":{\"source\":\"/srv/$$HOME\",\"target\":\"/task/.ssh\"}}");
}

/* Every image that may be set in .env is one of the model, with the same default; and no secret is asked for there. */
static void the_example_names_what_the_model_takes(void **state)
{
	const struct compose_site site = {.version = "1.2.3"};
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_buf struct buf env = BUF_INIT;

	(void)state;
	compose_text(&site, &text);
	compose_env_text(&site, &env);
	for (const char *line = env.data, *end; *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		if (line[0] != '#' || strspn(line + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") < 2 || !memchr(line, '=', (size_t)(end - line)))
			continue;
		cleanup_free char *name = xasprintf("%.*s", (int)strcspn(line + 1, "="), line + 1);
		cleanup_free char *taken =
		    xasprintf("${%s:-%.*s}", name, (int)(end - line) - (int)strlen(name) - 2, line + strlen(name) + 2);
		cleanup_free char *named = xasprintf("${%s:-", name);

		if (strcmp(name, "COMPOSE_PROFILES") != 0 && !strstr(text.data, strstr(name, "_IMAGE") ? taken : named))
			fail_msg("%s", taken);
	}
	assert_non_null(strstr(env.data, "#EDGE_IMAGE=disinto/edge:1.2.3\n"));
}

static void changes_of_others_are_seen(void **state)
{
	const struct compose_site site = {.version = "1.2.3", .inputs = inputs, .n_inputs = 2};
	cleanup_buf struct buf text = BUF_INIT;
	char *image;

	(void)state;
	compose_text(&site, &text);
	assert_true(compose_is_ours(text.data, text.len));
	assert_false(compose_is_ours(text.data, text.len - 1));
	image = strstr(text.data, "edge:1.2.3");
	assert_non_null(image);
	image[5] = '2';
	assert_false(compose_is_ours(text.data, text.len));
	assert_false(compose_is_ours("", 0));
	assert_false(compose_is_ours("services: {}\n", 13));
	assert_false(compose_is_ours("# sha256: ", 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parity_E6_only_two_have_the_socket),
	    cmocka_unit_test(who_serves_says_how_he_is),
	    cmocka_unit_test(agents_do_not_meet_edge),
	    cmocka_unit_test(files_of_the_configuration),
	    cmocka_unit_test(the_sites_names_are_allowed),
	    cmocka_unit_test(mounts_keep_the_hosts_paths),
	    cmocka_unit_test(the_example_names_what_the_model_takes),
	    cmocka_unit_test(changes_of_others_are_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
