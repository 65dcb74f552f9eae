/* The webhook's signature. The values were made with: printf %s '{"ref":"refs/heads/main"}' | openssl dgst -sha256 -hmac 'a secret of a forge' */
#include "dispatcher/web/hook.h"
#include "lib/buf.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY "{\"ref\":\"refs/heads/main\"}"
#define GOOD "58af0310257acdac3cef4fe590ca985a24f77f52d63328e6af26246939b9de12"

static struct hook_secret secret_of(const char *text)
{
	struct hook_secret s = {NULL, 0};
	int fd = memfd_create("secret", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	if (hook_secret_read(fd, &s, NULL) < 0)
		assert_null(s.bytes);
	close(fd);
	return s;
}

static const char *header_of(const char *name, void *arg)
{
	const char *const *pairs = arg;

	for (; pairs[0]; pairs += 2)
		if (strcmp(pairs[0], name) == 0)
			return pairs[1];
	return NULL;
}

static bool is_signed(const struct hook_secret *s, const char *body, const char *const *pairs)
{
	return hook_is_signed(s, body, strlen(body), header_of, (void *)(uintptr_t)pairs);
}

static void test_all_four_headers_are_taken(void **state)
{
	(void)state;
	static const char *const pairs[][3] = {{"X-Forgejo-Signature", GOOD},
	                                       {"X-Gitea-Signature", GOOD},
	                                       {"X-Gogs-Signature", GOOD},
	                                       {"X-Hub-Signature-256", "sha256=" GOOD}};
	struct hook_secret s = secret_of("a secret of a forge\n");

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		assert_true(is_signed(&s, BODY, pairs[i]));
		assert_false(is_signed(&s, BODY " ", pairs[i]));
	}
	hook_secret_free(&s);
}

static void test_anything_else_is_not_signed(void **state)
{
	(void)state;
	static const char *const none[] = {NULL}, *const empty[] = {"X-Gitea-Signature", "", NULL},
	                         *const bare[] = {"X-Hub-Signature-256", GOOD, NULL},
	                         *const prefixed[] = {"X-Gitea-Signature", "sha256=" GOOD, NULL},
	                         *const one_wrong[] = {"X-Gitea-Signature", GOOD, "X-Gogs-Signature", "00", NULL},
	                         *const longer[] = {"X-Gitea-Signature", GOOD "0", NULL},
	                         *const sha1[] = {"X-Hub-Signature", "sha1=" GOOD, NULL};
	static const char *const *const all[] = {none, empty, bare, prefixed, one_wrong, longer, sha1};
	struct hook_secret s = secret_of("a secret of a forge");

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		assert_false(is_signed(&s, BODY, all[i]));
	hook_secret_free(&s);
}

static void test_empty_and_short_secrets_are_refused(void **state)
{
	(void)state;
	static const char *const short_ones[] = {"", "\n", "short", "fifteen bytes!!\n"};
	static const char *const pairs[] = {"X-Gitea-Signature", GOOD, NULL};

	for (size_t i = 0; i < sizeof(short_ones) / sizeof(*short_ones); i++) {
		struct hook_secret s = secret_of(short_ones[i]);
		assert_null(s.bytes);
		assert_false(is_signed(&s, BODY, pairs)); /* nothing is signed where there is no secret */
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_four_headers_are_taken),
	    cmocka_unit_test(test_anything_else_is_not_signed),
	    cmocka_unit_test(test_empty_and_short_secrets_are_refused),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
