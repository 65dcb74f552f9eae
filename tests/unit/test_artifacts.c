/* Files that come out of a run, as frames, into the spool. */
#include "dispatcher/core_role/artifacts.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "run-1"

struct place {
	char path[64];
	int spool, lock;
	struct artifacts *a;
};

static void begin(struct place *p)
{
	artifacts_free(p->a);
	p->a = NULL;
	assert_int_equal(artifacts_begin(p->spool, ID, &p->a, NULL), 0);
}

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);

	snprintf(p->path, sizeof p->path, "/tmp/disinto-artifacts.XXXXXX");
	if (!mkdtemp(p->path) || spool_open(p->path, &p->spool, &p->lock, NULL) < 0)
		return -1;
	begin(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	artifacts_free(p->a);
	close(p->spool);
	close(p->lock);
	dir_remove_at(AT_FDCWD, p->path, NULL);
	free(p);
	return 0;
}

static void feed(struct place *p, json_t *frame)
{
	assert_non_null(frame);
	artifacts_frame(p->a, frame);
	json_decref(frame);
}

static void feed_begin(struct place *p, const char *name, size_t size)
{
	feed(p, json_pack("{s:s, s:s, s:I}", "t", "artifact", "name", name, "size", (json_int_t)size));
}

static void feed_data(struct place *p, const char *data, size_t len)
{
	for (size_t at = 0; at < len; at += ARTIFACT_PIECE) {
		size_t n = len - at < ARTIFACT_PIECE ? len - at : ARTIFACT_PIECE;
		size_t size = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL);
		cleanup_free char *text = xmalloc(size);
		sodium_bin2base64(text, size, (const unsigned char *)data + at, n, sodium_base64_VARIANT_ORIGINAL);
		feed(p, json_pack("{s:s, s:s}", "t", "artifact_data", "d", text));
	}
}

static char *hash(const char *data, size_t len)
{
	unsigned char digest[32];
	char *hex = xmalloc(65);

	crypto_hash_sha256(digest, (const unsigned char *)data, len);
	return sodium_bin2hex(hex, 65, digest, sizeof digest);
}

static void feed_end(struct place *p, const char *sha256)
{
	feed(p, json_pack("{s:s, s:s}", "t", "artifact_end", "sha256", sha256));
}

static void feed_file(struct place *p, const char *name, const char *data, size_t len)
{
	cleanup_free char *hex = hash(data, len);

	feed_begin(p, name, len);
	feed_data(p, data, len);
	feed_end(p, hex);
}

static bool is_file(const struct place *p, const char *name)
{
	cleanup_free char *path = xasprintf("%s/runs/" ID "/artifacts/%s", p->path, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

/* What was left out, as "name: reason" of the last one. */
static void expect_left_out(struct place *p, size_t kept, size_t n, const char *name, const char *reason)
{
	const json_t *list = artifacts_left_out(p->a);
	const json_t *last = json_array_get(list, n - 1);

	assert_int_equal(json_array_size(artifacts_kept(p->a)), kept);
	assert_int_equal(json_array_size(list), n);
	assert_string_equal(json_string_value(json_object_get(last, "name")), name);
	if (!strstr(json_string_value(json_object_get(last, "reason")), reason))
		fail_msg("%s lacks %s", json_string_value(json_object_get(last, "reason")), reason);
}

static void kept_with_digest(void **state)
{
	struct place *p = *state;
	cleanup_buf struct buf large = BUF_INIT, back = BUF_INIT;
	cleanup_fd int fd = -1;

	for (int i = 0; i < 30000; i++)
		buf_addc(&large, (char)(i * 7));
	feed_file(p, "large.bin", large.data, large.len);
	feed_file(p, "empty", "", 0);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	const json_t *first = json_array_get(artifacts_kept(p->a), 0);
	cleanup_free char *hex = hash(large.data, large.len);
	cleanup_json json_t *want = json_pack("{s:s, s:i, s:s}", "name", "large.bin", "bytes", 30000, "sha256", hex);
	assert_true(json_equal(first, want));
	assert_int_equal(json_array_size(artifacts_kept(p->a)), 2);
	assert_int_equal(json_array_size(artifacts_left_out(p->a)), 0);
	assert_int_equal(spool_artifact(p->spool, ID, "large.bin", &fd, NULL), 0);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(read(fd, buf_room(&back, 40000), 40000), 30000);
	assert_memory_equal(back.data, large.data, 30000);
}

/* The same log again: the same artifacts, each once. guard: spool_drop_artifacts in artifacts_begin */
static void read_again(void **state)
{
	struct place *p = *state;

	feed_file(p, "a", "one", 3);
	feed_begin(p, "half", 100); /* the reading breaks off here */
	feed_data(p, "xyz", 3);
	begin(p);
	assert_false(is_file(p, "a"));
	feed_file(p, "a", "one", 3);
	feed_file(p, "half", "whole", 5);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	assert_int_equal(json_array_size(artifacts_kept(p->a)), 2);
	assert_int_equal(json_array_size(artifacts_left_out(p->a)), 0);
	assert_true(is_file(p, "a") && is_file(p, "half"));
}

/* guard: vault_is_artifact in flaw() */
static void bad_names(void **state)
{
	struct place *p = *state;
	static const char *const names[] = {"..", ".", ".hidden", "a/b", "../state.json", "/etc/passwd", "-rf", "a b", "a\nb", ""};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		feed_file(p, names[i], "data", 4);
		expect_left_out(p, 0, i + 1, names[i], "its name is not");
	}
	assert_false(is_file(p, "a"));
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
}

/* guard: the comparisons in add_piece and end_file */
static void damaged(void **state)
{
	struct place *p = *state;
	cleanup_free char *hex = hash("data", 4);

	feed_begin(p, "short", 5);
	feed_data(p, "data", 4);
	feed_end(p, hex);
	expect_left_out(p, 0, 1, "short", "damaged");
	feed_begin(p, "long", 3);
	feed_data(p, "data", 4);
	expect_left_out(p, 0, 2, "long", "damaged"); /* at once: more than was announced is never written */
	feed_end(p, hex);
	expect_left_out(p, 0, 2, "long", "damaged");
	feed_begin(p, "other", 4);
	feed_data(p, "dat4", 4);
	feed_end(p, hex);
	expect_left_out(p, 0, 3, "other", "damaged");
	feed_begin(p, "no-base64", 4);
	feed(p, json_pack("{s:s, s:s}", "t", "artifact_data", "d", "da*a"));
	feed_end(p, hex);
	expect_left_out(p, 0, 4, "no-base64", "damaged");
	feed_begin(p, "cut", 4);
	feed_data(p, "da", 2);
	feed_file(p, "whole", "data", 4); /* begins before the other has ended */
	expect_left_out(p, 1, 5, "cut", "did not come whole");
	feed_begin(p, "cut-last", 4);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	expect_left_out(p, 1, 6, "cut-last", "did not come whole");
	static const char *const gone[] = {"short", "long", "other", "no-base64", "cut", "cut-last"};
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		assert_false(is_file(p, gone[i]));
	assert_true(is_file(p, "whole"));
}

static void nonsense(void **state)
{
	struct place *p = *state;

	feed(p, json_pack("{}"));
	feed(p, json_pack("{s:s}", "t", "artifact"));
	feed(p, json_pack("{s:s}", "t", "artifact_data"));
	feed(p, json_pack("{s:s}", "t", "artifact_end"));
	feed(p, json_pack("{s:s, s:s}", "t", "artifact", "name", "no-size"));
	feed(p, json_pack("{s:s, s:s, s:i}", "t", "artifact", "name", "negative", "size", -1));
	feed(p, json_pack("{s:s, s:s, s:s}", "t", "artifact", "name", "text", "size", "5"));
	feed(p, json_pack("{s:s, s:s, s:I}", "t", "artifact", "name", "huge", "size", (json_int_t)INT64_MAX));
	expect_left_out(p, 0, 4, "huge", "too large");
	artifacts_frame(p->a, NULL);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
}

/* guard: flaw() */
static void bounds(void **state)
{
	struct place *p = *state;
	char name[16];

	feed_file(p, "n", "data", 4);
	feed_file(p, "n", "again", 5);
	expect_left_out(p, 1, 1, "n", "one of that name");
	for (int i = 1; i < ARTIFACTS_MAX; i++) {
		snprintf(name, sizeof name, "n%d", i);
		feed_file(p, name, "data", 4);
	}
	feed_file(p, "one-more", "data", 4);
	expect_left_out(p, ARTIFACTS_MAX, 2, "one-more", "too many");
	begin(p);
	feed_begin(p, "most", ARTIFACTS_MAX_BYTES - 10);
	feed_begin(p, "rest", ARTIFACTS_MAX_BYTES - 10); /* what the first would have taken is free again */
	expect_left_out(p, 0, 1, "most", "did not come whole");
	begin(p);
	cleanup_free char *zeros = xcalloc(1, ARTIFACTS_MAX_BYTES);
	feed_file(p, "most", zeros, ARTIFACTS_MAX_BYTES - 10);
	feed_file(p, "over", zeros, 11);
	expect_left_out(p, 1, 1, "over", "too large");
	feed_file(p, "fits", zeros, 10);
	assert_int_equal(json_array_size(artifacts_kept(p->a)), 2);
	for (int i = 0; i < 1000; i++)
		feed(p, json_pack("{s:s, s:s, s:s}", "t", "artifact_left_out", "name", "x", "reason", "it holds a secret"));
	assert_int_equal(json_array_size(artifacts_left_out(p->a)), 2 * ARTIFACTS_MAX);
}

/* What the runner says of files that it did not send is foreign text. */
static void told_left_out(void **state)
{
	struct place *p = *state;
	cleanup_buf struct buf name = BUF_INIT;

	feed(p, json_pack("{s:s, s:s, s:s}", "t", "artifact_left_out", "name", "weird name", "reason", "its name is no artifact's"));
	expect_left_out(p, 0, 1, "weird name", "its name is no artifact's");
	for (int i = 0; i < 1000; i++)
		buf_adds(&name, "\xc3\xa4");
	feed(p, json_pack("{s:s, s:s, s:s}", "t", "artifact_left_out", "name", name.data, "reason", name.data));
	const json_t *last = json_array_get(artifacts_left_out(p->a), 1);
	assert_true(json_string_length(json_object_get(last, "name")) <= 256);
	assert_true(json_string_length(json_object_get(last, "reason")) <= 512);
}

/* Nothing that lies in the way is followed or written over; and no result may say that all is kept. guard: O_EXCL and O_NOFOLLOW in begin_file */
static void something_in_the_way(void **state)
{
	struct place *p = *state;
	cleanup_free char *link = xasprintf("%s/runs/" ID "/artifacts/link", p->path);
	cleanup_free char *outside = xasprintf("%s/outside", p->path);

	feed_file(p, "first", "data", 4);
	assert_int_equal(symlink(outside, link), 0);
	feed_file(p, "link", "data", 4);
	assert_int_equal(access(outside, F_OK), -1);
	expect_left_out(p, 1, 1, "link", "the dispatcher could not write it: File exists");
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	begin(p);
	feed_file(p, "link", "data", 4);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	assert_int_equal(access(outside, F_OK), -1);
}

/* A disk that is full costs files, not the result. */
static void disk_full(void **state)
{
	struct place *p = *state;
	struct rlimit old, tight;
	char data[20000] = {1};

	feed_file(p, "fits", "data", 4);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = (struct rlimit){10000, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	feed_file(p, "large", data, sizeof data);
	setrlimit(RLIMIT_FSIZE, &old);
	expect_left_out(p, 1, 1, "large", "the dispatcher could not write it");
	assert_false(is_file(p, "large"));
	feed_file(p, "after", data, sizeof data);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	assert_int_equal(json_array_size(artifacts_kept(p->a)), 2);
}

static void removed_with_the_run(void **state)
{
	struct place *p = *state;
	cleanup_free char *folder = xasprintf("%s/runs/" ID, p->path);

	feed_file(p, "a", "data", 4);
	assert_int_equal(artifacts_sync(p->a, NULL), 0);
	assert_int_equal(spool_remove(p->spool, ID, NULL), 0);
	assert_int_equal(access(folder, F_OK), -1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(kept_with_digest), T(read_again),
	    T(bad_names),        T(damaged),
	    T(nonsense),         T(bounds),
	    T(told_left_out),    T(something_in_the_way),
	    T(disk_full),        T(removed_with_the_run),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
