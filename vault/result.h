/*
 * A result: the outcome of an action and its evidence, as committed to vault/actions/<id>.result.json.
 */
#ifndef VAULT_RESULT_H
#define VAULT_RESULT_H

#include "lib/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum outcome { OUTCOME_SUCCEEDED, OUTCOME_FAILED, OUTCOME_TIMED_OUT, OUTCOME_CANCELLED, OUTCOME_REFUSED, OUTCOME_LOST };
const char *outcome_name(enum outcome o);
int outcome_parse(const char *name, enum outcome *ret); /* -1: no such outcome */

/* Who commits results: this name, and "<dispatcher id>@disinto" for an address. */
#define RESULT_AUTHOR "disinto-dispatcher"
#define RESULT_AUTHOR_HOST "@disinto"
#define RESULT_LOG_TAIL 4096
#define RESULT_MAX_BYTES (1u << 20) /* of a file that is read as one; the dispatcher's own have less than a tenth */
#define EXIT_TIMED_OUT 124
#define EXIT_CANCELLED 130

/* What goes into a result; strings and values are borrowed, NULL (or has_exit_code false) becomes null. */
struct result {
	const char *id;
	enum outcome outcome;
	bool has_exit_code;
	int exit_code;
	const char *reason; /* a sentence, for anything but succeeded */
	int64_t started_ms; /* wall clock; 0: never started */
	int64_t finished_ms;
	int attempt;
	const char *tier;
	const char *approval_mode, *approval_by, *approval_commit;
	const char *commit, *action_blob, *policy_blob;
	const char *formula_name, *formula_blob;
	const char *image, *dispatcher, *engine, *container, *claim;
	const json_t *secrets;            /* object name -> blob */
	const json_t *steps;              /* array of {id, exit_code, duration_ms} */
	const json_t *outputs;            /* object name -> value: what steps wrote to $DISINTO_OUTPUT */
	const json_t *artifacts;          /* array of {name, bytes, sha256}: files that the run left behind */
	const json_t *artifacts_left_out; /* array of {name, reason}: those that it left and nobody has */
	const char *logs;                 /* valid UTF-8, at most RESULT_LOG_TAIL bytes */
	int64_t log_bytes;
	const char *log_sha256;
	bool log_truncated;
};

/*
 * The JSON object, every key in the documented order. Without approval_mode, formula_name or a start, `approval`, `formula`, `started_at` and
 * `duration_ms` are null; secrets, steps, outputs, artifacts and logs are empty rather than null. Invalid UTF-8 becomes U+FFFD. Caller owns.
 */
json_t *result_to_json(const struct result *r);

/* The last max bytes of a log, cut to whole, valid UTF-8 (invalid bytes and NUL become U+FFFD). Caller frees. */
char *result_log_tail(const char *log, size_t len, size_t max);

#endif
