/* The git role: its loop, and what core says to it. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "vault/result.h"

#include <limits.h>
#include <poll.h>
#include <string.h>

#define SEND_MS 30000
#define GATHER_MS 10 /* how long a result waits for others while more runs are under way */
#define TEXT_MAX 2000
#define ALIVE_MS 10000 /* between signs of life that nobody asked for */

char *clean_text(const char *s)
{
	return s ? result_log_tail(s, strlen(s), TEXT_MAX) : NULL;
}

void tell_core(struct git_state *g, json_t *body)
{
	cleanup_err struct err err = ERR_INIT;
	if (!g->core_gone && msg_send(&g->conn, body, -1, SEND_MS, &err) < 0) {
		log_error("core can't be told", "reason", err_msg(&err), NULL);
		g->core_gone = true;
	}
	json_decref(body);
}

void git_alive(struct git_state *g)
{
	if (now_mono_ms() - g->alive_ms < ALIVE_MS)
		return;
	g->alive_ms = now_mono_ms();
	tell_core(g, msg_new(MSG_PONG, "{s:i}", "n", 0));
}

static int hear_record(struct git_state *g, const json_t *body, struct err *err)
{
	const char *id = json_string_value(json_object_get(body, "id"));
	const char *text = json_string_value(json_object_get(body, "result"));

	if (!id || !vault_is_id(id) || !text)
		return err_set(err, ERR_INVALID, "'record' without a valid id or result");
	return record_add(g, id, text, -1, err);
}

static int hear_claim(struct git_state *g, const json_t *body, struct err *err)
{
	struct ledger_entry e = {.kind = LEDGER_CLAIM, .ask = -1};
	const char *id = json_string_value(json_object_get(body, "id"));
	const char *nonce = json_string_value(json_object_get(body, "nonce"));
	const char *blob = json_string_value(json_object_get(body, "action_blob"));
	json_int_t attempt = json_integer_value(json_object_get(body, "attempt"));
	json_t *mine = json_object_get(body, "mine");

	if (!g->ledger.on)
		return err_set(err, ERR_INVALID, "'claim', but the configuration says claims: local");
	if (!id || !vault_is_id(id) || !nonce || !ledger_is_token(nonce) || attempt < 1 || attempt > INT_MAX ||
	    (mine && !json_is_array(mine)) || (blob && git_oid_fromstr(&e.claim.action, blob) < 0))
		return err_set(err, ERR_INVALID, "'claim' without a valid id, nonce, attempt or action");
	memcpy(e.id, id, strlen(id) + 1);
	memcpy(e.claim.nonce, nonce, strlen(nonce) + 1);
	memcpy(e.claim.dispatcher, g->args->dispatcher_id, strlen(g->args->dispatcher_id) + 1);
	e.claim.attempt = (int)attempt;
	e.claim.deadline = json_integer_value(json_object_get(body, "deadline"));
	e.mine = json_incref(mine);
	ledger_add(g, &e);
	return 0;
}

static int hear_remembered(struct git_state *g, const json_t *body, struct err *err)
{
	g->remembered = true;
	if (life_begin(g, body, err) < 0)
		return -1;
	protection_ask(g);
	return history_remember(g, json_object_get(body, "state"), err);
}

static int hear(struct git_state *g, const struct msg *m, struct err *err)
{
	enum msg_kind kind;
	if (msg_check(m, ROLE_CORE, ROLE_GIT, &kind, err) < 0)
		return -1;
	switch (kind) {
	case MSG_POLL:
		g->poll_at_ms = 0;
		return 0;
	case MSG_REMEMBERED:
		return hear_remembered(g, m->body, err);
	case MSG_CLAIM:
		return hear_claim(g, m->body, err);
	case MSG_RECORD:
		return hear_record(g, m->body, err);
	case MSG_PROPOSE:
		return propose_add(g, m->body, err);
	case MSG_DECIDE:
		return decide(g, m->body, err);
	case MSG_PING:
		tell_core(g, msg_new(MSG_PONG, "{s:O}", "n", json_object_get(m->body, "n")));
		return 0;
	case MSG_DRAINED:
		drained_call(g);
		return 0;
	default:
		return err_set(err, ERR_INVALID, "'%s' is of no use to git", m->kind);
	}
}

/* Takes every message that is there, waiting at most timeout_ms for the first, or for an errand. 0; -1: core is gone or talks nonsense. */
static int hear_all(struct git_state *g, int timeout_ms, struct err *err)
{
	struct pollfd fds[2] = {{.fd = g->conn.fd, .events = POLLIN}, {.fd = errands_fd(g->errands), .events = POLLIN}};

	/* No whole message is left over from the last time. */
	poll(fds, 2, timeout_ms);
	for (;;) {
		cleanup_msg struct msg m = MSG_INIT;
		int rc = msg_recv(&g->conn, 0, &m, err);
		if (rc <= 0)
			return rc;
		if (hear(g, &m, err) < 0)
			return -1;
	}
}

/* While other actions run, one more result may come any moment. */
static bool more_may_come(const struct git_state *g)
{
	return json_object_size(g->announced) > g->n_outbox;
}

/* What nothing can join any more waits for a failed push's pause only, or for what blocks it. */
static int64_t push_at_ms(const struct git_state *g)
{
	return g->push_backoff.failures || g->trouble_said || more_may_come(g) ? g->push_at_ms : 0;
}

static int wait_ms(const struct git_state *g)
{
	int64_t now = now_mono_ms(), next = g->poll_at_ms;
	if (!g->remembered)
		return -1;
	if (!TAILQ_EMPTY(&g->proposing))
		return 0;
	if (report_at_ms(g) < next)
		next = report_at_ms(g);
	if (pending_at_ms(g) < next)
		next = pending_at_ms(g);
	if (record_due(g) && push_at_ms(g) < next)
		next = push_at_ms(g);
	if (ledger_ready(g) && ledger_push_at_ms(g) < next)
		next = ledger_push_at_ms(g);
	return next > now ? (int)(next - now) : 0;
}

static void take_errands(struct git_state *g)
{
	struct errand *errand;

	while ((errand = errands_take(g->errands))) {
		if (errand->kind == ERRAND_REQUEST)
			propose_requested(g, errand);
		else if (errand->kind == ERRAND_PULLS)
			pending_pulls(g, errand);
		else if (errand->kind == ERRAND_REPORT)
			report_done(g, errand);
		else if (errand->kind == ERRAND_CLOSE)
			propose_closed(g, errand);
		else if (errand->kind == ERRAND_PROTECTION)
			protection_told(g, errand);
		errand_free(errand);
	}
}

/* Nothing waits to be pushed but what can't be, perhaps for days. */
static bool is_idle(const struct git_state *g)
{
	return (!g->n_outbox && TAILQ_EMPTY(&g->ledger.entries)) || g->trouble_said || g->frozen;
}

/* Results first: they are what a server that was away has to get. */
static int work(struct git_state *g, struct err *err)
{
	if (record_due(g) && push_at_ms(g) <= now_mono_ms()) {
		if (more_may_come(g) && hear_all(g, GATHER_MS, err) < 0)
			return -1;
		record_flush(g);
	}
	if (ledger_ready(g) && ledger_push_at_ms(g) <= now_mono_ms())
		ledger_flush(g);
	if (g->remembered && g->poll_at_ms <= now_mono_ms())
		poll_now(g);
	take_errands(g);
	if (g->remembered && !TAILQ_EMPTY(&g->proposing))
		propose_next(g); /* one at a time: claims and results come between */
	if (report_at_ms(g) <= now_mono_ms())
		report_next(g);
	if (pending_at_ms(g) <= now_mono_ms())
		pending_look(g); /* some at a time */
	if (is_idle(g) && !g->push_trouble && !g->ledger.push_trouble && archive_due(g))
		archive_now(g);
	clone_compact(g, is_idle(g));
	return g->core_gone ? err_set(err, ERR_UNREACHABLE, "core is gone") : 0;
}

/* Returns when there is nobody left to work for, or with what went wrong. */
static void serve(struct git_state *g, struct err *err)
{
	while (work(g, err) == 0 && hear_all(g, wait_ms(g), err) == 0)
		;
}

static void state_init(struct git_state *g, const struct role_args *args)
{
	*g = (struct git_state){
	    .args = args,
	    .branch = xasprintf("refs/heads/%s", args->config->branch),
	    .clone_path = path_join(args->config->spool, "ops.git"),
	    .announced = json_object(),
	    .cancelled = json_object(),
	    .recorded = json_object(),
	    .misnamed = json_array(),
	    .notes = json_array(),
	    .changed = json_array(),
	    .unprotected = json_array(),
	};
	g->alive_ms = now_mono_ms();
	TAILQ_INIT(&g->outbox);
	TAILQ_INIT(&g->proposing);
	g->errands = errands_new(args->config);
	pending_init(g);
	report_init(g);
	judge_init(g);
	ledger_init(g);
	msg_conn_init(&g->conn, args->sock);
	ops_place(args->config, &g->place);
	g->poller = git_poller_new(&g->place);
}

static void state_free(struct git_state *g)
{
	record_free(g);
	propose_free(g);
	pending_free(g);
	report_end(g);
	errands_free(g->errands);
	judge_free(g);
	ledger_reset(g);
	ledger_free(g);
	git_poller_free(g->poller);
	ops_past_free(g->past);
	ops_names_free(g->names);
	git_repository_free(g->repo);
	ssh_private_key_free(g->key);
	msg_conn_close(&g->conn);
	json_decref(g->announced);
	json_decref(g->cancelled);
	json_decref(g->recorded);
	json_decref(g->misnamed);
	json_decref(g->notes);
	json_decref(g->changed);
	json_decref(g->unprotected);
	free(g->frozen);
	free(g->memory_said);
	free(g->branch);
	free(g->clone_path);
	free(g->poll_trouble);
}

int git_role(const struct role_args *args)
{
	cleanup_err struct err err = ERR_INIT;
	struct git_state g;

	state_init(&g, args);
	bool signs = args->config->signing_key_file != NULL;
	if (git_remote_setup(&err) == 0 && (!signs || ssh_private_key_read(args->signing_fd, &g.key, &err) == 0))
		serve(&g, &err);
	bool closed = err.code == ERR_UNREACHABLE;
	if (!closed)
		log_error("git ends", "reason", err_msg(&err), NULL);
	state_free(&g);
	return !closed;
}
