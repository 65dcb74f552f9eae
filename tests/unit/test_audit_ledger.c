/* The audit beside a ledger, and beside an archive: each fault is planted once, and found. */
#include "tests/unit/audit_world.h"
#include "vault/ledger.h"

/* The ledger of a world: one commit that grows. */
struct book {
	git_oid tip;
	bool begun;
};

static void write_entry(struct world *w, struct book *b, const char *path, const char *text)
{
	struct err err = ERR_INIT;
	const struct git_change change = {path, text, text ? strlen(text) : 0};
	git_signature *who = somebody();
	git_oid oid;
	assert_ok(git_repo_commit(w->f.repo, &b->tip, b->begun ? 1 : 0, &change, 1, who, "ledger", &oid, &err), &err);
	git_signature_free(who);
	b->tip = oid;
	b->begun = true;
	w->rules.ledger = &b->tip;
}

static void begin_ledger(struct world *w, struct book *b)
{
	const struct ledger_origin origin = {w->tip, true};
	cleanup_free char *text = ledger_origin_text(&origin);
	*b = (struct book){.begun = false};
	write_entry(w, b, LEDGER_ORIGIN, text);
}

static void claim(struct world *w, struct book *b, const char *id, const char *nonce, bool given_back)
{
	struct ledger_claim c = {.dispatcher = "edge-1", .incarnation = "i", .attempt = 1, .free = given_back};
	memcpy(c.nonce, nonce, strlen(nonce) + 1);
	cleanup_free char *text = ledger_claim_text(&c), *path = ledger_claim_path(id);
	write_entry(w, b, path, text);
}

static void done(struct world *w, struct book *b, const char *id, const char *result, enum outcome outcome)
{
	struct ledger_done d = {.outcome = outcome, .attempt = 1, .commit = w->tip};
	ledger_digest(result, strlen(result), d.digest);
	cleanup_free char *text = ledger_done_text(&d), *path = ledger_done_path(id);
	write_entry(w, b, path, text);
}

/* An action that ran for a claim. Returns its result's text; caller frees. */
static char *run_for(struct world *w, const char *id, const char *nonce, git_oid *ret_at)
{
	git_oid landing = land_action(w, id);
	json_t *result = result_of(id, &landing);
	if (nonce)
		json_object_set_new(result, "claim", json_string(nonce));
	char *text = json_dumps(result, JSON_INDENT(2));
	*ret_at = record(w, id, result);
	return text;
}

/* All in order: one that ran before there was a ledger, and one since. */
static void sound(struct world *w, struct book *b)
{
	git_oid at;
	begin(w);
	run_action(w, "before");
	begin_ledger(w, b);
	cleanup_free char *text = run_for(w, "good", "n0", &at);
	claim(w, b, "good", "n0", false);
	done(w, b, "good", text, OUTCOME_SUCCEEDED);
	assert_says(w, "");
}

static void not_in_ledger(void **state)
{
	struct world w;
	struct book b;
	git_oid at;
	(void)state;
	sound(&w, &b);
	cleanup_free char *text = run_for(&w, "x", "n1", &at);
	assert_finds(&w, AUDIT_NOT_IN_LEDGER, "x", &at, "the ledger knows nothing of it");
	claim(&w, &b, "x", "n1", false);
	assert_finds(&w, AUDIT_NOT_IN_LEDGER, "x", &at, "it has no done entry");
	done(&w, &b, "x", text, OUTCOME_SUCCEEDED);
	assert_says(&w, "");
	w.rules.ledger = NULL; /* without one there is nothing to compare with */
	assert_says(&w, "");
	end(&w);
}

static void other_claim(void **state)
{
	struct world w;
	struct book b;
	git_oid at;
	(void)state;
	sound(&w, &b);
	cleanup_free char *text = run_for(&w, "x", "n1", &at);
	claim(&w, &b, "x", "n2", false);
	done(&w, &b, "x", text, OUTCOME_SUCCEEDED);
	assert_finds(&w, AUDIT_OTHER_ENTRY, "x", &at, "it stands for claim n1, but the ledger has n2 of dispatcher edge-1");
	claim(&w, &b, "x", "n1", true);
	assert_finds(&w, AUDIT_OTHER_ENTRY, "x", &at, "its claim was given back for attempt 1");
	end(&w);
}

static void no_claim_named(void **state)
{
	struct world w;
	struct book b;
	git_oid at;
	(void)state;
	sound(&w, &b);
	cleanup_free char *text = run_for(&w, "x", NULL, &at);
	claim(&w, &b, "x", "n1", false);
	done(&w, &b, "x", text, OUTCOME_SUCCEEDED);
	assert_finds(&w, AUDIT_OTHER_ENTRY, "x", &at, "it stands for claim none, but the ledger has n1 of dispatcher edge-1");
	end(&w);
}

static void other_digest(void **state)
{
	struct world w;
	struct book b;
	git_oid at;
	char ours[65], theirs[65];
	(void)state;
	sound(&w, &b);
	cleanup_free char *text = run_for(&w, "x", "n1", &at);
	claim(&w, &b, "x", "n1", false);
	done(&w, &b, "x", "other bytes", OUTCOME_SUCCEEDED);
	ledger_digest(text, strlen(text), ours);
	ledger_digest("other bytes", 11, theirs);
	cleanup_free char *what = xasprintf("its SHA-256 is %.10s…, but the ledger has recorded %.10s…", ours, theirs);
	assert_finds(&w, AUDIT_OTHER_ENTRY, "x", &at, what);
	done(&w, &b, "x", text, OUTCOME_FAILED);
	assert_finds(&w, AUDIT_OTHER_ENTRY, "x", &at, "it says succeeded, but the ledger says failed");
	end(&w);
}

static void missing_and_malformed(void **state)
{
	struct world w;
	struct book b;
	git_oid at;
	(void)state;
	sound(&w, &b);
	claim(&w, &b, "ghost", "n1", false);
	assert_says(&w, ""); /* it may be running */
	done(&w, &b, "ghost", "x", OUTCOME_SUCCEEDED);
	assert_finds(&w, AUDIT_RESULT_MISSING, "ghost", &w.tip, "the ledger says that it is finished, and no result ever stood there");
	end(&w);

	sound(&w, &b);
	cleanup_free char *text = run_for(&w, "x", "n1", &at), *path = ledger_claim_path("x");
	done(&w, &b, "x", text, OUTCOME_SUCCEEDED);
	write_entry(&w, &b, path, "{}");
	assert_finds(&w, AUDIT_MALFORMED_LEDGER, "x", &at, "its claim: dispatcher: is required");
	write_entry(&w, &b, LEDGER_ORIGIN, "nonsense");
	audit_now(&w);
	assert_int_equal(w.audit.n_findings, 1);
	assert_int_equal(w.audit.findings[0].kind, AUDIT_MALFORMED_LEDGER);
	assert_null(w.audit.findings[0].id);
	end(&w);
}

/* ---- the archive ---- */

static char *text_at(struct world *w, const char *path)
{
	struct buf text = BUF_INIT;
	git_oid oid;
	git_filemode_t mode;
	struct err err = ERR_INIT;
	assert_ok(git_repo_entry(w->f.repo, &w->tip, path, &oid, &mode, &err), &err);
	assert_ok(git_repo_blob(w->f.repo, &oid, 65536, &text, &err), &err);
	return buf_steal(&text);
}

/* Moves an action and its result, this text of it, to the archive. */
static git_oid archive(struct world *w, const char *id, const char *result)
{
	cleanup_free char *from_action = action_path(id), *from_result = result_path(id);
	cleanup_free char *to_action = xasprintf(VAULT_ARCHIVE "/2023/11/%s.json", id);
	cleanup_free char *to_result = xasprintf(VAULT_ARCHIVE "/2023/11/%s.result.json", id);
	cleanup_free char *action = text_at(w, from_action);
	const struct git_change changes[] = {
	    {to_action, action, strlen(action)}, {to_result, result, strlen(result)}, {from_action, NULL, 0}, {from_result, NULL, 0}};
	w->tip = commit(w, DISPATCHER, &w->tip, 1, changes, 4, "vault: archive 1 action\n");
	return w->tip;
}

static void archived(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "a");
	run_action(&w, "b");
	cleanup_free char *a = text_at(&w, "vault/actions/a.result.json"), *b = text_at(&w, "vault/actions/b.result.json");
	archive(&w, "a", a);
	archive(&w, "b", b);
	assert_says(&w, "");
	assert_int_equal(w.audit.n_results, 2);

	/* What is in there stays as it is. */
	git_oid at = put(&w, HUMAN, VAULT_ARCHIVE "/2023/11/a.result.json", "{}");
	assert_finds(&w, AUDIT_RESULT_CHANGED, "a", &at, "the result of a was edited in vault/archive");
	put(&w, HUMAN, VAULT_ARCHIVE "/2023/11/b.result.json", NULL);
	assert_says(&w, "result-changed a the result of a was edited in vault/archive\nresult-changed b the result of b was removed in "
	                "vault/archive\n");
	end(&w);
}

/* On the way there it became another one. */
static void archived_otherwise(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "a");
	git_oid at = archive(&w, "a", "{\"outcome\": \"failed\"}");
	assert_finds(&w, AUDIT_RESULT_CHANGED, "a", &at, "vault/actions/a.result.json was removed");
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(not_in_ledger),      cmocka_unit_test(other_claim),           cmocka_unit_test(no_claim_named),
	    cmocka_unit_test(other_digest),       cmocka_unit_test(missing_and_malformed), cmocka_unit_test(archived),
	    cmocka_unit_test(archived_otherwise),
	};
	return cmocka_run_group_tests_name("audit_ledger", tests, NULL, NULL);
}
