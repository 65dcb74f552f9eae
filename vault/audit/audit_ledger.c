/* The ledger beside the history. See audit_ledger.h. */
#include "vault/audit/audit_ledger.h"

#include "lib/cleanup.h"
#include "lib/git_repo.h"
#include "vault/audit/audit_evidence.h"
#include "vault/ops/ledger.h"
#include <stdlib.h>
#include <string.h>

#define FOLDERS 256

/* claims/ or done/, and those of its folders that were asked for. */
struct side {
	git_tree *root; /* NULL: there is none */
	git_tree *folders[FOLDERS];
	bool read[FOLDERS];
};

struct audit_ledger {
	struct side claims, done;
	bool has_origin;
	size_t origin; /* where the ledger began, in the chain: what was recorded by then needs no entry */
};

static void side_close(struct side *s)
{
	for (size_t i = 0; i < FOLDERS; i++)
		git_tree_free(s->folders[i]);
	git_tree_free(s->root);
}

void audit_ledger_close(struct audit_judge *j)
{
	if (!j->ledger)
		return;
	side_close(&j->ledger->claims);
	side_close(&j->ledger->done);
	free(j->ledger);
	j->ledger = NULL;
}

static size_t last(const struct audit_judge *j)
{
	return j->h->n_commits - 1;
}

/* Findings about the whole stand at the end of the chain. 0: goes on without it; -1: the repository can't be read. */
static int distrust(struct audit_judge *j, struct err *why, struct err *err)
{
	if (why->code != ERR_INVALID) {
		err_move(err, why);
		return err_wrap(err, LEDGER_BRANCH);
	}
	audit_found(j, AUDIT_MALFORMED_LEDGER, NULL, last(j), "%s", err_msg(why));
	return 0;
}

static int open_side(const struct audit_judge *j, const char *name, struct side *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (git_repo_tree(j->h->repo, j->rules->ledger, name, &ret->root, &why) == 0 || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

static int open_origin(struct audit_judge *j, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;
	struct ledger_origin origin;
	git_oid oid;
	git_filemode_t mode;

	if (git_repo_entry(j->h->repo, j->rules->ledger, LEDGER_ORIGIN, &oid, &mode, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		err_move(err, &why);
		return -1;
	}
	if (git_repo_blob(j->h->repo, &oid, LEDGER_MAX_BYTES, &text, err) < 0 || ledger_origin_parse(text.data, text.len, &origin, err) < 0)
		return err_wrap(err, LEDGER_ORIGIN);
	j->ledger->has_origin = audit_history_find(j->h, &origin.tip, &j->ledger->origin);
	return 0;
}

int audit_ledger_open(struct audit_judge *j, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (!j->rules->ledger)
		return 0;
	j->ledger = xcalloc(1, sizeof(*j->ledger));
	if (open_side(j, LEDGER_CLAIMS, &j->ledger->claims, &why) == 0 && open_side(j, LEDGER_DONE, &j->ledger->done, &why) == 0 &&
	    open_origin(j, &why) == 0)
		return 0;
	audit_ledger_close(j);
	return distrust(j, &why, err);
}

static int folder_of(const struct audit_judge *j, struct side *s, const char *xx, git_tree **ret, struct err *err)
{
	size_t i = strtoul(xx, NULL, 16);
	const git_tree_entry *e = s->root ? git_tree_entry_byname(s->root, xx) : NULL;

	if (!s->read[i] && e) {
		cleanup_git(git_tree) git_tree *tree = NULL;
		int rc = git_tree_lookup(&tree, j->h->repo, git_tree_entry_id(e));
		if (rc < 0)
			return git_err(err, rc, LEDGER_BRANCH ": folder %s", xx);
		if (git_tree_check(tree, err) < 0)
			return err_wrap(err, LEDGER_BRANCH ": folder %s", xx);
		s->folders[i] = steal_ptr(&tree);
	}
	s->read[i] = true;
	*ret = s->folders[i];
	return 0;
}

/* The entry of an id. 0; 1: there is none; -1: with ERR_INVALID, it makes no sense. */
static int entry_of(const struct audit_judge *j, struct side *s, const char *id, struct buf *ret, struct err *err)
{
	cleanup_free char *name = xasprintf("%s.json", id);
	git_tree *folder = NULL;
	char xx[3];

	ledger_folder(id, xx);
	if (folder_of(j, s, xx, &folder, err) < 0)
		return -1;
	const git_tree_entry *e = folder ? git_tree_entry_byname(folder, name) : NULL;
	if (!e)
		return 1;
	if (git_tree_entry_filemode_raw(e) != GIT_FILEMODE_BLOB)
		return err_set(err, ERR_INVALID, "it is no plain file");
	return git_repo_blob(j->h->repo, git_tree_entry_id(e), LEDGER_MAX_BYTES, ret, err);
}

/* One result as it was recorded. */
struct record {
	struct audit_judge *j;
	const struct audit_event *result;
	const char *id;
	char digest[65];
	struct audit_evidence said;
};

#define FOUND(r, kind, ...) audit_found((r)->j, kind, (r)->id, (r)->result->at, __VA_ARGS__)

/* An entry that can't be read is a finding, unless it is the repository's fault. */
static int malformed(const struct record *r, const char *what, struct err *why, struct err *err)
{
	if (why->code != ERR_INVALID) {
		err_move(err, why);
		return -1;
	}
	FOUND(r, AUDIT_MALFORMED_LEDGER, "its %s: %s", what, err_msg(why));
	return 0;
}

static int judge_claim(const struct record *r, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;
	struct ledger_claim c = {.attempt = 1};

	int rc = entry_of(r->j, &r->j->ledger->claims, r->id, &text, &why);
	if (rc == 0)
		rc = ledger_claim_parse(text.data, text.len, &c, &why);
	if (rc < 0)
		return malformed(r, "claim", &why, err);
	if (rc == 1)
		FOUND(r, AUDIT_NOT_IN_LEDGER, "nobody has claimed it");
	else if (c.free)
		FOUND(r, AUDIT_OTHER_ENTRY, "its claim was given back for attempt %d", c.attempt);
	else if (!r->said.claim || strcmp(c.nonce, r->said.claim) != 0)
		FOUND(r, AUDIT_OTHER_ENTRY, "it stands for claim %s, but the ledger has %s of dispatcher %s",
		      r->said.claim ? r->said.claim : "none", c.nonce, c.dispatcher);
	else if (r->said.started && r->said.dispatcher && strcmp(c.dispatcher, r->said.dispatcher) != 0)
		FOUND(r, AUDIT_OTHER_ENTRY, "dispatcher %s has claimed it, but it says that %s ran it", c.dispatcher, r->said.dispatcher);
	return 0;
}

static int judge_done(const struct record *r, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;
	struct ledger_done d = {.attempt = 1};

	int rc = entry_of(r->j, &r->j->ledger->done, r->id, &text, &why);
	if (rc == 0)
		rc = ledger_done_parse(text.data, text.len, &d, &why);
	if (rc < 0)
		return malformed(r, "done entry", &why, err);
	if (rc == 1)
		FOUND(r, AUDIT_NOT_IN_LEDGER, "it has no done entry");
	else if (strcmp(d.digest, r->digest) != 0)
		FOUND(r, AUDIT_OTHER_ENTRY, "its SHA-256 is %.10s…, but the ledger has recorded %.10s…", r->digest, d.digest);
	else if (d.outcome != r->said.outcome)
		FOUND(r, AUDIT_OTHER_ENTRY, "it says %s, but the ledger says %s", outcome_name(r->said.outcome), outcome_name(d.outcome));
	return 0;
}

static bool has_entry(const struct audit_judge *j, struct side *s, const char *id)
{
	cleanup_buf struct buf text = BUF_INIT;
	return entry_of(j, s, id, &text, NULL) == 0;
}

int audit_ledger_judge(struct audit_judge *j, const struct audit_event *results, size_t n, struct err *err)
{
	struct audit_ledger *l = j->ledger;
	cleanup_audit_evidence struct audit_evidence said = AUDIT_EVIDENCE_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	const struct audit_event *first = results;

	while (first < results + n && !first->there)
		first++;
	if (!l || first == results + n || (l->has_origin && first->at <= l->origin && !has_entry(j, &l->done, first->name)))
		return 0;
	/* One that is none was found by others already; so it is here only whether it has entries. */
	if (git_repo_blob(j->h->repo, &first->blob, RESULT_MAX_BYTES, &text, NULL) < 0 ||
	    audit_evidence_parse(first->name, text.data, text.len, &said, NULL) < 0) {
		if (!has_entry(j, &l->done, first->name))
			audit_found(j, AUDIT_NOT_IN_LEDGER, first->name, first->at, "it has no done entry");
		return 0;
	}
	if (!has_entry(j, &l->claims, first->name) && !has_entry(j, &l->done, first->name)) {
		audit_found(j, AUDIT_NOT_IN_LEDGER, first->name, first->at, "the ledger knows nothing of it");
		return 0;
	}
	struct record r = {.j = j, .result = first, .id = first->name, .said = said};
	ledger_digest(text.data, text.len, r.digest);
	return judge_claim(&r, err) < 0 ? -1 : judge_done(&r, err);
}

int audit_ledger_end(struct audit_judge *j, struct err *err)
{
	struct audit_ledger *l = j->ledger;

	for (size_t i = 0, n = l && l->done.root ? git_tree_entrycount(l->done.root) : 0; i < n; i++) {
		const char *xx = git_tree_entry_name(git_tree_entry_byindex(l->done.root, i));
		cleanup_err struct err why = ERR_INIT;
		git_tree *folder = NULL;
		char id[VAULT_ID_MAX + 1];
		size_t events;

		if (strlen(xx) != 2 || strspn(xx, CHARS_DIGIT "abcdef") != 2)
			continue;
		if (folder_of(j, &l->done, xx, &folder, &why) < 0) {
			if (distrust(j, &why, err) < 0)
				return -1;
			continue;
		}
		for (size_t k = 0, m = folder ? git_tree_entrycount(folder) : 0; k < m; k++)
			if (ledger_file_id(xx, git_tree_entry_name(git_tree_entry_byindex(folder, k)), id) &&
			    !audit_events(j->h, AUDIT_RESULT, id, &events))
				audit_found(j, AUDIT_RESULT_MISSING, id, last(j),
				            "the ledger says that it is finished, and no result ever stood there");
	}
	return 0;
}
