/* Proposals, looked at. */
#include "vault/approval/candidate.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>

void candidate_free(struct candidate *c)
{
	free(c->path);
	buf_free(&c->text);
}

/* The trees of the branch's head, and of the commit of the protected branch that it goes out from. */
static int trees_of_branch(const struct judging *by, const git_oid *head, git_tree **ret_before, git_tree **ret_after, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_git(git_commit) git_commit *base = NULL;
	git_oid base_oid;

	if (git_merge_base(&base_oid, by->git, &by->tip, head) < 0)
		return err_set(err, ERR_INVALID, "the branch has no history in common with %s", by->config->branch);
	if (git_commit_lookup(&commit, by->git, head) < 0 || git_commit_lookup(&base, by->git, &base_oid) < 0 ||
	    git_commit_tree(ret_before, base) < 0 || git_commit_tree(ret_after, commit) < 0)
		return git_err(err, -1, "the branch");
	return 0;
}

/* One folder on both sides, gone through entry by entry. Folders that differ are entered where the action lies and nowhere else: a few objects can make a tree that no walk comes to the end of. */
struct sides {
	git_repository *git;
	const git_tree *before; /* NULL: there is no such folder */
	const git_tree *after;
	size_t i, j;
};

static bool is_same(const git_tree_entry *a, const git_tree_entry *b)
{
	return strcmp(git_tree_entry_name(a), git_tree_entry_name(b)) == 0 &&
	       git_tree_entry_filemode_raw(a) == git_tree_entry_filemode_raw(b) &&
	       git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b));
}

static bool is_named(const git_tree_entry *e, const char *name, size_t len)
{
	return e && strlen(git_tree_entry_name(e)) == len && strncmp(git_tree_entry_name(e), name, len) == 0;
}

/* The next two entries that are not the same. False: there are none. One of them may be NULL. */
static bool next_difference(struct sides *s, const git_tree_entry **ret_before, const git_tree_entry **ret_after)
{
	for (;; s->i++, s->j++) {
		*ret_before = s->before ? git_tree_entry_byindex(s->before, s->i) : NULL;
		*ret_after = git_tree_entry_byindex(s->after, s->j);
		if (!*ret_before || !*ret_after || !is_same(*ret_before, *ret_after))
			return *ret_before || *ret_after;
	}
}

static int lookup(git_repository *git, const git_tree_entry *e, git_tree **ret, struct err *err)
{
	if (git_tree_entry_type(e) != GIT_OBJECT_TREE)
		return err_set(err, ERR_INVALID, "the branch changes %s, which must be a folder", git_tree_entry_name(e));
	int rc = git_tree_lookup(ret, git, git_tree_entry_id(e));
	return rc < 0 ? git_err(err, rc, "the branch") : 0;
}

/* A file that may not differ: for people, its name as far down as one can see at once. */
static int too_much(const struct sides *s, const char *at, size_t len, const git_tree_entry *before, const git_tree_entry *after,
                    struct err *err)
{
	bool added = after && (!before || strcmp(git_tree_entry_name(after), git_tree_entry_name(before)) < 0);
	const git_tree_entry *e = added || !before ? after : before;
	cleanup_git(git_tree) git_tree *one = NULL;
	cleanup_git(git_tree) git_tree *two = NULL;
	cleanup_free char *path = xasprintf("%.*s%s", (int)len, at, git_tree_entry_name(e));

	if (before && after && strcmp(git_tree_entry_name(before), git_tree_entry_name(after)) == 0 && len < 1024 &&
	    lookup(s->git, before, &one, NULL) == 0 && lookup(s->git, after, &two, NULL) == 0) {
		struct sides below = {s->git, one, two, 0, 0};
		cleanup_free char *folder = xasprintf("%s/", path);
		if (next_difference(&below, &before, &after))
			return too_much(&below, folder, strlen(folder), before, after, err);
	}
	return err_set(err, ERR_INVALID, "the branch changes %s too; an approval is for one action only", path);
}

/* `rest`: what of the action's path lies in this folder. */
static int check_folder(struct sides *s, const struct candidate *c, const char *rest, bool *ret_found, struct err *err)
{
	size_t len = strcspn(rest, "/");
	const git_tree_entry *before, *after;

	while (next_difference(s, &before, &after)) {
		cleanup_git(git_tree) git_tree *one = NULL;
		cleanup_git(git_tree) git_tree *two = NULL;
		bool stood = is_named(before, rest, len);
		if (!is_named(after, rest, len))
			return too_much(s, c->path, (size_t)(rest - c->path), before, after, err);
		if (!rest[len] && stood)
			return err_set(err, ERR_INVALID, "the branch changes %s, which must be new", c->path);
		if (!rest[len] && git_tree_entry_filemode(after) != GIT_FILEMODE_BLOB)
			return err_set(err, ERR_INVALID, "%s is no plain file", c->path);
		if (rest[len]) {
			if ((stood && lookup(s->git, before, &one, err) < 0) || lookup(s->git, after, &two, err) < 0)
				return -1;
			struct sides below = {s->git, one, two, 0, 0};
			if (check_folder(&below, c, rest + len + 1, ret_found, err) < 0)
				return -1;
		} else {
			*ret_found = true;
		}
		s->i += stood;
		s->j++;
	}
	return 0;
}

/* An approval covers one action and nothing else, so the branch may bring nothing else. */
static int check_only_action(const struct judging *by, const struct candidate *c, struct err *err)
{
	cleanup_git(git_tree) git_tree *before = NULL;
	cleanup_git(git_tree) git_tree *after = NULL;
	bool found = false;

	if (trees_of_branch(by, &c->head, &before, &after, err) < 0)
		return -1;
	struct sides root = {by->git, before, after, 0, 0};
	if (check_folder(&root, c, c->path, &found, err) < 0)
		return -1;
	return found ? 0 : err_set(err, ERR_INVALID, "the branch does not add %s", c->path);
}

int candidate_look(const struct judging *by, const char *id, const git_oid *head, struct candidate *ret, struct err *err)
{
	git_filemode_t mode;

	ret->id = id;
	ret->head = *head;
	ret->path = vault_action_path(id);
	if (check_only_action(by, ret, err) < 0)
		return -1;
	if (git_repo_entry(by->git, head, ret->path, &ret->blob, &mode, err) < 0)
		return -1;
	return git_repo_blob(by->git, &ret->blob, ACTION_MAX_BYTES, &ret->text, err);
}

int candidate_merge(const struct judging *by, const struct candidate *c, const git_signature *author, git_oid *ret, struct err *err)
{
	const git_oid parents[] = {by->tip, c->head};
	struct git_change change = {c->path, c->text.data, c->text.len};

	return git_repo_commit(by->git, parents, 2, &change, 1, author, "What if\n", ret, err);
}

/* The branch's own author and time make it the same commit each time. */
int candidate_judge(const struct judging *by, const struct candidate *c, struct judged *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *head = NULL;
	git_oid merged;

	if (git_commit_lookup(&head, by->git, &c->head) < 0)
		return git_err(err, -1, "the branch");
	if (candidate_merge(by, c, git_commit_author(head), &merged, err) < 0)
		return -1;
	return judged_at(by, &merged, c->id, ret, err);
}

json_t *candidate_row(const struct judging *by, const char *id, const git_oid *head)
{
	cleanup_candidate struct candidate c = CANDIDATE_INIT;
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_git(git_commit) git_commit *commit = NULL;
	cleanup_err struct err why = ERR_INIT;
	const char *problem = NULL;
	char hex[GIT_OID_HEXSZ + 1], time[21];
	json_t *row;

	if (candidate_look(by, id, head, &c, &why) < 0 || candidate_judge(by, &c, &judged, &why) < 0)
		problem = err_msg(&why);
	else
		problem = judged.problem;
	row = json_pack("{s:s, s:s, s:s?, s:s?, s:O?, s:s?}", "id", id, "head", git_oid_tostr(hex, sizeof(hex), head), "formula",
	                judged.action.formula, "context", judged.action.context, "secrets", judged.action.secrets, "problem", problem);
	if (row && git_commit_lookup(&commit, by->git, head) == 0) {
		if (judged.verdict.why)
			json_object_set_new(row, "tier", json_string(tier_name(judged.verdict.tier)));
		json_object_set_new(row, "by", json_string(git_commit_author(commit)->name));
		json_object_set_new(row, "proposed", json_string(time_format((int64_t)git_commit_time(commit) * 1000, time)));
	}
	return row;
}

bool candidate_has_landed(const struct judging *by, const char *id)
{
	struct ops_item item;

	return ops_item(by->git, &by->tip, id, &item, NULL) == 0 && (item.action.there || item.result.there);
}
