/*
 * Progress: an agent's stream of JSON events (Claude's --output-format stream-json: one object for each line) as lines that people
 * can read. What is no such event passes as it is, so that nothing an agent says is lost to a format that changed.
 *
 *     [claude 2.1.0] model claude-sonnet-4-5                     system, init
 *     I will look at the tests first.                            text of an assistant message
 *     [Bash] make test                                           use of a tool: its name, the heart of its input
 *     [result] 12 passed, 0 failed (+3 lines)                    what the tool gave, cut; [error] where it failed
 *     [done] success, 3 turns, 12.3 s, $0.0421                   result
 *
 * Life: progress_new -> progress_feed* -> progress_end -> progress_cost -> progress_free.
 */
#ifndef RUNNER_PROGRESS_H
#define RUNNER_PROGRESS_H

#include "lib/buf.h"
#include "vault/redact/redact.h"
#include <stdbool.h>

struct progress;
/* The redactor (borrowed, or NULL) is needed here already: what is cut must be clean before, or the half of a secret would pass as none. */
struct progress *progress_new(const struct redactor *redactor);
/* Appends to `out` what became whole. Holds back at most a line of 1 MiB; a longer one passes as it is. */
void progress_feed(struct progress *p, const char *data, size_t len, struct buf *out);
/* The end of the stream: a last line without its end. */
void progress_end(struct progress *p, struct buf *out);
/* What the run cost in US dollars, when the agent said so. */
bool progress_cost(const struct progress *p, double *ret);
void progress_free(struct progress *p);

#endif
