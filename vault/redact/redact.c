/*
 * Redaction: the secrets as patterns (redact_match.h finds them), and what a stream shows of the text around them. See redact.h.
 */
#include "vault/redact/redact.h"

#include "vault/redact/redact_encode.h"
#include "vault/redact/redact_match.h"
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE 65536 /* bytes looked at in one go; bounds what a stream holds whatever it is fed */

struct redactor {
	struct matcher *matcher;
	char **names;
	uint32_t n_names;
};

/*
 * Positions count from 1, so that 0 is before everything. hold[0..len) are the bytes from `shown` on: what may still become a match,
 * or be part of one.
 */
struct redact_stream {
	const struct redactor *r;
	struct match_run run;
	unsigned char *hold; /* guarded memory; the held bytes begin at hold + at */
	size_t at, len, cap;
	uint64_t shown;  /* position behind what was shown or masked for good */
	uint64_t masked; /* end of the last union of matches */
};

struct redactor *redactor_new(void)
{
	struct redactor *r = xcalloc(1, sizeof(*r));
	r->matcher = matcher_new();
	return r;
}

static void add_form(const unsigned char *form, size_t len, void *arg)
{
	struct redactor *r = arg;
	matcher_add(r->matcher, form, len, r->n_names);
}

void redactor_add(struct redactor *r, const char *name, const unsigned char *value, size_t len)
{
	if (len < SECRET_MIN_BYTES || len > SECRET_MAX_BYTES) {
		fprintf(stderr, "redactor_add: %s has %zu bytes\n", name, len);
		abort();
	}
	r->names = xrealloc(r->names, (r->n_names + 1) * sizeof(*r->names));
	r->names[r->n_names] = xstrdup(name);
	redact_forms(value, len, MATCH_WINDOW, add_form, r);
	r->n_names++;
}

void redactor_build(struct redactor *r)
{
	matcher_build(r->matcher);
}

void redactor_free(struct redactor *r)
{
	if (!r)
		return;
	matcher_free(r->matcher);
	for (uint32_t i = 0; i < r->n_names; i++)
		free(r->names[i]);
	free(r->names);
	free(r);
}

struct redact_stream *redact_stream_new(const struct redactor *r)
{
	struct redact_stream *s = xcalloc(1, sizeof(*s));
	s->r = r;
	s->shown = 1;
	match_run_init(&s->run, r->matcher, s->shown);
	s->cap = 2 * matcher_longest(r->matcher) + SLICE;
	s->hold = sodium_malloc(s->cap);
	if (!s->hold) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return s;
}

void redact_stream_free(struct redact_stream *s)
{
	if (!s)
		return;
	match_run_free(&s->run);
	sodium_free(s->hold);
	free(s);
}

/* Which match gives a union its name: the first; of those that begin together the longest; of equally long ones the first added. */
static int compare_matches(const void *va, const void *vb)
{
	const struct match *a = va, *b = vb;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->len != b->len)
		return a->len > b->len ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order; /* different ones of one length, both cut off by the stream's end */
}

/* Shows what is not masked up to `end` and lets go of all before it. */
static void show(struct redact_stream *s, uint64_t end, struct buf *out)
{
	uint64_t from = s->masked > s->shown ? s->masked : s->shown;
	if (from < end)
		buf_add(out, s->hold + s->at + (from - s->shown), (size_t)(end - from));
	size_t n = (size_t)(end - s->shown);
	s->at += n;
	s->len -= n;
	s->shown = end;
}

/* Everything before `decided` is known. Matches that begin there are masked, and what adjoins or overlaps them joins their mask. */
static void settle(struct redact_stream *s, uint64_t decided, struct buf *out)
{
	struct match_run *run = &s->run;
	if (run->n_found > 1)
		qsort(run->found, run->n_found, sizeof(*run->found), compare_matches);
	size_t n = 0;
	for (; n < run->n_found && run->found[n].start < decided; n++) {
		const struct match *m = &run->found[n];
		if (m->start > s->masked) {
			show(s, m->start, out);
			buf_addf(out, "[redacted:%s]", s->r->names[m->tag]);
		}
		if (m->end > s->masked)
			s->masked = m->end;
	}
	if (n > 0) {
		run->n_found -= n;
		memmove(run->found, run->found + n, run->n_found * sizeof(*run->found));
	}
	show(s, decided, out);
}

void redact_feed(struct redact_stream *s, const char *data, size_t len, struct buf *out)
{
	if (s->r->n_names == 0) {
		buf_add(out, data, len);
		return;
	}
	while (len > 0) {
		if (s->len <= s->at) { /* so at + len stays below twice the longest pattern */
			memcpy(s->hold, s->hold + s->at, s->len);
			s->at = 0;
		}
		size_t n = len < SLICE ? len : SLICE;
		memcpy(s->hold + s->at + s->len, data, n);
		s->len += n;
		data += n;
		len -= n;
		settle(s, match_more(&s->run, s->hold + s->at, s->shown, s->len), out);
	}
}

void redact_end(struct redact_stream *s, struct buf *out)
{
	match_unfinished(&s->run, s->hold + s->at, s->shown, s->len);
	settle(s, s->shown + s->len, out);
}
