/* Git objects written as bytes, as no program of git would write them. */
#ifndef TESTS_GIT_RAW_H
#define TESTS_GIT_RAW_H

#include "tests/unit/git_fixture.h"

/* One entry of a tree as git stores it. */
static inline void raw_entry(struct buf *b, const char *mode_and_name, const git_oid *oid)
{
	buf_adds(b, mode_and_name);
	buf_addc(b, '\0');
	buf_add(b, oid->id, GIT_OID_RAWSZ);
}

static inline git_oid write_object(git_repository *repo, const struct buf *data, git_object_t type)
{
	git_oid oid;
	git_odb *odb = NULL;
	assert_int_equal(git_repository_odb(&odb, repo), 0);
	assert_int_equal(git_odb_write(&oid, odb, data->data, data->len, type), 0);
	git_odb_free(odb);
	return oid;
}

static inline git_oid write_bytes(git_repository *repo, const char *text, size_t len, git_object_t type)
{
	cleanup_buf struct buf b = BUF_INIT;
	buf_add(&b, text, len);
	return write_object(repo, &b, type);
}

/* The tree with another object at `name`, all else as it was, however malformed that object is. */
static inline git_oid replace_entry(git_repository *repo, const git_tree *tree, const char *name, const git_oid *with)
{
	cleanup_buf struct buf b = BUF_INIT;
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		bool here = strcmp(git_tree_entry_name(e), name) == 0;
		cleanup_free char *head = xasprintf("%o %s", (unsigned)git_tree_entry_filemode_raw(e), git_tree_entry_name(e));
		raw_entry(&b, head, here ? with : git_tree_entry_id(e));
	}
	return write_object(repo, &b, GIT_OBJECT_TREE);
}

/* A commit on `parent` in which vault/<folder>, which is there, is this tree. */
static inline git_oid commit_folder(git_repository *repo, const git_oid *parent, const char *folder, const git_oid *tree)
{
	cleanup_git(git_tree) git_tree *root = NULL;
	cleanup_git(git_tree) git_tree *vault = NULL;
	cleanup_buf struct buf commit = BUF_INIT;
	struct err err = ERR_INIT;
	assert_ok(git_repo_tree(repo, parent, "", &root, &err), &err);
	assert_ok(git_repo_tree(repo, parent, "vault", &vault, &err), &err);
	git_oid oid = replace_entry(repo, vault, folder, tree);
	oid = replace_entry(repo, root, "vault", &oid);
	buf_addf(&commit, "tree %s\n", git_oid_tostr_s(&oid));
	buf_addf(&commit, "parent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n", git_oid_tostr_s(parent));
	return write_object(repo, &commit, GIT_OBJECT_COMMIT);
}

#endif
