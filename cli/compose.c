/* compose render: the files of a whole site. */
#include "cli/compose.h"
#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/git_remote.h"
#include <errno.h>
#include <fcntl.h>

int cmd_compose_render(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_compose_inputs struct compose_inputs in = COMPOSE_INPUTS_INIT;
	cleanup_free char *folder = NULL;
	cleanup_fd int dir = -1;
	unsigned flags = (args_has(args, "dry-run") ? COMPOSE_DRY : 0u) | (args_has(args, "force") ? COMPOSE_FORCE : 0u);
	size_t left;

	if (cli_config(args, &config, err) < 0 || git_remote_setup(err) < 0)
		return CLI_FAILED;
	folder = compose_folder(&config);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		err_errno(err, errno, "%s", folder);
		return CLI_FAILED;
	}
	compose_inputs_of(&config, &in);
	if (compose_write_files(&in.site, dir, flags, &left, err) < 0)
		return CLI_FAILED;
	return left > 0 ? CLI_FINDING : CLI_DONE;
}
