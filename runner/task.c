/* What the dispatcher sends, in its order: the task, the secrets, GO. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include <sodium.h>
#include <string.h>

/* Action and formula have bounds of their own; written as JSON text they may take up to six times as much. The rest is for agents and lines. */
#define TASK_MAX ((size_t)6 * (ACTION_MAX_BYTES + FORMULA_MAX_BYTES + KNOWN_HOSTS_MAX) + 262144)

static const char *kind_of(const json_t *frame)
{
	return json_string_value(json_object_get(frame, "t"));
}

static bool is_kind(const json_t *frame, const char *kind)
{
	return strcmp(kind_of(frame), kind) == 0;
}

static int unexpected(const json_t *frame, const char *wanted, struct err *err)
{
	return err_set(err, ERR_INVALID, "the dispatcher sent a frame \"%.40s\" where %s belongs; it is of another version, or broken",
	               kind_of(frame), wanted);
}

/* The text of the `task` frames up to task_end. */
static int read_text(struct runner *r, struct buf *ret, struct err *err)
{
	for (;;) {
		json_t *frame cleanup_json = NULL;
		if (input_next(r, &frame, err) < 0)
			return -1;
		if (is_kind(frame, "task_end"))
			return 0;
		const json_t *d = json_object_get(frame, "d");
		if (!is_kind(frame, "task") || !json_is_string(d))
			return unexpected(frame, "a piece of the task", err);
		if (ret->len + json_string_length(d) > TASK_MAX)
			return err_set(err, ERR_INVALID, "the task is larger than %zu bytes", TASK_MAX);
		buf_add(ret, json_string_value(d), json_string_length(d));
	}
}

/* A copy of the agents' command lines, which the checks below and the steps read. */
static int take_agents(struct runner *r, json_t *agents, struct err *err)
{
	if (agents && !json_is_object(agents))
		return err_set(err, ERR_INVALID, "the task that the dispatcher sent holds agents that are no map");
	r->agents = json_incref(agents);
	for (size_t i = 0; i < r->formula.n_steps; i++)
		if (r->formula.steps[i].prompt && agent_check(r, &r->formula.steps[i], err) < 0)
			return -1;
	return 0;
}

int task_read(struct runner *r, struct err *err)
{
	struct buf text cleanup_buf = BUF_INIT;
	if (read_text(r, &text, err) < 0)
		return -1;

	json_error_t why;
	json_t *task cleanup_json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &why);
	json_t *action = json_object_get(task, "action");
	const char *id = json_string_value(json_object_get(action, "id"));
	json_t *formula = json_object_get(task, "formula");
	if (!id || !formula)
		return err_set(err, ERR_INVALID, "the task that the dispatcher sent holds no action and formula");
	if (action_from_json(id, action, &r->action, err) < 0)
		return -1;
	if (formula_from_json(r->action.formula, formula, &r->formula, err) < 0)
		return -1;
	if (formula_suits(&r->formula, &r->action, err) < 0)
		return -1;
	if (known_hosts_take(r, json_object_get(task, "known_hosts"), err) < 0)
		return -1;
	return take_agents(r, json_object_get(task, "agents"), err);
}

static void make_redactor(struct runner *r)
{
	r->redactor = redactor_new();
	for (size_t i = 0; i < r->secrets.n; i++)
		redactor_add(r->redactor, r->secrets.items[i].name, r->secrets.items[i].value, r->secrets.items[i].len);
	redactor_build(r->redactor);
	r->out.redactor = r->redactor;
}

int task_read_secrets(struct runner *r, struct err *err)
{
	for (;;) {
		json_t *frame cleanup_json = NULL;
		if (input_next(r, &frame, err) < 0)
			return -1;
		if (is_kind(frame, "secret")) {
			if (secrets_add(&r->secrets, r->action.secrets, frame, err) < 0)
				return -1;
		} else if (is_kind(frame, "secrets_end")) {
			if (secrets_end(&r->secrets, r->action.secrets, frame, r->formula.secrets_as, err) < 0)
				return -1;
			make_redactor(r);
			return 0;
		} else {
			return unexpected(frame, "a secret", err);
		}
	}
}

int task_read_go(struct runner *r, struct err *err)
{
	json_t *frame cleanup_json = NULL;

	if (input_next(r, &frame, err) < 0)
		return -1;
	return is_kind(frame, "go") ? 0 : unexpected(frame, "go", err);
}
