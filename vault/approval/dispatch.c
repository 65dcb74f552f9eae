#include "vault/approval/dispatch.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "vault/action.h"
#include <ctype.h>
#include <sodium.h>
#include <string.h>

#define TEXT_MAX_BYTES (1u << 20)
#define TEXT_MAX_DEPTH 8
#define PROMPT_MAX_BYTES 10000
#define HASH_BYTES 4 /* of the hash that stands in an id */

bool dispatch_is_task(const char *s)
{
	return vault_matches(s, CHARS_ALNUM "._-", CHARS_ALNUM "._-", DISPATCH_TASK_MAX);
}

void dispatch_task_action(const char *task, char ret_id[static VAULT_ID_MAX + 1])
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	size_t n = 0;

	crypto_hash_sha256(hash, (const unsigned char *)task, strlen(task));
	for (; *task && n < VAULT_ID_MAX - 1 - 2 * HASH_BYTES; task++) {
		char c = (char)tolower((unsigned char)*task);
		bool good = isalnum((unsigned char)c) || c == '_';
		if (good ? n > 0 || c != '_' : n > 0 && ret_id[n - 1] != '-')
			ret_id[n++] = good ? c : '-';
	}
	if (n == 0) { /* nothing of it can stand in an id */
		memcpy(ret_id, "task", 4);
		n = 4;
	}
	n -= ret_id[n - 1] == '-';
	ret_id[n++] = '-';
	sodium_bin2hex(ret_id + n, 2 * HASH_BYTES + 1, hash, HASH_BYTES);
}

/* A string of that kind, NULL where there is none or it is wrong. Borrowed. */
static const char *get(struct json_reader *r, const char *key, bool (*is)(const char *s), const char *rule, bool required)
{
	const char *s = json_get_string(r, key, 0, TEXT_MAX_BYTES, required, NULL);

	if (s && !is(s)) {
		json_reader_fail(r, key, "%s", rule);
		return NULL;
	}
	return s;
}

static bool is_prompt(const char *s)
{
	return *s && strlen(s) <= PROMPT_MAX_BYTES;
}

static bool is_text(const char *s)
{
	return *s != '\0';
}

static int read_task(const json_t *body, const char *fresh, struct dispatch *d, struct err *err)
{
	struct json_reader r;

	json_reader_init(&r, body, "");
	const char *task = get(&r, "task_id", dispatch_is_task, "must be " DISPATCH_TASK_RULE, false);
	const char *repo = get(&r, "repo", vault_is_repo, "must be " VAULT_REPO_RULE, true);
	const char *prompt = get(&r, "prompt", is_prompt, "must be a text of 1 to 10000 bytes", true);
	const char *model = get(&r, "model", is_text, "must be a model's name", false);
	const char *branch = get(&r, "branch", vault_is_branch, "must be a branch: " VAULT_BRANCH_RULE, false);
	if (json_reader_end(&r, err) < 0)
		return -1;
	d->task_id = task ? xstrdup(task) : xasprintf("dispatch-%.8s", fresh);
	d->repo = xstrdup(repo);
	dispatch_task_action(d->task_id, d->id);
	d->asks_secrets = true;
	d->action = json_pack(
	    "{s:s, s:s, s:o, s:{s:s, s:s, s:s*, s:s}, s:s*}", "id", d->id, "formula", DISPATCH_FORMULA, "context",
	    json_sprintf("Task %s for %s, asked for over HTTP; what is to be done stands in the input `prompt`.", d->task_id, d->repo),
	    "inputs", "task_id", d->task_id, "repo", d->repo, "branch", branch, "prompt", prompt, "model", model);
	return 0;
}

static int read_action(json_t *body, const char *fresh, struct dispatch *d, struct err *err)
{
	const json_t *id = json_object_get(body, "id");

	if (id && !(json_is_string(id) && vault_is_id(json_string_value(id))))
		return err_set(err, ERR_INVALID, "id: must be %s", VAULT_ID_RULE);
	d->task_id = id ? xstrdup(json_string_value(id)) : xasprintf("dispatch-%.8s", fresh);
	memcpy(d->id, d->task_id, strlen(d->task_id) + 1);
	d->action = json_copy(body);
	json_object_set_new(d->action, "id", json_string(d->id));
	return 0;
}

/* The rules of an action's file; its path is not what a client knows. */
static int check_action(const struct dispatch *d, struct err *err)
{
	cleanup_action struct action checked = ACTION_INIT;
	cleanup_json json_t *copy = json_copy(d->action);
	cleanup_free char *prefix = xasprintf("%s/%s.json: ", VAULT_ACTIONS, d->id);
	cleanup_err struct err why = ERR_INIT;

	if (d->asks_secrets)
		json_object_set_new(copy, "secrets", json_array());
	if (action_from_json(d->id, copy, &checked, &why) == 0)
		return 0;
	const char *said = err_msg(&why);
	return err_set(err, ERR_INVALID, "%s", said + (strncmp(said, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0));
}

int dispatch_read(const char *text, size_t len, const char fresh[static 9], struct dispatch *ret, struct err *err)
{
	static const struct json_limits limits = {TEXT_MAX_BYTES, TEXT_MAX_DEPTH};
	cleanup_dispatch struct dispatch d = DISPATCH_INIT;
	cleanup_json json_t *body = NULL;

	if (json_parse_strict(text, len, &limits, &body, err) < 0)
		return err_wrap(err, "the body");
	if (!json_is_object(body))
		return err_set(err, ERR_INVALID, "the body: must be an object");
	bool is_action = json_object_get(body, "formula") || json_object_get(body, "id");
	if ((is_action ? read_action(body, fresh, &d, err) : read_task(body, fresh, &d, err)) < 0 || check_action(&d, err) < 0)
		return -1;
	if (is_action && json_text(json_object_get(d.action, "inputs"), "repo"))
		d.repo = xstrdup(json_text(json_object_get(d.action, "inputs"), "repo"));
	*ret = d;
	d = (struct dispatch)DISPATCH_INIT;
	return 0;
}

void dispatch_free(struct dispatch *d)
{
	free(d->task_id);
	free(d->repo);
	json_decref(d->action);
	*d = (struct dispatch)DISPATCH_INIT;
}
