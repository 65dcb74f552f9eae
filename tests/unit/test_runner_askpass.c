/* Git's questions for credentials: which hosts get an answer, and who holds the value. */
#include "runner/askpass.h"
#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

static const char map[] = "forge.example=FORGE_TOKEN other.example:3000=OTHER_TOKEN";

static void exactly_the_hosts_of_the_map_get_an_answer(void **state)
{
	(void)state;
	static const struct {
		const char *question;
		enum askpass_wants wants;
		const char *secret;
	} cases[] = {
	    {"Username for 'https://forge.example': ", ASKPASS_USERNAME, "FORGE_TOKEN"},
	    {"Password for 'https://x-access-token@forge.example': ", ASKPASS_PASSWORD, "FORGE_TOKEN"},
	    {"Password for 'https://forge.example': ", ASKPASS_PASSWORD, "FORGE_TOKEN"},
	    {"Password for 'http://me@forge.example': ", ASKPASS_PASSWORD, "FORGE_TOKEN"},
	    {"Password for 'https://me@FORGE.Example:443': ", ASKPASS_PASSWORD, "FORGE_TOKEN"},
	    {"Password for 'http://forge.example:80': ", ASKPASS_PASSWORD, "FORGE_TOKEN"},
	    {"Password for 'https://forge.example/org/repo.git': ", ASKPASS_PASSWORD, "FORGE_TOKEN"},
	    {"Password for 'https://me@other.example:3000': ", ASKPASS_PASSWORD, "OTHER_TOKEN"},

	    {"Password for 'https://evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example.evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://evil-forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.exampl': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example:8443': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example:80': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://other.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://other.example:300': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://=': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://@': ", ASKPASS_NOTHING, NULL},

	    /* Git shows user names decoded: a URL like https://forge.example%2Fx@evil.example asks so. */
	    {"Password for 'https://forge.example/x@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://evil.example@forge.example@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://evil.example/@forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://x@evil.example/y@forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://x@forge.example/y@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://x'': https://forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example\n@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example\\@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example#@evil.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example ': ", ASKPASS_NOTHING, NULL},

	    {"Password for 'ftp://forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'cert:///forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'HTTPS://forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Enter passphrase for key 'https://forge.example': ", ASKPASS_NOTHING, NULL},
	    {"Password for 'https://forge.example'", ASKPASS_NOTHING, NULL},
	    {"Password for '': ", ASKPASS_NOTHING, NULL},
	    {"", ASKPASS_NOTHING, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char secret[VAULT_SECRET_MAX + 1] = "";
		enum askpass_wants wants = askpass_parse(cases[i].question, map, secret);
		if (wants != cases[i].wants || (cases[i].secret && strcmp(secret, cases[i].secret) != 0))
			fail_msg("%s: %d %s", cases[i].question, (int)wants, secret);
	}
}

static void an_odd_map_gives_nothing(void **state)
{
	(void)state;
	static const char *const maps[] = {"",
	                                   " ",
	                                   "forge.example",
	                                   "forge.example=",
	                                   "forge.example=lower",
	                                   "=X",
	                                   "forge.example =X",
	                                   "forge.example=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		char secret[VAULT_SECRET_MAX + 1];
		assert_int_equal(askpass_parse("Password for 'https://forge.example': ", maps[i], secret), ASKPASS_NOTHING);
	}
}

/* What a step writes to this file is not redacted by anybody. */
#define ASK "ask() { $GIT_ASKPASS \"$1 for 'https://$2': \" >>/shared/said 2>/shared/words || echo \"none\" >>/shared/said; }; "
#define AUTH ",\"git_auth\":{\"forge.example\":\"TOKEN\",\"other.example\":\"OTHER\"}"

static char *said(const struct box *b, const char *name)
{
	char *path cleanup_free = xasprintf("%s/shared/%s", b->dir, name);
	struct buf text = BUF_INIT;
	FILE *f cleanup_file = fopen(path, "r");
	char piece[4096];

	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
		buf_add(&text, piece, n);
	return text.data ? buf_steal(&text) : xstrdup("");
}

static const struct box_secret two[] = {{"TOKEN", "correct-horse\nsecond line"}, {"OTHER", "battery-staple"}};

static struct box *run_ask(const char *formula_members, const char *script)
{
	json_t *step cleanup_json = json_pack("[{s:s, s:s, s:[s]}]", "id", "only", "run", script, "secrets", "TOKEN");
	char *steps cleanup_free = json_dumps(step, JSON_COMPACT);
	char *members cleanup_free = xasprintf("%s,\"steps\":%s", formula_members, steps);
	return box_run_formula(NULL, ",\"secrets\":[\"TOKEN\",\"OTHER\"]", members, two, 2);
}

static void the_helper_answers_for_what_the_step_has(void **state)
{
	(void)state;
	static const char *const ways[] = {"", ",\"secrets_as\":\"env\"", ",\"secrets_as\":\"file\""};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char *members cleanup_free = xasprintf("%s%s", ways[i], AUTH);
		struct box *b cleanup_box = run_ask(members, ASK "ask Username forge.example; ask Password x@forge.example; "
		                                                 "ask Password other.example; ask Password evil.example");
		assert_string_equal(box_outcome(b), "succeeded");
		char *text cleanup_free = said(b, "said");
		assert_string_equal(text, "x-access-token\ncorrect-horse\nnone\nnone\n");
		char *words cleanup_free = said(b, "words");
		assert_non_null(strstr(words, "no credential for git: Password for 'https://evil.example'"));
	}
}

static void the_helper_holds_no_value(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    run_ask(AUTH, "stat -c '%a %u %F' $GIT_ASKPASS; cat $GIT_ASKPASS; echo $DISINTO_GIT_AUTH; "
	                  "rm -f $GIT_ASKPASS 2>/dev/null || echo stays; echo x 2>/dev/null >/tmp/.disinto/x || echo closed");
	assert_string_equal(b->text[0].data, "500 10001 regular file\n#!/disinto-runner askpass\nforge.example=TOKEN\nstays\nclosed\n");
}

static void a_step_without_the_secret_is_not_told_of_a_helper(void **state)
{
	(void)state;
	static const char script[] = "echo \\\"${GIT_ASKPASS-none} ${DISINTO_GIT_AUTH-none} ${GIT_TERMINAL_PROMPT-none}\\\"";
	char *members cleanup_free = xasprintf(AUTH ",\"steps\":[{\"id\":\"a\",\"run\":\"%s\",\"secrets\":[]}]", script);
	struct box *b cleanup_box = box_run_formula(NULL, ",\"secrets\":[\"TOKEN\",\"OTHER\"]", members, two, 2);

	assert_string_equal(b->text[0].data, "none none none\n");
	struct box *plain cleanup_box = box_run(NULL, "echo \"${GIT_ASKPASS-none}\"; ls -d /tmp/.disinto 2>/dev/null || echo absent");
	assert_string_equal(plain->text[0].data, "none\nabsent\n");
}

/* guard: add_no_other_helpers in runner/environment.c. Hosts that git_auth does not name are the formula's own business. */
static void no_other_helper_is_told_the_answer(void **state)
{
	(void)state;
	static const char members[] =
	    AUTH ",\"steps\":[{\"id\":\"plant\",\"secrets\":[],\"run\":\"git config --global credential.helper store\"},"
	         "{\"id\":\"use\",\"secrets\":[\"TOKEN\"],\"run\":\"printf 'protocol=https\\nhost=forge.example\\n\\n' | git credential "
	         "fill >answer;"
	         "grep -c ^password= answer; git credential approve <answer; rm answer;"
	         "printf 'protocol=https\\nhost=evil.example\\nusername=me\\npassword=own\\n\\n' | git credential approve\"},"
	         "{\"id\":\"look\",\"secrets\":[],\"run\":\"cat ~/.git-credentials\"}]";
	struct box *b cleanup_box = box_run_formula(NULL, ",\"secrets\":[\"TOKEN\",\"OTHER\"]", members, two, 2);

	assert_string_equal(box_outcome(b), "succeeded");
	assert_string_equal(b->text[0].data, "1\nhttps://me:own@evil.example\n");
}

static void what_a_step_did_to_the_helper_is_gone_in_the_next(void **state)
{
	(void)state;
	struct box *b cleanup_box =
	    box_run_formula(NULL, ",\"secrets\":[\"TOKEN\",\"OTHER\"]",
	                    AUTH ",\"steps\":[{\"id\":\"a\",\"run\":\"chmod 700 $GIT_ASKPASS; echo evil >$GIT_ASKPASS\"},"
	                         "{\"id\":\"b\",\"run\":\"cat $GIT_ASKPASS\"}]",
	                    two, 2);
	assert_string_equal(b->text[0].data, "#!/disinto-runner askpass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exactly_the_hosts_of_the_map_get_an_answer), cmocka_unit_test(an_odd_map_gives_nothing),
	    box_test(the_helper_answers_for_what_the_step_has),           box_test(the_helper_holds_no_value),
	    box_test(a_step_without_the_secret_is_not_told_of_a_helper),  box_test(no_other_helper_is_told_the_answer),
	    box_test(what_a_step_did_to_the_helper_is_gone_in_the_next),
	};
	if (!box_possible())
		return box_skip_all(tests, sizeof(tests) / sizeof(tests[0]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
