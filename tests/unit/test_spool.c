/* The spool on a real disk. */
#include "dispatcher/core_role/spool.h"
#include "dispatcher/core_role/transcript.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "tests/scratch.h"
#include "vault/frame.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char path[64];
	int spool, lock;
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);

	snprintf(p->path, sizeof p->path, "/tmp/disinto-spool.XXXXXX");
	if (!scratch_dir(p->path) || spool_open(p->path, &p->spool, &p->lock, NULL) < 0)
		return -1;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	close(p->spool);
	close(p->lock);
	dir_remove_at(AT_FDCWD, p->path, NULL);
	free(p);
	return 0;
}

static struct run *make_run(const char *id)
{
	struct run *r = run_new(id);
	cleanup_json json_t *a =
	    json_pack("{s:s, s:s, s:s, s:[s], s:{s:s}}", "id", id, "formula", "f", "context", "c", "secrets", "TOKEN", "inputs", "v", "1");
	cleanup_json json_t *f = json_pack("{s:s, s:[{s:s, s:s}]}", "name", "f", "steps", "id", "s", "run", "true");

	r->name = xstrdup("disinto-d1-x-1");
	r->claim = xstrdup("abcd");
	r->mine = json_pack("[s, s]", "ab", "abcd");
	r->won = true;
	r->commit = xstrdup("c1");
	r->action_blob = xstrdup("b1");
	r->formula_name = xstrdup("f");
	r->formula_blob = xstrdup("f1");
	r->image = xstrdup("sha256:1");
	r->started_ms = 1234567;
	r->secret_blobs = json_pack("{s:s}", "TOKEN", "5b");
	r->formula = xcalloc(1, sizeof *r->formula);
	assert_int_equal(action_from_json(id, a, &r->action, NULL), 0);
	assert_int_equal(formula_from_json("f", f, r->formula, NULL), 0);
	return r;
}

static void test_second_dispatcher_is_refused(void **state)
{
	struct place *p = *state;
	cleanup_err struct err err = ERR_INIT;
	int fd, lock;

	assert_int_equal(spool_open(p->path, &fd, &lock, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_non_null(strstr(err_msg(&err), "another dispatcher is running on it"));
}

static void test_id_is_made_once(void **state)
{
	struct place *p = *state;
	cleanup_free char *first = NULL, *second = NULL, *third = NULL;
	cleanup_err struct err err = ERR_INIT;

	assert_int_equal(spool_identify(p->spool, NULL, &first, NULL), 0);
	assert_int_equal(spool_identify(p->spool, NULL, &second, NULL), 0);
	assert_string_equal(first, second);
	assert_int_equal(spool_identify(p->spool, "other", &third, &err), -1);
	assert_non_null(strstr(err_msg(&err), "dispatcher_id: 'other' is not the id"));
}

static void test_newer_spool_is_refused(void **state)
{
	struct place *p = *state;
	cleanup_free char *id = NULL;
	cleanup_err struct err err = ERR_INIT;
	static const char newer[] = "{\"version\": 2, \"id\": \"d1\"}";

	assert_int_equal(file_write_at(p->spool, "dispatcher.json", newer, strlen(newer), 0600, NULL), 0);
	assert_int_equal(spool_identify(p->spool, NULL, &id, &err), -1);
	assert_non_null(strstr(err_msg(&err), "newer version"));
}

/* What the ledger may hold still: every incarnation since the last one that it is known to hold. */
static void test_incarnations(void **state)
{
	struct place *p = *state;
	cleanup_free char *id = NULL, *a = NULL, *b = NULL, *c = NULL, *d = NULL;
	cleanup_json json_t *none = NULL, *one = NULL, *two = NULL, *after = NULL;

	assert_int_equal(spool_identify(p->spool, "d1", &id, NULL), 0);
	assert_int_equal(spool_incarnate(p->spool, &a, &none, NULL), 0);
	assert_int_equal(json_array_size(none), 0);
	assert_int_equal(spool_incarnate(p->spool, &b, &one, NULL), 0);
	assert_string_not_equal(a, b);
	assert_string_equal(json_string_value(json_array_get(one, 0)), a);
	assert_int_equal(spool_incarnate(p->spool, &c, &two, NULL), 0);
	assert_string_equal(json_string_value(json_array_get(two, 0)), a);
	assert_string_equal(json_string_value(json_array_get(two, 1)), b);
	assert_int_equal(spool_incarnated(p->spool, NULL), 0);
	assert_int_equal(spool_incarnate(p->spool, &d, &after, NULL), 0);
	assert_int_equal(json_array_size(after), 1);
	assert_string_equal(json_string_value(json_array_get(after, 0)), c);
	cleanup_free char *again = NULL;
	assert_int_equal(spool_identify(p->spool, NULL, &again, NULL), 0);
	assert_string_equal(again, "d1");
}

static void test_many_starts_without_an_answer(void **state)
{
	struct place *p = *state;
	cleanup_free char *id = NULL, *first = NULL, *last = NULL;
	cleanup_json json_t *former = NULL;

	assert_int_equal(spool_identify(p->spool, "d1", &id, NULL), 0);
	assert_int_equal(spool_incarnate(p->spool, &first, &former, NULL), 0);
	for (int i = 0; i < 1010; i++) {
		json_decref(former);
		free(last);
		last = NULL;
		assert_int_equal(spool_incarnate(p->spool, &last, &former, NULL), 0);
	}
	assert_int_equal(json_array_size(former), 1000);
	assert_string_equal(json_string_value(json_array_get(former, 0)), first);
}

struct found {
	int n, n_bad;
	struct run *last;
	char *why;
};

static void found_run(struct run *r, void *arg)
{
	struct found *f = arg;
	run_free(f->last);
	f->last = r;
	f->n++;
}

static void found_bad(const char *id, const char *why, void *arg)
{
	struct found *f = arg;
	(void)id;
	free(f->why);
	f->why = xstrdup(why);
	f->n_bad++;
}

static void test_every_state_comes_back(void **state)
{
	struct place *p = *state;

	for (enum journal j = JOURNAL_CLAIMED; j <= JOURNAL_RECORDED; j++) {
		struct run *r = make_run("a");
		struct found f = {0};
		r->halt = HALT_CANCEL;
		r->halt_reason = xstrdup("cancelled by an operator");
		assert_int_equal(spool_save(p->spool, r, j, NULL), 0);
		assert_int_equal(spool_load(p->spool, found_run, found_bad, &f, NULL), 0);
		assert_int_equal(f.n, 1);
		assert_int_equal(f.n_bad, 0);
		assert_int_equal(f.last->journal, j);
		assert_int_equal(f.last->halt, HALT_CANCEL);
		assert_string_equal(f.last->halt_reason, "cancelled by an operator");
		cleanup_json json_t *before = spool_state_json(r, j), *after = spool_state_json(f.last, j);
		assert_true(json_equal(before, after));
		run_free(f.last);
		run_free(r);
	}
}

static void test_damaged_state_is_told_and_disturbs_nobody(void **state)
{
	struct place *p = *state;
	static const char *const damaged[] = {"{",
	                                      "[]",
	                                      "{\"version\":1,\"id\":\"b\",\"state\":\"going\",\"attempt\":1}",
	                                      "{\"version\":1,\"id\":\"a\",\"state\":\"gone\",\"attempt\":1}",
	                                      "{\"version\":1,\"id\":\"a\",\"state\":\"going\",\"attempt\":1}",
	                                      "{\"version\":2,\"id\":\"a\",\"state\":\"claimed\",\"attempt\":1}"};
	struct run *good = make_run("good");

	assert_int_equal(spool_save(p->spool, good, JOURNAL_CLAIMED, NULL), 0);
	assert_int_equal(mkdirat(p->spool, "runs/a", 0700), 0);
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		struct found f = {0};
		assert_int_equal(file_write_at(p->spool, "runs/a/state.json", damaged[i], strlen(damaged[i]), 0600, NULL), 0);
		assert_int_equal(spool_load(p->spool, found_run, found_bad, &f, NULL), 0);
		assert_int_equal(f.n, 1);
		assert_int_equal(f.n_bad, 1);
		assert_non_null(strstr(f.why, "runs/a/state.json"));
		run_free(f.last);
		free(f.why);
	}
	run_free(good);
}

static void test_folder_without_a_state_is_nothing(void **state)
{
	struct place *p = *state;
	struct found f = {0};

	assert_int_equal(mkdirat(p->spool, "runs/a", 0700), 0);
	assert_int_equal(spool_load(p->spool, found_run, found_bad, &f, NULL), 0);
	assert_int_equal(f.n + f.n_bad, 0);
}

static json_t *outputs_of(const struct run *r, struct transcript *t)
{
	cleanup_free char *text = transcript_result(r, t, "d1");
	cleanup_json json_t *result = json_loads(text, 0, NULL);

	return json_incref(json_object_get(result, "outputs"));
}

static void say_output(struct transcript *t, const char *name, const char *value)
{
	cleanup_json json_t *message = json_pack("{s:s, s:s, s:s}", "step", "s", "name", name, "value", value);

	transcript_output(t, message);
}

static void test_outputs_are_bounded(void **state)
{
	struct place *p = *state;
	struct run *r = make_run("a");
	struct transcript *t = NULL;
	cleanup_free char *huge = xcalloc(1, OUTPUT_VALUE_MAX + 2);

	memset(huge, 'x', OUTPUT_VALUE_MAX + 1);
	assert_int_equal(transcript_begin(p->spool, "a", false, &t, NULL), 0);
	say_output(t, "version", "1");
	say_output(t, "Version", "no name of an input");
	say_output(t, "huge", huge);
	say_output(t, "version", "2");
	cleanup_json json_t *few = outputs_of(r, t);
	assert_int_equal(json_object_size(few), 1);
	assert_string_equal(json_string_value(json_object_get(few, "version")), "2");

	for (int i = 0; i < OUTPUTS_MAX; i++) {
		cleanup_free char *name = xasprintf("n%d", i);
		say_output(t, name, "x");
	}
	say_output(t, "version", "3");
	cleanup_json json_t *many = outputs_of(r, t);
	assert_int_equal(json_object_size(many), OUTPUTS_MAX);
	assert_string_equal(json_string_value(json_object_get(many, "version")), "3");
	transcript_free(t);
	run_free(r);
}

static void test_transcript_becomes_a_result(void **state)
{
	struct place *p = *state;
	struct run *r = make_run("a");
	struct transcript *t = NULL;
	cleanup_json json_t *end = json_pack("{s:s, s:s, s:i, s:i}", "step", "s", "state", "end", "exit_code", 7, "duration_ms", 12);
	cleanup_json json_t *start = json_pack("{s:s, s:s}", "step", "s", "state", "start");

	assert_int_equal(transcript_begin(p->spool, "a", false, &t, NULL), 0);
	transcript_step(t, start);
	assert_string_equal(transcript_current_step(t), "s");
	transcript_log(t, "hello ", 6);
	transcript_log(t, "world\n", 6);
	transcript_step(t, end);
	assert_null(transcript_current_step(t));
	assert_int_equal(transcript_sync(t, NULL), 0);
	r->has_outcome = true;
	r->outcome = OUTCOME_FAILED;
	r->has_exit_code = true;
	r->exit_code = 7;
	r->reason = xstrdup("a step failed");
	cleanup_free char *text = transcript_result(r, t, "d1");
	cleanup_json json_t *result = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(result, "logs")), "hello world\n");
	assert_int_equal(json_integer_value(json_object_get(result, "log_bytes")), 12);
	/* sha256sum of the same twelve bytes */
	assert_string_equal(json_string_value(json_object_get(result, "log_sha256")),
	                    "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(result, "steps"), 0), "exit_code")), 7);
	assert_string_equal(json_string_value(json_object_get(result, "outcome")), "failed");
	transcript_free(t);
	run_free(r);
}

/* guard: transcript_log's answer to a write that fails; the result must come out all the same */
static void test_log_that_a_full_disk_cut(void **state)
{
	struct place *p = *state;
	struct run *r = make_run("a");
	struct transcript *t = NULL;
	struct rlimit before, small;
	cleanup_buf struct buf log = BUF_INIT;

	assert_int_equal(transcript_begin(p->spool, "a", false, &t, NULL), 0);
	transcript_log(t, "hello\n", 6);
	getrlimit(RLIMIT_FSIZE, &before);
	small = (struct rlimit){.rlim_cur = 8, .rlim_max = before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	transcript_log(t, "world\n", 6);
	setrlimit(RLIMIT_FSIZE, &before);
	transcript_log(t, "late\n", 5);
	assert_int_equal(transcript_sync(t, NULL), 0);
	assert_int_equal(file_read_at(p->spool, "runs/a/log", 100, &log, NULL), 0);
	assert_string_equal(log.data, "hello\n");
	cleanup_free char *text = transcript_result(r, t, "d1");
	cleanup_json json_t *result = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(result, "logs")), "hello\n");
	assert_int_equal(json_integer_value(json_object_get(result, "log_bytes")), 6);
	assert_true(json_is_true(json_object_get(result, "log_truncated")));
	transcript_free(t);
	run_free(r);
}

static void follow_again(struct place *p, const char *text, const char *want, bool whole)
{
	struct run *r = make_run("a");
	struct transcript *t = NULL;
	cleanup_buf struct buf log = BUF_INIT;
	unsigned char digest[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof digest + 1];

	assert_int_equal(transcript_begin(p->spool, "a", true, &t, NULL), 0);
	for (const char *c = text; *c; c++) /* in other pieces than before */
		transcript_log(t, c, 1);
	assert_int_equal(transcript_sync(t, NULL), 0);
	assert_int_equal(file_read_at(p->spool, "runs/a/log", 100, &log, NULL), 0);
	assert_string_equal(log.data, want);
	cleanup_free char *result_text = transcript_result(r, t, "d1");
	cleanup_json json_t *result = json_loads(result_text, 0, NULL);
	crypto_hash_sha256(digest, (const unsigned char *)want, strlen(want));
	assert_string_equal(json_string_value(json_object_get(result, "log_sha256")),
	                    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest));
	assert_int_equal(json_integer_value(json_object_get(result, "log_bytes")), strlen(want));
	assert_string_equal(json_string_value(json_object_get(result, "logs")), want);
	assert_int_equal(json_is_true(json_object_get(result, "log_truncated")), !whole);
	transcript_free(t);
	run_free(r);
}

/* A container that is followed again after a restart: the same bytes, more of them, or, where it is gone, none. guard: keep_the_rest and pass_over in dispatcher/core_role/transcript.c */
static void test_following_again_loses_nothing(void **state)
{
	struct place *p = *state;
	struct transcript *t = NULL;
	cleanup_buf struct buf log = BUF_INIT;

	assert_int_equal(transcript_begin(p->spool, "a", false, &t, NULL), 0);
	transcript_log(t, "one two", 7);
	transcript_free(t);
	follow_again(p, "one two three", "one two three", true);
	follow_again(p, "", "one two three", false);
	follow_again(p, "one", "one two three", false);
	follow_again(p, "one tomato", "one tomato", true); /* what can't be: the container has the last word */

	cleanup_fd int fd = -1;
	assert_int_equal(spool_log(p->spool, "a", O_WRONLY | O_APPEND, &fd, NULL), 0);
	assert_int_equal(write(fd, " soup\0\0\0", 8), 8); /* what a loss of power leaves */
	follow_again(p, "one", "one tomato soup", false);

	assert_int_equal(transcript_begin(p->spool, "a", false, &t, NULL), 0); /* another container */
	transcript_log(t, "other", 5);
	transcript_free(t);
	assert_int_equal(file_read_at(p->spool, "runs/a/log", 100, &log, NULL), 0);
	assert_string_equal(log.data, "other");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_second_dispatcher_is_refused),
	    T(test_id_is_made_once),
	    T(test_newer_spool_is_refused),
	    T(test_incarnations),
	    T(test_many_starts_without_an_answer),
	    T(test_every_state_comes_back),
	    T(test_damaged_state_is_told_and_disturbs_nobody),
	    T(test_folder_without_a_state_is_nothing),
	    T(test_transcript_becomes_a_result),
	    T(test_outputs_are_bounded),
	    T(test_log_that_a_full_disk_cut),
	    T(test_following_again_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
