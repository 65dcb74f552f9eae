/*
 * What validate found, shared by its two halves: files as they lie there, and the whole ops repo.
 */
#ifndef CLI_VALIDATE_H
#define CLI_VALIDATE_H

#include "cli/judge.h"
#include "vault/config/config.h"

struct report {
	json_t *rows;                /* {path, ok, problem, note, risk} */
	const struct config *config; /* NULL: there is none */
	size_t bad;
};

/* One finding; problem and remark may be NULL. Takes the risk, which may be NULL. */
void report_add(struct report *r, const char *path, const char *problem, const char *remark, json_t *risk);

/* "vault/actions/x.json: id: …" is said of the path as the user named it, so our own prefix goes. */
const char *report_strip(const char *message, const char *canonical);

bool ends_with(const char *s, const char *end);
/* The name without its ending. Caller frees. */
char *stem(const char *name, const char *ending);

/*
 * The formulas and secrets that a policy names and that are not there, as a remark; NULL when there are none: they do no harm, but are often misspelt. Caller frees.
 */
typedef bool (*report_there_fn)(const char *path, const void *arg);
char *report_strangers(const struct policy *p, report_there_fn there, const void *arg);

/* validate_files.c: a file of a checkout, or one that stands alone. */
void check_file(const char *path, struct report *report);

#endif
