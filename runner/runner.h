/*
 * disinto-runner: PID 1 of a task container. vault/frame.h has the frames it speaks.
 *
 * The life of a run, top to bottom (main.c):
 *   confine      capabilities, no dumps, signals                          confine.c
 *   hello
 *   task         frames -> action and formula, checked again              task.c, input.c
 *   check        tools, tmpfs, folders, as the step's user would see them check.c
 *   ready
 *   secrets      exactly those that the action names                      secrets.c
 *   go           standard input is closed for good
 *   going        is out before anything of the formula runs
 *   steps        spawn, follow, kill what is left over                    steps.c, process.c, environment.c, outputs.c
 *                prompt steps: agents, what they are told, what they say  agent.c, prompt.c, progress.h
 *                git's questions for credentials                          askpass.h
 *                the user's name, for programs that ask for it            account.h
 *   artifacts    what the steps left to be kept                           artifacts.c
 *   report       last frame; then the exit status says it again           ending.c, output.c
 *
 * There is one thread and, from GO on, one place that waits: turn() in steps.c. Nothing blocks on standard output: what can't be
 * written is kept, within bounds, and what would grow it is not read.
 */
#ifndef RUNNER_RUNNER_H
#define RUNNER_RUNNER_H

#include "lib/buf.h"
#include "lib/err.h"
#include "runner/account.h"
#include "runner/progress.h"
#include "vault/action.h"
#include "vault/formula.h"
#include "vault/frame.h"
#include "vault/redact/redact.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECRETS_DIR "/run/secrets"
#define TASK_DIR "/task"
#define TMP_DIR "/tmp"
#define SHELL "/bin/sh"
#define OUTPUT_NAME ".output" /* in SECRETS_DIR: no secret has such a name */
#define OUTPUT_FILE SECRETS_DIR "/" OUTPUT_NAME

/* Exit statuses of runs that never reached a step. A run that did exits as its first failing step, or as below. */
enum {
	EXIT_NOT_STARTED = 125, /* also: the runner itself failed after GO */
	EXIT_REFUSED = 126,
	EXIT_TIMED_OUT = 124,
	EXIT_CANCELLED = 130,
};

/* ---- output.c: frames to standard output, redacted and bounded ---- */

enum stream { STREAM_OUT, STREAM_ERR, N_STREAMS };

/*
 * Of a run's output, counted after redaction, the first OUTPUT_HEAD bytes leave at once; of the rest, the last OUTPUT_TAIL are kept in
 * memory and leave at the end. Together 16 MiB. Since tiny frames cost an engine's log more than their text does, the head also ends when
 * its frames have cost OUTPUT_HEAD_COST, each counted as its bytes and OUTPUT_FRAME_COST.
 */
#define OUTPUT_TAIL ((size_t)512 << 10)
#ifndef OUTPUT_HEAD /* `make bench` has a runner without these bounds */
#define OUTPUT_HEAD (((size_t)16 << 20) - OUTPUT_TAIL)
#define OUTPUT_HEAD_COST ((size_t)64 << 20)
#endif
#define OUTPUT_FRAME_COST ((size_t)128)

struct output {
	struct buf pending; /* frames that were not written yet, from `written` on */
	size_t written;
	bool broken;                             /* nobody can read: everything is dropped */
	const struct redactor *redactor;         /* borrowed; NULL before the secrets are known */
	struct redact_stream *redact[N_STREAMS]; /* of the present step; NULL between steps */
	struct frame_text text[N_STREAMS];
	struct buf clean;       /* what a redactor gave; kept for its memory */
	size_t head, head_cost; /* spent */
	struct buf tail;        /* records, see output.c; fixed room of twice OUTPUT_TAIL */
	size_t last_record;     /* offset in tail of the newest one */
	size_t tail_at;         /* once the tail leaves: offset of the next record to go */
	bool tail_leaves;
	size_t left_out; /* bytes that fell out of the tail */
};
#define OUTPUT_INIT \
	{ \
		.pending = BUF_INIT, .clean = BUF_INIT, .tail = BUF_INIT \
	}

void output_start_step(struct output *o);
/* Bytes that a step wrote. */
void output_add(struct output *o, enum stream s, const char *data, size_t len);
/* What the redactors and decoders hold back leaves. */
void output_end_step(struct output *o);
/* Takes the frame. */
void output_frame(struct output *o, json_t *frame);
/* A string that left the program's hands: redacted, valid UTF-8, at most max bytes. */
json_t *output_text(const struct output *o, const char *s, size_t max);
/* The same, short enough for any frame. NULL gives null. */
json_t *output_string(const struct output *o, const char *s);

/* Whether more may be added; never false for long unless standard output stands still. */
bool output_has_room(const struct output *o);
bool output_is_pending(const struct output *o);
/* Writes what standard output takes now. False when that was nothing. */
bool output_write(struct output *o);
/* Drops everything, now and from now on. */
void output_give_up(struct output *o);
/* Moves the next piece of the kept tail to where it is written from; false when there is none left. */
bool output_next_of_tail(struct output *o);
void output_free(struct output *o);

/* ---- secrets.c ---- */

#define SECRETS_MAX 32

struct secret {
	char *name;
	unsigned char *value; /* guarded memory */
	size_t len;
};

struct secrets {
	struct secret items[SECRETS_MAX];
	size_t n;
	unsigned char *partial; /* of the value that is being received: guarded, SECRET_MAX_BYTES; NULL between values */
	size_t partial_len;
	char *partial_name;
};

/* One `secret` frame. ERR_INVALID: not what `wanted` (the action's names) allows; no message holds a byte of a value. */
int secrets_add(struct secrets *s, const json_t *wanted, const json_t *frame, struct err *err);
/* The secrets_end frame: everything wanted is there, and fits the ways in which steps get it. */
int secrets_end(const struct secrets *s, const json_t *wanted, const json_t *frame, enum formula_secrets_as as, struct err *err);
/* Whether the step may have this secret: all of the action's unless it lists some; a prompt step has only what it lists. */
bool secrets_granted(const struct formula_step *step, const char *name);
/* Makes the folder hold exactly this step's files, 0400, owned by uid. step NULL: none. */
int secrets_place(const struct secrets *s, int dir_fd, const struct formula_step *step, uint32_t uid, enum formula_secrets_as as,
                  struct err *err);
void secrets_free(struct secrets *s);

/* ---- the whole ---- */

/* Why a step, and with it the run, is told to stop. */
enum stop { STOP_NONE, STOP_CANCELLED, STOP_TIMED_OUT, STOP_STEP_TIMED_OUT };

struct runner {
	struct output out;
	struct frame_reader in;
	struct action action;
	struct formula formula;
	json_t *agents; /* name -> command line, of the dispatcher's configuration; NULL or an object */
	struct secrets secrets;
	struct account account;
	struct redactor *redactor;
	struct progress *progress; /* of the present step, when its agent speaks events */
	const char *path;          /* PATH of the steps, from the container's environment */
	int signal_fd;             /* TERM, INT, CHLD */
	int null_fd;               /* /dev/null */
	int secrets_fd;            /* SECRETS_DIR */
	int output_fd;             /* what $DISINTO_OUTPUT names */
	char *known_hosts;         /* text of a known_hosts file, or NULL */
	json_t *outputs;           /* of the steps so far, name -> value: redacted; inputs of the next steps */
	int terms;                 /* TERM and INT seen */
	int64_t moved_ms;          /* when standard output last moved or had nothing to do, and not before the first TERM */
	int64_t deadline_ms;       /* of the run, from GO on */
	bool stopped;              /* cancelled or timed out: what still runs cleans up, until clean_up_ms */
	int stop_terms;            /* of `terms`, when it was stopped */
	int64_t clean_up_ms;
};

/* How the run ended, for the report. */
struct ending {
	const char *outcome; /* as vault/frame.h lists them */
	int exit_code;       /* -1: null */
	int status;          /* of this program */
	char *reason;        /* owned; NULL for succeeded */
};

/* confine.c: before anything is read. ERR_DENIED names what is missing to run steps at all. */
int confine(struct err *err);
/* The signals that are read from the descriptor it returns, and blocked. */
int confine_signals(struct err *err);
/* In a child: becomes the user for good, without groups and capabilities. 0, or -1 with errno. */
int become_user(uint32_t uid);

/* input.c: the next frame. ERR_UNREACHABLE: the input ended or a signal said stop; ERR_INVALID: no frame. Caller owns *ret. */
int input_next(struct runner *r, json_t **ret, struct err *err);
/* Standard input gives nothing more to anybody. */
void input_close(struct runner *r);

/* task.c */
int task_read(struct runner *r, struct err *err);
int task_read_secrets(struct runner *r, struct err *err);
int task_read_go(struct runner *r, struct err *err);

/* check.c: what the image and the engine must give, looked at before a secret is asked for. Opens null_fd and secrets_fd. */
int check_machine(struct runner *r, struct err *err);

/* agent.c: the agents of prompt steps; those that we know, and the configuration's. */

/* What step needs of its agent, as far as it can be said before the machine is looked at. ERR_INVALID. */
int agent_check(const struct runner *r, const struct formula_step *step, struct err *err);
/* Where a value of the step stands in the formula's file, for messages: formula_where(). Caller frees. */
char *agent_where(const struct runner *r, const struct formula_step *step, const char *key);
/* A prompt that no argument can hold: ERR_INVALID. */
int agent_check_prompt(const struct formula_step *step, const char *prompt, struct err *err);
/* The program that must be on the PATH, or NULL for an agent that nobody knows. Borrowed. */
const char *agent_program(const struct runner *r, const char *name);
/* The i-th NAME=value that the agent gets besides what every step gets; NULL after the last. Borrowed. */
const char *agent_variable(const struct runner *r, const char *name, size_t i);
bool agent_speaks_events(const char *name);
/* The whole command line, NULL-terminated. Caller frees with agent_argv_free. */
char **agent_argv(const struct runner *r, const struct formula_step *step, const char *prompt);
void agent_argv_free(char **argv);

/* prompt.c: what the agent is told. Caller frees. */
char *prompt_make(const struct runner *r, const struct formula_step *step);

/* askpass.c: see askpass.h. The map's text, "" where the step has none of the secrets (caller frees); and the helper itself. */
char *askpass_map(const struct runner *r, const struct formula_step *step);
int askpass_place(const struct runner *r, struct err *err);

/* known_hosts.c: the `known_hosts` of the task (NULL: none), and its file, which everybody may read and only root change. */
#define KNOWN_HOSTS_NAME ".known_hosts"
#define KNOWN_HOSTS_FILE SECRETS_DIR "/" KNOWN_HOSTS_NAME
int known_hosts_take(struct runner *r, const json_t *text, struct err *err);
int known_hosts_place(const struct runner *r, struct err *err);

/* environment.c: the whole environment of a step, NULL-terminated, in one block of guarded memory. Caller frees with sodium_free. */
char **environment_make(const struct runner *r, const struct formula_step *step);

/* process.c */
struct process {
	pid_t pid;
	int pipes[N_STREAMS]; /* read ends, non-blocking; -1 once closed */
};
/* What a step runs: SHELL on a script, or where that is NULL a command line, whose program is looked for on the step's PATH. */
struct command {
	const char *script;
	char *const *argv;
};
/* Starts it as the user, with stdin from null_fd. On -1 nothing runs. */
int process_start(const struct command *command, char *const *env, uint32_t uid, int null_fd, struct process *ret, struct err *err);
/* A signal to every other process of the container. */
void process_signal_all(int sig);
/* Takes the ends of all that ended. Returns false when no child is left at all. *ret_status is set when `pid` was among them. */
bool process_reap(pid_t pid, bool *ret_ended, int *ret_status);

/* outputs.c: an empty file of the steps' user, in memory, where nobody else makes or removes one. Opens output_fd. */
int outputs_open(struct runner *r, struct err *err);
/* What the step wrote there: to r->outputs, and in frames. ERR_INVALID, after all lines before it were taken: a line that is none. */
int outputs_take(struct runner *r, const struct formula_step *step, struct err *err);

/* artifacts.c: /task/artifacts in frames, and what is not sent of it. No process of a step may live any more. */
void artifacts_send(struct runner *r);

/* memory.c: how many processes of this container the kernel has killed for want of memory; 0 where it does not say. */
uint64_t memory_kills(void);

/* ending.c */
struct step_end {
	const struct formula_step *step;
	enum stop why; /* it was told to stop */
	bool ended;    /* its process did; status is then wait(2)'s */
	int status;
	uint64_t memory_kills; /* while it ran */
	const char *fault;     /* what else is wrong with how it ended, or NULL */
	double cost_usd;       /* as its agent said; negative: it said nothing */
};
/* 0: nothing was wrong with it. */
int ending_code(const struct step_end *s);
/* The first thing that goes wrong is how the run ended. */
void ending_add(const struct runner *r, const struct step_end *s, struct ending *e);
/* A step that could not start. */
void ending_add_start(const struct formula_step *step, const char *why, struct ending *e);

/* steps.c: from GO to the end of the last step. */
void run_steps(struct runner *r, struct ending *ret);
/* Waits for room on standard output, one second at most. */
void turn_output(struct runner *r);
/* Reads the pending signals. */
void take_signals(struct runner *r);
/* Writes everything that is pending and the kept tail; gives up only when it is told to stop and nothing moves. */
void drain_output(struct runner *r);

#endif
