/*
 * compose check: each folder of tests/data/compose has one fault planted (two where one cannot be without the other), and its first line says which. Nothing
 * else may be found.
 */
#include "compose/check.h"
#include "compose/compose.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDERS "tests/data/compose/*/docker-compose.yml"
#define HEAD "# finds: "

/* "socket app; unpinned app" */
static char *summary(const json_t *findings)
{
	struct buf out = BUF_INIT;
	const json_t *finding;
	size_t i;

	json_array_foreach (findings, i, finding) {
		const char *service = json_string_value(json_object_get(finding, "service"));

		buf_addf(&out, "%s%s %s", i ? "; " : "", json_string_value(json_object_get(finding, "kind")), service ? service : "-");
	}
	if (json_array_size(findings) == 0)
		buf_adds(&out, "nothing");
	return buf_steal(&out);
}

static char *check(const char *file)
{
	cleanup_json json_t *findings = NULL;
	cleanup_err struct err err = ERR_INIT;

	if (compose_check(&file, 1, &findings, &err) < 0)
		fail_msg("%s: %s", file, err_msg(&err));
	return summary(findings);
}

static char *expected(const char *file)
{
	cleanup_buf struct buf text = BUF_INIT;

	assert_int_equal(file_read(file, 65536, &text, NULL), 0);
	assert_memory_equal(text.data, HEAD, strlen(HEAD));
	return xasprintf("%.*s", (int)strcspn(text.data + strlen(HEAD), "\n"), text.data + strlen(HEAD));
}

static void planted_faults_are_found_and_nothing_else(void **state)
{
	glob_t found;

	(void)state;
	assert_int_equal(glob(FOLDERS, 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= 30);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		cleanup_free char *got = check(found.gl_pathv[i]);
		cleanup_free char *wanted = expected(found.gl_pathv[i]);

		if (strcmp(got, wanted) != 0)
			fail_msg("%s: found %s instead of %s", found.gl_pathv[i], got, wanted);
	}
	globfree(&found);
}

static char *check_text(const char *text)
{
	char path[] = "/tmp/disinto-compose-XXXXXX";
	int fd = mkstemp(path);
	char *got;

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text), NULL), 0);
	close(fd);
	got = check(path);
	unlink(path);
	return got;
}

static void our_own_file_has_no_finding(void **state)
{
	static const struct compose_input inputs[] = {
	    {"identity_file", "DISINTO_IDENTITY_FILE", "./identity.age"},
	    {"approval.forge_token_file", "DISINTO_APPROVAL_FORGE_TOKEN_FILE", "./forge-token"},
	};
	const struct compose_site site = {.version = "1.2.3", .inputs = inputs, .n_inputs = 2, .repo = "./ops.git"};
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *got = NULL;

	(void)state;
	compose_text(&site, &text);
	got = check_text(text.data);
	assert_string_equal(got, "nothing");
}

/* A service of our own file that is given the socket beside it is found: the check does not pass for want of looking. */
static void our_own_file_with_a_fault_has_one(void **state)
{
	const struct compose_site site = {.version = "1.2.3"};
	cleanup_json json_t *model = compose_model(&site);
	json_t *agents = json_object_get(json_object_get(model, "services"), "agents");
	cleanup_free char *text = NULL;
	cleanup_free char *got = NULL;

	(void)state;
	json_array_append_new(json_object_get(agents, "volumes"), json_string("${DOCKER_SOCKET:-/var/run/docker.sock}:/s"));
	json_array_append_new(json_object_get(agents, "networks"), json_string("control"));
	text = json_dumps(model, 0);
	got = check_text(text);
	assert_string_equal(got, "socket agents; control-plane agents");
}

static void what_can_not_be_read_is_an_error(void **state)
{
	static const char *const gone = "/nonexistent/docker-compose.yml";
	cleanup_json json_t *findings = NULL;
	cleanup_err struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(compose_check(&gone, 1, &findings, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_null(findings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(planted_faults_are_found_and_nothing_else),
	    cmocka_unit_test(our_own_file_has_no_finding),
	    cmocka_unit_test(our_own_file_with_a_fault_has_one),
	    cmocka_unit_test(what_can_not_be_read_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
