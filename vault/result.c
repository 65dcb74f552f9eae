#include "vault/result.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <string.h>

static const char *const outcomes[] = {"succeeded", "failed", "timed_out", "cancelled", "refused", "lost"};

const char *outcome_name(enum outcome o)
{
	return outcomes[o];
}

int outcome_parse(const char *name, enum outcome *ret)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
		if (strcmp(outcomes[i], name) == 0) {
			*ret = (enum outcome)i;
			return 0;
		}
	return -1;
}

/* Appends text as valid UTF-8; a byte that is none, and NUL, become U+FFFD. */
static void add_clean(struct buf *out, const char *s, size_t len)
{
	for (size_t at = 0; at < len;) {
		uint32_t c = 0;
		size_t n = text_decode(s + at, len - at, &c);

		if (n > 0 && c != 0)
			buf_add(out, s + at, n);
		else
			buf_adds(out, "\xef\xbf\xbd");
		at += n > 0 ? n : 1;
	}
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Where the last max bytes begin, moved on past the rest of a character that the cut went through (at most 3 bytes). */
static size_t tail_start(const char *s, size_t len, size_t max)
{
	size_t at = len > max ? len - max : 0;

	if (at == 0)
		return 0;
	for (size_t i = 0; i < 3 && at < len && continues(s[at]); i++)
		at++;
	return at;
}

char *result_log_tail(const char *log, size_t len, size_t max)
{
	cleanup_buf struct buf clean = BUF_INIT;
	size_t start = tail_start(log, len, max);

	add_clean(&clean, log + start, len - start);
	/* U+FFFD is longer than what it replaces, so there may be too much again. */
	buf_drop(&clean, tail_start(clean.data, clean.len, max));
	return buf_steal(&clean);
}

/* Text from elsewhere may be no UTF-8, which jansson refuses; a result must not lose a key over that. */
static json_t *text_or_null(const char *s)
{
	cleanup_buf struct buf clean = BUF_INIT;

	if (!s)
		return json_null();
	add_clean(&clean, s, strlen(s));
	return json_stringn(clean.data, clean.len);
}

static json_t *time_or_null(int64_t wall_ms)
{
	char text[21];

	return wall_ms > 0 ? json_string(time_format(wall_ms, text)) : json_null();
}

/* A clock that was set back in between must not make a negative duration. */
static json_t *duration(const struct result *r)
{
	if (r->started_ms <= 0)
		return json_null();
	return json_integer(r->finished_ms > r->started_ms ? r->finished_ms - r->started_ms : 0);
}

/* The given value (a new reference), else an empty one. */
static json_t *or_empty(const json_t *value, json_t *(*empty)(void))
{
	return value ? json_deep_copy(value) : empty();
}

static json_t *approval(const struct result *r)
{
	if (!r->approval_mode)
		return json_null();
	return json_pack("{so so so}", "mode", text_or_null(r->approval_mode), "by", text_or_null(r->approval_by), "commit",
	                 text_or_null(r->approval_commit));
}

static json_t *formula(const struct result *r)
{
	if (!r->formula_name)
		return json_null();
	return json_pack("{so so}", "name", text_or_null(r->formula_name), "blob", text_or_null(r->formula_blob));
}

json_t *result_to_json(const struct result *r)
{
	const struct {
		const char *key;
		json_t *value;
	} members[] = {
	    {"id", text_or_null(r->id)},
	    {"outcome", json_string(outcome_name(r->outcome))},
	    {"exit_code", r->has_exit_code ? json_integer(r->exit_code) : json_null()},
	    {"reason", text_or_null(r->reason)},
	    {"timestamp", time_or_null(r->finished_ms)},
	    {"started_at", time_or_null(r->started_ms)},
	    {"duration_ms", duration(r)},
	    {"attempt", json_integer(r->attempt)},
	    {"tier", text_or_null(r->tier)},
	    {"approval", approval(r)},
	    {"commit", text_or_null(r->commit)},
	    {"action", text_or_null(r->action_blob)},
	    {"policy", text_or_null(r->policy_blob)},
	    {"formula", formula(r)},
	    {"image", text_or_null(r->image)},
	    {"dispatcher", text_or_null(r->dispatcher)},
	    {"engine", text_or_null(r->engine)},
	    {"container", text_or_null(r->container)},
	    {"claim", text_or_null(r->claim)},
	    {"secrets", or_empty(r->secrets, json_object)},
	    {"steps", or_empty(r->steps, json_array)},
	    {"outputs", or_empty(r->outputs, json_object)},
	    {"artifacts", or_empty(r->artifacts, json_array)},
	    {"artifacts_left_out", or_empty(r->artifacts_left_out, json_array)},
	    {"logs", text_or_null(r->logs ? r->logs : "")},
	    {"log_bytes", json_integer(r->log_bytes)},
	    {"log_sha256", text_or_null(r->log_sha256)},
	    {"log_truncated", json_boolean(r->log_truncated)},
	};
	json_t *json = json_object();

	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		json_object_set_new(json, members[i].key, members[i].value);
	return json;
}
