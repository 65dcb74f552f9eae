/*
 * The assembler puts the files in as they are, each followed by a NUL; paths are relative to the root of the source tree, where make runs.
 */
#include "cli/templates.h"

#define TEMPLATE(name, path) \
	__asm__(".pushsection .rodata\n.globl " #name "\n.type " #name ", %object\n" #name ":\n.incbin \"" path \
	        "\"\n.byte 0\n.popsection\n")

TEMPLATE(template_config, "templates/dispatcher.yaml");
TEMPLATE(template_policy, "templates/policy.yaml");
TEMPLATE(template_checksum, "templates/formulas/checksum.yaml");
TEMPLATE(template_full_loop, "templates/formulas/full-loop.yaml");
TEMPLATE(template_hello, "templates/formulas/hello.yaml");
TEMPLATE(template_publish_npm, "templates/formulas/publish-npm.yaml");
TEMPLATE(template_release, "templates/formulas/release.yaml");
TEMPLATE(template_rotate_secret, "templates/formulas/rotate-secret.yaml");
TEMPLATE(template_webhook_call, "templates/formulas/webhook-call.yaml");

extern const char template_checksum[], template_full_loop[], template_hello[], template_publish_npm[], template_release[],
    template_rotate_secret[], template_webhook_call[];

#define FORMULA(name, text) \
	{ \
		"vault/formulas/" name ".yaml", text \
	}
const struct template_file template_formulas[N_TEMPLATE_FORMULAS] = {
    FORMULA("checksum", template_checksum),
    FORMULA("full-loop", template_full_loop),
    FORMULA("hello", template_hello),
    FORMULA("publish-npm", template_publish_npm),
    FORMULA("release", template_release),
    FORMULA("rotate-secret", template_rotate_secret),
    FORMULA("webhook-call", template_webhook_call),
};
