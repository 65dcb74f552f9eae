/* The audit beside a ledger, and beside an archive: each fault is planted once, and found. */
#include "tests/unit/audit_world.h"
#include "tests/unit/git_raw.h"
#include "vault/ops/ledger.h"

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

/* ---- all of it at once ---- */

/* As run_action, but that the result says something else under `key` (NULL: it does not). Takes the value. Returns its text; caller frees. */
static char *run_signed(struct world *w, const char *id, const char *key, json_t *value)
{
	git_oid landing = land_action(w, id);
	json_t *result = result_of(id, &landing);
	json_object_set_new(result, "approval",
	                    json_pack("{s:s, s:s, s:s}", "mode", "signed", "by", "somebody@example", "commit", git_oid_tostr_s(&landing)));
	if (key)
		json_object_set_new(result, key, value);
	char *text = json_dumps(result, JSON_INDENT(2));
	record(w, id, result);
	return text;
}

static void spoil(struct world *w, const char *id, const char *key, json_t *value)
{
	free(run_signed(w, id, key, value));
}

/* A folder with two entries of one name, and then the one that was there again. */
static void malform(struct world *w, const char *folder)
{
	cleanup_git(git_tree) git_tree *good = NULL;
	cleanup_buf struct buf tree = BUF_INIT;
	cleanup_free char *path = xasprintf("vault/%s", folder);
	struct err err = ERR_INIT;
	git_oid blob = blob_of("old");
	assert_ok(git_repo_tree(w->f.repo, &w->tip, path, &good, &err), &err);
	raw_entry(&tree, "100644 x", &blob);
	raw_entry(&tree, "100644 x", &blob);
	git_oid bad = write_object(w->f.repo, &tree, GIT_OBJECT_TREE);
	git_oid spoiled = commit_folder(w->f.repo, &w->tip, folder, &bad);
	/* On the good tree of before: what is malformed can't be written by git_repo_commit. */
	cleanup_buf struct buf mended = BUF_INIT;
	git_commit *before = NULL;
	assert_int_equal(git_commit_lookup(&before, w->f.repo, &w->tip), 0);
	buf_addf(&mended, "tree %s\n", git_oid_tostr_s(git_commit_tree_id(before)));
	buf_addf(&mended, "parent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nmend\n", git_oid_tostr_s(&spoiled));
	git_commit_free(before);
	w->tip = write_object(w->f.repo, &mended, GIT_OBJECT_COMMIT);
}

static void plant_in_history(struct world *w)
{
	static const char nowhere[] = "0123456789012345678901234567890123456789";
	struct ssh_private_key *key = w->dispatcher;
	free(run_signed(w, "good", NULL, NULL));
	free(run_signed(w, "edited", NULL, NULL));
	free(run_signed(w, "removed", NULL, NULL));
	record(w, "without", result_of("without", &w->tip));
	land_action(w, "foreign");
	put(w, HUMAN, "vault/actions/foreign.result.json", "{}");
	w->dispatcher = NULL;
	spoil(w, "unsigned", NULL, NULL);
	w->dispatcher = key;
	spoil(w, "other", "action", json_string(nowhere));
	spoil(w, "file", "formula", json_pack("{s:s, s:s}", "name", "f", "blob", nowhere));
	spoil(w, "approval", "approval", json_null());
	spoil(w, "weaker", "approval", json_pack("{s:s}", "mode", "landed"));
	spoil(w, "malformed", "outcome", json_string("fine"));
	put(w, HUMAN, "vault/actions/edited.result.json", "{}");
	put(w, HUMAN, "vault/actions/removed.json", NULL);
	put(w, HUMAN, "vault/recipients.txt", "age1mallory\n");
	malform(w, "formulas");
}

static void plant_in_ledger(struct world *w, struct book *b)
{
	begin_ledger(w, b);
	cleanup_free char *sound = run_signed(w, "claimed", "claim", json_string("n0"));
	claim(w, b, "claimed", "n0", false);
	done(w, b, "claimed", sound, OUTCOME_SUCCEEDED);
	spoil(w, "unknown", "claim", json_string("n1"));
	cleanup_free char *entry = run_signed(w, "entry", "claim", json_string("n2"));
	claim(w, b, "entry", "n3", false);
	done(w, b, "entry", entry, OUTCOME_SUCCEEDED);
	done(w, b, "missing", "x", OUTCOME_SUCCEEDED);
	cleanup_free char *nonsense = run_signed(w, "nonsense", "claim", json_string("n4")), *path = ledger_claim_path("nonsense");
	done(w, b, "nonsense", nonsense, OUTCOME_SUCCEEDED);
	write_entry(w, b, path, "{}");
}

/* One fault of each kind that there is, in one repository with much that is right: each is found once, and nothing else is. */
static void each_kind_of_fault_once(void **state)
{
	static const char *const ids[] = {
	    [AUDIT_MALFORMED_TREE] = "-",          [AUDIT_MALFORMED_RESULT] = "malformed", [AUDIT_RESULT_WITHOUT_ACTION] = "without",
	    [AUDIT_FOREIGN_RESULT] = "foreign",    [AUDIT_UNSIGNED_RESULT] = "unsigned",   [AUDIT_OTHER_ACTION] = "other",
	    [AUDIT_OTHER_FILE] = "file",           [AUDIT_APPROVAL] = "approval",          [AUDIT_WEAKER] = "weaker",
	    [AUDIT_RESULT_CHANGED] = "edited",     [AUDIT_ACTION_CHANGED] = "removed",     [AUDIT_RECIPIENTS] = "-",
	    [AUDIT_NOT_IN_LEDGER] = "unknown",     [AUDIT_OTHER_ENTRY] = "entry",          [AUDIT_RESULT_MISSING] = "missing",
	    [AUDIT_MALFORMED_LEDGER] = "nonsense",
	};
	enum { KINDS = sizeof(ids) / sizeof(*ids) };
	size_t found[KINDS] = {0};
	struct world w;
	struct book b;
	(void)state;
	begin(&w);
	put(&w, HUMAN, "vault/recipients.txt", "age1first\n");
	put(&w, HUMAN, "vault/formulas/f.yaml", "something else");
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "something else");
	sign_from_now_on(&w);
	w.rules.floor.minimum = APPROVAL_SIGNED;
	approve(&w, "vault/formulas/f.yaml", formula_text);
	approve(&w, "vault/secrets/TOKEN.age", "old");
	assert_says(&w, "");
	plant_in_history(&w);
	plant_in_ledger(&w, &b);

	audit_now(&w);
	for (size_t i = 0; i < w.audit.n_findings; i++) {
		const struct audit_finding *f = &w.audit.findings[i];
		assert_string_equal(f->id ? f->id : "-", ids[f->kind]);
		found[f->kind]++;
	}
	for (size_t kind = 0; kind < KINDS; kind++)
		if (found[kind] != 1)
			fail_msg("%s: found %zu times", audit_kind_name((enum audit_kind)kind), found[kind]);
	assert_int_equal(w.audit.n_results, 15);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(not_in_ledger),         cmocka_unit_test(other_claim),
	    cmocka_unit_test(no_claim_named),        cmocka_unit_test(other_digest),
	    cmocka_unit_test(missing_and_malformed), cmocka_unit_test(archived),
	    cmocka_unit_test(archived_otherwise),    cmocka_unit_test(each_kind_of_fault_once),
	};
	return cmocka_run_group_tests_name("audit_ledger", tests, NULL, NULL);
}
