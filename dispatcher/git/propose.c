/*
 * Proposals that clients ask for over HTTP: a branch vault/<id> with the action's file, and with a forge its pull request; or, where policy lets it, the file at
 * once on the protected branch. All of it can be asked for again: what stands there already is found, and nothing is proposed twice.
 */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/approval/candidate.h"
#include "vault/approval/proposal.h"
#include "vault/check.h"

#include <string.h>

#define LAND_ATTEMPTS 5
#define LAST_RUN_MAX 4096 /* files among which the last run of a formula is looked for */

struct proposing {
	TAILQ_ENTRY(proposing) link;
	int64_t ask;
	char id[VAULT_ID_MAX + 1];
	json_t *action;
	bool asks_secrets, may_land, may_wait, refused, withdraw;
	/* worked out */
	char *path, *ref, *text;
	git_oid blob;
};

static void proposing_free(struct proposing *p)
{
	json_decref(p->action);
	free(p->path);
	free(p->ref);
	free(p->text);
	free(p);
}

static void drop(struct git_state *g, struct proposing *p)
{
	TAILQ_REMOVE(&g->proposing, p, link);
	proposing_free(p);
}

void propose_free(struct git_state *g)
{
	while (!TAILQ_EMPTY(&g->proposing))
		drop(g, TAILQ_FIRST(&g->proposing));
}

int propose_add(struct git_state *g, const json_t *body, struct err *err)
{
	const char *id = json_text(body, "id");
	json_t *action = json_object_get(body, "action");

	if (!id || !vault_is_id(id) || !json_is_object(action) || !json_is_integer(json_object_get(body, "ask")))
		return err_set(err, ERR_INVALID, "'propose' without a valid id, action or number");
	struct proposing *p = xcalloc(1, sizeof *p);
	memcpy(p->id, id, strlen(id) + 1);
	p->ask = json_integer_value(json_object_get(body, "ask"));
	p->action = json_copy(action);
	p->asks_secrets = json_is_true(json_object_get(body, "asks_secrets"));
	p->may_land = json_is_true(json_object_get(body, "may_land"));
	p->may_wait = json_is_true(json_object_get(body, "may_wait"));
	p->refused = json_is_true(json_object_get(body, "refused"));
	p->path = vault_action_path(id);
	p->ref = xasprintf(PROPOSAL_REFS "%s", id);
	TAILQ_INSERT_TAIL(&g->proposing, p, link);
	return 0;
}

static void say(struct git_state *g, int64_t ask, const char *outcome, const char *url, const char *why)
{
	cleanup_free char *reason = clean_text(why), *shown = url && *url ? clean_text(url) : NULL;

	tell_core(
	    g, msg_new(MSG_PROPOSED, "{s:I, s:s, s:s?, s:s?}", "ask", (json_int_t)ask, "outcome", outcome, "url", shown, "reason", reason));
}

static void say_failed(struct git_state *g, int64_t ask, const struct err *why)
{
	const char *outcome = why->code == ERR_EXISTS ? "taken" : why->code == ERR_INVALID ? "invalid" : "failed";

	log_info("a proposal was not made", "outcome", outcome, "reason", err_msg(why), NULL);
	say(g, ask, outcome, NULL, err_msg(why));
}

/* ---- what is there ---- */

/*
 * The server as it is now: the clone at the tip of the branch, and where the proposal's own branch stands (*ret_has), fetched. For one that is refused anyway, as the last
 * poll had it.
 */
static int look(struct git_state *g, const struct proposing *p, bool *ret_has, git_oid *ret_head, struct err *err)
{
	__attribute__((cleanup(git_refs_free))) struct git_refs refs = {NULL, 0};
	const char *const prefixes[] = {g->branch, p->ref, NULL};

	if (!g->repo || !g->has_tip)
		return err_set(err, ERR_UNREACHABLE, "the ops repo was not read yet%s%s; try again", g->poll_trouble ? ": " : "",
		               g->poll_trouble ? g->poll_trouble : "");
	if (p->refused && policy_history_tip(g->policies)) {
		*ret_has = pending_head(g, p->id, ret_head);
		return 0;
	}
	git_alive(g);
	if (git_poller_refs(g->poller, prefixes, &refs, err) < 0)
		return err_wrap(err, "the git server");
	const git_oid *tip = git_refs_find(&refs, g->branch), *head = git_refs_find(&refs, p->ref);
	if (tip && !git_oid_equal(tip, &g->tip))
		poll_now(g);
	if (!tip || !g->repo || !g->has_tip || !policy_history_tip(g->policies))
		return err_set(err, ERR_UNREACHABLE, "the ops repo can't be read at the moment; try again");
	*ret_has = head != NULL;
	if (!head)
		return 0;
	*ret_head = *head;
	cleanup_free char *local = xasprintf(PROPOSED_REFS "%s", p->id);
	const struct git_fetch_spec specs[] = {{p->ref, local}, {NULL, NULL}};
	const struct git_place place = pending_place(g);
	git_alive(g);
	return git_fetch(g->repo, &place, specs, err) < 0 ? err_wrap(err, "fetch") : 0;
}

/* The ledger knows ids that the tree does not show any more. */
static int check_free(struct git_state *g, const struct proposing *p, struct err *err)
{
	struct ledger_standing standing = {.status = LEDGER_NOBODY};

	if (proposal_check_free(g->repo, &g->tip, p->id, err) < 0)
		return -1;
	int rc = g->ledger.on && g->ledger.has_scanned ? ledger_status(g, p->id, &standing, err) : 0;
	ledger_rest(g);
	if (rc == 0 && standing.status != LEDGER_NOBODY)
		return err_set(err, ERR_EXISTS, "%s is taken for ever by the ledger; an id runs once, choose a new one", p->id);
	return rc;
}

/* ---- what it shall say ---- */

static void add_names(json_t *names, const json_t *more)
{
	size_t i;
	json_t *name;

	json_array_foreach (more, i, name)
		if (!check_list_has(names, json_string_value(name)))
			json_array_append(names, name);
}

/* Those that the formula names, as it stands at the tip. */
static int fill_secrets(struct git_state *g, struct proposing *p, struct err *err)
{
	const char *name = json_text(p->action, "formula"), *host;
	cleanup_free char *path = vault_formula_path(name ? name : "");
	cleanup_formula struct formula f = FORMULA_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	json_t *names = json_array(), *secret;
	git_filemode_t mode;
	git_oid blob;

	json_object_set_new(p->action, "secrets", names);
	if (git_repo_entry(g->repo, &g->tip, path, &blob, &mode, NULL) < 0)
		return err_set(err, ERR_INVALID, "there is no %s in the ops repo, which tasks are run by; disinto init writes one", path);
	if (git_repo_blob(g->repo, &blob, FORMULA_MAX_BYTES, &text, err) < 0 ||
	    formula_parse(name, text.data ? text.data : "", text.len, &f, err) < 0)
		return -1;
	for (size_t i = 0; i < f.n_steps; i++)
		if (f.steps[i].secrets)
			add_names(names, f.steps[i].secrets);
	json_object_foreach ((json_t *)(uintptr_t)f.git_auth, host, secret) {
		cleanup_json json_t *one = json_pack("[O]", secret);
		add_names(names, one);
	}
	return 0;
}

/* The file's text; the same request makes the same one. */
static int word(struct git_state *g, struct proposing *p, struct err *err)
{
	if (p->asks_secrets && fill_secrets(g, p, err) < 0)
		return -1;
	p->text = json_pretty(p->action);
	if (git_odb_hash(&p->blob, p->text, strlen(p->text), GIT_OBJECT_BLOB) < 0)
		return git_err(err, -1, "%s", p->path);
	return 0;
}

static int judge(struct git_state *g, const struct proposing *p, struct judged *ret, struct err *err)
{
	const struct judging by = {
	    .git = g->repo, .tip = g->tip, .config = g->args->config, .in_force = policy_history_in_force(g->policies), .watched = true};

	if (judged_proposed(&by, p->id, p->text, ret, err) < 0)
		return -1;
	return ret->problem ? err_set(err, ERR_INVALID, "%s", ret->problem) : 0;
}

static bool may_land(const struct git_state *g, const struct judged *judged)
{
	return judged->verdict.direct && !judged->verdict.wait && !g->frozen && !policy_history_doubted(g->policies);
}

/* A commit on the tip with the file. */
static int make(struct git_state *g, const struct proposing *p, const struct judged *judged, git_oid *ret, struct err *err)
{
	const struct git_change change = {p->path, p->text, strlen(p->text)};
	cleanup_free char *message = proposal_message(&judged->action);

	return clone_commit(g, &g->tip, &change, 1, message, ret, err);
}

/* ---- the forge ---- */

static bool few_results(struct git_state *g)
{
	cleanup_git(git_tree) git_tree *tree = NULL;

	return git_repo_tree(g->repo, &g->tip, VAULT_ACTIONS, &tree, NULL) == 0 && git_tree_entrycount(tree) <= LAST_RUN_MAX;
}

/* Its branch is there. Without a forge that is all. */
static int request(struct git_state *g, const struct proposing *p, const struct judged *judged, struct err *err)
{
	const struct config *config = g->args->config;

	if (!config->approval.forge_url) {
		say(g, p->ask, "proposed", NULL, NULL);
		return 0;
	}
	cleanup_json json_t *risk = risk_json(judged, config);
	cleanup_errand struct errand *errand = errand_new(ERRAND_REQUEST, p->id, p->ask);
	if (few_results(g))
		risk_add_last_run(risk, g->repo, &g->tip, judged, NULL); /* a request without it is as good */
	if (proposal_request(p->id, risk, &errand->request, err) < 0)
		return -1;
	errands_send(g->errands, steal_ptr(&errand));
	return 0;
}

void propose_requested(struct git_state *g, const struct errand *errand)
{
	if (errand->rc == 0) {
		pending_pull(g, &errand->pull);
		say(g, errand->ask, "proposed", errand->pull.url, NULL);
	} else {
		say(g, errand->ask, "failed", NULL, err_msg(&errand->err)); /* whatever it is, the proposal itself stands */
	}
}

/* ---- landing it ---- */

static bool has_landed(struct git_state *g, const struct proposing *p)
{
	struct ops_item item;

	return g->repo && ops_item(g->repo, &g->tip, p->id, &item, NULL) == 0 && item.action.there &&
	       git_oid_equal(&item.action.oid, &p->blob);
}

/* `commit` is one on the tip; it is judged and made again where somebody else was first. */
static int land(struct git_state *g, const struct proposing *p, git_oid commit, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	for (int i = 0; i < LAND_ATTEMPTS; i++) {
		git_oid seen = g->tip;
		git_alive(g);
		enum git_push_outcome outcome = git_push_ref(g->repo, &g->place, NULL, &commit, g->branch, &why);
		g->poll_at_ms = 0;
		if (outcome == GIT_PUSH_WON)
			return 0;
		poll_now(g);
		if (has_landed(g, p))
			return 0;
		if (!g->repo || git_oid_equal(&seen, &g->tip))
			break; /* nobody was first: the server does not want it, or does not answer */
		cleanup_judged struct judged judged = JUDGED_INIT;
		if (check_free(g, p, err) < 0 || judge(g, p, &judged, err) < 0)
			return -1;
		if (!may_land(g, &judged))
			return err_set(err, ERR_UNREACHABLE, "policy changed meanwhile; ask for the same again");
		if (make(g, p, &judged, &commit, err) < 0)
			return -1;
	}
	if (why.code == ERR_NONE || why.code == ERR_EXISTS)
		return err_set(err, ERR_UNREACHABLE, "others push to the branch all the time; ask for the same again");
	err_move(err, &why);
	return err_wrap(err, "whether it landed is not known");
}

/* ---- one proposal ---- */

/* The branch, or the file itself where it may land. The answer is given, or will be by an errand. */
static int push(struct git_state *g, struct proposing *p, const struct judged *judged, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	git_oid commit, head;
	bool has;

	if (make(g, p, judged, &commit, err) < 0)
		return -1;
	if (may_land(g, judged)) {
		if (land(g, p, commit, err) < 0)
			return -1;
		say(g, p->ask, "landed", NULL, NULL);
		return 0;
	}
	git_alive(g);
	if (git_push_ref(g->repo, &g->place, NULL, &commit, p->ref, &why) == GIT_PUSH_WON) {
		pending_set(g, p->id, &commit);
		return request(g, p, judged, err);
	}
	/* Somebody else made it in the same moment, or the answer was lost. */
	if (look(g, p, &has, &head, err) < 0)
		return -1;
	if (!has) {
		err_move(err, &why);
		return err && err->code == ERR_FAIL ? err_wrap(err, "the git server does not take the proposal") : -1;
	}
	return proposal_check_same(g->repo, &head, p->id, &p->blob, err) < 0 ? -1 : request(g, p, judged, err);
}

/* In this order: what is wrong with it, whether there is room (one that is there takes none), whose the id is. Only then is anything done. */
static int propose(struct git_state *g, struct proposing *p, struct err *err)
{
	cleanup_judged struct judged judged = JUDGED_INIT;
	git_oid head;
	bool has;

	if (look(g, p, &has, &head, err) < 0 || word(g, p, err) < 0 || judge(g, p, &judged, err) < 0)
		return -1;
	bool direct = may_land(g, &judged);
	if (!has && !(direct ? p->may_land : p->may_wait)) {
		say(g, p->ask, direct ? "busy" : "full", NULL, NULL);
		return 0;
	}
	if (check_free(g, p, err) < 0 || (has && proposal_check_same(g->repo, &head, p->id, &p->blob, err) < 0))
		return -1;
	if (p->refused) {
		say(g, p->ask, "refused", NULL, NULL);
		return 0;
	}
	return has ? request(g, p, &judged, err) : push(g, p, &judged, err);
}

/* ---- taking one back ---- */

void propose_withdraw(struct git_state *g, const char *id, int64_t ask)
{
	struct proposing *p = xcalloc(1, sizeof *p);

	memcpy(p->id, id, strlen(id) + 1);
	p->ask = ask;
	p->withdraw = true;
	TAILQ_INSERT_TAIL(&g->proposing, p, link);
}

/* Whether the branch stands where people were shown it. What else it holds nobody decided upon. */
static int check_head(struct git_state *g, const char *ref, const git_oid *shown, struct err *err)
{
	__attribute__((cleanup(git_refs_free))) struct git_refs refs = {NULL, 0};
	const char *const prefixes[] = {ref, NULL};

	git_alive(g);
	if (git_poller_refs(g->poller, prefixes, &refs, err) < 0)
		return err_wrap(err, "the git server");
	const git_oid *head = git_refs_find(&refs, ref);
	if (head && !git_oid_equal(head, shown))
		return err_set(err, ERR_EXISTS, "somebody pushed to its branch meanwhile; look at it again");
	return head ? 0 : err_set(err, ERR_NOT_FOUND, "its branch is gone; it has landed or was withdrawn");
}

/* Between the last look at the tip and the deletion it may have landed: then it runs, whatever became of its branch. */
static void remove_branch(struct git_state *g, const char *id, const git_oid *shown, int64_t ask)
{
	cleanup_free char *ref = xasprintf(PROPOSAL_REFS "%s", id);
	cleanup_err struct err why = ERR_INIT;

	bool gone = check_head(g, ref, shown, &why) == 0 && git_push_ref(g->repo, &g->place, NULL, NULL, ref, &why) == GIT_PUSH_WON;
	if (gone) {
		log_info("a proposal was withdrawn", "id", id, NULL);
		pending_set(g, id, NULL);
	}
	poll_now(g);
	const struct judging by = {.git = g->repo, .tip = g->tip};
	if (g->repo && g->has_tip && candidate_has_landed(&by, id))
		say_decided(g, ask, "it has landed meanwhile; ask again to cancel its run");
	else
		say_decided(g, ask, gone ? NULL : err_msg(&why));
}

static void withdraw(struct git_state *g, const char *id, int64_t ask)
{
	git_oid shown;

	if (!g->repo || !pending_head(g, id, &shown)) {
		say_decided(g, ask, "there is no such proposal any more");
	} else if (g->args->config->approval.forge_url) {
		struct errand *errand = errand_new(ERRAND_CLOSE, id, ask);
		errand->head = shown;
		errands_send(g->errands, errand);
	} else {
		remove_branch(g, id, &shown, ask);
	}
}

void propose_closed(struct git_state *g, const struct errand *errand)
{
	if (errand->rc < 0)
		say_decided(g, errand->ask, err_msg(&errand->err));
	else if (!g->repo)
		say_decided(g, errand->ask, "the ops repo is being read anew; try again");
	else
		remove_branch(g, errand->id, &errand->head, errand->ask);
}

void propose_next(struct git_state *g)
{
	struct proposing *p = TAILQ_FIRST(&g->proposing);
	cleanup_err struct err err = ERR_INIT;

	if (p->withdraw)
		withdraw(g, p->id, p->ask);
	else if (propose(g, p, &err) < 0)
		say_failed(g, p->ask, &err);
	drop(g, p);
}
