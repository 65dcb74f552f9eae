/* A container's log: Docker's stream of chunks, the runner's frames in it, and what core is told of them. */
#include "dispatcher/engine/engine.h"

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/log.h"
#include "vault/frame.h"
#include <errno.h>
#include <string.h>

#define CHUNK_MAX (1u << 20)       /* a log driver cuts at 16 KiB: what says it is larger is no such stream */
#define LOG_MESSAGE_MAX 65536      /* text in one LOG */
#define COMPLAINT_MAX 4096         /* of the runner's own standard error */
#define REPLACEMENT "\xef\xbf\xbd" /* for NUL, which no message may hold */

/* One reading of the log, from its first byte. */
struct reading {
	struct job *job;
	bool follow;
	unsigned char head[8]; /* Docker's chunk header: stream, 0, 0, 0, length (big-endian) */
	size_t n_head;
	uint32_t left; /* bytes of the present chunk still to come */
	struct frame_reader frames;
	uint64_t n_frames;
	size_t stderr_bytes;
	bool enough; /* before GO: what was waited for is there */
	bool bad;
};

static void log_flush(struct job *j)
{
	if (!j->log.len)
		return;
	engine_send(j->engine, msg_new(MSG_LOG, "{s:s, s:i, s:s%}", "id", j->id, "attempt", j->attempt, "d", j->log.data, j->log.len));
	buf_reset(&j->log);
}

static void on_out(struct job *j, const json_t *frame)
{
	const json_t *d = json_object_get(frame, "d");
	const char *text = json_string_value(d);
	size_t len = json_string_length(d);
	if (j->log.len + len > LOG_MESSAGE_MAX)
		log_flush(j);
	while (len > 0) {
		size_t plain = strnlen(text, len);
		buf_add(&j->log, text, plain);
		if (plain < len)
			buf_adds(&j->log, REPLACEMENT);
		size_t used = plain < len ? plain + 1 : plain;
		text += used;
		len -= used;
	}
}

static void on_step(struct job *j, const json_t *frame)
{
	json_t *body = msg_new(MSG_STEP, "{s:s, s:i, s:O?, s:O?, s:O?, s:O?}", "id", j->id, "attempt", j->attempt, "step",
	                       json_object_get(frame, "id"), "state", json_object_get(frame, "state"), "exit_code",
	                       json_object_get(frame, "exit_code"), "duration_ms", json_object_get(frame, "duration_ms"));
	if (json_is_number(json_object_get(frame, "cost_usd")))
		json_object_set(body, "cost_usd", json_object_get(frame, "cost_usd"));
	log_flush(j);
	engine_send(j->engine, body);
}

/* NUL is nothing that a runner of ours sends here; it would end the text of the message. */
static void on_output(struct job *j, const json_t *frame)
{
	json_t *body =
	    msg_new(MSG_OUTPUT, "{s:s, s:i, s:O?, s:O?, s:O?}", "id", j->id, "attempt", j->attempt, "step", json_object_get(frame, "step"),
	            "name", json_object_get(frame, "name"), "value", json_object_get(frame, "value"));
	log_flush(j);
	engine_send(j->engine, body);
}

static void on_artifact(struct job *j, const json_t *frame)
{
	engine_send(j->engine, msg_new(MSG_ARTIFACT, "{s:s, s:i, s:O}", "id", j->id, "attempt", j->attempt, "frame", frame));
}

static int on_hello(struct job *j, const json_t *frame, struct err *err)
{
	int64_t frames = json_integer_value(json_object_get(frame, "frames"));
	if (frames != FRAME_VERSION)
		return err_set(err, ERR_INVALID, "the runner speaks version %lld of the frames, this dispatcher %d", (long long)frames,
		               FRAME_VERSION);
	j->hello = true;
	if (j->order) /* a runner that ended meanwhile says why in the log's next frames */
		(void)exchange_task(j, NULL);
	return 0;
}

static int on_frame(struct reading *r, const json_t *frame, struct err *err)
{
	struct job *j = r->job;
	const char *t = json_string_value(json_object_get(frame, "t"));
	CRASH_POINT("frame.%s", t);
	if (strcmp(t, "out") == 0) {
		on_out(j, frame);
	} else if (strcmp(t, "step") == 0) {
		on_step(j, frame);
	} else if (strcmp(t, "output") == 0) {
		on_output(j, frame);
	} else if (strncmp(t, "artifact", strlen("artifact")) == 0) {
		on_artifact(j, frame);
	} else if (strcmp(t, "hello") == 0) {
		return on_hello(j, frame, err);
	} else if (strcmp(t, "ready") == 0) {
		j->ready = true;
	} else if (strcmp(t, "going") == 0) {
		j->going = true;
		engine_send(j->engine, msg_new(MSG_GOING, "{s:s, s:i}", "id", j->id, "attempt", j->attempt));
	} else if (strcmp(t, "report") == 0) {
		json_decref(j->report);
		j->report = json_incref((json_t *)frame);
	} else {
		return err_set(err, ERR_INVALID, "a frame of an unknown kind");
	}
	return 0;
}

/* 0, or -1 where the reading ends: `enough` or `bad` says why. */
static int drain_frames(struct reading *r)
{
	struct job *j = r->job;
	cleanup_err struct err why = ERR_INIT;
	for (;;) {
		cleanup_json json_t *frame = NULL;
		int got = frame_reader_next(&r->frames, &frame, &why);
		if (got == 0)
			return 0;
		bool seen = got > 0 && ++r->n_frames <= j->frames;
		if (seen)
			continue;
		if (got < 0 || on_frame(r, frame, &why) < 0) {
			r->bad = true;
			free(j->fault);
			j->fault = xstrdup(err_msg(&why));
			return -1;
		}
		j->frames++;
		r->enough = !j->past_go && (j->ready || j->report);
		if (r->enough)
			return -1;
	}
}

/* The runner itself writes there only when something is wrong with it. */
static void on_stderr(struct reading *r, const char *data, size_t len)
{
	struct job *j = r->job;
	size_t skip = r->stderr_bytes < j->stderr_bytes ? j->stderr_bytes - r->stderr_bytes : 0;
	r->stderr_bytes += len;
	if (skip >= len || j->complaint.len >= COMPLAINT_MAX)
		return;
	data += skip;
	len -= skip;
	j->stderr_bytes += len;
	if (len > COMPLAINT_MAX - j->complaint.len)
		len = COMPLAINT_MAX - j->complaint.len;
	buf_add(&j->complaint, data, len);
	cleanup_free char *text = xasprintf("%.*s", (int)len, data);
	log_warn("the runner complains", "action", j->id, "text", text, NULL);
}

/* Takes the chunk header. false: it is not whole yet. */
static bool take_head(struct reading *r, const char **data, size_t *len)
{
	while (r->n_head < sizeof(r->head) && *len > 0) {
		r->head[r->n_head++] = (unsigned char)**data;
		++*data;
		--*len;
	}
	if (r->n_head < sizeof(r->head))
		return false;
	r->left = (uint32_t)r->head[4] << 24 | (uint32_t)r->head[5] << 16 | (uint32_t)r->head[6] << 8 | r->head[7];
	if (r->head[0] > 2 || r->left > CHUNK_MAX) {
		r->bad = true;
		free(r->job->fault);
		r->job->fault = xstrdup("the Docker Engine's log stream is malformed");
		return false;
	}
	return true;
}

static int on_data(const char *data, size_t len, void *arg)
{
	struct reading *r = arg;
	while (len > 0) {
		if (r->left == 0 && r->n_head < sizeof(r->head) && !take_head(r, &data, &len))
			break;
		size_t n = len < r->left ? len : r->left;
		if (r->head[0] == 2) {
			on_stderr(r, data, n);
		} else {
			frame_reader_feed(&r->frames, data, n);
			if (drain_frames(r) < 0)
				break;
		}
		data += n;
		len -= n;
		r->left -= (uint32_t)n;
		if (r->left == 0)
			r->n_head = 0;
	}
	log_flush(r->job);
	return r->enough || r->bad;
}

static int on_wake(void *arg)
{
	const struct reading *r = arg;
	return job_interrupted(r->job, r->follow);
}

int log_read(struct job *j, bool follow, int timeout_ms, struct err *err)
{
	struct reading r = {.job = j, .follow = follow, .frames = FRAME_READER_INIT};
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_err struct err why = ERR_INIT;
	cleanup_free char *path = xasprintf("/containers/%s/logs?stdout=1&stderr=1%s", j->name, follow ? "&follow=1" : "");
	struct http_request req = {.method = "GET",
	                           .path = path,
	                           .timeout_ms = timeout_ms,
	                           .on_data = on_data,
	                           .arg = &r,
	                           .wake_fd = j->wake_fd,
	                           .on_wake = on_wake};
	if (job_interrupted(j, follow))
		return err_set(err, ERR_FAIL, "interrupted");
	int got = api_send(&j->api, &req, &res, &why);
	frame_reader_free(&r.frames);
	if (r.bad)
		return err_set(err, ERR_INVALID, "%s", j->fault);
	if (got == 0 || r.enough)
		return 0;
	err_move(err, &why);
	return -1;
}
