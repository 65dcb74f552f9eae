/* The parent: forks the roles, replaces those that end, passes their sockets to core, and ends the whole. */
#include "dispatcher/parent.h"
#include "dispatcher/lend.h"
#include "dispatcher/open.h"
#include "dispatcher/pulse.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_MOST_MS 30000
#define SETTLED_MS 10000 /* a role that lived this long begins its backoff anew */
#define LEAVE_MS 3000    /* how long roles get to end by themselves */
#define STOP_SLACK_S 90  /* how much longer than drain_seconds core gets to leave: it may have to be replaced first */

struct child {
	pid_t pid; /* 0: not running */
	int64_t started_ms;
	int64_t start_at_ms; /* when not running: not before */
	int pause_ms;
};

struct parent {
	struct config *config; /* args.config */
	struct role_args args; /* as every role gets it; sock differs */
	struct child child[N_ROLES];
	struct msg_conn core;
	struct pulse pulse; /* of core; and, under the parent's own name, of core's leaving at once */
	int signals;
	bool stopping, fast, quitting;
	int stop_turns;        /* of the watch over core, until it is left, since TERM came */
	bool draining, called; /* as core said: DRAINING */
	bool reload;           /* SIGHUP came */
	bool ending;           /* the roles are told to end; none is replaced */
	int exit_code;
};

static int (*const entry[N_ROLES])(const struct role_args *) = {
    [ROLE_CORE] = core_role, [ROLE_GIT] = git_role, [ROLE_KEYRING] = keyring_role, [ROLE_ENGINE] = engine_role, [ROLE_WEB] = web_role};

static void run_role(struct parent *p, enum role r, int sock)
{
	cleanup_err struct err err = ERR_INIT;
	sigset_t none;

	p->args.sock = sock;
	signal(SIGINT, SIG_IGN); /* what is sent to the whole group (a Ctrl-C, a stopping service) is the parent's to handle */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (role_confine(r, &p->args, &err) < 0) {
		fprintf(stderr, "disinto-dispatcher: %s\n", err_msg(&err));
		_exit(1);
	}
	lend_apply(r, p->config, &p->args);
	_exit(entry[r](&p->args));
}

/* Forks a role; *ret_sock is our (or core's) end of its socket. */
static int fork_role(struct parent *p, enum role r, int *ret_sock, struct err *err)
{
	int pair[2];

	if (msg_pair(pair, err) < 0)
		return -1;
	CRASH_POINT("fork.%s", role_name(r));
	pid_t pid = fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return err_errno(err, errno, "fork");
	}
	if (pid == 0)
		run_role(p, r, pair[1]);
	close(pair[1]);
	p->child[r].pid = pid;
	p->child[r].started_ms = now_mono_ms();
	*ret_sock = pair[0];
	CRASH_POINT("forked.%s", role_name(r));
	return 0;
}

static void tell(struct parent *p, json_t *body, int fd)
{
	if (p->core.fd >= 0) {
		msg_queue(&p->core, body, fd);
		msg_flush(&p->core, NULL);
	} else if (fd >= 0) {
		close(fd);
	}
	json_decref(body);
}

static void start_role(struct parent *p, enum role r)
{
	cleanup_err struct err err = ERR_INIT;
	int sock = -1;

	if (fork_role(p, r, &sock, &err) < 0) {
		log_error("can't start role", "role_name", role_name(r), "error", err_msg(&err), NULL);
		p->child[r].start_at_ms = now_mono_ms() + 1000;
		return;
	}
	if (r == ROLE_CORE) {
		msg_conn_init(&p->core, sock);
		pulse_begin(&p->pulse, ROLE_CORE);
		if (p->draining)
			tell(p, msg_new(MSG_STOP, "{s:b, s:b}", "drain", 1, "called", p->called), -1);
		if (p->stopping)
			tell(p, msg_new(MSG_STOP, "{s:b}", "fast", p->fast), -1);
	} else {
		tell(p, msg_new(MSG_ROLE_UP, "{s:s}", "role", role_name(r)), sock);
	}
}

/* Core first: the others are introduced to it. */
static void start_due(struct parent *p)
{
	int64_t now = now_mono_ms();

	for (enum role r = ROLE_CORE; r < N_ROLES && !p->quitting; r++)
		if (p->child[r].pid == 0 && p->child[r].start_at_ms <= now && (r == ROLE_CORE || p->child[ROLE_CORE].pid))
			start_role(p, r);
}

static void plan_restart(struct child *c)
{
	int64_t now = now_mono_ms();

	if (now - c->started_ms >= SETTLED_MS)
		c->pause_ms = 0;
	c->start_at_ms = now + c->pause_ms;
	c->pause_ms = c->pause_ms ? 2 * c->pause_ms : 250;
	if (c->pause_ms > BACKOFF_MOST_MS)
		c->pause_ms = BACKOFF_MOST_MS;
}

static char *how_it_ended(int status)
{
	if (WIFSIGNALED(status))
		return xasprintf("was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return xasprintf("exited with code %d", WEXITSTATUS(status));
}

/* Without core the others have nobody to talk to: all begin anew. */
static void core_ended(struct parent *p)
{
	msg_conn_close(&p->core);
	for (enum role r = ROLE_GIT; r < N_ROLES; r++)
		if (p->child[r].pid)
			kill(p->child[r].pid, SIGKILL);
}

static void child_ended(struct parent *p, pid_t pid, int status)
{
	for (enum role r = ROLE_CORE; r < N_ROLES; r++) {
		if (p->child[r].pid != pid)
			continue;
		cleanup_free char *how = how_it_ended(status);
		p->child[r].pid = 0;
		plan_restart(&p->child[r]);
		if (p->ending)
			return;
		log_error("role ended and is replaced", "role_name", role_name(r), "how", how, NULL);
		if (r == ROLE_CORE)
			core_ended(p);
		else
			tell(p, msg_new(MSG_ROLE_DOWN, "{s:s, s:s}", "role", role_name(r), "reason", how), -1);
		return;
	}
}

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(p, pid, status);
}

static void hear_signal(struct parent *p)
{
	struct signalfd_siginfo info;

	while (read(p->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD) {
			reap(p);
		} else if (info.ssi_signo == SIGHUP) {
			p->reload = true;
		} else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
			if (!p->stopping)
				p->stop_turns = pulse_turns(p->config->drain_seconds + STOP_SLACK_S);
			p->fast = p->stopping;
			p->stopping = true;
			tell(p, msg_new(MSG_STOP, "{s:b}", "fast", p->fast), -1);
		}
	}
}

static void hear_core(struct parent *p)
{
	cleanup_err struct err err = ERR_INIT;
	enum msg_kind kind;
	enum role role;
	int open = msg_fill(&p->core, &err);

	for (;;) {
		cleanup_msg struct msg m = MSG_INIT;
		if (msg_next(&p->core, &m, &err) != 1)
			break;
		if (msg_check(&m, ROLE_CORE, ROLE_PARENT, &kind, &err) < 0) {
			log_error("core talks nonsense", "error", err_msg(&err), NULL);
			kill(p->child[ROLE_CORE].pid, SIGKILL);
			return;
		}
		if (kind == MSG_ALIVE) {
			pulse_heard(&p->pulse, ROLE_CORE);
		} else if (kind == MSG_DRAINING) {
			p->draining = true;
			p->called = json_is_true(json_object_get(m.body, "called"));
		} else if (kind == MSG_QUIT) {
			p->quitting = true;
			p->exit_code = (int)json_integer_value(json_object_get(m.body, "exit_code"));
		} else if (kind == MSG_KILL_ROLE && role_parse(json_string_value(json_object_get(m.body, "role")), &role) == 0 &&
		           role > ROLE_CORE && p->child[role].pid) {
			kill(p->child[role].pid, SIGKILL);
		}
	}
	if (open < 0)
		msg_conn_close(&p->core); /* SIGCHLD says the rest */
}

/* Core watches the others; who watches core is the parent. */
static void watch_core(struct parent *p)
{
	if (!pulse_turn(&p->pulse, now_mono_ms()))
		return;
	if (p->child[ROLE_CORE].pid && pulse_missed(&p->pulse, ROLE_CORE)) {
		log_error("core hangs and is replaced", NULL);
		pulse_begin(&p->pulse, ROLE_CORE);
		kill(p->child[ROLE_CORE].pid, SIGKILL);
	}
	if ((p->fast && pulse_missed(&p->pulse, ROLE_PARENT)) || (p->stopping && p->stop_turns-- <= 0)) {
		log_error("core does not leave; it is left", NULL);
		p->quitting = true;
	}
}

static int wait_ms(const struct parent *p)
{
	int64_t now = now_mono_ms(), wait = p->pulse.next_ms > now ? p->pulse.next_ms - now : 0;

	for (enum role r = ROLE_CORE; r < N_ROLES && (r == ROLE_CORE || p->child[ROLE_CORE].pid); r++)
		if (p->child[r].pid == 0 && p->child[r].start_at_ms - now < wait)
			wait = p->child[r].start_at_ms > now ? p->child[r].start_at_ms - now : 0;
	return (int)wait;
}

static bool any_child(const struct parent *p)
{
	for (enum role r = ROLE_CORE; r < N_ROLES; r++)
		if (p->child[r].pid)
			return true;
	return false;
}

/* Roles end when their socket does; what does not is killed. */
static void end_roles(struct parent *p)
{
	int64_t until = now_mono_ms() + LEAVE_MS;

	p->ending = true;
	msg_conn_close(&p->core);
	while (any_child(p)) {
		struct pollfd fd = {.fd = p->signals, .events = POLLIN};
		int64_t left = until - now_mono_ms();
		if (left <= 0) {
			for (enum role r = ROLE_CORE; r < N_ROLES; r++)
				if (p->child[r].pid)
					kill(p->child[r].pid, SIGKILL);
			left = LEAVE_MS;
			until = now_mono_ms() + LEAVE_MS;
		}
		poll(&fd, 1, (int)left);
		hear_signal(p);
		reap(p);
	}
	p->ending = false;
}

/*
 * SIGHUP: the configuration is read again, and all roles begin anew with it, which is nothing but what a death of core brings about: what runs
 * is followed again, what was in flight is found out. A configuration that is no good changes nothing.
 */
static void reload(struct parent *p)
{
	cleanup_err struct err err = ERR_INIT;

	p->reload = false;
	if (open_again(p->config, &p->args, &err) < 0) {
		log_error("the configuration was not read again; the old one stays", "error", err_msg(&err), NULL);
		return;
	}
	log_init("parent", p->config->log_level, p->config->log_json);
	log_info("the configuration was read again; all roles begin anew with it", "file", p->config->file, NULL);
	if (p->core.fd >= 0)
		hear_core(p); /* what it has said counts */
	end_roles(p);
	for (enum role r = ROLE_CORE; r < N_ROLES; r++)
		p->child[r] = (struct child){.pid = 0};
}

/* It starts other users' processes, and executes nothing. */
static int parent_confine(struct err *err)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_errno(err, errno, "the dispatcher can't be confined");
	return 0;
}

int parent_run(const struct role_args *args, struct config *config, struct err *err)
{
	struct parent p = {.args = *args, .config = config, .core = {.fd = -1}};
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	p.signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (p.signals < 0)
		return err_errno(err, errno, "signalfd");
	if (parent_confine(err) < 0) {
		close(p.signals);
		return -1;
	}
	while (!p.quitting) {
		start_due(&p);
		struct pollfd fds[2] = {{.fd = p.signals, .events = POLLIN}, {.fd = p.core.fd, .events = POLLIN}};
		if (p.core.fd >= 0 && msg_wants_write(&p.core))
			fds[1].events |= POLLOUT;
		if (poll(fds, 2, wait_ms(&p)) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			hear_signal(&p);
		if (p.core.fd >= 0 && fds[1].revents & POLLOUT)
			msg_flush(&p.core, NULL);
		if (p.core.fd >= 0 && fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			hear_core(&p);
		watch_core(&p);
		if (p.reload && !p.quitting)
			reload(&p);
	}
	end_roles(&p);
	close(p.signals);
	return p.exit_code;
}
