/*
 * validate: actions and formulas, in files or in the whole ops repo, by the dispatcher's own rules.
 */
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/repo.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct report {
	json_t *rows; /* {path, ok, problem, note} */
	size_t bad;
};

static void report_free(struct report *r)
{
	json_decref(r->rows);
}
#define cleanup_report __attribute__((cleanup(report_free)))

static void add(struct report *r, const char *path, const char *problem, const char *remark)
{
	cleanup_free char *shown = safe_text(path); /* a path need not be UTF-8 */

	json_array_append_new(
	    r->rows, json_pack("{s:s, s:b, s:s?, s:s?}", "path", shown, "ok", problem == NULL, "problem", problem, "note", remark));
	r->bad += problem != NULL;
}

/* "vault/actions/x.json: id: …" is said of the path as the user named it, so our own prefix goes. */
static const char *without_prefix(const char *message, const char *canonical)
{
	size_t len = strlen(canonical);

	return strncmp(message, canonical, len) == 0 && strncmp(message + len, ": ", 2) == 0 ? message + len + 2 : message;
}

/* In files */

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len >= n && strcmp(s + len - n, end) == 0;
}

/* The name without its ending. Caller frees. */
static char *stem(const char *name, const char *ending)
{
	return xasprintf("%.*s", (int)(strlen(name) - strlen(ending)), name);
}

/* The folder vault/ that a file vault/<folder>/<name> belongs to, or NULL for one that stands alone. Caller frees. */
static char *vault_of(const char *path, const char *folder)
{
	cleanup_free char *real = realpath(path, NULL);
	cleanup_free char *expected = xasprintf("/vault/%s", folder);
	char *dir = real ? dirname(real) : NULL;

	if (!dir || !ends_with(dir, expected))
		return NULL;
	return stem(dir, expected + strlen("/vault"));
}

static int load_formula(const char *path, const char *name, struct formula *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read(path, FORMULA_MAX_BYTES, &text, err) < 0)
		return -1;
	return formula_parse(name, text.data, text.len, ret, err);
}

/* What an action in a checkout names beside it: its formula, its secrets. */
static int check_beside(const char *vault, const struct action *a, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/formulas/%s.yaml", vault, a->formula);
	cleanup_formula struct formula formula = FORMULA_INIT;
	const json_t *name;
	size_t i;

	if (access(path, F_OK) < 0)
		return err_set(err, ERR_INVALID, "formula: there is no vault/formulas/%s.yaml", a->formula);
	if (load_formula(path, a->formula, &formula, err) < 0 || formula_suits(&formula, a, err) < 0)
		return -1;
	json_array_foreach (a->secrets, i, name) {
		cleanup_free char *secret = xasprintf("%s/secrets/%s.age", vault, json_string_value(name));

		if (access(secret, F_OK) < 0)
			return err_set(err, ERR_INVALID, "secrets: there is no vault/secrets/%s.age", json_string_value(name));
	}
	return 0;
}

static void check_action_file(const char *path, const char *name, struct report *report)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_action struct action action = ACTION_INIT;
	cleanup_free char *id = stem(name, ".json");
	cleanup_free char *canonical = vault_action_path(id);
	cleanup_free char *vault = vault_of(path, "actions");

	if (!vault_is_id(id))
		add(report, path, "misnamed: its name, without .json, must be " VAULT_ID_RULE, NULL);
	else if (file_read(path, ACTION_MAX_BYTES, &text, &why) < 0 || action_parse(id, text.data, text.len, &action, &why) < 0 ||
	         (vault && check_beside(vault, &action, &why) < 0))
		add(report, path, without_prefix(err_msg(&why), canonical), NULL);
	else
		add(report, path, NULL, vault ? NULL : "stands alone: formula and secrets were not looked for");
}

static void check_formula_file(const char *path, const char *name, struct report *report)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_formula struct formula formula = FORMULA_INIT;
	cleanup_free char *formula_name = stem(name, ".yaml");
	cleanup_free char *canonical = vault_formula_path(formula_name);

	if (!vault_is_id(formula_name))
		add(report, path, "misnamed: its name, without .yaml, must be " VAULT_ID_RULE, NULL);
	else if (load_formula(path, formula_name, &formula, &why) < 0)
		add(report, path, without_prefix(err_msg(&why), canonical), NULL);
	else
		add(report, path, NULL, NULL);
}

static void check_file(const char *path, struct report *report)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (access(path, R_OK) < 0)
		add(report, path, "can't be read; is the path right?", NULL);
	else if (strcmp(name, "policy.yaml") == 0)
		add(report, path, NULL, "policy is not supported yet: not checked");
	else if (ends_with(name, ".result.json") || ends_with(name, ".cancel.json"))
		add(report, path, NULL, "written by disinto: not checked");
	else if (ends_with(name, ".json"))
		check_action_file(path, name, report);
	else if (ends_with(name, ".yaml"))
		check_formula_file(path, name, report);
	else
		add(report, path, "is neither an action (.json) nor a formula (.yaml)", NULL);
}

/* In the ops repo */

struct whole {
	const struct repo *repo;
	struct report *report;
};

static int check_item(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	const struct whole *w = arg;
	cleanup_free char *path = vault_action_path(now->id);
	cleanup_judged struct judged judged = JUDGED_INIT;

	(void)before;
	if (!now->action.there || now->result.there) /* what has ended is judged already */
		return 0;
	if (judge_landed(w->repo, now->id, &judged, err) < 0)
		return -1;
	add(w->report, path, judged.problem ? without_prefix(judged.problem, path) : NULL, NULL);
	return 0;
}

static void check_formula_entry(const struct whole *w, const git_tree_entry *entry)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_formula struct formula formula = FORMULA_INIT;
	const char *name = git_tree_entry_name(entry);
	cleanup_free char *path = xasprintf(VAULT_FORMULAS "/%s", name);
	cleanup_free char *formula_name = ends_with(name, ".yaml") ? stem(name, ".yaml") : NULL;

	if (!formula_name || !vault_is_id(formula_name))
		return; /* misnamed: listed by ops_misnamed */
	if (repo_file(w->repo, &w->repo->tip, path, FORMULA_MAX_BYTES, &text, &why) < 0 ||
	    formula_parse(formula_name, text.data, text.len, &formula, &why) < 0)
		add(w->report, path, without_prefix(err_msg(&why), path), NULL);
	else
		add(w->report, path, NULL, NULL);
}

static int check_formulas(const struct whole *w, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_err struct err why = ERR_INIT;
	git_filemode_t mode;
	git_oid oid;

	if (git_repo_entry(w->repo->git, &w->repo->tip, VAULT_FORMULAS, &oid, &mode, &why) < 0) {
		if (why.code != ERR_NOT_FOUND)
			add(w->report, VAULT_FORMULAS, err_msg(&why), NULL);
		return 0;
	}
	if (mode != GIT_FILEMODE_TREE || git_tree_lookup(&tree, w->repo->git, &oid) < 0)
		return err_set(err, ERR_INVALID, "%s: is no folder", VAULT_FORMULAS);
	if (git_tree_check(tree, &why) < 0) {
		add(w->report, VAULT_FORMULAS, err_msg(&why), NULL);
		return 0;
	}
	for (size_t i = 0; i < git_tree_entrycount(tree); i++)
		check_formula_entry(w, git_tree_entry_byindex(tree, i));
	return 0;
}

static int check_whole(const struct args *args, struct report *report, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *misnamed = json_array();
	cleanup_err struct err why = ERR_INIT;
	struct whole w = {&repo, report};
	const json_t *path;
	size_t i;

	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0)
		return -1;
	if (ops_scan(repo.git, NULL, &repo.tip, check_item, &w, &why) < 0) {
		if (why.code != ERR_INVALID) {
			err_move(err, &why);
			return -1;
		}
		add(report, VAULT_ACTIONS, err_msg(&why), NULL);
	}
	if (check_formulas(&w, err) < 0 || ops_misnamed(repo.git, &repo.tip, 1000, misnamed, err) < 0)
		return -1;
	json_array_foreach (misnamed, i, path) {
		add(report, json_string_value(path), "misnamed: nothing will run or use it", NULL);
	}
	return 0;
}

static void print_report(const struct report *report)
{
	const json_t *row;
	size_t i;

	json_array_foreach (report->rows, i, row) {
		const char *problem = json_string_value(json_object_get(row, "problem"));
		const char *remark = json_string_value(json_object_get(row, "note"));
		cleanup_free char *why = safe_line(problem ? problem : remark);

		printf("%s%s%s  %s%s%s\n", colour(stdout, problem ? COLOUR_BAD : COLOUR_GOOD), problem ? "bad" : "ok ",
		       colour(stdout, COLOUR_NONE), json_string_value(json_object_get(row, "path")), *why ? ": " : "", why);
	}
}

int cmd_validate(const struct args *args, struct err *err)
{
	cleanup_report struct report report = {.rows = json_array()};

	for (size_t i = 0; i < args->n_operands; i++)
		check_file(args_operand(args, i), &report);
	if (args->n_operands == 0 && check_whole(args, &report, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		print_json(report.rows);
	else
		print_report(&report);
	return report.bad > 0 ? CLI_FINDING : CLI_DONE;
}
