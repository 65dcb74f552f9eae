/*
 * Artifacts: the files of /task/artifacts, in frames, after the last step. No process of a step lives any more, so nothing changes while
 * it is read; but all of it was made by the steps. It is read with their user's rights (root without capabilities has fewer), no link is
 * followed, and only plain files are sent: those with a secret in them are not.
 */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/name.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARTIFACTS_DIR TASK_DIR "/artifacts"
#define LOOKED_AT_MAX ((size_t)4096) /* names; the rest of such a folder is not even counted */
#define PIECE_MAX ((size_t)64 << 10)

struct artifacts {
	struct runner *r;
	int dir_fd;
	char **names; /* sorted */
	size_t n_names;
	size_t n_sent, n_left_out;
	size_t bytes;
};

static void cleanup_artifacts(struct artifacts *a)
{
	for (size_t i = 0; i < a->n_names; i++)
		free(a->names[i]);
	free((void *)a->names);
	if (a->dir_fd >= 0)
		close(a->dir_fd);
}

static void say(struct artifacts *a, json_t *frame)
{
	while (!output_has_room(&a->r->out))
		turn_output(a->r);
	output_frame(&a->r->out, frame);
}

static void leave_out(struct artifacts *a, const char *name, const char *reason)
{
	if (++a->n_left_out <= ARTIFACTS_MAX)
		say(a, json_pack("{s:s, s:o, s:s}", "t", "artifact_left_out", "name", output_string(&a->r->out, name), "reason", reason));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(struct artifacts *a)
{
	DIR *dir = fdopendir(dup(a->dir_fd));
	const struct dirent *entry;

	a->names = xcalloc(LOOKED_AT_MAX, sizeof(*a->names));
	while (dir && a->n_names < LOOKED_AT_MAX && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			a->names[a->n_names++] = xstrdup(entry->d_name);
	if (dir)
		closedir(dir);
	qsort(a->names, a->n_names, sizeof(*a->names), by_name);
}

/* The next piece. 0 at the end; -1: it can't be read. */
static ssize_t read_piece(int fd, void *piece, size_t max)
{
	ssize_t n;

	while ((n = read(fd, piece, max)) < 0 && errno == EINTR)
		continue;
	return n;
}

/* Whether redaction would leave it as it is: the same bytes come out as go in. False too where it can't be read. */
static bool is_clean(const struct runner *r, int fd)
{
	static char piece[PIECE_MAX];
	unsigned char before[crypto_generichash_BYTES], after[crypto_generichash_BYTES];
	crypto_generichash_state in, out;
	struct buf clean cleanup_buf = BUF_INIT;
	struct redact_stream *stream = redact_stream_new(r->redactor);
	ssize_t n;

	crypto_generichash_init(&in, NULL, 0, sizeof(before));
	crypto_generichash_init(&out, NULL, 0, sizeof(after));
	while ((n = read_piece(fd, piece, sizeof(piece))) > 0) {
		crypto_generichash_update(&in, (unsigned char *)piece, (size_t)n);
		redact_feed(stream, piece, (size_t)n, &clean);
		crypto_generichash_update(&out, (unsigned char *)clean.data, clean.len);
		buf_reset(&clean);
	}
	redact_end(stream, &clean);
	redact_stream_free(stream);
	crypto_generichash_update(&out, (unsigned char *)clean.data, clean.len);
	crypto_generichash_final(&in, before, sizeof(before));
	crypto_generichash_final(&out, after, sizeof(after));
	return n == 0 && memcmp(before, after, sizeof(before)) == 0;
}

static void send_piece(struct artifacts *a, const unsigned char *piece, size_t len)
{
	char base64[sodium_base64_ENCODED_LEN(ARTIFACT_PIECE, sodium_base64_VARIANT_ORIGINAL)];

	sodium_bin2base64(base64, sizeof(base64), piece, len, sodium_base64_VARIANT_ORIGINAL);
	say(a, json_pack("{s:s, s:s}", "t", "artifact_data", "d", base64));
}

/* From where the file stands to its end, in pieces that are full but for the last one. 0, or -1: it was not `size` bytes. */
static int send_content(struct artifacts *a, int fd, size_t size, char hex[static 2 * crypto_hash_sha256_BYTES + 1])
{
	static unsigned char piece[ARTIFACT_PIECE];
	unsigned char digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	while (size > 0) {
		size_t len = size < sizeof(piece) ? size : sizeof(piece), at = 0;
		while (at < len) {
			ssize_t n = read_piece(fd, piece + at, len - at);
			if (n <= 0)
				return -1;
			at += (size_t)n;
		}
		crypto_hash_sha256_update(&state, piece, len);
		send_piece(a, piece, len);
		size -= len;
	}
	crypto_hash_sha256_final(&state, digest);
	sodium_bin2hex(hex, 2 * sizeof(digest) + 1, digest, sizeof(digest));
	return 0;
}

static void send_file(struct artifacts *a, const char *name, int fd, size_t size)
{
	char hex[2 * crypto_hash_sha256_BYTES + 1];

	if (!is_clean(a->r, fd)) {
		leave_out(a, name, "a secret stands in it, or it can't be read");
		return;
	}
	say(a, json_pack("{s:s, s:s, s:I}", "t", "artifact", "name", name, "size", (json_int_t)size));
	if (lseek(fd, 0, SEEK_SET) < 0 || send_content(a, fd, size, hex) < 0) {
		leave_out(a, name, "it can't be read");
		return;
	}
	say(a, json_pack("{s:s, s:s}", "t", "artifact_end", "sha256", hex));
	a->n_sent++;
	a->bytes += size;
}

static bool holds_secret(const struct runner *r, const char *name)
{
	json_t *clean cleanup_json = output_string(&r->out, name);
	return strcmp(json_string_value(clean), name) != 0;
}

static void take(struct artifacts *a, const char *name)
{
	struct stat st;
	/* Not to hang on a FIFO, nor to take a terminal. */
	int fd cleanup_fd = openat(a->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (!vault_is_artifact(name))
		leave_out(a, name, "such a name is not allowed: " VAULT_ARTIFACT_RULE);
	else if (holds_secret(a->r, name))
		leave_out(a, name, "a secret stands in its name");
	else if (fd < 0 && errno != ELOOP)
		leave_out(a, name, "it can't be opened");
	else if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		leave_out(a, name, "it is no plain file; pack folders into an archive");
	else if (a->n_sent == ARTIFACTS_MAX)
		leave_out(a, name, "a run has at most 64 artifacts");
	else if ((uint64_t)st.st_size > ARTIFACTS_MAX_BYTES - a->bytes)
		leave_out(a, name, "a run's artifacts have at most 16 MiB together");
	else
		send_file(a, name, fd, (size_t)st.st_size);
}
_Static_assert(ARTIFACTS_MAX == 64, "as a sentence above says");
_Static_assert(ARTIFACTS_MAX_BYTES / 1024 / 1024 == 16, "as a sentence above says");

static void say_rest(struct artifacts *a)
{
	if (a->n_left_out <= ARTIFACTS_MAX)
		return;
	char *reason cleanup_free = xasprintf("%zu more were left out", a->n_left_out - ARTIFACTS_MAX);
	say(a, json_pack("{s:s, s:s, s:s}", "t", "artifact_left_out", "name", "…", "reason", reason));
}

void artifacts_send(struct runner *r)
{
	struct artifacts a __attribute__((cleanup(cleanup_artifacts))) = {.r = r, .dir_fd = -1};
	uint32_t uid = r->formula.user;

	setfsgid(uid);
	setfsuid(uid);
	a.dir_fd = open(ARTIFACTS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a.dir_fd >= 0) {
		list(&a);
		for (size_t i = 0; i < a.n_names; i++)
			take(&a, a.names[i]);
		say_rest(&a);
	}
	setfsuid(0);
	setfsgid(0);
}
