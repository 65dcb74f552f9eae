#include "dispatcher/core_role/artifacts.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"
#include "vault/name.h"
#include "vault/result.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define LEFT_OUT_NAME_MAX ((size_t)256)
#define LEFT_OUT_REASON_MAX ((size_t)512)

struct artifacts {
	int spool;
	char *id;
	int dir; /* -1: not made yet */
	json_t *kept, *left_out;
	size_t total; /* bytes announced by what is kept or being written */
	/* The file that is being written: */
	int fd; /* -1: none */
	char name[VAULT_ARTIFACT_MAX + 1];
	size_t size, have;
	crypto_hash_sha256_state digest;
};

int artifacts_begin(int spool, const char *id, struct artifacts **ret, struct err *err)
{
	if (spool_drop_artifacts(spool, id, err) < 0)
		return -1;
	struct artifacts *a = xcalloc(1, sizeof *a);
	*a = (struct artifacts){.spool = spool, .id = xstrdup(id), .dir = -1, .fd = -1, .kept = json_array(), .left_out = json_array()};
	*ret = a;
	return 0;
}

void artifacts_free(struct artifacts *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	if (a->dir >= 0)
		close(a->dir);
	json_decref(a->kept);
	json_decref(a->left_out);
	free(a->id);
	free(a);
}

static void leave_out(struct artifacts *a, const char *name, const char *reason)
{
	/* Twice the bound: the runner tells of so many, and what is wrong with those that it did send comes on top. */
	if (json_array_size(a->left_out) >= 2 * (size_t)ARTIFACTS_MAX)
		return;
	cleanup_free char *short_name = result_log_tail(name, strnlen(name, LEFT_OUT_NAME_MAX), LEFT_OUT_NAME_MAX);
	cleanup_free char *short_reason = result_log_tail(reason, strnlen(reason, LEFT_OUT_REASON_MAX), LEFT_OUT_REASON_MAX);
	json_array_append_new(a->left_out, json_pack("{s:s, s:s}", "name", short_name, "reason", short_reason));
}

/* What was written of a file that does not become an artifact is taken away again. */
static void give_up(struct artifacts *a, const char *reason)
{
	if (a->fd < 0)
		return;
	close(a->fd);
	a->fd = -1;
	unlinkat(a->dir, a->name, 0);
	a->total -= a->size;
	leave_out(a, a->name, reason);
}

/* A full disk must not keep the result back: it says which files it cost. */
static void not_written(struct artifacts *a, const char *name, int error)
{
	cleanup_free char *why = xasprintf("the dispatcher could not write it: %s", strerror(error ? error : EIO));

	if (a->fd >= 0)
		give_up(a, why);
	else
		leave_out(a, name, why);
}

static bool is_there(const struct artifacts *a, const char *name)
{
	size_t i;
	const json_t *one;

	json_array_foreach (a->kept, i, one)
		if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
			return true;
	return false;
}

/* Why this one can't be kept, or NULL. */
static const char *flaw(const struct artifacts *a, const char *name, json_int_t size)
{
	if (!vault_is_artifact(name))
		return "its name is not " VAULT_ARTIFACT_RULE;
	if (is_there(a, name))
		return "there is one of that name already";
	if (json_array_size(a->kept) >= ARTIFACTS_MAX)
		return "there are too many";
	if (size < 0 || (uint64_t)size > ARTIFACTS_MAX_BYTES - a->total)
		return "all of them together are too large";
	return NULL;
}

static void begin_file(struct artifacts *a, const char *name, json_int_t size)
{
	const char *why = flaw(a, name, size);

	if (why) {
		leave_out(a, name, why);
		return;
	}
	if (a->dir < 0 && spool_artifacts(a->spool, a->id, &a->dir, NULL) < 0) {
		not_written(a, name, errno);
		return;
	}
	a->fd = openat(a->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (a->fd < 0) {
		not_written(a, name, errno);
		return;
	}
	memcpy(a->name, name, strlen(name) + 1);
	a->size = (size_t)size;
	a->have = 0;
	a->total += a->size;
	crypto_hash_sha256_init(&a->digest);
}

static void add_piece(struct artifacts *a, const char *text)
{
	unsigned char piece[ARTIFACT_PIECE];
	size_t n;

	if (a->fd < 0)
		return;
	if (!text || sodium_base642bin(piece, sizeof piece, text, strlen(text), NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n > a->size - a->have) {
		give_up(a, "came damaged from the runner");
		return;
	}
	errno = 0;
	if (fd_write_all(a->fd, piece, n, NULL) < 0) {
		not_written(a, a->name, errno);
		return;
	}
	a->have += n;
	crypto_hash_sha256_update(&a->digest, piece, n);
}

static void end_file(struct artifacts *a, const char *sha256)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof digest + 1];

	if (a->fd < 0)
		return;
	crypto_hash_sha256_final(&a->digest, digest);
	sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
	if (a->have != a->size || !sha256 || strcmp(sha256, hex) != 0) {
		give_up(a, "came damaged from the runner");
		return;
	}
	if (fsync(a->fd) < 0) {
		not_written(a, a->name, errno);
		return;
	}
	close(a->fd);
	a->fd = -1;
	json_array_append_new(a->kept, json_pack("{s:s, s:I, s:s}", "name", a->name, "bytes", (json_int_t)a->size, "sha256", hex));
}

void artifacts_frame(struct artifacts *a, const json_t *frame)
{
	const char *t = json_string_value(json_object_get(frame, "t"));
	const char *name = json_string_value(json_object_get(frame, "name"));
	const char *reason = json_string_value(json_object_get(frame, "reason"));
	const json_t *size = json_object_get(frame, "size");

	if (!t)
		return;
	if (strcmp(t, "artifact_data") == 0) {
		add_piece(a, json_string_value(json_object_get(frame, "d")));
	} else if (strcmp(t, "artifact_end") == 0) {
		end_file(a, json_string_value(json_object_get(frame, "sha256")));
	} else if (strcmp(t, "artifact_left_out") == 0 && name) {
		leave_out(a, name, reason ? reason : "no reason was given");
	} else if (strcmp(t, "artifact") == 0 && name) {
		give_up(a, "did not come whole from the runner");
		begin_file(a, name, json_is_integer(size) ? json_integer_value(size) : -1);
	}
}

int artifacts_sync(struct artifacts *a, struct err *err)
{
	give_up(a, "did not come whole from the runner");
	return a->dir >= 0 && fsync(a->dir) < 0 ? err_errno(err, errno, "spool: artifacts") : 0;
}

const json_t *artifacts_kept(const struct artifacts *a)
{
	return a->kept;
}

const json_t *artifacts_left_out(const struct artifacts *a)
{
	return a->left_out;
}
