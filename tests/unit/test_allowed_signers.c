/* allowed_signers: the same answer as ssh-keygen gives on the same file, and why not in our words. THREATS 4. */
#include "tests/unit/signing_fixture.h"

#include "vault/ssh/allowed_signers.h"
#include <time.h>

#define AT 1583020800 /* 2020-03-01T00:00:00Z */
#define AT_TEXT "20200301000000Z"

static struct ssh_public_key one, two;
static char *text_of_one, *text_of_two;

static int setup(void **state)
{
	if (begin_dir(state) < 0)
		return -1;
	setenv("TZ", "UTC", 1);
	make_key("one");
	make_key("two");
	one = public_of("one");
	two = public_of("two");
	text_of_one = ssh_public_key_text(&one);
	text_of_two = ssh_public_key_text(&two);
	must_run("echo message >message && ssh-keygen -q -Y sign -n git -f one message", NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	free(text_of_one);
	free(text_of_two);
	return end_dir(state);
}

/* The text with ONE and TWO replaced by keys. */
static void fill(const char *text, struct buf *ret)
{
	for (; *text; text++) {
		if (strncmp(text, "ONE", 3) == 0 || strncmp(text, "TWO", 3) == 0) {
			buf_adds(ret, *text == 'O' ? text_of_one : text_of_two);
			text += 2;
		} else {
			buf_addc(ret, *text);
		}
	}
}

static struct allowed_signers *signers_of(const char *text)
{
	cleanup_buf struct buf filled = BUF_INIT;
	struct err err = ERR_INIT;
	struct allowed_signers *s = NULL;
	fill(text, &filled);
	assert_ok(allowed_signers_parse(filled.data, filled.len, "signers", &s, &err), &err);
	return s;
}

static void expect_names(const char *text, const struct signing *signing, const char *names)
{
	cleanup_allowed_signers struct allowed_signers *s = signers_of(text);
	cleanup_free char *found = NULL;
	struct err err = ERR_INIT;
	assert_ok(allowed_signers_find(s, signing, &found, &err), &err);
	assert_string_equal(found, names);
}

/* `words` with %s where the fingerprint stands. */
static void expect_refusal(const char *text, const struct signing *signing, const char *words)
{
	cleanup_allowed_signers struct allowed_signers *s = signers_of(text);
	cleanup_buf struct buf expected = BUF_INIT;
	char fingerprint[SSH_FINGERPRINT_ROOM];
	char *found = NULL;
	buf_addf(&expected, "the key %s %s", ssh_fingerprint(signing->key, fingerprint), words);
	assert_refused(allowed_signers_find(s, signing, &found, err), ERR_INVALID, expected.data);
	assert_null(found);
}

/* What ssh-keygen says of a signature by ONE in the namespace git at AT, in the name of `principal`. */
static bool theirs_allows(const char *text, const char *principal)
{
	cleanup_buf struct buf filled = BUF_INIT;
	fill(text, &filled);
	write_in("signers", filled.data, filled.len);
	return shell(NULL, "ssh-keygen -q -Y verify -f signers -I \"$1\" -n git -s message.sig -O verify-time=" AT_TEXT " <message",
	             principal, NULL) == 0;
}

static void test_as_ssh_keygen(void **state)
{
	(void)state;
	static const char *const files[] = {
	    "a@x ONE\n",
	    "a@x ONE comment\n",
	    "a@x ONE",
	    "a@x\tONE\n",
	    "  a@x   ONE\n",
	    "# comment\n\n \t\na@x ONE\n",
	    "a@x ONE\r\n",
	    "a@x TWO\n",
	    "b@x ONE\na@x ONE\n",
	    "a@x TWO\na@x ONE\n",
	    "b@x,a@x,c@x ONE\n",
	    "\"b@x,a@x\" ONE\n",
	    "*@x ONE\n",
	    "?@x ONE\n",
	    "??@x ONE\n",
	    "a@* ONE\n",
	    "*a*@*x* ONE\n",
	    "* ONE\n",
	    "*@x,!a@x ONE\n",
	    "!a@x,*@x ONE\n",
	    "!b@x,*@x ONE\n",
	    "!a@x ONE\n",
	    "!b@x ONE\n",
	    "A@x ONE\n",
	    "a@x namespaces=\"git\" ONE\n",
	    "a@x namespaces=\"file,git\" ONE\n",
	    "a@x namespaces=\"file\" ONE\n",
	    "a@x namespaces=\"g*\" ONE\n",
	    "a@x namespaces=\"*,!git\" ONE\n",
	    "a@x namespaces=\"\" ONE\n",
	    "a@x NameSpaces=\"git\" ONE\n",
	    "a@x namespaces=\"file\" ONE\na@x namespaces=\"git\" ONE\n",
	    "a@x valid-after=\"20200301Z\" ONE\n",
	    "a@x valid-after=\"20200301000001Z\" ONE\n",
	    "a@x valid-after=\"20200229Z\" ONE\n",
	    "a@x valid-before=\"20200301Z\" ONE\n",
	    "a@x valid-before=\"20200229235959Z\" ONE\n",
	    "a@x valid-before=\"202002292359Z\" ONE\n",
	    "a@x valid-before=\"20200301\" ONE\n",
	    "a@x valid-after=\"20200101Z\",valid-before=\"20210101Z\" ONE\n",
	    "a@x namespaces=\"git\",valid-after=\"20200101Z\",valid-before=\"20200201Z\" ONE\n",
	    "a@x cert-authority ONE\n",
	    "a@x cert-authority,namespaces=\"git\" ONE\n",
	};
	const struct signing signing = {.key = &one, .namespace = "git", .time = AT, .name = "a@x"};
	size_t allowed = 0;

	for (size_t i = 0; i < ROWS(files); i++) {
		cleanup_allowed_signers struct allowed_signers *s = signers_of(files[i]);
		cleanup_free char *names = NULL;
		cleanup_free char *padded = NULL;
		bool ours = allowed_signers_find(s, &signing, &names, NULL) == 0;

		/* We ask whom the key may speak for, ssh-keygen whether it may for a@x. */
		padded = xasprintf(",%s,", names ? names : "");
		ours = ours && strstr(padded, ",a@x,");
		allowed += ours;
		if (ours != theirs_allows(files[i], "a@x"))
			fail_msg("we say %s, ssh-keygen does not: %s", ours ? "yes" : "no", files[i]);
	}
	assert_int_equal(allowed, 27);
}

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *text, *claimed, *names;
	} rows[] = {
	    {"a@x ONE\n", NULL, "a@x"},
	    {"a@x ONE\n", "b@x", "a@x"}, /* what he says of himself is not believed */
	    {"a@x,b@x ONE\nb@x,c@x ONE\n", "c@x", "a@x,b@x,c@x"},
	    {"operator ONE\n", "b@x", "operator"},
	    {"*@x ONE\n", "b@x", "b@x"},
	    {"*@x,a@y ONE\n", "b@z", "a@y"},
	    {"*@x,a@y ONE\n", "b@x", "a@y,b@x"},
	    {"a@x,!a@* ONE\nb@x ONE\n", "a@x", "b@x"},
	    {"a@x namespaces=\"file\" ONE\nb@x ONE\n", "a@x", "b@x"},
	    {"a@x valid-before=\"20190101Z\" ONE\nb@x ONE\n", "a@x", "b@x"},
	    {"a@x TWO\nb@x ONE\n", "a@x", "b@x"},
	    {"ab@x,a@x ONE\nb@x ONE\n", NULL, "ab@x,a@x,b@x"}, /* no part of a name is taken for it */
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct signing signing = {.key = &one, .namespace = "git", .time = AT, .name = rows[i].claimed};
		expect_names(rows[i].text, &signing, rows[i].names);
	}
}

/* guard: check_line in vault/ssh/allowed_signers.c */
static void test_threat_04_not_allowed(void **state)
{
	(void)state;
	const struct signing signing = {.key = &one, .namespace = "git", .time = AT, .earliest = AT - 10, .name = "b@y"};
	static const struct {
		const char *text, *words;
	} rows[] = {
	    {"", "is not in signers"},
	    {"# a@x ONE\n", "is not in signers"},
	    {"a@x TWO\n", "is not in signers"},
	    {"a@x cert-authority ONE\n", "is not in signers"},
	    {"a@x TWO\na@x namespaces=\"file\" ONE\n", "may not sign in the namespace git (signers, line 2)"},
	    {"a@x valid-after=\"20200302Z\" ONE\n",
	     "is valid from 2020-03-02T00:00:00Z only, and this was signed at 2020-03-01T00:00:00Z (signers, line 1)"},
	    {"a@x valid-before=\"20200228Z\" ONE\n",
	     "expired at 2020-02-28T00:00:00Z, and this was signed at 2020-03-01T00:00:00Z (signers, line 1)"},
	    {"*@x ONE\n", "may sign for '*@x' only, and the signer calls himself otherwise (signers, line 1)"},
	    {"!b@y,*@y ONE\n", "may sign for '!b@y,*@y' only, and the signer calls himself otherwise (signers, line 1)"},
	};
	for (size_t i = 0; i < ROWS(rows); i++)
		expect_refusal(rows[i].text, &signing, rows[i].words);
}

/* A pattern covers what he calls himself only where that is a name. */
static void test_claimed_names(void **state)
{
	(void)state;
	static const char *const claims[] = {NULL,  "",     "a@x,root@x",      "a @x",  "a\x1b@x", "a\"@x",
	                                     "*@x", "!a@x", "a\xe2\x80\xae@x", "\xff@x"};
	for (size_t i = 0; i < ROWS(claims); i++) {
		const struct signing signing = {.key = &one, .namespace = "git", .time = AT, .name = claims[i]};
		expect_refusal("*@x ONE\n", &signing, "may sign for '*@x' only, and the signer calls himself otherwise (signers, line 1)");
	}
}

/* An expired key signs with an old date: what it stands on is newer. */
static void test_dated_back(void **state)
{
	(void)state;
	static const char text[] = "a@x valid-after=\"20200101Z\",valid-before=\"20200401Z\" ONE\n";
	struct signing signing = {.key = &one, .namespace = "git", .time = AT, .earliest = 0};

	expect_names(text, &signing, "a@x");
	signing.earliest = 1585699200; /* 2020-04-01: valid-before itself is inclusive */
	expect_names(text, &signing, "a@x");
	signing.earliest++;
	expect_refusal(text, &signing,
	               "expired at 2020-04-01T00:00:00Z, and this was signed at 2020-04-01T00:00:01Z or later, though it is dated back "
	               "(signers, line 1)");
	/* The other end is the signer's own word alone. */
	signing.time = 0;
	signing.earliest = AT;
	expect_refusal(text, &signing,
	               "is valid from 2020-01-01T00:00:00Z only, and this was signed at 1970-01-01T00:00:00Z (signers, line 1)");
	signing.time = INT64_MAX;
	expect_refusal(text, &signing, "expired at 2020-04-01T00:00:00Z, and this was signed at 9999-12-31T23:59:59Z (signers, line 1)");
}

/* Without Z the time is local, as OpenSSH has it. */
static void test_local_time(void **state)
{
	(void)state;
	struct signing signing = {.key = &one, .namespace = "git", .time = AT - 3600};

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	expect_names("a@x valid-after=\"20200301\" ONE\n", &signing, "a@x");
	signing.time--;
	expect_refusal("a@x valid-after=\"20200301\" ONE\n", &signing,
	               "is valid from 2020-02-29T23:00:00Z only, and this was signed at 2020-02-29T22:59:59Z (signers, line 1)");
	expect_refusal("a@x valid-after=\"20200301Z\" ONE\n", &signing,
	               "is valid from 2020-03-01T00:00:00Z only, and this was signed at 2020-02-29T22:59:59Z (signers, line 1)");
	setenv("TZ", "UTC", 1);
	tzset();
}

static void test_left_out(void **state)
{
	(void)state;
	cleanup_allowed_signers struct allowed_signers *s =
	    signers_of("a@x ONE\n*@x cert-authority ONE\nb@x ssh-rsa AAAA\n# c\nc@x sk-ssh-ed25519@openssh.com AAAA c@laptop\nd@x "
	               "namespaces=\"git\" ecdsa-sha2-nistp256 AAAA\n");

	assert_int_equal(allowed_signers_count(s), 1);
	assert_string_equal(
	    allowed_signers_note(s, 0),
	    "signers: line 2 is left out: certificate authorities are not supported; give each signer a line with his own key");
	assert_string_equal(allowed_signers_note(s, 1), "signers: line 3 is left out: only keys of kind ssh-ed25519 are supported");
	assert_string_equal(allowed_signers_note(s, 2), "signers: line 5 is left out: only keys of kind ssh-ed25519 are supported");
	assert_string_equal(allowed_signers_note(s, 3), "signers: line 6 is left out: only keys of kind ssh-ed25519 are supported");
	assert_null(allowed_signers_note(s, 4));
}

static void test_refused_files(void **state)
{
	(void)state;
	static const char when[] = "valid-after: must be YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z behind it for UTC";
	static const struct {
		const char *line, *words;
	} rows[] = {
	    {"a@x", "the key (ssh-ed25519 AAAA…) is missing"},
	    {"a@x namespaces=\"git\"", "the key (ssh-ed25519 AAAA…) is missing"},
	    {"a@x namespaces=\"git\" comment ONE", "the key (ssh-ed25519 AAAA…) is missing"},
	    {"ONE", "'AAAAC3NzaC1lZDI1NTE5AAAAI"},
	    {"a@x ssh-ed25519", "the key: is no SSH public key (ssh-ed25519 AAAA…)"},
	    {"a@x ssh-ed25519 AAAA", "the key: is no SSH key"},
	    {"a@x bogus ONE",
	     "'bogus' is no option; known ones are namespaces=\"…\", valid-after=\"…\", valid-before=\"…\", cert-authority"},
	    {"a@x no-touch-required ONE",
	     "'no-touch-required' is no option; known ones are namespaces=\"…\", valid-after=\"…\", valid-before=\"…\", cert-authority"},
	    {"a@x cert-authorityx ONE", "options must be separated by commas, without blanks"},
	    {"a@x namespaces=git ONE", "namespaces: its value must stand in double quotes"},
	    {"a@x namespaces=\"git ONE", "namespaces: the closing double quote is missing"},
	    {"a@x namespaces=\"git\"x ONE", "options must be separated by commas, without blanks"},
	    {"a@x namespaces=\"git\", ONE",
	     "'' is no option; known ones are namespaces=\"…\", valid-after=\"…\", valid-before=\"…\", cert-authority"},
	    {"a@x namespaces=\"git\" namespaces=\"git\" ONE", "the key (ssh-ed25519 AAAA…) is missing"},
	    {"a@x namespaces=\"git\",namespaces=\"file\" ONE", "namespaces: is there twice"},
	    {"a@x valid-after=\"20200101Z\",valid-after=\"20190101Z\" ONE", "valid-after: is there twice"},
	    {"a@x valid-before=\"20200101Z\",valid-before=\"20290101Z\" ONE", "valid-before: is there twice"},
	    {"a@x valid-after=20200101Z ONE", "valid-after: its value must stand in double quotes"},
	    {"a@x valid-after=\"2020\" ONE", when},
	    {"a@x valid-after=\"\" ONE", when},
	    {"a@x valid-after=\"20200101z\" ONE", when},
	    {"a@x valid-after=\"20200101ZZ\" ONE", when},
	    {"a@x valid-after=\"2020010112\" ONE", when},
	    {"a@x valid-after=\"202001011200000Z\" ONE", when},
	    {"a@x valid-after=\"2020-01-01\" ONE", when},
	    {"a@x valid-after=\"+2020101Z\" ONE", when},
	    {"a@x valid-after=\"20210229Z\" ONE", "valid-after: there is no such day or time"},
	    {"a@x valid-after=\"20201301Z\" ONE", "valid-after: there is no such day or time"},
	    {"a@x valid-after=\"20200100Z\" ONE", "valid-after: there is no such day or time"},
	    {"a@x valid-before=\"202001012400Z\" ONE", "valid-before: there is no such day or time"},
	    {"a@x valid-before=\"202001011260Z\" ONE", "valid-before: there is no such day or time"},
	    {"a@x valid-before=\"20200101120060Z\" ONE", "valid-before: there is no such day or time"},
	    {"a@x valid-after=\"20200102Z\",valid-before=\"20200101Z\" ONE", "valid-before is not later than valid-after"},
	    {",a@x ONE", "the list of principals has an empty one"},
	    {"a@x, ONE", "the list of principals has an empty one"},
	    {"a@x,,b@x ONE", "the list of principals has an empty one"},
	    {"\"\" ONE", "the list of principals has an empty one"},
	    {"\"a@x ONE", "the list of principals: the closing double quote is missing"},
	    {"\"a@x\"b ONE", "there must be a blank behind the list of principals"},
	    {"a@x ONE \x1b[2J", NULL},
	    {"a\xe2\x80\xae@x ONE", NULL},
	    {"a@x ONE \xff", NULL},
	};
	for (size_t i = 0; i < ROWS(rows); i++) {
		cleanup_free char *with_neighbours = xasprintf("b@x TWO\n%s\nc@x ONE\n", rows[i].line);
		cleanup_free char *expected = xasprintf("signers: line 2: %s", rows[i].words ? rows[i].words : "");
		cleanup_buf struct buf filled = BUF_INIT;
		cleanup_err struct err why = ERR_INIT;
		struct allowed_signers *s = NULL;

		fill(with_neighbours, &filled);
		assert_int_equal(allowed_signers_parse(filled.data, filled.len, "signers", &s, &why), -1);
		assert_int_equal(why.code, ERR_INVALID);
		if (!rows[i].words || strchr(rows[i].words, '\'') == rows[i].words)
			assert_memory_equal(err_msg(&why), expected, strlen(expected));
		else
			assert_string_equal(err_msg(&why), expected);
		assert_null(s);
	}
	struct allowed_signers *s = NULL;
	assert_refused(allowed_signers_parse("# a\0b\n", 6, "signers", &s, err), ERR_INVALID, "signers: has a NUL byte; it must be text");
	cleanup_buf struct buf large = BUF_INIT;
	while (large.len <= ALLOWED_SIGNERS_MAX)
		buf_addc(&large, '\n');
	assert_refused(allowed_signers_parse(large.data, large.len, "signers", &s, err), ERR_INVALID,
	               "signers: has 1048577 bytes; at most 1048576 are allowed");
	assert_int_equal(allowed_signers_parse(large.data, large.len - 1, "signers", &s, NULL), 0);
	assert_int_equal(allowed_signers_count(s), 0);
	allowed_signers_free(s);
}

/* Stars that match too little are tried again, but never exponentially often. */
static void test_patterns_end(void **state)
{
	(void)state;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_buf struct buf name = BUF_INIT;
	for (int i = 0; i < 500; i++)
		buf_adds(&text, "*a");
	buf_adds(&text, "*b ONE\n");
	for (int i = 0; i < 5000; i++)
		buf_addc(&name, 'a');
	const struct signing signing = {.key = &one, .namespace = "git", .time = AT, .name = name.data};
	cleanup_allowed_signers struct allowed_signers *s = signers_of(text.data);
	char *found = NULL;
	assert_int_equal(allowed_signers_find(s, &signing, &found, NULL), -1);
	buf_addc(&name, 'b');
	const struct signing good = {.key = &one, .namespace = "git", .time = AT, .name = name.data};
	assert_int_equal(allowed_signers_find(s, &good, &found, NULL), 0);
	free(found);
}

static void load(const char *script, const char *words)
{
	cleanup_free char *path = in_dir("list");
	cleanup_free char *expected = xasprintf("%s: %s", path, words);
	struct allowed_signers *s = NULL;
	must_run(script, NULL, NULL);
	assert_refused(allowed_signers_load(path, &s, err), ERR_INVALID, expected);
}

static void test_load(void **state)
{
	(void)state;
	cleanup_free char *path = in_dir("list");
	struct allowed_signers *s = NULL;
	struct err err = ERR_INIT;

	for (int i = 0; i < 2; i++) {
		cleanup_free char *words = xasprintf(
		    "others may change it (it belongs to user id %u, its mode is 06%s), and who does could approve anything; run: "
		    "chown root %s && chmod 0644 %s",
		    (unsigned)geteuid(), i ? "46" : "64", path, path);
		load(i ? "chmod 646 list" : "echo \"a@x $(cat one.pub)\" >list; chmod 664 list", words);
	}
	if (geteuid() == 0) {
		cleanup_free char *words = xasprintf(
		    "others may change it (it belongs to user id 12345, its mode is 0644), and who does could approve anything; run: "
		    "chown root %s && chmod 0644 %s",
		    path, path);
		load("chmod 644 list; chown 12345 list", words);
	}
	load("rm list; mkfifo list", "is not a regular file");
	must_run("rm list; echo \"a@x $(cat one.pub)\" >list; chmod 644 list", NULL, NULL);
	assert_ok(allowed_signers_load(path, &s, &err), &err);
	assert_int_equal(allowed_signers_count(s), 1);
	allowed_signers_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_as_ssh_keygen), cmocka_unit_test(test_names),         cmocka_unit_test(test_threat_04_not_allowed),
	    cmocka_unit_test(test_claimed_names), cmocka_unit_test(test_dated_back),    cmocka_unit_test(test_local_time),
	    cmocka_unit_test(test_left_out),      cmocka_unit_test(test_refused_files), cmocka_unit_test(test_patterns_end),
	    cmocka_unit_test(test_load),
	};
	return cmocka_run_group_tests_name("allowed_signers", tests, setup, teardown);
}
