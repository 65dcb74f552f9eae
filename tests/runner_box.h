/*
 * A box: what an engine makes of a container, for tests of the runner. Its own mounts and PID namespace, a read-only root, tmpfs on
 * /run/secrets, /task and /tmp, the four capabilities. /etc/passwd and /etc/group with root in them. /shared is a folder of the test, which a step can write to. Needs root.
 *
 * Life: box_start -> box_send*, box_next* -> box_wait (reads what is left) -> box_free, which also kills what still runs.
 * What can't work here is a failed test, so nothing returns an error.
 */
#ifndef TESTS_RUNNER_BOX_H
#define TESTS_RUNNER_BOX_H

#include "lib/buf.h"
#include "vault/frame.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct box_options {
	bool sanitized;       /* the runner of the sanitizers' build, which also knows DISINTO_TEST_TIMEOUT_MS */
	bool busybox;         /* a root with only /bin/busybox and its links */
	bool bare;            /* a root without a shell or any other program */
	bool secrets_on_disk; /* /run/secrets is a folder of the disk */
	bool secrets_volume;  /* something is mounted inside it */
	bool no_secrets_dir;
	const char *account_mode; /* of the tmpfs on /var/run/nscd: "mode=0755"; "" for none */
	const char *secrets_mode; /* "0711" */
	const char *task;         /* options of the tmpfs on /task; "mode=0755" */
	bool task_read_only;
	const char *tmp;       /* "mode=1777" */
	uint64_t without_caps; /* bits of those that it lacks */
	bool no_memlock;
	const char *const *env; /* NULL: PATH alone */
};

struct CMUnitTest; /* cmocka's */

struct box {
	pid_t keeper; /* reaps PID 1 */
	pid_t init;   /* PID 1, as seen from here */
	int in, out;  /* the runner's standard input and output; -1 once closed */
	int status_fd;
	char dir[64]; /* on the host: shared/, root/ */
	struct frame_reader reader;
	json_t *frames;     /* all that came */
	struct buf text[2]; /* of out frames: o, e */
	int status;         /* exit status of PID 1; -1 while it runs, -2 when a signal ended it */
	struct box *next;   /* of all that were not freed yet */
};

bool box_possible(void);
/* Leaves the calling process, a child of the test, the capabilities of a box's PID 1. */
void box_reduce_caps(uint64_t without);
/* Where it is not possible: says so for each test, in TAP. Returns main()'s exit code. */
int box_skip_all(const struct CMUnitTest *tests, size_t n);
struct box *box_start(const struct box_options *options);
void box_send(struct box *b, const void *data, size_t len);
void box_close_in(struct box *b);
void box_close_out(struct box *b);
/* The next frame (borrowed; it stays in b->frames), or NULL at the end of the output. */
const json_t *box_next(struct box *b);
/* Reads on until a frame "t" came, or until the output of stream 0 or 1 holds `text`. Fails the test when the output ends before. */
const json_t *box_until(struct box *b, const char *t);
void box_until_text(struct box *b, int stream, const char *text);
void box_wait(struct box *b);
void box_free(struct box *b);
static inline void box_freep(struct box **b)
{
	box_free(*b);
}
#define cleanup_box __attribute__((cleanup(box_freep)))

/* A teardown: frees what a failed test left. */
int box_free_all(void **state);
#define box_test(f) cmocka_unit_test_teardown(f, box_free_all)

/* The report, or NULL. */
const json_t *box_report(const struct box *b);
const char *box_outcome(const struct box *b);
const char *box_reason(const struct box *b);
/* Whether a step left /shared/<name>. */
bool box_has_file(const struct box *b, const char *name);

/* What the dispatcher sends, in pieces. */
struct box_secret {
	const char *name, *value;
};
/* {"action": {…, members}, "formula": {…, members}}; members as JSON text that begins with a comma, or "". An action without secrets gets none. Caller frees. */
char *job_text(const char *action_members, const char *formula_members);
/* A step as JSON text. Caller frees. */
char *job_step(const char *id, const char *script);
/* Frames up to task_end; secrets; go. */
void job_add_task(struct buf *out, const char *text);
void job_add_secrets(struct buf *out, const struct box_secret *secrets, size_t n);
void job_add_go(struct buf *out);

/* The whole of it: one step "only" that runs the script. */
struct box *box_run(const struct box_options *options, const char *script);
struct box *box_run_formula(const struct box_options *options, const char *action_members, const char *formula_members,
                            const struct box_secret *secrets, size_t n);
/* The same, up to `going`. */
struct box *box_go(const struct box_options *options, const char *action_members, const char *formula_members,
                   const struct box_secret *secrets, size_t n);

#endif
