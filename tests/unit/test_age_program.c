/* age: the `age` and `age-keygen` programs read what we write, and we read theirs. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "tests/scratch.h"
#include "vault/age/age.h"
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

extern char **environ;

static char dir[] = "/tmp/test_age.XXXXXX";

static char *in_dir(const char *name)
{
	return path_join(dir, name);
}

static void write_in_dir(const char *name, const void *data, size_t len)
{
	char *path cleanup_free = in_dir(name);
	assert_int_equal(file_write(path, data, len, 0600, NULL), 0);
}

static void read_in_dir(const char *name, struct buf *ret)
{
	char *path cleanup_free = in_dir(name);
	assert_int_equal(file_read(path, 1 << 24, ret, NULL), 0);
}

/* Runs a program with its input from and its output to files of the test's folder. */
static int run(const char *const argv[], const char *in, const char *out)
{
	char *in_path cleanup_free = in ? in_dir(in) : xstrdup("/dev/null"), *out_path cleanup_free = in_dir(out);
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, in_path, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	int rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		fail_msg("%s can't be run: %s (Debian package age)", argv[0], strerror(rc));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 131071, 131072, 131073, 400000};
#define N_SIZES (sizeof(sizes) / sizeof(*sizes))

static void make_identity(const char *name, struct age_identities **ret, char **ret_recipient)
{
	struct err err cleanup_err = ERR_INIT;
	char *text;
	size_t len;
	assert_int_equal(age_keygen(&text, &len, ret_recipient, &err), 0);
	assert_int_equal(age_identities_parse(text, len, name, ret, &err), 0);
	write_in_dir(name, text, len);
	sodium_free(text);
}

static void expect_plain(const struct age_identities *ids, const struct buf *file, const unsigned char *want, size_t want_len)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t len = 0;
	if (age_decrypt(ids, NULL, file->data, file->len, want_len, &plain, &len, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(len, want_len);
	assert_memory_equal(plain, want, len);
	sodium_free(plain);
}

static void test_age_reads_ours(void **state)
{
	(void)state;
	unsigned char *plain = xmalloc(sizes[N_SIZES - 1]);
	struct age_identities *first, *second;
	char *recipients[2], *path cleanup_free = in_dir("second");
	randombytes_buf(plain, sizes[N_SIZES - 1]);
	make_identity("first", &first, &recipients[0]);
	make_identity("second", &second, &recipients[1]);
	struct buf list = BUF_INIT;
	struct age_recipients to;
	buf_addf(&list, "# both\n%s\r\n\n  %s  \n", recipients[0], recipients[1]);
	assert_int_equal(age_recipients_parse(list.data, list.len, "recipients.txt", &to, NULL), 0);
	assert_int_equal(to.n, 2);
	for (size_t i = 0; i < N_SIZES; i++) {
		struct buf file = BUF_INIT, back = BUF_INIT;
		assert_int_equal(age_encrypt(&to, NULL, plain, sizes[i], &file, NULL), 0);
		expect_plain(first, &file, plain, sizes[i]);
		expect_plain(second, &file, plain, sizes[i]);
		write_in_dir("file.age", file.data, file.len);
		assert_int_equal(run((const char *const[]){"age", "-d", "-i", path, NULL}, "file.age", "plain"), 0);
		read_in_dir("plain", &back);
		assert_int_equal(back.len, sizes[i]);
		assert_memory_equal(back.data, plain, sizes[i]);
		buf_free(&file);
		buf_free(&back);
	}
	buf_free(&list);
	age_recipients_free(&to);
	age_identities_free(first);
	age_identities_free(second);
	free(recipients[0]);
	free(recipients[1]);
	free(plain);
}

static void test_we_read_ages(void **state)
{
	(void)state;
	unsigned char *plain = xmalloc(sizes[N_SIZES - 1]);
	struct buf text = BUF_INIT;
	struct age_identities *ids;
	randombytes_buf(plain, sizes[N_SIZES - 1]);
	assert_int_equal(run((const char *const[]){"age-keygen", NULL}, NULL, "theirs"), 0);
	read_in_dir("theirs", &text);
	assert_int_equal(age_identities_parse(text.data, text.len, "theirs", &ids, NULL), 0);
	char *recipient cleanup_free = age_identity_recipient(ids, 0);
	assert_non_null(strstr(text.data, recipient)); /* age-keygen says the same in its comment */
	for (size_t i = 0; i < 2 * N_SIZES; i++) {
		struct buf file = BUF_INIT;
		write_in_dir("plain", plain, sizes[i / 2]);
		assert_int_equal(run((const char *const[]){"age", "-r", recipient, i % 2 ? "-a" : NULL, NULL}, "plain", "file.age"), 0);
		read_in_dir("file.age", &file);
		expect_plain(ids, &file, plain, sizes[i / 2]);
		buf_free(&file);
	}
	buf_free(&text);
	age_identities_free(ids);
	free(plain);
}

#define RANDOM_FILES 200
#define RANDOM_MAX (4 * 65536)

/* Sizes from a seed: every fourth within a few bytes of the border of a chunk, the others short or anything. */
static size_t random_size(unsigned *seed)
{
	unsigned kind = (unsigned)rand_r(seed) % 4, at = (unsigned)rand_r(seed);
	size_t border = 65536 * (size_t)(at % 4 + 1);
	switch (kind) {
	case 0:
		return border + (unsigned)rand_r(seed) % 7 - 3;
	case 1:
		return at % 200;
	default:
		return at % RANDOM_MAX;
	}
}

/* All sizes that matter come first, whatever the seed says. */
static size_t next_size(size_t i, unsigned *seed)
{
	static const size_t near[] = {0, 1, 65519, 65520, 65534, 65535, 65536, 65537, 65551, 65552, 65553};
	size_t n = sizeof(near) / sizeof(*near);
	if (i < n)
		return near[i];
	if (i < n + 9)
		return 65536 * ((i - n) / 3 + 2) + (i - n) % 3 - 1;
	return random_size(seed);
}

static unsigned seed_of_run(void)
{
	const char *given = getenv("AGE_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 20260331;
	printf("# AGE_SEED=%u\n", seed);
	return seed;
}

/* 200 files each way: ours with and without a name for one or two recipients, theirs binary and armoured. */
static void test_differential(void **state)
{
	(void)state;
	unsigned char *plain = xmalloc(RANDOM_MAX + 8);
	struct age_identities *first, *second;
	char *recipients[2], *path cleanup_free = in_dir("second");
	unsigned seed = seed_of_run();
	struct buf list cleanup_buf = BUF_INIT;
	struct age_recipients both;
	make_identity("first", &first, &recipients[0]);
	make_identity("second", &second, &recipients[1]);
	buf_addf(&list, "%s\n%s\n", recipients[1], recipients[0]);
	assert_int_equal(age_recipients_parse(list.data, list.len, "both", &both, NULL), 0);
	for (size_t i = 0; i < RANDOM_FILES; i++) {
		struct buf file cleanup_buf = BUF_INIT, back cleanup_buf = BUF_INIT;
		struct age_recipients to = {both.keys, i % 3 ? 1 : 2};
		size_t len = next_size(i, &seed);
		for (size_t k = 0; k < len; k++)
			plain[k] = (unsigned char)rand_r(&seed);
		assert_int_equal(age_encrypt(&to, i % 2 ? "A_NAME" : NULL, plain, len, &file, NULL), 0);
		write_in_dir("file.age", file.data, file.len);
		assert_int_equal(run((const char *const[]){"age", "-d", "-i", path, NULL}, "file.age", "plain"), 0);
		read_in_dir("plain", &back);
		assert_int_equal(back.len, len);
		assert_memory_equal(back.data, plain, len);

		struct age_facts facts;
		buf_reset(&file);
		write_in_dir("plain", plain, len);
		assert_int_equal(run((const char *const[]){"age", "-r", recipients[0], "-r", recipients[1], i % 2 ? "-a" : NULL, NULL},
		                     "plain", "file.age"),
		                 0);
		read_in_dir("file.age", &file);
		expect_plain(i % 3 ? first : second, &file, plain, len);
		assert_int_equal(age_examine(file.data, file.len, &facts, NULL), 0);
		assert_string_equal(facts.name, "");
		assert_int_equal(facts.n_recipients, 2);
	}
	age_recipients_free(&both);
	age_identities_free(first);
	age_identities_free(second);
	free(recipients[0]);
	free(recipients[1]);
	free(plain);
}

/* age-keygen -y reads our identity and finds the recipient that we say. */
static void test_keygen(void **state)
{
	(void)state;
	struct age_identities *ids;
	struct buf text = BUF_INIT;
	char *recipient cleanup_free = NULL, *path cleanup_free = in_dir("mine");
	make_identity("mine", &ids, &recipient);
	assert_int_equal(age_identities_count(ids), 1);
	assert_int_equal(strlen(recipient), 62);
	assert_int_equal(run((const char *const[]){"age-keygen", "-y", path, NULL}, NULL, "recipient"), 0);
	read_in_dir("recipient", &text);
	assert_memory_equal(text.data, recipient, 62);
	assert_string_equal(text.data + 62, "\n");
	buf_reset(&text);
	read_in_dir("mine", &text);
	assert_memory_equal(text.data, "# created: 20", 13);
	assert_non_null(strstr(text.data, "\n# public key: age1"));
	assert_non_null(strstr(text.data, "\nAGE-SECRET-KEY-1"));
	buf_free(&text);
	age_identities_free(ids);
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0 || !scratch_dir(dir);
}

static int teardown(void **state)
{
	(void)state;
	return dir_remove_at(AT_FDCWD, dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_age_reads_ours),
	    cmocka_unit_test(test_we_read_ages),
	    cmocka_unit_test(test_differential),
	    cmocka_unit_test(test_keygen),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
