/* What the tests of the runner's steps share: jobs of one or more shell scripts, and how a run ended. */
#ifndef DISINTO_TESTS_STEPS_BOX_H
#define DISINTO_TESTS_STEPS_BOX_H

#include "tests/runner_box.h"

#include "lib/cleanup.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* wants these three before it */
#include <cmocka.h>

#define FOREVER "while :; do sleep 1000; done"

/* The shell's words for: print how many processes of the step's user there are besides this shell; zombies in brackets too. */
#define COUNT_OTHERS \
	"n=0; for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || ! [ -e /proc/$p ] || n=$((n + 1)); done; echo " \
	"others=$n\n"
static inline char *steps_of(size_t n, const char *const scripts[])
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		char id[24];
		snprintf(id, sizeof(id), "s%zu", i + 1);
		char *step cleanup_free = job_step(id, scripts[i]);
		buf_addf(&b, "%s%s", i ? "," : ",\"steps\":[", step);
	}
	buf_addc(&b, ']');
	return buf_steal(&b);
}

static inline char *with_grace(int seconds, const char *script)
{
	char *step cleanup_free = job_step("only", script);
	return xasprintf(",\"grace_seconds\":%d,\"steps\":[%s]", seconds, step);
}

static inline struct box *go_and_wait(const struct box_options *o, int grace, const char *script)
{
	char *formula cleanup_free = with_grace(grace, script);
	struct box *b = box_go(o, "", formula, NULL, 0);
	box_until_text(b, 0, "here");
	return b;
}

static inline void assert_end(struct box *b, const char *outcome, int code, const char *reason)
{
	box_wait(b);
	assert_string_equal(box_outcome(b), outcome);
	assert_int_equal(json_integer_value(json_object_get(box_report(b), "exit_code")), code);
	assert_int_equal(b->status, code);
	assert_string_equal(box_reason(b), reason);
}

/* The n-th frame that says that a step ended. */
static inline const json_t *step_end(const struct box *b, size_t n)
{
	size_t i;
	const json_t *frame;

	json_array_foreach (b->frames, i, frame) {
		const char *state = json_string_value(json_object_get(frame, "state"));
		if (state && strcmp(state, "end") == 0 && n-- == 0)
			return frame;
	}
	return NULL;
}

#endif
