/* What stands at the tip, told to core: each action once for each version of its file, each end once. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/log.h"

#include <sodium.h>
#include <string.h>

#define MISNAMED_MAX 100
#define CANCEL_MAX_BYTES 65536
#define CHANGED_MAX 100
#define REMOVED_WAIT "its result was removed or archived, and an id is used only once; propose it again under a new id"
#define BACKLOG_WAIT "had landed before there was a ledger; say disinto accept-backlog, if it has not been done already and may run"

/* Ids that have to be announced, found by a scan. */
struct found {
	struct git_state *g;
	json_t *ids;      /* object */
	json_t *archived; /* id -> blob of the result that came into the archive; NULL: not looked at yet */
};

static void found_free(struct found *f)
{
	json_decref(f->ids);
	json_decref(f->archived);
}

static bool known_as(const json_t *map, const char *id, const git_oid *blob)
{
	const char *known = json_string_value(json_object_get(map, id));
	return known && strcmp(known, git_oid_tostr_s(blob)) == 0;
}

static void say_gone(struct git_state *g, const char *id, bool result, bool taken, const char *reason)
{
	tell_core(g, msg_new(MSG_GONE, "{s:s, s:b, s:b, s:s}", "id", id, "ok", result, "taken", taken, "reason", reason));
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
	bool told = json_object_get(g->announced, now->id) || json_object_get(g->cancelled, now->id);

	judge_forget(g, now->id);
	json_object_del(g->cancelled, now->id);
	if (json_object_del(g->recorded, now->id) == 0 || !told) {
		json_object_del(g->announced, now->id);
		return;
	}
	cleanup_free char *path = vault_result_path(now->id);
	cleanup_free char *reason = xasprintf("%s stands there, written by somebody else", path);
	say_gone(g, now->id, true, false, reason);
}

/* What should never happen to a result, or to an action that has one: people hear of it, in the log and with each poll. Takes the path. */
static void note_changed(struct git_state *g, char *path, const char *how)
{
	cleanup_free char *text = xasprintf("%s was %s after its result was recorded", path, how);

	log_warn("history was changed", "what", text, NULL);
	if (json_array_size(g->changed) < CHANGED_MAX)
		json_array_append_new(g->changed, json_string(text));
	free(path);
}

static bool same(const struct ops_file *a, const struct ops_file *b)
{
	return a->there == b->there && (!a->there || (a->mode == b->mode && git_oid_equal(&a->oid, &b->oid)));
}

/* A result that was moved, as it was, to where old ones are kept. 1: it was; 0; -1. */
static int was_archived(struct found *f, const struct ops_item *before, const struct ops_item *now, struct err *err)
{
	if (now->result.there || now->action.there)
		return 0;
	if (!f->archived) {
		f->archived = json_object();
		if (ops_archived(f->g->repo, &f->g->scanned, &f->g->tip, f->archived, err) < 0)
			return -1;
	}
	return known_as(f->archived, now->id, &before->result.oid);
}

/* `before` is NULL where nothing is known of it. */
static int compare(struct found *f, const struct ops_item *before, const struct ops_item *now, struct err *err)
{
	struct git_state *g = f->g;

	if (!before || !before->result.there)
		return 0;
	int archived = was_archived(f, before, now, err);
	if (archived != 0)
		return archived < 0 ? -1 : 0;
	if (!same(&before->result, &now->result))
		note_changed(g, vault_result_path(now->id), now->result.there ? "edited" : "removed");
	if (!same(&before->action, &now->action))
		note_changed(g, vault_action_path(now->id), now->action.there ? "edited" : "removed");
	return 0;
}

/* A result stands there. Whether it counts is up to the ledger. */
static int on_result(struct found *f, const struct ops_item *now, const struct ledger_standing *standing, struct err *err)
{
	struct git_state *g = f->g;
	enum ledger_old old = LEDGER_NEW;

	if (standing->status == LEDGER_OURS)
		return 0; /* record.c deals with it */
	if (!g->ledger.on || standing->status == LEDGER_FINISHED || standing->status == LEDGER_OTHERS) {
		finished(g, now);
		return 0;
	}
	if (ledger_is_old(g, now->id, &old, err) < 0)
		return -1;
	if (old == LEDGER_OLD_RESULT)
		finished(g, now);
	else if (now->action.there)
		json_object_set_new(f->ids, now->id, json_true());
	return 0;
}

/* No result stands there. */
static void on_action(struct found *f, const struct ops_item *now, const struct ledger_standing *standing)
{
	struct git_state *g = f->g;
	const json_t *told = json_object_get(g->announced, now->id);
	bool others = standing->status == LEDGER_OTHERS;

	/* Who has claimed it cancels it. */
	if (now->cancel.there && (!others || told) && !known_as(g->cancelled, now->id, &now->cancel.oid))
		say_cancel(g, now);
	if (!now->action.there) {
		cleanup_free char *path = vault_action_path(now->id);
		cleanup_free char *reason = xasprintf("%s was removed", path);
		if (told)
			say_gone(g, now->id, false, false, reason);
	} else if (others) {
		cleanup_free char *reason = xasprintf("dispatcher %s has claimed it", standing->who);
		if (told || json_object_get(g->cancelled, now->id))
			say_gone(g, now->id, false, true, reason);
		json_object_del(g->cancelled, now->id);
	} else if (!told || !known_as(told, "blob", &now->action.oid) || json_object_get(g->ledger.moved, now->id)) {
		json_object_set_new(f->ids, now->id, json_true());
	}
}

/* before: nothing on each side at the first scan; NULL: not known */
static int on_change(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	struct found *f = arg;
	struct git_state *g = f->g;
	struct ledger_standing standing;

	if ((g->args->only && strcmp(g->args->only, now->id) != 0) || record_has(g, now->id))
		return 0;
	if (ledger_status(g, now->id, &standing, err) < 0 || compare(f, before, now, err) < 0)
		return -1;
	if (now->result.there)
		return on_result(f, now, &standing, err);
	on_action(f, now, &standing);
	return 0;
}

/* What changed hands in the ledger, whatever happened on the branch. */
static int on_moved(struct found *f, struct err *err)
{
	struct git_state *g = f->g;
	const char *id;
	json_t *value;

	json_object_foreach (g->ledger.moved, id, value) {
		struct ops_item now;
		if (ops_item(g->repo, &g->tip, id, &now, err) < 0 || on_change(NULL, &now, f, err) != 0)
			return -1;
	}
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

/* Why an action that is sound in itself can't run all the same; *ret stays NULL where nothing is in its way. Caller frees. */
static int why_taken(struct git_state *g, const char *id, const struct ledger_standing *standing, bool *ret_backlog, char **ret,
                     struct err *err)
{
	struct ops_item item;
	enum ledger_old old = LEDGER_NEW;

	if (ops_item(g->repo, &g->tip, id, &item, err) < 0)
		return -1;
	if (g->ledger.on && item.result.there) {
		cleanup_free char *path = vault_result_path(id);
		*ret = xasprintf(
		    "a result that no dispatcher recorded stands at %s; find out who wrote it, and propose the action again under a new id",
		    path);
	} else if (ops_past_removed(g->past, id) || standing->status == LEDGER_FINISHED) {
		*ret = xstrdup(REMOVED_WAIT);
	} else if (standing->status == LEDGER_NOBODY && g->ledger.has_origin && !g->ledger.origin.accepted) {
		if (ledger_is_old(g, id, &old, err) < 0)
			return -1;
		*ret_backlog = old == LEDGER_OLD_ACTION;
		*ret = *ret_backlog ? xstrdup(BACKLOG_WAIT) : NULL;
	}
	return 0;
}

/* The judgement of what no file says by itself. */
static int judge(struct git_state *g, const struct ops_landing *l, const struct ops_action *a, struct judgement *ret, struct err *err)
{
	if (a->wait || a->refuse) {
		ret->wait = a->wait ? clean_text(a->wait) : NULL;
		ret->refuse = a->wait ? NULL : clean_text(a->refuse);
		return 0;
	}
	return judge_action(g, l, a, ret, err);
}

/* What core knows of an action, as far as it matters for whether it is to be told again. */
static json_t *telling(const char *blob, const char *commit, const struct judgement *v, int attempt, bool backlog)
{
	return json_pack("{s:s, s:s, s:s?, s:i, s:b}", "blob", blob, "commit", commit, "wait", v->wait, "attempt", attempt, "backlog",
	                 backlog);
}

static int announce_one(struct git_state *g, const struct ops_landing *l, struct err *err)
{
	cleanup_ops_action struct ops_action a = OPS_ACTION_INIT;
	cleanup_judgement struct judgement v = JUDGEMENT_INIT;
	struct ledger_standing standing;
	bool backlog = false;
	if (ops_read_action(g->repo, &g->tip, &l->commit, l->id, &a, err) < 0 || ops_names_check(g->names, &g->tip, &a, err) < 0 ||
	    ledger_status(g, l->id, &standing, err) < 0 || why_taken(g, l->id, &standing, &backlog, &v.wait, err) < 0 ||
	    (!v.wait && judge(g, l, &a, &v, err) < 0))
		return -1;
	char commit[GIT_OID_HEXSZ + 1], blob[GIT_OID_HEXSZ + 1];
	git_oid_tostr(commit, sizeof(commit), &l->commit);
	git_oid_tostr(blob, sizeof(blob), &a.blob);
	json_t *now = telling(blob, commit, &v, standing.attempt, backlog);
	if (json_equal(json_object_get(g->announced, l->id), now)) {
		json_decref(now);
		return 0;
	}
	json_t *body =
	    msg_new(MSG_LANDED, "{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:o, s:i, s:b, s:s?, s:s?}", "id", l->id, "commit", commit,
	            "action_blob", blob, "action", a.text, "formula_name", a.formula_name, "formula_blob",
	            a.formula_text ? git_oid_tostr_s(&a.formula_blob) : NULL, "formula", a.formula_text, "secrets", secrets_json(&a),
	            "attempt", standing.attempt, "claimed", standing.status == LEDGER_OURS, "refuse", v.refuse, "wait", v.wait);
	set_text(body, "tier", v.tier);
	set_text(body, "policy_blob", v.policy_blob);
	set_text(body, "approval_mode", v.mode);
	set_text(body, "approval_by", v.by);
	tell_core(g, body);
	json_object_set_new(g->announced, l->id, now);
	return g->core_gone ? err_set(err, ERR_UNREACHABLE, "core is gone") : 0;
}

int announced_backlog(const struct git_state *g)
{
	const char *id;
	json_t *told;
	int n = 0;

	json_object_foreach (g->announced, id, told) {
		n += json_is_true(json_object_get(told, "backlog"));
	}
	return n;
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
	__attribute__((cleanup(found_free))) struct found none = {g, json_object(), NULL};
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
	if (ops_scan(g->repo, g->has_scanned ? &g->scanned : NULL, &g->tip, on_change, &f, err) < 0 || on_moved(&f, err) < 0)
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
	json_object_clear(g->ledger.moved);
	return 0;
}
