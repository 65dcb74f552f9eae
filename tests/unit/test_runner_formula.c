/* What the runner offers to those who write formulas: outputs, limits of single steps, clean-up, artifacts. */
#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "runner/account.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

#define FOREVER "while :; do sleep 1000; done"
#define MIB ((size_t)1 << 20)

static const struct box_secret token = {"TOKEN", "t0p-secret-value"};
#define WITH_TOKEN ",\"secrets\":[\"TOKEN\"]"

/* A step: its script, and further members as JSON text that begins with a comma. */
struct step {
	const char *script, *members;
};

/* Steps s1, s2, …, after `head` (members of the formula). Caller frees. */
static char *formula_of(const char *head, size_t n, const struct step steps[])
{
	struct buf b = BUF_INIT;

	buf_adds(&b, head);
	for (size_t i = 0; i < n; i++) {
		char id[24];
		snprintf(id, sizeof(id), "s%zu", i + 1);
		char *step cleanup_free = job_step(id, steps[i].script);
		step[strlen(step) - 1] = '\0';
		buf_addf(&b, "%s%s%s}", i ? "," : ",\"steps\":[", step, steps[i].members ? steps[i].members : "");
	}
	buf_addc(&b, ']');
	return buf_steal(&b);
}
#define FORMULA(head, ...) \
	formula_of(head, sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step), (const struct step[]){__VA_ARGS__})

static void assert_end(struct box *b, const char *outcome, int code, const char *reason)
{
	box_wait(b);
	assert_string_equal(box_outcome(b), outcome);
	assert_string_equal(box_reason(b), reason);
	assert_int_equal(json_integer_value(json_object_get(box_report(b), "exit_code")), code);
	assert_int_equal(b->status, code);
}

/* The n-th frame of that kind whose member is so; member NULL: any. */
static const json_t *frame_of(const struct box *b, const char *kind, const char *member, const char *value, size_t n)
{
	size_t i;
	const json_t *frame;

	json_array_foreach (b->frames, i, frame) {
		const char *is = member ? json_string_value(json_object_get(frame, member)) : NULL;
		if (strcmp(json_string_value(json_object_get(frame, "t")), kind) != 0 || (member && (!is || strcmp(is, value) != 0)))
			continue;
		if (n-- == 0)
			return frame;
	}
	return NULL;
}

static const char *output_of(const struct box *b, const char *name)
{
	return json_string_value(json_object_get(frame_of(b, "output", "name", name, 0), "value"));
}

static int exit_code_of(const struct box *b, size_t n)
{
	return (int)json_integer_value(json_object_get(frame_of(b, "step", "state", "end", n), "exit_code"));
}

/* ---- outputs ---- */

static void outputs_become_inputs(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA("", {"echo version=1.2 >>$DISINTO_OUTPUT; printf 'note=a=b \\tc' >>\"$DISINTO_OUTPUT\"", NULL},
	                                     {"echo \"$INPUT_VERSION|$INPUT_NOTE|$INPUT_GIVEN\"; echo version=1.3 >>$DISINTO_OUTPUT", NULL},
	                                     {"echo \"$INPUT_VERSION\"; ! test -s $DISINTO_OUTPUT", NULL});
	struct box *b cleanup_box = box_run_formula(NULL, ",\"inputs\":{\"given\":\"yes\"}", formula, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "1.2|a=b \tc|yes\n1.3\n");
	assert_string_equal(output_of(b, "version"), "1.2");
	assert_string_equal(output_of(b, "note"), "a=b \tc");
	assert_string_equal(json_string_value(json_object_get(frame_of(b, "output", "name", "version", 1), "value")), "1.3");
	assert_string_equal(json_string_value(json_object_get(frame_of(b, "output", "name", "version", 1), "step")), "s2");
}

/* guard: outputs_take redacts with output_text before anybody gets the value */
static void threat_31_outputs_are_redacted(void **state)
{
	(void)state;
	char *formula cleanup_free =
	    FORMULA("", {"echo \"url=https://$TOKEN@x\" >>$DISINTO_OUTPUT", NULL}, {"echo $INPUT_URL | tr a-z A-Z", ",\"secrets\":[]"});
	struct box *b cleanup_box = box_run_formula(NULL, WITH_TOKEN, formula, &token, 1);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(output_of(b, "url"), "https://[redacted:TOKEN]@x");
	assert_string_equal(b->text[0].data, "HTTPS://[REDACTED:TOKEN]@X\n");
}

/* guard: each check in take() and take_line() of runner/outputs.c */
static void what_is_no_output_fails_its_step(void **state)
{
	(void)state;
	static const struct {
		const char *script, *reason;
	} cases[] = {
	    {"echo; echo version >>$DISINTO_OUTPUT", "line 1: is no name=value"},
	    {"printf 'a=1\\n\\nB=2\\n' >>$DISINTO_OUTPUT",
	     "line 3: begins with no name: a-z, 0-9 and _, beginning with a letter, at most 64 characters, then ="},
	    {"printf 'a =1\\n' >>$DISINTO_OUTPUT",
	     "line 1: begins with no name: a-z, 0-9 and _, beginning with a letter, at most 64 characters, then ="},
	    {"printf 'a=\\000\\n' >>$DISINTO_OUTPUT", "line 1: holds a NUL"},
	    {"printf 'a=\\377\\n' >>$DISINTO_OUTPUT", "line 1: the value of a: invalid UTF-8 at byte 0"},
	    {"printf 'a=x\\033[2J\\n' >>$DISINTO_OUTPUT", "line 1: the value of a: character U+001B at byte 1 is not allowed"},
	    {"echo given=2 >>$DISINTO_OUTPUT", "line 1: given is an input of the action; name the output otherwise"},
	    {"echo t0p_secret_value=2 >>$DISINTO_OUTPUT", "line 1: has a secret in its name"},
	    {"printf 'a=%4097d\\n' 1 >>$DISINTO_OUTPUT", "line 1: the value of a is longer than 4096 bytes"},
	    {"for i in $(seq 65); do echo n$i=x; done >>$DISINTO_OUTPUT", "line 65: is one more than the 64 outputs that a run may have"},
	    {"head -c 600000 /dev/zero >>$DISINTO_OUTPUT", "is larger than 524288 bytes"},
	};
	static const struct box_secret name = {"TOKEN", "t0p_secret_value"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *formula cleanup_free = FORMULA("", {cases[i].script, NULL}, {"echo later", NULL});
		char *reason cleanup_free = xasprintf("step s1: $DISINTO_OUTPUT: %s", cases[i].reason);
		struct box *b cleanup_box = box_run_formula(NULL, WITH_TOKEN ",\"inputs\":{\"given\":\"1\"}", formula, &name, 1);

		box_wait(b);
		if (strncmp(box_reason(b), reason, strlen(reason)) != 0)
			fail_msg("%s, not %s", box_reason(b), reason);
		assert_string_equal(box_outcome(b), "failed");
		assert_int_equal(exit_code_of(b, 0), 1);
		assert_int_equal(b->status, 1);
		assert_null(strstr(b->text[0].data, "later"));
	}
}

/* Its exit code is the better reason; what it wrote until then is there for the clean-up. */
static void a_failed_step_still_has_outputs(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA("", {"echo id=42 >>$DISINTO_OUTPUT; echo nonsense >>$DISINTO_OUTPUT; exit 9", NULL},
	                                     {"echo \"undo $INPUT_ID\"", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);

	assert_end(b, "failed", 9, "step s1 exited with 9");
	assert_string_equal(b->text[0].data, "undo 42\n");
}

/* guard: the file stands in a folder of root's, and outputs_take reads by its own descriptor */
static void the_output_file_stays_ours(void **state)
{
	(void)state;
	char *formula cleanup_free =
	    FORMULA("",
	            {"echo kept=1 >>$DISINTO_OUTPUT; ! rm -f $DISINTO_OUTPUT 2>/dev/null; ! mv /tmp/x $DISINTO_OUTPUT 2>/dev/null;"
	             "! ln -s /etc/passwd /run/secrets/x 2>/dev/null; chmod 0 $DISINTO_OUTPUT; "
	             "(sleep 0.1; echo late=1 >/proc/self/fd/3) 3>>$DISINTO_OUTPUT & true",
	             NULL},
	            {"chmod 600 $DISINTO_OUTPUT; echo \"$INPUT_KEPT ${INPUT_LATE-none}\"; echo more=2 >>$DISINTO_OUTPUT", NULL});
	struct box *b cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "1 none\n");
	assert_string_equal(output_of(b, "more"), "2");
}

/* ---- the account ---- */

#define WHO "id -un; id -gn; getent passwd 10001; ls -ld /task | cut -d' ' -f3,4"

static void the_uid_has_a_name(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, WHO "; getent passwd disinto; getent group disinto 10001");

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "disinto\ndisinto\ndisinto:x:10001:10001:disinto:/task:/bin/sh\ndisinto disinto\n"
	                                     "disinto:x:10001:10001:disinto:/task:/bin/sh\ndisinto:x:10001:\ndisinto:x:10001:\n");
	/* Whose names the image has keeps them. */
	struct box *others cleanup_box = box_run(NULL, "id -un 4242; getent passwd other; ! getent passwd 4711; getent group root");
	assert_end(others, "succeeded", 0, "none");
	assert_string_equal(others->text[0].data, "other\nother:x:4242:4242::/:/bin/sh\nroot:x:0:\n");
}

/* What the service is for. ssh speaks of its user before it reads anything else. */
static void ssh_takes_the_uid_for_a_user(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "ssh -G forge.example | grep -x -e 'user disinto' -e 'hostname forge.example'");
	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "user disinto\nhostname forge.example\n");

	struct box *without cleanup_box = box_run(&(struct box_options){.account_mode = ""}, "ssh -G forge.example");
	assert_end(without, "failed", 255, "step only exited with 255");
	assert_non_null(strstr(without->text[1].data, "No user exists for uid 10001"));
}

/* guard: is_ours in runner/account.c */
static void a_folder_of_others_is_not_used(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(&(struct box_options){.account_mode = "mode=0777"}, "! ls /var/run/nscd/socket; ! id -un");

	assert_end(b, "succeeded", 0, "none");
}

/* guard: ACCOUNT_CLIENTS in runner/account.h: nobody keeps others from being answered, and no answer waits for anybody */
static void who_asks_nothing_blocks_nobody(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "perl -MIO::Socket::UNIX -e '$SIG{PIPE} = \"IGNORE\"; "
	                                          "@s = map { IO::Socket::UNIX->new(\"/var/run/nscd/socket\") or die } 1..50; "
	                                          "$s[49]->syswrite(\"x\" x 5000); print `id -un`; $s[0]->syswrite(\"late\")'");

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(b->text[0].data, "disinto\n");
}

static void answers_are_for_whole_questions(void **state)
{
	(void)state;
	struct {
		int32_t version, type, key_len;
		char key[16];
	} ask = {.version = 2, .type = 1, .key_len = 6, .key = "10001"};
	const size_t head = 3 * sizeof(int32_t);
	struct buf good cleanup_buf = BUF_INIT, bad cleanup_buf = BUF_INIT;

	account_answer(10001, &ask, head + 6, &good);
	assert_int_equal(good.len, 9 * sizeof(int32_t) + 8 + 2 + 8 + 6 + 8);
	for (size_t len = 0; len < head + 6; len++)
		account_answer(10001, &ask, len, &bad);
	account_answer(10001, &ask, head + 7, &bad);
	account_answer(10002, &ask, head + 6, &bad);
	for (int type = -1; type < 30; type++) {
		ask.type = type;
		if (type != 1 && type != 3)
			account_answer(10001, &ask, head + 6, &bad);
	}
	ask.type = 1;
	ask.version = 1;
	account_answer(10001, &ask, head + 6, &bad);
	ask.version = 2;
	ask.key_len = INT32_MIN;
	account_answer(10001, &ask, head + 6, &bad);
	ask.key_len = 5; /* without its NUL */
	account_answer(10001, &ask, head + 5, &bad);
	assert_int_equal(bad.len, 0);
}

/* ---- limits and clean-up ---- */

static const char *const short_step[] = {"PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", "DISINTO_TEST_STEP_TIMEOUT_MS=300", NULL};
static const char *const short_run[] = {"PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", "DISINTO_TEST_TIMEOUT_MS=300", NULL};

static void a_step_has_a_limit_of_its_own(void **state)
{
	(void)state;
	const struct box_options o = {.sanitized = true, .env = short_step};
	char *formula cleanup_free = FORMULA(",\"grace_seconds\":5", {"sleep 0.5", NULL}, {"echo here; " FOREVER, ",\"timeout_minutes\":2"},
	                                     {"echo never", NULL}, {"echo cleaned", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_run_formula(&o, "", formula, NULL, 0);

	assert_end(b, "timed_out", 124, "the step's time limit of 2 minutes passed (step s2)");
	assert_string_equal(b->text[0].data, "here\ncleaned\n");
	assert_int_equal(exit_code_of(b, 1), 143);
}

static void clean_up_follows_a_failure(void **state)
{
	(void)state;
	char *formula cleanup_free =
	    FORMULA("", {"echo one", ",\"if\":\"always\""}, {"exit 7", NULL}, {"echo never", NULL},
	            {"echo two; exit 8", ",\"if\":\"always\""}, {"echo never", NULL}, {"echo three", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);

	assert_end(b, "failed", 7, "step s2 exited with 7");
	assert_string_equal(b->text[0].data, "one\ntwo\nthree\n");
	assert_int_equal(exit_code_of(b, 2), 8);
}

static void a_clean_up_that_fails_alone_fails_the_run(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA("", {"true", NULL}, {"exit 8", ",\"if\":\"always\""}, {"echo never", NULL});
	struct box *b cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);

	assert_end(b, "failed", 8, "step s2 exited with 8");
	assert_string_equal(b->text[0].data, "");
}

static void clean_up_follows_a_cancel(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA(",\"grace_seconds\":30", {"echo here; " FOREVER, NULL}, {"echo never", NULL},
	                                     {"sleep 0.3; echo cleaned", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_go(NULL, "", formula, NULL, 0);

	box_until_text(b, 0, "here");
	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, "it was told to stop (step s1)");
	assert_string_equal(b->text[0].data, "here\ncleaned\n");
}

static void clean_up_follows_the_time_limit(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA(",\"grace_seconds\":30", {"echo here; " FOREVER, NULL}, {"echo never", NULL},
	                                     {"sleep 0.5; echo cleaned", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_run_formula(&(struct box_options){.sanitized = true, .env = short_run}, "", formula, NULL, 0);

	assert_end(b, "timed_out", 124, "the time limit of 60 minutes passed (step s1)");
	assert_string_equal(b->text[0].data, "here\ncleaned\n");
}

/* guard: clean_up_is_over in runner/steps.c; without it these two never end */
static void clean_up_has_the_grace_and_no_more(void **state)
{
	(void)state;
	char *formula cleanup_free =
	    FORMULA(",\"grace_seconds\":1", {"echo here; trap '' TERM; " FOREVER, NULL},
	            {"trap '' TERM; echo cleaning; " FOREVER, ",\"if\":\"always\""}, {"echo more", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_go(NULL, "", formula, NULL, 0);

	box_until_text(b, 0, "here");
	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, "it was told to stop (step s1)");
	assert_string_equal(b->text[0].data, "here\ncleaning\n");
	assert_int_equal(exit_code_of(b, 1), 137);
}

static void a_second_cancel_ends_the_clean_up(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA(",\"grace_seconds\":300", {"echo here; " FOREVER, NULL},
	                                     {"echo cleaning; " FOREVER, ",\"if\":\"always\""}, {"echo more", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_go(NULL, "", formula, NULL, 0);

	box_until_text(b, 0, "here");
	kill(b->init, SIGTERM);
	box_until_text(b, 0, "cleaning");
	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, "it was told to stop (step s1)");
	assert_string_equal(b->text[0].data, "here\ncleaning\n");
}

/* A cancel that comes while it is cleaned up after a failure: TERM for that step, its grace for the rest; the failure stays the reason. */
static void a_cancel_of_a_clean_up_keeps_the_failure(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA(",\"grace_seconds\":30", {"exit 7", NULL}, {"echo cleaning; " FOREVER, ",\"if\":\"always\""},
	                                     {"echo more", ",\"if\":\"always\""});
	struct box *b cleanup_box = box_go(NULL, "", formula, NULL, 0);

	box_until_text(b, 0, "cleaning");
	kill(b->init, SIGTERM);
	assert_end(b, "failed", 7, "step s1 exited with 7");
	assert_string_equal(b->text[0].data, "cleaning\nmore\n");
	assert_int_equal(exit_code_of(b, 1), 143);
}

/* ---- artifacts ---- */

#define KEEP "mkdir -p artifacts; cd artifacts; "

/* The content of the artifact, put together and compared with its digest; what is not whole fails the test. Caller frees. */
static void artifact_read(const struct box *b, const char *name, struct buf *ret)
{
	unsigned char piece[ARTIFACT_PIECE + 1], digest[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(digest) + 1];
	bool open = false;
	size_t i;
	const json_t *frame;

	json_array_foreach (b->frames, i, frame) {
		const char *t = json_string_value(json_object_get(frame, "t"));
		const char *d = json_string_value(json_object_get(frame, "d"));
		if (strcmp(t, "artifact") == 0) {
			open = strcmp(json_string_value(json_object_get(frame, "name")), name) == 0;
			if (open)
				assert_int_equal(ret->len, 0);
		} else if (open && strcmp(t, "artifact_data") == 0) {
			size_t n;
			assert_int_equal(
			    sodium_base642bin(piece, sizeof(piece), d, strlen(d), NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
			buf_add(ret, piece, n);
		} else if (open && strcmp(t, "artifact_end") == 0) {
			crypto_hash_sha256(digest, (unsigned char *)ret->data, ret->len);
			sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
			assert_string_equal(json_string_value(json_object_get(frame, "sha256")), hex);
			assert_int_equal(json_integer_value(json_object_get(frame_of(b, "artifact", "name", name, 0), "size")), ret->len);
			return;
		}
	}
	fail_msg("no artifact %s", name);
}

static const char *why_left_out(const struct box *b, const char *name)
{
	const char *reason = json_string_value(json_object_get(frame_of(b, "artifact_left_out", "name", name, 0), "reason"));
	return reason ? reason : "not left out";
}

static void artifacts_are_sent_whole(void **state)
{
	(void)state;
	struct buf text cleanup_buf = BUF_INIT, empty cleanup_buf = BUF_INIT, large cleanup_buf = BUF_INIT;
	char *formula cleanup_free =
	    FORMULA("", {KEEP "echo hello >a.txt; : >empty; chmod 0400 a.txt; umask 077; seq 100000 >large", NULL}, {"exit 3", NULL});
	struct box *b cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);

	assert_end(b, "failed", 3, "step s2 exited with 3");
	artifact_read(b, "a.txt", &text);
	assert_string_equal(text.data, "hello\n");
	artifact_read(b, "empty", &empty);
	assert_int_equal(empty.len, 0);
	artifact_read(b, "large", &large);
	assert_int_equal(large.len, 588895);
	assert_non_null(strstr(large.data, "\n77777\n"));
	assert_null(frame_of(b, "artifact_left_out", NULL, NULL, 0));
}

/* guard: is_clean in runner/artifacts.c */
static void threat_31_an_artifact_with_a_secret_is_withheld(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA("", {KEEP "echo \"a $TOKEN\" >plain; head -c 65530 /dev/zero >far; printf %s \"$TOKEN\" >>far;"
	                                               "printf %s \"$TOKEN\" | base64 >coded; echo fine >good; : >$TOKEN",
	                                          NULL});
	struct box *b cleanup_box = box_run_formula(NULL, WITH_TOKEN, formula, &token, 1);
	struct buf good cleanup_buf = BUF_INIT;

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(why_left_out(b, "plain"), "a secret stands in it, or it can't be read");
	assert_string_equal(why_left_out(b, "far"), "a secret stands in it, or it can't be read");
	assert_string_equal(why_left_out(b, "coded"), "a secret stands in it, or it can't be read");
	assert_string_equal(why_left_out(b, "[redacted:TOKEN]"), "a secret stands in its name");
	assert_null(frame_of(b, "artifact", "name", "plain", 0));
	artifact_read(b, "good", &good);
	assert_string_equal(good.data, "fine\n");
}

/* guard: O_NOFOLLOW, S_ISREG, vault_is_artifact in take() of runner/artifacts.c */
static void only_plain_files_are_sent(void **state)
{
	(void)state;
	char *formula cleanup_free =
	    FORMULA("", {KEEP "ln -s /etc/hostname link; ln -s good tolink; mkdir folder; mkfifo pipe; echo x >.hidden; echo x >'a b';"
	                      "echo x >\"$(printf 'a\\nb\\033')\"; echo x >-rf; echo yes >good; : >closed; chmod 0 closed",
	                 NULL});
	struct box *b cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);
	struct buf good cleanup_buf = BUF_INIT;
	static const char *const no_file = "it is no plain file; pack folders into an archive";

	assert_end(b, "succeeded", 0, "none");
	assert_string_equal(why_left_out(b, "link"), no_file);
	assert_string_equal(why_left_out(b, "tolink"), no_file);
	assert_string_equal(why_left_out(b, "folder"), no_file);
	assert_string_equal(why_left_out(b, "pipe"), no_file);
	assert_string_equal(why_left_out(b, "closed"), "it can't be opened");
	static const char *const names[] = {".hidden", "a b", "a\nb\033", "-rf"};
	for (size_t i = 0; i < 4; i++)
		assert_non_null(strstr(why_left_out(b, names[i]), "such a name is not allowed"));
	artifact_read(b, "good", &good);
	assert_string_equal(good.data, "yes\n");
	assert_null(frame_of(b, "artifact", NULL, NULL, 1));
}

/* A link in place of the folder itself would show files of another one. */
static void the_folder_is_no_link(void **state)
{
	(void)state;
	struct box *b cleanup_box = box_run(NULL, "ln -s /etc artifacts");

	assert_end(b, "succeeded", 0, "none");
	assert_null(frame_of(b, "artifact", NULL, NULL, 0));
	assert_null(frame_of(b, "artifact_left_out", NULL, NULL, 0));
}

/* guard: the bounds in take() and say_rest() */
static void artifacts_are_bounded(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA("", {KEEP "for i in $(seq 200); do echo $i >n$i; done", NULL});
	struct box *many cleanup_box = box_run_formula(NULL, "", formula, NULL, 0);
	assert_end(many, "succeeded", 0, "none");
	assert_non_null(frame_of(many, "artifact_end", NULL, NULL, 63));
	assert_null(frame_of(many, "artifact", NULL, NULL, 64));
	assert_non_null(frame_of(many, "artifact_left_out", "reason", "a run has at most 64 artifacts", 63));
	assert_null(frame_of(many, "artifact_left_out", "reason", "a run has at most 64 artifacts", 64));
	assert_non_null(frame_of(many, "artifact_left_out", "reason", "72 more were left out", 0));

	char *large cleanup_free =
	    FORMULA("", {KEEP "truncate -s 10M a; truncate -s 7M b; truncate -s 6M c; truncate -s 17M d; truncate -s 9E e || :", NULL});
	struct box *b cleanup_box = box_run_formula(NULL, "", large, NULL, 0);
	struct buf a cleanup_buf = BUF_INIT, c cleanup_buf = BUF_INIT;
	assert_end(b, "succeeded", 0, "none");
	artifact_read(b, "a", &a);
	assert_int_equal(a.len, 10 * MIB);
	artifact_read(b, "c", &c);
	assert_int_equal(c.len, 6 * MIB);
	assert_string_equal(why_left_out(b, "b"), "a run's artifacts have at most 16 MiB together");
	assert_string_equal(why_left_out(b, "d"), "a run's artifacts have at most 16 MiB together");
}

/* They come after the log of all steps and before the report, and a cancelled run has them too. */
static void artifacts_come_last(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA("", {KEEP "echo x >a; echo here; " FOREVER, NULL});
	struct box *b cleanup_box = box_go(NULL, "", formula, NULL, 0);

	box_until_text(b, 0, "here");
	kill(b->init, SIGTERM);
	assert_end(b, "cancelled", 130, "it was told to stop (step s1)");
	size_t n = json_array_size(b->frames);
	assert_string_equal(json_string_value(json_object_get(json_array_get(b->frames, n - 2), "t")), "artifact_end");
	assert_string_equal(json_string_value(json_object_get(json_array_get(b->frames, n - 5), "state")), "end");
}

static void the_sanitizers_find_nothing(void **state)
{
	(void)state;
	char *formula cleanup_free = FORMULA(
	    "", {KEEP "echo a=$TOKEN >>$DISINTO_OUTPUT; echo $TOKEN >plain; seq 100000 >large; ln -s x link; echo here; exit 1", NULL},
	    {"echo \"$INPUT_A\"; echo b >>$DISINTO_OUTPUT", ",\"if\":\"always\",\"timeout_minutes\":1"});
	struct box *b cleanup_box = box_run_formula(&(struct box_options){.sanitized = true}, WITH_TOKEN, formula, &token, 1);

	assert_end(b, "failed", 1, "step s1 exited with 1");
	assert_string_equal(b->text[0].data, "here\n[redacted:TOKEN]\n");
	assert_string_equal(b->text[1].data, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    box_test(outputs_become_inputs),
	    box_test(threat_31_outputs_are_redacted),
	    box_test(what_is_no_output_fails_its_step),
	    box_test(a_failed_step_still_has_outputs),
	    box_test(the_output_file_stays_ours),
	    box_test(the_uid_has_a_name),
	    box_test(ssh_takes_the_uid_for_a_user),
	    box_test(a_folder_of_others_is_not_used),
	    box_test(who_asks_nothing_blocks_nobody),
	    box_test(answers_are_for_whole_questions),
	    box_test(a_step_has_a_limit_of_its_own),
	    box_test(clean_up_follows_a_failure),
	    box_test(a_clean_up_that_fails_alone_fails_the_run),
	    box_test(clean_up_follows_a_cancel),
	    box_test(clean_up_follows_the_time_limit),
	    box_test(clean_up_has_the_grace_and_no_more),
	    box_test(a_second_cancel_ends_the_clean_up),
	    box_test(a_cancel_of_a_clean_up_keeps_the_failure),
	    box_test(artifacts_are_sent_whole),
	    box_test(threat_31_an_artifact_with_a_secret_is_withheld),
	    box_test(only_plain_files_are_sent),
	    box_test(the_folder_is_no_link),
	    box_test(artifacts_are_bounded),
	    box_test(artifacts_come_last),
	    box_test(the_sanitizers_find_nothing),
	};

	if (sodium_init() < 0)
		return 1;
	cmocka_set_test_filter(getenv("DISINTO_TEST_ONLY")); /* NULL: all */
	return box_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
}
