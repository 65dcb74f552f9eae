/* The engine and keyring roles of a dispatcher, and the containers of its host. */
#include "tests/sim/world.h"

#include <string.h>

static struct container *container_of(struct dispatcher *d, int i, int attempt)
{
	return &d->containers[i][attempt];
}

static void say(struct world *w, struct dispatcher *d, enum event_kind what, int i)
{
	post(w, &d->to_core, (struct mail){.what = (int)what, .action = i, .attempt = d->attended[i].attempt});
}

static void fail(struct world *w, struct dispatcher *d, int i)
{
	*container_of(d, i, d->attended[i].attempt) = (struct container){.phase = C_NONE};
	d->attended[i].how = E_NONE;
	say(w, d, EV_FAILED, i);
}

static void start(struct world *w, struct dispatcher *d, int i, int attempt, bool replace)
{
	struct container *c = container_of(d, i, attempt);

	if (!replace && c->phase != C_NONE) {
		d->attended[i] = (struct attended){.how = E_NONE, .attempt = attempt};
		say(w, d, EV_FAILED, i);
		return;
	}
	if (c->phase == C_WENT || (c->phase == C_EXITED && !c->not_started))
		violate(w, i, "START over a container that passed GO");
	*c = (struct container){.phase = C_MADE, .stdin_open = true, .succeeds = chance(w, 70)};
	d->attended[i] = (struct attended){.how = E_STARTING, .attempt = attempt};
	if (!d->docker_up || (w->faults && !w->plan.server_faults_only && chance(w, 5)))
		fail(w, d, i); /* also a name that somebody else took */
}

static void go(struct world *w, struct dispatcher *d, int i)
{
	struct container *c = container_of(d, i, d->attended[i].attempt);

	if (d->attended[i].how != E_DELIVERED || c->phase != C_READY || !c->stdin_open)
		return;
	c->phase = C_WENT;
	c->stdin_open = false;
	d->attended[i].how = E_GOING;
	tell(w, d, "GO passed %s, attempt %d", w->a[i].id, d->attended[i].attempt);
	check_went(w, i, d->attended[i].attempt);
}

static void halt(struct world *w, struct dispatcher *d, int i)
{
	enum attendance how = d->attended[i].how;

	if (how == E_STARTING || how == E_READY || how == E_PIPE || how == E_DELIVERED)
		fail(w, d, i);
	else if (container_of(d, i, d->attended[i].attempt)->phase == C_WENT)
		container_of(d, i, d->attended[i].attempt)->cancelled = true;
}

void engine_hears(struct world *w, struct dispatcher *d, const struct mail *m)
{
	struct attended *at = &d->attended[m->action];

	switch ((enum effect_kind)m->what) {
	case EFFECT_START:
		start(w, d, m->action, m->attempt, m->ok);
		break;
	case EFFECT_DECRYPT:
		if (at->how == E_READY && at->attempt == m->attempt)
			at->how = E_PIPE;
		break;
	case EFFECT_GO:
		if (at->attempt == m->attempt)
			go(w, d, m->action);
		break;
	case EFFECT_FOLLOW:
		*at = (struct attended){.how = E_FOLLOWING, .attempt = m->attempt};
		break;
	case EFFECT_HALT:
	case EFFECT_KILL:
		if (at->attempt == m->attempt)
			halt(w, d, m->action);
		break;
	case EFFECT_REMOVE:
		*container_of(d, m->action, m->attempt) = (struct container){.phase = C_NONE};
		break;
	default:
		break;
	}
}

void engine_begins(struct world *w, struct dispatcher *d)
{
	for (int i = 0; i < w->n_actions; i++) {
		d->containers[i][d->attended[i].attempt].stdin_open = false;
		d->attended[i] = (struct attended){.how = E_NONE};
	}
	role_begins(w, d, ENGINE);
	post(w, &d->to_core, (struct mail){.what = EV_ENGINE, .action = -1, .ok = d->docker_up});
}

/* The steps of a container, and what the engine role sees of them. */
void container_moves(struct world *w, struct dispatcher *d, int i)
{
	struct attended *at = &d->attended[i];
	struct container *c = container_of(d, i, at->attempt);
	bool lively = w->faults && !w->plan.server_faults_only;

	if (!c->stdin_open && (c->phase == C_MADE || c->phase == C_READY)) {
		c->has_report = c->not_started = true;
		c->phase = C_EXITED;
	}
	if (c->phase == C_MADE && at->how == E_STARTING) {
		c->phase = C_READY;
		at->how = E_READY;
		say(w, d, EV_READY, i);
	} else if (at->how >= E_STARTING && at->how <= E_DELIVERED && (c->phase == C_NONE || c->phase == C_EXITED)) {
		fail(w, d, i); /* it ended before GO */
	} else if (at->how == E_PIPE && at->pipe_written) {
		at->how = E_DELIVERED;
		say(w, d, EV_DELIVERED, i);
	} else if (at->how == E_PIPE && at->pipe_dead) {
		fail(w, d, i);
	} else if (lively && c->phase == C_READY && at->how != E_NONE && chance(w, 5)) {
		tell(w, d, "DIES BEFORE GO %s", w->a[i].id);
		fail(w, d, i);
	} else if (c->phase == C_WENT) {
		c->phase = C_EXITED;
		c->has_report = true;
		w->a[i].finished[at->attempt] |= !c->cancelled;
	} else if ((at->how == E_GOING || at->how == E_FOLLOWING) && (c->phase == C_EXITED || c->phase == C_NONE) && d->docker_up &&
	           !(lively && chance(w, 30))) { /* an event may be lost, and is made good for by the next list */
		at->how = E_NONE;
		say(w, d, EV_EXITED, i);
	}
}

static void end_silently(struct world *w, struct dispatcher *d, int i)
{
	for (int attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
		struct container *c = container_of(d, i, attempt);
		if (c->phase == C_WENT) {
			c->phase = C_EXITED;
			w->a[i].excused = true;
		} else if (c->phase != C_EXITED) {
			c->phase = C_NONE;
		}
	}
}

/* The machine, or the Docker Engine with all its containers. */
void host_loses_power(struct world *w, struct dispatcher *d)
{
	for (int i = 0; i < w->n_actions; i++)
		end_silently(w, d, i);
}

void somebody_meddles(struct world *w, struct dispatcher *d, int i)
{
	for (int attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
		struct container *c = container_of(d, i, attempt);
		if (c->phase != C_WENT && c->phase != C_EXITED)
			continue;
		tell(w, d, "REMOVED BY OTHERS %s, attempt %d", w->a[i].id, attempt);
		*c = (struct container){.phase = C_NONE};
		w->a[i].excused = true;
	}
}

void keyring_begins(struct world *w, struct dispatcher *d)
{
	for (int i = 0; i < w->n_actions; i++)
		d->attended[i].pipe_dead |= !d->attended[i].pipe_written;
	role_begins(w, d, KEYRING);
}

void keyring_hears(struct world *w, struct dispatcher *d, const struct mail *m)
{
	bool damaged = is_damaged(w, m->action);

	if (d->attended[m->action].attempt == m->attempt) {
		d->attended[m->action].pipe_written = !damaged;
		d->attended[m->action].pipe_dead = damaged;
	}
	post(w, &d->to_core,
	     (struct mail){.what = damaged ? EV_NOT_DECRYPTED : EV_DECRYPTED, .action = m->action, .attempt = m->attempt, .refuse = true});
}
