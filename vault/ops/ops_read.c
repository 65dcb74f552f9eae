/* An action with its formula and its secrets, as they stand in the repo. */
#include "lib/cleanup.h"
#include "vault/action.h"
#include "vault/formula.h"
#include "vault/ops/ops.h"

#include <string.h>

void ops_action_free(struct ops_action *a)
{
	free(a->refuse);
	free(a->wait);
	free(a->text);
	free(a->formula_name);
	free(a->formula_text);
	for (size_t i = 0; i < a->n_secrets; i++) {
		free(a->secrets[i].name);
		buf_free(&a->secrets[i].age);
	}
	free(a->secrets);
	*a = (struct ops_action)OPS_ACTION_INIT;
}

static const char *mode_fault(git_filemode_t mode)
{
	switch ((unsigned)mode) {
	case GIT_FILEMODE_BLOB:
	case 0100664:
		return NULL;
	case GIT_FILEMODE_BLOB_EXECUTABLE:
		return "is executable";
	case GIT_FILEMODE_LINK:
		return "is a symbolic link";
	case GIT_FILEMODE_TREE:
		return "is a folder";
	default:
		return "is a submodule";
	}
}

/* What is wrong with a file of the repo, and whose fault that is. */
enum verdict { READ, REFUSED, WAITS, BROKEN };

/*
 * Reads a plain file of at most max bytes. REFUSED: *ret_why (owned) names file and rule, with `absent` for one that is not there.
 * WAITS: its folder can't be believed. BROKEN: err.
 */
static enum verdict read_file(git_repository *repo, const git_oid *commit, const char *path, size_t max, const char *absent,
                              git_oid *ret_oid, struct buf *ret, char **ret_why, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_filemode_t mode;

	if (git_repo_entry(repo, commit, path, ret_oid, &mode, &why) < 0) {
		if (why.code == ERR_NOT_FOUND) {
			*ret_why = xasprintf("%s %s", path, absent);
			return REFUSED;
		}
		if (why.code == ERR_INVALID) {
			*ret_why = xasprintf("%s: %s", path, err_msg(&why));
			return WAITS;
		}
		err_move(err, &why);
		return BROKEN;
	}
	const char *fault = mode_fault(mode);
	if (fault) {
		*ret_why = xasprintf("%s: %s; it must be a plain file", path, fault);
		return REFUSED;
	}
	if (git_repo_blob(repo, ret_oid, max, ret, &why) < 0) {
		if (why.code == ERR_INVALID) {
			*ret_why = xasprintf("%s: %s", path, err_msg(&why));
			return REFUSED;
		}
		err_move(err, &why);
		err_wrap(err, "%s", path);
		return BROKEN;
	}
	return READ;
}

/* A file of text, and who knows what is wrong with it. */
struct text_file {
	const char *name; /* id or name of what it holds */
	size_t max;
	const char *absent;
	char *(*fault)(const char *name, const char *text, size_t len); /* its parser's words; NULL: it finds nothing. Caller frees */
};

static char *action_fault(const char *id, const char *text, size_t len)
{
	cleanup_action struct action action = ACTION_INIT;
	cleanup_err struct err why = ERR_INIT;

	return action_parse(id, text, len, &action, &why) < 0 ? xstrdup(err_msg(&why)) : NULL;
}

static char *formula_fault(const char *name, const char *text, size_t len)
{
	cleanup_formula struct formula formula = FORMULA_INIT;
	cleanup_err struct err why = ERR_INIT;

	return formula_parse(name, text, len, &formula, &why) < 0 ? xstrdup(err_msg(&why)) : NULL;
}

/* As read_file, for text: JSON carries it on, so it must be UTF-8 without NUL; where it is not, its own parser says at which place. */
static enum verdict read_text(git_repository *repo, const git_oid *commit, const char *path, const struct text_file *file, git_oid *ret_oid,
                              char **ret_text, size_t *ret_len, char **ret_why, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	enum verdict v = read_file(repo, commit, path, file->max, file->absent, ret_oid, &text, ret_why, err);
	if (v != READ)
		return v;
	cleanup_json json_t *probe = memchr(text.data, '\0', text.len) ? NULL : json_stringn(text.data, text.len);
	if (!probe) {
		*ret_why = file->fault(file->name, text.data, text.len);
		if (!*ret_why)
			*ret_why = xasprintf("%s: must be UTF-8 text without NUL", path);
		return REFUSED;
	}
	*ret_len = text.len;
	*ret_text = buf_steal(&text);
	return READ;
}

/* Puts what is wrong where it belongs. 0, or -1 where the repository is broken. */
static int settle(enum verdict v, char *why, struct ops_action *a)
{
	if (v == BROKEN)
		return -1;
	if (v == REFUSED)
		a->refuse = why;
	if (v == WAITS)
		a->wait = why;
	return 0;
}

static bool settled(const struct ops_action *a)
{
	return a->refuse || a->wait;
}

static int read_formula(git_repository *repo, const git_oid *landing, struct ops_action *a, struct err *err)
{
	const struct text_file file = {a->formula_name, FORMULA_MAX_BYTES,
	                               "is not in the repo at the commit that landed the action; add the formula first", formula_fault};
	cleanup_free char *path = vault_formula_path(a->formula_name);
	char *why = NULL;
	size_t len = 0;
	enum verdict v = read_text(repo, landing, path, &file, &a->formula_blob, &a->formula_text, &len, &why, err);
	return settle(v, why, a);
}

static int read_secret(git_repository *repo, const git_oid *tip, const char *name, struct ops_action *a, struct err *err)
{
	cleanup_free char *path = vault_secret_path(name);
	struct ops_secret *s = &a->secrets[a->n_secrets];
	char *why = NULL;

	*s = (struct ops_secret){.name = xstrdup(name), .age = BUF_INIT};
	a->n_secrets++;
	enum verdict v = read_file(repo, tip, path, OPS_SECRET_MAX_BYTES, "is not in the repo; add it with 'disinto secrets add'", &s->blob,
	                           &s->age, &why, err);
	return settle(v, why, a);
}

/* What the action's text, which is there, names. */
static int read_named(git_repository *repo, const git_oid *tip, const git_oid *landing, const char *id, size_t len, struct ops_action *a,
                      struct err *err)
{
	cleanup_action struct action action = ACTION_INIT;
	cleanup_err struct err why = ERR_INIT;
	const json_t *name;
	size_t i;

	if (action_parse(id, a->text, len, &action, &why) < 0) {
		a->refuse = xstrdup(err_msg(&why));
		return 0;
	}
	a->formula_name = xstrdup(action.formula);
	a->secrets = xcalloc(json_array_size(action.secrets) + 1, sizeof(*a->secrets));
	if (read_formula(repo, landing, a, err) < 0)
		return -1;
	json_array_foreach (action.secrets, i, name) {
		if (settled(a))
			return 0;
		if (read_secret(repo, tip, json_string_value(name), a, err) < 0)
			return -1;
	}
	return 0;
}

static int read_all(git_repository *repo, const git_oid *tip, const git_oid *landing, const char *id, struct ops_action *a, struct err *err)
{
	const struct text_file file = {id, ACTION_MAX_BYTES, "is not there", action_fault};
	cleanup_free char *path = vault_action_path(id);
	char *fault = NULL;
	size_t len = 0;

	enum verdict v = read_text(repo, tip, path, &file, &a->blob, &a->text, &len, &fault, err);
	if (settle(v, fault, a) < 0)
		return -1;
	return settled(a) ? 0 : read_named(repo, tip, landing, id, len, a, err);
}

int ops_read_action(git_repository *repo, const git_oid *tip, const git_oid *landing, const char *id, struct ops_action *ret,
                    struct err *err)
{
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	struct ops_item item;

	if (ops_item(repo, tip, id, &item, err) < 0)
		return err_wrap(err, "read action %s", id);
	if (!item.action.there)
		return err_set(err, ERR_NOT_FOUND, "there is no vault/actions/%s.json", id);
	a.blob = item.action.oid;
	if (read_all(repo, tip, landing, id, &a, err) < 0)
		return err_wrap(err, "read action %s", id);
	*ret = a;
	a = (struct ops_action)OPS_ACTION_INIT;
	return 0;
}

int ops_read_proposed(git_repository *repo, const git_oid *tip, const char *id, const char *text, struct ops_action *ret, struct err *err)
{
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	size_t len = strlen(text);

	a.text = xstrdup(text);
	if (git_odb_hash(&a.blob, text, len, GIT_OBJECT_BLOB) < 0)
		return git_err(err, -1, "%s", id);
	if (read_named(repo, tip, tip, id, len, &a, err) < 0)
		return err_wrap(err, "read action %s", id);
	*ret = a;
	a = (struct ops_action)OPS_ACTION_INIT;
	return 0;
}
