/*
 * What is to be written into the ledger: looked at by the tip, committed together, pushed without force. That the server takes a push only if the tip is still the one that was
 * looked at is what makes a claim a lock.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"

#include <string.h>
#include <time.h>

#define BATCH_MAX 512   /* entries in one commit */
#define REBUILDS_MAX 32 /* lost races before the next pause */
#define SPACING_LEAST_MS 50
#define SPACING_MOST_MS 500
#define DONE_WAIT_MS 500
#define WAITING_MS 500 /* for what has to come before an entry */
#define RETRY_FIRST_MS 250
#define RETRY_MOST_MS 30000

/* ---- the queue ---- */

static void drop(struct git_state *g, struct ledger_entry *e)
{
	TAILQ_REMOVE(&g->ledger.entries, e, link);
	json_decref(e->mine);
	free(e);
}

void ledger_add(struct git_state *g, const struct ledger_entry *e)
{
	struct ledger_entry *old, *next;

	for (old = TAILQ_FIRST(&g->ledger.entries); old; old = next) {
		next = TAILQ_NEXT(old, link);
		if (old->kind == e->kind && old->ask == e->ask && strcmp(old->id, e->id) == 0)
			drop(g, old);
	}
	struct ledger_entry *copy = xmalloc(sizeof(*copy));
	*copy = *e;
	copy->added_ms = now_mono_ms();
	copy->sent = false;
	TAILQ_INSERT_TAIL(&g->ledger.entries, copy, link);
}

bool ledger_has(const struct git_state *g, enum ledger_kind kind, const char *id)
{
	const struct ledger_entry *e;

	TAILQ_FOREACH (e, &g->ledger.entries, link)
		if (e->kind == kind && strcmp(e->id, id) == 0)
			return true;
	return false;
}

/* ---- answers ---- */

static void claimed(struct git_state *g, struct ledger_entry *e)
{
	tell_core(g, msg_new(MSG_CLAIMED, "{s:s, s:i, s:s}", "id", e->id, "attempt", e->claim.attempt, "nonce", e->claim.nonce));
	drop(g, e);
}

static void claim_lost(struct git_state *g, struct ledger_entry *e, bool is_finished, const char *reason)
{
	cleanup_free char *clean = clean_text(reason);
	tell_core(g, msg_new(MSG_CLAIM_LOST, "{s:s, s:i, s:s, s:b, s:s}", "id", e->id, "attempt", e->claim.attempt, "nonce", e->claim.nonce,
	                     "ok", is_finished, "reason", clean));
	json_object_del(g->announced, e->id); /* core forgets it; a rerun makes it land again */
	drop(g, e);
}

static void finished(struct git_state *g, struct ledger_entry *e)
{
	record_finished(g, e->id, e->ask, &e->done.commit);
	drop(g, e);
}

static void decided(struct git_state *g, struct ledger_entry *e, const char *trouble)
{
	say_decided(g, e->ask, trouble);
	drop(g, e);
}

/* Our commit stands on the server. */
static void won_entry(struct git_state *g, struct ledger_entry *e)
{
	ledger_know(g, e);
	switch (e->kind) {
	case LEDGER_CLAIM:
		claimed(g, e);
		break;
	case LEDGER_FINISH:
		finished(g, e);
		break;
	case LEDGER_RERUN:
		json_object_set_new(g->ledger.moved, e->id, json_true());
		g->poll_at_ms = 0;
		decided(g, e, NULL);
		break;
	case LEDGER_BACKLOG:
	default:
		g->judge_again = true;
		g->judge_at_ms = g->poll_at_ms = 0;
		decided(g, e, NULL);
		break;
	}
}

/* ---- one entry at the tip ---- */

/* The commit in the making. */
struct draft {
	struct git_change *changes; /* paths and contents owned */
	size_t n, cap;
	size_t claims, done;
};

static void draft_free(struct draft *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free((char *)(uintptr_t)d->changes[i].path);
		free((char *)(uintptr_t)d->changes[i].content);
	}
	free(d->changes);
}

/* Takes path and text. */
static void put(struct draft *d, char *path, char *text)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 16;
		d->changes = xrealloc(d->changes, d->cap * sizeof(*d->changes));
	}
	d->changes[d->n++] = (struct git_change){path, text, strlen(text)};
}

/* Whether the commit in the making says something of an action's claim already: two things can't be said of one at once. */
static bool is_drafted(const struct draft *d, const char *id)
{
	cleanup_free char *path = ledger_claim_path(id);

	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->changes[i].path, path) == 0)
			return true;
	return false;
}

static bool is_mine(const struct ledger_entry *e, const char *nonce)
{
	size_t i;
	json_t *one;

	json_array_foreach (e->mine, i, one) {
		if (json_is_string(one) && strcmp(json_string_value(one), nonce) == 0)
			return true;
	}
	return false;
}

/* 0; 1: there is none; 2: it makes no sense, in `why`; -1: the repository can't be read. */
static int read_claim(struct git_state *g, const char *id, struct ledger_claim *ret, struct err *why, struct err *err)
{
	int rc = ledger_read_claim(g, id, ret, why);
	if (rc >= 0)
		return rc;
	if (why->code == ERR_INVALID)
		return 2;
	err_move(err, why);
	return -1;
}

/* Why the claim that stands can't be replaced by ours; NULL: it can. Caller frees. */
static char *why_lost(const struct git_state *g, const struct ledger_entry *e, const struct ledger_claim *at)
{
	if (at->free)
		return at->attempt == e->claim.attempt ? NULL : xasprintf("attempt %d of it is to be made now", at->attempt);
	if (is_mine(e, at->nonce))
		return at->attempt <= e->claim.attempt ? NULL : xasprintf("attempt %d of it was claimed since", at->attempt);
	if (strcmp(at->dispatcher, g->args->dispatcher_id) == 0)
		return xasprintf("it was claimed by an earlier life of this dispatcher that this spool knows nothing of; whether it ran is "
		                 "for people to find out, then: "
		                 "disinto settle %s lost|rerun",
		                 e->id);
	return xasprintf("dispatcher %s has claimed it", at->dispatcher);
}

/* Another life of ours, or an operator elsewhere, came as far as the result: that one counts, and only its done entry is missing. 1: so it is; 0; -1. */
static int result_stands(struct git_state *g, struct ledger_entry *e, const struct ledger_claim *at, struct err *err)
{
	struct ops_item item;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_buf struct buf same = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	if (at->free || strcmp(at->dispatcher, g->args->dispatcher_id) != 0)
		return 0;
	if (ops_item(g->repo, &g->tip, e->id, &item, err) < 0)
		return -1;
	if (!item.result.there || record_is_of_claim(g, &item.result.oid, e->claim.nonce, "", &same) ||
	    !record_is_of_claim(g, &item.result.oid, at->nonce, at->dispatcher, &text) || record_add(g, e->id, text.data, -1, &why) < 0)
		return 0;
	claim_lost(g, e, false, "its result stands already, by another life of this dispatcher or by an operator");
	return 1;
}

/* 1: it is in the draft; 0: it was answered, or has to wait; -1. */
static int look_at_claim(struct git_state *g, struct ledger_entry *e, struct draft *d, struct err *err)
{
	struct ledger_claim at;
	struct ledger_done done;
	cleanup_err struct err why = ERR_INIT;

	int is_done = ledger_read_done(g, e->id, &done, &why);
	if (is_done < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	if (is_done != 1) {
		claim_lost(g, e, is_done == 0, "it is finished, by the ledger");
		return 0;
	}
	/* An operator has settled it, and what he said is on its way. */
	if (record_has_other(g, e->id, e->claim.nonce) || is_drafted(d, e->id))
		return 0;
	err_clear(&why);
	int rc = read_claim(g, e->id, &at, &why, err);
	if (rc < 0)
		return -1;
	cleanup_free char *lost = rc == 0 ? why_lost(g, e, &at) : rc == 2 ? xstrdup(err_msg(&why)) : NULL;
	if (rc == 0 && !at.free && strcmp(at.nonce, e->claim.nonce) == 0) {
		claimed(g, e); /* it stands, ours or by a push that came through after all */
		return 0;
	}
	int standing = rc == 0 ? result_stands(g, e, &at, err) : 0;
	if (standing != 0)
		return standing < 0 ? -1 : 0;
	if (lost) {
		claim_lost(g, e, false, lost);
		return 0;
	}
	memcpy(e->claim.incarnation, g->ledger.incarnation, sizeof(e->claim.incarnation));
	e->claim.time = (int64_t)time(NULL);
	put(d, ledger_claim_path(e->id), ledger_claim_text(&e->claim));
	d->claims++;
	return 1;
}

static int look_at_finish(struct git_state *g, struct ledger_entry *e, struct draft *d, struct err *err)
{
	struct ledger_claim at;
	struct ledger_done done;
	cleanup_err struct err why = ERR_INIT;

	int rc = ledger_read_done(g, e->id, &done, &why);
	if (rc < 0 && why.code != ERR_INVALID) {
		err_move(err, &why);
		return -1;
	}
	if (rc == 0 && strcmp(done.digest, e->done.digest) == 0) {
		finished(g, e);
		return 0;
	}
	if (rc != 1) {
		record_superseded(g, e->id, e->ask, "the ledger says that another result was recorded");
		drop(g, e);
		return 0;
	}
	err_clear(&why);
	rc = read_claim(g, e->id, &at, &why, err);
	if (rc < 0)
		return -1;
	if (rc == 1) /* it ran when there was no ledger */
		put(d, ledger_claim_path(e->id), ledger_claim_text(&e->claim));
	put(d, ledger_done_path(e->id), ledger_done_text(&e->done));
	d->done++;
	return 1;
}

static int look_at_rerun(struct git_state *g, struct ledger_entry *e, struct draft *d, struct err *err)
{
	cleanup_free char *no = NULL;
	int rc = decide_claim(g, e->id, &e->claim, &no, err);

	if (rc < 0)
		return -1;
	if (!no && is_drafted(d, e->id))
		no = xstrdup("it is being started here just now; cancel it first, or ask again");
	if (no || e->claim.free) {
		decided(g, e, no);
		return 0;
	}
	e->claim.free = true;
	e->claim.attempt++;
	put(d, ledger_claim_path(e->id), ledger_claim_text(&e->claim));
	return 1;
}

static int look_at_backlog(struct git_state *g, struct ledger_entry *e, struct draft *d, struct err *err)
{
	struct ledger_origin origin = {.accepted = true};
	int rc = ledger_read_origin(g, &origin, err);

	if (rc < 0)
		return -1;
	if (rc == 1 || origin.accepted) {
		decided(g, e, NULL);
		return 0;
	}
	origin.accepted = true;
	put(d, xstrdup(LEDGER_ORIGIN), ledger_origin_text(&origin));
	return 1;
}

static int look_at(struct git_state *g, struct ledger_entry *e, struct draft *d, struct err *err)
{
	switch (e->kind) {
	case LEDGER_CLAIM:
		return look_at_claim(g, e, d, err);
	case LEDGER_FINISH:
		return look_at_finish(g, e, d, err);
	case LEDGER_RERUN:
		return look_at_rerun(g, e, d, err);
	case LEDGER_BACKLOG:
	default:
		return look_at_backlog(g, e, d, err);
	}
}

/* ---- reading ---- */

int ledger_read_again(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	struct git_refs refs = {NULL, 0};
	const git_oid *branch, *tip;
	int64_t begun = now_mono_ms();

	if (poll_refs(g, &refs, &branch, &tip, err) < 0)
		return -1;
	l->there = tip != NULL;
	bool moved = tip && !(l->has_tip && git_oid_equal(tip, &l->tip));
	git_refs_free(&refs);
	if (!l->there)
		return err_set(err, ERR_NOT_FOUND, "the ops repo has no branch " LEDGER_BRANCH);
	if (moved && clone_fetch(g, false, true, err) < 0)
		return -1;
	l->read_ms = begun;
	if (history_check(g, err) < 0)
		return -1;
	return l->trouble ? err_set(err, ERR_INVALID, "%s", l->trouble) : 0;
}

/* Settles what became of a push that nobody answered. 1: the same commit has to be pushed again; 0: settled. */
static int settle(struct git_state *g, struct err *err)
{
	struct doubt *d = &g->ledger.doubt;

	if (!d->on)
		return 0;
	if (ledger_read_again(g, err) < 0)
		return -1;
	if (git_oid_equal(&g->ledger.tip, &d->base))
		return 1;
	d->on = false; /* it stands there now, and is found by looking; or it never will, since its base is history */
	return 0;
}

/* A claim is made, and a done entry written, only with a view of the branch that holds every result with a done entry. */
static int check_view(struct git_state *g, struct err *err)
{
	struct ledger *l = &g->ledger;
	git_oid view;

	int rc = ledger_read_view(g, &view, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (l->has_view_known && git_oid_equal(&view, &l->view_known))
		return 0;
	if (!history_has(g, &view) && clone_fetch(g, true, false, err) < 0)
		return -1;
	if (!history_has(g, &view))
		return err_set(
		    err, ERR_INVALID,
		    "results are recorded at %.10s, which the server's %s does not hold: it shows an older state, or was rewritten",
		    git_oid_tostr_s(&view), g->args->config->branch);
	l->view_known = view;
	l->has_view_known = true;
	l->view_accepted = false;
	return 0;
}

/* ---- writing ---- */

static char *message_of(const struct draft *d)
{
	cleanup_buf struct buf text = BUF_INIT;

	buf_adds(&text, "ledger:");
	if (d->claims)
		buf_addf(&text, " %zu claim%s", d->claims, d->claims == 1 ? "" : "s");
	if (d->done)
		buf_addf(&text, "%s %zu done", d->claims ? "," : "", d->done);
	if (!d->claims && !d->done)
		buf_adds(&text, " kept");
	buf_addc(&text, '\n');
	return buf_steal(&text);
}

/* Everything that can be written at this tip. Entries that stand there already, or can't be had, are answered. */
static int fill(struct git_state *g, struct draft *d, struct err *err)
{
	struct ledger_entry *e, *next;
	int life = life_check(g, err);

	if (life < 0)
		return -1;
	for (e = TAILQ_FIRST(&g->ledger.entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		e->sent = false;
		if (d->n >= BATCH_MAX)
			continue;
		int rc = look_at(g, e, d, err);
		if (rc < 0)
			return -1;
		if (rc == 1)
			e->sent = true;
	}
	if (life == 1) {
		struct ledger_life ours = {.time = (int64_t)time(NULL)};
		memcpy(ours.incarnation, g->ledger.incarnation, sizeof(ours.incarnation));
		put(d, ledger_life_path(g->args->dispatcher_id), ledger_life_text(&ours));
	}
	if (d->claims || d->done) {
		if (check_view(g, err) < 0)
			return -1;
		if (d->done)
			put(d, xstrdup(LEDGER_VIEW), ledger_view_text(&g->tip));
	}
	return 0;
}

static int won(struct git_state *g, const git_oid *commit, struct err *err)
{
	struct ledger *l = &g->ledger;
	struct ledger_entry *e, *next;
	bool known = l->has_scanned && git_oid_equal(&l->scanned, &l->tip);

	l->doubt.on = false;
	if (clone_set_tip(g, LEDGER_TIP_REF, commit, err) < 0)
		return -1;
	l->read_ms = now_mono_ms();
	for (e = TAILQ_FIRST(&l->entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->sent)
			won_entry(g, e);
	}
	if (known)
		l->scanned = *commit;
	life_written(g);
	return 0;
}

static void space_out(struct ledger *l, int64_t begun)
{
	int64_t spacing = 2 * (now_mono_ms() - begun);
	spacing = spacing < SPACING_LEAST_MS ? SPACING_LEAST_MS : spacing > SPACING_MOST_MS ? SPACING_MOST_MS : spacing;
	l->spaced_ms = begun + spacing;
}

/* Pushes a commit. 1: won; 0: look again; -1: not now. */
static int push(struct git_state *g, const git_oid *commit, struct err *err)
{
	struct ledger *l = &g->ledger;
	cleanup_err struct err why = ERR_INIT;
	git_oid base = l->tip;

	git_alive(g);
	int64_t begun = now_mono_ms();
	enum git_push_outcome pushed = git_push_ref(g->repo, &g->place, &base, commit, LEDGER_REF, &why);
	space_out(l, begun);
	switch (pushed) {
	case GIT_PUSH_WON:
		return won(g, commit, err) < 0 ? -1 : 1;
	case GIT_PUSH_UNKNOWN:
		l->doubt = (struct doubt){.on = true, .commit = *commit, .base = base};
		break;
	case GIT_PUSH_LOST:
	default:
		l->doubt.on = false;
		break;
	}
	if (ledger_read_again(g, err) == 0 && !git_oid_equal(&base, &l->tip))
		return 0;
	/* A tip that did not move was not what stood in the way. */
	err_clear(err);
	err_move(err, &why);
	return -1;
}

/* A claim that stands already, as far as we know: only what the server says from now on confirms it. */
static bool must_confirm(const struct git_state *g, const struct ledger_entry *e)
{
	const char *nonce = json_string_value(json_object_get(json_object_get(g->ledger.open, e->id), "nonce"));
	return e->kind == LEDGER_CLAIM && nonce && strcmp(nonce, e->claim.nonce) == 0 && e->added_ms > g->ledger.read_ms;
}

/* 2: nothing is left that can be done now; 1: pushed; 0: look again; -1: not now. */
static int push_once(struct git_state *g, struct err *err)
{
	__attribute__((cleanup(draft_free))) struct draft d = {.n = 0};
	struct ledger_entry *e;
	git_oid commit;

	int rc = settle(g, err);
	if (rc < 0)
		return -1;
	if (rc == 1) {
		commit = g->ledger.doubt.commit;
		return push(g, &commit, err);
	}
	TAILQ_FOREACH (e, &g->ledger.entries, link)
		if (must_confirm(g, e) && ledger_read_again(g, err) < 0)
			return -1;
	if (fill(g, &d, err) < 0)
		return -1;
	if (d.n == 0)
		return 2;
	cleanup_free char *message = message_of(&d);
	if (clone_commit(g, &g->ledger.tip, d.changes, d.n, message, &commit, err) < 0)
		return -1;
	return push(g, &commit, err);
}

static int push_all(struct git_state *g, struct err *err)
{
	for (int i = 0; i < REBUILDS_MAX && ledger_due(g) && !g->core_gone;) {
		int rc = push_once(g, err);
		if (rc < 0)
			return -1;
		if (rc == 2)
			return 0;
		i += rc == 0;
	}
	return ledger_due(g) ? err_set(err, ERR_FAIL, "others push to " LEDGER_BRANCH " all the time") : 0;
}

/* An operator waits for an answer; what is not done now is asked for again. */
static void answer_asks(struct git_state *g, const char *trouble)
{
	struct ledger_entry *e, *next;

	for (e = TAILQ_FIRST(&g->ledger.entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->kind == LEDGER_RERUN || e->kind == LEDGER_BACKLOG)
			decided(g, e, trouble);
	}
}

bool ledger_due(const struct git_state *g)
{
	const struct ledger *l = &g->ledger;
	return l->on && !l->stranger && *l->incarnation && (!TAILQ_EMPTY(&l->entries) || l->doubt.on || !l->incarnated);
}

bool ledger_ready(const struct git_state *g)
{
	return ledger_due(g) && g->repo && g->has_tip && g->ledger.has_tip && !g->frozen;
}

/* A push costs the server more than an entry costs us, so entries wait for others, while there are runs that may bring some. Claims, which hold up a container that is
 * ready, so long that pushes take half of the time at most; done entries, for which nobody waits but those that clean up, half a second. An operator's order does not wait. */
int64_t ledger_push_at_ms(const struct git_state *g)
{
	const struct ledger *l = &g->ledger;
	const struct ledger_entry *e, *first = TAILQ_FIRST(&l->entries);
	size_t claims = 0, orders = 0;

	TAILQ_FOREACH (e, &l->entries, link) {
		claims += e->kind == LEDGER_CLAIM;
		orders += e->kind != LEDGER_CLAIM && e->kind != LEDGER_FINISH;
	}
	int64_t at = 0;
	if (first && !orders && !l->doubt.on && l->incarnated && json_object_size(g->announced) > claims)
		at = claims ? l->spaced_ms : first->added_ms + DONE_WAIT_MS;
	return at > l->push_at_ms ? at : l->push_at_ms;
}

void ledger_flush(struct git_state *g)
{
	struct ledger *l = &g->ledger;
	cleanup_err struct err err = ERR_INIT;

	int rc = push_all(g, &err);
	if (json_object_size(l->moved) > 0)
		g->poll_at_ms = 0; /* somebody else's entries were read on the way: tell core what they mean */
	free(l->push_trouble);
	l->push_trouble = NULL;
	if (rc == 0) {
		l->backoff.failures = 0;
		l->push_at_ms = TAILQ_EMPTY(&l->entries) ? 0 : now_mono_ms() + WAITING_MS;
	} else {
		l->push_trouble = xstrdup(err_msg(&err));
		l->push_at_ms = now_mono_ms() + backoff_next(&l->backoff, RETRY_FIRST_MS, RETRY_MOST_MS);
		answer_asks(g, l->push_trouble);
	}
	record_say_state(g);
}

/* ---- the first commit ---- */

static int found_action(const struct ops_item *before, const struct ops_item *now, void *arg, struct err *err)
{
	bool *waits = arg;
	(void)before;
	(void)err;
	*waits = *waits || (now->action.there && !now->result.there);
	return 0;
}

int ledger_found(struct git_state *g, struct err *err)
{
	__attribute__((cleanup(draft_free))) struct draft d = {.n = 0};
	struct ledger_life life = {.time = (int64_t)time(NULL)};
	bool waits = false;
	git_oid commit;

	if (ops_scan(g->repo, NULL, &g->tip, found_action, &waits, err) < 0)
		return -1;
	/* Where nothing waits there is no backlog, and nobody has to be asked. */
	struct ledger_origin origin = {g->tip, !waits};
	memcpy(life.incarnation, g->ledger.incarnation, sizeof(life.incarnation));
	put(&d, xstrdup(LEDGER_ORIGIN), ledger_origin_text(&origin));
	put(&d, ledger_life_path(g->args->dispatcher_id), ledger_life_text(&life));
	if (clone_commit(g, NULL, d.changes, d.n, "ledger: begins\n", &commit, err) < 0)
		return -1;
	if (git_push_ref(g->repo, &g->place, NULL, &commit, LEDGER_REF, err) != GIT_PUSH_WON)
		return err_wrap(err, "make the ledger");
	log_info("the ledger was made", "branch", LEDGER_BRANCH, "backlog", waits ? "waits for disinto accept-backlog" : "none", NULL);
	g->ledger.there = true;
	return clone_set_tip(g, LEDGER_TIP_REF, &commit, err);
}
