/* A bare clone and its objects. */
#include "lib/git_repo.h"
#include "lib/cleanup.h"

#include <stdarg.h>
#include <string.h>

static enum err_code code_of(int rc)
{
	switch (rc) {
	case GIT_ENOTFOUND:
		return ERR_NOT_FOUND;
	case GIT_EEXISTS:
		return ERR_EXISTS;
	case GIT_EAUTH:
		return ERR_DENIED;
	default:
		return ERR_FAIL;
	}
}

int git_err(struct err *err, int code, const char *fmt, ...)
{
	cleanup_buf struct buf context = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&context, fmt, ap);
	va_end(ap);
	const git_error *last = git_error_last();
	err_set(err, code_of(code), "%s: %s", context.data, last && last->message ? last->message : "libgit2 says no more");
	git_error_clear();
	return -1;
}

int git_repo_open(const char *path, git_repository **ret, struct err *err)
{
	int rc = git_repository_open_bare(ret, path);
	if (rc == GIT_ENOTFOUND) {
		git_repository_init_options options;
		git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
		options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH | GIT_REPOSITORY_INIT_NO_REINIT;
		rc = git_repository_init_ext(ret, path, &options);
	}
	return rc < 0 ? git_err(err, rc, "open the clone %s", path) : 0;
}

int git_repo_blob(git_repository *repo, const git_oid *oid, size_t max, struct buf *ret, struct err *err)
{
	cleanup_git(git_odb) git_odb *odb = NULL;
	cleanup_git(git_odb_object) git_odb_object *object = NULL;
	git_object_t type = GIT_OBJECT_INVALID;
	size_t size = 0;

	int rc = git_repository_odb(&odb, repo);
	if (rc == 0)
		rc = git_odb_read_header(&size, &type, odb, oid);
	if (rc < 0)
		return git_err(err, rc, "read blob %s", git_oid_tostr_s(oid));
	if (type != GIT_OBJECT_BLOB)
		return err_set(err, ERR_INVALID, "object %s is not a blob", git_oid_tostr_s(oid));
	if (size > max)
		return err_set(err, ERR_INVALID, "it has %zu bytes; at most %zu are allowed", size, max);
	rc = git_odb_read(&object, odb, oid);
	if (rc < 0)
		return git_err(err, rc, "read blob %s", git_oid_tostr_s(oid));
	buf_add(ret, git_odb_object_data(object), git_odb_object_size(object));
	return 0;
}

/* Order of entries: by bytes, folders as if their name ended in '/' (git's base_name_compare). */
static int compare_entries(const git_tree_entry *a, const git_tree_entry *b)
{
	const char *x = git_tree_entry_name(a), *y = git_tree_entry_name(b);
	while (*x && *x == *y)
		x++, y++;
	unsigned char cx = (unsigned char)*x, cy = (unsigned char)*y;
	if (!cx && git_tree_entry_type(a) == GIT_OBJECT_TREE)
		cx = '/';
	if (!cy && git_tree_entry_type(b) == GIT_OBJECT_TREE)
		cy = '/';
	return (cx > cy) - (cx < cy);
}

static const char *entry_fault(const git_tree_entry *e)
{
	const char *name = git_tree_entry_name(e);
	if (!*name)
		return "has an empty name";
	if (strchr(name, '/'))
		return "has a '/' in its name";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcasecmp(name, ".git") == 0)
		return "has a name that git forbids";
	switch ((unsigned)git_tree_entry_filemode_raw(e)) {
	case GIT_FILEMODE_TREE:
	case GIT_FILEMODE_BLOB:
	case 0100664: /* old versions of git wrote it, and fsck takes it */
	case GIT_FILEMODE_BLOB_EXECUTABLE:
	case GIT_FILEMODE_LINK:
	case GIT_FILEMODE_COMMIT:
		return NULL;
	default:
		return "has a file mode that git does not know";
	}
}

/* A file and a folder of one name are duplicates too, but need not be neighbours: "a", "a-b", "a/". */
static bool file_of_same_name(const git_tree *tree, size_t folder)
{
	const char *name = git_tree_entry_name(git_tree_entry_byindex(tree, folder));
	size_t len = strlen(name);
	for (size_t i = folder; i-- > 0;) {
		const char *other = git_tree_entry_name(git_tree_entry_byindex(tree, i));
		if (strncmp(other, name, len) != 0)
			return false;
		if (!other[len])
			return true;
	}
	return false;
}

/* Bytes of an entry as git writes it: its mode in octal, a blank, the name, NUL, the id. */
static size_t stored_size(const git_tree_entry *e)
{
	size_t size = strlen(git_tree_entry_name(e)) + 2 + GIT_OID_RAWSZ;
	for (unsigned mode = (unsigned)git_tree_entry_filemode_raw(e); mode; mode >>= 3)
		size++;
	return size;
}

/*
 * The library takes modes such as "+100644" and "0100644". git can't read a tree with the first at all, so nobody who reviews has seen it. Both make the
 * tree longer than its entries.
 */
static int check_stored_size(const git_tree *tree, size_t wanted, struct err *err)
{
	cleanup_git(git_odb) git_odb *odb = NULL;
	git_object_t type;
	size_t size = 0;
	int rc = git_repository_odb(&odb, git_tree_owner(tree));
	if (rc == 0)
		rc = git_odb_read_header(&size, &type, odb, git_tree_id(tree));
	if (rc < 0)
		return git_err(err, -1, "read tree %s", git_oid_tostr_s(git_tree_id(tree)));
	if (size != wanted)
		return err_set(err, ERR_INVALID, "malformed tree: a file mode is not written as git writes it");
	return 0;
}

int git_tree_check(const git_tree *tree, struct err *err)
{
	const git_tree_entry *before = NULL;
	size_t n = git_tree_entrycount(tree), size = 0;
	for (size_t i = 0; i < n; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		const char *fault = entry_fault(e);
		int order = before ? compare_entries(before, e) : -1;
		if (!fault && (order == 0 || (git_tree_entry_type(e) == GIT_OBJECT_TREE && file_of_same_name(tree, i))))
			fault = "is there twice";
		else if (!fault && order > 0)
			fault = "is out of order";
		if (fault)
			return err_set(err, ERR_INVALID, "malformed tree: entry %zu '%s' %s", i, git_tree_entry_name(e), fault);
		before = e;
		size += stored_size(e);
	}
	return check_stored_size(tree, size, err);
}

/* A tree that libgit2 can't parse is malformed as much as one that git_tree_check refuses. */
static int checked_tree(git_repository *repo, const git_oid *oid, const char *path, size_t len, git_tree **ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	int rc = git_tree_lookup(&tree, repo, oid);
	if (rc < 0) {
		git_err(err, rc, "%.*s: tree %s", (int)len, path, git_oid_tostr_s(oid));
		if (err && rc != GIT_ENOTFOUND)
			err->code = ERR_INVALID;
		else if (err)
			err->code = ERR_FAIL; /* an object that is missing is not a file that is absent */
		return -1;
	}
	if (git_tree_check(tree, err) < 0)
		return len ? err_wrap(err, "%.*s", (int)len, path) : -1;
	*ret = steal_ptr(&tree);
	return 0;
}

static int root_tree(git_repository *repo, const git_oid *commit, git_tree **ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *c = NULL;
	int rc = git_commit_lookup(&c, repo, commit);
	if (rc < 0) {
		git_err(err, rc, "read commit %s", git_oid_tostr_s(commit));
		if (err)
			err->code = ERR_FAIL;
		return -1;
	}
	return checked_tree(repo, git_commit_tree_id(c), "", 0, ret, err);
}

int git_repo_tree(git_repository *repo, const git_oid *commit, const char *path, git_tree **ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	if (root_tree(repo, commit, &tree, err) < 0)
		return -1;
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		size_t walked = (size_t)(p - path) + len;
		cleanup_free char *name = xasprintf("%.*s", (int)len, p);
		const git_tree_entry *e = git_tree_entry_byname(tree, name);
		git_tree *next = NULL;
		if (!e)
			return err_set(err, ERR_NOT_FOUND, "%.*s is not there", (int)walked, path);
		if (git_tree_entry_type(e) != GIT_OBJECT_TREE)
			return err_set(err, ERR_INVALID, "%.*s is not a folder", (int)walked, path);
		if (checked_tree(repo, git_tree_entry_id(e), path, walked, &next, err) < 0)
			return -1;
		git_tree_free(tree);
		tree = next;
		p += len + (p[len] == '/');
	}
	*ret = steal_ptr(&tree);
	return 0;
}

int git_repo_entry(git_repository *repo, const git_oid *commit, const char *path, git_oid *ret, git_filemode_t *ret_mode, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	const char *slash = strrchr(path, '/');
	cleanup_free char *folder = slash ? xasprintf("%.*s", (int)(slash - path), path) : xstrdup("");
	if (git_repo_tree(repo, commit, folder, &tree, err) < 0)
		return -1;
	const git_tree_entry *e = git_tree_entry_byname(tree, slash ? slash + 1 : path);
	if (!e)
		return err_set(err, ERR_NOT_FOUND, "%s is not there", path);
	*ret = *git_tree_entry_id(e);
	*ret_mode = git_tree_entry_filemode_raw(e);
	return 0;
}

/* The parent's tree (none: NULL) with the changes, written. */
static int changed_tree(git_repository *repo, git_tree *base, const struct git_change *changes, size_t n, git_tree **ret, struct err *err)
{
	cleanup_free git_tree_update *updates = xcalloc(n + 1, sizeof(*updates));
	cleanup_git(git_tree) git_tree *empty = NULL;
	git_oid oid;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		updates[i] = (git_tree_update){.action = GIT_TREE_UPDATE_REMOVE, .filemode = GIT_FILEMODE_BLOB, .path = changes[i].path};
		if (!changes[i].content)
			continue;
		updates[i].action = GIT_TREE_UPDATE_UPSERT;
		rc = git_blob_create_from_buffer(&updates[i].id, repo, changes[i].content, changes[i].len);
	}
	if (rc == 0 && !base) {
		/* The updates need a tree to begin with, an empty one does. */
		git_treebuilder *builder = NULL;
		rc = git_treebuilder_new(&builder, repo, NULL);
		if (rc == 0)
			rc = git_treebuilder_write(&oid, builder);
		git_treebuilder_free(builder);
		if (rc == 0)
			rc = git_tree_lookup(&empty, repo, &oid);
		base = empty;
	}
	if (rc == 0)
		rc = git_tree_create_updated(&oid, repo, base, n, updates);
	if (rc == 0)
		rc = git_tree_lookup(ret, repo, &oid);
	return rc < 0 ? git_err(err, rc, "write a tree") : 0;
}

static void free_commits(git_commit **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		git_commit_free(v[i]);
	free(v);
}

/* Everything that a commit object is made of. */
struct draft {
	const git_signature *author;
	const char *message;
	const git_tree *tree;
	size_t n_parents;
	git_commit **parents;
};

static int write_signed(git_repository *repo, const struct draft *d, const struct git_signer *signer, git_oid *ret, struct err *err)
{
	cleanup_buf struct buf signature = BUF_INIT;
	git_buf object = {0};
	int result = -1;

	int rc = git_commit_create_buffer(&object, repo, d->author, d->author, NULL, d->message, d->tree, d->n_parents,
	                                  (const git_commit **)d->parents);
	if (rc < 0) {
		git_err(err, rc, "write a commit");
	} else if (signer->sign(signer->arg, object.ptr, object.size, &signature, err) < 0) {
		err_wrap(err, "sign a commit");
	} else {
		/* An end of line behind the last one would become an empty line of the header. */
		while (signature.len > 0 && signature.data[signature.len - 1] == '\n')
			signature.data[--signature.len] = '\0';
		rc = git_commit_create_with_signature(ret, repo, object.ptr, signature.data, NULL);
		result = rc < 0 ? git_err(err, rc, "write a signed commit") : 0;
	}
	git_buf_dispose(&object);
	return result;
}

static int write_commit(git_repository *repo, const struct draft *d, const struct git_signer *signer, git_oid *ret, struct err *err)
{
	if (signer)
		return write_signed(repo, d, signer, ret, err);
	int rc = git_commit_create(ret, repo, NULL, d->author, d->author, NULL, d->message, d->tree, d->n_parents,
	                           (const git_commit **)d->parents);
	return rc < 0 ? git_err(err, rc, "write a commit") : 0;
}

int git_repo_commit_signed(git_repository *repo, const git_oid *parents, size_t n_parents, const struct git_change *changes,
                           size_t n_changes, const git_signature *author, const char *message, const struct git_signer *signer,
                           git_oid *ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *base = NULL;
	cleanup_git(git_tree) git_tree *tree = NULL;
	git_commit **commits = xcalloc(n_parents + 1, sizeof(git_commit *));
	int rc = 0, result = -1;

	for (size_t i = 0; i < n_parents && rc == 0; i++)
		rc = git_commit_lookup(&commits[i], repo, &parents[i]);
	if (rc == 0 && n_parents)
		rc = git_commit_tree(&base, commits[0]);
	if (rc < 0)
		git_err(err, rc, "read the parent commit");
	else
		result = changed_tree(repo, base, changes, n_changes, &tree, err);
	if (result == 0)
		result = write_commit(repo, &(struct draft){author, message, tree, n_parents, commits}, signer, ret, err);
	free_commits(commits, n_parents);
	return result;
}

int git_repo_commit(git_repository *repo, const git_oid *parents, size_t n_parents, const struct git_change *changes, size_t n_changes,
                    const git_signature *author, const char *message, git_oid *ret, struct err *err)
{
	return git_repo_commit_signed(repo, parents, n_parents, changes, n_changes, author, message, NULL, ret, err);
}
