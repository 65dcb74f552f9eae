/*
 * Telling the risk of an action.
 */
#include "vault/approval/judged.h"

#include "lib/cleanup.h"
#include <stdlib.h>
#include <string.h>

/* A name that stands at `path` in the formula. */
static void add_missing(json_t *list, const struct formula *f, const char *path, const char *kind, const char *name,
                        const struct config *config)
{
	cleanup_free char *where = formula_where(f, path);

	json_array_append_new(list, json_sprintf("%s %s is not in %s (%s)", kind, name, config->file, where));
}

/* What lets the action wait: policy, and what is named but not configured for the dispatcher that reads this file. */
static json_t *missing(const struct judged *j, const struct config *config)
{
	json_t *list = json_array();
	const char *network = j->formula.network;
	const json_t *mount;
	size_t i;

	if (j->verdict.wait)
		json_array_append_new(list, json_string(j->verdict.wait));
	if (!config)
		return list;
	json_array_foreach (j->action.mounts, i, mount) {
		if (!json_object_get(config->mounts, json_string_value(mount)))
			json_array_append_new(list, json_sprintf("mount %s is not in %s", json_string_value(mount), config->file));
	}
	if (strcmp(network, "default") != 0 && strcmp(network, "none") != 0 && !json_object_get(config->networks, network))
		add_missing(list, &j->formula, "network", "network", network, config);
	for (i = 0; i < j->formula.n_steps; i++) {
		const char *agent = j->formula.steps[i].agent;
		cleanup_free char *path = xasprintf("steps[%zu].agent", i);

		if (agent && !formula_agent_is_known(agent) && !json_object_get(config->agents, agent))
			add_missing(list, &j->formula, path, "agent", agent, config);
	}
	return list;
}

/* What policy says of each secret; NULL where there is no policy. */
static json_t *secret_rules(const struct judged *j)
{
	static const char *const words[] = {"unlisted", "allowed", "denied"};
	json_t *rules = json_object();
	const json_t *name;
	size_t i;

	json_array_foreach (j->action.secrets, i, name) {
		const char *secret = json_string_value(name);

		json_object_set_new(rules, secret, json_string(words[policy_secret(&j->policy, secret, j->action.formula)]));
	}
	if (j->policy.there)
		return rules;
	json_decref(rules);
	return NULL;
}

json_t *risk_json(const struct judged *j, const struct config *config)
{
	const struct formula *f = &j->formula;
	const struct action *a = &j->action;
	const struct policy_verdict *v = &j->verdict;
	const char *image = f->image ? f->image : config ? config->runner_image : NULL;
	json_t *limits =
	    json_pack("{s:f, s:I, s:I, s:i, s:i}", "cpus", (double)f->nano_cpus / 1e9, "memory_bytes", (json_int_t)f->memory_bytes,
	              "tmp_bytes", (json_int_t)f->tmp_bytes, "pids", f->pids, "timeout_minutes", formula_timeout_minutes(f, a));
	json_t *risk =
	    json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:s, s:s?, s:s, s:s?, s:b, s:s?}", "id", a->id, "context", a->context, "formula",
	              a->formula, "description", f->description, "image", image, "image_reference", v->image, "tier", tier_name(v->tier),
	              "tier_why", v->why, "approval", approval_mode_name(v->approval), "minimum",
	              config ? approval_mode_name(config->approval.minimum) : NULL, "direct", v->direct, "policy_remark", j->remark);
	cleanup_json json_t *rest = json_pack("{s:O, s:o*, s:O, s:O, s:O, s:s, s:o, s:o}", "secrets", a->secrets, "secret_rules",
	                                      secret_rules(j), "inputs", a->inputs, "tools", a->tools, "mounts", a->mounts, "network",
	                                      f->network, "limits", limits, "missing", missing(j, config));

	json_object_update(risk, rest);
	return risk;
}

struct telling {
	void (*fn)(void *arg, const char *label, const char *text);
	void *arg;
};

static void put(const struct telling *to, const char *label, const char *text)
{
	if (text)
		to->fn(to->arg, label, text);
}

static void put_list(const struct telling *to, const char *label, const json_t *list, const char *note_of_it)
{
	cleanup_buf struct buf text = BUF_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		buf_addf(&text, "%s%s", i > 0 ? ", " : "", json_string_value(one));
	}
	if (text.len > 0)
		buf_adds(&text, note_of_it);
	put(to, label, text.len > 0 ? text.data : "none");
}

/* Each secret, and whether policy knows of it. */
static void put_secrets(const struct telling *to, const json_t *risk)
{
	const json_t *rules = json_object_get(risk, "secret_rules");
	cleanup_buf struct buf text = BUF_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(risk, "secrets"), i, one) {
		const char *rule = json_text(rules, json_string_value(one));

		buf_addf(&text, "%s%s", i > 0 ? "\n" : "", json_string_value(one));
		if (rule)
			buf_addf(&text, " (%s)",
			         strcmp(rule, "unlisted") == 0  ? "not listed by policy: any formula may have it"
			         : strcmp(rule, "allowed") == 0 ? "listed by policy for this formula"
			                                        : "policy does not give it to this formula");
	}
	put(to, "secrets", text.len > 0 ? text.data : "none");
}

static void put_verdict(const struct telling *to, const json_t *risk)
{
	const char *why = json_text(risk, "tier_why");
	cleanup_free char *tier = xasprintf("%s%s%s", json_text(risk, "tier"), why ? ": " : "", why ? why : "");
	bool direct = json_is_true(json_object_get(risk, "direct"));
	cleanup_free char *approval =
	    xasprintf("%s%s%s", json_text(risk, "approval"), direct ? "; the dispatcher may land it by itself" : "",
	              json_text(risk, "minimum") ? "" : ", or what the dispatcher's configuration wants beyond that");

	put(to, "tier", tier);
	put(to, "approval", approval);
	put(to, "policy", json_text(risk, "policy_remark"));
}

static void put_last_run(const struct telling *to, const json_t *last)
{
	cleanup_buf struct buf text = BUF_INIT;
	const json_t *changes = json_object_get(last, "changes");
	const json_t *one;
	size_t i;

	if (json_is_object(last))
		buf_addf(&text, "%s, %s, %s", json_text(last, "id"), json_text(last, "outcome"), json_text(last, "timestamp"));
	json_array_foreach (changes, i, one) {
		buf_addf(&text, "\n%s", json_string_value(one));
	}
	if (changes && json_array_size(changes) == 0)
		buf_adds(&text, "\nsince then: nothing changed in formula, secrets, mounts and names of inputs");
	if (last)
		put(to, "last run", text.len > 0 ? text.data : "none of this formula yet");
}

static void put_inputs(const struct telling *to, json_t *inputs)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *key;
	json_t *value;

	json_object_foreach (inputs, key, value) {
		buf_addf(&text, "%s%s=%s", text.len > 0 ? "\n" : "", key, json_string_value(value));
	}
	put(to, "inputs", text.len > 0 ? text.data : "none");
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void risk_tell(const json_t *risk, void (*fn)(void *arg, const char *label, const char *text), void *arg)
{
	const struct telling told = {fn, arg}, *to = &told;
	const json_t *limits = json_object_get(risk, "limits");
	cleanup_free char *formula =
	    xasprintf("%s%s%s", json_text(risk, "formula"), *json_text(risk, "description") ? ": " : "", json_text(risk, "description"));
	cleanup_free char *text =
	    xasprintf("%g cpus, %lld MiB memory, %lld processes, %lld minutes", json_real_value(json_object_get(limits, "cpus")),
	              (long long)(number(limits, "memory_bytes") >> 20), (long long)number(limits, "pids"),
	              (long long)number(limits, "timeout_minutes"));
	const json_t *lacks;
	size_t i;

	put(to, "action", json_text(risk, "id"));
	put(to, "context", json_text(risk, "context"));
	put(to, "formula", formula);
	put(to, "image", json_text(risk, "image") ? json_text(risk, "image") : "the dispatcher's runner image");
	put_verdict(to, risk);
	put_secrets(to, risk);
	put_inputs(to, json_object_get(risk, "inputs"));
	put_list(to, "tools", json_object_get(risk, "tools"), "");
	put_list(to, "mounts", json_object_get(risk, "mounts"), " (read-only)");
	put(to, "network", json_text(risk, "network"));
	put(to, "limits", text);
	put_last_run(to, json_object_get(risk, "last_run"));
	json_array_foreach (json_object_get(risk, "missing"), i, lacks) {
		put(to, "waits for", json_string_value(lacks));
	}
}
