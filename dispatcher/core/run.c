/* Runs and effects as data. */
#include "dispatcher/core/internal.h"
#include "lib/buf.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const journal_names[] = {"none", "claimed", "starting", "going", "result", "recorded"};

const char *journal_name(enum journal j)
{
	return journal_names[j];
}

int journal_parse(const char *name, enum journal *ret)
{
	for (int i = JOURNAL_NONE; name && i <= JOURNAL_RECORDED; i++)
		if (strcmp(name, journal_names[i]) == 0) {
			*ret = (enum journal)i;
			return 0;
		}
	return -1;
}

const char *run_state_name(enum run_state s)
{
	switch (s) {
	case RUN_WAITING:
		return "waiting";
	case RUN_QUEUED:
		return "queued";
	case RUN_CLAIMING:
	case RUN_BIDDING:
	case RUN_PREPARING:
	case RUN_STARTING:
	case RUN_DELIVERING:
	case RUN_COMMITTING:
	case RUN_CONFIRMING:
		return "starting";
	case RUN_GOING:
		return "running";
	case RUN_ENDING:
	case RUN_RECORDING:
	case RUN_CLOSING:
		return "recording";
	case RUN_DONE:
		return "finished";
	}
	return "unknown";
}

struct run *run_new(const char *id)
{
	struct run *r = xcalloc(1, sizeof *r);

	for (size_t i = 0; i < VAULT_ID_MAX && id[i]; i++)
		r->id[i] = id[i];
	r->attempt = 1;
	return r;
}

void run_free(struct run *r)
{
	if (!r)
		return;
	free(r->name);
	free(r->claim);
	json_decref(r->mine);
	free(r->offered_refuse);
	free(r->commit);
	free(r->action_blob);
	free(r->formula_name);
	free(r->formula_blob);
	free(r->tier);
	free(r->policy_blob);
	free(r->approval_mode);
	free(r->approval_by);
	action_free(&r->action);
	if (r->formula)
		formula_free(r->formula);
	free(r->formula);
	json_decref(r->secrets);
	json_decref(r->secret_blobs);
	free(r->container);
	free(r->image);
	free(r->reason);
	free(r->noted);
	free(r->held);
	free(r->halt_reason);
	free(r);
}

void set_text(char **field, const char *value)
{
	char *copy = value ? xstrdup(value) : NULL;

	free(*field);
	*field = copy;
}

static struct effect *effect_push(struct effects *e)
{
	if (e->n == e->cap) {
		e->cap = e->cap ? 2 * e->cap : 16;
		e->v = xrealloc(e->v, e->cap * sizeof *e->v);
	}
	struct effect *new = &e->v[e->n++];
	*new = (struct effect){.kind = EFFECT_NOTE};
	return new;
}

void effect_add(struct core *c, enum effect_kind kind, struct run *r)
{
	struct effect *e = effect_push(c->out);
	e->kind = kind;
	e->run = r;
}

void effect_journal(struct core *c, struct run *r, enum journal j)
{
	struct effect *e = effect_push(c->out);
	e->kind = EFFECT_JOURNAL;
	e->run = r;
	e->journal = j;
}

void effect_text(struct core *c, enum effect_kind kind, struct run *r, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	struct effect *e = effect_push(c->out);
	e->kind = kind;
	e->run = r;
	e->text = buf_steal(&text);
}

void effects_clear(struct effects *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].text);
	e->n = 0;
}

void effects_free(struct effects *e)
{
	effects_clear(e);
	free(e->v);
	*e = (struct effects){0};
}
