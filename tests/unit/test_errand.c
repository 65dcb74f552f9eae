/* Calls of the forge that a thread of the git role makes. */
#include "dispatcher/git/errand.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/git_remote.h"
#include "tests/forge.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SOON_MS 20000 /* a bound against hanging, not a measurement */
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define REPO "/repos/org/ops"

struct site {
	struct fake_forge *fake;
	struct config config;
	struct errands *errands;
};

static int setup(void **state)
{
	struct site *s = xcalloc(1, sizeof *s);

	s->fake = fake_forge_start(NULL);
	s->config.file = "dispatcher.yaml";
	s->config.branch = "main";
	s->config.ops_repo = "https://forge.example/org/ops.git";
	s->config.approval.forge_url = (char *)(uintptr_t)fake_forge_url(s->fake);
	s->errands = errands_new(&s->config);
	*state = s;
	return s->fake ? 0 : -1;
}

static int teardown(void **state)
{
	struct site *s = *state;

	errands_free(s->errands);
	assert_null(fake_forge_violation(s->fake));
	fake_forge_stop(s->fake);
	free(s);
	return 0;
}

/* The next one that is done. */
static struct errand *wait_for(struct site *s)
{
	struct pollfd fd = {.fd = errands_fd(s->errands), .events = POLLIN};

	assert_int_equal(poll(&fd, 1, SOON_MS), 1);
	struct errand *errand = errands_take(s->errands);
	assert_non_null(errand);
	return errand;
}

static json_t *pull(int number, const char *branch)
{
	return json_pack("{s:i, s:s, s:s, s:{s:s}, s:{s:s, s:s, s:i}, s:{s:s, s:i}, s:b, s:n}", "number", number, "html_url",
	                 "https://forge.example/org/ops/pulls/7", "state", "open", "user", "login", "agent", "head", "ref", branch, "sha",
	                 COMMIT, "repo_id", 1, "base", "ref", "main", "repo_id", 1, "merged", 0, "merge_commit_sha");
}

static void test_nothing_is_done_unasked(void **state)
{
	struct site *s = *state;
	struct pollfd fd = {.fd = errands_fd(s->errands), .events = POLLIN};

	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_null(errands_take(s->errands));
}

static void test_in_their_order(void **state)
{
	struct site *s = *state;
	struct pollfd fd = {.fd = errands_fd(s->errands), .events = POLLIN};

	fake_forge_answer(s->fake, "GET", REPO "/pulls", 200, json_array());
	for (int i = 0; i < 3; i++)
		errands_send(s->errands, errand_new(i == 1 ? ERRAND_CLOSE : ERRAND_PULLS, "a", i));
	for (int i = 0; i < 3; i++) {
		cleanup_errand struct errand *errand = wait_for(s);
		assert_int_equal(errand->ask, i);
		assert_int_equal(errand->rc, 0);
		assert_int_equal(errand->pulls.n, 0);
	}
	assert_int_equal(poll(&fd, 1, 0), 0);
}

/* A request that is closed already is as good as one that is closed now. */
static void test_close(void **state)
{
	struct site *s = *state;

	cleanup_json json_t *open = json_pack("[o]", pull(7, "vault/a"));
	fake_forge_answer(s->fake, "GET", REPO "/pulls", 200, json_incref(open));
	fake_forge_answer(s->fake, "PATCH", REPO "/pulls/7", 201, pull(7, "vault/a"));
	errands_send(s->errands, errand_new(ERRAND_CLOSE, "a", 1));
	cleanup_errand struct errand *errand = wait_for(s);
	assert_int_equal(errand->rc, 0);
	cleanup_json json_t *body = fake_forge_body(s->fake, "PATCH", REPO "/pulls/7");
	assert_string_equal(json_string_value(json_object_get(body, "state")), "closed");
}

static struct errand *new_report(bool last_try)
{
	struct errand *errand = errand_new(ERRAND_REPORT, "a", -1);

	errand->report = (struct report){.commit = xstrdup(COMMIT),
	                                 .marker = xstrdup("<!-- a -->"),
	                                 .text = xstrdup("done <!-- a -->"),
	                                 .context = xstrdup("disinto/a"),
	                                 .state = xstrdup("success"),
	                                 .description = xstrdup("succeeded")};
	errand->last_try = last_try;
	return errand;
}

/* A merge that the forge does not know is asked for again; one that it goes on not to know came by no request, and gets its status. */
static void test_report_without_a_request(void **state)
{
	struct site *s = *state;

	fake_forge_answer(s->fake, "GET", "/user", 200, json_pack("{s:s}", "login", "bot"));
	fake_forge_answer(s->fake, "GET", REPO "/commits/" COMMIT "/pull", 404, json_object());
	fake_forge_answer(s->fake, "GET", REPO "/statuses/" COMMIT, 200, json_array());
	fake_forge_answer(s->fake, "POST", REPO "/statuses/" COMMIT, 201, json_object());
	errands_send(s->errands, new_report(false));
	cleanup_errand struct errand *first = wait_for(s);
	assert_int_equal(first->rc, -1);
	assert_int_equal(first->err.code, ERR_NOT_FOUND);
	assert_int_equal(fake_forge_count(s->fake, REPO "/statuses/" COMMIT), 0);
	errands_send(s->errands, new_report(true));
	cleanup_errand struct errand *last = wait_for(s);
	assert_int_equal(last->rc, 0);
	cleanup_json json_t *status = fake_forge_body(s->fake, "POST", REPO "/statuses/" COMMIT);
	assert_string_equal(json_string_value(json_object_get(status, "context")), "disinto/a");
}

/* guard: look_at_protection in dispatcher/git/errand.c */
static void test_protection_of_the_ledger(void **state)
{
	struct site *s = *state;

	fake_forge_answer(s->fake, "GET", "/user", 200, json_pack("{s:s}", "login", "bot"));
	fake_forge_answer(s->fake, "GET", REPO "/branch_protections/disinto-ledger", 404, json_object());
	errands_send(s->errands, errand_new(ERRAND_PROTECTION, "", -1));
	cleanup_errand struct errand *open = wait_for(s);
	assert_int_equal(open->rc, 0);
	assert_string_equal(json_string_value(json_array_get(open->findings, 0)),
	                    "disinto-ledger: is not protected: everybody who may write can push to it");
	fake_forge_answer(s->fake, "GET", REPO "/branch_protections/disinto-ledger", 200,
	                  json_pack("{s:b, s:b, s:[s], s:b, s:b}", "enable_push", 1, "enable_push_whitelist", 1, "push_whitelist_usernames",
	                            "bot", "enable_merge_whitelist", 1, "apply_to_admins", 1));
	errands_send(s->errands, errand_new(ERRAND_PROTECTION, "", -1));
	cleanup_errand struct errand *closed = wait_for(s);
	assert_int_equal(closed->rc, 0);
	assert_int_equal(json_array_size(closed->findings), 0);
	fake_forge_answer(s->fake, "GET", REPO "/branch_protections/disinto-ledger", 403, json_object());
	errands_send(s->errands, errand_new(ERRAND_PROTECTION, "", -1));
	cleanup_errand struct errand *secretive = wait_for(s);
	assert_int_equal(secretive->rc, -1);
}

static void test_without_a_forge(void **state)
{
	struct site *s = *state;

	s->config.approval.forge_url = NULL;
	errands_send(s->errands, errand_new(ERRAND_PULLS, "", -1));
	cleanup_errand struct errand *errand = wait_for(s);
	assert_int_equal(errand->rc, -1);
	assert_string_equal(err_msg(&errand->err), "approval.forge_url: is not set in dispatcher.yaml");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_nothing_is_done_unasked),  T(test_in_their_order),           T(test_close),
	                                   T(test_report_without_a_request), T(test_protection_of_the_ledger), T(test_without_a_forge)};

	if (git_remote_setup(NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
