/*
 * The assembler puts the files in as they are, each followed by a NUL; paths are relative to the root of the source tree, where make runs.
 */
#include "cli/templates.h"

#define TEMPLATE(name, path) \
	__asm__(".pushsection .rodata\n.globl " #name "\n.type " #name ", %object\n" #name ":\n.incbin \"" path \
	        "\"\n.byte 0\n.popsection\n")

TEMPLATE(template_hello, "templates/formulas/hello.yaml");
TEMPLATE(template_config, "templates/dispatcher.yaml");
