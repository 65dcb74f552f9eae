/*
 * Frames between the engine role and disinto-runner: one JSON object for each line, at most FRAME_MAX bytes with its
 * newline, valid UTF-8. In on the runner's standard input, out on its standard output. Member "t" names the frame.
 *
 * to the runner, in this order:
 *   task     {d}                    piece of the JSON text {"action": …, "formula": …, "agents": …, "known_hosts": text, if any}; as many as it takes.
 *                                   A formula brings the `lines` of its values along (vault/formula.h), for messages
 *   task_end {}                     whole
 *   secret   {name, d, more}        base64 (RFC 4648, padded) of a piece of the value; last piece has more=false
 *   secrets_end {count}             number of secrets sent
 *   go       {claim}                run now
 * from the runner:
 *   hello    {version, frames}      program version; FRAME_VERSION
 *   ready    {}                     task read, tools, tmpfs and steps checked: may have secrets
 *   going    {}                     GO was read; from here on something may have happened
 *   step     {id, state}            state "start"
 *   step     {id, state, exit_code, duration_ms, cost_usd}   state "end"; cost_usd (a number) only where the step's agent said one
 *   out      {s, d}                 redacted output; s: "o" or "e"; d: text
 *   output   {step, name, value}    a line name=value that the step wrote to $DISINTO_OUTPUT: redacted, at most OUTPUT_VALUE_MAX bytes, no
 *                                   control characters but tabs. A name may come again: the last value counts
 *   artifact {name, size}           begins a file of /task/artifacts; after the last step. size: bytes, at most what ARTIFACTS_MAX_BYTES leaves
 *   artifact_data {d}               base64 (RFC 4648, padded) of its next ARTIFACT_PIECE bytes; fewer only in the last piece
 *   artifact_end {sha256}           of the whole, in hex; what came before it without this frame is no artifact
 *   artifact_left_out {name, reason} a file that was not sent, and why; name as frames show text, not as an artifact is named
 *   report   {outcome, exit_code, reason, truncated}  last frame. outcome: succeeded, failed, timed_out, cancelled,
 *                                   refused (task can't run here; nothing ran), not_started (input ended before GO; nothing ran).
 *                                   exit_code and reason may be null.
 */
#ifndef VAULT_FRAME_H
#define VAULT_FRAME_H

#include "lib/buf.h"
#include "lib/err.h"
#include <jansson.h>
#include <stddef.h>

#define FRAME_MAX 12288
#define FRAME_VERSION 1
#define KNOWN_HOSTS_MAX 65536 /* bytes, of a task */

#define ARTIFACTS_MAX 64                       /* files of a run; what was left out is told of at most as often */
#define ARTIFACTS_MAX_BYTES ((size_t)16 << 20) /* of all of them together */
#define ARTIFACT_PIECE ((size_t)9000)          /* of a file, in one frame */
#define OUTPUTS_MAX 64                         /* names, of a run */
#define OUTPUT_VALUE_MAX ((size_t)4096)

/* Appends `frame` and a newline. Frames made by this program always fit; a longer one ends the program (a bug). */
void frame_add(struct buf *out, const json_t *frame);

/* Appends as many `task` frames as `text` takes, and task_end. Cuts never split a UTF-8 sequence. */
void frame_add_task(struct buf *out, const char *text);

/*
 * Appends `out` frames for redacted bytes: invalid UTF-8 becomes U+FFFD (each maximal subpart one, as Unicode recommends); NUL and other controls are
 * escaped by JSON. `carry` keeps an unfinished sequence (at most 3 bytes) for the next call; flush ends it.
 */
struct frame_text {
	unsigned char carry[4];
	size_t n_carry;
};
void frame_add_out(struct buf *out, char stream, struct frame_text *state, const char *data, size_t len);
void frame_flush_out(struct buf *out, char stream, struct frame_text *state);

/*
 * Reads frames out of bytes as they come. frame_reader_next: 1 and *ret (caller owns) for each whole frame; 0 when
 * more bytes are needed; -1 with ERR_INVALID on a line that is too long or no JSON object with a string "t".
 */
struct frame_reader {
	struct buf in;
	size_t at; /* where the next line begins */
};
void frame_reader_feed(struct frame_reader *r, const char *data, size_t len);
int frame_reader_next(struct frame_reader *r, json_t **ret, struct err *err);
void frame_reader_free(struct frame_reader *r); /* wipes: secrets may have passed */
#define FRAME_READER_INIT \
	{ \
		BUF_INIT, 0 \
	}

/*
 * Appends the `secret` frames of one value (name: vault_is_secret) to `out`; the caller wipes the buffer (frame_wipe). The buffer does not move when
 * frame_secret_room(len) bytes are free in it, so it may be one in guarded memory; when it must move, what it leaves is wiped.
 */
void frame_add_secret(struct buf *out, const char *name, const unsigned char *value, size_t len);
size_t frame_secret_room(size_t len);
/* sodium_memzero over the whole capacity, then buf_free. */
void frame_wipe(struct buf *b);

#endif
