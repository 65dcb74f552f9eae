/*
 * The risk of an action, on a terminal.
 */
#include "cli/cli.h"
#include "cli/judge.h"

static void put(void *to, const char *label, const char *text)
{
	print_pair(to, label, text);
}

void risk_print(const json_t *risk, FILE *to)
{
	risk_tell(risk, put, to);
}
