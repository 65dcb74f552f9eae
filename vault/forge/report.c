#include "vault/forge/report.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "vault/forge/told.h"
#include "vault/name.h"
#include "vault/result.h"
#include <string.h>

#define REASON_MAX 500      /* bytes of it in a comment */
#define DESCRIPTION_MAX 120 /* bytes */
#define STEPS_MAX 64

/* How a forge calls an outcome: whether the work failed, or there was none. */
static const char *state_of(enum outcome o)
{
	switch (o) {
	case OUTCOME_SUCCEEDED:
		return "success";
	case OUTCOME_FAILED:
	case OUTCOME_TIMED_OUT:
		return "failure";
	case OUTCOME_CANCELLED:
	case OUTCOME_REFUSED:
	case OUTCOME_LOST:
	default:
		return "error";
	}
}

/* Whole characters from the beginning. Caller frees. */
static char *beginning(const char *s, size_t max)
{
	size_t at = 0, len = strlen(s);
	uint32_t c;

	while (at < len) {
		size_t n = text_decode(s + at, len - at, &c);
		if (n == 0 || at + n > max)
			break;
		at += n;
	}
	return xasprintf("%.*s%s", (int)at, s, at < len ? "…" : "");
}

static void tell_number(struct buf *out, const char *label, const json_t *n, const char *unit, double divisor)
{
	cleanup_free char *text = json_is_integer(n) ? xasprintf("%.10g%s", (double)json_integer_value(n) / divisor, unit) : NULL;

	told_pair(out, label, text);
}

static void tell_steps(struct buf *out, const json_t *steps)
{
	cleanup_buf struct buf text = BUF_INIT;
	const json_t *step;
	size_t i;

	json_array_foreach (steps, i, step) {
		const char *id = json_text(step, "id");
		if (id && i < STEPS_MAX)
			buf_addf(&text, "%s%s: exit code %lld, %.1f s", i > 0 ? "\n" : "", id,
			         (long long)json_integer_value(json_object_get(step, "exit_code")),
			         (double)json_integer_value(json_object_get(step, "duration_ms")) / 1000);
	}
	told_pair(out, "steps", text.len ? text.data : NULL);
}

/* Reasons may hold what a step or somebody else wrote: they stand in the block with the rest. */
static char *comment(const char *id, const char *outcome, const char *marker, const json_t *result)
{
	cleanup_free char *path = vault_result_path(id);
	const char *said = json_text(result, "reason");
	cleanup_free char *reason = said ? beginning(said, REASON_MAX) : NULL;
	const json_t *approval = json_object_get(result, "approval");
	cleanup_buf struct buf told = BUF_INIT;
	struct buf text = BUF_INIT;

	told_pair(&told, "outcome", outcome);
	told_pair(&told, "reason", reason);
	tell_number(&told, "exit code", json_object_get(result, "exit_code"), "", 1);
	tell_number(&told, "took", json_object_get(result, "duration_ms"), " s", 1000);
	told_pair(&told, "finished", json_text(result, "timestamp"));
	tell_number(&told, "attempt", json_object_get(result, "attempt"), "", 1);
	told_pair(&told, "approved by", json_text(approval, "by"));
	told_pair(&told, "image", json_text(result, "image"));
	tell_steps(&told, json_object_get(result, "steps"));
	told_pair(&told, "result", path);
	buf_addf(&text, "`%s`: **%s**\n\n", id, outcome);
	told_block(&text, told.data);
	buf_addf(&text, "\n%s\n", marker);
	return buf_steal(&text);
}

static char *description_of(const char *outcome, const json_t *result)
{
	const char *reason = json_text(result, "reason");
	cleanup_free char *text = reason ? xasprintf("%s: %s", outcome, reason) : xstrdup(outcome);

	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	return beginning(text, DESCRIPTION_MAX);
}

int report_of(const json_t *result, struct report *ret, struct err *err)
{
	const char *id = json_text(result, "id"), *name = json_text(result, "outcome"), *commit = json_text(result, "commit");
	enum outcome outcome;

	if (!id || !vault_is_id(id) || !name || outcome_parse(name, &outcome) < 0)
		return err_set(err, ERR_INVALID, "it is no result");
	if (!commit || strlen(commit) != 40 || strspn(commit, "0123456789abcdef") != 40)
		return err_set(err, ERR_INVALID, "the result of %s names no commit that landed it", id);
	*ret = (struct report){
	    .commit = xstrdup(commit),
	    .marker = xasprintf("<!-- disinto: result of %s, attempt %lld -->", id,
	                        (long long)json_integer_value(json_object_get(result, "attempt"))),
	    .context = xasprintf("disinto/%s", id),
	    .state = xstrdup(state_of(outcome)),
	    .description = description_of(name, result),
	};
	ret->text = comment(id, name, ret->marker, result);
	return 0;
}

void report_free(struct report *r)
{
	free(r->commit);
	free(r->marker);
	free(r->text);
	free(r->context);
	free(r->state);
	free(r->description);
	*r = (struct report)REPORT_INIT;
}
