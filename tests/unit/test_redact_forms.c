/* Redaction of encoded secrets, by encoders that are not ours. THREATS 29, 30. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/redact.h"
#include <curl/curl.h>
#include <jansson.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECRETS 40

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

static size_t n_cases;

/* The text, of which the bytes from..to-1 are the secret's, cut at every place. */
static void expect_masked(const struct redactor *r, const char *text, size_t from, size_t to)
{
	struct buf want cleanup_buf = BUF_INIT;
	size_t len = strlen(text);
	buf_add(&want, text, from);
	buf_adds(&want, "[redacted:S]");
	buf_adds(&want, text + to);
	for (size_t cut = 0; cut <= len; cut++) {
		char *got cleanup_free = redact(r, text, len, cut);
		assert_string_equal(got, want.data);
		n_cases++;
	}
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

static void check_url(const struct redactor *r, const char *value, size_t len)
{
	char *text = curl_easy_escape(NULL, value, (int)len);
	expect_form(r, text);
	curl_free(text);
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
	check_url(r, value, len);
	redactor_free(r);
}

static void random_secret(struct buf *ret)
{
	static const char *const pieces[] = {"/",    "+",  "%", "\"", "\\", "'", "&", "<", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x94\x91",
	                                     "\x1b", "\t", " "};
	uint32_t len = 8 + randombytes_uniform(30), odd = randombytes_uniform(3) * 20;
	while (ret->len < len) {
		if (randombytes_uniform(100) < odd)
			buf_adds(ret, pieces[randombytes_uniform(sizeof(pieces) / sizeof(*pieces))]);
		else
			buf_addc(ret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[randombytes_uniform(64)]);
	}
}

static void test_random_secrets(void **state)
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
	printf("%zu cases\n", n_cases);
}

static void test_known_forms(void **state)
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
}

static void expect_text(const struct redactor *r, const char *text, const char *want)
{
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		char *got cleanup_free = redact(r, text, strlen(text), cut);
		assert_string_equal(got, want);
	}
}

static void test_lines(void **state)
{
	(void)state;
	static const char value[] = "first line\n  second line\r\nshort\nfourth line";
	struct redactor *r = redactor_for(value, strlen(value));
	expect_form(r, value);
	expect_text(r, "a first line b", "a [redacted:S] b");
	expect_text(r, "first line\r\nsecond line\r\nshort\r\nfourth line\r\n",
	            "[redacted:S]\r\n[redacted:S]\r\nshort\r\n[redacted:S]\r\n"); /* a short line is masked with the whole only */
	expect_text(r, "first line second line short fourth line", "[redacted:S] [redacted:S] short [redacted:S]");
	expect_text(r, "7365636f6e64206c696e65", "[redacted:S]"); /* second line, in hex */
	redactor_free(r);

	/* A value that ends with a newline, as `echo` makes one. */
	r = redactor_for("the token\n", 10);
	expect_text(r, "=the token=", "=[redacted:S]=");
	redactor_free(r);
}

/* `base64` breaks its lines at 76 columns, PEM at 64. */
static void test_wrapped_base64(void **state)
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
	    cmocka_unit_test(test_random_secrets),
	    cmocka_unit_test(test_known_forms),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_wrapped_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
