/* The core role: messages in, the pure core in the middle, the spool and messages out. */
#include "dispatcher/core_role/core_role.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

void house_step(struct house *h, struct event *ev)
{
	struct event now = *ev;

	now.mono_ms = now_mono_ms();
	now.wall_ms = now_wall_ms();
	core_step(h->core, &now, &h->effects);
	house_carry_out(h);
	while (h->n_pending > 0) {
		struct event next = h->pending[0];
		h->n_pending--;
		memmove(h->pending, h->pending + 1, h->n_pending * sizeof *h->pending);
		next.mono_ms = now_mono_ms();
		next.wall_ms = now_wall_ms();
		core_step(h->core, &next, &h->effects);
		house_carry_out(h);
		free((char *)(uintptr_t)next.reason);
		free((char *)(uintptr_t)next.nonce);
	}
}

void house_remove(struct house *h, const struct run *r)
{
	json_object_set_new(h->removing, r->id, json_integer(r->attempt));
	house_send(h, ROLE_ENGINE, msg_new(MSG_REMOVE, "{s:s, s:i, s:s}", "id", r->id, "attempt", r->attempt, "name", r->name), -1);
}

static bool is_listed(const json_t *containers, const char *name)
{
	size_t i;
	const json_t *c;

	json_array_foreach (containers, i, c)
		if (strcmp(name, json_text(c, "name")) == 0)
			return true;
	return false;
}

/* Nobody may have heard that a container was removed: an engine role that ends between the two never says so. */
static void forget_removed(struct house *h, const json_t *containers)
{
	const char *id;
	void *tmp;
	json_t *attempt;

	json_object_foreach_safe (h->removing, tmp, id, attempt) {
		const struct run *r = core_find(h->core, id);
		if (!r || !r->name || !is_listed(containers, r->name))
			json_object_del(h->removing, id);
	}
}

/* Containers of ours that nothing refers to any more are removed; those that we never made are left and reported once. */
void house_tidy(struct house *h, const json_t *containers)
{
	size_t i;
	json_t *c;

	forget_removed(h, containers);
	json_array_foreach (containers, i, c) {
		const char *name = json_string_value(json_object_get(c, "name"));
		struct run *r = name ? core_find_by_container(h->core, name) : NULL;
		int attempt;
		if (r && r->state == RUN_DONE) {
			if (!h->listed)
				house_found(h, r->id, "a container whose result is on the server", "removed");
			house_remove(h, r);
		} else if (!r && name && (r = core_find_by_old_container(h->core, name, &attempt))) {
			house_send(h, ROLE_ENGINE, msg_new(MSG_REMOVE, "{s:s, s:i, s:s}", "id", r->id, "attempt", attempt, "name", name),
			           -1);
		} else if (!r && name && !json_object_get(h->strangers, name)) {
			json_object_set_new(h->strangers, name, json_true());
			log_warn("a container has our name, but the spool knows nothing of it; it is left alone", "container", name, NULL);
			cleanup_free char *found = xasprintf("a container of our name that the spool knows nothing of: %s", name);
			spool_boot(h->args->spool_fd, NULL, found, "left alone");
		}
	}
	h->listed = true;
}

static void drop_role(struct house *h, enum role role, const char *reason)
{
	log_error("role is replaced", "role_name", role_name(role), "reason", reason, NULL);
	free(h->given_up[role]);
	h->given_up[role] = xstrdup(reason);
	msg_conn_close(&h->conn[role]);
	house_send(h, ROLE_PARENT, msg_new(MSG_KILL_ROLE, "{s:s, s:s}", "role", role_name(role), "reason", reason), -1);
}

void house_pulse(struct house *h)
{
	struct pulse *p = &h->pulse;

	if (!pulse_turn(p, now_mono_ms()))
		return;
	house_send(h, ROLE_PARENT, msg_new(MSG_ALIVE, NULL), -1);
	for (enum role r = ROLE_GIT; r < N_ROLES; r++) {
		if (h->conn[r].fd < 0)
			continue;
		if (!p->role[r].asked) {
			p->role[r].asked = ++p->n;
			house_send(h, r, msg_new(MSG_PING, "{s:I}", "n", p->n), -1);
		} else if (pulse_missed(p, r)) {
			cleanup_free char *reason = xasprintf("hangs: it gave no sign of life for %d s", pulse_limit_s(r));
			drop_role(h, r, reason);
		}
	}
	msg_flush(&h->conn[ROLE_PARENT], NULL); /* reading a long spool is many turns in a row */
}

/* Reads what a role sent. -1: the parent is gone. */
static int serve(struct house *h, enum role role, short events)
{
	cleanup_err struct err err = ERR_INIT;
	int open = 0, rc = 0;

	if (events & (POLLIN | POLLHUP | POLLERR))
		open = msg_fill(&h->conn[role], &err);
	for (;;) {
		cleanup_msg struct msg m = MSG_INIT;
		if (h->conn[role].fd < 0 || (rc = msg_next(&h->conn[role], &m, &err)) != 1)
			break;
		if ((rc = house_hear(h, role, &m, &err)) < 0)
			break;
		CRASH_POINT("heard.%s", m.kind);
	}
	if (rc >= 0 && open >= 0)
		return 0;
	if (role == ROLE_PARENT)
		return -1;
	if (rc < 0)
		drop_role(h, role, err_msg(&err));
	else
		msg_conn_close(&h->conn[role]); /* it died; the parent says ROLE_DOWN */
	return 0;
}

#define DAY_MS (24 * 3600 * 1000LL)

struct old_runs {
	int64_t before_ms;
	struct run **v;
	size_t n;
};

static void collect_old(struct run *r, void *arg)
{
	struct old_runs *old = arg;

	if (r->state != RUN_DONE || r->finished_ms == 0 || r->finished_ms >= old->before_ms)
		return;
	old->v = xrealloc(old->v, (old->n + 1) * sizeof(struct run *));
	old->v[old->n++] = r;
}

/* Once a day: what was recorded longer ago than the configuration keeps it. */
static void prune(struct house *h)
{
	struct old_runs old = {.before_ms = now_wall_ms() - h->args->config->keep_runs_days * DAY_MS};

	h->prune_at_ms = now_mono_ms() + DAY_MS;
	core_each(h->core, collect_old, &old);
	for (size_t i = 0; i < old.n; i++) {
		cleanup_err struct err err = ERR_INIT;
		if (spool_remove(h->args->spool_fd, old.v[i]->id, &err) < 0) {
			log_warn("an old run can't be removed from the spool", "id", old.v[i]->id, "error", err_msg(&err), NULL);
			continue;
		}
		house_send(h, ROLE_WEB, msg_new(MSG_RUN, "{s:s, s:b}", "id", old.v[i]->id, "forgotten", 1), -1);
		core_forget(h->core, old.v[i]);
	}
	if (old.n > 0)
		log_info("old runs were removed from the spool", NULL);
	free(old.v);
}

static int timeout_ms(const struct house *h)
{
	int64_t next = core_next_ms(h->core), now = now_mono_ms();

	if (h->quit_at_ms && !h->quit_sent && (next < 0 || h->quit_at_ms < next))
		next = h->quit_at_ms;
	if (h->git_waits && (next < 0 || h->git_retry_ms < next))
		next = h->git_retry_ms;
	if (json_object_size(h->unread) > 0 && (next < 0 || h->unread_at_ms < next))
		next = h->unread_at_ms;
	int64_t proposals = proposals_next_ms(&h->proposals);
	if (proposals >= 0 && (next < 0 || proposals < next))
		next = proposals;
	if (next < 0 || h->prune_at_ms < next)
		next = h->prune_at_ms;
	if (h->pulse.next_ms < next)
		next = h->pulse.next_ms;
	return next <= now ? 0 : next - now > DAY_MS ? (int)DAY_MS : (int)(next - now) + 1;
}

/* One turn: wait, read, decide, write. -1: the parent is gone. */
static int turn(struct house *h)
{
	struct pollfd fds[N_ROLES];
	int wait = timeout_ms(h);

	for (int r = 0; r < N_ROLES; r++) {
		fds[r].fd = h->conn[r].fd;
		fds[r].events = (short)(POLLIN | (h->conn[r].fd >= 0 && msg_wants_write(&h->conn[r]) ? POLLOUT : 0));
		fds[r].revents = 0;
	}
	if (poll(fds, N_ROLES, wait) < 0 && errno != EINTR)
		return -1;
	for (int r = 0; r < N_ROLES; r++)
		if (fds[r].fd >= 0 && fds[r].fd == h->conn[r].fd && fds[r].revents && serve(h, (enum role)r, fds[r].revents) < 0)
			return -1;
	int64_t due = core_next_ms(h->core);
	if (due >= 0 && due <= now_mono_ms()) {
		struct event tick = {.kind = EV_TICK};
		house_step(h, &tick);
	}
	if (h->git_waits && h->git_retry_ms <= now_mono_ms())
		house_greet_git(h);
	if (json_object_size(h->unread) > 0 && h->unread_at_ms <= now_mono_ms())
		house_record_again(h);
	if (h->prune_at_ms <= now_mono_ms())
		prune(h);
	house_expire_proposals(h, false);
	house_pulse(h);
	house_leave(h);
	house_show_status(h);
	for (int r = 0; r < N_ROLES; r++) {
		if (h->conn[r].fd < 0 || !msg_wants_write(&h->conn[r]))
			continue;
		CRASH_POINT("flush.%s", role_name((enum role)r));
		if (msg_flush(&h->conn[r], NULL) < 0 && r == ROLE_PARENT)
			return -1;
		CRASH_POINT("flushed.%s", role_name((enum role)r));
	}
	return 0;
}

int core_role(const struct role_args *args)
{
	cleanup_err struct err err = ERR_INIT;
	struct core_options options = {.capacity = args->config->capacity, .dispatcher_id = args->dispatcher_id};
	struct house h = {.args = args,
	                  .started_wall_ms = now_wall_ms(),
	                  .poll_reason = xstrdup("has not polled yet"),
	                  .outbox_ok = true,
	                  .reports_ok = true};

	for (int r = 0; r < N_ROLES; r++)
		h.conn[r].fd = -1;
	msg_conn_init(&h.conn[ROLE_PARENT], args->sock);
	options.ledger = house_uses_ledger(&h);
	randombytes_buf(options.seed, sizeof options.seed);
	h.core = core_new(&options);
	h.strangers = json_object();
	h.removing = json_object();
	h.unread = json_object();
	h.drain_asks = json_array();
	h.deciding = json_object();
	house_init_proposals(&h);
	house_load_tokens(&h);
	if (spool_load_git(args->spool_fd, &h.git_memory, &err) < 0) {
		log_error("can't read the spool", "error", err_msg(&err), NULL);
		return 1;
	}
	if (house_recover(&h, &err) < 0) {
		log_error("can't read the spool", "error", err_msg(&err), NULL);
		return 1;
	}
	while (turn(&h) == 0)
		;
	return 0;
}
