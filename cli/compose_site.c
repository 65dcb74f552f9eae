/* From a configuration to the model of its site. */
#include "cli/compose.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/path.h"
#include "vault/version.h"
#include <stdlib.h>
#include <string.h>

#define MAX_INPUTS 64

char *compose_folder(const struct config *c)
{
	const char *slash = strrchr(c->file, '/');

	return slash ? xasprintf("%.*s", (int)(slash - c->file) + (slash == c->file), c->file) : xstrdup(".");
}

/* A path in the site's folder as compose takes it, from there; others as they are. Caller frees. */
static char *from_folder(const char *folder, const char *path)
{
	cleanup_free char *real = realpath(folder, NULL);
	cleanup_free char *top = path_clean(real ? real : folder);
	cleanup_free char *clean = path_clean(path);

	if (path_is_in(clean, top) && strcmp(clean, top) != 0)
		return xasprintf("./%s", clean + strlen(top) + (strcmp(top, "/") != 0));
	return steal_ptr(&clean);
}

void compose_inputs_of(const struct config *c, struct compose_inputs *ret)
{
	cleanup_free char *folder = compose_folder(c);
	size_t n = 0;

	ret->list = xcalloc(MAX_INPUTS, sizeof(*ret->list));
	for (size_t i = 0; config_key_name(i) && n < MAX_INPUTS; i++) {
		const char *file = config_key_file(c, i);

		if (file)
			ret->list[n++] =
			    (struct compose_input){config_key_name(i), config_variable_name(config_key_name(i)), from_folder(folder, file)};
	}
	if (c->ops_repo[0] == '/')
		ret->repo = from_folder(folder, c->ops_repo);
	ret->site = (struct compose_site){.version = DISINTO_VERSION,
	                                  .inputs = ret->list,
	                                  .n_inputs = n,
	                                  .repo = ret->repo,
	                                  .hosts = c->allowed_hosts,
	                                  .mounts = c->mounts};
}

void compose_inputs_free(struct compose_inputs *in)
{
	for (size_t i = 0; i < in->site.n_inputs; i++) {
		free((char *)(uintptr_t)in->list[i].variable);
		free((char *)(uintptr_t)in->list[i].path);
	}
	free(in->list);
	free(in->repo);
}
