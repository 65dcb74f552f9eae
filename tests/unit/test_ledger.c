/* The files of the ledger: what is written is read back as it was, and nothing else is read at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/ops/ledger.h"
#include <string.h>

#define OID "0123456789abcdef0123456789abcdef01234567"
#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct ledger_claim a_claim(void)
{
	struct ledger_claim c = {
	    .dispatcher = "edge1", .incarnation = "11aa", .nonce = "22bb", .attempt = 2, .time = 1700000000, .deadline = 1700003600};
	git_oid_fromstr(&c.action, OID);
	return c;
}

static void test_claims_come_back(void **state)
{
	(void)state;
	struct ledger_claim c = a_claim(), back;
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *text = ledger_claim_text(&c);
	assert_string_equal(text,
	                    "{\n  \"dispatcher\": \"edge1\",\n  \"incarnation\": \"11aa\",\n  \"nonce\": \"22bb\",\n  \"action\": \"" OID
	                    "\",\n  \"attempt\": 2,\n  \"time\": 1700000000,\n  \"deadline\": 1700003600\n}\n");
	assert_int_equal(ledger_claim_parse(text, strlen(text), &back, &err), 0);
	assert_string_equal(back.dispatcher, "edge1");
	assert_string_equal(back.incarnation, "11aa");
	assert_string_equal(back.nonce, "22bb");
	assert_true(git_oid_equal(&back.action, &c.action));
	assert_int_equal(back.attempt, 2);
	assert_int_equal(back.time, 1700000000);
	assert_int_equal(back.deadline, 1700003600);
	assert_false(back.free);

	c.free = true;
	cleanup_free char *given_back = ledger_claim_text(&c);
	assert_int_equal(ledger_claim_parse(given_back, strlen(given_back), &back, &err), 0);
	assert_true(back.free);
}

static void test_others_come_back(void **state)
{
	(void)state;
	cleanup_err struct err err = ERR_INIT;
	struct ledger_done done = {.digest = DIGEST, .outcome = OUTCOME_TIMED_OUT, .attempt = 3}, done_back;
	struct ledger_life life = {.incarnation = "33cc", .time = 1}, life_back;
	struct ledger_origin origin = {.accepted = true}, origin_back;
	git_oid view;
	git_oid_fromstr(&done.commit, OID);
	git_oid_fromstr(&origin.tip, OID);

	cleanup_free char *d = ledger_done_text(&done), *l = ledger_life_text(&life), *o = ledger_origin_text(&origin),
	                  *v = ledger_view_text(&origin.tip);
	assert_int_equal(ledger_done_parse(d, strlen(d), &done_back, &err), 0);
	assert_string_equal(done_back.digest, DIGEST);
	assert_int_equal(done_back.outcome, OUTCOME_TIMED_OUT);
	assert_int_equal(done_back.attempt, 3);
	assert_true(git_oid_equal(&done_back.commit, &done.commit));
	assert_int_equal(ledger_life_parse(l, strlen(l), &life_back, &err), 0);
	assert_string_equal(life_back.incarnation, "33cc");
	assert_int_equal(life_back.time, 1);
	assert_int_equal(ledger_origin_parse(o, strlen(o), &origin_back, &err), 0);
	assert_true(origin_back.accepted);
	assert_true(git_oid_equal(&origin_back.tip, &origin.tip));
	assert_int_equal(ledger_view_parse(v, strlen(v), &view, &err), 0);
	assert_true(git_oid_equal(&view, &origin.tip));
}

/* The claim above with one thing in it exchanged. */
static void refuses(const char *from, const char *to, const char *why)
{
	cleanup_err struct err err = ERR_INIT;
	struct ledger_claim c = a_claim(), ret = {.attempt = 77};
	cleanup_free char *text = ledger_claim_text(&c);
	const char *at = strstr(text, from);
	assert_non_null(at);
	cleanup_free char *bad = xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	if (ledger_claim_parse(bad, strlen(bad), &ret, &err) == 0)
		fail_msg("was taken: %s", bad);
	assert_int_equal(err.code, ERR_INVALID);
	if (!strstr(err_msg(&err), why))
		fail_msg("'%s' does not say '%s'", err_msg(&err), why);
	assert_int_equal(ret.attempt, 77); /* nothing half read */
}

static void test_strict(void **state)
{
	(void)state;
	refuses("edge1", "Edge1", "dispatcher");
	refuses("edge1", "", "dispatcher");
	refuses("11aa", "11AA", "incarnation");
	refuses("22bb", "22 bb", "nonce");
	refuses(OID, "0123", "action");
	refuses(OID, "0123456789ABCDEF0123456789abcdef01234567", "action");
	refuses("\"attempt\": 2", "\"attempt\": 0", "attempt");
	refuses("\"attempt\": 2", "\"attempt\": \"2\"", "attempt");
	refuses("\"time\": 1700000000", "\"time\": -1", "time");
	refuses("\"time\": 1700000000", "\"time\": 1, \"time\": 2", "time");
	refuses("\"deadline\": 1700003600", "\"deadline\": null", "deadline");
	refuses("\"attempt\": 2,", "\"attempt\": 2, \"free\": 1,", "free");
	refuses("\"attempt\": 2,", "\"attempt\": 2, \"extra\": 1,", "extra");
	refuses("\"attempt\": 2,", "", "attempt");
	refuses("}\n", "} x", "");
}

static void test_paths(void **state)
{
	(void)state;
	char xx[3], id[VAULT_ID_MAX + 1];
	cleanup_free char *claim = ledger_claim_path("hello-1"), *done = ledger_done_path("hello-1"), *life = ledger_life_path("edge1");
	/* printf hello-1 | sha256sum */
	assert_string_equal(claim, "claims/93/hello-1.json");
	assert_string_equal(done, "done/93/hello-1.json");
	assert_string_equal(life, "dispatchers/edge1.json");
	ledger_folder("hello-1", xx);
	assert_string_equal(xx, "93");
	assert_true(ledger_file_id("93", "hello-1.json", id));
	assert_string_equal(id, "hello-1");
	assert_false(ledger_file_id("a4", "hello-1.json", id)); /* a claim that nobody would look for */
	assert_false(ledger_file_id("93", "hello-1.result.json", id));
	assert_false(ledger_file_id("93", "Hello.json", id));
}

static void test_tokens(void **state)
{
	(void)state;
	char longest[LEDGER_TOKEN_MAX + 2];
	memset(longest, 'a', sizeof(longest));
	longest[LEDGER_TOKEN_MAX] = '\0';
	assert_true(ledger_is_token(longest));
	longest[LEDGER_TOKEN_MAX] = 'a';
	longest[LEDGER_TOKEN_MAX + 1] = '\0';
	assert_false(ledger_is_token(longest));
	assert_true(ledger_is_token("-_0a"));
	assert_false(ledger_is_token(""));
	assert_false(ledger_is_token("a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_claims_come_back), cmocka_unit_test(test_others_come_back),
	    cmocka_unit_test(test_strict),           cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_tokens),
	};
	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
