/*
 * GET /events: what changes, as it changes (server-sent events, WHATWG HTML section 9.2). Events are kept in a ring; each reader has its own place in it, so that a
 * slow one slows nothing: it is sent away when the ring has gone past it, and begins anew.
 *
 *   snapshot  {status, actions}   first of all, unless the reader's Last-Event-ID is still in the ring
 *   run       a row of /actions; {id, forgotten: true}
 *   status    as /status
 *   pending   {total}: GET /pending is another one
 */
#include "dispatcher/web/web.h"
#include "lib/buf.h"
#include "lib/file.h"
#include "lib/json.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32768
#define BEAT_MS 15000 /* a comment on a quiet stream, so that both ends learn of a broken connection */

void web_events_init(struct web_events *e)
{
	unsigned char random[8];

	randombytes_buf(random, sizeof random);
	sodium_bin2hex(e->epoch, sizeof e->epoch, random, sizeof random);
	e->beat_at_ms = now_mono_ms() + BEAT_MS;
}

static char *event_text(const struct web_events *e, uint64_t seq, const char *type, const json_t *data)
{
	char *json = json_dumps(data, JSON_COMPACT); /* on one line: JSON escapes newlines */
	char *text = xasprintf("id: %s.%" PRIu64 "\nevent: %s\ndata: %s\n\n", e->epoch, seq, type, json ? json : "null");

	free(json);
	return text;
}

static void wake(struct request *q)
{
	if (q->asleep) {
		q->asleep = false;
		MHD_resume_connection(q->connection);
	}
}

static void wake_readers(struct web *w)
{
	struct request *q;

	LIST_FOREACH (q, &w->requests, link)
		if (q->events)
			wake(q);
}

void web_event(struct web *w, const char *type, const json_t *data)
{
	struct web_events *e = &w->events;
	char **place = &e->ring[++e->seq % EVENTS_KEPT];

	free(*place);
	*place = event_text(e, e->seq, type, data);
	wake_readers(w);
}

/* Readers begin after `seq`. -1: that is not a place in the ring. */
static int find_place(const struct web_events *e, const char *last_id, uint64_t *ret)
{
	size_t n = strlen(e->epoch);
	char *end = NULL;

	if (!last_id || strncmp(last_id, e->epoch, n) != 0 || last_id[n] != '.')
		return -1;
	uint64_t seq = strtoull(last_id + n + 1, &end, 10);
	if (*end || seq > e->seq || e->seq - seq >= EVENTS_KEPT)
		return -1;
	*ret = seq;
	return 0;
}

static char *snapshot(const struct web *w)
{
	json_t *actions = web_actions(w);
	json_t *data = json_pack("{s:o, s:O}", "status", web_status(w), "actions", json_object_get(actions, "actions"));
	char *text = event_text(&w->events, w->events.seq, "snapshot", data);

	json_decref(actions);
	json_decref(data);
	return text;
}

/* The next piece for this reader, or NULL: there is none now. Caller frees. *ret_lost: the ring has gone past it. */
static char *next_text(struct request *q, bool *ret_lost)
{
	const struct web_events *e = &q->web->events;

	if (q->wants_snapshot) {
		q->wants_snapshot = false;
		q->seq = e->seq;
		return snapshot(q->web);
	}
	if (q->seq < e->seq) {
		*ret_lost = e->seq - q->seq > EVENTS_KEPT;
		return *ret_lost ? NULL : xstrdup(e->ring[++q->seq % EVENTS_KEPT]);
	}
	if (q->beat) {
		q->beat = false;
		return xstrdup(":\n\n");
	}
	return NULL;
}

static ssize_t read_events(void *request, uint64_t pos, char *out, size_t max)
{
	struct request *q = request;
	bool lost = false;

	(void)pos;
	if (!q->piece) {
		q->piece = next_text(q, &lost);
		q->piece_at = 0;
	}
	if (lost)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!q->piece) {
		q->asleep = true;
		MHD_suspend_connection(q->connection);
		return 0;
	}
	size_t n = strlen(q->piece + q->piece_at);
	if (n > max)
		n = max;
	memcpy(out, q->piece + q->piece_at, n);
	q->piece_at += n;
	if (!q->piece[q->piece_at]) {
		free(q->piece);
		q->piece = NULL;
	}
	return (ssize_t)n;
}

enum MHD_Result web_events_begin(struct request *q, const char *last_id)
{
	struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_events, q, NULL);

	if (!r)
		return MHD_NO;
	q->events = true;
	q->wants_snapshot = find_place(&q->web->events, last_id, &q->seq) < 0;
	MHD_add_response_header(r, "Content-Type", "text/event-stream; charset=utf-8");
	MHD_add_response_header(r, "X-Accel-Buffering", "no"); /* proxies pass it on as it comes */
	return web_send(q, MHD_HTTP_OK, r);
}

int web_beat(struct web *w)
{
	struct request *q;
	int64_t now = now_mono_ms(), left = w->events.beat_at_ms - now;
	bool any = false;

	LIST_FOREACH (q, &w->requests, link)
		any |= q->events;
	if (!any)
		return -1;
	if (left > 0)
		return (int)left;
	w->events.beat_at_ms = now + BEAT_MS;
	LIST_FOREACH (q, &w->requests, link)
		if (q->events) {
			q->beat = true;
			wake(q);
		}
	return 0; /* MHD_run is to go on with them at once */
}
