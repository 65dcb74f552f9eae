/*
 * Files of templates/, built into the program.
 */
#ifndef CLI_TEMPLATES_H
#define CLI_TEMPLATES_H

#define N_TEMPLATE_FORMULAS 7

struct template_file {
	const char *path; /* in the ops repo */
	const char *text;
};
extern const struct template_file template_formulas[N_TEMPLATE_FORMULAS]; /* examples, complete but for names of hosts */

extern const char template_config[]; /* dispatcher.yaml: every key on a line of its own, "#key: default" where it need not be set */
extern const char template_policy[]; /* vault/policy.yaml, for a site without a forge */

#endif
