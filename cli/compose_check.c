/* compose check: what compose files give away. */
#include "cli/cli.h"
#include "cli/compose.h"
#include "compose/check.h"
#include "lib/cleanup.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *compose_site_folder(const struct args *args)
{
	const char *file = args_value(args, "config"), *variable = getenv("DISINTO_CONFIG");
	const struct config named = {.file = (char *)(uintptr_t)(file ? file : variable)};

	return named.file && *named.file ? compose_folder(&named) : xstrdup(".");
}

char *compose_find(const char *folder)
{
	static const char *const names[] = {COMPOSE_FILE, "docker-compose.yaml", "compose.yaml", "compose.yml"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cleanup_free char *path = strcmp(folder, ".") == 0 ? xstrdup(names[i]) : xasprintf("%s/%s", folder, names[i]);

		if (access(path, F_OK) == 0)
			return steal_ptr(&path);
	}
	return NULL;
}

int compose_none(const char *folder, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND,
	               "%s: there is no compose file; `disinto init` makes a site, `disinto compose render` the compose file of one",
	               folder);
}

static int print_findings(const struct args *args, const json_t *findings)
{
	const json_t *finding;
	size_t i;

	if (args_has(args, "json")) {
		print_json(findings);
		return json_array_size(findings) > 0 ? CLI_FINDING : CLI_DONE;
	}
	json_array_foreach (findings, i, finding) {
		const char *service = text_of(finding, "service");
		cleanup_free char *line = xasprintf("%s: %s: %s%s%s", text_of(finding, "where"), text_of(finding, "kind"),
		                                    service ? service : "", service ? ": " : "", text_of(finding, "message"));
		cleanup_free char *safe = safe_line(line);

		puts(safe);
	}
	if (json_array_size(findings) > 0)
		note("compose check: findings: %zu", json_array_size(findings));
	return json_array_size(findings) > 0 ? CLI_FINDING : CLI_DONE;
}

int cmd_compose_check(const struct args *args, struct err *err)
{
	cleanup_free char *folder = compose_site_folder(args);
	cleanup_free char *found = args->n_operands == 0 ? compose_find(folder) : NULL;
	const char *const *files = found ? (const char *const[]){found} : args->operands;
	cleanup_json json_t *findings = NULL;

	if (!found && args->n_operands == 0)
		return compose_none(folder, err);
	if (compose_check(files, found ? 1 : args->n_operands, &findings, err) < 0)
		return CLI_FAILED;
	return print_findings(args, findings);
}
