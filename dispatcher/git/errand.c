#include "dispatcher/git/errand.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

struct errands {
	const struct config *config;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t more;
	struct errand_list waiting, done;
	bool begun, busy, ends;
	int fd;
	pthread_t thread;
};

struct errands *errands_new(const struct config *config)
{
	struct errands *e = xcalloc(1, sizeof *e);

	e->config = config;
	e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->more, NULL);
	TAILQ_INIT(&e->waiting);
	TAILQ_INIT(&e->done);
	return e;
}

struct errand *errand_new(enum errand_kind kind, const char *id, int64_t ask)
{
	struct errand *errand = xcalloc(1, sizeof *errand);

	errand->kind = kind;
	errand->ask = ask;
	memcpy(errand->id, id, strlen(id) + 1);
	return errand;
}

void errand_free(struct errand *errand)
{
	if (!errand)
		return;
	proposal_request_free(&errand->request);
	report_free(&errand->report);
	err_clear(&errand->err);
	forge_pull_free(&errand->pull);
	forge_pulls_free(&errand->pulls);
	json_decref(errand->findings);
	free(errand);
}

static void list_free(struct errand_list *list)
{
	struct errand *errand;

	while ((errand = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, errand, link);
		errand_free(errand);
	}
}

void errands_free(struct errands *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->ends = true;
	bool busy = e->busy;
	pthread_cond_signal(&e->more);
	pthread_mutex_unlock(&e->lock);
	if (busy)
		return;
	if (e->begun)
		pthread_join(e->thread, NULL);
	list_free(&e->waiting);
	list_free(&e->done);
	pthread_mutex_destroy(&e->lock);
	pthread_cond_destroy(&e->more);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
}

int errands_fd(const struct errands *e)
{
	return e->fd;
}

/* One that is not open any more is as good. */
static int close_request(struct forge *f, const struct errand *errand, struct err *err)
{
	struct forge_pull pull __attribute__((cleanup(forge_pull_free))) = {0};
	cleanup_free char *branch = xasprintf("vault/%s", errand->id);
	cleanup_err struct err why = ERR_INIT;

	if (forge_pull_of_branch(f, branch, &pull, &why) == 0)
		return forge_close(f, pull.number, err);
	if (why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

/* What the thread has of the forge. */
struct at_forge {
	struct forge *forge; /* NULL: not yet */
	char *me;            /* whose token it is; NULL: not asked yet */
};

static void leave_forge(struct at_forge *f)
{
	forge_free(f->forge);
	free(f->me);
}

static int who_am_i(struct at_forge *f, struct err *err)
{
	return f->me ? 0 : forge_whoami(f->forge, &f->me, err);
}

static int look_at_protection(struct at_forge *f, struct errand *errand, struct err *err)
{
	if (who_am_i(f, err) < 0)
		return -1;
	const struct forge_protection wanted = forge_ledger_protection(f->me);
	errand->findings = json_array();
	return forge_check_protection(f->forge, &wanted, errand->findings, err);
}

static int report(struct at_forge *f, const struct errand *errand, struct err *err)
{
	struct forge_pull pull __attribute__((cleanup(forge_pull_free))) = {0};
	const struct report *r = &errand->report;
	cleanup_err struct err why = ERR_INIT;

	if (who_am_i(f, err) < 0)
		return -1;
	int rc = forge_pull_of_commit(f->forge, r->commit, &pull, &why);
	if (rc < 0 && !(why.code == ERR_NOT_FOUND && errand->last_try)) {
		err_move(err, &why);
		return -1;
	}
	if (rc == 0 && forge_comment(f->forge, pull.number, f->me, r->marker, r->text, err) < 0)
		return -1;
	return forge_set_status(f->forge, r->commit, r->context, r->state, r->description, err);
}

static int carry_out(const struct config *config, struct at_forge *at, struct errand *errand)
{
	struct forge **f = &at->forge;
	bool made;

	if (!*f && forge_of_config(config, f, &errand->err) < 0)
		return -1;
	if (!*f)
		return err_set(&errand->err, ERR_FAIL, "approval.forge_url: is not set in %s", config->file);
	switch (errand->kind) {
	case ERRAND_REQUEST:
		return proposal_open_request(*f, &errand->request, config->branch, &errand->pull, &made, &errand->err);
	case ERRAND_PULLS:
		return forge_open_pulls(*f, &errand->pulls, &errand->err);
	case ERRAND_REPORT:
		return report(at, errand, &errand->err);
	case ERRAND_CLOSE:
		return close_request(*f, errand, &errand->err);
	case ERRAND_PROTECTION:
		return look_at_protection(at, errand, &errand->err);
	default:
		return err_set(&errand->err, ERR_FAIL, "no such errand");
	}
}

/* The next one, NULL: it is time to end. The one before is done. */
static struct errand *next(struct errands *e, struct errand *before)
{
	struct errand *errand;

	pthread_mutex_lock(&e->lock);
	if (before)
		TAILQ_INSERT_TAIL(&e->done, before, link);
	if (before && eventfd_write(e->fd, 1) < 0)
		e->ends = true; /* it is gone, and with it whoever would take it */
	e->busy = false;
	while (TAILQ_EMPTY(&e->waiting) && !e->ends)
		pthread_cond_wait(&e->more, &e->lock);
	errand = e->ends ? NULL : TAILQ_FIRST(&e->waiting);
	if (errand)
		TAILQ_REMOVE(&e->waiting, errand, link);
	e->busy = errand != NULL;
	pthread_mutex_unlock(&e->lock);
	return errand;
}

static void *work(void *arg)
{
	struct errands *e = arg;
	__attribute__((cleanup(leave_forge))) struct at_forge forge = {NULL, NULL};

	for (struct errand *errand = next(e, NULL); errand; errand = next(e, errand))
		errand->rc = carry_out(e->config, &forge, errand);
	return NULL;
}

void errands_send(struct errands *e, struct errand *errand)
{
	pthread_mutex_lock(&e->lock);
	TAILQ_INSERT_TAIL(&e->waiting, errand, link);
	pthread_cond_signal(&e->more);
	pthread_mutex_unlock(&e->lock);
	if (e->begun)
		return;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e->begun = pthread_create(&e->thread, NULL, work, e) == 0; /* otherwise the next one tries again */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct errand *errands_take(struct errands *e)
{
	eventfd_t n;

	pthread_mutex_lock(&e->lock);
	struct errand *errand = TAILQ_FIRST(&e->done);
	if (errand)
		TAILQ_REMOVE(&e->done, errand, link);
	if (TAILQ_EMPTY(&e->done) && eventfd_read(e->fd, &n) < 0)
		errno = 0; /* nothing was written since it was read last */
	pthread_mutex_unlock(&e->lock);
	return errand;
}
