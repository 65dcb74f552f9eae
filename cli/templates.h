/*
 * Files of templates/, built into the program.
 */
#ifndef CLI_TEMPLATES_H
#define CLI_TEMPLATES_H

extern const char template_hello[];  /* vault/formulas/hello.yaml */
extern const char template_config[]; /* dispatcher.yaml: every key on a line of its own, "#key: default" where it need not be set */

#endif
