/* The matcher: see redact_match.h. */
#include "vault/redact/redact_match.h"

#include "lib/buf.h"
#include <endian.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 3 /* bytes that decide a leap */
#define BLOCKS (MATCH_WINDOW - BLOCK + 1)
#define MIN_BITS 15
#define MAX_BITS 20

struct pattern {
	const unsigned char *bytes; /* into the arena */
	uint64_t window;            /* first 8 bytes, big-endian: sorts like the bytes */
	uint32_t *borders; /* of a pattern that repeats its window: longest border of each prefix (Knuth, Morris, Pratt); or NULL */
	size_t at;         /* offset in the arena */
	uint32_t len;
	uint32_t tag;
	uint32_t order;
};

/* Patterns that share a window stand side by side. */
struct bucket {
	uint64_t window;
	uint32_t first, count; /* count 0: an empty slot */
};

struct matcher {
	unsigned char *arena; /* guarded, as everything here that is made of pattern bytes */
	size_t arena_len, arena_cap;
	struct pattern *patterns; /* sorted by window once built */
	size_t n, cap;
	uint8_t *leaps; /* by hash of the window's last block: how far to the next window that may be a pattern's */
	unsigned bits;
	struct bucket *buckets; /* open addressing, a power of two, at most half full */
	size_t n_buckets;
	size_t longest;
};

struct match_progress {
	uint64_t end;     /* position behind the last byte that was compared */
	uint32_t matched; /* length of the prefix that ends there; 0: none is being followed */
};

static void *guarded_array(size_t n, size_t size)
{
	void *p = sodium_allocarray(n > 0 ? n : 1, size);
	if (!p) {
		fputs("out of memory\n", stderr);
		abort();
	}
	sodium_memzero(p, (n > 0 ? n : 1) * size);
	return p;
}

/* A larger copy; the old one is wiped. */
static void *guarded_grow(void *old, size_t used, size_t n, size_t size)
{
	void *p = guarded_array(n, size);
	if (used > 0)
		memcpy(p, old, used * size);
	sodium_free(old);
	return p;
}

struct matcher *matcher_new(void)
{
	if (sodium_init() < 0)
		abort();
	return xcalloc(1, sizeof(struct matcher));
}

void matcher_add(struct matcher *m, const unsigned char *bytes, size_t len, uint32_t tag)
{
	if (len < MATCH_WINDOW || len > UINT32_MAX || m->leaps) {
		fprintf(stderr, "matcher_add: pattern of %zu bytes\n", len);
		abort();
	}
	if (m->arena_len + len > m->arena_cap) {
		m->arena_cap = (m->arena_len + len) * 2;
		m->arena = guarded_grow(m->arena, m->arena_len, m->arena_cap, 1);
	}
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 16;
		m->patterns = guarded_grow(m->patterns, m->n, m->cap, sizeof(*m->patterns));
	}
	memcpy(m->arena + m->arena_len, bytes, len);
	m->patterns[m->n] = (struct pattern){.at = m->arena_len, .len = (uint32_t)len, .tag = tag, .order = (uint32_t)m->n};
	m->arena_len += len;
	m->n++;
}

static uint64_t load_le(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint64_t load_be(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

/* Slot in `leaps` of a block that stands in the low 24 bits. */
static inline size_t block_slot(const struct matcher *m, uint32_t block)
{
	return (block * 2654435761u) >> (32 - m->bits);
}

static size_t bucket_slot(const struct matcher *m, uint64_t window)
{
	return (size_t)((window * 0x9e3779b97f4a7c15u) >> 32) & (m->n_buckets - 1);
}

static int compare_patterns(const void *va, const void *vb)
{
	const struct pattern *a = va, *b = vb;
	if (a->window != b->window)
		return a->window < b->window ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	int c = memcmp(a->bytes, b->bytes, a->len);
	return c != 0 ? c : a->order < b->order ? -1 : 1;
}

static void sort_patterns(struct matcher *m)
{
	for (size_t i = 0; i < m->n; i++) {
		m->patterns[i].bytes = m->arena + m->patterns[i].at;
		m->patterns[i].window = load_be(m->patterns[i].bytes);
	}
	if (m->n > 1)
		qsort(m->patterns, m->n, sizeof(*m->patterns), compare_patterns);
	size_t kept = 0;
	for (size_t i = 0; i < m->n; i++) {
		const struct pattern *p = &m->patterns[i], *last = kept > 0 ? &m->patterns[kept - 1] : NULL;
		if (!last || last->len != p->len || memcmp(last->bytes, p->bytes, p->len) != 0)
			m->patterns[kept++] = *p;
	}
	m->n = kept;
}

static void make_buckets(struct matcher *m)
{
	m->n_buckets = 16;
	while (m->n_buckets < m->n * 2)
		m->n_buckets *= 2;
	m->buckets = guarded_array(m->n_buckets, sizeof(*m->buckets));
	struct bucket *b = NULL;
	for (size_t i = 0; i < m->n; i++) {
		uint64_t window = m->patterns[i].window;
		if (b && b->window == window) {
			b->count++;
			continue;
		}
		size_t slot = bucket_slot(m, window);
		while (m->buckets[slot].count > 0)
			slot = (slot + 1) & (m->n_buckets - 1);
		b = &m->buckets[slot];
		*b = (struct bucket){window, (uint32_t)i, 1};
	}
}

static void make_leaps(struct matcher *m)
{
	m->bits = MIN_BITS;
	while (m->bits < MAX_BITS && ((size_t)1 << m->bits) < m->n * BLOCKS * 16)
		m->bits++;
	m->leaps = guarded_array((size_t)1 << m->bits, 1);
	memset(m->leaps, BLOCKS, (size_t)1 << m->bits);
	for (size_t i = 0; i < m->n; i++) {
		uint64_t window = load_le(m->patterns[i].bytes);
		for (unsigned j = 0; j < BLOCKS; j++) {
			uint8_t *leap = &m->leaps[block_slot(m, (uint32_t)(window >> (8 * j)) & 0xffffff)];
			uint8_t here = (uint8_t)(BLOCKS - 1 - j);
			*leap = here < *leap ? here : *leap;
		}
	}
}

static void make_borders(struct pattern *p)
{
	if (!memmem(p->bytes + 1, p->len - 1, p->bytes, MATCH_WINDOW))
		return;
	p->borders = guarded_array(p->len, sizeof(*p->borders));
	uint32_t k = 0;
	for (uint32_t i = 1; i < p->len; i++) {
		while (k > 0 && p->bytes[k] != p->bytes[i])
			k = p->borders[k - 1];
		if (p->bytes[k] == p->bytes[i])
			k++;
		p->borders[i] = k;
	}
}

void matcher_build(struct matcher *m)
{
	sort_patterns(m);
	make_buckets(m);
	make_leaps(m);
	for (size_t i = 0; i < m->n; i++) {
		make_borders(&m->patterns[i]);
		if (m->patterns[i].len > m->longest)
			m->longest = m->patterns[i].len;
	}
}

size_t matcher_longest(const struct matcher *m)
{
	return m->longest;
}

void matcher_free(struct matcher *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		sodium_free(m->patterns[i].borders);
	sodium_free(m->patterns);
	sodium_free(m->buckets);
	sodium_free(m->leaps);
	sodium_free(m->arena);
	free(m);
}

void match_run_init(struct match_run *run, const struct matcher *m, uint64_t first)
{
	*run = (struct match_run){.m = m, .next = first};
	run->progress = xcalloc(m->n + 1, sizeof(*run->progress));
	run->active = xcalloc(m->n + 1, sizeof(*run->active));
	run->cap_found = 16;
	run->found = xcalloc(run->cap_found, sizeof(*run->found));
}

void match_run_free(struct match_run *run)
{
	free(run->progress);
	free(run->active);
	free(run->found);
	*run = (struct match_run){.m = NULL};
}

static void add_found(struct match_run *run, const struct pattern *p, uint64_t start, uint64_t end)
{
	if (run->n_found > 0) {
		struct match *last = &run->found[run->n_found - 1];
		if (last->order == p->order && start >= last->start && start <= last->end) {
			last->end = end;
			return;
		}
	}
	if (run->n_found == run->cap_found) {
		run->cap_found *= 2;
		run->found = xrealloc(run->found, run->cap_found * sizeof(*run->found));
	}
	run->found[run->n_found++] = (struct match){start, end, p->len, p->tag, p->order};
}

/* Pattern without a window inside: one comparison, and at most one occurrence of it can be under way. */
static void follow_plain(struct match_run *run, const struct pattern *p, struct match_progress *at, const unsigned char *text, size_t len)
{
	size_t n = p->len - at->matched;
	if (n > len)
		n = len;
	if (memcmp(p->bytes + at->matched, text, n) != 0) {
		at->matched = 0;
		return;
	}
	at->matched += (uint32_t)n;
	at->end += n;
	if (at->matched == p->len) {
		add_found(run, p, at->end - p->len, at->end);
		at->matched = 0;
	}
}

/* Follows as long as at least a window is matched; shorter prefixes are the leaping search's to find. */
static void follow_borders(struct match_run *run, const struct pattern *p, struct match_progress *at, const unsigned char *text, size_t len)
{
	uint32_t matched = at->matched;
	size_t i = 0;
	while (i < len && matched >= MATCH_WINDOW) {
		while (matched > 0 && p->bytes[matched] != text[i])
			matched = p->borders[matched - 1];
		if (p->bytes[matched] == text[i])
			matched++;
		i++;
		if (matched == p->len) {
			add_found(run, p, at->end + i - p->len, at->end + i);
			matched = p->borders[matched - 1];
		}
	}
	at->end += i;
	at->matched = matched >= MATCH_WINDOW ? matched : 0;
}

/* Compares on with text[0..len), which is all that there is behind at->end. */
static void follow(struct match_run *run, uint32_t index, const unsigned char *text, size_t len)
{
	const struct pattern *p = &run->m->patterns[index];
	struct match_progress *at = &run->progress[index];
	if (p->borders)
		follow_borders(run, p, at, text, len);
	else
		follow_plain(run, p, at, text, len);
	if (at->matched > 0)
		run->active[run->n_active++] = index;
}

static void follow_active(struct match_run *run, const unsigned char *text, uint64_t at, size_t len)
{
	size_t n = run->n_active;
	run->n_active = 0;
	for (size_t i = 0; i < n; i++) { /* follow() puts back at most what was read already */
		uint32_t index = run->active[i];
		size_t done = (size_t)(run->progress[index].end - at);
		follow(run, index, text + done, len - done);
	}
}

/* A window that may be a pattern's stands at text[0..8), position `at`. */
static void try_window(struct match_run *run, const unsigned char *text, uint64_t at, size_t len)
{
	const struct matcher *m = run->m;
	uint64_t window = load_be(text);
	size_t slot = bucket_slot(m, window);
	while (m->buckets[slot].count > 0 && m->buckets[slot].window != window)
		slot = (slot + 1) & (m->n_buckets - 1);
	const struct bucket *b = &m->buckets[slot];
	for (uint32_t i = b->first; i < b->first + b->count; i++) {
		struct match_progress *progress = &run->progress[i];
		const struct pattern *p = &m->patterns[i];
		if (p->borders && at + MATCH_WINDOW <= progress->end)
			continue; /* its automaton has seen this window */
		*progress = (struct match_progress){at + MATCH_WINDOW, MATCH_WINDOW};
		if (p->len == MATCH_WINDOW) {
			add_found(run, p, at, at + MATCH_WINDOW);
			progress->matched = 0;
			continue;
		}
		follow(run, i, text + MATCH_WINDOW, len - MATCH_WINDOW);
	}
}

/* Where those patterns stand whose window begins with the t bytes (1..7) at text, if there are any. */
static size_t find_prefix(const struct matcher *m, const unsigned char *text, size_t t)
{
	uint64_t prefix = 0;
	for (size_t i = 0; i < t; i++)
		prefix |= (uint64_t)text[i] << (56 - 8 * i);
	size_t low = 0, high = m->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (m->patterns[middle].window < prefix)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_prefix(const struct matcher *m, size_t index, const unsigned char *text, size_t t)
{
	return index < m->n && memcmp(m->patterns[index].bytes, text, t) == 0;
}

/* Of the less than 8 bytes from run->next to the end: from where on they may be the beginning of a window. */
static uint64_t undecided_from(const struct match_run *run, const unsigned char *text, uint64_t at, size_t len)
{
	for (size_t i = (size_t)(run->next - at); i < len; i++)
		if (has_prefix(run->m, find_prefix(run->m, text + i, len - i), text + i, len - i))
			return at + i;
	return at + len;
}

uint64_t match_more(struct match_run *run, const unsigned char *text, uint64_t at, size_t len)
{
	const struct matcher *m = run->m;
	follow_active(run, text, at, len);
	size_t i = (size_t)(run->next - at);
	while (i + MATCH_WINDOW <= len) {
		uint8_t leap = m->leaps[block_slot(m, (uint32_t)(load_le(text + i) >> (8 * (MATCH_WINDOW - BLOCK))))];
		if (leap == 0) {
			try_window(run, text + i, at + i, len - i);
			leap = 1;
		}
		i += leap;
	}
	run->next = at + i;
	run->next = undecided_from(run, text, at, len);
	uint64_t decided = run->next;
	for (size_t k = 0; k < run->n_active; k++) {
		const struct match_progress *p = &run->progress[run->active[k]];
		if (p->end - p->matched < decided)
			decided = p->end - p->matched;
	}
	return decided;
}

void match_unfinished(struct match_run *run, const unsigned char *text, uint64_t at, size_t len)
{
	const struct matcher *m = run->m;
	for (size_t k = 0; k < run->n_active; k++) {
		const struct match_progress *p = &run->progress[run->active[k]];
		add_found(run, &m->patterns[run->active[k]], p->end - p->matched, p->end);
	}
	for (size_t i = (size_t)(run->next - at); i < len; i++)
		for (size_t k = find_prefix(m, text + i, len - i); has_prefix(m, k, text + i, len - i); k++)
			if (m->patterns[k].len <= 2 * (len - i))
				add_found(run, &m->patterns[k], at + i, at + len);
	run->n_active = 0;
	run->next = at + len;
}
