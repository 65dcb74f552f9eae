/*
 * What redaction costs, for tests/bench/redact.sh:
 *
 *   redact log KIND PER-10000 MB     a log, on standard output; PER-10000 of its lines hold a form of a secret
 *   redact patterns KIND             every form of the secrets that has no line feed, a line for each
 *   redact run KIND                  redacts standard input; prints "<ms of CPU time> <KiB of memory at most> <masks>"
 *
 * KIND: "tokens" are 8 secrets as sites have them, a private key of several lines among them; "large" are 32 of 1 KiB. Both are the same in every run.
 */
#include "vault/redact/redact.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/redact/redact_encode.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_SECRETS 32
#define LARGE 1024

struct secret {
	char name[16];
	struct buf value;
};

struct set {
	struct secret v[MAX_SECRETS];
	size_t n;
};

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

static void add_random(struct buf *b, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i++)
		buf_addc(b, alphabet[rnd(64)]);
}

static struct buf *add_secret(struct set *s)
{
	struct secret *secret = &s->v[s->n++];

	snprintf(secret->name, sizeof(secret->name), "SECRET_%zu", s->n);
	return &secret->value;
}

static void make_tokens(struct set *s)
{
	static const char *const prefixes[] = {"ghp_", "sk-ant-", "AKIA", "xoxb-", "glpat-"};
	static const size_t lengths[] = {36, 90, 16, 50, 20};
	struct buf *b;

	for (size_t i = 0; i < 5; i++) {
		b = add_secret(s);
		buf_adds(b, prefixes[i]);
		add_random(b, lengths[i]);
	}
	buf_adds(add_secret(s), "correct horse & \"battery\" / staple's <end>");
	buf_adds(add_secret(s), "p%ssw0rd");
	b = add_secret(s);
	buf_adds(b, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
	for (size_t i = 0; i < 5; i++) {
		add_random(b, 70);
		buf_addc(b, '\n');
	}
	buf_adds(b, "-----END OPENSSH PRIVATE KEY-----\n");
}

static bool make_set(const char *kind, struct set *s)
{
	*s = (struct set){.n = 0};
	if (strcmp(kind, "tokens") == 0)
		make_tokens(s);
	else if (strcmp(kind, "large") == 0)
		while (s->n < MAX_SECRETS)
			add_random(add_secret(s), LARGE);
	return s->n > 0;
}

static void free_set(struct set *s)
{
	for (size_t i = 0; i < s->n; i++)
		buf_free(&s->v[i].value);
}

/* Forms without a line feed, which could not stand in one line of a log. */
struct forms {
	struct buf *v;
	size_t n;
};

static void keep_form(const unsigned char *form, size_t len, void *arg)
{
	struct forms *f = arg;

	if (memchr(form, '\n', len))
		return;
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	f->v[f->n] = (struct buf)BUF_INIT;
	buf_add(&f->v[f->n++], form, len);
}

static void make_forms(const struct set *s, struct forms *f)
{
	*f = (struct forms){NULL, 0};
	for (size_t i = 0; i < s->n; i++)
		redact_forms((unsigned char *)s->v[i].value.data, s->v[i].value.len, 8, keep_form, f);
}

static void free_forms(struct forms *f)
{
	for (size_t i = 0; i < f->n; i++)
		buf_free(&f->v[i]);
	free(f->v);
}

static void add_word(struct buf *b)
{
	static const char *const words[] = {
	    "fetch",
	    "upload",
	    "package",
	    "https://registry.example/v2/",
	    "error:",
	    "retry",
	    "GET",
	    "POST",
	    "200",
	    "connection",
	    "timeout",
	    "layer",
	    "sha256:",
	    "compiling",
	    "module",
	    "test",
	    "passed",
	    "in",
	    "with",
	    "src/main.c",
	    "warning",
	    "build",
	    "cache",
	    "downloaded",
	    "bytes",
	    "from",
	    "node_modules/",
	    "--token",
	    "Authorization:",
	    "done",
	};

	buf_adds(b, words[rnd(sizeof(words) / sizeof(*words))]);
}

/* What builds print: words, numbers, now and then a digest or something in base64. */
static void add_line(struct buf *b, const struct buf *form)
{
	uint32_t words = 4 + rnd(12), at = rnd(words);

	buf_addf(b, "2026-03-31T10:%02u:%02uZ step%u ", rnd(60), rnd(60), rnd(9));
	for (uint32_t i = 0; i < words; i++) {
		add_word(b);
		if (form && i == at)
			buf_add(b, form->data, form->len);
		else if (rnd(20) == 0)
			buf_addf(b, "%08x%08x", rnd(UINT32_MAX), rnd(UINT32_MAX));
		else if (rnd(40) == 0)
			add_random(b, 24);
		buf_addc(b, ' ');
	}
	buf_addc(b, '\n');
}

static int write_log(const struct set *s, uint32_t per_10000, size_t mb)
{
	struct forms forms;
	struct buf block cleanup_buf = BUF_INIT;
	size_t written = 0, end = mb * 1000000;

	make_forms(s, &forms);
	while (written < end) {
		block.len = 0;
		while (block.len < 1000000)
			add_line(&block, rnd(10000) < per_10000 ? &forms.v[rnd((uint32_t)forms.n)] : NULL);
		size_t n = block.len < end - written ? block.len : end - written;
		if (fwrite(block.data, 1, n, stdout) != n)
			break;
		written += n;
	}
	free_forms(&forms);
	if (written == end && fflush(stdout) == 0)
		return 0;
	perror("redact: write");
	return 1;
}

static int write_patterns(const struct set *s)
{
	struct forms forms;

	make_forms(s, &forms);
	for (size_t i = 0; i < forms.n; i++) {
		fwrite(forms.v[i].data, 1, forms.v[i].len, stdout);
		putchar('\n');
	}
	free_forms(&forms);
	return fflush(stdout) == 0 ? 0 : 1;
}

static size_t count_masks(const struct buf *out)
{
	static const char mask[] = "[redacted:";
	const char *p = out->data, *end = out->data + out->len;
	size_t n = 0;

	while (p < end && (p = memmem(p, (size_t)(end - p), mask, strlen(mask)))) {
		p += strlen(mask);
		n++;
	}
	return n;
}

static long cpu_ms(struct rusage *ret)
{
	getrusage(RUSAGE_SELF, ret);
	return (ret->ru_utime.tv_sec + ret->ru_stime.tv_sec) * 1000 + (ret->ru_utime.tv_usec + ret->ru_stime.tv_usec) / 1000;
}

/* The time counts from the first secret to the last byte, reading included; counting the masks is paid for too. */
static int run(const struct set *s)
{
	static char data[65536];
	struct buf out cleanup_buf = BUF_INIT;
	struct rusage usage;
	size_t masks = 0;
	ssize_t n;
	long before = cpu_ms(&usage);

	struct redactor *r = redactor_new();
	for (size_t i = 0; i < s->n; i++)
		redactor_add(r, s->v[i].name, (unsigned char *)s->v[i].value.data, s->v[i].value.len);
	redactor_build(r);
	struct redact_stream *stream = redact_stream_new(r);
	while ((n = read(STDIN_FILENO, data, sizeof(data))) > 0) {
		out.len = 0;
		redact_feed(stream, data, (size_t)n, &out);
		masks += count_masks(&out);
	}
	out.len = 0;
	redact_end(stream, &out);
	masks += count_masks(&out);
	long ms = cpu_ms(&usage) - before;
	redact_stream_free(stream);
	redactor_free(r);
	printf("%ld %ld %zu\n", ms, usage.ru_maxrss, masks);
	return n == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct set set;
	int rc = 2;

	if (argc < 3 || !make_set(argv[2], &set)) {
		fputs("usage: redact log KIND PER-10000 MB | patterns KIND | run KIND; KIND: tokens, large\n", stderr);
		return 2;
	}
	if (strcmp(argv[1], "log") == 0 && argc == 5)
		rc = write_log(&set, (uint32_t)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	else if (strcmp(argv[1], "patterns") == 0)
		rc = write_patterns(&set);
	else if (strcmp(argv[1], "run") == 0)
		rc = run(&set);
	free_set(&set);
	return rc;
}
