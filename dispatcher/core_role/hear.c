/* Messages become events. What core takes from another role is checked here, once. */
#include "dispatcher/core_role/core_role.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/name.h"

#include <string.h>

static const char *text_of(const struct msg *m, const char *key)
{
	return json_string_value(json_object_get(m->body, key));
}

static int number_of(const struct msg *m, const char *key)
{
	return (int)json_integer_value(json_object_get(m->body, key));
}

static bool flag_of(const struct msg *m, const char *key)
{
	return json_is_true(json_object_get(m->body, key));
}

static void set_heard(char **field, const char *value)
{
	char *copy = value ? xstrdup(value) : NULL;
	free(*field);
	*field = copy;
}

/* Parses what landed. What is wrong with it becomes the reason of a refusal. */
static void parse_landed(const char *id, const struct msg *m, struct landed *l, struct err *why)
{
	const char *action = text_of(m, "action"), *formula = text_of(m, "formula");

	if (l->refuse || !action)
		return;
	if (action_parse(id, action, strlen(action), l->action, why) < 0)
		return;
	if (!formula || !l->formula_name) {
		err_set(why, ERR_INVALID, "formula: was not sent with the action"); /* git must refuse or wait; it did neither */
		return;
	}
	struct formula *f = xcalloc(1, sizeof *f);
	if (formula_parse(l->formula_name, formula, strlen(formula), f, why) < 0) {
		free(f);
		return;
	}
	*l->formula = f;
	formula_suits(f, l->action, why);
}

static void hear_landed(struct house *h, const char *id, const struct msg *m)
{
	cleanup_action struct action action = ACTION_INIT;
	struct formula *formula = NULL;
	cleanup_err struct err why = ERR_INIT;
	cleanup_json json_t *no_secrets = json_object();
	json_t *secrets = json_object_get(m->body, "secrets");

	if (h->args->only && strcmp(h->args->only, id) != 0)
		return;
	struct landed l = {
	    .commit = text_of(m, "commit"),
	    .action_blob = text_of(m, "action_blob"),
	    .formula_name = text_of(m, "formula_name"),
	    .formula_blob = text_of(m, "formula_blob"),
	    .tier = text_of(m, "tier"),
	    .policy_blob = text_of(m, "policy_blob"),
	    .approval_mode = text_of(m, "approval_mode"),
	    .approval_by = text_of(m, "approval_by"),
	    .action = &action,
	    .formula = &formula,
	    .secrets = json_is_object(secrets) ? secrets : no_secrets,
	    .attempt = number_of(m, "attempt"),
	    .claimed = flag_of(m, "claimed"),
	    .refuse = text_of(m, "refuse"),
	    .wait = text_of(m, "wait"),
	};
	parse_landed(id, m, &l, &why);
	if (why.code != ERR_NONE && !l.wait)
		l.refuse = err_msg(&why);
	struct event ev = {.kind = EV_LANDED, .id = id, .landed = &l};
	house_step(h, &ev);
	proposals_seen(&h->proposals, id);
	if (formula) /* not taken */
		formula_free(formula);
	free(formula);
}

static void hear_polled(struct house *h, const struct msg *m)
{
	bool ok = flag_of(m, "ok");
	const char *reason = text_of(m, "reason");

	h->poll_ok = ok;
	set_heard(&h->poll_reason, ok ? NULL : reason);
	if (ok) {
		h->last_poll_ms = now_wall_ms();
		set_heard(&h->tip, text_of(m, "tip"));
		json_decref(h->misnamed);
		h->misnamed = json_incref(json_object_get(m->body, "misnamed"));
		json_decref(h->notes);
		h->notes = json_incref(json_object_get(m->body, "notes"));
	}
	house_hear_ledger(h, m->body);
	house_answer_polled(h, ok && flag_of(m, "scanned"), reason ? reason : h->frozen);
}

static void hear_engine_state(struct house *h, const struct msg *m)
{
	h->engine_ok = flag_of(m, "ok");
	set_heard(&h->engine_reason, h->engine_ok ? NULL : text_of(m, "reason"));
	if (h->engine_ok)
		set_heard(&h->engine_version, text_of(m, "version"));
	struct event ev = {
	    .kind = EV_ENGINE, .ok = h->engine_ok, .reason = h->engine_reason ? h->engine_reason : "the Docker Engine does not answer"};
	house_step(h, &ev);
	house_boot_containers(h, json_object_get(m->body, "containers"));
	if (h->engine_ok)
		house_tidy(h, json_object_get(m->body, "containers"));
}

static void hear_exited(struct house *h, const char *id, const struct msg *m)
{
	const json_t *report = json_object_get(m->body, "report"), *code = json_object_get(m->body, "exit_code");
	struct exited x = {
	    .going = flag_of(m, "going"),
	    .report = json_is_object(report) ? report : NULL,
	    .has_exit_code = json_is_integer(code),
	    .exit_code = (int)json_integer_value(code),
	    .oom = flag_of(m, "oom"),
	    .container = text_of(m, "container"),
	    .image = text_of(m, "image"),
	    .reason = text_of(m, "reason"),
	};
	struct event ev = {.kind = EV_EXITED, .id = id, .attempt = number_of(m, "attempt"), .exited = &x};
	house_step(h, &ev);
	const struct run *r = core_find(h->core, id);
	if (r)
		house_boot_exited(h, r, &x);
}

static void step_simple(struct house *h, enum event_kind kind, const char *id, const struct msg *m)
{
	const char *reason = text_of(m, "reason");
	struct event ev = {
	    .kind = kind,
	    .id = id,
	    .attempt = number_of(m, "attempt"),
	    .ok = flag_of(m, "ok"),
	    .refuse = flag_of(m, "refuse"),
	    .taken = flag_of(m, "taken"),
	    .reason = reason ? reason : "no reason was given",
	    .container = text_of(m, "container"),
	    .image = text_of(m, "image"),
	};
	house_step(h, &ev);
}

/* Messages that say no more than that something happened to an action. */
static bool hear_simple(struct house *h, enum msg_kind kind, const char *id, const struct msg *m)
{
	static const struct {
		enum msg_kind message;
		enum event_kind event;
	} simple[] = {
	    {MSG_GONE, EV_GONE},
	    {MSG_CANCEL, EV_CANCEL},
	    {MSG_RECORDED, EV_RECORDED},
	    {MSG_DECRYPTED, EV_DECRYPTED},
	    {MSG_NOT_DECRYPTED, EV_NOT_DECRYPTED},
	    {MSG_READY, EV_READY},
	    {MSG_DELIVERED, EV_DELIVERED},
	    {MSG_FAILED, EV_FAILED},
	};

	for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
		if (simple[i].message == kind) {
			step_simple(h, simple[i].event, id, m);
			return true;
		}
	return false;
}

/* What a run says while it runs; of another attempt than the present one it counts for nothing. */
static void hear_progress(struct house *h, enum msg_kind kind, struct run *r, const struct msg *m)
{
	const json_t *d = json_object_get(m->body, "d");

	if (!r || !r->transcript || r->attempt != number_of(m, "attempt"))
		return;
	if (kind == MSG_LOG && json_is_string(d))
		transcript_log(r->transcript, json_string_value(d), json_string_length(d));
	if (kind == MSG_OUTPUT)
		transcript_output(r->transcript, m->body);
	if (kind == MSG_ARTIFACT)
		transcript_artifact(r->transcript, json_object_get(m->body, "frame"));
	if (kind == MSG_STEP) {
		transcript_step(r->transcript, m->body);
		house_show_run(h, r);
	}
}

/* Messages about one action. */
static int hear_run(struct house *h, enum msg_kind kind, const struct msg *m, struct err *err)
{
	const char *id = text_of(m, "id");

	if (!id || !vault_is_id(id))
		return err_set(err, ERR_INVALID, "'%s' without a valid id", m->kind);
	if (hear_simple(h, kind, id, m))
		return 0;
	switch (kind) {
	case MSG_LANDED:
		hear_landed(h, id, m);
		break;
	case MSG_CLAIMED:
		house_hear_claim(h, EV_CLAIMED, id, m->body);
		break;
	case MSG_CLAIM_LOST:
		house_hear_claim(h, EV_CLAIM_LOST, id, m->body);
		break;
	case MSG_EXITED:
		hear_exited(h, id, m);
		break;
	case MSG_LOG:
	case MSG_STEP:
	case MSG_OUTPUT:
	case MSG_ARTIFACT:
		hear_progress(h, kind, core_find(h->core, id), m);
		break;
	case MSG_REMOVED:
		if (json_integer_value(json_object_get(h->removing, id)) == json_integer_value(json_object_get(m->body, "attempt")))
			json_object_del(h->removing, id);
		break;
	default: /* GOING: known already */
		break;
	}
	return 0;
}

static void hear_pong(struct house *h, enum role from, const struct msg *m)
{
	if (json_integer_value(json_object_get(m->body, "n")) == h->pulse.role[from].asked)
		h->pulse.role[from].asked = 0;
	pulse_heard(&h->pulse, from);
}

/* What the git role has to know again after its next start. */
static int hear_remember(struct house *h, const struct msg *m, struct err *err)
{
	const json_t *state = json_object_get(m->body, "state");

	if (!json_is_object(state))
		return err_set(err, ERR_INVALID, "'remember' without a state");
	json_decref(h->git_memory);
	h->git_memory = json_incref((json_t *)(uintptr_t)state);
	cleanup_err struct err why = ERR_INIT;
	/* An older state on disk only means that the same history is judged again from there. */
	if (spool_save_git(h->args->spool_fd, state, &why) < 0)
		log_warn("the state of policy can't be written", "error", err_msg(&why), NULL);
	return 0;
}

/* How something goes, which web shows. */
static void hear_state(struct house *h, enum msg_kind kind, const struct msg *m)
{
	bool ok = flag_of(m, "ok");
	const char *reason = ok ? NULL : text_of(m, "reason");
	json_int_t waiting = json_integer_value(json_object_get(m->body, "waiting"));

	if (kind == MSG_RECORD_STATE) {
		h->outbox_ok = ok;
		set_heard(&h->outbox_reason, reason);
		h->outbox_waiting = waiting;
	} else if (kind == MSG_REPORT_STATE) {
		h->reports_ok = ok;
		set_heard(&h->reports_reason, reason);
		h->reports_waiting = waiting;
	} else {
		h->keyring_ok = ok;
		set_heard(&h->keyring_reason, reason);
	}
}

static void hear_role(struct house *h, enum msg_kind kind, struct msg *m)
{
	enum role role;

	if (role_parse(text_of(m, "role"), &role) < 0 || role < ROLE_GIT)
		return;
	struct event ev = {.kind = kind == MSG_ROLE_UP ? EV_ROLE_UP : EV_ROLE_DOWN,
	                   .role_engine = role == ROLE_ENGINE,
	                   .role_git = role == ROLE_GIT,
	                   .role_keyring = role == ROLE_KEYRING};
	msg_conn_close(&h->conn[role]);
	if (kind == MSG_ROLE_DOWN) {
		h->replaced[role].times++;
		h->replaced[role].last_ms = now_wall_ms();
		set_heard(&h->replaced[role].reason, h->given_up[role] ? h->given_up[role] : text_of(m, "reason"));
		set_heard(&h->given_up[role], NULL);
		if (role == ROLE_GIT) {
			h->git_waits = false;
			house_undecided(h);
			house_expire_proposals(h, true);
		}
		house_step(h, &ev);
		if (role == ROLE_GIT)
			house_called(h, false, "the git role was replaced meanwhile; whether on_drained was called is not known");
		return;
	}
	msg_conn_init(&h->conn[role], steal_fd(&m->fd));
	pulse_begin(&h->pulse, role);
	if (role == ROLE_GIT)
		house_greet_git(h);
	else if (role == ROLE_WEB)
		house_show_all(h);
	else
		house_step(h, &ev);
}

int house_hear(struct house *h, enum role from, struct msg *m, struct err *err)
{
	enum msg_kind kind;

	if (msg_check(m, from, ROLE_CORE, &kind, err) < 0)
		return -1;
	switch (kind) {
	case MSG_ROLE_UP:
	case MSG_ROLE_DOWN:
		hear_role(h, kind, m);
		return 0;
	case MSG_PONG:
		hear_pong(h, from, m);
		return 0;
	case MSG_STOP:
		if (flag_of(m, "drain"))
			house_drain(h, flag_of(m, "called"));
		else
			house_stop(h, flag_of(m, "fast"));
		return 0;
	case MSG_CALLED:
		house_called(h, flag_of(m, "ok"), text_of(m, "reason"));
		return 0;
	case MSG_POLLED:
		hear_polled(h, m);
		return 0;
	case MSG_RECORD_STATE:
	case MSG_REPORT_STATE:
	case MSG_KEYRING_STATE:
		hear_state(h, kind, m);
		return 0;
	case MSG_ENGINE_STATE:
		hear_engine_state(h, m);
		return 0;
	case MSG_REMEMBER:
		return hear_remember(h, m, err);
	case MSG_INCARNATED:
		house_hear_incarnated(h, m->body);
		return 0;
	case MSG_PENDING:
		house_hear_pending(h, m->body);
		return 0;
	case MSG_PROPOSED:
		house_proposed(h, m->body);
		return 0;
	case MSG_DECIDED:
		house_decided(h, m->body);
		return 0;
	case MSG_ASK:
		return house_ask(h, m->body, err);
	default:
		return hear_run(h, kind, m, err);
	}
}
