/*
 * Judging an action and telling its risk.
 */
#include "cli/judge.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "vault/ops_names.h"
#include <stdlib.h>
#include <string.h>

/* Notes a problem once and returns 0: that an action is wrong is an answer, not a failure. */
static int problem(struct judged *j, const char *why)
{
	if (!j->problem)
		j->problem = xstrdup(why);
	return 0;
}

static int judge_at(const struct repo *r, const git_oid *tip, const git_oid *landing, const char *id, struct judged *ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	cleanup_ops_names struct ops_names *names = ops_names_new(r->git);
	struct ops_action *files = &ret->files;

	if (ops_read_action(r->git, tip, landing, id, files, err) < 0 || ops_names_check(names, &r->tip, files, err) < 0)
		return -1;
	if (files->text && action_parse(id, files->text, strlen(files->text), &ret->action, &why) < 0)
		return problem(ret, err_msg(&why));
	if (files->refuse || files->wait)
		return problem(ret, files->refuse ? files->refuse : files->wait);
	if (!files->text || !files->formula_text)
		return problem(ret, "its files can't be read as text");
	if (formula_parse(files->formula_name, files->formula_text, strlen(files->formula_text), &ret->formula, &why) < 0 ||
	    formula_suits(&ret->formula, &ret->action, &why) < 0)
		return problem(ret, err_msg(&why));
	return 0;
}

int judge(const struct repo *r, const git_oid *commit, const char *id, struct judged *ret, struct err *err)
{
	return judge_at(r, commit, commit, id, ret, err);
}

int judge_landed(const struct repo *r, const char *id, struct judged *ret, struct err *err)
{
	struct ops_landing landing = {.id = id};

	if (ops_landings(r->git, &r->tip, &landing, 1, err) < 0)
		return -1;
	if (!landing.found)
		return err_set(err, ERR_NOT_FOUND, "%s has not landed", id);
	return judge_at(r, &r->tip, &landing.commit, id, ret, err);
}

void judged_free(struct judged *j)
{
	free(j->problem);
	ops_action_free(&j->files);
	action_free(&j->action);
	formula_free(&j->formula);
	*j = (struct judged)JUDGED_INIT;
}

/* What is named but not configured: the dispatcher that reads this file would let the action wait. */
static json_t *missing(const struct judged *j, const struct config *config)
{
	json_t *list = json_array();
	const char *network = j->formula.network;
	const json_t *mount;
	size_t i;

	json_array_foreach (j->action.mounts, i, mount) {
		if (!json_object_get(config->mounts, json_string_value(mount)))
			json_array_append_new(list, json_sprintf("mount %s is not in %s", json_string_value(mount), config->file));
	}
	if (strcmp(network, "default") != 0 && strcmp(network, "none") != 0 && !json_object_get(config->networks, network))
		json_array_append_new(list, json_sprintf("network %s is not in %s", network, config->file));
	return list;
}

/* Without a policy every tier is high. */
static const char *tier(void)
{
	return tier_name(TIER_HIGH);
}

json_t *risk_json(const struct judged *j, const struct config *config)
{
	const struct formula *f = &j->formula;
	const struct action *a = &j->action;
	json_t *limits =
	    json_pack("{s:f, s:I, s:I, s:i, s:i}", "cpus", (double)f->nano_cpus / 1e9, "memory_bytes", (json_int_t)f->memory_bytes,
	              "tmp_bytes", (json_int_t)f->tmp_bytes, "pids", f->pids, "timeout_minutes", formula_timeout_minutes(f, a));

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:O, s:O, s:O, s:s, s:o, s:o}", "id", a->id, "context", a->context, "formula",
	                 a->formula, "description", f->description, "image", f->image ? f->image : config->runner_image, "tier", tier(),
	                 "secrets", a->secrets, "inputs", a->inputs, "tools", a->tools, "mounts", a->mounts, "network", f->network,
	                 "limits", limits, "missing", missing(j, config));
}

static void put_list(FILE *to, const char *label, const json_t *list, const char *note_of_it)
{
	cleanup_buf struct buf text = BUF_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		buf_addf(&text, "%s%s", i > 0 ? ", " : "", json_string_value(one));
	}
	if (text.len > 0)
		buf_adds(&text, note_of_it);
	print_pair(to, label, text.len > 0 ? text.data : "none");
}

static void put_inputs(FILE *to, json_t *inputs)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *key;
	json_t *value;

	json_object_foreach (inputs, key, value) {
		buf_addf(&text, "%s%s=%s", text.len > 0 ? "\n" : "", key, json_string_value(value));
	}
	print_pair(to, "inputs", text.len > 0 ? text.data : "none");
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void risk_print(const json_t *risk, FILE *to)
{
	const json_t *limits = json_object_get(risk, "limits");
	cleanup_free char *formula =
	    xasprintf("%s%s%s", text_of(risk, "formula"), *text_of(risk, "description") ? ": " : "", text_of(risk, "description"));
	cleanup_free char *text =
	    xasprintf("%g cpus, %lld MiB memory, %lld processes, %lld minutes", json_real_value(json_object_get(limits, "cpus")),
	              (long long)(number(limits, "memory_bytes") >> 20), (long long)number(limits, "pids"),
	              (long long)number(limits, "timeout_minutes"));
	const json_t *lacks;
	size_t i;

	print_pair(to, "action", text_of(risk, "id"));
	print_pair(to, "context", text_of(risk, "context"));
	print_pair(to, "formula", formula);
	print_pair(to, "image", text_of(risk, "image"));
	print_pair(to, "tier", text_of(risk, "tier"));
	put_list(to, "secrets", json_object_get(risk, "secrets"), "");
	put_inputs(to, json_object_get(risk, "inputs"));
	put_list(to, "tools", json_object_get(risk, "tools"), "");
	put_list(to, "mounts", json_object_get(risk, "mounts"), " (read-only)");
	print_pair(to, "network", text_of(risk, "network"));
	print_pair(to, "limits", text);
	json_array_foreach (json_object_get(risk, "missing"), i, lacks) {
		print_pair(to, "waits for", json_string_value(lacks));
	}
}
