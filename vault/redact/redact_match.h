/*
 * Finds many byte patterns in a stream, whatever its chunking, in one pass.
 *
 * The patterns are compiled once: matcher_new, matcher_add, matcher_build. Then any number of runs use them, each over its own
 * stream: match_run_init, match_more for the bytes as they come, match_unfinished at the end, match_run_free.
 *
 * How: every pattern begins with a window of 8 bytes. A table over the last three bytes of the window at hand says
 * how far the next possible window is (Wu and Manber, 1994), which skips through ordinary text in leaps of up to 6 bytes. Where a whole window
 * stands in the text, its patterns are compared from there on; a pattern that repeats its own window inside is compared by Knuth, Morris
 * and Pratt's automaton instead, so that no text makes it quadratic. Memory: pattern bytes, 4 bytes more for each of a repeating pattern, a
 * table of at most 1 MiB.
 */
#ifndef VAULT_REDACT_MATCH_H
#define VAULT_REDACT_MATCH_H

#include <stddef.h>
#include <stdint.h>

#define MATCH_WINDOW 8 /* bytes: the shortest pattern */

struct matcher;
struct matcher *matcher_new(void);
/* Copies a pattern of at least MATCH_WINDOW bytes into guarded memory. `tag` says whose it is; of equal patterns the first added counts. */
void matcher_add(struct matcher *m, const unsigned char *bytes, size_t len, uint32_t tag);
void matcher_build(struct matcher *m);
size_t matcher_longest(const struct matcher *m); /* bytes of the longest pattern; 0 without any */
void matcher_free(struct matcher *m);            /* wipes */

/* Bytes start..end-1 of the stream are a pattern, or several occurrences of one that overlap or adjoin. */
struct match {
	uint64_t start, end;
	size_t len; /* of the pattern */
	uint32_t tag;
	uint32_t order; /* in which the pattern was added */
};

struct match_progress;
struct match_run {
	const struct matcher *m;         /* borrowed */
	uint64_t next;                   /* first position that may begin a window not looked at */
	struct match_progress *progress; /* of each pattern */
	uint32_t *active;                /* patterns that stand unfinished at the end of the text so far */
	size_t n_active;
	struct match *found; /* in no order; the caller takes them out */
	size_t n_found, cap_found;
};
/* `first`: the position of the stream's first byte. */
void match_run_init(struct match_run *run, const struct matcher *m, uint64_t first);
void match_run_free(struct match_run *run);

/*
 * Looks at text[0..len), the bytes of the stream from position `at` on: all that was not yet decided, and new ones behind. Adds to `found`.
 * Returns up to where all is decided: every match that starts before it was found. Bytes from there on must be given again.
 */
uint64_t match_more(struct match_run *run, const unsigned char *text, uint64_t at, size_t len);

/*
 * At the stream's end: adds to `found` what is most of a pattern that the end cut off: at least 8 bytes or at least half of it.
 * Same text as left over by the last match_more.
 */
void match_unfinished(struct match_run *run, const unsigned char *text, uint64_t at, size_t len);

#endif
