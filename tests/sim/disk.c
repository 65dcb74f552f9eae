/*
 * The spool's disk. A file is replaced as lib/file.c does it: temporary file, fsync, rename, fsync of the folder. So a death in the middle leaves the old
 * content or the new one, never a torn one, and which of them it is after a loss of power is open from the rename to the last fsync.
 */
#include "lib/buf.h"
#include "tests/sim/world.h"

#include <string.h>

void disk_init(struct disk *d, int n)
{
	*d = (struct disk){.state = xcalloc((size_t)n, sizeof *d->state),
	                   .before = xcalloc((size_t)n, sizeof *d->before),
	                   .result = xcalloc((size_t)n, sizeof *d->result)};
}

void disk_free(struct disk *d, int n)
{
	for (int i = 0; d->state && i < n; i++) {
		free(d->state[i]);
		free(d->before[i]);
	}
	free(d->state);
	free(d->before);
	free(d->result);
	free(d->self.former);
	*d = (struct disk){.full = false};
}

void self_copy(struct self *to, const struct self *from)
{
	free(to->former);
	*to = *from;
	to->former = xcalloc((size_t)from->n_former + 1, sizeof *to->former);
	for (int i = 0; i < from->n_former; i++)
		memcpy(to->former[i], from->former[i], NONCE);
}

void disk_copy(struct disk *to, const struct disk *from, int n)
{
	disk_free(to, n);
	disk_init(to, n);
	self_copy(&to->self, &from->self);
	for (int i = 0; i < n; i++) {
		to->state[i] = from->state[i] ? xstrdup(from->state[i]) : NULL;
		to->result[i] = from->result[i];
	}
}

static void settle_on(struct disk *d, int i, bool old)
{
	if (old && d->before[i]) {
		free(d->state[i]);
		d->state[i] = d->before[i][0] ? d->before[i] : NULL;
		if (!d->state[i])
			free(d->before[i]);
	} else {
		free(d->before[i]);
	}
	d->before[i] = NULL;
}

void disk_sync(struct world *w, struct disk *d)
{
	for (int i = 0; i < w->n_actions; i++)
		if (d->before[i])
			settle_on(d, i, false);
}

void disk_power_loss(struct world *w, struct disk *d)
{
	for (int i = 0; i < w->n_actions; i++)
		if (d->before[i])
			settle_on(d, i, chance(w, 50));
}

/* What comes of a write at all: -1 nothing, 0 the new content and its loss is possible, 1 all is well. */
static int fate(struct world *w, struct dispatcher *d)
{
	if (w->faults && !w->plan.server_faults_only && rnd(w) % 512 == 0) {
		d->dying = true;
		return chance(w, 50) ? -1 : 0;
	}
	if (d->disk.full)
		return chance(w, 20) ? 0 : -1;
	return 1;
}

int disk_write_state(struct world *w, struct dispatcher *d, int i, char *text)
{
	struct disk *disk = &d->disk;
	int fates = fate(w, d);

	if (fates < 0) {
		free(text);
		return -1;
	}
	settle_on(disk, i, false);
	if (fates == 0)
		disk->before[i] = disk->state[i] ? disk->state[i] : xstrdup("");
	else
		free(disk->state[i]);
	disk->state[i] = text;
	return fates == 0 ? -1 : 0;
}

int disk_write_result(struct world *w, struct dispatcher *d, int i, const struct result_text *text)
{
	int fates = fate(w, d);

	if (fates >= 0)
		d->disk.result[i] = *text;
	return fates == 1 ? 0 : -1;
}

int disk_write_self(struct world *w, struct dispatcher *d, const struct self *self)
{
	int fates = fate(w, d);

	if (fates >= 0)
		self_copy(&d->disk.self, self);
	return fates == 1 ? 0 : -1;
}

bool disk_says(const struct disk *d, int i, const char *state)
{
	const char *at = d->state[i] ? strstr(d->state[i], "\"state\":\"") : NULL;

	return strncmp(at ? at + strlen("\"state\":\"") : "none", state, strlen(state)) == 0;
}
