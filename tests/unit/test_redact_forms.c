/* Redaction of encoded secrets, by encoders that are not ours. THREATS 29, 30. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/redact/redact.h"
#include <ctype.h>
#include <curl/curl.h>
#include <jansson.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECRETS 1000
#define SEED 20260331u

static char *redact(const struct redactor *r, const char *text, size_t len, size_t cut)
{
	struct redact_stream *s = redact_stream_new(r);
	struct buf out = BUF_INIT;
	redact_feed(s, text, cut, &out);
	redact_feed(s, text + cut, len - cut, &out);
	redact_end(s, &out);
	redact_stream_free(s);
	return buf_steal(&out);
}

static struct redactor *redactor_for(const char *value, size_t len)
{
	struct redactor *r = redactor_new();
	redactor_add(r, "S", (const unsigned char *)value, len);
	redactor_build(r);
	return r;
}

static size_t n_cases, n_misses;

static uint32_t seed_ = SEED;
static uint32_t rnd(uint32_t n)
{
	seed_ ^= seed_ << 13;
	seed_ ^= seed_ >> 17;
	seed_ ^= seed_ << 5;
	return seed_ % n;
}

static void expect_output(const struct buf *out, const struct buf *want, const char *text, size_t cut)
{
	n_cases++;
	if (out->len == want->len && memcmp(out->data, want->data, want->len) == 0)
		return;
	if (n_misses++ == 0)
		printf("# cut at %zu: %s# gives: %s\n# not:   %s\n", cut, text, out->data, want->data);
}

/*
 * A line, of which the bytes from..to-1 are the secret's, cut at every place. One stream has it all, since no form begins with the line feed that ends the
 * line, so that nothing is held back behind it; the last time the stream ends there.
 */
static void expect_masked(const struct redactor *r, const char *text, size_t from, size_t to)
{
	struct buf line cleanup_buf = BUF_INIT, want cleanup_buf = BUF_INIT, out cleanup_buf = BUF_INIT;
	struct redact_stream *s = redact_stream_new(r);
	buf_addf(&line, "%s\n", text);
	buf_add(&want, text, from);
	buf_adds(&want, "[redacted:S]");
	buf_addf(&want, "%s\n", text + to);
	for (size_t cut = 0; cut <= line.len; cut++) {
		buf_reset(&out);
		redact_feed(s, line.data, cut, &out);
		redact_feed(s, line.data + cut, line.len - cut, &out);
		if (cut == line.len)
			redact_end(s, &out);
		expect_output(&out, &want, line.data, cut);
	}
	redact_stream_free(s);
}

static void expect_form(const struct redactor *r, const char *form)
{
	struct buf text cleanup_buf = BUF_INIT;
	buf_addf(&text, "<%s>", form);
	expect_masked(r, text.data, 1, 1 + strlen(form));
}

static void check_hex(const struct redactor *r, const char *value, size_t len)
{
	char *hex cleanup_free = xmalloc(2 * len + 1);
	sodium_bin2hex(hex, 2 * len + 1, (const unsigned char *)value, len);
	expect_form(r, hex);
	for (char *p = hex; *p; p++)
		*p = *p >= 'a' ? (char)(*p - 32) : *p;
	expect_form(r, hex);
}

/* Between other bytes, of which `before` come first. What is masked is what depends on the secret alone. */
static void check_base64(const struct redactor *r, const char *value, size_t len, size_t before, int variant)
{
	struct buf bytes cleanup_buf = BUF_INIT;
	buf_add(&bytes, "xyzxyz", before);
	buf_add(&bytes, value, len);
	buf_adds(&bytes, "uvw");
	size_t room = sodium_base64_encoded_len(bytes.len, variant);
	char *text cleanup_free = xmalloc(room);
	sodium_bin2base64(text, room, (unsigned char *)bytes.data, bytes.len, variant);
	expect_masked(r, text, (8 * before + 5) / 6, 8 * (before + len) / 6);
}

static void check_json(const struct redactor *r, const char *value, size_t len, size_t flags)
{
	json_t *string cleanup_json = json_stringn(value, len);
	char *text cleanup_free = json_dumps(string, JSON_ENCODE_ANY | flags);
	expect_masked(r, text, 1, strlen(text) - 1); /* between the quotes */
}

/* Percent encoding as libcurl has it, in both cases of its digits, and as a form's field, with "+" for a blank. */
static void check_url(const struct redactor *r, const char *value, size_t len)
{
	char *text = curl_easy_escape(NULL, value, (int)len);
	struct buf field cleanup_buf = BUF_INIT;
	expect_form(r, text);
	for (const char *p = text; *p; p++) {
		bool blank = strncmp(p, "%20", 3) == 0;
		buf_addc(&field, blank ? '+' : *p);
		p += blank ? 2 : 0;
	}
	expect_form(r, field.data);
	for (char *p = text; *p; p++) {
		for (int i = 1; *p == '%' && i < 3; i++)
			p[i] = p[i] >= 'A' && p[i] <= 'F' ? (char)(p[i] + 32) : p[i];
	}
	expect_form(r, text);
	curl_free(text);
}

/* As others have it, who keep other characters. */
static void check_percent(const struct redactor *r, const char *value, const char *kept, bool plus)
{
	static const char *const formats[] = {"%%%02X", "%%%02x"};
	for (size_t i = 0; i < 2; i++) {
		struct buf text cleanup_buf = BUF_INIT;
		for (const char *p = value; *p; p++) {
			if (isalnum((unsigned char)*p) || strchr(kept, *p))
				buf_addc(&text, *p);
			else if (*p == ' ' && plus)
				buf_addc(&text, '+');
			else
				buf_addf(&text, formats[i], (unsigned char)*p);
		}
		expect_form(r, text.data);
	}
}

/* One spelling for each of these bytes, the others as they are. */
struct spelling {
	char byte;
	const char *text;
};

static void check_spelled(const struct redactor *r, const char *value, const struct spelling *spellings)
{
	struct buf text cleanup_buf = BUF_INIT;
	for (const char *p = value; *p; p++) {
		const struct spelling *s = spellings;
		while (s->byte && s->byte != *p)
			s++;
		if (s->byte)
			buf_adds(&text, s->text);
		else
			buf_addc(&text, *p);
	}
	expect_form(r, text.data);
}

static void check_markup_and_shell(const struct redactor *r, const char *value)
{
	static const struct spelling sets[][6] = {
	    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}},
	    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}},
	    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}},
	    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}},
	    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#x27;"}},
	    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}},
	    {{'\'', "'\\''"}},
	};
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
		check_spelled(r, value, sets[i]);
}

/* JSON that may stand in a page: jansson's, with < > & escaped. */
static void check_json_for_pages(const struct redactor *r, const char *value)
{
	static const struct spelling lower[] = {{'<', "\\u003c"}, {'>', "\\u003e"}, {'&', "\\u0026"}, {'\0', NULL}};
	static const struct spelling upper[] = {{'<', "\\u003C"}, {'>', "\\u003E"}, {'&', "\\u0026"}, {'\0', NULL}};
	json_t *string cleanup_json = json_string(value);
	char *text cleanup_free = json_dumps(string, JSON_ENCODE_ANY);
	char *inner cleanup_free = xasprintf("%.*s", (int)strlen(text) - 2, text + 1);
	bool escapes = strstr(inner, "\\u") != NULL; /* jansson's own are upper case */
	if (!escapes)
		check_spelled(r, inner, lower);
	check_spelled(r, inner, upper);
}

static void check_all_forms(const char *value, size_t len)
{
	static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
	                               sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
	struct redactor *r = redactor_for(value, len);
	expect_form(r, value);
	check_hex(r, value, len);
	for (size_t before = 0; before < 6; before++)
		check_base64(r, value, len, before, variants[before % 4]);
	for (size_t i = 0; i < 4; i++)
		check_base64(r, value, len, i % 3, variants[i]);
	check_json(r, value, len, 0);
	check_json(r, value, len, JSON_ENSURE_ASCII);
	check_json(r, value, len, JSON_ESCAPE_SLASH);
	check_json(r, value, len, JSON_ENSURE_ASCII | JSON_ESCAPE_SLASH);
	check_json_for_pages(r, value);
	check_url(r, value, len);
	check_percent(r, value, "-._~/", false);     /* Python's quote */
	check_percent(r, value, "-._~!*'()", false); /* encodeURIComponent */
	check_percent(r, value, "-._*", true);       /* a form's field, as browsers have it */
	check_percent(r, value, "-._~", true);       /* and as Python has it */
	check_markup_and_shell(r, value);
	redactor_free(r);
}

static void random_secret(struct buf *ret)
{
	static const char *const pieces[] = {"/",    "+",  "%", "\"", "\\", "'", "&", "<", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x94\x91",
	                                     "\x1b", "\t", " "};
	uint32_t len = 8 + rnd(30), odd = rnd(3) * 20;
	while (ret->len < len) {
		if (rnd(100) < odd)
			buf_adds(ret, pieces[rnd(sizeof(pieces) / sizeof(*pieces))]);
		else
			buf_addc(ret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[rnd(64)]);
	}
}

/* Every split of 1000 secrets in every encoding. guard: add_forms in vault/redact/redact_encode.c */
static void test_threat_29_threat_30_random_secrets(void **state)
{
	(void)state;
	for (int i = 0; i < SECRETS; i++) {
		struct buf value cleanup_buf = BUF_INIT;
		/* No blank at the ends, and not all letters alike at the borders of a form. */
		buf_addc(&value, 'Q');
		random_secret(&value);
		buf_addc(&value, 'Z');
		check_all_forms(value.data, value.len);
	}
	printf("# seed %u: %d secrets, %zu cases, %zu misses\n", SEED, SECRETS, n_cases, n_misses);
	assert_int_equal(n_misses, 0);
}

/* guard: add_forms in vault/redact/redact_encode.c */
static void test_threat_30_known_forms(void **state)
{
	(void)state;
	static const char value[] = "it's \"a\" <b> & c/d \xc3\xa4!";
	static const char *const forms[] = {
	    "it'\\''s \"a\" <b> & c/d \xc3\xa4!",                    /* sh -x */
	    "it%27s+%22a%22+%3Cb%3E+%26+c%2Fd+%C3%A4%21",            /* a form's field */
	    "it's%20%22a%22%20%3Cb%3E%20%26%20c%2Fd%20%C3%A4!",      /* encodeURIComponent */
	    "it%27s%20%22a%22%20%3Cb%3E%20%26%20c/d%20%C3%A4%21",    /* Python's quote */
	    "it%27s%20%22a%22%20%3cb%3e%20%26%20c%2fd%20%c3%a4%21",  /* lower case */
	    "it's \\\"a\\\" \\u003cb\\u003e \\u0026 c/d \xc3\xa4!",  /* Go's JSON */
	    "it's \\\"a\\\" <b> & c\\/d \\u00e4!",                   /* PHP's */
	    "it's \\\"a\\\" <b> & c/d \\u00e4!",                     /* Python's */
	    "it's \"a\" &lt;b&gt; &amp; c/d \xc3\xa4!",              /* XML text */
	    "it&apos;s &quot;a&quot; &lt;b&gt; &amp; c/d \xc3\xa4!", /* XML attribute */
	    "it&#x27;s &quot;a&quot; &lt;b&gt; &amp; c/d \xc3\xa4!", /* Python's html.escape */
	    "it&#39;s &#34;a&#34; &lt;b&gt; &amp; c/d \xc3\xa4!",    /* Go's html.EscapeString */
	    "it's &quot;a&quot; &lt;b&gt; &amp; c/d \xc3\xa4!",      /* XML attribute in double quotes */
	    "it&#39;s &quot;a&quot; &lt;b&gt; &amp; c/d \xc3\xa4!",  /* PHP's htmlspecialchars */
	};
	struct redactor *r = redactor_for(value, strlen(value));
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		expect_form(r, forms[i]);
	redactor_free(r);
	r = redactor_for("a*b~c d.e", 9);
	expect_form(r, "a*b%7Ec+d.e"); /* a form's field, as browsers have it */
	expect_form(r, "a%2Ab~c+d.e"); /* Python's quote_plus */
	redactor_free(r);
	assert_int_equal(n_misses, 0);
}

static void expect_text(const struct redactor *r, const char *text, const char *want)
{
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		char *got cleanup_free = redact(r, text, strlen(text), cut);
		assert_string_equal(got, want);
	}
}

/* guard: add_line in vault/redact/redact_encode.c */
static void test_threat_30_lines(void **state)
{
	(void)state;
	static const char value[] = "first line\n  second line\r\nshort\nfourth line";
	struct redactor *r = redactor_for(value, strlen(value));
	expect_text(r, value, "[redacted:S]");
	expect_text(r, "a first line b", "a [redacted:S] b");
	expect_text(r, "first line\r\nsecond line\r\nshort\r\nfourth line\r\n",
	            "[redacted:S]\r\n[redacted:S]\r\nshort\r\n[redacted:S]\r\n"); /* a short line is masked with the whole only */
	expect_text(r, "first line second line short fourth line", "[redacted:S] [redacted:S] short [redacted:S]");
	expect_text(r, "7365636f6e64206c696e65", "[redacted:S]"); /* second line, in hex */
	redactor_free(r);

	/* One line with blanks around it, which `echo $SECRET` leaves out. */
	r = redactor_for("  the token\r", 12);
	expect_text(r, "  the token\r", "[redacted:S]");
	expect_text(r, "=the token=", "=[redacted:S]=");
	redactor_free(r);

	/* A value that ends with a newline, as `echo` makes one. */
	r = redactor_for("the token\n", 10);
	expect_text(r, "=the token=", "=[redacted:S]=");
	redactor_free(r);
}

/* `base64` breaks its lines at 76 columns, PEM at 64. guard: add_base64_lines in vault/redact/redact_encode.c */
static void test_threat_30_wrapped_base64(void **state)
{
	(void)state;
	unsigned char value[200];
	for (size_t columns = 64; columns <= 76; columns += 12) {
		struct buf text cleanup_buf = BUF_INIT;
		char base64[300];
		randombytes_buf(value, sizeof(value));
		for (size_t i = 0; i < sizeof(value); i++)
			value[i] = (unsigned char)(value[i] | 0x80); /* no newline */
		sodium_bin2base64(base64, sizeof(base64), value, sizeof(value), sodium_base64_VARIANT_ORIGINAL);
		for (size_t at = 0; at < strlen(base64); at += columns)
			buf_addf(&text, "%.*s\n", (int)columns, base64 + at);
		struct redactor *r = redactor_for((char *)value, sizeof(value));
		char *got cleanup_free = redact(r, text.data, text.len, 100);
		for (size_t i = 0; i + 8 <= strlen(base64); i++) {
			char piece[9] = {0};
			memcpy(piece, base64 + i, 8);
			assert_null(strstr(got, piece));
		}
		redactor_free(r);
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_threat_29_threat_30_random_secrets),
	    cmocka_unit_test(test_threat_30_known_forms),
	    cmocka_unit_test(test_threat_30_lines),
	    cmocka_unit_test(test_threat_30_wrapped_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
