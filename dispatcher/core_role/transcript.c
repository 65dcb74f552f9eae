#include "dispatcher/core_role/transcript.h"
#include "dispatcher/core_role/artifacts.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/frame.h"
#include "vault/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

struct transcript {
	int fd;
	int64_t bytes;
	int64_t before; /* bytes that an earlier reading left in the file */
	bool cut;       /* a write failed: what came after is not kept */
	bool unread;    /* the end of the log is an earlier reading's; this one did not come so far */
	crypto_hash_sha256_state digest;
	json_t *steps;
	json_t *outputs;
	struct artifacts *artifacts;
	char *current;
};

int transcript_begin(int spool, const char *id, bool again, struct transcript **ret, struct err *err)
{
	struct artifacts *artifacts = NULL;
	int fd;

	if (artifacts_begin(spool, id, &artifacts, err) < 0)
		return -1;
	if (spool_log(spool, id, O_RDWR | O_CREAT | (again ? 0 : O_TRUNC), &fd, err) < 0) {
		artifacts_free(artifacts);
		return -1;
	}
	struct transcript *t = xcalloc(1, sizeof *t);
	off_t size = lseek(fd, 0, SEEK_END);
	t->fd = fd;
	t->before = size > 0 ? size : 0;
	t->steps = json_array();
	t->outputs = json_object();
	t->artifacts = artifacts;
	crypto_hash_sha256_init(&t->digest);
	*ret = t;
	return 0;
}

void transcript_free(struct transcript *t)
{
	if (!t)
		return;
	close(t->fd);
	json_decref(t->steps);
	json_decref(t->outputs);
	artifacts_free(t->artifacts);
	free(t->current);
	free(t);
}

/* The file ends where the result will say that it does. */
static void cut_file(struct transcript *t)
{
	if (ftruncate(t->fd, (off_t)t->bytes) < 0)
		log_warn("a log holds more than its result says", "error", strerror(errno), NULL);
	t->before = t->bytes;
}

static void advance(struct transcript *t, const char *text, size_t len)
{
	t->bytes += (int64_t)len;
	crypto_hash_sha256_update(&t->digest, (const unsigned char *)text, len);
}

/* Passes over what an earlier reading wrote. Returns how much of the text that was; where the two part, the earlier one's rest is dropped. */
static size_t pass_over(struct transcript *t, const char *text, size_t len)
{
	char there[4096];
	size_t passed = 0;

	while (passed < len && t->bytes < t->before) {
		size_t most = len - passed < sizeof there ? len - passed : sizeof there, same = 0;
		ssize_t n = pread(t->fd, there, most, (off_t)t->bytes);
		while (n > 0 && same < (size_t)n && there[same] == text[passed + same])
			same++;
		advance(t, text + passed, same);
		passed += same;
		if (n <= 0 || same < (size_t)n)
			cut_file(t);
	}
	return passed;
}

void transcript_log(struct transcript *t, const char *text, size_t len)
{
	if (t->cut)
		return;
	size_t passed = pass_over(t, text, len);
	text += passed;
	len -= passed;
	if (len == 0)
		return;
	if (lseek(t->fd, (off_t)t->bytes, SEEK_SET) < 0 || fd_write_all(t->fd, text, len, NULL) < 0) {
		/* A full disk must not keep the result from being written once there is space again: it says that its log is not whole. */
		t->cut = true;
		cut_file(t);
		return;
	}
	advance(t, text, len);
}

/* The container is not there any more, or its log lost its end: what was read of it earlier is all that there will ever be. Zeros are no text, but what a loss of power leaves. */
static void keep_the_rest(struct transcript *t)
{
	char there[4096];

	t->unread |= t->bytes < t->before;
	while (t->bytes < t->before) {
		ssize_t n = pread(t->fd, there, sizeof there, (off_t)t->bytes);
		size_t text = n > 0 ? strnlen(there, (size_t)n) : 0;
		advance(t, there, text);
		if (n <= 0 || text < (size_t)n)
			cut_file(t);
	}
}

void transcript_step(struct transcript *t, const json_t *message)
{
	const char *id = json_string_value(json_object_get(message, "step"));
	const char *state = json_string_value(json_object_get(message, "state"));

	if (!id || !state)
		return;
	free(t->current);
	t->current = NULL;
	if (strcmp(state, "start") == 0) {
		t->current = xstrdup(id);
		return;
	}
	if (json_array_size(t->steps) >= FORMULA_MAX_STEPS)
		return;
	json_t *end = json_pack("{s:s, s:O, s:O}", "id", id, "exit_code", json_object_get(message, "exit_code"), "duration_ms",
	                        json_object_get(message, "duration_ms"));
	if (json_object_get(message, "cost_usd"))
		json_object_set(end, "cost_usd", json_object_get(message, "cost_usd"));
	json_array_append_new(t->steps, end);
}

void transcript_output(struct transcript *t, const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "name"));
	json_t *value = json_object_get(message, "value");

	if (!name || !vault_is_input(name) || !json_is_string(value) || json_string_length(value) > OUTPUT_VALUE_MAX)
		return;
	if (json_object_size(t->outputs) < OUTPUTS_MAX || json_object_get(t->outputs, name))
		json_object_set(t->outputs, name, value);
}

void transcript_artifact(struct transcript *t, const json_t *frame)
{
	artifacts_frame(t->artifacts, frame);
}

const char *transcript_current_step(const struct transcript *t)
{
	return t ? t->current : NULL;
}

json_t *transcript_steps(const struct transcript *t)
{
	return t ? t->steps : NULL;
}

int transcript_sync(struct transcript *t, struct err *err)
{
	keep_the_rest(t);
	if (fsync(t->fd) < 0)
		return err_errno(err, errno, "spool: log");
	return artifacts_sync(t->artifacts, err);
}

/* The last bytes of the log as text. */
static char *tail_of(const struct transcript *t)
{
	char last[RESULT_LOG_TAIL];
	off_t from = t->bytes > RESULT_LOG_TAIL ? (off_t)(t->bytes - RESULT_LOG_TAIL) : 0;
	ssize_t n = pread(t->fd, last, sizeof last, from);

	return result_log_tail(last, n > 0 ? (size_t)n : 0, RESULT_LOG_TAIL);
}

static void digest_of(const struct transcript *t, char hex[static 2 * crypto_hash_sha256_BYTES + 1])
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;

	if (t)
		state = t->digest;
	else
		crypto_hash_sha256_init(&state);
	crypto_hash_sha256_final(&state, digest);
	sodium_bin2hex(hex, 2 * sizeof digest + 1, digest, sizeof digest);
}

char *transcript_result(const struct run *r, struct transcript *t, const char *dispatcher_id)
{
	char hex[2 * crypto_hash_sha256_BYTES + 1];
	cleanup_free char *tail = t ? tail_of(t) : xstrdup("");

	digest_of(t, hex);
	struct result result = {
	    .id = r->id,
	    .outcome = r->outcome,
	    .has_exit_code = r->has_exit_code,
	    .exit_code = r->exit_code,
	    .reason = r->reason,
	    .started_ms = r->started_ms,
	    .finished_ms = r->finished_ms,
	    .attempt = r->attempt,
	    .tier = r->tier,
	    .approval_mode = r->approval_mode,
	    .approval_by = r->approval_by,
	    .approval_commit = r->approval_mode ? r->commit : NULL,
	    .policy_blob = r->policy_blob,
	    .commit = r->commit,
	    .action_blob = r->action_blob,
	    .formula_name = r->formula_name,
	    .formula_blob = r->formula_blob,
	    .image = r->image,
	    .dispatcher = dispatcher_id,
	    .engine = "docker",
	    .container = r->container,
	    .claim = r->claim,
	    .secrets = r->secret_blobs,
	    .steps = t ? t->steps : NULL,
	    .outputs = t ? t->outputs : NULL,
	    .artifacts = t ? artifacts_kept(t->artifacts) : NULL,
	    .artifacts_left_out = t ? artifacts_left_out(t->artifacts) : NULL,
	    .logs = tail,
	    .log_bytes = t ? t->bytes : 0,
	    .log_sha256 = hex,
	    .log_truncated = r->log_truncated || (t ? t->cut || t->unread : r->started_ms != 0),
	};
	cleanup_json json_t *value = result_to_json(&result);
	return json_pretty(value);
}
