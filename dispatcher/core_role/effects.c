/* Carries out the core's effects, in their order. */
#include "dispatcher/core_role/core_role.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define UNREAD_RETRY_MS 5000

void house_send(struct house *h, enum role to, json_t *body, int fd)
{
	if (h->conn[to].fd >= 0 && !(to == ROLE_GIT && h->git_waits))
		msg_queue(&h->conn[to], body, fd);
	else if (fd >= 0)
		close(fd);
	json_decref(body);
}

/* The event is stepped after the effects at hand; its reason and nonce are copied. */
static void later(struct house *h, struct event ev)
{
	ev.reason = ev.reason ? xstrdup(ev.reason) : NULL;
	ev.nonce = ev.nonce ? xstrdup(ev.nonce) : NULL;
	if (h->n_pending == h->cap_pending) {
		h->cap_pending = h->cap_pending ? 2 * h->cap_pending : 16;
		h->pending = xrealloc(h->pending, h->cap_pending * sizeof *h->pending);
	}
	h->pending[h->n_pending++] = ev;
}

/* The log before the result, the result before the state that announces it. */
static int write_result(struct house *h, struct run *r, struct err *err)
{
	if (r->transcript && transcript_sync(r->transcript, err) < 0)
		return -1;
	cleanup_free char *text = transcript_result(r, r->transcript, h->args->dispatcher_id);
	return spool_save_result(h->args->spool_fd, r->id, text, err);
}

static void do_journal(struct house *h, struct run *r, enum journal journal)
{
	cleanup_err struct err err = ERR_INIT;
	int rc = 0;

	if (journal == JOURNAL_RESULT)
		rc = write_result(h, r, &err);
	if (rc == 0)
		rc = spool_save(h->args->spool_fd, r, journal, &err);
	later(h, (struct event){.kind = EV_JOURNALED,
	                        .id = r->id,
	                        .journal = journal,
	                        .ok = rc == 0,
	                        .nonce = r->claim,
	                        .reason = rc == 0 ? NULL : err_msg(&err)});
}

static void begin_transcript(struct house *h, struct run *r, bool again)
{
	cleanup_err struct err err = ERR_INIT;
	struct transcript *t = NULL;

	transcript_free(r->transcript);
	r->transcript = NULL;
	if (transcript_begin(h->args->spool_fd, r->id, again, &t, &err) < 0)
		log_error("log can't be kept", "id", r->id, "error", err_msg(&err), NULL);
	r->transcript = t;
}

static json_t *mounts_of(const struct house *h, const struct run *r)
{
	json_t *list = json_array();
	size_t i;
	json_t *alias;

	json_array_foreach (r->action.mounts, i, alias)
		json_array_append(list, json_object_get(h->args->config->mounts, json_string_value(alias)));
	return list;
}

/* What this dispatcher lacks for the action, or NULL. Caller frees. */
static char *lacks(const struct house *h, const struct run *r)
{
	const struct config *config = h->args->config;
	size_t i;
	json_t *alias;

	json_array_foreach (r->action.mounts, i, alias)
		if (!json_object_get(config->mounts, json_string_value(alias)))
			return xasprintf("mounts: '%s' is not configured here; add it under `mounts` in %s", json_string_value(alias),
			                 config->file);
	const char *network = r->formula->network;
	if (strcmp(network, "default") != 0 && strcmp(network, "none") != 0 && !json_object_get(config->networks, network)) {
		cleanup_free char *where = formula_where(r->formula, "network");
		return xasprintf("%s: '%s' is not configured here; add it under `networks` in %s", where, network, config->file);
	}
	for (i = 0; i < r->formula->n_steps; i++) {
		const char *agent = r->formula->steps[i].agent;
		cleanup_free char *path = xasprintf("steps[%zu].agent", i);
		cleanup_free char *where = formula_where(r->formula, path);
		if (agent && !formula_agent_is_known(agent) && !json_object_get(config->agents, agent))
			return xasprintf("%s: '%s' is not configured here; add it under `agents` in %s", where, agent, config->file);
	}
	return NULL;
}

static void do_start(struct house *h, struct run *r)
{
	cleanup_free char *missing = lacks(h, r);
	const struct config *config = h->args->config;

	if (missing) {
		later(h, (struct event){.kind = EV_FAILED, .id = r->id, .attempt = r->attempt, .reason = missing});
		return;
	}
	/* As policy judged it: Docker would find other images by other spellings of the same reference. */
	cleanup_free char *image = NULL;
	cleanup_err struct err err = ERR_INIT;
	if (image_normalise(r->formula->image ? r->formula->image : config->runner_image, &image, &err) < 0) {
		later(h, (struct event){.kind = EV_FAILED,
		                        .id = r->id,
		                        .attempt = r->attempt,
		                        .refuse = r->formula->image != NULL,
		                        .reason = err_msg(&err)});
		return;
	}
	begin_transcript(h, r, false);
	json_t *network = json_object_get(config->networks, r->formula->network);
	json_t *body =
	    msg_new(MSG_START, "{s:s, s:i, s:s, s:s, s:O, s:O, s:s, s:o}", "id", r->id, "attempt", r->attempt, "name", r->name, "claim",
	            r->claim, "action", r->action.json, "formula", r->formula->json, "image", image, "mounts", mounts_of(h, r));
	json_object_set_new(body, "replace", json_boolean(r->replaces));
	json_object_set_new(body, "network", network ? json_incref(network) : json_string(r->formula->network));
	if (h->args->known_hosts)
		json_object_set_new(body, "known_hosts", json_string(h->args->known_hosts));
	if (config->agents)
		json_object_set(body, "agents", config->agents);
	house_send(h, ROLE_ENGINE, body, -1);
}

/* A pipe from keyring to engine; core closes both ends and never sees what goes through. */
static void do_decrypt(struct house *h, struct run *r)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_error("no pipe for secrets", "id", r->id, "error", strerror(errno), NULL);
		later(h, (struct event){.kind = EV_NOT_DECRYPTED,
		                        .id = r->id,
		                        .attempt = r->attempt,
		                        .reason = "this dispatcher has no descriptors left"});
		return;
	}
	house_send(h, ROLE_ENGINE, msg_new(MSG_SECRETS, "{s:s, s:i}", "id", r->id, "attempt", r->attempt), ends[0]);
	house_send(h, ROLE_KEYRING, msg_new(MSG_DECRYPT, "{s:s, s:i, s:O}", "id", r->id, "attempt", r->attempt, "secrets", r->secrets),
	           ends[1]);
}

static void do_halt(struct house *h, struct run *r, bool kill)
{
	int grace = r->formula ? formula_stop_seconds(r->formula) : 0;

	house_send(h, ROLE_ENGINE,
	           msg_new(MSG_HALT, "{s:s, s:i, s:s, s:i, s:b}", "id", r->id, "attempt", r->attempt, "name", r->name, "grace_seconds",
	                   grace, "kill", kill),
	           -1);
}

static void do_record(struct house *h, struct run *r)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *text = NULL;

	if (spool_result(h->args->spool_fd, r->id, &text, &err) < 0) {
		if (!json_object_get(h->unread, r->id))
			log_error("result can't be read from the spool; trying again", "id", r->id, "error", err_msg(&err), NULL);
		json_object_set_new(h->unread, r->id, json_true());
		h->unread_at_ms = now_mono_ms() + UNREAD_RETRY_MS;
		return;
	}
	json_object_del(h->unread, r->id);
	house_send(h, ROLE_GIT, msg_new(MSG_RECORD, "{s:s, s:s}", "id", r->id, "result", text), -1);
}

void house_record_again(struct house *h)
{
	cleanup_json json_t *ids = json_copy(h->unread);
	const char *id;
	json_t *value;

	json_object_foreach (ids, id, value) {
		struct run *r = core_find(h->core, id);
		if (r && r->state == RUN_RECORDING)
			do_record(h, r);
		else
			json_object_del(h->unread, id);
	}
}

static void log_change(const struct run *r)
{
	if (r->state == RUN_GOING)
		log_info("runs", "id", r->id, "container", r->name, NULL);
	else if (r->state == RUN_RECORDING)
		log_info("ended", "id", r->id, "outcome", r->has_outcome ? outcome_name(r->outcome) : NULL, "reason", r->reason, NULL);
	else if (r->state == RUN_DONE && r->has_outcome)
		log_info("result is on the server", "id", r->id, NULL);
}

static void changed(struct house *h, struct run *r)
{
	if (r->state == RUN_DONE) {
		transcript_free(r->transcript);
		r->transcript = NULL;
	}
	if (!h->recovering)
		log_change(r);
	house_show_run(h, r);
}

static void carry_out(struct house *h, const struct effect *e)
{
	struct run *r = e->run;

	switch (e->kind) {
	case EFFECT_JOURNAL:
		do_journal(h, r, e->journal);
		break;
	case EFFECT_START:
		do_start(h, r);
		break;
	case EFFECT_DECRYPT:
		do_decrypt(h, r);
		break;
	case EFFECT_GO:
		house_send(h, ROLE_ENGINE, msg_new(MSG_GO, "{s:s, s:i}", "id", r->id, "attempt", r->attempt), -1);
		break;
	case EFFECT_FOLLOW:
		begin_transcript(h, r, true);
		house_send(h, ROLE_ENGINE, msg_new(MSG_FOLLOW, "{s:s, s:i, s:s}", "id", r->id, "attempt", r->attempt, "name", r->name), -1);
		break;
	case EFFECT_HALT:
	case EFFECT_KILL:
		do_halt(h, r, e->kind == EFFECT_KILL);
		break;
	case EFFECT_REMOVE:
		house_remove(h, r);
		break;
	case EFFECT_CLAIM:
		house_claim(h, r);
		break;
	case EFFECT_RECORD:
		do_record(h, r);
		break;
	case EFFECT_QUIT:
		log_error(e->text, NULL);
		house_quit(h, EX_CONFIG); /* starting again would find the same */
		break;
	case EFFECT_CHANGED:
		changed(h, r);
		break;
	case EFFECT_NOTE:
		log_warn(e->text, "id", r ? r->id : NULL, NULL);
		break;
	}
}

void house_carry_out(struct house *h)
{
	/* Carrying out never steps the core, so the list does not grow meanwhile. */
	for (size_t i = 0; i < h->effects.n; i++)
		carry_out(h, &h->effects.v[i]);
	effects_clear(&h->effects);
}
