/* Branch protection: what it should be, compared and set field by field. */
#include "vault/forge/forge_call.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/http.h"
#include "vault/ops/ledger.h"

#include <string.h>

struct forge_protection forge_ledger_protection(const char *pusher)
{
	return (struct forge_protection){.branch = LEDGER_BRANCH, .pusher = pusher, .requests = false, .approvers = NULL};
}

/* Fields of the API's branch protection that matter, and what happens without them. */
static const struct {
	const char *key, *why;
} fields[] = {
    {"enable_push", "the dispatcher pushes results"},
    {"enable_push_whitelist", "else everybody who may write lands without a request"},
    {"push_whitelist_usernames", "only the dispatcher's account may push"},
    {"push_whitelist_teams", "only the dispatcher's account may push"},
    {"push_whitelist_deploy_keys", "a deploy key would land without a request"},
    {"enable_merge_whitelist", "else everybody who may write merges"},
    {"merge_whitelist_usernames", "who merges, approves"},
    {"merge_whitelist_teams", "who merges, approves"},
    {"required_approvals", "how many reviews a merge needs"},
    {"enable_approvals_whitelist", "else anybody's review counts"},
    {"approvals_whitelist_username", "whose reviews count"},
    {"approvals_whitelist_teams", "whose reviews count"},
    {"block_on_rejected_reviews", "an approver who asks for changes must be heard"},
    {"dismiss_stale_approvals", "a review covers the head that was read, not what was pushed later"},
    {"ignore_stale_approvals", "a review covers the head that was read, not what was pushed later"},
    {"apply_to_admins", "an administrator's slip would land without a review"},
    {"unprotected_file_patterns", "these files would land without a review"},
};

static json_t *rule_of(const struct forge_protection *p)
{
	bool reviewed = p->requests && json_array_size(p->approvers) > 0, chosen = reviewed || !p->requests;
	json_t *who = reviewed ? json_deep_copy(p->approvers) : json_array();
	json_t *rule = json_pack("{s:b, s:b, s:[s], s:[], s:b}", "enable_push", 1, "enable_push_whitelist", 1, "push_whitelist_usernames",
	                         p->pusher, "push_whitelist_teams", "push_whitelist_deploy_keys", 0);
	json_t *rest = json_pack("{s:b, s:O, s:[], s:i, s:b, s:o, s:[], s:b, s:b, s:b, s:b, s:s}", "enable_merge_whitelist", chosen,
	                         "merge_whitelist_usernames", who, "merge_whitelist_teams", "required_approvals", reviewed ? 1 : 0,
	                         "enable_approvals_whitelist", reviewed, "approvals_whitelist_username", who, "approvals_whitelist_teams",
	                         "block_on_rejected_reviews", reviewed, "dismiss_stale_approvals", reviewed, "ignore_stale_approvals", 0,
	                         "apply_to_admins", 1, "unprotected_file_patterns", "");

	json_object_update(rule, rest);
	json_decref(rest);
	return rule;
}

static bool holds(const json_t *list, const json_t *wanted)
{
	const json_t *element;
	size_t i;

	json_array_foreach (list, i, element)
		if (json_equal(element, wanted))
			return true;
	return false;
}

/* Lists are sets here; and what is absent, null, false, 0, "" or an empty list is one and the same. */
static bool same(const json_t *is, const json_t *wanted)
{
	const json_t *element;
	size_t i;

	if (json_is_array(wanted)) {
		if (json_array_size(is) != json_array_size(wanted))
			return false;
		json_array_foreach (wanted, i, element)
			if (!holds(is, element))
				return false;
		return true;
	}
	if (json_is_false(wanted))
		return !json_is_true(is);
	if (json_is_integer(wanted))
		return json_integer_value(is) == json_integer_value(wanted);
	if (json_is_string(wanted))
		return strcmp(json_string_value(is) ? json_string_value(is) : "", json_string_value(wanted)) == 0;
	return json_equal(is, wanted);
}

static char *path_of(const struct forge *f, const struct forge_protection *p)
{
	cleanup_free char *name = http_escape(p->branch);

	return xasprintf("/repos/%s/branch_protections/%s", f->repo, name);
}

static void compare(const char *branch, const json_t *is, const json_t *wanted, json_t *findings)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *key = fields[i].key;
		const json_t *there = json_object_get(is, key), *right = json_object_get(wanted, key);

		if (same(there, right))
			continue;
		cleanup_free char *now = there ? json_dumps(there, JSON_ENCODE_ANY | JSON_COMPACT) : xstrdup("not set");
		cleanup_free char *then = json_dumps(right, JSON_ENCODE_ANY | JSON_COMPACT);
		json_array_append_new(findings, json_sprintf("%s: %s is %s and must be %s: %s", branch, key, now, then, fields[i].why));
	}
}

int forge_check_protection(struct forge *f, const struct forge_protection *wanted, json_t *findings, struct err *err)
{
	cleanup_free char *path = path_of(f, wanted);
	cleanup_json json_t *is = NULL, *rule = rule_of(wanted);
	cleanup_err struct err why = ERR_INIT;

	if (forge_call(f, "GET", path, NULL, &is, &why) < 0) {
		if (why.code != ERR_NOT_FOUND) {
			err_move(err, &why);
			return -1;
		}
		json_array_append_new(findings,
		                      json_sprintf("%s: is not protected: everybody who may write can push to it", wanted->branch));
		return 0;
	}
	compare(wanted->branch, is, rule, findings);
	return 0;
}

int forge_protect(struct forge *f, const struct forge_protection *wanted, struct err *err)
{
	cleanup_free char *path = path_of(f, wanted), *all = xasprintf("/repos/%s/branch_protections", f->repo);
	cleanup_json json_t *rule = rule_of(wanted);
	cleanup_err struct err why = ERR_INIT;

	if (forge_call(f, "PATCH", path, rule, NULL, &why) == 0)
		return 0;
	if (why.code != ERR_NOT_FOUND) {
		err_move(err, &why);
		return -1;
	}
	json_object_set_new(rule, "rule_name", json_string(wanted->branch));
	return forge_call(f, "POST", all, rule, NULL, err);
}

int forge_distrust_manual_merges(struct forge *f, struct err *err)
{
	cleanup_free char *path = xasprintf("/repos/%s", f->repo);
	cleanup_json json_t *body = json_pack("{s:b}", "autodetect_manual_merge", 0);

	return forge_call(f, "PATCH", path, body, NULL, err);
}
