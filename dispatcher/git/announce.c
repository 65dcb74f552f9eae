/* What stands at the tip, told to core: each action once for each version of its file, each end once. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/json.h"

#include <sodium.h>
#include <string.h>

#define MISNAMED_MAX 100
#define CANCEL_MAX_BYTES 65536
#define REMOVED_WAIT "its result was removed from the repository, and an id is used only once; propose it again under a new id"

/* Ids that have to be announced, found by a scan. */
struct found {
	struct git_state *g;
	json_t *ids; /* object */
};

static void found_free(struct found *f)
{
	json_decref(f->ids);
}

static bool known_as(const json_t *map, const char *id, const git_oid *blob)
{
	const char *known = json_string_value(json_object_get(map, id));
	return known && strcmp(known, git_oid_tostr_s(blob)) == 0;
}

static void say_gone(struct git_state *g, const char *id, bool result, const char *reason)
{
	tell_core(g, msg_new(MSG_GONE, "{s:s, s:b, s:s}", "id", id, "ok", result, "reason", reason));
	json_object_del(g->announced, id);
}

/* Why: the file's own words, if it has any that can be read. */
static void say_cancel(struct git_state *g, const struct ops_item *now)
{
	static const struct json_limits limits = {CANCEL_MAX_BYTES, 4};
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_json json_t *file = NULL;
	cleanup_free char *path = vault_cancel_path(now->id);
	const char *why = NULL;

	if (git_repo_blob(g->repo, &now->cancel.oid, CANCEL_MAX_BYTES, &text, NULL) == 0 &&
	    json_parse_strict(text.data, text.len, &limits, &file, NULL) == 0)
		why = json_string_value(json_object_get(file, "reason"));
	cleanup_free char *reason = why && *why ? xasprintf("cancelled: %s", why) : xasprintf("cancelled by %s", path);
	tell_core(g, msg_new(MSG_CANCEL, "{s:s, s:s}", "id", now->id, "reason", reason));
	json_object_set_new(g->cancelled, now->id, json_string(git_oid_tostr_s(&now->cancel.oid)));
}

static void finished(struct git_state *g, const struct ops_item *now)
{
	judge_forget(g, now->id);
	json_object_del(g->cancelled, now->id);
	if (json_object_del(g->recorded, now->id) == 0 || !json_object_get(g->announced, now->id)) {
		json_object_del(g->announced, now->id);
		return;
	}
	cleanup_free char *path = vault_result_path(now->id);
	cleanup_free char *reason = xasprintf("%s stands there, written by somebody else", path);
	say_gone(g, now->id, true, reason);
}

/* Results in the outbox are compared there, where their text is. */
static bool in_outbox(const struct git_state *g, const char *id)
{
	const struct result_file *r;
	TAILQ_FOREACH(r, &g->outbox, link)
	if (strcmp(r->id, id) == 0)
		return true;
	return false;
}

static int on_change(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct found *f = arg;
	struct git_state *g = f->g;
	(void)before;
	(void)err;

	if ((g->args->only && strcmp(g->args->only, now->id) != 0) || in_outbox(g, now->id))
		return 0;
	if (now->result.there) {
		finished(g, now);
		return 0;
	}
	if (now->cancel.there && !known_as(g->cancelled, now->id, &now->cancel.oid))
		say_cancel(g, now);
	json_t *told = json_object_get(g->announced, now->id);
	if (!now->action.there) {
		if (told) {
			cleanup_free char *path = vault_action_path(now->id);
			cleanup_free char *reason = xasprintf("%s was removed", path);
			say_gone(g, now->id, false, reason);
		}
		return 0;
	}
	if (!told || !known_as(told, "blob", &now->action.oid))
		json_object_set_new(f->ids, now->id, json_true());
	return 0;
}

static void set_text(json_t *body, const char *key, const char *value)
{
	cleanup_free char *clean = clean_text(value);
	if (clean)
		json_object_set_new(body, key, json_string(clean));
}

static json_t *secrets_json(const struct ops_action *a)
{
	json_t *all = json_object();
	for (size_t i = 0; i < a->n_secrets; i++) {
		const struct ops_secret *s = &a->secrets[i];
		size_t size = sodium_base64_ENCODED_LEN(s->age.len, sodium_base64_VARIANT_ORIGINAL);
		cleanup_free char *text = xmalloc(size);
		sodium_bin2base64(text, size, (const unsigned char *)s->age.data, s->age.len, sodium_base64_VARIANT_ORIGINAL);
		json_object_set_new(all, s->name, json_pack("{s:s, s:s}", "blob", git_oid_tostr_s(&s->blob), "age", text));
	}
	return all;
}

/* The judgement of what no file says by itself. */
static int judge(struct git_state *g, const struct ops_landing *l, const struct ops_action *a, struct judgement *ret, struct err *err)
{
	if (ops_past_removed(g->past, l->id)) {
		ret->wait = xstrdup(REMOVED_WAIT);
		return 0;
	}
	if (a->wait || a->refuse) {
		ret->wait = a->wait ? clean_text(a->wait) : NULL;
		ret->refuse = a->wait ? NULL : clean_text(a->refuse);
		return 0;
	}
	return judge_action(g, l, a, ret, err);
}

static int announce_one(struct git_state *g, const struct ops_landing *l, struct err *err)
{
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	cleanup_judgement struct judgement v = JUDGEMENT_INIT;
	if (ops_read_action(g->repo, &g->tip, &l->commit, l->id, &a, err) < 0 || ops_names_check(g->names, &g->tip, &a, err) < 0 ||
	    judge(g, l, &a, &v, err) < 0)
		return -1;
	const json_t *told = json_object_get(g->announced, l->id);
	const char *waited = json_string_value(json_object_get(told, "wait"));
	if (told && known_as(told, "blob", &a.blob) && (v.wait && waited ? strcmp(v.wait, waited) == 0 : !v.wait && !waited))
		return 0;
	char commit[GIT_OID_HEXSZ + 1], blob[GIT_OID_HEXSZ + 1];
	git_oid_tostr(commit, sizeof(commit), &l->commit);
	git_oid_tostr(blob, sizeof(blob), &a.blob);
	json_t *body = msg_new(MSG_LANDED, "{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:o, s:s?, s:s?}", "id", l->id, "commit", commit,
	                       "action_blob", blob, "action", a.text, "formula_name", a.formula_name, "formula_blob",
	                       a.formula_text ? git_oid_tostr_s(&a.formula_blob) : NULL, "formula", a.formula_text, "secrets",
	                       secrets_json(&a), "refuse", v.refuse, "wait", v.wait);
	set_text(body, "tier", v.tier);
	set_text(body, "policy_blob", v.policy_blob);
	set_text(body, "approval_mode", v.mode);
	set_text(body, "approval_by", v.by);
	tell_core(g, body);
	json_object_set_new(g->announced, l->id, json_pack("{s:s, s:s, s:s?}", "blob", blob, "commit", commit, "wait", v.wait));
	return g->core_gone ? err_set(err, ERR_UNREACHABLE, "core is gone") : 0;
}

/* Those that wait for something in the repo may have it now, and those that do not may be frozen. They landed where they did, so nothing has to be searched. */
static int announce_waiting(struct git_state *g, const json_t *found, struct err *err)
{
	cleanup_json json_t *all = json_copy(g->announced);
	const char *id;
	json_t *told;
	json_object_foreach (all, id, told) {
		struct ops_landing l = {.id = id, .found = true};
		if ((!json_is_string(json_object_get(told, "wait")) && !g->policy_moved) || json_object_get(found, id))
			continue;
		git_oid_fromstr(&l.commit, json_string_value(json_object_get(told, "commit")));
		if (announce_one(g, &l, err) < 0)
			return -1;
	}
	return 0;
}

/* In the order of landing. */
static int by_landing(const void *x, const void *y)
{
	const struct ops_landing *a = x, *b = y;
	if (a->depth != b->depth)
		return a->depth > b->depth ? -1 : 1;
	return strcmp(a->id, b->id);
}

static int announce_found(struct git_state *g, const json_t *ids, struct err *err)
{
	size_t n = 0;
	const char *id;
	json_t *value;

	if (json_object_size(ids) == 0)
		return 0;
	cleanup_free struct ops_landing *v = xcalloc(json_object_size(ids), sizeof(*v));
	json_object_foreach ((json_t *)ids, id, value)
		v[n++].id = id;
	if (ops_landings(g->repo, &g->tip, v, n, err) < 0)
		return -1;
	qsort(v, n, sizeof(*v), by_landing);
	for (size_t i = 0; i < n; i++)
		if (v[i].found && announce_one(g, &v[i], err) < 0)
			return -1;
	return 0;
}

static int list_misnamed(struct git_state *g, struct err *err)
{
	cleanup_json json_t *list = json_array();
	if (ops_misnamed(g->repo, &g->tip, MISNAMED_MAX, list, err) < 0)
		return -1;
	json_decref(g->misnamed);
	g->misnamed = json_incref(list);
	return 0;
}

/* The commit that core was told of is not in the clone (made again, on another history): what core knows is looked up one by one. */
static int recheck(struct git_state *g, struct err *err)
{
	cleanup_json json_t *all = json_copy(g->announced);
	struct found none = {g, NULL};
	const char *id;
	json_t *told;
	json_object_foreach (all, id, told) {
		struct ops_item now;
		if (ops_item(g->repo, &g->tip, id, &now, err) < 0)
			return -1;
		if ((now.result.there || !now.action.there) && on_change(NULL, &now, &none, err) != 0)
			return -1;
	}
	g->has_scanned = false;
	return 0;
}

int announce_tip(struct git_state *g, struct err *err)
{
	__attribute__((cleanup(found_free))) struct found f = {.g = g, .ids = json_object()};
	cleanup_err struct err why = ERR_INIT;
	cleanup_git(git_commit) git_commit *scanned = NULL;

	bool known = g->has_scanned && git_commit_lookup(&scanned, g->repo, &g->scanned) == 0;
	/* Our own results were scanned without a walk: they have to be known as there before the tip may turn out to be an older one, without them. */
	if ((known && ops_past_update(g->past, &g->scanned, err) < 0) || ops_past_update(g->past, &g->tip, err) < 0)
		return -1;
	if (g->has_scanned && !known && recheck(g, err) < 0)
		return -1;
	if (ops_scan(g->repo, g->has_scanned ? &g->scanned : NULL, &g->tip, on_change, &f, err) < 0)
		return -1;
	if (judge_follow(g, err) < 0)
		return -1;
	if (announce_found(g, f.ids, err) < 0 || announce_waiting(g, f.ids, err) < 0)
		return -1;
	/* Formulas or secrets that can't be believed hold the actions that want them; the list is only for people. */
	json_array_clear(g->notes);
	if (list_misnamed(g, &why) < 0) {
		cleanup_free char *note = clean_text(err_msg(&why));
		json_array_append_new(g->notes, json_string(note));
	}
	g->scanned = g->tip;
	g->has_scanned = true;
	return 0;
}
