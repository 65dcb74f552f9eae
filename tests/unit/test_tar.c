/* Archives: what is written is read back, by us and by tar(1); what leads elsewhere or is cut is refused. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/tar.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG \
	"spool/runs/an-id-that-is-as-long-as-ids-may-be-012345678901234567890123456789012345678901234567890123456789/artifacts/" \
	"a-name-of-an-artifact-that-is-as-long-as-names-of-artifacts-may-be-01234567890123456789012345678901234567890123"

static int file_of(const struct buf *text)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text->data, text->len, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Three files: one short, one whose name is long, one read from a descriptor that holds less than was said. */
static void archive(struct buf *ret)
{
	cleanup_fd int out = memfd_create("tar", MFD_CLOEXEC), in = memfd_create("in", MFD_CLOEXEC);

	assert_int_equal(fd_write_all(in, "grows", 5, NULL), 0);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	assert_int_equal(tar_add(out, "manifest.json", 1700000000, "{}", 2, NULL), 0);
	assert_int_equal(tar_add(out, LONG, 0, "x", 1, NULL), 0);
	assert_int_equal(tar_add_fd(out, "log", 0, in, 600, NULL), 0);
	assert_int_equal(tar_end(out, NULL), 0);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(out, 1 << 20, ret, NULL), 0);
}

static void test_comes_back(void **state)
{
	cleanup_buf struct buf text = BUF_INIT, got = BUF_INIT;
	struct tar_entry e = {.size = 0};

	(void)state;
	archive(&text);
	cleanup_fd int in = file_of(&text);
	assert_int_equal(tar_next(in, &e, NULL), 1);
	assert_string_equal(e.name, "manifest.json");
	assert_int_equal(tar_read(in, &e, 2, &got, NULL), 0);
	assert_string_equal(got.data, "{}");
	assert_int_equal(tar_next(in, &e, NULL), 1); /* not read: skipped */
	assert_string_equal(e.name, LONG);
	assert_int_equal(tar_next(in, &e, NULL), 1);
	buf_reset(&got);
	assert_int_equal(tar_read(in, &e, 599, &got, NULL), -1);
	assert_int_equal(tar_read(in, &e, 600, &got, NULL), 0);
	assert_int_equal(got.len, 600);
	assert_memory_equal(got.data, "grows\0\0", 7);
	assert_int_equal(tar_next(in, &e, NULL), 0);
}

static void test_cut_or_damaged_is_refused(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;

	(void)state;
	archive(&text);
	for (size_t len = 0; len < text.len - 512; len += 256) {
		struct tar_entry e = {.size = 0};
		struct buf cut = {.data = text.data, .len = len};
		cleanup_fd int in = file_of(&cut);
		int rc;
		while ((rc = tar_next(in, &e, NULL)) == 1)
			;
		assert_int_equal(rc, -1);
	}
	text.data[3] ^= 1; /* in the first name */
	cleanup_fd int in = file_of(&text);
	struct tar_entry e = {.size = 0};
	assert_int_equal(tar_next(in, &e, NULL), -1);
}

/* guard: good_name, and the types, in lib/tar.c */
static void test_leads_elsewhere(void **state)
{
	static const char *const names[] = {"", "/etc/passwd", "../x", "a/../x", "a//b", "a/", ".", "a/."};
	char dir[] = "/tmp/disinto-tar.XXXXXX";

	(void)state;
	cleanup_fd int out = memfd_create("tar", MFD_CLOEXEC);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(tar_add(out, names[i], 0, "x", 1, NULL), -1);
	assert_int_equal(lseek(out, 0, SEEK_END), 0);
	assert_non_null(scratch_dir(dir));
	for (const char *const *how = (const char *const[]){"ln -s /etc/passwd a", "mkfifo a", "ln -s /etc a; printf x >b; ln b c", NULL};
	     *how; how++) {
		cleanup_free char *run = xasprintf("cd %s && rm -rf in && mkdir in && cd in && %s && tar -cf ../x.tar *", dir, *how);
		cleanup_free char *path = path_join(dir, "x.tar");
		assert_int_equal(system(run), 0);
		cleanup_fd int in = open(path, O_RDONLY | O_CLOEXEC);
		struct tar_entry e = {.size = 0};
		int rc;
		while ((rc = tar_next(in, &e, NULL)) == 1)
			;
		assert_int_equal(rc, -1);
	}
	assert_int_equal(dir_remove_at(AT_FDCWD, dir, NULL), 0);
}

static void test_tar_reads_it_and_writes_it(void **state)
{
	char dir[] = "/tmp/disinto-tar.XXXXXX";
	cleanup_buf struct buf text = BUF_INIT;

	(void)state;
	assert_non_null(scratch_dir(dir));
	archive(&text);
	cleanup_free char *path = path_join(dir, "x.tar");
	assert_int_equal(file_write(path, text.data, text.len, 0600, NULL), 0);
	cleanup_free char *run = xasprintf(
	    "cd %s && tar -xf x.tar && test $(cat %s) = x && test $(stat -c %%s log) = 600 && tar -cf x.tar manifest.json spool log", dir,
	    LONG);
	assert_int_equal(system(run), 0);
	cleanup_fd int in = open(path, O_RDONLY | O_CLOEXEC);
	struct tar_entry e = {.size = 0};
	assert_int_equal(tar_next(in, &e, NULL), 1);
	assert_int_equal(dir_remove_at(AT_FDCWD, dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_comes_back), cmocka_unit_test(test_cut_or_damaged_is_refused),
	                                   cmocka_unit_test(test_leads_elsewhere), cmocka_unit_test(test_tar_reads_it_and_writes_it)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
