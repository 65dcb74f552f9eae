/* What goes wrong with a dispatcher and around it. */
#include "lib/buf.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

/* What is under way has an end that nobody can know now. */
static void excuse_all(struct world *w)
{
	for (int i = 0; i < w->n_actions; i++) {
		bool ended = w->server.now.main[i].result.there && (!w->ledger || w->server.now.ledger[i].done);
		w->a[i].excused |= w->server.now.main[i].landed && !ended;
	}
}

static void power_fails(struct world *w, struct dispatcher *d)
{
	tell(w, d, "POWER FAILS");
	end_life(d);
	disk_power_loss(w, &d->disk);
	host_loses_power(w, d);
	begin_life(w, d);
}

static void role_dies(struct world *w, struct dispatcher *d, int role)
{
	static const char *const names[] = {"engine", "git", "keyring"};

	tell(w, d, "ROLE DIES %s", names[role]);
	post(w, &d->to_core, (struct mail){.what = EV_ROLE_DOWN, .action = -1, .role = role});
	if (role == ENGINE)
		engine_begins(w, d);
	else if (role == GIT)
		git_begins(w, d);
	else
		keyring_begins(w, d);
}

static void spool_is_copied(struct world *w, struct dispatcher *d)
{
	for (int k = 0; k < DISPATCHERS_MAX; k++) {
		struct dispatcher *copy = &w->d[k];
		if (copy->used)
			continue;
		excuse_all(w);
		dispatcher_init(w, copy, d->name, d->lineage);
		disk_copy(&copy->disk, &d->disk, w->n_actions);
		w->n_dispatchers = k >= w->n_dispatchers ? k + 1 : w->n_dispatchers;
		tell(w, copy, "STARTS ON A COPY OF %c'S SPOOL", (char)('A' + (d - w->d)));
		begin_life(w, copy);
		return;
	}
}

static void spool_is_remembered(struct world *w, struct dispatcher *d)
{
	if (!d->yesterday)
		d->yesterday = xcalloc(1, sizeof *d->yesterday);
	disk_copy(d->yesterday, &d->disk, w->n_actions);
	d->yesterday_name = d->name;
	d->yesterday_lineage = d->lineage;
}

static void spool_is_restored(struct world *w, struct dispatcher *d)
{
	if (!d->yesterday)
		return;
	tell(w, d, "ITS SPOOL IS RESTORED FROM A BACKUP");
	excuse_all(w);
	end_life(d);
	disk_copy(&d->disk, d->yesterday, w->n_actions);
	d->name = d->yesterday_name;
	d->lineage = d->yesterday_lineage;
	snprintf(d->id, sizeof d->id, "d%d", d->name);
	begin_life(w, d);
}

void spool_is_lost(struct world *w, struct dispatcher *d)
{
	excuse_all(w);
	end_life(d);
	disk_free(&d->disk, w->n_actions);
	disk_init(&d->disk, w->n_actions);
	d->lineage = w->n_lineages++;
	if (w->n_names < NAMES_MAX && chance(w, 30)) {
		d->name = w->n_names++;
		snprintf(d->id, sizeof d->id, "d%d", d->name);
	}
	tell(w, d, "HAS A NEW SPOOL");
	begin_life(w, d);
}

/* One state can't be read any more. Only a human can say what became of that action. */
static void disk_rots(struct world *w, struct dispatcher *d, int i)
{
	if (!d->disk.state[i])
		return;
	tell(w, d, "ITS STATE OF %s IS DAMAGED", w->a[i].id);
	w->a[i].excused = true;
	end_life(d);
	free(d->disk.state[i]);
	d->disk.state[i] = xstrdup("damaged");
	begin_life(w, d);
}

static void fault_of_spool(struct world *w, struct dispatcher *d, int i)
{
	if (!w->ledger)
		return;
	switch (pick(w, 8)) {
	case 0:
		spool_is_copied(w, d);
		break;
	case 1:
	case 2:
		spool_is_restored(w, d);
		break;
	case 3:
		spool_is_lost(w, d);
		break;
	case 4:
		disk_rots(w, d, i);
		break;
	default:
		spool_is_remembered(w, d);
		break;
	}
}

/* A human is wrong, or in a hurry. */
static void hasty_operator(struct world *w, struct dispatcher *d, int i)
{
	if (!w->server.now.ledger[i].claimed || w->server.now.ledger[i].attempt >= ATTEMPTS_MAX - 3)
		return;
	w->a[i].excused = true;
	core_settles(w, d, i, chance(w, 50));
}

static void fault_of_clock(struct world *w, struct dispatcher *d)
{
	static const int64_t year = 365LL * 24 * 3600 * 1000;

	d->wall_skew_ms = (pick(w, 21) - 10) * year;
	if (chance(w, 30))
		w->mono_ms += pick(w, 3600 * 1000); /* an hour of SIGSTOP, for everybody but those who move meanwhile */
}

void fault(struct world *w, struct dispatcher *d)
{
	int i = pick(w, w->n_actions);

	switch (pick(w, 14)) {
	case 0:
		crash(w, d);
		break;
	case 1:
		power_fails(w, d);
		break;
	case 2:
	case 3:
	case 4:
		role_dies(w, d, pick(w, N_SIM_ROLES));
		break;
	case 5:
		d->docker_up = !d->docker_up;
		if (!d->docker_up && chance(w, 20))
			host_loses_power(w, d); /* it takes its containers with it */
		post(w, &d->to_core, (struct mail){.what = EV_ENGINE, .action = -1, .ok = d->docker_up});
		break;
	case 6:
		w->server.up = !w->server.up;
		break;
	case 7:
		d->disk.full = !d->disk.full;
		break;
	case 8:
		if (chance(w, 20))
			somebody_meddles(w, d, i);
		break;
	case 9:
		if (chance(w, 30))
			server_cancel(w, i);
		break;
	case 10:
		fault_of_clock(w, d);
		break;
	case 11:
		d->paused = !d->paused;
		break;
	case 12:
		fault_of_spool(w, d, i);
		break;
	default:
		if (w->ledger && chance(w, 30))
			hasty_operator(w, d, i);
		break;
	}
}
