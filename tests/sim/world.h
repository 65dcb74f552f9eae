/*
 * A simulated world around the real core: dispatchers with their disks, roles and hosts, one git server that they share, and everything that can go
 * wrong with them. One seed, one story. What happens in a step depends on the seed, the number of the step and the state of the world only, so that a
 * fault can be left out of a story without changing the dice of the rest: that is how a failing one is shrunk (shrink.c).
 *
 *   world.c       the story: who moves, and the settling at the end
 *   fault.c       what goes wrong
 *   dispatcher.c  the core role: effects are carried out, messages become events, lives begin and end
 *   disk.c        the spool
 *   server.c      the git server: two branches, compare-and-swap, pushes that are refused, unanswered, applied late
 *   git.c         the git role, a small model of dispatcher/git
 *   engine.c      the engine and keyring roles, and the containers of a host
 *   check.c       the promises
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "dispatcher/core/core.h"
#include <stdbool.h>
#include <stdint.h>

#define DISPATCHERS_MAX 8
#define NAMES_MAX 32   /* dispatcher ids, those of lost spools too */
#define ATTEMPTS_MAX 8 /* from 1 */
#define NONCE 33

/* ---- what a result says ---- */
struct result_text {
	bool there;
	uint64_t digest; /* each writing of a result is another one */
	enum outcome outcome;
	int attempt, writer; /* -1: an operator */
	int name;            /* of the dispatcher that it says wrote it */
	char nonce[NONCE];
};

/* ---- messages in flight ---- */
enum { ENGINE, GIT, KEYRING, N_SIM_ROLES };
enum { TO_GIT_REMEMBERED = 1000, TO_GIT_LOST, TO_GIT_RERUN };

struct mail {
	int what;   /* enum effect_kind or TO_GIT_… towards a role, enum event_kind towards core */
	int action; /* -1: none */
	int attempt;
	bool ok, refuse, wait;
	int role;    /* EV_ROLE_UP, EV_ROLE_DOWN */
	int life;    /* EV_ROLE_UP: which one of that role */
	int journal; /* EV_JOURNALED */
	char nonce[NONCE];
	json_t *mine;              /* of a CLAIM; owned */
	struct result_text result; /* of a RECORD */
};
struct queue {
	struct mail *v;
	int head, n, cap;
};

/* ---- the git server ---- */
struct on_main {
	bool landed, cancelled;
	struct result_text result;
};
struct on_ledger {
	bool claimed, free, done;
	int attempt, name; /* of the claim */
	char nonce[NONCE];
	uint64_t digest; /* of the done entry */
};
enum branch { MAIN, LEDGER, N_BRANCHES };

/* Both branches as one side sees them. */
struct tree {
	int version[N_BRANCHES]; /* how many commits */
	struct on_main *main;
	struct on_ledger *ledger;
	int needs_main;               /* the version of main that holds every result with a done entry */
	char lives[NAMES_MAX][NONCE]; /* incarnations */
};
/* One file in a commit. */
struct change {
	int action; /* -1: a life */
	int name;   /* whose life */
	char life[NONCE];
	struct result_text result; /* on main */
	struct on_ledger entry;    /* in the ledger */
	int main_version;          /* of a done entry: holds its result */
};
struct push {
	enum branch branch;
	int base; /* the version that it was built on */
	struct change *v;
	int n, cap;
};
enum pushed { PUSH_WON, PUSH_LOST, PUSH_UNKNOWN };

struct server {
	bool up;
	struct tree now;
	struct {
		enum branch branch;
		int action;
	} * log; /* what each change touched, in order; what was written by version v of a branch stands below log_end[branch][v] */
	int n_log, cap_log;
	int *log_end[N_BRANCHES];
	int cap_versions[N_BRANCHES];
	struct push late[4]; /* that nobody waits for any more */
	int n_late;
};

/* ---- a spool ---- */
struct self {
	char incarnation[NONCE];
	char (*former)[NONCE];
	int n_former;
};
struct disk {
	bool full;
	struct self self;
	char **state;  /* state.json of each action; NULL: none */
	char **before; /* the one before, where power may bring it back: the last write failed when its content was there already */
	struct result_text *result; /* result.json */
};

/* ---- a host: its containers ---- */
enum phase { C_NONE, C_MADE, C_READY, C_WENT, C_EXITED };
struct container {
	enum phase phase;
	bool stdin_open;  /* somebody may still say GO */
	bool has_report;  /* its runner got to say how it went */
	bool not_started; /* … namely that it never saw GO */
	bool succeeds;    /* how the steps will end */
	bool cancelled;   /* it was told to end after GO */
};
/* How far the engine role has come with an action; forgotten when the role dies. */
enum attendance { E_NONE, E_STARTING, E_READY, E_PIPE, E_DELIVERED, E_GOING, E_FOLLOWING };
struct attended {
	enum attendance how;
	int attempt;
	bool pipe_written, pipe_dead;
};

/* ---- the git role ---- */
struct waiting_claim {
	int action, attempt;
	char nonce[NONCE];
	json_t *mine;
};
struct outgoing {
	int action;
	struct result_text result;
	bool on_main; /* and not in the ledger yet */
	bool silent;  /* core does not wait for it */
};
struct git_role {
	bool told; /* REMEMBERED came */
	bool incarnated, stranger;
	struct tree view;
	int scanned[N_BRANCHES]; /* the version that core was told of */
	int *announced;          /* the attempt that was announced; 0: none */
	bool *said_wait;         /* … as one that can't be judged now */
	bool *said_cancel;
	struct waiting_claim *claims;
	int n_claims, cap_claims;
	struct outgoing *out;
	int n_out, cap_out;
	int rerun; /* an operator frees the attempt after this one of this action; -1: none */
	struct push doubt[N_BRANCHES];
	bool in_doubt[N_BRANCHES];
};

/* ---- a dispatcher ---- */
struct dispatcher {
	bool used, alive, paused; /* used and not alive: told to end for good */
	int name;                 /* its id */
	char id[16];              /* the same */
	int lineage;              /* spools that are copies of each other share it */
	struct core *core;
	struct effects effects;
	struct queue to_core, to_role[N_SIM_ROLES];
	int life[N_SIM_ROLES], known[N_SIM_ROLES]; /* known: the life that core has a socket to; 0: none */
	bool git_waits;                            /* the incarnation is not on disk yet */
	struct self self;                          /* of this life, once it is on disk */
	bool dying;                                /* in the middle of an effect */
	bool docker_up;
	int64_t wall_skew_ms;
	struct disk disk;
	struct disk *yesterday; /* NULL: no copy was made */
	int yesterday_name, yesterday_lineage;
	struct git_role git;
	struct attended *attended;
	int64_t company_ms;  /* until then its core, which knows of another one in this life, wins claims before containers */
	bool *held;          /* git said last of each action that it must not start now */
	char (*told)[NONCE]; /* the claim of each action that its core was last told of as won, in this life */
	struct container (*containers)[ATTEMPTS_MAX];
};

/* What became of an action, over all dispatchers. */
struct action_world {
	char id[16];
	int went[ATTEMPTS_MAX];      /* times that GO was passed */
	bool finished[ATTEMPTS_MAX]; /* the steps came to their end by themselves */
	int winner[ATTEMPTS_MAX];    /* lineage + 1 of whoever was told that it won; 0: nobody */
	bool excused;                /* something happened to it that no dispatcher can know the end of */
};

/* What a story is made of. Everything that is not 0 here narrows what the seed would choose. */
struct plan {
	uint64_t seed;
	int actions, dispatchers, steps;
	bool server_faults_only;
	const uint64_t *skip; /* bit set of numbers of faults to leave out */
};
#define SKIP_WORDS 16 /* faults beyond the bits are never left out */

struct world {
	struct plan plan;
	uint64_t rng;
	int64_t mono_ms, wall_ms;
	int n_actions, n_dispatchers, capacity, n_names, n_lineages;
	bool ledger, faults, verbose;
	struct action_world *a;
	struct dispatcher d[DISPATCHERS_MAX];
	struct server server;
	uint64_t serial; /* of incarnations and digests */
	long steps, crashes, n_faults, runs, results;
	const char *violation; /* what was broken, NULL: nothing */
	int violated;          /* by which action, -1: none */
};

/* Some actions are special, by their number; not where exactly one run of each is wanted. */
static inline bool is_special(const struct world *w, int i, int k, int of)
{
	return i % of == k && !w->plan.server_faults_only;
}
static inline bool is_safe(const struct world *w, int i)
{
	return is_special(w, i, 1, 4); /* retry: safe */
}
static inline bool is_slow_to_judge(const struct world *w, int i)
{
	return is_special(w, i, 3, 8);
}
static inline bool is_refused(const struct world *w, int i)
{
	return is_special(w, i, 4, 8);
}
static inline bool is_damaged(const struct world *w, int i)
{
	return is_special(w, i, 6, 8); /* its secrets can't be decrypted */
}

/* One story from beginning to end. Returns the violated promise, or NULL. */
const char *world_run(struct world *w, const struct plan *plan, bool verbose);

/* shrink.c: the smallest story that still breaks a promise, told in full. */
void shrink(const struct plan *plan);

/* world.c: dice and story */
uint64_t rnd(struct world *w);
bool chance(struct world *w, unsigned percent);
int pick(struct world *w, int n);
void tell(const struct world *w, const struct dispatcher *d, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void violate(struct world *w, int action, const char *what);
void fresh(struct world *w, char ret[static NONCE]);

void post(struct world *w, struct queue *q, struct mail m);
bool take(struct queue *q, struct mail *ret); /* the receiver owns what is in it */
void mail_free(struct mail *m);
void queue_clear(struct queue *q);

/* fault.c */
void fault(struct world *w, struct dispatcher *d);
void spool_is_lost(struct world *w, struct dispatcher *d);

/* disk.c */
void disk_init(struct disk *d, int n);
void disk_free(struct disk *d, int n);
void disk_copy(struct disk *to, const struct disk *from, int n);
/* What a rename that was not synced, or a write that failed, leaves behind after power was lost. */
void disk_power_loss(struct world *w, struct disk *d);
void disk_sync(struct world *w, struct disk *d); /* all of it */
/* Take text. 0; -1: no space; d->dying: the dispatcher died in the middle of it. */
int disk_write_state(struct world *w, struct dispatcher *d, int i, char *text);
int disk_write_result(struct world *w, struct dispatcher *d, int i, const struct result_text *text);
int disk_write_self(struct world *w, struct dispatcher *d, const struct self *self);
bool disk_says(const struct disk *d, int i, const char *state); /* the state in state.json; "none" too */
void self_copy(struct self *to, const struct self *from);

/* server.c */
void server_init(struct server *s, int n);
void server_free(struct server *s);
void tree_free(struct tree *t);
void server_land(struct world *w, int i);
void server_cancel(struct world *w, int i);
void server_removes_result(struct world *w, int i); /* a human does */
enum pushed server_push(struct world *w, const struct push *p);
void server_applies_late(struct world *w);
/* Brings a view of a branch up to date. */
void server_fetch(const struct server *s, struct tree *view, enum branch b, int n);
void push_add(struct push *p, struct change c);
void push_clear(struct push *p);
void push_copy(struct push *to, const struct push *from);
void tree_apply(struct tree *t, const struct push *p);

/* git.c */
void git_init(struct git_role *g, int n);
void git_free(struct git_role *g);
void git_begins(struct world *w, struct dispatcher *d);
void git_hears(struct world *w, struct dispatcher *d, struct mail *m);
void git_moves(struct world *w, struct dispatcher *d);
/* Not a stranger's: a life of this name wrote it, or whoever has the claim. */
bool is_of_claim(const struct result_text *r, const struct on_ledger *at, int name);

/* engine.c */
void engine_begins(struct world *w, struct dispatcher *d);
void engine_hears(struct world *w, struct dispatcher *d, const struct mail *m);
void keyring_begins(struct world *w, struct dispatcher *d);
void keyring_hears(struct world *w, struct dispatcher *d, const struct mail *m);
void container_moves(struct world *w, struct dispatcher *d, int i);
void host_loses_power(struct world *w, struct dispatcher *d);
void somebody_meddles(struct world *w, struct dispatcher *d, int i);

/* dispatcher.c */
void dispatcher_init(struct world *w, struct dispatcher *d, int name, int lineage);
void dispatcher_free(struct world *w, struct dispatcher *d);
void begin_life(struct world *w, struct dispatcher *d);
void end_life(struct dispatcher *d);               /* kill -9 of everything */
void crash(struct world *w, struct dispatcher *d); /* the same, and it is started again */
void role_begins(struct world *w, struct dispatcher *d, int role);
void core_hears(struct world *w, struct dispatcher *d, const struct mail *m);
void core_ticks(struct world *w, struct dispatcher *d);
int index_of(const struct world *w, const char *id);
/* An operator asks there to settle an action, and is refused if it is in hand. */
void core_settles(struct world *w, struct dispatcher *d, int i, bool rerun);
bool holds_claim(const struct world *w, const struct dispatcher *d, int i); /* it will bring the action to its end */

/* check.c */
void check_effect(struct world *w, struct dispatcher *d, const struct effect *e, int i);
void check_journal(struct world *w, const struct run *r, enum journal j, int i);
void check_claimed(struct world *w, struct dispatcher *d, int i, int attempt);
void check_lost(struct world *w, struct dispatcher *d, int i, int attempt);
void check_went(struct world *w, int i, int attempt);
void check_action(struct world *w, int i);
bool is_over(const struct world *w, int i); /* nothing is left to be done about it, anywhere */

#endif
