/*
 * What waits for a human: the branches vault/<id> whose action has not landed, each judged as it would be after its merge. Looked at when a branch or the tip moved,
 * some at a time and after everything else, since whoever may push a branch makes work here. What a branch brings is bounded before it is fetched.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/approval/candidate.h"

#include <string.h>

#define SHOWN_MAX 500      /* the rest is counted */
#define LOOK_MAX 16        /* at one go */
#define FETCH_MAX 64       /* likewise */
#define AGAIN_MS 5000      /* after a fetch that failed */
#define QUICK_MS 250       /* a fetch that takes longer is followed by a pause of eight times as long */
#define JUDGE_ALL_MS 60000 /* how often all are judged anew while the tip moves */
#define PULLS_FIRST_MS 3000
#define PULLS_MOST_MS 300000
#define TEXT_MAX 300 /* characters of a text that somebody else wrote */

struct pending {
	json_t *heads; /* id -> head on the server */
	json_t *rows;  /* id -> row for people, of the head that stands in it */
	json_t *pulls; /* branch -> {number, url, author} */
	bool moved;    /* rows may be out of date */
	bool single;   /* a fetch of many failed: one at a time, to see which it is */
	int64_t look_at_ms, judge_all_at_ms;
	int64_t fetch_at_ms; /* not before: fetches of proposals get a share of the loop's time, however slow their branches are */
	size_t total;
	char *said;
	/* of requests at the forge */
	bool asking;
	int pulls_wait_ms; /* until they are asked for again; 0: no need */
	int64_t pulls_at_ms;
};

void pending_init(struct git_state *g)
{
	struct pending *p = xcalloc(1, sizeof *p);

	p->heads = json_object();
	p->rows = json_object();
	p->pulls = json_object();
	g->pending = p;
}

void pending_free(struct git_state *g)
{
	json_decref(g->pending->heads);
	json_decref(g->pending->rows);
	json_decref(g->pending->pulls);
	free(g->pending->said);
	free(g->pending);
}

static void moved(struct pending *p)
{
	p->moved = true;
	p->look_at_ms = 0;
}

static void ask_for_pulls(struct pending *p)
{
	p->pulls_wait_ms = PULLS_FIRST_MS;
	p->pulls_at_ms = 0;
}

void pending_refs(struct git_state *g, const struct git_refs *refs)
{
	struct pending *p = g->pending;
	cleanup_json json_t *heads = json_object();

	for (size_t i = 0; i < refs->n; i++) {
		const char *name = refs->v[i].name, *id = name + strlen(PROPOSAL_REFS);
		if (strncmp(name, PROPOSAL_REFS, strlen(PROPOSAL_REFS)) == 0 && vault_is_id(id))
			json_object_set_new(heads, id, json_string(git_oid_tostr_s(&refs->v[i].oid)));
	}
	if (json_equal(heads, p->heads))
		return;
	json_decref(p->heads);
	p->heads = steal_ptr(&heads);
	moved(p);
	ask_for_pulls(p);
}

void pending_tip(struct git_state *g)
{
	struct pending *p = g->pending;
	int64_t now = now_mono_ms();

	if (json_object_size(p->heads) == 0)
		return;
	if (g->policy_moved || now >= p->judge_all_at_ms) {
		json_object_clear(p->rows);
		p->judge_all_at_ms = now + JUDGE_ALL_MS;
	}
	moved(p);
}

static bool can_look(const struct git_state *g)
{
	return g->remembered && g->repo && g->has_tip && policy_history_tip(g->policies);
}

static bool wants_pulls(const struct git_state *g)
{
	const struct pending *p = g->pending;
	return g->args->config->approval.forge_url && !p->asking && p->pulls_wait_ms && json_object_size(p->rows) > 0;
}

int64_t pending_at_ms(const struct git_state *g)
{
	const struct pending *p = g->pending;
	int64_t at = p->moved ? p->look_at_ms : INT64_MAX;

	if (!can_look(g))
		return INT64_MAX;
	if (at < p->fetch_at_ms)
		at = p->fetch_at_ms;
	return wants_pulls(g) && p->pulls_at_ms < at ? p->pulls_at_ms : at;
}

/* ---- looking ---- */

/* The first bytes of a text that are whole characters. Caller frees; NULL for NULL. */
static char *cut(const char *s)
{
	size_t at = 0, len = s ? strlen(s) : 0;
	uint32_t c;

	for (size_t n = 0; n < TEXT_MAX && at < len; n++) {
		size_t size = text_decode(s + at, len - at, &c);
		if (size == 0)
			break;
		at += size;
	}
	return s ? xasprintf("%.*s%s", (int)at, s, at < len ? "…" : "") : NULL;
}

static void cut_member(json_t *row, const char *key)
{
	cleanup_free char *text = cut(json_text(row, key));

	if (text)
		json_object_set_new(row, key, json_string(text));
}

/* Those that wait: not landed, and of many the first. Caller owns. */
static json_t *waiting(struct git_state *g)
{
	struct pending *p = g->pending;
	const struct judging by = {.git = g->repo, .tip = g->tip};
	json_t *list = json_array(), *head;
	const char *id;

	p->total = 0;
	json_object_foreach (p->heads, id, head) {
		if (candidate_has_landed(&by, id))
			continue;
		if (p->total++ < SHOWN_MAX)
			json_array_append_new(list, json_string(id));
	}
	return list;
}

static bool is_fresh(const struct pending *p, const char *id)
{
	const json_t *row = json_object_get(p->rows, id);
	return row && json_equal(json_object_get(row, "head"), json_object_get(p->heads, id));
}

static bool head_of(const struct pending *p, const char *id, git_oid *ret)
{
	const char *hex = json_text(p->heads, id);
	return hex && git_oid_fromstr(ret, hex) == 0;
}

static bool is_here(struct git_state *g, const git_oid *head)
{
	cleanup_git(git_odb) git_odb *odb = NULL;
	return git_repository_odb(&odb, g->repo) == 0 && git_odb_exists(odb, head);
}

static void put_problem(struct pending *p, const char *id, const char *problem)
{
	json_object_set_new(
	    p->rows, id,
	    json_pack("{s:s, s:O, s:s, s:[]}", "id", id, "head", json_object_get(p->heads, id), "problem", problem, "secrets"));
}

struct git_place pending_place(const struct git_state *g)
{
	struct git_place place = g->place;

	ops_bound(&place);
	return place;
}

/* -1: not now. */
static int fetch(struct git_state *g, const json_t *ids, size_t n)
{
	struct pending *p = g->pending;
	struct git_fetch_spec specs[FETCH_MAX + 1] = {{NULL, NULL}};
	const struct git_place place = pending_place(g);
	cleanup_err struct err why = ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		const char *id = json_string_value(json_array_get(ids, i));
		specs[i] = (struct git_fetch_spec){xasprintf(PROPOSAL_REFS "%s", id), xasprintf(PROPOSED_REFS "%s", id)};
	}
	git_alive(g);
	int64_t begun = now_mono_ms();
	int rc = git_fetch(g->repo, &place, specs, &why);
	int64_t end = now_mono_ms(), took = end - begun;
	p->fetch_at_ms = took > QUICK_MS ? end + 8 * took : end;
	g->additions++;
	for (size_t i = 0; i < n; i++) {
		free((char *)(uintptr_t)specs[i].src);
		free((char *)(uintptr_t)specs[i].dst);
	}
	if (rc == 0)
		return 0;
	log_info("proposals can't be fetched", "reason", err_msg(&why), NULL);
	if (n == 1 && why.code != ERR_UNREACHABLE) {
		cleanup_free char *said = clean_text(err_msg(&why)), *problem = xasprintf("its branch can't be fetched: %s", said);
		put_problem(p, json_string_value(json_array_get(ids, 0)), problem);
		return 0;
	}
	p->single = true;
	return n == 1 ? -1 : 0;
}

static void judge_one(struct git_state *g, const char *id, const git_oid *head)
{
	const struct judging by = {
	    .git = g->repo, .tip = g->tip, .config = g->args->config, .in_force = policy_history_in_force(g->policies), .watched = true};
	json_t *row = candidate_row(&by, id, head);

	if (!row) { /* what cannot be said in JSON */
		put_problem(g->pending, id, "it holds what is no text");
		return;
	}
	cut_member(row, "context");
	cut_member(row, "problem");
	cut_member(row, "by");
	json_object_set_new(g->pending->rows, id, row);
}

/* Some of those whose rows are out of date. 1: all is done; 0: there are more; -1: not now. */
static int look_at(struct git_state *g, const json_t *ids)
{
	struct pending *p = g->pending;
	cleanup_json json_t *missing = json_array();
	size_t i, judged = 0;
	json_t *one;
	git_oid head;

	json_array_foreach (ids, i, one) {
		const char *id = json_string_value(one);
		if (is_fresh(p, id) || !head_of(p, id, &head))
			continue;
		if (!is_here(g, &head)) {
			json_array_append(missing, one);
		} else {
			judge_one(g, id, &head);
			if (++judged == LOOK_MAX)
				return 0;
		}
	}
	size_t n = json_array_size(missing), most = p->single ? 1 : FETCH_MAX;
	if (n == 0)
		return 1;
	if (now_mono_ms() < p->fetch_at_ms)
		return 0;
	return fetch(g, missing, n < most ? n : most);
}

/* ---- telling ---- */

static void drop_others(struct pending *p, const json_t *ids)
{
	cleanup_json json_t *kept = json_object();
	size_t i;
	json_t *id;

	json_array_foreach (ids, i, id)
		if (json_object_get(p->rows, json_string_value(id)))
			json_object_set(kept, json_string_value(id), json_object_get(p->rows, json_string_value(id)));
	json_decref(p->rows);
	p->rows = steal_ptr(&kept);
}

static void say(struct git_state *g)
{
	struct pending *p = g->pending;
	json_t *list = json_array(), *row, *shown;
	const char *id;

	json_object_foreach (p->rows, id, row) {
		cleanup_free char *branch = xasprintf("vault/%s", id);
		json_t *pull = json_object_get(p->pulls, branch);
		shown = json_copy(row);
		json_object_set_new(shown, "pull", pull ? json_incref(pull) : json_null());
		json_array_append_new(list, shown);
	}
	json_t *body = msg_new(MSG_PENDING, "{s:I, s:o}", "total", (json_int_t)p->total, "pending", list);
	char *text = json_compact(body);
	if (p->said && strcmp(p->said, text) == 0) {
		free(text);
		json_decref(body);
		return;
	}
	free(p->said);
	p->said = text;
	tell_core(g, body);
}

void pending_look(struct git_state *g)
{
	struct pending *p = g->pending;

	if (!can_look(g))
		return;
	if (wants_pulls(g) && p->pulls_at_ms <= now_mono_ms()) {
		p->asking = true;
		errands_send(g->errands, errand_new(ERRAND_PULLS, "", -1));
	}
	if (!p->moved)
		return;
	cleanup_json json_t *ids = waiting(g);
	int rc = look_at(g, ids);
	drop_others(p, ids);
	p->look_at_ms = rc < 0 ? now_mono_ms() + AGAIN_MS : 0;
	p->moved = rc <= 0;
	if (!p->moved)
		p->single = false;
	if (rc != 0)
		say(g);
}

bool pending_head(const struct git_state *g, const char *id, git_oid *ret)
{
	return head_of(g->pending, id, ret);
}

void pending_set(struct git_state *g, const char *id, const git_oid *head)
{
	struct pending *p = g->pending;

	if (head)
		json_object_set_new(p->heads, id, json_string(git_oid_tostr_s(head)));
	else
		json_object_del(p->heads, id);
	moved(p);
	pending_look(g);
}

/* ---- their requests ---- */

static void put_pull(json_t *pulls, const struct forge_pull *pull)
{
	cleanup_free char *url = cut(pull->url), *author = cut(pull->author);

	if (strncmp(pull->branch, "vault/", 6) == 0)
		json_object_set_new(pulls, pull->branch,
		                    json_pack("{s:I, s:s, s:s}", "number", (json_int_t)pull->number, "url", url, "author", author));
}

void pending_pull(struct git_state *g, const struct forge_pull *pull)
{
	put_pull(g->pending->pulls, pull);
	say(g);
}

/* Whether each proposal has its request. A branch is there a moment before its request. */
static bool are_complete(const struct pending *p)
{
	const char *id;
	json_t *row;

	json_object_foreach (p->rows, id, row) {
		cleanup_free char *branch = xasprintf("vault/%s", id);
		if (!json_object_get(p->pulls, branch))
			return false;
	}
	return true;
}

void pending_pulls(struct git_state *g, const struct errand *errand)
{
	struct pending *p = g->pending;

	p->asking = false;
	if (errand->rc == 0) {
		json_object_clear(p->pulls);
		for (size_t i = 0; i < errand->pulls.n; i++)
			put_pull(p->pulls, &errand->pulls.v[i]);
		say(g);
	}
	p->pulls_at_ms = now_mono_ms() + p->pulls_wait_ms;
	p->pulls_wait_ms = errand->rc == 0 && are_complete(p)     ? 0
	                   : p->pulls_wait_ms * 2 < PULLS_MOST_MS ? p->pulls_wait_ms * 2
	                                                          : PULLS_MOST_MS;
}
