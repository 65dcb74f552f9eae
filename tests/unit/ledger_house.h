/* What the tests of the ledger share: the git role as core sees it, processes at the other end of sockets, in front of one real repository. */
#ifndef TESTS_UNIT_LEDGER_HOUSE_H
#define TESTS_UNIT_LEDGER_HOUSE_H

#include "tests/unit/git_house.h"
#include "vault/ops/ledger.h"

#include <time.h>

static inline int with_ledger(void **state)
{
	static char claims[] = "ledger";
	int rc = setup(state);
	((struct house *)*state)->config.claims = claims;
	return rc;
}

static inline void forget(struct house **h)
{
	teardown((void **)h);
}
#define cleanup_house __attribute__((cleanup(forget)))

/* ---- what is said ---- */

static inline json_t *expect(struct house *h, const char *kind, const char *id)
{
	json_t *m = next(h);
	if (strcmp(str(m, "kind"), kind) != 0 || (id && strcmp(str(m, "id"), id) != 0)) {
		cleanup_free char *text = json_dumps(m, 0);
		fail_msg("wanted %s %s, got %s", kind, id ? id : "", text);
	}
	return m;
}

static inline void expect_only(struct house *h, const char *kind, const char *id)
{
	json_decref(expect(h, kind, id));
}

/* The same, whatever comes before it. */
static inline void await(struct house *h, const char *kind, const char *id)
{
	for (bool found = false; !found;) {
		cleanup_json json_t *m = next(h);
		found = strcmp(str(m, "kind"), kind) == 0 && (!id || (str(m, "id") && strcmp(str(m, "id"), id) == 0));
	}
}

/* The reason of a message of that kind holds a text. */
static inline void expect_reason(struct house *h, const char *kind, const char *id, const char *part)
{
	cleanup_json json_t *m = expect(h, kind, id);
	const char *reason = str(m, "reason");
	if (!reason || !strstr(reason, part))
		fail_msg("%s: '%s' does not say '%s'", kind, reason ? reason : "", part);
}

/* Starts it, and waits until it may work. */
static inline void begin(struct house *h, const char *first)
{
	expect_first(h, first);
	cleanup_json json_t *m = expect(h, "incarnated", NULL);
	assert_true(json_is_true(json_object_get(m, "ok")));
}

static inline void send_claim(struct house *h, const char *id, int attempt, const char *nonce, const char *mine)
{
	json_t *list = json_array();
	if (mine)
		json_array_append_new(list, json_string(mine));
	send_msg(h, msg_new(MSG_CLAIM, "{s:s, s:i, s:s, s:o, s:s, s:I}", "id", id, "attempt", attempt, "nonce", nonce, "mine", list,
	                    "action_blob", "0123456789abcdef0123456789abcdef01234567", "deadline", (json_int_t)time(NULL) + 3600));
}

static inline void claim(struct house *h, const char *id, int attempt, const char *nonce, const char *mine)
{
	send_claim(h, id, attempt, nonce, mine);
	cleanup_json json_t *m = expect(h, "claimed", id);
	assert_string_equal(str(m, "nonce"), nonce);
	assert_int_equal(json_integer_value(json_object_get(m, "attempt")), attempt);
}

static inline char *result_text(const char *id, const char *nonce, int attempt, const char *outcome)
{
	return xasprintf("{\"id\": \"%s\", \"outcome\": \"%s\", \"attempt\": %d, \"claim\": \"%s\"}\n", id, outcome, attempt, nonce);
}

static inline void send_result(struct house *h, const char *id, const char *nonce, int attempt)
{
	cleanup_free char *text = result_text(id, nonce, attempt, "succeeded");
	send_msg(h, msg_new(MSG_RECORD, "{s:s, s:s}", "id", id, "result", text));
}

static inline void finish(struct house *h, const char *id, const char *nonce, int attempt)
{
	send_result(h, id, nonce, attempt);
	expect_only(h, "recorded", id);
}

/* An operator's decision; the reason of a no, or NULL. Caller frees. What comes before the answer is dropped. */
static inline char *decision(struct house *h, const char *what, const char *id, const char *result)
{
	send_msg(h, msg_new(MSG_DECIDE, "{s:i, s:s, s:s?, s:s?}", "ask", 7, "what", what, "id", id, "result", result));
	for (;;) {
		cleanup_json json_t *m = next(h);
		if (strcmp(str(m, "kind"), "decided") != 0)
			continue;
		assert_int_equal(json_integer_value(json_object_get(m, "ask")), 7);
		return json_is_true(json_object_get(m, "ok")) ? NULL : xstrdup(str(m, "reason"));
	}
}

static inline void decided(struct house *h, const char *what, const char *id, const char *result)
{
	cleanup_free char *no = decision(h, what, id, result);
	if (no)
		fail_msg("%s: %s", what, no);
}

static inline void refused(struct house *h, const char *what, const char *id, const char *result, const char *part)
{
	cleanup_free char *no = decision(h, what, id, result);
	if (!no || !strstr(no, part))
		fail_msg("%s: '%s' does not say '%s'", what, no ? no : "yes", part);
}

/* ---- what stands on the server ---- */

static inline git_oid ref_of(struct house *h, const char *ref)
{
	git_oid oid;
	assert_int_equal(git_reference_name_to_id(&oid, h->f.repo, ref), 0);
	return oid;
}

/* A file of the ledger; NULL: there is none. */
static inline char *ledger_file(struct house *h, const char *path)
{
	struct buf text = BUF_INIT;
	git_oid oid, tip = ref_of(h, LEDGER_REF);
	git_filemode_t mode;
	if (git_repo_entry(h->f.repo, &tip, path, &oid, &mode, NULL) < 0)
		return NULL;
	assert_int_equal(git_repo_blob(h->f.repo, &oid, 65536, &text, NULL), 0);
	return buf_steal(&text);
}

static inline struct ledger_claim claim_of(struct house *h, const char *id)
{
	struct ledger_claim c = {.attempt = 0};
	struct err err = ERR_INIT;
	cleanup_free char *path = ledger_claim_path(id);
	cleanup_free char *text = ledger_file(h, path);
	if (text)
		assert_ok(ledger_claim_parse(text, strlen(text), &c, &err), &err);
	return c;
}

static inline bool has_done(struct house *h, const char *id, struct ledger_done *ret)
{
	struct err err = ERR_INIT;
	cleanup_free char *path = ledger_done_path(id);
	cleanup_free char *text = ledger_file(h, path);
	if (text)
		assert_ok(ledger_done_parse(text, strlen(text), ret, &err), &err);
	return text != NULL;
}

/* Puts a file (NULL: takes it away) on the ledger, as somebody who may push could. */
static inline void forge_entry(struct house *h, const char *path, const char *text)
{
	git_oid tip = ref_of(h, LEDGER_REF);
	struct git_change change = {path, text, text ? strlen(text) : 0};
	git_oid oid = commit_on(h->f.repo, &tip, &change, 1, "forged");
	set_ref(h->f.repo, LEDGER_REF, &oid);
}

static inline size_t commits(struct house *h, const char *ref)
{
	cleanup_git(git_revwalk) git_revwalk *walk = NULL;
	git_oid oid;
	size_t n = 0;
	assert_int_equal(git_revwalk_new(&walk, h->f.repo), 0);
	assert_int_equal(git_revwalk_push_ref(walk, ref), 0);
	while (git_revwalk_next(&oid, walk) == 0)
		n++;
	return n;
}

static inline void hook(struct house *h, const char *name, const char *script)
{
	cleanup_free char *path = xasprintf("%s/hooks/%s", h->f.repo_path, name);
	if (script)
		write_file(path, script, 0755);
	else
		assert_int_equal(unlink(path), 0);
}

#endif
