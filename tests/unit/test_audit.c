/*
 * The audit: a repository with everything that is right, in which nothing is found, and one with each fault, of which exactly that is found.
 */
#include "tests/unit/audit_world.h"

static void nothing_is_found_where_all_is_right(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "a");
	land_action(&w, "pending");

	/* Edited before it was taken; the secret was changed while it waited, and is given as it was when it started. */
	put(&w, HUMAN, "vault/actions/b.json", "{}");
	git_oid landing = land_action(&w, "b");
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "new");
	json_t *result = result_of("b", &landing);
	git_oid token = blob_of("new");
	set_oid(json_object_get(result, "secrets"), "TOKEN", &token);
	record(&w, "b", result);
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "old");

	/* Refused for what it lacks; cancelled before it was judged. */
	landing = put(&w, HUMAN, "vault/actions/c.json", "{\"id\": \"c\"}");
	result = result_of("c", &landing);
	token = blob_of("{\"id\": \"c\"}");
	set_oid(result, "action", &token);
	for (const char *const *key = (const char *const[]){"approval", "formula", "started_at", "image", "tier", NULL}; *key; key++)
		json_object_set_new(result, *key, json_null());
	json_object_set_new(result, "outcome", json_string("refused"));
	json_object_clear(json_object_get(result, "secrets"));
	record(&w, "c", result);
	landing = land_action(&w, "d");
	put(&w, HUMAN, "vault/actions/d.cancel.json", "{}");
	result = result_of("d", &landing);
	json_object_set_new(result, "outcome", json_string("cancelled"));
	json_object_set_new(result, "started_at", json_null());
	json_object_set_new(result, "approval", json_null());
	json_object_set_new(result, "a_key_of_the_future", json_integer(1));
	record(&w, "d", result);

	/* Landed by a merge, two results in one commit. */
	git_oid base = w.tip, side = land_action(&w, "e"), parents[] = {base, side};
	cleanup_free char *e = action_text("e", "f", "\"TOKEN\"");
	cleanup_free char *g = action_text("g", "f", "\"TOKEN\"");
	const struct git_change both[] = {{"vault/actions/e.json", e, strlen(e)}, {"vault/actions/g.json", g, strlen(g)}};
	w.tip = commit(&w, HUMAN, parents, 2, both, 2, "merge\n");
	cleanup_json json_t *of_e = result_of("e", &w.tip);
	cleanup_json json_t *of_g = result_of("g", &w.tip);
	cleanup_free char *e_text = json_dumps(of_e, 0);
	cleanup_free char *g_text = json_dumps(of_g, 0);
	const struct git_change results[] = {{"vault/actions/e.result.json", e_text, strlen(e_text)},
	                                     {"vault/actions/g.result.json", g_text, strlen(g_text)}};
	w.tip = commit(&w, DISPATCHER, &w.tip, 1, results, 2, "vault: 2 results\n");

	/* A policy, which comes with an action. */
	cleanup_free char *h = action_text("h", "f", "\"TOKEN\"");
	const struct git_change policy[] = {{"vault/policy.yaml", policy_text, strlen(policy_text)},
	                                    {"vault/actions/h.json", h, strlen(h)}};
	w.tip = commit(&w, HUMAN, &w.tip, 1, policy, 2, "policy\n");
	result = result_of("h", &w.tip);
	token = blob_of(policy_text);
	set_oid(result, "policy", &token);
	json_object_set_new(result, "tier", json_string("low"));
	record(&w, "h", result);

	assert_says(&w, "");
	assert_int_equal(w.audit.n_actions, 8);
	assert_int_equal(w.audit.n_results, 7);
	end(&w);
}

static void a_result_without_its_action(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "a");
	git_oid at = record(&w, "x", result_of("x", &w.tip));
	assert_finds(&w, AUDIT_RESULT_WITHOUT_ACTION, "x", &at, "vault/actions/x.json never landed");
	land_action(&w, "x");
	assert_finds(&w, AUDIT_RESULT_WITHOUT_ACTION, "x", &at, "vault/actions/x.json had not landed yet");
	end(&w);
}

static void a_run_of_other_bytes(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "a");
	git_oid landing = land_action(&w, "x"), other = blob_of("other bytes");
	cleanup_free char *text = action_text("x", "f", "\"TOKEN\"");
	git_oid blob = blob_of(text);
	json_t *result = result_of("x", &landing);
	set_oid(result, "action", &other);
	git_oid at = record(&w, "x", result);
	cleanup_free char *what = xasprintf("blob %s ran, but commit %s landed %s", shorten(&other), shorten(&landing), shorten(&blob));
	assert_finds(&w, AUDIT_OTHER_ACTION, "x", &at, what);
	end(&w);
}

static void a_commit_that_did_not_land_it(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	git_oid before = run_action(&w, "a");
	land_action(&w, "x");
	git_oid at = record(&w, "x", result_of("x", &before));
	cleanup_free char *what = xasprintf("commit %s did not land its action", shorten(&before));
	assert_finds(&w, AUDIT_OTHER_ACTION, "x", &at, what);

	land_action(&w, "y"); /* it stood there by then, but landed before */
	git_oid after = put(&w, HUMAN, "README", "more");
	w.rules.since = &after;
	at = record(&w, "y", result_of("y", &after));
	free(steal_ptr(&what));
	what = xasprintf("commit %s did not land its action", shorten(&after));
	assert_finds(&w, AUDIT_OTHER_ACTION, "y", &at, what);
	end(&w);
}

static void a_result_that_names_nothing(void **state)
{
	static const char *const keys[] = {"action", "commit"};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;
		begin(&w);
		git_oid landing = land_action(&w, "x");
		json_t *result = result_of("x", &landing);
		json_object_set_new(result, keys[i], json_null());
		git_oid at = record(&w, "x", result);
		assert_finds(&w, AUDIT_OTHER_ACTION, "x", &at,
		             i == 0 ? "it does not name the action's blob" : "it does not name the commit that landed its action");
		end(&w);
	}
}

static void other_files_than_those_that_stood_there(void **state)
{
	struct world w;
	git_oid other = blob_of("other"), formula = blob_of(formula_text), policy = blob_of(policy_text);
	(void)state;

	begin(&w);
	git_oid landing = land_action(&w, "x");
	json_t *result = result_of("x", &landing);
	set_oid(json_object_get(result, "formula"), "blob", &other);
	git_oid at = record(&w, "x", result);
	cleanup_free char *what =
	    xasprintf("vault/formulas/f.yaml ran as %s, but at commit %s it was %s", shorten(&other), shorten(&landing), shorten(&formula));
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, what);
	end(&w);

	begin(&w);
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "other"); /* neither an older one counts */
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "old");
	landing = land_action(&w, "x");
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "new"); /* nor a later one */
	result = result_of("x", &landing);
	set_oid(json_object_get(result, "secrets"), "TOKEN", &other);
	at = record(&w, "x", result);
	put(&w, HUMAN, "vault/secrets/TOKEN.age", "other");
	free(steal_ptr(&what));
	what = xasprintf("vault/secrets/TOKEN.age was not %s at any time from landing to result", shorten(&other));
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, what);
	end(&w);

	begin(&w);
	put(&w, HUMAN, "vault/formulas/g.yaml", "other");
	landing = land_action(&w, "x");
	result = result_of("x", &landing);
	json_object_set_new(result, "formula", json_pack("{s:s, s:s}", "name", "g", "blob", git_oid_tostr_s(&other)));
	at = record(&w, "x", result);
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, "formula g ran, but its action names f");
	end(&w);

	begin(&w);
	put(&w, HUMAN, "vault/secrets/SECOND.age", "other");
	landing = land_action(&w, "x");
	result = result_of("x", &landing);
	set_oid(json_object_get(result, "secrets"), "SECOND", &other);
	at = record(&w, "x", result);
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, "it was given SECOND, which its action does not name");
	end(&w);

	begin(&w);
	put(&w, HUMAN, "vault/policy.yaml", policy_text);
	landing = land_action(&w, "x");
	at = record(&w, "x", result_of("x", &landing));
	free(steal_ptr(&what));
	what = xasprintf("it was judged by no policy, but at commit %s vault/policy.yaml %s was in force", shorten(&landing),
	                 shorten(&policy));
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, what);
	end(&w);

	begin(&w);
	landing = land_action(&w, "x");
	result = result_of("x", &landing);
	set_oid(result, "policy", &policy);
	at = record(&w, "x", result);
	free(steal_ptr(&what));
	what = xasprintf("it was judged by policy %s, but at commit %s none was in force", shorten(&policy), shorten(&landing));
	assert_finds(&w, AUDIT_OTHER_FILE, "x", &at, what);
	end(&w);
}

/* Who brought it: another author, with other files, with its action, by a merge, in the name of another dispatcher. */
static void a_foreign_result(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "a");
	git_oid base = w.tip;

	git_oid landing = land_action(&w, "x");
	cleanup_json json_t *result = result_of("x", &landing);
	cleanup_free char *text = json_dumps(result, 0);
	git_oid at = put(&w, HUMAN, "vault/actions/x.result.json", text);
	assert_finds(&w, AUDIT_FOREIGN_RESULT, "x", &at, "its commit is by Somebody <somebody@example>, not by a dispatcher");

	const struct git_change more[] = {{"vault/actions/x.result.json", text, strlen(text)}, {"README", "changed", 7}};
	w.tip = landing;
	at = w.tip = commit(&w, DISPATCHER, &w.tip, 1, more, 2, "vault: result for x\n");
	assert_finds(&w, AUDIT_FOREIGN_RESULT, "x", &at, "its commit changes more than to add results");

	const struct git_change formula[] = {{"vault/actions/x.result.json", text, strlen(text)}, {"vault/formulas/new.yaml", "new", 3}};
	w.tip = landing;
	at = w.tip = commit(&w, DISPATCHER, &w.tip, 1, formula, 2, "vault: result for x\n");
	assert_finds(&w, AUDIT_FOREIGN_RESULT, "x", &at, "its commit changes more than to add results");

	git_oid parents[] = {landing, base};
	w.tip = at = commit(&w, DISPATCHER, parents, 2, more, 1, "vault: result for x\n");
	assert_finds(&w, AUDIT_FOREIGN_RESULT, "x", &at, "it came with a merge");

	cleanup_free char *action = action_text("x", "f", "\"TOKEN\"");
	const struct git_change both[] = {{"vault/actions/x.json", action, strlen(action)}, more[0]};
	w.tip = base;
	at = w.tip = commit(&w, DISPATCHER, &w.tip, 1, both, 2, "vault: result for x\n");
	assert_finds(&w, AUDIT_FOREIGN_RESULT, "x", &at, "it came together with its action");

	w.tip = landing;
	json_object_set_new(result, "dispatcher", json_string("edge-2"));
	at = record(&w, "x", json_incref(result));
	assert_finds(&w, AUDIT_FOREIGN_RESULT, "x", &at, "dispatcher edge-1 committed it, but it says that edge-2 ran it");
	end(&w);
}

static void changes_afterwards(void **state)
{
	static const struct {
		const char *path, *text;
		enum audit_kind kind;
		const char *what;
	} changes[] = {
	    {"vault/actions/x.result.json", "{}", AUDIT_RESULT_CHANGED, "vault/actions/x.result.json was edited"},
	    {"vault/actions/x.result.json", NULL, AUDIT_RESULT_CHANGED, "vault/actions/x.result.json was removed"},
	    {"vault/actions/x.json", "{}", AUDIT_ACTION_CHANGED, "vault/actions/x.json was edited after it was taken"},
	    {"vault/actions/x.json", NULL, AUDIT_ACTION_CHANGED, "vault/actions/x.json was removed after it was taken"},
	};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct world w;
		begin(&w);
		run_action(&w, "x");
		run_action(&w, "y");
		git_oid at = put(&w, HUMAN, changes[i].path, changes[i].text);
		assert_finds(&w, changes[i].kind, "x", &at, changes[i].what);
		w.rules.since = &at; /* known, and not to be told again */
		assert_says(&w, "");
		end(&w);
	}
}

/* A commit that edits a result is no dispatcher's, whatever else it adds. */
static void a_change_beside_a_new_result(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "x");
	git_oid landing = land_action(&w, "y");
	cleanup_json json_t *result = result_of("y", &landing);
	cleanup_free char *text = json_dumps(result, 0);
	const struct git_change changes[] = {{"vault/actions/x.result.json", "{}", 2}, {"vault/actions/y.result.json", text, strlen(text)}};
	w.tip = commit(&w, DISPATCHER, &w.tip, 1, changes, 2, "vault: 2 results\n");
	assert_says(&w, "result-changed x vault/actions/x.result.json was edited\n"
	                "foreign-result y its commit changes more than to add results\n");
	end(&w);
}

static void an_action_that_was_edited_while_it_ran(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	git_oid landing = land_action(&w, "x");
	git_oid at = put(&w, HUMAN, "vault/actions/x.json", "{}");
	record(&w, "x", result_of("x", &landing));
	assert_finds(&w, AUDIT_ACTION_CHANGED, "x", &at, "vault/actions/x.json was edited after it was taken");
	end(&w);
}

/* Taken away and put there again: nothing of it is forgotten. */
static void all_of_it_again(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "x");
	put(&w, HUMAN, "vault/actions/x.result.json", NULL);
	put(&w, HUMAN, "vault/actions/x.json", NULL);
	run_action(&w, "x");
	assert_says(&w, "result-changed x vault/actions/x.result.json was removed\n"
	                "action-changed x vault/actions/x.json was removed after it was taken\n"
	                "action-changed x vault/actions/x.json was put there again after it was taken\n");
	end(&w);
}

static void a_result_that_is_none(void **state)
{
	static const struct {
		const char *text, *what;
	} texts[] = {
	    {"no JSON", "line 1: '[' or '{' expected near 'no'"},
	    {"[]", "must be an object"},
	    {"{\"id\": \"x\", \"id\": \"x\"}", "line 1: duplicate object key near '\"id\"'"},
	    {"{\"id\": \"y\"}", "id: is y"},
	    {"{\"id\": \"x\", \"outcome\": \"fine\"}",
	     "outcome: must be one of succeeded, failed, timed_out, cancelled, refused, lost, not \"fine\""},
	    {"{\"id\": \"x\", \"outcome\": \"lost\", \"action\": \"12\"}", "action: must be an object id: 40 hexadecimal digits"},
	    {"{\"id\": \"x\", \"outcome\": \"lost\", \"approval\": {\"mode\": \"wink\"}}",
	     "approval: mode: must be one of landed, signed, forge, not \"wink\""},
	    {"{\"id\": \"x\", \"outcome\": \"lost\", \"formula\": {\"name\": \"../x\"}}",
	     "formula: name: must be a formula's name: a-z, 0-9, _ and -, beginning with a letter or digit, at most 96 characters"},
	    {"{\"id\": \"x\", \"outcome\": \"lost\", \"secrets\": {\"TOKEN\": 1}}", "secrets: must map names of secrets to object ids"},
	};
	struct world w;
	(void)state;
	begin(&w);
	git_oid landing = land_action(&w, "x");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		w.tip = landing;
		git_oid at = put(&w, DISPATCHER, "vault/actions/x.result.json", texts[i].text);
		assert_finds(&w, AUDIT_MALFORMED_RESULT, "x", &at, texts[i].what);
	}
	cleanup_free char *large = xcalloc(1, 1048578);
	memset(large, ' ', 1048577);
	w.tip = landing;
	git_oid at = put(&w, DISPATCHER, "vault/actions/x.result.json", large);
	assert_finds(&w, AUDIT_MALFORMED_RESULT, "x", &at, "it has 1048577 bytes; at most 1048576 are allowed");
	end(&w);
}

/* A commit whose vault/actions is this raw tree. */
static git_oid put_raw_actions(struct world *w, enum who who, const void *raw, size_t len)
{
	git_odb *odb = NULL;
	git_oid actions, vault, root, oid;
	cleanup_buf struct buf commit_text = BUF_INIT, tree = BUF_INIT;
	assert_int_equal(git_repository_odb(&odb, w->f.repo), 0);
	assert_int_equal(git_odb_write(&actions, odb, raw, len, GIT_OBJECT_TREE), 0);
	buf_add(&tree, "40000 actions", 14);
	buf_add(&tree, actions.id, sizeof(actions.id));
	assert_int_equal(git_odb_write(&vault, odb, tree.data, tree.len, GIT_OBJECT_TREE), 0);
	buf_reset(&tree);
	buf_add(&tree, "40000 vault", 12);
	buf_add(&tree, vault.id, sizeof(vault.id));
	assert_int_equal(git_odb_write(&root, odb, tree.data, tree.len, GIT_OBJECT_TREE), 0);
	buf_addf(&commit_text, "tree %s\n", git_oid_tostr_s(&root));
	buf_addf(&commit_text, "parent %s\n", git_oid_tostr_s(&w->tip));
	const char *name = who == HUMAN ? "A <a@b>" : "disinto-dispatcher <edge-1@disinto>";
	buf_addf(&commit_text, "author %s 1 +0000\ncommitter %s 1 +0000\n\nraw\n", name, name);
	assert_int_equal(git_odb_write(&oid, odb, commit_text.data, commit_text.len, GIT_OBJECT_COMMIT), 0);
	git_odb_free(odb);
	w->tip = oid;
	return oid;
}

/* Threats 12 and 13: what a malformed folder holds is not believed, and what stood there before goes on. */
static void a_folder_that_is_malformed(void **state)
{
	static const char twice[] = "100644 x.json\0aaaaaaaaaaaaaaaaaaaa"
	                            "100644 x.json\0bbbbbbbbbbbbbbbbbbbb";
	struct world w;
	(void)state;
	begin(&w);
	run_action(&w, "x");
	git_oid good = w.tip, at = put_raw_actions(&w, HUMAN, twice, sizeof(twice) - 1);
	assert_finds(&w, AUDIT_MALFORMED_TREE, "-", &at, "vault/actions: malformed tree: entry 1 'x.json' is there twice");

	git_tree *tree = NULL;
	git_odb *odb = NULL;
	git_odb_object *object = NULL;
	assert_int_equal(git_repo_tree(w.f.repo, &good, "vault/actions", &tree, NULL), 0);
	assert_int_equal(git_repository_odb(&odb, w.f.repo), 0);
	assert_int_equal(git_odb_read(&object, odb, git_tree_id(tree)), 0);
	put_raw_actions(&w, HUMAN, git_odb_object_data(object), git_odb_object_size(object));
	assert_finds(&w, AUDIT_MALFORMED_TREE, "-", &at, "vault/actions: malformed tree: entry 1 'x.json' is there twice");
	git_odb_object_free(object);
	git_odb_free(odb);
	git_tree_free(tree);
	end(&w);
}

static void a_result_that_is_a_link(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	land_action(&w, "x");
	put(&w, HUMAN, "link", "x.json");
	cleanup_free char *text = action_text("x", "f", "\"TOKEN\"");
	git_oid action = blob_of(text), link = blob_of("x.json");
	cleanup_buf struct buf raw = BUF_INIT;
	buf_add(&raw, "100644 x.json", 14);
	buf_add(&raw, action.id, sizeof(action.id));
	put_raw_actions(&w, HUMAN, raw.data, raw.len);
	buf_add(&raw, "120000 x.result.json", 21);
	buf_add(&raw, link.id, sizeof(link.id));
	git_oid at = put_raw_actions(&w, DISPATCHER, raw.data, raw.len);
	assert_finds(&w, AUDIT_MALFORMED_RESULT, "x", &at, "it is no plain file");
	end(&w);
}

static void a_repository_that_cant_be_read(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	git_oid nowhere = {{1}};
	(void)state;
	begin(&w);
	w.rules.since = &nowhere;
	assert_int_equal(audit_run(w.f.repo, &w.tip, &w.rules, &w.audit, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	w.rules.since = NULL;
	assert_int_equal(audit_run(w.f.repo, &nowhere, &w.rules, &w.audit, &err), -1);
	assert_int_equal(err.code, ERR_FAIL);
	err_clear(&err);
	end(&w);
}

/* One of each kind in one repository, beside much that is right: each is found once, in the order of history. */
static void each_fault_once(void **state)
{
	struct world w;
	(void)state;
	begin(&w);
	for (int i = 0; i < 5; i++) {
		cleanup_free char *id = xasprintf("good-%d", i);
		run_action(&w, id);
	}
	record(&w, "without", result_of("without", &w.tip));
	git_oid landing = land_action(&w, "foreign");
	put(&w, HUMAN, "vault/actions/foreign.result.json", "{}");
	landing = land_action(&w, "other");
	json_t *result = result_of("other", &landing);
	set_oid(result, "action", &landing);
	record(&w, "other", result);
	landing = land_action(&w, "file");
	result = result_of("file", &landing);
	set_oid(json_object_get(result, "formula"), "blob", &landing);
	record(&w, "file", result);
	landing = land_action(&w, "approval");
	result = result_of("approval", &landing);
	json_object_set_new(result, "approval", json_null());
	record(&w, "approval", result);
	landing = land_action(&w, "weaker");
	result = result_of("weaker", &landing);
	json_object_set_new(result, "tier", json_string("low"));
	record(&w, "weaker", result);
	land_action(&w, "malformed");
	record(&w, "malformed", json_pack("[i]", 1));
	put(&w, HUMAN, "vault/actions/good-1.result.json", "{}");
	put(&w, HUMAN, "vault/actions/good-2.json", NULL);
	run_action(&w, "good-5");

	static const char *const expected[] = {
	    "result-without-action without",
	    "foreign-result foreign",
	    "other-action other",
	    "other-file file",
	    "approval approval",
	    "weaker-than-policy weaker",
	    "malformed-result malformed",
	    "result-changed good-1",
	    "action-changed good-2",
	};
	audit_now(&w);
	for (size_t i = 0; i < w.audit.n_findings && i < 9; i++) {
		const struct audit_finding *f = &w.audit.findings[i];
		cleanup_free char *said = xasprintf("%s %s", audit_kind_name(f->kind), f->id);
		assert_string_equal(said, expected[i]);
	}
	assert_int_equal(w.audit.n_findings, 9);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_found_where_all_is_right),
	    cmocka_unit_test(a_result_without_its_action),
	    cmocka_unit_test(a_run_of_other_bytes),
	    cmocka_unit_test(a_commit_that_did_not_land_it),
	    cmocka_unit_test(a_result_that_names_nothing),
	    cmocka_unit_test(other_files_than_those_that_stood_there),
	    cmocka_unit_test(a_foreign_result),
	    cmocka_unit_test(changes_afterwards),
	    cmocka_unit_test(a_change_beside_a_new_result),
	    cmocka_unit_test(an_action_that_was_edited_while_it_ran),
	    cmocka_unit_test(all_of_it_again),
	    cmocka_unit_test(a_result_that_is_none),
	    cmocka_unit_test(a_folder_that_is_malformed),
	    cmocka_unit_test(a_result_that_is_a_link),
	    cmocka_unit_test(a_repository_that_cant_be_read),
	    cmocka_unit_test(each_fault_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
