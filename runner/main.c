/* disinto-runner: the sequence of a run. See runner.h. */
#include "runner/askpass.h"
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "vault/version.h"
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "disinto-runner " DISINTO_VERSION ": process 1 of a task container; the dispatcher starts it and speaks frames with it.\n"
    "Nothing here is for people but --version and --help.\n";

/* jansson holds secrets in base64 for a moment: nothing that it frees stays readable. */
static void wipe_and_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void say(struct runner *r, const char *kind)
{
	output_frame(&r->out, json_pack("{s:s}", "t", kind));
}

static void say_hello(struct runner *r)
{
	output_frame(&r->out, json_pack("{s:s, s:s, s:i}", "t", "hello", "version", DISINTO_VERSION, "frames", FRAME_VERSION));
}

/* Everything before GO. On -1 nothing of the formula ran. */
static int prepare(struct runner *r, struct err *err)
{
	int allowed = confine(err);
	r->signal_fd = confine_signals(allowed < 0 ? NULL : err);
	say_hello(r);
	if (allowed < 0 || r->signal_fd < 0)
		return -1;
	if (task_read(r, err) < 0 || check_machine(r, err) < 0)
		return -1;
	say(r, "ready");
	if (task_read_secrets(r, err) < 0 || task_read_go(r, err) < 0)
		return -1;
	input_close(r);
	say(r, "going");
	return 0;
}

/* What is wrong with the task or its image stays wrong; a machine that has no process or memory to spare, or a dispatcher that died, may do better next time. */
static void not_run(const struct err *err, struct ending *ret)
{
	bool refused = err->code == ERR_INVALID || err->code == ERR_DENIED || err->code == ERR_NOT_FOUND;
	ret->outcome = refused ? "refused" : "not_started";
	ret->exit_code = -1;
	ret->status = refused ? EXIT_REFUSED : EXIT_NOT_STARTED;
	ret->reason = xstrdup(err_msg(err));
}

static void run_all(struct runner *r, struct ending *ret)
{
	run_steps(r, ret);
	if (!r->out.broken)
		artifacts_send(r);
}

static void say_report(struct runner *r, const struct ending *e)
{
	json_t *code = e->exit_code < 0 ? json_null() : json_integer(e->exit_code);
	output_frame(&r->out, json_pack("{s:s, s:s, s:o, s:o, s:b}", "t", "report", "outcome", e->outcome, "exit_code", code, "reason",
	                                output_string(&r->out, e->reason), "truncated", r->out.left_out > 0));
}

static void runner_free(struct runner *r)
{
	output_free(&r->out);
	frame_reader_free(&r->in);
	secrets_free(&r->secrets);
	redactor_free(r->redactor);
	json_decref(r->agents);
	formula_free(&r->formula);
	action_free(&r->action);
	json_decref(r->outputs);
	free(r->known_hosts);
	account_close(&r->account);
}

int main(int argc, char **argv)
{
	struct runner r __attribute__((cleanup(runner_free))) = {.out = OUTPUT_INIT,
	                                                         .in = FRAME_READER_INIT,
	                                                         .action = ACTION_INIT,
	                                                         .formula = FORMULA_INIT,
	                                                         .account = ACCOUNT_INIT,
	                                                         .signal_fd = -1,
	                                                         .null_fd = -1,
	                                                         .secrets_fd = -1,
	                                                         .output_fd = -1};
	struct ending end = {.outcome = NULL};
	struct err err cleanup_err = ERR_INIT;

	if (argc == 4 && strcmp(argv[1], ASKPASS_WORD) == 0)
		return askpass_main(argv[3]);
	if (argc > 1) {
		bool asked = strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "--help") == 0;
		fputs(usage, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	json_set_alloc_funcs(xmalloc, wipe_and_free);
	if (prepare(&r, &err) < 0)
		not_run(&err, &end);
	else
		run_all(&r, &end);
	drain_output(&r);
	say_report(&r, &end);
	drain_output(&r);
	free(end.reason);
	return end.status;
}
