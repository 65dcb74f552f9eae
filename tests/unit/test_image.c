#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/image.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LEN(a) (sizeof(a) / sizeof(*(a)))
#define HEX64 "5a1c00000000000000000000000000000000000000000000000000000000beef"
#define SHA "sha256:" HEX64
#define HUB "docker.io/library/"

static void one_spelling(void **state)
{
	static const char *const table[][2] = {
	    {"debian", HUB "debian:latest"},
	    {"debian:bookworm", HUB "debian:bookworm"},
	    {"library/debian", HUB "debian:latest"},
	    {"docker.io/debian", HUB "debian:latest"},
	    {"docker.io/library/debian", HUB "debian:latest"},
	    {"index.docker.io/debian", HUB "debian:latest"},
	    {"index.docker.io/library/debian:12", HUB "debian:12"},
	    {"disinto/runner", "docker.io/disinto/runner:latest"},
	    {"registry.example/a", "registry.example/a:latest"},
	    {"registry.example/a/b:1.0", "registry.example/a/b:1.0"},
	    {"registry.example:5000/a", "registry.example:5000/a:latest"},
	    {"registry.example:5000/a:5000", "registry.example:5000/a:5000"},
	    {"localhost/a", "localhost/a:latest"},
	    {"localhostess/a", "docker.io/localhostess/a:latest"},
	    {"debian@" SHA, HUB "debian@" SHA},
	    {"debian:bookworm@" SHA, HUB "debian@" SHA}, /* Docker does not look at the tag */
	    {"registry.example:5000/a:1@" SHA, "registry.example:5000/a@" SHA},
	    {SHA, SHA},
	    {HEX64, SHA}, /* Docker would look for an image of that id */
	    {"5a1c00000000", HUB "5a1c00000000:latest"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_free char *got = NULL, *again = NULL;
		cleanup_err struct err err = ERR_INIT;

		if (image_normalise(table[i][0], &got, &err) != 0)
			fail_msg("%s: %s", table[i][0], err_msg(&err));
		assert_string_equal(got, table[i][1]);
		assert_int_equal(image_normalise(got, &again, NULL), 0);
		assert_string_equal(again, got);
		assert_int_equal(image_is_pinned(got), strstr(got, "sha256:") != NULL);
	}
}

static void no_references(void **state)
{
	static const char *const table[][2] = {
	    {"", "name"},
	    {"debian:", "tag"},
	    {"debian:a:b", "tag"},
	    {"debian:.a", "tag"},
	    {"debian@", "digest"},
	    {"debian@" HEX64, "digest"},
	    {"debian@sha256:5a1c", "digest"},
	    {"debian@" SHA "@" SHA, "digest"},
	    {"debian@md5:" HEX64, "digest"},
	    {"a@b.c/d", "digest"},
	    {"a//b", "name"},
	    {"a/", "name"},
	    {"a/../b", "name"},
	    {"a-/b", "name"},
	    {"a/B", "name"},
	    {"aB", "name"},
	    {"registry.example/", "name"},
	    {"registry.example:port/a", "registry"},
	    {"registry.example:5000:1/a", "registry"},
	    {"a*", "name"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_free char *got = NULL;
		cleanup_err struct err err = ERR_INIT;

		if (image_normalise(table[i][0], &got, &err) == 0)
			fail_msg("'%s' became %s", table[i][0], got);
		assert_non_null(strstr(err_msg(&err), table[i][1]));
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(got);
	}
}

static void patterns(void **state)
{
	static const char *const table[][2] = {
	    {"*", "*"},
	    {"debian", HUB "debian:latest"},
	    {"debian:*", HUB "debian:*"},
	    {"docker.io/debian:*", HUB "debian:*"},
	    {"deb*", HUB "deb*"},
	    {"docker.io/*", "docker.io/*"},
	    {"docker.io/library/*", "docker.io/library/*"},
	    {"team/*", "docker.io/team/*"},
	    {"registry.example/*", "registry.example/*"},
	    {"registry.example:5000/*", "registry.example:5000/*"},
	    {"registry.example/team/app", "registry.example/team/app:latest"},
	    {"registry.example/*/app", "registry.example/*/app:latest"},
	    {"registry.example/app:v1.*", "registry.example/app:v1.*"},
	    {"debian@sha256:*", HUB "debian@sha256:*"},
	    {"debian:12@" SHA, HUB "debian@" SHA},
	    {HEX64, SHA},
	};
	static const char *const bad[] = {"registry.example*",   "registry.*/a",      "*.example/a",  "registry.example:*/a", "debian:*:*",
	                                  "registry.example//*", "registry.example/", "debian@*foo!", "debian@sha256:5a1c",   "a/*/../b"};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_free char *got = NULL, *again = NULL;
		cleanup_err struct err err = ERR_INIT;

		if (image_pattern_normalise(table[i][0], &got, &err) != 0)
			fail_msg("%s: %s", table[i][0], err_msg(&err));
		assert_string_equal(got, table[i][1]);
		assert_int_equal(image_pattern_normalise(got, &again, NULL), 0);
		assert_string_equal(again, got);
	}
	for (size_t i = 0; i < LEN(bad); i++) {
		cleanup_free char *got = NULL;

		if (check_image_pattern.is(bad[i]) && image_pattern_normalise(bad[i], &got, NULL) == 0)
			fail_msg("'%s' became %s", bad[i], got);
	}
}

static void matching(void **state)
{
	static const struct {
		const char *pattern, *image;
		bool covers;
	} table[] = {
	    {"registry.example/*", "registry.example/a/b:tag", true},
	    {"registry.example/*", "registry.example/a", true},
	    {"registry.example/*", "registry.example/a@" SHA, true},
	    {"registry.example/*", "registry.example:5000/a", false},
	    {"registry.example/*", "registry.example.evil/a", false},
	    {"registry.example/*", "evil/registry.example/a", false},
	    {"registry.example/*", "debian", false},
	    {"docker.io/library/debian:*", "debian", true},
	    {"docker.io/library/debian:*", "debian:12", true},
	    {"docker.io/library/debian:*", "index.docker.io/debian:12", true},
	    {"docker.io/library/debian:*", "debian@" SHA, true},
	    {"docker.io/library/debian:*", "debian:12@" SHA, true},
	    {"docker.io/library/debian:*", "debian/debian:12", false},
	    {"docker.io/library/debian:*", "evil.example/library/debian:12", false},
	    {"docker.io/library/debian:*", "debianx:12", false},
	    {"docker.io/library/debian:*", "debianx@" SHA, false},
	    {"debian", "debian:latest", true},
	    {"debian", "debian:12", false},
	    /* which tag a digest belongs to can't be seen */
	    {"debian:12", "debian:12@" SHA, false},
	    {"debian:12", "debian@" SHA, false},
	    {"debian:1*", "debian:12@" SHA, false},
	    {"deb*:12", "debian@" SHA, false},
	    {"deb*", "debian@" SHA, true},
	    {"debian@" SHA, "debian@" SHA, true},
	    {"debian@" SHA, "debian:12@" SHA, true},
	    {"debian@" SHA, "debian:12", false},
	    {"debian@sha256:5*", "debian@" SHA, true},
	    {"debian@sha256:6*", "debian@" SHA, false},
	    {"debian@sha256:*", "debian:latest", false},
	    {"*", "debian", true},
	    {"*", SHA, true},
	    {"sha256*", SHA, false},
	    {SHA, HEX64, true},
	    {SHA, "debian@" SHA, false},
	    {"docker.io/*", SHA, false},
	    {"registry.example/a*b*c:*", "registry.example/axbxbxc:1", true},
	    {"registry.example/a*b*c:*", "registry.example/axbxbx:1", false},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		cleanup_free char *pattern = NULL, *image = NULL;

		assert_int_equal(image_pattern_normalise(table[i].pattern, &pattern, NULL), 0);
		assert_int_equal(image_normalise(table[i].image, &image, NULL), 0);
		if (image_matches(image, pattern) != table[i].covers)
			fail_msg("%s and %s", table[i].pattern, table[i].image);
	}
}

/* The worst that a pattern can do is steps in proportion to both lengths, not more for each star. */
static void many_stars(void **state)
{
	char pattern[301] = "registry.example/", image[501] = "registry.example/";

	(void)state;
	for (size_t i = strlen(pattern); i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 3);
	memset(image + strlen(image), 'a', sizeof(image) - 1 - strlen(image));
	assert_true(image_matches(image, pattern));
	image[sizeof(image) - 2] = 'b';
	assert_false(image_matches(image, pattern));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_spelling), cmocka_unit_test(no_references), cmocka_unit_test(patterns),
	    cmocka_unit_test(matching),     cmocka_unit_test(many_stars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
