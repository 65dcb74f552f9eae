/* The dashboard, and the description of the API: files that the assembler puts into the program as they are; paths are relative to the root of the source tree, where make runs. */
#include "dispatcher/web/web.h"

#include <string.h>

#define PAGE_FILE(name, path) \
	__asm__(".pushsection .rodata\n.globl " #name "\n.type " #name ", %object\n" #name ":\n.incbin \"" path \
	        "\"\n.byte 0\n.popsection\n")

extern const char page_index[], page_style[], page_day[], page_log[], page_app[], page_openapi[];
PAGE_FILE(page_index, "dispatcher/web/page/index.html");
PAGE_FILE(page_style, "dispatcher/web/page/style.css");
PAGE_FILE(page_day, "dispatcher/web/page/day.js");
PAGE_FILE(page_log, "dispatcher/web/page/log.js");
PAGE_FILE(page_app, "dispatcher/web/page/app.js");
PAGE_FILE(page_openapi, "docs/openapi.yaml");

static const struct {
	const char *name, *text, *type;
} files[] = {
    {"index.html", page_index, "text/html; charset=utf-8"}, {"style.css", page_style, "text/css; charset=utf-8"},
    {"day.js", page_day, "text/javascript; charset=utf-8"}, {"log.js", page_log, "text/javascript; charset=utf-8"},
    {"app.js", page_app, "text/javascript; charset=utf-8"}, {"openapi.yaml", page_openapi, "application/yaml"},
};

/* Nothing from elsewhere, nothing in line, no frame around it: whatever text gets into the page, it stays text. */
#define POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action " \
	"'none'; " \
	"frame-ancestors 'none'"

struct MHD_Response *web_page(const char *name)
{
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		struct MHD_Response *r =
		    MHD_create_response_from_buffer(strlen(files[i].text), (void *)(uintptr_t)files[i].text, MHD_RESPMEM_PERSISTENT);
		if (!r)
			return NULL;
		MHD_add_response_header(r, "Content-Type", files[i].type);
		MHD_add_response_header(r, "Content-Security-Policy", POLICY);
		MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
		MHD_add_response_header(r, "Cache-Control", "no-cache");
		return r;
	}
	return NULL;
}
