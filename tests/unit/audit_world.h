/*
 * For the tests of the audit: an ops repo made by hand, in which people land and a dispatcher records, all of it right unless a test spoils it.
 */
#ifndef TESTS_AUDIT_WORLD_H
#define TESTS_AUDIT_WORLD_H

#include "tests/unit/git_fixture.h"

#include "vault/approval/approval_signed.h"
#include "vault/audit/audit.h"
#include "vault/result.h"
#include "vault/ssh/commit_signature.h"
#include <stdlib.h>

#define NOW 1800000000

static const char formula_text[] = "name: f\nsteps: [{id: a, run: 'true'}]\n";
static const char policy_text[] = "default_tier: low\nformulas: {strict: medium}\ntiers: {medium: {approval: signed}}\n"
                                  "secrets: {KEPT: {formulas: [strict]}}\n";

/* An ops repo, its people, and the next second. */
struct world {
	struct fixture f;
	git_oid tip;
	int64_t clock;
	struct ssh_private_key *human, *dispatcher; /* keys; NULL where nobody signs */
	struct allowed_signers *approvers, *dispatchers;
	struct audit_rules rules;
	struct audit audit;
};

enum who { HUMAN, DISPATCHER };

static inline git_oid commit(struct world *w, enum who who, const git_oid *parents, size_t n_parents, const struct git_change *changes,
                             size_t n, const char *message)
{
	struct err err = ERR_INIT;
	git_signature *author = NULL;
	git_oid oid;
	struct ssh_private_key *key = who == HUMAN ? w->human : w->dispatcher;
	struct git_signer signer = {.sign = NULL};
	if (key)
		signer = commit_signer(key);
	assert_int_equal(git_signature_new(&author, who == HUMAN ? "Somebody" : "disinto-dispatcher",
	                                   who == HUMAN ? "somebody@example" : "edge-1@disinto", w->clock++, 0),
	                 0);
	assert_ok(git_repo_commit_signed(w->f.repo, parents, n_parents, changes, n, author, message, key ? &signer : NULL, &oid, &err),
	          &err);
	git_signature_free(author);
	return oid;
}

/* On main. Text NULL: the file is taken away. */
static inline git_oid put(struct world *w, enum who who, const char *path, const char *text)
{
	const struct git_change change = {path, text, text ? strlen(text) : 0};
	w->tip = commit(w, who, &w->tip, 1, &change, 1, "change\n");
	return w->tip;
}

static inline git_oid blob_of(const char *text)
{
	git_oid oid;
	assert_int_equal(git_odb_hash(&oid, text, strlen(text), GIT_OBJECT_BLOB), 0);
	return oid;
}

/* The same with the line that approves the file. */
static inline git_oid approve(struct world *w, const char *path, const char *text)
{
	const struct git_change change = {path, text, strlen(text)};
	cleanup_buf struct buf message = BUF_INIT;
	git_oid blob = blob_of(text);
	buf_adds(&message, "approve\n\n");
	approval_line(path, &blob, &message);
	w->tip = commit(w, HUMAN, &w->tip, 1, &change, 1, message.data);
	return w->tip;
}

static inline void begin(struct world *w)
{
	*w = (struct world){.clock = 1700000000, .rules = {.floor = {.minimum = APPROVAL_LANDED}, .now = NOW}};
	fixture_begin(&w->f);
	const struct git_change change = {"vault/actions/.gitkeep", "", 0};
	w->tip = commit(w, HUMAN, NULL, 0, &change, 1, "begin\n");
	put(w, HUMAN, "vault/formulas/f.yaml", formula_text);
	put(w, HUMAN, "vault/secrets/TOKEN.age", "old");
	put(w, HUMAN, "README", "readme");
}

static inline struct ssh_private_key *make_key(struct world *w, const char *name)
{
	struct err err = ERR_INIT;
	struct ssh_private_key *key = NULL;
	cleanup_free char *path = xasprintf("%s/%s", w->f.dir, name);
	assert_int_equal(RUN(NULL, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path), 0);
	assert_ok(ssh_private_key_load(path, &key, &err), &err);
	return key;
}

static inline struct allowed_signers *list_of(const char *name, const struct ssh_private_key *key)
{
	struct err err = ERR_INIT;
	struct allowed_signers *list = NULL;
	cleanup_free char *text = ssh_public_key_text(ssh_private_key_public(key));
	cleanup_free char *line = xasprintf("%s %s\n", name, text);
	assert_ok(allowed_signers_parse(line, strlen(line), "list", &list, &err), &err);
	return list;
}

/* From here on people and dispatcher sign, and the audit knows their keys. */
static inline void sign_from_now_on(struct world *w)
{
	w->human = make_key(w, "human");
	w->dispatcher = make_key(w, "dispatcher");
	w->approvers = list_of("somebody@example", w->human);
	w->dispatchers = list_of("edge", w->dispatcher);
	w->rules.approvers = w->approvers;
	w->rules.dispatchers = w->dispatchers;
}

static inline void end(struct world *w)
{
	audit_free(&w->audit);
	ssh_private_key_free(w->human);
	ssh_private_key_free(w->dispatcher);
	allowed_signers_free(w->approvers);
	allowed_signers_free(w->dispatchers);
	fixture_end(&w->f);
}

static inline char *action_text(const char *id, const char *formula, const char *secrets)
{
	return xasprintf("{\"id\": \"%s\", \"formula\": \"%s\", \"context\": \"a test\", \"secrets\": [%s]}\n", id, formula, secrets);
}

static inline char *action_path(const char *id)
{
	return xasprintf("vault/actions/%s.json", id);
}

/* Lands an action of the formula f with the secret TOKEN, signed where people sign. */
static inline git_oid land_action(struct world *w, const char *id)
{
	cleanup_free char *text = action_text(id, "f", "\"TOKEN\"");
	cleanup_free char *path = action_path(id);
	return w->human ? approve(w, path, text) : put(w, HUMAN, path, text);
}

static inline void set_oid(json_t *object, const char *key, const git_oid *oid)
{
	json_object_set_new(object, key, json_string(git_oid_tostr_s(oid)));
}

/* What the dispatcher would say of such an action, which landed there. */
static inline json_t *result_of(const char *id, const git_oid *landing)
{
	cleanup_free char *text = action_text(id, "f", "\"TOKEN\"");
	cleanup_json json_t *secrets = json_object();
	char commit_hex[GIT_OID_HEXSZ + 1], action_hex[GIT_OID_HEXSZ + 1], formula_hex[GIT_OID_HEXSZ + 1];
	git_oid action = blob_of(text), formula = blob_of(formula_text), token = blob_of("old");
	set_oid(secrets, "TOKEN", &token);
	const struct result r = {
	    .id = id,
	    .outcome = OUTCOME_SUCCEEDED,
	    .has_exit_code = true,
	    .started_ms = 1700000000000,
	    .finished_ms = 1700000001000,
	    .attempt = 1,
	    .tier = "high",
	    .approval_mode = "landed",
	    .approval_commit = git_oid_tostr(commit_hex, sizeof(commit_hex), landing),
	    .commit = commit_hex,
	    .action_blob = git_oid_tostr(action_hex, sizeof(action_hex), &action),
	    .formula_name = "f",
	    .formula_blob = git_oid_tostr(formula_hex, sizeof(formula_hex), &formula),
	    .image = "debian@sha256:00",
	    .dispatcher = "edge-1",
	    .secrets = secrets,
	    .logs = "an \x1b[31mescape\n",
	};
	return result_to_json(&r);
}

static inline char *result_path(const char *id)
{
	return xasprintf("vault/actions/%s.result.json", id);
}

/* Commits a result (which it takes) as the dispatcher does. */
static inline git_oid record(struct world *w, const char *id, json_t *result)
{
	cleanup_free char *text = json_dumps(result, JSON_INDENT(2));
	cleanup_free char *path = result_path(id);
	json_decref(result);
	return put(w, DISPATCHER, path, text);
}

/* An action that ran, all of it right. */
static inline git_oid run_action(struct world *w, const char *id)
{
	git_oid landing = land_action(w, id);
	json_t *result = result_of(id, &landing);
	if (w->human)
		json_object_set_new(
		    result, "approval",
		    json_pack("{s:s, s:s, s:s}", "mode", "signed", "by", "somebody@example", "commit", git_oid_tostr_s(&landing)));
	return record(w, id, result);
}

static inline void audit_now(struct world *w)
{
	struct err err = ERR_INIT;
	audit_free(&w->audit);
	assert_ok(audit_run(w->f.repo, &w->tip, &w->rules, &w->audit, &err), &err);
}

/* "kind id what" for each finding, in lines. */
static inline void assert_says(struct world *w, const char *expected)
{
	cleanup_buf struct buf said = BUF_INIT;
	audit_now(w);
	for (size_t i = 0; i < w->audit.n_findings; i++) {
		const struct audit_finding *f = &w->audit.findings[i];
		assert_true(strlen(audit_kind_advice(f->kind)) > 10);
		buf_addf(&said, "%s %s %s\n", audit_kind_name(f->kind), f->id ? f->id : "-", f->what);
	}
	assert_string_equal(said.data, expected);
}

/* Exactly one finding, about what that commit brought; %s in `what`: the first 10 digits of `named`. */
static inline void assert_finds(struct world *w, enum audit_kind kind, const char *id, const git_oid *at, const char *what)
{
	audit_now(w);
	if (w->audit.n_findings != 1) {
		assert_says(w, what);
		fail();
	}
	const struct audit_finding *f = &w->audit.findings[0];
	assert_string_equal(f->what, what);
	assert_int_equal(f->kind, kind);
	assert_string_equal(f->id ? f->id : "-", id);
	assert_true(git_oid_equal(&f->commit, at));
}

static inline const char *shorten(const git_oid *oid)
{
	static char texts[4][11];
	static size_t next;
	char *text = texts[next++ % 4];
	return git_oid_tostr(text, sizeof(texts[0]), oid);
}

#endif
