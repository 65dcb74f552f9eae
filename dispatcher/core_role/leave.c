/*
 * How core leaves. TERM: nothing new starts; what runs is waited for, up to drain_seconds, then left to the next start. TERM again: at once. Drain
 * (an operator's): the same without a limit, and once the last result is on the server on_drained is called, at most once.
 */
#include "dispatcher/core_role/core_role.h"
#include "lib/buf.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"

#include <string.h>

#define REMOVALS_MS 30000

/* A dispatcher for one action waits for results, never for what runs: whoever started it was told to leave it running. */
static bool waits_for_runs(const struct house *h)
{
	return !h->args->only && core_active(h->core) > 0;
}

/* Containers whose results are on the server are waited for too, but not for ever: the next start removes what is left. */
static bool is_empty(struct house *h)
{
	if (waits_for_runs(h) || core_recording(h->core) > 0) {
		h->empty_ms = 0;
		return false;
	}
	if (!h->empty_ms)
		h->empty_ms = now_mono_ms();
	return json_object_size(h->removing) == 0 || now_mono_ms() - h->empty_ms >= REMOVALS_MS;
}

static void take_nothing_new(struct house *h)
{
	struct event ev = {.kind = EV_STOP};

	if (!core_stopping(h->core))
		house_step(h, &ev);
}

void house_stop(struct house *h, bool fast)
{
	log_info(fast ? "leaving at once; what runs goes on, and the next start takes it up"
	              : "stopping: nothing new starts; what runs is waited for, up to drain_seconds",
	         NULL);
	take_nothing_new(h);
	h->quit_at_ms = now_mono_ms() + (fast ? 0 : h->args->config->drain_seconds * 1000LL);
}

static void tell_parent(struct house *h)
{
	house_send(h, ROLE_PARENT, msg_new(MSG_DRAINING, "{s:b}", "called", h->calling), -1);
}

void house_drain(struct house *h, bool called)
{
	if (!h->draining)
		log_info("draining: nothing new starts; ends once the last result is on the server", NULL);
	h->draining = true;
	if (called) { /* by a core before this one; nobody heard what became of it */
		h->calling = true;
		house_called(h, false, "core was replaced meanwhile; whether on_drained was called is not known");
	}
	tell_parent(h);
	take_nothing_new(h);
}

void house_called(struct house *h, bool ok, const char *reason)
{
	if (!h->calling || h->called)
		return;
	h->called = true;
	h->call_ok = ok;
	free(h->call_reason);
	h->call_reason = reason ? xstrdup(reason) : NULL;
	if (!ok)
		log_error("on_drained failed, and is not tried again", "reason", reason, NULL);
	else if (reason)
		log_info("on_drained was called", "answer", reason, NULL);
}

/* Once: the parent knows before the git role does. True: it was, and the answer is there. */
static bool call(struct house *h)
{
	if (!h->calling && h->conn[ROLE_GIT].fd >= 0) {
		log_info("drained: the last result is on the server", NULL);
		h->calling = true;
		tell_parent(h);
		msg_flush(&h->conn[ROLE_PARENT], NULL);
		house_send(h, ROLE_GIT, msg_new(MSG_DRAINED, NULL), -1);
	}
	return h->called;
}

static void answer_drained(struct house *h, bool done)
{
	size_t i;
	json_t *number;

	json_array_foreach (h->drain_asks, i, number) {
		json_t *body =
		    done ? json_pack("{s:s, s:b, s:s?}", "status", "drained", "on_drained_ok", h->call_ok, "on_drained", h->call_reason)
		         : json_pack("{s:s}", "error", "the dispatcher was told to stop before it had drained");
		house_send(h, ROLE_WEB, msg_new(MSG_ANSWER, "{s:O, s:i, s:o}", "ask", number, "code", done ? 200 : 503, "body", body), -1);
	}
	json_array_clear(h->drain_asks);
}

void house_leave(struct house *h)
{
	bool late = h->quit_at_ms && now_mono_ms() >= h->quit_at_ms;
	bool done = is_empty(h) && (!h->draining || call(h));

	if (h->quit_sent || !(h->draining || h->quit_at_ms) || (!done && !late))
		return;
	if (!done && waits_for_runs(h))
		log_info("what runs is left to the next start", NULL);
	answer_drained(h, done);
	house_quit(h, 0);
}

void house_quit(struct house *h, int exit_code)
{
	if (!h->quit_sent)
		house_send(h, ROLE_PARENT, msg_new(MSG_QUIT, "{s:i}", "exit_code", exit_code), -1);
	h->quit_sent = true;
}

char *house_leaving(const struct house *h)
{
	if (!h->draining && !h->quit_at_ms)
		return NULL;
	return xasprintf("%s: nothing new starts; waits for %d runs, %d results and %zu containers to remove%s",
	                 h->draining ? "draining" : "stopping", core_active(h->core), core_recording(h->core),
	                 json_object_size(h->removing),
	                 h->quit_at_ms ? ", not longer than drain_seconds" : ", then calls on_drained and ends");
}
