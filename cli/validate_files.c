/*
 * validate FILE…: files of a checkout, judged with what stands beside them, or files that stand alone.
 */
#include "cli/cli.h"
#include "cli/validate.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_remote.h"
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int hash(const char *path, git_oid *ret, struct err *err)
{
	return git_odb_hashfile(ret, path, GIT_OBJECT_BLOB) < 0 ? git_err(err, -1, "%s", path) : 0;
}

/* The formula that an action in a checkout names beside it. */
static int read_formula(const char *vault, struct judged *j, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/formulas/%s.yaml", vault, j->action.formula);

	if (access(path, F_OK) < 0)
		return err_set(err, ERR_INVALID, "formula: there is no vault/formulas/%s.yaml", j->action.formula);
	if (load_formula(path, j->action.formula, &j->formula, err) < 0 || formula_suits(&j->formula, &j->action, err) < 0)
		return -1;
	return hash(path, &j->files.formula_blob, err);
}

/* Its secrets; what they hold is nobody's business here. */
static int read_secrets(const char *vault, struct judged *j, struct err *err)
{
	const json_t *name;
	size_t i;

	j->files.secrets = xcalloc(json_array_size(j->action.secrets) + 1, sizeof(*j->files.secrets));
	json_array_foreach (j->action.secrets, i, name) {
		cleanup_free char *path = xasprintf("%s/secrets/%s.age", vault, json_string_value(name));
		struct ops_secret *s = &j->files.secrets[i];

		if (access(path, F_OK) < 0)
			return err_set(err, ERR_INVALID, "secrets: there is no vault/secrets/%s.age", json_string_value(name));
		*s = (struct ops_secret){.name = xstrdup(json_string_value(name)), .age = BUF_INIT};
		j->files.n_secrets++;
		if (hash(path, &s->blob, err) < 0)
			return -1;
	}
	return 0;
}

static int load_policy(const char *path, struct policy *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read(path, POLICY_MAX_BYTES, &text, err) < 0)
		return -1;
	return policy_parse(text.data, text.len, ret, err);
}

/* By the policy of the checkout. One that is broken will not be in force, and which is can't be told from files. */
static void judge_beside(const char *vault, const struct config *config, struct judged *j)
{
	const struct policy_floor floor = config ? policy_floor_of(config) : (struct policy_floor){APPROVAL_LANDED, false, NULL};
	cleanup_free char *path = xasprintf("%s/policy.yaml", vault);
	cleanup_policy struct policy policy = POLICY_INIT;
	cleanup_err struct err why = ERR_INIT;

	if (load_policy(path, &policy, &why) < 0)
		policy_none(&policy);
	judge_policy(j, &policy, why.code == ERR_NONE || why.code == ERR_NOT_FOUND ? NULL : err_msg(&why), &floor);
}

/* Where the checkout is a clone of git's whose root holds vault/, its history tells of the last run. */
static void add_last_run(const char *vault, const struct judged *j, json_t *risk)
{
	cleanup_git(git_repository) git_repository *git = NULL;
	cleanup_free char *root = NULL;
	const char *workdir;
	git_oid head;

	if (git_repository_open_ext(&git, vault, 0, NULL) < 0 || git_reference_name_to_id(&head, git, "HEAD") < 0)
		return;
	workdir = git_repository_workdir(git);
	root = workdir ? realpath(workdir, NULL) : NULL;
	if (root && strncmp(vault, root, strlen(root)) == 0 && strcmp(vault + strlen(root), "/vault") == 0)
		risk_add_last_run(risk, git, &head, j, NULL);
}

/* An action with what stands beside it: what the dispatcher would say, and what its reviewer should know. */
static void check_in_checkout(const char *path, const char *canonical, const char *vault, struct judged *j, struct report *report)
{
	cleanup_err struct err why = ERR_INIT;
	json_t *risk;

	if (git_remote_setup(&why) < 0 || read_formula(vault, j, &why) < 0 || read_secrets(vault, j, &why) < 0) {
		report_add(report, path, report_strip(err_msg(&why), canonical), NULL, NULL);
		return;
	}
	judge_beside(vault, report->config, j);
	risk = risk_json(j, report->config);
	add_last_run(vault, j, risk);
	report_add(report, path, j->problem ? report_strip(j->problem, canonical) : NULL, NULL, risk);
}

static void check_action_file(const char *path, const char *name, struct report *report)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_free char *id = stem(name, ".json");
	cleanup_free char *canonical = vault_action_path(id);
	cleanup_free char *vault = vault_of(path, "actions");

	if (!vault_is_id(id))
		report_add(report, path, "misnamed: its name, without .json, must be " VAULT_ID_RULE, NULL, NULL);
	else if (file_read(path, ACTION_MAX_BYTES, &text, &why) < 0 || action_parse(id, text.data, text.len, &judged.action, &why) < 0)
		report_add(report, path, report_strip(err_msg(&why), canonical), NULL, NULL);
	else if (!vault)
		report_add(report, path, NULL, "stands alone: formula, secrets and policy were not looked for", NULL);
	else
		check_in_checkout(path, canonical, vault, &judged, report);
}

static void check_formula_file(const char *path, const char *name, struct report *report)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_formula struct formula formula = FORMULA_INIT;
	cleanup_free char *formula_name = stem(name, ".yaml");
	cleanup_free char *canonical = vault_formula_path(formula_name);

	if (!vault_is_id(formula_name))
		report_add(report, path, "misnamed: its name, without .yaml, must be " VAULT_ID_RULE, NULL, NULL);
	else if (load_formula(path, formula_name, &formula, &why) < 0)
		report_add(report, path, report_strip(err_msg(&why), canonical), NULL, NULL);
	else
		report_add(report, path, NULL, NULL, NULL);
}

static bool is_beside(const char *path, const void *vault)
{
	cleanup_free char *real = xasprintf("%s%s", (const char *)vault, path + strlen("vault"));

	return access(real, F_OK) == 0;
}

static void check_policy_file(const char *path, struct report *report)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_policy struct policy policy = POLICY_INIT;
	cleanup_free char *real = realpath(path, NULL);
	const char *vault = real ? dirname(real) : "";
	cleanup_free char *remark = NULL;

	if (load_policy(path, &policy, &why) < 0) {
		report_add(report, path, report_strip(err_msg(&why), VAULT_POLICY), NULL, NULL);
		return;
	}
	if (ends_with(vault, "/vault"))
		remark = report_strangers(&policy, is_beside, vault);
	report_add(report, path, NULL, remark, NULL);
}

/* A formula may be called policy. */
static bool is_policy(const char *path, const char *name)
{
	cleanup_free char *vault = vault_of(path, "formulas");

	return strcmp(name, "policy.yaml") == 0 && !vault;
}

void check_file(const char *path, struct report *report)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (access(path, R_OK) < 0)
		report_add(report, path, "can't be read; is the path right?", NULL, NULL);
	else if (is_policy(path, name))
		check_policy_file(path, report);
	else if (ends_with(name, ".result.json") || ends_with(name, ".cancel.json"))
		report_add(report, path, NULL, "written by disinto: not checked", NULL);
	else if (ends_with(name, ".json"))
		check_action_file(path, name, report);
	else if (ends_with(name, ".yaml"))
		check_formula_file(path, name, report);
	else
		report_add(report, path, "is neither an action (.json) nor a formula or policy (.yaml)", NULL, NULL);
}
