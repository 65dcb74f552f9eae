/*
 * validate: actions, formulas and policy, in files or in the whole ops repo, by the dispatcher's own rules.
 */
#include "cli/validate.h"
#include "cli/cli.h"
#include "cli/repo.h"
#include "lib/cleanup.h"
#include <stdlib.h>
#include <string.h>

static void report_free(struct report *r)
{
	json_decref(r->rows);
}
#define cleanup_report __attribute__((cleanup(report_free)))

void report_add(struct report *r, const char *path, const char *problem, const char *remark, json_t *risk)
{
	cleanup_free char *shown = safe_text(path); /* a path need not be UTF-8 */

	json_array_append_new(r->rows, json_pack("{s:s, s:b, s:s?, s:s?, s:o*}", "path", shown, "ok", problem == NULL, "problem", problem,
	                                         "note", remark, "risk", risk));
	r->bad += problem != NULL;
}

const char *report_strip(const char *message, const char *canonical)
{
	size_t len = strlen(canonical);

	return strncmp(message, canonical, len) == 0 && strncmp(message + len, ": ", 2) == 0 ? message + len + 2 : message;
}

bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len >= n && strcmp(s + len - n, end) == 0;
}

char *stem(const char *name, const char *ending)
{
	return xasprintf("%.*s", (int)(strlen(name) - strlen(ending)), name);
}

static void add_stranger(struct buf *b, const char *what, const char *name)
{
	buf_addf(b, "%s%s %s", b->len > 0 ? ", " : "names what is not there: ", what, name);
}

char *report_strangers(const struct policy *p, report_there_fn there, const void *arg)
{
	struct buf text = BUF_INIT;
	const char *name;
	json_t *value;

	json_object_foreach (p->formulas, name, value) {
		cleanup_free char *path = vault_formula_path(name);

		if (!there(path, arg))
			add_stranger(&text, "formula", name);
	}
	json_object_foreach (p->secrets, name, value) {
		cleanup_free char *path = vault_secret_path(name);

		if (!there(path, arg))
			add_stranger(&text, "secret", name);
	}
	return text.len > 0 ? buf_steal(&text) : NULL;
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
	cleanup_free char *remark = NULL;

	(void)before;
	if (!now->action.there || now->result.there) /* what has ended is judged already */
		return 0;
	if (judge_landed(w->repo, now->id, &judged, err) < 0)
		return -1;
	remark = judged.problem
	             ? NULL
	             : xasprintf("tier %s, approval %s", tier_name(judged.verdict.tier), approval_mode_name(judged.verdict.approval));
	report_add(w->report, path, judged.problem ? report_strip(judged.problem, path) : NULL, remark,
	           judged.problem ? NULL : risk_json(&judged, w->repo->config));
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
		report_add(w->report, path, report_strip(err_msg(&why), path), NULL, NULL);
	else
		report_add(w->report, path, NULL, NULL, NULL);
}

static int check_formulas(const struct whole *w, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_err struct err why = ERR_INIT;
	git_filemode_t mode;
	git_oid oid;

	if (git_repo_entry(w->repo->git, &w->repo->tip, VAULT_FORMULAS, &oid, &mode, &why) < 0) {
		if (why.code != ERR_NOT_FOUND)
			report_add(w->report, VAULT_FORMULAS, err_msg(&why), NULL, NULL);
		return 0;
	}
	if (mode != GIT_FILEMODE_TREE || git_tree_lookup(&tree, w->repo->git, &oid) < 0)
		return err_set(err, ERR_INVALID, "%s: is no folder", VAULT_FORMULAS);
	if (git_tree_check(tree, &why) < 0) {
		report_add(w->report, VAULT_FORMULAS, err_msg(&why), NULL, NULL);
		return 0;
	}
	for (size_t i = 0; i < git_tree_entrycount(tree); i++)
		check_formula_entry(w, git_tree_entry_byindex(tree, i));
	return 0;
}

static bool is_at_tip(const char *path, const void *arg)
{
	const struct repo *r = arg;
	git_filemode_t mode;
	git_oid oid;

	return git_repo_entry(r->git, &r->tip, path, &oid, &mode, NULL) == 0;
}

/* The policy of the tip, and which one is in force where that is not good. */
static void check_policy(const struct whole *w)
{
	cleanup_policy struct policy policy = POLICY_INIT;
	cleanup_err struct err why = ERR_INIT;
	const char *remark;

	repo_policy(w->repo, &remark);
	if (repo_policy_at(w->repo, &w->repo->tip, &policy, &why) == 0) {
		cleanup_free char *strangers = report_strangers(&policy, is_at_tip, w->repo);

		report_add(w->report, VAULT_POLICY, NULL, strangers, NULL);
	} else if (why.code != ERR_NOT_FOUND || remark) {
		report_add(w->report, VAULT_POLICY, report_strip(remark ? remark : err_msg(&why), VAULT_POLICY), NULL, NULL);
	}
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
		report_add(report, VAULT_ACTIONS, err_msg(&why), NULL, NULL);
	}
	check_policy(&w);
	if (check_formulas(&w, err) < 0 || ops_misnamed(repo.git, &repo.tip, 1000, misnamed, err) < 0)
		return -1;
	json_array_foreach (misnamed, i, path) {
		report_add(report, json_string_value(path), "misnamed: nothing will run or use it", NULL, NULL);
	}
	return 0;
}

/* `risks`: of each action, if it is known. */
static void print_report(const struct report *report, bool risks)
{
	const json_t *row;
	size_t i;

	json_array_foreach (report->rows, i, row) {
		const char *problem = json_string_value(json_object_get(row, "problem"));
		const char *remark = json_string_value(json_object_get(row, "note"));
		cleanup_free char *why = safe_line(problem ? problem : remark);

		printf("%s%s%s  %s%s%s\n", colour(stdout, problem ? COLOUR_BAD : COLOUR_GOOD), problem ? "bad" : "ok ",
		       colour(stdout, COLOUR_NONE), json_string_value(json_object_get(row, "path")), *why ? ": " : "", why);
		if (risks && json_object_get(row, "risk"))
			risk_print(json_object_get(row, "risk"), stdout);
	}
}

/* Files can be checked without a configuration, as a pull request check does; one that is there, or asked for, must be good. */
static int config_if_any(const struct args *args, struct config *config, struct report *report, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	if (cli_config(args, config, &why) == 0) {
		report->config = config;
		return 0;
	}
	if (why.code == ERR_NOT_FOUND && !args_has(args, "config"))
		return 0;
	err_move(err, &why);
	return -1;
}

int cmd_validate(const struct args *args, struct err *err)
{
	cleanup_report struct report report = {.rows = json_array()};
	cleanup_config struct config config = CONFIG_INIT;

	if (args->n_operands > 0 && config_if_any(args, &config, &report, err) < 0)
		return CLI_FAILED;

	for (size_t i = 0; i < args->n_operands; i++)
		check_file(args_operand(args, i), &report);
	if (args->n_operands == 0 && check_whole(args, &report, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json"))
		print_json(report.rows);
	else
		print_report(&report, args->n_operands > 0);
	return report.bad > 0 ? CLI_FINDING : CLI_DONE;
}
