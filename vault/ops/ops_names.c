/* The index of ciphertexts that do not say whose they are. See ops_names.h. */
#include "vault/ops/ops_names.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/age/age.h"
#include "vault/ops/ops_tree.h"

#include <string.h>

#define CACHE "disinto-secret-names"
#define CACHE_MAX (64u << 20)
#define FOLDER "secrets"
#define SUFFIX ".age"

struct ops_names {
	git_repository *repo;
	char *cache;
	json_t *owners; /* fingerprint -> "NAME", or "NAME NAME" where it landed under several names at once */
	bool has_tip;
	git_oid tip;  /* up to which history was walked */
	bool unsaved; /* an owner was found since the last save */
};

static bool is_owner(const char *text)
{
	cleanup_free char *first = strndup(text, strcspn(text, " "));
	const char *space = strchr(text, ' ');
	return first && vault_is_secret(first) && (!space || vault_is_secret(space + 1));
}

/* "<fingerprint> NAME" or "<fingerprint> NAME NAME". */
static int load_line(struct ops_names *n, char *line)
{
	size_t len = AGE_FINGERPRINT_ROOM - 1;
	if (strspn(line, "0123456789abcdef") != len || line[len] != ' ' || !is_owner(line + len + 1))
		return -1;
	line[len] = '\0';
	json_object_set_new(n->owners, line, json_string(line + len + 1));
	return 0;
}

/* The cache's lines: the tip, then the owners. Anything else makes it worthless. */
static void load(struct ops_names *n)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *save = NULL;
	git_oid tip;
	if (file_read(n->cache, CACHE_MAX, &text, NULL) < 0)
		return;
	if (text.len < GIT_OID_HEXSZ + 1 || text.data[text.len - 1] != '\n' || text.data[GIT_OID_HEXSZ] != '\n' ||
	    git_oid_fromstrn(&tip, text.data, GIT_OID_HEXSZ) < 0)
		return;
	for (char *line = strtok_r(text.data + GIT_OID_HEXSZ + 1, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (load_line(n, line) < 0) {
			json_object_clear(n->owners);
			return;
		}
	}
	n->tip = tip;
	n->has_tip = true;
}

/* Best effort: without it the next start walks the history again. */
static void save(struct ops_names *n)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *fingerprint;
	json_t *owner;
	buf_addf(&text, "%s\n", git_oid_tostr_s(&n->tip));
	json_object_foreach (n->owners, fingerprint, owner) {
		buf_addf(&text, "%s %s\n", fingerprint, json_string_value(owner));
	}
	if (file_write(n->cache, text.data, text.len, 0600, NULL) == 0)
		n->unsaved = false;
}

struct ops_names *ops_names_new(git_repository *repo)
{
	struct ops_names *n = xcalloc(1, sizeof(*n));
	*n = (struct ops_names){.repo = repo, .cache = path_join(git_repository_path(repo), CACHE), .owners = json_object()};
	load(n);
	return n;
}

void ops_names_free(struct ops_names *n)
{
	if (!n)
		return;
	free(n->cache);
	json_decref(n->owners);
	free(n);
}

/* The trees of vault/secrets in history that is not walked yet, each where it differs from its neighbour; the newest first. */
struct folders {
	git_oid *v;
	size_t n;
};

static void folders_free(struct folders *f)
{
	free(f->v);
}

static void folders_add(struct folders *f, const git_oid *oid)
{
	if (f->n > 0 && git_oid_equal(&f->v[f->n - 1], oid))
		return;
	if ((f->n & (f->n - 1)) == 0)
		f->v = xrealloc(f->v, (f->n ? 2 * f->n : 1) * sizeof(*f->v));
	f->v[f->n++] = *oid;
}

/* From the tip back to what is known, whose folder comes last, or to the root. A folder that can't be parsed, or none, counts as no folder. */
static int collect(const struct ops_names *n, const git_oid *tip, struct folders *ret, struct err *err)
{
	cleanup_git(git_commit) git_commit *c = NULL;
	int rc = git_commit_lookup(&c, n->repo, tip);
	while (rc == 0) {
		git_oid folder;
		git_commit *parent = NULL;
		int there = ops_folder_id(n->repo, c, FOLDER, &folder, err);
		if (there < 0)
			return -1;
		if (there)
			folders_add(ret, &folder);
		if ((n->has_tip && git_oid_equal(git_commit_id(c), &n->tip)) || git_commit_parentcount(c) == 0)
			return 0;
		rc = git_commit_parent(&parent, c, 0);
		if (rc == 0) {
			git_commit_free(c);
			c = parent;
		}
	}
	return git_err(err, rc, "read the history of %s", git_oid_tostr_s(tip));
}

/* The secret whose file this is; false for all else that may stand in the folder. */
static bool secret_of(const git_tree_entry *e, char ret[static VAULT_SECRET_MAX + 1])
{
	const char *file = git_tree_entry_name(e);
	size_t len = strlen(file), tail = strlen(SUFFIX);
	if (git_tree_entry_type(e) != GIT_OBJECT_BLOB || len <= tail || len - tail > VAULT_SECRET_MAX ||
	    strcmp(file + len - tail, SUFFIX) != 0)
		return false;
	memcpy(ret, file, len - tail);
	ret[len - tail] = '\0';
	return vault_is_secret(ret);
}

/* Several that bring the same ciphertext at once have no first: it belongs to none of them. */
static void own(struct ops_names *n, json_t *here, const char *fingerprint, const char *name)
{
	const char *known = json_string_value(json_object_get(n->owners, fingerprint));
	json_t *owner = NULL;
	if (!known)
		owner = json_string(name);
	else if (json_object_get(here, fingerprint) && !strchr(known, ' ') && strcmp(known, name) != 0)
		owner = json_sprintf("%s %s", known, name);
	if (!owner)
		return;
	json_object_set_new(n->owners, fingerprint, owner);
	json_object_set_new(here, fingerprint, json_true());
	n->unsaved = true;
}

/* One file as it landed. What is too large or no age file can't be used under any name. */
static int note(struct ops_names *n, json_t *here, const git_tree_entry *e, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_buf struct buf file = BUF_INIT;
	char name[VAULT_SECRET_MAX + 1];
	struct age_facts facts;
	if (!secret_of(e, name))
		return 0;
	if (git_repo_blob(n->repo, git_tree_entry_id(e), OPS_SECRET_MAX_BYTES, &file, &why) < 0) {
		if (why.code == ERR_INVALID)
			return 0;
		err_move(err, &why);
		return err_wrap(err, VAULT_SECRETS "/%s.age", name);
	}
	if (age_examine(file.data, file.len, &facts, NULL) == 0 && !facts.name[0])
		own(n, here, facts.fingerprint, name);
	return 0;
}

/* Whether the folder before held the same file; both are walked in step. What is not found there is only looked at once more. */
static bool same_before(const git_tree *before, size_t *at, const git_tree_entry *e)
{
	size_t count = before ? git_tree_entrycount(before) : 0;
	while (*at < count) {
		const git_tree_entry *old = git_tree_entry_byindex(before, *at);
		int order = strcmp(git_tree_entry_name(old), git_tree_entry_name(e));
		if (order >= 0)
			return order == 0 && git_oid_equal(git_tree_entry_id(old), git_tree_entry_id(e));
		++*at;
	}
	return false;
}

static int note_folder(struct ops_names *n, const git_tree *before, const git_tree *now, struct err *err)
{
	cleanup_json json_t *here = json_object(); /* fingerprints whose first name is in this folder */
	size_t at = 0;
	for (size_t i = 0; i < git_tree_entrycount(now); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(now, i);
		if (!same_before(before, &at, e) && note(n, here, e, err) < 0)
			return -1;
	}
	return 0;
}

/* The oldest first, so that the first name is the one that stays. */
static int note_folders(struct ops_names *n, const struct folders *f, struct err *err)
{
	cleanup_git(git_tree) git_tree *before = NULL;
	for (size_t i = f->n; i-- > 0;) {
		git_tree *now = NULL;
		int rc = git_tree_lookup(&now, n->repo, &f->v[i]);
		if (rc == GIT_ENOTFOUND)
			return git_err(err, rc, "read " VAULT_SECRETS);
		if (rc < 0) {
			git_error_clear(); /* malformed: nobody could use what it holds */
			continue;
		}
		rc = note_folder(n, before, now, err);
		git_tree_free(before);
		before = now;
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int update(struct ops_names *n, const git_oid *tip, struct err *err)
{
	__attribute__((cleanup(folders_free))) struct folders f = {NULL, 0};
	if (n->has_tip && git_oid_equal(&n->tip, tip))
		return 0;
	bool first = !n->has_tip;
	if (collect(n, tip, &f, err) < 0 || note_folders(n, &f, err) < 0) {
		n->has_tip = false; /* what half a walk found may lack a name that came at once with it */
		json_object_clear(n->owners);
		return err_wrap(err, "find whose secrets there are");
	}
	n->tip = *tip;
	n->has_tip = true;
	if (first || n->unsaved)
		save(n);
	return 0;
}

#define AGAIN "a secret works under its own name only: store the value anew with 'disinto secrets add -f %s'"

static int check_owner(const char *owner, const char *name, struct err *err)
{
	const char *space = strchr(owner, ' ');
	if (space)
		return err_set(err, ERR_INVALID,
		               "holds a ciphertext that landed as " VAULT_SECRETS "/%.*s.age and " VAULT_SECRETS
		               "/%s.age at once, so that it belongs to neither; " AGAIN,
		               (int)(space - owner), owner, space + 1, name);
	if (strcmp(owner, name) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "holds the ciphertext that landed first as " VAULT_SECRETS "/%s.age; " AGAIN, owner, name);
}

int ops_names_secret(struct ops_names *n, const git_oid *tip, const char *name, const void *file, size_t len, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	struct age_facts facts;
	int rc = 0;
	if (age_examine(file, len, &facts, NULL) < 0)
		return 0;
	if (facts.name[0] && strcmp(facts.name, name) != 0) {
		rc = age_name_refused(facts.name, name, &why);
	} else if (!facts.name[0]) {
		if (update(n, tip, err) < 0)
			return -1;
		const char *owner = json_string_value(json_object_get(n->owners, facts.fingerprint));
		rc = owner ? check_owner(owner, name, &why) : 0;
	}
	if (rc < 0) {
		err_move(err, &why);
		return err_wrap(err, VAULT_SECRETS "/%s.age", name);
	}
	return 0;
}

int ops_names_check(struct ops_names *n, const git_oid *tip, struct ops_action *a, struct err *err)
{
	for (size_t i = 0; i < a->n_secrets && !a->refuse && !a->wait; i++) {
		cleanup_err struct err why = ERR_INIT;
		const struct ops_secret *s = &a->secrets[i];
		if (ops_names_secret(n, tip, s->name, s->age.data, s->age.len, &why) == 0)
			continue;
		if (why.code != ERR_INVALID) {
			err_move(err, &why);
			return -1;
		}
		a->refuse = xstrdup(err_msg(&why));
	}
	return 0;
}
