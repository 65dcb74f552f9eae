/* What a start finds, and what it does about it: a line for each in boot.log, beside what is logged. */
#include "dispatcher/core_role/core_role.h"
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/log.h"

#include <string.h>

void house_found(struct house *h, const char *id, const char *found, const char *did)
{
	log_info("found at the start", "id", id, "found", found, "did", did, NULL);
	spool_boot(h->args->spool_fd, id, found, did);
}

/* What may be running is told once the engine has said whether it is. */
static void recovered(struct run *r, void *arg)
{
	struct house *h = arg;

	house_pulse(h);
	h->n_found++;
	if (r->journal == JOURNAL_GOING)
		json_object_set_new(h->maybe_running, r->id, json_true());
	else if (r->journal == JOURNAL_RESULT)
		house_found(h, r->id, "a result that may not be on the server", "taken there again");
	else if (r->journal != JOURNAL_RECORDED)
		house_found(h, r->id, r->journal == JOURNAL_STARTING ? "a start that never got GO" : "a claim that never got GO",
		            r->halt == HALT_CANCEL ? "cancelled, as it was told to be; nothing had run" : "begun anew; nothing had run");
	struct event ev = {.kind = EV_RECOVERED, .run = r};
	house_step(h, &ev);
}

static void not_recovered(const char *id, const char *why, void *arg)
{
	struct house *h = arg;

	log_error("can't be read from the spool; it is left alone, and its id stays taken", "id", id, "error", why, NULL);
	spool_boot(h->args->spool_fd, id, why, "left alone; its id stays taken");
	if (vault_is_id(id)) {
		struct run *r = run_new(id);
		r->journal = JOURNAL_RECORDED;
		r->reason = xasprintf("its state in the spool can't be read: %s", why);
		struct event ev = {.kind = EV_RECOVERED, .run = r};
		house_step(h, &ev);
	}
}

int house_recover(struct house *h, struct err *err)
{
	h->maybe_running = json_object();
	h->recovering = true;
	int rc = spool_load(h->args->spool_fd, recovered, not_recovered, h, err);
	h->recovering = false;
	if (rc < 0)
		return -1;
	cleanup_free char *known = xasprintf("a spool with %zu runs", h->n_found);
	spool_boot(h->args->spool_fd, NULL, known, "started, version " DISINTO_VERSION);
	return 0;
}

void house_boot_containers(struct house *h, const json_t *containers)
{
	size_t i;
	json_t *c;

	json_array_foreach (containers, i, c) {
		const char *name = json_string_value(json_object_get(c, "name"));
		const struct run *r = name ? core_find_by_container(h->core, name) : NULL;
		if (r && json_is_true(json_object_get(c, "running")) && json_object_del(h->maybe_running, r->id) == 0)
			house_found(h, r->id, "a container that runs", "adopted: followed again from its first byte");
	}
}

void house_boot_exited(struct house *h, const struct run *r, const struct exited *x)
{
	cleanup_free char *found = NULL, *did = NULL;

	if (json_object_del(h->maybe_running, r->id) < 0)
		return;
	if (x->report || x->has_exit_code)
		found = x->has_exit_code ? xasprintf("a container that ended meanwhile, with exit code %d", x->exit_code)
		                         : xstrdup("a container that ended meanwhile");
	else
		found = xasprintf("no container, though it may have run%s%s", x->reason ? ": " : "", x->reason ? x->reason : "");
	did = r->has_outcome ? xasprintf("%sits outcome is %s", x->has_exit_code ? "read to its end; " : "", outcome_name(r->outcome))
	                     : xasprintf("to be run again, as attempt %d", r->attempt);
	house_found(h, r->id, found, did);
}
