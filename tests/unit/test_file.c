/* Files: bounds, atomic replacement, trees, secrets' modes, time. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "tests/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Every test has an empty folder of its own, open as dir.fd. */
static struct {
	char path[64];
	int fd;
} dir;

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir.path, sizeof(dir.path), "/tmp/disinto-test-file-XXXXXX");
	if (!scratch_dir(dir.path))
		return -1;
	dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir.fd < 0 ? -1 : 0;
}

static int remove_dir(void **state)
{
	(void)state;
	close(dir.fd);
	return dir_remove_at(AT_FDCWD, dir.path, NULL);
}

static char *in_dir(const char *name)
{
	return path_join(dir.path, name);
}

static int count_entries(void)
{
	DIR *d = opendir(dir.path);
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_write_and_read(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("f");
	cleanup_buf struct buf b = BUF_INIT;
	struct stat st;
	mode_t old = umask(077);
	assert_int_equal(file_write(path, "one", 3, 0644, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644); /* exactly, whatever the umask */
	assert_int_equal(file_write_at(dir.fd, "f", "two\0!", 5, 0400, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	umask(old);
	buf_adds(&b, "before ");
	assert_int_equal(file_read_at(dir.fd, "f", 5, &b, NULL), 0);
	assert_int_equal(b.len, 12);
	assert_memory_equal(b.data, "before two\0!", 13);
	assert_int_equal(count_entries(), 1); /* no temporary file stays */
}

static void test_read_is_bounded(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("f");
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(file_write(path, "123456", 6, 0600, NULL), 0);
	assert_int_equal(file_read(path, 6, &b, NULL), 0);
	assert_int_equal(file_read(path, 5, &b, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "larger than 5 bytes"));
	assert_string_equal(b.data, "123456"); /* nothing half-read */
	assert_int_equal(file_read("/dev/zero", 100000, &b, NULL), -1);
	assert_int_equal(b.len, 6);
	assert_int_equal(file_read("/dev/null", 0, &b, NULL), 0);
}

static void test_read_errors(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("absent");
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(file_read(path, 9, &b, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), path));
	assert_int_equal(file_read(dir.path, 9, &b, &e), -1);
	assert_int_equal(e.code, ERR_FAIL);
}

static void test_large_file(void **state)
{
	(void)state;
	size_t len = 1000003;
	cleanup_free char *data = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 31 % 251);
	cleanup_free char *path = in_dir("big");
	cleanup_buf struct buf b = BUF_INIT;
	assert_int_equal(file_write(path, data, len, 0600, NULL), 0);
	assert_int_equal(file_read(path, len, &b, NULL), 0);
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data, data, len);
}

static void test_failed_write_changes_nothing(void **state)
{
	(void)state;
	cleanup_free char *folder = in_dir("folder");
	cleanup_free char *inside = in_dir("folder/x");
	cleanup_free char *absent = in_dir("absent/x");
	cleanup_err struct err e = ERR_INIT;
	assert_int_equal(dir_make(folder, 0700, NULL), 0);
	assert_int_equal(file_write(inside, "x", 1, 0600, NULL), 0);
	assert_int_equal(file_write(folder, "new", 3, 0600, &e), -1); /* a folder is in the way of the rename */
	assert_non_null(strstr(err_msg(&e), folder));
	assert_int_equal(access(inside, F_OK), 0);
	assert_int_equal(count_entries(), 1);
	assert_int_equal(file_write(absent, "x", 1, 0600, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void test_write_replaces_a_link_and_not_its_target(void **state)
{
	(void)state;
	cleanup_free char *target = in_dir("target");
	cleanup_free char *link = in_dir("link");
	cleanup_buf struct buf b = BUF_INIT;
	assert_int_equal(file_write(target, "safe", 4, 0600, NULL), 0);
	assert_int_equal(symlink("target", link), 0);
	assert_int_equal(file_write(link, "new", 3, 0600, NULL), 0);
	assert_int_equal(file_read(target, 9, &b, NULL), 0);
	assert_string_equal(b.data, "safe");
}

static void test_full_disk(void **state)
{
	(void)state;
	cleanup_err struct err e = ERR_INIT;
	cleanup_fd int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, "x", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOSPACE);
}

static void test_dir_make(void **state)
{
	(void)state;
	cleanup_free char *deep = in_dir("a/b//c/");
	cleanup_free char *file = in_dir("file");
	cleanup_free char *below = in_dir("file/x");
	cleanup_err struct err e = ERR_INIT;
	struct stat st;
	assert_int_equal(dir_make(deep, 0700, NULL), 0);
	assert_int_equal(dir_make(deep, 0700, NULL), 0);
	assert_int_equal(stat(deep, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(file_write(file, "", 0, 0600, NULL), 0);
	assert_int_equal(dir_make(file, 0700, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(dir_make(below, 0700, &e), -1);
}

static void test_dir_remove(void **state)
{
	(void)state;
	cleanup_free char *keep = in_dir("keep/me");
	cleanup_free char *folder = in_dir("keep");
	cleanup_free char *deep = in_dir("gone/a/b");
	cleanup_free char *file = in_dir("gone/a/f");
	cleanup_free char *link = in_dir("gone/a/link");
	cleanup_free char *top = in_dir("toplink");
	assert_int_equal(dir_make(folder, 0700, NULL), 0);
	assert_int_equal(dir_make(deep, 0700, NULL), 0);
	assert_int_equal(file_write(keep, "x", 1, 0600, NULL), 0);
	assert_int_equal(file_write(file, "x", 1, 0600, NULL), 0);
	assert_int_equal(symlink("../../keep", link), 0);
	assert_int_equal(symlink("keep", top), 0);
	assert_int_equal(dir_remove_at(dir.fd, "gone", NULL), 0);
	assert_int_equal(dir_remove_at(dir.fd, "gone", NULL), 0); /* absent is success */
	assert_int_equal(dir_remove_at(dir.fd, "toplink", NULL), 0);
	assert_int_equal(access(keep, F_OK), 0);
	assert_int_equal(count_entries(), 1);
	assert_int_equal(dir_remove_at(dir.fd, "keep/me", NULL), 0);
	assert_int_equal(access(keep, F_OK), -1);
}

static void check_join(const char *base, const char *path, const char *expected)
{
	cleanup_free char *s = path_join(base, path);
	assert_string_equal(s, expected);
}

static void test_path_join(void **state)
{
	(void)state;
	check_join("/a", "b", "/a/b");
	check_join("/a/", "b/c", "/a/b/c");
	check_join("/a", "/b", "/b");
	check_join("/", "b", "/b");
	check_join("", "b", "b");
}

static void secret_refused(const char *path, const char *message)
{
	cleanup_err struct err e = ERR_INIT;
	int fd = -7;
	assert_int_equal(secret_open(path, &fd, &e), -1);
	assert_int_equal(fd, -7);
	if (!strstr(err_msg(&e), message))
		fail_msg("\"%s\" is not in \"%s\"", message, err_msg(&e));
}

static void test_secret_open(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("secret");
	cleanup_free char *fifo = in_dir("fifo");
	cleanup_free char *link = in_dir("link");
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_fd int fd = -1;
	assert_int_equal(file_write(path, "s3cret", 6, 0400, NULL), 0);
	assert_int_equal(symlink("secret", link), 0);
	assert_int_equal(secret_open(link, &fd, NULL), 0);
	assert_int_equal(fd_read_all(fd, 99, &b, NULL), 0);
	assert_string_equal(b.data, "s3cret");
	static const mode_t modes[] = {0440, 0404, 0410, 0401, 0420, 0402};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		secret_refused(path, "chmod 0400");
		secret_refused(link, "chmod 0400");
	}
	assert_int_equal(mkfifo(fifo, 0600), 0);
	secret_refused(fifo, "not a regular file");
	secret_refused(dir.path, "not a regular file");
	secret_refused("/nonexistent", "No such file");
}

static void test_secret_of_somebody_else(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("secret");
	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	assert_int_equal(file_write(path, "x", 1, 0400, NULL), 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	secret_refused(path, "belongs to user id 12345");
}

static void test_time(void **state)
{
	(void)state;
	char text[21];
	assert_int_equal(time_parse("2026-03-31T10:00:04Z"), INT64_C(1774951204000));
	assert_int_equal(time_parse("2026-03-31T10:00:04Z "), -1);
	assert_int_equal(time_parse("yesterday"), -1);
	assert_string_equal(time_format(0, text), "1970-01-01T00:00:00Z");
	assert_string_equal(time_format(INT64_C(1774951204999), text), "2026-03-31T10:00:04Z");
	assert_string_equal(time_format(INT64_C(1709164800000), text), "2024-02-29T00:00:00Z");
	assert_string_equal(time_format(-1, text), "1970-01-01T00:00:00Z");
	assert_string_equal(time_format(INT64_MAX, text), "9999-12-31T23:59:59Z");
	int64_t mono = now_mono_ms();
	assert_true(mono > 0);
	assert_true(now_mono_ms() >= mono);
	assert_true(now_wall_ms() > INT64_C(1577836800000));
}

#define in_folder(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_folder(test_write_and_read),
	    in_folder(test_read_is_bounded),
	    in_folder(test_read_errors),
	    in_folder(test_large_file),
	    in_folder(test_failed_write_changes_nothing),
	    in_folder(test_write_replaces_a_link_and_not_its_target),
	    in_folder(test_full_disk),
	    in_folder(test_dir_make),
	    in_folder(test_dir_remove),
	    cmocka_unit_test(test_path_join),
	    in_folder(test_secret_open),
	    in_folder(test_secret_of_somebody_else),
	    cmocka_unit_test(test_time),
	};
	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
