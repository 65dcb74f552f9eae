/* Which version of its API an engine is spoken to in. */
#include "lib/cleanup.h"
#include "lib/docker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_prefix(void **state)
{
	(void)state;
	static const struct {
		const char *version, *prefix;
	} rows[] = {
	    {"{}", "/v1.41"},
	    {"{\"MinAPIVersion\": \"1.12\"}", "/v1.41"},
	    {"{\"MinAPIVersion\": \"1.41\"}", "/v1.41"},
	    {"{\"MinAPIVersion\": \"1.44\"}", "/v1.44"},
	    {"{\"MinAPIVersion\": \"2.0\"}", "/v1.41"},
	    {"{\"MinAPIVersion\": \"1.99999999\"}", "/v1.41"},
	    {"{\"MinAPIVersion\": \"new\"}", "/v1.41"},
	    {"{\"MinAPIVersion\": 1.44}", "/v1.41"},
	};
	char prefix[DOCKER_PREFIX_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cleanup_json json_t *version = json_loads(rows[i].version, 0, NULL);
		docker_prefix(version, prefix);
		assert_string_equal(prefix, rows[i].prefix);
	}
	docker_prefix(NULL, prefix);
	assert_string_equal(prefix, "/v1.41");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_prefix)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
