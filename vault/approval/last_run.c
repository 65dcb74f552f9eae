/*
 * The last run of a formula, and what an action would do otherwise. Results are read from the tree of one commit; what a run used is found by the
 * object ids that its result names, whatever stands at the path by now.
 */
#include "vault/approval/judged.h"

#include "lib/cleanup.h"
#include "vault/check.h"
#include "vault/result.h"
#include <stdlib.h>
#include <string.h>

/* Finding it */

/* A result that tells of a run of this formula, or NULL. Caller owns. */
static json_t *read_run(git_repository *git, const git_oid *blob, const char *formula)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_json json_t *result = NULL;
	const char *name;

	/* Most results are of other formulas, and reading JSON is most of the work. */
	if (git_repo_blob(git, blob, RESULT_MAX_BYTES, &text, NULL) < 0 || !memmem(text.data, text.len, formula, strlen(formula)))
		return NULL;
	result = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	name = json_text(json_object_get(result, "formula"), "name");
	if (!name || strcmp(name, formula) != 0 || !json_text(result, "started_at") || !json_text(result, "timestamp") ||
	    !json_text(result, "outcome") || !json_text(result, "id"))
		return NULL;
	return steal_ptr(&result);
}

/* The newest of them by its own time: *ret is NULL when there is none. Caller owns. */
static int find_last(git_repository *git, const git_oid *commit, const char *formula, json_t **ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_json json_t *last = NULL;
	cleanup_err struct err why = ERR_INIT;
	char id[VAULT_ID_MAX + 1];

	*ret = NULL;
	if (git_repo_tree(git, commit, VAULT_ACTIONS, &tree, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		err_move(err, &why);
		return err_wrap(err, "look for the last run of %s", formula);
	}
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		cleanup_json json_t *run = NULL;

		if (vault_file_kind(git_tree_entry_name(e), id) == VAULT_FILE_RESULT)
			run = read_run(git, git_tree_entry_id(e), formula);
		if (run && (!last || strcmp(json_text(run, "timestamp"), json_text(last, "timestamp")) > 0)) {
			json_decref(last);
			last = steal_ptr(&run);
		}
	}
	*ret = steal_ptr(&last);
	return 0;
}

/* What changed since */

__attribute__((format(printf, 2, 3))) static void say(json_t *changes, const char *fmt, ...)
{
	cleanup_buf struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	json_array_append_new(changes, json_string(text.data));
}

/* Text of a blob whose id stands in a result. -1: it can't be read, so nothing is said of it. */
static int read_blob(git_repository *git, const char *hex, size_t max, struct buf *ret)
{
	git_oid oid;

	return hex && git_oid_fromstr(&oid, hex) == 0 ? git_repo_blob(git, &oid, max, ret, NULL) : -1;
}

static void compare_formula(git_repository *git, const json_t *run, const struct judged *j, json_t *changes)
{
	const char *then = json_text(json_object_get(run, "formula"), "blob");
	cleanup_formula struct formula old = FORMULA_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	char now[GIT_OID_HEXSZ + 1];

	if (then && strcmp(git_oid_tostr(now, sizeof(now), &j->files.formula_blob), then) == 0)
		return;
	say(changes, "since then: the formula's file changed (%.10s then, %.10s now)", then ? then : "unknown",
	    git_oid_tostr(now, sizeof(now), &j->files.formula_blob));
	if (read_blob(git, then, FORMULA_MAX_BYTES, &text) < 0 || formula_parse(j->formula.name, text.data, text.len, &old, NULL) < 0)
		return;
	const char *image_then = old.image ? old.image : "the dispatcher's runner image";
	const char *image_now = j->formula.image ? j->formula.image : "the dispatcher's runner image";

	if (strcmp(image_then, image_now) != 0)
		say(changes, "since then: the image is %s, and was %s", image_now, image_then);
	if (strcmp(old.network, j->formula.network) != 0)
		say(changes, "since then: the network is %s, and was %s", j->formula.network, old.network);
}

static void compare_secrets(const json_t *run, const struct judged *j, json_t *changes)
{
	json_t *then = json_object_get(run, "secrets");
	const char *name;
	json_t *blob;

	for (size_t i = 0; i < j->files.n_secrets; i++) {
		const struct ops_secret *s = &j->files.secrets[i];
		const char *old = json_text(then, s->name);
		char now[GIT_OID_HEXSZ + 1];

		if (!old)
			say(changes, "since then: secret %s is new", s->name);
		else if (strcmp(old, git_oid_tostr(now, sizeof(now), &s->blob)) != 0)
			say(changes, "since then: secret %s is another file", s->name);
	}
	json_object_foreach (then, name, blob) {
		if (!json_string_value(blob) || check_list_has(j->action.secrets, name))
			continue;
		say(changes, "since then: secret %s is no longer asked for", name);
	}
}

/* The keys of an object. Caller owns. */
static json_t *keys(const json_t *object)
{
	json_t *list = json_array();
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		json_array_append_new(list, json_string(key));
	}
	return list;
}

static void compare_names(const char *what, const json_t *then, const json_t *now, json_t *changes)
{
	const json_t *one;
	size_t i;

	json_array_foreach (now, i, one) {
		if (!check_list_has(then, json_string_value(one)))
			say(changes, "since then: %s %s is new", what, json_string_value(one));
	}
	json_array_foreach (then, i, one) {
		if (!check_list_has(now, json_string_value(one)))
			say(changes, "since then: %s %s is no longer there", what, json_string_value(one));
	}
}

static void compare_action(git_repository *git, const json_t *run, const struct judged *j, json_t *changes)
{
	cleanup_action struct action old = ACTION_INIT;
	cleanup_buf struct buf text = BUF_INIT;

	if (read_blob(git, json_text(run, "action"), ACTION_MAX_BYTES, &text) < 0 ||
	    action_parse(json_text(run, "id"), text.data, text.len, &old, NULL) < 0)
		return;
	cleanup_json json_t *then = keys(old.inputs);
	cleanup_json json_t *now = keys(j->action.inputs);

	compare_names("mount", old.mounts, j->action.mounts, changes);
	compare_names("input", then, now, changes);
}

int risk_add_last_run(json_t *risk, git_repository *git, const git_oid *commit, const struct judged *j, struct err *err)
{
	cleanup_json json_t *run = NULL;
	json_t *changes;

	if (find_last(git, commit, j->action.formula, &run, err) < 0)
		return -1;
	if (!run) {
		json_object_set_new(risk, "last_run", json_null());
		return 0;
	}
	changes = json_array();
	compare_formula(git, run, j, changes);
	compare_secrets(run, j, changes);
	compare_action(git, run, j, changes);
	json_object_set_new(risk, "last_run",
	                    json_pack("{s:s, s:s, s:s, s:s?, s:o}", "id", json_text(run, "id"), "outcome", json_text(run, "outcome"),
	                              "timestamp", json_text(run, "timestamp"), "image", json_text(run, "image"), "changes", changes));
	return 0;
}
